#!/usr/bin/env bash
# A whole small estate, tests/support/library: joins over three hops, roles that decide a table, a window, a junction,
# generic references, half of the targets derived and parents of row-ruled ones, adopted rows, look-ups. After the
# snapshot, and after random work with kills, two judges that know nothing of how rows got there: a plain statement of
# what the application wants, over the legacy tables; and a fresh snapshot into a second, empty target.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
LIBRARY=$TOP/tests/support/library

source_start
target_start
target_sql "CREATE DATABASE fresh"
source_script -q <"$LIBRARY/legacy.sql"
source_script -q <"$LIBRARY/workload.sql"
target_script -q <"$LIBRARY/target.sql"
cluster_psql "$T/target" fresh -q -f - <"$LIBRARY/target.sql"
mapping_write <"$LIBRARY/mapping.yaml"
settings_write
# with_fresh COMMAND…: the second target, by a pipeline and slot of its own.
with_fresh() {
    pgrekey --set pipeline=fresh --set source.slot=fresh --set "target.dsn=$(cluster_conninfo "$T/target" fresh)" "$@"
}

# judge NAME: the target holds what the application wants.
judge() {
    cluster_psql "$T/source" legacy -f - <"$LIBRARY/expected.sql" | LC_ALL=C sort >"$T/expected"
    cluster_psql "$T/target" app -f - <"$LIBRARY/found.sql" | LC_ALL=C sort >"$T/found"
    if cmp -s "$T/expected" "$T/found"; then
        ok "$1 ($(wc -l <"$T/found") lines)"
    else
        not_ok "$1"
        diff "$T/expected" "$T/found" | head -n 20 | sed 's/^/    /' || true
    fi
}

# tallies NAME: each account is what stands on the target, and what stands aside.
tallies() {
    local table rows=
    for table in branches profiles titles posts loans fines notes; do
        rows="$rows UNION ALL SELECT '$table', count(legacy_id) FROM $table"
    done
    equals "$1" "" "$(target_sql "SELECT c.rule, c.mapped, r.n, c.quarantined, q.n FROM pgrekey.counter c JOIN (${rows# UNION ALL}) r (rule, n) USING (rule),
        LATERAL (SELECT count(*) AS n FROM pgrekey.quarantine q WHERE q.rule = c.rule AND q.status NOT IN ('resolved', 'discarded')) q
        WHERE c.mapped <> r.n OR c.quarantined <> q.n")"
}

# state_of DATABASE FILE: every row but for what is written once and rows that are rejected now, accounts, and who stands
# aside for what.
state_of() {
    local table
    {
        for table in branches profiles titles staff readers posts copies loans fines loan_events notes title_figures hours; do
            cluster_psql "$T/target" "$1" -c "SELECT '$table', to_jsonb(t) - 'badge' FROM $table t WHERE '$table' <> 'loan_events' OR NOT EXISTS
                (SELECT FROM pgrekey.quarantine WHERE rule = 'loan events' AND status = 'pending' AND key = format('[\"%s\"]', to_jsonb(t) ->> 'legacy_id'))"
        done
        cluster_psql "$T/target" "$1" -c "SELECT 'counter', rule, mapped, quarantined, excluded FROM pgrekey.counter" \
            -c "SELECT 'aside', rule, key, category FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded')"
    } | LC_ALL=C sort >"$2"
}

pgrekey init >"$T/init.log" 2>&1
check "the mapping is fine" pgrekey map check -q
check "and without a warning" test -z "$(pgrekey map check | grep warning || true)"
engine_start
caught_up
judge "a snapshot brings what the application wants"
equals "rows that it had are adopted, with what refers to them" "Branch 1|9-17" \
    "$(target_sql "SELECT b.name, h.text FROM hours h JOIN branches b ON b.id = h.branch_id WHERE b.legacy_id = 1")"
for pair in branches:branch profiles:account titles:title posts:branch_staff loans:loan fines:fine notes:note; do
    accounts "every row of ${pair#*:} is accounted for" "${pair%:*}" "${pair#*:}"
done

# A loan leaves its copy in the very transaction in which that goes, and so, on the target, with it.
source_script <<'SQL'
BEGIN;
UPDATE loan SET copy_id = (SELECT min(id) FROM copy WHERE shelf_id = 12) WHERE copy_id IN (SELECT id FROM copy WHERE shelf_id = 11) AND NOT cancelled;
DELETE FROM shelf WHERE id = 11;
COMMIT;
SQL
caught_up
judge "who leaves its parent as that goes is not lost"
tallies "nor counted twice"

# work TRANSACTIONS PAUSE_MS, in the background
work() {
    source_sql "CALL work($(awk -v seed="$RANDOM" 'BEGIN { print seed / 32768 }'), $1, $2)" >"$T/work.out" 2>&1 &
    LOAD_PID=$!
}
work 400 5
load_wait
caught_up 120
judge "so does the stream"
tallies "and accounts are true"
work "${PGREKEY_LIBRARY_TRANSACTIONS:-800}" 5
kill_loop "$PGREKEY_KILLS" 300 1200
load_wait
caught_up 180
judge "and the stream with kills"
tallies "and so are they after kills"
pgrekey quarantine retry >"$T/retry.log" 2>&1 || true
judge "retrying everything changes nothing"
equals "nobody stands aside but orphans and what is rejected" "" \
    "$(target_sql "SELECT DISTINCT rule, category, sqlstate FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND category <> 'orphan_reference'
        AND (rule, category) <> ('loan events', 'ambiguous_value')")"
for pair in branches:branch profiles:account titles:title posts:branch_staff loans:loan fines:fine notes:note; do
    accounts "every row of ${pair#*:} is accounted for" "${pair%:*}" "${pair#*:}"
done
engine_stop

with_fresh init >>"$T/init.log" 2>&1
with_fresh run --until-caught-up >>"$T/fresh.log" 2>&1
state_of app "$T/followed"
state_of fresh "$T/fresh"
if cmp -s "$T/followed" "$T/fresh"; then
    ok "a fresh snapshot into another target gives the same ($(wc -l <"$T/fresh") lines)"
else
    not_ok "a fresh snapshot into another target gives the same"
    diff "$T/followed" "$T/fresh" | head -n 20 | sed 's/^/    /' || true
fi
test_end
