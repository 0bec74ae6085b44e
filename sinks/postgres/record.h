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

/* Sends the move from s->lsn to lsn as part of a pipe. Where the record does not hold s->lsn the statement fails, and
 * with it the transaction. Gives its index in the pipe. */
size_t record_send(struct pgsink *s, struct pipe *pipe, uint64_t lsn);
/* Counters, position (or the progress of a snapshot's part), COMMIT, in one round trip. Takes s->lsn on. */
int record_commit(struct pgsink *s, const struct batch *batch, struct err *reterr) MUST_CHECK;
/* After a pipe failed whose position statement had this index: says so where it was that one. Returns -1. */
int record_explain(const struct pgsink *s, const struct pipe *pipe, size_t index, struct err *reterr);

/* Deletes all records of a pipeline but its audit (requests only where requests_too). */
int record_forget(PGconn *conn, const char *pipeline, bool requests_too, struct err *reterr) MUST_CHECK;

#endif
