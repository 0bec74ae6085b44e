# shellcheck shell=bash
# Peak resident memory of the engine with one source transaction of 1,000,000 and one of 10,000,000 row changes: 70 %
# inserts, 20 % updates, 10 % deletes, of rows of the same transaction and of older ones, with one row that cannot be
# mapped and one that the target refuses. A peak is read from /proc/PID/status of a freshly started engine.
#
# While the large one is applied the target is blocked for a while by a lock: status messages must go on.

SMALL=${PGREKEY_BENCH_SMALL:-1000000}
LARGE=${PGREKEY_BENCH_LARGE:-10000000}
OLD_ROWS=100000

memory_tables() {
    source_script <<SQL
CREATE TABLE big (id int PRIMARY KEY, name text NOT NULL, amount numeric(12,2) NOT NULL, data text NOT NULL, note text);
INSERT INTO big SELECT i, 'old ' || i, i, '{"a": 1}' FROM generate_series(1, $OLD_ROWS) i;
-- Each piece: 7 inserts, 2 updates (one of an older row), 1 delete; all pieces in the caller's transaction.
CREATE PROCEDURE workload(first int, changes int) LANGUAGE plpgsql AS \$\$
DECLARE
    step int := 10000;
BEGIN
    FOR p IN 0 .. changes / step - 1 LOOP
        INSERT INTO big SELECT first + p * 7000 + i, 'Row number ' || i || ' of piece ' || p, i / 3.0, '{"piece": ' || p || '}',
                'a note that makes the row about as long as rows are'
            FROM generate_series(0, 6999) i;
        UPDATE big SET amount = amount + 1 WHERE id BETWEEN first + p * 7000 AND first + p * 7000 + 999;
        UPDATE big SET amount = amount + 1 WHERE id BETWEEN 1 + p * 1000 % $OLD_ROWS AND 1000 + p * 1000 % $OLD_ROWS;
        DELETE FROM big WHERE id BETWEEN first + p * 7000 + 1000 AND first + p * 7000 + 1999;
        IF p = changes / step / 2 THEN
            UPDATE big SET data = '{"cut' WHERE id = first + p * 7000 + 5000;
            UPDATE big SET amount = -1 WHERE id = first + p * 7000 + 5001;
        END IF;
    END LOOP;
END \$\$;
SQL
    ours_sql "CREATE TABLE big (id uuid PRIMARY KEY, legacy_id int NOT NULL, name text NOT NULL,
                                amount numeric(12,2) NOT NULL CHECK (amount >= 0), data jsonb NOT NULL, note text)"
    cat >"$B/mapping.yaml" <<YAML
namespace: $NAMESPACE
rows:
  - from: big
    to: big
    key: {id: {uuid: big, of: id}}
    columns: {legacy_id: id, name: name, amount: amount, data: {from: data, apply: [json_object], on_error: quarantine}, note: note}
YAML
}
# Holds the engine's session on the target still for 20 s, and prints the age of the oldest status message seen since
# the third of them: the source's walsender must go on hearing from the engine.
block_target() {
    local pid age worst=0 each
    sleep 5
    pid=$(ours_sql "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgrekey%'
                    ORDER BY xact_start NULLS LAST LIMIT 1")
    kill -STOP "$pid"
    for each in $(seq 1 20); do
        sleep 1
        [ "$each" -ge 3 ] || continue
        age=$(source_sql "SELECT max(round(extract(epoch FROM clock_timestamp() - reply_time)::numeric, 1))
                          FROM pg_stat_replication WHERE application_name LIKE 'pgrekey%'")
        worst=$(printf '%s\n%s\n' "$worst" "${age:-999}" | sort -n | tail -n 1)
    done
    kill -CONT "$pid"
    echo "$worst" >"$B/status_age"
}

# memory_run FIRST CHANGES [block]: sets PEAK to the engine's peak in MiB.
memory_run() {
    local first=$1 changes=$2 begun=$SECONDS lsn
    source_sql "CALL workload($first, $changes)"
    lsn=$(source_sql "SELECT pg_current_wal_lsn()")
    echo "$changes changes in one transaction, made in $((SECONDS - begun)) s"
    settle
    begun=$SECONDS
    engine_start
    [ "${3:-}" != block ] || block_target
    "$PROBE" wait "$(cluster_conninfo "$B/target" ours)" "SELECT lsn >= '$lsn' FROM pgrekey.pipeline" 3600 >/dev/null
    PEAK=$(awk '/^VmHWM:/ {printf "%.1f", $2 / 1024}' "/proc/$ENGINE_PID/status")
    engine_stop
    echo "applied in $((SECONDS - begun)) s, peak $PEAK MiB"
}

# Both refused rows stand aside, and all others are equal.
memory_verify() {
    local aside want have
    aside=$(ours_sql "SELECT string_agg(key::jsonb ->> 0, ',') FROM pgrekey.quarantine WHERE status <> 'resolved'")
    want=$(source_sql "SELECT count(*), sum(amount), sum(hashtext(name || (data::jsonb)::text)) FROM big WHERE id NOT IN ($aside)")
    have=$(ours_sql "SELECT count(*), sum(amount), sum(hashtext(name || data::text)) FROM big WHERE legacy_id NOT IN ($aside)")
    echo "quarantined: $(ours_sql "SELECT string_agg(category, ', ' ORDER BY id) FROM pgrekey.quarantine WHERE status <> 'resolved'")"
    if [ "$want" != "$have" ]; then
        printf 'the sides differ\nsource: %s\nours:   %s\n' "$want" "$have" >&2
        return 1
    fi
}

bench_memory() {
    local small large age
    memory_tables
    settings_write
    engine_prepare
    memory_run 1000000 "$SMALL"
    small=$PEAK
    memory_verify
    memory_run 100000000 "$LARGE" block
    large=$PEAK
    memory_verify
    age=$(cat "$B/status_age")
    echo "oldest status message while the target was blocked for 20 s: $age s"
    awk -v a="$small" -v b="$large" -v age="$age" 'BEGIN {
        d = a > b ? a - b : b - a
        printf "under 64 MiB: %s; within 8 MiB of each other: %s; status messages went on: %s\n",
            (a < 64 && b < 64) ? "yes" : "NO", d <= 8 ? "yes" : "NO", age < 5 ? "yes" : "NO" }'
    echo "peak_mib_1m: $small"
    echo "peak_mib: $(printf '%s\n%s\n' "$small" "$large" | sort -n | tail -n 1)"
}
