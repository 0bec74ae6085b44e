#include "transform/expr_fit.h"

#include <stdlib.h>
#include <string.h>

#include "transform/jsonb.h"
#include "transform/number.h"
#include "transform/text.h"

enum fit_kind {
    FIT_ANY,
    FIT_TEXT,
    FIT_VARCHAR,
    FIT_CHAR,
    FIT_INT2,
    FIT_INT4,
    FIT_INT8,
    FIT_NUMERIC,
    FIT_FLOAT,
    FIT_BOOL,
    FIT_UUID,
    FIT_JSON,
    FIT_JSONB,
    FIT_TEMPORAL,
};

/* --- reading the type --- */

/* "numeric(12,2)": 12 and 2. Without parentheses, or in another type's name (a domain): none. */
static void read_modifiers(const struct column *target, struct fit *fit)
{
    size_t base = strlen(target->base_type);
    const char *p = target->type + base;
    char *end;
    long first, second = 0;

    if (strncmp(target->type, target->base_type, base) != 0 || *p != '(')
        return;
    first = strtol(p + 1, &end, 10);
    if (*end == ',')
        second = strtol(end + 1, &end, 10);
    if (strcmp(end, ")") != 0 || first < 1 || first > INT32_MAX)
        return;
    if (fit->kind == FIT_NUMERIC && first <= 1000 && second >= -1000 && second <= 1000) {
        fit->precision = (int16_t)first;
        fit->scale = (int16_t)second;
    } else if (fit->kind != FIT_NUMERIC) {
        fit->limit = (int32_t)first;
    }
}

struct fit fit_of(const struct column *target)
{
    static const struct {
        const char *type;
        enum fit_kind kind;
    } KINDS[] = {
        {"text", FIT_TEXT},
        {"character varying", FIT_VARCHAR},
        {"character", FIT_CHAR},
        {"smallint", FIT_INT2},
        {"integer", FIT_INT4},
        {"bigint", FIT_INT8},
        {"numeric", FIT_NUMERIC},
        {"real", FIT_FLOAT},
        {"double precision", FIT_FLOAT},
        {"boolean", FIT_BOOL},
        {"uuid", FIT_UUID},
        {"json", FIT_JSON},
        {"jsonb", FIT_JSONB},
        {"date", FIT_TEMPORAL},
        {"timestamp without time zone", FIT_TEMPORAL},
        {"timestamp with time zone", FIT_TEMPORAL},
    };
    struct fit fit = {.kind = FIT_ANY, .limit = -1, .not_null = target->not_null};

    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(target->base_type, KINDS[i].type) == 0)
            fit.kind = (uint8_t)KINDS[i].kind;
    if (fit.kind == FIT_VARCHAR || fit.kind == FIT_CHAR || fit.kind == FIT_NUMERIC)
        read_modifiers(target, &fit);
    return fit;
}

/* --- the checks: NULL where the value fits, else why not --- */

/* Blanks beyond the limit are cut off without an error. */
static const char *check_length(struct slice of, int32_t limit)
{
    if (limit < 0 || of.len <= (size_t)limit)
        return NULL;
    of = text_trim_blanks_right(of);
    if (of.len <= (size_t)limit || text_length(of.text, of.len) <= (size_t)limit)
        return NULL;
    return "longer than the column allows";
}

/* Newer servers also take 0x1F, 0o17, 0b1 and 1_000; all take a blank before an exponent's digits. */
static bool odd_syntax(struct slice of)
{
    if (of.len > 0 && (*of.text == '-' || *of.text == '+'))
        of.text++, of.len--;
    return memchr(of.text, '_', of.len) || memchr(of.text, ' ', of.len) ||
           (of.len > 1 && *of.text == '0' && strchr("xXoObB", of.text[1]));
}

static bool all_digits(struct slice of)
{
    size_t i = of.len > 0 && (*of.text == '-' || *of.text == '+');

    if (i == of.len)
        return false;
    for (; i < of.len; i++)
        if (of.text[i] < '0' || of.text[i] > '9')
            return false;
    return true;
}

static const char *check_integer(struct slice of, int64_t low, int64_t high)
{
    struct number number;
    int64_t value;
    bool fits;

    of = text_trim(of);
    if (!all_digits(of))
        return odd_syntax(of) ? NULL : "not an integer";
    if (number_parse(of.text, of.len, &number) != NUMBER_OK)
        return "beyond the range of the integer type";
    fits = number_to_int64(&number, &value) && value >= low && value <= high;
    number_done(&number);
    return fits ? NULL : "beyond the range of the integer type";
}

/* Does rounding to the scale carry a number of all but too many digits over the edge? */
static bool carries(const struct fit *fit, struct slice of)
{
    struct number number, rounded;
    bool over = false;

    if (number_parse(of.text, of.len, &number) != NUMBER_OK)
        return false;
    if (number_round(&number, fit->scale, NUMBER_HALF_AWAY, &rounded) == NUMBER_OK) {
        over = number_magnitude(&rounded) >= fit->precision - fit->scale;
        number_done(&rounded);
    }
    number_done(&number);
    return over;
}

static bool is_infinite(struct slice of)
{
    of = text_trim(of);
    if (of.len > 0 && (*of.text == '-' || *of.text == '+'))
        of.text++, of.len--;
    return of.len > 0 && (*of.text == 'i' || *of.text == 'I');
}

static const char *check_numeric(const struct fit *fit, struct slice of)
{
    static const char OVERFLOW[] = "beyond the precision of the column";
    int32_t magnitude = 0;

    switch (number_check(of.text, of.len, &magnitude)) {
    case NUMBER_SYNTAX: return odd_syntax(text_trim(of)) ? NULL : "not a number";
    case NUMBER_OK: break;
    default: return "a number beyond the range of numeric";
    }
    if (fit->precision == 0)
        return NULL;
    if (is_infinite(of) || magnitude >= fit->precision - fit->scale)
        return OVERFLOW;
    if (magnitude == fit->precision - fit->scale - 1 && memchr(of.text, '9', of.len) && carries(fit, of))
        return OVERFLOW;
    return NULL;
}

/* Range and spellings are the C library's to know there: only what cannot be a number is refused. */
static const char *check_float(struct slice of)
{
    of = text_trim(of);
    if (of.len == 0)
        return "not a number";
    return strchr("0123456789+-.nNiI", *of.text) && *of.text ? NULL : "not a number";
}

static const char *check_bool(struct slice of)
{
    bool unused;

    return text_to_bool(of, &unused) ? NULL : "not a boolean";
}

/* 32 hexadecimal digits, a hyphen allowed after every four of them, braces around. */
static const char *check_uuid(struct slice of)
{
    size_t digits = 0;

    if (of.len > 1 && *of.text == '{' && of.text[of.len - 1] == '}')
        of.text++, of.len -= 2;
    for (size_t i = 0; i < of.len; i++) {
        char c = of.text[i];

        if (c == '-' && digits % 4 == 0 && digits > 0 && digits < 32 && of.text[i - 1] != '-')
            continue;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
            return "not a UUID";
        digits++;
    }
    return digits == 32 ? NULL : "not a UUID";
}

/* Words and orders of parts are many: a date holds a digit, or is one of a few words. */
static const char *check_temporal(struct slice of)
{
    static const char *const WORDS[] = {"infinity", "epoch", "now", "today", "tomorrow", "yesterday", "allballs"};
    struct slice word = text_trim(of);

    for (size_t i = 0; i < of.len; i++)
        if (of.text[i] >= '0' && of.text[i] <= '9')
            return NULL;
    if (word.len > 0 && (*word.text == '-' || *word.text == '+'))
        word.text++, word.len--;
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (text_contains_ascii(word, (struct slice){WORDS[i], strlen(WORDS[i])}))
            return NULL;
    return "not a date or time";
}

static const char *check(const struct fit *fit, struct slice of, enum category *ret_category)
{
    const char *reason = NULL;

    switch ((enum fit_kind)fit->kind) {
    case FIT_VARCHAR:
    case FIT_CHAR: return check_length(of, fit->limit);
    case FIT_INT2: return check_integer(of, INT16_MIN, INT16_MAX);
    case FIT_INT4: return check_integer(of, INT32_MIN, INT32_MAX);
    case FIT_INT8: return check_integer(of, INT64_MIN, INT64_MAX);
    case FIT_NUMERIC: return check_numeric(fit, of);
    case FIT_FLOAT: return check_float(of);
    case FIT_BOOL: return check_bool(of);
    case FIT_UUID: return check_uuid(of);
    case FIT_TEMPORAL: return check_temporal(of);
    case FIT_JSON:
    case FIT_JSONB:
        *ret_category = CATEGORY_JSON_PARSE;
        if (fit->kind == FIT_JSON ? json_acceptable(of.text, of.len, &reason)
                                  : jsonb_acceptable(of.text, of.len, &reason))
            return NULL;
        return reason;
    case FIT_ANY:
    case FIT_TEXT: break;
    }
    return NULL;
}

bool fit_check(const struct fit *fit, const struct value *value, enum category *ret_category, const char **ret_reason)
{
    enum category category = CATEGORY_VALIDATION_FAILURE;
    const char *reason;

    if (value->state != VALUE_TEXT)
        return true;
    if (value->len > 0 && memchr(value->text, '\0', value->len))
        reason = "holds a zero byte";
    else
        reason = check(fit, (struct slice){value->text, value->len}, &category);
    if (!reason)
        return true;
    *ret_category = category;
    *ret_reason = reason;
    return false;
}

bool expr_value_fits(const struct column *target, const struct value *value, enum category *ret_category,
                     const char **ret_reason)
{
    struct fit fit = fit_of(target);

    return fit_check(&fit, value, ret_category, ret_reason);
}
