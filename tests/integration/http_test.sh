#!/usr/bin/env bash
# The HTTP faces of a running engine: metrics, health, readiness, the status page, in the snapshot, while it streams, in a
# pause and with the target gone. Nothing of them holds a row's value.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL, parent int);
INSERT INTO note (text) SELECT 'sesame ' || i FROM generate_series(1, 3000) i;
SQL
target_script <<'SQL'
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, text text NOT NULL CHECK (text <> 'sesame bad'),
                    parent_id uuid REFERENCES notes);
SQL
mapping_write <<'YAML'
rows:
  - from: note
    to: notes
    key: {id: {uuid: note, of: id}}
    columns: {legacy_id: id, text: text, parent_id: {uuid: note, of: parent, required: true, when: parent is not null}}
YAML
settings_write
sed -i 's/^source:/source:\n  heartbeat_interval: 500ms/' "$T/pgrekey.yaml"
port=$(cluster_free_port)
export PGREKEY_HTTP_LISTEN=127.0.0.1:$port
base=http://127.0.0.1:$port

get() { curl -s --max-time 5 "$base$1"; }
code() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 "${@:2}" "$base$1"; }
metric() { get /metrics | sed -n "s/^$1 //p"; }
is_code() { [ "$(code "$1")" = "$2" ]; }
metric_is() { awk -v v="$(metric "$1")" "BEGIN {exit !(v != \"\" && v $2)}"; }

pgrekey init >/dev/null
cluster_psql "$T/target" app -c "BEGIN; LOCK TABLE notes; SELECT pg_sleep(4)" >/dev/null &
LOAD_PID=$!
sleep 0.3
engine_start
wait_for 20 "the page to be there" is_code / 200
ok "the page is there before the snapshot is"
equals "not ready while the snapshot is under way" 503 "$(code /readyz)"
equals "but alive" 200 "$(code /healthz)"
check "the page says that the snapshot is under way" grep -qE 'Taking the snapshot|Connecting' <(get /)
wait "$LOAD_PID"
LOAD_PID=
caught_up
wait_for 10 "it to be ready" is_code /readyz 200
ok "ready once it streams"

source_script <<'SQL'
INSERT INTO note (text) SELECT 'sesame street ' || i FROM generate_series(1, 500) i;
INSERT INTO note (text) VALUES ('sesame bad');
INSERT INTO note (text, parent) VALUES ('sesame child', 999999);
SQL
caught_up
wait_for 15 "the quarantine to be counted" metric_is 'pgrekey_quarantine_rows{rule="note->notes",category="validation_failure"}' "== 1"
ok "a row in quarantine is counted by rule and category"
check "one that waits for a parent apart" metric_is pgrekey_parked_rows "== 1"
check "lag in seconds" metric_is pgrekey_lag_seconds "< 2"
check "lag in bytes" metric_is pgrekey_lag_bytes "< 100000"
check "heartbeats come through" metric_is pgrekey_heartbeat_latency_seconds_count "> 0"
check "rows by rule" metric_is 'pgrekey_rule_applied_rows_total{rule="note->notes",source="public.note",target="public.notes"}' ">= 500"
check "latencies as a histogram" metric_is 'pgrekey_end_to_end_latency_seconds_bucket{le="+Inf"}' ">= 3"
check "the slot" metric_is pgrekey_slot_active "== 1"
if command -v promtool >/dev/null; then
    check "promtool likes the metrics" promtool check metrics < <(get /metrics)
fi
check "JSON" python3 -c 'import json, sys; assert json.load(sys.stdin)["lag"]["seconds"] < 2' < <(get /status.json)

equals "no other method" 405 "$(code / -X POST)"
equals "no other path" 404 "$(code /etc/passwd)"
check "style and script are its own" test "$(code /page.css)$(code /page.js)" = 200200
equals "nothing is fetched from elsewhere" "" "$(get / | grep -oE '(src|href)="[^/d"][^"]*"' || true)"
check "a policy forbids it, too" grep -q "default-src 'none'" <(curl -si "$base/")
for path in / /metrics /status.json /healthz /readyz; do get "$path"; done >"$T/faces"
equals "no face holds a value" 0 "$(grep -c sesame "$T/faces" || true)"

# The target is gone: the page stays, and the lag grows.
cluster_stop "$T/target"
source_sql "INSERT INTO note (text) SELECT 'sesame ' || i FROM generate_series(1, 1000) i"
wait_for 15 "it to say that the target is gone" is_code /readyz 503
ok "not ready without its target"
wait_for 15 "the lag to grow" metric_is pgrekey_lag_seconds "> 3"
ok "the lag grows while the target is gone"
check "and so do the bytes" metric_is pgrekey_lag_bytes "> 50000"
check "the page says so" grep -q "The target does not answer" <(get /)
cluster_start "$T/target"
caught_up 60
wait_for 20 "it to be ready again" is_code /readyz 200
ok "ready again"
check "events tell what was" grep -q reconnecting <(get /)

# Two on one address: the second one does without.
cp "$T/pgrekey.yaml" "$T/second.yaml"
"$PGREKEY" --config "$T/second.yaml" --set pipeline=other --set source.slot=other run --until-caught-up >"$T/second.log" 2>&1 || true
check "an address that is taken is a warning" grep -q "event=http_unavailable" "$T/second.log"
engine_stop
equals "it ends with code 0" 0 "$ENGINE_CODE"
test_end
