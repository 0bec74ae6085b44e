#include "sinks/postgres/state/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"

#define SIDE "target"
#define POLL_MS 100

int request_put(PGconn *conn, const char *pipeline, const char *kind, const int64_t *ids, size_t id_count,
                const char *rule, const char *category, int64_t *ret_id, struct err *reterr)
{
    struct buf array;
    PGresult *result;
    int failed;

    if (id_count == 0 && strcmp(kind, "quarantine_discard") == 0)
        return err_set(reterr, ERR_CONFIG, "discard needs the ids of the entries");
    buf_init(&array, (size_t)64 << 20);
    for (size_t i = 0; i < id_count; i++)
        buf_printf(&array, "%c%" PRId64, i ? ',' : '{', ids[i]);
    buf_putc(&array, '}');
    if (buf_overflowed(&array)) {
        buf_done(&array);
        return err_set(reterr, ERR_CONFIG, "too many ids in one request");
    }
    const char *params[] = {pipeline, kind, id_count ? buf_text(&array) : NULL, rule, category};
    failed = pg_query(conn, SIDE, "writing a request",
                      "INSERT INTO pgrekey.request (pipeline, kind, ids, rule, category)"
                      " VALUES ($1, $2, $3::bigint[], $4, $5) RETURNING id",
                      5, params, &result, reterr);
    buf_done(&array);
    if (failed)
        return -1;
    *ret_id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return 0;
}

static int poll_once(PGconn *conn, int64_t id, struct request_outcome *outcome, struct err *reterr)
{
    char id_text[24];
    const char *params[] = {id_text};
    PGresult *result;

    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    if (pg_query(conn, SIDE, "reading a request",
                 "SELECT status, coalesce(result, '') FROM pgrekey.request WHERE id = $1", 1, params, &result, reterr))
        return -1;
    if (PQntuples(result) == 0) {
        PQclear(result);
        return err_set(reterr, ERR_CONFIG, "there is no request %" PRId64, id);
    }
    outcome->failed = strcmp(PQgetvalue(result, 0, 0), "failed") == 0;
    outcome->done = outcome->failed || strcmp(PQgetvalue(result, 0, 0), "done") == 0;
    snprintf(outcome->result, sizeof(outcome->result), "%s", PQgetvalue(result, 0, 1));
    PQclear(result);
    return 0;
}

int request_wait(PGconn *conn, int64_t id, int wait_ms, struct request_outcome *ret_outcome, struct err *reterr)
{
    int64_t end = clock_mono_us() + (int64_t)wait_ms * 1000;
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

    *ret_outcome = (struct request_outcome){0};
    for (;;) {
        if (poll_once(conn, id, ret_outcome, reterr))
            return -1;
        if (ret_outcome->done || clock_mono_us() >= end)
            return 0;
        nanosleep(&pause, NULL);
    }
}
