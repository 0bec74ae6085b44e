# shellcheck shell=bash
# What every integration test stands on. Sourced first; the test then reads:
#
#   . "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
#   source_start; target_start                     # clusters of its own: databases legacy and app
#   source_sql "CREATE TABLE …"; target_sql "…"
#   mapping_write <<'YAML' …                       # $T/mapping.yaml, with the tests' namespace
#   settings_write [line…]                         # $T/pgrekey.yaml; lines are added at its end
#   pgrekey init; engine_start; caught_up
#   same_rows "what it means" "source query" "target query"
#   test_end
#
# Checks print "ok - …" or "not ok - …" and never stop the test; any other command that fails does. Work lies in $T,
# which goes away with the test unless PGREKEY_KEEP is set; the engine's output is in $T/engine.log.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/support/cluster.sh
. "$TOP/tests/support/cluster.sh"

PGREKEY_BUILD=${PGREKEY_BUILD:-$TOP/build/dev}
PGREKEY=${PGREKEY:-$PGREKEY_BUILD/cdc/app/pgrekey}
PGREKEY_KILLS=${PGREKEY_KILLS:-10} # of each kind, in tests that kill
PGREKEY_SEED=${PGREKEY_SEED:-4711} # of RANDOM
NAMESPACE=6f8b1c9e-52a3-4d0e-9d59-3a4f0c6b7e21
RANDOM=$PGREKEY_SEED
export PGREKEY_HTTP_LISTEN=off # tests that want it choose a port of their own

if [ ! -x "$PGREKEY" ]; then
    echo "there is no $PGREKEY; build it with tests/run"
    exit 77
fi

T=${PGREKEY_TEST_DIR:-}
[ -n "$T" ] || T=$(cluster_temp_dir test)
mkdir -p "$T"
chmod 0711 "$T"
ENGINE_PID=
LOAD_PID=
TEST_BAD=0

lib_clean_up() {
    local code=$? each
    set +e
    for each in $LOAD_PID $ENGINE_PID; do
        kill -9 "$each" 2>/dev/null
    done
    for each in "$T"/*/kafka.pid; do # kafka.sh was sourced where there is one
        [ -f "$each" ] && kafka_kill "${each%/kafka.pid}"
    done
    wait 2>/dev/null
    if [ "$code" -ne 0 ] && [ -f "$T/engine.log" ]; then
        echo "--- the engine's log ends:"
        tail -n 15 "$T/engine.log"
    fi
    if [ -n "${PGREKEY_KEEP:-}" ]; then
        echo "--- kept: $T"
        exit "$code"
    fi
    for each in "$T"/*/data; do
        [ -d "$each" ] && cluster_remove "${each%/data}"
    done
    rm -rf "$T"
    exit "$code"
}
trap lib_clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- checks

ok() { echo "ok - $*"; }
not_ok() {
    echo "not ok - $*"
    TEST_BAD=$((TEST_BAD + 1))
}

# check NAME COMMAND…: ok where the command succeeds.
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

# equals NAME EXPECTED ACTUAL
equals() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1"
        printf '    expected: %s\n    got:      %s\n' "$2" "$3"
    fi
}

# same_rows NAME SOURCE_QUERY TARGET_QUERY: both sides give the same rows, in whatever order.
same_rows() {
    local name=$1
    source_sql "$2" | LC_ALL=C sort >"$T/rows.source"
    target_sql "$3" | LC_ALL=C sort >"$T/rows.target"
    if cmp -s "$T/rows.source" "$T/rows.target"; then
        ok "$name ($(wc -l <"$T/rows.source") rows)"
    else
        not_ok "$name ($(wc -l <"$T/rows.source") rows on the source, $(wc -l <"$T/rows.target") on the target)"
        diff "$T/rows.source" "$T/rows.target" | head -n 10 | sed 's/^/    /' || true
    fi
}

# accounts NAME RULE SOURCE_TABLE: mapped + quarantined + excluded = rows of the source table.
accounts() {
    local rows sum
    rows=$(source_sql "SELECT count(*) FROM $3")
    sum=$(target_sql "SELECT mapped + quarantined + excluded FROM pgrekey.counter WHERE rule = '$2'")
    equals "$1" "$rows" "${sum:-no counter}"
}

# Ends the test: the exit code says whether every check was ok. A sanitizer's finding in the log is a failed check.
test_end() {
    if grep -qsE 'AddressSanitizer|LeakSanitizer|runtime error:' "$T"/*.log; then
        grep -hE -A6 'AddressSanitizer|LeakSanitizer|runtime error:' "$T"/*.log | head -n 40
        not_ok "sanitizers find nothing"
    fi
    [ "$TEST_BAD" -eq 0 ] || exit 1
    exit 0
}

# --- servers: source_start and target_start take settings, as cluster_create does

source_start() {
    cluster_create "$T/source" "$@"
    cluster_start "$T/source"
    cluster_psql "$T/source" postgres -c 'CREATE DATABASE legacy'
}
target_start() {
    cluster_create "$T/target" "$@"
    cluster_start "$T/target"
    cluster_psql "$T/target" postgres -c 'CREATE DATABASE app'
}

# source_sql SQL [psql arguments…]; the SQL may hold several statements, run in one transaction.
source_sql() {
    local sql=$1
    shift
    cluster_psql "$T/source" legacy "$@" -c "$sql"
}
target_sql() {
    local sql=$1
    shift
    cluster_psql "$T/target" app "$@" -c "$sql"
}
# A script from standard input, statement by statement.
source_script() { cluster_psql "$T/source" legacy "$@" -f -; }
target_script() { cluster_psql "$T/target" app "$@" -f -; }

# uuid_sql ENTITY EXPRESSION: SQL that computes a row's identity on the source, by the server's own UUIDv5.
uuid_sql() { echo "uuid_generate_v5('$NAMESPACE', '$1:' || ($2)::text)"; }
source_uuid_ossp() { source_sql 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"'; }

# --- pgrekey

mapping_write() {
    {
        echo "namespace: $NAMESPACE"
        cat
    } >"$T/mapping.yaml"
}

# For tests that are about something else: one table, one rule, servers included. notes_estate [ROWS [TEXT]]: that many
# rows, "TEXT 1" and so on.
notes_mapping() {
    mapping_write <<'YAML'
rows:
  - from: note
    to: notes
    key: {id: {uuid: note, of: id}}
    columns: {legacy_id: id, text: text}
YAML
}
notes_estate() {
    source_start
    target_start
    source_sql "CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL);
        INSERT INTO note (text) SELECT '${2:-note} ' || i FROM generate_series(1, ${1:-0}) i"
    target_sql "CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, text text NOT NULL)"
    notes_mapping
}

# Intervals are short, so that tests need not wait.
settings_write() {
    {
        cat <<YAML
mapping: mapping.yaml
source:
  dsn: "$(cluster_conninfo "$T/source" legacy)"
  status_interval: 100ms
target:
  dsn: "$(cluster_conninfo "$T/target" app)"
  position_interval: 200ms
reconnect:
  min: 50ms
  max: 500ms
YAML
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >"$T/pgrekey.yaml"
}

pgrekey() { "$PGREKEY" --config "$T/pgrekey.yaml" "$@"; }

# pgrekey_fails NAME CODE PATTERN ARGUMENTS…: ends with this exit code and says something that matches.
pgrekey_fails() {
    local name=$1 code=$2 pattern=$3 rc=0
    shift 3
    pgrekey "$@" >"$T/fails.log" 2>&1 </dev/null || rc=$?
    if [ "$rc" -eq "$code" ] && grep -qE "$pattern" "$T/fails.log"; then
        ok "$name"
    else
        not_ok "$name"
        echo "    exit code $rc, expected $code; expected to read: $pattern; it said:"
        head -n 10 "$T/fails.log" | sed 's/^/    /'
    fi
}

# --- the engine in the background

engine_start() {
    "$PGREKEY" --config "$T/pgrekey.yaml" run "$@" >>"$T/engine.log" 2>&1 </dev/null &
    ENGINE_PID=$!
}
engine_is_alive() { [ -n "$ENGINE_PID" ] && kill -0 "$ENGINE_PID" 2>/dev/null; }
# Waits for its end and prints nothing; the exit code is in ENGINE_CODE.
engine_wait() {
    ENGINE_CODE=0
    wait "$ENGINE_PID" 2>/dev/null || ENGINE_CODE=$?
    ENGINE_PID=
}
engine_stop() {
    kill -TERM "$ENGINE_PID" 2>/dev/null || true
    engine_wait
}
engine_kill() {
    kill -9 "$ENGINE_PID" 2>/dev/null || true
    engine_wait
}

# wait_for SECONDS NAME COMMAND…: polls; fails the test where it never comes true.
wait_for() {
    local seconds=$1 name=$2 until
    shift 2
    until=$((SECONDS + seconds))
    while ! "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "waited $seconds s in vain: $name"
            return 1
        fi
        sleep 0.05
    done
}

position_has_reached() {
    [ "$(target_sql "SELECT lsn >= '$1' FROM pgrekey.pipeline WHERE state = 'streaming'" 2>/dev/null)" = t ]
}
engine_is_there_or_reached() {
    position_has_reached "$1" && return 0
    if [ -n "$ENGINE_PID" ] && ! kill -0 "$ENGINE_PID" 2>/dev/null; then
        CAUGHT_UP_DEAD=1
        return 0
    fi
    return 1
}

# caught_up [SECONDS]: everything committed on the source until now stands on the target. A message of its own makes
# sure that there is a transaction to wait for: whoever has applied it has applied all that committed before. The wait is
# in vain when the position has stood still for so long: how fast it moves is the machine's affair.
caught_up() {
    local lsn at last='' seconds=${1:-60} until looks=0
    CAUGHT_UP_DEAD=
    lsn=$(source_sql "SELECT pg_logical_emit_message(true, 'pgrekey-test', '')")
    until=$((SECONDS + seconds))
    while ! engine_is_there_or_reached "$lsn"; do
        if [ $((looks++ % 20)) = 0 ]; then
            at=$(target_sql "SELECT lsn FROM pgrekey.pipeline" 2>/dev/null) || at=$last
            [ "$at" = "$last" ] || until=$((SECONDS + seconds))
            last=$at
        fi
        if [ "$SECONDS" -ge "$until" ]; then
            echo "waited $seconds s in vain: the target to reach $lsn (it stands at ${last:-nothing})"
            return 1
        fi
        sleep 0.05
    done
    if [ -n "$CAUGHT_UP_DEAD" ]; then
        engine_wait
        echo "the engine ended with code $ENGINE_CODE before it had caught up"
        return 1
    fi
}

# Waits until everything that joins the pipeline, after a change of its mapping, is there, and the stream too.
joined() {
    wait_for "${1:-60}" "what joins to be there" nothing_joins
    caught_up "${1:-60}"
}
nothing_joins() { [ "$(target_sql "SELECT count(*) FROM pgrekey.mapping_step WHERE state IN ('new', 'back')")" = 0 ]; }

# What pgrekey connects is cut off: cut SIDE, source or target.
cut_connections() {
    "$1_sql" "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE pid <> pg_backend_pid() AND application_name LIKE 'pgrekey%'" >/dev/null
}

# --- load: pgbench scripts against the source

# load_start SECONDS CLIENTS FILE[@WEIGHT]…: in the background.
load_start() {
    local seconds=$1 clients=$2 each files=()
    shift 2
    for each in "$@"; do files+=(-f "$each"); done
    pgbench -n -T "$seconds" -c "$clients" -j 1 --random-seed="$PGREKEY_SEED" "${files[@]}" \
        "$(cluster_conninfo "$T/source" legacy)" >"$T/load.out" 2>&1 </dev/null &
    LOAD_PID=$!
}
load_wait() {
    local rc=0
    wait "$LOAD_PID" || rc=$?
    LOAD_PID=
    if [ "$rc" -ne 0 ]; then
        tail -n 5 "$T/load.out"
        return "$rc"
    fi
}

# random_between LOW HIGH, and a nap of as many milliseconds.
random_between() { echo $(($1 + (RANDOM * 32768 + RANDOM) % ($2 - $1 + 1))); }
nap_ms() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }

# kill_loop COUNT LOW_MS HIGH_MS: kills the running engine after random times and starts it again at once.
kill_loop() {
    local count=$1 each ms
    for each in $(seq 1 "$count"); do
        ms=$((($2) + (RANDOM * 32768 + RANDOM) % ($3 - $2 + 1)))
        nap_ms "$ms"
        if ! engine_is_alive; then
            engine_wait
            echo "the engine ended by itself with code $ENGINE_CODE before kill $each"
            return 1
        fi
        engine_kill
        engine_start
    done
}
