/* Loaders hold no advisory lock: one may outlive its engine, and its last part may come when the next engine is reading
 * that part anew. So each of their transactions begins by locking the record of its own snapshot, told by when it was
 * begun or resumed, and whoever begins, resumes or gives up a snapshot first waits for those locks to go.
 *
 *     loader   BEGIN, lock (shared) ── rows ── COMMIT        BEGIN, lock: the record is another ──▶ ERR_RETRY
 *     engine                    lock (waits) ─────┴─ record moves on, COMMIT ─┘
 */
#ifndef PGREKEY_SINKS_POSTGRES_FENCE_H
#define PGREKEY_SINKS_POSTGRES_FENCE_H

#include "cdc/base/err.h"

struct pgsink;

/* Notes which snapshot is under way. ERR_RETRY where the pipeline has no record. */
int fence_join(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Begins a loader's transaction: is it still this snapshot, and will it be until the end? */
int fence_hold(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Inside the transaction that begins, resumes or gives up a snapshot: waits for the transactions of loaders that
 * another engine left behind, and keeps further ones out. */
int fence_close(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
