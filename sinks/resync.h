/* A table that is to be read again while the stream runs: what is asked for, how far it is, and how it ended. Where
 * this is kept is the sink's: pgrekey.resync on the target (postgres/snapshot/resync_store.h), or the state topic
 * (sink_ops.resyncs_read). */
#ifndef PGREKEY_SINKS_RESYNC_H
#define PGREKEY_SINKS_RESYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"

/* What is asked for: a whole table; a range of its first key column, both ends included; or some keys. */
struct resync_ask {
    const char *table;       /* of the source: "table" or "schema.table" */
    const char *reason;      /* NULL: "asked" */
    const char *lo, *hi;     /* NULL: open */
    const char *const *keys; /* each a value, or a JSON array of them */
    size_t key_count;
};

struct resync_record {
    int64_t id;
    char *table, *reason;
    char *lo, *hi, *next; /* next: done to before here; NULL: nothing yet */
    char **keys;
    size_t key_count;
    bool begun;
    uint64_t rows, removed;
    /* Of a sink that has to look for rows which the source has no more itself (sink_ops.strays_find): the point of the
     * first piece, and whether all rows have been read. */
    uint64_t since;
    bool read;
};

/* How far it has come with a batch. */
struct resync_progress {
    int64_t id;
    const char *next;
    uint64_t rows, removed, since;
    bool read;
    bool over, failed;
    const char *result; /* one sentence where it is over */
};

/* For the operator: how far it is. */
struct resync_report {
    bool exists, begun, done, failed;
    uint64_t expected, rows, removed;
    char table[2 * ERR_NAME_MAX], result[ERR_TEXT_MAX];
};

void resync_record_free(struct resync_record *record); /* NULL is fine */

#endif
