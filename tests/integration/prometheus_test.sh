#!/usr/bin/env bash
# Rules and dashboard, against a real Prometheus: the rules' unit tests; a scrape of a running engine; every query of the
# dashboard gives data; and when the consumer is stopped, an alert fires.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

for tool in prometheus promtool; do
    command -v "$tool" >/dev/null || {
        echo "there is no $tool"
        exit 77
    }
done

cd "$TOP"
quietly() { "$@" >/dev/null 2>&1; }
check "the rules are rules" quietly promtool check rules deploy/prometheus/pgrekey.rules.yml
check "the example of a configuration is one" quietly promtool check config deploy/prometheus/prometheus.yml
if promtool test rules tests/prometheus/pgrekey_rules_test.yml >"$T/rules.log" 2>&1; then
    ok "each alert fires for its cause ($(grep -c alertname: tests/prometheus/pgrekey_rules_test.yml) cases)"
else
    not_ok "each alert fires for its cause"
    head -n 30 "$T/rules.log"
fi
sed -n 's/.*- alert: //p' deploy/prometheus/pgrekey.rules.yml >"$T/alerts"
while read -r alert; do
    grep -q "alertname: $alert\$" tests/prometheus/pgrekey_rules_test.yml || not_ok "$alert has a test"
    grep -qi "runbook: docs/operations.md#$alert\$" deploy/prometheus/pgrekey.rules.yml || not_ok "$alert names its page"
    grep -q "^### $alert\$" docs/operations.md || not_ok "$alert has a page in docs/operations.md"
done <"$T/alerts"
equals "every metric that rules and dashboard name is documented" "" "$(
    grep -ohE 'pgrekey_[a-z_]+' deploy/prometheus/pgrekey.rules.yml deploy/grafana/pgrekey.json | sort -u |
        sed -E 's/_(bucket|sum|count)$//' | while read -r name; do grep -q "\`${name}[\`{]" docs/metrics.md || echo "$name"; done
)"

notes_estate 1000
source_sql "ANALYZE note"
target_sql "ALTER TABLE notes ADD CHECK (text <> 'bad')"
settings_write "guard:" "  wal_budget: 1GB"
sed -i 's/^source:/source:\n  heartbeat_interval: 500ms/' "$T/pgrekey.yaml"
port=$(cluster_free_port)
export PGREKEY_HTTP_LISTEN=127.0.0.1:$port
prometheus_port=$(cluster_free_port)
prometheus_url=http://127.0.0.1:$prometheus_port

# The shipped rules, but for the time that they wait.
mkdir -p "$T/prometheus"
sed -E 's/^( +for:) .*/\1 2s/' deploy/prometheus/pgrekey.rules.yml >"$T/prometheus/pgrekey.rules.yml"
cat >"$T/prometheus/prometheus.yml" <<YAML
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [pgrekey.rules.yml]
scrape_configs:
  - job_name: pgrekey
    static_configs: [{targets: ["127.0.0.1:$port"]}]
YAML
sed "s/^\(# EOF\)\$/\1/; /^#/! s/@\$/$(($(date +%s) - 60))/; /^# Series of\|^# time in/d; s/NOW/$(date +%s)/" tests/prometheus/recorded.txt >"$T/recorded.1"
sed "/^#/! s/ [0-9]*\$/ $(($(date +%s) - 5))/" "$T/recorded.1" | grep -v '^#' >"$T/recorded.2"
# both times of a series together, in order
awk 'NR == FNR {second[NR] = $0; next} /^#/ {print; next} {print; print second[++n]}' "$T/recorded.2" "$T/recorded.1" >"$T/recorded"
promtool tsdb create-blocks-from openmetrics "$T/recorded" "$T/prometheus/data" >"$T/blocks.log" 2>&1
prometheus --config.file="$T/prometheus/prometheus.yml" --storage.tsdb.path="$T/prometheus/data" \
    --web.listen-address="127.0.0.1:$prometheus_port" --log.level=warn >"$T/prometheus.log" 2>&1 &
LOAD_PID=$!

pgrekey init >/dev/null
engine_start
caught_up
source_sql "INSERT INTO note (text) VALUES ('bad')"
caught_up
load() { source_sql "INSERT INTO note (text) SELECT 'more' FROM generate_series(1, 50)" >/dev/null; }
scraped() {
    load
    [ "$(curl -s "$prometheus_url/api/v1/query" --data-urlencode "query=$1" | grep -c '"value"')" -gt 0 ]
}
wait_for 40 "Prometheus to have two scrapes of latencies" scraped 'rate(pgrekey_end_to_end_latency_seconds_count[5m]) > 0'
ok "Prometheus scrapes the engine"
wait_for 20 "and the quarantine" scraped 'pgrekey_quarantine_rows > 0'
wait_for 20 "and what is looked at seldom" scraped 'pgrekey_slot_catalog_xmin_age >= 0'
if python3 tests/support/dashboard.py deploy/grafana/pgrekey.json "$prometheus_url" >"$T/dashboard.log"; then
    ok "every panel's query gives data: $(tail -n 1 "$T/dashboard.log")"
else
    not_ok "every panel's query gives data"
    sed 's/^/    /' "$T/dashboard.log"
fi

fires() { curl -s "$prometheus_url/api/v1/alerts" | grep -qE "\"alertname\":\"$1\"[^}]*\}[^}]*\}[^}]*\"state\":\"firing\""; }
wait_for 20 "the alert over the quarantine" fires PgrekeyQuarantineGrows
ok "a row in quarantine is an alert"
equals "nothing else is wrong" PgrekeyQuarantineGrows \
    "$(curl -s "$prometheus_url/api/v1/alerts" | grep -oE '"alertname":"[A-Za-z]*"' | sed 's/.*:"//; s/"$//' | sort -u | paste -sd ' ')"

# Stopped in its tracks: it holds its slot, and answers nobody.
kill -STOP "$ENGINE_PID"
wait_for 30 "the alert over a consumer that does not answer" fires PgrekeyDown
ok "a consumer that is stopped is an alert"
kill -CONT "$ENGINE_PID"
is_over() { ! fires PgrekeyDown; }
wait_for 30 "its end" is_over
ok "and is over when it goes on"

# The target is stopped: it answers, and lags.
cluster_stop "$T/target"
for _ in 1 2 3; do load; done
sed -i -E 's/pgrekey_lag_seconds > 60/pgrekey_lag_seconds > 3/' "$T/prometheus/pgrekey.rules.yml"
kill -HUP "$LOAD_PID"
wait_for 40 "the alert over the lag" fires PgrekeyLagHigh
ok "a lag is an alert"
cluster_start "$T/target"
caught_up
engine_stop
test_end
