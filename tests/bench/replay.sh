# shellcheck shell=bash
# The backlog of `bench apply` once more: the direct run with the slot behind, against the replay of the same backlog
# from topics that hold it already, in whole transactions by one worker; then by one, two and four workers of a group.
# shellcheck source=tests/support/kafka.sh
. "$TOP/tests/support/kafka.sh"
# shellcheck source=tests/bench/apply.sh
. "$TOP/tests/bench/apply.sh"

replay_sql() { cluster_psql "$B/target" "$1" -c "$2"; }

# replay_database NAME: with the table and the engine's schema.
replay_database() {
    cluster_psql "$B/target" postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" >/dev/null
    replay_sql "$1" "CREATE TABLE bench (id uuid PRIMARY KEY, $COLUMNS)"
    PGREKEY_PIPELINE=$1 PGREKEY_TARGET_DSN=$(cluster_conninfo "$B/target" "$1") pgrekey init >/dev/null
}

# replay_into NAME [--set …]: until it is caught up.
replay_into() {
    local name=$1
    shift
    PGREKEY_PIPELINE=$name PGREKEY_TARGET_DSN=$(cluster_conninfo "$B/target" "$name") PGREKEY_REPLAY_MASKING=off \
        "$PGREKEY" --config "$B/pgrekey.yaml" replay --until-caught-up "$@" 2>>"$B/replay.log"
}

# seconds_between FROM TO: of the last such events in the log.
seconds_between() {
    python3 - "$B/replay.log" "$1" "$2" <<'P'
import datetime, re, sys
at = {}
for line in open(sys.argv[1]):
    m = re.match(r"ts=(\S+) .*?event=(.*)", line)
    for i in (2, 3):
        if m and m.group(2).startswith(sys.argv[i].split(" ")[0]) and all(w in m.group(2) for w in sys.argv[i].split(" ")):
            at[i] = datetime.datetime.fromisoformat(m.group(1).replace("Z", "+00:00"))
print("%.3f" % (at[3] - at[2]).total_seconds())
P
}

replay_verify() {
    local rows
    rows=$(replay_sql "$1" "SELECT count(*) || ' ' || count(*) FILTER (WHERE note LIKE '%, changed') FROM bench")
    [ "$rows" = "$INSERTS $UPDATES" ] || {
        echo "$1 holds $rows, not $INSERTS $UPDATES" >&2
        return 1
    }
}

direct_run() {
    PGREKEY_SINK=postgres PGREKEY_PIPELINE=direct PGREKEY_SOURCE_SLOT=direct \
        PGREKEY_TARGET_DSN=$(cluster_conninfo "$B/target" direct) \
        "$PGREKEY" --config "$B/pgrekey.yaml" run --until-caught-up 2>>"$B/replay.log"
}

# N workers of a group, from the end of the first state on.
workers_run() {
    local n=$1 pids=() pid begun
    replay_database "w$n"
    PGREKEY_REPLAY_GROUP=w$n
    export PGREKEY_REPLAY_GROUP
    settle
    begun=$(date +%s.%N)
    for _ in $(seq 1 "$n"); do
        replay_into "w$n" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    WORKERS_S=$(difference "$(date +%s.%N)" "$begun")
    unset PGREKEY_REPLAY_GROUP
    replay_verify "w$n"
}

bench_replay() {
    local pair direct=() replay=() n
    export PGREKEY_HTTP_LISTEN=off
    deploy/install-deps kafka
    [ -d "$B/kafka" ] || kafka_create "$B/kafka"
    kafka_start "$B/kafka"
    apply_mapping
    for pair in $(seq 1 "$PAIRS"); do
        apply_tables
        settings_write
        cat >>"$B/pgrekey.yaml" <<YAML
sink: kafka
kafka: {bootstrap: "$(kafka_bootstrap "$B/kafka")", prefix: replay$pair, partitions: 4}
YAML
        replay_database direct
        direct_run
        pgrekey run --until-caught-up >/dev/null
        cluster_psql "$B/source" legacy -c "CALL workload($INSERTS, $UPDATES)"
        pgrekey run --until-caught-up >/dev/null
        settle
        direct_run
        direct+=("$(seconds_between "streaming slot=direct" "stopped slot=direct")")
        replay_verify direct
        replay_database copy
        settle
        replay_into copy
        replay+=("$(seconds_between "replaying mode=transactions" "stopped prefix=replay$pair")")
        replay_verify copy
        echo "run $pair: directly in ${direct[-1]} s, replayed in ${replay[-1]} s"
        [ "$pair" -lt "$PAIRS" ] || break
        drop_slot ours
        drop_slot direct
    done
    for n in 1 2 4; do
        workers_run "$n"
        echo "$n workers of a group, from their start on: $WORKERS_S s"
    done
    drop_slot ours
    drop_slot direct
    kafka_stop "$B/kafka"
    echo "replay_ratio_to_direct: $(ratio "$(printf '%s\n' "${direct[@]}" | median)" "$(printf '%s\n' "${replay[@]}" | median)")"
}
