#!/usr/bin/env bash
# The SQL for RDS and Supabase, run on stand-ins by an administrator who is no superuser, as there; and the container
# files, parsed. What differs on the real services stands in docs/operations.md.
. "$(dirname "${BASH_SOURCE[0]}")/../support/lib.sh"

source_start
target_start
source_script <<'SQL'
CREATE TABLE note (id serial PRIMARY KEY, text text NOT NULL);
INSERT INTO note (text) SELECT 'note ' || i FROM generate_series(1, 100) i;
CREATE ROLE rds_replication;
CREATE ROLE master LOGIN CREATEROLE CREATEDB;
GRANT rds_replication, pg_read_all_stats TO master WITH ADMIN OPTION;
ALTER DATABASE legacy OWNER TO master;
ALTER SCHEMA public OWNER TO master;
ALTER TABLE note OWNER TO master;
SQL
target_script <<'SQL'
CREATE ROLE anon;
CREATE ROLE authenticated;
CREATE ROLE admin LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS;
ALTER DATABASE app OWNER TO admin;
ALTER SCHEMA public OWNER TO admin;
SET ROLE admin;
CREATE TABLE notes (id uuid PRIMARY KEY, legacy_id int UNIQUE NOT NULL, text text NOT NULL);
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;
SQL
notes_mapping
settings_write

as() { # as SIDE DATABASE USER FILE
    local info
    info=$(cluster_conninfo "$T/$1" "$2")
    psql -X -q -d "${info/user=postgres/user=$3}" -v role=pgrekey -v schema=public -f "$4" >"$T/as.log" 2>&1
}
check "the source's script, by a master user" as source legacy master "$TOP/deploy/sql/rds-source.sql"
# On RDS membership in rds_replication is what gives REPLICATION; here only the attribute does.
source_sql "ALTER ROLE pgrekey REPLICATION"
check "the target's script, by an administrator" as target app admin "$TOP/deploy/sql/supabase-target.sql"
sed -i -e 's/dbname=legacy user=postgres/dbname=legacy user=pgrekey/' -e 's/dbname=app user=postgres/dbname=app user=pgrekey/' "$T/pgrekey.yaml"
admin_info=$(cluster_conninfo "$T/target" app)
check "init, by the administrator" pgrekey init --dsn "${admin_info/user=postgres/user=admin}"
check "check finds nothing that keeps it from running" pgrekey check -q
engine_start
caught_up
source_sql "INSERT INTO note (text) VALUES ('more'); UPDATE note SET text = text || '!' WHERE id = 1; DELETE FROM note WHERE id = 2"
caught_up
same_rows "it replicates with these rights" "SELECT id, text FROM note" "SELECT legacy_id, text FROM notes"
equals "the web's roles reach nothing of ours" 0 "$(target_sql "
    SELECT count(*) FROM unnest('{anon,authenticated}'::name[]) web WHERE has_schema_privilege(web, 'pgrekey', 'USAGE')")"
equals "neither role is more than it must be" "f|f|f f|f|f" "$(source_sql "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'pgrekey'") $(target_sql "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'pgrekey'")"
engine_stop

# --- container files, and what the picture of compose.yaml shows, without its containers
if python3 "$TOP/tests/support/compose.py" "$TOP" >"$T/compose.log" 2>&1; then
    ok "compose file, container files and what they mount agree"
else
    not_ok "compose file, container files and what they mount agree"
    sed 's/^/    /' "$T/compose.log"
fi
quietly() { "$@" >/dev/null 2>&1; }
check "the picture's Prometheus has a configuration" quietly promtool check config --syntax-only "$TOP/deploy/container/prometheus.yml"
cluster_psql "$T/source" postgres -c 'CREATE DATABASE picture'
cluster_psql "$T/target" postgres -c 'CREATE DATABASE picture'
cluster_psql "$T/source" picture -f "$TOP/deploy/container/legacy.sql" >/dev/null
cluster_psql "$T/target" picture -f "$TOP/deploy/container/target.sql" >/dev/null
mkdir "$T/picture"
cp "$TOP"/deploy/container/{pgrekey,mapping}.yaml "$T/picture/"
picture() {
    "$PGREKEY" --config "$T/picture/pgrekey.yaml" --set "source.dsn=$(cluster_conninfo "$T/source" picture)" \
        --set "target.dsn=$(cluster_conninfo "$T/target" picture)" --set source.slot=picture "$@" >>"$T/picture.log" 2>&1
}
check "the picture's settings and mapping: init" picture init
check "and a run" picture run --until-caught-up
equals "its rows are there" "20 5000" "$(cluster_psql "$T/target" picture -c "SELECT (SELECT count(*) FROM offices) || ' ' || (SELECT count(*) FROM people WHERE office_id IS NOT NULL)")"

# What the program is linked with itself, as packages, but for libc.
"$TOP/deploy/install-deps" --print runtime >"$T/runtime"
readelf -d "$PGREKEY" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >"$T/needed"
while read -r library; do
    path=$(ldd "$PGREKEY" | awk -v l="$library" '$1 == l {print $3}')
    [ -n "$path" ] || continue
    dpkg-query -S "*/$(gcc -print-multiarch)/$(basename "$(realpath "$path")")" 2>/dev/null | head -n 1 | cut -d: -f1
done <"$T/needed" | sort -u | grep -vxE 'libc6|libgcc-s1' >"$T/linked"
equals "the runtime packages hold what the program is linked with" "" "$( (grep -vxFf "$T/runtime" "$T/linked" || true) | paste -sd ' ')"
test_end
