#!/usr/bin/env bash
# kill -9 of a replay at random points, in the first state as in the stream: the copy is the directly applied target to
# the row afterwards, and nothing was applied twice. PGREKEY_KILLS says how many.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/replay.sh
. "$TOP/tests/support/replay.sh"

topics_start
replay_world
direct
engine_start
replay_work 150 0.6
published

# One replay that is killed after so many ms, where it has not come to its end before.
KILLED=0
killed_replay() {
    local pid
    PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) PGREKEY_REPLAY_MASKING=off \
        "$PGREKEY" --config "$T/pgrekey.yaml" replay --until-caught-up --quiet --set batch.max_rows=50 2>>"$T/replay.log" &
    pid=$!
    sleep "$(printf '0.%03d' "$1")"
    kill -9 "$pid" 2>/dev/null && KILLED=$((KILLED + 1))
    wait "$pid" 2>/dev/null || true
}

for ((i = 0; i < PGREKEY_KILLS; i++)); do
    killed_replay $((100 + RANDOM % 900))
    if [ $((i % 3)) -eq 2 ]; then
        replay_work 30 "0.$((i + 10))"
        published
    fi
done
check "replays were killed in the midst of it" test "$KILLED" -gt $((PGREKEY_KILLS / 3))
published
direct
check "the last one comes to the end" replay --until-caught-up
same_everywhere "nothing is lost and nothing doubled over $KILLED kills"
nothing_waits "nothing waits in quarantine"
counted_once "rows are counted once"

kafka_stop "$T/kafka"
engine_stop
test_end
