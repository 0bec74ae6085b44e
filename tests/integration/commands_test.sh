#!/usr/bin/env bash
# The command line on real servers: what check finds and says, exit codes, init, status, quarantine, drop.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start max_prepared_transactions=2
target_start
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text, mail text, tax numeric, rate float8 NOT NULL DEFAULT 0, secret text);
INSERT INTO office (name, mail, tax, rate) SELECT 'Office ' || i, 'mail' || i, 'NaN', 'Infinity' FROM generate_series(1, 50) i;
CREATE ROLE reader LOGIN;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, title text, email text UNIQUE, tax numeric, rate float8);
CREATE ROLE plain LOGIN;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER keeper BEFORE INSERT ON offices FOR EACH ROW EXECUTE FUNCTION keep();
ALTER TABLE offices ENABLE ROW LEVEL SECURITY;
SQL
mapping_write <<'YAML'
never: {office: [secret]}
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    columns: {legacy_id: id, title: name, email: mail, tax: tax, rate: rate}
YAML
settings_write
source_dsn=$(cluster_conninfo "$T/source" legacy)
target_dsn=$(cluster_conninfo "$T/target" app)
reader=source.dsn=${source_dsn/user=postgres/user=reader}
plain=target.dsn=${target_dsn/user=postgres/user=plain}

# finds NAME PATTERN ARGUMENTS…: check ends with 6 and reports it.
finds() {
    local name=$1 pattern=$2
    shift 2
    pgrekey_fails "check: $name" 6 "$pattern" check "$@"
}
# does NAME PATTERN ARGUMENTS…: ends with 0 and says something that matches.
does() { pgrekey_fails "$1" 0 "$2" "${@:3}"; }

# --- usage and settings

pgrekey_fails "a mistyped command is answered" 2 'did you mean pgrekey status' stauts
pgrekey_fails "a mistyped option is answered" 2 'did you mean --json' status --jsn
pgrekey_fails "an unknown setting is answered" 2 'did you mean source.slot' status --set source.slott=x
pgrekey_fails "a wrong value names the setting" 2 'batch.max_rows: wants a whole number' status --set batch.max_rows=many
pgrekey_fails "a file that is not there is named" 2 'nowhere.yaml' --config "$T/nowhere.yaml" status
pgrekey_fails "without a DSN it says where to set it" 2 'PGREKEY_SOURCE_DSN' drop --slot-only --set source.dsn=
does "the manual is a man page" '^\.SH COMMANDS' man
does "an example file is printed" '^source:' settings --example

# --- before init

finds "no schema" 'run: pgrekey init'
finds "a role that may not replicate" 'ALTER ROLE "reader" REPLICATION;' --set "$reader"
finds "a role that may not read" 'GRANT SELECT ON "public"."office" TO "reader";' --set "$reader"
finds "a role that may not write" 'GRANT SELECT, INSERT, UPDATE, DELETE ON "public"."offices"' --set "$plain"
finds "row level security" 'ALTER ROLE "plain" BYPASSRLS;' --set "$plain"
finds "triggers that will fire" 'trigger keeper of public.offices'
pgrekey_fails "status wants init" 6 'run: pgrekey init' status
pgrekey_fails "init without the right changes nothing" 2 'pgrekey init --print' init --set "$plain"
does "init prints the source's SQL, without never-columns" 'SELECT \("id", "name", "mail", "tax", "rate"\) ON' init --source
check "no password is ever printed" test -z "$(pgrekey init --print | grep -i "password '" || true)"
pgrekey init --print | cluster_psql "$T/target" app -f - >/dev/null
check "what init --print shows runs by itself" pgrekey check -q
does "init takes an admin's DSN" 'acts by its rights' init --dsn "$target_dsn" --set "$plain"
target_sql "ALTER ROLE plain BYPASSRLS"
check "check likes the role that init made" pgrekey check -q --set "$plain"
does "check --deep counts NaN" 'office.tax holds 50 NaN' check --deep
does "a new pipeline is new" 'no snapshot has been taken yet' status
does "drop has nothing to do" 'was not there' drop

# --- in the way of a snapshot

target_sql "INSERT INTO offices (id, legacy_id) VALUES (gen_random_uuid(), 0)"
finds "target tables that hold rows" 'TRUNCATE "public"."offices"'
target_sql "TRUNCATE offices"
source_sql "SELECT pg_create_logical_replication_slot('pgrekey', 'test_decoding')" >/dev/null
finds "a slot of another plugin" 'is of plugin test_decoding'
pgrekey_fails "drop leaves another's slot alone" 4 'not one of ours' drop --yes
source_sql "SELECT pg_drop_replication_slot('pgrekey')" >/dev/null
source_sql "BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'held'"
does "prepared transactions are warned of" '1 prepared transaction is open' check
source_sql "ROLLBACK PREPARED 'held'"
source_sql "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding"
cluster_reload "$T/source"
sleep 0.5
finds "wal2json not allowed" 'output_plugin_libraries = pgoutput, test_decoding, wal2json; SELECT pg_reload_conf'
source_sql "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, wal2json"
cluster_reload "$T/source"
target_sql "ALTER DATABASE app SET default_transaction_read_only = on"
finds "a read-only target" 'sessions are read-only'
target_script <<'SQL'
SET default_transaction_read_only = off;
ALTER DATABASE app RESET default_transaction_read_only;
SQL
pgrekey_fails "an unreachable source has its code" 3 'failed' check --set source.dsn=host=/nonexistent
pgrekey_fails "status goes on without the source" 3 'quarantine|slot|source' status --set source.dsn=host=/nonexistent

# --- beside a running engine

engine_start --set "$plain"
caught_up
does "status: streaming" '^pgrekey  streaming' status
check "status speaks JSON" sh -c "'$PGREKEY' -c '$T/pgrekey.yaml' status --json | grep -q '\"state\":\"streaming\"'"
pgrekey_fails "drop is refused while the engine runs" 4 'stop it first' drop --yes
does "resume has nothing to resume" 'not paused' resume
source_sql "INSERT INTO office (name, mail) VALUES ('twin', 'mail1')"
caught_up
pgrekey_fails "status points at the quarantine" 6 '1 row stands in quarantine' status
does "quarantine list" 'email_conflict' quarantine list
check "quarantine list shows no values" test -z "$(pgrekey quarantine list | grep twin || true)"
does "quarantine show shows them" 'twin' quarantine show 1
pgrekey_fails "an entry that is not there" 2 'quarantine entry 99' quarantine show 99
pgrekey_fails "retry of a row that fails again" 6 '0 resolved, 1 still failing' quarantine retry 1
pgrekey_fails "retry wants to know what" 2 'which entries' quarantine retry
target_sql "DELETE FROM offices WHERE email = 'mail1'"
does "retry of a row that fits now" '1 resolved' quarantine retry --all
source_sql "INSERT INTO office (name, mail) VALUES ('twin', 'mail2')"
caught_up
pgrekey_fails "discarding all wants to be confirmed" 2 'give --yes' quarantine discard --all
does "discard" '1 discarded' quarantine discard --all --yes
engine_stop
does "status: idle" 'engine not running' status
pgrekey_fails "nobody answers a request" 3 'no engine runs' quarantine retry --all

# --- position, source and mapping

record=$(target_sql "SELECT lsn FROM pgrekey.pipeline")
target_sql "UPDATE pgrekey.pipeline SET lsn = '0/1'"
finds "a target restored to an older state" 'lies behind slot pgrekey'
target_sql "UPDATE pgrekey.pipeline SET lsn = '$record', system_identifier = '42' || system_identifier"
finds "another source" 'was taken from database legacy of system 42'
target_sql "UPDATE pgrekey.pipeline SET system_identifier = substr(system_identifier, 3)"
sed -i.kept 's/title: name/title: mail/' "$T/mapping.yaml"
does "a changed mapping" 'rule office->offices was changed: the rows that are there stay' check
sed -i 's/office, of: id/bureau, of: id/' "$T/mapping.yaml"
finds "a changed identity" 'other identities'
mv "$T/mapping.yaml.kept" "$T/mapping.yaml"
target_sql "UPDATE pgrekey.pipeline SET paused = true, pause_reason = 'the breaker opened'"
pgrekey_fails "status: paused" 5 'paused: the breaker opened' status
target_sql "UPDATE pgrekey.pipeline SET paused = false, pause_reason = NULL"
check "nothing is left to complain of" pgrekey check -q
pgrekey_fails "drop knows the recorded slot" 4 'source.slot=pgrekey' drop --yes --set source.slot=other
pgrekey_fails "drop without the target says how" 3 'slot-only' drop --yes --set target.dsn=host=/nonexistent
pgrekey_fails "drop asks" 2 'give --yes' drop
check "drop without the target drops the slot" pgrekey drop --yes --slot-only --set target.dsn=host=/nonexistent
finds "a slot that is gone" 'is gone from the source'
pgrekey_fails "status sees it too" 6 'is gone from the source' status
check "drop forgets the record" pgrekey drop --yes
equals "no slot is left" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
equals "no record is left" 0 "$(target_sql "SELECT count(*) FROM pgrekey.pipeline")"

# --- map check

does "map check against both servers" '1 rule \(checked against both servers\)' map check
printf 'rows: [{from: a, to: b, key: {}, colums: {}}]\n' >"$T/bad.yaml"
pgrekey_fails "map check names line, column and key" 6 'bad.yaml:1:42: rows\[0\].colums' map check "$T/bad.yaml"
check "map check speaks JSON" sh -c "'$PGREKEY' -c '$T/pgrekey.yaml' map check --json --offline | grep -q '\"ok\":true'"
test_end
