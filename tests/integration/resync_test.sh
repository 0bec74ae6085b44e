#!/usr/bin/env bash
# `pgrekey resync`: a table is read again while the stream runs. What was damaged on the target is mended, whole or by keys
# and ranges; nothing newer is overwritten and no change lost, under load, over kills, and while the source holds commits
# between its WAL and their being seen.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, office_id int REFERENCES office, name text NOT NULL, note text);
ALTER TABLE person ALTER note SET STORAGE EXTERNAL;
CREATE TABLE place (country text, code int, name text, PRIMARY KEY (country, code));
CREATE TABLE word (word text COLLATE "C" PRIMARY KEY, meaning text);
INSERT INTO office (name) SELECT 'Office ' || i FROM generate_series(1, 50) i;
INSERT INTO person SELECT i, 1 + i % 50, 'Person ' || i, repeat(i || ' ', 800) FROM generate_series(1, 6000) i;
INSERT INTO place SELECT c, i, c || ' ' || i FROM unnest(ARRAY['SE', 'NO', 'a,"b']) c, generate_series(1, 20) i;
INSERT INTO word SELECT CASE WHEN i % 2 = 0 THEN 'w' ELSE 'W' END || lpad(i::text, 5, '0'), 'word ' || i FROM generate_series(1, 3000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, office_id uuid REFERENCES offices, name text NOT NULL, note text, nick text);
CREATE TABLE badges (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL CHECK (name <> 'bad'));
CREATE TABLE places (country text, code int, name text, PRIMARY KEY (country, code));
CREATE TABLE words (word text PRIMARY KEY, meaning text);
SQL
mapping_write <<'YAML'
rows:
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: false}, name: name, note: note}
  - {from: person, to: badges, when: id % 3 <> 0, key: {id: {uuid: badge, of: id}}, columns: {legacy_id: id, name: name}}
  - {from: place, to: places, key: {country: country, code: code}, columns: {name: name}}
  - {from: word, to: words, key: {word: word}, columns: {meaning: meaning}}
YAML
settings_write "snapshot: {range_rows: 1000}" "batch: {max_rows: 300}" "breaker: {window: 0}" "quarantine: {retries: 0}"
check "init" pgrekey init

compare() {
    same_rows "$1: offices" "SELECT id, $(uuid_sql office id), name FROM office" "SELECT legacy_id, id, name FROM offices"
    same_rows "$1: people" "SELECT id, $(uuid_sql person id), $(uuid_sql office office_id), name, md5(note) FROM person" \
        "SELECT legacy_id, id, office_id, name, md5(note) FROM people"
    same_rows "$1: badges" "SELECT id, $(uuid_sql badge id), name FROM person WHERE id % 3 <> 0" "SELECT legacy_id, id, name FROM badges"
    same_rows "$1: places" "SELECT * FROM place" "SELECT * FROM places"
    same_rows "$1: words" "SELECT * FROM word" "SELECT * FROM words"
    accounts "$1: account of offices" "office->offices" office
    accounts "$1: account of people" "person->people" person
    accounts "$1: account of badges" "person->badges" person
    equals "$1: badges are mapped or excluded" "$(source_sql "SELECT concat_ws(' ', count(*) FILTER (WHERE id % 3 <> 0), 0, count(*) FILTER (WHERE id % 3 = 0)) FROM person")" \
        "$(target_sql "SELECT concat_ws(' ', mapped, quarantined, excluded) FROM pgrekey.counter WHERE rule = 'person->badges'")"
    accounts "$1: account of places" "place->places" place
    accounts "$1: account of words" "word->words" word
    equals "$1: nothing stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}

pgrekey_fails "a pipeline that nobody knows" 2 'knows no pipeline' resync person
engine_start
caught_up
compare "snapshot"

# --- what somebody did to the target is mended

damage() {
    target_script <<'SQL'
DELETE FROM people WHERE legacy_id % 7 = 0;
UPDATE people SET name = 'garbled', note = NULL WHERE legacy_id % 11 = 0;
UPDATE people SET nick = 'own' WHERE legacy_id = 1;
DELETE FROM badges WHERE legacy_id % 5 = 0;
INSERT INTO people SELECT gen_random_uuid(), 100000 + i, NULL, 'stray', NULL FROM generate_series(1, 30) i;
INSERT INTO badges SELECT gen_random_uuid(), i, 'stray' FROM generate_series(7001, 7010) i;
INSERT INTO badges SELECT gen_random_uuid(), i, 'should not be here' FROM generate_series(3, 30, 3) i;
INSERT INTO people VALUES (gen_random_uuid(), NULL, NULL, 'the application''s own');
SQL
}
damage
pgrekey resync person --json >"$T/out"
check "it says what it did" grep -q '"done":true.*"rows":6000,"gone":40' "$T/out"
equals "rows that never came from the source stay" 1 "$(target_sql "DELETE FROM people WHERE legacy_id IS NULL RETURNING 1")"
equals "columns that the mapping does not own stay" own "$(target_sql "SELECT nick FROM people WHERE legacy_id = 1")"
target_sql "DELETE FROM badges WHERE name = 'should not be here'"
compare "mended"
check "the audit knows" test -n "$(target_sql "SELECT 1 FROM pgrekey.audit WHERE action = 'resync' AND rows = 6000")"
check "no key is kept" test -z "$(target_sql "SELECT 1 FROM pgrekey.resync WHERE coalesce(lo, hi, next, keys::text) IS NOT NULL")"

damage
pgrekey resync public.person --from 100 --to 200 >"$T/out"
check "a range, both ends included" grep -q '^public.person: 101 rows read' "$T/out"
equals "it is right" 101 "$(target_sql "SELECT count(*) FROM people WHERE legacy_id BETWEEN 100 AND 200 AND name = 'Person ' || legacy_id")"
equals "the rest is as it was" 0 "$(target_sql "SELECT count(*) FROM people WHERE legacy_id % 7 = 0 AND legacy_id NOT BETWEEN 100 AND 200 AND legacy_id < 7000")"
pgrekey resync person 7 14 11 100001 >"$T/out"
check "keys" grep -q '3 rows read, 1 gone' "$T/out"
equals "they are right" 3 "$(target_sql "SELECT count(*) FROM people WHERE legacy_id IN (7, 14, 11) AND name = 'Person ' || legacy_id")"
pgrekey resync person >/dev/null
target_sql "DELETE FROM people WHERE legacy_id IS NULL; DELETE FROM badges WHERE name = 'should not be here'"
compare "mended again"

target_sql "DELETE FROM places WHERE code < 5; UPDATE places SET name = 'x' WHERE code = 9; UPDATE words SET meaning = '?' WHERE word < 'm'"
pgrekey resync place '["SE", 3]' '["a,\"b", "4"]' >"$T/out"
check "keys of two columns" grep -q '2 rows read, 0 gone' "$T/out"
equals "just those" 2 "$(target_sql "SELECT count(*) FROM places WHERE code < 5")"
pgrekey resync place >/dev/null
pgrekey resync word --from A --to Z >/dev/null
pgrekey resync word --from a >/dev/null
compare "keys of several columns, keys of text"

# --- what is refused

pgrekey_fails "a table of which no rule knows" 6 'no rule of the mapping reads a table nothing' resync nothing
pgrekey_fails "a key that is none" 6 'a key does not fit' resync person x
pgrekey_fails "a key of another shape" 6 'a key does not fit' resync place 7
pgrekey_fails "a bound that is none" 6 'could not do it' resync person --from x
pgrekey_fails "keys and a range" 2 'either keys, or a range' resync person 1 --from 1
engine_stop
pgrekey_fails "no engine" 3 'no engine runs' resync office --wait 1s
engine_start
caught_up
done_all() { [ "$(target_sql "SELECT count(*) FROM pgrekey.resync WHERE status NOT IN ('done', 'failed')")" = 0 ]; }
check "it was recorded, and is done when one runs" wait_for 20 "the recorded one" done_all
compare "after it"

# --- under load, in small pieces, over kills

cat >"$T/load.sql" <<'SQL'
\set a random(1, 9000)
\set b random(1, 50)
\set c random(1, 9000)
\set d random(1, 9000)
BEGIN;
INSERT INTO person VALUES (:a, :b, 'new', repeat(:a || '+', 800)) ON CONFLICT (id) DO UPDATE SET name = person.name || '.', office_id = :b;
DELETE FROM person WHERE id = :c AND id % 4 = 0;
UPDATE person SET id = 9001 + :d + :a * 9000 WHERE id = (:a * 7919) % 9000 AND NOT EXISTS (SELECT FROM person p WHERE p.id = 9001 + :d + :a * 9000);
UPDATE person SET note = 'short ' || :a WHERE id = :d;
COMMIT;
SQL
load_start 12 3 "$T/load.sql"
for round in 1 2 3 4 5; do
    target_sql "DELETE FROM people WHERE legacy_id % 10 = $round" 2>/dev/null || true
    pgrekey resync person --quiet
done
check "resyncs under load" test "$(grep -c event=resync_done "$T/engine.log")" -ge 5
pgrekey resync person --wait 0s >/dev/null 2>&1 || true
kill_loop 4 200 900
load_wait
caught_up 60
wait_for 60 "the last one" done_all
compare "under load and kills"

# --- a commit that stands in the WAL while nobody sees it

source_sql "INSERT INTO person SELECT -i, 1, 'before', 'n' FROM generate_series(2, 9) i"
caught_up
source_sql "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
source_sql "SELECT pg_reload_conf()" >/dev/null
nap_ms 300
source_sql "UPDATE person SET name = 'held' WHERE id IN (-2, -3, -4); DELETE FROM person WHERE id = -5; INSERT INTO person VALUES (-1, 1, 'held', 'n')" >/dev/null 2>&1 &
HELD=$!
is_held() { [ -n "$(source_sql "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")" ]; }
wait_for 10 "a held commit" is_held
streamed() { [ "$(target_sql "SELECT count(*) FROM people WHERE name = 'held'")" = 4 ]; }
wait_for 10 "the stream brings what nobody sees" streamed
equals "nobody sees it on the source" 0 "$(source_sql "SELECT count(*) FROM person WHERE name = 'held'")"
pgrekey resync person -- -1 -2 -5 >"$T/out" 2>&1 &
RESYNC=$!
PGOPTIONS='-c synchronous_commit=local' source_sql "UPDATE person SET name = 'later' WHERE id = -8"
later() { [ "$(target_sql "SELECT count(*) FROM people WHERE name = 'later'")" = 1 ]; }
check "the stream goes on while the resync waits" wait_for 10 "a later change" later
nap_ms 700
PGOPTIONS='-c synchronous_commit=local' source_sql "UPDATE person SET name = 'later' WHERE id = -9"
later() { [ "$(target_sql "SELECT count(*) FROM people WHERE name = 'later'")" = 2 ]; }
check "and goes on" wait_for 10 "another later change" later
equals "nothing newer was overwritten" 4 "$(target_sql "SELECT count(*) FROM people WHERE name = 'held'")"
equals "nor what is gone brought back" 0 "$(target_sql "SELECT count(*) FROM people WHERE legacy_id = -5")"
status_tells() { pgrekey status | grep -q 'resync .*public.person.*waits for transactions that are open on the source'; }
check "status says what it waits for" wait_for 10 "status to tell" status_tells
PGOPTIONS='-c synchronous_commit=local' source_sql "ALTER SYSTEM RESET synchronous_standby_names"
source_sql "SELECT pg_reload_conf()" >/dev/null
wait "$HELD" || true
check "then it is done" wait "$RESYNC"
check "and has read what was held" grep -q '2 rows read, 1 gone' "$T/out"
caught_up
compare "held commit"
equals "no slot is left" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
test_end
