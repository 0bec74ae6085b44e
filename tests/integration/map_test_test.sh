#!/usr/bin/env bash
# `pgrekey map test`: a dry run on rows of the source and on what waits in the slot. It shows what the engine would do,
# and does nothing.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text, country text, note text, tax numeric NOT NULL DEFAULT 0);
ALTER TABLE office ALTER note SET STORAGE EXTERNAL;
INSERT INTO office (name, country) SELECT 'Office ' || i, CASE i % 10 WHEN 0 THEN 'XX' ELSE 'US' END FROM generate_series(1, 30) i;
UPDATE office SET note = repeat('x', 10000), name = E'evil \033[2J name' WHERE id = 1;
UPDATE office SET name = 'a name that is much too long for its column' WHERE id = 2;
CREATE TABLE pair (a int, b text, v text, PRIMARY KEY (a, b));
INSERT INTO pair VALUES (1, 'x', 'one'), (2, 'y"z', 'two');
CREATE TABLE big (id int PRIMARY KEY, filler text);
INSERT INTO big SELECT i, repeat('f', 500) FROM generate_series(1, 40000) i;
ANALYZE big;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name varchar(20), country text, size int, tax numeric);
CREATE TABLE pairs (a int, b text, v text, PRIMARY KEY (a, b));
CREATE TABLE bigs (id int PRIMARY KEY, size int);
SQL
mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    when: id <> 3
    key: {id: {uuid: office, of: id}}
    columns:
      legacy_id: id
      name: name
      country: {from: country, enum: {US: USA}, else: reject}
      size: {expr: "length(note)"}
      tax: tax
  - {name: pairs, from: pair, to: pairs, key: {a: a, b: b}, columns: {v: v}}
  - {name: bigs, from: big, to: bigs, key: {id: id}, columns: {size: {expr: "length(filler)"}}}
YAML
settings_write

# tests NAME CODE ARGUMENTS…: output in $T/out, as JSON.
tests() {
    local name=$1 code=$2 rc=0
    shift 2
    pgrekey map test --json "$@" >"$T/out" 2>"$T/err" </dev/null || rc=$?
    equals "$name: exit code" "$code" "$rc"
}
# field EXPRESSION: of the last JSON, in Python; `by` has its rows by key.
field() {
    python3 -c "
import json
d = json.load(open('$T/out'))
by = {(r['rule'], tuple(r['key'])): r for r in d['rows']}
print($1)"
}
OFFICE='"office->offices"'

# --- a sample

tests "all of a small table" 6 --table office --limit 100
equals "every row is there" 30 "$(field "len(d['rows'])")"
equals "the identity is the server's own UUIDv5" \
    "$(source_uuid_ossp && source_sql "SELECT $(uuid_sql office 7)")" "$(field "by[$OFFICE, ('7',)]['values']['id']")"
equals "rows as the engine would write them" "{'legacy_id': '7', 'name': 'Office 7', 'country': 'USA', 'size': None, 'tax': '0'}" \
    "$(field "{k: v for k, v in by[$OFFICE, ('7',)]['values'].items() if k != 'id'}")"
equals "what an expression makes of a value" 10000 "$(field "by[$OFFICE, ('1',)]['values']['size']")"
equals "a row that the mapping refuses" "quarantined ambiguous_value country" \
    "$(field "' '.join(by[$OFFICE, ('10',)][k] for k in ('outcome', 'category', 'column'))")"
equals "a value that does not fit the target's column" "quarantined validation_failure name" \
    "$(field "' '.join(by[$OFFICE, ('2',)][k] for k in ('outcome', 'category', 'column'))")"
equals "a row that the rule excludes" excluded "$(field "by[$OFFICE, ('3',)]['outcome']")"
equals "the sum" "30 25 4 1" "$(field "[' '.join(str(r[k]) for k in ('rows', 'mapped', 'quarantined', 'excluded')) for r in d['rules'] if r['rule'] == $OFFICE][0]")"

tests "some rows of each table" 0 --limit 5
equals "so many of each" "2 5 5" "$(field "' '.join(str(sum(r['rule'] == n for r in d['rows'])) for n in ('pairs', 'bigs', $OFFICE))")"
tests "a large table" 0 --table big --limit 50
equals "rows from all over it" True "$(field "max(int(r['key'][0]) for r in d['rows']) > 20000 > 10000 > min(int(r['key'][0]) for r in d['rows'])")"
cp "$T/out" "$T/first"
tests "once more" 0 --table big --limit 50
check "gives the same rows" cmp -s "$T/first" "$T/out"
tests "a rule alone" 0 --rule pairs
equals "nothing else is read" 2 "$(field "len(d['rows'])")"

# --- by key

tests "rows by key" 6 --table office 10 7
equals "in that order" "10 7" "$(field "' '.join(r['key'][0] for r in d['rows'])")"
tests "a composite key" 0 --table public.pair '["2", "y\"z"]'
equals "finds its row" two "$(field "d['rows'][0]['values']['v']")"
pgrekey_fails "a key that is not there" 2 '1 of the keys is not in table public.office' map test --table office 7 7000
pgrekey_fails "a key of another shape" 2 'does not fit that of table public.pair, which has 2 columns' map test --table pair 7
pgrekey_fails "a key of another type" 2 'does not fit that of table public.office' map test --table office seven
pgrekey_fails "keys without a table" 2 'keys are of one table' map test 7
pgrekey_fails "a table that nobody reads" 2 'did you mean office' map test --table offices
pgrekey_fails "a rule that is not there" 2 'did you mean pairs' map test --rule pair
pgrekey_fails "too much at once" 2 'at most 10000' map test --limit 20000

# --- the screen

pgrekey map test --table office 1 2 3 >"$T/screen" || true
check "a refused row says why" grep -qF 'office->offices  ["2"]  quarantined: validation_failure (name): ' "$T/screen"
check "an excluded one is named" grep -qF 'office->offices  ["3"]  excluded' "$T/screen"
check "nothing in a value moves the cursor" sh -c "grep -qF 'evil \\x1b[2J name' '$T/screen' && ! grep -q \$'\\033' '$T/screen'"
pgrekey map test --quiet --table office 1 2 3 >"$T/screen" || true
equals "--quiet prints what would be quarantined" 1 "$(wc -l <"$T/screen")"
pgrekey map test --table office 7 --set target.dsn= >"$T/screen"
check "the target is not needed" grep -qF 'without the target' "$T/screen"
pgrekey_fails "the source is" 2 'source.dsn is not set' map test --set source.dsn=
pgrekey_fails "an unreachable source" 3 'source' map test --set 'source.dsn=host=127.0.0.1 port=1'
pgrekey_fails "a mapping with mistakes" 2 'no column "nam"' map test --set "mapping=$(sed 's/name: name$/name: nam/' "$T/mapping.yaml" >"$T/wrong.yaml" && echo "$T/wrong.yaml")"
check "nothing was done to either side" test "$(source_sql "SELECT count(*) FROM pg_replication_slots") $(target_sql "SELECT count(*) FROM offices")" = "0 0"

# --- what waits in the slot

pgrekey_fails "no slot yet" 4 'has no slot pgrekey' map test --stream
source_sql "UPDATE office SET country = 'US', name = 'Office ' || id WHERE country = 'XX' OR id = 2"
pgrekey init >/dev/null
engine_start
caught_up
pgrekey_fails "a slot that the engine reads" 4 'is being read' map test --stream
tests "a sample beside the engine" 0 --table office
engine_stop
source_script <<'SQL'
UPDATE office SET name = 'Renamed' WHERE id = 1; -- its note is not in the stream
UPDATE office SET country = 'nowhere' WHERE id = 4;
DELETE FROM office WHERE id = 5;
INSERT INTO office (id, name, country, tax) VALUES (100, 'New', 'US', 'NaN');
UPDATE pair SET b = 'z' WHERE a = 1;
CREATE TABLE bystander (id int PRIMARY KEY);
INSERT INTO bystander VALUES (1);
UPDATE office SET id = 600 WHERE id = 6;
SQL
before=$(source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots")
tests "a peek" 6 --stream --limit 100
equals "all that waits, in order" "U 1 mapped, U 4 quarantined, D 5 deleted, I 100 mapped, U 1 mapped, U 600 mapped" \
    "$(field "', '.join(' '.join((r['op'], r['key'][0], r['outcome'])) for r in d['rows'])")"
equals "a value that the stream leaves out is read by key" 10000 "$(field "by[$OFFICE, ('1',)]['values']['size']")"
equals "and so is NaN" NaN "$(field "by[$OFFICE, ('100',)]['values']['tax']")"
equals "the slot stays where it is" "$before" "$(source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots")"
tests "a limit" 6 --stream --limit 2
equals "counts changes" 2 "$(field "len(d['rows'])")"
tests "a table of it" 0 --stream --table pair
equals "and no other" pairs "$(field "' '.join(r['rule'] for r in d['rows'])")"
engine_start
caught_up
equals "afterwards the engine applies it all" "Renamed New" "$(target_sql "SELECT string_agg(name, ' ' ORDER BY legacy_id) FROM offices WHERE legacy_id IN (1, 100)")"
engine_stop
test_end
