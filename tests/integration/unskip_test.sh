#!/usr/bin/env bash
# Un-skipped: what `skip` left out is read again by itself, once the setting no longer names it.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text);
CREATE TABLE visit (id serial PRIMARY KEY, office_id int, note text);
INSERT INTO office (name) SELECT 'Office ' || i FROM generate_series(1, 20) i;
INSERT INTO visit (office_id, note) SELECT 1 + i % 20, 'note ' || i FROM generate_series(1, 50) i;
SQL
source_uuid_ossp
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int, name text);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id int, office_id uuid, note text);
SQL
mapping_write <<'YAML'
rows:
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}
  - {from: visit, to: visits, key: {id: {uuid: visit, of: id}}, columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: false}, note: note}}
YAML
settings_write "skip: [visit]"
pgrekey init >/dev/null

# counts RULE: mapped, quarantined and excluded of it.
counts() { target_sql "SELECT concat_ws(' ', mapped, quarantined, excluded) FROM pgrekey.counter WHERE rule = '$1'"; }

engine_start
caught_up
equals "what is skipped is excluded" "0 0 50" "$(counts 'visit->visits')"
engine_stop
source_sql "INSERT INTO visit (office_id, note) SELECT 1 + i % 20, 'later ' || i FROM generate_series(1, 3000) i; DELETE FROM visit WHERE id = 3"
settings_write "batch: {max_rows: 100}"
engine_start
source_sql "UPDATE visit SET note = 'while it goes on' WHERE id IN (4, 40, 1500); INSERT INTO visit (office_id, note) VALUES (2, 'new as well')"
visits_are_there() { [ "$(target_sql "SELECT count(*) FROM pgrekey.resync WHERE status = 'done' AND reason = 'skipped no more'")" = 1 ]; }
check "it is read again without being asked for" wait_for 90 "the end of it" visits_are_there
source_sql "DELETE FROM visit WHERE id = 5; UPDATE visit SET note = 'after it' WHERE id = 6"
caught_up
compare_visits() {
    same_rows "$1: visits" "SELECT id, $(uuid_sql visit id), $(uuid_sql office office_id), note FROM visit" "SELECT legacy_id, id, office_id, note FROM visits"
    accounts "$1: the account holds" "visit->visits" visit
    equals "$1: all are mapped" "$(source_sql "SELECT count(*) FROM visit") 0 0" "$(counts 'visit->visits')"
}
compare_visits "un-skipped"
check "nothing is due any more" test -z "$(target_sql "SELECT 1 FROM pgrekey.mapping_step WHERE state <> 'current'")"

# --- skipped in the midst, and back again after changes that were left out, over kills

engine_stop
settings_write "batch: {max_rows: 100}" "skip: [visit]"
engine_start
source_sql "UPDATE visit SET note = 'unseen' WHERE id % 7 = 0; DELETE FROM visit WHERE id % 11 = 0; INSERT INTO visit (office_id, note) VALUES (3, 'unseen')"
caught_up
accounts "skipped in the midst: the account holds" "visit->visits" visit
engine_stop
settings_write "batch: {max_rows: 100}"
engine_start
kill_loop 3 50 400
visits_are_there() { [ "$(target_sql "SELECT count(*) FROM pgrekey.resync WHERE status = 'done' AND reason = 'skipped no more'")" = 2 ]; }
check "read again over kills" wait_for 90 "the end of it" visits_are_there
caught_up
compare_visits "over kills"

# --- a run that ends by itself does it too

engine_stop
settings_write "skip: [visit]"
pgrekey run --until-caught-up >/dev/null 2>&1
source_sql "UPDATE visit SET note = 'once more' WHERE id % 5 = 0"
pgrekey run --until-caught-up >/dev/null 2>&1
settings_write
pgrekey run --until-caught-up >/dev/null 2>&1
compare_visits "by runs that end"
test_end

