/* Rows of a rule that was taken out of the mapping and is back: its table is read again as one that joins
 * (cdc/app/join), but target rows may stand, as good as they were when it left. Such a row is met as an update, not as
 * a birth: columns that others own, and those under `once:`, stay. Its account begins anew with it. */
#ifndef PGREKEY_SINKS_POSTGRES_RETURNED_H
#define PGREKEY_SINKS_POSTGRES_RETURNED_H

#include "cdc/base/err.h"
#include "sinks/sink.h"

struct pgsink;

/* Before a batch is applied, inside the transaction: rows that were read anew and stand are none that were born. */
int returned_meet(struct pgsink *s, const struct batch *batch, struct err *reterr) MUST_CHECK;

#endif
