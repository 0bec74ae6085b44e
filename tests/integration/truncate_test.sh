#!/usr/bin/env bash
# TRUNCATE on the source: pauses unless the rule says `truncate: rows`; then the rule's own rows go, others stay.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, office_id int NOT NULL REFERENCES office, name text NOT NULL, size text NOT NULL DEFAULT '1');
CREATE TABLE note (id int PRIMARY KEY, text text);
CREATE TABLE kept (id int PRIMARY KEY, name text);
CREATE TABLE plain (id int PRIMARY KEY, name text);
CREATE TABLE careful (id int PRIMARY KEY, name text);
INSERT INTO office SELECT i, 'Office ' || i FROM generate_series(1, 10) i;
INSERT INTO person SELECT i, 1 + i % 10, 'Person ' || i, CASE WHEN i % 20 = 0 THEN 'big' ELSE '1' END FROM generate_series(1, 200) i;
INSERT INTO note SELECT i, 'note ' || i FROM generate_series(1, 20) i;
INSERT INTO kept SELECT i, 'kept ' || i FROM generate_series(1, 20) i;
INSERT INTO plain SELECT i, 'plain ' || i FROM generate_series(1, 20) i;
INSERT INTO careful SELECT i, 'careful ' || i FROM generate_series(1, 20) i;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, name text NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int, office_id uuid NOT NULL REFERENCES offices, name text NOT NULL, size int NOT NULL);
CREATE TABLE adults (id uuid PRIMARY KEY, legacy_id int, name text NOT NULL);
CREATE TABLE notes (id uuid PRIMARY KEY, text text);
CREATE TABLE kept (id uuid PRIMARY KEY, legacy_id int, name text);
CREATE TABLE marked (id uuid PRIMARY KEY, legacy_id int, name text, gone boolean NOT NULL);
CREATE TABLE plain (id int PRIMARY KEY, name text);
CREATE TABLE careful (id int PRIMARY KEY, name text);
SQL
mapping_write <<'YAML'
rows:
  - {name: office, from: office, to: offices, truncate: rows, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}
  - {name: person, from: person, to: people, truncate: rows, key: {id: {uuid: person, of: id}},
     columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: true}, name: name, size: {from: size, type: int}}}
  - {name: adult, from: person, to: adults, truncate: rows, when: id > 100, key: {id: {uuid: adult, of: id}}, columns: {legacy_id: id, name: name}}
  - {name: kept, from: kept, to: kept, truncate: rows, delete: keep, key: {id: {uuid: kept, of: id}}, columns: {legacy_id: id, name: name}}
  - {name: marked, from: kept, to: marked, truncate: rows, delete: {set: {gone: true}}, key: {id: {uuid: kept_too, of: id}},
     columns: {legacy_id: id, name: name, gone: {const: false}}}
  - {name: plain, from: plain, to: plain, truncate: rows, key: {id: id}, columns: {name: name}}
  - {name: note, from: note, to: notes, truncate: rows, key: {id: {uuid: note, of: id}}, columns: {text: text}}
  - {name: careful, from: careful, to: careful, key: {id: id}, columns: {name: name}}
YAML
settings_write "breaker:" "  window: 0"
check "init" pgrekey init

compare() {
    local rule
    same_rows "$1: offices" "SELECT $(uuid_sql office id), id, name FROM office" "SELECT id, legacy_id, name FROM offices WHERE legacy_id IS NOT NULL"
    same_rows "$1: people" "SELECT $(uuid_sql person id), $(uuid_sql office office_id), name, size FROM person WHERE size <> 'big'" "SELECT id, office_id, name, size FROM people"
    same_rows "$1: rows under a condition" "SELECT $(uuid_sql adult id), name FROM person WHERE id > 100" "SELECT id, name FROM adults"
    same_rows "$1: rows that are marked" "SELECT id, name FROM kept" "SELECT legacy_id, name FROM marked WHERE NOT gone"
    same_rows "$1: a plain key" "SELECT * FROM plain" "SELECT * FROM plain"
    for rule in office:office person:person adult:person kept:kept marked:kept plain:plain note:note careful:careful; do
        accounts "$1: accounts of ${rule%:*}" "${rule%:*}" "${rule#*:}"
    done
    equals "$1: quarantined" "$(source_sql "SELECT count(*) FROM person WHERE size = 'big'")" \
        "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}
step() {
    source_script
    caught_up
    compare "$1"
}

engine_start
caught_up
compare "snapshot"
# A row of the application's own, and one that the source has never known.
target_sql "INSERT INTO offices (name) VALUES ('the application''s own')"

step "parents and children at once, and new ones after it" <<'SQL'
BEGIN;
INSERT INTO person VALUES (900, 1, 'gone with the rest', 'big');
TRUNCATE office, person;
INSERT INTO office VALUES (1, 'First again'), (50, 'Fiftieth');
INSERT INTO person VALUES (1, 50, 'reborn', '1'), (150, 1, 'reborn', '2'), (160, 1, 'reborn', 'big');
COMMIT;
SQL
equals "rows of others stay" 1 "$(target_sql "SELECT count(*) FROM offices WHERE legacy_id IS NULL")"
step "by cascade" <<<"TRUNCATE office CASCADE"
step "an empty table" <<<"TRUNCATE person"
step "filled again" <<<"INSERT INTO office VALUES (3, 'Third'); INSERT INTO person SELECT i, 3, 'p', '1' FROM generate_series(90, 110) i"
step "twice in a transaction" <<'SQL'
BEGIN;
TRUNCATE person;
INSERT INTO person VALUES (1, 3, 'in between', '1');
TRUNCATE person;
INSERT INTO person VALUES (2, 3, 'after', '1');
COMMIT;
SQL
step "a plain key is told by itself" <<<"TRUNCATE plain; INSERT INTO plain VALUES (5, 'five')"
step "what a delete keeps or marks" <<<"TRUNCATE kept; INSERT INTO kept VALUES (1, 'again'), (100, 'new')"
equals "delete: keep keeps it" "20|1" "$(target_sql "SELECT count(*) FILTER (WHERE legacy_id BETWEEN 2 AND 20) + 1, count(*) FILTER (WHERE name = 'again') FROM kept")"
equals "delete: set marks it" 19 "$(target_sql "SELECT count(*) FROM marked WHERE gone")"
step "a key becomes one that a kept row was left under, and the row changes again" <<'SQL'
DELETE FROM kept WHERE id = 1;
UPDATE kept SET id = 1 WHERE id = 100;
UPDATE kept SET name = name || '.';
SQL
for each in kept marked; do
    equals "it counts as mapped in $each" "1 0" "$(target_sql "SELECT mapped || ' ' || excluded FROM pgrekey.counter WHERE rule = '$each'")"
done

# Nothing on the target tells where a note came from: better to stop than to guess.
paused() { [ "$(target_sql "SELECT paused FROM pgrekey.pipeline")" = t ]; }
position() { target_sql "SELECT lsn FROM pgrekey.pipeline"; }
source_sql "TRUNCATE note"
source_sql "INSERT INTO office VALUES (77, 'behind the truncate')"
wait_for 30 "the pause" paused
check "the log names table and rule" grep -qE 'TRUNCATE of public.note .*rule note has no column' "$T/engine.log"
check "the engine is still there" engine_is_alive
equals "the pause's category" truncate "$(target_sql "SELECT pause_category FROM pgrekey.pipeline")"
pgrekey_fails "status says that it is paused" 5 'TRUNCATE of public.note' status
held=$(position)
sleep 1
equals "the position is held" "$held" "$(position)"
equals "nothing behind it is applied" 0 "$(target_sql "SELECT count(*) FROM offices WHERE legacy_id = 77")"
equals "nothing was deleted" 20 "$(target_sql "SELECT count(*) FROM notes")"
engine_stop
equals "a paused engine ends with code 0 on SIGTERM" 0 "$ENGINE_CODE"
pgrekey_fails "a one-shot run ends with the code of a pause" 5 'TRUNCATE of public.note|paused' run --until-caught-up

# The way out that the message names: the operator empties the table, then lets it go on.
engine_start
wait_for 30 "the pause again" paused
pgrekey resume >"$T/resume.log" 2>&1 || true
wait_for 30 "the pause once more, for nothing was done" paused
target_sql "DELETE FROM notes"
check "resume after the table was emptied" pgrekey resume
caught_up
compare "resumed"
equals "the notes are accounted for" "0|0|0" "$(target_sql "SELECT mapped, quarantined, excluded FROM pgrekey.counter WHERE rule = 'note'")"

source_sql "TRUNCATE careful"
wait_for 30 "the pause" paused
check "the default pauses even where the rows are known" grep -qE 'TRUNCATE of public.careful .*rule careful pauses' "$T/engine.log"
equals "nothing was deleted" 20 "$(target_sql "SELECT count(*) FROM careful")"
target_sql "TRUNCATE careful"
check "resume" pgrekey resume
source_sql "INSERT INTO careful VALUES (3, 'after')"
caught_up
compare "resumed again"
same_rows "the careful table" "SELECT * FROM careful" "SELECT * FROM careful"
source_sql "DELETE FROM careful"
source_sql "TRUNCATE careful"
caught_up
check "nothing to lose is no reason to pause" engine_is_alive
compare "a table that is empty on the target"
test_end
