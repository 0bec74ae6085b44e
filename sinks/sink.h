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
#include "sinks/pipeline.h"
#include "sinks/resync.h"
#include "transform/row.h"

/* The end of a source transaction inside a batch. */
struct txn_mark {
    size_t row_end;    /* rows [previous row_end, row_end) belong to it */
    uint64_t end_lsn;  /* end of its commit record: the position after it */
    int64_t commit_us; /* commit time on the source, microseconds since 1970; 0 where not sent */
    uint32_t xid;
};

/* How far a partition of a topic has been read, where the source is one: durable with the batch, and moved from where
 * it stood by compare-and-set. */
struct batch_offset {
    const char *topic;
    int partition;
    int64_t from, to; /* of the next message; from -1: none is recorded */
    uint64_t lsn;     /* of the last source transaction that was seen there */
};

/* A message that is none: recorded by its place, without what it holds. */
struct batch_letter {
    const char *topic;
    int partition;
    int64_t offset;
    const char *reason;
};

/* One piece of the stream (or of a table's snapshot), filled by the receiving thread, applied by another.
 * Rows behind the last mark belong to a transaction that goes on in the next batch. */
struct batch {
    struct arena arena; /* rows, values, changes */
    size_t row_count, row_capacity;
    struct row **rows; /* malloc'ed, in source order */
    size_t txn_count, txn_capacity;
    struct txn_mark *txns;
    bool complete;        /* the last row is followed by a mark: the target transaction can end here */
    uint64_t end_lsn;     /* the position after this batch, valid where complete; of a part: the point it is read at */
    struct txn_mark open; /* the transaction that rows behind the last mark belong to; end_lsn 0: not known yet */
    int snapshot_part;    /* -1 for the stream; else the id of the snapshot part that it belongs to */
    bool part_done;       /* a snapshot part's last batch: the part becomes durable with it, whole */
    /* A transaction of the stream that is a part of a table which joins: this batch completes it, and it is done. */
    bool joins;
    int joined_part;
    uint64_t joined_rows;
    const struct resync_progress *resync; /* of a sink that keeps resyncs itself: durable with the batch; or NULL */
    size_t offset_count, letter_count;    /* of a replay: moved and recorded when the target transaction ends */
    const struct batch_offset *offsets;
    const struct batch_letter *letters;
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
struct rule;

/* What a sink asks of whoever composes it: the whole row behind a partial one. */
struct row_source {
    void *context;
    /* Reads the source row of `partial` by key and transforms it anew for its rule, into arena. Returns 1 and
     * *ret_row; 0 where the row is gone at the source (its delete is on the way); -1 on failure. Blocks. */
    int (*complete)(void *context, const struct row *partial, struct arena *arena, struct row **ret_row,
                    struct err *reterr);
};

/* And, where rows go elsewhere than to the target that has adopted rows: their ids there. put NULL: none are asked for.
 */
struct row_names_fact {
    char *entity, *digest; /* digest: another one means that other ids are adopted */
};
struct row_names {
    void *context;
    int (*put)(void *context, struct row **rows, size_t count, struct arena *arena, struct err *reterr);
    const struct row_names_fact *facts;
    size_t fact_count;
};

/* A row of a mirror, its columns in the rule's order; the values live until it returns. It may fail. */
typedef int (*sink_take_fn)(void *context, const struct value *values, struct err *reterr);

/* What strays_find hands over: a source key as sample.h takes it, which lives until it returns. `stay` is called now
 * and then meanwhile. */
struct sink_strays {
    void *context;
    int (*take)(void *context, const char *key, struct err *reterr);
    int (*stay)(void *context, struct err *reterr);
};

/* A figure of a sink's own, by the name it has as a metric. */
typedef void (*sink_measure_fn)(void *context, const char *name, const char *labels, double value);

/* What may be NULL is marked so: there is nothing to do for such a sink. The second half is the life of a pipeline; all
 * of it is called between batches. */
struct sink_ops {
    const char *name;
    bool wants_commits; /* xid, commit LSN and commit time are to be known from a transaction's first row on */
    bool joins;         /* parts may be brought while the stream goes on (batch.joins) */
    int loaders_max;    /* sessions that may load parts of a snapshot side by side; 0: any number */
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
     * Inside an open target transaction it only sees to it that this does not grow too old. */
    int (*tick)(struct sink *sink, struct err *reterr);
    /* Ends the session. What was not committed is rolled back. NULL is fine. */
    void (*close)(struct sink *sink);

    /* The slot is ours now, and nobody else reads it: the first write may come. From then on a session that was here
     * before is shut out; where it has moved the position meanwhile, ERR_RETRY. NULL: pgsink has a lock instead. */
    int (*take_over)(struct sink *sink, struct err *reterr);
    /* Moves the position over transactions that concern no rule, in a transaction of its own. */
    int (*advance)(struct sink *sink, uint64_t lsn, struct err *reterr);
    /* Records that the pipeline pauses and why (one sentence, no values), or that it goes on. A pause rolls an open
     * target transaction back first; going on also resets the breaker. */
    int (*pause)(struct sink *sink, const char *category, const char *reason, struct err *reterr);
    int (*resume)(struct sink *sink, struct err *reterr);
    /* Did an operator ask for it (`pgrekey resume`) since the last call? Known after tick. */
    bool (*resume_requested)(struct sink *sink);
    void (*figures)(struct sink *sink, struct sink_figures *ret_figures);
    void (*measure)(struct sink *sink, sink_measure_fn tell, void *context); /* or NULL */

    /* The mapping's steps. */
    int (*steps_due)(struct sink *sink, struct sink_step **ret_steps, size_t *ret_count, struct err *reterr);
    int (*steps_loaded)(struct sink *sink, struct err *reterr); /* rules whose parts are all done are new no longer */
    int (*losses)(struct sink *sink, struct sink_loss **ret_losses, size_t *ret_count,
                  struct err *reterr);                                           /* or NULL */
    int (*resync_waits)(struct sink *sink, bool *ret_waits, struct err *reterr); /* or NULL */
    /* Where the sink keeps them itself; else NULL, and they are kept on the target (resync_store.h). Those that are not
     * over, oldest first: the caller frees each, and the array. end: one that cannot be done at all. Both between
     * batches, before there is an applier; how far they come is told with batches (batch.resync). */
    int (*resyncs_read)(struct sink *sink, struct resync_record ***ret_records, size_t *ret_count, struct err *reterr);
    int (*resync_end)(struct sink *sink, const struct resync_record *record, const char *result, struct err *reterr);
    /* Keys of a table's rows that stand in the sink as they were before `since`, and were not written or deleted since.
     * A piece at a time: *at is 0, then what the last call made of it, in the end UINT64_MAX. Any thread; blocks. */
    int (*strays_find)(struct sink *sink, const struct rule *rule, uint64_t since, uint64_t *at,
                       const struct sink_strays *strays, struct err *reterr);
    /* All rows of a mirror that is looked up in. More than max_rows: ERR_CONFIG. */
    int (*mirror_read)(struct sink *sink, const struct rule *rule, size_t max_rows, sink_take_fn take, void *context,
                       struct err *reterr);

    /* --- the life of a snapshot ---
     *
     *     begin ─▶ plan ─▶ (loaders: a part is one transaction) ─▶ end            state SNAPSHOT ─▶ STREAMING
     *                       ▲            │ cut off
     *                       └─ resume ◀──┘   parts that are done stay; the others hold nothing
     *
     * begin: refuses (ERR_REFUSED, names the table) unless all is empty; then records state SNAPSHOT, durable before it
     * returns. With `again`, the record already says SNAPSHOT, but holds no plan, so that nothing has been loaded.
     * plan: records the slot's consistent point and all parts, durable before it returns; ids are 0, 1, … in order.
     * resume: keeps the loaders of a dead engine out, once what they had in hand has ended.
     * settle: after loaders, whose work this session has not seen. Part of the end; needed wherever else they loaded.
     * end: state STREAMING at lsn, durable before it returns.
     * abandon: takes back one that this session has begun. */
    int (*snapshot_begin)(struct sink *sink, bool again, struct err *reterr);
    int (*snapshot_plan)(struct sink *sink, uint64_t consistent_lsn, const struct sink_part *parts, size_t count,
                         struct err *reterr);
    int (*snapshot_resume)(struct sink *sink, struct err *reterr);
    int (*snapshot_settle)(struct sink *sink, struct err *reterr); /* or NULL */
    int (*snapshot_end)(struct sink *sink, uint64_t lsn, struct err *reterr);
    int (*snapshot_abandon)(struct sink *sink, struct err *reterr);
    /* All parts by id; none where no plan has been recorded. */
    int (*parts_read)(struct sink *sink, struct sink_part **ret_parts, size_t *ret_count, struct err *reterr);
    /* While it streams: parts of rules that have joined; their ids are given here. at_once: they are loaded before the
     * stream goes on. */
    int (*parts_add)(struct sink *sink, struct sink_part *parts, size_t count, bool at_once, struct err *reterr);
    /* A further session for loading one part at a time beside the main one. The batches of a part are one target
     * transaction, with the part's record (batch.snapshot_part, part_done). It loads for the snapshot that is under way
     * when it is opened: once that has been begun anew or resumed, its batches fail (ERR_RETRY). Called by any thread.
     */
    int (*loader_open)(struct sink *sink, struct sink **ret_loader, struct err *reterr);
    /* The parts up to this level are in: what a fast load took off their tables is built again. Or NULL. */
    int (*level_loaded)(struct sink *sink, int level, struct err *reterr);
    const struct sink_fast_load *(*fast_load)(struct sink *sink); /* or NULL */
    /* Derivations of one level over all keys, once the rows of the levels up to it are loaded; those that are new or
     * changed. Or NULL: they are computed elsewhere. */
    int (*derive_all)(struct sink *sink, int level, struct err *reterr);
    int (*derive_due)(struct sink *sink, struct err *reterr);
    /* Those of the latter that stand above a level rest until the sink is closed: what they read there is not whole. */
    int (*derive_rest)(struct sink *sink, int level, struct err *reterr);
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
static inline int sink_take_over(struct sink *s, struct err *e)
{
    return s->ops->take_over ? s->ops->take_over(s, e) : 0;
}
static inline int sink_advance(struct sink *s, uint64_t lsn, struct err *e)
{
    return s->ops->advance(s, lsn, e);
}
static inline int sink_pause(struct sink *s, const char *category, const char *reason, struct err *e)
{
    return s->ops->pause(s, category, reason, e);
}
static inline int sink_resume(struct sink *s, struct err *e)
{
    return s->ops->resume(s, e);
}
static inline bool sink_resume_requested(struct sink *s)
{
    return s->ops->resume_requested(s);
}
static inline void sink_figures(struct sink *s, struct sink_figures *ret_figures)
{
    s->ops->figures(s, ret_figures);
}
static inline void sink_measure(struct sink *s, sink_measure_fn tell, void *context)
{
    if (s->ops->measure)
        s->ops->measure(s, tell, context);
}
static inline int sink_steps_due(struct sink *s, struct sink_step **ret_steps, size_t *ret_count, struct err *e)
{
    return s->ops->steps_due(s, ret_steps, ret_count, e);
}
static inline int sink_steps_loaded(struct sink *s, struct err *e)
{
    return s->ops->steps_loaded(s, e);
}
static inline int sink_losses(struct sink *s, struct sink_loss **ret_losses, size_t *ret_count, struct err *e)
{
    return s->ops->losses ? s->ops->losses(s, ret_losses, ret_count, e) : 0;
}
static inline int sink_resync_waits(struct sink *s, bool *ret_waits, struct err *e)
{
    return s->ops->resync_waits ? s->ops->resync_waits(s, ret_waits, e) : 0;
}
static inline int sink_resyncs_read(struct sink *s, struct resync_record ***ret_records, size_t *ret_count,
                                    struct err *e)
{
    return s->ops->resyncs_read(s, ret_records, ret_count, e);
}
static inline int sink_resync_end(struct sink *s, const struct resync_record *record, const char *result, struct err *e)
{
    return s->ops->resync_end(s, record, result, e);
}
static inline int sink_strays_find(struct sink *s, const struct rule *rule, uint64_t since, uint64_t *at,
                                   const struct sink_strays *strays, struct err *e)
{
    return s->ops->strays_find(s, rule, since, at, strays, e);
}
static inline int sink_mirror_read(struct sink *s, const struct rule *rule, size_t max_rows, sink_take_fn take,
                                   void *context, struct err *e)
{
    return s->ops->mirror_read(s, rule, max_rows, take, context, e);
}
static inline int sink_snapshot_begin(struct sink *s, bool again, struct err *e)
{
    return s->ops->snapshot_begin(s, again, e);
}
static inline int sink_snapshot_plan(struct sink *s, uint64_t lsn, const struct sink_part *parts, size_t count,
                                     struct err *e)
{
    return s->ops->snapshot_plan(s, lsn, parts, count, e);
}
static inline int sink_snapshot_resume(struct sink *s, struct err *e)
{
    return s->ops->snapshot_resume(s, e);
}
static inline int sink_snapshot_settle(struct sink *s, struct err *e)
{
    return s->ops->snapshot_settle ? s->ops->snapshot_settle(s, e) : 0;
}
static inline int sink_snapshot_end(struct sink *s, uint64_t lsn, struct err *e)
{
    return s->ops->snapshot_end(s, lsn, e);
}
static inline int sink_snapshot_abandon(struct sink *s, struct err *e)
{
    return s->ops->snapshot_abandon(s, e);
}
static inline int sink_parts_read(struct sink *s, struct sink_part **ret_parts, size_t *ret_count, struct err *e)
{
    return s->ops->parts_read(s, ret_parts, ret_count, e);
}
static inline int sink_parts_add(struct sink *s, struct sink_part *parts, size_t count, bool at_once, struct err *e)
{
    return s->ops->parts_add(s, parts, count, at_once, e);
}
static inline int sink_loader_open(struct sink *s, struct sink **ret_loader, struct err *e)
{
    return s->ops->loader_open(s, ret_loader, e);
}
static inline int sink_level_loaded(struct sink *s, int level, struct err *e)
{
    return s->ops->level_loaded ? s->ops->level_loaded(s, level, e) : 0;
}
static inline struct sink_fast_load sink_fast_load(struct sink *s)
{
    return s->ops->fast_load ? *s->ops->fast_load(s) : (struct sink_fast_load){0};
}
static inline int sink_derive_all(struct sink *s, int level, struct err *e)
{
    return s->ops->derive_all ? s->ops->derive_all(s, level, e) : 0;
}
static inline int sink_derive_due(struct sink *s, struct err *e)
{
    return s->ops->derive_due ? s->ops->derive_due(s, e) : 0;
}
static inline int sink_derive_rest(struct sink *s, int level, struct err *e)
{
    return s->ops->derive_rest ? s->ops->derive_rest(s, level, e) : 0;
}

#endif
