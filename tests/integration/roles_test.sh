#!/usr/bin/env bash
# Least privileges: on the target the role that `init --login` makes, with a password, by TCP; on the source the role
# that `init --source` prints. Neither can do more than it needs, and both suffice for everything.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE SCHEMA clinic;
CREATE TABLE clinic.office (id serial PRIMARY KEY, name text, rate float8 NOT NULL DEFAULT 0, note text, secret text DEFAULT 'hush');
ALTER TABLE clinic.office ALTER note SET STORAGE EXTERNAL;
CREATE TABLE clinic.unmapped (id int PRIMARY KEY);
INSERT INTO clinic.office (name, note) SELECT 'Office ' || i, repeat('n', 3000) FROM generate_series(1, 2000) i;
SQL
target_script <<'SQL'
CREATE SCHEMA care;
CREATE TABLE care.offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, title text CHECK (title <> 'bad'), rate float8, note text, size text);
CREATE TABLE care.children (id uuid PRIMARY KEY REFERENCES care.offices);
CREATE TABLE care.theirs (id int);
CREATE ROLE anon;
CREATE ROLE authenticated;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;
SQL
mapping_write <<'YAML'
source_schema: clinic
target_schema: care
never: {office: [secret]}
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    when: name <> 'hidden'
    columns:
      legacy_id: id
      title: name
      rate: rate
      note: note
      size: {expr: "length(note) || ' ' || name"}
YAML
settings_write "breaker: {window: 0}"

# --- the roles

sed -i -e 's/dbname=legacy user=postgres/dbname=legacy user=reader/' "$T/pgrekey.yaml"
pgrekey init --source >"$T/source.sql"
cluster_psql "$T/source" legacy -f "$T/source.sql"
ok "what init --source prints runs"
check "init --login" pgrekey init --login
role_sql() { cluster_psql "$T/target" postgres -c "$1"; }
role_sql "ALTER ROLE pgrekey PASSWORD 'pass with blank'"
(umask 077 && echo 'pass with blank' >"$T/target.password")
tcp=$(cluster_conninfo_tcp "$T/target" app)
sed -i -e "s/^  dsn: .*dbname=app.*/  dsn: \"${tcp/user=postgres/user=pgrekey}\"\n  password_file: target.password/" "$T/pgrekey.yaml"
check "check finds nothing to complain of" pgrekey check -q
equals "it warns of no missing right" "" "$(pgrekey check | grep -iE 'GRANT|ALTER ROLE' || true)"

equals "the target's role is no superuser, makes no roles, databases, replicas, passes no policy" "f|f|f|f|f" \
    "$(target_sql "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = 'pgrekey'")"
equals "it owns nothing" 0 "$(target_sql "SELECT count(*) FROM pg_class WHERE relowner = 'pgrekey'::regrole")"
equals "it reaches only the mapped table and our schema" "care.offices" "$(target_sql "
    SELECT string_agg(oid::regclass::text, ' ' ORDER BY 1) FROM pg_class
    WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'pgrekey'::regnamespace) AND relkind = 'r'
        AND has_table_privilege('pgrekey', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')")"
equals "the web's roles reach nothing of ours" 0 "$(target_sql "
    SELECT count(*) FROM pg_class, unnest('{anon,authenticated}'::name[]) web WHERE relnamespace = 'pgrekey'::regnamespace AND relkind = 'r'
        AND has_schema_privilege(web, 'pgrekey', 'USAGE') AND has_table_privilege(web, pg_class.oid, 'SELECT')")"
equals "nor does everybody" f "$(target_sql "CREATE ROLE passer_by; SELECT has_schema_privilege('passer_by', 'pgrekey', 'USAGE')")"
equals "the source's role reads the mapped table, without its never-columns" "t|f|f" "$(source_sql "
    SELECT has_column_privilege('reader', 'clinic.office', 'name', 'SELECT'), has_column_privilege('reader', 'clinic.office', 'secret', 'SELECT'),
        has_table_privilege('reader', 'clinic.unmapped', 'SELECT')")"
equals "and writes nothing" 0 "$(source_sql "
    SELECT count(*) FROM pg_class WHERE relnamespace = 'clinic'::regnamespace AND relkind = 'r' AND has_table_privilege('reader', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')")"

# --- everything with them

compare() {
    same_rows "$1" "SELECT $(uuid_sql office id), id, name, rate, md5(note), length(note) || ' ' || name FROM clinic.office WHERE name NOT IN ('hidden', 'bad')" \
        "SELECT id, legacy_id, title, rate, md5(note), size FROM care.offices"
    accounts "$1: the account" "office->offices" clinic.office
}
sed -i 's/^reconnect:/snapshot: {range_rows: 1000}\nreconnect:/' "$T/pgrekey.yaml"
source_sql "ANALYZE clinic.office"
engine_start
caught_up
compare "snapshot"
source_script <<'SQL'
INSERT INTO clinic.office (name, note) SELECT 'Late ' || i, 'short' FROM generate_series(1, 300) i;
UPDATE clinic.office SET name = name || '!' WHERE id <= 500;
UPDATE clinic.office SET rate = 'NaN' WHERE id % 7 = 0;
UPDATE clinic.office SET name = 'hidden' WHERE id % 11 = 0;
UPDATE clinic.office SET name = 'seen again' WHERE id % 22 = 0;
UPDATE clinic.office SET id = id + 1000000 WHERE id % 13 = 0;
DELETE FROM clinic.office WHERE id % 17 = 0;
INSERT INTO clinic.office (name) VALUES ('bad');
SQL
caught_up
compare "stream, with rows read by key"
pgrekey_fails "one row stands in quarantine" 0 'validation_failure' quarantine list
source_sql "UPDATE clinic.office SET name = 'good' WHERE name = 'bad'"
caught_up
compare "the bad one mended"
source_sql "INSERT INTO clinic.office (name) VALUES ('bad')"
caught_up
check "retry reaches the engine" sh -c "'$PGREKEY' -c '$T/pgrekey.yaml' quarantine retry --all; test \$? -eq 6"
check "discard too" pgrekey quarantine discard --all --yes
check "check beside the running engine" pgrekey check -q
check "status" pgrekey status

# --- rights that go in mid-way, and come back

engine_waits() { grep -qE "event=reconnecting .*sqlstate=$1" "$T/engine.log"; }
paused_for() { [ "$(target_sql "SELECT pause_category FROM pgrekey.pipeline WHERE paused")" = "$1" ]; }
change() { source_sql "UPDATE clinic.office SET name = '$1 ' || id WHERE id % 50 = $2"; }
target_sql "REVOKE UPDATE ON care.offices FROM pgrekey"
change "no update" 1
wait_for 30 "the pause" paused_for privilege
check "a table's right is missing: a pause that names it" grep -q "event=paused .*category=privilege .*offices" "$T/engine.log"
target_sql "GRANT UPDATE ON care.offices TO pgrekey"
check "granted again, resumed" pgrekey resume
caught_up
target_sql "REVOKE USAGE ON SCHEMA pgrekey FROM pgrekey"
change "no schema" 2
wait_for 30 "another session" engine_waits 42501
target_sql "GRANT USAGE ON SCHEMA pgrekey TO pgrekey"
caught_up
: >"$T/engine.log"
role_sql "ALTER ROLE pgrekey PASSWORD 'another'"
cut_connections target
change "no password" 3
wait_for 30 "another session" engine_waits 28P01
echo another >"$T/target.password"
caught_up
: >"$T/engine.log"
source_sql "ALTER ROLE reader NOREPLICATION"
cut_connections source
wait_for 30 "another session" engine_waits 42501
source_sql "ALTER ROLE reader REPLICATION"
caught_up
: >"$T/engine.log"
role_sql "ALTER DATABASE app SET default_transaction_read_only = on"
cut_connections target
wait_for 30 "another session" engine_waits 25006
PGOPTIONS="-c default_transaction_read_only=off" role_sql "ALTER DATABASE app RESET default_transaction_read_only"
caught_up
: >"$T/engine.log"
target_sql "ALTER TABLE care.offices RENAME size TO sized"
change "no column" 4
wait_for 30 "the pause" paused_for schema_mismatch
check "a target's column is missing: named, with the way out" grep -qE "category=schema_mismatch .*size.* hint=.*put back" "$T/engine.log"
target_sql "ALTER TABLE care.offices RENAME sized TO size"
check "put back, resumed" pgrekey resume
caught_up
check "rights that went and came back find the engine alive" engine_is_alive
compare "rights went and came back"
engine_stop
source_sql "INSERT INTO clinic.office (name, note) SELECT 'Big ' || i, 'x' FROM generate_series(1, 30000) i"
check "a large transaction" pgrekey run --until-caught-up
compare "after it"
check "drop, as these roles" pgrekey drop --yes
equals "no slot is left" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
pgrekey_fails "and a new snapshot into tables that hold rows is refused" 4 'not empty' run --until-caught-up
test_end
