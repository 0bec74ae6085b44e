/* What waits in a slot, decoded without being consumed: the slot stays where it is. */
#ifndef PGREKEY_SOURCE_PEEK_H
#define PGREKEY_SOURCE_PEEK_H

#include <libpq-fe.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"
#include "cdc/source/wal2json.h"

struct peek_options {
    const char *slot;
    size_t limit;              /* changes; the rest of what waits is left */
    const char *const *tables; /* schema and name in turn, as stream_options' */
    size_t table_count;
    struct wal2json_options decode;
};

/* The first changes behind the slot's confirmed position, in the arena. On an ordinary connection with the session of
 * cdc/source/session.h. ERR_REFUSED where somebody reads the slot (only one can), or there is none. */
int slot_peek(PGconn *conn, const struct peek_options *options, struct arena *arena, struct change ***ret_changes,
              size_t *ret_count, struct err *reterr) MUST_CHECK;

#endif
