#!/usr/bin/env bash
# What may happen to topics under a replay: compaction in the midst of it, a topic that is deleted, a position that is
# older than deletes are kept.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/replay.sh
. "$TOP/tests/support/replay.sh"

topics_start log.cleaner.backoff.ms=200 log.cleaner.min.cleanable.ratio=0.01 log.segment.bytes=1048576 \
    log.segment.ms=1000
replay_world "replay: {masking: off}"
sed -i 's/^  prefix: shop$/&\n  min_compaction_lag: 2s\n  delete_retention: 1h/' "$T/pgrekey.yaml"
direct
engine_start
published
check "a first replay" replay --until-caught-up

# --- compaction: everything older than two seconds may go, but the last of each key

replay_work 100 0.3
published
sleep 3
replay_work 100 0.4 # closes segments, so that the cleaner has something to do
published
sleep 4
check "a replay goes on over what was compacted" replay --until-caught-up
direct
same_everywhere "last states lead to the same rows"
nothing_waits "and nothing waits"
cluster_psql "$T/target" postgres -c 'CREATE DATABASE fresh TEMPLATE template0' >/dev/null
cluster_as "$CLUSTER_BIN/pg_dump" -h "$(cat "$T/target/socket")" -p "$(cat "$T/target/port")" -U postgres -s -N pgrekey \
    -N pgrekey_mirror app | cluster_psql "$T/target" fresh -f - >/dev/null
fresh() { PGREKEY_PIPELINE=fresh PGREKEY_REPLAY_MASKING=off PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" fresh) pgrekey "$@"; }
fresh init >/dev/null
check "an empty database is filled from compacted topics" fresh replay --until-caught-up --quiet
equals "with the same rows" "$(target_sql "SELECT count(*), sum(visits) FROM office_stats" -A)" \
    "$(cluster_psql "$T/target" fresh -A -c "SELECT count(*), sum(visits) FROM office_stats")"

# --- a position that is older than deletes are kept

set_retention() {
    local topic
    for topic in $(kafka_topics "$T/kafka" | grep '^shop\.public\|^shop\.pgrekey_mirror'); do
        "$TOP/tests/support/kafka/admin.py" "$(kafka_bootstrap "$T/kafka")" config "$topic" cleanup.policy=compact \
            min.compaction.lag.ms=1000 "delete.retention.ms=$1"
    done
}
staging_fails() {
    PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) PGREKEY_REPLAY_MASKING=off \
        pgrekey_fails "$@"
}
replay_work 20 0.5
published
sleep 3
set_retention 2000
staging_fails "a position whose deletes may be forgotten is refused" 4 'older than delete.retention.ms' replay --until-caught-up
check "with the way out" grep -q 'begin afresh' "$T/fails.log"
set_retention 3600000
check "where they are kept it goes on" replay --until-caught-up
direct
same_everywhere "and has missed none"

# --- a topic that is deleted, under a replay that runs

PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) PGREKEY_REPLAY_MASKING=off \
    "$PGREKEY" --config "$T/pgrekey.yaml" replay --quiet 2>>"$T/replay.log" &
REPLAY=$!
sleep 2
engine_stop
"$TOP/tests/support/kafka/admin.py" "$(kafka_bootstrap "$T/kafka")" delete shop.public.pairs
sleep 2
kill -TERM "$REPLAY"
replay_is_gone() { ! kill -0 "$REPLAY" 2>/dev/null; }
wait_for 30 "the replay to end" replay_is_gone || kill -KILL "$REPLAY"
CODE=0
wait "$REPLAY" || CODE=$?
# 0 where it had not heard of it yet, 5 where the stream was refused, 4 at the next session.
echo "(it ended with $CODE)"
check "a replay whose topic went ends when it is told to" grep -qx '[045]' <<<"$CODE"
staging_fails "and the next one does not begin" 4 'topic shop.public.pairs is gone' replay --until-caught-up

kafka_stop "$T/kafka"
test_end
