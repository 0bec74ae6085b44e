/* Fast load's build, and what becomes of rows that stand in its way: see fastload.h for all else. */
#ifndef PGREKEY_SINKS_POSTGRES_FASTLOAD_ASIDE_H
#define PGREKEY_SINKS_POSTGRES_FASTLOAD_ASIDE_H

#include <stdbool.h>

#include "cdc/base/err.h"

struct pgsink;

/* fastload_restore() for a session outside a transaction. Where an index does not take values of some rows, these go to
 * quarantine, whole, their children waiting for them, and it is built without them. Only in tables that one rule alone
 * writes, for elsewhere nothing says whose row it is; there it stays off. */
int fastload_build(struct pgsink *s, int level, bool retry, struct err *reterr) MUST_CHECK;

#endif
