/* A small batch with as few round trips as it takes: one where it only inserts, else two. This is what decides how
 * soon a change is seen while the stream is quiet. */
#ifndef PGREKEY_SINKS_POSTGRES_QUICKPATH_H
#define PGREKEY_SINKS_POSTGRES_QUICKPATH_H

#include <stdbool.h>

#include "cdc/base/err.h"
#include "sinks/sink.h"

struct pgsink;

#define QUICK_ROWS 48

/* Applies and commits a batch that is complete and may begin its own target transaction. Sets *ret_done; false: it is
 * none for this path (something is to be set aside, a row failed, an update met no row), nothing of it remains and
 * the caller goes the long way. */
int quickpath_apply(struct pgsink *s, const struct batch *batch, bool *ret_done, struct err *reterr) MUST_CHECK;

#endif
