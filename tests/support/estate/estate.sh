# shellcheck shell=bash
# A generated estate: the legacy side of deploy/dispatch with rows of people who never lived, and every defect of the real
# one, counted. Sourced behind cluster.sh. The same scale and seed give the same rows.
#
#   estate_legacy DIR DATABASE [SCALE [SEED]]     makes the legacy tables in an empty database and fills them
#   estate_check DIR DATABASE                     counts rows and defects; prints what is not as it should be
#   estate_half DIR DATABASE DIR DATABASE         fills the deployed target as earlier runs did, from that legacy database
#   estate_half_check DIR DATABASE DIR DATABASE   counts what they left
#
# Scale 1 is the file counts. Helpers of the data stay in the schema estate of the legacy database: no part of the estate.

ESTATE_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DISPATCH_DIR=$(cd "$ESTATE_DIR/../../../deploy/dispatch" && pwd)

# The counts at a scale, as SQL that makes the one-row table estate.c.
estate_counts() {
    awk -v scale="$1" '
        $1 ~ /^[a-z]/ {
            n = int($2 * scale + 0.5)
            if (n < $3) n = $3
            if (n > $2 && scale <= 1) n = $2
            value[$1] = n
            list = list (list == "" ? "" : ", ") n "::bigint AS " $1
        }
        END {
            users = value["patients"] + value["doctors"] + value["technicians"] + value["others"] - value["dual_roles"]
            print "CREATE TABLE estate.c AS SELECT " list ", " users "::bigint AS users;"
        }' "$ESTATE_DIR/counts"
}

# estate_run DIR DATABASE FILE…: by somebody whom foreign keys do not check; the data are right by making.
estate_run() {
    local dir=$1 database=$2 each
    shift 2
    {
        echo 'SET session_replication_role = replica; SET synchronous_commit = off;'
        for each in "$@"; do cat "$ESTATE_DIR/$each.sql"; done
    } | cluster_psql "$dir" "$database" -f -
}

estate_legacy() {
    local dir=$1 database=$2 scale=${3:-0.01} seed=${4:-1} notified
    {
        cat "$DISPATCH_DIR/legacy.sql"
        echo "CREATE SCHEMA estate; CREATE TABLE estate.seed AS SELECT $seed AS seed;"
        estate_counts "$scale"
        cat "$ESTATE_DIR/functions.sql"
    } | cluster_psql "$dir" "$database" -f -
    estate_run "$dir" "$database" notifications &
    notified=$!
    estate_run "$dir" "$database" people orders texts money work tasks
    wait "$notified"
    cluster_psql "$dir" "$database" >/dev/null <<'SQL'
SELECT format('SELECT setval(%L, (SELECT coalesce(max(id), 0) + 1 FROM %s), false)', s.name, c.oid::regclass)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id', pg_get_serial_sequence(c.oid::regclass::text, a.attname) s (name)
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND s.name IS NOT NULL \gexec
SQL
    cluster_psql "$dir" "$database" -f "$DISPATCH_DIR/legacy-indexes.sql" -c ANALYZE
}

# Prints what differs from the file of counts, and how many counts were held against it.
estate_check() {
    cluster_psql "$1" "$2" -F ' ' -f "$ESTATE_DIR/check.sql" | awk '
        $2 != $3 { print $1 " is " $2 ", not " $3; bad++ }
        END { print NR " counts, " bad + 0 " wrong" }'
}

# estate_half FROM DATABASE TO DATABASE: the deployed target (deploy/dispatch/target.sql stands there, empty) as earlier runs
# have filled it from that legacy database.
estate_half() {
    local from=$1 legacy=$2 to=$3 target=$4 each columns
    cluster_psql "$from" "$legacy" -f "$ESTATE_DIR/half.sql"
    cluster_psql "$from" "$legacy" -F ' ' -c "
        SELECT c.relname, string_agg(a.attname, ',' ORDER BY a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'deployed'::regnamespace GROUP BY 1 ORDER BY 1" |
        while read -r each columns; do
            cluster_psql "$from" "$legacy" -c "COPY (SELECT $columns FROM deployed.$each) TO STDOUT" |
                PGOPTIONS='-c session_replication_role=replica -c synchronous_commit=off' cluster_psql "$to" "$target" -c "COPY $each ($columns) FROM STDIN"
        done
    cluster_psql "$to" "$target" -c ANALYZE
}

# The same for the half-filled target: estate_half_check FROM DATABASE TO DATABASE.
estate_half_check() {
    {
        cluster_psql "$1" "$2" -F ' ' -c "SELECT 'wanted', w.key, w.value FROM estate.c, jsonb_each_text(to_jsonb(c)) w"
        cluster_psql "$3" "$4" -F ' ' -f "$ESTATE_DIR/half-check.sql"
    } | awk '
        $1 == "wanted" { wanted[$2] = $3; next }
        { n++; want = NF == 3 ? $2 : wanted[$1] }
        $NF != want { print $1 " is " $NF ", not " want; bad++ }
        END { print n " counts, " bad + 0 " wrong" }'
}

# A working day on the legacy side: estate_work_prepare DIR DATABASE once, then estate_work DIR DATABASE TRANSACTIONS [LATE
# [SEED [PAUSE_MS]]]. LATE says how many transactions a parent comes behind its child. estate_work_kinds DIR DATABASE prints
# how often each kind was done, the rarest first.
estate_work_prepare() { cluster_psql "$1" "$2" -f "$ESTATE_DIR/work-day.sql" -f "$ESTATE_DIR/work-kinds.sql"; }
estate_work() { cluster_psql "$1" "$2" -c "CALL estate.work(${5:-1}, $3, ${4:-100}, ${6:-0})"; }
estate_work_kinds() { cluster_psql "$1" "$2" -F ' ' -c "SELECT n, in_vain, name FROM estate.done ORDER BY n, name"; }
