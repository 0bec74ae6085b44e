#!/usr/bin/env bash
# The source's schema drifts, and the mapping follows: a copied schema whose tables grow, an enum that learns a value, a
# column that goes for good.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE office (id serial PRIMARY KEY, name text, tax int, mood mood);
INSERT INTO office (name, tax, mood) SELECT 'Office ' || i, i, 'sad' FROM generate_series(1, 50) i;
CREATE SCHEMA old;
CREATE TABLE old.note (id serial PRIMARY KEY, body text);
INSERT INTO old.note (body) SELECT 'note ' || i FROM generate_series(1, 100) i;
SQL
target_script <<'SQL'
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, title text, tax int, mood mood, mood_text text);
CREATE SCHEMA kept;
CREATE TABLE kept.note (id int PRIMARY KEY, body text);
SQL
# mapping COLUMNS
mapping() {
    mapping_write <<YAML
rows: [{name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, title: name, mood: mood, mood_text: mood$1}}]
copy: {from: old, to: kept}
YAML
}
mapping ", tax: tax"
settings_write
sed -i 's/^source:/source:\n  catalog_interval: 1s/' "$T/pgrekey.yaml"
pgrekey init >/dev/null
engine_start
caught_up
notes() { same_rows "$1" "SELECT ${2:-id, body} FROM old.note" "SELECT ${2:-id, body} FROM kept.note"; }

# --- a copied table grows

source_sql "ALTER TABLE old.note ADD late int DEFAULT 7; INSERT INTO old.note (body, late) VALUES ('new', 8)"
caught_up
notes "a column that only the source has is left alone"
target_sql "ALTER TABLE kept.note ADD late int"
source_sql "INSERT INTO old.note (body, late) VALUES ('newer', 9)"
caught_up
notes "until the next start"
engine_stop
pgrekey_fails "check tells of it" 0 'rule .*note.* was changed: the rows that are there stay' check
engine_start
source_sql "INSERT INTO old.note (body, late) VALUES ('with it', 10)"
caught_up
equals "new rows have it" 10 "$(target_sql "SELECT late FROM kept.note WHERE body = 'with it'")"
check "a resync" pgrekey resync old.note
notes "brings the rest" "id, body, late"
accounts "the account holds" "$(target_sql "SELECT rule FROM pgrekey.counter WHERE rule <> 'offices'")" old.note
pgrekey_fails "nothing is due" 0 'streaming' status

# --- a table that joins the copied schema

source_sql "CREATE TABLE old.extra (id int PRIMARY KEY, body text); INSERT INTO old.extra SELECT i, 'x' FROM generate_series(1, 30) i"
target_sql "CREATE TABLE kept.extra (id int PRIMARY KEY, body text)"
engine_stop
engine_start
source_sql "INSERT INTO old.extra VALUES (99, 'y'); DELETE FROM old.extra WHERE id = 3"
caught_up
same_rows "a table that joins is copied" "SELECT id, body FROM old.extra" "SELECT id, body FROM kept.extra"

# --- an enum learns a value

source_sql "ALTER TYPE mood ADD VALUE 'mad'"
source_sql "UPDATE office SET mood = 'mad' WHERE id IN (1, 2)"
caught_up
equals "a value that the target does not know waits" "2 48" "$(target_sql "SELECT quarantined || ' ' || mapped FROM pgrekey.counter WHERE rule = 'offices'")"
target_sql "ALTER TYPE mood ADD VALUE 'mad'"
check "until it does" pgrekey quarantine retry --all
equals "then it comes" "mad mad" "$(target_sql "SELECT mood || ' ' || mood_text FROM offices WHERE legacy_id = 1")"

# --- a column goes for good, and the mapping does without

source_sql "ALTER TABLE office DROP COLUMN tax; INSERT INTO office (name, mood) VALUES ('without', 'glad')"
is_paused() { [ "$(target_sql "SELECT paused FROM pgrekey.pipeline")" = t ]; }
wait_for 20 "a pause" is_paused
equals "it is named" schema_mismatch "$(target_sql "SELECT pause_category FROM pgrekey.pipeline")"
engine_stop
mapping ""
engine_start
wait_for 20 "the engine to take requests" sh -c "! '$PGREKEY' --config '$T/pgrekey.yaml' status | grep -q 'not running'"
check "resume" pgrekey resume
caught_up
same_rows "it goes on without it" "SELECT id, name, mood::text FROM office" "SELECT legacy_id, title, mood::text FROM offices"
equals "what was there stays" 50 "$(target_sql "SELECT count(*) FROM offices WHERE tax = legacy_id")"
accounts "and so does the account" offices office
engine_stop
test_end
