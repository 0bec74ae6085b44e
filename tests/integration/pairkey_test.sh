#!/usr/bin/env bash
# A junction keyed by its pair on the target, by an id of its own on the source (`identity:`): deletes carry the id
# alone, a pair may leave and return under another id, and of two living rows of one pair the later stands aside.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE office (id int PRIMARY KEY, name text);
CREATE TABLE works (id serial PRIMARY KEY, person_id int NOT NULL, office_id int NOT NULL, role text, memo text);
ALTER TABLE works ALTER memo SET STORAGE EXTERNAL;
INSERT INTO person SELECT i, 'P' || i FROM generate_series(1, 30) i;
INSERT INTO office SELECT i, 'O' || i FROM generate_series(1, 10) i;
INSERT INTO works (person_id, office_id, role, memo) SELECT i, 1 + i % 10, 'role ' || i, repeat(md5(i::text), 100) FROM generate_series(1, 30) i;
SQL
target_script <<'SQL'
CREATE TABLE people (id uuid PRIMARY KEY, name text);
CREATE TABLE offices (id uuid PRIMARY KEY, name text);
CREATE TABLE memberships (person_id uuid REFERENCES people, office_id uuid REFERENCES offices, legacy_id int UNIQUE, role text, memo text,
    own text NOT NULL DEFAULT 'own', PRIMARY KEY (person_id, office_id));
CREATE TABLE history (person_id uuid, office_id uuid, legacy_id int UNIQUE, role text, active boolean NOT NULL, PRIMARY KEY (person_id, office_id));
SQL
mapping_write <<'YAML'
rows:
  - {name: person, from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {name: name}}
  - {name: office, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {name: name}}
  - name: works
    from: works
    to: memberships
    key: {person_id: {uuid: person, of: person_id}, office_id: {uuid: office, of: office_id}}
    identity: legacy_id
    columns: {legacy_id: id, role: role, memo: memo}
  - name: history
    from: works
    to: history
    key: {person_id: {uuid: person, of: person_id}, office_id: {uuid: office, of: office_id}}
    identity: legacy_id
    delete: {set: {active: false}}
    columns: {legacy_id: id, role: role, active: {const: true}}
YAML
settings_write "breaker:" "  window: 0"
check "init" pgrekey init
check "check" pgrekey check --quiet

PAIR="$(uuid_sql person person_id), $(uuid_sql office office_id)"
# compare NAME [IDS]: these stand aside.
compare() {
    local aside=${2:-0} each
    for each in works history; do
        equals "$1: who stands aside in $each" "$aside" "$(target_sql "SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '0')
            FROM (SELECT (key::jsonb->>0)::int FROM pgrekey.quarantine WHERE status <> 'resolved' AND rule = '$each') q (id)")"
        accounts "$1: accounts of $each" "$each" works
        equals "$1: quarantined in $each" "$(source_sql "SELECT count(*) FROM works WHERE id IN ($aside)")" \
            "$(target_sql "SELECT quarantined FROM pgrekey.counter WHERE rule = '$each'")"
    done
    same_rows "$1: pairs" "SELECT $PAIR, id, role, md5(memo) FROM works WHERE id NOT IN ($aside)" \
        "SELECT person_id, office_id, legacy_id, role, md5(memo) FROM memberships"
    same_rows "$1: open pairs" "SELECT $PAIR, id, role FROM works WHERE id NOT IN ($aside)" \
        "SELECT person_id, office_id, legacy_id, role FROM history WHERE active"
}
step() { # NAME [IDS]
    source_script
    caught_up
    compare "$@"
}

engine_start
caught_up
compare "snapshot"
step "attributes change, the memo left out" <<<"UPDATE works SET role = role || '!' WHERE id % 2 = 0"
step "deletes find their row by the id" <<<"DELETE FROM works WHERE id IN (1, 2, 3)"
equals "a left pair is closed" "3" "$(target_sql "SELECT count(*) FROM history WHERE NOT active")"
step "the pair changes under the same id" <<<"UPDATE works SET office_id = 1 + office_id % 10 WHERE id BETWEEN 4 AND 6"
step "the id changes under the same pair" <<<"UPDATE works SET id = id + 1000 WHERE id BETWEEN 7 AND 9"
step "both change" <<<"UPDATE works SET id = id + 1000, office_id = 1 + office_id % 10, role = 'moved' WHERE id BETWEEN 10 AND 11"
step "a pair returns under another id" <<<"INSERT INTO works (person_id, office_id, role, memo) VALUES (1, 2, 'returned', 'm'), (3, 4, 'returned', 'm')"
step "a pair leaves and returns in one transaction" <<'SQL'
BEGIN;
DELETE FROM works WHERE id IN (12, 13);
INSERT INTO works (person_id, office_id, role, memo) VALUES (12, 3, 'returned', 'm12'), (13, 4, 'returned', 'm13');
UPDATE works SET role = 'at once' WHERE person_id = 13;
COMMIT;
SQL
step "and twice" <<'SQL'
BEGIN;
DELETE FROM works WHERE id = 14;
INSERT INTO works VALUES (2014, 14, 5, 'second', 'm');
DELETE FROM works WHERE id = 2014;
INSERT INTO works VALUES (3014, 14, 5, 'third', 'm');
COMMIT;
SQL
step "pairs are exchanged between two ids" <<'SQL'
BEGIN;
UPDATE works SET person_id = 16, office_id = 7 WHERE id = 15;
UPDATE works SET person_id = 15, office_id = 6 WHERE id = 16;
COMMIT;
SQL
step "ids are exchanged between two pairs" <<'SQL'
BEGIN;
UPDATE works SET id = -17 WHERE id = 17;
UPDATE works SET id = 17 WHERE id = 18;
UPDATE works SET id = 18 WHERE id = -17;
COMMIT;
SQL
step "a second living row of a pair stands aside" 4019,4020 <<<"INSERT INTO works VALUES (4019, 19, 10, 'second', 'm'), (4020, 20, 1, 'second', 'm')"
equals "as an ambiguous value" ambiguous_value \
    "$(target_sql "SELECT DISTINCT category FROM pgrekey.quarantine WHERE status <> 'resolved'")"
step "and takes the pair when the first leaves" 4020 <<<"DELETE FROM works WHERE id = 19"
step "or when the first moves on" <<<"UPDATE works SET office_id = 9 WHERE id = 20"
step "a row that stands aside and is changed, then goes" 5021 <<<"INSERT INTO works VALUES (5021, 21, 2, 'second', 'm'); UPDATE works SET role = 'still' WHERE id = 5021; UPDATE works SET role = 'first' WHERE id = 21"
step "is forgotten" <<<"DELETE FROM works WHERE id = 5021"
engine_stop
source_script <<'SQL'
DELETE FROM works WHERE id = 22;
INSERT INTO works VALUES (6022, 22, 3, 'a', 'm');
DELETE FROM works WHERE id = 6022;
INSERT INTO works VALUES (7022, 22, 3, 'b', 'm');
UPDATE works SET person_id = 1, office_id = 1 WHERE id = 23;
INSERT INTO works VALUES (6023, 23, 4, 'in its place', 'm');
UPDATE works SET role = 'behind it' WHERE id = 23;
SQL
engine_start
caught_up
compare "many transactions in one batch"
equals "columns of the application stay as they are" 0 "$(target_sql "SELECT count(*) FROM memberships WHERE own <> 'own'")"

# What cannot be found by a delete is refused beforehand.
mapping_write <<'YAML'
rows:
  - {from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {name: name}}
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {name: name}}
  - {from: works, to: memberships, key: {person_id: {uuid: person, of: person_id}, office_id: {uuid: office, of: office_id}}, columns: {role: role}}
YAML
pgrekey_fails "a pair key without identity is refused" 6 'mapping.yaml:5:.*replica identity.*identity: legacy_id' map check
test_end
