/* What stands beside the rows: keys whose target row stays although their source row is gone or excluded, and
 * references that are NULL because their parent is not there. Where a rule has none, nobody asks. */
#include "sinks/postgres/rowwork.h"

int gone_find(struct pgsink *s, const struct rule *rule, const char *key, bool *ret_gone, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};
    PGresult *result;

    *ret_gone = false;
    if (rule_state_of(s, rule)->gone == 0)
        return 0;
    if (session_query(s, "reading the marks of kept rows",
                      "SELECT 1 FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2 AND key = $3", 3, params, &result,
                      reterr))
        return -1;
    *ret_gone = PQntuples(result) > 0;
    PQclear(result);
    return 0;
}

int gone_put(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};

    rule_state_of(s, rule)->gone++;
    return session_query(s, "marking a kept row",
                         "INSERT INTO pgrekey.gone (pipeline, rule, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3,
                         params, NULL, reterr);
}

int gone_remove(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};

    if (rule_state_of(s, rule)->gone == 0)
        return 0;
    return session_query(s, "taking a mark off",
                         "DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2 AND key = $3", 3, params, NULL,
                         reterr);
}

int pending_put(struct pgsink *s, const struct rule *rule, const char *key, const struct rule_column *column,
                const struct value *parent, struct err *reterr)
{
    const char *params[] = {s->options.pipeline,
                            rule->name,
                            key,
                            column->name,
                            column->parent_entity,
                            value_text(parent, &s->rowmode->arena)};

    rule_state_of(s, rule)->pending++;
    return session_query(
        s, "noting a reference that waits",
        "INSERT INTO pgrekey.pending_reference (pipeline, rule, key, column_name, parent_entity, parent_id)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (pipeline, rule, key, column_name) DO UPDATE"
        " SET parent_entity = excluded.parent_entity, parent_id = excluded.parent_id",
        6, params, NULL, reterr);
}

int pending_remove(struct pgsink *s, const struct rule *rule, const char *key, const char *column_or_null,
                   struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key, column_or_null};

    if (rule_state_of(s, rule)->pending == 0)
        return 0;
    return session_query(s, "forgetting a reference that waited",
                         "DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2 AND key = $3"
                         " AND ($4::text IS NULL OR column_name = $4)",
                         4, params, NULL, reterr);
}
