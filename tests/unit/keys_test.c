/* Where each key's last message stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cdc/app/replay/keys.h"

static void the_last_one_is_known_of_many_keys(void **state)
{
    (void)state;
    struct keys *keys = keys_new();
    char key[32];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 20000; i++) {
            int len = snprintf(key, sizeof key, "{\"id\":%d}", i);
            keys_put(keys, i % 2 ? "odd" : "even", key, (size_t)len, round * 100000 + i);
        }
    for (int i = 0; i < 20000; i++) {
        int len = snprintf(key, sizeof key, "{\"id\":%d}", i);
        assert_int_equal(keys_get(keys, i % 2 ? "odd" : "even", key, (size_t)len), 100000 + i);
        assert_int_equal(keys_get(keys, i % 2 ? "even" : "odd", key, (size_t)len), -1);
    }
    keys_clear(keys);
    assert_int_equal(keys_get(keys, "even", "{\"id\":0}", 8), -1);
    keys_put(keys, "even", NULL, 0, 7);
    assert_int_equal(keys_get(keys, "even", NULL, 0), 7);
    keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_last_one_is_known_of_many_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
