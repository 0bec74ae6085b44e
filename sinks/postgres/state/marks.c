/* Where a rule has no mark, nobody asks for one. */
#include "sinks/postgres/state/marks.h"

#include "sinks/postgres/session/session.h"

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
