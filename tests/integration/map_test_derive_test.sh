#!/usr/bin/env bash
# `pgrekey map test` shows derived rows too: they are written on the target and rolled back, so that nothing of it stays,
# before the first run as beside an engine.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
target_sql 'CREATE EXTENSION "uuid-ossp"'
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY, name text);
CREATE TABLE doctor (id int PRIMARY KEY, office_id int, name text, secret text);
CREATE TABLE visit (id int PRIMARY KEY, doctor_id int, year int);
INSERT INTO office SELECT i, 'Office ' || i FROM generate_series(1, 20) i;
INSERT INTO doctor SELECT i, i, 'Doctor ' || i, 'hush' || i FROM generate_series(1, 20) i;
INSERT INTO visit SELECT i, 1 + i % 20, 2000 + i % 3 FROM generate_series(1, 60) i;
UPDATE doctor SET name = 'a name that is much too long' WHERE id = 3;
UPDATE doctor SET name = 'nobody' WHERE id = 4;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
CREATE TABLE doctors (id uuid PRIMARY KEY, legacy_id int UNIQUE, office_id uuid NOT NULL REFERENCES offices, name varchar(15), note text DEFAULT 'theirs');
CREATE TABLE years (doctor_id uuid REFERENCES doctors, year int, visits int, PRIMARY KEY (doctor_id, year));
CREATE TABLE heard (what text);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO heard VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER hear AFTER INSERT OR UPDATE OR DELETE ON doctors FOR EACH ROW EXECUTE FUNCTION hear();
SQL
mapping_write <<'YAML'
never: {doctor: [secret]}
rows:
  - {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}
mirrors:
  doctor: {}
  visit: {columns: [id, doctor_id, year], index: doctor_id}
views:
  counted: select doctor_id, year, count(*)::int as visits from visit group by doctor_id, year
derive:
  - name: doctors
    to: doctors
    key: {id: {uuid: doctor, of: doctor_id}}
    references: {office_id: office}
    columns: [legacy_id, office_id, name]
    touched:
      doctor: {columns: [id, office_id, name], keys: select id from touched}
    query: |
      select d.id as doctor_id, d.id as legacy_id, pgrekey.id('office', d.office_id) as office_id, d.name
      from keys join doctor d on d.id = keys.doctor_id
    reject: {when: name = 'nobody', category: "'ambiguous_value'"}
    gone: delete
  - name: years
    to: years
    key: {doctor_id: {uuid: doctor, of: doctor_id}, year: year}
    columns: [visits]
    touched: {visit: "select doctor_id, year from touched"}
    query: |
      select c.doctor_id, c.year, c.visits from keys join counted c using (doctor_id, year)
    gone: delete
YAML
settings_write "quarantine: {retries: 0}"

# tests NAME CODE ARGUMENTS…: output in $T/out, as JSON.
tests() {
    local name=$1 code=$2 rc=0
    shift 2
    pgrekey map test --json "$@" >"$T/out" 2>"$T/err" </dev/null || rc=$?
    equals "$name: exit code" "$code" "$rc"
}
# field EXPRESSION: of the last JSON, in Python; `by` has derived rows by derivation and key.
field() {
    python3 -c "
import json
d = json.load(open('$T/out'))
by = {(r['derivation'], tuple(r['key'])): r for r in d['derived']}
sums = {r['derivation']: r for r in d['derivations']}
print($1)"
}
# everything: each row of the target's tables, the engine's and the mirrors' included; but for what an idle engine writes.
everything() {
    target_sql "SELECT string_agg(format('SELECT %L, count(*), md5(string_agg(t::text, %L ORDER BY t::text)) FROM %I.%I t', n.nspname || '.' || c.relname, '|', n.nspname, c.relname), ' UNION ALL ' ORDER BY 1) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'v') AND n.nspname IN ('public', 'pgrekey', 'pgrekey_mirror') AND c.relname NOT IN ('heartbeat', 'pipeline', 'snapshot_part')" >"$T/sql"
    target_script <"$T/sql"
}

# --- a target without the engine's schema

tests "without the engine's schema" 0
equals "rows of rules are tried all the same" 10 "$(field "sum(r['outcome'] == 'mapped' for r in d['rows'] if r['rule'] == 'offices')")"
equals "derivations are not, and it says why" "False target: the engine's schema pgrekey is not there" "$(field "d['tried_derivations'], d['not_derived']" | tr -d "(),'\"" | sed "s/engines/engine's/")"
pgrekey map test >"$T/screen"
check "on the screen too" grep -q "derived rows were not tried: target: the engine's schema pgrekey is not there" "$T/screen"
check "and what to do" grep -q 'run .pgrekey init. first' "$T/screen"

# --- before the first run

pgrekey init --login >/dev/null
target_sql "GRANT INSERT ON heard TO pgrekey"
sed -i -e 's/dbname=app user=postgres/dbname=app user=pgrekey/' "$T/pgrekey.yaml"
everything >"$T/before"
check "there is something to compare" grep -q '^pgrekey.quarantine' "$T/before"
tests "before the first run" 6 --limit 100
equals "mirrors are missing, and are made for it" True "$(field "d['mirrors_missing']")"
equals "a derived row" "inserted $(source_uuid_ossp && source_sql "SELECT $(uuid_sql doctor 7)") 7 Doctor 7" \
    "$(field "' '.join([by['doctors', ('7',)]['outcome']] + [by['doctors', ('7',)]['values'][c] for c in ('id', 'legacy_id', 'name')])")"
equals "with its parent's id" "$(source_sql "SELECT $(uuid_sql office 7)")" "$(field "by['doctors', ('7',)]['values']['office_id']")"
equals "one that its table refuses" "quarantined validation_failure 22001 None" \
    "$(field "' '.join(str(by['doctors', ('3',)][c]) for c in ('outcome', 'category', 'sqlstate', 'values'))")"
equals "one that the derivation rejects" "quarantined ambiguous_value nobody" \
    "$(field "' '.join([by['doctors', ('4',)][c] for c in ('outcome', 'category')] + [by['doctors', ('4',)]['values']['name']])")"
equals "a chain over a view" "inserted 3" "$(field "by['years', ('7', '2000')]['outcome'], sum(k[1][0] == '7' for k in by if k[0] == 'years')" | tr -d "(),'")"
equals "the sums" "18 0 2" "$(field "' '.join(str(sums['doctors'][c]) for c in ('inserted', 'unchanged', 'quarantined'))")"
check "nothing under never: is printed" sh -c "! grep -q hush '$T/out'"
everything >"$T/after"
check "nothing stays on the target" diff "$T/before" "$T/after"
equals "no table either" 0 "$(target_sql "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pgrekey_mirror' AND c.relkind IN ('r', 'v')")"

tests "a row without its parent" 0 --table doctor 7
equals "waits for it" "parked orphan_reference public.offices $(source_sql "SELECT $(uuid_sql office 7)")" \
    "$(field "' '.join(by['doctors', ('7',)][c] for c in ('outcome', 'category', 'waits_table', 'waits_id'))")"
tests "a derivation by name" 0 --rule doctors --limit 1
equals "its inputs' rows are tried, and nothing else" "mirror doctor" "$(field "' '.join(sorted({r['target_table'].split('.')[0].replace('pgrekey_', '') + ' ' + r['source_table'].split('.')[1] for r in d['rows']}))")"
pgrekey_fails "a derivation that is not there" 2 'did you mean doctors' map test --rule doctor

# --- beside an engine

engine_start
caught_up
everything >"$T/before"
heard=$(target_sql "SELECT count(*) FROM heard")
tests "beside an engine" 6 --limit 100
equals "what stands is unchanged" "0 18 2" "$(field "' '.join(str(sums['doctors'][c]) for c in ('inserted', 'unchanged', 'quarantined'))")"
equals "mirrors are there" False "$(field "d['mirrors_missing']")"
everything >"$T/after"
check "nothing on the target is another" diff "$T/before" "$T/after"
equals "no trigger left a trace" "$heard" "$(target_sql "SELECT count(*) FROM heard")"
engine_stop

source_sql "UPDATE doctor SET name = 'Renamed' WHERE id = 7; DELETE FROM doctor WHERE id = 8; UPDATE doctor SET office_id = 900 WHERE id = 9"
everything >"$T/before"
tests "what waits in the slot" 0 --stream --limit 100
equals "an update, a row that goes, and one that waits" "updated gone parked" \
    "$(field "' '.join(by['doctors', (k,)]['outcome'] for k in '789')")"
equals "the row as it would stand" Renamed "$(field "by['doctors', ('7',)]['values']['name']")"
everything >"$T/after"
check "and nothing on the target is another" diff "$T/before" "$T/after"

target_script >/dev/null 2>&1 <<<"BEGIN; UPDATE doctors SET note = 'mine' WHERE legacy_id = 7; SELECT pg_sleep(60)" &
holder_waits() { [ "$(target_sql "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")" = 1 ]; }
wait_for 30 "the other session" holder_waits
tests "a row that somebody else holds" 3 --table doctor 7
check "gives way" grep -q 'another session' "$T/err"
target_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'" >/dev/null
wait $! || true
engine_start
caught_up
equals "afterwards the engine applies it all" "Renamed 0" "$(target_sql "SELECT (SELECT name FROM doctors WHERE legacy_id = 7), (SELECT count(*) FROM doctors WHERE legacy_id = 8)" | tr '|' ' ')"
engine_stop

# --- the screen

pgrekey map test --table doctor 4 7 >"$T/screen" || true
check "a derived row" grep -qF 'doctors  ["7"]  unchanged' "$T/screen"
check "a rejected one says why" grep -qF 'doctors  ["4"]  quarantined: ambiguous_value: ' "$T/screen"
pgrekey map test --quiet --table doctor 4 7 >"$T/screen" || true
check "--quiet leaves the good ones out" test "$(grep -c '^doctors' "$T/screen")" = 1

# --- a mapping that has moved on

sed 's/  doctor: {}/  doctor: {columns: [id, office_id, name], where: id < 100}/; s/visits from visit/visits from visit where true/' "$T/mapping.yaml" >"$T/other.yaml"
tests "a view that has another query now" 0 --table office --set "mapping=$T/other.yaml"
equals "waits for the engine" 'view counted stands on the target otherwise than the mapping has it now' "$(field "d['not_derived']")"
test_end
