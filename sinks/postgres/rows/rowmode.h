/* Row by row: changes in source order, each under a savepoint of its own; what fails goes to quarantine.
 *
 * The slow and certain way. It takes whole chunks that failed as sets, and what the fast path sets aside: rejects,
 * rows whose key stands in quarantine, changed keys, rows with a parent that is not there, truncates, rows of rules
 * that keep deleted rows where a chunk does more than one thing with a key. It checks all of that itself.
 */
#ifndef PGREKEY_SINKS_POSTGRES_ROWMODE_H
#define PGREKEY_SINKS_POSTGRES_ROWMODE_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "transform/row.h"

struct pgsink;

/* Makes s->rowmode; frees it (NULL is fine). */
void rowmode_open(struct pgsink *s);
void rowmode_close(struct pgsink *s);

/* Applies the rows in this order inside the open target transaction. Counters' deltas, parents' cache (deletes),
 * standing, pending, gone, breaker and figures.quarantined are kept up here. Never ERR_POISON. Constraints are
 * immediate while it works. ERR_REFUSED: the pipeline must pause (TRUNCATE with on_truncate PAUSE). */
int rowmode_apply(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;

/* May one of these rows let go of a unique value that a quarantined row waits for? Costs a test of one number where
 * nothing is blocked. */
int rowmode_releases(struct pgsink *s, struct row *const *rows, size_t count, bool *ret_releases,
                     struct err *reterr) MUST_CHECK;
/* A batch's rows, after they were applied in whichever way: who waits for one of them is tried again by
 * rowmode_finish. */
int rowmode_released(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;

/* Who waits for what may have changed: it is asked anew. */
void rowmode_forget_blocked(struct pgsink *s);

/* An entry that is to be tried again by rowmode_finish. */
void rowmode_take_up(struct pgsink *s, int64_t id);

/* At the end of a batch that completes its source transactions, before the commit: rows that this target transaction
 * quarantined for orphan or constraint reasons are tried again until nothing moves. Costs nothing where there is
 * none. (Inside rowmode_apply the same may be done when the xid changes.) */
int rowmode_finish(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* The target transaction is over: committed, or rolled back and all of it forgotten. */
void rowmode_end(struct pgsink *s);

#endif
