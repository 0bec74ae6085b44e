/* The sink's apply(). */
#ifndef PGREKEY_SINKS_POSTGRES_APPLY_H
#define PGREKEY_SINKS_POSTGRES_APPLY_H

#include "cdc/base/err.h"
#include "sinks/sink.h"

struct pgsink;

int apply_batch(struct sink *sink, const struct batch *batch, struct err *reterr) MUST_CHECK;
/* ERR_REFUSED where the breaker is open. */
int apply_refuse_if_open(const struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
