#!/usr/bin/env bash
# Mirrors: tables of the source, all columns or some, all rows or some, in a side schema that nobody but the engine sees;
# beside row rules on the same tables; with indexes and views; through a snapshot, the stream, kills and a drop.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TYPE mood AS ENUM ('sad', 'so-so', 'glad');
CREATE DOMAIN short_text AS varchar(30) CHECK (length(value) > 0);
CREATE TABLE office (id serial PRIMARY KEY, name varchar(40) NOT NULL, mood mood, moods mood[], tag short_text, rate numeric(8, 3),
    since timestamptz(3), code char(4), flags bit(3), codes char(4)[], password text DEFAULT 'hush-hush', body text);
ALTER TABLE office ALTER body SET STORAGE EXTERNAL;
CREATE TABLE person (id serial PRIMARY KEY, office_id int, name text NOT NULL, kind int NOT NULL, note text);
ALTER TABLE person ALTER note SET STORAGE EXTERNAL;
CREATE TABLE pair (b int, a text, x float8, PRIMARY KEY (a, b));
CREATE TABLE "Odd ""table""" ("The id" uuid PRIMARY KEY, "select" int);
CREATE FUNCTION big(seed text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT string_agg(md5(seed || i), '') FROM generate_series(1, 120) i $$;
INSERT INTO office (name, code, flags, codes, mood, moods, tag, rate, since, body)
    SELECT 'Office ' || i, 'c' || i, (i % 8)::bit(3), ARRAY['a', 'b' || i], CASE i % 3 WHEN 0 THEN 'sad' WHEN 1 THEN 'glad' END::mood, ARRAY['sad', 'glad']::mood[], 'tag ' || i, i / 7.0,
        timestamptz '2020-01-01 12:00:00.123456+02' + i * interval '1 hour', big(i::text) FROM generate_series(1, 50) i;
INSERT INTO person (office_id, name, kind, note)
    SELECT 1 + i % 50, 'Person ' || i || chr(9) || '\', i % 4, CASE WHEN i % 5 = 0 THEN big('p' || i) END FROM generate_series(1, 5000) i;
INSERT INTO pair SELECT i, 'a' || i % 7, i / 3.0 FROM generate_series(1, 100) i;
INSERT INTO "Odd ""table""" SELECT uuid_generate_v5('6f8b1c9e-52a3-4d0e-9d59-3a4f0c6b7e21', i::text), i FROM generate_series(1, 20) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text CHECK (name <> 'bad'));
CREATE ROLE anon;
CREATE ROLE authenticated;
CREATE ROLE passer_by LOGIN;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, PUBLIC;
SQL
map_write() { # further lines of the mapping
    mapping_write <<YAML
never: {office: [password]}
rows:
  - {from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {legacy_id: id, name: name}}
mirrors:
  office: {index: [name, [mood, tag], "(lower(btrim(name)))"]}
  person: {columns: [office_id, kind, note], where: kind <> 3, index: [office_id]}
  pair:
  'Odd "table"':
$*
YAML
}
views='views:
  glad: select id, name from office where mood = '"'glad'"'
  glad_people: select p.id, p.kind, o.name from person p join glad o on o.id = p.office_id -- over a view'
map_write "$views"
settings_write "batch: {max_rows: 500}" "snapshot: {range_rows: 1000}"
pgrekey_fails "without init the schema is missing" 2 'schema pgrekey is not there|init' run --until-caught-up
check "init" pgrekey init --login
check "init may run twice" pgrekey init
check "init prints the side schema" grep -q 'CREATE SCHEMA IF NOT EXISTS "pgrekey_mirror"' <(pgrekey init --print)
sed -i -e 's/dbname=app user=postgres/dbname=app user=pgrekey/' "$T/pgrekey.yaml"

# --- privileges

check "check finds nothing to complain of" pgrekey check --quiet
target_sql 'REVOKE CREATE ON SCHEMA pgrekey_mirror FROM pgrekey'
pgrekey_fails "check misses a privilege" 6 'may not create tables in schema pgrekey_mirror' check
pgrekey_fails "so does run" 2 'may not create tables in schema pgrekey_mirror' run --until-caught-up
target_sql 'GRANT CREATE ON SCHEMA pgrekey_mirror TO pgrekey; GRANT USAGE ON SCHEMA pgrekey_mirror TO passer_by'
check "check sees who else may look in" grep -q 'others than the engine .* pgrekey_mirror.*passer_by' <(pgrekey check)
target_sql 'REVOKE ALL ON SCHEMA pgrekey_mirror FROM passer_by'
target_sql 'CREATE TABLE pgrekey_mirror.pair (id int)'
pgrekey_fails "check sees a name that is taken" 6 'pgrekey_mirror.pair, .* is there already' check
pgrekey_fails "what stands there is left alone" 4 'pgrekey_mirror.pair stands on the target already' run --until-caught-up
equals "nothing else was made" 1 "$(target_sql "SELECT count(*) FROM pg_class WHERE relnamespace = 'pgrekey_mirror'::regnamespace AND relkind IN ('r', 'v')")"
target_sql 'DROP TABLE pgrekey_mirror.pair'
map_write "$views
  broken: select no_such_column from office"
pgrekey_fails "a view that fails is named with its SQLSTATE" 2 'view broken .SQLSTATE 42703' run --until-caught-up
map_write "$views"

# --- the rows

compare() {
    local rule
    same_rows "$1: all columns but never:" \
        "SELECT id, name, mood::text, moods::text, tag, rate, since, code, flags, codes, md5(body) FROM office" \
        "SELECT id, name, mood, moods, tag, rate, since, code, flags, codes, md5(body) FROM pgrekey_mirror.office"
    same_rows "$1: some columns of some rows" "SELECT id, office_id, kind, md5(note), length(note) FROM person WHERE kind <> 3" \
        "SELECT id, office_id, kind, md5(note), length(note) FROM pgrekey_mirror.person"
    same_rows "$1: a key of two columns" "SELECT a, b, x FROM pair" "SELECT a, b, x FROM pgrekey_mirror.pair"
    same_rows "$1: odd names" "SELECT \"The id\", \"select\" FROM \"Odd \"\"table\"\"\"" \
        "SELECT \"The id\", \"select\" FROM pgrekey_mirror.\"Odd \"\"table\"\"\""
    same_rows "$1: a row rule on a mirrored table" "SELECT $(uuid_sql person id), id, name FROM person WHERE name <> 'bad'" "SELECT id, legacy_id, name FROM people"
    same_rows "$1: the views" \
        "SELECT p.id, p.kind, o.name FROM person p JOIN office o ON o.id = p.office_id WHERE o.mood = 'glad' AND p.kind <> 3" \
        "SELECT id, kind, name FROM pgrekey_mirror.glad_people"
    for rule in office person pair; do accounts "$1: accounts of $rule" "$rule->pgrekey_mirror.$rule" "$rule"; done
    accounts "$1: accounts of the row rule" "person->people" person
    equals "$1: rows that are left out are counted" "$(source_sql "SELECT count(*) FROM person WHERE kind = 3")" \
        "$(target_sql "SELECT excluded FROM pgrekey.counter WHERE rule = 'person->pgrekey_mirror.person'")"
}
step() { # NAME, SQL from standard input
    source_script
    caught_up
    compare "$1"
}

engine_start
caught_up
compare "snapshot"
equals "it was read in ranges" t "$(target_sql "SELECT max(part) > 6 FROM pgrekey.snapshot_part")"
equals "a column under never: is not there" 0 "$(target_sql "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'pgrekey_mirror' AND column_name = 'password'")"
equals "types" "id integer, name character varying, mood text, moods text[], tag character varying, rate numeric, since timestamp with time zone, code bpchar, flags bit varying, codes bpchar[], body text" \
    "$(target_sql "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'pgrekey_mirror.office'::regclass AND attnum > 0")"
equals "primary keys are the source's" "office (id)|pair (a, b)|person (id)" \
    "$(target_sql "SELECT string_agg(conrelid::regclass::text || ' ' || substr(pg_get_constraintdef(oid), 13), '|' ORDER BY conrelid::regclass::text)
        FROM pg_constraint WHERE contype = 'p' AND connamespace = 'pgrekey_mirror'::regnamespace AND conrelid::regclass::text !~ 'Odd'" | sed 's/pgrekey_mirror\.//g')"
indexes() { target_sql "SELECT string_agg(tablename || substring(indexdef from ' \(.*'), ', ' ORDER BY 1) FROM (SELECT * FROM pg_indexes
    WHERE schemaname = 'pgrekey_mirror' AND indexname LIKE 'pgrekey%' ORDER BY tablename, indexdef) i"; }
equals "indexes" "office (lower(btrim((name)::text))), office (mood, tag), office (name), person (office_id)" "$(indexes)"
for role in passer_by anon authenticated; do
    equals "$role may not even look into the schema" "f|0" "$(target_sql "SELECT has_schema_privilege('$role', 'pgrekey_mirror', 'USAGE'),
        count(*) FILTER (WHERE has_table_privilege('$role', oid, 'SELECT')) FROM pg_class WHERE relnamespace = 'pgrekey_mirror'::regnamespace AND relkind IN ('r', 'v')")"
done
check "a role without rights sees nothing" grep -q 'permission denied' <(cluster_psql "$T/target" app -c 'SET ROLE passer_by' -c 'SELECT * FROM pgrekey_mirror.office' 2>&1)

step "inserts, updates, deletes" <<'SQL'
INSERT INTO office (name, mood, moods, tag, since) VALUES ('New', 'so-so', '{}', 'x', '1999-12-31 23:59:59.999999+00'), ('Newer', NULL, NULL, NULL, NULL);
UPDATE office SET mood = 'glad' WHERE id % 5 = 0;
UPDATE person SET name = name || '!' WHERE id % 3 = 0;
DELETE FROM person WHERE id % 10 = 1;
DELETE FROM office WHERE id = 7;
UPDATE pair SET x = -x WHERE b > 50;
DELETE FROM "Odd ""table""" WHERE "select" < 5;
INSERT INTO person (office_id, name, kind) VALUES (1, 'bad', 1);
SQL
step "values that the stream leaves out" <<'SQL'
UPDATE office SET name = name || '?' WHERE id BETWEEN 10 AND 20;
UPDATE person SET office_id = office_id + 1 WHERE id % 5 = 0;
SQL
step "into the filter and out of it, with values left out" <<'SQL'
UPDATE person SET kind = 3 WHERE kind = 2 AND id % 2 = 0;
UPDATE person SET kind = 1 WHERE kind = 3 AND id % 3 = 0;
SQL
step "changed keys" <<'SQL'
UPDATE person SET id = id + 100000 WHERE id BETWEEN 100 AND 199;
UPDATE pair SET a = a || 'x', b = -b WHERE b % 3 = 0;
UPDATE "Odd ""table""" SET "The id" = uuid_generate_v5('6f8b1c9e-52a3-4d0e-9d59-3a4f0c6b7e21', 'new') WHERE "select" = 9;
BEGIN;
UPDATE person SET id = -1 WHERE id = 2;
UPDATE person SET id = 2 WHERE id = 4;
UPDATE person SET id = 4 WHERE id = -1;
COMMIT;
SQL
step "another replica identity" <<'SQL'
ALTER TABLE pair REPLICA IDENTITY FULL;
UPDATE pair SET x = 1 WHERE b % 2 = 0;
DELETE FROM pair WHERE b = 5;
ALTER TABLE pair REPLICA IDENTITY DEFAULT;
SQL
step "TRUNCATE empties the mirror" <<'SQL'
BEGIN;
TRUNCATE pair;
INSERT INTO pair VALUES (1, 'one', 1.5);
COMMIT;
SQL

# --- kills while it streams

cat >"$T/load.sql" <<'SQL'
\set id random(1, 6000)
\set other random(1, 60)
BEGIN;
INSERT INTO person (office_id, name, kind) VALUES (:other, 'load', :other % 4);
UPDATE person SET kind = (kind + 1) % 4 WHERE id = :id;
UPDATE office SET name = 'Office ' || :id WHERE id = :other;
DELETE FROM person WHERE id = :id + 1;
INSERT INTO pair VALUES (:id, 'k', 1) ON CONFLICT DO NOTHING;
COMMIT;
SQL
load_start 6 2 "$T/load.sql"
kill_loop 5 300 1000
load_wait
caught_up
compare "after kills"

# --- the source changes its shape

step "a column that is widened takes longer values" <<'SQL'
ALTER TABLE office ALTER name TYPE varchar(200), ALTER rate TYPE numeric(20, 3);
UPDATE office SET name = repeat('wide ', 30), rate = 12345678901234.123 WHERE id = 10;
SQL
source_sql "ALTER TABLE office ADD later int DEFAULT 5"
step "a new column is left out" <<<"UPDATE office SET name = 'after it came' WHERE id = 11"
cut_connections source
cut_connections target
step "also by a session that binds anew" <<<"UPDATE office SET name = 'and again' WHERE id = 12"
check "and warned of" grep -q 'the mirror was made without the column "later" of public.office' "$T/engine.log"

# --- the mapping's other words, and what stands there

engine_stop
equals "nothing is written where all is as it should be" "$(target_sql "SELECT xmin FROM pgrekey.mirror ORDER BY name" | paste -sd,)" \
    "$(pgrekey run --until-caught-up >"$T/again.log" 2>&1; target_sql "SELECT xmin FROM pgrekey.mirror ORDER BY name" | paste -sd,)"
target_sql 'DROP VIEW pgrekey_mirror.glad_people; DROP INDEX pgrekey_mirror."'"$(target_sql "SELECT indexname FROM pg_indexes WHERE schemaname = 'pgrekey_mirror' AND indexdef LIKE '%(office_id)'")"'"'
check "what was lost is made again" pgrekey run --until-caught-up
equals "its index" "office (lower(btrim((name)::text))), office (mood, tag), office (name), person (office_id)" "$(indexes)"
compare "made again"
target_sql 'ALTER TABLE pgrekey_mirror.person DROP COLUMN note'
check "a column that is gone" pgrekey run --until-caught-up
compare "is copied again"

check "drop" pgrekey drop --yes
equals "nothing of the mirrors is left" 0 "$(target_sql "SELECT count(*) FROM pg_class WHERE relnamespace = 'pgrekey_mirror'::regnamespace")"
equals "nor of their record" 0 "$(target_sql "SELECT count(*) FROM pgrekey.mirror")"
equals "the other tables stay" t "$(target_sql "SELECT count(*) > 0 FROM people")"
target_sql 'TRUNCATE people'

# Another mapping: fewer mirrors, other views; all begins anew.
mapping_write <<'YAML'
mirror_schema: beside
mirrors: {office: {columns: [name]}}
views: {names: select name from office}
YAML
sed -i -e 's/dbname=app user=pgrekey/dbname=app user=postgres/' "$T/pgrekey.yaml"
check "init makes another side schema" pgrekey init
check "mirrors alone" pgrekey run --until-caught-up
same_rows "a view in the other schema" "SELECT name FROM office" "SELECT name FROM beside.names"
target_sql 'CREATE VIEW public.theirs AS SELECT * FROM beside.names'
pgrekey_fails "drop names what depends on a view" 2 "depend on names in the mirrors' schema" drop --yes
target_sql 'DROP VIEW public.theirs'
check "drop, again" pgrekey drop --yes
equals "an empty side schema of its own goes too" 0 "$(target_sql "SELECT count(*) FROM pg_namespace WHERE nspname = 'beside'")"
test_end
