#!/usr/bin/env bash
# What a snapshot leaves free on the source: while it waits for the target, tables that it has read can be altered and
# truncated, and a TRUNCATE that waits for a lock on a table does not stop the snapshot for good.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE office (id int PRIMARY KEY);
CREATE TABLE person (id int PRIMARY KEY, office_id int NOT NULL);
INSERT INTO office SELECT generate_series(1, 100);
INSERT INTO person SELECT i, 1 + i % 100 FROM generate_series(1, 100) i;
SQL
target_script <<'SQL'
CREATE TABLE offices (id uuid PRIMARY KEY, legacy_id int NOT NULL);
CREATE TABLE people (id uuid PRIMARY KEY, legacy_id int NOT NULL, office_id uuid NOT NULL);
CREATE TABLE names (legacy_id int PRIMARY KEY);
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NEW; END $$;
CREATE TRIGGER wait BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION wait();
SQL
mapping_write <<'YAML'
rows:
  - {name: office, from: office, to: offices, truncate: rows, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id}}
  - {name: name, from: office, to: names, truncate: rows, key: {legacy_id: id}}
  - {name: person, from: person, to: people, truncate: rows, key: {id: {uuid: person, of: id}},
     columns: {legacy_id: id, office_id: {uuid: office, of: office_id, required: true}}}
YAML
settings_write "snapshot: {workers: 2}" "breaker: {window: 0}"
check "init" pgrekey init --quiet

# The second level cannot be written while somebody else holds this lock.
cluster_psql "$T/target" app -c "SELECT pg_advisory_lock(7), pg_sleep(600)" >/dev/null 2>&1 &
LOAD_PID=$!
locks() { target_sql "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND objsubid = 1 AND granted = $1"; }
is_locked() { [ "$(locks true)" -gt 0 ]; }
is_waiting() { [ "$(locks false)" -gt 0 ]; }
wait_for 20 "the lock" is_locked
engine_start
wait_for 30 "the second level" is_waiting
equals "the first level is there" 100 "$(target_sql "SELECT count(*) FROM offices")"
equals "no session of a snapshot holds a lock on what it has read" 0 "$(source_sql "
    SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.relation = 'office'::regclass AND a.application_name LIKE 'pgrekey%'")"
check "a table that was read can be altered" source_sql "SET lock_timeout = '3s'; ALTER TABLE office ADD extra int"
check "and truncated" source_sql "SET lock_timeout = '3s'; TRUNCATE office; INSERT INTO office VALUES (3)"
target_sql "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND granted" >/dev/null
wait "$LOAD_PID" 2>/dev/null || true
LOAD_PID=
caught_up
equals "what the source has now stands" "1 1 1" "$(target_sql "SELECT (SELECT count(*) FROM offices) || ' ' || (SELECT count(*) FROM names) || ' ' || (SELECT count(*) FROM people)")"
for rule in office:office name:office person:person; do accounts "accounts of ${rule%:*}" "${rule%:*}" "${rule#*:}"; done
engine_stop
test_end
