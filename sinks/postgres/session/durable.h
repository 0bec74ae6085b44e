/* Which position the target's disk has seen. */
#ifndef PGREKEY_SINKS_POSTGRES_DURABLE_H
#define PGREKEY_SINKS_POSTGRES_DURABLE_H

#include <stdint.h>

#include "cdc/base/err.h"

struct pgsink;
struct durable;

struct durable *durable_new(void);
void durable_free(struct durable *durable); /* NULL is fine */
/* Puts on disk what the pipeline's record says by now. A session that has just read it begins with this: its
 * predecessor, killed, may have committed without waiting, and the slot is told the position that a stream begins at.
 */
int durable_settle(struct pgsink *s, struct err *reterr) MUST_CHECK;
int durable_ask(struct pgsink *s, uint64_t *ret_lsn, struct err *reterr) MUST_CHECK;

#endif
