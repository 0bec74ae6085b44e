/* libpq, as the rest of the house wants it: errors without values, retry classes, quoting.
 *
 * The only thing that cdc/source, sinks/postgres and cdc/app share of libpq. It knows neither slots nor rules.
 */
#ifndef PGREKEY_PG_PG_H
#define PGREKEY_PG_PG_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "cdc/base/relation.h"

struct pg_options {
    const char *side;          /* "source" or "target": how messages name the server */
    const char *conninfo;      /* keywords or URI */
    const char *password_file; /* its first line is the password; NULL for none */
    const char *application_name;
    const char *session;       /* "-c name=value -c …", set once connected (poolers drop options), beside what every
                                  session has: text as we read it, row_security off, no timeouts; NULL for no more */
    bool replication;          /* replication=database */
    bool utf8_only;            /* the database is to hold whatever comes: no other encoding will do */
    int connect_timeout_s;     /* 0: 15 */
    int unanswered_timeout_ms; /* bytes that the network does not acknowledge for so long end the connection
                                  (tcp_user_timeout); 0: the system's, minutes. Not for a COPY or a stream, whose peer
                                  may be busy for long. */
};

/* Opens a connection; client_encoding UTF8, a silent notice receiver, no server text in PQerrorMessage(). ERR_RETRY
 * where the server cannot be reached or is starting, ERR_CONFIG where it refuses (authentication, no such database),
 * ERR_REFUSED where its encoding cannot become UTF-8 (SQL_ASCII; with replication all but UTF8, for logical decoding
 * does not convert) or, with utf8_only, is not. Blocks. */
int pg_open(const struct pg_options *options, PGconn **ret_conn, struct err *reterr) MUST_CHECK;
void pg_close(PGconn *conn); /* NULL is fine */

/* Fills *err from a failed result (or, with result NULL, from the connection), with kind by SQLSTATE and
 * without the server's message where that may hold values. `doing` begins the sentence: "reading the catalogue".
 * Returns -1. */
int pg_err(struct err *err, const char *side, PGconn *conn, const PGresult *result, const char *doing);
/* The kind that a SQLSTATE means: 08, 57P, 53, 40, 55P03, 55006, 57014 retry; 22, 23, 44, 54000, P0001 (RAISE) poison;
 * 42, 28, 3D, 25006, 55000 config; else fatal. The whole table stands in error.c. */
enum err_kind pg_kind_of_sqlstate(const char *sqlstate);

/* Runs one statement with text parameters, waits, expects tuples or a command tag. The caller clears *ret_result
 * (NULL where the caller does not want it). Without parameters by the simple protocol, as replication needs. */
int pg_query(PGconn *conn, const char *side, const char *doing, const char *sql, int param_count,
             const char *const *params, PGresult **ret_result, struct err *reterr) MUST_CHECK;
/* Several statements, no parameters, results dropped. */
int pg_run(PGconn *conn, const char *side, const char *doing, const char *sql, struct err *reterr) MUST_CHECK;

/* A quoted identifier; schema-qualified. */
void pg_put_ident(struct buf *buf, const char *name);
void pg_put_qualified(struct buf *buf, const char *schema, const char *name);
/* A quoted literal, standard_conforming_strings on; E'' where there is a backslash. */
void pg_put_literal(struct buf *buf, const char *text);

/* Reads tables (r, p; also v, m, f so that a wrong kind can be named) of the given schemas: columns, keys,
 * uniques, foreign keys, triggers, RLS. Four queries whatever the catalogue's size, in a transaction of their own
 * unless the caller is in one. Waits for no lock on a user's table. Types outside pg_catalog are named with their
 * schema. */
int pg_read_catalog(PGconn *conn, const char *side, const char *const *schemas, size_t schema_count,
                    struct catalog **ret_catalog, struct err *reterr) MUST_CHECK;

#endif
