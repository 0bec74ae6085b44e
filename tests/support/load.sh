# shellcheck shell=bash
# A small estate under load, for tests that break things while it is changed. Sourced after lib.sh.
#
#   load_estate ROWS         both schemas, ROWS persons and twice as many items, mapping
#   load_run SECONDS [RATE]  changes of all kinds in the background, so many a second, until load_wait
#   load_compare NAME        both sides to the row, and the accounts
#
# Whatever the batches, the outcome is one: items go to quarantine by their own value alone (status 99) and keep their
# last good version there; the rest must be equal. Their persons stay, for a last good version holds its parent.

load_estate() {
    local rows=$1
    source_uuid_ossp
    source_script <<SQL
CREATE TABLE office (id int PRIMARY KEY, slug text NOT NULL UNIQUE DEFERRABLE, visits int NOT NULL DEFAULT 0);
CREATE TABLE person (id serial PRIMARY KEY, office_id int REFERENCES office, name text NOT NULL, version int NOT NULL DEFAULT 0, note text);
ALTER TABLE person ALTER note SET STORAGE EXTERNAL;
CREATE TABLE item (id serial PRIMARY KEY, person_id int NOT NULL REFERENCES person ON UPDATE CASCADE, status int NOT NULL DEFAULT 0,
    hidden boolean NOT NULL DEFAULT false, amount numeric(12,2), changes int NOT NULL DEFAULT 0);
CREATE INDEX ON item (person_id);
INSERT INTO office SELECT i, 'slug ' || i FROM generate_series(1, 40) i;
INSERT INTO person (office_id, name, note)
    SELECT 1 + i % 40, 'Person ' || i, CASE WHEN i % 3 = 0 THEN repeat(md5(i::text), 1 + i % 90) END FROM generate_series(1, $rows) i;
INSERT INTO item (person_id, status, hidden, amount)
    SELECT 1 + i % $rows, CASE WHEN i % 97 = 0 AND i % $rows < $rows / 2 THEN 99 ELSE i % 3 END, i % 11 = 0, i / 7.0 FROM generate_series(1, 2 * $rows) i;
ANALYZE;
SQL
    target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, slug text NOT NULL UNIQUE, visits int NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, office_id uuid REFERENCES offices, name text NOT NULL, version int NOT NULL, note text);
CREATE TABLE items (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, person_id uuid NOT NULL REFERENCES people, status text NOT NULL,
    amount numeric, changes int NOT NULL, first_changes int NOT NULL);
CREATE INDEX ON people (office_id);
CREATE INDEX ON items (person_id);
SQL
    mapping_write <<'YAML'
rows:
  - {name: office, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, slug: slug, visits: visits}}
  - {name: person, from: person, to: people, key: {id: {uuid: person, of: id}},
     columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: false}, name: name, version: version, note: note}}
  - name: item
    from: item
    to: items
    when: not hidden
    key: {id: {uuid: item, of: id}}
    once: [first_changes]
    columns:
      legacy_id: id
      person_id: {uuid: person, of: person_id, required: true}
      status: {from: status, enum: {0: open, 1: closed, 2: lost}, else: reject}
      amount: amount
      changes: changes
      first_changes: {const: 0}
YAML
    load_scripts "$rows"
}

# Persons up to half of ROWS stay; the others come and go. Rows are locked in the order of their keys.
load_scripts() {
    local rows=$1 half=$(($1 / 2))
    mkdir -p "$T/load"
    cat >"$T/load/insert.sql" <<SQL
\\set p random(1, $half)
\\set n random(1, 6)
BEGIN;
INSERT INTO person (office_id, name, note) VALUES (1 + :p % 40, 'New of ' || :p, repeat(md5(:p::text), :n * 20));
INSERT INTO item (person_id, status, amount) SELECT CASE WHEN i % 2 = 0 THEN :p ELSE currval('person_id_seq') END, i % 3, :p / 3.0 FROM generate_series(1, :n) i;
COMMIT;
SQL
    cat >"$T/load/update.sql" <<SQL
\\set i random(1, 2 * $rows)
\\set p random(1, $rows)
\\set s random(0, 2)
BEGIN;
UPDATE person SET version = version + 1, name = name || '.' WHERE id = :p AND length(name) < 60;
UPDATE item SET status = :s, changes = changes + 1 WHERE id IN (SELECT id FROM item WHERE id BETWEEN :i AND :i + 9 ORDER BY id FOR UPDATE);
COMMIT;
SQL
    cat >"$T/load/poison.sql" <<SQL
\\set i random(1, 2 * $rows)
\\set s random(0, 1)
UPDATE item SET status = CASE WHEN :s = 0 THEN 99 ELSE 1 END, changes = changes + 1 WHERE id = :i AND person_id <= $half;
SQL
    cat >"$T/load/hide.sql" <<SQL
\\set i random(1, 2 * $rows)
UPDATE item SET hidden = NOT hidden, changes = changes + 1 WHERE id = :i;
SQL
    cat >"$T/load/delete.sql" <<SQL
\\set p random($half + 1, $rows)
BEGIN;
SELECT FROM person WHERE id = :p FOR UPDATE;
DELETE FROM item WHERE id IN (SELECT id FROM item WHERE person_id = :p ORDER BY id FOR UPDATE);
DELETE FROM person WHERE id = :p;
COMMIT;
SQL
    # The children follow their parent's new key by ON UPDATE CASCADE.
    cat >"$T/load/rekey.sql" <<SQL
\\set p random($half + 1, $rows)
BEGIN;
UPDATE person SET id = id + 10000000, version = version + 1 WHERE id = :p;
UPDATE person SET id = id - 10000000 WHERE id = :p + 10000000 AND version % 2 = 0;
COMMIT;
SQL
    cat >"$T/load/swap.sql" <<SQL
\\set a random(1, 20)
\\set b random(21, 40)
BEGIN;
SELECT FROM office WHERE id IN (:a, :b) ORDER BY id FOR UPDATE;
SET CONSTRAINTS ALL DEFERRED;
UPDATE office o SET slug = x.slug, visits = o.visits + 1 FROM office x WHERE (o.id = :a AND x.id = :b) OR (o.id = :b AND x.id = :a);
COMMIT;
SQL
    cat >"$T/load/rollback.sql" <<SQL
\\set i random(1, 2 * $rows)
BEGIN;
UPDATE item SET changes = changes + 1000000 WHERE id = :i;
SAVEPOINT a;
DELETE FROM item WHERE id = :i;
ROLLBACK TO a;
ROLLBACK;
SQL
    cat >"$T/load/big.sql" <<SQL
\\set i random(1, 2 * $rows)
UPDATE item SET changes = changes + 1 WHERE id IN (SELECT id FROM item WHERE id BETWEEN :i AND :i + 400 ORDER BY id FOR UPDATE);
SQL
}

load_run() {
    local each files=()
    for each in insert@8 update@12 poison@3 hide@3 delete@2 rekey@1 swap@2 rollback@1 big@1; do files+=(-f "$T/load/${each%@*}.sql@${each#*@}"); done
    pgbench -n -T "$1" -R "${2:-200}" -c 4 -j 1 --max-tries=50 --random-seed="$PGREKEY_SEED" "${files[@]}" \
        "$(cluster_conninfo "$T/source" legacy)" >"$T/load.out" 2>&1 </dev/null &
    # shellcheck disable=SC2034 # lib.sh waits for it
    LOAD_PID=$!
}

load_compare() {
    local rule
    same_rows "$1: offices" "SELECT $(uuid_sql office id), id, slug, visits FROM office" "SELECT id, legacy_id, slug, visits FROM offices"
    same_rows "$1: persons" \
        "SELECT $(uuid_sql person id), id, $(uuid_sql office office_id), name, version, md5(note) FROM person" \
        "SELECT id, legacy_id, office_id, name, version, md5(note) FROM people"
    same_rows "$1: items" \
        "SELECT $(uuid_sql item id), id, $(uuid_sql person person_id), CASE status WHEN 0 THEN 'open' WHEN 1 THEN 'closed' ELSE 'lost' END, amount, changes, 0
         FROM item WHERE NOT hidden AND status <> 99" \
        "SELECT id, legacy_id, person_id, status, amount, changes, first_changes FROM items i
         WHERE NOT EXISTS (SELECT FROM pgrekey.quarantine q WHERE q.rule = 'item' AND q.status <> 'resolved' AND q.key = json_build_array(i.legacy_id::text)::text)"
    same_rows "$1: what stands in quarantine" \
        "SELECT 'item', json_build_array(id::text), 'ambiguous_value' FROM item WHERE status = 99 AND NOT hidden" \
        "SELECT rule, key, category FROM pgrekey.quarantine WHERE status <> 'resolved'"
    same_rows "$1: quarantined and excluded items are counted" \
        "SELECT count(*) FILTER (WHERE NOT hidden AND status <> 99), count(*) FILTER (WHERE NOT hidden AND status = 99), count(*) FILTER (WHERE hidden) FROM item" \
        "SELECT mapped, quarantined, excluded FROM pgrekey.counter WHERE rule = 'item'"
    for rule in office person item; do accounts "$1: accounts of $rule" "$rule" "$rule"; done
    equals "$1: no delete failed" 0 "$(target_sql "SELECT sum(failed_deletes) FROM pgrekey.counter")"
}
