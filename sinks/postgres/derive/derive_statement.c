/* Statements of derivations, prepared once they are seen to come again: for a few keys, parsing and planning would be
 * most of the work. Told by their whole text; what is sent once is never prepared. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"

#define SLOTS 4096 /* a power of two; half of them are used at most */
#define USES_BEFORE 2

struct statement {
    char *sql;
    int uses;
    bool prepared;
};

struct derive_statements {
    struct statement slots[SLOTS];
    size_t count;
};

struct derive_statements *derive_statements_new(void)
{
    return mem_zalloc(1, sizeof(struct derive_statements));
}

void derive_statements_free(struct derive_statements *statements)
{
    for (size_t i = 0; statements && i < SLOTS; i++)
        free(statements->slots[i].sql);
    free(statements);
}

/* NULL where there is no room. */
static struct statement *find(struct derive_statements *statements, const char *sql)
{
    size_t hash = 14695981039346656037u;

    for (const char *c = sql; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    for (size_t i = hash % SLOTS;; i = (i + 1) % SLOTS) {
        struct statement *slot = &statements->slots[i];
        if (slot->sql && strcmp(slot->sql, sql) != 0)
            continue;
        if (!slot->sql && statements->count == SLOTS / 2)
            return NULL;
        if (!slot->sql) {
            slot->sql = mem_strdup(sql);
            statements->count++;
        }
        return slot;
    }
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

static int prepare(struct pgsink *s, struct statement *statement, const char *name, const char *doing,
                   struct err *reterr)
{
    PGresult *result;

    if (statement->prepared)
        return 0;
    result = PQprepare(s->conn, name, statement->sql, 0, NULL);
    statement->prepared = is_good(result);
    if (!statement->prepared)
        (void)pg_err(reterr, SIDE, s->conn, result, doing);
    PQclear(result);
    return statement->prepared ? 0 : -1;
}

int derive_query(struct pgsink *s, const char *doing, const char *sql, int param_count, const char *const *params,
                 PGresult **ret_result, struct err *reterr)
{
    struct statement *statement = s->derive->many ? NULL : find(s->derive->statements, sql);
    PGresult *result;
    char name[32];

    if (!statement || statement->uses++ < USES_BEFORE)
        return session_query(s, doing, sql, param_count, params, ret_result, reterr);
    snprintf(name, sizeof(name), "pgrekey_derive_%zu", (size_t)(statement - s->derive->statements->slots));
    if (prepare(s, statement, name, doing, reterr))
        return -1;
    result = PQexecPrepared(s->conn, name, param_count, params, NULL, NULL, 0);
    if (!is_good(result)) {
        (void)pg_err(reterr, SIDE, s->conn, result, doing);
        PQclear(result);
        return -1;
    }
    *ret_result = result;
    return 0;
}

/* --- the planner --- */

int derive_planner(struct pgsink *s, int planner, struct err *reterr)
{
    if (s->derive->planner >= planner)
        return 0;
    if (session_run(
            s, "deriving rows",
            planner == PLANNER_FEW
                ? "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on"
                : "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on",
            reterr))
        return -1;
    s->derive->planner = planner;
    return 0;
}

int derive_leave_planner(struct pgsink *s, struct err *reterr)
{
    if (!s->derive || s->derive->planner == PLANNER_SESSION)
        return 0;
    s->derive->planner = PLANNER_SESSION;
    return session_run(
        s, "deriving rows",
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off", reterr);
}
