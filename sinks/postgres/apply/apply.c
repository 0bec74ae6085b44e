/* A batch to the target: quickly where it is small and plain, else chunk by chunk in a transaction that stays open
 * until the source's is whole. */
#include "sinks/postgres/apply/apply.h"

#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/apply/quickpath.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/breaker.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/record.h"
#include "sinks/postgres/steps/returned.h"

static size_t end_of_run(const struct batch *batch, size_t from, bool truncates)
{
    size_t end = from;

    while (end < batch->row_count && (batch->rows[end]->op == ROW_TRUNCATE) == truncates)
        end++;
    return end;
}

/* Truncates divide a batch: what is before one must be there when it comes. Those of several tables stay together. */
static int apply_rows(struct pgsink *s, const struct batch *batch, struct err *reterr)
{
    bool truncates = false;
    size_t woken;

    for (size_t from = 0, end; from < batch->row_count; from = end, truncates = !truncates) {
        end = end_of_run(batch, from, truncates);
        if (truncates ? rowmode_apply(s, batch->rows + from, end - from, reterr)
                      : chunk_apply(s, batch->rows + from, end - from, reterr))
            return -1;
        if (park_drain(s, &woken, reterr))
            return -1;
    }
    return rowmode_released(s, batch->rows, batch->row_count, reterr);
}

int apply_refuse_if_open(const struct pgsink *s, struct err *reterr)
{
    if (!breaker_is_open(s->breaker))
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "too many of the last rows failed; the last one: %s", s->rowmode->failure);
    (void)err_pause(reterr, "breaker");
    return err_hint(reterr, "mend the target or the data, then `pgrekey resume`; without mending, resume sends these "
                            "rows to quarantine");
}

static int apply_long_way(struct pgsink *s, const struct batch *batch, struct err *reterr)
{
    if ((!s->in_transaction && session_begin(s, reterr)) || adopted_settle(s, reterr) ||
        returned_meet(s, batch, reterr))
        return -1;
    if (apply_rows(s, batch, reterr))
        return -1;
    if (apply_refuse_if_open(s, reterr))
        return -1;
    if (!batch->complete && batch->snapshot_part < 0)
        return 0;
    if (park_finish(s, reterr) || apply_refuse_if_open(s, reterr))
        return -1;
    /* A part of a snapshot is one transaction: one that was cut off has left nothing. */
    if (batch->snapshot_part >= 0)
        s->part_rows += batch->row_count;
    if (batch->snapshot_part >= 0 && !batch->part_done)
        return 0;
    return record_commit(s, batch, reterr);
}

/* Where it proves to concern rows of other workers, it begins again, alone. */
static int apply_among_others(struct pgsink *s, const struct batch *batch, struct err *reterr)
{
    struct err said = {0};
    int rc;

    s->must_be_alone = false;
    rc = apply_long_way(s, batch, &said);
    if (rc && s->must_be_alone) {
        session_rollback(s);
        rc = apply_long_way(s, batch, &said);
        s->must_be_alone = false;
    }
    if (rc)
        *reterr = said;
    return rc;
}

int apply_batch(struct sink *sink, const struct batch *batch, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    struct batch view;
    bool done = false;
    int rc;

    s->snapshot = batch->snapshot_part >= 0;
    rc = adopted_translate(s, batch, &view, reterr);
    if (rc == 0 && !adopted_unsettled(s) && !s->shared)
        rc = quickpath_apply(s, &view, &done, reterr);
    if (rc == 0 && !done)
        rc = s->shared ? apply_among_others(s, &view, reterr) : apply_long_way(s, &view, reterr);
    if (rc) {
        session_rollback(s);
        return -1;
    }
    if (!s->in_transaction)
        breaker_passed(s->breaker);
    s->figures.batches++;
    s->figures.rows += batch->row_count;
    s->figures.transactions += batch->txn_count;
    return 0;
}
