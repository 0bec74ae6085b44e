#!/usr/bin/env bash
# The first snapshot: in ranges, by several workers, level by level, while the source is written; cut off by SIGTERM,
# by kill -9 and by lost connections it is resumed, with its slot and the parts that are done; what is another's is left
# alone.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE region (id serial PRIMARY KEY, name text);
CREATE TABLE office (id serial PRIMARY KEY, region_id int, name text);
CREATE TABLE person (id serial PRIMARY KEY, office_id int NOT NULL, boss_id int, name text, code text);
CREATE TABLE visit (person_id int, day date, note text, PRIMARY KEY (person_id, day));
CREATE TABLE tag (name text PRIMARY KEY, weight numeric);
CREATE TABLE nothing (id int PRIMARY KEY);
INSERT INTO region (name) SELECT 'Region ' || i FROM generate_series(1, 20) i;
INSERT INTO office (region_id, name) SELECT 1 + i % 20, 'Office ' || i FROM generate_series(1, 3000) i;
INSERT INTO person (office_id, boss_id, name, code)                      -- bosses have higher and lower keys
    SELECT 1 + i % 3000, CASE WHEN i % 4 = 0 THEN 1 + (i * 7919) % 20000 END, 'Person ' || i, i % 9000 FROM generate_series(1, 20000) i;
INSERT INTO visit SELECT 1 + i % 20000, date '2020-01-01' + i / 20000, 'Visit ' || i FROM generate_series(1, 30000) i;
INSERT INTO tag SELECT 'tag ' || chr(65 + i % 26) || i || ' ''"\ü' || chr(9), i / 3.0 FROM generate_series(1, 3000) i;
DELETE FROM office WHERE id = 7;                                         -- orphans
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE regions (id uuid PRIMARY KEY, name text);
CREATE TABLE offices (id uuid PRIMARY KEY, region_id uuid NOT NULL REFERENCES regions, name text);
CREATE TABLE people (id uuid PRIMARY KEY, office_id uuid NOT NULL REFERENCES offices, boss_id uuid REFERENCES people, name text, code varchar(3));
CREATE TABLE people_names (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE visits (id uuid PRIMARY KEY, person_id uuid NOT NULL REFERENCES people, note text);
CREATE TABLE tags (name text PRIMARY KEY, weight numeric);
CREATE TABLE nothings (id int PRIMARY KEY);
CREATE TABLE theirs (id int PRIMARY KEY);
INSERT INTO theirs VALUES (1);
SQL
mapping_write <<'YAML'
rows:
  - {from: visit, to: visits, key: {id: {uuid: visit, of: [person_id, day]}}, columns: {person_id: {uuid: person, of: person_id, required: true}, note: note}}
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns: {office_id: {uuid: office, of: office_id}, boss_id: {uuid: person, of: boss_id, required: false}, name: name, code: code}
  - {from: person, to: people_names, when: id % 2 = 0, key: {id: {uuid: person_name, of: id}}, columns: {name: name}}
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {region_id: {uuid: region, of: region_id}, name: name}}
  - {from: region, to: regions, key: {id: {uuid: region, of: id}}, columns: {name: name}}
  - {from: tag, to: tags, key: {name: name}, columns: {weight: weight}}
  - {from: nothing, to: nothings, key: {id: id}}
YAML
settings_write "snapshot: {workers: 3, range_rows: 1000}" "batch: {max_rows: 500}" "breaker: {window: 0}"
check "init" pgrekey init

# A code of more than three characters does not fit: most people would stand aside, so the code is mended first.
source_sql "UPDATE person SET code = left(code, 3) WHERE id % 1000 <> 0"

# Of a person the office and the code decide; of a visit, its person. Bosses that are not there are NULL.
people="person p WHERE office_id <> 7 AND length(code) <= 3"
compare() {
    same_rows "$1: regions" "SELECT $(uuid_sql region id), name FROM region" "SELECT id, name FROM regions"
    same_rows "$1: offices" "SELECT $(uuid_sql office id), $(uuid_sql region region_id), name FROM office" "SELECT id, region_id, name FROM offices"
    same_rows "$1: people" "SELECT $(uuid_sql person id), $(uuid_sql office office_id), name, code FROM $people" "SELECT id, office_id, name, code FROM people"
    same_rows "$1: every second name" "SELECT $(uuid_sql person_name id), name FROM person WHERE id % 2 = 0" "SELECT id, name FROM people_names"
    same_rows "$1: visits" "SELECT $(uuid_sql visit "person_id || '|' || day"), v.note FROM visit v WHERE person_id IN (SELECT id FROM $people)" \
        "SELECT id, note FROM visits"
    same_rows "$1: tags" "SELECT name, weight FROM tag" "SELECT name, weight FROM tags"
    accounts "$1: people" "person->people" person
    accounts "$1: names" "person->people_names" person
    accounts "$1: visits" "visit->visits" visit
    equals "$1: a table of theirs" 1 "$(target_sql "SELECT count(*) FROM theirs")"
}
# A boss whose row came later than the person's is NULL, and recorded.
same_bosses() {
    same_rows "$1: bosses that stand are right" "SELECT $(uuid_sql person id), $(uuid_sql person boss_id) FROM $people AND boss_id IS NOT NULL AND id IN ($(
        target_sql "SELECT coalesce(string_agg(substr(name, 8), ','), '0') FROM people WHERE boss_id IS NOT NULL" | tr -d '?'
    ))" "SELECT id, boss_id FROM people WHERE boss_id IS NOT NULL"
    equals "$1: the others are recorded" "$(source_sql "SELECT count(*) FROM $people AND boss_id IS NOT NULL")" \
        "$(target_sql "SELECT (SELECT count(*) FROM people WHERE boss_id IS NOT NULL) + (SELECT count(*) FROM pgrekey.pending_reference WHERE column_name = 'boss_id')")"
}
parts_done() { target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE done"; }
# in_snapshot RESUMED PARTS: it has been resumed so many times, and more parts than that are done.
in_snapshot() {
    [ "$(grep -c event=snapshot_resumes "$T/engine.log")" -eq "$1" ] && [ "$(parts_done)" -gt "$2" ]
}
# The next snapshot is in no hurry until this is undone.
slow() {
    target_script <<'SQL'
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END';
CREATE TRIGGER dawdle AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
CREATE TRIGGER dawdle AFTER INSERT ON visits FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
SQL
}
# Loaders hold one table and want the other: the drop may be chosen to give way.
fast() { until target_sql "DROP FUNCTION IF EXISTS dawdle CASCADE" 2>/dev/null; do nap_ms 50; done; }
slot_point() { source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'pgrekey'"; }

# --- a slot of somebody else

source_sql "SELECT pg_create_logical_replication_slot('pgrekey', 'wal2json')" >/dev/null
pgrekey_fails "a slot that no record tells of is another's" 4 'exists already, but the target has no position' run
equals "and it stands" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
source_sql "SELECT pg_drop_replication_slot('pgrekey')" >/dev/null

# --- cut off

slow
engine_start
wait_for 30 "a snapshot under way" in_snapshot 0 3
pgrekey status >"$T/status" || true
check "status tells of the snapshot" grep -q snapshot "$T/status"
engine_stop
equals "SIGTERM in a snapshot ends it with code 0" 0 "$ENGINE_CODE"
equals "its record stands" snapshot "$(target_sql "SELECT state FROM pgrekey.pipeline")"
first=$(slot_point)
done=$(parts_done)
source_sql "UPDATE region SET name = name || '.'; DELETE FROM tag WHERE name LIKE 'tag B%'; DELETE FROM visit WHERE person_id = 5"
engine_start
wait_for 30 "its first resumption" in_snapshot 1 $((done + 1))
engine_kill
equals "it is resumed from the same slot" "$first" "$(slot_point)"
check "and parts that are done stay" test "$(parts_done)" -gt "$done"
source_sql "UPDATE office SET name = name || '!' WHERE id % 3 = 0; DELETE FROM tag WHERE name LIKE 'tag C%'"
done=$(parts_done)
engine_start
wait_for 60 "its second one" in_snapshot 2 $((done + 2))
equals "after kill -9 as well" "$first" "$(slot_point)"
cut_connections target
done=$(parts_done)
wait_for 60 "the one that follows a lost target" in_snapshot 3 $((done + 1))
cut_connections source
done=$(parts_done)
wait_for 60 "the one that follows a lost source" in_snapshot 4 "$done"
fast
equals "one slot that stays" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots WHERE NOT temporary")"

# --- at last, while the source is written

source_script <<'SQL'
INSERT INTO region (name) VALUES ('late region');
INSERT INTO office (region_id, name) SELECT 21, 'late office ' || i FROM generate_series(1, 100) i;
UPDATE person SET name = name || '?' WHERE id % 5 = 0;
DELETE FROM visit WHERE person_id % 50 = 0;
SQL
caught_up 120
compare "after four resumptions"
same_bosses "after four resumptions"
equals "one beginning" 1 "$(grep -c event=snapshot_begins "$T/engine.log")"
check "in many parts" test "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE done")" -gt 30
equals "every part is done" 0 "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE NOT done")"
equals "orphans and what does not fit stand aside, nothing else" "" "$(target_sql "
    SELECT DISTINCT category FROM pgrekey.quarantine WHERE category NOT IN ('orphan_reference', 'validation_failure')")"

source_script <<'SQL'
UPDATE person SET office_id = 8 WHERE office_id = 7;
UPDATE person SET code = left(code, 3);
SQL
caught_up
check "who was mended comes in" test "$(target_sql "SELECT count(*) FROM people")" = "$(source_sql "SELECT count(*) FROM person")"
engine_stop

# --- begun anew

check "drop" pgrekey drop --yes
pgrekey_fails "a first snapshot wants empty tables" 4 'not empty' run --until-caught-up
equals "no slot is left by that" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
target_sql "TRUNCATE regions, offices, people, people_names, visits, tags, nothings"
check "one worker, one range a table" pgrekey run --until-caught-up --set snapshot.workers=1 --set snapshot.range_rows=1000000
compare "by one worker"
same_bosses "by one worker"
test_end
