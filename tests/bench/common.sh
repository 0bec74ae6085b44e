# shellcheck shell=bash
# shellcheck disable=SC2034 # used by the benches that source this
# What the three benches share: builds, clusters, the engine, the native subscription, clocks.

PAIRS=${PGREKEY_BENCH_PAIRS:-3}
export PGREKEY_HTTP_LISTEN=off
NAMESPACE=6f8b1c9e-52a3-4d0e-9d59-3a4f0c6b7e21
PGREKEY=${PGREKEY:-$TOP/build/release/cdc/app/pgrekey}
B=
ENGINE_PID=

bench_clean_up() {
    local code=$?
    set +e
    [ -z "$ENGINE_PID" ] || kill -9 "$ENGINE_PID" 2>/dev/null
    if [ "$code" -ne 0 ] && [ -s "$B/engine.log" ]; then
        echo "--- the engine's log ends:" >&2
        tail -n 15 "$B/engine.log" >&2
    fi
    if [ -n "$B" ] && [ -z "${PGREKEY_KEEP:-}" ]; then
        [ ! -f "$B/kafka/kafka.pid" ] || kafka_remove "$B/kafka"
        cluster_remove "$B/source"
        cluster_remove "$B/target"
        rm -rf "$B"
    fi
    exit "$code"
}

bench_build() {
    local log=$TOP/build/bench-build.log
    deploy/install-deps build server
    mkdir -p "$TOP/build"
    if [ "$PGREKEY" = "$TOP/build/release/cdc/app/pgrekey" ] &&
        ! { cmake --preset release -DPGREKEY_WERROR=OFF && cmake --build --preset release -j 2; } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        return 1
    fi
    PROBE=$TOP/build/probe
    # shellcheck disable=SC2046 # several words on purpose
    cc -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra $(pkg-config --cflags libpq) tests/bench/probe.c -o "$PROBE" \
        $(pkg-config --libs libpq) -lpthread
}

# The source commits synchronously, both targets asynchronously; otherwise both are set alike. The log's prefix is
# the time in seconds since 1970, and the log says when START_REPLICATION came.
bench_clusters() {
    trap bench_clean_up EXIT
    trap 'exit 130' INT TERM
    B=$(cluster_temp_dir bench "${PGREKEY_BENCH_DIR:-}")
    local common=("fsync = ${PGREKEY_BENCH_FSYNC:-on}" "shared_buffers = 512MB" "max_wal_size = 32GB"
        "checkpoint_timeout = 1h" "log_line_prefix = '%n '" "log_replication_commands = on" "autovacuum = off"
        "max_worker_processes = 16" "wal_sender_timeout = 60s")
    cluster_create "$B/source" "${common[@]}" "synchronous_commit = on"
    cluster_create "$B/target" "${common[@]}" "synchronous_commit = off"
    cluster_start "$B/source"
    cluster_start "$B/target"
    cluster_psql "$B/source" postgres -c 'CREATE DATABASE legacy'
    cluster_psql "$B/target" postgres -c 'CREATE DATABASE native'
    cluster_psql "$B/target" postgres -c 'CREATE DATABASE ours'
    echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $("$CLUSTER_BIN/postgres" --version)"
}

source_sql() { cluster_psql "$B/source" legacy "${@:2}" -c "$1"; }
source_script() { cluster_psql "$B/source" legacy -f -; }
native_sql() { cluster_psql "$B/target" native "${@:2}" -c "$1"; }
ours_sql() { cluster_psql "$B/target" ours "${@:2}" -c "$1"; }
source_info() { cluster_conninfo "$B/source" legacy; }

# Both servers begin each run with clean buffers to write.
settle() {
    cluster_psql "$B/source" postgres -c CHECKPOINT
    cluster_psql "$B/target" postgres -c CHECKPOINT
    sync
}

median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
difference() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f", a - b}'; }

# cpu_of PID…: seconds of CPU that the processes have used, for what a busy machine does to the clock.
cpu_of() {
    local pid ticks
    for pid in "$@"; do
        ticks=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{print $12 + $13}') || ticks=0
        awk -v t="$ticks" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.1f ", t / hz}'
    done
    echo
}
walsender_of() { source_sql "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '$1'"; }

# --- clocks: a run begins with its START_REPLICATION in the source's log, and ends when the last row is visible

log_mark() { wc -c <"$B/source/log"; }
# started_at MARK SLOT: the time of the first START_REPLICATION of this slot behind the mark.
started_at() {
    tail -c "+$(($1 + 1))" "$B/source/log" |
        sed -n "s/^\([0-9.]*\) .*received replication command: START_REPLICATION SLOT \"\{0,1\}$2\"\{0,1\} .*/\1/p" | head -n 1
}

# --- the native subscription: a slot of its own, made before the workload

native_prepare() {
    source_sql "SELECT pg_create_logical_replication_slot('native', 'pgoutput')" >/dev/null
    source_sql "CREATE PUBLICATION native FOR TABLE $1"
    native_sql "CREATE SUBSCRIPTION native CONNECTION '$(source_info)' PUBLICATION native
                WITH (create_slot = false, slot_name = 'native', enabled = false, copy_data = false)"
}
native_start() { native_sql "ALTER SUBSCRIPTION native ENABLE"; }
native_stop() {
    native_sql "ALTER SUBSCRIPTION native DISABLE"
}
native_drop() {
    native_sql "ALTER SUBSCRIPTION native DISABLE"
    native_sql "ALTER SUBSCRIPTION native SET (slot_name = NONE)"
    native_sql "DROP SUBSCRIPTION native"
    drop_slot native
    source_sql "DROP PUBLICATION native"
}
drop_slot() {
    for _ in $(seq 1 100); do
        source_sql "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '$1' AND NOT active" >/dev/null
        [ "$(source_sql "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$1'")" -gt 0 ] || return 0
        sleep 0.1
    done
    return 1
}

# --- the engine

settings_write() {
    cat >"$B/pgrekey.yaml" <<YAML
mapping: mapping.yaml
source:
  dsn: "$(source_info)"
  slot: ours
target:
  dsn: "$(cluster_conninfo "$B/target" ours)"
YAML
}
pgrekey() { "$PGREKEY" --config "$B/pgrekey.yaml" "$@" 2>>"$B/engine.log"; }
engine_start() {
    "$PGREKEY" --config "$B/pgrekey.yaml" run >>"$B/engine.log" 2>&1 </dev/null &
    ENGINE_PID=$!
}
engine_stop() {
    kill -TERM "$ENGINE_PID"
    wait "$ENGINE_PID" || true
    ENGINE_PID=
}
# A snapshot of what is there, so that slot and position stand before the workload.
engine_prepare() {
    pgrekey init >/dev/null
    pgrekey run --until-caught-up >/dev/null
}
engine_drop() {
    pgrekey drop --yes >/dev/null
}
