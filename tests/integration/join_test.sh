#!/usr/bin/env bash
# A rule, a mirror and what is computed from them join a pipeline that streams: their tables are copied part by part, and
# meanwhile the stream goes on, keys move between what was read and what was not, tables are truncated, servers and engine
# are cut off. The end is what a fresh snapshot gives, with exact accounts.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
target_sql 'CREATE EXTENSION "uuid-ossp"'
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id int PRIMARY KEY, office_id int, boss_id int, mail text, long text);
CREATE TABLE visit (id text PRIMARY KEY, person_id int, n int);
CREATE TABLE scratch (id int PRIMARY KEY, n int);
ALTER TABLE person ALTER long SET STORAGE EXTERNAL;
INSERT INTO office SELECT i, 'Office ' || i FROM generate_series(1, 40) i;
INSERT INTO person SELECT i, 1 + i % 50, 1 + (i * 7) % 31000, 'm' || i, CASE WHEN i % 9 = 0 THEN repeat(md5(i::text), 100) END FROM generate_series(1, 30000) i;
INSERT INTO visit SELECT 'v' || i, 1 + i % 33000, i FROM generate_series(1, 20000) i;
INSERT INTO scratch SELECT i, i FROM generate_series(1, 6000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, office_id uuid REFERENCES offices, boss_id uuid, mail text UNIQUE, long text);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id text UNIQUE, person_id uuid NOT NULL REFERENCES people, n int);
CREATE TABLE scratches (id int PRIMARY KEY, n int);
CREATE TABLE stats (id uuid PRIMARY KEY, legacy_id int UNIQUE, people int, CHECK (people < 100000));
CREATE TABLE plans (id uuid PRIMARY KEY, legacy_id int UNIQUE, stat_id uuid REFERENCES stats);
SQL
OFFICE='  - {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}'
PERSON='  - {name: people, from: person, to: people, when: id % 13 <> 5, key: {id: {uuid: person, of: id}}, columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: false}, boss_id: {uuid: person, of: boss_id, required: false}, mail: mail, long: long}}'
VISIT='  - {name: visits, from: visit, to: visits, key: {id: {uuid: visit, of: id}}, columns: {legacy_id: id, person_id: {uuid: person, of: person_id}, n: n}}'
SCRATCH='  - {name: scratch, from: scratch, to: scratches, truncate: rows, key: {id: id}, columns: {n: n}}'
PLAN='  - {name: plans, from: office, to: plans, key: {id: {uuid: plan, of: id}}, columns: {legacy_id: id, stat_id: {uuid: stat, of: id, required: false}}}'
STATS='derive:
  - name: stats
    to: stats
    key: {id: {uuid: stat, of: office_id}}
    touched: {offices: select legacy_id from touched, person: select office_id from touched}
    query: select o.legacy_id as office_id, o.legacy_id, (select count(*)::int from person p where p.office_id = o.legacy_id) as people from keys k join offices o on o.legacy_id = k.office_id
    gone: delete'
MIRROR='mirrors:
  person: {columns: [office_id], index: office_id}'
# The newest rule of a name.
accounts() {
    local rows sum
    rows=$(source_sql "SELECT count(*) FROM $3")
    sum=$(target_sql "SELECT mapped + quarantined + excluded FROM pgrekey.counter WHERE rule IN ('$2', '$2 again') ORDER BY rule DESC LIMIT 1")
    equals "$1" "$rows" "${sum:-no counter}"
}
# mapping ROW-RULES [REST]
mapping() { printf 'rows:\n%s\n%s\n' "$1" "${2:-}" | mapping_write; }
mapping "$OFFICE"
SETTINGS=("snapshot:" "  range_rows: 2000" "breaker:" "  window: 0" "quarantine:" "  backoff: 1h")
settings_write "${SETTINGS[@]}"
pgrekey init >/dev/null
check "the pipeline begins" pgrekey run --until-caught-up

# --- the stream goes on

mapping "$OFFICE
$PERSON
$VISIT" "$MIRROR
$STATS"
pgrekey init >/dev/null
target_sql "BEGIN; LOCK TABLE people IN SHARE MODE; SELECT pg_sleep(60)" >"$T/lock.out" 2>&1 &
locker=$!
target_sql "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.15); RETURN NULL; END'"
engine_start
is_joining() { grep -q 'event=joining' "$T/engine.log"; }
wait_for 20 "the mapping to be taken up" is_joining
target_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE%'" >/dev/null
wait "$locker" || true
target_sql "CREATE TRIGGER dawdle AFTER INSERT ON people FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
source_sql "INSERT INTO office VALUES (1000, 'meanwhile'); UPDATE person SET mail = 'early ' || id WHERE id % 100 = 7;
    UPDATE person SET id = id + 40000 WHERE id % 50 = 3; UPDATE person SET id = id - 60000 WHERE id % 1000 = 9; DELETE FROM person WHERE id % 100 = 11"
caught_up
equals "while a table is copied the stream goes on" "meanwhile t" "$(target_sql "SELECT name || ' ' || EXISTS (SELECT FROM pgrekey.snapshot_part WHERE NOT done) FROM offices WHERE legacy_id = 1000" | sed 's/ true$/ t/')"
pgrekey status >"$T/status" || true
check "status says what is on its way" grep -q 'parts of new tables are still to be copied' "$T/status"
target_sql "DROP TRIGGER dawdle ON people"
joined 120
people() {
    same_rows "$1" "SELECT id, CASE WHEN EXISTS (SELECT FROM office o WHERE o.id = office_id) THEN office_id END, md5(long), mail FROM person WHERE id % 13 <> 5" \
        "SELECT p.legacy_id, o.legacy_id, md5(p.long), p.mail FROM people p LEFT JOIN offices o ON o.id = p.office_id"
    same_rows "$1: references to rows of their own" "SELECT p.id, b.id FROM person p JOIN person b ON b.id = p.boss_id AND b.id % 13 <> 5 WHERE p.id % 13 <> 5" \
        "SELECT p.legacy_id, b.legacy_id FROM people p JOIN people b ON b.id = p.boss_id"
    accounts "$1: the account" people person
    equals "$1: what is excluded" "$(source_sql "SELECT count(*) FROM person WHERE id % 13 = 5")" "$(target_sql "SELECT excluded FROM pgrekey.counter WHERE rule LIKE 'people%' ORDER BY rule DESC LIMIT 1")"
}
everything() {
    people "$1"
    same_rows "$1: children" "SELECT v.id, p.id, v.n FROM visit v JOIN person p ON p.id = v.person_id AND p.id % 13 <> 5" \
        "SELECT v.legacy_id, p.legacy_id, v.n FROM visits v JOIN people p ON p.id = v.person_id"
    accounts "$1: their account, those that wait among them" visits visit
    same_rows "$1: what is computed" "SELECT id, (SELECT count(*) FROM person p WHERE p.office_id = o.id) FROM office o" "SELECT legacy_id, people FROM stats"
    same_rows "$1: its mirror" "SELECT id, office_id FROM person" "SELECT id, office_id FROM pgrekey_mirror.person"
    equals "$1: its account" "$(target_sql "SELECT count(*) FROM stats")" "$(target_sql "SELECT mapped FROM pgrekey.counter WHERE rule = 'stats'")"
    equals "$1: nothing but orphans waits" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine q WHERE status <> 'resolved' AND EXISTS (SELECT FROM people p WHERE p.id::text = q.waits_id)")"
}
everything "what has joined is whole"
check "level by level" test "$(grep -c 'event=joining' "$T/engine.log")" -ge 3
source_sql "UPDATE person SET office_id = 3 WHERE id < 300; DELETE FROM person WHERE id % 77 = 1; INSERT INTO visit SELECT 'w' || i, i, i FROM generate_series(1, 200) i"
caught_up
everything "and goes on"
equals "the keys of parts are forgotten" 0 "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE lo IS NOT NULL OR hi IS NOT NULL OR point IS NOT NULL")"
engine_stop

# --- a parent that somebody leans on at once is copied first

mapping "$OFFICE
$PERSON
$VISIT
$PLAN" "$MIRROR
$STATS"
begin_lines=$(grep -c 'event=joining' "$T/engine.log")
engine_start
joined
same_rows "a rule that refers to what is computed" "SELECT id, id FROM office" "SELECT p.legacy_id, s.legacy_id FROM plans p JOIN stats s ON s.id = p.stat_id"
engine_stop
mapping "${OFFICE/name: name/name: k.n}
$PERSON
$VISIT
$PLAN" "$MIRROR
  scratch: {columns: [n]}
$STATS"
sed -i 's/to: offices, /to: offices, lookup: {k: {mirror: scratch, by: id}}, /' "$T/mapping.yaml"
begin_lines=$(grep -c 'event=joining' "$T/engine.log")
engine_start
source_sql "UPDATE office SET name = name || '' WHERE id = 5"
caught_up
equals "a mirror that is looked up in is copied before the stream goes on" "$begin_lines" "$(grep -c 'event=joining' "$T/engine.log")"
equals "so it is found" 5 "$(target_sql "SELECT name FROM offices WHERE legacy_id = 5")"
engine_stop
mapping "$OFFICE
$PERSON
$VISIT
$PLAN" "$MIRROR
$STATS"
check "and without it again" pgrekey run --until-caught-up

# --- truncated while it joins, cut off and killed

mapping "$OFFICE
$PERSON
$VISIT
$PLAN
$SCRATCH" "$MIRROR
$STATS"
target_sql "CREATE TRIGGER dawdle AFTER INSERT ON scratches FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
engine_start
some_parts() { [ "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part WHERE done AND rules = '{scratch}'")" -gt 0 ]; }
wait_for 20 "the first part" some_parts
source_sql "TRUNCATE scratch; INSERT INTO scratch SELECT i, -i FROM generate_series(1, 6000) i"
joined
scratch() {
    same_rows "$1" "SELECT id, n FROM scratch" "SELECT id, n FROM scratches"
    accounts "$1: the account" scratch scratch
}
scratch "truncated while it joins"
engine_stop
mapping "$OFFICE"
check "all go" pgrekey run --until-caught-up
target_sql "DROP TRIGGER dawdle ON scratches; TRUNCATE people, visits, scratches, stats, plans CASCADE"
settings_write "${SETTINGS[@]}" "batch:" "  max_rows: 300"
mapping "$OFFICE
${PERSON/name: people/name: people again}
${VISIT/name: visits/name: visits again}
${SCRATCH/name: scratch/name: scratch again}" "$MIRROR
${STATS/name: stats/name: stats again}"
for round in $(seq 1 12); do
    engine_start
    nap_ms "$(random_between 100 1200)"
    case $((round % 4)) in
    0) cut_connections source ;;
    1) cut_connections target ;;
    esac
    nap_ms "$(random_between 0 300)"
    engine_is_alive || break
    engine_kill
    source_sql "UPDATE person SET mail = mail || '+' WHERE id % 100 = $round; DELETE FROM person WHERE id % 500 = $round; INSERT INTO visit VALUES ('x$round', $round, 1);
        UPDATE person SET id = id + 100000 WHERE id % 300 = $round AND id < 100000; UPDATE scratch SET id = -id WHERE id % 40 = $round; UPDATE visit SET person_id = $((round * 100)) WHERE n % 50 = $round;
        UPDATE person SET office_id = $round WHERE id % 90 = $round; DELETE FROM visit WHERE n % 60 = $round"
    [ "$round" -ne 6 ] || source_sql "TRUNCATE scratch; INSERT INTO scratch SELECT i, i FROM generate_series(1, 5000) i"
done
engine_start
joined 120
people "killed and cut off while they join"
same_rows "their children" "SELECT v.id, p.id, v.n FROM visit v JOIN person p ON p.id = v.person_id AND p.id % 13 <> 5" \
    "SELECT v.legacy_id, p.legacy_id, v.n FROM visits v JOIN people p ON p.id = v.person_id"
accounts "and their account" visits visit
same_rows "what is computed" "SELECT id, (SELECT count(*) FROM person p WHERE p.office_id = o.id) FROM office o" "SELECT legacy_id, people FROM stats"
scratch "and what was truncated"
test_end
