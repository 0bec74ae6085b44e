# shellcheck shell=bash
# The dispatch estate (deploy/dispatch) at scale 1: 3.77 million legacy rows into an empty target, beside a plain COPY of the
# same tables; what a one-row change of each kind costs; a working day streamed, and held against a fresh snapshot; every
# result proved as the tests do it (tests/support/estate), with the table of all pairs; and the same into the target that
# earlier runs left half filled. PGREKEY_BENCH_SCALE, PGREKEY_BENCH_TURNS (of each kind), PGREKEY_BENCH_TRANSACTIONS (of a
# day) make it smaller; PGREKEY_BENCH_PARTS says which of "empty cost day fresh half halfday" are run.

SCALE=${PGREKEY_BENCH_SCALE:-1}
TURNS=${PGREKEY_BENCH_TURNS:-200}
TRANSACTIONS=${PGREKEY_BENCH_TRANSACTIONS:-24000}
PARTS=${PGREKEY_BENCH_PARTS:-empty cost day fresh half halfday}
# shellcheck source=tests/support/estate/estate.sh
. tests/support/estate/estate.sh
# shellcheck source=tests/support/estate/judge.sh
. tests/support/estate/judge.sh
# shellcheck source=tests/support/estate/proof.sh
. tests/support/estate/proof.sh
# shellcheck source=tests/support/estate/half-left.sh
. tests/support/estate/half-left.sh

wanted() { case " $PARTS " in *" $1 "*) true ;; *) false ;; esac }
ESTATE_BAD=0
ok() { echo "ok - $*"; }
not_ok() {
    echo "not ok - $*"
    ESTATE_BAD=$((ESTATE_BAD + 1))
}
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}
equals() {
    if [ "$2" = "$3" ]; then ok "$1"; else
        not_ok "$1"
        printf '    expected: %s\n    got:      %s\n' "$2" "$3"
    fi
}

# estate_target NAME STEP…: a database with the deployed schema and these steps of the upgrade.
estate_target() {
    cluster_psql "$B/target" postgres -c "CREATE DATABASE $1"
    estate_steps "$1" target "${@:2}"
}
estate_steps() {
    local step
    for step in "${@:2}"; do cluster_psql "$B/target" "$1" -f "$DISPATCH_DIR/$step.sql" >>"$B/steps.log" 2>&1; done
}
# estate_settings NAME: settings of the pipeline into that database.
estate_settings() {
    cat >"$B/pgrekey.yaml" <<YAML
mapping: $DISPATCH_DIR/dispatch.yaml
pipeline: $1
source:
  dsn: "$(source_info)"
  slot: $1
target:
  dsn: "$(cluster_conninfo "$B/target" "$1")"
snapshot:
  fast_load: true
YAML
}
estate_ours() { cluster_psql "$B/target" "$1" "${@:3}" -c "$2"; }
# estate_in_sync NAME [SECONDS]: all that is committed on the source stands on the target.
estate_in_sync() {
    local lsn
    lsn=$(source_sql "SELECT pg_logical_emit_message(true, 'bench', '')")
    "$PROBE" wait "$(cluster_conninfo "$B/target" "$1")" "SELECT lsn >= '$lsn' FROM pgrekey.pipeline WHERE state = 'streaming'" "${2:-3600}" >/dev/null
}
estate_peak() { awk '/^VmHWM:/ {printf "%.0f", $2 / 1024}' "/proc/$ENGINE_PID/status"; }

# estate_load NAME: seconds from an engine's start to in sync, and its peak, into LOAD_S and PEAK; the engine goes on.
estate_load() {
    local begun
    estate_settings "$1"
    pgrekey init >/dev/null
    settle
    begun=$(date +%s.%N)
    engine_start
    estate_in_sync "$1"
    LOAD_S=$(difference "$(date +%s.%N)" "$begun")
    PEAK=$(estate_peak)
}

# The same tables by COPY out | COPY in, tables in parallel, into tables with primary keys only: seconds into PLAIN_S.
estate_plain() {
    local begun tables
    cluster_psql "$B/target" postgres -c 'CREATE DATABASE plain'
    tables=$(source_sql "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY pg_table_size(oid) DESC")
    "$CLUSTER_BIN/pg_dump" -d "$(source_info)" --schema=public --schema-only --section=pre-data -O -x | grep -v 'CREATE SCHEMA' | cluster_psql "$B/target" plain -f - >/dev/null
    source_sql "SELECT format('ALTER TABLE public.%I ADD %s;', relname, pg_get_constraintdef(c.oid)) FROM pg_constraint c JOIN pg_class r ON r.oid = conrelid WHERE contype = 'p' AND relnamespace = 'public'::regnamespace" |
        cluster_psql "$B/target" plain -f -
    settle
    begun=$(date +%s.%N)
    export -f estate_copy_one cluster_psql cluster_conninfo
    export B CLUSTER_BIN
    xargs -P "$(nproc)" -I{} bash -c 'estate_copy_one {}' <<<"$tables"
    PLAIN_S=$(difference "$(date +%s.%N)" "$begun")
    cluster_psql "$B/target" postgres -c 'DROP DATABASE plain'
}
estate_copy_one() {
    set -o pipefail
    cluster_psql "$B/source" legacy -c "COPY public.$1 TO STDOUT" | cluster_psql "$B/target" plain -c "COPY public.$1 FROM STDIN"
}

# estate_prove NAME TEXT [DATABASE JUDGED]: the database's account, and what stands in it, or in its copy.
estate_prove() {
    local database=${3:-ours} judged=${4:-${3:-ours}}
    proof_accounts "$B/source" legacy "$B/target" "$database" "$B/$1"
    proof_shape "$B/source" legacy "$B/target" "$judged" "$B/$1"
    if estate_judge "$B/source" legacy "$B/target" "$judged" "$B/judge" >"$B/differs" || estate_same_but_numbers "$database" "$judged"; then
        ok "$2 ($(wc -l <"$B/judge.found") lines)"
    else
        not_ok "$2"
        sed 's/^/    /' "$B/differs" | cut -c1-300
    fi
}
# In a half-filled target issued numbers stay; they are not those that would be issued now.
estate_same_but_numbers() {
    [ "$1" != "$2" ] && cmp -s <(sed 's/"number": "[^"]*"/"number": "-"/' "$B/judge.expected" | LC_ALL=C sort) \
        <(sed 's/"number": "[^"]*"/"number": "-"/' "$B/judge.found" | LC_ALL=C sort)
}

# --- what a one-row change costs: first statement to COMMIT on the target. A note of each of the engine's transactions is
# kept by a trigger on its position; when it began is now(), when it ended its commit time.

estate_note() {
    estate_ours ours "CREATE TABLE public.bench_note (began timestamptz, x xid DEFAULT pg_current_xact_id()::xid);
        CREATE FUNCTION public.bench_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO public.bench_note VALUES (now()); RETURN NULL; END';
        CREATE TRIGGER bench_note AFTER UPDATE OF lsn ON pgrekey.pipeline FOR EACH ROW EXECUTE FUNCTION public.bench_note()"
}
estate_note_end() { estate_ours ours "DROP TRIGGER bench_note ON pgrekey.pipeline; DROP FUNCTION public.bench_note(); DROP TABLE public.bench_note"; }
estate_costs() {
    local each
    estate_note
    printf '%-46s %8s %8s\n' "a change of one row, $TURNS times" "median" "95 %"
    while IFS='|' read -r each; do
        estate_in_sync ours 600
        estate_ours ours 'TRUNCATE public.bench_note'
        source_sql "CALL estate.turns('${each//\'/\'\'}', $TURNS, ${PGREKEY_BENCH_PAUSE_MS:-25})"
        estate_in_sync ours 600
        printf '%-46s %s\n' "$each" "$(estate_ours ours "SELECT to_char(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), 'FM9990.00') || ' ms  ' || to_char(percentile_cont(0.95) WITHIN GROUP (ORDER BY ms), 'FM9990.00') || ' ms  (' || count(*) || ')'
            FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(x) - began) * 1000 AS ms FROM public.bench_note) c")"
    done <"$ESTATE_DIR/costs"
    estate_note_end
}

# A thousand orders deleted, one a transaction: from the first one until the target has them all.
estate_deletes() {
    local begun seconds
    estate_in_sync ours
    begun=$(date +%s.%N)
    source_sql "CALL estate.turns('order is deleted', 1000, 0)"
    seconds=$(difference "$(date +%s.%N)" "$begun")
    estate_in_sync ours
    echo "1000 deletes of orders: $(difference "$(date +%s.%N)" "$begun") s until they are in sync ($seconds s on the source; aim 5)"
}

# estate_day DATABASE: a working day on the source, streamed.
estate_day() {
    local begun
    estate_in_sync "$1"
    begun=$(date +%s.%N)
    estate_work "$B/source" legacy "$TRANSACTIONS" 10000
    echo "a day of $TRANSACTIONS transactions: done in $(difference "$(date +%s.%N)" "$begun") s on the source"
    estate_in_sync "$1"
    echo "in sync $(difference "$(date +%s.%N)" "$begun") s after its begin"
    equals "the day had twenty transactions of each kind" "" "$(estate_work_kinds "$B/source" legacy | awk '$1 < 20')"
    PEAK=$(estate_peak)
    echo "peak memory so far $PEAK MiB"
}

# estate_fresh STREAMED FRESH: the same into a copy of the same target.
estate_fresh() {
    estate_load "$2"
    engine_stop
    echo "a fresh snapshot: $LOAD_S s"
    estate_steps "$2" upgrade-2 upgrade-3
    proof_same "$B/target" "$1" "$B/target" "$2" "$B/same"
    pgrekey drop --yes >/dev/null
    cluster_psql "$B/target" postgres -c "DROP DATABASE $2"
    estate_settings "$1"
}

# The half-filled target without rows that the source does not have, as the database judged.
estate_half_judged() {
    cp "$B/half.had" "$B/half-$1.had"
    half_source "$B/source" legacy "$B/half-$1"
    equals "no row has another id than the one that stood there ($(wc -l <"$B/half.had") rows)" "" "$(half_kept "$B/half-$1" "$B/target" half "$2" | head -n 5)"
    half_without_extra "$B/half-$1" "$B/target" half judged
    estate_prove "half-$1" "beside what the source does not have it is what the estate wants" half judged
    cluster_psql "$B/target" postgres -c 'DROP DATABASE judged'
}

# What earlier runs left, of the source as it is before anything else.
estate_half_filling() {
    estate_target half
    estate_half "$B/source" legacy "$B/target" half
    estate_steps half upgrade-1
}
estate_half_filled() {
    echo "the half-filled target holds $(estate_ours half "SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace") rows"
    half_had "$B/target" half "$B/half"
    half_rows "$B/source" legacy "$B/target" half "$B/then"
    if wanted halfday && wanted fresh; then
        cluster_psql "$B/target" postgres -c 'CREATE DATABASE again TEMPLATE half'
        proof_rows "$B/target" again "$B/same.before"
    fi
    estate_load half
    echo "into the half-filled target: $LOAD_S s, peak memory $PEAK MiB"
    estate_steps half upgrade-2 upgrade-3
    if wanted halfday; then estate_half_day; else
        engine_stop
        estate_half_judged snapshot ''
    fi
    pgrekey drop --yes >/dev/null
}
estate_half_day() {
    engine_stop
    estate_half_judged snapshot ''
    engine_start
    estate_day half
    engine_stop
    estate_half_judged day standing
    wanted fresh || return 0
    half_rows "$B/source" legacy "$B/target" again "$B/now"
    half_since "$B/then" "$B/now" "$B/since"
    PROOF_WENT=$B/since.gone estate_fresh half again
}

bench_estate() {
    local plain=-
    cluster_psql "$B/target" postgres -c "ALTER SYSTEM SET track_commit_timestamp = on"
    cluster_restart "$B/target"
    cluster_psql "$B/target" postgres -c 'DROP DATABASE ours'
    estate_legacy "$B/source" legacy "$SCALE" 1
    estate_check "$B/source" legacy
    estate_work_prepare "$B/source" legacy
    estate_target ours upgrade-1 upgrade-2 upgrade-3
    cluster_psql "$B/target" postgres -c 'CREATE DATABASE empty TEMPLATE ours'
    ! wanted half || estate_half_filling
    if wanted empty; then
        estate_plain
        plain=$PLAIN_S
        echo "plain COPY of all legacy tables: $plain s"
    fi
    estate_load ours
    local empty=$LOAD_S
    echo "from an empty target to in sync: $empty s, peak memory $PEAK MiB"
    estate_prove snapshot "it is what the estate wants"
    ! wanted cost || { estate_costs && estate_deletes; }
    if wanted day; then
        estate_day ours
        estate_prove day "a day later it is what the estate wants"
        if wanted fresh; then
            engine_stop
            estate_fresh ours empty
        fi
    fi
    [ -z "$ENGINE_PID" ] || engine_stop
    pgrekey drop --yes >/dev/null
    ! wanted half || estate_half_filled
    [ "$ESTATE_BAD" -eq 0 ] || echo "$ESTATE_BAD of the proofs failed"
    [ "$plain" = - ] || echo "ratio_to_plain_copy: $(ratio "$plain" "$empty")"
    [ "$ESTATE_BAD" -eq 0 ]
}
