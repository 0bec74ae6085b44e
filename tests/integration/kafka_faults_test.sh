#!/usr/bin/env bash
# `sink: kafka` under faults: whatever happens, a read-committed reader sees every change exactly once.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

topics_start
topics_estate

# What the topics say is what the source has, and every event came once.
exact() {
    check "$1: the last state per key is the source's" same_items
    check "$1: every event came once, every transaction is whole" transactions_are_whole
}

# One client moves rows one by one, another now and then hundreds in one transaction.
cat >"$T/small.sql" <<'SQL'
\set id random(1, 2000)
UPDATE item SET n = n + 1, name = 'load ' || :id WHERE id = :id;
\sleep 10 ms
SQL
cat >"$T/large.sql" <<'SQL'
\set lo random(1, 1400)
BEGIN;
UPDATE item SET n = n + 1 WHERE id BETWEEN :lo AND :lo + 500;
INSERT INTO item (name, n) SELECT 'bulk ' || i, i FROM generate_series(1, 50) i;
DELETE FROM item WHERE id > 2000 AND id % 3 = 0;
COMMIT;
\sleep 100 ms
SQL

load_stop() {
    kill "$LOAD_PID" 2>/dev/null || true
    wait "$LOAD_PID" 2>/dev/null || true
    LOAD_PID=
}

topics_settings
sed -i 's/transaction_max_rows: 1000/transaction_max_rows: 300/; s/max_rows: 500/max_rows: 100/' "$T/pgrekey.yaml"

# --- a second publisher while the first takes its snapshot, which an open transaction of the source holds up

second() {
    "$PGREKEY" --config "$T/second.yaml" --set source.slot_wait=1s --set http.listen=off run >"$T/second.log" 2>&1
}
cp "$T/pgrekey.yaml" "$T/second.yaml"
cluster_psql "$T/source" legacy -c "BEGIN; UPDATE thing SET name = name WHERE id = 1; SELECT pg_sleep(600)" >/dev/null 2>&1 &
holder=$!
engine_start
snapshot_waits() {
    [ "$(source_sql "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^CREATE_REPLICATION_SLOT' AND wait_event_type = 'Lock'")" = 1 ]
}
check "the first one's snapshot waits" wait_for 30 "the snapshot" snapshot_waits
rc=0
second || rc=$?
equals "a second publisher is refused in the snapshot of the first" 4 "$rc"
check "and told why" grep -q 'another publisher is at work' "$T/second.log"
source_sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep.600' AND pid <> pg_backend_pid()" >/dev/null
wait "$holder" 2>/dev/null || true
published 60
equals "the first was not shut out" 0 "$(grep -c 'reconnecting' "$T/engine.log")"
exact "a second publisher in the snapshot"
engine_stop
pgrekey drop --slot-only --yes >"$T/drop.log" 2>&1
mapfile -t topics < <(kafka_topics "$T/kafka" | grep '^shop')
"$TOP/tests/support/kafka/admin.py" "$(kafka_bootstrap "$T/kafka")" delete "${topics[@]}"

# --- producer killed, the snapshot included

engine_start
nap_ms "$(random_between 300 900)"
engine_kill
engine_start
load_start 600 2 "$T/small.sql@10" "$T/large.sql@1"
pgrekey resync item --wait 0s >/dev/null 2>&1 || true
kill_loop "$PGREKEY_KILLS" 200 1800
load_stop
published 120
exact "$PGREKEY_KILLS kills of the publisher, which also read a table again"
nothing_to_resync() { [ "$(pgrekey status --json | topic_py 'print(d["resyncs"])')" = 0 ]; }
check "the resync came to its end" wait_for 60 "the resync" nothing_to_resync

# --- broker killed and started again, in the midst of Kafka transactions

load_start 600 2 "$T/small.sql@10" "$T/large.sql@1"
for _ in $(seq 1 $(((PGREKEY_KILLS + 4) / 5))); do
    nap_ms "$(random_between 500 1500)"
    kafka_kill "$T/kafka"
    nap_ms "$(random_between 200 1000)"
    kafka_start "$T/kafka"
done
load_stop
check "the publisher outlives its broker" engine_is_alive
published 120
exact "broker killed"

# --- a second publisher on the same slot

rc=0
second || rc=$?
equals "a second publisher is refused" 4 "$rc"
check "and told why" grep -q 'another process reads this slot' "$T/second.log"
source_sql "UPDATE item SET n = -1 WHERE id = 1"
published
check "the first goes on undisturbed" engine_is_alive
equals "without a new session" 0 "$(grep -c 'taken over' "$T/engine.log")"

# --- the slot's connection is cut while a Kafka transaction is open

source_sql "UPDATE item SET n = n + 1"
for _ in $(seq 1 5); do
    cut_connections source
    source_sql "UPDATE item SET n = n + 1 WHERE id % 2 = 0"
    nap_ms 150
done
published 120
exact "slot connection cut"

# --- a publisher that hangs while another takes its place

kill -STOP "$ENGINE_PID"
first=$ENGINE_PID
source_sql "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'pgrekey'" >/dev/null
source_sql "UPDATE item SET n = n + 7 WHERE id % 3 = 0"
"$PGREKEY" --config "$T/second.yaml" --set http.listen=off run >>"$T/second.log" 2>&1 </dev/null &
ENGINE_PID=$!
published 60
kill -CONT "$first"
nap_ms 1500
source_sql "UPDATE item SET n = n + 9 WHERE id % 5 = 0"
published 60
kill -9 "$first" 2>/dev/null || true
exact "a hanging publisher was replaced"

# --- a message over the limit

engine_stop
source_sql "UPDATE item SET note = repeat(md5('x'), 600) WHERE id = 5"
rc=0
pgrekey --set kafka.message_max_bytes=10kB run --until-caught-up >"$T/large.log" 2>&1 || rc=$?
equals "a message over the limit pauses" 5 "$rc"
check "and names the setting and the topic" grep -q 'item.*kafka.message_max_bytes' "$T/large.log"
check "but no value" bash -c "! grep -q '$(source_sql "SELECT md5('x')")' '$T/large.log'"
pgrekey run --until-caught-up >>"$T/engine.log" 2>&1
exact "with a higher limit it goes on"

# --- a topic is deleted

"$TOP/tests/support/kafka/admin.py" "$(kafka_bootstrap "$T/kafka")" delete shop.public.things
rc=0
pgrekey run --until-caught-up >"$T/deleted.log" 2>&1 || rc=$?
equals "a deleted topic is refused" 4 "$rc"
check "and the way out is told" grep -q 'shop.public.things was deleted' "$T/deleted.log"
equals "it is not made again" 0 "$(kafka_topics "$T/kafka" | grep -c 'shop.public.things' || true)"
test_end
