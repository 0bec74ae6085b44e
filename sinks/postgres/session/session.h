/* A pgsink from the inside: what the folders of this directory share.
 *
 * One session, one thread. Three lifetimes: the session (targets, prepared statements, standing), the target
 * transaction (counters' deltas, in_transaction), the chunk (scratch arena).
 *
 *     pgsink.c ── apply ──▶ netchange ──▶ fastpath / quickpath        sets of rows, or few rows in one round trip
 *                    └────────────────▶ rowmode ──▶ quarantine_store  one row at a time under its own savepoint
 *                    └────────────────▶ counters, position, COMMIT
 */
#ifndef PGREKEY_SINKS_POSTGRES_SESSION_H
#define PGREKEY_SINKS_POSTGRES_SESSION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/apply/target.h"
#include "sinks/postgres/parents/references.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/postgres/state/counters.h"

#define SIDE "target" /* how errors name the server */

struct parents;
struct breaker;
struct rowmode;
struct netchange;
struct park;
struct durable;
struct derive;
struct adopted;

struct rule_state {
    struct target target;
    struct account delta; /* of the open target transaction; counters.h */
    /* Upper bounds: 0 means there is none for sure, and then nobody asks. Set at open, raised by whoever adds. */
    int64_t standing;   /* quarantine entries that are not resolved (open or discarded) */
    int64_t pending;    /* pending references */
    int64_t gone;       /* rows in pgrekey.gone */
    bool stage_made;    /* the session has the rule's staging table; stage.h */
    int64_t staged;     /* rows in it; an upper bound */
    int64_t stage_next; /* number of the next row in the open transaction */
};

struct pgsink {
    struct sink sink;              /* first: a sink is a pgsink */
    struct pgsink_options options; /* strings are copies */
    PGconn *conn;
    bool loader;             /* no lock, no position */
    bool shared;             /* other sessions write the pipeline too; shared.h */
    bool gated, alone;       /* of these: the open transaction is through the gate; alone */
    bool in_turn;            /* it is our turn to sweep */
    bool must_be_alone;      /* what the batch at hand turned out to need; shared.h */
    char snapshot_begun[40]; /* a loader's: which snapshot it loads for; fence.h */
    uint64_t part_rows;      /* a loader's: rows of the part in the open transaction */
    uint64_t join_lsn;       /* parts of the snapshot were read at points up to here; 0: the stream is past them */
    bool in_transaction;     /* a target transaction is open (over several batches where the source's is large) */
    bool deferrable;         /* some target table has a deferrable constraint */
    bool waking;             /* the chunk at hand is of woken rows; park.h */
    bool snapshot;           /* the batch at hand is a snapshot's: every row is new */
    struct sink_fast_load fast_load;
    bool rehearsal; /* nothing of it will stand; rehearsal.h */
    uint64_t lsn;   /* the position as committed: what the compare-and-set compares with */
    enum pipeline_state state;
    char fingerprint[FINGERPRINT_TEXT_MAX]; /* of the mapping on record */

    size_t rule_count;
    struct rule_state *rules; /* by rule->index */
    struct target_statement counter_statements[COUNTERS_OPS];
    struct target_statement record_statement;
    struct references references;
    struct parents *parents;
    struct park *park;       /* wake.c's own */
    struct adopted *adopted; /* adopted.c's own */
    struct netchange *net;
    struct durable *durable;
    struct derive *derive; /* NULL where the mapping has no derivation */
    struct buf copy;       /* COPY text on its way */
    struct arena scratch;  /* reset before each chunk; row mode may reset what it marks itself */

    struct rowmode *rowmode; /* rowmode.c's own */
    struct breaker *breaker; /* NULL: off */
    bool resume_requested;
    int64_t next_expiry_us; /* keep.h */
    struct sink_figures figures;
};

static inline struct pgsink *pgsink_of(struct sink *sink)
{
    return (struct pgsink *)sink;
}
static inline struct rule_state *rule_state_of(struct pgsink *s, const struct rule *rule)
{
    return &s->rules[rule->index];
}

/* A session without the pipeline's lock; its record has not been looked at. The sink's close() ends it. */
int session_open(const struct pgsink_options *options, struct pgsink **ret_s, struct err *reterr) MUST_CHECK;

/* A statement without parameters whose outcome is only success: SAVEPOINT and friends. */
int session_run(struct pgsink *s, const char *doing, const char *sql, struct err *reterr) MUST_CHECK;
/* As pg_query; *ret_result may be NULL where nobody wants it. ERR_FATAL, with nothing sent, where the SQL or a
 * parameter is a text that session_text() refused. */
int session_query(struct pgsink *s, const char *doing, const char *sql, int param_count, const char *const *params,
                  PGresult **ret_result, struct err *reterr) MUST_CHECK;

/* The target transaction. Rolling back (best effort) and committing forget what lives as long as it. */
int session_begin(struct pgsink *s, struct err *reterr) MUST_CHECK;
int session_commit(struct pgsink *s, struct err *reterr) MUST_CHECK;
void session_rollback(struct pgsink *s);
/* The same where COMMIT or ROLLBACK has been sent otherwise. */
void session_ended(struct pgsink *s, bool committed);

/* Back to a savepoint, which goes too where `release`. What the session knew to have been made since is forgotten. */
int session_back_to(struct pgsink *s, const char *doing, const char *savepoint, bool release,
                    struct err *reterr) MUST_CHECK;

/* As refusal_category(), and CATEGORY_NONE too where the connection is lost, or where a rehearsal met a row that
 * somebody else holds: it ends there rather than wait for one row after another. */
enum category session_refusal(const struct pgsink *s, const struct err *said, bool deleting);

/* A buffer's text as SQL or as a parameter. What was cut off at the buffer's limit might be valid, and do what nobody
 * wants: a DELETE without its WHERE. In its place comes a text that no server takes, and session_query does not send.
 */
const char *session_text(const struct buf *buf);
bool session_refuses(const char *sql); /* is it, or a copy of it, that text? */

/* An array literal, item by item into an empty buffer: {"a",NULL,"b"}; the text is the buffer's. */
void session_put_array_item(struct buf *array, const struct value *value);
const char *session_end_array(struct buf *array);

#define SESSION_ARRAY_MAX ((size_t)1 << 30)

#endif
