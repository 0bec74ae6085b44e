#!/usr/bin/env bash
# The guard over the source's WAL, in a first snapshot and beside a stream: told to, it gives up slot and snapshot, and
# nothing is left of them; else a first snapshot goes on, for its end frees the WAL, and tables that are to be read again
# wait until there is room.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL);
INSERT INTO note (text) SELECT 'note ' || i FROM generate_series(1, 3000) i;
CREATE TABLE other (text text);
SQL
target_script <<'SQL'
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, text text NOT NULL);
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION slow();
SQL
mapping_write <<'YAML'
rows:
  - {from: note, to: notes, key: {id: {uuid: note, of: id}}, columns: {legacy_id: id, text: text}}
YAML
settings_write "guard:" "  wal_budget: 16MB"
sed -i 's/^source:/batch: {max_rows: 100}\nsource:\n  heartbeat_interval: 500ms/' "$T/pgrekey.yaml"
logged() { grep -qE "$1" "$T/engine.log"; }
slots() { source_sql "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pgrekey'"; }
much_wal() { source_sql "INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, $1)" >/dev/null; }
loading() { [ "$(target_sql "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgrekey%' AND query ~ 'COPY'")" -gt 0 ]; }

# --- told to, it gives up the slot in the midst of a snapshot
pgrekey init >/dev/null
engine_start --set guard.action=drop_slot
wait_for 20 "the snapshot" loading
much_wal 16000
engine_wait
equals "a first snapshot whose slot the guard has given up ends as refused" 4 "$ENGINE_CODE"
check "and says why" logged "the guard has given up replication slot pgrekey in the midst of the snapshot"
equals "neither slot nor rows nor a position are left" "0 0 0" "$(slots) $(target_sql "SELECT (SELECT count(*) FROM notes) || ' ' || (SELECT count(*) FROM pgrekey.pipeline)")"

# --- else it goes on
: >"$T/engine.log"
engine_start
wait_for 20 "the snapshot" loading
much_wal 16000
wait_for 20 "the guard to see it full" logged "event=guard .*level=full"
check "a first snapshot goes on" test "$(slots)" = 1
caught_up
same_rows "and ends" "SELECT id, text FROM note" "SELECT legacy_id, text FROM notes"
wait_for 30 "the WAL to be freed" logged "event=guard .*level=calm"
ok "which frees the WAL"

# --- beside a stream: what is to be read again waits. An open transaction keeps the slot where it is.
target_sql "DROP TRIGGER slow ON notes"
cluster_psql "$T/source" legacy -c "BEGIN; INSERT INTO other VALUES ('x'); SELECT pg_sleep(60)" >/dev/null 2>&1 &
LOAD_PID=$!
sleep 0.3
cluster_psql "$T/source" postgres -c CHECKPOINT
: >"$T/engine.log"
much_wal 15000
wait_for 20 "the guard to act" logged "event=guard .*level=(act|full)"
target_sql "UPDATE notes SET text = 'spoiled' WHERE legacy_id = 7"
pgrekey resync note --wait 0s >/dev/null 2>&1 || true # it is not done yet
waits() { [ "$(target_sql "SELECT count(*) FROM pgrekey.resync WHERE result LIKE 'waits: the WAL%'")" = 1 ]; }
wait_for 10 "the request to be there" waits
sleep 2
equals "nothing is read again while the guard acts" spoiled "$(target_sql "SELECT text FROM notes WHERE legacy_id = 7")"
source_sql "UPDATE note SET text = 'newer' WHERE id = 8"
caught_up
equals "the stream goes on meanwhile" newer "$(target_sql "SELECT text FROM notes WHERE legacy_id = 8")"
check "and the slot stays" test "$(slots)" = 1
source_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()" >/dev/null
wait "$LOAD_PID" || true
LOAD_PID=
room() {
    cluster_psql "$T/source" postgres -c CHECKPOINT
    source_sql "INSERT INTO note (text) VALUES ('more')"
    sleep 0.3
    logged "event=guard .*level=(calm|warn)"
}
wait_for 30 "room" room
mended() { [ "$(target_sql "SELECT text FROM notes WHERE legacy_id = 7")" = "note 7" ]; }
wait_for 20 "the table to be read again" mended
ok "with room again it is read"
engine_stop
test_end
