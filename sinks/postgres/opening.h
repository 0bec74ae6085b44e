/* The steps by which a session on the target begins. */
#ifndef PGREKEY_SINKS_POSTGRES_OPENING_H
#define PGREKEY_SINKS_POSTGRES_OPENING_H

#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"

struct pgsink;

/* Connects, sets the session up, refuses poolers by transaction, read-only servers and a missing schema. */
int opening_connect(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Waits for the pipeline's advisory lock: a killed engine's session may still be committing. */
int opening_lock(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Reads the pipeline's record and compares the source with the options'. Sets s->lsn, s->state, s->fingerprint. */
int opening_read_record(struct pgsink *s, struct sink_position *ret_position, struct err *reterr) MUST_CHECK;
/* The upper bounds of side records, a rule. */
int opening_read_bounds(struct pgsink *s, struct err *reterr) MUST_CHECK;

#define OPENING_LOCK_WAIT_S 90 /* where no option says how long */

/* SQL condition: the advisory lock of pipeline $1 is held. And the two keys themselves. */
#define LOCK_KEYS "hashtext('pgrekey'), hashtext($1)"
#define LOCK_HELD                                                                                                      \
    "EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory' "           \
    "AND d.datname = current_database() AND l.granted AND l.objsubid = 2 "                                             \
    "AND l.classid = (hashtext('pgrekey')::bigint & 4294967295)::oid "                                                 \
    "AND l.objid = (hashtext($1)::bigint & 4294967295)::oid)"

#endif
