/* What a fast load will not touch, while it is still time to do something about it. */
#include <stdlib.h>

#include "cdc/app/check/check.h"
#include "cdc/pg/pg.h"

#define NAMES_SHOWN 8
#define TEXT_MAX_BYTES ((size_t)64 << 10)

void check_fast_load(struct check *check)
{
    static const char SQL[] =
        "SELECT c.relname, current_user, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c WHERE "
        "c.oid = ANY ($1::oid[]) AND EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND NOT "
        "i.indisunique) AND NOT (pg_catalog.pg_has_role(c.relowner, 'USAGE') AND "
        "pg_catalog.has_schema_privilege(c.relnamespace, 'CREATE')) ORDER BY 1";
    const struct relation **relations;
    struct buf oids, names, remedy;
    size_t count;
    if (!check->settings->snapshot_fast_load || (check->report && check->report->position.state == PIPELINE_STREAMING))
        return;
    relations = check_relations(check, false, &count);
    buf_init(&oids, (size_t)1 << 20);
    buf_init(&names, TEXT_MAX_BYTES);
    buf_init(&remedy, TEXT_MAX_BYTES);
    check_put_oids(&oids, relations, count);
    PGresult *result = check_query(check, false, "fast_load", SQL, 1, (const char *[]){buf_text(&oids)});
    if (result && PQntuples(result) > 0) {
        for (int row = 0; row < PQntuples(result); row++)
            check_put_names(&names, PQgetvalue(result, row, 0), (size_t)row, NAMES_SHOWN);
        buf_puts(&remedy, "GRANT ");
        pg_put_ident(&remedy, PQgetvalue(result, 0, 2));
        buf_puts(&remedy, " TO ");
        pg_put_ident(&remedy, PQgetvalue(result, 0, 1));
        buf_puts(&remedy, "; -- for the time of the load, and CREATE on the schema");
        findings_add(&check->findings, FINDING_WARNING, "target", "fast_load", buf_text(&remedy),
                     "the fast load leaves %d table%s as %s: the role does not own %s, or may not create in the "
                     "schema: %s",
                     PQntuples(result), PQntuples(result) == 1 ? "" : "s",
                     PQntuples(result) == 1 ? "it is" : "they are", PQntuples(result) == 1 ? "it" : "them",
                     buf_text(&names));
    }
    PQclear(result);
    buf_done(&oids);
    buf_done(&names);
    buf_done(&remedy);
    free(relations);
}
