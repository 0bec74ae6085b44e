#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* Connections against a server of a few lines: it takes one client, answers the start as its script says, and each
 * query with the script's error. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cdc/pg/pg.h"

#define SECRET "Jane Doe 1980-01-01"
#define SETTING "SELECT pg_catalog.set_config("

struct script {
    bool silent;                /* never answers */
    const char *start_sqlstate; /* refuses the client with this */
    const char *encoding;       /* server_encoding; NULL: UTF8 */
    const char *sqlstate;       /* of the error of each query but the session's settings; NULL: queries succeed */
    const char *context;        /* and where it arose, NULL for none */
    const char *function;       /* the server's own function that reports it, NULL: not said */
    bool hang_up;               /* and closes the connection behind it */
};

struct server {
    const struct script *script;
    int listener, port;
    pthread_t thread;
    char queries[4096]; /* what was asked, one a line */
};

static bool read_all(int fd, void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = read(fd, (char *)data + done, len - done);
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static void send_message(int fd, char type, const struct buf *body)
{
    uint32_t len = htonl((uint32_t)body->len + 4);
    struct buf message;
    buf_init(&message, 8192);
    buf_putc(&message, type);
    buf_append(&message, &len, 4);
    buf_append(&message, body->data, body->len);
    (void)!send(fd, message.data, message.len, MSG_NOSIGNAL);
    buf_done(&message);
}

static void send_error(int fd, const char *severity, const char *sqlstate, const char *context, const char *function)
{
    struct buf body;
    buf_init(&body, 8192);
    buf_printf(&body, "S%s%cV%s%cC%s%c", severity, 0, severity, 0, sqlstate, 0);
    buf_printf(&body, "Mvalue \"%s\" is wrong%cDKey (name)=(%s).%ctpatients%cnpatients_name_key%c", SECRET, 0, SECRET,
               0, 0, 0);
    if (context)
        buf_printf(&body, "W%s%c", context, 0);
    if (function)
        buf_printf(&body, "R%s%c", function, 0);
    buf_putc(&body, '\0');
    send_message(fd, 'E', &body);
    buf_done(&body);
}

static void send_ready(int fd)
{
    struct buf body = {0};
    buf_init(&body, 16);
    buf_putc(&body, 'I');
    send_message(fd, 'Z', &body);
    buf_done(&body);
}

static void send_parameter(int fd, const char *name, const char *value)
{
    struct buf body;
    buf_init(&body, 200);
    buf_printf(&body, "%s%c%s%c", name, 0, value, 0);
    send_message(fd, 'S', &body);
    buf_done(&body);
}

static bool answer_start(int fd, const struct script *script)
{
    uint32_t len;
    char startup[2048];

    if (!read_all(fd, &len, 4) || ntohl(len) - 4 > sizeof(startup) || !read_all(fd, startup, ntohl(len) - 4))
        return false;
    if (script->silent) {
        read_all(fd, startup, 1); /* until the client goes */
        return false;
    }
    if (script->start_sqlstate) {
        send_error(fd, "FATAL", script->start_sqlstate, NULL, NULL);
        return false;
    }
    struct buf ok;
    buf_init(&ok, 16);
    buf_append(&ok, "\0\0\0\0", 4);
    send_message(fd, 'R', &ok);
    buf_done(&ok);
    send_parameter(fd, "server_encoding", script->encoding ? script->encoding : "UTF8");
    send_parameter(fd, "client_encoding", "UTF8");
    send_ready(fd);
    return true;
}

static void answer_queries(struct server *server, int fd)
{
    char type;
    uint32_t len;
    char query[2048];

    while (read_all(fd, &type, 1) && read_all(fd, &len, 4) && ntohl(len) - 4 < sizeof(query) &&
           read_all(fd, query, ntohl(len) - 4) && type == 'Q') {
        strncat(server->queries, query, sizeof(server->queries) - strlen(server->queries) - 2);
        strcat(server->queries, "\n");
        if (server->script->sqlstate && strncmp(query, SETTING, strlen(SETTING)) != 0) {
            send_error(fd, "ERROR", server->script->sqlstate, server->script->context, server->script->function);
            if (server->script->hang_up)
                return;
        } else {
            struct buf done;
            buf_init(&done, 16);
            buf_append(&done, "SET", 4);
            send_message(fd, 'C', &done);
            buf_done(&done);
        }
        send_ready(fd);
    }
}

static void *serve(void *argument)
{
    struct server *server = argument;
    int fd = accept(server->listener, NULL, NULL);
    if (fd >= 0 && answer_start(fd, server->script))
        answer_queries(server, fd);
    if (fd >= 0)
        close(fd);
    return NULL;
}

static void start_server(struct server *server, const struct script *script)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    *server = (struct server){.script = script};
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop_server(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->listener);
}

static int open_at(int port, const char *more, struct pg_options options, PGconn **ret_conn, struct err *reterr)
{
    char conninfo[300];
    snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=u dbname=d sslmode=disable gssencmode=disable %s",
             port, more);
    options.side = "source";
    options.conninfo = conninfo;
    *ret_conn = NULL;
    *reterr = (struct err){0};
    return pg_open(&options, ret_conn, reterr);
}

static void refusal_by_sqlstate_decides_the_class(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        enum err_kind kind;
    } cases[] = {{"28P01", ERR_CONFIG}, {"28000", ERR_CONFIG}, {"3D000", ERR_CONFIG},  {"42501", ERR_CONFIG},
                 {"57P03", ERR_RETRY},  {"53300", ERR_RETRY},  {"0A000", ERR_REFUSED}, {"XX000", ERR_RETRY}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct script script = {.start_sqlstate = cases[i].sqlstate};
        struct server server;
        struct err err;
        PGconn *conn;
        start_server(&server, &script);
        assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), -1);
        stop_server(&server);
        assert_null(conn);
        assert_string_equal(err.sqlstate, cases[i].sqlstate);
        assert_int_equal(err.kind, cases[i].kind);
        assert_null(strchr(err.message, '\n'));
    }
}

static void encoding_that_cannot_be_converted_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *encoding;
        bool replication, utf8_only;
        int rc;
    } cases[] = {{"UTF8", false, true, 0},    {"UTF8", true, false, 0},    {"LATIN1", false, false, 0},
                 {"LATIN1", true, false, -1}, {"LATIN1", false, true, -1}, {"SQL_ASCII", false, false, -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct script script = {.encoding = cases[i].encoding};
        struct server server;
        struct err err;
        PGconn *conn;
        start_server(&server, &script);
        assert_int_equal(
            open_at(server.port, "",
                    (struct pg_options){.replication = cases[i].replication, .utf8_only = cases[i].utf8_only}, &conn,
                    &err),
            cases[i].rc);
        pg_close(conn);
        stop_server(&server);
        if (cases[i].rc != 0) {
            assert_int_equal(err.kind, ERR_REFUSED);
            assert_non_null(strstr(err.message, cases[i].encoding));
        }
    }
}

static void silent_server_times_out_as_retry(void **state)
{
    (void)state;
    const struct script script = {.silent = true};
    struct server server;
    struct err err;
    PGconn *conn;
    start_server(&server, &script);
    assert_int_equal(open_at(server.port, "", (struct pg_options){.connect_timeout_s = 1}, &conn, &err), -1);
    stop_server(&server);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_non_null(strstr(err.message, "took more than 1 s"));
}

static void nobody_listening_is_retry(void **state)
{
    (void)state;
    struct err err;
    PGconn *conn;
    assert_int_equal(open_at(1, "", (struct pg_options){0}, &conn, &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_non_null(strstr(err.message, "Connection refused"));
}

static void wrong_connection_string_is_not_quoted(void **state)
{
    (void)state;
    static const char *const cases[] = {"password=my secret", "password='secret", "nosuchkey=secret"};
    struct err err;
    PGconn *conn;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(open_at(1, cases[i], (struct pg_options){0}, &conn, &err), -1);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_null(strstr(err.message, "secret"));
        assert_null(strstr(err.hint, "secret"));
    }
    const struct pg_options uri = {.side = "source", .conninfo = "postgresql://u:se%zzcret@h/d"};
    assert_int_equal(pg_open(&uri, &conn, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_null(strstr(err.message, "cret@"));
}

static void session_settings_are_set_after_the_start(void **state)
{
    (void)state;
    const struct script script = {0};
    struct server server;
    struct err err;
    PGconn *conn;
    start_server(&server, &script);
    const struct pg_options options = {.session = "-c jit=off  -csearch_path=a,\\ b -c x.y=it's"};
    assert_int_equal(open_at(server.port, "", options, &conn, &err), 0);
    pg_close(conn);
    stop_server(&server);
    const char *own = strstr(server.queries, "pg_catalog.set_config('search_path'");
    assert_non_null(own);
    assert_string_equal(own, "pg_catalog.set_config('search_path', 'a, b', false), "
                             "pg_catalog.set_config('x.y', 'it''s', false)\n");
}

static void every_session_reads_and_prints_alike(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "'DateStyle', 'ISO'",       "'quote_all_identifiers', 'off'",
        "'row_security', 'off'",    "'default_transaction_isolation', 'read committed'",
        "'statement_timeout', '0'", "'standard_conforming_strings', 'on'"};
    const struct script script = {0};
    struct server server;
    struct err err;
    PGconn *conn;
    start_server(&server, &script);
    assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), 0);
    pg_close(conn);
    stop_server(&server);
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        assert_non_null(strstr(server.queries, settings[i]));
}

static void session_settings_of_another_form_are_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {"row_security=off", "-c row_security", "-c =off", "-c a=b --c=d", "-c"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct script script = {0};
        struct server server;
        struct err err;
        PGconn *conn;
        start_server(&server, &script);
        assert_int_equal(open_at(server.port, "", (struct pg_options){.session = cases[i]}, &conn, &err), -1);
        stop_server(&server);
        assert_int_equal(err.kind, ERR_CONFIG);
    }
}

static void password_file_must_hold_one(void **state)
{
    (void)state;
    char path[] = "/tmp/pgrekey-test-XXXXXX";
    int fd = mkstemp(path);
    struct err err;
    PGconn *conn;

    assert_true(fd >= 0);
    assert_int_equal(open_at(1, "", (struct pg_options){.password_file = path}, &conn, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.message, "first line is empty"));
    assert_int_equal(write(fd, "\nsecret", 7), 7);
    close(fd);
    assert_int_equal(open_at(1, "", (struct pg_options){.password_file = path}, &conn, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    unlink(path);
    assert_int_equal(open_at(1, "", (struct pg_options){.password_file = path}, &conn, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.message, "No such file"));
}

/* Whatever way leads to a message: pg_err() with the result, without it, libpq's own text. */
static void assert_query_error(const struct script *script, enum err_kind kind, bool told)
{
    struct server server;
    struct err err, bare;
    PGconn *conn;

    start_server(&server, script);
    assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), 0);
    assert_int_equal(pg_run(conn, "target", "inserting rows", "INSERT", &err), -1);
    pg_err(&bare, "target", conn, NULL, "inserting rows");
    assert_null(strstr(PQerrorMessage(conn), SECRET));
    pg_close(conn);
    stop_server(&server);

    assert_string_equal(err.sqlstate, script->sqlstate);
    assert_int_equal(err.kind, kind);
    assert_string_equal(err.table, "patients");
    assert_string_equal(err.constraint, "patients_name_key");
    assert_non_null(strstr(err.message, script->sqlstate));
    assert_int_equal(strstr(err.message, SECRET) != NULL, told);
    assert_null(strstr(err.message, "Key ("));
    assert_null(strstr(bare.message, SECRET));
}

static void a_servers_message_is_told_only_where_it_holds_no_values(void **state)
{
    (void)state;
    assert_query_error(&(struct script){.sqlstate = "23505"}, ERR_POISON, false);
    assert_query_error(&(struct script){.sqlstate = "22P02"}, ERR_POISON, false);
    assert_query_error(&(struct script){.sqlstate = "P0001"}, ERR_POISON, false);
    assert_query_error(&(struct script){.sqlstate = "XX000"}, ERR_FATAL, false);
    assert_query_error(&(struct script){.sqlstate = "42P01"}, ERR_CONFIG, true);
    /* in a function, which may speak of anything */
    assert_query_error(&(struct script){.sqlstate = "42P01", .context = "PL/pgSQL function f() line 1 at RAISE"},
                       ERR_CONFIG, false);
}

static void what_a_function_raises_is_the_rows_fault_and_its_names_are_none(void **state)
{
    (void)state;
    static const char *const sqlstates[] = {"P0001", "42501", "40001", "PT409"};
    for (size_t i = 0; i < sizeof(sqlstates) / sizeof(*sqlstates); i++) {
        const struct script script = {.sqlstate = sqlstates[i], .function = "exec_stmt_raise"};
        struct server server;
        struct err err;
        PGconn *conn;
        char expected[64];
        start_server(&server, &script);
        assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), 0);
        assert_int_equal(pg_run(conn, "target", "inserting rows", "INSERT", &err), -1);
        pg_close(conn);
        stop_server(&server);
        snprintf(expected, sizeof(expected), "target: inserting rows failed (SQLSTATE %s)", sqlstates[i]);
        assert_string_equal(err.message, expected);
        assert_string_equal(err.table, "");
        assert_int_equal(err.kind, ERR_POISON);
    }
}

static void message_names_sqlstate_table_and_constraint(void **state)
{
    (void)state;
    const struct script script = {.sqlstate = "23505"};
    struct server server;
    struct err err;
    PGconn *conn;
    start_server(&server, &script);
    assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), 0);
    assert_int_equal(pg_run(conn, "target", "inserting rows", "INSERT", &err), -1);
    pg_close(conn);
    stop_server(&server);
    assert_string_equal(err.message,
                        "target: inserting rows failed (SQLSTATE 23505, table patients, constraint patients_name_key)");
}

static void a_connection_lost_behind_an_error_tells_no_values(void **state)
{
    (void)state;
    const struct script script = {.sqlstate = "23505", .hang_up = true};
    struct server server;
    struct err err;
    PGconn *conn;
    start_server(&server, &script);
    assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), 0);
    assert_int_equal(pg_run(conn, "target", "inserting rows", "INSERT", &err), -1);
    assert_null(strstr(err.message, SECRET));
    assert_int_equal(pg_run(conn, "target", "inserting rows", "INSERT", &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_null(strstr(err.message, SECRET));
    pg_close(conn);
    stop_server(&server);
}

/* libpq then tells of the failure at once, and holds the connection for good until it reads. */
static void a_connection_lost_in_sending_is_retry(void **state)
{
    (void)state;
    const struct script script = {0};
    struct server server;
    struct err err;
    PGconn *conn;
    start_server(&server, &script);
    assert_int_equal(open_at(server.port, "", (struct pg_options){0}, &conn, &err), 0);
    shutdown(PQsocket(conn), SHUT_WR);
    stop_server(&server);
    assert_int_equal(pg_run(conn, "target", "inserting rows", "INSERT", &err), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    pg_close(conn);
}

int main(void)
{
    unsetenv("PGPASSWORD");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusal_by_sqlstate_decides_the_class),
        cmocka_unit_test(encoding_that_cannot_be_converted_is_refused),
        cmocka_unit_test(silent_server_times_out_as_retry),
        cmocka_unit_test(nobody_listening_is_retry),
        cmocka_unit_test(wrong_connection_string_is_not_quoted),
        cmocka_unit_test(session_settings_are_set_after_the_start),
        cmocka_unit_test(every_session_reads_and_prints_alike),
        cmocka_unit_test(session_settings_of_another_form_are_refused),
        cmocka_unit_test(password_file_must_hold_one),
        cmocka_unit_test(a_servers_message_is_told_only_where_it_holds_no_values),
        cmocka_unit_test(what_a_function_raises_is_the_rows_fault_and_its_names_are_none),
        cmocka_unit_test(message_names_sqlstate_table_and_constraint),
        cmocka_unit_test(a_connection_lost_behind_an_error_tells_no_values),
        cmocka_unit_test(a_connection_lost_in_sending_is_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
