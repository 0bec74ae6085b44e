#include "sinks/postgres/quarantine/retry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/state/audit.h"

#define DUE_MAX 100 /* a tick: the stream waits meanwhile */
#define SCRATCH_KEEP_BYTES ((size_t)1 << 20)

int retry_begin(struct pgsink *s, struct err *reterr)
{
    if (session_begin(s, reterr))
        return -1;
    return s->deferrable ? session_run(s, "beginning a transaction", "SET CONSTRAINTS ALL IMMEDIATE", reterr) : 0;
}

int retry_commit(struct pgsink *s, struct err *reterr)
{
    return row_savepoint_end(s, reterr) || counters_flush(s, reterr) || session_commit(s, reterr) ? -1 : 0;
}

static int try_each(struct pgsink *s, int64_t *ids, size_t *count, struct err *reterr)
{
    bool moved = true;

    while (moved && *count) {
        size_t kept = 0;
        moved = false;
        for (size_t i = 0; i < *count; i++) {
            bool resolved;
            arena_reset(&s->scratch, SCRATCH_KEEP_BYTES);
            if (rowmode_again(s, ids[i], &resolved, reterr))
                return -1;
            if (resolved)
                moved = true;
            else
                ids[kept++] = ids[i];
        }
        *count = kept;
    }
    return row_savepoint_end(s, reterr);
}

static int try_all(struct pgsink *s, int64_t *ids, size_t *count, struct err *reterr)
{
    size_t before, woken;

    if (try_each(s, ids, count, reterr))
        return -1;
    before = *count;
    if (rowmode_together(s, ids, count, reterr))
        return -1;
    if (*count < before && try_each(s, ids, count, reterr))
        return -1;
    if (park_drain(s, &woken, reterr))
        return -1;
    if (woken == 0)
        return 0;
    return park_finish(s, reterr) || try_each(s, ids, count, reterr) ? -1 : 0;
}

int retry_entries(struct pgsink *s, int64_t *ids, size_t *count, struct err *reterr)
{
    bool wrote = true;

    while (wrote) {
        if (try_all(s, ids, count, reterr) || derive_run(s, &wrote, reterr))
            return -1;
        derive_stands(s);
        wrote = wrote && *count;
    }
    return 0;
}

/* --- automatic retries --- */

#define DUE "next_try <= now() ORDER BY next_try, id"
#define BLOCKED "blocked_by IS NOT NULL ORDER BY id"

static int find_entries(struct pgsink *s, const char *which, int64_t *ids, size_t *ret_count, struct err *reterr)
{
    char sql[256];
    const char *params[] = {s->options.pipeline};
    PGresult *result;

    snprintf(sql, sizeof(sql),
             "SELECT id FROM pgrekey.quarantine WHERE pipeline = $1 AND status = 'pending' AND %s LIMIT %d", which,
             DUE_MAX);
    if (session_query(s, "reading the quarantine", sql, 1, params, &result, reterr))
        return -1;
    *ret_count = (size_t)PQntuples(result);
    for (int i = 0; i < PQntuples(result); i++)
        ids[i] = strtoll(PQgetvalue(result, i, 0), NULL, 10);
    PQclear(result);
    return 0;
}

static int retry_once(struct pgsink *s, int64_t *ids, size_t count, struct err *reterr)
{
    char detail[96];
    size_t left = count;

    if (retry_entries(s, ids, &left, reterr) || row_savepoint_end(s, reterr))
        return -1;
    for (size_t i = 0; i < left; i++)
        if (quarantine_postpone(s, ids[i], reterr))
            return -1;
    snprintf(detail, sizeof(detail), "automatic: %zu resolved, %zu still failing", count - left, left);
    return audit_put(s, "retry", NULL, (int64_t)count, detail, reterr);
}

static bool any_standing(const struct pgsink *s)
{
    for (size_t i = 0; i < s->rule_count; i++)
        if (s->rules[i].standing > 0)
            return true;
    for (size_t i = 0; i < derive_count(s); i++)
        if (*derive_standing(s, i) > 0)
            return true;
    return false;
}

static int retry_found(struct pgsink *s, const char *which, struct err *reterr)
{
    int64_t ids[DUE_MAX];
    size_t count;

    if (!any_standing(s))
        return 0;
    if (find_entries(s, which, ids, &count, reterr))
        return -1;
    if (count == 0)
        return 0;
    if (retry_begin(s, reterr) || retry_once(s, ids, count, reterr) || retry_commit(s, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

int retry_due(struct pgsink *s, struct err *reterr)
{
    return retry_found(s, DUE, reterr);
}

int retry_blocked(struct pgsink *s, struct err *reterr)
{
    return retry_found(s, BLOCKED, reterr);
}
