#include "sinks/postgres/quarantine/keep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cdc/base/clock.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/audit.h"

#define EXPIRE_MAX 1000 /* at a time: the stream waits meanwhile */
#define INTERVAL_US INT64_C(60000000)

static int expire(struct pgsink *s, int64_t *ret_count, struct err *reterr)
{
    char keep[24], limit[16];
    const char *params[] = {s->options.pipeline, keep, limit};
    PGresult *result = NULL;

    snprintf(keep, sizeof(keep), "%" PRId64, s->options.keep_resolved_s);
    snprintf(limit, sizeof(limit), "%d", EXPIRE_MAX);
    if (session_query(
            s, "deleting resolved entries",
            "DELETE FROM pgrekey.quarantine WHERE id IN (SELECT id FROM pgrekey.quarantine WHERE pipeline = $1"
            " AND status = 'resolved' AND resolved_at < now() - $2::bigint * interval '1 second'"
            " ORDER BY resolved_at LIMIT $3::int)",
            3, params, &result, reterr))
        return -1;
    *ret_count = strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return *ret_count ? audit_put(s, "expire", NULL, *ret_count, "resolved entries of the quarantine", reterr) : 0;
}

int keep_expire(struct pgsink *s, struct err *reterr)
{
    int64_t now_us = clock_mono_us(), count = 0;

    if (s->options.keep_resolved_s == 0 || now_us < s->next_expiry_us)
        return 0;
    if (session_begin(s, reterr) || expire(s, &count, reterr) || session_commit(s, reterr)) {
        session_rollback(s);
        return -1;
    }
    if (count < EXPIRE_MAX) /* else more at the next tick */
        s->next_expiry_us = now_us + INTERVAL_US;
    return 0;
}
