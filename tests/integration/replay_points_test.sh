#!/usr/bin/env bash
# Where a replay ends and begins, as it is told: points in time, chosen tables; and what it refuses, with the way out.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/kafka.sh
. "$TOP/tests/support/kafka.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"
# shellcheck source=tests/support/replay.sh
. "$TOP/tests/support/replay.sh"

source_start
target_start
kafka_create "$T/kafka"
kafka_start "$T/kafka"
replay_world
direct
engine_start
published
check "a first replay" replay --until-caught-up

now() { source_sql "SELECT clock_timestamp()"; }

# --- up to a time, and from one

replay_work 20 0.2
MIDDLE=$(now)
check "what is there at that time" direct
target_sql "SELECT t::text FROM visits t" | LC_ALL=C sort >"$T/visits.middle"
sleep 0.1
replay_work 20 0.3
published
check "a replay goes up to a time" replay --until-time "$MIDDLE"
staging_sql "SELECT t::text FROM visits t" | LC_ALL=C sort >"$T/visits.replayed"
check "the copy is what the target was then" cmp -s "$T/visits.middle" "$T/visits.replayed"
check "it goes on to the end" replay --until-caught-up
direct
same_everywhere "nothing is lost over the time"
check "it goes back to a time and applies again" replay --since-time "$MIDDLE" --until-caught-up
same_everywhere "what is applied again changes nothing"
counted_once "and counts for nothing"
SOON=$(source_sql "SELECT clock_timestamp() + interval '3 s'")
check "a replay up to a time to come ends by itself" replay --until-time "$SOON"
equals "and not before it" t "$(source_sql "SELECT clock_timestamp() >= '$SOON'")"
LSN=$(source_sql "SELECT pg_logical_emit_message(true, 'pgrekey-test', '')")
published
check "a point behind the last transaction is where the publisher is" timeout 60 \
    env PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN="$(cluster_conninfo "$T/target" staging)" PGREKEY_REPLAY_MASKING=off \
    "$PGREKEY" --config "$T/pgrekey.yaml" replay --quiet --until "$LSN"

# --- some tables

refuses() { PGREKEY_PIPELINE=$PIPELINE PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" "$PIPELINE") PGREKEY_REPLAY_MASKING=off \
    pgrekey_fails "$@"; }
cluster_psql "$T/target" postgres -c 'CREATE DATABASE chosen TEMPLATE template0' >/dev/null
cluster_as "$CLUSTER_BIN/pg_dump" -h "$(cat "$T/target/socket")" -p "$(cat "$T/target/port")" -U postgres -s -N pgrekey \
    -N pgrekey_mirror app | cluster_psql "$T/target" chosen -f - >/dev/null
chosen() { PGREKEY_PIPELINE=chosen PGREKEY_REPLAY_MASKING=off PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" chosen) pgrekey "$@"; }
chosen_sql() { cluster_psql "$T/target" chosen -c "$1"; }
chosen init >/dev/null
check "chosen tables are replayed" chosen replay --tables offices,public.staff --until-caught-up --quiet
equals "they, and no others" "t t f f" "$(chosen_sql "SELECT concat_ws(' ', EXISTS (SELECT FROM offices), EXISTS (SELECT FROM staff),
    EXISTS (SELECT FROM visits), EXISTS (SELECT FROM pairs))")"
replay_work 20 0.6
published
direct
check "they go on" chosen replay --tables offices,public.staff --until-caught-up --quiet
equals "and are the direct target's" "$(target_sql "SELECT md5(string_agg(t::text, ',' ORDER BY legacy_id)) FROM staff t")" \
    "$(chosen_sql "SELECT md5(string_agg(t::text, ',' ORDER BY legacy_id)) FROM staff t")"
PIPELINE=chosen refuses "a table that was not among them cannot join them" 5 'was left out' replay --until-caught-up
PIPELINE=chosen refuses "a table that the mapping does not have is refused" 2 'no table' replay --tables offcies --until-caught-up

kafka_stop "$T/kafka"
engine_stop
test_end
