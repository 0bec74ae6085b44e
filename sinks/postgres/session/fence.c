#include "sinks/postgres/session/fence.h"

#include <stdio.h>

#include "sinks/postgres/opening.h"
#include "sinks/postgres/session/session.h"

int fence_join(struct pgsink *s, struct err *reterr)
{
    PGresult *result = NULL;

    if (session_query(s, "reading the pipeline's record",
                      "SELECT snapshot_begun::text FROM pgrekey.pipeline WHERE name = $1", 1,
                      (const char *[]){s->options.pipeline}, &result, reterr))
        return -1;
    if (PQntuples(result) == 1)
        snprintf(s->snapshot_begun, sizeof(s->snapshot_begun), "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    if (*s->snapshot_begun)
        return 0;
    return err_set(reterr, ERR_RETRY, "pipeline %s is in no snapshot", s->options.pipeline);
}

/* A key-share lock: the engine may go on writing into its record, but not take it away. */
int fence_hold(struct pgsink *s, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, s->snapshot_begun};
    PGresult *result = NULL;
    bool holds;

    if (session_query(s, "holding the snapshot's record",
                      "SELECT FROM pgrekey.pipeline WHERE name = $1 AND snapshot_begun = $2::timestamptz "
                      "FOR KEY SHARE",
                      2, params, &result, reterr))
        return -1;
    holds = PQntuples(result) == 1;
    PQclear(result);
    if (holds)
        return 0;
    return err_set(reterr, ERR_RETRY, "the snapshot of pipeline %s was given up for another one", s->options.pipeline);
}

int fence_close(struct pgsink *s, struct err *reterr)
{
    int wait_s = s->options.lock_wait_s > 0 ? s->options.lock_wait_s : OPENING_LOCK_WAIT_S;
    char sql[64];

    snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = '%ds'", wait_s);
    if (s->options.lock_timeout_ms <= 0 && session_run(s, "waiting for loaders", sql, reterr))
        return -1;
    return session_query(s, "waiting for loaders", "SELECT FROM pgrekey.pipeline WHERE name = $1 FOR UPDATE", 1,
                         (const char *[]){s->options.pipeline}, NULL, reterr);
}
