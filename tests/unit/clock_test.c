#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/base/clock.h"

static void utc_text_is_iso_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {CLOCK_PG_EPOCH_US, "2000-01-01T00:00:00.000Z"},
        {INT64_C(1735689599999999), "2024-12-31T23:59:59.999Z"},
        {INT64_C(1709164800001000), "2024-02-29T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[32];
        assert_string_equal(clock_format_utc(cases[i].us, text, sizeof(text)), cases[i].text);
    }
    char text[32];
    clock_format_utc(INT64_MAX, text, sizeof(text)); /* year 294247: whatever it says, within bounds */
    assert_true(strlen(text) < sizeof(text));
}

static void monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    int64_t before = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_us() > CLOCK_PG_EPOCH_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utc_text_is_iso_with_milliseconds),
        cmocka_unit_test(monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
