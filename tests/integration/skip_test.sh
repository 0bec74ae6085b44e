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

# --- taken from the list again: what it missed is due

settings_write
pgrekey_fails "check says what it means" 0 'visit->visits was changed' check
engine_start
caught_up
pgrekey_fails "and so does status, with the way out" 6 'pgrekey resync public.visit' status
source_sql "UPDATE visit SET note = 'seen' WHERE id = 3"
caught_up
equals "new changes are mapped" "1 0 49" "$(counts 'visit->visits')"
accounts "and the account holds" "visit->visits" visit
engine_stop

test_end
