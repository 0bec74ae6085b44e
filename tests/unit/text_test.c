#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "transform/text.h"

static struct slice text_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void assert_text(struct slice of, const char *expected)
{
    if (of.len != strlen(expected) || memcmp(of.text, expected, of.len) != 0)
        fail_msg("got \"%.*s\", expected \"%s\"", (int)of.len, of.text, expected);
}

static void utf8_is_what_the_server_takes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool valid;
    } cases[] = {
        {"", 0, true},
        {"plain ascii, longer than a word", 31, true},
        {"\u00e9\u65e5\U0001F604", 9, true},
        {"\xf4\x8f\xbf\xbf", 4, true},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", 4, false}, /* beyond */
        {"\xc0\x80", 2, false},         /* NUL the long way */
        {"\xe0\x9f\xbf", 3, false},     /* overlong */
        {"\xf0\x8f\xbf\xbf", 4, false}, /* overlong */
        {"\xed\xa0\x80", 3, false},     /* surrogate */
        {"\xed\x9f\xbf", 3, true},      /* the last before them */
        {"abc\x80", 4, false},          /* a continuation alone */
        {"\xc3", 1, false},             /* cut off */
        {"1234567\xe9", 8, false},      /* Latin-1, in the eighth byte of a word */
        {"1234567\0", 8, false},        /* NUL, likewise */
        {"12345678\0x", 10, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (text_utf8_valid(cases[i].text, cases[i].len) != cases[i].valid)
            fail_msg("case %zu", i);
}

static void characters_are_counted_not_bytes(void **state)
{
    (void)state;
    struct slice text = text_of("\u00e4\u00f6\u00fcx");

    assert_int_equal(text_length(text.text, text.len), 4);
    assert_text(text_left(text, 2), "\u00e4\u00f6");
    assert_text(text_left(text, -1), "\u00e4\u00f6\u00fc");
    assert_text(text_left(text, -9), "");
    assert_text(text_left(text, 99), "\u00e4\u00f6\u00fcx");
    assert_text(text_left(text, INT64_MIN), "");
    assert_text(text_right(text, 2), "\u00fcx");
    assert_text(text_right(text, -3), "x");
    assert_text(text_right(text, INT64_MIN), "");
    assert_text(text_substring(text, 2, 2), "\u00f6\u00fc");
    assert_text(text_substring(text, -1, 3), "\u00e4");
    assert_text(text_substring(text, 3, INT64_MAX), "\u00fcx");
    assert_text(text_substring(text, 9, 1), "");
    assert_text(text_substring(text, INT64_MIN, INT64_MAX), "");
}

static void case_follows_unicode_not_the_locale(void **state)
{
    (void)state;
    static const struct {
        const char *text, *lower, *upper;
    } cases[] = {
        {"abc", "abc", "ABC"},
        {"\u00c4\u00d6\u00dc\u00df", "\u00e4\u00f6\u00fc\u00df", "\u00c4\u00d6\u00dc\u00df"},
        {"\u0141\u00f3d\u017a", "\u0142\u00f3d\u017a", "\u0141\u00d3D\u0179"},
        {"\u0130", "i", "\u0130"},
        {"\u0391\u03a3", "\u03b1\u03c3", "\u0391\u03a3"},
        {"\u0436\u0416", "\u0436\u0436", "\u0416\u0416"},
        {"\u2c65", "\u2c65", "\u023a"}, /* three bytes become two */
        {"\u65e5", "\u65e5", "\u65e5"},
        {"A\xff", "a\xff", "A\xff"}, /* no UTF-8: left as it is */
    };
    struct arena arena;

    arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_text(text_lower(text_of(cases[i].text), &arena), cases[i].lower);
        assert_text(text_upper(text_of(cases[i].text), &arena), cases[i].upper);
    }
    assert_text(text_initcap(text_of("john o'NEIL \u00e9mile"), &arena), "John O'Neil \u00c9mile");
    arena_done(&arena);
}

static void what_does_not_change_is_not_copied(void **state)
{
    (void)state;
    struct arena arena;
    struct slice text = text_of("abc"), digits = text_of("123");

    arena_init(&arena, 0);
    assert_ptr_equal(text_lower(text, &arena).text, text.text);
    assert_ptr_equal(text_digits(digits, &arena).text, digits.text);
    assert_ptr_equal(text_replace(text, text_of("x"), text_of("y"), 100, &arena).text, text.text);
    assert_int_equal(arena_used(&arena), 0);
    arena_done(&arena);
}

static void texts_are_cleansed(void **state)
{
    (void)state;
    struct arena arena;

    arena_init(&arena, 0);
    assert_text(text_trim(text_of(" \t\r\n x y \v\f")), "x y");
    assert_text(text_trim(text_of("   ")), "");
    assert_text(text_trim_blanks_right(text_of(" x \t  ")), " x \t");
    assert_text(text_digits(text_of("+1 (555) 01-x"), &arena), "155501");
    assert_text(text_replace(text_of("aXbXX"), text_of("X"), text_of("--"), 100, &arena), "a--b----");
    assert_text(text_replace(text_of("abc"), text_of(""), text_of("x"), 100, &arena), "abc");
    assert_null(text_replace(text_of("aaaa"), text_of("a"), text_of("long"), 15, &arena).text);
    assert_text(text_pad(text_of("7"), 3, text_of("0"), true, &arena), "007");
    assert_text(text_pad(text_of("\u00e4"), 4, text_of("\u00f6x"), false, &arena), "\u00e4\u00f6x\u00f6");
    assert_text(text_pad(text_of("abcd"), 2, text_of("0"), true, &arena), "ab");
    assert_text(text_pad(text_of("a"), -5, text_of("0"), true, &arena), "");
    arena_done(&arena);
}

static void fields_are_counted_from_either_end(void **state)
{
    (void)state;
    static const struct {
        const char *text, *separator;
        int64_t n;
        const char *field;
    } cases[] = {
        {"a,b,c", ",", 1, "a"},  {"a,b,c", ",", 3, "c"}, {"a,b,c", ",", 4, ""}, {"a,b,c", ",", -1, "c"},
        {"a,b,c", ",", -3, "a"}, {"a,b,c", ",", -4, ""}, {"abc", "", 1, "abc"}, {"abc", "", 2, ""},
        {"a::b", "::", 2, "b"},  {"", ",", 1, ""},       {",", ",", 2, ""},     {"a", ",", INT64_MIN, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_text(text_split_part(text_of(cases[i].text), text_of(cases[i].separator), cases[i].n), cases[i].field);
}

static void like_follows_sql(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pattern;
        bool sensitive, insensitive;
    } cases[] = {
        {"hello", "h%o", true, true},
        {"hello", "H%O", false, true},
        {"hello", "h_llo", true, true},
        {"h\u00e9llo", "h_llo", true, true},
        {"\u00c9", "\u00e9", false, true},
        {"", "", true, true},
        {"", "%", true, true},
        {"", "_", false, false},
        {"50%", "50\\%", true, true},
        {"50x", "50\\%", false, false},
        {"a", "a\\", false, false},
        {"abcabd", "%ab_", true, true},
        {"abc", "%%%", true, true},
        {"abc", "a%b", false, false},
        {"a\\b", "a\\\\b", true, true},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "%a%a%a%a%a%a%a%a%a%a%a%c", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (text_like(text_of(cases[i].text), text_of(cases[i].pattern), false) != cases[i].sensitive)
            fail_msg("case %zu: %s like %s", i, cases[i].text, cases[i].pattern);
        if (text_like(text_of(cases[i].text), text_of(cases[i].pattern), true) != cases[i].insensitive)
            fail_msg("case %zu: %s ilike %s", i, cases[i].text, cases[i].pattern);
    }
}

static void an_email_looks_like_local_at_domain(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is;
    } cases[] = {
        {"a@b", true},        {"a.b+c@mail.example.com", true},
        {"o'neil@b.c", true}, {"\u00e4@\u00f6.de", true},
        {"a@b-c.d", true},    {"", false},
        {"@b", false},        {"a@", false},
        {"a", false},         {"a@b@c", false},
        {"a b@c", false},     {"a@b c", false},
        {"a@b..c", false},    {"a@.b", false},
        {"a@b.", false},      {"a@b,c@d", false},
        {"<a@b>", false},     {"a\n@b", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (text_is_email(text_of(cases[i].text)) != cases[i].is)
            fail_msg("case %zu: %s", i, cases[i].text);
}

static void booleans_are_read_as_the_server_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int value; /* -1: none */
    } cases[] = {{"t", 1},  {"TRUE", 1}, {"yE", 1}, {"on", 1}, {"1", 1},  {" f ", 0},    {"off", 0}, {"of", 0},
                 {"no", 0}, {"0", 0},    {"o", -1}, {"", -1},  {"2", -1}, {"truee", -1}, {"10", -1}, {"tf", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool value = false, is = text_to_bool(text_of(cases[i].text), &value);

        if (is != (cases[i].value >= 0) || (is && value != cases[i].value))
            fail_msg("case %zu: %s", i, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_what_the_server_takes),
        cmocka_unit_test(characters_are_counted_not_bytes),
        cmocka_unit_test(case_follows_unicode_not_the_locale),
        cmocka_unit_test(what_does_not_change_is_not_copied),
        cmocka_unit_test(texts_are_cleansed),
        cmocka_unit_test(fields_are_counted_from_either_end),
        cmocka_unit_test(like_follows_sql),
        cmocka_unit_test(an_email_looks_like_local_at_domain),
        cmocka_unit_test(booleans_are_read_as_the_server_reads_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
