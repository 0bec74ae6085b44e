#!/usr/bin/env bash
# The chapters "Installing", "Upgrading" and "A lost slot" of docs/operations.md, followed to the letter by a new operator
# on a copy of this machine: from the tree to a service that streams, upgraded under load, and brought back after its slot
# was lost. `tests/run soak` builds a release first, as the chapter says; else what is built already is installed.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"
# shellcheck source=tests/support/follow.sh
. "$TOP/tests/support/follow.sh"

if ! follow_start; then
    echo "this machine lets nobody mount an overlay"
    exit 77
fi
source_start
target_start
source_sql "CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL); INSERT INTO note (text) SELECT 'note ' || i FROM generate_series(1, 1000) i"
target_sql "CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, text text NOT NULL)"
mapping_write <<'YAML'
rows:
  - {from: note, to: notes, key: {id: {uuid: note, of: id}}, columns: {legacy_id: id, text: text}}
YAML
by_network() { echo "host=127.0.0.1 port=$(cat "$T/$1/port") dbname=$2 user=$3"; }
admin() { echo "$(by_network "$1" "$2" postgres) password=$(cat "$T/$1/password")"; }
# followed NAME: standard input, with what stands between … put in.
followed() {
    local name=$1
    sed -e "s|…an administrator of the source…|$(admin source legacy)|" \
        -e "s|…an administrator of the target…|$(admin target app)|" \
        -e "s|^…install the new one…|$install|" -e "s|^…empty.*|psql -qd \"$(admin target app)\" -c 'TRUNCATE notes'|" \
        -e "s|status --watch|status|; s|^cmake -S .*|$build|; s|^cmake --build .*|$install|" \
        -e "s|^\(pgrekey .*\)|sudo -u pgrekey env HOME=/ bash -c '\1'|" -e "s| && sudo systemctl|' \&\& sudo systemctl|; /&& sudo/s|'\$||" >"$T/follow/script"
    if follow_run <"$T/follow/script" >"$T/follow.log" 2>&1; then
        ok "$name"
    else
        not_ok "$name"
        sed 's/^/    /' "$T/follow/script"
        tail -n 8 "$T/follow.log" | sed 's/^/    /'
    fi
}
build=":"
install="cmake --install $PGREKEY_BUILD --prefix /usr"
if [ "$PGREKEY_KILLS" -ge 100 ]; then
    build=$(block Installing 1 | grep '^cmake -S')
    install="cmake --build build/release \&\& sudo cmake --install build/release"
fi
streams() { [ "$(target_sql "SELECT state FROM pgrekey.pipeline")" = streaming ]; }
equal() { same_rows "$1" "SELECT id, text FROM note" "SELECT legacy_id, text FROM notes"; }

# --- Installing
followed "installed from the tree" < <(block Installing 1 | grep -v '^deploy/install-deps')
check "with manual and completion" follow_run "test -x /usr/bin/pgrekey -a -s /usr/share/man/man1/pgrekey.1 -a -s /usr/share/bash-completion/completions/pgrekey"
(umask 077 && echo s3cret | tee "$T/follow/source-password" >"$T/follow/target-password")
cp "$T/mapping.yaml" "$T/follow/"
followed "mapping and passwords are put in place" < <(block Installing 2 | sed "1i cd $T/follow")
follow_run "sed -i -e 's|host=legacy.example .*\"|$(by_network source legacy pgrekey)\"|; s|host=target.example .*\"|$(by_network target app pgrekey)\"|' \
    -e '0,/# password_file:/s|# password_file:|password_file: source-password|; s|# password_file:|password_file: target-password|' \
    -e 's|# listen: .*|listen: \"off\"|' /etc/pgrekey/pgrekey.yaml"
followed "mapping, roles and schema" < <(block Installing 3 | grep -v '^pgrekey check')
source_sql "ALTER ROLE pgrekey PASSWORD 's3cret'"
target_sql "ALTER ROLE pgrekey PASSWORD 's3cret'"
followed "check is content" < <(block Installing 3 | grep '^pgrekey check')
followed "the service is started" < <(block Installing 4)
follow_service
wait_for 20 "the stream" streams
caught_up
equal "and streams"
# shellcheck disable=SC2016 # there
equals "by an ordinary user" pgrekey "$(follow_run 'ps -o user= $(cat /run/pgrekey.pid)')"
check "nobody else may read its passwords" follow_run '! runuser -u nobody -- cat /etc/pgrekey/pgrekey.yaml 2>/dev/null'

# --- Upgrading
cat >"$T/load.sql" <<'SQL'
INSERT INTO note (text) VALUES ('x');
UPDATE note SET text = text || '.' WHERE id = 1 + (random() * 900)::int;
SQL
pgbench -n -T 6 -R 50 -f "$T/load.sql" "$(cluster_conninfo "$T/source" legacy)" >"$T/load.out" 2>&1 &
load=$!
sleep 1
followed "upgraded under load" < <(block Upgrading 1)
follow_service
wait "$load"
caught_up
equal "without a gap"
equals "the account is whole" "$(source_sql "SELECT count(*) FROM note")" "$(target_sql "SELECT mapped + quarantined + excluded FROM pgrekey.counter WHERE rule = 'note->notes'")"

# --- A lost slot
source_sql "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active" >/dev/null
wait_for 10 "the slot to be dropped" source_sql "SELECT pg_drop_replication_slot('pgrekey')"
source_sql "INSERT INTO note (text) VALUES ('of no slot')"
wait_for 20 "the engine to see it" follow_run "! sudo -u pgrekey pgrekey status -q >/dev/null 2>&1"
followed "brought back after its slot was lost" < <(block "A lost slot" 1 | sed 's/pgrekey drop/pgrekey drop --yes/')
follow_service
wait_for 20 "the stream" streams
caught_up
equal "and streams again"
follow_run "sudo systemctl disable --now pgrekey"
test_end
