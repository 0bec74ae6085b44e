#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "transform/number.h"

/* Results are those of PostgreSQL 15's numeric. */

static enum number_status parse(const char *text, struct number *ret)
{
    return number_parse(text, strlen(text), ret);
}

static void assert_number(struct number *number, const char *expected)
{
    struct arena arena;
    const char *text;
    size_t len;

    arena_init(&arena, 0);
    text = number_text(number, &arena, &len);
    if (len != strlen(expected) || memcmp(text, expected, len) != 0)
        fail_msg("got %.*s, expected %s", (int)len, text, expected);
    arena_done(&arena);
    number_done(number);
}

static void texts_are_read_as_numeric_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum number_status status;
        const char *shown;
    } cases[] = {
        {"0", NUMBER_OK, "0"},
        {"-0", NUMBER_OK, "0"},
        {"-0.00", NUMBER_OK, "0.00"},
        {"007.50", NUMBER_OK, "7.50"},
        {".5", NUMBER_OK, "0.5"},
        {"5.", NUMBER_OK, "5"},
        {" 1 ", NUMBER_OK, "1"},
        {"+1", NUMBER_OK, "1"},
        {"-9223372036854775808", NUMBER_OK, "-9223372036854775808"},
        {"123456789012345678901234567890.5", NUMBER_OK, "123456789012345678901234567890.5"},
        {"1e3", NUMBER_OK, "1000"},
        {"1.5e1", NUMBER_OK, "15"},
        {"1e-3", NUMBER_OK, "0.001"},
        {"1.50E-2", NUMBER_OK, "0.0150"},
        {"0e400000", NUMBER_OK, "0"},
        {"nan", NUMBER_OK, "NaN"},
        {"-inf", NUMBER_OK, "-Infinity"},
        {"+Infinity", NUMBER_OK, "Infinity"},
        {"", NUMBER_SYNTAX, NULL},
        {"-", NUMBER_SYNTAX, NULL},
        {".", NUMBER_SYNTAX, NULL},
        {"1e", NUMBER_SYNTAX, NULL},
        {"1 2", NUMBER_SYNTAX, NULL},
        {"-nan", NUMBER_SYNTAX, NULL},
        {"0x10", NUMBER_SYNTAX, NULL},
        {"1e131072", NUMBER_RANGE, NULL},
        {"1e-16384", NUMBER_RANGE, NULL},
        {"0e99999999999", NUMBER_RANGE, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct number number;
        enum number_status status = parse(cases[i].text, &number);

        if (status != cases[i].status)
            fail_msg("case %zu: %s", i, cases[i].text);
        if (status == NUMBER_OK)
            assert_number(&number, cases[i].shown);
    }
}

static enum number_status compute(const char *a, char op, const char *b, struct number *ret)
{
    struct number x, y;
    enum number_status status;

    assert_int_equal(parse(a, &x), NUMBER_OK);
    assert_int_equal(parse(b, &y), NUMBER_OK);
    switch (op) {
    case '+': status = number_add(&x, &y, ret); break;
    case '-': status = number_sub(&x, &y, ret); break;
    case '*': status = number_mul(&x, &y, ret); break;
    case '/': status = number_div(&x, &y, ret); break;
    case '\\': status = number_div_whole(&x, &y, ret); break;
    default: status = number_mod(&x, &y, ret); break;
    }
    number_done(&x);
    number_done(&y);
    return status;
}

static void arithmetic_is_numerics(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        char op;
        const char *b, *result; /* NULL: division by zero */
    } cases[] = {
        {"1.50", '*', "2", "3.00"},
        {"0.1", '+', "0.2", "0.3"},
        {"1", '+', "0.00", "1.00"},
        {"9223372036854775807", '+', "1", "9223372036854775808"},
        {"-9223372036854775807", '-', "1", "-9223372036854775808"},
        {"9223372036854775807", '*', "9223372036854775807", "85070591730234615847396907784232501249"},
        {"0.3", '-', "0.3", "0.0"},
        {"1", '/', "3", "0.33333333333333333333"},
        {"2", '/', "3", "0.66666666666666666667"},
        {"7", '/', "2", "3.5000000000000000"},
        {"-7", '/', "2", "-3.5000000000000000"},
        {"100000", '/', "7", "14285.714285714286"},
        {"1", '/', "1234567890123", "0.00000000000081000000729029976562"},
        {"1e20", '/', "3", "33333333333333333333"},
        {"1.000000000000000000000000", '/', "3", "0.333333333333333333333333"},
        {"0", '/', "5", "0.00000000000000000000"},
        {"-7.5", '%', "2", "-1.5"},
        {"7", '%', "-2.5", "2.0"},
        {"7", '\\', "2", "3"},
        {"-7", '\\', "2", "-3"},
        {"1", '/', "0", NULL},
        {"1", '%', "0.00", NULL},
        {"inf", '/', "0", NULL},
        {"NaN", '/', "0", "NaN"},
        {"inf", '-', "inf", "NaN"},
        {"inf", '+', "1", "Infinity"},
        {"inf", '*', "-2", "-Infinity"},
        {"inf", '*', "0", "NaN"},
        {"5", '/', "inf", "0"},
        {"5", '%', "inf", "5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct number number;
        enum number_status status = compute(cases[i].a, cases[i].op, cases[i].b, &number);

        assert_int_equal(status, cases[i].result ? NUMBER_OK : NUMBER_BY_ZERO);
        if (cases[i].result)
            assert_number(&number, cases[i].result);
    }
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    struct number number;

    assert_int_equal(compute("1e131071", '*', "10", &number), NUMBER_RANGE);
    assert_int_equal(compute("1e131071", '*', "9", &number), NUMBER_OK);
    number_done(&number);
}

static void order_is_exact_and_nan_is_last(void **state)
{
    (void)state;
    static const char *const ascending[] = {
        "-inf",     "-1e30", "-1.5", "-1", "0", "1e-16383", "0.1", "9007199254740993", "9007199254740993.1",
        "1e131071", "inf",   "NaN"};
    struct number a, b;

    for (size_t i = 0; i < sizeof ascending / sizeof *ascending; i++) {
        for (size_t j = 0; j < sizeof ascending / sizeof *ascending; j++) {
            assert_int_equal(parse(ascending[i], &a), NUMBER_OK);
            assert_int_equal(parse(ascending[j], &b), NUMBER_OK);
            assert_int_equal((number_compare(&a, &b) > 0) - (number_compare(&a, &b) < 0), (i > j) - (i < j));
            number_done(&a);
            number_done(&b);
        }
    }
    assert_int_equal(parse("1.0", &a), NUMBER_OK);
    assert_int_equal(parse("1", &b), NUMBER_OK);
    assert_int_equal(number_compare(&a, &b), 0);
}

static void rounding_goes_half_away_from_zero(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t scale;
        enum number_rounding how;
        const char *result;
    } cases[] = {
        {"2.5", 0, NUMBER_HALF_AWAY, "3"},
        {"-2.5", 0, NUMBER_HALF_AWAY, "-3"},
        {"2.4999", 0, NUMBER_HALF_AWAY, "2"},
        {"1.005", 2, NUMBER_HALF_AWAY, "1.01"},
        {"1", 2, NUMBER_HALF_AWAY, "1.00"},
        {"155", -1, NUMBER_HALF_AWAY, "160"},
        {"49", -2, NUMBER_HALF_AWAY, "0"},
        {"-1.5", 0, NUMBER_FLOOR, "-2"},
        {"-1.5", 0, NUMBER_CEIL, "-1"},
        {"1.1", 0, NUMBER_CEIL, "2"},
        {"-1.9", 0, NUMBER_DOWN, "-1"},
        {"NaN", 0, NUMBER_FLOOR, "NaN"},
        {"99999999999999999999.5", 0, NUMBER_HALF_AWAY, "100000000000000000000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct number number, rounded;

        assert_int_equal(parse(cases[i].text, &number), NUMBER_OK);
        assert_int_equal(number_round(&number, cases[i].scale, cases[i].how, &rounded), NUMBER_OK);
        assert_number(&rounded, cases[i].result);
        number_done(&number);
    }
}

static void integers_are_told_from_fractions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is;
        int64_t value;
    } cases[] = {
        {"5", true, 5},
        {"5.00", true, 5},
        {"5.01", false, 0},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"inf", false, 0},
        {"123456789012345678901e-2", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct number number;
        int64_t value = 0;

        assert_int_equal(parse(cases[i].text, &number), NUMBER_OK);
        assert_int_equal(number_to_int64(&number, &value), cases[i].is);
        assert_true(value == cases[i].value);
        number_done(&number);
    }
}

static void magnitude_is_the_place_of_the_first_digit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t magnitude;
    } cases[] = {{"0", INT32_MIN}, {"0.00", INT32_MIN}, {"1", 0},     {"12.5", 1},        {"0.05", -2},
                 {"1e10", 10},     {"0.001e5", 2},      {"00012", 1}, {"NaN", INT32_MIN}, {"99999999999999999999", 19}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct number number;
        int32_t magnitude;

        assert_int_equal(number_check(cases[i].text, strlen(cases[i].text), &magnitude), NUMBER_OK);
        assert_int_equal(magnitude, cases[i].magnitude);
        assert_int_equal(parse(cases[i].text, &number), NUMBER_OK);
        assert_int_equal(number_magnitude(&number), cases[i].magnitude);
        number_done(&number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_as_numeric_reads_them),      cmocka_unit_test(arithmetic_is_numerics),
        cmocka_unit_test(numbers_out_of_range_are_refused),          cmocka_unit_test(order_is_exact_and_nan_is_last),
        cmocka_unit_test(rounding_goes_half_away_from_zero),         cmocka_unit_test(integers_are_told_from_fractions),
        cmocka_unit_test(magnitude_is_the_place_of_the_first_digit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
