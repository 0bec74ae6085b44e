/* The turn of a sink that shuts out whoever wrote before it (`sink: kafka`, sink_ops.take_over). While it streams, the
 * slot keeps others out. Before that, in a snapshot above all, a session advisory lock on the source does, which is
 * named by the slot: of two publishers the second waits for its turn and is refused, before it could shut out the
 * first. Where the lock's connection is lost, the shutting out still keeps every change published once.
 */
#ifndef PGREKEY_APP_TURN_H
#define PGREKEY_APP_TURN_H

#include "cdc/base/err.h"

struct engine;

/* Blocks as long as source.slot_wait: neither the lock nor the slot is another's. Sets engine->turn. No-op where the
 * sink has a lock of its own. ERR_REFUSED: somebody else publishes. */
int turn_take(struct engine *engine, struct err *reterr) MUST_CHECK;
/* The slot is ours, or the session is over. */
void turn_leave(struct engine *engine);

#endif
