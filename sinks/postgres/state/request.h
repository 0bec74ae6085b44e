/* What operators ask of a running engine, through a table: the engine takes requests between two batches, so that
 * they never race with it. */
#ifndef PGREKEY_SINKS_POSTGRES_REQUEST_H
#define PGREKEY_SINKS_POSTGRES_REQUEST_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"

/* kind: "resume", "quarantine_retry", "quarantine_discard". ids NULL and count 0 with retry: all open entries
 * (of `rule` and `category`, where not NULL). Gives the request's id. */
int request_put(PGconn *conn, const char *pipeline, const char *kind, const int64_t *ids, size_t id_count,
                const char *rule, const char *category, int64_t *ret_id, struct err *reterr) MUST_CHECK;

struct request_outcome {
    bool done; /* false: still waiting, no engine took it within the time */
    bool failed;
    char result[ERR_TEXT_MAX]; /* "12 resolved, 3 still failing" */
};
/* Polls until the engine has answered or wait_ms have passed. */
int request_wait(PGconn *conn, int64_t id, int wait_ms, struct request_outcome *ret_outcome,
                 struct err *reterr) MUST_CHECK;

#endif
