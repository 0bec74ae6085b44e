#!/usr/bin/env bash
# A snapshot of rules, a mirror and rows that look up in it, killed at random moments while the source is written, and cut
# off by a restart of either server: the end is what a snapshot in one piece would have given.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE kind (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, kind_id int NOT NULL, name text NOT NULL, seen text);
INSERT INTO kind SELECT i, 'kind ' || i FROM generate_series(1, 60) i;
-- What a person must say on the target is noted on the source when it is written, by the same transaction.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seen := (SELECT name FROM kind WHERE id = NEW.kind_id);
    RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON person FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO person SELECT i, 1 + i % 60, 'Person ' || i FROM generate_series(1, 8000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text NOT NULL, kind text);
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE, person_id uuid NOT NULL REFERENCES people);
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END';
CREATE TRIGGER dawdle AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
CREATE TRIGGER dawdle AFTER INSERT ON notes FOR EACH STATEMENT EXECUTE FUNCTION dawdle();
SQL
mapping_write <<'YAML'
rows:
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    lookup: {k: {mirror: kind, by: kind_id}}
    columns: {legacy_id: id, name: name, kind: k.name}
  - {name: notes, from: person, to: notes, when: id % 2 = 0, key: {id: {uuid: note, of: id}}, columns: {legacy_id: id, person_id: {uuid: person, of: id}}}
mirrors:
  kind: {columns: [name]}
YAML
settings_write "snapshot: {workers: 2, range_rows: 1000}" "batch: {max_rows: 200}" "breaker: {window: 0}"
pgrekey init >/dev/null

# A kind that changes takes its people with it, so that what they look up is told by when they changed.
cat >"$T/load.sql" <<'SQL'
\set a random(1, 12000)
\set k random(1, 70)
\set c random(1, 12000)
BEGIN;
INSERT INTO kind VALUES (:k, 'new') ON CONFLICT (id) DO UPDATE SET name = kind.name || '.';
UPDATE person SET name = name || '.' WHERE kind_id = :k;
INSERT INTO person VALUES (:a, :k, 'new') ON CONFLICT (id) DO UPDATE SET kind_id = :k;
DELETE FROM person WHERE id = :c AND id % 5 = 0;
COMMIT;
SQL
compare() {
    same_rows "$1: people, and what they looked up" "SELECT id, $(uuid_sql person id), name, seen FROM person" "SELECT legacy_id, id, name, kind FROM people"
    same_rows "$1: notes" "SELECT id, $(uuid_sql person id) FROM person WHERE id % 2 = 0" "SELECT legacy_id, person_id FROM notes"
    same_rows "$1: the mirror" "SELECT id, name FROM kind" "SELECT id, name FROM pgrekey_mirror.kind"
    accounts "$1: account of people" "person->people" person
    accounts "$1: account of notes" notes person
    equals "$1: nothing stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}

load_start 10 1 "$T/load.sql"
engine_start
kill_loop 5 150 1200
engine_kill
load_wait
cluster_restart "$T/source" fast
source_sql "UPDATE kind SET name = name || '!' WHERE id % 9 = 0; UPDATE person SET name = name || '!' WHERE kind_id % 9 = 0; DELETE FROM person WHERE id % 13 = 0"
engine_start
nap_ms 700
cluster_restart "$T/target" immediate
caught_up 120
check "it was resumed" grep -q event=snapshot_resumes "$T/engine.log"
compare "killed and restarted"
source_sql "UPDATE person SET name = name || '?' WHERE id % 10 = 0; UPDATE kind SET name = name || '?' WHERE id = 3; DELETE FROM person WHERE id % 17 = 0"
source_sql "UPDATE person SET name = name || ':' WHERE kind_id = 3"
caught_up
compare "after it"
equals "no slot is left behind" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
test_end
