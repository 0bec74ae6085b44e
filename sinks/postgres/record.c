#include "sinks/postgres/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/pipe.h"
#include "sinks/postgres/session.h"

/* The compare-and-set as a statement that fails, not as one that touches no row: so COMMIT can be sent right behind
 * it. The divisor names a column lest the planner work it out beforehand. */
#define MOVE                                                                                                           \
    "UPDATE pgrekey.pipeline SET lsn = $2::pg_lsn, updated_at = now() WHERE name = $1 "                                \
    "AND CASE WHEN lsn = $3::pg_lsn THEN true ELSE 1 / (length(name) * 0) = 0 END"

size_t record_send(struct pgsink *s, struct pipe *pipe, uint64_t lsn)
{
    struct target_statement *statement = &s->record_statement;
    char to[LSN_TEXT_MAX], from[LSN_TEXT_MAX];
    const char *params[3] = {s->options.pipeline, lsn_format(lsn, to), lsn_format(s->lsn, from)};

    if (!statement->sql) {
        statement->sql = mem_strdup(MOVE);
        snprintf(statement->name, sizeof(statement->name), "pgrekey_record");
    }
    return pipe_execute(pipe, statement, 3, params);
}

int record_explain(const struct pgsink *s, const struct pipe *pipe, size_t index, struct err *reterr)
{
    if (pipe->failed_at != index || !reterr || strcmp(reterr->sqlstate, "22012") != 0)
        return -1;
    (void)err_set(reterr, ERR_RETRY, "the position of pipeline %s was moved by another session", s->options.pipeline);
    return err_hint(reterr, "only one engine may run for a pipeline: look for another one");
}

static void part_send(struct pgsink *s, struct pipe *pipe, const struct batch *batch)
{
    char part[16], rows[24];
    const char *params[4] = {s->options.pipeline, part, rows, batch->part_done ? "t" : "f"};

    snprintf(part, sizeof(part), "%d", batch->snapshot_part);
    snprintf(rows, sizeof(rows), "%zu", batch->row_count);
    (void)pipe_query(pipe,
                     "INSERT INTO pgrekey.snapshot_part AS p (pipeline, part, rows, done) "
                     "VALUES ($1, $2::integer, $3::bigint, $4::boolean) ON CONFLICT (pipeline, part) "
                     "DO UPDATE SET rows = p.rows + excluded.rows, done = p.done OR excluded.done",
                     4, params);
}

int record_commit(struct pgsink *s, const struct batch *batch, struct err *reterr)
{
    bool moves = batch->snapshot_part < 0 && !s->loader;
    size_t at = SIZE_MAX - 1;
    struct pipe pipe;

    while (counters_moved(s) > COUNTERS_RULES)
        if (counters_flush(s, reterr))
            return -1;
    if (pipe_begin(&pipe, s, reterr))
        return -1;
    counters_send(s, &pipe);
    if (moves)
        at = record_send(s, &pipe, batch->end_lsn);
    else
        part_send(s, &pipe, batch);
    (void)pipe_run(&pipe, "COMMIT");
    if (pipe_end(&pipe))
        return record_explain(s, &pipe, at, reterr);
    session_ended(s, true);
    if (moves && pipe.affected[at] == 0)
        return err_set(reterr, ERR_FATAL, "the record of pipeline %s is gone", s->options.pipeline);
    if (moves)
        s->lsn = batch->end_lsn;
    return 0;
}

int record_forget(PGconn *conn, const char *pipeline, bool requests_too, struct err *reterr)
{
    static const char *const TABLES[] = {"counter",           "snapshot_part", "quarantine",
                                         "pending_reference", "gone",          "request"};
    const char *params[1] = {pipeline};

    for (size_t i = 0; i < sizeof(TABLES) / sizeof(*TABLES) - (requests_too ? 0 : 1); i++) {
        char sql[128];
        snprintf(sql, sizeof(sql), "DELETE FROM pgrekey.%s WHERE pipeline = $1", TABLES[i]);
        if (pg_query(conn, SIDE, "forgetting what was recorded", sql, 1, params, NULL, reterr))
            return -1;
    }
    return pg_query(conn, SIDE, "forgetting what was recorded", "DELETE FROM pgrekey.pipeline WHERE name = $1", 1,
                    params, NULL, reterr);
}
