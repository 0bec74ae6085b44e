#!/usr/bin/env bash
# Chapters of docs/operations.md, followed with servers that fail over: the target to its standby, the target to an older
# backup, the source to its standby, the source's disk that fills, and cut-over day. With tests/run soak, or where
# PGREKEY_FAILOVER is set.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

if [ -z "${PGREKEY_FAILOVER:-}" ] && [ "$PGREKEY_KILLS" -lt 100 ]; then
    echo "followed by tests/run soak, or with PGREKEY_FAILOVER=1"
    exit 77
fi
source_start
target_start
source_sql "CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL); INSERT INTO note (text) SELECT 'note ' || i FROM generate_series(1, 500) i"
target_sql "CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, text text NOT NULL)"
mapping_write <<'YAML'
rows:
  - {from: note, to: notes, key: {id: {uuid: note, of: id}}, columns: {legacy_id: id, text: text}}
YAML
settings_write
port=$(cluster_free_port)
export PGREKEY_HTTP_LISTEN=127.0.0.1:$port
add() { source_sql "INSERT INTO note (text) SELECT '$1' FROM generate_series(1, 20)"; }
equal() { same_rows "$1" "SELECT id, text FROM note" "SELECT legacy_id, text FROM notes"; }
is_over() { ! engine_is_alive || [ "$(target_sql "SELECT paused FROM pgrekey.pipeline")" = t ]; }

# standby SIDE: a standby of the server, in $T/SIDE.copy, that follows it.
standby() {
    cluster_backup "$T/$1" "$T/$1.copy"
    echo "primary_conninfo = '$(cluster_conninfo "$T/$1" postgres)'" | cluster_as tee -a "$T/$1.copy/data/postgresql.conf" >/dev/null
    cluster_as touch "$T/$1.copy/data/standby.signal"
    cluster_start "$T/$1.copy"
}
promote() { cluster_as "$CLUSTER_BIN/pg_ctl" -D "$1/data" -w -s promote >/dev/null; }
# instead SIDE: the copy takes the server's place, in the settings too.
copies=0
instead() {
    copies=$((copies + 1))
    cluster_stop "$T/$1" immediate
    cluster_stop "$T/$1.copy" # a server does not bear that its directory is moved
    mv "$T/$1" "$T/old$copies"
    mv "$T/$1.copy" "$T/$1"
    cluster_start "$T/$1"
    settings_write
}

pgrekey init >/dev/null
engine_start
caught_up

# --- A failover of the target: what its standby has got goes on without a gap
standby target
add "to the standby"
caught_up
replayed() { [ "$(target_sql "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()")" = 1 ]; }
wait_for 20 "the standby to have it" replayed
cluster_stop "$T/target" immediate
promote "$T/target.copy"
engine_stop
instead target
engine_start
add "after the failover"
caught_up 90
equal "the target's failover: nothing is missing"

# --- A target restored from a backup: refused, with the way out, which is followed
cluster_backup "$T/target" "$T/target.copy"
add "after the backup"
caught_up
slot_told() { [ "$(source_sql "SELECT confirmed_flush_lsn >= '$1' FROM pg_replication_slots")" = t ]; }
told=$(target_sql "SELECT lsn FROM pgrekey.pipeline")
wait_for 20 "the slot to be told" slot_told "$told"
engine_stop
instead target
pgrekey_fails "an older target is refused" 4 "lies behind slot" run --until-caught-up
pgrekey drop --yes >/dev/null
target_sql "TRUNCATE notes"
check "(check is content)" pgrekey check -q
engine_start
caught_up
equal "a target from a backup: begun anew"

# --- A failover of the source
standby source
cluster_stop "$T/source" immediate
promote "$T/source.copy"
instead source
engine_stop
engine_start
wait_for 60 "the engine to end, or to pause" is_over
ok "the source's failover: it goes no further"
if engine_is_alive; then engine_stop; else engine_wait; fi
pgrekey drop --yes >/dev/null
target_sql "TRUNCATE notes"
check "(check is content)" pgrekey check -q
engine_start
add "on the new source"
caught_up
equal "begun anew on the new source"

# --- A full disk on the source: the slot goes, the WAL with it
engine_stop
source_sql "CREATE TABLE other AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)" >/dev/null
wal_files() { source_sql "SELECT count(*) FROM pg_ls_waldir()"; }
before=$(wal_files)
pgrekey drop --yes --slot-only >/dev/null
source_sql "ALTER SYSTEM SET max_wal_size = '32MB'" && source_sql "SELECT pg_reload_conf()" >/dev/null
cluster_psql "$T/source" postgres -c CHECKPOINT
check "drop --slot-only and CHECKPOINT free the WAL ($before files, then $(wal_files))" test "$(wal_files)" -lt "$before"
pgrekey drop --yes >/dev/null
target_sql "TRUNCATE notes"
engine_start
caught_up
equal "and a new snapshot mends it"

# --- Cut-over day
check "nothing stands aside" test -z "$(pgrekey quarantine list --json | grep -o '"id"' || true)"
equals "nobody writes any more" 0 "$(source_sql "select count(*) from pg_stat_activity where state <> 'idle' and usename = 'legacy'")"
at_rest() { pgrekey status --check >"$T/nagios" 2>&1 && grep -q 'behind=0B' "$T/nagios"; }
wait_for 30 "all that was committed to be there" at_rest
ok "status --check says so: $(cat "$T/nagios")"
is_ready() { curl -sf "http://127.0.0.1:$port/readyz"; }
wait_for 10 "/readyz" is_ready
ok "and /readyz"
accounts "the account is whole" "note->notes" note
engine_stop
equals "the engine stops" 0 "$ENGINE_CODE"
check "drop takes the slot away" pgrekey drop --yes
equals "none is left" 0 "$(source_sql "SELECT count(*) FROM pg_replication_slots")"
test_end
