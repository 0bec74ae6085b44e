#include "cdc/app/check/check_sql.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "transform/issues.h"

/* --- asking --- */

static int run(PGconn *conn, const char *what, struct err *reterr)
{
    return pg_run(conn, CHECK_SQL_SIDE, CHECK_SQL_DOING, what, reterr);
}

/* 0 whatever the server thinks of the statement: the result says it. -1 where it cannot be asked. */
static int ask(PGconn *conn, const struct buf *statement, PGresult **ret_result, struct err *reterr)
{
    if (buf_overflowed(statement))
        return err_set(reterr, ERR_CONFIG, "%s: a text is longer than %zu bytes", CHECK_SQL_DOING, CHECK_SQL_MAX);
    if (run(conn, "SAVEPOINT pgrekey_check", reterr) < 0)
        return -1;
    /* One statement: what stands in the file cannot end it. */
    PGresult *result = PQexecParams(conn, buf_text(statement), 0, NULL, NULL, NULL, NULL, 0);
    bool good = PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
    if (PQstatus(conn) != CONNECTION_OK) {
        (void)pg_err(reterr, CHECK_SQL_SIDE, conn, result, CHECK_SQL_DOING);
        PQclear(result);
        return -1;
    }
    if (run(conn,
            good ? "RELEASE SAVEPOINT pgrekey_check"
                 : "ROLLBACK TO SAVEPOINT pgrekey_check; RELEASE SAVEPOINT pgrekey_check",
            reterr) < 0) {
        PQclear(result);
        return -1;
    }
    *ret_result = result;
    return 0;
}

static const char *sqlstate_of(const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return sqlstate ? sqlstate : "";
}

static bool is_good(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
}

int check_sql_try(PGconn *conn, const struct buf *statement, char *sqlstate, struct err *reterr)
{
    PGresult *result;
    if (ask(conn, statement, &result, reterr) < 0)
        return -1;
    bool good = is_good(result);
    snprintf(sqlstate, 6, "%s", sqlstate_of(result));
    PQclear(result);
    return !good;
}

/* --- what it said --- */

struct place {
    bool known;
    size_t line, column; /* in the piece's text, 1-based, characters */
    const char *at;
};

/* The server counts characters of the whole statement. */
static struct place find_place(const struct check_sql *piece, const struct buf *statement, const PGresult *result)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    const char *at = buf_text(statement), *begin = strstr(at, piece->text), *end = begin + (begin ? strlen(begin) : 0);
    struct place place = {.line = 1, .column = 1};
    for (long count = position ? strtol(position, NULL, 10) : 0; count > 1 && *at; count--)
        for (at++; ((unsigned char)*at & 0xc0) == 0x80;)
            at++;
    if (!position || !begin || at < begin || at >= begin + strlen(piece->text) || at >= end)
        return place;
    for (const char *c = begin; c < at; c++) {
        bool newline = *c == '\n';
        place.line += newline;
        place.column = newline ? 1 : place.column + (((unsigned char)*c & 0xc0) != 0x80);
    }
    place.known = true;
    place.at = at;
    return place;
}

/* Only where the server means a name: a literal must not be printed. */
static bool means_a_name(const char *sqlstate)
{
    static const char *const names[] = {"42703", "42P01", "42702", "42883", "42P10", "42P09", "42803", "3F000"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(sqlstate, names[i]) == 0)
            return true;
    return false;
}

static void put_name(struct buf *said, const char *at)
{
    size_t len = 0;
    while (at[len] == '_' || at[len] == '.' || at[len] == '"' || isalnum((unsigned char)at[len]) ||
           ((unsigned char)at[len] & 0x80))
        len++;
    if (len > 0 && len < 130 && !isdigit((unsigned char)*at))
        buf_printf(said, " (%.*s)", (int)len, at);
}

static const char *meaning_of(const char *sqlstate)
{
    static const struct {
        const char *sqlstate, *meaning;
    } known[] = {
        {"42601", "syntax error"},
        {"42703", "no such column"},
        {"42P01", "no such table, mirror or view"},
        {"42702", "a column name that several tables have"},
        {"42883", "no such function or operator for these types"},
        {"42804", "types that do not go together"},
        {"42846", "types that cannot be cast"},
        {"42803", "a column that is neither grouped nor aggregated"},
        {"42501", "the role may not read it"},
        {"3F000", "no such schema"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strcmp(sqlstate, known[i].sqlstate) == 0)
            return known[i].meaning;
    return "refused";
}

/* Before the first start the engine's own function and the mirrors by their full names are not there. */
static bool is_before_init(const struct check_sql *piece, const char *sqlstate)
{
    const char *schema = map_mirror_schema(piece->mapping->map), *params[] = {schema};
    PGresult *result = NULL;
    struct err ignored = {0};
    /* of several arguments: to_regproc() would find it ambiguous */
    static const char SQL[] =
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc f JOIN pg_catalog.pg_namespace n ON n.oid "
        "= f.pronamespace WHERE n.nspname = 'pgrekey' AND f.proname = 'id'), EXISTS (SELECT "
        "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE "
        "n.nspname = $1)";
    if (strcmp(sqlstate, "3F000") != 0 && strcmp(sqlstate, "42P01") != 0 && strcmp(sqlstate, "42883") != 0)
        return false;
    if (pg_query(piece->conn, CHECK_SQL_SIDE, CHECK_SQL_DOING, SQL, 1, params, &result, &ignored) < 0)
        return false;
    bool functions = *PQgetvalue(result, 0, 0) == 't', mirrors = *PQgetvalue(result, 0, 1) == 't';
    PQclear(result);
    return (!functions && strstr(piece->text, "pgrekey.")) || (!mirrors && strstr(piece->text, schema));
}

static void report(const struct check_sql *piece, const struct buf *statement, const PGresult *result)
{
    const char *sqlstate = sqlstate_of(result);
    struct place place = find_place(piece, statement, result);
    struct buf said;
    buf_init(&said, CHECK_SQL_MAX);
    buf_printf(&said, "SQLSTATE %s", sqlstate);
    if (place.known)
        buf_printf(&said, ", at line %zu, character %zu of it", place.line, place.column);
    if (place.known && means_a_name(sqlstate))
        put_name(&said, place.at);
    if (is_before_init(piece, sqlstate))
        issue_warning_at(&piece->mapping->issues, piece->line, 1,
                         "%s: %s cannot be checked before pgrekey's own functions and tables are there: run pgrekey "
                         "init, and check again; %s",
                         piece->name, piece->what, buf_text(&said));
    else
        issue_error_at(&piece->mapping->issues, piece->line, 1, "%s: the target does not take %s: %s; %s", piece->name,
                       piece->what, meaning_of(sqlstate), buf_text(&said));
    buf_done(&said);
}

int check_sql_ask(const struct check_sql *piece, const struct buf *statement, PGresult **ret_result, struct err *reterr)
{
    PGresult *result;
    if (ask(piece->conn, statement, &result, reterr) < 0)
        return -1;
    if (is_good(result)) {
        *ret_result = result;
        return 0;
    }
    report(piece, statement, result);
    PQclear(result);
    return 1;
}
