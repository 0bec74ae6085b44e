# shellcheck shell=bash
# A private Kafka broker for tests, benches and the quickstart. Sourced, not run.
#
#   . tests/support/kafka.sh
#   kafka_create DIR [NAME=VALUE…]; kafka_start DIR; kafka_bootstrap DIR; kafka_kill DIR; kafka_remove DIR
#
# One process is broker and controller (KRaft), without a download page: jars come through Maven by the pins of
# tests/support/kafka/pom.xml, into a cache that all tests share (PGREKEY_KAFKA_CACHE says another one). A broker is a
# directory: DIR/data, DIR/server.properties, DIR/log, DIR/port, DIR/kafka.pid.

KAFKA_POM=$(cd "$(dirname "${BASH_SOURCE[0]}")/kafka" && pwd)/pom.xml
KAFKA_CACHE=${PGREKEY_KAFKA_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/pgrekey/kafka}

# kafka_jars [broker|debezium]: fetches them where they are not there, prints the directory. The directory's name holds
# the pins' checksum, so another version is another directory; a half-fetched one never counts.
kafka_jars() {
    local profile=${1:-broker} sum dir part
    sum=$(sha256sum <"$KAFKA_POM")
    dir=$KAFKA_CACHE/$profile-${sum:0:12}
    mkdir -p "$KAFKA_CACHE"
    (
        flock 9
        [ ! -d "$dir" ] || exit 0
        part=$(mktemp -d "$KAFKA_CACHE/fetch.XXXXXX")
        trap 'rm -rf "$part"' EXIT
        for _ in 1 2 3; do
            if mvn -q -B -f "$KAFKA_POM" -P "$profile" dependency:copy-dependencies \
                -DoutputDirectory="$part/jars" >"$part/log" 2>&1; then
                mv "$part/jars" "$dir"
                exit 0
            fi
            sleep 2
        done
        echo "kafka: maven could not fetch the jars of profile $profile:" >&2
        grep -m5 ERROR "$part/log" >&2
        exit 1
    ) 9>"$KAFKA_CACHE/lock" || return 1
    echo "$dir"
}

kafka_java() {
    local profile=$1 jars
    shift
    jars=$(kafka_jars "$profile") || return 1
    exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -cp "$jars/*" "$@"
}

# A free port, other than the ones given.
kafka_free_port() {
    local port
    for _ in $(seq 1 100); do
        port=$((10000 + SRANDOM % 5000))
        if [[ " $* " != *" $port "* ]] && ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return 0
        fi
    done
    echo "kafka: found no free port" >&2
    return 1
}

# kafka_create DIR [NAME=VALUE…]: settings besides those below; later ones win. Its ports stay the same over restarts.
kafka_create() {
    local dir=$1 port controller id
    shift
    mkdir -p "$dir"
    kafka_jars broker >/dev/null || return 1
    port=$(kafka_free_port)
    controller=$(kafka_free_port "$port")
    echo "$port" >"$dir/port"
    {
        cat <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
CONF
        printf '%s\n' "$@"
    } >"$dir/server.properties"
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    id=${id/#-/A} # one id in 64 would look like an option
    (kafka_java broker kafka.tools.StorageTool format -t "$id" -c "$dir/server.properties") >"$dir/format.log" 2>&1 || {
        tail -n 5 "$dir/format.log" >&2
        return 1
    }
}

# Prints broker:port.
kafka_bootstrap() { echo "127.0.0.1:$(cat "$1/port")"; }

kafka_answers() {
    timeout 5 kcat -b "$(kafka_bootstrap "$1")" -L -J -X socket.timeout.ms=2000 -m 2 2>/dev/null |
        grep -q '"brokers":\[{'
}

kafka_start() {
    local dir=$1 until=$((SECONDS + 90))
    (kafka_java broker kafka.Kafka "$dir/server.properties") >>"$dir/log" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/kafka.pid"
    until kafka_answers "$dir"; do
        if ! kafka_is_running "$dir" || [ "$SECONDS" -ge "$until" ]; then
            echo "kafka: the broker in $dir did not start; its log ends:" >&2
            tail -n 20 "$dir/log" >&2
            return 1
        fi
        sleep 0.2
    done
}

kafka_is_running() { [ -f "$1/kafka.pid" ] && kill -0 "$(cat "$1/kafka.pid")" 2>/dev/null; }

# kafka_stop DIR [SIGNAL]: waits for its end; one that does not run is fine.
kafka_stop() {
    local dir=$1 pid
    [ -f "$dir/kafka.pid" ] || return 0
    pid=$(cat "$dir/kafka.pid")
    kill "-${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 1 300); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
    rm -f "$dir/kafka.pid"
}
kafka_kill() { kafka_stop "$1" KILL; }

kafka_remove() {
    kafka_stop "$1" KILL
    rm -rf "$1"
}

# kafka_read DIR TOPIC [kcat arguments…]: everything that a read-committed reader sees of a topic, then the end.
kafka_read() {
    local dir=$1 topic=$2
    shift 2
    kcat -q -b "$(kafka_bootstrap "$dir")" -C -t "$topic" -o beginning -e -X isolation.level=read_committed "$@"
}

# kafka_topics DIR: their names, a line each.
kafka_topics() {
    kcat -q -b "$(kafka_bootstrap "$1")" -L -J | python3 -c '
import json, sys
for topic in json.load(sys.stdin)["topics"]:
    print(topic["topic"])' | sort
}
