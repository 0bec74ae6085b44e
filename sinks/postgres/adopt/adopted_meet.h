/* adopted.c from the inside: what is known of derived ids, and adopted rows whose source row is seen for the first
 * time.
 *
 *   adopted.c        which columns, the cache, the batch's view
 *   adopted_meet.c   meetings: asked for before the batch, settled inside its transaction
 */
#ifndef PGREKEY_SINKS_POSTGRES_ADOPTED_MEET_H
#define PGREKEY_SINKS_POSTGRES_ADOPTED_MEET_H

#include <stdint.h>

#include "cdc/base/uuid.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/session/session.h"

#define OWN_MAX 63 /* rules of one entity that may meet its rows */
#define NOT_OWN (-1)

/* A derived id, and what is known of it. */
struct known {
    struct uuid derived, id;
    uint64_t met; /* rules that have seen its source row, by `own` */
    bool used;
    bool asked; /* the answer is there */
    bool adopted;
};

/* A row of the batch that is the first one seen of an adopted target row. */
struct meeting {
    const struct known *known;
    struct row *row;
    bool stands; /* the target row does */
};

struct adopted {
    size_t rule_count;
    bool any;                 /* some rule has columns to translate */
    bool **columns;           /* by rule: which; NULL: none */
    size_t *widths;           /* by rule: how many values of a row, locators included */
    struct adopter *adopters; /* by rule: that of its table and entity; .name NULL: none */
    int *own; /* by rule whose table holds adopted rows of its entity: its number among those; else NOT_OWN */
    struct buf own_names, own_numbers; /* the same as arrays */

    struct known *known; /* open addressing; grows only between batches, for others point into it */
    size_t slot_count, count;
    const struct known **unknown; /* of the batch at hand: to be asked for */
    size_t unknown_count, unknown_capacity;
    struct meeting *meetings;
    size_t meeting_count, meeting_capacity;
    struct arena arena; /* of the batch at hand */
};

struct known *adopted_known(struct adopted *a, const struct value *value); /* NULL where it is no UUID */
void adopted_put_uuid(struct buf *array, const struct uuid *uuid);

/* The derived id of the row that a change is about; of a changed key the new one, and where the row does not say (a
 * delete of a row that is found by `identity:`) none. */
struct known *meet_id(struct adopted *a, const struct row *row);
bool meet_has(const struct adopted *a, const struct known *known, const struct rule *rule);
void meet_add(struct adopted *a, struct known *known, struct row *row);
/* Which of the met rows stand on the target: their rows are no births then. */
int meet_ask(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
