# shellcheck shell=bash
# Commit on the source to visible on the target, at 500 transactions a second. The same observer for both; native and
# ours in alternating rounds of more than 10,000 rows, of which the first 500 only warm up.

RATE=500
ROUND=${PGREKEY_BENCH_ROUND:-10500}
WARM_UP=500
ROUNDS=2

latency_round() {
    local side=$1 first=$2
    settle
    "$PROBE" latency "$(source_info)" "$(cluster_conninfo "$B/target" "$side")" "$first" "$ROUND" "$RATE" "$B/round"
    tail -n "+$((WARM_UP + 1))" "$B/round" >>"$B/latency.$side"
    echo "$side: $(percentiles "$B/round")"
}

# p50 and p99 of a file of microseconds, in milliseconds.
percentiles() {
    sort -n "$1" | awk '{v[NR] = $1} END {printf "p50 %.3f ms, p99 %.3f ms, %d samples", v[int((NR + 1) / 2)] / 1000, v[int(NR * 0.99 + 0.999)] / 1000, NR}'
}
p50() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

bench_latency() {
    local round first=1
    source_sql "CREATE TABLE tick (seq bigint PRIMARY KEY, payload text NOT NULL)"
    native_sql "CREATE TABLE tick (seq bigint PRIMARY KEY, payload text NOT NULL)"
    ours_sql "CREATE TABLE tick (id uuid PRIMARY KEY, seq bigint UNIQUE NOT NULL, payload text NOT NULL)"
    cat >"$B/mapping.yaml" <<YAML
namespace: $NAMESPACE
rows:
  - from: tick
    to: tick
    key: {id: {uuid: tick, of: seq}}
    columns: {seq: seq, payload: payload}
YAML
    settings_write
    engine_prepare
    native_prepare tick
    for round in $(seq 1 "$ROUNDS"); do
        echo "round $round"
        native_start
        latency_settled native "$first"
        latency_round native "$first"
        native_stop
        first=$((first + ROUND))
        engine_start
        latency_settled ours "$first"
        latency_round ours "$first"
        engine_stop
        first=$((first + ROUND))
    done
    echo "native: $(percentiles "$B/latency.native")"
    echo "ours:   $(percentiles "$B/latency.ours")"
    echo "p50_ratio_to_native: $(ratio "$(p50 "$B/latency.ours")" "$(p50 "$B/latency.native")")"
}

# Waits until the side has everything that came before row FIRST.
latency_settled() {
    "$PROBE" wait "$(cluster_conninfo "$B/target" "$1")" "SELECT coalesce(max(seq), 0) = $(($2 - 1)) FROM tick" 120 >/dev/null
    for _ in $(seq 1 100); do
        [ "$(source_sql "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")" -eq 0 ] || return 0
        sleep 0.2
    done
    return 1
}
