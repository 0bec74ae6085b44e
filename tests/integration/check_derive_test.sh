#!/usr/bin/env bash
# What `map check` says of the mapping's SQL: the target judges every query, none is run, and nothing is left behind.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE patient (id int PRIMARY KEY, name text);
CREATE TABLE instruction (id int PRIMARY KEY, patient_id int, kind text);
CREATE TABLE jaw (id int PRIMARY KEY, instruction_id int, side text);
INSERT INTO instruction SELECT i, i, 'k' FROM generate_series(1, 20000) i;
INSERT INTO jaw SELECT i, i, 'upper' FROM generate_series(1, 30000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE EXTENSION "uuid-ossp";
CREATE SCHEMA import;
CREATE TABLE import.known (legacy int, id uuid, label text);
CREATE TABLE patients (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
CREATE TABLE jaws (id uuid PRIMARY KEY, legacy_id int UNIQUE, side text, patient_id uuid REFERENCES patients, n int NOT NULL DEFAULT 0);
CREATE INDEX patient_of_jaw ON jaws (patient_id);
CREATE TABLE tallies (day date PRIMARY KEY, n bigint);
INSERT INTO jaws (id, side) SELECT gen_random_uuid(), 'x' FROM generate_series(1, 15000);
ANALYZE;
CREATE ROLE poor LOGIN;
REVOKE TEMPORARY ON DATABASE app FROM PUBLIC;
SQL

# The mapping, with pieces that a test may give otherwise.
map_of() {
    local query=${query:-"select k.jaw_id, k.jaw_id as legacy_id, j.side, pgrekey.id('patient', i.patient_id) as patient_id, i.kind from keys k join jaw j on j.id = k.jaw_id left join instruction i on i.id = j.instruction_id"}
    local keys=${keys:-"select j.id from touched t join jaw j on j.instruction_id = t.id"}
    mapping_write <<YAML
mirrors:
  jaw: {columns: [instruction_id, side]${index-, index: [instruction_id]\}}
  instruction: {columns: [patient_id, kind]}
views:
  uppers: ${view:-"select id from jaw where side = 'upper'"}
rows:
  - from: patient
    to: patients
    key: {id: {uuid: patient, of: id}, adopt: {sql: "${adopt:-select legacy, id from import.known}"}}
    columns: {legacy_id: id, name: name}
derive:
  - name: jaws
    to: jaws
    key: {id: {uuid: jaw, of: jaw_id}}
    touched:
      jaw: ${jaw_keys:-select id from touched}
      instruction: "$keys"
    query: |
      $query
    reject: {when: "${reject:-kind is null}", category: "${category:-'orphan_reference'}"}
  - name: tally
    to: tallies
    key: {day: day}
    touched: {jaw: select date '2026-01-01' from touched}
    query: ${tally:-select k.day, 1::bigint as n from keys k}
YAML
}
settings_write

# says NAME PATTERN CODE
says() { pgrekey_fails "$1" "${3:-6}" "$2" map check; }

map_of
says "before init only pgrekey.id() is not known" 'warning.*run pgrekey init.*pgrekey\.id' 0
check "and nothing else is" test "$(grep -c warning "$T/fails.log")" = 2
pgrekey init >"$T/init.log" 2>&1
map_of
says "a good mapping is fine" 'fine, [0-9]+ rules \(checked against both' 0
check "without a warning" test "$(grep -c warning "$T/fails.log")" = 0
check "and its indexes are those that a few keys need" test -z "$(grep 'reads all' "$T/fails.log" || true)"
equals "nothing is left on the target" 0 "$(target_sql "SELECT count(*) FROM pg_class WHERE relname ~ 'pgrekey_(keys|touched|result)' OR relname IN ('jaw', 'uppers')")"

index=\} map_of
says "a missing index of a mirror is named" 'jaws: for a few keys the query of keys reads all of "jaw" \(about 30000 rows\); an index is missing.* on "instruction_id" \("index:" of the mirror\)' 0
query='select jaw_id, count(*)::int as n from (select j.id as jaw_id, null as kind from jaw j) x group by 1' reject='n > 1' map_of
says "a query that does not start from keys is warned of" 'the query reads all of "jaw" \(about 30000 rows\)' 0
query="select j.id as jaw_id, j.side, null as kind from keys k join jaw j on upper(j.side) = k.jaw_id::text" map_of
says "so is a condition that no index serves" 'an index is missing, or cannot be used, on "side"' 0
query='select k.jaw_id, s.side, null as kind from keys k join jaws s on s.legacy_id = k.jaw_id' keys='select t.id from touched t join jaws s on s.side = t.kind' map_of
says "a table of the target too" 'query of keys reads all of "jaws" \(about 15000 rows\); an index is missing, or cannot be used, on "side"$' 0

target_sql "DROP INDEX patient_of_jaw; CREATE INDEX patient_of_some ON jaws (patient_id) WHERE n > 0"
map_of
says "a column that refers, without an index, is warned of" 'warning: jaws: "patient_id" of public.jaws \(about 15000 rows\) has no index: when a row of public.patients goes' 0
target_sql "CREATE INDEX patient_of_jaw ON jaws (patient_id, side)"
says "one behind which other columns stand will do" 'fine, [0-9]+ rules' 0
check "and says nothing" test "$(grep -c warning "$T/fails.log")" = 0

query='select k.jaw_id, j.sides as side from keys k join jaw j on j.id = k.jaw_id' map_of
says "a column that is not there is named, with its place" 'mapping.yaml:19:1: jaws: the target does not take the query: no such column; SQLSTATE 42703, at line 1, character 18 of it \(j\.sides\)'
query='select k.jaw_id, j.side from keys k join jaws_of_old j on j.id = k.jaw_id' map_of
says "so is a table" 'no such table, mirror or view; SQLSTATE 42P01.*\(jaws_of_old\)'
query="select k.jaw_id, pgrekey.id('patient', j.id) as patient_id from jaw j" map_of
says "beside pgrekey.id() as well" 'no such table, mirror or view; SQLSTATE 42P01.*\(k\.jaw_id\)'
query="select k.jaw_id, pgrekey.uuid('patient', k.jaw_id) as patient_id from keys k" map_of
says "and a function that pgrekey does not have" 'no such function or operator.*SQLSTATE 42883.*\(pgrekey\.uuid\)'
query='select jaw_id from keys where' map_of
says "a syntax error has its place" 'syntax error; SQLSTATE 42601'
query="select k.jaw_id, j.side, 'secret 42'::int as n from keys k join jaw j on j.id = k.jaw_id" map_of
says "a literal is refused without being printed" 'the target does not take the query: refused; SQLSTATE 22P02'
check "really not" test -z "$(grep 'secret 42' "$T/fails.log" || true)"
query='select k.jaw_id, j.side as sides, null as kind from keys k join jaw j on j.id = k.jaw_id' map_of
says "a column that the table does not have is named" 'column "sides", which public.jaws does not have.*did you mean "side"'
query='select j.side, null as kind from keys k join jaw j on j.id = k.jaw_id' map_of
says "a part of the key is missed" 'gives no column "jaw_id", which the key is made of'
query='select k.jaw_id, j.instruction_id as side, j.side as n, null as kind from keys k join jaw j on j.id = k.jaw_id' map_of
says "a type that does not fit is named" 'the query.s column "n" is of a type that column "n" of public.jaws does not take \(SQLSTATE 42804\)'
query='select k.jaw_id, null as kind from keys k; drop table jaws' map_of
says "a second statement is refused" 'jaws: the target does not take the query: syntax error'
keys='select t.id, t.kind from touched t' map_of
says "keys of two columns are refused" 'mapping.yaml:18:1: jaws: the query of keys gives 2 columns, the key is made of 1'
keys='select t.kind from touched t' map_of
says "keys of other types are refused" 'jaws: the keys of its inputs are of types that do not go together \(SQLSTATE 42804\)'
keys='select t.paitent_id from touched t' map_of
says "a column of touched that is not there is named" 'the query of keys: no such column.*\(t\.paitent_id\)'
reject='kind is null or kinds > 1' map_of
says "reject's condition is checked" 'mapping.yaml:21:1: jaws: the target does not take the condition of "reject:": no such column.*\(kinds\)'
category="missing || kind" map_of
says "its category too" 'the category of "reject:": no such column.*\(missing\)'
view='select idd from jaw' map_of
says "a view is checked" 'uppers: the target does not take the view: no such column.*\(idd\)'
tally="select k.day, 'x' || k.day as n from keys k" map_of
says "the second derivation as well" 'tally: the query.s column "n"'
adopt='select id from import.known' map_of
says "adoption wants the legacy key and the id" 'the query of "adopt:" gives 1 column; wanted are the legacy key, of 1'
adopt='select legacy, label from import.known' map_of
says "and a uuid" 'the last column of the query of "adopt:" is no uuid'
adopt='select legacy, id from import.unknown' map_of
says "and a table that is there" 'patient->patients: .*"adopt:": no such table.*\(import\.unknown\)'
map_of
poor=$(cluster_conninfo "$T/target" app)
pgrekey_fails "a role without temporary tables is told" 6 'GRANT TEMPORARY' map check --set "target.dsn=${poor/user=postgres/user=poor}"
query='select j.sides from jaw j' map_of
pgrekey_fails "check says the same" 6 'mapping.yaml:19:1: .*\(j\.sides\)' check
pgrekey_fails "a run is refused before it begins" 2 'mapping.yaml:19:1: .*\(j\.sides\)' run --until-caught-up
query='select k.jaw_id, j.side as sides, null as kind from keys k join jaw j on j.id = k.jaw_id' map_of
pgrekey_fails "so it is for a column of the result that nobody has" 2 'column "sides", which public.jaws does not have' run --until-caught-up
equals "and nothing has begun" 0 "$(target_sql "SELECT count(*) FROM pgrekey.pipeline")"
query='select j.sides from jaw j' map_of
check "map check --json too" sh -c "'$PGREKEY' -c '$T/pgrekey.yaml' map check --json | grep -q '\"line\":19'"
test_end
