#!/usr/bin/env bash
# Pauses: the breaker opens where the mapping or the target is wrong, the process stays, the position too; resume goes
# on, a one-shot run ends with a code of its own. And a pause inside a transaction that is half on the target.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL, t text, spare int);
INSERT INTO plain SELECT i, i, 't' || i FROM generate_series(1, 2000) i;
SQL
target_script <<'SQL'
CREATE TABLE plains (id int PRIMARY KEY, n int NOT NULL, t text, spare int);
SQL
mapping_write <<'YAML'
rows:
  - {name: plain, from: plain, to: plains, key: {id: id}, columns: {n: n, t: t, spare: spare}}
YAML
settings_write "batch:" "  max_rows: 500" "breaker:" "  window: 200" "  percent: 50"
check "init" pgrekey init --quiet

paused() { [ "$(target_sql "SELECT paused FROM pgrekey.pipeline")" = t ]; }
lsn() { target_sql "SELECT lsn FROM pgrekey.pipeline"; }
status_code() {
    local rc=0
    pgrekey status >"$T/status.log" 2>&1 || rc=$?
    echo "$rc"
}
# Starts the engine of a paused pipeline and waits until it says that it holds still: before that, a cut connection ends
# it (exit code 3) and nobody takes a resume.
pauses() { grep -c event=paused "$T/engine.log" || true; }
pauses_again() { [ "$(pauses)" -gt "$1" ]; }
engine_start_paused() {
    local before
    before=$(pauses)
    engine_start
    wait_for 30 "the pause after a start" pauses_again "$before"
}
compare() {
    same_rows "$1" "SELECT id, n, t FROM plain" "SELECT id, n, t FROM plains"
    accounts "$1: accounts" plain plain
}

engine_start
caught_up
compare "snapshot"

# --- the target is wrong: all rows of a transaction fail at its end

target_sql "ALTER TABLE plains ADD CONSTRAINT wrong CHECK (n < 10000)"
source_sql "UPDATE plain SET n = n + 1 WHERE id = 1"
caught_up
before=$(lsn)
source_sql "UPDATE plain SET n = n + 100000 WHERE id <= 1000"
wait_for 30 "the breaker" paused
equals "the position is held" "$before" "$(lsn)"
equals "nothing of the batch is in quarantine" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine")"
check "the process is alive" engine_is_alive
equals "status ends with 5" 5 "$(status_code)"
check "and says why" grep -q "breaker.*rule plain, validation_failure.*constraint wrong" "$T/status.log"
equals "the record names the breaker" breaker "$(target_sql "SELECT pause_category FROM pgrekey.pipeline")"
check "so does the log" grep -q "event=paused .*category=breaker" "$T/engine.log"
check "no transaction stays open on the target" test -z "$(target_sql "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pgrekey%' AND state LIKE 'idle in%'")"
sleep 1.5
equals "it stays so" "$before" "$(lsn)"

# Killed while paused it is paused afterwards; a one-shot run ends at once.
engine_kill
engine_start_paused
check "after a restart it is still paused" paused
equals "and holds its position" "$before" "$(lsn)"
engine_stop
equals "SIGTERM ends a paused engine with 0" 0 "$ENGINE_CODE"
rc=0
pgrekey run --until-caught-up >>"$T/engine.log" 2>&1 || rc=$?
equals "a one-shot run of a paused pipeline ends with 5" 5 "$rc"

# While it is paused the target goes away and comes back.
engine_start_paused
cut_connections target
sleep 1.5
check "a lost connection does not end the pause" paused
check "nor the process" engine_is_alive

# Mended, resumed: all of it.
target_sql "ALTER TABLE plains DROP CONSTRAINT wrong"
check "resume" pgrekey resume
caught_up
compare "resumed after mending"
equals "status is content" 0 "$(status_code)"
equals "nothing stands aside" 0 "$(target_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")"

# --- resumed without mending: the rows go to quarantine, more of them than the window holds

target_sql "ALTER TABLE plains ADD CONSTRAINT wrong CHECK (n < 500000)"
source_sql "UPDATE plain SET n = n + 1000000 WHERE id <= 1500"
wait_for 30 "the breaker again" paused
check "resume without mending" pgrekey resume
caught_up
equals "takes the rows into quarantine" 1500 "$(target_sql "SELECT quarantined FROM pgrekey.counter")"
accounts "resumed without mending: accounts" plain plain
source_sql "UPDATE plain SET n = n + 1 WHERE id BETWEEN 1600 AND 1700"
caught_up
equals "good rows go through" 101 "$(target_sql "SELECT count(*) FROM plains WHERE id BETWEEN 1600 AND 1700 AND n = id + 1")"
source_sql "UPDATE plain SET n = n + 1000000 WHERE id > 1700"
wait_for 30 "the breaker for the third time" paused
target_sql "ALTER TABLE plains DROP CONSTRAINT wrong"
check "resume" pgrekey resume
caught_up
check "retry of all" pgrekey quarantine retry --all
compare "mended and retried"

# --- a one-shot run: the last transaction opens it, and some transactions of good rows do not

engine_stop
target_sql "ALTER TABLE plains ADD CONSTRAINT wrong CHECK (n > 0)"
source_sql "UPDATE plain SET t = t || '!'"
check "a one-shot run of good rows ends with 0" pgrekey run --until-caught-up --quiet
source_sql "UPDATE plain SET n = -n WHERE id <= 400"
rc=0
pgrekey run --until-caught-up >>"$T/engine.log" 2>&1 || rc=$?
equals "a one-shot run that the breaker stops ends with 5" 5 "$rc"
equals "what came before is there" 2000 "$(target_sql "SELECT count(*) FROM plains WHERE t LIKE '%!'")"
check "it is paused" paused
target_sql "ALTER TABLE plains DROP CONSTRAINT wrong"
engine_start_paused
check "resume" pgrekey resume
caught_up
compare "after the one-shot run"

# --- a pause inside a transaction of which pieces are on the target

before=$(lsn)
source_sql "BEGIN; UPDATE plain SET n = abs(n) + 1; ALTER TABLE plain DROP COLUMN spare; UPDATE plain SET n = n + 1; COMMIT"
wait_for 30 "the pause for a dropped column" paused
equals "its category" schema_mismatch "$(target_sql "SELECT pause_category FROM pgrekey.pipeline")"
equals "nothing of the transaction is seen" 0 "$(target_sql "SELECT count(*) FROM plains p JOIN pgrekey.pipeline ON true WHERE n = id + 2 AND id BETWEEN 1 AND 100")"
sleep 1
check "no transaction stays open on the target" test -z "$(target_sql "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pgrekey%' AND state LIKE 'idle in%'")"
check "the pause is seen by others" paused
source_sql "ALTER TABLE plain ADD COLUMN spare int"
check "resume when the column is back" pgrekey resume
caught_up
compare "after a pause inside a transaction"

engine_stop
equals "SIGTERM ends it with code 0" 0 "$ENGINE_CODE"
test_end
