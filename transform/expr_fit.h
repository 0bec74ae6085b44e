/* Does a value fit its target column? What the server would refuse anyhow is found before it is sent, so that a bad
 * row does not cost its batch a second try.
 *
 * Only sure refusals: whatever PostgreSQL might take passes. No I/O, no allocation.
 */
#ifndef PGREKEY_TRANSFORM_EXPR_FIT_H
#define PGREKEY_TRANSFORM_EXPR_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/change.h"
#include "cdc/base/relation.h"
#include "transform/row.h"

/* What to look at, read once from the column's type. */
struct fit {
    uint8_t kind;      /* enum fit_kind of expr_fit.c */
    int32_t limit;     /* characters of varchar(n), char(n); -1: none */
    int16_t precision; /* of numeric(p,s); 0: none */
    int16_t scale;
    bool not_null;
};
struct fit fit_of(const struct column *target);
/* NULL and ABSENT values fit (NOT NULL is the caller's to check where the value may be defaulted). On false the
 * category and a phrase without any value. */
bool fit_check(const struct fit *fit, const struct value *value, enum category *ret_category, const char **ret_reason);
/* Both in one, for a column looked at once. */
bool expr_value_fits(const struct column *target, const struct value *value, enum category *ret_category,
                     const char **ret_reason);

#endif
