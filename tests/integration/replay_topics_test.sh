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

# --- a topic that is deleted

engine_stop
"$TOP/tests/support/kafka/admin.py" "$(kafka_bootstrap "$T/kafka")" delete shop.public.pairs
PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) PGREKEY_REPLAY_MASKING=off \
    pgrekey_fails "a topic that is gone stops the replay, with the way out" 4 'topic shop.public.pairs is gone' \
    replay --until-caught-up

kafka_stop "$T/kafka"
test_end
