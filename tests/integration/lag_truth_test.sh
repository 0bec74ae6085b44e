#!/usr/bin/env bash
# The proof: the target stands still for a while under load. How long, how many bytes, at which rate it goes on and when it
# has caught up is known from the outside; status, metrics and page must say the same. A clock that jumps is no alarm.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

notes_estate
settings_write
port=$(cluster_free_port)
export PGREKEY_HTTP_LISTEN=127.0.0.1:$port
cat >"$T/load.sql" <<'SQL'
INSERT INTO note (text) SELECT repeat(md5(random()::text), 30) FROM generate_series(1, 5);
SQL

page() { curl -s --max-time 5 "http://127.0.0.1:$port/"; }
metric() { curl -s --max-time 5 "http://127.0.0.1:$port/metrics" | sed -n "s/^$1 //p"; }
# near NAME GOT EXPECTED PART SLACK
near() {
    if awk "BEGIN {d = $2 - $3; if (d < 0) d = -d; exit !(d <= $3 * $4 + $5)}"; then
        ok "$1: $2, and $3 it is"
    else
        not_ok "$1: $2, but $3 it is"
    fi
}
now() { date +%s.%N; }
between() { awk "BEGIN {printf \"%.2f\", $2 - $1}"; }

pgrekey init >/dev/null
engine_start
caught_up
sleep 3
# At a rate of its own, so that a busy machine changes little: some 600 kB of WAL a second, until it is ended.
pgbench -n -T 600 -c 2 -j 1 -R 100 -f "$T/load.sql" "$(cluster_conninfo "$T/source" legacy)" >"$T/load.out" 2>&1 &
LOAD_PID=$!
sleep 5
check "under load it keeps up" awk "BEGIN {exit !($(metric pgrekey_lag_seconds) < 2)}"

# --- the target stands still. What is asked for twice is asked for around what is to lie between.
# lies NAME GOT LOW HIGH SLACK
lies() {
    if awk "BEGIN {exit !($2 >= $3 - $5 && $2 <= $4 + $5)}"; then
        ok "$1: $2, between $3 and $4"
    else
        not_ok "$1: $2, not between $3 and $4"
    fi
}
wal() { source_sql "SELECT (pg_current_wal_lsn() - '${1:-0/0}'::pg_lsn)::bigint"; }
position=$(target_sql "SELECT lsn FROM pgrekey.pipeline")
target_pids=$(head -n 1 "$T/target/data/postmaster.pid")
target_pids="$target_pids $(pgrep -P "$target_pids" | tr '\n' ' ')"
stopped=$(now)
wal_stopped=$(wal)
# shellcheck disable=SC2086 # several processes
kill -STOP $target_pids
stood=$(now)
sleep 6
from=$(now)
behind_from=$(wal "$position")
curl -s --max-time 5 "http://127.0.0.1:$port/metrics" >"$T/metrics"
curl -s --max-time 5 "http://127.0.0.1:$port/status.json" >"$T/status.json"
to=$(now)
behind_to=$(wal "$position")
wal_to=$(wal)
metrics() { sed -n "s/^$1 //p" "$T/metrics"; }
lies "lag in seconds, by metrics" "$(metrics pgrekey_lag_seconds)" "$(between "$stood" "$from")" "$(between "$stopped" "$to")" 1.5
lies "and by JSON" "$(python3 -c "import json; print(json.load(open('$T/status.json'))['lag']['seconds'])")" \
    "$(between "$stood" "$from")" "$(between "$stopped" "$to")" 1.5
lies "bytes behind" "$(metrics pgrekey_lag_bytes)" "$behind_from" "$behind_to" 1500000
near "rate of the source" "$(metrics pgrekey_source_wal_bytes_per_second)" \
    "$(awk "BEGIN {print ($wal_to - $wal_stopped) / ($to - $stopped)}")" 0.5 100000
check "it falls behind" test "$(metrics pgrekey_time_left_seconds)" = +Inf
check "the page says so" grep -q "falls behind" <(page)
check "and in words how high the lag was" grep -qE "The highest lag was ([5-9]|[1-9][0-9])(\.[0-9])? s" <(sleep 5; page)
kill "$LOAD_PID" 2>/dev/null || true
wait "$LOAD_PID" 2>/dev/null || true
LOAD_PID=

# --- it goes on: time left is told while it catches up
# shellcheck disable=SC2086
kill -CONT $target_pids
is_over() { awk "BEGIN {exit !($(metric pgrekey_lag_seconds) < 1.5)}"; }
wait_for 60 "the lag to go" is_over
ok "it catches up"
caught_up
sleep 2
check "time left is none" test "$(metric pgrekey_time_left_seconds)" = 0
check "status agrees" grep -qE '"seconds":(0|1)(\.[0-9]+)?,"time_left_s":0' <(pgrekey status --json)
same_rows "nothing is lost" "SELECT id, md5(text) FROM note" "SELECT legacy_id, md5(text) FROM notes"

# --- a slow target: time left is a number, and true. The backlog is written while nobody works it off, and how fast it
# goes then is the trigger's doing, not the machine's: 3,000 rows of 8 ms each.
target_script <<'SQL'
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.008); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION slow();
SQL
sed -i 's/^reconnect:/batch: {max_rows: 100}\nreconnect:/' "$T/pgrekey.yaml"
engine_stop
source_script <<'SQL'
DO $$ BEGIN
    FOR i IN 1 .. 600 LOOP
        INSERT INTO note (text) SELECT repeat(md5(random()::text), 30) FROM generate_series(1, 5);
        COMMIT;
    END LOOP;
END $$;
SQL
engine_start
has_time_left() { awk "BEGIN {v = \"$(metric pgrekey_time_left_seconds)\"; exit !(v != \"\" && v != \"+Inf\" && v + 0 > 1)}"; }
wait_for 30 "a time left" has_time_left
sleep 4
said=$(metric pgrekey_time_left_seconds)
from=$(now)
if [ "$said" != 0 ] && [ "$said" != +Inf ]; then
    wait_for 90 "it to have caught up" is_over
    near "time left" "$said" "$(between "$from" "$(now)")" 0.5 3
else
    not_ok "time left is told while it catches up (it said $said)"
fi
engine_stop

# --- our wall clock and the source's are hours apart, and jump: no false alarm
faketime=$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -n 1)
target_sql "DROP TRIGGER slow ON notes"
if [ -z "$faketime" ]; then
    echo "libfaketime is not there: no clock jumps"
    test_end
fi
echo "+2h" >"$T/clock"
: >"$T/engine.log"
LD_PRELOAD=$faketime FAKETIME_TIMESTAMP_FILE=$T/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
    "$PGREKEY" --config "$T/pgrekey.yaml" --set webhook.lag=5s run >>"$T/engine.log" 2>&1 </dev/null &
ENGINE_PID=$!
caught_up
wait_for 10 "the lag to be small" is_over
load_start 12 1 "$T/load.sql"
highest=0
for jump in +0 -5h +30d +1m +0; do
    echo "$jump" >"$T/clock"
    for _ in 1 2 3 4; do
        highest=$(awk "BEGIN {v = $(metric pgrekey_lag_seconds); print (v > $highest ? v : $highest)}")
        sleep 0.4
    done
done
load_wait
caught_up
echo "+90d" >"$T/clock"
check "the process did see it jump" grep -q "$(date -u -d '+90 days' +%Y-%m-%d)T" <(sleep 1; page)
check "five jumps of the clock made no lag (highest $highest s)" awk "BEGIN {exit !($highest < 3)}"
mean=$(awk "BEGIN {print $(metric pgrekey_end_to_end_latency_seconds_sum) / $(metric pgrekey_end_to_end_latency_seconds_count)}")
check "nor did they spoil the latencies (mean $mean s)" awk "BEGIN {exit !($mean < 1)}"
equals "nor an alarm" 0 "$(grep -c 'event=alarm' "$T/engine.log" || true)"
engine_stop
test_end
