#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/base/err.h"

static void set_fills_class_and_message_and_returns_minus_one(void **state)
{
    (void)state;
    struct err err = {.sqlstate = "23505", .table = "old", .hint = "old"};
    assert_int_equal(err_set(&err, ERR_CONFIG, "setting %s is %d", "x", 5), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_string_equal(err.message, "setting x is 5");
    assert_string_equal(err.sqlstate, "");
    assert_string_equal(err.table, "");
    assert_string_equal(err.hint, "");
}

static void a_caller_may_not_care(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_FATAL, "x"), -1);
    assert_int_equal(err_hint(NULL, "x"), -1);
    assert_int_equal(err_wrap(NULL, "x"), -1);
    assert_int_equal(err_pause(NULL, "x"), -1);
}

static void wrap_puts_context_before_and_keeps_the_rest(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, ERR_POISON, "value too long");
    strcpy(err.sqlstate, "22001");
    err_hint(&err, "see %s", "docs");
    assert_int_equal(err_pause(&err, "truncate"), -1);
    assert_int_equal(err_wrap(&err, "rule %s", "orders"), -1);
    assert_int_equal(err_wrap(&err, "mapping"), -1);
    assert_string_equal(err.message, "mapping: rule orders: value too long");
    assert_string_equal(err.sqlstate, "22001");
    assert_string_equal(err.hint, "see docs");
    assert_string_equal(err.pause, "truncate");
    assert_int_equal(err.kind, ERR_POISON);
}

static void message_may_be_made_of_itself(void **state)
{
    (void)state;
    struct err err;
    err_set(&err, ERR_RETRY, "lost");
    err_set(&err, ERR_FATAL, "gave up: %s", err.message);
    assert_string_equal(err.message, "gave up: lost");
    err_wrap(&err, "%s", err.message);
    assert_string_equal(err.message, "gave up: lost: gave up: lost");
}

static void long_text_is_cut_between_characters(void **state)
{
    (void)state;
    struct err err;
    char text[2 * ERR_TEXT_MAX];

    for (int shift = 0; shift < 2; shift++) {
        memset(text, 'a', sizeof(text));
        for (size_t i = (size_t)shift; i + 2 < sizeof(text); i += 2)
            memcpy(text + i, "ü", 2);
        text[sizeof(text) - 2] = text[sizeof(text) - 1] = '\0';
        err_set(&err, ERR_FATAL, "%s", text);
        size_t len = strlen(err.message);
        assert_true(len >= ERR_TEXT_MAX - 3 && len < ERR_TEXT_MAX);
        assert_int_equal((len - (size_t)shift) % 2, 0);
    }
}

static void every_class_has_a_name(void **state)
{
    (void)state;
    for (int i = ERR_NONE; i <= ERR_STOP; i++)
        assert_string_not_equal(err_kind_name((enum err_kind)i), "unknown");
    assert_string_equal(err_kind_name(ERR_POISON), "poison");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_class_and_message_and_returns_minus_one),
        cmocka_unit_test(a_caller_may_not_care),
        cmocka_unit_test(wrap_puts_context_before_and_keeps_the_rest),
        cmocka_unit_test(message_may_be_made_of_itself),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(every_class_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
