# shellcheck shell=bash
# Private PostgreSQL clusters for tests, benches and the quickstart. Sourced, not run.
#
# A cluster is a directory:
#
#   DIR/data      PGDATA, owned by whoever runs the server
#   DIR/log       the server's log
#   DIR/port      its TCP port on 127.0.0.1 (scram; the password stands in DIR/password)
#   DIR/socket    name of the directory of its Unix socket (trust; open to its owner alone)
#
# The server refuses to run as root: there it runs as `postgres` (PGREKEY_SERVER_USER says another name). A Unix
# socket's path may have 107 bytes: where DIR is longer, the socket gets a short directory of its own.

CLUSTER_BIN=${CLUSTER_BIN:-}
if [ -z "$CLUSTER_BIN" ]; then
    for CLUSTER_BIN in /usr/lib/postgresql/15/bin "$(pg_config --bindir 2>/dev/null || true)"; do
        if [ -x "$CLUSTER_BIN/initdb" ]; then
            break
        fi
    done
fi

# As whom the server runs.
cluster_user() {
    if [ "$(id -u)" -eq 0 ]; then
        echo "${PGREKEY_SERVER_USER:-postgres}"
    else
        id -un
    fi
}

# Runs a command as the server's user, from a directory that it may stand in.
cluster_as() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && exec runuser -u "$(cluster_user)" -- "$@")
    else
        (cd / && exec "$@")
    fi
}

# A new directory for clusters, where the server's user can reach it: cluster_temp_dir NAME [BELOW].
cluster_temp_dir() {
    local name=$1 below dir
    for below in "${2:-${TMPDIR:-/tmp}}" /tmp /var/tmp; do
        mkdir -p "$below"
        if cluster_as test -x "$below"; then
            dir=$(mktemp -d "$below/pgrekey-$name.XXXXXX")
            chmod 0711 "$dir"
            echo "$dir"
            return 0
        fi
    done
    echo "cluster: $(cluster_user) can enter neither ${TMPDIR:-/tmp} nor /var/tmp" >&2
    return 1
}

cluster_port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port below the range that the system hands out by itself.
cluster_free_port() {
    local port
    for _ in $(seq 1 100); do
        port=$((15000 + SRANDOM % 15000)) # not RANDOM: tests seed it, and would all want the same ports
        if cluster_port_is_free "$port"; then
            echo "$port"
            return 0
        fi
    done
    echo "cluster: found no free port" >&2
    return 1
}

# cluster_create DIR [NAME=VALUE…]: initdb and configuration; the settings go into postgresql.conf as they are, so
# quote strings: "log_statement='all'". Crash safety of the disk is off unless fsync=on is asked for.
cluster_create() {
    local dir=$1 owner socket
    shift
    owner=$(cluster_user)
    mkdir -p "$dir"
    (umask 077 && head -c 18 /dev/urandom | base64 >"$dir/password")
    : >"$dir/log"
    install -d -m 0700 "$dir/data"
    if [ ${#dir} -lt 75 ]; then
        socket=$dir/run
        install -d -m 0700 "$socket"
    else
        socket=$(mktemp -d /tmp/pgrekey-s.XXXXXX)
    fi
    echo "$socket" >"$dir/socket"
    if [ "$(id -u)" -eq 0 ]; then
        chown "$owner:" "$dir/data" "$dir/log" "$socket" "$dir/password"
    fi
    cluster_as "$CLUSTER_BIN/initdb" -D "$dir/data" -U postgres -E UTF8 --locale=C.UTF-8 --no-sync \
        --auth-local=trust --auth-host=scram-sha-256 --pwfile="$dir/password" >"$dir/initdb.log" 2>&1 || {
        tail -n 20 "$dir/initdb.log" >&2
        return 1
    }
    cluster_free_port >"$dir/port"
    {
        echo "unix_socket_directories = '$socket'"
        echo "unix_socket_permissions = 0700"
        echo "listen_addresses = '127.0.0.1'"
        echo "port = $(cat "$dir/port")"
        cluster_defaults "$dir"
        printf '%s\n' "$@"
    } | cluster_as tee -a "$dir/data/postgresql.conf" >/dev/null
}

cluster_defaults() {
    cat <<CONF
fsync = off
wal_level = logical
max_replication_slots = 20
max_wal_senders = 20
max_connections = 60
max_wal_size = 4GB
shared_buffers = 128MB
wal_sender_timeout = 10s
log_line_prefix = '%m [%p] %q%u@%d '
lc_messages = 'C'
timezone = 'UTC'
CONF
    # The minor releases that know this setting refuse wal2json without it; the others refuse the setting.
    if cluster_as "$CLUSTER_BIN/postgres" -D "$1/data" -C output_plugin_libraries >/dev/null 2>&1; then
        echo "output_plugin_libraries = 'pgoutput, test_decoding, wal2json'"
    fi
}

cluster_start() {
    local dir=$1 try
    for try in 1 2 3 4 5; do
        if cluster_as "$CLUSTER_BIN/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 -s start >/dev/null 2>&1; then
            return 0
        fi
        # Somebody else took the port meanwhile: a private cluster that nobody knows yet takes another one.
        if [ "$try" -eq 5 ] || ! tail -n 20 "$dir/log" | grep -q 'could not bind'; then
            break
        fi
        cluster_free_port >"$dir/port"
        echo "port = $(cat "$dir/port")" | cluster_as tee -a "$dir/data/postgresql.conf" >/dev/null
    done
    echo "cluster: $dir did not start; its log ends:" >&2
    tail -n 20 "$dir/log" >&2
    return 1
}

# cluster_stop DIR [fast|immediate]; a cluster that does not run is fine.
cluster_stop() {
    local dir=$1 mode=${2:-fast}
    if [ -f "$dir/data/postmaster.pid" ]; then
        cluster_as "$CLUSTER_BIN/pg_ctl" -D "$dir/data" -m "$mode" -w -t 60 -s stop >/dev/null 2>&1 || true
    fi
}

cluster_is_running() {
    [ -d "$1/data" ] && cluster_as "$CLUSTER_BIN/pg_ctl" -D "$1/data" status >/dev/null 2>&1
}

# cluster_restart DIR [fast|immediate]
cluster_restart() {
    cluster_stop "$@"
    cluster_start "$1"
}

cluster_reload() {
    cluster_as "$CLUSTER_BIN/pg_ctl" -D "$1/data" -s reload
}

# Stops it and takes everything away.
cluster_remove() {
    local dir=$1 socket
    cluster_stop "$dir" immediate
    if [ -f "$dir/socket" ]; then
        socket=$(cat "$dir/socket")
        rm -rf "$socket"
    fi
    rm -rf "$dir"
}

# cluster_conninfo DIR [DATABASE [USER]]: by the socket, without a password.
cluster_conninfo() {
    echo "host=$(cat "$1/socket") port=$(cat "$1/port") dbname=${2:-postgres} user=${3:-postgres}"
}

# cluster_conninfo_tcp DIR [DATABASE [USER]]: by TCP; the superuser's password stands in DIR/password.
cluster_conninfo_tcp() {
    echo "host=127.0.0.1 port=$(cat "$1/port") dbname=${2:-postgres} user=${3:-postgres}"
}

# cluster_psql DIR DATABASE [psql arguments…]: quiet, stops at the first error, plain output.
cluster_psql() {
    local dir=$1 database=$2
    shift 2
    PGOPTIONS="-c client_min_messages=warning ${PGOPTIONS:-}" "$CLUSTER_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 \
        -d "$(cluster_conninfo "$dir" "$database")" "$@"
}

# cluster_backup DIR NEW: a base backup of DIR as a cluster of its own (same database, other port), not yet started.
cluster_backup() {
    local dir=$1 new=$2 owner socket
    owner=$(cluster_user)
    mkdir -p "$new"
    install -d -m 0700 "$new/data"
    socket=$(mktemp -d /tmp/pgrekey-s.XXXXXX)
    echo "$socket" >"$new/socket"
    : >"$new/log"
    cp -p "$dir/password" "$new/password"
    if [ "$(id -u)" -eq 0 ]; then
        chown "$owner:" "$new/data" "$new/log" "$socket"
    fi
    cluster_as "$CLUSTER_BIN/pg_basebackup" -d "$(cluster_conninfo "$dir")" -D "$new/data" -c fast -X stream --no-sync
    cluster_free_port >"$new/port"
    printf "unix_socket_directories = '%s'\nport = %s\n" "$socket" "$(cat "$new/port")" |
        cluster_as tee -a "$new/data/postgresql.conf" >/dev/null
}
