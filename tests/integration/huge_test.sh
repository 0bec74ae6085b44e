#!/usr/bin/env bash
# One transaction of PGREKEY_HUGE_ROWS rows: seen on the target all at once, in bounded memory, and exact whatever is in
# it. And the edges of batches: transactions that end just where a batch does.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

ROWS=${PGREKEY_HUGE_ROWS:-200000}

source_start
target_start
source_uuid_ossp
source_script <<'SQL'
CREATE TABLE parent (id int PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE child (id int PRIMARY KEY, parent_id int, n int NOT NULL, note text);
ALTER TABLE child ALTER note SET STORAGE EXTERNAL;
INSERT INTO child SELECT i, NULL, 0, CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 80) END FROM generate_series(1, 1000) i;
SQL
target_script <<'SQL'
CREATE TABLE parents (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, name text NOT NULL UNIQUE);
CREATE TABLE children (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, parent_id uuid REFERENCES parents, n int NOT NULL CHECK (n >= 0), note text);
SQL
mapping_write <<'YAML'
rows:
  - {name: parent, from: parent, to: parents, key: {id: {uuid: parent, of: id}}, columns: {legacy_id: id, name: name}}
  - {name: child, from: child, to: children, key: {id: {uuid: child, of: id}},
     columns: {legacy_id: id, parent_id: {uuid: parent, of: parent_id, required: false}, n: n, note: note}}
YAML
settings_write "batch:" "  max_rows: 2000" "  max_bytes: 2MB" "breaker:" "  window: 0"
check "init" pgrekey init --quiet

compare() {
    same_rows "$1: parents" "SELECT $(uuid_sql parent id), id, name FROM parent" "SELECT id, legacy_id, name FROM parents"
    same_rows "$1: children" "SELECT $(uuid_sql child id), id, $(uuid_sql parent parent_id), n, md5(note) FROM child WHERE n >= 0" \
        "SELECT id, legacy_id, parent_id, n, md5(note) FROM children WHERE NOT EXISTS (SELECT FROM pgrekey.quarantine WHERE status <> 'resolved' AND key = json_build_array(legacy_id::text)::text)"
    same_rows "$1: quarantine" "SELECT 'child', json_build_array(id::text) FROM child WHERE n < 0" "SELECT rule, key FROM pgrekey.quarantine WHERE status <> 'resolved'"
    accounts "$1: accounts of parent" parent parent
    accounts "$1: accounts of child" child child
}
peak_kb() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$ENGINE_PID/status"; }

engine_start
caught_up
compare "snapshot"
quiet_kb=$(peak_kb)

# --- all at once

watch_counts() { # what another session sees of it, without pause
    cluster_psql "$T/target" app >"$T/seen" <<'SQL'
SELECT count(*) || ' ' || (SELECT count(*) FROM parents) FROM children \watch 0.05
SQL
}
watch_counts 2>/dev/null &
LOAD_PID=$!
source_sql "BEGIN;
    INSERT INTO parent SELECT i, 'p' || i FROM generate_series(1, $ROWS / 10) i;
    INSERT INTO child SELECT 1000 + i, 1 + i % ($ROWS / 10), i, CASE WHEN i % 500 = 0 THEN repeat(md5(i::text), 100) END FROM generate_series(1, $ROWS * 6 / 10) i;
    UPDATE child SET n = n + 1 WHERE id % 3 = 0;
    UPDATE child SET n = -1 WHERE id IN (1500, 2500, 50000, 100);
    UPDATE child SET n = 7 WHERE id = 2500;
    UPDATE parent SET name = name || '!' WHERE id % 7 = 0;
    UPDATE child SET id = id + 10000000 WHERE id BETWEEN 3000 AND 3100;
    DELETE FROM child WHERE id % 5 = 0 AND id > 4000;
    UPDATE child SET parent_id = NULL WHERE parent_id = 11;
    DELETE FROM parent WHERE id = 11;
    UPDATE parent SET name = 'taken' WHERE id = 12;
    UPDATE parent SET name = 'p12' WHERE id = 13;
    UPDATE parent SET name = 'p13' WHERE id = 12;
    COMMIT"
caught_up 300
sleep 0.3
kill "$LOAD_PID"
wait "$LOAD_PID" 2>/dev/null || true
LOAD_PID=
compare "a transaction of $ROWS rows and more"
seen=$(grep -E '^[0-9]+ [0-9]+$' "$T/seen" | sort -u | paste -sd ',')
end=$(target_sql "SELECT count(*) || ' ' || (SELECT count(*) FROM parents) FROM children")
equals "seen were its beginning and its end" "$(printf '1000 0\n%s\n' "$end" | sort | paste -sd ',')" "$(echo "$seen" | tr ',' '\n' | sort | paste -sd ',')"
peak=$(peak_kb)
most_mib=64
if grep -q __asan_init "$PGREKEY"; then most_mib=400; fi # AddressSanitizer holds back what was freed
check "in bounded memory ($((quiet_kb / 1024)) MiB before, $((peak / 1024)) MiB at most)" [ "$peak" -lt $((most_mib * 1024)) ]
equals "of its bad rows those are quarantined that were so in the end" 2 "$(target_sql "SELECT quarantined FROM pgrekey.counter WHERE rule = 'child'")"

# --- a transaction that ends where its last batch did, with nothing or with an empty one behind it

engine_stop
for rows in 1999 2000 2001 3999 4000 4001 8000; do
    source_sql "UPDATE child SET n = n + 1 WHERE id IN (SELECT id FROM child WHERE n >= 0 ORDER BY id LIMIT $rows)"
    source_sql "SELECT pg_logical_emit_message(true, 'empty', '')" >/dev/null
done
engine_start
caught_up
compare "transactions around a batch's size"
source_sql "UPDATE child SET n = n + 1 WHERE id IN (SELECT id FROM child WHERE n >= 0 ORDER BY id LIMIT 4000)"
equal_sums() { [ "$(source_sql "SELECT sum(n) FROM child WHERE n >= 0")" = "$(target_sql "SELECT sum(n) FROM children WHERE legacy_id NOT IN (100, 1500)")" ]; }
wait_for 30 "the end of a transaction with nothing behind it" equal_sums
ok "it does not wait for the next one"

# --- rolled back, or stopped in its midst

source_sql "BEGIN; UPDATE child SET n = n + 100; SAVEPOINT a; DELETE FROM child; ROLLBACK TO a; ROLLBACK"
source_sql "BEGIN; INSERT INTO child SELECT 20000000 + i, NULL, i FROM generate_series(1, 20000) i; SAVEPOINT a; DELETE FROM child WHERE id > 20000000; ROLLBACK TO a; UPDATE child SET n = n + 1 WHERE id > 20000000; COMMIT" &
sleep 0.3
engine_stop
equals "SIGTERM in its midst ends with 0" 0 "$ENGINE_CODE"
wait
check "what was begun is not seen in part" [ "$(target_sql "SELECT count(*) IN (0, 20000) FROM children WHERE legacy_id > 20000000")" = t ]
engine_start
caught_up
compare "savepoints, and a stop in the midst"
engine_stop
test_end
