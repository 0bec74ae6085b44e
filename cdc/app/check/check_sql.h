/* One piece of the mapping's SQL, asked of the target: each in a savepoint of its own, inside the caller's transaction.
 * What the server says of it becomes an issue of the mapping, never with its message: SQLSTATE, where in the SQL, and
 * the name that stands there.
 */
#ifndef PGREKEY_APP_CHECK_SQL_H
#define PGREKEY_APP_CHECK_SQL_H

#include <libpq-fe.h>

#include "cdc/app/engine/mapping.h"
#include "cdc/base/buf.h"

#define CHECK_SQL_SIDE "target"
#define CHECK_SQL_DOING "checking the mapping's SQL"
#define CHECK_SQL_MAX ((size_t)16 << 20)

/* A piece of SQL in the file. */
struct check_sql {
    struct mapping *mapping;
    PGconn *conn;
    const char *name; /* of the derivation, rule or view */
    const char *what; /* "the query" */
    const char *text; /* as the file has it */
    size_t line;      /* in the file */
};

/* Runs `statement`, which holds piece->text. 0 and a result, which the caller clears; 1 where the server refused it,
 * and that is an issue now; -1 where it cannot be asked. */
int check_sql_ask(const struct check_sql *piece, const struct buf *statement, PGresult **ret_result,
                  struct err *reterr) MUST_CHECK;
/* The same without issue and result; `sqlstate` of 6. */
int check_sql_try(PGconn *conn, const struct buf *statement, char *sqlstate, struct err *reterr) MUST_CHECK;

#endif
