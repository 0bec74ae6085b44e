#!/usr/bin/env bash
# Mirrors, views and derivations of a mapping that changes over months: they join, compute otherwise, go and come back,
# while the source goes on. After each change the target is what the queries give afresh.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
target_sql 'CREATE EXTENSION "uuid-ossp"'
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id serial PRIMARY KEY, office_id int, kind text, points int NOT NULL DEFAULT 1);
INSERT INTO office SELECT i, 'Office ' || i FROM generate_series(1, 40) i;
INSERT INTO person (office_id, kind) SELECT 1 + i % 45, CASE WHEN i % 3 = 0 THEN 'boss' ELSE 'clerk' END FROM generate_series(1, 3000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
CREATE TABLE stats (id uuid PRIMARY KEY, legacy_id int UNIQUE, people int, points int);
SQL
settings_write "breaker:" "  window: 0"
OFFICE='  - {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}'
PERSON='  person: {columns: [id, office_id], index: office_id}'
WIDER='  person: {columns: [id, office_id, kind, points], index: office_id}'
# stats QUERY [MORE…]
stats() {
    printf '  - name: stats\n    to: stats\n    key: {id: {uuid: stat, of: office_id}}\n'
    printf '    touched: {offices: select legacy_id from touched, person: select office_id from touched}\n'
    printf '    query: %s\n    gone: delete\n' "$@"
}
COUNT='select o.legacy_id as office_id, o.legacy_id, (select count(*)::int from person p where p.office_id = o.legacy_id) as people, 0 as points from keys k join offices o on o.legacy_id = k.office_id'
BOSSES=${COUNT/count(*)::int from person p where/count(*)::int from bosses p where}
BOSSES=${BOSSES/0 as points/(select sum(points)::int from person p where p.office_id = o.legacy_id) as points}
VIEWS=$'views:\n  bosses: select id, office_id from person where kind = \'boss\''
# mapping MIRRORS [VIEWS] [DERIVATIONS]
mapping() {
    {
        printf 'rows:\n%s\n' "$OFFICE"
        [ -z "${1:-}" ] || printf 'mirrors:\n%s\n' "$1"
        printf '%s\n' "${2:-}"
        [ -z "${3:-}" ] || printf 'derive:\n%s\n' "$3"
    } | mapping_write
}
states() { target_sql "SELECT string_agg(step || ' ' || state, ', ' ORDER BY step) FROM pgrekey.mapping_step"; }
# counts NAME PEOPLE POINTS: SQL on the source for an office o, as the derivation at hand computes them.
counts() {
    same_rows "$1" "SELECT o.id, ($2), ($3) FROM office o" "SELECT legacy_id, people, points FROM stats"
    same_rows "$1: the mirror" "SELECT id, office_id FROM person" "SELECT id, office_id FROM pgrekey_mirror.person"
    equals "$1: the account" "$(target_sql "SELECT count(*) FROM stats")" "$(target_sql "SELECT mapped FROM pgrekey.counter WHERE rule = 'stats'")"
    accounts "$1: the mirror's account" "person->pgrekey_mirror.person" person
}
PEOPLE="SELECT count(*) FROM person p WHERE p.office_id = o.id"
POINTS="SELECT sum(points) FROM person p WHERE p.office_id = o.id"
# What happens at the source while nobody looks.
change_source() {
    source_sql "DELETE FROM person WHERE id % 11 = $1; UPDATE person SET office_id = 1 + (office_id + $1) % 45 WHERE id % 7 = $1;
        INSERT INTO person (office_id, kind, points) SELECT 1 + i % 45, 'boss', $1 FROM generate_series(1, 50) i;
        UPDATE person SET points = points + 1 WHERE id % 5 = $1; DELETE FROM office WHERE id = 10 + $1; INSERT INTO office VALUES (100 + $1, 'new') ON CONFLICT DO NOTHING"
}
run() { check "$1" pgrekey run --until-caught-up; }

mapping
pgrekey init >/dev/null
run "without any derivation"

# --- they join

change_source 1
mapping "$PERSON" "" "$(stats "$COUNT")"
pgrekey init >/dev/null
pgrekey_fails "check tells of a new mirror" 0 'mirror person->pgrekey_mirror.person is new: its table is copied' check
pgrekey_fails "and of a new derivation" 0 'derivation stats is new: it is run over all keys' check
run "a mirror and a derivation join"
counts "they have all" "$PEOPLE" 0
change_source 2
run "and go on"
counts "with the stream" "$PEOPLE" 0
equals "like the others" "offices current, person->pgrekey_mirror.person current, stats current" "$(states)"

# --- they change

before=$(target_sql "SELECT max(xmin::text::int) FROM stats")
printf '# nothing but a comment\n' >>"$T/mapping.yaml"
run "a comment"
equals "is no change" "$before" "$(target_sql "SELECT max(xmin::text::int) FROM stats")"
change_source 3
mapping "$WIDER" "$VIEWS" "$(stats "$BOSSES")"
pgrekey_fails "check tells of a changed derivation" 0 'derivation stats was changed: it is run again' check
pgrekey_fails "and of a changed mirror" 0 'mirror person->pgrekey_mirror.person was changed: it is copied again' check
target_sql "ALTER TABLE stats ADD CHECK (people < 20) NOT VALID"
run "a wider mirror, a view, another query, and keys that the target refuses"
target_sql "ALTER TABLE stats DROP CONSTRAINT stats_people_check"
engine_start
caught_up
check "are tried again" pgrekey quarantine retry --all
engine_stop
counts "all at once" "$PEOPLE AND kind = 'boss'" "$POINTS"
equals "nothing is due" "offices current, person->pgrekey_mirror.person current, stats current" "$(states)"

# --- killed while they do

for round in 1 2 3 4 5 6; do
    if [ $((round % 2)) -eq 0 ]; then
        mapping "$WIDER" "$VIEWS" "$(stats "$BOSSES")"
    else
        mapping "$PERSON" "" "$(stats "$COUNT")"
    fi
    change_source "$round"
    for _ in 1 2 3; do
        engine_start
        nap_ms "$(random_between 20 350)"
        engine_kill
    done
done
run "killed while the mapping goes to and fro"
counts "it is the last one's" "$PEOPLE AND kind = 'boss'" "$POINTS"

# --- another view

mapping "$WIDER" "${VIEWS/\'boss\'/\'clerk\'}" "$(stats "$BOSSES")"
run "a view that reads otherwise"
counts "counts" "$PEOPLE AND kind = 'clerk'" "$POINTS"

# --- rejected keys, and a mended mapping

mapping "$WIDER" "${VIEWS/\'boss\'/\'clerk\'}" "$(stats "$BOSSES"; echo "    reject: {when: legacy_id < 5, category: \"'validation_failure'\"}")"
run "a derivation that rejects"
equals "quarantines" t "$(target_sql "SELECT count(*) > 0 AND count(*) = (SELECT quarantined FROM pgrekey.counter WHERE rule = 'stats') FROM pgrekey.quarantine WHERE rule = 'stats' AND status <> 'resolved'")"
mapping "$WIDER" "${VIEWS/\'boss\'/\'clerk\'}" "$(stats "$BOSSES")"
run "mended"
equals "it resolves them" "0 0" "$(target_sql "SELECT count(*) || ' ' || (SELECT quarantined FROM pgrekey.counter WHERE rule = 'stats') FROM pgrekey.quarantine WHERE rule = 'stats' AND status <> 'resolved'")"
counts "mended" "$PEOPLE AND kind = 'clerk'" "$POINTS"

# --- they go, and come back

mapping "$WIDER" "$VIEWS"
run "without the derivation"
change_source 5
run "its rows stay"
equals "it is on record" "offices current, person->pgrekey_mirror.person current, stats removed" "$(states)"
mapping "$WIDER" "$VIEWS" "$(stats "$BOSSES")"
run "brought back"
counts "it is as afresh" "$PEOPLE AND kind = 'boss'" "$POINTS"
mapping
run "without any"
equals "the mirror's table is gone" "" "$(target_sql "SELECT to_regclass('pgrekey_mirror.person')")"
change_source 6
mapping "$PERSON" "" "$(stats "$COUNT")"
run "and with all again"
counts "afresh" "$PEOPLE" 0
test_end
