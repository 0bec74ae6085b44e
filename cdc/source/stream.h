/* A logical replication stream of one slot with wal2json, format-version 2, as changes.
 *
 * One thread owns it. It never confirms by itself: stream_confirm() says how far the slot may move, and the
 * stream reports that at every status message.
 */
#ifndef PGREKEY_SOURCE_STREAM_H
#define PGREKEY_SOURCE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"

struct stream;

struct stream_options {
    const char *conninfo, *password_file;
    const char *slot;
    uint64_t start_lsn;
    int status_interval_ms; /* how often a status message goes out at least; 0: 1000 */
    int receive_timeout_ms; /* silence of the server after which the connection counts as dead; 0: 60000 */
    int wake_fd;            /* readable: stream_next returns early (STREAM_NONE); the caller drains it. 0: none */
    bool commit_lsns;       /* ask with each begin where the transaction's commit ends */
    bool timestamps;        /* ask for commit times (about 3 % of the decoding's cost) */
    /* Tables to ask for (wal2json's add-tables), schema and name in turn; NULL for all. */
    const char *const *tables;
    size_t table_count;
    /* Called when a table is first met, or met with columns other than those of its relation: gives the relation
     * to decode into (it must live as long as the stream), or NULL for a table that nobody wants. -1 fails the
     * stream (schema_mismatch: ERR_REFUSED). `why` is "new", "missing_column", "unknown_column" or "kind".
     * The answer decides: what it leaves in contradiction to the message is allowed until a relation of another
     * shape is given. An unknown column is then dropped, a missing one ABSENT, a value of another kind its text. So
     * a callback that minds must return -1. */
    int (*relation)(void *context, const char *schema, const char *table, const char *column, const char *why,
                    const struct relation **ret_relation, struct err *reterr);
    /* Is this column dropped at decode? (never:) Asked once a relation and column. */
    bool (*never)(void *context, const char *schema, const char *table, const char *column);
    void *context;
};

enum stream_event {
    STREAM_NONE,      /* nothing within the time-out */
    STREAM_BEGIN,     /* xid; end_lsn with commit_lsns */
    STREAM_CHANGE,    /* *change, in the caller's arena */
    STREAM_COMMIT,    /* end_lsn, commit_us, xid: the transaction is whole */
    STREAM_MESSAGE,   /* pg_logical_emit_message: prefix, content (in the arena), transactional */
    STREAM_KEEPALIVE, /* wal_end: everything up to there that concerns this slot has been sent */
};

struct stream_item {
    enum stream_event event;
    uint32_t xid;
    uint64_t end_lsn;  /* commit: end of the commit record; begin: the same with commit_lsns, else 0; keepalive: the
                          server's sent position */
    int64_t commit_us; /* since 1970; 0 without timestamps */
    struct change *change;
    const char *prefix, *content;
    bool transactional;
};

/* Opens a replication connection and starts at options->start_lsn. Errors: slot missing, lost, of another plugin
 * (ERR_REFUSED), taken (ERR_RETRY, sqlstate 55006), wal2json not allowed by output_plugin_libraries (ERR_CONFIG). */
int stream_open(const struct stream_options *options, struct stream **ret_stream, struct err *reterr) MUST_CHECK;
void stream_close(struct stream *stream); /* NULL is fine; tries to end the COPY politely, briefly */

/* The next item, waiting at most timeout_ms (0: do not wait). Reads what has arrived before it polls. Sends status
 * messages when due. change, prefix, content are allocated in `arena`. Returns 0 or -1. A stream that returned -1
 * is only fit for closing. */
int stream_next(struct stream *stream, struct arena *arena, int timeout_ms, struct stream_item *ret_item,
                struct err *reterr) MUST_CHECK;

/* Sends a status message when one is due, without reading: for whoever waits for the target meanwhile. */
int stream_keep_alive(struct stream *stream, struct err *reterr) MUST_CHECK;

/* Everything up to lsn is safe on the target: the slot may drop its WAL. Never moves backwards. Sends a
 * status message at once where `now`. */
int stream_confirm(struct stream *stream, uint64_t lsn, bool now, struct err *reterr) MUST_CHECK;

/* wal2json's add-tables: schema and name of each in turn, escaped as it wants them. */
void stream_put_tables(struct buf *buf, const char *const *tables, size_t table_count);

#endif
