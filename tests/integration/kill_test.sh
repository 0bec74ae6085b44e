#!/usr/bin/env bash
# kill -9 at random points, restart at once: nothing lost, nothing doubled, accounts exact. PGREKEY_KILLS of each kind:
# in the snapshot, under load, inside one huge transaction, during a COMMIT that takes its time.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../support/load.sh"

source_start
target_start
load_estate 6000
settings_write "snapshot:" "  workers: 3" "  range_rows: 1000" "batch:" "  max_rows: 500" "breaker:" "  window: 0"
check "init" pgrekey init --quiet

# --- in the snapshot, while the source is changed

state_is() { [ "$(target_sql "SELECT state FROM pgrekey.pipeline")" = "$1" ]; }
load_run $((4 + PGREKEY_KILLS))
in_snapshot=0
for each in $(seq 1 "$PGREKEY_KILLS"); do
    engine_start
    wait_for 60 "a snapshot to begin" target_sql "SELECT 1 / count(*) FROM pgrekey.pipeline"
    nap_ms "$(random_between 0 400)"
    engine_kill
    if state_is snapshot; then in_snapshot=$((in_snapshot + 1)); fi
    # Once it has ended, it must begin anew to be killed again.
    if state_is streaming; then
        pgrekey drop --yes --quiet
        target_sql "TRUNCATE offices, people, items"
    fi
done
engine_start
load_wait
caught_up 120
load_compare "after $PGREKEY_KILLS kills, $in_snapshot of them in the snapshot"
check "some kills hit the snapshot" [ "$in_snapshot" -gt 0 ]
equals "there is one slot" 1 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"

# --- a session of the dead snapshot that the server is slow to end: what it still has to say must not count

engine_stop
pgrekey drop --yes --quiet
target_sql "TRUNCATE offices, people, items"
engine_start
loads() { [ -n "$(target_sql "SELECT 1 FROM pgrekey.snapshot_part WHERE rows > 0")" ]; }
wait_for 60 "a part to be loaded" loads
loader=$(target_sql "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgrekey%'
    AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock') LIMIT 1")
kill -STOP "$loader"
sleep 0.2
engine_kill
source_sql "UPDATE item SET changes = changes + 1; DELETE FROM item WHERE id % 10 = 3"
engine_start
sleep 2
kill -CONT "$loader"
caught_up 120
load_compare "after a session of the dead snapshot was slow to end"

# --- under load

load_run $((2 + PGREKEY_KILLS * 8 / 10))
kill_loop "$PGREKEY_KILLS" 100 1200
load_wait
caught_up 120
load_compare "after $PGREKEY_KILLS kills under load"
check "rows went through" [ "$(target_sql "SELECT sum(changes) FROM items")" -gt 0 ]

# --- inside one huge transaction: it is there wholly or not at all

torn=0
in_huge=0
for each in $(seq 1 "$PGREKEY_KILLS"); do
    source_sql "BEGIN;
        INSERT INTO item (person_id, amount) SELECT 1 + i % 100, -$each FROM generate_series(1, 6000) i;
        UPDATE item SET changes = changes + 1 WHERE amount = -$each;
        DELETE FROM item WHERE amount = -$each AND id % 2 = 0;
        DELETE FROM item WHERE amount = 1 - $each AND amount < 0;
        COMMIT" &
    nap_ms "$(random_between 200 900)"
    engine_kill
    wait $!
    # The dead engine's session may still be at it; what counts is that nobody ever sees a part.
    seen=$(target_sql "SELECT count(*) FROM items WHERE amount = -$each")
    case $seen in
    0) in_huge=$((in_huge + 1)) ;;
    3000) ;;
    *) torn=$((torn + 1)) ;;
    esac
    engine_start
    caught_up 120
done
equals "no part of a transaction was ever seen" 0 "$torn"
check "some kills came before its end ($in_huge)" [ "$in_huge" -gt 0 ]
load_compare "after $PGREKEY_KILLS kills inside a huge transaction"

# --- during a slow COMMIT: the dead session commits late, or not; the new one must see which

target_script <<'SQL'
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE ON offices DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
SQL
engine_stop
engine_start
caught_up
sleeping() { [ -n "$(target_sql "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pgrekey%' AND wait_event = 'PgSleep'")" ]; }
for each in $(seq 1 "$PGREKEY_KILLS"); do
    source_sql "UPDATE office SET visits = visits + 1 WHERE id = 1 + $each % 40; UPDATE item SET changes = changes + 1 WHERE id = 1 + $each % 40"
    wait_for 20 "a slow commit" sleeping
    nap_ms "$(random_between 0 500)"
    engine_kill
    engine_start
done
caught_up 120
load_compare "after $PGREKEY_KILLS kills during a slow commit"

engine_stop
equals "SIGTERM ends it with code 0" 0 "$ENGINE_CODE"
test_end
