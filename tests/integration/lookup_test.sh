#!/usr/bin/env bash
# Look-ups: a row rule reads a small mirror by its key. Each row must be made with the mirror as it was when that row was
# changed: in the snapshot, in the stream, within one transaction, after kills, and out of quarantine.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE content_type (id int PRIMARY KEY, model text, extra text);
ALTER TABLE content_type ALTER extra SET STORAGE EXTERNAL;
CREATE TABLE place (country text, code int, name text, PRIMARY KEY (country, code));
CREATE TABLE notice (id serial PRIMARY KEY, type_id int, country text, code int, body text NOT NULL, seen text, seen_place text);
CREATE TABLE node (id int PRIMARY KEY, parent_id int, name text NOT NULL);
INSERT INTO content_type SELECT i, 'model ' || i, repeat(md5(i::text), 200) FROM generate_series(1, 40) i;
INSERT INTO place SELECT c, i, c || ' ' || i FROM unnest('{SE,NO,"a,b"}'::text[]) c, generate_series(1, 10) i;
INSERT INTO node VALUES (1, NULL, 'root'), (2, 1, 'leaf'), (3, 2, 'leaf of a leaf');
-- What a notice must say on the target is noted on the source when it is written, by the same transaction.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seen := (SELECT model FROM content_type WHERE id = NEW.type_id);
    NEW.seen_place := (SELECT name FROM place WHERE (country, code) = (NEW.country, NEW.code));
    RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON notice FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO notice (type_id, country, code, body)
    SELECT i % 45, (ARRAY['SE', 'NO', 'a,b', NULL])[1 + i % 4], i % 12, 'body ' || i FROM generate_series(1, 4000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE notices (id uuid PRIMARY KEY, legacy_id int UNIQUE, body text CHECK (body <> 'bad'), model text, place text);
CREATE TABLE orders (id uuid PRIMARY KEY, legacy_id int UNIQUE, body text);
CREATE TABLE nodes (id uuid PRIMARY KEY, legacy_id int, parent text, itself text);
SQL
mapping_write <<'YAML'
rows:
  - from: notice
    to: notices
    key: {id: {uuid: notice, of: id}}
    lookup: {ct: {mirror: content_type, by: type_id}, p: {mirror: place, by: [country, code]}}
    columns: {legacy_id: id, body: body, model: ct.model, place: p.name}
  - name: only some
    from: notice
    to: orders
    key: {id: {uuid: order, of: id}}
    when: ct.model = 'model 7' or ct.model = 'late'
    lookup: {ct: {mirror: content_type, by: type_id}}
    columns: {legacy_id: id, body: body}
  - from: node
    to: nodes
    key: {id: {uuid: node, of: id}}
    lookup: {up: {mirror: node, by: parent_id}, me: {mirror: node, by: id}}
    columns: {legacy_id: id, parent: up.name, itself: me.name}
mirrors:
  content_type: {columns: [model, extra], where: model <> 'hidden'}
  place:
  node: {columns: [name]}
YAML
settings_write "batch: {max_rows: 300}" "breaker: {window: 0}" "snapshot: {range_rows: 1000}" "quarantine: {retries: 0}"
check "init" pgrekey init
check "check" pgrekey check --quiet
check "a dry run looks up on the source" grep -q '"model": *"model 1"' <(pgrekey map test --json --table notice 1)

compare() {
    same_rows "$1: what was looked up" "SELECT id, body, seen, seen_place FROM notice WHERE body <> 'bad'" "SELECT legacy_id, body, model, place FROM notices"
    same_rows "$1: a condition on it" "SELECT id FROM notice WHERE seen IN ('model 7', 'late')" "SELECT legacy_id FROM orders"
    accounts "$1: accounts" "notice->notices" notice
    accounts "$1: accounts under the condition" "only some" notice
}
step() { # NAME, SQL from standard input
    source_script
    caught_up
    compare "$1"
}

engine_start
caught_up
compare "snapshot"
same_rows "a table that looks up in itself" "SELECT n.id, p.name, n.name FROM node n LEFT JOIN node p ON p.id = n.parent_id" \
    "SELECT legacy_id, parent, itself FROM nodes"

step "a type that comes, changes and goes" <<'SQL'
INSERT INTO content_type VALUES (41, 'new', 'x');
INSERT INTO notice (type_id, body) VALUES (41, 'after it came');
UPDATE content_type SET model = 'renamed' WHERE id = 41;
INSERT INTO notice (type_id, body) VALUES (41, 'after it was renamed');
DELETE FROM content_type WHERE id = 41;
INSERT INTO notice (type_id, body) VALUES (41, 'after it went');
SQL
step "within one transaction" <<'SQL'
BEGIN;
INSERT INTO notice (type_id, body) VALUES (5, 'before');
UPDATE content_type SET model = 'model 7' WHERE id = 5;
INSERT INTO notice (type_id, body) VALUES (5, 'between');
UPDATE content_type SET model = 'late' WHERE id = 5;
INSERT INTO notice (type_id, body) VALUES (5, 'behind');
COMMIT;
BEGIN;
UPDATE content_type SET model = 'never';
ROLLBACK;
INSERT INTO notice (type_id, body) SELECT i, 'after a rollback' FROM generate_series(1, 40) i;
SQL
step "changed keys" <<'SQL'
UPDATE content_type SET id = id + 100 WHERE id BETWEEN 10 AND 15;
UPDATE place SET code = code + 100, country = country || '!' WHERE code = 3;
INSERT INTO notice (type_id, country, code, body) SELECT 10 + i % 6 + 100 * (i % 2), 'SE', 3, 'moved' FROM generate_series(1, 12) i;
INSERT INTO notice (type_id, country, code, body) VALUES (1, 'SE!', 103, 'moved');
SQL
step "a value that the stream leaves out" <<'SQL'
UPDATE content_type SET model = model || '!' WHERE id BETWEEN 20 AND 25;
INSERT INTO notice (type_id, body) SELECT i, 'its extra is out of line' FROM generate_series(20, 25) i;
SQL
# The mirror's own condition hides a type from whoever looks there; on the source it is still there to be noted.
source_sql "UPDATE content_type SET model = 'hidden' WHERE id = 30; INSERT INTO notice (type_id, body) VALUES (30, 'hidden'); UPDATE content_type SET model = 'back' WHERE id = 30;
    INSERT INTO notice (type_id, body) VALUES (30, 'seen again')"
caught_up
equals "what the mirror leaves out is not found" "hidden:-|seen again:back" \
    "$(target_sql "SELECT string_agg(body || ':' || coalesce(model, '-'), '|' ORDER BY legacy_id) FROM notices WHERE body IN ('hidden', 'seen again')")"
source_sql "DELETE FROM notice WHERE body = 'hidden'"
step "TRUNCATE" <<'SQL'
BEGIN;
TRUNCATE place;
INSERT INTO place VALUES ('SE', 1, 'anew');
INSERT INTO notice (type_id, country, code, body) VALUES (1, 'SE', 1, 'anew'), (1, 'SE', 2, 'gone');
COMMIT;
SQL
source_sql "INSERT INTO node VALUES (4, 3, 'deep'); UPDATE node SET name = name || '!' WHERE id = 4"
caught_up
equals "a row finds itself as it is now" "leaf of a leaf:deep!" "$(target_sql "SELECT parent || ':' || itself FROM nodes WHERE legacy_id = 4")"

# A row that comes out of quarantine is made with what the receiver holds by then.
source_sql "INSERT INTO notice (type_id, body) VALUES (1, 'bad')"
caught_up
equals "a row in quarantine" 1 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
target_sql "ALTER TABLE notices DROP CONSTRAINT notices_body_check"
check "retry looks up too" pgrekey quarantine retry --all
equals "it is there" "bad:model 1" "$(target_sql "SELECT body || ':' || model FROM notices WHERE body = 'bad'")"
source_sql "DELETE FROM notice WHERE body = 'bad'"

# --- kills

cat >"$T/load.sql" <<'SQL'
\set id random(1, 45)
\set other random(1, 45)
BEGIN;
SELECT pg_advisory_xact_lock(1);
UPDATE content_type SET model = 'model ' || :other WHERE id = :id;
INSERT INTO notice (type_id, country, code, body) VALUES (:id, 'SE', 1, 'load');
INSERT INTO content_type VALUES (:other, 'made') ON CONFLICT (id) DO UPDATE SET model = 'made again';
INSERT INTO notice (type_id, body) VALUES (:other, 'load');
DELETE FROM content_type WHERE id = :id;
INSERT INTO notice (type_id, body) VALUES (:id, 'load');
COMMIT;
SQL
load_start 6 3 "$T/load.sql"
kill_loop 6 300 900
load_wait
caught_up
compare "after kills"
cut_connections target
step "after a lost connection" <<<"INSERT INTO notice (type_id, body) SELECT i, 'once more' FROM generate_series(1, 45) i"

# --- a mirror that is too large

engine_stop
pgrekey_fails "a mirror that is too large is refused" 2 'mirror (content_type|place), .* more than 1 rows' run --until-caught-up --set lookup.max_rows=1
rows=$(source_sql "SELECT greatest((SELECT count(*) FROM content_type), (SELECT count(*) FROM node))")
engine_start --set "lookup.max_rows=$rows"
caught_up
source_sql "INSERT INTO content_type SELECT i, 'many' FROM generate_series(1000, 1050) i"
paused() { [ "$(target_sql "SELECT paused FROM pgrekey.pipeline")" = t ]; }
wait_for 30 "the pause" paused
check "one that grows too large pauses" grep -q 'event=paused .*mirror content_type, which rules look up rows in' "$T/engine.log"
engine_stop
engine_start
paused_again() { [ "$(grep -c event=paused "$T/engine.log")" -ge 2 ]; }
wait_for 30 "the pause, which is kept" paused_again
check "resume with room enough" pgrekey resume
caught_up
compare "with room enough"
engine_stop
test_end
