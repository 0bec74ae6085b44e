#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cdc/app/cmd/suggest.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void distance_counts_slips(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {
        {"", "", 0},       {"abc", "abc", 0},       {"abc", "ab", 1}, {"abc", "xabc", 1}, {"stauts", "status", 1},
        {"abc", "axc", 1}, {"kitten", "sitting", 3}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(suggest_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void nearest_is_kept_and_strangers_are_not_offered(void **state)
{
    (void)state;
    struct suggest suggest = {.word = "jsn"};
    suggest_offer(&suggest, "quiet");
    assert_null(suggest.nearest);
    suggest_offer(&suggest, "json");
    suggest_offer(&suggest, "join");
    assert_string_equal(suggest.nearest, "json");
    struct suggest stranger = {.word = "frobnicate"};
    suggest_offer(&stranger, "run");
    suggest_offer(&stranger, "status");
    assert_null(stranger.nearest);
}

static void overlong_words_are_cut_not_overrun(void **state)
{
    (void)state;
    char word[500];
    for (size_t i = 0; i < sizeof(word) - 1; i++)
        word[i] = 'a';
    word[sizeof(word) - 1] = '\0';
    assert_true(suggest_distance(word, "b") > 0);
    assert_int_equal(suggest_distance(word, word), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distance_counts_slips),
        cmocka_unit_test(nearest_is_kept_and_strangers_are_not_offered),
        cmocka_unit_test(overlong_words_are_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
