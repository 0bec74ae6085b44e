#!/usr/bin/env bash
# Derived rows that the target held before and whose key has yielded none yet: they stay, and are no parents. When the
# source row comes, they are what it is called, and whoever waited for it comes with it, of a rule or a derivation. Where the
# key is there and waits, or is rejected, its row goes with the snapshot, and comes back as it was.
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
INSERT INTO ordr SELECT i, 'Order ' || i FROM generate_series(1, 50) i;
INSERT INTO crate SELECT i, 'Crate ' || i FROM generate_series(1, 50) i;
INSERT INTO item SELECT i, 1 + i % 60, 1 + i % 59 FROM generate_series(1, 600) i;
INSERT INTO note SELECT i, 1 + i % 60, 1 + i % 59 FROM generate_series(1, 600) i;
SQL
target_script <<'SQL'
CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, name text);
CREATE TABLE crates (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, name text);
CREATE TABLE items (id uuid PRIMARY KEY, legacy_id int UNIQUE, order_id uuid NOT NULL REFERENCES orders, crate_id uuid NOT NULL REFERENCES crates);
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE, order_id uuid REFERENCES orders, crate_id uuid REFERENCES crates);
CREATE TABLE labels (id uuid PRIMARY KEY, legacy_id int UNIQUE, order_id uuid NOT NULL REFERENCES orders, crate_id uuid REFERENCES crates, remark text);
CREATE TABLE tags (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), legacy_id int UNIQUE, label_id uuid NOT NULL REFERENCES labels, remark text);
INSERT INTO orders (legacy_id, name) SELECT i, 'old' FROM generate_series(41, 58) i;
INSERT INTO crates (legacy_id, name) SELECT i, 'old' FROM generate_series(41, 58) i;
INSERT INTO labels SELECT gen_random_uuid(), i, id, NULL, 'ours ' || i FROM orders, generate_series(40, 58) i WHERE legacy_id = 44;
INSERT INTO labels SELECT gen_random_uuid(), 9000, id, NULL, 'gone' FROM orders WHERE legacy_id = 44;
INSERT INTO tags (legacy_id, label_id, remark) SELECT legacy_id, id, remark FROM labels;
SQL
mapping_write <<'YAML'
rows:
  - from: item
    to: items
    key: {id: {uuid: item, of: id}}
    columns: {legacy_id: id, order_id: {uuid: order, of: ordr_id}, crate_id: {uuid: crate, of: crate_id}}
  - from: note
    to: notes
    key: {id: {uuid: note, of: id}}
    columns: {legacy_id: id, order_id: {uuid: order, of: ordr_id}, crate_id: {uuid: crate, of: crate_id}}
mirrors:
  ordr: {}
  crate: {}
  note: {}
derive:
  - to: orders
    key: {id: {uuid: order, of: legacy_id}, adopt: legacy_id}
    columns: [legacy_id, name]
    touched: {ordr: select id from touched}
    query: select k.legacy_id, o.name from keys k join ordr o on o.id = k.legacy_id
  - to: crates
    key: {id: {uuid: crate, of: legacy_id}, adopt: legacy_id}
    columns: [legacy_id, name]
    touched: {crate: select id from touched}
    query: select k.legacy_id, c.name from keys k join crate c on c.id = k.legacy_id
  - to: labels
    key: {id: {uuid: label, of: legacy_id}, adopt: legacy_id}
    columns: [legacy_id, order_id, crate_id]
    references: {order_id: {uuid: order, required: true}, crate_id: {uuid: crate, required: false}}
    touched: {note: select id from touched}
    query: |
      select k.legacy_id, pgrekey.id('order', n.ordr_id) as order_id, pgrekey.id('crate', n.crate_id) as crate_id
      from keys k join note n on n.id = k.legacy_id
  - to: tags
    key: {id: {uuid: tag, of: legacy_id}, adopt: legacy_id}
    columns: [legacy_id, label_id]
    touched: {note: select id from touched, labels: select legacy_id from touched}
    query: |
      select k.legacy_id, l.id as label_id, k.legacy_id % 4 = 0 as odd
      from keys k join note n on n.id = k.legacy_id join labels l on l.legacy_id = n.id
    reject: {when: odd, category: ambiguous_value, row: gone}
YAML
settings_write
ids="SELECT legacy_id, id FROM orders UNION ALL SELECT -legacy_id, id FROM crates UNION ALL SELECT 10000 + legacy_id, id FROM labels UNION ALL SELECT 20000 + legacy_id, id FROM tags"
target_sql "$ids" | sort >"$T/ids"

# all NAME: children stand as their parents do on the source.
all() {
    same_rows "$1: rows with required parents" "SELECT i.id, i.ordr_id, i.crate_id FROM item i JOIN ordr o ON o.id = ordr_id JOIN crate c ON c.id = crate_id" \
        "SELECT i.legacy_id, o.legacy_id, c.legacy_id FROM items i JOIN orders o ON o.id = order_id JOIN crates c ON c.id = crate_id"
    same_rows "$1: rows with optional ones" "SELECT n.id, o.id, c.id FROM note n LEFT JOIN ordr o ON o.id = ordr_id LEFT JOIN crate c ON c.id = crate_id" \
        "SELECT n.legacy_id, o.legacy_id, c.legacy_id FROM notes n LEFT JOIN orders o ON o.id = order_id LEFT JOIN crates c ON c.id = crate_id"
    same_rows "$1: derived rows" "SELECT n.id, o.id, c.id FROM note n JOIN ordr o ON o.id = ordr_id LEFT JOIN crate c ON c.id = crate_id" \
        "SELECT n.legacy_id, o.legacy_id, c.legacy_id FROM labels n JOIN orders o ON o.id = order_id LEFT JOIN crates c ON c.id = crate_id WHERE n.legacy_id < 9000"
    same_rows "$1: rows derived from those" "SELECT n.id FROM note n JOIN ordr o ON o.id = ordr_id WHERE n.id % 4 <> 0" \
        "SELECT t.legacy_id FROM tags t JOIN labels n ON n.id = label_id AND n.legacy_id = t.legacy_id WHERE n.legacy_id < 9000"
    equals "$1: of what came back nothing is lost" "" "$(target_sql "SELECT legacy_id, remark FROM labels WHERE legacy_id BETWEEN 40 AND 58 AND remark IS DISTINCT FROM 'ours ' || legacy_id
        UNION ALL SELECT 9000, 'is not as it was' WHERE (SELECT count(*) FROM labels n JOIN tags t ON t.label_id = n.id WHERE n.remark = 'gone' AND t.remark = 'gone' AND n.legacy_id = 9000) <> 1")"
    accounts "$1: items are accounted for" "item->items" item
    accounts "$1: notes are accounted for" "note->notes" note
    equals "$1: ids stay" "" "$(target_sql "$ids" |
        awk -F '|' 'NR == FNR { id[$1] = $2; next } $1 in id && id[$1] != $2' "$T/ids" -)"
}

pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up
all "after the snapshot"
equals "rows that the source lacks stay as they were" 16 "$(target_sql "SELECT count(*) FROM (TABLE orders UNION ALL TABLE crates) o WHERE name = 'old'")"
source_sql "INSERT INTO note VALUES (601, 52, 53)"
source_sql "INSERT INTO ordr VALUES (51, 'comes')"
source_sql "INSERT INTO crate VALUES (52, 'comes')"
caught_up
all "one comes, and another"
source_script <<'SQL'
BEGIN; INSERT INTO crate SELECT i, 'comes' FROM generate_series(53, 57) i; INSERT INTO ordr SELECT i, 'comes' FROM generate_series(52, 57) i; COMMIT;
BEGIN; UPDATE item SET ordr_id = 58, crate_id = 58 WHERE id < 50; UPDATE note SET ordr_id = 58, crate_id = 58 WHERE id < 50; COMMIT;
SQL
caught_up
all "many come"
source_sql "DELETE FROM crate WHERE id = 55; DELETE FROM ordr WHERE id = 56; INSERT INTO crate VALUES (58, 'last'); INSERT INTO ordr VALUES (58, 'last')"
caught_up
all "and go again"
test_end
