#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/pg/pg.h"

struct quoted {
    const char *text, *quoted;
};

static void assert_all(void (*put)(struct buf *, const char *), const struct quoted *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf buf;
        buf_init(&buf, 100);
        put(&buf, cases[i].text);
        assert_string_equal(buf_text(&buf), cases[i].quoted);
        buf_done(&buf);
    }
}

static void identifiers_are_always_quoted(void **state)
{
    (void)state;
    static const struct quoted cases[] = {
        {"orders", "\"orders\""}, {"Order", "\"Order\""},     {"a\"b", "\"a\"\"b\""},
        {"größe", "\"größe\""},   {"a.b; --", "\"a.b; --\""}, {"back\\slash'", "\"back\\slash'\""},
    };
    assert_all(pg_put_ident, cases, sizeof(cases) / sizeof(*cases));
}

static void literals_cannot_be_left(void **state)
{
    (void)state;
    static const struct quoted cases[] = {
        {"", "''"},           {"plain", "'plain'"}, {"it's", "'it''s'"}, {"a\\b", "E'a\\\\b'"},
        {"\\'", "E'\\\\'''"}, {"ü\"", "'ü\"'"},
    };
    assert_all(pg_put_literal, cases, sizeof(cases) / sizeof(*cases));
}

static void schema_and_table_are_quoted_each(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 100);
    pg_put_qualified(&buf, "a.b", "c\"d");
    assert_string_equal(buf_text(&buf), "\"a.b\".\"c\"\"d\"");
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identifiers_are_always_quoted),
        cmocka_unit_test(literals_cannot_be_left),
        cmocka_unit_test(schema_and_table_are_quoted_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
