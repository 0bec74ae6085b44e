#include "sinks/postgres/state/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/session/pipe.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/offsets.h"

/* The compare-and-set as a statement that fails, by dividing by zero, where it touches no row: so COMMIT can be sent
 * right behind it. */
#define MOVE                                                                                                           \
    "WITH moved AS (UPDATE pgrekey.pipeline SET lsn = $2::pg_lsn, updated_at = now() "                                 \
    "WHERE name = $1 AND lsn = $3::pg_lsn RETURNING 1) SELECT 1 / count(*) FROM moved"
#define BY_ZERO "22012"

static void move(struct pgsink *s, struct pipe *pipe, uint64_t lsn)
{
    struct target_statement *statement = &s->record_statement;
    char to[LSN_TEXT_MAX], from[LSN_TEXT_MAX];
    const char *params[3] = {s->options.pipeline, lsn_format(lsn, to), lsn_format(s->lsn, from)};

    if (!statement->sql) {
        statement->sql = mem_strdup(MOVE);
        snprintf(statement->name, sizeof(statement->name), "pgrekey_record");
    }
    (void)pipe_execute(pipe, statement, 3, params);
}

/* Was it moved, or is it gone? */
static int explain_move(struct pgsink *s, struct err *reterr)
{
    PGresult *result = NULL;
    bool gone;

    session_rollback(s);
    if (session_query(s, "reading the pipeline's record", "SELECT FROM pgrekey.pipeline WHERE name = $1", 1,
                      (const char *[]){s->options.pipeline}, &result, reterr))
        return -1;
    gone = PQntuples(result) == 0;
    PQclear(result);
    if (gone)
        return err_set(reterr, ERR_FATAL, "the record of pipeline %s is gone", s->options.pipeline);
    (void)err_set(reterr, ERR_RETRY, "the position of pipeline %s was moved by another session", s->options.pipeline);
    return err_hint(reterr, "only one engine may run for a pipeline: look for another one");
}

static void part_send(struct pgsink *s, struct pipe *pipe, const struct batch *batch)
{
    char part[16], rows[24], point[LSN_TEXT_MAX];
    const char *params[4] = {s->options.pipeline, part, rows, lsn_format(batch->end_lsn, point)};

    snprintf(part, sizeof(part), "%d", batch->joins ? batch->joined_part : batch->snapshot_part);
    snprintf(rows, sizeof(rows), "%" PRIu64, batch->joins ? batch->joined_rows : s->part_rows);
    (void)pipe_query(pipe,
                     "INSERT INTO pgrekey.snapshot_part AS p (pipeline, part, rows, done, point) "
                     "VALUES ($1, $2::integer, $3::bigint, true, $4::pg_lsn) ON CONFLICT (pipeline, part) "
                     "DO UPDATE SET rows = excluded.rows, done = true, point = excluded.point",
                     4, params);
}

void record_send(struct pgsink *s, struct pipe *pipe, const struct batch *batch, struct record_sent *ret_sent)
{
    ret_sent->counters = pipe->count;
    counters_send(s, pipe);
    ret_sent->record = pipe->count;
    if (batch->snapshot_part < 0 && !s->loader)
        move(s, pipe, batch->end_lsn);
    if (batch->snapshot_part >= 0 || s->loader || batch->joins)
        part_send(s, pipe, batch);
    offsets_send(s, pipe, batch);
    ret_sent->commit = pipe_run(pipe, "COMMIT");
}

int record_explain(struct pgsink *s, const struct pipe *pipe, const struct record_sent *sent, struct err *reterr)
{
    size_t at = pipe->failed_at;

    if (!reterr || strcmp(reterr->sqlstate, BY_ZERO) != 0 || at < sent->counters || at >= sent->commit)
        return -1;
    return at < sent->record ? counters_explain(s, pipe, sent->counters, reterr) : explain_move(s, reterr);
}

int record_commit(struct pgsink *s, const struct batch *batch, struct err *reterr)
{
    struct record_sent sent;
    struct pipe pipe;

    while (counters_moved(s) > COUNTERS_RULES)
        if (counters_flush(s, reterr))
            return -1;
    if (pipe_begin(&pipe, s, reterr))
        return -1;
    record_send(s, &pipe, batch, &sent);
    if (pipe_end(&pipe))
        return record_explain(s, &pipe, &sent, reterr);
    session_ended(s, true);
    if (batch->snapshot_part < 0 && !s->loader)
        s->lsn = batch->end_lsn;
    return 0;
}

int record_forget(PGconn *conn, const char *pipeline, bool requests_too, struct err *reterr)
{
    static const char *const TABLES[] = {"counter",      "snapshot_part", "quarantine",  "pending_reference", "gone",
                                         "mapping_step", "replay_offset", "dead_letter", "request",           "resync"};
    const char *params[1] = {pipeline};

    for (size_t i = 0; i < sizeof(TABLES) / sizeof(*TABLES) - (requests_too ? 0 : 2); i++) {
        char sql[128];
        snprintf(sql, sizeof(sql), "DELETE FROM pgrekey.%s WHERE pipeline = $1", TABLES[i]);
        if (pg_query(conn, SIDE, "forgetting what was recorded", sql, 1, params, NULL, reterr))
            return -1;
    }
    if (pg_query(conn, SIDE, "forgetting what was recorded",
                 "WITH mine AS (DELETE FROM pgrekey.derivation WHERE pipeline = $1 RETURNING id) "
                 "DELETE FROM pgrekey.derived USING mine WHERE derivation = mine.id",
                 1, params, NULL, reterr))
        return -1;
    return pg_query(conn, SIDE, "forgetting what was recorded", "DELETE FROM pgrekey.pipeline WHERE name = $1", 1,
                    params, NULL, reterr);
}
