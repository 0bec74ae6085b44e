/* One piece of a resync: rows of a table as of a point, put into the receiver's open transaction as updates, and
 * deletes of what the target has and the source does not. As updates, since the rows are there already, or should be.
 */
#ifndef PGREKEY_APP_RESYNC_PIECE_H
#define PGREKEY_APP_RESYNC_PIECE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "cdc/app/receiver.h"
#include "cdc/app/snapshot.h"
#include "sinks/postgres/snapshot/resync_store.h"

struct piece {
    struct receiver *receiver;
    struct resync_record *record; /* its next, rows and removed move */
    const struct relation *relation;
    const struct snapshot_point *point;
    PGconn *target;
    size_t rows_wanted;
    bool last; /* nothing is left behind this one */
};

/* ERR_POISON and ERR_CONFIG: what was asked for cannot be read (a key that is no number). */
int piece_read(struct piece *piece, struct err *reterr) MUST_CHECK;

#endif
