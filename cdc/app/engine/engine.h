/* The running engine: what its parts share. cdc/app/engine/run.c puts it together; nothing outside cdc/app sees it.
 *
 *      receiver (receive.c, the main thread)              applier (apply.c)
 *      stream ─▶ fix-ups ─▶ transform ─▶ filling batch ══▶ taken batch ─▶ sink
 *                                            hand-over, one deep
 *      watch (watch.c): now and then the source's catalogue      monitor/: lag, the slot, what people see of both
 *
 * Three lifetimes: the process (settings, options), the binding (map and both catalogues, replaced when a session
 * begins anew), the session (connections, stream, sink, threads).
 */
#ifndef PGREKEY_APP_ENGINE_H
#define PGREKEY_APP_ENGINE_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/app/engine/lookup.h"
#include "cdc/app/engine/position.h"
#include "cdc/app/engine/run.h"
#include "cdc/app/snapshot/resync.h"
#include "cdc/app/settings/settings.h"
#include "cdc/app/engine/skip.h"
#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "cdc/base/identity.h"
#include "cdc/lag/vitals.h"
#include "cdc/source/slot.h"
#include "cdc/source/stream.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/sink.h"
#include "transform/map.h"

/* The mapping and what it was compared with: lives until the next binding. */
struct binding {
    struct map *map;
    struct catalog *source, *target;
    struct lookups *lookups; /* NULL: no rule looks anything up */
};

/* The one-deep hand-over between receiver and applier, under `lock`. */
struct handover {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wake_fd; /* eventfd: tells a polling receiver that the applier is idle again */
    struct batch batches[2];
    struct batch *filling; /* the receiver's */
    struct batch *taken;   /* the applier's; NULL: idle */
    bool stop;             /* the applier should leave after its batch */
    bool failed;           /* the applier has left; `err` says why */
    struct err err;
    struct position position; /* moved by both sides */
};

/* What the watch thread last saw of the source. */
struct watch {
    pthread_t thread;
    bool running;
    _Atomic bool drifted; /* the catalogue no longer fits the binding; `err` (under lock) says how */
    _Atomic bool stop;
    pthread_mutex_t lock;
    struct err err;
    PGconn *conn;
};

/* Steps that were told to hold more rows in quarantine than accepted; applier thread only. */
struct losses {
    struct sink_loss *told;
    size_t count;
    int64_t next_us; /* when to look again */
};

struct engine {
    const struct settings *settings;
    const struct run_options *options;
    struct vitals *vitals; /* what others may know of its health: feed.h. NULL: nobody asks */
    struct binding binding;
    struct source_identity source;
    uint64_t until_lsn; /* end of a one-shot run; 0: none */
    struct buf mapping; /* the mapping file's text: read once, so that an edit counts from the next start on */
    bool sql_checked;   /* the target has taken the mapping's SQL: asked once, at the start */
    bool bind_failed;   /* the last engine_bind() failed because the mapping does not fit the catalogues as they are */

    struct stream *stream;
    struct skip *skip;          /* what a resumed snapshot holds already; NULL: nothing that is still to come. skip.h */
    bool *back;                 /* by rule->index: it was out of the mapping for a while; may be NULL */
    struct snapshot *joining;   /* parts that are next to be read while the stream goes on; NULL: none. join.h */
    struct resync *resync;      /* tables that are read again, and those that join; NULL: none. resync.h */
    _Atomic bool resync_wanted; /* one was asked for that this session does not know of */
    bool begin_again;           /* the session ended only to begin anew: no back-off */
    struct sink *sink;
    struct names *names;   /* ids of adopted rows on identity.target; or NULL */
    PGconn *turn;          /* holds the publisher's lock until the slot is ours: turn.h; or NULL */
    PGconn *receiver_conn; /* rows read by key before transform; receiver thread only */
    PGconn *applier_conn;  /* rows read by key for the sink; applier thread only */
    struct handover handover;
    struct watch watch;
    pthread_t applier;
    bool applier_running;
    uint64_t resume_lsn; /* where the stream begins: the end of the last applied transaction */

    const struct column *warned[256]; /* columns whose nulls were warned of; receiver thread only */
    size_t warned_count;

    struct losses losses;

    _Atomic bool paused;
    _Atomic bool hold_snapshots; /* the guard over the source's WAL says so: nothing is read again, nothing begins */
    _Atomic bool slot_given_up;  /* by the guard: a snapshot that is under way has become useless */
};

/* bind.c */
int engine_bind(struct engine *engine, struct err *reterr) MUST_CHECK;
void binding_done(struct binding *binding);
/* Marks the source's columns whose nulls need a second look (complete.c). */
void binding_mark_nonfinite(struct binding *binding);
/* An ordinary connection for `what` ("rows"): small queries, which a dead network or a locked table may not hold up
 * for long; ENGINE_PATIENT for those that may take their time; ENGINE_REPLICATION likewise. */
enum engine_conn { ENGINE_BRIEF, ENGINE_PATIENT, ENGINE_REPLICATION };
int engine_open_source(const struct settings *settings, const char *what, enum engine_conn kind, PGconn **ret_conn,
                       struct err *reterr) MUST_CHECK;
/* The pipeline's slot as it is now, by a connection of its own. */
int engine_read_slot(const struct settings *settings, struct slot_state *ret_slot, struct err *reterr) MUST_CHECK;
struct pgsink_options engine_sink_options(struct engine *engine);
/* Opens the sink that the settings name: engine->sink. */
int engine_open_sink(struct engine *engine, struct sink_position *ret_position, struct err *reterr) MUST_CHECK;
/* topics_sink.c: of `sink: kafka` */
int engine_open_topics(struct engine *engine, struct sink_position *ret_position, struct err *reterr) MUST_CHECK;
/* `never:` as stream and row reader ask for it; context is the engine. */
bool engine_never(void *context, const char *schema, const char *table, const char *column);
/* That, and what no rule reads: such a column may be dropped at any time, so it is not asked for by name. */
bool engine_unread(void *context, const char *schema, const char *table, const char *column);
/* Does the source's catalogue still fit the binding? ERR_REFUSED names what does not. */
int engine_recheck_catalog(struct engine *engine, PGconn *conn, struct err *reterr) MUST_CHECK;

/* complete.c: absent and non-finite values, read from the source by key */
int complete_for_transform(struct engine *engine, struct change *change, struct arena *arena, bool *ret_gone,
                           struct err *reterr) MUST_CHECK;
int complete_nonfinite(struct engine *engine, struct change *change, struct arena *arena,
                       struct err *reterr) MUST_CHECK;
struct row_source complete_row_source(struct engine *engine);

/* receive.c: until stop, failure, or the end of a one-shot run (0) */
int receive_run(struct engine *engine, struct err *reterr) MUST_CHECK;

/* apply.c */
int applier_start(struct engine *engine, struct err *reterr) MUST_CHECK;
/* Lets it finish the batch it has, joins it; -1 with its error where it had failed. */
int applier_stop(struct engine *engine, struct err *reterr) MUST_CHECK;
int handover_init(struct handover *handover, struct err *reterr) MUST_CHECK;
void handover_done(struct handover *handover);

/* losses.c */
int losses_tell(struct engine *engine, struct err *reterr) MUST_CHECK;
void losses_done(struct losses *losses);

/* watch.c */
int watch_start(struct engine *engine, struct err *reterr) MUST_CHECK;
void watch_stop(struct engine *engine);

/* snapshot.c: the slot, its exported snapshot, all parts; or what is left of one that was cut off. Ends in state
 * STREAMING and sets resume_lsn. */
int snapshot_take(struct engine *engine, const struct sink_position *position, struct err *reterr) MUST_CHECK;
/* Of a pipeline that streams: loads what is not done of its parts (again), but for those that may join later, which
 * come into engine->joining, one level of them. Sets engine->skip where the position is not past all points. */
int snapshot_rejoin(struct engine *engine, struct err *reterr) MUST_CHECK;
void snapshot_free_joining(struct engine *engine);

#endif
