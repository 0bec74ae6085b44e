/* Opening connections, and running statements on them.
 *
 * The connection is made step by step (PQconnectStartParams) for one reason: libpq tells no SQLSTATE of a failed
 * attempt but in its message, and there only at a verbosity that must be set before the server speaks. Once
 * connected the verbosity is the lowest, so that PQerrorMessage() never holds a server's text again.
 */
#include "cdc/pg/pg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/base/clock.h"
#include "cdc/pg/internal.h"

#define CONNECT_TIMEOUT_DEFAULT_S 15
#define PASSWORD_MAX 1024

static void drop_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

static int read_password(const struct pg_options *options, char *password, struct err *reterr)
{
    FILE *file = fopen(options->password_file, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "%s: password file %s: %s", options->side, options->password_file,
                       strerror(errno));
    setvbuf(file, NULL, _IONBF, 0); /* no second copy of the password in memory */
    char *line = fgets(password, PASSWORD_MAX, file);
    int error = ferror(file) ? errno : 0;
    fclose(file);

    if (error)
        return err_set(reterr, ERR_CONFIG, "%s: password file %s: %s", options->side, options->password_file,
                       strerror(error));
    if (line)
        line[strcspn(line, "\r\n")] = '\0';
    if (!line || !line[0])
        return err_set(reterr, ERR_CONFIG, "%s: password file %s: the first line is empty", options->side,
                       options->password_file);
    return 0;
}

/* libpq's own words about a wrong connection string quote it, password and all: they are not passed on. */
static int check_conninfo(const struct pg_options *options, int *ret_hosts, struct err *reterr)
{
    *ret_hosts = 1;
    bool uri =
        strncmp(options->conninfo, "postgresql://", 13) == 0 || strncmp(options->conninfo, "postgres://", 11) == 0;
    if (!uri && !strchr(options->conninfo, '='))
        return 0; /* the name of a database */

    char *message = NULL;
    PQconninfoOption *parsed = PQconninfoParse(options->conninfo, &message);
    if (!parsed) {
        PQfreemem(message);
        err_set(reterr, ERR_CONFIG, "%s: the connection string is not valid", options->side);
        return err_hint(reterr, "It is either keyword=value pairs (host=… dbname=… user=…) with known keywords, values "
                                "with spaces in single quotes, or a URI postgresql://user@host/dbname");
    }
    for (const PQconninfoOption *option = parsed; option->keyword; option++) {
        if (strcmp(option->keyword, "host") != 0 || !option->val)
            continue;
        for (const char *at = option->val; *at; at++)
            *ret_hosts += *at == ',';
    }
    PQconninfoFree(parsed);
    return 0;
}

static PGconn *start(const struct pg_options *options, const char *password)
{
    /* What stands before dbname can be overridden by the connection string, what stands behind cannot. A
     * tcp_user_timeout only where it is asked for: it also ends a connection whose server does not read for a while. */
    char unanswered[16];
    snprintf(unanswered, sizeof(unanswered), "%d", options->unanswered_timeout_ms);
    const char *keywords[] = {
        "keepalives_idle", "keepalives_interval", "keepalives_count", "dbname", "client_encoding", "application_name",
        "password",        "replication",         "tcp_user_timeout", NULL};
    const char *values[] = {"30",
                            "10",
                            "3",
                            options->conninfo,
                            "UTF8",
                            options->application_name,
                            password,
                            options->replication ? "database" : NULL,
                            options->unanswered_timeout_ms ? unanswered : NULL,
                            NULL};
    return PQconnectStartParams(keywords, values, 1);
}

/* PGRES_POLLING_OK or _FAILED; _READING where the time is up. */
static PostgresPollingStatusType wait_connected(PGconn *conn, int timeout_s)
{
    int64_t deadline = clock_mono_us() + (int64_t)timeout_s * 1000000;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        int64_t left_us = deadline - clock_mono_us();
        if (left_us <= 0)
            return PGRES_POLLING_READING;
        struct pollfd fd = {.fd = PQsocket(conn), .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int ready = poll(&fd, 1, (int)(left_us / 1000) + 1);
        if (ready > 0)
            state = PQconnectPoll(conn);
        else if (ready < 0 && errno != EINTR)
            return PGRES_POLLING_FAILED;
    }
    return state;
}

static enum err_kind connect_kind(PGconn *conn, const char *sqlstate, const char *text)
{
    if (strncmp(sqlstate, "XX", 2) == 0)
        return ERR_RETRY; /* poolers say so of nearly everything, above all of being full */
    if (strcmp(sqlstate, "0A000") == 0)
        return ERR_REFUSED; /* no conversion to UTF-8 */
    if (sqlstate[0]) {
        enum err_kind kind = pg_kind_of_sqlstate(sqlstate);
        return kind == ERR_RETRY ? ERR_RETRY : ERR_CONFIG;
    }
    if (PQconnectionNeedsPassword(conn) || strstr(text, "certificate") || strstr(text, "SSL was required") ||
        strstr(text, "private key") || strstr(text, "invalid port number") || strstr(text, "invalid sslmode"))
        return ERR_CONFIG;
    return ERR_RETRY;
}

static int connect_err(struct err *err, const char *side, PGconn *conn)
{
    char text[ERR_TEXT_MAX], sqlstate[6];

    pg_tidy_message(PQerrorMessage(conn), text, sizeof(text), sqlstate);
    err_set(err, connect_kind(conn, sqlstate, text), "%s: %s", side, text[0] ? text : "connecting failed");
    if (err)
        memcpy(err->sqlstate, sqlstate, sizeof(sqlstate));
    if (PQconnectionNeedsPassword(conn))
        err_hint(err, "Give the password in a file, named by the setting, or in ~/.pgpass");
    else if (!sqlstate[0])
        err_hint(err, "Look at host and port of the connection string, at the network, and whether the server runs");
    else if (strncmp(sqlstate, "28", 2) == 0)
        err_hint(err, "Look at user and password of the connection, and at the server's pg_hba.conf");
    else if (strcmp(sqlstate, "3D000") == 0)
        err_hint(err, "Look at dbname in the connection string");
    else if (strcmp(sqlstate, "42501") == 0)
        err_hint(err, strcasestr(text, "walsender") || strcasestr(text, "WAL sender")
                          ? "The role needs REPLICATION (on RDS: GRANT rds_replication)"
                          : "GRANT CONNECT ON DATABASE lets the role in");
    else if (strcmp(sqlstate, "53300") == 0)
        err_hint(err, "The server has no connection left: raise max_connections or close some");
    else if (strcmp(sqlstate, "0A000") == 0)
        err_hint(err, "Only databases whose text PostgreSQL can convert to UTF-8 can be used");
    return -1;
}

/* Under SQL_ASCII the server converts nothing, whatever client_encoding says; and wal2json's output is never
 * converted on a replication connection. */
static int check_encoding(const struct pg_options *options, PGconn *conn, struct err *reterr)
{
    const char *server = PQparameterStatus(conn, "server_encoding");
    const char *client = PQparameterStatus(conn, "client_encoding");

    if (server && strcmp(server, "SQL_ASCII") == 0) {
        err_set(reterr, ERR_REFUSED,
                "%s: the database's encoding is SQL_ASCII, which says nothing of what its bytes mean", options->side);
        return err_hint(reterr, "Dump it and restore it into a database with encoding UTF8");
    }
    if (options->replication && server && strcmp(server, "UTF8") != 0) {
        err_set(reterr, ERR_REFUSED, "%s: the database's encoding is %s, and logical decoding sends text unconverted",
                options->side, server);
        return err_hint(reterr, "Only a database with encoding UTF8 can be followed");
    }
    if (options->utf8_only && server && strcmp(server, "UTF8") != 0) {
        err_set(reterr, ERR_REFUSED, "%s: the database's encoding is %s, which lacks characters that a row may hold",
                options->side, server);
        return err_hint(reterr, "Dump it and restore it into a database with encoding UTF8");
    }
    if ((!client || strcmp(client, "UTF8") != 0) && PQsetClientEncoding(conn, "UTF8") != 0)
        return err_set(reterr, ERR_REFUSED, "%s: the server does not send UTF-8", options->side);
    return 0;
}

/* "-c name=value -c name=value", a backslash before a space that belongs to a value, as calls of set_config(). Not by
 * the connection's own `options`: poolers drop these without a word. */
static bool put_settings(struct buf *sql, const char *session)
{
    char *word = mem_alloc(strlen(session) + 1);
    const char *at = session;
    bool valid = true;

    buf_puts(sql, "SELECT ");
    for (int count = 0; valid; count++) {
        at += strspn(at, " ");
        if (!*at)
            break;
        if (strncmp(at, "-c", 2) != 0) {
            valid = false;
            break;
        }
        at += 2 + strspn(at + 2, " ");
        char *end = word;
        for (; *at && *at != ' '; at++) {
            if (*at == '\\' && at[1])
                at++;
            *end++ = *at;
        }
        *end = '\0';
        char *value = strchr(word, '=');
        if (!value || value == word) {
            valid = false;
            break;
        }
        *value++ = '\0';
        buf_puts(sql, count ? ", pg_catalog.set_config(" : "pg_catalog.set_config(");
        pg_put_literal(sql, word);
        buf_puts(sql, ", ");
        pg_put_literal(sql, value);
        buf_puts(sql, ", false)");
    }
    free(word);
    return valid && !buf_overflowed(sql);
}

/* How every session prints and reads values, whatever role or database have set: their text is what is carried, so it
 * is the same in the stream, in a snapshot, in a row read by key and on the target. lc_monetary speaks for money. Names
 * are quoted by us alone. A hidden row is an error. And nothing ends a session, or a statement, but who asks for it. */
#define ALWAYS                                                                                                         \
    "-c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=3 -c bytea_output=hex "          \
    "-c lc_monetary=C -c standard_conforming_strings=on -c quote_all_identifiers=off -c transform_null_equals=off "    \
    "-c array_nulls=on -c xmloption=content -c row_security=off "                                                      \
    "-c default_transaction_isolation=read\\ committed "                                                               \
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 "

static const char *always(PGconn *conn)
{
    return PQserverVersion(conn) >= 140000 ? ALWAYS "-c idle_session_timeout=0 " : ALWAYS;
}

static int apply_session(const struct pg_options *options, PGconn *conn, struct err *reterr)
{
    struct buf session;
    struct buf sql;
    int rc;

    buf_init(&session, 4 << 10);
    buf_puts(&session, always(conn));
    buf_puts(&session, options->session ? options->session : "");
    buf_init(&sql, 64 << 10);
    if (!buf_overflowed(&session) && put_settings(&sql, buf_text(&session)))
        rc = pg_run(conn, options->side, "setting up the session", buf_text(&sql), reterr);
    else
        rc = err_set(reterr, ERR_CONFIG, "%s: session settings are not of the form -c name=value", options->side);
    buf_done(&sql);
    buf_done(&session);
    return rc;
}

int pg_open(const struct pg_options *options, PGconn **ret_conn, struct err *reterr)
{
    char password[PASSWORD_MAX] = "";
    struct pg_options own = *options;
    int hosts;

    own.conninfo = options->conninfo ? options->conninfo : "";
    if (check_conninfo(&own, &hosts, reterr) != 0)
        return -1;
    if (own.password_file && read_password(&own, password, reterr) != 0)
        return -1;
    PGconn *conn = start(&own, password[0] ? password : NULL);
    explicit_bzero(password, sizeof(password));
    if (!conn)
        return err_set(reterr, ERR_FATAL, "%s: no memory for a connection", own.side);
    if (PQstatus(conn) == CONNECTION_BAD)
        goto refused;

    PQsetNoticeReceiver(conn, drop_notice, NULL);
    PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
    int timeout_s = (own.connect_timeout_s > 0 ? own.connect_timeout_s : CONNECT_TIMEOUT_DEFAULT_S) * hosts;
    PostgresPollingStatusType state = wait_connected(conn, timeout_s);
    if (state == PGRES_POLLING_READING) {
        err_set(reterr, ERR_RETRY, "%s: connecting took more than %d s", own.side, timeout_s);
        goto failed;
    }
    if (state != PGRES_POLLING_OK)
        goto refused;
    PQsetErrorVerbosity(conn, PQERRORS_SQLSTATE);
    if (check_encoding(&own, conn, reterr) != 0 || apply_session(&own, conn, reterr) != 0)
        goto failed;
    *ret_conn = conn;
    return 0;

refused:
    connect_err(reterr, own.side, conn);
failed:
    PQfinish(conn);
    return -1;
}

void pg_close(PGconn *conn)
{
    PQfinish(conn);
}

int pg_query(PGconn *conn, const char *side, const char *doing, const char *sql, int param_count,
             const char *const *params, PGresult **ret_result, struct err *reterr)
{
    /* a replication connection knows only the simple protocol, which has no parameters */
    PGresult *result =
        param_count ? PQexecParams(conn, sql, param_count, NULL, params, NULL, NULL, 0) : PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        pg_err(reterr, side, conn, result, doing);
        PQclear(result);
        return -1;
    }
    if (ret_result)
        *ret_result = result;
    else
        PQclear(result);
    return 0;
}

int pg_run(PGconn *conn, const char *side, const char *doing, const char *sql, struct err *reterr)
{
    return pg_query(conn, side, doing, sql, 0, NULL, NULL, reterr);
}
