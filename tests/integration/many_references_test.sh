#!/usr/bin/env bash
# A parent that very many tables refer to: its key changes, it goes while children live, it comes back.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

TABLES=45
source_start
target_start
source_uuid_ossp
{
    echo "CREATE TABLE office (id int PRIMARY KEY, name text); INSERT INTO office VALUES (1, 'one'), (2, 'two'), (3, 'three');"
    for i in $(seq "$TABLES"); do
        echo "CREATE TABLE child$i (id int PRIMARY KEY, office_id int);"
        echo "INSERT INTO child$i SELECT i, 1 + i % 3 FROM generate_series(1, 6) i;"
    done
} | source_script
{
    echo "CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);"
    for i in $(seq "$TABLES"); do
        echo "CREATE TABLE children$i (id uuid PRIMARY KEY, legacy_id int, office_id uuid NOT NULL REFERENCES offices);"
        echo "CREATE INDEX ON children$i (office_id);"
    done
} | target_script
{
    echo "rows:"
    echo "  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}"
    for i in $(seq "$TABLES"); do
        echo "  - from: child$i"
        echo "    to: children$i"
        echo "    key: {id: {uuid: child$i, of: id}}"
        echo "    columns: {legacy_id: id, office_id: {uuid: office, of: office_id}}"
    done
} | mapping_write
settings_write
pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up

# same_children NAME: each child table is the source's, but for children whose office is not there.
same_children() {
    local i source="" target=""
    for i in $(seq "$TABLES"); do
        source="$source${source:+ UNION ALL }SELECT $i AS t, c.id, $(uuid_sql office office_id) FROM child$i c JOIN office o ON o.id = c.office_id"
        target="$target${target:+ UNION ALL }SELECT $i AS t, legacy_id, office_id FROM children$i"
    done
    same_rows "$1" "$source" "$target"
}
same_children "all are there after the snapshot"

source_sql "UPDATE office SET id = 11, name = 'eleven' WHERE id = 1"
caught_up
same_children "a parent's key changes while children of $TABLES tables hold it"
source_sql "UPDATE child7 SET office_id = 11 WHERE office_id = 1"
source_sql "INSERT INTO office VALUES (1, 'one again')"
caught_up
same_children "children come back with the old key"

source_sql "DELETE FROM office WHERE id = 2"
caught_up
same_children "it goes while they live"
equals "they wait" "$((2 * TABLES))" "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status = 'pending' AND waits_id IS NOT NULL")"
source_sql "INSERT INTO office VALUES (2, 'two again')"
caught_up
same_children "and come back with it"
equals "nothing waits" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
check "nothing failed on the way" test "$(grep -c 'level=error\|reconnecting' "$T/engine.log")" = 0
engine_stop
test_end
