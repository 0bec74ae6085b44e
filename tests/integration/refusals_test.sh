#!/usr/bin/env bash
# What `pgrekey run` refuses, and how: one sentence, what to do about it, an exit code by class, nothing half-done, and
# once the cause is mended it goes on by itself.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start "max_slot_wal_keep_size = '32MB'" "min_wal_size = '32MB'" max_replication_slots=3
target_start
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text);
CREATE TABLE bare (id int, name text);
INSERT INTO office (name) SELECT 'Office ' || i FROM generate_series(1, 100) i;
CREATE ROLE mute LOGIN;
CREATE ROLE blind LOGIN REPLICATION;
CREATE DATABASE other;
CREATE DATABASE plain_bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int, title text);
CREATE TABLE keyless (id uuid, legacy_id int, title text);
CREATE ROLE stranger LOGIN;
SQL
source_dsn=$(cluster_conninfo "$T/source" legacy)
target_dsn=$(cluster_conninfo "$T/target" app)
mapping() { # FROM TO COLUMNS [NAMESPACE]
    printf 'namespace: %s\nrows:\n  - from: %s\n    to: %s\n    key: {id: {uuid: office, of: id}}\n    columns: {%s}\n' \
        "${4:-$NAMESPACE}" "$1" "$2" "$3" >"$T/mapping.yaml"
}
good_mapping() { mapping office offices "legacy_id: id, title: name"; }
good_mapping
settings_write

# refuses NAME CODE PATTERN [ARGUMENTS…]: of a run that should end at once.
refuses() {
    local name=$1 code=$2 pattern=$3 rc=0 sentences
    shift 3
    timeout 60 "$PGREKEY" --config "$T/pgrekey.yaml" run --until-caught-up "$@" >"$T/refused.log" 2>&1 </dev/null || rc=$?
    sentences=$(grep -c '^pgrekey: ' "$T/refused.log" || true)
    if [ "$rc" -eq "$code" ] && [ "$sentences" -eq 1 ] && grep -qE "$pattern" "$T/refused.log" &&
        sed '0,/^pgrekey: /d' "$T/refused.log" | grep -q '^  [^ ]'; then
        ok "$name"
    else
        not_ok "$name"
        echo "    exit code $rc, expected $code; one sentence and a remedy, to match: $pattern; it said:"
        head -n 10 "$T/refused.log" | sed 's/^/    /'
    fi
}
# Nothing was written anywhere.
untouched() {
    equals "$1: no slot is left" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgrekey'")"
    equals "$1: no record is left" 0 "$(target_sql "SELECT count(*) FROM pgrekey.pipeline")"
    equals "$1: no row is left" 0 "$(target_sql "SELECT count(*) FROM offices WHERE legacy_id > 0")"
}
afresh() {
    pgrekey drop --yes >/dev/null
    target_sql "TRUNCATE offices"
}

# --- settings, mapping

refuses "a target without the engine's schema" 2 'pgrekey init'
pgrekey init >/dev/null
pgrekey_fails "a setting out of its range" 2 'batch.max_rows.*out of range: 1 to' run --set batch.max_rows=0
refuses "a setting that is none" 2 'did you mean source.slot' --set source.slott=x
refuses "a mapping that is not there" 2 'nowhere.yaml' --set mapping=nowhere.yaml
refuses "no source" 2 'source.dsn' --set source.dsn=
refuses "no target" 2 'target.dsn' --set target.dsn=
mapping office offices "legacy_id: id, title: nam"
refuses "a column that the source has not" 2 'mapping.yaml:6:.*has no column "nam"; did you mean "name"'
mapping office offices "legacy_id: id, titel: name"
refuses "a column that the target has not" 2 'mapping.yaml:6:.*"titel" on the target; did you mean "title"'
mapping offfice offices "legacy_id: id"
refuses "a table that the source has not" 2 'mapping.yaml:3:.*offfice'
mapping office ofices "legacy_id: id"
refuses "a table that the target has not" 2 'mapping.yaml:4:.*ofices'
mapping bare offices "legacy_id: id"
refuses "a source table without identity" 2 'bare.*(identity|primary key)'
mapping office keyless "legacy_id: id"
refuses "a target table without the key" 2 'keyless'
good_mapping
untouched "settings and mapping"

# --- servers and rights

refuses "an unreachable source" 3 'source: ' --set "source.dsn=host=127.0.0.1 port=1 dbname=legacy"
refuses "an unreachable target" 3 'target: ' --set "target.dsn=host=127.0.0.1 port=1 dbname=app"
refuses "a database that is not there" 2 'database "nowhere" does not exist' --set "target.dsn=${target_dsn/dbname=app/dbname=nowhere}"
refuses "a password that is wrong" 2 'password authentication failed' --set "target.dsn=$(cluster_conninfo_tcp "$T/target" app) password=x"
refuses "no password" 2 '[pP]assword' --set "target.dsn=$(cluster_conninfo_tcp "$T/target" app)"
refuses "a source role without REPLICATION" 2 'REPLICATION' --set "source.dsn=${source_dsn/user=postgres/user=mute}"
refuses "a source role that may not read" 2 'office' --set "source.dsn=${source_dsn/user=postgres/user=blind}"
refuses "a target role that may not see our schema" 2 'stranger|pgrekey init' --set "target.dsn=${target_dsn/user=postgres/user=stranger}"
target_sql "GRANT USAGE ON SCHEMA pgrekey TO stranger; GRANT ALL ON ALL TABLES IN SCHEMA pgrekey TO stranger; GRANT ALL ON ALL SEQUENCES IN SCHEMA pgrekey TO stranger"
refuses "a target role that may not write the tables" 2 'offices' --set "target.dsn=${target_dsn/user=postgres/user=stranger}"
target_sql "GRANT SELECT ON offices TO stranger"
refuses "a target role that may only read them" 2 'offices' --set "target.dsn=${target_dsn/user=postgres/user=stranger}"
refuses "a source whose bytes have no meaning" 4 'SQL_ASCII' --set "source.dsn=${source_dsn/dbname=legacy/dbname=plain_bytes}"
target_sql "ALTER DATABASE app SET default_transaction_read_only = on"
refuses "a read-only target" 2 'read-only'
target_script <<'SQL'
SET default_transaction_read_only = off;
ALTER DATABASE app RESET default_transaction_read_only;
UPDATE pgrekey.schema_version SET version = version + 90;
SQL
refuses "an engine's schema of another version" 2 'version 9[0-9], this program needs'
target_sql "UPDATE pgrekey.schema_version SET version = version - 90"
untouched "servers and rights"

# --- before a first snapshot

target_sql "INSERT INTO offices VALUES (gen_random_uuid(), 0, 'mine')"
refuses "a target table that holds rows" 4 'offices is not empty'
equals "the row that stood there stands" mine "$(target_sql "SELECT title FROM offices")"
target_sql "TRUNCATE offices"
source_sql "SELECT pg_create_logical_replication_slot('pgrekey', 'test_decoding')" >/dev/null
refuses "a slot that exists already" 4 'pgrekey exists already'
equals "the slot of somebody else stands" test_decoding "$(source_sql "SELECT plugin FROM pg_replication_slots")"
source_sql "SELECT pg_drop_replication_slot('pgrekey')" >/dev/null
untouched "before a snapshot"
source_sql "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding"
cluster_reload "$T/source"
sleep 0.5
refuses "wal2json not among the allowed libraries" 2 'output_plugin_libraries'
untouched "wal2json not allowed"
source_sql "ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, wal2json"
cluster_reload "$T/source"
sleep 0.5
source_sql "SELECT pg_create_physical_replication_slot('slot' || i) FROM generate_series(1, 3) i" >/dev/null
refuses "no free slot" 2 'max_replication_slots'
source_sql "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots" >/dev/null
untouched "no free slot"
check "and then it takes its snapshot" pgrekey run --until-caught-up

# --- the slot

slot_is_read() { source_sql "SELECT active FROM pg_replication_slots" | grep -q t; }
slot_end() { source_sql "SELECT pg_drop_replication_slot('pgrekey')" >/dev/null; }
engine_start
caught_up
refuses "a second engine" 4 'another engine holds pipeline pgrekey' --set target.lock_wait=1s
check "the first one did not mind" engine_is_alive
refuses "a second engine for another target record" 4 'pgrekey exists already' --set pipeline=second
engine_stop
pg_recvlogical -d "$source_dsn" --slot pgrekey --start -f /dev/null -o format-version=2 -s 0 -F 0 2>/dev/null &
LOAD_PID=$!
wait_for 10 "the slot taken" slot_is_read
refuses "a slot that somebody else reads" 4 'slot.*pgrekey.*(active|use)' --set source.slot_wait=1s
kill -9 "$LOAD_PID" 2>/dev/null
wait "$LOAD_PID" 2>/dev/null || true
LOAD_PID=
check "and once it is let go, it goes on" pgrekey run --until-caught-up

record=$(target_sql "SELECT lsn, state, paused FROM pgrekey.pipeline")
slot_end
refuses "a slot that is gone" 4 'no replication slot "pgrekey"'
source_sql "SELECT pg_create_logical_replication_slot('pgrekey', 'test_decoding')" >/dev/null
refuses "a slot of another plugin" 4 'slot "pgrekey" belongs to test_decoding'
slot_end
source_sql "SELECT pg_create_physical_replication_slot('pgrekey')" >/dev/null
refuses "a physical slot" 4 'slot "pgrekey" belongs to physical'
slot_end
source_sql "SELECT pg_create_logical_replication_slot('pgrekey', 'wal2json')" >/dev/null
refuses "a slot that was made anew" 4 'lies behind slot pgrekey'
equals "the position stands where it stood" "$record" "$(target_sql "SELECT lsn, state, paused FROM pgrekey.pipeline")"
for _ in 1 2 3 4 5 6; do
    source_sql "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 16000000)); SELECT pg_switch_wal()" >/dev/null
done
source_sql "CHECKPOINT"
equals "(the slot is lost)" lost "$(source_sql "SELECT wal_status FROM pg_replication_slots")"
refuses "a slot that is lost" 4 'pgrekey.*lost'
afresh
check "drop gets out of it" pgrekey run --until-caught-up

# --- the mapping

mapping office offices "legacy_id: id, title: name" 00000000-0000-4000-8000-000000000001
refuses "a changed namespace" 4 'other identities'
good_mapping
check "the old one goes on" pgrekey run --until-caught-up

# --- another source, an older target

cluster_psql "$T/source" other -c "CREATE TABLE office (id serial PRIMARY KEY, name text)"
refuses "another database of the source" 4 'belongs to another|other' --set "source.dsn=${source_dsn/dbname=legacy/dbname=other}"
cluster_psql "$T/target" postgres -c "CREATE DATABASE legacy"
cluster_psql "$T/target" legacy -c "CREATE TABLE office (id serial PRIMARY KEY, name text)"
refuses "another server behind the source's name" 4 'another source server' --set "source.dsn=$(cluster_conninfo "$T/target" legacy)"
equals "no slot is made there" 0 "$(target_sql "SELECT count(*) FROM pg_replication_slots")"

cluster_backup "$T/source" "$T/copy"
cluster_as touch "$T/copy/data/standby.signal"
cluster_start "$T/copy"
copy="source.dsn=$(cluster_conninfo "$T/copy" legacy)"
refuses "a standby as the source" 4 'gone|standby' --set "$copy"
cluster_as "$CLUSTER_BIN/pg_ctl" -D "$T/copy/data" -s -w promote
refuses "a source that was promoted" 4 'timeline' --set "$copy"
cluster_remove "$T/copy"

cluster_backup "$T/target" "$T/old"
cluster_as touch "$T/old/data/standby.signal"
cluster_start "$T/old"
old="target.dsn=$(cluster_conninfo "$T/old" app)"
refuses "a standby as the target" 2 'standby' --set "$old"
source_sql "INSERT INTO office (name) SELECT 'Late ' || i FROM generate_series(1, 10) i"
check "(the target goes on)" pgrekey run --until-caught-up
cluster_as "$CLUSTER_BIN/pg_ctl" -D "$T/old/data" -s -w promote
before=$(source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots")
refuses "a target restored to an older state" 4 'lies behind slot pgrekey.*restored' --set "$old"
equals "the slot stands where it stood" "$before" "$(source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots")"
cluster_remove "$T/old"
source_sql "UPDATE office SET name = name || '!'"
check "the newer target goes on" pgrekey run --until-caught-up
same_rows "and has all rows" "SELECT id, name FROM office" "SELECT legacy_id, title FROM offices"
test_end
