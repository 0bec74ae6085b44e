#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cdc/app/cmd/progress.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND INT64_C(1000000)

static void durations_read_as_people_say_them(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0 s"},        {0.3, "0.3 s"},        {9.94, "9.9 s"},     {10, "10 s"},       {59.4, "59 s"},
                 {60, "1 min 0 s"}, {3599, "59 min 59 s"}, {3600, "1 h 0 min"}, {90000, "1 d 1 h"}, {-1, "?"}};
    char text[32];
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(progress_duration(cases[i].seconds, text, sizeof(text)), cases[i].text);
}

static void counts_and_sizes_are_short(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(progress_count(812, text, sizeof(text)), "812");
    assert_string_equal(progress_count(999, text, sizeof(text)), "999");
    assert_string_equal(progress_count(1000, text, sizeof(text)), "1.00 k");
    assert_string_equal(progress_count(48123, text, sizeof(text)), "48.1 k");
    assert_string_equal(progress_count(999999, text, sizeof(text)), "1.00 M");
    assert_string_equal(progress_bytes(812, text, sizeof(text)), "812 B");
    assert_string_equal(progress_bytes(16 << 20, text, sizeof(text)), "16.0 MB");
    assert_string_equal(progress_bytes(1073741824.0 * 300, text, sizeof(text)), "300 GB");
}

static void line_tells_part_rate_and_time_left(void **state)
{
    (void)state;
    struct progress progress;
    char text[256];
    progress_init(&progress, NULL, false, "snapshot", "rows");
    progress_format(&progress, 0, 0, 1000, NULL, 120, text, sizeof(text));
    assert_string_equal(text, "snapshot  [>                   ]   0 %  0 of 1.00 k rows");
    progress_format(&progress, 10 * SECOND, 500, 1000, "orders", 120, text, sizeof(text));
    assert_string_equal(text, "snapshot  [==========>         ]  50 %  500 of 1.00 k rows  50/s  10 s left  orders");
    progress_format(&progress, 20 * SECOND, 1000, 1000, NULL, 120, text, sizeof(text));
    assert_string_equal(text, "snapshot  [====================] 100 %  1.00 k of 1.00 k rows  50/s");
}

static void what_was_done_before_does_not_count_for_the_rate(void **state)
{
    (void)state;
    struct progress progress;
    char text[256];
    progress_init(&progress, NULL, false, "snapshot", "rows");
    progress_format(&progress, 0, 900, 1000, NULL, 120, text, sizeof(text));
    progress_format(&progress, 10 * SECOND, 950, 1000, NULL, 120, text, sizeof(text));
    assert_non_null(strstr(text, "  5/s  10 s left"));
}

static void unknown_total_has_neither_bar_nor_time_left(void **state)
{
    (void)state;
    struct progress progress;
    char text[256];
    progress_init(&progress, NULL, false, "counting", "tables");
    progress_format(&progress, 0, 0, 0, NULL, 120, text, sizeof(text));
    progress_format(&progress, SECOND, 7, 0, NULL, 120, text, sizeof(text));
    assert_string_equal(text, "counting  7 tables  7/s");
}

static void estimate_that_was_too_low_stays_at_the_end(void **state)
{
    (void)state;
    struct progress progress;
    char text[256];
    progress_init(&progress, NULL, false, "snapshot", "rows");
    progress_format(&progress, 0, 0, 100, NULL, 120, text, sizeof(text));
    progress_format(&progress, SECOND, 150, 100, NULL, 120, text, sizeof(text));
    assert_non_null(strstr(text, "100 %"));
    assert_null(strstr(text, "left"));
}

static void narrow_terminal_gets_a_whole_piece_or_none(void **state)
{
    (void)state;
    struct progress progress;
    char text[256];
    for (size_t width = 1; width < 100; width++) {
        progress_init(&progress, NULL, false, "snapshot", "rows");
        progress_format(&progress, 0, 0, 1000, NULL, width, text, sizeof(text));
        progress_format(&progress, SECOND, 500, 1000, "a_table", width, text, sizeof(text));
        assert_true(strlen(text) <= width);
    }
}

static void nothing_is_drawn_into_a_file(void **state)
{
    (void)state;
    struct progress progress;
    FILE *out = tmpfile();
    assert_non_null(out);
    progress_init(&progress, out, true, "snapshot", "rows");
    progress_update(&progress, 1, 2, NULL);
    progress_clear(&progress);
    assert_int_equal(ftell(out), 0);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_read_as_people_say_them),
        cmocka_unit_test(counts_and_sizes_are_short),
        cmocka_unit_test(line_tells_part_rate_and_time_left),
        cmocka_unit_test(what_was_done_before_does_not_count_for_the_rate),
        cmocka_unit_test(unknown_total_has_neither_bar_nor_time_left),
        cmocka_unit_test(estimate_that_was_too_low_stays_at_the_end),
        cmocka_unit_test(narrow_terminal_gets_a_whole_piece_or_none),
        cmocka_unit_test(nothing_is_drawn_into_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
