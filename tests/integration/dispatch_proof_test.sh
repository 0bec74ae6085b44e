#!/usr/bin/env bash
# The dispatch estate, small: an empty target after the snapshot, and again after a working day on the legacy side has been
# streamed. Every pair is accounted for, every derived table and column is what plain SQL over the legacy tables says, money
# is equal to the cent, and what was streamed is what a fresh snapshot into a copy of the same target gives.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/estate/estate.sh
. "$TOP/tests/support/estate/estate.sh"
# shellcheck source=tests/support/estate/judge.sh
. "$TOP/tests/support/estate/judge.sh"
# shellcheck source=tests/support/estate/proof.sh
. "$TOP/tests/support/estate/proof.sh"
S=$T/source
G=$T/target

judge() {
    if estate_judge "$S" legacy "$G" app "$T/judge" >"$T/differs"; then
        ok "$1 ($(wc -l <"$T/judge.found") lines)"
    else
        not_ok "$1"
        sed 's/^/    /' "$T/differs" | cut -c1-300
    fi
}
with_fresh() { pgrekey --set pipeline=fresh --set source.slot=fresh --set "target.dsn=$(cluster_conninfo "$G" fresh)" "$@"; }

source_start
target_start
estate_legacy "$S" legacy "${PGREKEY_SCALE:-0.01}" "$PGREKEY_SEED"
estate_work_prepare "$S" legacy
for step in target upgrade-1 upgrade-2 upgrade-3; do
    target_script <"$DISPATCH_DIR/$step.sql" >"$T/$step.log" 2>&1
done
cluster_psql "$G" postgres -c 'CREATE DATABASE fresh TEMPLATE app'
settings_write
sed -i "s|^mapping: .*|mapping: $DISPATCH_DIR/dispatch.yaml|" "$T/pgrekey.yaml"
pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up 120
proof_accounts "$S" legacy "$G" app "$T/snapshot"
proof_shape "$S" legacy "$G" app "$T/snapshot"
judge "a snapshot brings what the estate wants"
proof_born "$G" app "$T/once"

estate_work "$S" legacy "${PGREKEY_TRANSACTIONS:-12000}" 100 "$PGREKEY_SEED"
equals "the day had twenty transactions of each kind" "" "$(estate_work_kinds "$S" legacy | awk '$1 < 20')"
caught_up 600
proof_accounts "$S" legacy "$G" app "$T/streamed"
proof_shape "$S" legacy "$G" app "$T/streamed"
judge "and so does the stream"
engine_stop

# Logins and operations of the day carried whole rows.
equals "what must never leave the source is nowhere on the target, nor in a log" 0 \
    "$({ "$CLUSTER_BIN/pg_dump" -d "$(cluster_conninfo "$G" app)" --data-only && cat "$T"/*.log; } 2>&1 | grep -c topsecret || true)"

with_fresh init >>"$T/init.log" 2>&1
with_fresh run --until-caught-up >"$T/fresh.log" 2>&1
proof_same "$G" app "$G" fresh "$T/same"
proof_still "$G" app "$T/once" "$S" legacy
test_end
