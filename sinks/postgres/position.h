/* The pipeline's position: moved by compare-and-set in the batch's transaction, confirmed behind the target's disk. */
#ifndef PGREKEY_SINKS_POSTGRES_POSITION_H
#define PGREKEY_SINKS_POSTGRES_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/sink.h"

struct pgsink;
struct pipe;

/* Sends the move from s->lsn to lsn as part of a pipe. Where the record does not hold s->lsn the statement fails, and
 * with it the transaction. Gives its index in the pipe. */
size_t position_send(struct pgsink *s, struct pipe *pipe, uint64_t lsn);
/* Counters, position (or the progress of a snapshot's part), COMMIT, in one round trip. Takes s->lsn on. */
int position_commit(struct pgsink *s, const struct batch *batch, struct err *reterr) MUST_CHECK;
/* After a pipe failed whose position statement had this index: says so where it was that one. Returns -1. */
int position_explain(const struct pgsink *s, const struct pipe *pipe, size_t index, struct err *reterr);

/* --- what is durable --- */

struct durable *durable_new(void);
void durable_free(struct durable *durable);
int durable_ask(struct pgsink *s, uint64_t *ret_lsn, struct err *reterr) MUST_CHECK;

#endif
