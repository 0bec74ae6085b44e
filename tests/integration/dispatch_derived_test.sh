#!/usr/bin/env bash
# The dispatch estate's derived tables and columns, held against plain statements over the legacy tables that know nothing of
# the mapping (tests/support/estate/expected): after the snapshot of a generated estate, and after changes of every kind.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/estate/estate.sh
. "$TOP/tests/support/estate/estate.sh"
# shellcheck source=tests/support/estate/judge.sh
. "$TOP/tests/support/estate/judge.sh"
DISPATCH=$TOP/deploy/dispatch

source_start
target_start
estate_legacy "$T/source" legacy "${PGREKEY_SCALE:-0.01}" "$PGREKEY_SEED" >/dev/null
for step in target upgrade-1 upgrade-2 upgrade-3; do
    target_script -q <"$DISPATCH/$step.sql" >"$T/$step.log" 2>&1
done
settings_write
sed -i "s|^mapping: .*|mapping: $DISPATCH/dispatch.yaml|" "$T/pgrekey.yaml"

# judge NAME
judge() {
    if estate_judge "$T/source" legacy "$T/target" app "$T/judge" >"$T/differs"; then
        ok "$1 ($(wc -l <"$T/judge.found") lines)"
    else
        not_ok "$1"
        sed 's/^/    /' "$T/differs"
    fi
}

pgrekey init >"$T/init.log" 2>&1
check "both databases take the mapping" pgrekey map check -q
engine_start
caught_up 120
judge "a snapshot brings what the estate wants"
estate_lines expected "$T/source" legacy issued >"$T/issued.expected"
estate_lines found "$T/target" app issued >"$T/issued.found"
check "numbers are issued as things stand" cmp "$T/issued.expected" "$T/issued.found"
equals "nobody waits but who has no parent" "" "$(target_sql "SELECT rule, count(*) FROM pgrekey.quarantine q
    WHERE status NOT IN ('resolved', 'discarded') AND rule NOT IN ('jaws', 'case states', 'states of orders', 'system messages',
        'records of cases', 'comments of cases', 'files of cases', 'files of orders') GROUP BY 1")"

# A working day, with an engine that is killed now and then.
estate_work_prepare "$T/source" legacy >/dev/null
estate_work "$T/source" legacy 1500 100 1 >"$T/work.out" 2>&1 &
LOAD_PID=$!
kill_loop 4 300 1200
load_wait
caught_up 180
judge "so does the stream"
equals "who is gone from the source stays under a stamp, if it stays" "0" "$(target_sql "SELECT count(*) FROM orders
    WHERE metadata ? 'source_deleted_at' AND NOT deleted OR metadata ? 'source_deleted_at' AND EXISTS (SELECT FROM files f WHERE f.order_id = orders.id)")"
pgrekey quarantine retry >"$T/retry.log" 2>&1 || true
judge "retrying everything changes nothing"
test_end
