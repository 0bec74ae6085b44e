#include "sinks/postgres/session/pipe.h"

#include <stdlib.h>

#include "sinks/postgres/session/session.h"

int pipe_begin(struct pipe *pipe, struct pgsink *s, struct err *reterr)
{
    pipe->s = s;
    pipe->reterr = reterr;
    pipe->failed = false;
    pipe->count = 0;
    pipe->failed_at = SIZE_MAX;
    if (!PQenterPipelineMode(s->conn))
        return pg_err(reterr, SIDE, s->conn, NULL, "starting a batch");
    return 0;
}

static size_t sent(struct pipe *pipe, struct target_statement *preparing, int ok)
{
    pipe->failed |= !ok;
    pipe->preparing[pipe->count] = preparing;
    pipe->affected[pipe->count] = 0;
    pipe->figures[pipe->count] = NULL;
    return pipe->count++;
}

static bool has_room(struct pipe *pipe)
{
    if (pipe->count >= PIPE_MAX - 1)
        pipe->failed = true;
    return !pipe->failed;
}

size_t pipe_query(struct pipe *pipe, const char *sql, int param_count, const char *const *params)
{
    if (!has_room(pipe))
        return 0;
    return sent(pipe, NULL, PQsendQueryParams(pipe->s->conn, sql, param_count, NULL, params, NULL, NULL, 0));
}

size_t pipe_run(struct pipe *pipe, const char *sql)
{
    return pipe_query(pipe, sql, 0, NULL);
}

size_t pipe_execute(struct pipe *pipe, struct target_statement *statement, int param_count, const char *const *params)
{
    if (!has_room(pipe))
        return 0;
    if (!statement->prepared) {
        (void)sent(pipe, statement, PQsendPrepare(pipe->s->conn, statement->name, statement->sql, 0, NULL));
        statement->prepared = true; /* taken back where it fails */
        if (pipe->failed)
            return 0;
    }
    return sent(pipe, NULL, PQsendQueryPrepared(pipe->s->conn, statement->name, param_count, params, NULL, NULL, 0));
}

size_t pipe_ask(struct pipe *pipe, struct target_statement *statement, int param_count, const char *const *params,
                int64_t *figures, int count)
{
    size_t index = pipe_execute(pipe, statement, param_count, params);

    if (pipe->failed)
        return index;
    pipe->figures[index] = figures;
    pipe->figure_count[index] = count;
    return index;
}

static void take(struct pipe *pipe, size_t index, PGresult *result)
{
    pipe->affected[index] = strtoll(PQcmdTuples(result), NULL, 10);
    for (int i = 0; pipe->figures[index] && i < pipe->figure_count[index] && PQntuples(result); i++)
        pipe->figures[index][i] = strtoll(PQgetvalue(result, 0, i), NULL, 10);
}

/* One statement's results up to the NULL that ends them. */
static int read_one(struct pipe *pipe, size_t index, int failed)
{
    PGresult *result;

    while ((result = PQgetResult(pipe->s->conn))) {
        ExecStatusType status = PQresultStatus(result);

        if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
            take(pipe, index, result);
        } else {
            if (pipe->preparing[index])
                pipe->preparing[index]->prepared = false;
            if (!failed) { /* the rest says only that it was not executed */
                pg_err(pipe->reterr, SIDE, pipe->s->conn, result, "writing a batch");
                pipe->failed_at = index;
            }
            failed = -1;
        }
        PQclear(result);
    }
    return failed;
}

int pipe_end(struct pipe *pipe)
{
    PGconn *conn = pipe->s->conn;
    int failed = 0;
    PGresult *result;

    if (pipe->failed || !PQpipelineSync(conn)) {
        /* Half-sent: nothing but a new session mends it. */
        pg_err(pipe->reterr, SIDE, conn, NULL, "sending a batch");
        if (pipe->reterr && pipe->reterr->kind == ERR_POISON)
            pipe->reterr->kind = ERR_FATAL;
        return -1;
    }
    for (size_t i = 0; i < pipe->count; i++) {
        failed = read_one(pipe, i, failed);
        if (PQstatus(conn) != CONNECTION_OK)
            break;
    }
    while (PQstatus(conn) == CONNECTION_OK && (result = PQgetResult(conn))) {
        ExecStatusType status = PQresultStatus(result);
        PQclear(result);
        if (status == PGRES_PIPELINE_SYNC)
            break;
    }
    if (PQstatus(conn) != CONNECTION_OK) {
        if (!failed)
            pg_err(pipe->reterr, SIDE, conn, NULL, "writing a batch");
        return -1;
    }
    if (!PQexitPipelineMode(conn))
        return pg_err(pipe->reterr, SIDE, conn, NULL, "ending a batch");
    return failed;
}
