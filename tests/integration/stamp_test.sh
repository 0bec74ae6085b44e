#!/usr/bin/env bash
# Rows that stay where their source rows go, with a stamp: to their children they are gone, whoever owns parent and
# child, in every order and through kills; and what returns is a parent again, without the stamp.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
target_sql 'CREATE EXTENSION "uuid-ossp"'
source_script <<'SQL'
CREATE TABLE ordr (id int PRIMARY KEY, name text);
CREATE TABLE crate (id int PRIMARY KEY, name text);
CREATE TABLE item (id int PRIMARY KEY, ordr_id int, crate_id int);
CREATE TABLE note (id int PRIMARY KEY, ordr_id int, crate_id int);
INSERT INTO ordr SELECT i, 'Order ' || i FROM generate_series(1, 400) i;
INSERT INTO crate SELECT i, 'Crate ' || i FROM generate_series(1, 400) i;
INSERT INTO item SELECT i, 1 + i % 400, 1 + i % 399 FROM generate_series(1, 2000) i;
INSERT INTO note SELECT i, 1 + i % 410, 1 + i % 411 FROM generate_series(1, 2000) i;
SQL
target_script <<'SQL'
CREATE TABLE orders (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, deleted boolean NOT NULL DEFAULT false, metadata jsonb);
CREATE TABLE crates (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, deleted boolean NOT NULL DEFAULT false, metadata jsonb NOT NULL DEFAULT '{"a": 1}');
CREATE TABLE items (id uuid PRIMARY KEY, legacy_id int UNIQUE, order_id uuid NOT NULL REFERENCES orders, crate_id uuid NOT NULL REFERENCES crates);
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE, order_id uuid REFERENCES orders, crate_id uuid REFERENCES crates);
CREATE TABLE labels (id uuid PRIMARY KEY, legacy_id int UNIQUE, crate_id uuid REFERENCES crates, order_id uuid REFERENCES orders);
CREATE INDEX ON items (order_id);
CREATE INDEX ON items (crate_id);
CREATE INDEX ON notes (order_id);
CREATE INDEX ON notes (crate_id);
CREATE INDEX ON labels (crate_id);
CREATE INDEX ON labels (order_id);
SQL
mapping_write <<'YAML'
rows:
  - from: ordr
    to: orders
    key: {id: {uuid: order, of: id}}
    delete: {set: {deleted: true, metadata: {stamp: gone_at}}}
    columns: {legacy_id: id, name: name, deleted: {const: false}}
  - from: item
    to: items
    key: {id: {uuid: item, of: id}}
    columns: {legacy_id: id, order_id: {uuid: order, of: ordr_id}, crate_id: {uuid: crate, of: crate_id}}
  - from: note
    to: notes
    key: {id: {uuid: note, of: id}}
    columns: {legacy_id: id, order_id: {uuid: order, of: ordr_id}, crate_id: {uuid: crate, of: crate_id}}
mirrors:
  crate: {}
  note: {}
derive:
  - to: crates
    key: {id: {uuid: crate, of: legacy_id}}
    columns: [legacy_id, name, deleted]
    touched: {crate: select id from touched}
    query: select k.legacy_id, c.name, false as deleted from keys k join crate c on c.id = k.legacy_id
    gone: {set: {deleted: true, metadata: {stamp: gone_at}}}
  - to: labels
    key: {id: {uuid: label, of: legacy_id}}
    columns: [legacy_id, crate_id, order_id]
    references: {crate_id: {uuid: crate, required: false}, order_id: {uuid: order, required: true}}
    touched: {note: select id from touched}
    query: |
      select k.legacy_id, pgrekey.id('crate', n.crate_id) as crate_id, pgrekey.id('order', n.ordr_id) as order_id
      from keys k join note n on n.id = k.legacy_id
YAML
settings_write

live() { # live TABLE COLUMN: the id of the parent where the source has it
    uuid_sql "${1/ordr/order}" "SELECT p.id FROM $1 p WHERE p.id = o.$1_id"
}
# all NAME: what stands is what the source has; who has no parent there has none here, stamped or not.
all() {
    same_rows "$1: rows with a required parent" "SELECT id, $(uuid_sql order ordr_id), $(uuid_sql crate crate_id) FROM item WHERE EXISTS (SELECT FROM ordr p WHERE p.id = ordr_id) AND EXISTS (SELECT FROM crate p WHERE p.id = crate_id)" \
        "SELECT legacy_id, order_id, crate_id FROM items"
    same_rows "$1: rows with an optional one" "SELECT id, $(live ordr), $(live crate) FROM note o" "SELECT legacy_id, order_id, crate_id FROM notes"
    same_rows "$1: derived rows" "SELECT id, $(live crate), $(uuid_sql order ordr_id) FROM note o WHERE EXISTS (SELECT FROM ordr p WHERE p.id = ordr_id)" \
        "SELECT legacy_id, crate_id, order_id FROM labels"
    same_rows "$1: parents that stand" "SELECT 'order', id, name FROM ordr UNION ALL SELECT 'crate', id, name FROM crate" \
        "SELECT 'order', legacy_id, name FROM orders WHERE NOT deleted UNION ALL SELECT 'crate', legacy_id, name FROM crates WHERE NOT deleted"
    equals "$1: stamps are on those that are gone" "" \
        "$(target_sql "SELECT legacy_id FROM (TABLE orders UNION ALL TABLE crates) p WHERE deleted <> (coalesce(metadata, '{}') ? 'gone_at') OR (metadata -> 'gone_at') = 'null'")"
    accounts "$1: orders are accounted for" "ordr->orders" ordr
    accounts "$1: items are accounted for" "item->items" item
    accounts "$1: notes are accounted for" "note->notes" note
}

check "the mapping is fine" pgrekey map check -q
pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up
all "after the snapshot"
source_sql "DELETE FROM ordr WHERE id = 7; DELETE FROM crate WHERE id = 9"
caught_up
all "a single parent goes"
equals "it stands, with what else its metadata held" "1|t" "$(target_sql "SELECT metadata ->> 'a', metadata ? 'gone_at' FROM crates WHERE legacy_id = 9")"
source_script <<'SQL'
INSERT INTO item VALUES (2001, 7, 8);
INSERT INTO note VALUES (2001, 7, 9);
UPDATE item SET crate_id = 9 WHERE id = 5;
SQL
caught_up
all "children that come to a stamped parent wait"
source_sql "INSERT INTO ordr VALUES (7, 'Seven again'); INSERT INTO crate VALUES (9, 'Nine again')"
caught_up
all "and have it when it returns"
equals "which bears no stamp" "1|f" "$(target_sql "SELECT metadata ->> 'a', metadata ? 'gone_at' FROM crates WHERE legacy_id = 9")"
source_script <<'SQL'
DELETE FROM ordr WHERE id BETWEEN 50 AND 200;
DELETE FROM crate WHERE id BETWEEN 150 AND 300;
BEGIN; INSERT INTO ordr SELECT i, 'Back ' || i FROM generate_series(60, 100) i; DELETE FROM ordr WHERE id > 380; COMMIT;
BEGIN; INSERT INTO crate SELECT i, 'Back ' || i FROM generate_series(160, 200) i; DELETE FROM crate WHERE id < 20; COMMIT;
BEGIN; DELETE FROM ordr WHERE id = 61; INSERT INTO ordr VALUES (61, 'At once'); COMMIT;
BEGIN; DELETE FROM crate WHERE id = 161; INSERT INTO crate VALUES (161, 'At once'); COMMIT;
SQL
caught_up
all "many go and return"

# work SECONDS, in the background: parents go and return under their children.
work() {
    {
        local end=$((SECONDS + $1)) i
        while [ "$SECONDS" -lt "$end" ]; do
            for i in $((RANDOM % 400 + 1)) $((RANDOM % 400 + 1)); do
                echo "DELETE FROM ordr WHERE id = $i; INSERT INTO ordr VALUES ($((RANDOM % 420 + 1)), 'W$RANDOM') ON CONFLICT DO NOTHING;"
                echo "DELETE FROM crate WHERE id = $i; INSERT INTO crate VALUES ($((RANDOM % 420 + 1)), 'W$RANDOM') ON CONFLICT DO NOTHING;"
                echo "UPDATE item SET ordr_id = $((RANDOM % 420 + 1)) WHERE id = $((RANDOM % 2000 + 1)); UPDATE note SET crate_id = $((RANDOM % 420 + 1)) WHERE id = $((RANDOM % 2000 + 1));"
            done
            sleep 0.02
        done
    } | cluster_psql "$T/source" legacy -f - >"$T/work.out" 2>&1 &
    LOAD_PID=$!
}
work 6
kill_loop 4 300 1200
load_wait
caught_up 120
all "work with kills"
test_end
