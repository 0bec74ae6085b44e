#!/usr/bin/env bash
# NaN and Infinity: whole in the snapshot; in the stream wal2json makes nulls of them, which are read from the source
# where the mapping or NOT NULL says that they may be such, and taken as NULL, with one warning a column, elsewhere.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE DOMAIN share AS double precision;
CREATE TABLE reading (id serial PRIMARY KEY, must real NOT NULL, must_exact numeric NOT NULL, marked double precision,
    marked_exact numeric(8, 2), shared share, list double precision[], note text);
CREATE TABLE pairs (a int, b text, v double precision NOT NULL, PRIMARY KEY (a, b));
CREATE TABLE gauge (id int PRIMARY KEY, open double precision, open_exact numeric, note text);
INSERT INTO gauge VALUES (1, 'NaN', '-Infinity', 'n'), (2, 'Infinity', 'NaN', 'n'), (3, '-Infinity', 'Infinity', 'n'), (4, NULL, 1.50, 'n');
ALTER TABLE reading ALTER note SET STORAGE EXTERNAL;
INSERT INTO reading (must, must_exact, marked, marked_exact, shared, list, note)
    SELECT v, v::text::numeric, v, CASE WHEN v = 'NaN' THEN 'NaN' ELSE 1.25 END, v, ARRAY[v, 1], repeat(md5(v::text), 200)
    FROM unnest('{NaN,Infinity,-Infinity,1.5,0}'::double precision[]) v;
INSERT INTO pairs VALUES (1, 'x', 'NaN'), (1, 'y', 1), (2, 'a "b"', '-Infinity');
SQL
target_script <<'SQL'
CREATE TABLE readings (id uuid PRIMARY KEY, legacy_id int NOT NULL, must real NOT NULL, must_exact numeric NOT NULL,
    marked double precision, marked_exact numeric, shared double precision,
    list double precision[], note text);
CREATE TABLE pairs (a int, b text, v double precision NOT NULL, PRIMARY KEY (a, b));
CREATE TABLE gauges (id int PRIMARY KEY, open double precision, open_exact numeric, note text);
SQL
mapping_write <<'YAML'
rows:
  - from: reading
    to: readings
    key: {id: {uuid: reading, of: id}}
    nonfinite: [marked, marked_exact]
    columns:
      legacy_id: id
      must: must
      must_exact: must_exact
      marked: marked
      marked_exact: marked_exact
      shared: shared
      list: list
      note: note
  - from: pairs
    to: pairs
    key: {a: a, b: b}
    columns: {v: v}
  - from: gauge
    to: gauges
    key: {id: id}
    columns: {open: open, open_exact: open_exact, note: note}
YAML
settings_write
check "init" pgrekey init
pgrekey check --deep >"$T/deep.txt" 2>&1 || true
check "check --deep counts them in an open column" grep -qE 'gauge\.open holds 3 ' "$T/deep.txt"
check "and in an exact one" grep -qE 'gauge\.open_exact holds 3 ' "$T/deep.txt"
check "with the line for the mapping" grep -qF 'nonfinite: {gauge: [open]}' "$T/deep.txt"
check "and in one that is read from the source anyhow" grep -qE 'reading\.must holds 3 .* read from the source' "$T/deep.txt"
equals "a marked column needs no advice" 0 "$(grep -cF 'nonfinite: {reading' "$T/deep.txt" || true)"

COLUMNS_ALL="must, must_exact, marked, marked_exact, shared, list, md5(note)"
compare() {
    same_rows "$1" "SELECT $(uuid_sql reading id), id, $COLUMNS_ALL FROM reading" "SELECT id, legacy_id, $COLUMNS_ALL FROM readings"
    same_rows "$1: pairs" "SELECT * FROM pairs" "SELECT * FROM pairs"
    accounts "$1: accounts" "reading->readings" reading
    equals "$1: nothing in quarantine" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}

engine_start
caught_up
compare "snapshot"
same_rows "snapshot: open columns are whole" "SELECT * FROM gauge" "SELECT * FROM gauges"
equals "the snapshot warns of nothing" 0 "$(grep -c null_taken_as_null "$T/engine.log" || true)"

source_script <<'SQL'
INSERT INTO reading (must, must_exact, marked, marked_exact, shared, list, note)
    SELECT v, v::text::numeric, v, CASE WHEN v = 'NaN' THEN 'NaN'::numeric END, v, ARRAY[v, NULL], repeat(md5(v::text), 200)
    FROM unnest('{NaN,Infinity,-Infinity,2.5,NULL}'::double precision[]) v WHERE v IS NOT NULL;
INSERT INTO reading (must, must_exact) VALUES (1, 1), ('NaN', 2), (3, '-Infinity');
INSERT INTO gauge VALUES (11, 'NaN', 1, 'n'), (12, 2, 'NaN', 'n'), (13, NULL, NULL, 'n'), (14, 'Infinity', '-Infinity', 'n');
UPDATE gauge SET note = 'changed' WHERE id IN (1, 4, 11);
INSERT INTO pairs VALUES (3, '', 'Infinity'), (3, '|', 'NaN'), (3, '\', 0);
SQL
caught_up
compare "inserts"
same_rows "in the stream open columns become NULL" \
    "SELECT id, CASE WHEN open::text NOT IN ('NaN', 'Infinity', '-Infinity') OR id IN (2, 3) THEN open END,
        CASE WHEN open_exact::text NOT IN ('NaN', 'Infinity', '-Infinity') OR id IN (2, 3) THEN open_exact END, note FROM gauge" "SELECT * FROM gauges"
equals "one warning for each open column" "open open_exact" \
    "$(sed -n 's/.*event=null_taken_as_null.* column=\([a-z_]*\).*/\1/p' "$T/engine.log" | sort | paste -sd ' ')"

# The note is unchanged and out of line: what is read by key must not disturb it.
source_script <<'SQL'
UPDATE reading SET must = CASE WHEN must = 'NaN' THEN 1 ELSE 'NaN'::real END WHERE id > 5;
UPDATE reading SET marked = CASE WHEN marked IS NULL THEN 'Infinity'::float8 WHEN marked = 'NaN' THEN NULL ELSE 'NaN' END WHERE id > 5;
UPDATE reading SET marked_exact = NULL, must_exact = 'NaN' WHERE id % 2 = 0 AND id > 5;
UPDATE pairs SET v = 'NaN' WHERE a = 3;
UPDATE pairs SET b = b || 'k', v = '-Infinity' WHERE a = 1;
SQL
caught_up
compare "updates"

source_script <<'SQL'
UPDATE reading SET id = id + 1000 WHERE id > 7;
DELETE FROM reading WHERE id = 6;
DELETE FROM pairs WHERE a = 3 AND b = '';
SQL
caught_up
compare "changed keys and deletes"

# By the time the change is looked at, the row is another one, under another key, or gone.
engine_stop
source_script <<'SQL'
INSERT INTO reading (id, must, must_exact, marked) VALUES (3001, 'NaN', 1, 'NaN'), (3002, 'NaN', 2, 'Infinity'), (3003, 'NaN', 3, NULL), (3004, 'NaN', 'NaN', 'NaN');
UPDATE reading SET must = 5, marked = NULL WHERE id = 3001;
DELETE FROM reading WHERE id = 3002;
UPDATE reading SET id = 4003 WHERE id = 3003;
UPDATE reading SET must = 'Infinity' WHERE id = 3004;
UPDATE reading SET id = 4004, must = '-Infinity' WHERE id = 3004;
SQL
engine_start
caught_up
compare "changes read late"
engine_stop
equals "the warning is not repeated in one run" 1 "$(grep null_taken_as_null "$T/engine.log" | grep -c 'column=open_exact' || true)"
test_end
