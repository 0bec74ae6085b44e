# shellcheck shell=bash
# Lag at 500 transactions a second on ten tables, 70 % inserts, 25 % updates, 5 % deletes: commit on the source to visible
# on the target as an observer sees it, beside pgrekey's own histogram, and what a scrape costs.
#
# The observer commits ten rows a second of its own, notes its clock when each COMMIT returns, and looks for them on the
# target without a pause. PGREKEY_BENCH_SECONDS shortens the run (300).

LAG_SECONDS=${PGREKEY_BENCH_SECONDS:-300}
LAG_RATE=500
LAG_MARKS=10 # a second, beside those

lag_tables() {
    local i
    for i in 0 1 2 3 4 5 6 7 8 9; do
        source_sql "CREATE TABLE t$i (id bigserial PRIMARY KEY, a int, b text, c timestamptz DEFAULT now());
                    INSERT INTO t$i (a, b) SELECT i, md5(i::text) FROM generate_series(1, 20000) i"
        ours_sql "CREATE TABLE t$i (id uuid PRIMARY KEY, legacy_id bigint UNIQUE NOT NULL, a int, b text, c timestamptz)"
        echo "  - {from: t$i, to: t$i, key: {id: {uuid: t$i, of: id}}, columns: {legacy_id: id, a: a, b: b, c: c}}"
    done >"$B/rules"
    { echo "namespace: $NAMESPACE"; echo "rows:"; cat "$B/rules"; } >"$B/mapping.yaml"
    source_sql "CREATE TABLE tick (seq bigint PRIMARY KEY, payload text NOT NULL)"
    ours_sql "CREATE TABLE tick (id uuid PRIMARY KEY, seq bigint UNIQUE NOT NULL, payload text NOT NULL)"
    echo "  - {from: tick, to: tick, key: {id: {uuid: tick, of: seq}}, columns: {seq: seq, payload: payload}}" >>"$B/mapping.yaml"
}

lag_scripts() {
    echo '\set t random(0, 9)' >"$B/head.sql"
    { cat "$B/head.sql"; echo 'INSERT INTO t:t (a, b) VALUES (random() * 1000, md5(random()::text));'; } >"$B/insert.sql"
    { cat "$B/head.sql"; echo '\set k random(1, 20000)'; echo 'UPDATE t:t SET a = a + 1, c = now() WHERE id = :k;'; } >"$B/update.sql"
    { cat "$B/head.sql"; echo '\set k random(1, 20000)'; echo 'DELETE FROM t:t WHERE id = :k;'; } >"$B/delete.sql"
}

lag_metric() { curl -s "http://$PGREKEY_HTTP_LISTEN/metrics" | sed -n "s/^$1 //p"; }

# The bucket of the histogram in which the quantile lies: "low high quantile", over what came since the file BEFORE.
lag_quantile() {
    awk -v q="$2" 'FNR == NR {before[$1] = $2; next}
        /^pgrekey_end_to_end_latency_seconds_bucket/ {le = $1; sub(/.*le="/, "", le); sub(/".*/, "", le); n++; bound[n] = le; count[n] = $2 - before[$1]}
        END {rank = q * count[n]
             for (i = 1; i <= n; i++) if (count[i] >= rank) {
                 low = i > 1 ? bound[i - 1] : 0; below = i > 1 ? count[i - 1] : 0
                 print low, bound[i], low + (bound[i] - low) * (rank - below) / (count[i] - below); exit}}' "$1" "$3"
}

bench_lag() {
    local port
    port=$(cluster_free_port)
    export PGREKEY_HTTP_LISTEN=127.0.0.1:$port
    lag_tables
    lag_scripts
    settings_write
    engine_prepare
    settle
    engine_start
    sleep 3
    pgbench -n -T "$((LAG_SECONDS + 5))" -c 4 -j 1 -R "$LAG_RATE" -f "$B/insert.sql@70" -f "$B/update.sql@25" \
        -f "$B/delete.sql@5" "$(source_info)" >"$B/pgbench" 2>&1 &
    local load=$!
    sleep 5
    curl -s "http://$PGREKEY_HTTP_LISTEN/metrics" >"$B/before"
    "$PROBE" latency "$(source_info)" "$(cluster_conninfo "$B/target" ours)" 1 "$((LAG_SECONDS * LAG_MARKS))" "$LAG_MARKS" "$B/seen"
    curl -s "http://$PGREKEY_HTTP_LISTEN/metrics" >"$B/after"
    wait "$load"
    sed -n 's/^number of transactions actually processed: /transactions: /p; s/^tps = /tps: /p' "$B/pgbench" | head -n 2
    echo "observer: $(percentiles_ms "$B/seen")"
    local low high own seen
    read -r low high own <<<"$(lag_quantile "$B/before" 0.99 "$B/after")"
    seen=$(sort -n "$B/seen" | awk '{v[NR] = $1} END {printf "%.4f", v[int(NR * 0.99 + 0.999)] / 1e6}')
    echo "histogram: p99 $own s, between $low and $high s; observer p99 $seen s"
    lag_scrapes "$port"
    engine_stop
    echo "lag_p99_seconds: $(awk -v s="$seen" 'BEGIN {printf "%.2f", s}')"
}

percentiles_ms() {
    sort -n "$1" | awk '{v[NR] = $1} END {printf "p50 %.3f ms, p99 %.3f ms, %d samples", v[int((NR + 1) / 2)] / 1000, v[int(NR * 0.99 + 0.999)] / 1000, NR}'
}

# A hundred scrapes by a connection that is kept, as Prometheus does it, and what they cost the engine's CPU; then as many
# by curl, which is a process and a connection each.
lag_scrapes() {
    local before after
    before=$(cpu_of "$ENGINE_PID")
    python3 - "$1" >"$B/scrapes" <<'PY'
import http.client
import sys
import time

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
for _ in range(100):
    began = time.monotonic()
    connection.request("GET", "/metrics")
    connection.getresponse().read()
    print(time.monotonic() - began)
PY
    after=$(cpu_of "$ENGINE_PID")
    sort -n "$B/scrapes" | awk -v a="$before" -v b="$after" \
        '{v[NR] = $1} END {printf "scrape: median %.2f ms, p99 %.2f ms, %.2f ms of CPU each\n", v[50] * 1000, v[99] * 1000, (b - a) * 10}'
    for _ in $(seq 1 100); do
        curl -s -o /dev/null -w '%{time_total}\n' "http://127.0.0.1:$1/metrics"
    done | sort -n | awk '{v[NR] = $1} END {printf "scrape by curl: median %.2f ms, p99 %.2f ms\n", v[50] * 1000, v[99] * 1000}'
}
