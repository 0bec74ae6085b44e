/* The PostgreSQL sink: rows, quarantine, counters, audit and position in one target transaction.
 *
 * A pgsink is one session on the target that holds the pipeline's advisory lock. During a snapshot further
 * loader sessions write beside it. It is a `struct sink`; what stands here is what only this sink has: the
 * pipeline's record on the target, and the life of a snapshot.
 */
#ifndef PGREKEY_SINKS_POSTGRES_PGSINK_H
#define PGREKEY_SINKS_POSTGRES_PGSINK_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "cdc/base/identity.h"
#include "sinks/pipeline.h"
#include "sinks/sink.h"
#include "transform/map.h"

struct pgsink_options {
    const char *conninfo, *password_file;
    const char *pipeline; /* name of the record in pgrekey.pipeline; one target may hold several */
    const char *slot;
    const struct map *map;        /* bound; outlives the sink */
    const struct catalog *target; /* what the map was bound to */
    struct source_identity source;
    struct row_source rows;   /* whole rows behind partial ones */
    int lock_wait_s;          /* how long to wait for a dead session's advisory lock; 0: 90 */
    int statement_timeout_ms; /* 0: none */
    int lock_timeout_ms;      /* 0: none */
    int breaker_window;       /* rows looked back on; 0: the breaker is off */
    int breaker_percent;      /* failures among them that open it */
    int retry_limit;          /* automatic retries of a quarantined row; default 3 */
    int retry_backoff_s;      /* before the first of them, doubling */
    int64_t keep_resolved_s;  /* resolved entries of the quarantine; 0: for ever */
    bool shared;              /* other sessions may write the pipeline too, once it streams; pgsink_share */
    bool fast_load;           /* a first snapshot takes indexes and foreign keys off empty tables; fastload.h */
};

/* Opens the session, waits for the advisory lock, reads the record and compares source, slot and mapping with
 * it (ERR_REFUSED where going on would harm, with the way out; a rule that makes its rows otherwise goes on and is
 * due). ERR_CONFIG where `pgrekey init` has not been run, where a transaction pooler is in the way, or the server is
 * read-only (hot standby). */
int pgsink_open(const struct pgsink_options *options, struct sink **ret_sink, struct sink_position *ret_position,
                struct err *reterr) MUST_CHECK;

/* --- the life of a snapshot ---
 *
 *     begin ─▶ plan ─▶ (loaders: a part is one transaction) ─▶ end            state SNAPSHOT ─▶ STREAMING
 *                       ▲            │ cut off
 *                       └─ resume ◀──┘   parts that are done stay; the others hold nothing
 *
 * pgsink_snapshot_begin: refuses (ERR_REFUSED, names the table) unless every target table is empty; then records
 * state SNAPSHOT, durable before it returns. With `again`, the record already says SNAPSHOT, but holds no plan, so that
 * nothing has been loaded: the record is made anew.
 * pgsink_snapshot_plan: records the slot's consistent point and all parts, durable before it returns. Their ids are 0,
 * 1, … in order.
 * pgsink_snapshot_resume: keeps the loaders of a dead engine out, once what they had in hand has ended.
 * pgsink_snapshot_settle: after loaders, whose side records this session has not counted, and whose rows may wait for
 * one another's. Part of the end; needed wherever else they have loaded.
 * pgsink_level_loaded: the parts up to this level are in: what a fast load took off their tables is built again.
 * pgsink_snapshot_end: state STREAMING at lsn, durable before it returns.
 * pgsink_snapshot_abandon: takes back one that this session has begun: no rows, no record, as before its begin. */
/* All parts by id; none where no plan has been recorded. */
int pgsink_parts_read(struct sink *sink, struct sink_part **ret_parts, size_t *ret_count,
                      struct err *reterr) MUST_CHECK;
int pgsink_snapshot_begin(struct sink *sink, bool again, struct err *reterr) MUST_CHECK;
int pgsink_snapshot_plan(struct sink *sink, uint64_t consistent_lsn, const struct sink_part *parts, size_t count,
                         struct err *reterr) MUST_CHECK;
/* While it streams: parts of rules that have joined, recorded behind those that are there; their ids are given here.
 * at_once: they are loaded before the stream goes on, if wanted as a fast load. */
int pgsink_parts_add(struct sink *sink, struct sink_part *parts, size_t count, bool at_once,
                     struct err *reterr) MUST_CHECK;
int pgsink_snapshot_resume(struct sink *sink, struct err *reterr) MUST_CHECK;
int pgsink_level_loaded(struct sink *sink, int level, struct err *reterr) MUST_CHECK;
int pgsink_snapshot_settle(struct sink *sink, struct err *reterr) MUST_CHECK;
int pgsink_snapshot_end(struct sink *sink, uint64_t lsn, struct err *reterr) MUST_CHECK;
int pgsink_snapshot_abandon(struct sink *sink, struct err *reterr) MUST_CHECK;

/* Runs the derivations of one level (map_steps) over all keys, in a transaction of its own, once the rows of the levels
 * up to it are loaded; again after a crash, where it changes nothing that stands. Blocks as long as their queries do.
 */
int pgsink_derive_all(struct sink *sink, int level, struct err *reterr) MUST_CHECK;
/* Likewise those that are new to the pipeline, or compute their rows otherwise than they did; then they are so no more.
 * But for those that rest: of these, the ones above a level, until the sink is closed. What they read on that level is
 * not whole yet. */
int pgsink_derive_rest(struct sink *sink, int level, struct err *reterr) MUST_CHECK;
int pgsink_derive_due(struct sink *sink, struct err *reterr) MUST_CHECK;

const struct sink_fast_load *pgsink_fast_load(struct sink *sink);

/* A further session for loading one snapshot part at a time beside the main one: no advisory lock, no position. The
 * batches of a part are one target transaction, with counters, quarantine, and the part's record (batch.snapshot_part,
 * part_done). It loads for the snapshot that is under way when it is opened: once that has been begun anew or resumed,
 * its batches fail (ERR_RETRY). */
int pgsink_loader_open(const struct pgsink_options *options, struct sink **ret_sink, struct err *reterr) MUST_CHECK;

int pgsink_steps_due(struct sink *sink, struct sink_step **ret_steps, size_t *ret_count, struct err *reterr) MUST_CHECK;
/* Rules whose parts are all done are new no longer. */
int pgsink_steps_loaded(struct sink *sink, struct err *reterr) MUST_CHECK;

/* Steps that hold more rows in quarantine than the mapping accepts. */
int pgsink_losses(struct sink *sink, struct sink_loss **ret_losses, size_t *ret_count, struct err *reterr) MUST_CHECK;

/* Is a table to be read again (resync_store.h)? */
int pgsink_resync_waits(struct sink *sink, bool *ret_waits, struct err *reterr) MUST_CHECK;

/* Moves the position over transactions that concern no rule, in a transaction of its own. */
int pgsink_advance(struct sink *sink, uint64_t lsn, struct err *reterr) MUST_CHECK;

/* Records that the pipeline pauses and why (one sentence, no values), or that it goes on. A pause rolls an open target
 * transaction back first; going on also resets the breaker. */
int pgsink_pause(struct sink *sink, const char *category, const char *reason, struct err *reterr) MUST_CHECK;
int pgsink_resume(struct sink *sink, struct err *reterr) MUST_CHECK;
/* Did an operator ask for it (`pgrekey resume`) since the last call? Known after sink_tick. */
bool pgsink_resume_requested(struct sink *sink);

/* What a replay has recorded of its topics; freed by pgsink_offsets_free. ERR_CONFIG where the engine's schema is from
 * before there was a replay. */
int pgsink_offsets_read(struct sink *sink, struct batch_offset **ret_offsets, size_t *ret_count,
                        struct err *reterr) MUST_CHECK;
void pgsink_offsets_free(struct batch_offset *offsets, size_t count);
/* Records them as they are given, whatever stood there, in a transaction of its own. */
int pgsink_offsets_set(struct sink *sink, const struct batch_offset *offsets, size_t count,
                       struct err *reterr) MUST_CHECK;

/* Sets the position back to an earlier one and forgets the offsets: what comes after it is applied again. */
int pgsink_rewind(struct sink *sink, uint64_t lsn, struct err *reterr) MUST_CHECK;

/* Of a sink that was opened with `shared`: lets others write beside it. From then on each key must be written by one of
 * them only, and batches end where the pipeline's position stands. */
int pgsink_share(struct sink *sink, struct err *reterr) MUST_CHECK;
/* Brings together children that wait and parents that have come where their workers could not see one another. */
int pgsink_sweep(struct sink *sink, struct err *reterr) MUST_CHECK;

void pgsink_figures(struct sink *sink, struct sink_figures *ret_figures);

#endif
