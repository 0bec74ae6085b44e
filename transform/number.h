/* Exact decimals as PostgreSQL's numeric has them: a coefficient and a scale, NaN and the infinities; never a double.
 *
 * What fits into 64 bits stays there, without an allocation; the rest is GMP's. A number that was parsed or computed
 * into must be given back with number_done (a no-op for the small ones).
 */
#ifndef PGREKEY_TRANSFORM_NUMBER_H
#define PGREKEY_TRANSFORM_NUMBER_H

#include <gmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"

/* numeric's range: digits before and after the point. */
#define NUMBER_MAX_WHOLE 131072
#define NUMBER_MAX_SCALE 16383

enum number_class { NUMBER_FINITE, NUMBER_NAN, NUMBER_PLUS_INFINITY, NUMBER_MINUS_INFINITY };

struct number {
    uint8_t class; /* enum number_class */
    bool is_big;
    int32_t scale; /* digits after the point, as shown */
    int64_t small; /* value = small / 10^scale */
    mpz_t big;     /* instead of small where is_big */
};

enum number_status {
    NUMBER_OK,
    NUMBER_SYNTAX, /* not a number */
    NUMBER_RANGE,  /* beyond what numeric holds */
    NUMBER_BY_ZERO,
};

struct number number_of_int(int64_t value);
/* What numeric's input takes (spaces around allowed): digits, point, exponent, NaN, [+-]inf[inity]. */
enum number_status number_parse(const char *text, size_t len, struct number *ret_number);
/* The same judgement without building the number. Where NUMBER_OK: the place of its first digit that is not 0 (12.5: 1,
 * 0.05: -2; INT32_MIN for zero and the special values). */
enum number_status number_check(const char *text, size_t len, int32_t *ret_magnitude);
void number_done(struct number *number);

/* As numeric orders: NaN equals NaN and is greater than everything. <0, 0, >0. */
int number_compare(const struct number *a, const struct number *b);
bool number_is_zero(const struct number *number);
int32_t number_magnitude(const struct number *number); /* as number_check gives it */
bool number_is_integer(const struct number *number);   /* value, whatever its scale */

/* Scales are numeric's: + - the larger, * the sum, / at least 16 significant digits, % the larger. Each result is
 * initialised only where NUMBER_OK comes back; it may not be one of the operands. */
enum number_status number_add(const struct number *a, const struct number *b, struct number *ret);
enum number_status number_sub(const struct number *a, const struct number *b, struct number *ret);
enum number_status number_mul(const struct number *a, const struct number *b, struct number *ret);
enum number_status number_div(const struct number *a, const struct number *b, struct number *ret);
enum number_status number_mod(const struct number *a, const struct number *b, struct number *ret);
/* Quotient cut off towards zero, scale 0: div() of SQL. */
enum number_status number_div_whole(const struct number *a, const struct number *b, struct number *ret);
void number_negate(struct number *number);
void number_abs(struct number *number);

enum number_rounding { NUMBER_HALF_AWAY, NUMBER_DOWN, NUMBER_FLOOR, NUMBER_CEIL };
/* To `scale` digits after the point, negative ones before it; the shown scale is max(scale, 0). */
enum number_status number_round(const struct number *of, int32_t scale, enum number_rounding how, struct number *ret);

/* False where it is no whole number of that range. */
bool number_to_int64(const struct number *number, int64_t *ret_value);
/* numeric's output text, in the arena. */
const char *number_text(const struct number *number, struct arena *arena, size_t *ret_len);

#endif
