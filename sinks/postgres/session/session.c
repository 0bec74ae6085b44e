#include "sinks/postgres/session/session.h"

#include <stdio.h>
#include <string.h>

#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/apply/stage.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/quarantine/refusal.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/session/fence.h"
#include "sinks/postgres/session/shared.h"

#define LOCK_NOT_AVAILABLE "55P03"
#define DEADLOCK "40P01"

/* No SQL begins so, and no literal of an array. */
static const char CUT_OFF[] = "\001cut off";

const char *session_text(const struct buf *buf)
{
    return buf_overflowed(buf) ? CUT_OFF : buf_text(buf);
}

bool session_refuses(const char *sql)
{
    return *sql == *CUT_OFF;
}

int session_query(struct pgsink *s, const char *doing, const char *sql, int param_count, const char *const *params,
                  PGresult **ret_result, struct err *reterr)
{
    bool refused = session_refuses(sql);

    for (int i = 0; i < param_count; i++)
        refused |= params[i] == CUT_OFF; /* itself: a value may be anything */
    if (refused)
        return err_set(reterr, ERR_FATAL, "%s: %s is too long to be sent", SIDE, doing);
    return pg_query(s->conn, SIDE, doing, sql, param_count, params, ret_result, reterr);
}

int session_run(struct pgsink *s, const char *doing, const char *sql, struct err *reterr)
{
    return session_query(s, doing, sql, 0, NULL, NULL, reterr);
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
    return session_text(array);
}

int session_begin(struct pgsink *s, struct err *reterr)
{
    if (session_run(s, "beginning a transaction", "BEGIN", reterr))
        return -1;
    s->in_transaction = true;
    if (s->shared && shared_begun(s, reterr))
        return -1;
    return s->loader ? fence_hold(s, reterr) : 0;
}

void session_ended(struct pgsink *s, bool committed)
{
    s->in_transaction = false;
    s->part_rows = 0;
    stage_ended(s);
    derive_ended(s, committed);
    if (!committed) {
        counters_forget(s);
        parents_forget(s->parents);
        adopted_forget(s->adopted);
        stage_rolled_back(s);
    }
    if (s->rowmode)
        rowmode_end(s);
    if (s->park)
        park_end(s);
}

int session_commit(struct pgsink *s, struct err *reterr)
{
    if (session_run(s, "committing", "COMMIT", reterr))
        return -1;
    session_ended(s, true);
    return 0;
}

int session_back_to(struct pgsink *s, const char *doing, const char *savepoint, bool release, struct err *reterr)
{
    char sql[160];

    derive_forget_tables(s);
    snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT %s%s%s", savepoint, release ? "; RELEASE SAVEPOINT " : "",
             release ? savepoint : "");
    return session_run(s, doing, sql, reterr);
}

enum category session_refusal(const struct pgsink *s, const struct err *said, bool deleting)
{
    if (PQstatus(s->conn) != CONNECTION_OK || (s->rehearsal && strcmp(said->sqlstate, LOCK_NOT_AVAILABLE) == 0) ||
        (s->shared && strcmp(said->sqlstate, DEADLOCK) == 0)) /* another worker's fault as much as ours: all again */
        return CATEGORY_NONE;
    return refusal_category(said, deleting);
}

void session_rollback(struct pgsink *s)
{
    if (PQpipelineStatus(s->conn) != PQ_PIPELINE_OFF && PQstatus(s->conn) == CONNECTION_OK)
        (void)PQexitPipelineMode(s->conn);
    if (PQstatus(s->conn) == CONNECTION_OK && PQtransactionStatus(s->conn) != PQTRANS_IDLE)
        PQclear(PQexec(s->conn, "ROLLBACK"));
    session_ended(s, false);
}
