/* The end of a table that was read again into a sink which cannot be asked for single keys (sink_ops.strays_find): rows
 * that stand there, but on the source no more. What the sink gives are candidates; a piece asks the source for some of
 * them at its point, and deletes those that are gone.
 *
 *     rule 1: slice, slice, … rule 2: …        a slice's candidates ─▶ pieces of some hundred keys
 */
#ifndef PGREKEY_APP_SWEEP_H
#define PGREKEY_APP_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/app/snapshot/resync_piece.h"

struct sweep {
    struct arena arena;
    bool open;
    const char **keys; /* of the slice at hand */
    size_t count, capacity, at;
    size_t rule; /* of the table's rules */
    uint64_t place;
    struct receiver *receiver; /* while it looks */
};

/* Of the next table. */
void sweep_begin(struct sweep *sweep);
void sweep_done(struct sweep *sweep);
/* Only a table that was read whole can have strays that nobody named. */
bool sweep_is_due(const struct sweep *sweep, const struct resync_record *record);
/* Between two transactions: fills it with the next candidates, where there are none at hand. Blocks, but keeps the
 * source's connection alive. */
int sweep_look(struct sweep *sweep, struct receiver *receiver, const struct relation *relation,
               const struct resync_record *record, struct err *reterr) MUST_CHECK;
/* A piece's keys; piece->last where none are left. */
int sweep_read(struct sweep *sweep, struct piece *piece, struct err *reterr) MUST_CHECK;

#endif
