/* Steps that hold more rows in quarantine than their mapping accepts (accept_loss). */
#include <stdlib.h>

#include "sinks/postgres/session/session.h"

int pgsink_losses(struct sink *sink, struct sink_loss **ret_losses, size_t *ret_count, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;

    if (session_query(
            s, "reading the accounts",
            "SELECT step, quarantined, accepted FROM (SELECT m.step, c.quarantined, coalesce(m.accept_rows, "
            "m.accept_ppm * (c.mapped + c.quarantined + c.excluded) / 1000000) AS accepted "
            "FROM pgrekey.mapping_step m JOIN pgrekey.counter c ON c.pipeline = m.pipeline AND c.rule = m.step "
            "WHERE m.pipeline = $1 AND m.state <> 'removed') a WHERE quarantined > accepted ORDER BY step",
            1, params, &result, reterr))
        return -1;
    *ret_count = (size_t)PQntuples(result);
    *ret_losses = mem_zalloc(*ret_count + 1, sizeof(**ret_losses));
    for (size_t i = 0; i < *ret_count; i++)
        (*ret_losses)[i] = (struct sink_loss){
            .step = mem_strdup(PQgetvalue(result, (int)i, 0)),
            .quarantined = strtoll(PQgetvalue(result, (int)i, 1), NULL, 10),
            .accepted = strtoll(PQgetvalue(result, (int)i, 2), NULL, 10),
        };
    PQclear(result);
    return 0;
}
