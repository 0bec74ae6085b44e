#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "cdc/app/engine/fill.h"

#define MS INT64_C(1000)

static void rows_or_bytes_fill_a_batch(void **state)
{
    (void)state;
    const struct fill fill = {.max_rows = 100, .max_bytes = 1000};
    static const struct {
        size_t rows, bytes;
        bool at_commit, inside;
    } cases[] = {
        {0, 0, false, false},     {99, 999, false, false}, {100, 0, true, false}, {0, 1000, true, false},
        {199, 1999, true, false}, {200, 0, true, true},    {0, 2000, true, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(fill_reached(&fill, FILL_AT_COMMIT, cases[i].rows, cases[i].bytes), cases[i].at_commit);
        assert_int_equal(fill_reached(&fill, FILL_INSIDE, cases[i].rows, cases[i].bytes), cases[i].inside);
    }
}

static void a_quiet_stream_never_lingers(void **state)
{
    (void)state;
    struct fill fill = {.max_rows = 10000};
    fill_begun(&fill, 1000 * MS);
    assert_int_equal(fill_linger_us(&fill, 5, 1000 * MS), 0); /* nothing went before */
    fill_went(&fill, 5, 1001 * MS);                           /* a small one */
    fill_begun(&fill, 1002 * MS);
    assert_int_equal(fill_linger_us(&fill, 5, 1002 * MS), 0);
}

static void a_busy_stream_lingers_once_and_not_for_long(void **state)
{
    (void)state;
    struct fill fill = {.max_rows = 10000};
    fill_went(&fill, 500, 1000 * MS);
    fill_begun(&fill, 1001 * MS);
    assert_int_equal(fill_linger_us(&fill, 100, 1001 * MS), 15 * MS);
    assert_int_equal(fill_linger_us(&fill, 300, 1011 * MS), 5 * MS);
    assert_int_equal(fill_linger_us(&fill, 300, 1016 * MS), 0); /* waited long enough */
    assert_int_equal(fill_linger_us(&fill, 300, 1020 * MS), 0);
    assert_int_equal(fill_linger_us(&fill, 4000, 1002 * MS), 0); /* large enough */
}

static void a_stream_that_was_busy_long_ago_is_quiet(void **state)
{
    (void)state;
    struct fill fill = {.max_rows = 10000};
    fill_went(&fill, 500, 1000 * MS);
    fill_begun(&fill, 1059 * MS);
    assert_true(fill_linger_us(&fill, 10, 1059 * MS) > 0);
    fill_begun(&fill, 1061 * MS);
    assert_int_equal(fill_linger_us(&fill, 10, 1061 * MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_or_bytes_fill_a_batch),
        cmocka_unit_test(a_quiet_stream_never_lingers),
        cmocka_unit_test(a_busy_stream_lingers_once_and_not_for_long),
        cmocka_unit_test(a_stream_that_was_busy_long_ago_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
