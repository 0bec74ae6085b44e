#!/usr/bin/env bash
# Servers that stop, crash, hang, fill up or cut connections, under load: the engine waits them out, nothing is lost or
# doubled. And slots: taken, idle, kept alive while the target blocks.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../support/load.sh"

# A source that gives up early on readers who say nothing; a target that writes its WAL late, so that a crash of it
# loses commits that it has confirmed.
source_start "wal_sender_timeout=4s"
target_start "wal_writer_delay=10s" "wal_writer_flush_after=1GB"
load_estate 3000
settings_write "snapshot:" "  workers: 2" "  range_rows: 1000" "batch:" "  max_rows: 300" "breaker:" "  window: 0"
check "init" pgrekey init --quiet

walsender() { source_sql "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'pgrekey'"; }
streams() { [ -n "$(walsender)" ]; }
confirmed() { source_sql "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'pgrekey'"; }
logged() { [ "$(grep -c "event=$1" "$T/engine.log" || true)" -ge "${2:-1}" ]; }

# --- connections cut in the snapshot

engine_start
snapshot_runs() { [ "$(target_sql "SELECT count(*) FROM pgrekey.snapshot_part")" -gt 0 ]; }
wait_for 30 "the snapshot" snapshot_runs
cut_connections target
wait_for 30 "another try" logged reconnecting
cut_connections source
caught_up
check "the engine lives on" engine_is_alive
load_compare "connections cut in the snapshot"

# --- connections cut, servers restarted, under load

load_run 8
for side in target source target source; do
    nap_ms "$(random_between 300 900)"
    cut_connections $side
done
for mode in fast immediate; do
    cluster_restart "$T/target" $mode
    nap_ms "$(random_between 500 1500)"
done
load_wait
caught_up
check "the engine lives on" engine_is_alive
load_compare "target restarted and crashed, connections cut"

for mode in fast immediate; do
    load_run 2
    nap_ms "$(random_between 300 1000)"
    cluster_restart "$T/source" $mode
    load_wait >/dev/null || true # its connections are gone, too
done
caught_up
check "the engine lives on" engine_is_alive
load_compare "source restarted and crashed"

# --- the target crashes with commits that never reached its disk: the slot must not be ahead of it

for each in 1 2 3; do
    source_sql "UPDATE item SET changes = changes + 1 WHERE id <= 200; UPDATE office SET visits = visits + 1"
    nap_ms "$(random_between 50 400)"
    cluster_restart "$T/target" immediate
    behind=$(target_sql "SELECT lsn < '$(confirmed)' FROM pgrekey.pipeline")
    equals "crash $each: the slot is not ahead of what the target kept" f "$behind"
done
caught_up
load_compare "target crashed with unwritten commits"

# What a killed engine has committed is not on disk either when the next one reads its position, and tells the slot.

slot_is_past() { [ "$(source_sql "SELECT confirmed_flush_lsn >= '$1' FROM pg_replication_slots WHERE slot_name = 'pgrekey'")" = t ]; }
for each in 1 2 3; do
    caught_up
    source_sql "UPDATE office SET visits = visits + 1"
    lsn=$(source_sql "SELECT pg_current_wal_insert_lsn()")
    has_it() { [ "$(target_sql "SELECT lsn >= '$lsn' FROM pgrekey.pipeline")" = t ]; }
    wait_for 10 "the change on the target" has_it
    engine_kill
    engine_start
    wait_for 10 "the slot to be confirmed" slot_is_past "$lsn"
    cluster_restart "$T/target" immediate
    behind=$(target_sql "SELECT lsn < '$(confirmed)' FROM pgrekey.pipeline")
    equals "kill and crash $each: the slot is not ahead of what the target kept" f "$behind"
done
caught_up
load_compare "engine killed, then target crashed with unwritten commits"

# --- both at once, and the source away for longer than a few tries

cluster_stop "$T/source" fast
cluster_stop "$T/target" immediate
sleep 2
cluster_start "$T/target"
sleep 1
cluster_start "$T/source"
source_sql "UPDATE office SET visits = visits + 1"
caught_up
load_compare "both gone at once"

# --- the target blocks for longer than the source waits: status messages go on

before=$(walsender)
cluster_psql "$T/target" app -c "BEGIN; LOCK TABLE items; SELECT pg_sleep(8)" >/dev/null &
locker=$!
sleep 0.3
source_sql "UPDATE item SET changes = changes + 1"
source_sql "UPDATE person SET note = repeat('blocked', 2000)" # more than buffers hold
sleep 6
equals "the walsender is the same while the target blocks" "$before" "$(walsender)"
check "the engine has not given up" engine_is_alive
wait $locker
caught_up
equals "and afterwards" "$before" "$(walsender)"
load_compare "target blocked"

# A lock that lasts longer than lock_timeout: the batch is tried again, the engine stays.
engine_stop
engine_start --set target.lock_timeout=1s
caught_up
tries=$(grep -c event=reconnecting "$T/engine.log" || true)
cluster_psql "$T/target" app -c "BEGIN; LOCK TABLE items; SELECT pg_sleep(4)" >/dev/null &
locker=$!
sleep 0.3
source_sql "UPDATE item SET changes = changes + 1 WHERE id <= 50"
wait $locker
caught_up
check "a batch that waited too long for a lock is tried again" logged reconnecting $((tries + 1))
load_compare "lock_timeout"

# --- idle: what does not concern the mapping costs nothing, and moves the slot

source_sql "CREATE TABLE elsewhere (id serial PRIMARY KEY, t text)"
commits() { target_sql "SELECT pg_stat_force_next_flush()" >/dev/null; target_sql "SELECT xact_commit FROM pg_stat_database WHERE datname = 'app'"; }
caught_up
sleep 1.2
from=$(commits)
start=$(source_sql "SELECT pg_current_wal_lsn()")
for each in $(seq 1 1500); do echo "INSERT INTO elsewhere (t) VALUES (repeat('x', 500));"; done | source_script
source_sql "SELECT pg_logical_emit_message(true, 'a prefix, with \"quotes\"', repeat('m', 1000000))" >/dev/null
source_sql "SELECT pg_logical_emit_message(false, 'not transactional', 'x')" >/dev/null
source_sql "BEGIN; SELECT pg_logical_emit_message(true, 'rolled back', 'x'); ROLLBACK" >/dev/null
end=$(source_sql "SELECT pg_current_wal_lsn()")
slot_has_moved() { [ "$(source_sql "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots")" = t ]; }
wait_for 30 "an idle slot to move" slot_has_moved
ok "an idle slot moves ($start to $end)"
sleep 1.2
used=$(($(commits) - from))
check "1500 empty transactions are not 1500 on the target ($used)" [ "$used" -lt 200 ]
from=$(commits)
start=$(confirmed)
sleep 3
check "at rest hardly anything is written ($(($(commits) - from)) transactions in 3 s)" [ "$(($(commits) - from))" -lt 60 ]
cluster_psql "$T/source" postgres -c "CREATE TABLE other_database AS SELECT generate_series(1, 20000)"
end=$(source_sql "SELECT pg_current_wal_lsn()")
wait_for 40 "the slot to move by what other databases write" slot_has_moved
ok "the slot moves by what other databases write"

# --- a slot that somebody else reads

# The other reader confirms what it saw; a heartbeat of who waits would be in that, and the target's position behind it.
engine_stop
echo 'source.heartbeat_interval: 0' >>"$T/pgrekey.yaml"
"$CLUSTER_BIN/pg_recvlogical" -d "$(cluster_conninfo "$T/source" legacy)" --slot pgrekey --start -f /dev/null -o format-version=2 -F 0 -s 0 2>/dev/null &
reader=$!
wait_for 10 "the other reader" streams
engine_start
wait_for 20 "the slot to be found taken" logged slot_taken
sleep 1
check "a slot that is taken is waited for" engine_is_alive
kill $reader
wait $reader 2>/dev/null || true
source_sql "UPDATE office SET visits = visits + 1"
caught_up
load_compare "slot taken for a while"
engine_stop

"$CLUSTER_BIN/pg_recvlogical" -d "$(cluster_conninfo "$T/source" legacy)" --slot pgrekey --start -f /dev/null -o format-version=2 -F 0 -s 0 2>/dev/null &
reader=$!
wait_for 10 "the other reader" streams
rc=0
timeout 30 "$PGREKEY" --config "$T/pgrekey.yaml" run --set source.slot_wait=2s >"$T/taken.log" 2>&1 </dev/null || rc=$?
equals "at the start not for ever: it is refused" 4 "$rc"
check "with a way out" grep -q "stop it, or choose another source.slot" "$T/taken.log"
kill $reader
wait $reader 2>/dev/null || true

# --- a target whose disk is full

disk=$T/disk
mkdir -p "$disk"
clean_up() {
    local code=$?
    set +e
    umount -l "$disk" 2>/dev/null
    (exit "$code")
    lib_clean_up
}
if mount -t tmpfs -o size=24m,mode=0755 tmpfs "$disk" 2>/dev/null; then
    trap clean_up EXIT
    install -d -m 0700 -o "$(cluster_user)" "$disk/space"
    target_sql "CREATE TABLESPACE small LOCATION '$disk/space'"
    target_sql "ALTER TABLE items SET TABLESPACE small"
    engine_start
    caught_up
    dd if=/dev/zero of="$disk/filler" bs=1M count=100 2>/dev/null || true
    tries=$(grep -c event=reconnecting "$T/engine.log" || true)
    source_sql "INSERT INTO item (person_id, amount) SELECT 1 + i % 100, i FROM generate_series(1, 60000) i"
    more_tries() { logged reconnecting $((tries + 2)); }
    wait_for 60 "the disk to be full" more_tries
    check "a full disk is waited out" engine_is_alive
    check "and named" grep -q "SQLSTATE 53100" "$T/engine.log"
    equals "no row is blamed for it" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE sqlstate LIKE '53%'")"
    rm "$disk/filler"
    mount -o remount,size=200m "$disk"
    caught_up 120
    load_compare "disk full"
    engine_stop
    target_sql "ALTER TABLE items SET TABLESPACE pg_default"
    target_sql "DROP TABLESPACE small"
    umount "$disk"
else
    ok "no tmpfs can be mounted here: a full disk is not tried"
fi
test_end
