/* Which position the target's disk has seen.
 *
 * Commits do not wait for the disk. So when asked, at most every ASK_US, we note (position committed by now, where the
 * target's WAL ends now); once the target has flushed that far, the position is safe. Commits cost nothing extra.
 *
 *     marks:  (lsn 10, target 100) (lsn 25, target 180) (lsn 31, target 240)      flushed 200 ─▶ confirmed 25
 */
#include "sinks/postgres/session/durable.h"

#include <stdlib.h>

#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"
#include "sinks/postgres/session/session.h"

#define ASK_US INT64_C(50000)
/* The target writes its WAL within a fraction of a second by itself; if not, we make it. */
#define STUCK_US INT64_C(1000000)
#define MARKS 32

struct mark {
    uint64_t lsn, target_lsn;
    int64_t since_us;
};

struct durable {
    struct mark marks[MARKS]; /* oldest first */
    size_t count;
    uint64_t noted, confirmed;
    int64_t asked_us;
};

struct durable *durable_new(void)
{
    return mem_zalloc(1, sizeof(struct durable));
}

void durable_free(struct durable *durable)
{
    free(durable);
}

static void confirm(struct durable *d, uint64_t flushed)
{
    size_t done = 0;

    while (done < d->count && d->marks[done].target_lsn <= flushed)
        d->confirmed = d->marks[done++].lsn;
    for (size_t i = done; i < d->count; i++)
        d->marks[i - done] = d->marks[i];
    d->count -= done;
}

static int look(struct pgsink *s, int64_t now_us, struct err *reterr)
{
    struct durable *d = s->durable;
    uint64_t inserted = 0, flushed = 0;
    PGresult *result = NULL;
    bool read;

    if (session_query(s, "asking what is on disk", "SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()", 0,
                      NULL, &result, reterr))
        return -1;
    read = lsn_parse(PQgetvalue(result, 0, 0), &inserted) && lsn_parse(PQgetvalue(result, 0, 1), &flushed);
    PQclear(result);
    if (!read)
        return err_set(reterr, ERR_FATAL, "the target's WAL position cannot be read");
    if (s->lsn > d->noted && d->count < MARKS) {
        d->marks[d->count++] = (struct mark){.lsn = s->lsn, .target_lsn = inserted, .since_us = now_us};
        d->noted = s->lsn;
    }
    confirm(d, flushed);
    d->asked_us = now_us;
    return 0;
}

/* A commit that waits for the disk takes all earlier ones with it. */
int durable_settle(struct pgsink *s, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};

    if (session_run(s, "writing to disk", "BEGIN; SET LOCAL synchronous_commit = local", reterr) ||
        session_query(s, "writing to disk", "UPDATE pgrekey.pipeline SET updated_at = updated_at WHERE name = $1", 1,
                      params, NULL, reterr) ||
        session_run(s, "writing to disk", "COMMIT", reterr))
        return -1;
    s->durable->confirmed = s->durable->noted = s->lsn;
    s->durable->count = 0;
    return 0;
}

int durable_ask(struct pgsink *s, uint64_t *ret_lsn, struct err *reterr)
{
    struct durable *d = s->durable;
    int64_t now_us = clock_mono_us();

    if (d->confirmed != s->lsn && now_us - d->asked_us >= ASK_US) {
        if (look(s, now_us, reterr))
            return -1;
        if (d->count && now_us - d->marks[0].since_us > STUCK_US && !s->in_transaction && durable_settle(s, reterr))
            return -1;
    }
    *ret_lsn = d->confirmed;
    return 0;
}
