#!/usr/bin/env bash
# Databases in other encodings than UTF-8 are refused before anything is done: wal2json sends a source's text
# unconverted, and a target could not hold every row, nor the quarantine what it refuses.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
for encoding in LATIN1 SQL_ASCII; do
    for side in source target; do
        cluster_psql "$T/$side" postgres -c "CREATE DATABASE \"in_$encoding\" ENCODING '$encoding' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    done
done
TABLES="CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL)"
source_sql "$TABLES"
target_sql "$TABLES"
for encoding in LATIN1 SQL_ASCII; do
    for side in source target; do cluster_psql "$T/$side" "in_$encoding" -c "$TABLES"; done
done
mapping_write <<'YAML'
rows:
  - {from: person, to: person, key: {id: id}, columns: {name: name}}
YAML
settings_write
pgrekey init

for encoding in LATIN1 SQL_ASCII; do
    dsn=$(cluster_conninfo "$T/source" "in_$encoding")
    pgrekey_fails "check refuses a source in $encoding" 6 "encoding is $encoding" check --set "source.dsn=$dsn"
    pgrekey_fails "run refuses a source in $encoding" 4 "encoding is $encoding" run --set "source.dsn=$dsn"
    dsn=$(cluster_conninfo "$T/target" "in_$encoding")
    pgrekey_fails "init refuses a target in $encoding" 4 "encoding is $encoding" init --set "target.dsn=$dsn"
    equals "and makes nothing there" 0 "$(cluster_psql "$T/target" "in_$encoding" -c "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgrekey'")"
    pgrekey_fails "check refuses a target in $encoding" 6 "encoding is $encoding" check --set "target.dsn=$dsn"
    pgrekey_fails "run refuses a target in $encoding" 4 "encoding is $encoding" run --set "target.dsn=$dsn"
    check "and says what to do" grep -qi "encoding UTF8" "$T/fails.log"
    equals "no slot was made for $encoding" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
    equals "no record was left for $encoding" 0 "$(target_sql "SELECT count(*) FROM pgrekey.pipeline")"
done

# The session's own encoding, as libpq takes it from the environment, changes nothing.
source_sql "INSERT INTO person VALUES (1, 'Zoë Ångström'), (2, 'price: 5 €'), (3, '日本 😀')"
export PGCLIENTENCODING=LATIN1
engine_start
unset PGCLIENTENCODING
caught_up
source_sql "INSERT INTO person VALUES (4, 'Jörg ½'), (5, '本'); UPDATE person SET name = name || ' – ß' WHERE id < 3"
caught_up
same_rows "characters of all kinds, whatever PGCLIENTENCODING says" "SELECT * FROM person" "SELECT * FROM person"
test_end
