#!/usr/bin/env bash
# The dispatch estate into the target that earlier runs left half filled: each row that stood there keeps its id, doubles
# become one, rows that the source no longer has stay as they are, and everything else is as in an empty target; after a
# working day, too.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/estate/estate.sh
. "$TOP/tests/support/estate/estate.sh"
# shellcheck source=tests/support/estate/judge.sh
. "$TOP/tests/support/estate/judge.sh"
# shellcheck source=tests/support/estate/proof.sh
. "$TOP/tests/support/estate/proof.sh"
# shellcheck source=tests/support/estate/half-left.sh
. "$TOP/tests/support/estate/half-left.sh"
S=$T/source
G=$T/target
with_fresh() { pgrekey --set pipeline=fresh --set source.slot=fresh --set "target.dsn=$(cluster_conninfo "$G" fresh)" "$@"; }
# Of an adopted row the numbers that were issued stay; they are not those that would be issued now.
judge() {
    estate_judge "$S" legacy "$G" "$1" "$T/judge" >"$T/differs" || true
    sed 's/"number": "[^"]*"/"number": "-"/' "$T/judge.expected" | LC_ALL=C sort >"$T/expected"
    sed 's/"number": "[^"]*"/"number": "-"/' "$T/judge.found" | LC_ALL=C sort >"$T/found"
    if cmp -s "$T/expected" "$T/found"; then
        ok "$2 ($(wc -l <"$T/found") lines)"
    else
        not_ok "$2"
        diff "$T/expected" "$T/found" | awk '/^[<>]/ { n[($1 == "<" ? "missing " : "too many ") $2]++ } END { for (k in n) print "    " n[k], k }'
        diff "$T/expected" "$T/found" | head -n 12 | cut -c1-300 | sed 's/^/    /'
    fi
}
upgrade() { cluster_psql "$G" "$2" <"$DISPATCH_DIR/upgrade-$1.sql" >>"$T/upgrade.log" 2>&1; }

source_start
target_start
estate_legacy "$S" legacy "${PGREKEY_SCALE:-0.01}" "$PGREKEY_SEED"
estate_work_prepare "$S" legacy
target_script <"$DISPATCH_DIR/target.sql"
estate_half "$S" legacy "$G" app
upgrade 1 app
half_had "$G" app "$T/half"
half_source "$S" legacy "$T/half"
half_rows "$S" legacy "$G" app "$T/then"
cluster_psql "$G" postgres -c 'CREATE DATABASE fresh TEMPLATE app'
proof_rows "$G" fresh "$T/same.before"
cluster_psql "$G" app -c "SELECT md5(string_agg(t::text, ';' ORDER BY id)) FROM patient_events t" >"$T/events.before"
settings_write
sed -i "s|^mapping: .*|mapping: $DISPATCH_DIR/dispatch.yaml|" "$T/pgrekey.yaml"
pgrekey init >"$T/init.log" 2>&1
engine_start
caught_up 200
upgrade 2 app
upgrade 3 app
check "the upgrade's last steps hold" test "$(grep -c ERROR "$T/upgrade.log")" -eq 0

equals "every adopted id is kept ($(wc -l <"$T/half.had") rows stood there)" "" "$(half_kept "$T/half" "$G" app | head -n 5)"
equals "the application's own rows are as they were" "$(cat "$T/events.before")" "$(target_sql "SELECT md5(string_agg(t::text, ';' ORDER BY id)) FROM patient_events t")"
engine_stop
proof_born "$G" app "$T/once"
half_without_extra "$T/half" "$G" app judged
proof_accounts "$S" legacy "$G" app "$T/snapshot"
proof_shape "$S" legacy "$G" judged "$T/snapshot"
judge judged "beside what the source does not have, the target holds what the estate wants"
cluster_psql "$G" postgres -c 'DROP DATABASE judged'

# A working day, streamed, against a fresh snapshot into a copy of what stood there.
engine_start
caught_up 60
estate_work "$S" legacy "${PGREKEY_TRANSACTIONS:-1500}" 100 "$PGREKEY_SEED"
caught_up 600
engine_stop
half_rows "$S" legacy "$G" fresh "$T/now"
half_since "$T/then" "$T/now" "$T/since"
half_source "$S" legacy "$T/later"
cp "$T/half.had" "$T/later.had"
equals "no row has another id than the one that stood there" "" "$(half_kept "$T/later" "$G" app standing | head -n 5)"
half_without_extra "$T/later" "$G" app judged
proof_accounts "$S" legacy "$G" app "$T/streamed"
proof_shape "$S" legacy "$G" judged "$T/streamed"
judge judged "and after the day, too"
with_fresh init >>"$T/init.log" 2>&1
with_fresh run --until-caught-up >"$T/fresh.log" 2>&1
upgrade 2 fresh
upgrade 3 fresh
PROOF_WENT=$T/since.gone proof_same "$G" app "$G" fresh "$T/same"
proof_still "$G" app "$T/once" "$S" legacy
test_end
