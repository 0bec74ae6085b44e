#!/usr/bin/env bash
# A snapshot that is cut off between two ranges of one table, and what the stream then leaves out: changes that the
# ranges read later hold already, by old key and new key, up to the last transaction before their point.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, office_id int REFERENCES office, name text NOT NULL, note text);
CREATE TABLE word (word text COLLATE "C" PRIMARY KEY, meaning text);     -- upper case comes first
CREATE TABLE log (at timestamptz, line text);
INSERT INTO office (name) SELECT 'Office ' || i FROM generate_series(1, 50) i;
ALTER TABLE person ALTER note SET STORAGE EXTERNAL;
INSERT INTO person SELECT i, 1 + i % 50, 'Person ' || i, repeat(i || ' ', 1000) FROM generate_series(1, 3000) i;
INSERT INTO word SELECT CASE WHEN i % 2 = 0 THEN 'w' ELSE 'W' END || lpad(i::text, 5, '0'), 'word ' || i FROM generate_series(1, 3000) i;
INSERT INTO log SELECT now(), 'line ' || i FROM generate_series(1, 500) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, office_id uuid REFERENCES offices, name text NOT NULL, note text);
CREATE TABLE badges (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL);
CREATE TABLE words (word text PRIMARY KEY, meaning text);
SQL
mapping_write <<'YAML'
rows:
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {name: name}}
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: false}, name: name, note: note}
    truncate: rows
  - {from: person, to: badges, when: id % 3 <> 0, key: {id: {uuid: badge, of: id}}, columns: {legacy_id: id, name: name}, truncate: rows}
  - {from: word, to: words, key: {word: word}, columns: {meaning: meaning}}
YAML
settings_write "snapshot: {workers: 1, range_rows: 1000}" "batch: {max_rows: 200}" "breaker: {window: 0}"
check "init" pgrekey init

compare() {
    same_rows "$1: offices" "SELECT $(uuid_sql office id), name FROM office" "SELECT id, name FROM offices"
    same_rows "$1: people" "SELECT id, $(uuid_sql person id), $(uuid_sql office office_id), name, md5(note) FROM person" \
        "SELECT legacy_id, id, office_id, name, md5(note) FROM people"
    same_rows "$1: badges" "SELECT id, $(uuid_sql badge id), name FROM person WHERE id % 3 <> 0" "SELECT legacy_id, id, name FROM badges"
    same_rows "$1: words" "SELECT word, meaning FROM word" "SELECT word, meaning FROM words"
    accounts "$1: account of offices" "office->offices" office
    accounts "$1: account of people" "person->people" person
    accounts "$1: account of badges" "person->badges" person
    accounts "$1: account of words" "word->words" word
    equals "$1: nothing stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}
# The engine gets stuck in the second range of a table: the target lets only rows of the first one through.
stick() {
    target_script <<SQL
CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END';
CREATE TRIGGER stuck AFTER INSERT ON $1 FOR EACH ROW WHEN ($2) EXECUTE FUNCTION stuck();
SQL
}
unstick() {
    target_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'" >/dev/null
    target_sql "DROP FUNCTION stuck CASCADE" 2>/dev/null
}
done_of() { target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE done AND source_table = '$1'"; }
is_stuck() { [ -n "$(target_sql "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")" ] && [ "$(done_of "$1")" -ge 1 ]; }
slot_point() { source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'pgrekey'"; }
points() { target_sql "SELECT count(DISTINCT point) FROM pgrekey.snapshot_part WHERE source_table = '$1'"; }
begin_anew() {
    engine_stop
    pgrekey drop --yes >/dev/null
    target_sql "TRUNCATE offices, people, badges, words"
}

people_anew() {
    source_script <<'SQL'
TRUNCATE person;
INSERT INTO person SELECT i, 1 + i % 50, 'Person ' || i, repeat(i || ' ', 1000) FROM generate_series(1, 3000) i;
ANALYZE person;
SQL
}

# --- kill -9 in the second of three ranges, under load

stick people "NEW.legacy_id = 1500"
engine_start
wait_for 30 "the second range" is_stuck person
equals "three ranges for each of two rules, on two levels" 6 "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE source_table = 'person'")"
first=$(slot_point)
cat >"$T/load.sql" <<'SQL'
\set a random(1, 6000)
\set b random(1, 50)
\set c random(1, 6000)
BEGIN;
INSERT INTO person VALUES (:a, :b, 'new', repeat(:a || '+', 1000)) ON CONFLICT (id) DO UPDATE SET name = person.name || '.', office_id = :b;
DELETE FROM person WHERE id = :c AND id % 4 = 0;
UPDATE person SET id = 6001 + :c + :a * 6000 WHERE id = (:a * 7919) % 6000 AND NOT EXISTS (SELECT FROM person p WHERE p.id = 6001 + :c + :a * 6000);
COMMIT;
SQL
load_start 6 1 "$T/load.sql"
nap_ms 500
engine_kill
equals "no row of a part that was cut off" 0 "$(target_sql "SELECT count(*) FROM people WHERE legacy_id > 1500 AND legacy_id < 2000")"
nap_ms 500
unstick
nap_ms 200
engine_start
wait_for 30 "its end" grep -q event=snapshot_done "$T/engine.log"
load_wait
caught_up
equals "the slot is the first one" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots WHERE NOT temporary")"
check "which had stayed where it was" grep -q "event=snapshot_resumes slot=pgrekey lsn=$first" "$T/engine.log"
compare "under load"
source_sql "UPDATE person SET name = name || '!' WHERE id % 10 = 0"
caught_up
cleared() { [ "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE point IS NOT NULL OR lo IS NOT NULL")" = 0 ]; }
check "the records are cleared once the stream is past" wait_for 10 "cleared records" cleared
compare "after it"
begin_anew

# --- each kind of change between the points, to keys on both sides of the boundary

people_anew
stick people "NEW.legacy_id = 1500"
engine_start
wait_for 30 "the second range" is_stuck person
source_script <<'SQL'
BEGIN; UPDATE person SET name = 'both' WHERE id IN (10, 1010, 2010); COMMIT;
DELETE FROM person WHERE id IN (11, 1011, 2011);
INSERT INTO person VALUES (3001, 1, 'born late', 'x'), (-1, 2, 'born early', 'x');
UPDATE person SET id = -12 WHERE id = 12;                          -- within the first range
UPDATE person SET id = 4000 WHERE id = 13;                         -- out of it, its note unchanged and out of line
UPDATE person SET id = -2013 WHERE id = 2013;                      -- into it
UPDATE person SET id = 4014 WHERE id = 2014;                       -- among the later ones
DELETE FROM person WHERE id = 15; INSERT INTO person VALUES (15, 3, 'again', 'y');
UPDATE word SET meaning = 'new' WHERE word IN ('W00001', 'w00002', 'W02999', 'w03000');
DELETE FROM word WHERE word IN ('W00003', 'w00004');
UPDATE word SET word = 'x' || word WHERE word IN ('W00005', 'w00006');
SQL
engine_kill
unstick
engine_start
wait_for 30 "its end" target_sql "SELECT 1 / count(*) FROM pgrekey.pipeline WHERE state = 'streaming'"
equals "ranges were read at two points" 2 "$(points person)"
source_script <<'SQL'
UPDATE person SET id = 13 WHERE id = 4000;
UPDATE person SET name = 'later' WHERE id IN (-2013, 4014, -12, 1010);
SQL
caught_up
compare "key by key"
begin_anew

# --- ranges of text are the source's: W comes before w, whatever the target's collation says

stick words "NEW.word = 'w00500'"
engine_start
wait_for 30 "the second range" is_stuck word
source_script <<'SQL'
UPDATE word SET meaning = 'newer' WHERE word IN ('W00001', 'w00002', 'W02999', 'w03000');
DELETE FROM word WHERE word IN ('W00007', 'w00008');
UPDATE word SET word = 'W' || substr(word, 2) WHERE word = 'w00010';
UPDATE word SET word = 'w' || substr(word, 2) WHERE word = 'W00011';
INSERT INTO word VALUES ('A', 'first'), ('z', 'last');
SQL
engine_kill
unstick
engine_start
caught_up
compare "text"
begin_anew

# --- a TRUNCATE between the points: ranges that were read after it are read once more

stick people "NEW.legacy_id = 1500"
engine_start
wait_for 30 "the second range" is_stuck person
engine_kill
unstick
source_script <<'SQL'
UPDATE person SET name = 'in vain';
TRUNCATE person;
INSERT INTO person SELECT i, 1, 'Second ' || i, 'z' FROM generate_series(1, 3000, 3) i;
SQL
engine_start
source_sql "UPDATE person SET name = name || '?' WHERE id % 2 = 0"
caught_up
check "parts were read anew" grep -q "event=snapshot_rejoins" "$T/engine.log"
compare "truncated"
begin_anew

# --- commits that stand in the WAL while nobody sees them yet

people_anew
stick people "NEW.legacy_id = 1500"
engine_start
wait_for 30 "the second range" is_stuck person
engine_kill
unstick
source_sql "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
source_sql "SELECT pg_reload_conf()" >/dev/null
nap_ms 300
held() {
    source_sql "UPDATE person SET name = 'held' WHERE id IN (1, 1501, 2998); DELETE FROM person WHERE id = 2500" >/dev/null 2>&1 &
    HELD=$!
}
held
is_held() { [ -n "$(source_sql "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")" ]; }
wait_for 10 "a held commit" is_held
equals "nobody sees it" 0 "$(source_sql "SELECT count(*) FROM person WHERE name = 'held'")"
engine_start
nap_ms 1500
release() {
    source_sql "SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names" 2>/dev/null ||
        PGOPTIONS='-c synchronous_commit=local' source_sql "ALTER SYSTEM RESET synchronous_standby_names"
    source_sql "SELECT pg_reload_conf()" >/dev/null
}
release
wait "$HELD" || true
caught_up
equals "it is there" 3 "$(target_sql "SELECT count(*) FROM people WHERE name = 'held'")"
compare "held commit"
begin_anew

# --- what cannot be resumed says so

stick people "NEW.legacy_id = 1500"
engine_start
wait_for 30 "the second range" is_stuck person
engine_kill
unstick
source_sql "SELECT pg_drop_replication_slot('pgrekey')" >/dev/null
pgrekey_fails "a slot that is gone" 4 'cannot be resumed: replication slot pgrekey is gone' run --until-caught-up
sed -i 's/when: id % 3 <> 0/when: id % 3 = 0/' "$T/mapping.yaml"
pgrekey_fails "another mapping" 4 'mapping is not the one' run --until-caught-up
check "drop cleans up" pgrekey drop --yes
equals "no part is left" 0 "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part")"
test_end
