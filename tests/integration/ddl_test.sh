#!/usr/bin/env bash
# The source's tables change under the engine: a new column goes by, what the mapping reads and loses pauses in place
# with schema_mismatch; the position is held, `resume` goes on, and no row is lost or becomes NULL.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text, tax int, unused text);
CREATE TABLE visit (id serial PRIMARY KEY, note text, day int, scrap text);
ALTER TABLE visit ALTER note SET STORAGE EXTERNAL;
CREATE TABLE bystander (id serial PRIMARY KEY, x int);
INSERT INTO office (name, tax) SELECT 'Office ' || i, i FROM generate_series(1, 50) i;
INSERT INTO visit (note, scrap) SELECT 'Visit ' || i, 'scrap' FROM generate_series(1, 50) i;
INSERT INTO visit (note) VALUES (repeat('out of line ', 1000));
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int, title text, tax int);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id int, note text, day int, size text);
SQL
mapping_write <<'YAML'
rows:
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, title: name, tax: tax}}
  - {from: visit, to: visits, key: {id: {uuid: visit, of: id}}, columns: {legacy_id: id, note: note, day: day, size: {expr: "length(note)"}}}
YAML
settings_write
sed -i 's/status_interval/catalog_interval: 1s\n  status_interval/' "$T/pgrekey.yaml"
pgrekey init >/dev/null

is_paused() { [ "$(target_sql "SELECT pause_category FROM pgrekey.pipeline WHERE paused")" = schema_mismatch ]; }
compare() {
    same_rows "$1: offices" "SELECT $(uuid_sql office id), id, name, tax FROM office" "SELECT id, legacy_id, title, tax FROM offices"
    same_rows "$1: visits" "SELECT $(uuid_sql visit id), id, md5(note), day, length(note) FROM visit" "SELECT id, legacy_id, md5(note), day, size FROM visits"
    accounts "$1: every office is accounted for" "office->offices" office
}
# pauses NAME PATTERN: the engine stands, alive, and says why; nothing moves, on either side.
pauses() {
    local position slot
    wait_for 20 "$1: a pause" is_paused
    check "$1: the engine lives" engine_is_alive
    pgrekey_fails "$1: status says so" 5 "$2" status
    check "$1: it says so in the log" grep -qE "event=paused .*category=schema_mismatch.*$2" "$T/engine.log"
    position=$(target_sql "SELECT lsn FROM pgrekey.pipeline")
    source_sql "INSERT INTO visit (note) VALUES ('meanwhile')"
    sleep 0.6
    equals "$1: the position is held" "$position" "$(target_sql "SELECT lsn FROM pgrekey.pipeline")"
    slot=$(source_sql "SELECT confirmed_flush_lsn <= '$position' FROM pg_replication_slots")
    equals "$1: and so is the slot" t "$slot"
    equals "$1: no value became NULL" 0 "$(target_sql "SELECT count(*) FROM offices WHERE title IS NULL OR tax IS NULL")"
}
resumes() {
    : >"$T/engine.log"
    check "$1: resume" pgrekey resume
    caught_up
    equals "$1: nothing stands in quarantine" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
    compare "$1, after resume"
}

engine_start
caught_up
compare "snapshot"

# --- what does not matter

source_script <<'SQL'
ALTER TABLE office ADD COLUMN added text DEFAULT 'new';
INSERT INTO office (name, tax, added) VALUES ('with the new column', 51, 'x');
ALTER TABLE office DROP COLUMN unused;
UPDATE office SET tax = tax + 1 WHERE id % 2 = 0;
ALTER TABLE bystander RENAME TO onlooker;
ALTER TABLE onlooker ALTER x TYPE text;
DROP TABLE onlooker;
CREATE TABLE newcomer (id serial PRIMARY KEY);
INSERT INTO newcomer DEFAULT VALUES;
ALTER TABLE visit DROP COLUMN scrap;
UPDATE visit SET day = 1 WHERE length(note) > 5000; -- its note is not in the stream, and is read by key
ALTER TABLE visit ADD COLUMN big text;
ALTER TABLE visit ALTER big SET STORAGE EXTERNAL;
INSERT INTO visit (note, big) VALUES ('big', repeat('x', 10000));
UPDATE visit SET note = 'still big' WHERE note = 'big';
CREATE INDEX ON office (name);
VACUUM FULL visit;
SQL
sleep 1.5
caught_up
compare "columns added, unused ones dropped, other tables changed"
check "no pause for it" sh -c "! grep -q event=paused '$T/engine.log'"

# --- what does

source_sql "ALTER TABLE office DROP COLUMN tax"
pauses "a used column dropped" 'column tax of source table public.office was dropped or renamed'
source_sql "ALTER TABLE office ADD COLUMN tax int"
source_sql "UPDATE office SET tax = id"
resumes "a used column dropped and put back"

source_sql "ALTER TABLE office RENAME COLUMN name TO title; INSERT INTO office (title, tax) VALUES ('renamed', 1)"
pauses "a used column renamed" 'column name of source table public.office was dropped or renamed'
source_sql "ALTER TABLE office RENAME COLUMN title TO name"
: >"$T/engine.log"
check "a used column renamed back: resume" pgrekey resume
# The row that was written meanwhile stands in the WAL under the other name, for ever: it cannot be mapped.
engine_settled() { is_paused || position_has_reached "$settled"; }
settled=$(source_sql "SELECT pg_logical_emit_message(true, 'pgrekey-test', '')")
wait_for 30 "the engine to go on or to pause again" engine_settled
equals "a row of the time between never becomes NULL" 0 "$(target_sql "SELECT count(*) FROM offices WHERE title IS NULL")"
if is_paused; then
    ok "a row of the time between pauses again"
    check "drop is the way out" sh -c "kill $ENGINE_PID; wait; '$PGREKEY' -c '$T/pgrekey.yaml' drop --yes"
    engine_wait
    target_sql "TRUNCATE offices, visits"
    engine_start
fi
caught_up
compare "after the column was renamed back"

source_sql "ALTER TABLE office ALTER tax TYPE text"
pauses "a used column retyped" 'column tax of source table public.office changed its type from integer to text'
source_sql "ALTER TABLE office ALTER tax TYPE int USING tax::int"
resumes "a used column retyped and typed back"

source_sql "ALTER TABLE visit RENAME TO visits_old"
wait_for 20 "a pause for a renamed table" is_paused
check "a renamed table: the engine lives" engine_is_alive
pgrekey_fails "a renamed table: status says so" 5 'source table public.visit was dropped or renamed' status
source_sql "ALTER TABLE visits_old RENAME TO visit"
resumes "a table renamed and renamed back"

source_sql "ALTER TABLE visit DROP CONSTRAINT visit_pkey"
pauses "a lost replica identity" 'replica identity of source table public.visit changed'
source_sql "ALTER TABLE visit ADD PRIMARY KEY (id)"
resumes "a replica identity lost and made again"

# --- a mapping that never fits again

source_sql "ALTER TABLE office DROP COLUMN tax"
wait_for 20 "a pause" is_paused
engine_stop
equals "SIGTERM ends a paused engine" 0 "$ENGINE_CODE"
pgrekey_fails "a one-shot run does not begin" '2' 'tax' run --until-caught-up
check "and the position stands" test "$(target_sql "SELECT paused AND state = 'streaming' FROM pgrekey.pipeline")" = t
test_end
