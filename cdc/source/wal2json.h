/* One wal2json message (format-version 2) decoded into a change: a C face over simdjson.
 *
 * Knows no connection. The message's bytes must be followed by WAL2JSON_PADDING readable bytes and stay where they
 * are as long as the change is used: values without escapes point into them.
 */
#ifndef PGREKEY_SOURCE_WAL2JSON_H
#define PGREKEY_SOURCE_WAL2JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"

#define WAL2JSON_PADDING 64

struct wal2json;

/* As in stream.h: relation() gives the relation of a table; never() drops columns. */
struct wal2json_options {
    int (*relation)(void *context, const char *schema, const char *table, const char *column, const char *why,
                    const struct relation **ret_relation, struct err *reterr);
    bool (*never)(void *context, const char *schema, const char *table, const char *column);
    void *context;
};

enum wal2json_action {
    WAL2JSON_SKIP, /* a change of a table nobody wants */
    WAL2JSON_BEGIN,
    WAL2JSON_COMMIT,
    WAL2JSON_CHANGE,
    WAL2JSON_MESSAGE,
};

struct wal2json_item {
    enum wal2json_action action;
    uint32_t xid;
    int64_t commit_us; /* 0 without timestamp */
    uint64_t end_lsn;  /* of a begin: where the commit ends (nextlsn); 0 where it does not say */
    struct change *change;
    const char *prefix, *content; /* NUL-terminated, in the arena */
    bool transactional;
};

struct wal2json *wal2json_new(const struct wal2json_options *options);
void wal2json_free(struct wal2json *decoder);
/* ERR_FATAL for what is not wal2json's JSON; what relation() failed with. */
int wal2json_decode(struct wal2json *decoder, const char *message, size_t len, struct arena *arena,
                    struct wal2json_item *ret_item, struct err *reterr) MUST_CHECK;

#endif
