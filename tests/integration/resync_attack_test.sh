#!/usr/bin/env bash
# A resync and a table that joins, under attack: the source cut off in mid-piece, a target whose disk is full, a table whose
# only key is a unique index.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE person (id int PRIMARY KEY, name text NOT NULL, note text);
CREATE TABLE badge (code text NOT NULL, person_id int NOT NULL, colour text);
CREATE UNIQUE INDEX badge_code ON badge (code);
ALTER TABLE badge REPLICA IDENTITY USING INDEX badge_code;
INSERT INTO person SELECT i, 'Person ' || i, repeat(md5(i::text), 20) FROM generate_series(1, 12000) i;
INSERT INTO badge SELECT 'b' || i, i, 'red' FROM generate_series(1, 3000) i;
ANALYZE;
SQL
target_script <<'SQL'
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text, note text);
CREATE TABLE badges (id uuid PRIMARY KEY, code text UNIQUE, person_id int, colour text);
CREATE TABLE copies (id uuid PRIMARY KEY, legacy_id int UNIQUE, note text);
SQL
PEOPLE='  - {name: people, from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {legacy_id: id, name: name, note: note}}'
BADGES='  - {name: badges, from: badge, to: badges, key: {id: {uuid: badge, of: code}}, columns: {code: code, person_id: person_id, colour: colour}}'
COPIES='  - {name: copies, from: person, to: copies, key: {id: {uuid: copy, of: id}}, columns: {legacy_id: id, note: note}}'
mapping() {
    {
        echo rows:
        printf '%s\n' "$@"
    } | mapping_write
}
mapping "$PEOPLE" "$BADGES"
settings_write "snapshot: {range_rows: 1000}" "batch: {max_rows: 200}" "breaker: {window: 0}"
pgrekey init >/dev/null
engine_start
caught_up
compare() {
    same_rows "$1: people" "SELECT id, name, md5(note) FROM person" "SELECT legacy_id, name, md5(note) FROM people"
    same_rows "$1: badges" "SELECT code, person_id, colour FROM badge" "SELECT code, person_id, colour FROM badges"
    accounts "$1: account of people" people person
    accounts "$1: account of badges" badges badge
}
damage() { target_sql "UPDATE people SET name = 'garbled' WHERE legacy_id % 3 = 0; DELETE FROM people WHERE legacy_id % 5 = 0; UPDATE badges SET colour = 'none' WHERE person_id % 2 = 0"; }
seconds_of() { target_sql "SELECT round(extract(epoch FROM done_at - begun_at)::numeric, 1) FROM pgrekey.resync ORDER BY id DESC LIMIT 1"; }

# --- a key that is no primary key

damage
check "a table whose key is a unique index is read whole" pgrekey resync badge
check "and by its keys" pgrekey resync badge b7 b3001
check "and by a range" pgrekey resync badge --from b2 --to b4
check "the other table too" pgrekey resync person
compare "mended"

# --- the source is cut off in mid-piece

damage
target_sql "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END';
    CREATE TRIGGER dawdle AFTER UPDATE ON people FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
pgrekey resync person --wait 3min >"$T/out" 2>&1 &
resync=$!
for i in $(seq 1 8); do
    nap_ms "$(random_between 100 700)"
    cut_connections source
    source_sql "UPDATE person SET name = name || '.' WHERE id % 50 = $i; DELETE FROM person WHERE id % 1000 = $i; UPDATE person SET id = id + 20000 WHERE id % 900 = $i AND id < 20000"
done
wait "$resync" || true
resynced() { [ "$(target_sql "SELECT count(*) FROM pgrekey.resync WHERE done_at IS NULL")" = 0 ]; }
wait_for 120 "the resync to end" resynced
target_sql "DROP TRIGGER dawdle ON people"
check "badges once more" pgrekey resync badge
caught_up
compare "cut off in mid-piece"
ok "the last resync took $(seconds_of) s"

# --- the target's disk is full, for a resync and for a table that joins

disk=$T/disk
mkdir -p "$disk"
clean_up() {
    local code=$?
    set +e
    umount -l "$disk" 2>/dev/null
    (exit "$code")
    lib_clean_up
}
if mount -t tmpfs -o size=16m,mode=0755 tmpfs "$disk" 2>/dev/null; then
    trap clean_up EXIT
    install -d -m 0700 -o "$(cluster_user)" "$disk/space"
    target_sql "CREATE TABLESPACE small LOCATION '$disk/space'"
    target_sql "ALTER TABLE copies SET TABLESPACE small; ALTER TABLE badges SET TABLESPACE small"
    dd if=/dev/zero of="$disk/filler" bs=1M count=100 2>/dev/null || true
    engine_stop
    mapping "$PEOPLE" "$BADGES" "$COPIES"
    : >"$T/engine.log"
    engine_start
    full() { [ "$(grep -c 'sqlstate=53100' "$T/engine.log")" -ge 2 ]; }
    wait_for 60 "the disk to be full" full
    source_sql "UPDATE person SET note = note || '!' WHERE id % 30 = 0; DELETE FROM person WHERE id % 400 = 1; INSERT INTO person VALUES (50000, 'late', 'x')"
    pgrekey resync badge --wait 0s >/dev/null 2>&1 || true
    nap_ms 1500
    check "a full disk is waited out" engine_is_alive
    rm "$disk/filler"
    mount -o remount,size=200m "$disk"
    joined 120
    wait_for 60 "the resync to end" resynced
    compare "after a full disk"
    same_rows "what joined has all rows" "SELECT id, md5(note) FROM person" "SELECT legacy_id, md5(note) FROM copies"
    accounts "and its account" copies person
    engine_stop
    target_sql "ALTER TABLE copies SET TABLESPACE pg_default; ALTER TABLE badges SET TABLESPACE pg_default"
    target_sql "DROP TABLESPACE small"
    umount "$disk"
else
    ok "no tmpfs can be mounted here: a full disk is not tried"
fi
test_end
