/* The pipeline's record as a batch ends: its position, moved by compare-and-set in the batch's transaction. */
#ifndef PGREKEY_SINKS_POSTGRES_RECORD_H
#define PGREKEY_SINKS_POSTGRES_RECORD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/sink.h"

struct pgsink;
struct pipe;

/* Sends a transaction's end as the last part of a pipe: counters, the position's move from s->lsn to the batch's end
 * (or the progress of a snapshot's part), COMMIT. Where a rule has no counter, or the record does not hold s->lsn, the
 * statement fails, and with it the transaction. */
struct record_sent {
    size_t counters, record, commit; /* where each begins in the pipe */
};
void record_send(struct pgsink *s, struct pipe *pipe, const struct batch *batch, struct record_sent *ret_sent);
/* After such a pipe failed: says what it means where it was one of these. May roll back. Returns -1. */
int record_explain(struct pgsink *s, const struct pipe *pipe, const struct record_sent *sent, struct err *reterr);
/* The same in one round trip of its own. Takes s->lsn on. */
int record_commit(struct pgsink *s, const struct batch *batch, struct err *reterr) MUST_CHECK;

/* Deletes all records of a pipeline but its audit (requests only where requests_too). */
int record_forget(PGconn *conn, const char *pipeline, bool requests_too, struct err *reterr) MUST_CHECK;

#endif
