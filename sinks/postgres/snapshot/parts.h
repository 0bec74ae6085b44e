/* The parts of a snapshot on the target (pgrekey.snapshot_part): what was planned, what is done, and at which point of
 * the stream each was read. Once the stream is past the last of those points nobody asks for them any more: they are
 * cleared, and the ranges with them, for those are keys of the source. */
#ifndef PGREKEY_SINKS_POSTGRES_PARTS_H
#define PGREKEY_SINKS_POSTGRES_PARTS_H

#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"

struct pgsink;

/* Records a part inside the open transaction. */
int part_put(struct pgsink *s, const struct sink_part *part, struct err *reterr) MUST_CHECK;
/* s->join_lsn: the last point that the position has not reached. */
int parts_read_join(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Clears the points once the position has reached them all. Between transactions. */
int parts_clear_reached(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* A TRUNCATE whose commit ends at commit_lsn has taken rows that were read after it: those parts are not done any more.
 * Inside the transaction that carries it out. */
int parts_undo(struct pgsink *s, const struct rule *rule, uint64_t commit_lsn, struct err *reterr) MUST_CHECK;

#endif
