/* Several sessions that write one pipeline side by side, each other keys: the workers of a replay.
 *
 * What they share is asked of the target anew in every transaction, for another one may have changed it. Two of them do
 * not see each other's rows before they are committed, so whatever reaches for rows of other keys than its own goes
 * through a gate, alone; all others go through it together:
 *
 *   together   new rows, changes, deletes of rows that nobody refers to; children whose parent is not there are parked
 *   alone      deletes of rows that others refer to (their children are parked), tables that derivations read, whatever
 *              may give back a unique value that somebody waits for; and a batch that went through together and then
 *              met a row that has to leave with its children: it is rolled back, and begins again
 *   in turn    once a second one of them, alone: parents and children that missed each other, retries, requests
 */
#ifndef PGREKEY_SINKS_POSTGRES_SHARED_H
#define PGREKEY_SINKS_POSTGRES_SHARED_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "transform/row.h"

struct pgsink;

/* Takes the pipeline's lock: with others where it streams, else alone. Not waited for: *ret_locked. */
int shared_try_lock(struct pgsink *s, bool *ret_locked, struct err *reterr) MUST_CHECK;
/* A transaction has begun: nothing that is remembered holds. */
int shared_begun(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Before rows are written: through the gate. */
int shared_before(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;
/* May rows of other keys be woken now? */
bool shared_may_wake(const struct pgsink *s);
/* Before rows of other keys are reached for in the midst of a batch. ERR_RETRY: not together with others;
 * s->must_be_alone is set, and the batch is to be rolled back and begun again. */
int shared_reach_out(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* May entries be taken up that wait for a value which the batch gives back? */
bool shared_may_release(const struct pgsink *s);
/* In turn. */
int shared_sweep(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Not waited for: false where it is another one's. */
int shared_take_turn(struct pgsink *s, bool *ret_ours, struct err *reterr) MUST_CHECK;
int shared_end_turn(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
