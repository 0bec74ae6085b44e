#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/base/timestamp.h"

static int64_t parsed(const char *text)
{
    return timestamp_parse(text, strlen(text));
}

static void times_become_microseconds_since_1970(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } cases[] = {
        {"1970-01-01 00:00:01+00", INT64_C(1000000)},
        {"2000-01-01 00:00:00+00", INT64_C(946684800000000)},
        {"2024-02-29 23:59:59.999999+00", INT64_C(1709251199999999)},
        {"2024-03-01 00:00:00+00", INT64_C(1709251200000000)},
        {"2023-03-01 00:00:00+00", INT64_C(1677628800000000)},
        {"2025-06-01 12:00:00.5+02", INT64_C(1748772000500000)},
        {"2025-06-01 12:00:00-03:30", INT64_C(1748791800000000)},
        {"1969-12-31 23:59:59.25+00", INT64_C(-750000)},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(parsed(cases[i].text), cases[i].us);
}

static void anything_else_is_0(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "infinity",
        "2025-01-01",
        "2025-01-01 12:00:00",       /* no zone */
        "2025-01-01T12:00:00+00",    /* not as the server prints it */
        "2025-01-01 12:00:00+0",     /* cut off */
        "2025-01-01 12:00:00+00 BC", /* something behind it */
        "12025-01-01 12:00:00+00",
        "2025-1-01 12:00:00+00",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        assert_int_equal(parsed(texts[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_become_microseconds_since_1970),
        cmocka_unit_test(anything_else_is_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
