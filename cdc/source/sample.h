/* A few rows of a source table, for looking at: spread over the table, or by key. Nothing is locked or kept open. */
#ifndef PGREKEY_SOURCE_SAMPLE_H
#define PGREKEY_SOURCE_SAMPLE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"

struct sample_options {
    const struct relation *relation;
    size_t limit;
    /* Rows with these keys, instead of some of all: a value, or a JSON array of them where the key has several
     * columns (as `quarantine list` prints it). */
    const char *const *keys;
    size_t key_count;
    /* Columns that are left out, and NULL in the changes; may be NULL. */
    bool (*never)(void *context, const char *schema, const char *table, const char *column);
    void *context;
};

/* As CHANGE_READs in `arena`. The same rows each time, as long as the table is the same. The connection must have the
 * session of cdc/source/session.h. ERR_CONFIG where a key does not fit the table's. */
int sample_read(PGconn *conn, const struct sample_options *options, struct arena *arena, struct change ***ret_changes,
                size_t *ret_count, struct err *reterr) MUST_CHECK;

/* A key's text as the values of the table's key, in the columns' own output form. ERR_CONFIG where it does not fit. */
int sample_key(PGconn *conn, const struct relation *relation, const char *key, struct arena *arena,
               struct value **ret_identity, struct err *reterr) MUST_CHECK;

#endif
