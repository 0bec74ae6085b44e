/* How what was taken off comes back, told by nothing but its record: `drop` needs no mapping. See fastload.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/snapshot/fastload.h"

#define SQL_MAX ((size_t)4 << 20)
#define DOING "building again what the snapshot took off"

/* The engine's sessions plan for single rows; here a whole table is read. */
#define FOR_THE_WHOLE                                                                                                  \
    "SET LOCAL statement_timeout = 0; SET LOCAL default_tablespace = ''; SET LOCAL enable_seqscan = on; "              \
    "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "

enum { AT_ID, AT_KIND, AT_OID, AT_SCHEMA, AT_TABLE, AT_NAME, AT_DEFINITION, AT_EXTRAS, AT_VALIDATED, AT_STATE };
#define RECORDS_SQL                                                                                                    \
    "SELECT id, kind, table_oid, schema_name, table_name, name, definition, extras, validated, state "                 \
    "FROM pgrekey.taken_off WHERE pipeline = $1 AND level <= $2::integer AND (failed = '' OR $3::boolean) "            \
    "ORDER BY kind DESC, id"

struct restoring {
    PGconn *conn;
    bool nested; /* the caller is in a transaction */
    const PGresult *records;
    int row;
};

static const char *text_of(const struct restoring *r, int column)
{
    return PQgetvalue(r->records, r->row, column);
}

static bool is_index(const struct restoring *r)
{
    return *text_of(r, AT_KIND) == 'i';
}

/* --- statements --- */

static void put_table(struct buf *sql, const struct restoring *r)
{
    buf_puts(sql, "ALTER TABLE ");
    pg_put_qualified(sql, text_of(r, AT_SCHEMA), text_of(r, AT_TABLE));
}

static void put_making(struct buf *sql, const struct restoring *r)
{
    if (is_index(r)) {
        buf_puts(sql, text_of(r, AT_DEFINITION));
    } else {
        put_table(sql, r);
        buf_puts(sql, " ADD CONSTRAINT ");
        pg_put_ident(sql, text_of(r, AT_NAME));
        buf_printf(sql, " %s NOT VALID", text_of(r, AT_DEFINITION));
    }
    buf_printf(sql, "; %s; ", text_of(r, AT_EXTRAS));
}

static void put_forgetting(struct buf *sql, const struct restoring *r)
{
    buf_printf(sql, "DELETE FROM pgrekey.taken_off WHERE id = %s; ", text_of(r, AT_ID));
}

static int run_in_own(const struct restoring *r, const struct buf *statements, struct err *reterr)
{
    struct err ignored = {0};
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, r->nested ? "SAVEPOINT pgrekey_restore; " : "BEGIN; ");
    buf_printf(&sql, FOR_THE_WHOLE "%s", session_text(statements));
    buf_puts(&sql, r->nested ? "RELEASE pgrekey_restore" : "COMMIT");
    int failed = pg_run(r->conn, SIDE, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    if (failed) {
        int undone =
            pg_run(r->conn, SIDE, DOING, r->nested ? "ROLLBACK TO SAVEPOINT pgrekey_restore" : "ROLLBACK", &ignored);
        (void)undone; /* where it fails the connection is gone, and the transaction with it */
    }
    return failed;
}

static int forget(const struct restoring *r, struct err *reterr)
{
    return pg_query(r->conn, SIDE, DOING, "DELETE FROM pgrekey.taken_off WHERE id = $1::bigint", 1,
                    (const char *[]){text_of(r, AT_ID)}, NULL, reterr);
}

/* --- when it does not work --- */

/* The server's own trouble, which passes or is mended elsewhere; all else is about this object. */
static bool is_servers_trouble(const struct err *err)
{
    static const char *const CLASSES[] = {"08", "25", "40", "53", "55", "57", "58", "XX"};

    for (size_t i = 0; i < sizeof(CLASSES) / sizeof(*CLASSES); i++)
        if (strncmp(err->sqlstate, CLASSES[i], 2) == 0)
            return true;
    return err->kind == ERR_RETRY || !*err->sqlstate;
}

/* The table may be gone by now, or somebody has made the very same object himself: both leave nothing to do. */
static int is_settled(const struct restoring *r, bool *ret_settled, struct err *reterr)
{
    static const char SQL[] =
        "SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid = $1::oid) OR EXISTS (SELECT FROM pg_index i JOIN pg_class "
        "c "
        "ON c.oid = i.indexrelid WHERE i.indrelid = $1::oid AND c.relname = $2 AND i.indisvalid AND "
        "pg_get_indexdef(c.oid) = $3) OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::oid AND conname = $2 "
        "AND replace(pg_get_constraintdef(oid), ' NOT VALID', '') = $3), set_config('search_path', $4, $5::boolean)";
    const char *params[5] = {text_of(r, AT_OID), text_of(r, AT_NAME), text_of(r, AT_DEFINITION), NULL,
                             r->nested ? "t" : "f"};
    PGresult *path = NULL, *answer = NULL;

    *ret_settled = false;
    if (pg_query(r->conn, SIDE, DOING,
                 "SELECT current_setting('search_path'), set_config('search_path', '', $1::boolean)", 1, &params[4],
                 &path, reterr))
        return -1;
    params[3] = PQgetvalue(path, 0, 0);
    int failed = pg_query(r->conn, SIDE, DOING, SQL, 5, params, &answer, reterr);
    if (!failed)
        *ret_settled = *PQgetvalue(answer, 0, 0) == 't';
    PQclear(answer);
    PQclear(path);
    return failed;
}

static int note_failure(const struct restoring *r, const struct err *why, struct sink_fast_load *outcome,
                        struct err *reterr)
{
    outcome->failed++;
    snprintf(outcome->last_failed, sizeof(outcome->last_failed), "%s %s of %s.%s (SQLSTATE %s)", text_of(r, AT_KIND),
             text_of(r, AT_NAME), text_of(r, AT_SCHEMA), text_of(r, AT_TABLE), why->sqlstate);
    return pg_query(r->conn, SIDE, DOING, "UPDATE pgrekey.taken_off SET failed = $2 WHERE id = $1::bigint", 2,
                    (const char *[]){text_of(r, AT_ID), why->sqlstate}, NULL, reterr);
}

/* A constraint that is not there to be validated has been dropped by somebody since it came back. */
static int settle_failure(const struct restoring *r, const struct err *why, bool made, struct sink_fast_load *outcome,
                          struct err *reterr)
{
    bool settled = made && strcmp(why->sqlstate, "42704") == 0;

    if (is_servers_trouble(why)) {
        *reterr = *why;
        return -1;
    }
    if (!made && is_settled(r, &settled, reterr))
        return -1;
    if (!settled)
        return note_failure(r, why, outcome, reterr);
    outcome->restored++;
    return forget(r, reterr);
}

/* --- one after the other --- */

static int make(const struct restoring *r, bool validates, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    put_making(&sql, r);
    if (validates)
        buf_printf(&sql, "UPDATE pgrekey.taken_off SET state = 'unvalidated' WHERE id = %s; ", text_of(r, AT_ID));
    else
        put_forgetting(&sql, r);
    int failed = run_in_own(r, &sql, reterr);
    buf_done(&sql);
    return failed;
}

static int validate(const struct restoring *r, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    put_table(&sql, r);
    buf_puts(&sql, " VALIDATE CONSTRAINT ");
    pg_put_ident(&sql, text_of(r, AT_NAME));
    buf_puts(&sql, "; ");
    put_forgetting(&sql, r);
    int failed = run_in_own(r, &sql, reterr);
    buf_done(&sql);
    return failed;
}

/* A foreign key is validated apart: reading the whole table then stops nobody from writing. */
static int restore_one(const struct restoring *r, struct sink_fast_load *outcome, struct err *reterr)
{
    bool validates = !is_index(r) && *text_of(r, AT_VALIDATED) == 't';
    struct err why = {0};

    if (strcmp(text_of(r, AT_STATE), "off") == 0 && make(r, validates, &why))
        return settle_failure(r, &why, false, outcome, reterr);
    if (validates && validate(r, &why))
        return settle_failure(r, &why, true, outcome, reterr);
    outcome->restored++;
    return 0;
}

static int record_is_there(PGconn *conn, bool *ret_there, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, DOING, "SELECT to_regclass('pgrekey.taken_off') IS NOT NULL", 0, NULL, &result, reterr))
        return -1;
    *ret_there = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

int fastload_restore(PGconn *conn, const char *pipeline, int level, bool retry, struct sink_fast_load *outcome,
                     struct err *reterr)
{
    struct restoring r = {.conn = conn, .nested = PQtransactionStatus(conn) == PQTRANS_INTRANS};
    PGresult *records = NULL;
    char number[16];
    const char *params[3] = {pipeline, number, retry ? "t" : "f"};
    bool there;
    int failed = record_is_there(conn, &there, reterr);

    if (failed || !there)
        return failed;
    snprintf(number, sizeof(number), "%d", level);
    failed = pg_query(conn, SIDE, DOING, RECORDS_SQL, 3, params, &records, reterr);
    r.records = records;
    for (r.row = 0; !failed && r.row < PQntuples(records); r.row++)
        failed = restore_one(&r, outcome, reterr);
    PQclear(records);
    return failed;
}

/* --- looking --- */

int fastload_read(PGconn *conn, const char *pipeline, struct fastload_state *ret_state, struct err *reterr)
{
    static const char SQL[] =
        "SELECT count(*), count(*) FILTER (WHERE failed <> ''), coalesce((SELECT format('%s %I of %I.%I (SQLSTATE "
        "%s)', "
        "kind, name, schema_name, table_name, failed) FROM pgrekey.taken_off WHERE pipeline = $1 AND failed <> '' "
        "ORDER BY id LIMIT 1), '') FROM pgrekey.taken_off WHERE pipeline = $1";
    PGresult *result = NULL;
    bool there;

    *ret_state = (struct fastload_state){0};
    if (record_is_there(conn, &there, reterr))
        return -1;
    if (!there)
        return 0;
    if (pg_query(conn, SIDE, DOING, SQL, 1, &pipeline, &result, reterr))
        return -1;
    ret_state->off = strtoul(PQgetvalue(result, 0, 0), NULL, 10);
    ret_state->failed = strtoul(PQgetvalue(result, 0, 1), NULL, 10);
    snprintf(ret_state->first_failed, sizeof(ret_state->first_failed), "%s", PQgetvalue(result, 0, 2));
    PQclear(result);
    return 0;
}
