#!/usr/bin/env bash
# The main road: snapshot, then inserts, updates, deletes and key changes, each compared to the row.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name varchar(255), tax_rate numeric(8,4) NOT NULL DEFAULT 0, valid boolean NOT NULL DEFAULT true);
CREATE TABLE person (id serial PRIMARY KEY, office_id int, name text NOT NULL, born date, note text);
ALTER TABLE person ALTER note SET STORAGE EXTERNAL;
INSERT INTO office (name, tax_rate) SELECT 'Office ' || i, i / 7.0 FROM generate_series(1, 50) i;
INSERT INTO person (office_id, name, born, note)
    SELECT 1 + i % 50, 'Person "' || i || '" äöü ' || chr(9) || '\', date '1950-01-01' + i, repeat(md5(i::text), 1 + i % 100)
    FROM generate_series(1, 5000) i;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, title text, tax_rate numeric, active boolean NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int NOT NULL, office_id uuid REFERENCES offices, name text NOT NULL, born date, note text);
SQL
mapping_write <<'YAML'
rows:
  - from: office
    to: offices
    key: {id: {uuid: office, of: id}}
    columns:
      legacy_id: id
      title: name
      tax_rate: tax_rate
      active: valid
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns:
      legacy_id: id
      office_id: {uuid: office, of: office_id, required: false}
      name: name
      born: born
      note: note
YAML
settings_write
# what a role or database may have set for its own sake changes nothing
for side in source target; do
    for setting in quote_all_identifiers=on transform_null_equals=on "DateStyle='German, DMY'" extra_float_digits=-5 \
        "idle_session_timeout='1s'" "idle_in_transaction_session_timeout='1s'" default_transaction_isolation=serializable; do
        "${side}_sql" "DO \$\$BEGIN EXECUTE format('ALTER DATABASE %I SET ', current_database()) || \$x\$$setting\$x\$; END\$\$"
    done
done

check "init makes the engine's schema" pgrekey init
check "init may run twice" pgrekey init
check "check finds nothing to complain of" pgrekey check
check "map check likes the mapping" pgrekey map check

compare() {
    same_rows "$1: offices" \
        "SELECT $(uuid_sql office id), id, name, tax_rate, valid FROM office" \
        "SELECT id, legacy_id, title, tax_rate, active FROM offices"
    same_rows "$1: people" \
        "SELECT $(uuid_sql person id), id, $(uuid_sql office office_id), name, born, md5(note), length(note) FROM person" \
        "SELECT id, legacy_id, office_id, name, born, md5(note), length(note) FROM people"
    accounts "$1: every office is accounted for" "office->offices" office
    accounts "$1: every person is accounted for" "person->people" person
}

engine_start
caught_up
compare "snapshot"

source_script <<'SQL'
INSERT INTO office (name) SELECT 'New ' || i FROM generate_series(1, 5) i;
INSERT INTO person (office_id, name) SELECT 51 + i % 5, 'Late ' || i FROM generate_series(1, 500) i;
UPDATE person SET name = name || '!' WHERE id % 3 = 0;
UPDATE office SET valid = false WHERE id % 2 = 0;
DELETE FROM person WHERE id % 10 = 1;
BEGIN;
INSERT INTO person (id, office_id, name) VALUES (100000, 1, 'born and gone');
DELETE FROM person WHERE id = 100000;
INSERT INTO person (id, office_id, name) VALUES (100001, NULL, 'reborn');
DELETE FROM person WHERE id = 100001;
INSERT INTO person (id, office_id, name) VALUES (100001, 2, 'reborn, otherwise');
COMMIT;
SQL
caught_up
compare "stream"

# The note is out of line and does not stand in the change: the row moves, and keeps it.
source_sql "UPDATE person SET id = id + 200000 WHERE id BETWEEN 100 AND 199"
caught_up
compare "changed keys"

source_sql "BEGIN; UPDATE person SET name = 'never'; ROLLBACK"
caught_up
compare "after a rollback"

engine_stop
equals "SIGTERM ends it with code 0" 0 "$ENGINE_CODE"
source_sql "UPDATE person SET born = born + 1 WHERE id % 2 = 0"
check "a one-shot run catches up and ends" pgrekey run --until-caught-up
compare "one-shot run"
check "status speaks" pgrekey status
check "drop leaves no slot behind" pgrekey drop --yes
equals "no slot is left" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
test_end
