/* A rehearsal: rows are written and derivations run as ever, in one transaction that is rolled back.
 *
 *     BEGIN ─▶ mirrors that are not there yet ─▶ rows ─▶ derivations ─▶ what they came to ─▶ ROLLBACK
 *
 * It takes no pipeline's lock and moves no position, so it may run beside the engine. Row locks are held until its end;
 * it gives way itself where it would have to wait for one, before the engine could be taken for a deadlock's victim.
 */
#ifndef PGREKEY_SINKS_POSTGRES_REHEARSAL_H
#define PGREKEY_SINKS_POSTGRES_REHEARSAL_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"
#include "transform/derivation.h"

enum rehearsed_outcome {
    REHEARSED_INSERTED,
    REHEARSED_UPDATED,
    REHEARSED_UNCHANGED,
    REHEARSED_GONE,   /* its key yields no row any more */
    REHEARSED_NO_ROW, /* of `owns:`: the row whose columns they are is not there */
    REHEARSED_PARKED, /* a required parent is not there */
    REHEARSED_QUARANTINED,
    REHEARSED_OUTCOMES,
};
const char *rehearsed_name(enum rehearsed_outcome outcome);

/* What became of one key of a derivation. */
struct rehearsed {
    const struct derivation *derivation;
    const char *key; /* as the quarantine names it: a JSON array */
    enum rehearsed_outcome outcome;
    const char *category, *column, *constraint, *sqlstate, *reason; /* why it is not good; NULL where not known */
    const char *waits_table, *waits_id;                             /* of PARKED */
    /* Key, then what it owns: the target row as it would stand; of a quarantined one what the query gave. value_count
     * is 0 where there is nothing to show. */
    size_t value_count;
    const char *const *names;
    const struct value *values;
};

struct rehearsal {
    size_t count;
    struct rehearsed *keys; /* by derivation in their order, then by key; in the arena */
    bool alone;             /* mirrors do not stand yet: they held these rows and no others */
};

/* `rows`: of the stream, or (read) as the source has them now. ERR_CONFIG, ERR_REFUSED: the target is not made for it
 * yet, and the hint says what is missing. ERR_RETRY with 55P03: somebody else holds a row. */
int pgsink_rehearse(const struct pgsink_options *options, struct row *const *rows, size_t count, bool read,
                    struct arena *arena, struct rehearsal *ret_rehearsal, struct err *reterr) MUST_CHECK;

#endif
