#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/base/buf.h"

static void text_is_empty_before_the_first_append(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10);
    assert_string_equal(buf_text(&buf), "");
    buf_append(&buf, NULL, 0);
    buf_puts(&buf, "");
    buf_reset(&buf);
    assert_string_equal(buf_text(&buf), "");
    assert_false(buf_overflowed(&buf));
    buf_done(&buf);
}

static void grows_and_stays_terminated(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1 << 20);
    for (size_t i = 0; i < 5000; i++) {
        buf_putc(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.len, i + 1);
        assert_int_equal(buf.data[buf.len], 0);
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
    buf_done(&buf);
}

static void limit_itself_still_fits(void **state)
{
    (void)state;
    for (size_t max = 0; max < 600; max += 7) {
        struct buf buf;
        buf_init(&buf, max);
        for (size_t i = 0; i < max; i++)
            buf_putc(&buf, 'x');
        assert_false(buf_overflowed(&buf));
        assert_int_equal(buf.len, max);
        assert_true(buf.capacity <= max + 1);
        buf_putc(&buf, 'y');
        assert_true(buf_overflowed(&buf));
        assert_int_equal(buf.len, max);
        buf_done(&buf);
    }
}

static void overflow_is_sticky_until_reset(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 8);
    buf_puts(&buf, "1234");
    buf_puts(&buf, "567890");
    assert_true(buf_overflowed(&buf));
    buf_putc(&buf, 'x'); /* would fit, but not behind a gap */
    buf_printf(&buf, "%d", 1);
    assert_string_equal(buf_text(&buf), "1234");
    assert_false(buf_reserve(&buf, SIZE_MAX));
    buf_reset(&buf);
    assert_false(buf_overflowed(&buf));
    buf_puts(&buf, "12345678");
    assert_string_equal(buf_text(&buf), "12345678");
    buf_done(&buf);
}

static void printf_grows_and_respects_the_limit(void **state)
{
    (void)state;
    struct buf buf;
    char large[1000];

    memset(large, 'z', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    buf_init(&buf, 1010);
    buf_printf(&buf, "%s", "");
    buf_printf(&buf, "%d/%s", 42, "ab");
    assert_string_equal(buf_text(&buf), "42/ab");
    buf_printf(&buf, "%s", large);
    assert_int_equal(buf.len, 5 + 999);
    buf_printf(&buf, "%s", "1234567");
    assert_true(buf_overflowed(&buf));
    assert_int_equal(buf.len, 1004);
    assert_int_equal(strlen(buf_text(&buf)), 1004);
    buf_done(&buf);
}

static void json_strings_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *json;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\r\t\b\f", 5, "\"\\n\\r\\t\\b\\f\""},
        {"\0x\x1f", 3, "\"\\u0000x\\u001f\""},
        {"Zürich 🦷\x7f", sizeof("Zürich 🦷\x7f") - 1, "\"Zürich 🦷\x7f\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct buf buf;
        buf_init(&buf, 100);
        buf_put_json_string(&buf, cases[i].text, cases[i].len);
        assert_string_equal(buf_text(&buf), cases[i].json);
        buf_done(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_empty_before_the_first_append),
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(limit_itself_still_fits),
        cmocka_unit_test(overflow_is_sticky_until_reset),
        cmocka_unit_test(printf_grows_and_respects_the_limit),
        cmocka_unit_test(json_strings_are_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
