/* The sink's apply(). */
#ifndef PGREKEY_SINKS_POSTGRES_APPLY_H
#define PGREKEY_SINKS_POSTGRES_APPLY_H

#include "cdc/base/err.h"
#include "sinks/sink.h"

int apply_batch(struct sink *sink, const struct batch *batch, struct err *reterr) MUST_CHECK;

#endif
