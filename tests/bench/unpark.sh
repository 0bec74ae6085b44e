# shellcheck shell=bash
# 100,000 children, then their 100,000 parents, each in transactions of 100; beside it the same rows in the right order.
# All children are parked before the first parent comes. Each phase runs from START_REPLICATION to its last transaction.

ROWS=${PGREKEY_BENCH_ROWS:-100000}

unpark_tables() {
    source_sql "DROP TABLE IF EXISTS parent, child; DROP PROCEDURE IF EXISTS workload;
        CREATE TABLE parent (id int PRIMARY KEY, name text NOT NULL, created timestamptz NOT NULL);
        CREATE TABLE child (id int PRIMARY KEY, parent_id int NOT NULL, title text NOT NULL, price numeric(12,2), note text)"
    source_script <<'SQL'
CREATE PROCEDURE workload(what text, rows int) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. rows / 100 - 1 LOOP
        IF what = 'parent' THEN
            INSERT INTO parent SELECT i, 'Parent number ' || i, timestamptz '2020-01-01 00:00+00' + i * interval '1 minute'
                FROM generate_series(t * 100 + 1, t * 100 + 100) i;
        ELSE
            -- the parents of one transaction lie scattered over all of them
            INSERT INTO child SELECT i, 1 + (i::bigint * 7919) % rows, 'Child number ' || i, i / 7.0, 'a note of some length about child ' || i
                FROM generate_series(t * 100 + 1, t * 100 + 100) i;
        END IF;
        COMMIT;
    END LOOP;
END $$;
SQL
    ours_sql "DROP TABLE IF EXISTS child, parent;
        CREATE TABLE parent (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, name text NOT NULL, created timestamptz NOT NULL);
        CREATE TABLE child (id uuid PRIMARY KEY, legacy_id int NOT NULL UNIQUE, parent_id uuid NOT NULL REFERENCES parent, title text NOT NULL,
            price numeric(12,2), note text);
        CREATE INDEX ON child (parent_id)"
}

unpark_mapping() {
    cat >"$B/mapping.yaml" <<YAML
namespace: $NAMESPACE
rows:
  - {from: parent, to: parent, key: {id: {uuid: parent, of: id}}, columns: {legacy_id: id, name: name, created: created}}
  - from: child
    to: child
    key: {id: {uuid: child, of: id}}
    columns: {legacy_id: id, parent_id: {uuid: parent, of: parent_id, required: true}, title: title, price: price, note: note}
YAML
}

# phase WHAT: its seconds are in PHASE_S, the CPU of engine and target session in PHASE_CPU.
phase() {
    local mark begun ended lsn cpu
    source_sql "CALL workload('$1', $ROWS)"
    lsn=$(source_sql "SELECT pg_logical_emit_message(true, 'bench', '')")
    settle
    mark=$(log_mark)
    engine_start
    ended=$("$PROBE" wait "$(cluster_conninfo "$B/target" ours)" "SELECT lsn >= '$lsn' FROM pgrekey.pipeline" 900)
    begun=$(started_at "$mark" ours)
    PHASE_S=$(difference "$ended" "$begun")
    read -r -a cpu < <(cpu_of "$ENGINE_PID" "$(ours_sql "SELECT pid FROM pg_stat_activity
        WHERE datname = 'ours' AND application_name LIKE 'pgrekey%' ORDER BY backend_start LIMIT 1")")
    PHASE_CPU="engine ${cpu[0]}, target session ${cpu[1]}"
    engine_stop
}

# order FIRST SECOND: the seconds of both phases are in ORDER_S.
order() {
    local first parked
    unpark_tables
    engine_prepare
    phase "$1"
    first=$PHASE_S
    parked=$(ours_sql "SELECT count(*) FROM pgrekey.quarantine WHERE waits_id IS NOT NULL AND status = 'pending'")
    echo "        $1 $PHASE_S s (CPU s: $PHASE_CPU), $parked wait"
    phase "$2"
    echo "        $2 $PHASE_S s (CPU s: $PHASE_CPU)"
    ORDER_S=$(awk -v a="$first" -v b="$PHASE_S" 'BEGIN {printf "%.3f", a + b}')
    [ "$(ours_sql "SELECT count(*) FROM child c JOIN parent p ON p.id = c.parent_id")" -eq "$ROWS" ]
    [ "$(ours_sql "SELECT count(*) FROM pgrekey.quarantine WHERE status <> 'resolved'")" -eq 0 ]
    engine_drop
}

bench_unpark() {
    local pair right=() wrong=()
    unpark_mapping
    settings_write
    for pair in $(seq 1 "$PAIRS"); do
        if [ $((pair % 2)) -eq 1 ]; then
            order parent child
            right+=("$ORDER_S")
            order child parent
            wrong+=("$ORDER_S")
        else
            order child parent
            wrong+=("$ORDER_S")
            order parent child
            right+=("$ORDER_S")
        fi
        echo "pair $pair: right order ${right[-1]} s, children first ${wrong[-1]} s"
    done
    right=("$(printf '%s\n' "${right[@]}" | median)")
    wrong=("$(printf '%s\n' "${wrong[@]}" | median)")
    echo "median of $PAIRS: right order ${right[0]} s, children first ${wrong[0]} s"
    echo "unpark_ratio: $(ratio "${wrong[0]}" "${right[0]}")"
}
