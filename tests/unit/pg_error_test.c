#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/pg/internal.h"
#include "cdc/pg/pg.h"

static void sqlstate_means_class(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        enum err_kind kind;
    } cases[] = {
        {"08006", ERR_RETRY},  {"57P01", ERR_RETRY},  {"57P03", ERR_RETRY},  {"57P04", ERR_CONFIG},
        {"53100", ERR_RETRY},  {"53300", ERR_RETRY},  {"40001", ERR_RETRY},  {"40P01", ERR_RETRY},
        {"55006", ERR_RETRY},  {"55P03", ERR_RETRY},  {"57014", ERR_RETRY},  {"25P03", ERR_RETRY},
        {"22001", ERR_POISON}, {"22P02", ERR_POISON}, {"22P05", ERR_POISON}, {"23502", ERR_POISON},
        {"23503", ERR_POISON}, {"23505", ERR_POISON}, {"23514", ERR_POISON}, {"23P01", ERR_POISON},
        {"44000", ERR_POISON}, {"54000", ERR_POISON}, {"P0001", ERR_POISON}, {"25006", ERR_CONFIG},
        {"28P01", ERR_CONFIG}, {"3D000", ERR_CONFIG}, {"3F000", ERR_CONFIG}, {"42501", ERR_CONFIG},
        {"42601", ERR_CONFIG}, {"42703", ERR_CONFIG}, {"42P01", ERR_CONFIG}, {"55000", ERR_CONFIG},
        {"26000", ERR_CONFIG}, {"XX000", ERR_FATAL},  {"XX001", ERR_FATAL},  {"25P02", ERR_FATAL},
        {"21000", ERR_FATAL},  {"0A000", ERR_FATAL},  {"", ERR_FATAL},       {"P0002", ERR_POISON},
        {"P0004", ERR_POISON}, {"2F005", ERR_POISON}, {"38000", ERR_POISON}, {"39004", ERR_POISON},
        {"27000", ERR_POISON},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        enum err_kind kind = pg_kind_of_sqlstate(cases[i].sqlstate);
        if (kind != cases[i].kind)
            fail_msg("%s means %s", cases[i].sqlstate, err_kind_name(kind));
    }
}

static void messages_become_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *message, *text, *sqlstate;
    } cases[] = {
        {"", "", ""},
        {"no connection to the server\n", "no connection to the server", ""},
        {"server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n"
         "\tbefore or while processing the request.\n",
         "server closed the connection unexpectedly", ""},
        {"connection to server at \"h\" (::1), port 1 failed: Connection refused\n\tIs the server running?\n"
         "connection to server at \"h\" (127.0.0.1), port 1 failed: timeout\n",
         "connection to server at \"h\" (::1), port 1 failed: Connection refused; "
         "connection to server at \"h\" (127.0.0.1), port 1 failed: timeout",
         ""},
        {"connection failed: FATAL:  28P01: password authentication failed for user \"x\"\nLOCATION:  f, auth.c:1\n",
         "connection failed: FATAL: password authentication failed for user \"x\"", "28P01"},
        {"FATAL:  57P01\nserver closed the connection unexpectedly\n",
         "FATAL; server closed the connection unexpectedly", "57P01"},
        {"FATAL:  57P03\n", "FATAL", "57P03"},
        {"a\x1b[31m", "a [31m", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[ERR_TEXT_MAX], sqlstate[6];
        pg_tidy_message(cases[i].message, text, sizeof(text), sqlstate);
        assert_string_equal(text, cases[i].text);
        assert_string_equal(sqlstate, cases[i].sqlstate);
    }
}

static void an_overlong_message_is_cut(void **state)
{
    (void)state;
    char message[20000], text[ERR_TEXT_MAX], sqlstate[6];
    memset(message, 'x', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    pg_tidy_message(message, text, sizeof(text), sqlstate);
    assert_int_equal(strlen(text), sizeof(text) - 1);
}

static void no_connection_is_told_and_not_dereferenced(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(pg_err(&err, "target", NULL, NULL, "inserting rows"), -1);
    assert_int_equal(err.kind, ERR_RETRY);
    assert_non_null(strstr(err.message, "target: inserting rows failed: "));
    assert_int_equal(pg_err(NULL, "target", NULL, NULL, "inserting rows"), -1);
}

static void an_answer_of_the_wrong_kind_is_fatal(void **state)
{
    (void)state;
    struct err err;
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_COPY_IN);
    pg_err(&err, "source", NULL, result, "reading the slot");
    assert_int_equal(err.kind, ERR_FATAL);
    assert_string_equal(err.message, "source: reading the slot failed: unexpected answer PGRES_COPY_IN");
    PQclear(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sqlstate_means_class),
        cmocka_unit_test(messages_become_one_line),
        cmocka_unit_test(an_overlong_message_is_cut),
        cmocka_unit_test(no_connection_is_told_and_not_dereferenced),
        cmocka_unit_test(an_answer_of_the_wrong_kind_is_fatal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
