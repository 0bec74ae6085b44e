#!/usr/bin/env bash
# Keys of all shapes: UUIDs of one column and of several, plain copies, computed ones; references to each of them.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE bill (year smallint, number int, customer text NOT NULL, PRIMARY KEY (year, number));
CREATE TABLE line (year smallint, number int, pos int, what text, PRIMARY KEY (year, number, pos));
CREATE TABLE tag (a text, b varchar(50), at timestamptz, PRIMARY KEY (a, b, at));
CREATE TABLE country (code char(2) PRIMARY KEY, name text NOT NULL);
CREATE TABLE city (id bigint PRIMARY KEY, country char(2) NOT NULL, name text);
CREATE TABLE account (id uuid PRIMARY KEY, owner text NOT NULL);
CREATE TABLE coded (id int PRIMARY KEY, v text);
CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL UNIQUE, v text);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code_key;
CREATE TABLE entire (a int, v text);
ALTER TABLE entire REPLICA IDENTITY FULL;
INSERT INTO bill SELECT 2000 + i % 5, i, 'Customer ' || i FROM generate_series(1, 50) i;
INSERT INTO line SELECT 2000 + i % 5, i, p, 'Line ' || p FROM generate_series(1, 50) i, generate_series(1, 3) p;
INSERT INTO tag SELECT a, b, timestamptz '2024-01-01 12:00:00.5+02' FROM unnest('{"","|","\\","a|b","\\|",ü}'::text[]) a, unnest('{"","|","\\","b",":"}'::text[]) b;
INSERT INTO country VALUES ('DE', 'Germany'), ('FR', 'France'), ('x', 'Short');
INSERT INTO city SELECT i * 5000000000, (ARRAY['DE', 'FR', 'x'])[1 + i % 3], 'City ' || i FROM generate_series(1, 30) i;
INSERT INTO account SELECT md5(i::text)::uuid, 'Owner ' || i FROM generate_series(1, 20) i;
INSERT INTO coded SELECT i, 'v' || i FROM generate_series(1, 20) i;
INSERT INTO by_index SELECT i, 'code ' || i, 'v' || i FROM generate_series(1, 20) i;
SQL
target_script <<'SQL'
CREATE TABLE bills (id uuid PRIMARY KEY, customer text NOT NULL);
CREATE TABLE lines (bill_id uuid NOT NULL REFERENCES bills, pos int NOT NULL, what text, legacy_year int, legacy_number int, PRIMARY KEY (bill_id, pos));
CREATE TABLE tags (id uuid PRIMARY KEY, a text, b text, at timestamptz);
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE cities (id bigint PRIMARY KEY, country text NOT NULL REFERENCES countries, name text, country_id uuid);
CREATE TABLE accounts (id uuid PRIMARY KEY, derived uuid UNIQUE, owner text NOT NULL);
CREATE TABLE coded (code text PRIMARY KEY, v text);
CREATE TABLE by_index (id uuid PRIMARY KEY, legacy_id int, code text, v text);
CREATE TABLE two_of_one (kind text, id int, v text, PRIMARY KEY (kind, id));
SQL
mapping_write <<'YAML'
rows:
  - {name: line, from: line, to: lines, key: {bill_id: {uuid: bill, of: [year, number]}, pos: pos},
     columns: {what: what, legacy_year: year, legacy_number: number}}
  - {name: bill, from: bill, to: bills, key: {id: {uuid: bill, of: [year, number]}}, columns: {customer: customer}}
  - {name: tag, from: tag, to: tags, key: {id: {uuid: tag, of: [a, b, at]}}, columns: {a: a, b: b, at: at}}
  - {name: country, from: country, to: countries, key: {code: code}, columns: {name: name}}
  - {name: city, from: city, to: cities, key: {id: id}, columns: {country: country, name: name}}
  - {name: account, from: account, to: accounts, key: {id: id}, columns: {owner: owner}}
  - {name: coded, from: coded, to: coded, key: {code: {number: {prefix: "C-", pad: 6, of: id}}}, columns: {v: v}}
  - {name: by_index, from: by_index, to: by_index, key: {id: {uuid: thing, of: code}}, columns: {legacy_id: id, code: code, v: v}}
  - {name: first, from: coded, to: two_of_one, key: {kind: {const: first}, id: id}, columns: {v: v}}
YAML
settings_write
check "init" pgrekey init
check "check" pgrekey check --quiet

# Parts of a composite key are joined by |, with \ before | and \ inside them.
part() { printf '%s\n' "replace(replace(($1)::text, '\\', '\\\\'), '|', '\\|')"; }
BILL="$(uuid_sql bill "year || '|' || number")"
TAG="$(uuid_sql tag "$(part a) || '|' || $(part b) || '|' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || rtrim(rtrim(to_char(at, '.US'), '0'), '.') || '+00'")"
compare() {
    local each
    same_rows "$1: a composite UUID" "SELECT $BILL, customer FROM bill" "SELECT * FROM bills"
    same_rows "$1: a UUID and a copy" "SELECT $BILL, pos, what, year, number FROM line" "SELECT * FROM lines"
    same_rows "$1: separators inside the parts" "SELECT $TAG, a, b, at FROM tag" "SELECT * FROM tags"
    same_rows "$1: a copied text" "SELECT code, name FROM country" "SELECT * FROM countries"
    same_rows "$1: a copied number" "SELECT id, country, name, NULL FROM city" "SELECT * FROM cities"
    same_rows "$1: a copied UUID" "SELECT id, NULL, owner FROM account" "SELECT * FROM accounts"
    same_rows "$1: a computed text" "SELECT 'C-' || lpad(id::text, greatest(6, length(id::text)), '0'), v FROM coded" "SELECT * FROM coded"
    same_rows "$1: replica identity by index" "SELECT $(uuid_sql thing code), id, code, v FROM by_index" "SELECT * FROM by_index"
    same_rows "$1: a constant in the key" "SELECT 'first', id, v FROM coded" "SELECT * FROM two_of_one"
    for each in bill line tag country city account coded by_index; do accounts "$1: accounts of $each" $each $each; done
    accounts "$1: accounts of first" first coded
    equals "$1: nothing in quarantine" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
}
step() {
    source_script
    caught_up
    compare "$1"
}

engine_start
caught_up
compare "snapshot"
step "inserts" <<'SQL'
BEGIN;
INSERT INTO line VALUES (2024, 1, 1, 'a'), (2024, 1, 2, 'b');
INSERT INTO bill VALUES (2024, 1, 'children first');
COMMIT;
INSERT INTO tag VALUES ('|\', '\|', '2024-02-29 00:00+00'), ('', '', '2024-02-29 00:00:00.000001+00');
INSERT INTO country VALUES ('NL', 'Netherlands');
INSERT INTO city VALUES (1, 'NL', 'Utrecht'), (-9223372036854775808, 'NL', 'Lowest');
INSERT INTO account VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'upper case');
INSERT INTO coded VALUES (1000000, 'v'), (10000000, 'w'), (0, 'x');
INSERT INTO by_index VALUES (100, 'a:b', 'v'), (101, '', 'empty');
SQL
step "updates" <<'SQL'
UPDATE bill SET customer = customer || '!' WHERE number % 2 = 0;
UPDATE line SET what = NULL WHERE pos = 2;
UPDATE country SET name = upper(name);
UPDATE city SET country = 'NL' WHERE country = 'x';
UPDATE account SET owner = owner || '!';
UPDATE coded SET v = v || '?';
UPDATE by_index SET v = 'w' WHERE id % 2 = 0;
UPDATE by_index SET id = id + 1000 WHERE id < 5;
SQL
step "changed keys" <<'SQL'
BEGIN;
UPDATE line SET number = number + 1000 WHERE year = 2001;
UPDATE bill SET number = number + 1000 WHERE year = 2001;
COMMIT;
UPDATE line SET pos = pos + 10 WHERE year = 2002;
UPDATE tag SET a = a || '|', at = at + interval '1 year' WHERE b = '|';
BEGIN;
INSERT INTO country VALUES ('GB', 'Britain');
UPDATE city SET country = 'GB' WHERE country = 'FR';
DELETE FROM country WHERE code = 'FR';
COMMIT;
UPDATE city SET id = -id WHERE id > 0;
UPDATE account SET id = md5(id::text)::uuid;
UPDATE coded SET id = id + 1 WHERE id = 20;
UPDATE coded SET id = id + 100 WHERE id < 10;
UPDATE by_index SET code = code || '\' WHERE id BETWEEN 5 AND 10;
SQL
step "deletes" <<'SQL'
DELETE FROM line WHERE year = 2003;
DELETE FROM bill WHERE year = 2003;
DELETE FROM tag WHERE a LIKE '%\%';
DELETE FROM city WHERE id % 2 = 0;
DELETE FROM account WHERE owner LIKE '%1%';
DELETE FROM coded WHERE id > 105;
DELETE FROM by_index WHERE id % 3 = 0;
SQL
engine_stop

# Keys that cannot work are refused with their place.
mapping_write <<'YAML'
rows:
  - {from: entire, to: coded, key: {code: v}}
YAML
pgrekey_fails "REPLICA IDENTITY FULL names no row" 6 'mapping.yaml:3:.*entire has no replica identity.*FULL' map check
mapping_write <<'YAML'
rows:
  - {from: coded, to: two_of_one, key: {id: id}, columns: {v: v}}
YAML
pgrekey_fails "a key that the target has no unique index for" 6 'two_of_one has no primary key or unique index over exactly' map check
mapping_write <<'YAML'
rows:
  - {name: first, from: coded, to: two_of_one, key: {kind: {const: first}, id: id}, columns: {v: v}}
  - {name: second, from: coded, to: two_of_one, key: {kind: {const: second}, id: id}, columns: {v: v}}
YAML
pgrekey_fails "two rules that own one column are refused" 6 'mapping.yaml:4:.*"v" of two_of_one is written by rule first already' map check
mapping_write <<'YAML'
rows:
  - {from: bill, to: bills, key: {id: {uuid: bill, of: [year, numbre]}}, columns: {customer: customer}}
YAML
pgrekey_fails "an unknown column is suggested" 6 'no column "numbre"; did you mean "number"' map check
test_end
