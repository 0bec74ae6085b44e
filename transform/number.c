#include "transform/number.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SMALL_DIGITS 18 /* always fit into int64_t */
#define NUMERIC_GROUP 4 /* decimal digits of one numeric digit: what the scale of a quotient hangs on */
#define MIN_SIGNIFICANT 16
#define MAX_DIV_SCALE 1000

struct number number_of_int(int64_t value)
{
    struct number number = {.class = NUMBER_FINITE, .small = value};

    return number;
}

static struct number special(enum number_class class)
{
    struct number number = {.class = (uint8_t) class};

    return number;
}

void number_done(struct number *number)
{
    if (number->is_big)
        mpz_clear(number->big);
    number->is_big = false;
}

/* --- text in --- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool word_is(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

static bool parse_special(const char *text, size_t len, struct number *ret)
{
    bool negative = false, sign = false;

    if (len > 0 && (*text == '+' || *text == '-')) {
        sign = true;
        negative = *text == '-';
        text++, len--;
    }
    if (!sign && word_is(text, len, "nan")) {
        *ret = special(NUMBER_NAN);
        return true;
    }
    if (word_is(text, len, "inf") || word_is(text, len, "infinity")) {
        *ret = special(negative ? NUMBER_MINUS_INFINITY : NUMBER_PLUS_INFINITY);
        return true;
    }
    return false;
}

/* The places of a decimal text, found in one pass. */
struct decimal {
    bool negative;
    const char *whole, *fraction;
    size_t whole_len, fraction_len;
    int64_t exponent;
};

static bool scan_exponent(const char *p, const char *end, int64_t *ret)
{
    bool negative = false;
    int64_t value = 0;

    if (p < end && (*p == '+' || *p == '-'))
        negative = *p++ == '-';
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        if (value < INT32_MAX)
            value = value * 10 + (*p - '0');
    }
    *ret = negative ? -value : value;
    return true;
}

static bool scan_decimal(const char *text, size_t len, struct decimal *ret)
{
    const char *p = text, *end = text + len;

    memset(ret, 0, sizeof *ret);
    if (p < end && (*p == '+' || *p == '-'))
        ret->negative = *p++ == '-';
    ret->whole = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    ret->whole_len = (size_t)(p - ret->whole);
    ret->fraction = p;
    if (p < end && *p == '.') {
        ret->fraction = ++p;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
        ret->fraction_len = (size_t)(p - ret->fraction);
    }
    if (ret->whole_len + ret->fraction_len == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E'))
        return scan_exponent(p + 1, end, &ret->exponent);
    return p == end;
}

static int64_t digits_value(const char *text, size_t len, int64_t value)
{
    for (size_t i = 0; i < len; i++)
        value = value * 10 + (text[i] - '0');
    return value;
}

static void big_power(mpz_t ret, uint32_t exponent)
{
    mpz_ui_pow_ui(ret, 10, exponent);
}

static void big_scale_up(mpz_t value, uint32_t digits)
{
    mpz_t power;

    if (digits == 0)
        return;
    mpz_init(power);
    big_power(power, digits);
    mpz_mul(value, value, power);
    mpz_clear(power);
}

/* Leaves what fits in 64 bits there. Takes `value` over. */
static struct number of_big(mpz_t value, int32_t scale)
{
    struct number number = {.class = NUMBER_FINITE, .scale = scale};

    if (mpz_fits_slong_p(value)) {
        number.small = mpz_get_si(value);
        mpz_clear(value);
        if (number.small != INT64_MIN)
            return number;
        mpz_init_set_si(value, number.small); /* its negation would not fit: stays big */
    }
    number.is_big = true;
    number.big[0] = value[0];
    return number;
}

/* Zeros in front and the exponent considered: does numeric hold it, with which scale, and how large is it? */
static enum number_status decimal_range(const struct decimal *d, int32_t *ret_scale, int32_t *ret_magnitude)
{
    size_t zeros = 0;
    int64_t scale = (int64_t)d->fraction_len - d->exponent, magnitude = INT32_MIN;

    if (d->exponent >= INT32_MAX / 2 || d->exponent <= -(INT32_MAX / 2))
        return NUMBER_RANGE;
    while (zeros < d->whole_len && d->whole[zeros] == '0')
        zeros++;
    if (zeros == d->whole_len)
        while (zeros < d->whole_len + d->fraction_len && d->fraction[zeros - d->whole_len] == '0')
            zeros++;
    if (zeros < d->whole_len + d->fraction_len)
        magnitude = (int64_t)d->whole_len - (int64_t)zeros + d->exponent - 1;
    if (magnitude >= NUMBER_MAX_WHOLE || scale > NUMBER_MAX_SCALE)
        return NUMBER_RANGE;
    *ret_magnitude = (int32_t)magnitude;
    *ret_scale = scale > 0 ? (int32_t)scale : 0;
    return NUMBER_OK;
}

static struct number parse_big(const struct decimal *d, int32_t scale)
{
    size_t len = d->whole_len + d->fraction_len;
    char *digits = mem_alloc(len + 1);
    int64_t up = (int64_t)scale - ((int64_t)d->fraction_len - d->exponent);
    mpz_t value;

    memcpy(digits, d->whole, d->whole_len);
    memcpy(digits + d->whole_len, d->fraction, d->fraction_len);
    digits[len] = '\0';
    mpz_init_set_str(value, digits, 10);
    free(digits);
    if (mpz_sgn(value) != 0)
        big_scale_up(value, (uint32_t)up);
    if (d->negative)
        mpz_neg(value, value);
    return of_big(value, scale);
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_space(**text))
        (*text)++, (*len)--;
    while (*len > 0 && is_space((*text)[*len - 1]))
        (*len)--;
}

enum number_status number_check(const char *text, size_t len, int32_t *ret_magnitude)
{
    struct decimal d;
    struct number unused;
    int32_t scale;

    trim(&text, &len);
    if (scan_decimal(text, len, &d))
        return decimal_range(&d, &scale, ret_magnitude);
    *ret_magnitude = INT32_MIN;
    return parse_special(text, len, &unused) ? NUMBER_OK : NUMBER_SYNTAX;
}

enum number_status number_parse(const char *text, size_t len, struct number *ret)
{
    struct decimal d;
    int32_t scale, magnitude;
    enum number_status status;

    trim(&text, &len);
    if (!scan_decimal(text, len, &d))
        return parse_special(text, len, ret) ? NUMBER_OK : NUMBER_SYNTAX;
    if (d.exponent == 0 && d.whole_len + d.fraction_len <= SMALL_DIGITS) {
        int64_t value = digits_value(d.fraction, d.fraction_len, digits_value(d.whole, d.whole_len, 0));

        *ret = number_of_int(d.negative ? -value : value);
        ret->scale = (int32_t)d.fraction_len;
        return NUMBER_OK;
    }
    status = decimal_range(&d, &scale, &magnitude);
    if (status == NUMBER_OK)
        *ret = parse_big(&d, scale);
    return status;
}

/* --- helpers on finite numbers --- */

static void to_big(const struct number *number, mpz_t ret)
{
    if (number->is_big)
        mpz_init_set(ret, number->big);
    else
        mpz_init_set_si(ret, number->small);
}

static int sign_of(const struct number *n)
{
    if (n->class != NUMBER_FINITE)
        return n->class == NUMBER_PLUS_INFINITY ? 1 : n->class == NUMBER_MINUS_INFINITY ? -1 : 0;
    if (n->is_big)
        return mpz_sgn(n->big);
    return (n->small > 0) - (n->small < 0);
}

bool number_is_zero(const struct number *number)
{
    return number->class == NUMBER_FINITE && sign_of(number) == 0;
}

/* The operands as coefficients of one scale. */
static int32_t align(const struct number *a, const struct number *b, mpz_t ret_a, mpz_t ret_b)
{
    int32_t scale = a->scale > b->scale ? a->scale : b->scale;

    to_big(a, ret_a);
    to_big(b, ret_b);
    big_scale_up(ret_a, (uint32_t)(scale - a->scale));
    big_scale_up(ret_b, (uint32_t)(scale - b->scale));
    return scale;
}

static uint32_t digit_count(const mpz_t value)
{
    size_t count = mpz_sizeinbase(value, 10);
    mpz_t power;

    mpz_init(power);
    big_power(power, (uint32_t)count - 1); /* mpz_sizeinbase may be one too many */
    if (mpz_cmpabs(value, power) < 0)
        count--;
    mpz_clear(power);
    return (uint32_t)count;
}

int32_t number_magnitude(const struct number *number)
{
    int32_t digits;
    mpz_t value;

    if (number->class != NUMBER_FINITE || number_is_zero(number))
        return INT32_MIN;
    to_big(number, value);
    digits = (int32_t)digit_count(value);
    mpz_clear(value);
    return digits - 1 - number->scale;
}

/* Digits before the point may have become too many; those after it are rounded as numeric rounds them. */
static enum number_status finish(mpz_t value, int32_t scale, struct number *ret)
{
    struct number number = of_big(value, scale);

    if (number.is_big && mpz_sizeinbase(number.big, 10) > (size_t)NUMBER_MAX_WHOLE &&
        number_magnitude(&number) >= NUMBER_MAX_WHOLE) {
        number_done(&number);
        return NUMBER_RANGE;
    }
    if (scale > NUMBER_MAX_SCALE) {
        enum number_status status = number_round(&number, NUMBER_MAX_SCALE, NUMBER_HALF_AWAY, ret);

        number_done(&number);
        return status;
    }
    *ret = number;
    return NUMBER_OK;
}

int number_compare(const struct number *a, const struct number *b)
{
    mpz_t x, y;
    int order;

    if (a->class != NUMBER_FINITE || b->class != NUMBER_FINITE) {
        static const int RANK[] = {
            [NUMBER_MINUS_INFINITY] = 0, [NUMBER_FINITE] = 1, [NUMBER_PLUS_INFINITY] = 2, [NUMBER_NAN] = 3};

        return RANK[a->class] - RANK[b->class];
    }
    if (!a->is_big && !b->is_big && a->scale == b->scale)
        return (a->small > b->small) - (a->small < b->small);
    align(a, b, x, y);
    order = mpz_cmp(x, y);
    mpz_clear(x);
    mpz_clear(y);
    return order;
}

/* --- arithmetic --- */

static bool any_special(const struct number *a, const struct number *b)
{
    return a->class != NUMBER_FINITE || b->class != NUMBER_FINITE;
}

static struct number infinity(int sign)
{
    return special(sign > 0 ? NUMBER_PLUS_INFINITY : sign < 0 ? NUMBER_MINUS_INFINITY : NUMBER_NAN);
}

static struct number add_special(const struct number *a, const struct number *b)
{
    if (a->class == NUMBER_NAN || b->class == NUMBER_NAN)
        return special(NUMBER_NAN);
    if (a->class == NUMBER_FINITE)
        return *b;
    if (b->class == NUMBER_FINITE || a->class == b->class)
        return *a;
    return special(NUMBER_NAN);
}

enum number_status number_add(const struct number *a, const struct number *b, struct number *ret)
{
    mpz_t x, y;
    int64_t sum;
    int32_t scale;

    if (any_special(a, b)) {
        *ret = add_special(a, b);
        return NUMBER_OK;
    }
    if (!a->is_big && !b->is_big && a->scale == b->scale && !__builtin_add_overflow(a->small, b->small, &sum) &&
        sum != INT64_MIN) {
        *ret = number_of_int(sum);
        ret->scale = a->scale;
        return NUMBER_OK;
    }
    scale = align(a, b, x, y);
    mpz_add(x, x, y);
    mpz_clear(y);
    return finish(x, scale, ret);
}

enum number_status number_sub(const struct number *a, const struct number *b, struct number *ret)
{
    struct number minus_b = *b; /* shares b's limbs: the sign alone differs */

    number_negate(&minus_b);
    return number_add(a, &minus_b, ret);
}

enum number_status number_mul(const struct number *a, const struct number *b, struct number *ret)
{
    mpz_t x, y;
    int64_t product;

    if (any_special(a, b)) {
        bool nan = a->class == NUMBER_NAN || b->class == NUMBER_NAN;

        *ret = nan ? special(NUMBER_NAN) : infinity(sign_of(a) * sign_of(b));
        return NUMBER_OK;
    }
    if (!a->is_big && !b->is_big && a->scale + b->scale <= NUMBER_MAX_SCALE &&
        !__builtin_mul_overflow(a->small, b->small, &product) && product != INT64_MIN) {
        *ret = number_of_int(product);
        ret->scale = a->scale + b->scale;
        return NUMBER_OK;
    }
    to_big(a, x);
    to_big(b, y);
    mpz_mul(x, x, y);
    mpz_clear(y);
    return finish(x, a->scale + b->scale, ret);
}

static int32_t floor_div(int32_t a, int32_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Weight and value of the first non-zero base-10000 digit, as numeric stores it. */
static int32_t leading_group(const mpz_t value, int32_t scale, int32_t *ret_digit)
{
    mpz_t head, power;
    int32_t weight, shift;

    if (mpz_sgn(value) == 0) {
        *ret_digit = 0;
        return 0;
    }
    weight = floor_div((int32_t)digit_count(value) - 1 - scale, NUMERIC_GROUP);
    shift = scale + weight * NUMERIC_GROUP;
    mpz_init(head);
    mpz_init(power);
    mpz_abs(head, value);
    big_power(power, (uint32_t)abs(shift));
    if (shift >= 0)
        mpz_tdiv_q(head, head, power);
    else
        mpz_mul(head, head, power);
    *ret_digit = (int32_t)mpz_get_si(head);
    mpz_clear(head);
    mpz_clear(power);
    return weight;
}

/* numeric's select_div_scale(). */
static int32_t div_scale(const mpz_t a, int32_t a_scale, const mpz_t b, int32_t b_scale)
{
    int32_t a_digit, b_digit;
    int32_t weight = leading_group(a, a_scale, &a_digit) - leading_group(b, b_scale, &b_digit);
    int32_t scale;

    if (a_digit <= b_digit)
        weight--;
    scale = MIN_SIGNIFICANT - weight * NUMERIC_GROUP;
    if (scale < a_scale)
        scale = a_scale;
    if (scale < b_scale)
        scale = b_scale;
    if (scale < 0)
        scale = 0;
    return scale > MAX_DIV_SCALE ? MAX_DIV_SCALE : scale;
}

/* num / den to a whole number; den != 0. */
static void divide(mpz_t num, const mpz_t den, enum number_rounding how)
{
    mpz_t rest;

    if (how == NUMBER_DOWN) {
        mpz_tdiv_q(num, num, den);
    } else if (how == NUMBER_FLOOR) {
        mpz_fdiv_q(num, num, den);
    } else if (how == NUMBER_CEIL) {
        mpz_cdiv_q(num, num, den);
    } else {
        int sign = mpz_sgn(num) * mpz_sgn(den);

        mpz_init(rest);
        mpz_tdiv_qr(num, rest, num, den);
        mpz_mul_2exp(rest, rest, 1);
        if (mpz_cmpabs(rest, den) >= 0) {
            if (sign > 0)
                mpz_add_ui(num, num, 1);
            else
                mpz_sub_ui(num, num, 1);
        }
        mpz_clear(rest);
    }
}

static enum number_status div_special(const struct number *a, const struct number *b, struct number *ret)
{
    if (a->class == NUMBER_NAN || b->class == NUMBER_NAN)
        *ret = special(NUMBER_NAN);
    else if (a->class == NUMBER_FINITE)
        *ret = number_of_int(0);
    else if (b->class != NUMBER_FINITE)
        *ret = special(NUMBER_NAN);
    else if (sign_of(b) == 0)
        return NUMBER_BY_ZERO;
    else
        *ret = infinity(sign_of(a) * sign_of(b));
    return NUMBER_OK;
}

/* a / b to `scale` digits, or to numeric's own choice where scale is negative. */
static enum number_status quotient(const struct number *a, const struct number *b, int32_t scale,
                                   enum number_rounding how, struct number *ret)
{
    mpz_t x, y;
    int32_t up;

    if (any_special(a, b))
        return div_special(a, b, ret);
    if (number_is_zero(b))
        return NUMBER_BY_ZERO;
    to_big(a, x);
    to_big(b, y);
    if (scale < 0)
        scale = div_scale(x, a->scale, y, b->scale);
    /* x/10^as / (y/10^bs) * 10^scale = x * 10^(scale + bs - as) / y */
    up = scale + b->scale - a->scale;
    big_scale_up(up >= 0 ? x : y, (uint32_t)abs(up));
    divide(x, y, how);
    mpz_clear(y);
    return finish(x, scale, ret);
}

enum number_status number_div(const struct number *a, const struct number *b, struct number *ret)
{
    return quotient(a, b, -1, NUMBER_HALF_AWAY, ret);
}

enum number_status number_div_whole(const struct number *a, const struct number *b, struct number *ret)
{
    return quotient(a, b, 0, NUMBER_DOWN, ret);
}

enum number_status number_mod(const struct number *a, const struct number *b, struct number *ret)
{
    mpz_t x, y;
    int32_t scale;

    if (a->class == NUMBER_NAN || b->class == NUMBER_NAN) {
        *ret = special(NUMBER_NAN);
        return NUMBER_OK;
    }
    if (number_is_zero(b))
        return NUMBER_BY_ZERO;
    if (a->class != NUMBER_FINITE) {
        *ret = special(NUMBER_NAN);
        return NUMBER_OK;
    }
    if (b->class != NUMBER_FINITE) {
        to_big(a, x);
        return finish(x, a->scale, ret);
    }
    scale = align(a, b, x, y);
    mpz_tdiv_r(x, x, y);
    mpz_clear(y);
    return finish(x, scale, ret);
}

void number_negate(struct number *number)
{
    if (number->class == NUMBER_PLUS_INFINITY)
        number->class = NUMBER_MINUS_INFINITY;
    else if (number->class == NUMBER_MINUS_INFINITY)
        number->class = NUMBER_PLUS_INFINITY;
    else if (number->is_big)
        number->big->_mp_size = -number->big->_mp_size; /* mpz_neg in place, also on shared limbs */
    else
        number->small = -number->small;
}

void number_abs(struct number *number)
{
    if (sign_of(number) < 0)
        number_negate(number);
}

enum number_status number_round(const struct number *of, int32_t scale, enum number_rounding how, struct number *ret)
{
    int32_t shown = scale > 0 ? scale : 0;
    mpz_t value, power;

    if (of->class != NUMBER_FINITE) {
        *ret = *of;
        return NUMBER_OK;
    }
    if (scale > NUMBER_MAX_SCALE || scale < -NUMBER_MAX_WHOLE)
        return NUMBER_RANGE;
    to_big(of, value);
    if (scale >= of->scale) {
        big_scale_up(value, (uint32_t)(scale - of->scale));
        return finish(value, shown, ret);
    }
    mpz_init(power);
    big_power(power, (uint32_t)(of->scale - scale));
    divide(value, power, how);
    mpz_clear(power);
    if (scale < 0)
        big_scale_up(value, (uint32_t)-scale);
    return finish(value, shown, ret);
}

bool number_is_integer(const struct number *number)
{
    struct number whole;
    bool equal;

    if (number->class != NUMBER_FINITE)
        return false;
    if (number->scale == 0)
        return true;
    if (number_round(number, 0, NUMBER_DOWN, &whole) != NUMBER_OK)
        return false;
    equal = number_compare(number, &whole) == 0;
    number_done(&whole);
    return equal;
}

bool number_to_int64(const struct number *number, int64_t *ret_value)
{
    struct number whole;
    bool fits;

    if (number->class == NUMBER_FINITE && number->scale == 0 && !number->is_big) {
        *ret_value = number->small;
        return true;
    }
    if (!number_is_integer(number) || number_round(number, 0, NUMBER_DOWN, &whole) != NUMBER_OK)
        return false;
    fits = !whole.is_big || mpz_fits_slong_p(whole.big);
    if (fits)
        *ret_value = whole.is_big ? mpz_get_si(whole.big) : whole.small;
    number_done(&whole);
    return fits;
}

/* --- text out --- */

/* Digits of the magnitude; scratch has room for them. */
static size_t put_digits(const struct number *number, char *scratch)
{
    uint64_t rest;
    size_t len = 0;

    if (number->is_big) {
        mpz_t value;

        mpz_init(value);
        mpz_abs(value, number->big);
        mpz_get_str(scratch, 10, value);
        mpz_clear(value);
        return strlen(scratch);
    }
    rest = number->small < 0 ? (uint64_t)-number->small : (uint64_t)number->small;
    do {
        scratch[len++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    for (size_t i = 0; i < len / 2; i++) {
        char c = scratch[i];

        scratch[i] = scratch[len - 1 - i];
        scratch[len - 1 - i] = c;
    }
    return len;
}

const char *number_text(const struct number *number, struct arena *arena, size_t *ret_len)
{
    static const char *const NAMES[] = {
        [NUMBER_NAN] = "NaN", [NUMBER_PLUS_INFINITY] = "Infinity", [NUMBER_MINUS_INFINITY] = "-Infinity"};
    size_t scale = (size_t)number->scale, room, len, zeros;
    char *text, *digits, *out;

    if (number->class != NUMBER_FINITE) {
        *ret_len = strlen(NAMES[number->class]);
        return NAMES[number->class];
    }
    room = number->is_big ? mpz_sizeinbase(number->big, 10) + 2 : 21;
    text = arena_alloc(arena, 2 * room + scale + 4);
    digits = text + room + scale + 4; /* the tail is scratch */
    len = put_digits(number, digits);
    out = text;
    if (sign_of(number) < 0)
        *out++ = '-';
    zeros = len <= scale ? scale + 1 - len : 0; /* 0.05: at least one digit before the point */
    for (size_t i = 0; i < zeros + len; i++) {
        if (scale > 0 && i == zeros + len - scale)
            *out++ = '.';
        *out++ = i < zeros ? '0' : digits[i - zeros];
    }
    *ret_len = (size_t)(out - text);
    return text;
}
