/* One chunk of a batch: rows between two truncates, brought to the target in sets, in pieces, or row by row.
 *
 *     plan: net change ─▶ aside: what stands in quarantine, what has side records, what lacks a parent
 *     write: deletes, children first ─▶ updates, inserts, parents first             (fastpath.c)
 *     parked: new rows that lack a required parent, as a set                         (park.c)
 *     on poison: back to the savepoint; the chunk in pieces, each a chunk of its own; small ones in row mode
 *     then what was set aside, in row mode
 */
#ifndef PGREKEY_SINKS_POSTGRES_CHUNK_H
#define PGREKEY_SINKS_POSTGRES_CHUNK_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "sinks/postgres/apply/netchange.h"
#include "transform/row.h"

struct pgsink;

/* A reference that is NULL because its parent is not there. */
struct pending_note {
    uint32_t entry; /* void where that went aside later */
    size_t column;  /* of the rule */
    struct value parent;
    struct pending_note *next;
};

/* A new row whose required parent is not there. */
struct parked_note {
    uint32_t entry; /* void where that went aside later */
    size_t column;  /* of the rule */
    size_t place;   /* references.h */
    struct parked_note *next;
};

/* What the plan found beside s->net. All in s->scratch. */
struct chunk_plan {
    struct pending_note *pending; /* newest first */
    struct parked_note *parked;   /* the same */
    bool *late;  /* by rule: asks for parents that a derivation may yet write; NULL where there is no derivation */
    bool strict; /* a delete may take rows of other tables with it: an update that meets no row is suspect */
    uint64_t departures; /* park_departures() when it began to be written */
};

/* Fills s->net and the plan. Asks the target where it must; writes nothing. */
int chunk_plan(struct pgsink *s, struct row *const *rows, size_t count, struct chunk_plan *ret_plan,
               struct err *reterr) MUST_CHECK;

/* Rows have left with a parent since: looks for parents once more. */
int chunk_plan_again(struct pgsink *s, struct chunk_plan *plan, struct err *reterr) MUST_CHECK;
/* Just before a rule's rows are written: asks for the parents that derivations write, which come before it. */
int chunk_plan_late(struct pgsink *s, struct chunk_plan *plan, size_t rule_index, struct err *reterr) MUST_CHECK;

/* Applies rows (no truncates among them) inside the open transaction. Never ERR_POISON. */
int chunk_apply(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;

/* An entry's work on the target. */
static inline bool net_deletes(const struct net_entry *entry)
{
    return !entry->aside &&
           (entry->action == NET_DELETE || entry->action == NET_REPLACE || entry->action == NET_EXCLUDE);
}
static inline bool net_inserts(const struct net_entry *entry)
{
    return !entry->aside && (entry->action == NET_INSERT || entry->action == NET_REPLACE);
}
static inline bool net_updates(const struct net_entry *entry)
{
    return !entry->aside && entry->action == NET_UPDATE;
}

#endif
