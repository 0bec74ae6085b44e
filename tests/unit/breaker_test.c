#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sinks/breaker.h"

static void opens_at_the_percentage_and_not_below(void **state)
{
    (void)state;
    struct breaker *breaker = breaker_new(10, 30);
    breaker_count(breaker, 8, 2);
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 0, 1);
    assert_true(breaker_is_open(breaker));
    breaker_free(breaker);
}

static void a_window_not_yet_full_counts_the_missing_as_good(void **state)
{
    (void)state;
    struct breaker *breaker = breaker_new(10, 30);
    breaker_count(breaker, 0, 2); /* two of two, but not three of ten */
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 0, 1);
    assert_true(breaker_is_open(breaker));
    breaker_free(breaker);
}

static void failures_leave_the_window_behind_good_rows(void **state)
{
    (void)state;
    struct breaker *breaker = breaker_new(10, 50);
    for (int round = 0; round < 20; round++) {
        breaker_count(breaker, 0, 4);
        breaker_count(breaker, 6, 0); /* the four of the round before have left when these four come */
    }
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 0, 4);
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 5, 1);
    assert_true(breaker_is_open(breaker));
    breaker_free(breaker);
}

static void stays_open_until_it_is_reset(void **state)
{
    (void)state;
    struct breaker *breaker = breaker_new(4, 50);
    breaker_count(breaker, 0, 2);
    breaker_count(breaker, 1000, 0);
    assert_true(breaker_is_open(breaker));
    breaker_reset(breaker);
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 3, 1);
    assert_false(breaker_is_open(breaker));
    breaker_free(breaker);
}

/* The short cuts for many good rows must leave what single steps would. */
static void many_good_rows_at_once_equal_single_ones(void **state)
{
    (void)state;
    for (uint64_t rows = 0; rows < 40; rows++) {
        struct breaker *at_once = breaker_new(13, 40), *singly = breaker_new(13, 40);
        for (int round = 0; round < 12; round++) {
            breaker_count(at_once, rows, 0);
            for (uint64_t i = 0; i < rows; i++)
                breaker_count(singly, 1, 0);
            breaker_count(at_once, 0, 1);
            breaker_count(singly, 0, 1);
            assert_int_equal(breaker_is_open(at_once), breaker_is_open(singly));
        }
        breaker_free(at_once);
        breaker_free(singly);
    }
}

static void a_window_of_zero_is_no_breaker(void **state)
{
    (void)state;
    struct breaker *breaker = breaker_new(0, 1);
    assert_null(breaker);
    breaker_count(breaker, 1, 1);
    breaker_reset(breaker);
    assert_false(breaker_is_open(breaker));
    breaker_free(breaker);
}

static void after_a_reset_stays_shut_until_something_passed_and_the_window_is_full(void **state)
{
    (void)state;
    struct breaker *breaker = breaker_new(10, 30);
    breaker_count(breaker, 0, 3);
    assert_true(breaker_is_open(breaker));
    breaker_reset(breaker);
    breaker_count(breaker, 0, 3); /* the same rows again */
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 0, 50); /* more than a window, but in one transaction */
    assert_false(breaker_is_open(breaker));
    breaker_passed(breaker);
    breaker_count(breaker, 0, 1);
    assert_true(breaker_is_open(breaker));

    breaker_reset(breaker);
    breaker_passed(breaker);
    breaker_count(breaker, 5, 4);
    assert_false(breaker_is_open(breaker));
    breaker_count(breaker, 0, 1);
    breaker_count(breaker, 0, 1);
    assert_true(breaker_is_open(breaker));
    breaker_free(breaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_at_the_percentage_and_not_below),
        cmocka_unit_test(a_window_not_yet_full_counts_the_missing_as_good),
        cmocka_unit_test(failures_leave_the_window_behind_good_rows),
        cmocka_unit_test(stays_open_until_it_is_reset),
        cmocka_unit_test(after_a_reset_stays_shut_until_something_passed_and_the_window_is_full),
        cmocka_unit_test(many_good_rows_at_once_equal_single_ones),
        cmocka_unit_test(a_window_of_zero_is_no_breaker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
