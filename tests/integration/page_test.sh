#!/usr/bin/env bash
# The status page in headless Chromium: it renews itself without errors and without asking anybody else, and its parts are
# named for a screen reader. PGREKEY_PICTURES=DIR keeps pictures, wide, narrow and dark.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

browser=$(command -v chromium-headless-shell || command -v chromium || true)
if [ -z "$browser" ]; then
    echo "there is no chromium (deploy/install-deps browser)"
    exit 77
fi

source_start
target_start
source_script <<'SQL'
CREATE TABLE office (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE person (id serial PRIMARY KEY, name text NOT NULL, office_id int);
CREATE TABLE visit (id serial PRIMARY KEY, person_id int, note text);
INSERT INTO office (name) SELECT 'Office ' || i FROM generate_series(1, 50) i;
INSERT INTO person (name, office_id) SELECT 'Person ' || i, 1 + i % 50 FROM generate_series(1, 2000) i;
INSERT INTO visit (person_id, note) SELECT 1 + i % 2000, 'sesame ' || i FROM generate_series(1, 5000) i;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int UNIQUE, name text CHECK (name <> 'bad'), office_id uuid REFERENCES offices);
CREATE TABLE visits (id uuid PRIMARY KEY, legacy_id int UNIQUE, person_id uuid NOT NULL REFERENCES people, note text);
SQL
mapping_write <<'YAML'
rows:
  - {from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id, name: name}}
  - from: person
    to: people
    key: {id: {uuid: person, of: id}}
    columns: {legacy_id: id, name: name, office_id: {uuid: office, of: office_id, required: false}}
  - from: visit
    to: visits
    key: {id: {uuid: visit, of: id}}
    columns: {legacy_id: id, person_id: {uuid: person, of: person_id}, note: note}
YAML
settings_write "guard:" "  wal_budget: 256MB"
port=$(cluster_free_port)
export PGREKEY_HTTP_LISTEN=127.0.0.1:$port
url=http://127.0.0.1:$port/
cat >"$T/load.sql" <<'SQL'
\set p random(1, 2000)
INSERT INTO visit (person_id, note) VALUES (:p, 'sesame');
UPDATE person SET name = name || '.' WHERE id = :p;
SQL

pgrekey init >/dev/null
engine_start
caught_up
source_sql "INSERT INTO person (name) VALUES ('bad'); INSERT INTO visit (person_id, note) SELECT 999999, 'x' FROM generate_series(1, 3)"
load_start 60 2 "$T/load.sql"
sleep 8
cluster_psql "$T/target" app -c "BEGIN; LOCK TABLE people; SELECT pg_sleep(9)" >/dev/null
sleep 12

# shown FILE ARGUMENTS…: what the browser makes of the page. Nothing but our own address exists for it.
shown() {
    local file=$1
    shift
    HOME=$T timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
        --user-data-dir="$T/browser" --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' \
        --virtual-time-budget=12000 --enable-logging=stderr --v=0 "$@" "$url" >"$file" 2>>"$T/browser.log"
}
shown "$T/dom" --dump-dom
check "the browser shows it" grep -q '<h1>pgrekey' "$T/dom"
for part in head figures plot stages slot quarantine events tables; do
    grep -q "data-part=\"$part\"" "$T/dom" || not_ok "it has its $part"
done
check "the plot has a line, and words for who cannot see it" grep -qE 'class="line" d="M.*' "$T/dom"
check "it is named" grep -q 'role="img" aria-labelledby="plot-title plot-words"' "$T/dom"
check "tables have heads that say what they head" test "$(grep -o 'scope="col"' "$T/dom" | wc -l)" -ge 12
equals "no script or style failed" 0 "$(grep -cE 'CONSOLE.*(Refused|Error|error)' "$T/browser.log" || true)"
equals "no value is on it" 0 "$(grep -c sesame "$T/dom" || true)"
shown /dev/null --screenshot="$T/wide.png" --window-size=1280,1480
shown /dev/null --screenshot="$T/narrow.png" --window-size=420,2250
shown /dev/null --screenshot="$T/dark.png" --window-size=1280,1480 --blink-settings=preferredColorScheme=0
for picture in wide narrow dark; do
    check "a picture of it, $picture" test "$(stat -c %s "$T/$picture.png")" -gt 20000
    [ -z "${PGREKEY_PICTURES:-}" ] || cp "$T/$picture.png" "$PGREKEY_PICTURES/status-page-$picture.png"
done
kill "$LOAD_PID" 2>/dev/null || true
engine_stop
test_end
