/* How far a replay has read its topics: recorded in the transaction of the rows (pgrekey.replay_offset), and moved from
 * where it stood, so that whoever has lost a partition to another session cannot commit. */
#ifndef PGREKEY_SINKS_POSTGRES_OFFSETS_H
#define PGREKEY_SINKS_POSTGRES_OFFSETS_H

#include "sinks/sink.h"

struct pgsink;
struct pipe;

/* Nothing where the batch has none. Fails, by dividing by zero, where one of them stands elsewhere; of a part of a
 * snapshot they are set, whatever stood there. */
void offsets_send(struct pgsink *s, struct pipe *pipe, const struct batch *batch);

#endif
