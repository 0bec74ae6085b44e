/* The end of a pipeline's mirrors, told by nothing but its record: `drop` needs no mapping. */
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/mirror/mirror.h"
#include "sinks/postgres/session/session.h"

#define SQL_MAX ((size_t)1 << 16)

int mirror_explain_dependents(const char *name, struct err *reterr)
{
    if (strcmp(reterr->sqlstate, "2BP01") != 0)
        return -1;
    (void)err_set(reterr, ERR_CONFIG, "objects that are not the mapping's depend on %s in the mirrors' schema", name);
    return err_hint(reterr, "drop them; nobody but the mapping's own queries should read there");
}

static int registry_is_there(PGconn *conn, bool *ret_there, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, "looking for mirrors", "SELECT to_regclass('pgrekey.mirror') IS NOT NULL", 0, NULL,
                 &result, reterr))
        return -1;
    *ret_there = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

static int read_own(PGconn *conn, const char *pipeline, PGresult **ret_result, struct err *reterr)
{
    return pg_query(conn, SIDE, "looking for mirrors",
                    "SELECT schema_name, name, kind FROM pgrekey.mirror WHERE pipeline = $1 "
                    "ORDER BY kind DESC, position DESC",
                    1, &pipeline, ret_result, reterr);
}

int mirror_count(PGconn *conn, const char *pipeline, size_t *ret_count, struct err *reterr)
{
    PGresult *result = NULL;
    bool there;

    *ret_count = 0;
    if (registry_is_there(conn, &there, reterr))
        return -1;
    if (!there)
        return 0;
    if (read_own(conn, pipeline, &result, reterr))
        return -1;
    *ret_count = (size_t)PQntuples(result);
    PQclear(result);
    return 0;
}

/* Only its owner may drop a schema; what `init` made as an admin stays, empty. */
static int drop_empty_schema(PGconn *conn, const char *schema, struct err *reterr)
{
    static const char SQL[] = "SELECT pg_has_role(n.nspowner, 'USAGE') AND NOT EXISTS "
                              "(SELECT FROM pg_class c WHERE c.relnamespace = n.oid) "
                              "FROM pg_namespace n WHERE n.nspname = $1";
    PGresult *result = NULL;
    struct buf sql;

    if (pg_query(conn, SIDE, "looking for mirrors", SQL, 1, &schema, &result, reterr))
        return -1;
    bool drop = PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (!drop)
        return 0;
    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "DROP SCHEMA ");
    pg_put_ident(&sql, schema);
    int failed = pg_run(conn, SIDE, "dropping the mirrors' schema", buf_text(&sql), reterr);
    buf_done(&sql);
    return failed;
}

static int drop_one(PGconn *conn, const PGresult *own, int row, struct err *reterr)
{
    const char *name = PQgetvalue(own, row, 1);
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "DROP %s IF EXISTS ", *PQgetvalue(own, row, 2) == 'v' ? "VIEW" : "TABLE");
    pg_put_qualified(&sql, PQgetvalue(own, row, 0), name);
    int failed = pg_run(conn, SIDE, "dropping a mirror", buf_text(&sql), reterr);
    buf_done(&sql);
    return failed ? mirror_explain_dependents(name, reterr) : 0;
}

static int forget_all(PGconn *conn, const char *pipeline, const PGresult *own, struct err *reterr)
{
    for (int i = 0; i < PQntuples(own); i++)
        if (drop_one(conn, own, i, reterr))
            return -1;
    for (int i = 0; i < PQntuples(own); i++)
        if ((i == 0 || strcmp(PQgetvalue(own, i, 0), PQgetvalue(own, i - 1, 0)) != 0) &&
            drop_empty_schema(conn, PQgetvalue(own, i, 0), reterr))
            return -1;
    return pg_query(conn, SIDE, "forgetting the mirrors", "DELETE FROM pgrekey.mirror WHERE pipeline = $1", 1,
                    &pipeline, NULL, reterr);
}

int mirror_forget(PGconn *conn, const char *pipeline, struct err *reterr)
{
    PGresult *own = NULL;
    bool there;

    if (registry_is_there(conn, &there, reterr))
        return -1;
    if (!there)
        return 0;
    if (read_own(conn, pipeline, &own, reterr))
        return -1;
    int failed = forget_all(conn, pipeline, own, reterr);
    PQclear(own);
    return failed;
}
