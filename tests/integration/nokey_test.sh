#!/usr/bin/env bash
# Rows on which nothing tells their source key (a key of text, or no legacy column at all) are named by their place on
# the target where they leave it; a row that stands aside already under its key is not counted twice.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY);
CREATE TABLE person (code text PRIMARY KEY, office_id int NOT NULL, email text);
CREATE TABLE visit (id int PRIMARY KEY, office_id int NOT NULL, code int);
INSERT INTO office SELECT generate_series(1, 4);
INSERT INTO person SELECT 'p|' || i, 1 + i % 4, 'p' || i || '@x' FROM generate_series(1, 40) i;
INSERT INTO visit SELECT i, 1 + i % 4, 0 FROM generate_series(1, 40) i;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_code text, office_id uuid NOT NULL, email text UNIQUE);
CREATE TABLE visits (id uuid PRIMARY KEY, office_id uuid NOT NULL REFERENCES offices, code text);
SQL
mapping_write <<'YAML'
rows:
  - {name: office, from: office, to: offices, key: {id: {uuid: office, of: id}}}
  - {name: person, from: person, to: people, key: {id: {uuid: person, of: code}},
     columns: {legacy_code: code, office_id: {uuid: office, of: office_id, required: true}, email: email}}
  - {name: visit, from: visit, to: visits, key: {id: {uuid: visit, of: id}},
     columns: {office_id: {uuid: office, of: office_id, required: true}, code: {from: code, enum: {0: zero, 1: one}, else: reject}}}
YAML
settings_write "breaker: {window: 0}" "quarantine: {backoff: 1h}"
check "init" pgrekey init --quiet
engine_start
caught_up

# counted NAME PERSON VISIT: mapped and quarantined of each
counted() {
    local rule
    caught_up
    for rule in person visit; do
        accounts "$1: accounts of $rule" $rule $rule
        equals "$1: as many of $rule stand as are counted" "$(target_sql "SELECT mapped FROM pgrekey.counter WHERE rule = '$rule'")" \
            "$(target_sql "SELECT count(*) FROM $([ $rule = person ] && echo people || echo visits)")"
    done
    equals "$1: counted" "$2 $3" "$(target_sql "SELECT string_agg(mapped || ' ' || quarantined, ' ' ORDER BY rule) FROM pgrekey.counter WHERE rule <> 'office'")"
}

counted "at first" "40 0" "40 0"
# Failed updates leave the last good versions standing: mapped is one less, but the row is there.
source_script <<'SQL'
UPDATE person SET email = 'p3@x' WHERE code = 'p|2';
UPDATE visit SET code = 9 WHERE id IN (2, 6);
SQL
caught_up
equals "they stand aside" "39 1 38 2" "$(target_sql "SELECT string_agg(mapped || ' ' || quarantined, ' ' ORDER BY rule) FROM pgrekey.counter WHERE rule <> 'office'")"
source_sql "DELETE FROM office WHERE id = 3"
counted "their parent goes, and ten of each with it" "30 10" "30 10"
equals "none of them stands aside twice" "10 10" "$(target_sql "SELECT string_agg(n::text, ' ') FROM (
    SELECT count(*) n FROM pgrekey.quarantine WHERE status <> 'resolved' GROUP BY rule ORDER BY rule) q")"
source_script <<'SQL'
UPDATE person SET email = 'p2@x' WHERE code = 'p|2';
UPDATE visit SET code = 1 WHERE id IN (2, 6);
INSERT INTO office VALUES (3);
SQL
counted "mended, and the parent is back" "40 0" "40 0"
engine_stop
test_end
