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
mapping "$OFFICE" "$VISIT" '{from: extra, to: extras, key: {id: {uuid: extra, of: id}}, columns: {legacy_id: id, note: note}}'
refuses "a new rule" 'rule extra->extras joined pipeline pgrekey after it was begun'

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
engine_stop
mapping "$OFFICE" "$VISIT"
begin
equals "back again, it is due" "office->offices changed, visit->visits changed" "$(steps)"

# --- drop

engine_stop
pgrekey drop --yes >/dev/null
equals "drop leaves nothing" "" "$(steps)"
test_end
