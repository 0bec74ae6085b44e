#!/usr/bin/env bash
# Commands reach a publisher: resync, also of a topic that was deleted and after a TRUNCATE; resume; drop; status --check.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/topics.sh
. "$TOP/tests/support/topics.sh"

topics_start auto.create.topics.enable=true
topics_estate
sed -i 's/to: things/&\n    truncate: rows/' "$T/mapping.yaml"
topics_settings
engine_start
published

# things_ARE [SECONDS]: the topic's last state per key is what the source has.
things() { topic_rows public.things | topic_py 'print(d["legacy_id"], d["name"])' | sort; }
things_are_right() { [ "$(things)" = "$(source_sql "SELECT id || ' ' || name FROM thing" | sort)" ]; }
admin() { "$TOP/tests/support/kafka/admin.py" "$(kafka_bootstrap "$T/kafka")" "$@"; }
last_reads() { kafka_read "$T/kafka" shop.public.things -f '%s\n' | topic_py "d['source']['snapshot'] == 'incremental' and print(d['op'], d['transaction'])"; }

# --- a table is read again

rc=0
pgrekey resync thing --wait 60s >"$T/resync.log" 2>&1 || rc=$?
equals "a resync of a publisher ends well" 0 "$rc"
check "and tells what it did" grep -q 'thing: 10 rows read, 0 gone' "$T/resync.log"
equals "its rows are r, outside of any transaction" "10 r None" "$(last_reads | sort | uniq -c | sed 's/^ *//')"
pgrekey resync item 7 99999 --wait 60s >>"$T/resync.log" 2>&1
equals "keys: one that is there is r, one that is not is d" "d 99999 stray r 7 None" \
    "$(kafka_read "$T/kafka" shop.public.items -f '%s\n' |
        topic_py "d['source']['snapshot'] == 'incremental' and print(d['op'], d['pgrekey']['key']['id'], d['pgrekey'].get('why'))" | sort | paste -sd ' ')"
pgrekey_fails "a table that no rule reads is told" 6 'no rule of the mapping reads a table nothing' resync nothing --wait 60s
check "the publisher goes on" engine_is_alive

# --- TRUNCATE

source_sql "TRUNCATE thing"
source_sql "INSERT INTO thing VALUES (3, 'three again'), (11, 'eleven')"
published
check "after a TRUNCATE the topic comes to what the source has" wait_for 60 "the topic" things_are_right
equals "its rows were deleted one by one" 9 "$(kafka_read "$T/kafka" shop.public.things -f '%s\n' | topic_py "d['op'] == 'd' and print(d['pgrekey']['why'])" | grep -c stray)"

# --- a topic is deleted under the running publisher

admin delete shop.public.things
source_sql "INSERT INTO thing VALUES (12, 'twelve')"
engine_wait
equals "a topic that goes away ends the run" 4 "$ENGINE_CODE"
check "which names it" grep -q 'topic shop.public.things was deleted' "$T/engine.log"
equals "it is not made again empty" 0 "$(kafka_topics "$T/kafka" | grep -c 'shop.public.things' || true)"
pgrekey_fails "nor by the next run, which says what to do" 4 'pgrekey resync public.thing' run
rc=0
pgrekey resync thing --wait 0s >"$T/resync.log" 2>&1 || rc=$?
equals "a resync is recorded for the next run" 3 "$rc"
engine_start
published
check "which makes the topic anew and fills it" wait_for 60 "the topic" things_are_right
equals "with rows read from the source" "3 r" "$(kafka_read "$T/kafka" shop.public.things -f '%s\n' | topic_py "print(d['op'])" | sort | uniq -c | sed 's/^ *//' | grep r)"

# --- a pause, and the way on

admin config shop.public.items cleanup.policy=compact max.message.bytes=2000
source_sql "UPDATE item SET note = string_agg FROM (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i) x WHERE id = 5"
is_paused() { [ "$(pgrekey status --json | topic_py 'print(d["state"], d["pause_category"])')" = "paused message_size" ]; }
# a row that fits into a message of ours, but not into the topic as somebody has set it
check "a message that the topic does not take pauses the publisher" wait_for 60 "the pause" is_paused
rc=0
pgrekey status --check >"$T/check.log" 2>&1 || rc=$?
equals "status --check is critical" 2 "$rc"
check "and says why" grep -q '^PGREKEY CRITICAL - paused (message_size): topic shop.public.items: ' "$T/check.log"
pgrekey_fails "a resync is refused while it is paused" 4 'the pipeline is paused' resync thing
admin config shop.public.items cleanup.policy=compact max.message.bytes=8000000
check "resume reaches it" pgrekey resume --wait 60s
published
check "and it goes on" same_items
is_fine() { pgrekey status --check >"$T/check.log"; }
check "status --check is content then" wait_for 30 "the check" is_fine
check "with figures" grep -qE '^PGREKEY OK - streaming, .* behind \| lag=[0-9.]+s;60;300;0 behind=[0-9]+B dead_letters=0$' "$T/check.log"

# --- the end

pgrekey_fails "drop is refused while it runs" 4 'is running' drop --yes
engine_stop
rc=0
pgrekey status --check >"$T/check.log" 2>&1 || rc=$?
equals "without an engine status --check is critical" 2 "$rc"
check "and says that, too" grep -q '^PGREKEY CRITICAL - no engine runs' "$T/check.log"
check "drop takes slot and position" pgrekey drop --yes
equals "the slot is gone" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
equals "of the state what a replay needs is left" "relation requests" \
    "$(kafka_read "$T/kafka" shop.state -f '%k %S\n' | python3 -c '
import sys
last = {}
for line in sys.stdin:
    key, size = line.rsplit(" ", 1)
    last[key] = int(size)
print(*sorted({key.split("\"")[3] for key, size in last.items() if size >= 0}))')"
pgrekey_fails "and the topics are not taken for empty ones" 4 'holds messages already' run
test_end
