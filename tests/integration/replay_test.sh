#!/usr/bin/env bash
# `pgrekey replay`: a copy that is made of topics is the target that the source was applied to directly, to the row.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/replay.sh
. "$TOP/tests/support/replay.sh"

topics_start
replay_world
direct
engine_start
published

# --- an empty database

check "an empty database is filled from the topics" replay --until-caught-up
same_everywhere "what is replayed is what was applied"
check "the replay says how it begins" grep -q 'mode=state' "$T/replay.log"
equals "offsets of every partition stand on the target" 19 "$(staging_sql 'SELECT count(*) FROM pgrekey.replay_offset')"

# --- whole transactions

replay_work 200 0.1
published
direct
check "what has come since follows" replay --until-caught-up
same_everywhere "whole transactions lead to the same rows"
nothing_waits "nothing waits in quarantine"
equals "the position is the direct one's or beyond what concerns it" t \
    "$(staging_sql "SELECT lsn > '0/0' FROM pgrekey.pipeline")"
check "nothing is missing of any transaction" sh -c "! grep -q events_missing '$T/replay.log'"

# What a staging host knows: topics, and no source.
sed '/^source:/,/^target:/{/^target:/!d}' "$T/pgrekey.yaml" >"$T/staging.yaml"
equals "status says that it is at the topics' end" "0 of 19" "$(PGREKEY_SINK=postgres PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) \
    "$PGREKEY" --config "$T/staging.yaml" status --json |
    python3 -c 'import json, sys; d = json.load(sys.stdin)["replay"]; print(sum(l["behind"] for l in d), "of", len(d))')"

# A birth whose null may be a NaN is asked of the source; where the row is gone by then it is not published, its delete is.
engine_stop
source_sql "INSERT INTO staff (id, office_id, email) VALUES (7001, 1, 'short@clinic.example'), (7002, 1, 'long@clinic.example')" >/dev/null
source_sql "DELETE FROM staff WHERE id = 7001" >/dev/null
engine_start
published
direct
check "a delete of a row that was never published is replayed" replay --until-caught-up
same_everywhere "and deletes nothing"
counted_once "nor does it count for anything"

# --- up to a point, and back

replay_work 20 0.2
MIDDLE=$(source_sql "SELECT pg_current_wal_lsn()")
replay_work 20 0.3
published
check "a replay goes up to a point" replay --until "$MIDDLE"
equals "and not beyond it" t "$(staging_sql "SELECT lsn <= '$MIDDLE' FROM pgrekey.pipeline")"
direct
check "and on from there" replay --until-caught-up
same_everywhere "nothing is lost over the point"
check "a replay goes back and applies again" replay --since "$MIDDLE" --until-caught-up
same_everywhere "what is applied again changes nothing"
counted_once "and counts for nothing"
PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) PGREKEY_REPLAY_MASKING=off \
    pgrekey_fails "a point ahead of the database is refused" 4 'would be left out' replay --since FFFF/0
PGREKEY_PIPELINE=staging PGREKEY_TARGET_DSN=$(cluster_conninfo "$T/target" staging) \
    pgrekey_fails "without a mask nothing is replayed by default" 2 'mask' replay --until-caught-up

# --- what is none of ours

for topic in shop.public.staff shop.transaction shop.pgrekey_mirror.kind; do
    printf 'x\tnot JSON\ny\t{"op":"c"}\n' | kcat -q -b "$(kafka_bootstrap "$T/kafka")" -P -t "$topic" -p 0 -K '\t'
done
replay_work 20 0.4
published
direct
check "foreign messages do not stop it" replay --until-caught-up
same_everywhere "and spoil nothing"
equals "they are recorded by their place" "2 2 2" "$(staging_sql "SELECT string_agg(n::text, ' ') FROM (SELECT count(*) n
    FROM pgrekey.dead_letter GROUP BY topic) l")"

# --- a transaction of many pieces

source_sql "INSERT INTO visit SELECT 5000000 + i, 11, 5, 1, now(), i, true FROM generate_series(1, 5000) i;
            UPDATE visit SET amount = amount + 1 WHERE id >= 5000000; DELETE FROM visit WHERE id % 3 = 0"
published
direct
check "a large transaction is replayed in pieces" replay --until-caught-up
same_everywhere "and is whole"

kafka_stop "$T/kafka"
engine_stop
test_end
