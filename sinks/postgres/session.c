#include "sinks/postgres/session.h"

#include "sinks/postgres/fence.h"
#include "sinks/postgres/parents.h"
#include "sinks/postgres/rowmode.h"
#include "sinks/postgres/stage.h"

int session_run(struct pgsink *s, const char *doing, const char *sql, struct err *reterr)
{
    return pg_run(s->conn, SIDE, doing, sql, reterr);
}

int session_query(struct pgsink *s, const char *doing, const char *sql, int param_count, const char *const *params,
                  PGresult **ret_result, struct err *reterr)
{
    return pg_query(s->conn, SIDE, doing, sql, param_count, params, ret_result, reterr);
}

void session_put_array_item(struct buf *array, const struct value *value)
{
    buf_putc(array, array->len == 0 ? '{' : ',');
    if (value->state != VALUE_TEXT) {
        buf_puts(array, "NULL");
        return;
    }
    buf_putc(array, '"');
    for (uint32_t i = 0; i < value->len; i++) {
        if (value->text[i] == '"' || value->text[i] == '\\')
            buf_putc(array, '\\');
        buf_putc(array, value->text[i]);
    }
    buf_putc(array, '"');
}

const char *session_end_array(struct buf *array)
{
    buf_puts(array, array->len == 0 ? "{}" : "}");
    return buf_text(array);
}

int session_begin(struct pgsink *s, struct err *reterr)
{
    if (session_run(s, "beginning a transaction", "BEGIN", reterr))
        return -1;
    s->in_transaction = true;
    return s->loader ? fence_hold(s, reterr) : 0;
}

void session_ended(struct pgsink *s, bool committed)
{
    s->in_transaction = false;
    stage_ended(s);
    if (!committed) {
        counters_forget(s);
        parents_forget(s->parents);
        stage_rolled_back(s);
    }
    if (s->rowmode)
        rowmode_end(s);
}

int session_commit(struct pgsink *s, struct err *reterr)
{
    if (session_run(s, "committing", "COMMIT", reterr))
        return -1;
    session_ended(s, true);
    return 0;
}

void session_rollback(struct pgsink *s)
{
    if (PQpipelineStatus(s->conn) != PQ_PIPELINE_OFF && PQstatus(s->conn) == CONNECTION_OK)
        (void)PQexitPipelineMode(s->conn);
    if (PQstatus(s->conn) == CONNECTION_OK && PQtransactionStatus(s->conn) != PQTRANS_IDLE)
        PQclear(PQexec(s->conn, "ROLLBACK"));
    session_ended(s, false);
}
