# shellcheck shell=bash
# Publishing the backlog of `bench apply`: 500,000 inserts, then 250,000 updates, in transactions of 100. Decoding alone
# is what wal2json costs without anybody behind it.
# shellcheck source=tests/support/kafka.sh
. "$TOP/tests/support/kafka.sh"
# shellcheck source=tests/bench/apply.sh
. "$TOP/tests/bench/apply.sh"

kafka_settings() {
    settings_write
    cat >>"$B/pgrekey.yaml" <<YAML
sink: kafka
kafka:
  bootstrap: $(kafka_bootstrap "$B/kafka")
  prefix: bench$1
  partitions: 4
YAML
}

# From START_REPLICATION to the position that the workload ended at, which the slot is told once it is committed.
publish_run() {
    local mark begun ended cpu lsn
    lsn=$(source_sql "SELECT pg_current_wal_lsn()")
    settle
    mark=$(log_mark)
    engine_start
    ended=$("$PROBE" wait "$(source_info)" \
        "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = 'ours'" 600)
    begun=$(started_at "$mark" ours)
    PUBLISH_S=$(difference "$ended" "$begun")
    read -r -a cpu < <(cpu_of "$(walsender_of ours)" "$ENGINE_PID" "$(cat "$B/kafka/kafka.pid")")
    PUBLISH_CPU="walsender ${cpu[0]}, engine ${cpu[1]}, broker ${cpu[2]}"
    engine_stop
}

# Every event is there, once.
publish_verify() {
    local events
    events=$(kafka_read "$B/kafka" "bench$1.public.bench" -f '%o\n' | wc -l)
    [ "$events" -eq $((INSERTS + UPDATES)) ] || {
        echo "there are $events events, not $((INSERTS + UPDATES))" >&2
        return 1
    }
}

bench_kafka() {
    local pair publish=() decode=()
    deploy/install-deps kafka
    kafka_create "$B/kafka"
    kafka_start "$B/kafka"
    source_sql 'CREATE EXTENSION "uuid-ossp"'
    apply_mapping
    for pair in $(seq 1 "$PAIRS"); do
        apply_tables
        kafka_settings "$pair"
        pgrekey run --until-caught-up >/dev/null
        source_sql "SELECT pg_create_logical_replication_slot('decode', 'wal2json')" >/dev/null
        cluster_psql "$B/source" legacy -c "CALL workload($INSERTS, $UPDATES)"
        decode_run
        publish_run
        publish_verify "$pair"
        echo "run $pair: published in $PUBLISH_S s, wal2json's decoding alone $DECODE_S s"
        echo "        CPU s: $PUBLISH_CPU"
        publish+=("$PUBLISH_S") decode+=("$DECODE_S")
        drop_slot ours
        drop_slot decode
    done
    publish=("$(printf '%s\n' "${publish[@]}" | median)")
    decode=("$(printf '%s\n' "${decode[@]}" | median)")
    kafka_stop "$B/kafka"
    echo "median of $PAIRS: publish ${publish[0]} s, decode ${decode[0]} s"
    echo "publish_events_per_s: $(awk -v n=$((INSERTS + UPDATES)) -v s="${publish[0]}" 'BEGIN {printf "%d", n / s}')"
    echo "publish_ratio_to_decode: $(ratio "${decode[0]}" "${publish[0]}")"
}
