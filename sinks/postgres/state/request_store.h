/* The engine's side of pgrekey.request: takes what waits, does it in a transaction of its own, answers. */
#ifndef PGREKEY_SINKS_POSTGRES_REQUEST_STORE_H
#define PGREKEY_SINKS_POSTGRES_REQUEST_STORE_H

#include "cdc/base/err.h"

struct pgsink;

/* Part of sink_tick. Sets s->resume_requested for `resume`. One statement where nothing waits. */
int request_serve(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
