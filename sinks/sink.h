/* The contract of a sink: takes batches of whole source transactions and keeps, with the rows, how far it came.
 *
 * A plug point in one struct of functions; every sink passes tests/contract. What a sink must hold:
 *   - the rows of a batch and its end position become durable together or not at all;
 *   - after a crash at any point, the position that the sink is opened with is the end of a whole source transaction
 *     whose effects, and nothing later, are there;
 *   - a batch that ends inside a source transaction (!complete) is not visible to others until the batch that
 *     completes it has been applied;
 *   - rows are applied as if one by one in source order; one that cannot be applied is kept aside with its
 *     change (quarantine), never dropped, and never stops the rest.
 *
 * Only apply() may leave a target transaction open, and only behind a batch that is not complete. It ends with the
 * batch that completes it; or is rolled back by a failing apply(), by whatever makes the pipeline pause, or by close().
 * After that its source transaction comes again from its begin.
 */
#ifndef PGREKEY_SINKS_SINK_H
#define PGREKEY_SINKS_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/err.h"
#include "transform/row.h"

/* The end of a source transaction inside a batch. */
struct txn_mark {
    size_t row_end;    /* rows [previous row_end, row_end) belong to it */
    uint64_t end_lsn;  /* end of its commit record: the position after it */
    int64_t commit_us; /* commit time on the source, microseconds since 1970; 0 where not sent */
    uint32_t xid;
};

/* One piece of the stream (or of a table's snapshot), filled by the receiving thread, applied by another.
 * Rows behind the last mark belong to a transaction that goes on in the next batch. */
struct batch {
    struct arena arena; /* rows, values, changes */
    size_t row_count, row_capacity;
    struct row **rows; /* malloc'ed, in source order */
    size_t txn_count, txn_capacity;
    struct txn_mark *txns;
    bool complete;     /* the last row is followed by a mark: the target transaction can end here */
    uint64_t end_lsn;  /* the position after this batch, valid where complete; of a part: the point it is read at */
    int snapshot_part; /* -1 for the stream; else the id of the snapshot part that it belongs to */
    bool part_done;    /* a snapshot part's last batch: the part becomes durable with it, whole */
};

void batch_init(struct batch *batch);
void batch_done(struct batch *batch);
void batch_reset(struct batch *batch);
void batch_add_row(struct batch *batch, struct row *row);
/* Marks the end of a source transaction: complete is true until the next row. Empty transactions may be
 * marked too: they move end_lsn. */
void batch_add_mark(struct batch *batch, uint64_t end_lsn, int64_t commit_us, uint32_t xid);
bool batch_is_empty(const struct batch *batch); /* no rows and no marks */

struct sink;

/* What a sink asks of whoever composes it: the whole row behind a partial one. */
struct row_source {
    void *context;
    /* Reads the source row of `partial` by key and transforms it anew for its rule, into arena. Returns 1 and
     * *ret_row; 0 where the row is gone at the source (its delete is on the way); -1 on failure. Blocks. */
    int (*complete)(void *context, const struct row *partial, struct arena *arena, struct row **ret_row,
                    struct err *reterr);
};

struct sink_ops {
    const char *name;
    /* Applies a batch, which stays as it is, its arena included: it may be a view that shares rows and arena with
     * others. Blocks until it is committed (complete) or sent (not complete). The batch may be reset
     * afterwards. On -1 with ERR_RETRY or ERR_FATAL nothing of the open target transaction remains: the caller
     * closes the sink and begins again from its position. ERR_POISON never comes out of here.
     * ERR_REFUSED: the pipeline must pause; nothing of the batch remains, it may be applied again. */
    int (*apply)(struct sink *sink, const struct batch *batch, struct err *reterr);
    /* The source position up to which everything is durable (survives a crash of the target host). Asks the
     * target where it must; cheap. */
    int (*durable)(struct sink *sink, uint64_t *ret_lsn, struct err *reterr);
    /* Idle work: requests of the operator, retries that are due. Called between batches, about once a second.
     * Does nothing inside an open target transaction. */
    int (*tick)(struct sink *sink, struct err *reterr);
    /* Ends the session. What was not committed is rolled back. NULL is fine. */
    void (*close)(struct sink *sink);
};

struct sink {
    const struct sink_ops *ops;
};

static inline int sink_apply(struct sink *s, const struct batch *b, struct err *e)
{
    return s->ops->apply(s, b, e);
}
static inline int sink_durable(struct sink *s, uint64_t *lsn, struct err *e)
{
    return s->ops->durable(s, lsn, e);
}
static inline int sink_tick(struct sink *s, struct err *e)
{
    return s->ops->tick(s, e);
}
static inline void sink_close(struct sink *s)
{
    if (s)
        s->ops->close(s);
}

#endif
