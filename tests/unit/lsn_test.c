#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cdc/base/lsn.h"

static void text_and_number_are_the_same_position(void **state)
{
    (void)state;
    static const struct {
        uint64_t lsn;
        const char *text;
    } cases[] = {
        {0, "0/0"},
        {UINT64_C(0x16B374D848), "16/B374D848"},
        {UINT64_C(0x100000000), "1/0"},
        {UINT64_C(0xFFFFFFFF), "0/FFFFFFFF"},
        {UINT64_MAX, "FFFFFFFF/FFFFFFFF"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[LSN_TEXT_MAX];
        uint64_t lsn = 1;
        assert_string_equal(lsn_format(cases[i].lsn, text), cases[i].text);
        assert_true(lsn_parse(cases[i].text, &lsn));
        assert_int_equal(lsn, cases[i].lsn);
    }
}

static void other_spellings_of_the_server_are_taken(void **state)
{
    (void)state;
    uint64_t lsn;
    assert_true(lsn_parse("16/b374d848", &lsn));
    assert_int_equal(lsn, UINT64_C(0x16B374D848));
    assert_true(lsn_parse("00000001/00000002", &lsn));
    assert_int_equal(lsn, UINT64_C(0x100000002));
}

static void anything_else_is_refused_and_leaves_the_result(void **state)
{
    (void)state;
    static const char *const cases[] = {"",    "/",   "1",    "1/",   "/1",    "1/2/3",       "1/2 ",       " 1/2",
                                        "g/1", "1/g", "-1/2", "1/-2", "0x1/2", "123456789/1", "1/123456789"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t lsn = 77;
        assert_false(lsn_parse(cases[i], &lsn));
        assert_int_equal(lsn, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_number_are_the_same_position),
        cmocka_unit_test(other_spellings_of_the_server_are_taken),
        cmocka_unit_test(anything_else_is_refused_and_leaves_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
