/* The side schema: may the engine make its mirrors there, and does nobody else look in? */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/check.h"
#include "cdc/pg/pg.h"

#define SIDE "target"
#define TEXT_MAX_BYTES ((size_t)64 << 10)

static bool is_mirrored(const struct map *map, const char *name)
{
    size_t view_count;
    const struct mirror_view *views = map_views(map, &view_count);
    for (size_t i = 0; i < map_rule_count(map); i++)
        if (map_rule(map, i)->mirror && strcmp(map_rule(map, i)->to_table, name) == 0)
            return true;
    for (size_t i = 0; i < view_count; i++)
        if (strcmp(views[i].name, name) == 0)
            return true;
    return false;
}

/* True where the schema is there and may be used: then there is more to look at. */
static bool check_schema(struct check *check, const char *schema)
{
    static const char SQL[] = "SELECT current_user, pg_catalog.has_schema_privilege(n.oid, 'USAGE') "
                              "AND pg_catalog.has_schema_privilege(n.oid, 'CREATE') "
                              "FROM pg_catalog.pg_namespace n WHERE n.nspname = $1";
    PGresult *result = check_query(check, false, "mirror_schema", SQL, 1, &schema);
    if (!result)
        return false;
    bool there = PQntuples(result) == 1, may = there && *PQgetvalue(result, 0, 1) == 't';
    if (!there)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "mirror_schema", "run: pgrekey init",
                     "there is no schema %s, which the mapping's mirrors stand in", schema);
    else if (!may)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "mirror_privileges", "run: pgrekey init",
                     "role %s may not create tables in schema %s, which the mapping's mirrors stand in",
                     PQgetvalue(result, 0, 0), schema);
    PQclear(result);
    return may;
}

/* Mirrors hold rows of the source as they are. */
static void check_closed(struct check *check, const char *schema)
{
    static const char SQL[] =
        "SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
        "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, ', ') FROM pg_catalog.pg_namespace n, "
        "pg_catalog.aclexplode(n.nspacl) a WHERE n.nspname = $1 AND a.grantee <> n.nspowner AND NOT "
        "(a.grantee <> 0 AND pg_catalog.pg_has_role(current_user, a.grantee, 'member')) AND "
        "pg_catalog.pg_get_userbyid(a.grantee) <> $2";
    const char *params[] = {schema, check->settings->target_role};
    PGresult *result = check_query(check, false, "mirror_open", SQL, 2, params);
    if (result && !PQgetisnull(result, 0, 0)) {
        struct buf remedy;
        buf_init(&remedy, TEXT_MAX_BYTES);
        buf_puts(&remedy, "REVOKE ALL ON SCHEMA ");
        pg_put_ident(&remedy, schema);
        buf_printf(&remedy, " FROM %s;", PQgetvalue(result, 0, 0));
        findings_add(&check->findings, FINDING_WARNING, SIDE, "mirror_open", buf_text(&remedy),
                     "others than the engine may look into schema %s, where the mirrors stand: %s", schema,
                     PQgetvalue(result, 0, 0));
        buf_done(&remedy);
    }
    PQclear(result);
}

/* What stands under a mirror's or a view's name must be this pipeline's, and the role must own it. */
static void check_names(struct check *check, const char *schema)
{
    static const char SQL[] =
        "SELECT c.relname, coalesce(m.pipeline, ''), pg_catalog.pg_has_role(c.relowner, 'USAGE'), current_user "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pgrekey.mirror m ON m.schema_name = n.nspname AND m.name = c.relname "
        "WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";
    PGresult *result = check_query(check, false, "mirror_names", SQL, 1, &schema);
    for (int i = 0; result && i < PQntuples(result); i++) {
        const char *name = PQgetvalue(result, i, 0), *pipeline = PQgetvalue(result, i, 1);
        if (!is_mirrored(check->mapping.map, name))
            continue;
        if (strcmp(pipeline, check->settings->pipeline) != 0)
            findings_add(&check->findings, FINDING_ERROR, SIDE, "mirror_names",
                         *pipeline ? "give this mapping a side schema of its own" : "rename it, or move it elsewhere",
                         "%s.%s, which the mapping wants for a mirror or a view, %s%s", schema, name,
                         *pipeline ? "belongs to pipeline " : "is there already, and no pipeline has made it",
                         pipeline);
        else if (*PQgetvalue(result, i, 2) != 't')
            findings_add(&check->findings, FINDING_ERROR, SIDE, "mirror_owner",
                         "connect as the role that made it, or change its owner",
                         "role %s does not own %s.%s, which this pipeline has made", PQgetvalue(result, i, 3), schema,
                         name);
    }
    PQclear(result);
}

void check_mirrors(struct check *check)
{
    const struct map *map = check->mapping.map;
    if (!map || !map_has_mirrors(map) || !check->report || !check->report->initialised)
        return;
    const char *schema = map_mirror_schema(map);
    if (!check_schema(check, schema))
        return;
    check_closed(check, schema);
    check_names(check, schema);
}
