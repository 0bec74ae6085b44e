#!/usr/bin/env bash
# Webhooks: the breaker, a target out of reach and the end are told, signed, tried again where the receiver fails, and
# told to be over. The checks for Nagios say the same.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

notes_estate 50 sesame
port=$(cluster_free_port)
echo opensesame >"$T/secret"
settings_write "webhook:" "  url: http://127.0.0.1:$port/hook?token=topsecret" "  secret_file: secret" "  after: 2s" \
    "  lag: 4s" "breaker:" "  window: 20"
http_port=$(cluster_free_port)
export PGREKEY_HTTP_LISTEN=127.0.0.1:$http_port
: >"$T/hooks"
python3 "$TOP/tests/support/webhook_receiver.py" "$port" opensesame "$T/hooks" 2 2>"$T/receiver.log" &
LOAD_PID=$!

told() { grep -q "\"event\":\"$1\",\"state\":\"$2\"" "$T/hooks"; }
nagios() {
    local rc=0
    pgrekey status --check "$@" >"$T/nagios" 2>&1 || rc=$?
    echo "$rc"
}

pgrekey init >/dev/null
engine_start
caught_up
wait_for 20 "the first message, which the receiver refused twice" told ended resolved
ok "a refused message is sent again"
check "and the log says why" grep -q "event=webhook_failed about=ended .*it answered 503" "$T/engine.log"
is_content() { [ "$(nagios)" = 0 ]; }
wait_for 10 "a check to be content" is_content
ok "a check is content: $(cat "$T/nagios")"

target_sql "ALTER TABLE notes ADD CHECK (text NOT LIKE 'bad%') NOT VALID"
source_sql "INSERT INTO note (text) SELECT 'bad sesame ' || i FROM generate_series(1, 100) i"
wait_for 20 "the breaker to be told" told paused firing
ok "the breaker is told"
equals "a check is critical" 2 "$(nagios)"
target_sql "ALTER TABLE notes DROP CONSTRAINT notes_text_check"
pgrekey resume >/dev/null
wait_for 20 "its end to be told" told paused resolved
ok "and that it is over"
caught_up

cluster_stop "$T/target"
source_sql "INSERT INTO note (text) VALUES ('sesame')"
wait_for 30 "the target to be missed" told servers firing
ok "a target out of reach is told"
wait_for 30 "the lag to be told" told lag firing
ok "and the lag that grows meanwhile"
equals "a check does not know" 3 "$(nagios)"
check "but status has it from the engine" grep -q "the target does not answer" <(pgrekey status || true)
cluster_start "$T/target"
caught_up
wait_for 30 "the ends to be told" told servers resolved
wait_for 30 "the ends to be told" told lag resolved
ok "both are over"
equals "no message holds a value" 0 "$(grep -c sesame "$T/hooks" || true)"
equals "the log holds neither the token nor the secret" 0 "$(grep -cE 'topsecret|opensesame' "$T/engine.log" || true)"

source_sql "SELECT pg_terminate_backend(active_pid), pg_sleep(0.2) FROM pg_replication_slots WHERE active" >/dev/null
engine_stop
equals "it ends with code 0" 0 "$ENGINE_CODE"
pgrekey_fails "a secret that is not there is refused" 2 "secret_file" run --set webhook.secret_file=nowhere
pgrekey_fails "so is an address that is none" 2 "webhook.url" run --set webhook.url=example.org
test_end
