/* Tables that are read again while the stream runs: asked for by `pgrekey resync`, or by the engine itself. And, by the
 * same join, parts of tables that join (join.h); these first.
 *
 *     stream ──▶ ...... c1 ...... c2 ─┬─ P ─┬──────────── c3 ......      a piece: rows of the table as of P, as one
 *                                     │rows │                            transaction of our own between c2 and c3
 *                                     └─────┘
 *
 * A piece is exact because the stream stands where it was read: everything that committed at or before P is on the
 * target, nothing later is. So nothing newer can be overwritten, and nothing older comes after it. The piece goes the
 * way of every other transaction: transform, batch, net change, counters, quarantine, derivations; cut off, it has left
 * nothing, and is read again at another P.
 *
 * P is where a temporary slot begins, and its exported snapshot is what is read (docs/adr/0009). While that slot is
 * made, which waits for transactions that are open on the source, the stream goes on, but must not pass a P that nobody
 * knows yet. So it stops at a gate, which is moved on as long as the source says that the slot waits for a transaction:
 * P then lies behind whatever is in the WAL by now. Without locks; the stream stands still only while a piece is read.
 *
 *     IDLE ─ slot asked for ─▶ MAKING (gate) ─ P ─▶ READY ─ stream is at P: drained, piece, drained ─▶ IDLE …
 */
#ifndef PGREKEY_APP_RESYNC_H
#define PGREKEY_APP_RESYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"

struct engine;
struct receiver;
struct resync;

/* At the beginning of a session: is anything to be read again? Sets engine->resync, NULL where not (or not yet: a
 * resumed snapshot is joined first). The stream must then be asked for the ends of commits. */
int resync_begin(struct engine *engine, struct err *reterr) MUST_CHECK;
/* The same for a sink that keeps them itself, once it has taken over. */
int resync_begin_kept(struct engine *engine, struct err *reterr) MUST_CHECK;
void resync_close(struct resync *x); /* NULL is fine; waits for its thread, which it tells to end */

/* The receiver's, each with NULL fine. Before a transaction that ends at end_lsn: comes back when that may be received.
 * In between pieces may have been read. */
int resync_before(struct resync *x, struct receiver *r, uint64_t end_lsn, struct err *reterr) MUST_CHECK;
/* Nothing more has arrived, between two transactions. *wait_ms may become less. */
int resync_when_quiet(struct resync *x, struct receiver *r, int *wait_ms, struct err *reterr) MUST_CHECK;
/* All of engine->joining is on the target. */
bool resync_has_joined(const struct resync *x);
/* Nothing is left to be done. */
bool resync_is_done(const struct resync *x);

#endif
