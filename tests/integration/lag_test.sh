#!/usr/bin/env bash
# Lag, told the truth: idle is none, a stuck pipeline has one, in seconds and bytes, with rate and time left; heartbeats
# come through without a table on the source; the guard over the source's WAL warns, acts, and gives up the slot only
# where it is told to.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

notes_estate 100
settings_write
sed -i 's/^source:/source:\n  heartbeat_interval: 500ms/' "$T/pgrekey.yaml"

# told FIELD: of the record that the running engine writes.
told() { target_sql "SELECT $1 FROM pgrekey.heartbeat"; }
told_that() { [ "$(target_sql "SELECT $1 FROM pgrekey.heartbeat WHERE at > clock_timestamp() - interval '5s'" 2>/dev/null)" = t ]; }

pgrekey init >/dev/null
engine_start
caught_up
wait_for 10 "a heartbeat through the whole pipeline" told_that "message_age_s BETWEEN 0 AND 3"
ok "a heartbeat comes through the whole pipeline"

# Idle: WAL of another database, none of ours.
cluster_psql "$T/source" postgres -c "CREATE TABLE busy AS SELECT generate_series(1, 10000) i"
sleep 3
check "an idle source is no lag" told_that "lag_s BETWEEN 0 AND 1.5 AND time_left_s = 0"

# Stuck: somebody holds the table on the target.
cluster_psql "$T/target" app -c "BEGIN; LOCK TABLE notes; SELECT pg_sleep(8)" >/dev/null &
LOAD_PID=$!
sleep 0.5
stuck_from=$(source_sql "INSERT INTO note (text) SELECT repeat('x', 1000) FROM generate_series(1, 3000); SELECT pg_current_wal_lsn()")
sleep 5
check "a stuck pipeline has a lag in seconds" told_that "lag_s BETWEEN 4 AND 8"
check "and heartbeats that are overdue" told_that "message_age_s >= 4"
check "and no end in sight" told_that "time_left_s = -1"
check "status says how many bytes" test "$(pgrekey status --json | sed -n 's/.*"bytes":\([0-9]*\).*/\1/p')" -gt 3000000
wait "$LOAD_PID" || true
LOAD_PID=
caught_up
wait_for 10 "the lag to go" told_that "lag_s < 1.5 AND message_age_s < 3"
ok "once it is free again, the lag goes"
check "latencies were measured" told_that "p50_s > 0 AND p99_s > 2"
echo "    stuck from $stuck_from; $(told "'p50 ' || p50_s || ' s, p99 ' || p99_s || ' s'")"

engine_stop

# --- the guard

guard_logged() { grep -q "event=guard .*level=$1" "$T/engine.log"; }
cat >>"$T/pgrekey.yaml" <<'YAML'
guard:
  wal_budget: 64MB
  warn_percent: 50
YAML
sed -i 's/^  position_interval.*/  position_interval: 200ms/' "$T/pgrekey.yaml"
source_sql "INSERT INTO note (text) SELECT repeat('y', 1000) FROM generate_series(1, 36000)" >/dev/null
cluster_psql "$T/target" app -c "BEGIN; LOCK TABLE notes; SELECT pg_sleep(600)" >/dev/null 2>&1 &
LOAD_PID=$!
sleep 0.3
engine_start
wait_for 20 "the guard to warn" guard_logged warn
ok "the guard warns"
source_sql "INSERT INTO note (text) SELECT repeat('z', 1000) FROM generate_series(1, 60000)" >/dev/null
wait_for 20 "the guard to see it full" guard_logged full
ok "and sees the budget used up"
equals "but gives up no slot that it was not told to" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
engine_kill
cat >>"$T/pgrekey.yaml" <<'YAML'
  action: drop_slot
YAML
slot_is_gone() { [ "$(source_sql "SELECT count(*) FROM pg_replication_slots")" = 0 ]; }
engine_start
wait_for 30 "the slot to be given up" slot_is_gone
ok "told to, it gives up the slot before the source is in danger"
check "and says so" grep -q "event=slot_dropped" "$T/engine.log"
cluster_psql "$T/target" app -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE notes%' AND pid <> pg_backend_pid()" >/dev/null
wait "$LOAD_PID" || true
LOAD_PID=
engine_ended() { ! engine_is_alive || [ "$(target_sql "SELECT paused FROM pgrekey.pipeline")" = t ]; }
wait_for 60 "the engine to stand still" engine_ended
ok "the engine says that it needs a new snapshot"
engine_is_alive && engine_kill
test_end
