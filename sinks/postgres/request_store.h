/* The engine's side of pgrekey.request: takes what waits, does it in a transaction of its own, answers. */
#ifndef PGREKEY_SINKS_POSTGRES_REQUEST_STORE_H
#define PGREKEY_SINKS_POSTGRES_REQUEST_STORE_H

#include "cdc/base/err.h"

struct pgsink;

/* Part of sink_tick. Sets s->resume_requested for `resume`. One statement where nothing waits. */
int request_serve(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* A line in the audit, inside the open transaction or as a statement of its own. */
int audit_put(struct pgsink *s, const char *action, const char *rule, int64_t rows, const char *detail,
              struct err *reterr) MUST_CHECK;

#endif
