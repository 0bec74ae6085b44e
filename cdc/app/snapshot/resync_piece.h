/* One piece of a resync: rows of a table as of a point, put into the receiver's open transaction as updates, and
 * deletes of what the target has and the source does not. As updates, since the rows are there already, or should be.
 */
#ifndef PGREKEY_APP_RESYNC_PIECE_H
#define PGREKEY_APP_RESYNC_PIECE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "cdc/app/engine/receiver.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/base/arena.h"
#include "sinks/postgres/snapshot/resync_store.h"

/* Keys that the source has, where the target's are to be compared with them. */
struct seen {
    bool wanted;
    struct arena arena;
    const char **keys;
    size_t count, capacity;
};
void seen_init(struct seen *seen, const struct map *map, const struct rule *const *rules, size_t count);
void seen_add(struct seen *seen, const struct change *change);
void seen_done(struct seen *seen);

struct piece {
    struct receiver *receiver;
    struct resync_record *record; /* its next, rows and removed move */
    const struct relation *relation;
    const struct snapshot_point *point;
    PGconn *target; /* NULL: it cannot be asked for its keys */
    size_t rows_wanted;
    bool last; /* nothing is left behind this one */
};

/* ERR_POISON and ERR_CONFIG: what was asked for cannot be read (a key that is no number). */
/* Deletes of these rules' target rows in the range whose keys have not been seen. */
int piece_remove_strays(struct piece *p, const struct rule *const *rules, size_t count, const struct copy_range *range,
                        struct seen *seen, struct err *reterr) MUST_CHECK;

int piece_read(struct piece *piece, struct err *reterr) MUST_CHECK;
/* Deletes by one rule of those keys that the source has not. */
int piece_read_gone(struct piece *piece, const struct rule *rule, const char *const *keys, size_t count,
                    struct err *reterr) MUST_CHECK;

#endif
