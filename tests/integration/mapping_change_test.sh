#!/usr/bin/env bash
# Months pass, and the mapping changes: what goes on and what is due then, what is refused, what is forgotten.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text, city text);
CREATE TABLE visit (id serial PRIMARY KEY, note text);
CREATE TABLE extra (id serial PRIMARY KEY, note text);
INSERT INTO office (name, city) SELECT 'Office ' || i, 'City ' || i FROM generate_series(1, 20) i;
INSERT INTO visit (note) SELECT CASE i % 10 WHEN 0 THEN 'not JSON' ELSE '{}' END FROM generate_series(1, 50) i;
INSERT INTO extra (note) VALUES ('x');
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, city text);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id int UNIQUE, note jsonb);
CREATE TABLE extras (id uuid PRIMARY KEY, legacy_id int UNIQUE, note text);
SQL
OFFICE='{from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}'
VISIT='{from: visit, to: visits, key: {id: {uuid: visit, of: id}}, columns: {legacy_id: id, note: note}}'
# mapping RULE…
mapping() {
    {
        echo rows:
        printf '  - %s\n' "$@"
    } | mapping_write
}
mapping "$OFFICE" "$VISIT"
settings_write
pgrekey init >/dev/null

begin() {
    : >"$T/engine.log"
    engine_start
    caught_up
}
steps() { target_sql "SELECT string_agg(step || ' ' || state, ', ' ORDER BY step) FROM pgrekey.mapping_step"; }
office() { target_sql "SELECT concat_ws(' ', name, city) FROM offices WHERE legacy_id = $1"; }
# refuses NAME PATTERN: a run is refused, and so says check; nothing moves.
refuses() {
    local before
    before=$(target_sql "SELECT p.*, m.* FROM pgrekey.pipeline p JOIN pgrekey.mapping_step m ON true ORDER BY m.step")
    pgrekey_fails "$1" 4 "$2" run --until-caught-up
    pgrekey_fails "$1: check says so too" 6 "$2" check
    equals "$1: nothing moved" "$before" "$(target_sql "SELECT p.*, m.* FROM pgrekey.pipeline p JOIN pgrekey.mapping_step m ON true ORDER BY m.step")"
}

begin
engine_stop
equals "each step is on record" "office->offices current, visit->visits current" "$(steps)"
mapping "${VISIT/note: note/note: note }" "$OFFICE"
begin
engine_stop
equals "another order or spelling is no change" "office->offices current, visit->visits current" "$(steps)"

# --- what is refused

sed -i 's/^namespace: 6/namespace: 7/' "$T/mapping.yaml"
refuses "another namespace" "the mapping's namespace is not the one"
mapping "${OFFICE/uuid: office/uuid: bureau}" "$VISIT"
refuses "another entity" 'rule office->offices has not the tables, entities or key that pipeline pgrekey was begun with'

# --- what goes on

mapping "${OFFICE/name: name/name: {from: name, apply: [upper]\}, city: city}" "$VISIT"
pgrekey_fails "check warns of a changed rule" 0 'rule office->offices was changed' check
source_sql "UPDATE office SET name = 'later' WHERE id = 1"
begin
equals "new changes go by the new rule" "LATER City 1" "$(office 1)"
equals "rows of before stay as they are" "Office 2" "$(office 2)"
equals "what is due is on record" "office->offices changed, visit->visits current" "$(steps)"
check "the log names it" grep -q 'event=resync_due .*step="office->offices" kind=rule table=public.office' "$T/engine.log"
pgrekey_fails "so does status, with the way out" 6 'office->offices was changed' status
pgrekey_fails "the way out" 6 'pgrekey resync public.office' status
accounts "the account holds" "office->offices" office
equals "the audit knows" 1 "$(target_sql "SELECT count(*) FROM pgrekey.audit WHERE action = 'mapping' AND rule = 'office->offices' AND detail = 'changed'")"
engine_stop
begin
check "after a restart it is due still" grep -q 'event=resync_due .*step="office->offices"' "$T/engine.log"
equals "and on record" "office->offices changed, visit->visits current" "$(steps)"

# --- quarantine: retried by the mended mapping

equals "rows that the old mapping refused" 5 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE rule = 'visit->visits' AND status <> 'resolved'")"
engine_stop
mapping "$OFFICE" "${VISIT/note: note/note: {from: note, apply: [json], on_error: keep_raw\}}"
begin
check "retry" pgrekey quarantine retry --all
equals "the mended mapping takes them" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
equals "as it says" '{"raw": "not JSON"}' "$(target_sql "SELECT note FROM visits WHERE legacy_id = 10")"
accounts "the account holds after it" "visit->visits" visit

# --- a rule that goes, and comes back

engine_stop
source_sql "UPDATE visit SET note = 'null' WHERE id = 10"
mapping "$OFFICE"
pgrekey_fails "check tells of a removed rule" 0 'rule visit->visits is not in the mapping any more' check
begin
equals "a removed rule is on record as such" "office->offices changed, visit->visits removed" "$(steps)"
check "the log says so" grep -q 'event=step_removed .*step="visit->visits"' "$T/engine.log"
equals "its rows stay" 50 "$(target_sql "SELECT count(*) FROM visits")"
source_sql "DELETE FROM visit WHERE id = 1; INSERT INTO office (name) VALUES ('another')"
caught_up
equals "and nothing happens to them" 50 "$(target_sql "SELECT count(*) FROM visits")"
pgrekey status >"$T/status" || true
check "it is no part of the account" sh -c "! grep -q 'visit->visits' '$T/status'"
pgrekey status --json >"$T/status" || true
equals "but for machines" removed "$(python3 -c "import json; print([r['state'] for r in json.load(open('$T/status'))['rules'] if r['rule'] == 'visit->visits'][0])")"
check "the resync of a changed rule" pgrekey resync office
equals "writes all rows by it" "later City 1" "$(office 1)"
equals "and it is due no more" "office->offices current, visit->visits removed" "$(steps)"
accounts "the account holds after the resync" "office->offices" office
engine_stop
# Meanwhile its rows have missed much; one is somebody else's business in a column that the mapping does not name.
source_sql "INSERT INTO visit (id, note) VALUES (100, '{\"new\": 1}'), (101, 'not JSON'); UPDATE visit SET note = '[7]' WHERE id = 7; DELETE FROM visit WHERE id = 8;
    UPDATE visit SET id = 99 WHERE id = 9"
target_sql "ALTER TABLE visits ADD seen text; UPDATE visits SET seen = 'by the application'"
mapping "$OFFICE" "$VISIT"
pgrekey_fails "check tells of a rule that is back" 0 'rule visit->visits is in the mapping again: its table is read again' check
begin
joined
visits() {
    same_rows "$1" "SELECT id, note FROM visit WHERE note <> 'not JSON'" "SELECT legacy_id, note FROM visits WHERE legacy_id NOT IN (SELECT (key::json ->> 0)::int FROM pgrekey.quarantine WHERE rule = 'visit->visits' AND status <> 'resolved')"
    accounts "$1: the account" "visit->visits" visit
    equals "$1: those that cannot be mapped" "$(source_sql "SELECT count(*) FROM visit WHERE note = 'not JSON'")" "$(target_sql "SELECT quarantined FROM pgrekey.counter WHERE rule = 'visit->visits'")"
}
visits "a rule that is back has all rows"
equals "what others own stays" "47" "$(target_sql "SELECT count(*) FROM visits WHERE seen IS NOT NULL")"
check "the log tells" grep -q 'event=step_back .*step="visit->visits"' "$T/engine.log"
source_sql "DELETE FROM visit WHERE id = 20; UPDATE visit SET note = '{}' WHERE id IN (30, 101); INSERT INTO visit (id, note) VALUES (8, '8')"
caught_up
visits "and goes on"
engine_stop
target_sql "TRUNCATE visits"
VISIT=${VISIT/from: visit/name: visits, from: visit}
VISIT=${VISIT/note: note/note: {from: note, apply: [json], on_error: keep_raw\}}
mapping "$OFFICE" "$VISIT"
begin
joined
same_rows "under another name it is copied anew" "SELECT id FROM visit" "SELECT legacy_id FROM visits"
accounts "with an account" visits visit

# --- a rule that joins: its table is copied, and joined to the stream

engine_stop
EXTRA='{from: extra, to: extras, key: {id: {uuid: extra, of: id}}, columns: {legacy_id: id, note: note}}'
mapping "$OFFICE" "$VISIT" "$EXTRA"
target_sql "INSERT INTO extras VALUES (gen_random_uuid(), 0, 'a row of somebody else')"
refuses "a new rule whose table holds rows" 'rule extra->extras joins pipeline pgrekey, but target table public.extras is not empty'
target_sql "TRUNCATE extras"
source_sql "INSERT INTO extra (note) SELECT 'row ' || i FROM generate_series(1, 5000) i; DELETE FROM extra WHERE id = 7;
    UPDATE extra SET note = 'early' WHERE id = 9"
settings_write "snapshot:" "  range_rows: 1000"
source_sql "ANALYZE extra"
pgrekey_fails "check tells of a new rule" 0 'rule extra->extras is new: its table is copied' check
source_script >"$T/load.out" <<'SQL' &
SELECT pg_sleep(0.02) FROM generate_series(1, 20);
UPDATE extra SET note = note || ' later' WHERE id % 3 = 0;
DELETE FROM extra WHERE id % 10 = 5;
INSERT INTO extra (note) SELECT 'late ' || i FROM generate_series(1, 500) i;
UPDATE extra SET id = id + 100000 WHERE id % 10 = 6;
SQL
writer=$!
begin
wait "$writer"
joined
extra() { same_rows "$1" "SELECT id, note FROM extra" "SELECT legacy_id, note FROM extras"; }
extra "a new rule has all rows"
accounts "and its account" "extra->extras" extra
check "the log tells" grep -q 'event=step_new .*step="extra->extras"' "$T/engine.log"
equals "then it is like the others" current "$(target_sql "SELECT state FROM pgrekey.mapping_step WHERE step = 'extra->extras'")"
engine_stop

mapping "$OFFICE" "$VISIT" "${EXTRA/from: extra/name: renamed, from: extra}"
refuses "a rule with another name is another rule" 'rule renamed joins pipeline pgrekey, but target table public.extras is not empty'
mapping "$OFFICE" "$VISIT" "$EXTRA"

# --- and is cut off while it does

source_script <<'SQL'
CREATE TABLE more (id serial PRIMARY KEY, note text, extra_id int);
INSERT INTO more (note, extra_id) SELECT 'row ' || i, 1 + i % 3000 FROM generate_series(1, 20000) i;
ANALYZE more;
SQL
target_sql "CREATE TABLE mores (id uuid PRIMARY KEY, legacy_id int UNIQUE, note text, extra_id uuid REFERENCES extras)"
MORE='{from: more, to: mores, key: {id: {uuid: more, of: id}}, columns: {legacy_id: id, note: note, extra_id: {uuid: extra, of: extra_id, required: false}}}'
mapping "$OFFICE" "$VISIT" "$EXTRA" "$MORE" '{from: extra, name: copy of extra, to: extras_too, key: {id: id}, columns: {note: note}}'
target_sql "CREATE TABLE extras_too (id int PRIMARY KEY, note text)"
: >"$T/engine.log"
for _ in $(seq 1 12); do
    engine_start
    nap_ms "$(random_between 100 900)"
    engine_is_alive || break
    engine_kill
    source_sql "UPDATE more SET note = note || '+' WHERE id % 100 = $((RANDOM % 100)); DELETE FROM more WHERE id = $RANDOM;
        INSERT INTO more (note, extra_id) VALUES ('between', 3); UPDATE extra SET note = note || '+' WHERE id % 50 = $((RANDOM % 50));
        UPDATE more SET id = id + 1000000 WHERE id = $RANDOM"
done
settings_write
begin
joined
same_rows "two that join at once, killed, have all rows" "SELECT id, note FROM more" "SELECT legacy_id, note FROM mores"
same_rows "and all references" "SELECT m.id, e.id FROM more m JOIN extra e ON e.id = m.extra_id" "SELECT m.legacy_id, e.legacy_id FROM mores m JOIN extras e ON e.id = m.extra_id"
same_rows "a second rule of a table too" "SELECT id, note FROM extra" "SELECT id, note FROM extras_too"
extra "and the first one has lost nothing"
accounts "the account holds" "more->mores" more
accounts "of each" "copy of extra" extra
engine_stop

# --- a rule that joins and goes again before it was copied; a mended one

source_sql "CREATE TABLE brief (id serial PRIMARY KEY, n text); INSERT INTO brief (n) SELECT 'x' || i FROM generate_series(1, 200) i"
target_sql "CREATE TABLE briefs (id int PRIMARY KEY, n int)"
BRIEF='{name: brief, from: brief, to: briefs, key: {id: id}, columns: {n: {from: n, type: int}}}'
mapping "$OFFICE" "$VISIT" "$EXTRA" "$MORE" "$BRIEF"
settings_write "breaker:" "  window: 100"
pgrekey_fails "the breaker stops a copy that fails" 5 'rule brief' run --until-caught-up
equals "nothing is there" 0 "$(target_sql "SELECT count(*) FROM briefs")"
equals "it is new still" new "$(target_sql "SELECT state FROM pgrekey.mapping_step WHERE step = 'brief'")"
# What paused it is gone with the rule, and says so by hand.
goes_on() {
    engine_start
    wait_for 20 "an engine that can be asked" pgrekey resume
    joined
    engine_stop
}
mapping "$OFFICE" "$VISIT" "$EXTRA" "$MORE"
goes_on
equals "without it the others go on, as if it had never been" "" "$(target_sql "SELECT state FROM pgrekey.mapping_step WHERE step = 'brief'")"
mapping "$OFFICE" "$VISIT" "$EXTRA" "$MORE" "$BRIEF"
pgrekey run --until-caught-up >/dev/null 2>&1 || true
mapping "$OFFICE" "$VISIT" "$EXTRA" "$MORE" "${BRIEF/n: {from: n, type: int\}/n: id}"
goes_on
equals "mended, it comes with all rows" "200 current" "$(target_sql "SELECT (SELECT count(*) FROM briefs) || ' ' || state FROM pgrekey.mapping_step WHERE step = 'brief'")"

# --- a source table that was renamed

source_sql "ALTER TABLE extra RENAME TO extra_now; DELETE FROM extra_now WHERE id % 20 = 1; UPDATE extra_now SET note = 'under another name' WHERE id % 30 = 2; INSERT INTO extra_now (note) VALUES ('new')"
target_sql "ALTER TABLE extras ADD seen text; UPDATE extras SET seen = 'by the application'"
EXTRA=${EXTRA/from: extra,/name: \"extra->extras\", from: extra_now,}
mapping "$OFFICE" "$VISIT" "$EXTRA" "$MORE"
pgrekey_fails "check tells of it" 0 'rule extra->extras is in the mapping again: its table is read again' check
begin
joined
same_rows "its rule follows it under its name" "SELECT id, note FROM extra_now" "SELECT legacy_id, note FROM extras"
accounts "with its account" "extra->extras" extra_now
equals "over the rows that are there" 1 "$(target_sql "SELECT count(*) FROM extras WHERE seen IS NULL")"
source_sql "UPDATE extra_now SET note = 'and goes on' WHERE id % 40 = 2"
caught_up
same_rows "and goes on" "SELECT id, note FROM extra_now" "SELECT legacy_id, note FROM extras"
engine_stop

# --- drop

pgrekey drop --yes >/dev/null
equals "drop leaves nothing" "" "$(steps)"

# --- in the midst of the first snapshot

target_sql "TRUNCATE offices, visits, extras, mores, briefs"
mapping "$OFFICE" "$MORE" "$EXTRA"
target_sql "BEGIN; LOCK TABLE mores IN SHARE MODE; SELECT pg_sleep(30)" >"$T/lock.out" 2>&1 &
locker=$!
engine_start
is_planned() { [ "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE NOT done AND rules = '{more->mores}'")" -gt 0 ]; }
wait_for 20 "the plan" is_planned
engine_kill
target_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'" >/dev/null
wait "$locker" || true
mapping "$OFFICE" "$MORE" "${EXTRA/note: note/note: {const: x\}}"
refuses "a change while the first snapshot is under way" 'the mapping is not the one that pipeline pgrekey takes its snapshot with'
mapping "$MORE" "$EXTRA" "$OFFICE"
check "with the old one it is resumed" pgrekey run --until-caught-up
same_rows "and has all rows" "SELECT id, note FROM more" "SELECT legacy_id, note FROM mores"
test_end
