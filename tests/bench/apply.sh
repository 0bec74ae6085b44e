# shellcheck shell=bash
# 500,000 inserts in transactions of 100, then 250,000 updates of 250,000 different rows in scattered order in
# transactions of 100, ten columns. Native copies the rows as they are; ours gives them UUID keys.

INSERTS=${PGREKEY_BENCH_INSERTS:-500000}
UPDATES=$((INSERTS / 2))
COLUMNS="office int, name varchar(100) NOT NULL, email text, price numeric(12,2), status int NOT NULL, active boolean NOT NULL,
         born date, created timestamptz NOT NULL, note text"

apply_tables() {
    source_sql "DROP TABLE IF EXISTS bench; DROP PROCEDURE IF EXISTS workload;
        CREATE TABLE bench (id int PRIMARY KEY, $COLUMNS)"
    source_script <<'SQL'
CREATE PROCEDURE workload(inserts int, updates int) LANGUAGE plpgsql AS $$
BEGIN
    FOR t IN 0 .. inserts / 100 - 1 LOOP
        INSERT INTO bench SELECT i, i % 900, 'Person number ' || i, 'person' || i || '@example.com', (i % 100000) / 7.0, i % 5,
                i % 3 = 0, date '1950-01-01' + i % 20000, timestamptz '2020-01-01 00:00+00' + i * interval '1 minute',
                'a note of some length about person ' || i
            FROM generate_series(t * 100 + 1, t * 100 + 100) i;
        COMMIT;
    END LOOP;
    -- 7919 is prime to the number of rows: each is met once, far from the one before.
    FOR t IN 0 .. updates / 100 - 1 LOOP
        UPDATE bench SET status = status + 10, price = price + 1, note = note || ', changed'
            FROM generate_series(t * 100, t * 100 + 99) i WHERE id = 1 + (i::bigint * 7919) % inserts;
        COMMIT;
    END LOOP;
END $$;
SQL
    native_sql "DROP TABLE IF EXISTS bench; CREATE TABLE bench (id int PRIMARY KEY, $COLUMNS)"
    ours_sql "DROP TABLE IF EXISTS bench; CREATE TABLE bench (id uuid PRIMARY KEY, $COLUMNS)"
}

apply_mapping() {
    cat >"$B/mapping.yaml" <<YAML
namespace: $NAMESPACE
rows:
  - from: bench
    to: bench
    key: {id: {uuid: bench, of: id}}
    columns: {office: office, name: name, email: email, price: price, status: status, active: active, born: born, created: created, note: note}
YAML
}

# Both wait for the row that the last transaction changes last; each side is asked by its own key.
apply_last() { echo $((1 + (UPDATES - 1) * 7919 % INSERTS)); }

native_run() {
    local mark begun ended cpu
    settle
    mark=$(log_mark)
    native_start
    ended=$("$PROBE" wait "$(cluster_conninfo "$B/target" native)" "SELECT note LIKE '%, changed' FROM bench WHERE id = $(apply_last)" 600)
    begun=$(started_at "$mark" native)
    NATIVE_S=$(difference "$ended" "$begun")
    read -r -a cpu < <(cpu_of "$(walsender_of native)" "$(native_sql "SELECT pid FROM pg_stat_subscription WHERE subname = 'native'")")
    NATIVE_CPU="walsender ${cpu[0]}, apply worker ${cpu[1]}"
}

ours_run() {
    local mark begun ended uuid cpu
    uuid=$(source_sql "SELECT uuid_generate_v5('$NAMESPACE', 'bench:$(apply_last)')")
    settle
    mark=$(log_mark)
    engine_start
    ended=$("$PROBE" wait "$(cluster_conninfo "$B/target" ours)" "SELECT note LIKE '%, changed' FROM bench WHERE id = '$uuid'" 600)
    begun=$(started_at "$mark" ours)
    OURS_S=$(difference "$ended" "$begun")
    read -r -a cpu < <(cpu_of "$(walsender_of ours)" "$ENGINE_PID" "$(ours_sql "SELECT l.pid FROM pg_locks l
        JOIN pg_database d ON d.oid = l.database WHERE d.datname = 'ours' AND l.locktype = 'advisory' LIMIT 1")")
    OURS_CPU="walsender ${cpu[0]}, engine ${cpu[1]}, target session ${cpu[2]}"
    engine_stop
}

# wal2json's decoding alone, with the options that the engine asks for.
decode_run() {
    local mark begun ended lsn
    lsn=$(source_sql "SELECT pg_current_wal_lsn()")
    settle
    mark=$(log_mark)
    "$CLUSTER_BIN/pg_recvlogical" -d "$(source_info)" -S decode --start --no-loop -f /dev/null -F 0 --endpos="$lsn" \
        -o format-version=2 -o include-types=0 -o include-timestamp=1 -o include-transaction=1
    ended=$(date +%s.%N)
    begun=$(started_at "$mark" decode)
    DECODE_S=$(difference "$ended" "$begun")
}

apply_verify() {
    local columns="count(*), sum(price), sum(status), count(*) FILTER (WHERE note LIKE '%, changed'), sum(hashtext(name || note || created))"
    local want native ours
    want=$(source_sql "SELECT $columns FROM bench")
    native=$(native_sql "SELECT $columns FROM bench")
    ours=$(ours_sql "SELECT $columns FROM bench")
    if [ "$want" != "$native" ] || [ "$want" != "$ours" ]; then
        printf 'the sides differ\nsource: %s\nnative: %s\nours:   %s\n' "$want" "$native" "$ours" >&2
        return 1
    fi
}

bench_apply() {
    local pair native=() ours=() decode=()
    source_sql 'CREATE EXTENSION "uuid-ossp"'
    apply_mapping
    settings_write
    for pair in $(seq 1 "$PAIRS"); do
        apply_tables
        engine_prepare
        native_prepare bench
        source_sql "SELECT pg_create_logical_replication_slot('decode', 'wal2json')" >/dev/null
        cluster_psql "$B/source" legacy -c "CALL workload($INSERTS, $UPDATES)"
        decode_run
        if [ $((pair % 2)) -eq 1 ]; then
            native_run
            ours_run
        else
            ours_run
            native_run
        fi
        apply_verify
        echo "pair $pair: native $NATIVE_S s, ours $OURS_S s, wal2json's decoding alone $DECODE_S s"
        echo "        CPU s: native $NATIVE_CPU; ours $OURS_CPU"
        native+=("$NATIVE_S") ours+=("$OURS_S") decode+=("$DECODE_S")
        native_drop
        engine_drop
        drop_slot decode
    done
    native=("$(printf '%s\n' "${native[@]}" | median)")
    ours=("$(printf '%s\n' "${ours[@]}" | median)")
    decode=("$(printf '%s\n' "${decode[@]}" | median)")
    echo "median of $PAIRS: native ${native[0]} s, ours ${ours[0]} s, decode ${decode[0]} s"
    echo "ratio_to_decode: $(ratio "${decode[0]}" "${ours[0]}")"
    echo "ratio_to_native: $(ratio "${native[0]}" "${ours[0]}")"
}
