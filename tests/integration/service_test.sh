#!/usr/bin/env bash
# As a service: the unit is clean and hardened, systemd is told what it wants to know, SIGHUP reads again what may change,
# and the log can be JSON.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

# --- the unit
unit=$T/pgrekey.service
sed -e "s,^ExecStart=/usr/bin/pgrekey,ExecStart=$PGREKEY," -e '/^Documentation=/d' "$TOP/deploy/systemd/pgrekey.service" >"$unit"
if command -v systemd-analyze >/dev/null; then
    equals "systemd-analyze finds nothing in the unit" "" "$(systemd-analyze verify "$unit" 2>&1 | grep -v 'Failed to.*bus\|SO_PASS' || true)"
    exposure=$(systemd-analyze security --offline=true "$unit" 2>/dev/null | sed -n 's/.*exposure level for.*: \([0-9.]*\).*/\1/p')
    check "its exposure ($exposure) is under 3" awk "BEGIN {exit !(\"$exposure\" != \"\" && $exposure < 3)}"
else
    echo "systemd-analyze is not there: the unit is not verified"
fi
check "it does not restart on the breaker's exit code" grep -qE '^RestartPreventExitStatus=.*\b5\b' "$unit"

# --- what it tells systemd
source_start
target_start
source_sql "CREATE TABLE note (id serial PRIMARY KEY, text text)"
target_sql "CREATE TABLE notes (id uuid PRIMARY KEY, text text)"
mapping_write <<'YAML'
rows:
  - from: note
    to: notes
    key: {id: {uuid: note, of: id}}
    columns: {text: text}
YAML
settings_write "guard:" "  wal_budget: 100MB"
pgrekey init >/dev/null
cat >"$T/listen.py" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    with open(sys.argv[2], "ab") as out:
        out.write(s.recv(4096) + b"\n")
PY
python3 "$T/listen.py" "$T/notify" "$T/notified" &
LOAD_PID=$!
wait_for 10 "the socket" test -S "$T/notify"
export NOTIFY_SOCKET=$T/notify
engine_start
caught_up
told() { grep -q "$1" "$T/notified"; }
wait_for 10 "it to be ready" told '^READY=1'
wait_for 10 "the watchdog to be fed" told '^WATCHDOG=1'
wait_for 10 "a state for systemctl status" told '^STATUS=streaming, 0 s behind'
ok "systemd is told: ready, what it does, that it lives"

# --- SIGHUP
logged() { grep -q "$1" "$T/engine.log"; }
sed -i 's/wal_budget: 100MB/wal_budget: 1MB/' "$T/pgrekey.yaml"
printf 'log:\n  level: debug\nbatch:\n  max_rows: 77\n' >>"$T/pgrekey.yaml"
kill -HUP "$ENGINE_PID"
wait_for 10 "the settings to be read" logged "event=reloaded waiting=1"
ok "SIGHUP reads the settings again"
check "what waits for a restart is named" logged "event=reload_waits setting=batch.max_rows"
check "systemd is told" told '^RELOADING=1'
source_sql "INSERT INTO note (text) SELECT repeat('x', 1000) FROM generate_series(1, 3000)" >/dev/null
wait_for 20 "the guard to use the new budget" logged "event=guard .*limit_bytes=1048576"
ok "what changed takes effect"
caught_up
echo "nonsense: [" >>"$T/pgrekey.yaml"
kill -HUP "$ENGINE_PID"
wait_for 10 "a wrong file to be refused" logged "event=reload_failed"
ok "a file that is wrong changes nothing"
sed -i '$d' "$T/pgrekey.yaml"
engine_stop
equals "it ends with code 0" 0 "$ENGINE_CODE"
check "and systemd knew" told '^STOPPING=1'
unset NOTIFY_SOCKET

# --- JSON
: >"$T/engine.log"
"$PGREKEY" --config "$T/pgrekey.yaml" --set log.format=json run --until-caught-up 2>"$T/json.log"
check "each line of the log is an object" python3 - "$T/json.log" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert any(line["event"] == "streaming" and line["slot"] == "pgrekey" for line in lines), lines
PY
test_end
