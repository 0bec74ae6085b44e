#!/usr/bin/env bash
# The program as a tool among others: help, manual and completion agree with the commands; what is meant for machines
# parses; settings come from file, environment and command line in that order of strength; passwords from files.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_sql "CREATE TABLE office (id int PRIMARY KEY, name text); INSERT INTO office SELECT i, 'Office ' || i FROM generate_series(1, 20) i"
target_sql "CREATE TABLE offices (id int PRIMARY KEY, title varchar(20))"
mapping_write <<'YAML'
rows:
  - {name: office, from: office, to: offices, key: {id: id}, columns: {title: name}}
YAML
settings_write

# Runs the program without a settings file of its own; output and exit code in $T/out and CODE.
bare() {
    CODE=0
    (cd "$T/empty" && "$PGREKEY" "$@") >"$T/out" 2>"$T/err" </dev/null || CODE=$?
}
mkdir -p "$T/empty"
is_json() { python3 -c 'import json, sys; json.load(sys.stdin)' <"$1" 2>/dev/null; }
# json NAME CODE ARGUMENTS…: stdout is one JSON text, and the exit code is this.
json() {
    local name=$1 code=$2 rc=0
    shift 2
    pgrekey "$@" --json >"$T/out" 2>"$T/err" </dev/null || rc=$?
    if [ "$rc" -eq "$code" ] && is_json "$T/out"; then
        ok "$name"
    else
        not_ok "$name"
        echo "    exit code $rc, expected $code; stdout begins: $(head -c 200 "$T/out")"
    fi
}
# field EXPRESSION: of the last JSON, in Python.
field() { python3 -c "import json; d = json.load(open('$T/out')); print($1)"; }

# --- help, manual, completion

COMMANDS=("run" "check" "init" "status" "resume" "quarantine list" "quarantine show" "quarantine retry" "quarantine discard"
    "map check" "map test" "drop" "settings" "completion" "man" "help" "version")
bare
equals "without a command: help and the code of a usage error" "2 0" "$CODE $(wc -c <"$T/out")"
bare --help
cp "$T/out" "$T/overview"
bare man
cp "$T/out" "$T/manual"
sed 's/\\-/-/g' "$T/manual" >"$T/manual.plain"
missing=
for each in "${COMMANDS[@]}"; do
    read -ra words <<<"$each"
    bare "${words[@]}" --help
    { [ "$CODE" -eq 0 ] && grep -q "^usage: pgrekey $each" "$T/out" && cp "$T/out" "$T/one"; } || missing+=" $each --help,"
    bare help "${words[@]}"
    cmp -s "$T/out" "$T/one" || missing+=" help $each,"
    grep -q "^  $each " "$T/overview" || missing+=" overview of $each,"
    grep -qF ".SS \"pgrekey $each" "$T/manual" || missing+=" manual of $each,"
    while IFS= read -r option; do
        grep -qF -- "$option" "$T/manual.plain" || missing+=" manual of $option,"
    done < <(grep -oE -- '--[a-z][a-z-]+' "$T/one" | sort -u)
done
equals "each command has help, and a place in overview and manual" "" "$missing"
equals "nobody has to scroll sideways" 0 "$(awk 'length($0) > 110' "$T/overview" "$T/one" | wc -l)"
if command -v groff >/dev/null; then
    equals "the manual is clean roff" "" "$(groff -man -ww -Tutf8 "$T/manual" 2>&1 >/dev/null | head -n 3)"
fi
bare version
check "version" grep -qE '^pgrekey [0-9]+\.[0-9]+' "$T/out"
bare --version
check "--version" grep -qE '^pgrekey [0-9]+\.[0-9]+' "$T/out"

bare completion bash
cp "$T/out" "$T/completion.bash"
# offers LINE: what bash offers for the last word of the line.
offers() {
    bash -c 'source "$1"; read -ra COMP_WORDS <<<"$2"; [[ $2 == *" " ]] && COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _pgrekey; printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd " "' _ "$T/completion.bash" "$1"
}
equals "bash completes commands" "quarantine" "$(offers 'pgrekey qua')"
equals "and their second words" "discard list retry show" "$(offers 'pgrekey quarantine ')"
equals "and their options" "--until --until-caught-up" "$(offers 'pgrekey run --unt')"
equals "and what options take" "escalated" "$(offers 'pgrekey quarantine list --status esc')"
equals "behind options with values too" "status" "$(offers 'pgrekey --config x stat')"
equals "and settings" "batch.max_bytes= batch.max_rows=" "$(offers 'pgrekey run --set batch.')"
if command -v zsh >/dev/null; then
    bare completion zsh
    check "zsh takes its completion" zsh -n "$T/out"
fi
bare completion fish
equals "another shell is refused" 2 "$CODE"

# --- usage errors

bare ru
equals "an unknown command" 2 "$CODE"
check "is answered by the nearest" grep -q 'did you mean pgrekey run' "$T/err"
bare run --until-cought-up
equals "an unknown option" 2 "$CODE"
check "is answered too" grep -q 'did you mean --until-caught-up' "$T/err"
bare run --deep
check "an option of another command" grep -q 'run has no option --deep' "$T/err"
bare run --until nonsense
check "a wrong LSN" grep -q 'wants a position such as' "$T/err"
bare quarantine list --category nonsense
check "a wrong word" grep -q 'wants one of email_conflict' "$T/err"
bare quarantine list --limit 0
equals "a wrong number" 2 "$CODE"
bare quarantine
check "half a command" grep -q 'one more word' "$T/err"
bare status surplus
check "a word too many" grep -q 'surplus' "$T/err"

# --- machines

json "check before init" 6 check
equals "the finding carries its remedy" "run: pgrekey init" "$(field "[f['remedy'] for f in d['findings'] if f['code'] == 'schema'][0]")"
json "status before init" 6 status
pgrekey init >/dev/null
json "check" 0 check
equals "check: ok" True "$(field "d['ok']")"
json "status of a new pipeline" 0 status
equals "status: new" "new" "$(field "d['state']")"
json "map check" 0 map check
equals "map check: both sides" "True True 1" "$(field "d['checked_source'], d['checked_target'], d['rules']" | tr -d '(),')"
json "map check without servers" 0 map check --offline
json "version as JSON" 0 version
json "an error as JSON" 2 status --set batch.max_rows=x
equals "the error has its class" config "$(field "d['error']['class']")"
json "a usage error as JSON" 2 run --nonsense
json "an unreachable server as JSON" 3 check --set source.dsn=host=/nonexistent
check "a one-shot run ends" pgrekey run --until-caught-up
same_rows "a one-shot run" "SELECT * FROM office" "SELECT * FROM offices"
source_sql "INSERT INTO office VALUES (100, 'the marker in a name of too many characters'), (101, 'fits')"
check "run --until-caught-up leaves a bad row aside" pgrekey run --until-caught-up
json "status with a row in quarantine" 6 status
equals "status: open rows" 1 "$(field "d['quarantine']['open']")"
json "quarantine list" 0 quarantine list
equals "quarantine list: the rule" office "$(field "(d['entries'] if isinstance(d, dict) else d)[0]['rule']")"
check "without values" test -z "$(grep -F 'the marker' "$T/out" || true)"
json "quarantine show" 0 quarantine show 1
check "quarantine show: values" grep -qF 'the marker' "$T/out"
json "retry without an engine" 3 quarantine retry --all --wait 1s
json "resume where nothing is paused" 0 resume --wait 1s
bare settings
check "settings lists all with their environment" grep -q PGREKEY_BATCH_MAX_ROWS "$T/out"

# --- until here

until=$(source_sql "INSERT INTO office VALUES (102, 'until here') RETURNING pg_current_wal_insert_lsn()")
until=$(source_sql "SELECT pg_logical_emit_message(true, 'pgrekey-test', '')")
source_sql "INSERT INTO office VALUES (103, 'perhaps not')"
check "run --until LSN ends" pgrekey run --until "$until"
equals "and has come that far" t "$(target_sql "SELECT lsn >= '$until' FROM pgrekey.pipeline")"
equals "what lies before is there" 1 "$(target_sql "SELECT count(*) FROM offices WHERE id = 102")"
check "run --until a position that is passed ends at once" pgrekey run --until 0/1

# --- where settings come from

bare settings --example
cp "$T/out" "$T/example.yaml"
pgrekey_fails "the example file is a settings file" 0 ': fine, 1 rule' --config "$T/example.yaml" map check --offline
cd "$T"
CODE=0
"$PGREKEY" map check --offline >"$T/out" 2>&1 || CODE=$?
cd "$TOP"
equals "./pgrekey.yaml is read" 0 "$CODE"
# state NAME=VALUE… -- ARGUMENTS…: the code of a status, with this environment and no file.
with_environment() {
    local name=$1 code=$2
    shift 2
    CODE=0
    (cd "$T/empty" && env "$@") >"$T/out" 2>"$T/err" </dev/null || CODE=$?
    equals "$name" "$code" "$CODE"
}
source_dsn=$(cluster_conninfo "$T/source" legacy)
target_dsn=$(cluster_conninfo "$T/target" app)
with_environment "the environment alone is enough" 0 PGREKEY_SOURCE_DSN="$source_dsn" PGREKEY_TARGET_DSN="$target_dsn" \
    PGREKEY_MAPPING="$T/mapping.yaml" "$PGREKEY" run --until-caught-up
with_environment "PGREKEY_CONFIG names the file" 6 PGREKEY_CONFIG="$T/pgrekey.yaml" "$PGREKEY" status
with_environment "the environment wins over the file" 3 PGREKEY_CONFIG="$T/pgrekey.yaml" PGREKEY_TARGET_DSN=host=/nonexistent "$PGREKEY" status
with_environment "the command line wins over the environment" 6 PGREKEY_CONFIG="$T/pgrekey.yaml" PGREKEY_TARGET_DSN=host=/nonexistent \
    "$PGREKEY" status --set "target.dsn=$target_dsn"
with_environment "a wrong value in the environment" 2 PGREKEY_CONFIG="$T/pgrekey.yaml" PGREKEY_BATCH_MAX_ROWS=many "$PGREKEY" status
check "names the variable" grep -q PGREKEY_BATCH_MAX_ROWS "$T/err"
with_environment "a misspelt variable is no error" 6 PGREKEY_CONFIG="$T/pgrekey.yaml" PGREKEY_SOURCE_DNS=x "$PGREKEY" status
check "but it is warned of" grep -q 'PGREKEY_SOURCE_DNS' "$T/err"
printf 'source:\n  dsn: x\n  slto: y\n' >"$T/wrong.yaml"
pgrekey_fails "a misspelt setting has its place" 2 'wrong.yaml:3:3: unknown setting source.slto' --config "$T/wrong.yaml" status
printf 'source: [\n' >"$T/wrong.yaml"
pgrekey_fails "broken YAML has its place" 2 'wrong.yaml:[0-9]+:[0-9]+: no valid YAML' --config "$T/wrong.yaml" status

# --- passwords, by TCP

tcp="$(cluster_conninfo_tcp "$T/source" legacy)"
cp "$T/source/password" "$T/source.password"
chmod 0600 "$T/source.password"
pgrekey_fails "a password is wanted" 2 '28P01|password' status --set "source.dsn=$tcp"
pgrekey_fails "a password file is read" 6 'quarantine' status --set "source.dsn=$tcp" --set "source.password_file=$T/source.password"
echo "not the password" >"$T/wrong.password"
pgrekey_fails "a wrong password" 2 'password authentication failed|28P01' status --set "source.dsn=$tcp" --set "source.password_file=$T/wrong.password"
check "is not repeated" test -z "$(grep -F 'not the password' "$T/fails.log" || true)"
pgrekey_fails "a password file that is not there" 2 'nowhere' status --set "source.dsn=$tcp" --set "source.password_file=$T/nowhere"
check "a run with the password file" pgrekey run --until-caught-up --set "source.dsn=$tcp" --set "source.password_file=$T/source.password"

# --- pipes and signals

CODE=0
{ pgrekey settings || CODE=$?; echo "$CODE" >"$T/code"; } | head -n 1 >/dev/null
equals "a reader that leaves early is no failure" 0 "$(cat "$T/code")"
CODE=0
pgrekey settings >/dev/full 2>/dev/null || CODE=$?
equals "a full disk is one" 1 "$CODE"
pgrekey status -q >"$T/out" 2>&1 || true
check "no colours where there is no terminal" test -z "$(grep -F "$(printf '\033')" "$T/out" || true)"
engine_start
caught_up
kill -INT "$ENGINE_PID"
engine_wait
equals "SIGINT ends the engine like SIGTERM" 0 "$ENGINE_CODE"
check "its log is lines of key=value" test -z "$(grep '^ts=' "$T/engine.log" | grep -vE '^ts=[^ ]+ level=[a-z]+ event=[a-z_]+( [a-z_]+=("[^"]*"|[^ ]*))*$' || true)"
pgrekey run -q --until-caught-up >"$T/out" 2>&1
equals "--quiet says nothing where all is well" 0 "$(wc -c <"$T/out")"
test_end
