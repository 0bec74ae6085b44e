#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "cdc/app/cmd/json.h"

static void commas_stand_between_and_nowhere_else(void **state)
{
    (void)state;
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "a", "x\"\n");
    json_text(&json, "none", NULL);
    json_open(&json, "list", '[');
    json_int(&json, NULL, -1);
    json_bool(&json, NULL, true);
    json_open(&json, NULL, '{');
    json_close(&json, '}');
    json_close(&json, ']');
    json_lsn(&json, "lsn", UINT64_C(0x16B374D848));
    json_lsn(&json, "no_lsn", 0);
    json_double(&json, "nan", NAN);
    json_double(&json, "half", 0.5);
    json_raw(&json, "raw", "[1]");
    json_raw(&json, "no_raw", "");
    json_close(&json, '}');
    assert_string_equal(
        buf_text(&json.buf),
        "{\"a\":\"x\\\"\\n\",\"none\":null,\"list\":[-1,true,{}],\"lsn\":\"16/B374D848\",\"no_lsn\":null,"
        "\"nan\":null,\"half\":0.500,\"raw\":[1],\"no_raw\":null}");
    json_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commas_stand_between_and_nowhere_else)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
