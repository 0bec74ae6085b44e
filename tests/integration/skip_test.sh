#!/usr/bin/env bash
# `skip`: an entity or a rule is left out by a setting. Its rows count as excluded, in snapshot and stream.
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

pgrekey_fails "a word that names nothing is answered" 6 'the setting skip names "visits"' check --set skip=visits
pgrekey_fails "and so is it by run" 2 'did you mean "visit"' run --set skip=visits
pgrekey map test --json --limit 50 >"$T/out"
equals "map test knows of it" 50 "$(grep -o '"outcome":"excluded"' "$T/out" | wc -l)"

engine_start
caught_up
equals "what is skipped is excluded" "0 0 50" "$(counts 'visit->visits')"
equals "and is not on the target" 0 "$(target_sql "SELECT count(*) FROM visits")"
equals "the others are there" "20 0 0" "$(counts 'office->offices')"
source_sql "INSERT INTO visit (office_id, note) VALUES (1, 'new'); UPDATE visit SET note = 'changed' WHERE id = 1;
    DELETE FROM visit WHERE id = 2; INSERT INTO office (name) VALUES ('new')"
caught_up
equals "so it goes in the stream" "0 0 50" "$(counts 'visit->visits')"
accounts "the account holds" "visit->visits" visit
equals "nothing came" 0 "$(target_sql "SELECT count(*) FROM visits")"
engine_stop

# --- taken from the list again: what it missed is read again

settings_write
pgrekey_fails "check says what it means" 0 'visit->visits was changed' check
engine_start
source_sql "UPDATE visit SET note = 'seen' WHERE id = 3"
is_read_again() { [ "$(target_sql "SELECT status FROM pgrekey.resync WHERE reason = 'skipped no more'")" = "done" ]; }
wait_for 60 "the table to be read again" is_read_again
caught_up
equals "what was left out is mapped" "50 0 0" "$(counts 'visit->visits')"
accounts "and the account holds" "visit->visits" visit
same_rows "with all its rows" "SELECT id, office_id, note FROM visit" "SELECT v.legacy_id, o.legacy_id, v.note FROM visits v JOIN offices o ON o.id = v.office_id"
check "nothing is due" pgrekey status
engine_stop

# --- a loss that is accepted, and one that is not

target_sql "CREATE TABLE notes (id int PRIMARY KEY, n int)"
source_sql "CREATE TABLE note (id serial PRIMARY KEY, t text);
    INSERT INTO note (t) SELECT CASE WHEN i <= 2 THEN 'no number' ELSE i::text END FROM generate_series(1, 100) i"
pgrekey drop --yes >/dev/null
target_sql "TRUNCATE offices, visits"
loss_mapping() { mapping_write <<<"rows: [{name: notes, from: note, to: notes, key: {id: id}, accept_loss: $1, columns: {n: {from: t, type: int}}}]"; }
loss_mapping 2
pgrekey init >/dev/null
engine_start
caught_up
equals "some rows are lost" "98 2 0" "$(counts notes)"
check "as many as are accepted need nobody" pgrekey status
source_sql "INSERT INTO note (t) VALUES ('no number')"
caught_up
pgrekey_fails "one more does" 6 'notes has 3 rows in quarantine, and the mapping accepts 2' status
loss_is_told() { grep -q 'event=loss_exceeded slot=pgrekey step="notes" quarantined=3 accepted=2' "$T/engine.log"; }
wait_for 20 "the log to tell of it" loss_is_told
sleep 6
equals "once" 1 "$(grep -c 'event=loss_exceeded' "$T/engine.log")"
engine_stop
loss_mapping 5%
engine_start
caught_up
check "a share of the rows" pgrekey status
equals "is no change of the rule" current "$(target_sql "SELECT state FROM pgrekey.mapping_step WHERE step = 'notes'")"
engine_stop
test_end
