/* Texts that were cut off at a buffer's limit are not sent. There is no server here: what is refused never gets to one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sinks/postgres/apply/copyin.h"
#include "sinks/postgres/session/session.h"

static void a_whole_text_is_the_buffers(void **state)
{
    struct buf sql;
    (void)state;
    buf_init(&sql, 64);
    buf_puts(&sql, "DELETE FROM t WHERE a = 1");
    assert_string_equal(session_text(&sql), "DELETE FROM t WHERE a = 1");
    assert_false(session_refuses(session_text(&sql)));
    buf_done(&sql);
}

static void a_statement_that_was_cut_off_is_not_sent(void **state)
{
    struct pgsink s = {0};
    struct err err = {0};
    struct buf sql;
    (void)state;
    buf_init(&sql, 14);
    buf_puts(&sql, "DELETE FROM t");
    buf_puts(&sql, " WHERE a = 1");
    assert_true(session_refuses(session_text(&sql)));
    assert_int_equal(session_query(&s, "deleting rows", session_text(&sql), 0, NULL, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_FATAL);
    assert_int_equal(session_run(&s, "deleting rows", session_text(&sql), &err), -1);
    assert_int_equal(copyin_begin(&s, session_text(&sql), &err), -1);
    buf_done(&sql);
}

static void a_parameter_that_was_cut_off_is_not_sent(void **state)
{
    struct value value = {.text = "abcdefghij", .len = 10, .state = VALUE_TEXT};
    struct pgsink s = {0};
    struct err err = {0};
    struct buf array;
    (void)state;
    buf_init(&array, 16);
    session_put_array_item(&array, &value);
    session_put_array_item(&array, &value);
    const char *params[] = {"x", session_end_array(&array)};
    assert_int_equal(session_query(&s, "deleting rows", "SELECT", 2, params, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_FATAL);
    buf_done(&array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_text_is_the_buffers),
        cmocka_unit_test(a_statement_that_was_cut_off_is_not_sent),
        cmocka_unit_test(a_parameter_that_was_cut_off_is_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
