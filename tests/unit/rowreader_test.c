#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cdc/source/rowreader.h"

static const uint16_t fields[] = {0, 1, 2, 3};

static void assert_value(const struct value *value, const char *text)
{
    if (!text) {
        assert_int_equal(value->state, VALUE_NULL);
        return;
    }
    assert_int_equal(value->state, VALUE_TEXT);
    assert_int_equal(value->len, strlen(text));
    assert_memory_equal(value->text, text, value->len);
}

static void a_line_is_split_at_tabs_and_its_escapes_are_undone(void **state)
{
    static const struct {
        const char *line;
        const char *texts[4];
        size_t count;
    } cases[] = {
        {"1\tab\t\\N", {"1", "ab", NULL}, 3},
        {"", {""}, 1},
        {"\t", {"", ""}, 2},
        {"\\N", {NULL}, 1},
        {"\\\\N", {"\\N"}, 1},
        {"N\\N", {"NN"}, 1},
        {"\\b\\f\\n\\r\\t\\v\\\\", {"\b\f\n\r\t\v\\"}, 1},
        {"a\\tb\tc", {"a\tb", "c"}, 2},
        {"\\101\\60x\\7", {"A0x\a"}, 1},
        {"\\x41\\x4a4\\xg", {"AJ4xg"}, 1},
        {"\\\\x00ff", {"\\x00ff"}, 1},
        {"NaN\t-Infinity\tä漢\tt", {"NaN", "-Infinity", "ä漢", "t"}, 4},
        {"\\q\\", {"q\\"}, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[64];
        struct value values[4] = {0};
        strcpy(line, cases[i].line);
        assert_true(copy_line_split(line, strlen(line), fields, cases[i].count, values));
        for (size_t k = 0; k < cases[i].count; k++)
            assert_value(&values[k], cases[i].texts[k]);
    }
}

static void fields_go_to_the_columns_that_were_selected(void **state)
{
    static const uint16_t selected[] = {3, 1};
    char line[] = "three\tone";
    struct value values[4] = {0};
    (void)state;
    assert_true(copy_line_split(line, strlen(line), selected, 2, values));
    assert_value(&values[3], "three");
    assert_value(&values[1], "one");
    assert_int_equal(values[0].state, VALUE_ABSENT);
}

static void a_line_with_another_number_of_fields_is_refused(void **state)
{
    static const struct {
        const char *line;
        size_t count;
    } cases[] = {{"a", 2}, {"a\tb", 1}, {"a\tb\tc", 2}, {"", 2}, {"a", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[16];
        struct value values[4];
        strcpy(line, cases[i].line);
        assert_false(copy_line_split(line, strlen(line), fields, cases[i].count, values));
    }
    char empty[1] = "";
    assert_true(copy_line_split(empty, 0, fields, 0, NULL));
}

static void a_small_table_or_one_without_key_stays_whole(void **state)
{
    struct column column = {.name = (char[]){"id"}};
    static uint16_t key[] = {0};
    const struct relation small = {
        .columns = &column, .column_count = 1, .key = key, .key_count = 1, .estimated_rows = 1999};
    const struct relation keyless = {.columns = &column, .column_count = 1, .estimated_rows = 1e9};
    const struct relation *tables[] = {&small, &keyless};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct copy_range *ranges;
        size_t count;
        struct err err;
        assert_int_equal(copy_ranges_plan(NULL, tables[i], 1000, 8, &ranges, &count, &err), 0);
        assert_int_equal(count, 1);
        assert_ptr_equal(ranges[0].relation, tables[i]);
        assert_null(ranges[0].lo);
        assert_null(ranges[0].hi);
        copy_ranges_free(ranges, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_split_at_tabs_and_its_escapes_are_undone),
        cmocka_unit_test(fields_go_to_the_columns_that_were_selected),
        cmocka_unit_test(a_line_with_another_number_of_fields_is_refused),
        cmocka_unit_test(a_small_table_or_one_without_key_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
