/* The audit: what was decided, paused and deleted. */
#ifndef PGREKEY_SINKS_POSTGRES_AUDIT_H
#define PGREKEY_SINKS_POSTGRES_AUDIT_H

#include <stdint.h>

#include "cdc/base/err.h"

struct pgsink;

/* A line in it, inside the open transaction or as a statement of its own. `rule` and `detail` may be NULL. */
int audit_put(struct pgsink *s, const char *action, const char *rule, int64_t rows, const char *detail,
              struct err *reterr) MUST_CHECK;

#endif
