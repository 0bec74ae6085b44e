#!/usr/bin/env bash
# Four workers of a group share the partitions: parents and children in random ones, a worker killed, another one that
# joins. The copy is the directly applied target to the row in the end, and nothing waits.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/replay.sh
. "$TOP/tests/support/replay.sh"

topics_start
replay_world
direct
engine_start
published

WORKERS=()
worker_start() {
    PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) PGREKEY_REPLAY_MASKING=off \
        PGREKEY_REPLAY_GROUP=workers PGREKEY_KAFKA_PROPERTIES="session.timeout.ms=6000, heartbeat.interval.ms=500" \
        "$PGREKEY" --config "$T/pgrekey.yaml" replay --set batch.max_rows=20 "$@" 2>>"$T/replay.log" &
    WORKERS+=($!)
}
workers_end() {
    local each code=0
    for each in "${WORKERS[@]}"; do wait "$each" || code=$?; done
    WORKERS=()
    return "$code"
}

# --- an empty database, and what came meanwhile

replay_work 150 0.7
published
for _ in 1 2 3 4; do worker_start --until-caught-up; done
check "four workers fill an empty database and go on together" workers_end
direct
same_everywhere "four workers come to the same rows"
nothing_waits "nobody waits for a parent that is there"
counted_once "each row is counted once"
check "they shared the partitions" test "$(grep -c 'event=partitions' "$T/replay.log")" -ge 4

# --- a rebalance in the midst of it: one is killed, one joins

for _ in 1 2 3 4; do worker_start; done
replay_work 100 0.8
kill -9 "${WORKERS[1]}"
worker_start
replay_work 150 0.9
sleep 1
kill -TERM "${WORKERS[2]}"
replay_work 100 0.95
published
sleep 6 # the group misses the dead one
kill -TERM "${WORKERS[@]}" 2>/dev/null || true
workers_end || true
worker_start --until-caught-up
worker_start --until-caught-up
check "two go on with what the others left" workers_end
direct
same_everywhere "a killed worker and two rebalances lose and double nothing"
nothing_waits "and nothing stays parked"
counted_once "rows are counted once"

# --- one worker again

replay_work 30 0.15
published
direct
check "one worker goes on with whole transactions" replay --until-caught-up
same_everywhere "and comes to the same rows"

kafka_stop "$T/kafka"
engine_stop
test_end
