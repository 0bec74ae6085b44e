/* Functions. NULL in any argument gives NULL, but for greatest, least and nullif. */
#include "transform/expr_node.h"

#include <string.h>

#define VALUE_MAX ((size_t)0x3fffffff)
#define MAX_ARGS 4

static enum expr_status invalid(struct expr_env *env, const char *reason)
{
    return eval_reject(env, CATEGORY_VALIDATION_FAILURE, reason);
}

/* --- numbers --- */

static enum expr_status eval_integer(const struct expr *expr, struct expr_env *env, int64_t *ret, bool *ret_null)
{
    struct number number;
    bool fits;
    enum expr_status status = eval_number(expr, env, &number, ret_null);

    *ret = 0;
    if (status != EXPR_OK || *ret_null)
        return status;
    fits = number_to_int64(&number, ret);
    number_done(&number);
    return fits ? EXPR_OK : invalid(env, "not a whole number where one is needed");
}

static enum expr_status put_number(struct expr_env *env, enum number_status result, struct number *number,
                                   struct value *ret)
{
    struct slice text;

    if (result != NUMBER_OK)
        return eval_number_status(env, result);
    text.text = number_text(number, env->arena, &text.len);
    number_done(number);
    *ret = value_slice(text);
    return EXPR_OK;
}

static enum expr_status call_round(const struct expr *expr, struct expr_env *env, enum number_rounding how,
                                   struct value *ret)
{
    struct number number, rounded;
    int64_t places = 0;
    bool null = false;
    enum number_status result;
    enum expr_status status = EXPR_OK;

    if (expr->count > 1)
        status = eval_integer(expr->args[1], env, &places, &null);
    if (status == EXPR_OK && !null)
        status = eval_number(expr->args[0], env, &number, &null);
    if (status != EXPR_OK || null)
        return status;
    /* numeric's own bounds on the places of round() */
    places = places > 2000 ? 2000 : places < -2000 ? -2000 : places;
    result = number_round(&number, (int32_t)places, how, &rounded);
    number_done(&number);
    return put_number(env, result, &rounded, ret);
}

static enum expr_status call_abs(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct number number;
    bool null;
    enum expr_status status = eval_number(expr->args[0], env, &number, &null);

    if (status != EXPR_OK || null)
        return status;
    number_abs(&number);
    return put_number(env, NUMBER_OK, &number, ret);
}

static enum expr_status call_div(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct number a, b, quotient;
    enum number_status result;
    bool null;
    enum expr_status status = eval_number(expr->args[0], env, &a, &null);

    if (status != EXPR_OK || null)
        return status;
    status = eval_number(expr->args[1], env, &b, &null);
    if (status == EXPR_OK && !null) {
        result = number_div_whole(&a, &b, &quotient);
        number_done(&b);
        status = put_number(env, result, &quotient, ret);
    }
    number_done(&a);
    return status;
}

/* --- casts --- */

static bool is_integer_text(struct slice of)
{
    size_t i = of.len > 0 && (*of.text == '-' || *of.text == '+');

    if (i == of.len)
        return false;
    for (; i < of.len; i++)
        if (of.text[i] < '0' || of.text[i] > '9')
            return false;
    return true;
}

/* A number is rounded, a text must be written as an integer, a boolean is 1 or 0. */
static enum expr_status cast_integer(const struct expr *expr, struct expr_env *env, int64_t low, int64_t high,
                                     struct value *ret)
{
    struct value value;
    struct number number, whole;
    enum number_status result;
    int64_t integer;
    enum expr_status status = eval_value(expr->args[0], env, &value);

    if (status != EXPR_OK || value.state == VALUE_NULL)
        return status;
    if (expr->args[0]->type == EXPR_BOOL) {
        *ret = value_slice((struct slice){*value.text == 't' ? "1" : "0", 1});
        return EXPR_OK;
    }
    if (expr->args[0]->type != EXPR_NUMBER && !is_integer_text(text_trim(slice_of_value(&value))))
        return invalid(env, "not an integer");
    result = number_parse(value.text, value.len, &number);
    if (result != NUMBER_OK)
        return eval_number_status(env, result);
    result = number_round(&number, 0, NUMBER_HALF_AWAY, &whole);
    number_done(&number);
    if (result != NUMBER_OK)
        return eval_number_status(env, result);
    if (!number_to_int64(&whole, &integer) || integer < low || integer > high) {
        number_done(&whole);
        return invalid(env, "beyond the range of the integer type");
    }
    return put_number(env, NUMBER_OK, &whole, ret);
}

static enum expr_status cast_numeric(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct number number;
    bool null;
    enum expr_status status = eval_number(expr->args[0], env, &number, &null);

    return status != EXPR_OK || null ? status : put_number(env, NUMBER_OK, &number, ret);
}

static enum expr_status cast_text(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    enum expr_status status = eval_value(expr->args[0], env, ret);

    if (status == EXPR_OK && ret->state == VALUE_TEXT && expr->args[0]->type == EXPR_BOOL)
        *ret = value_slice(*ret->text == 't' ? (struct slice){"true", 4} : (struct slice){"false", 5});
    return status;
}

static enum expr_status cast_boolean(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct number number;
    struct value value;
    bool truth;
    enum number_status result;
    enum expr_status status = eval_value(expr->args[0], env, &value);

    if (status != EXPR_OK || value.state == VALUE_NULL)
        return status;
    if (expr->args[0]->type == EXPR_NUMBER) {
        result = number_parse(value.text, value.len, &number);
        if (result != NUMBER_OK)
            return eval_number_status(env, result);
        truth = !number_is_zero(&number);
        number_done(&number);
    } else if (!text_to_bool(slice_of_value(&value), &truth)) {
        return invalid(env, "not a boolean");
    }
    *ret = value_bool(truth);
    return EXPR_OK;
}

/* --- any type --- */

static enum expr_status call_nullif(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct value a, b;
    int order = 1;
    enum expr_status status = eval_value(expr->args[0], env, &a);

    if (status != EXPR_OK || a.state == VALUE_NULL)
        return status;
    status = eval_value(expr->args[1], env, &b);
    if (status == EXPR_OK && b.state != VALUE_NULL)
        status = eval_order(expr, env, &a, &b, &order);
    if (status == EXPR_OK)
        *ret = order == 0 ? value_null() : a;
    return status;
}

/* sign 1: the greatest, -1: the least. NULLs do not count. */
static enum expr_status call_extreme(const struct expr *expr, struct expr_env *env, int sign, struct value *ret)
{
    struct value item;
    int order;

    for (uint32_t i = 0; i < expr->count; i++) {
        enum expr_status status = eval_value(expr->args[i], env, &item);

        if (status == EXPR_OK && item.state != VALUE_NULL && ret->state != VALUE_NULL) {
            status = eval_order(expr, env, &item, ret, &order);
            if (status == EXPR_OK && order * sign > 0)
                *ret = item;
        } else if (status == EXPR_OK && item.state != VALUE_NULL) {
            *ret = item;
        }
        if (status != EXPR_OK)
            return status;
    }
    return EXPR_OK;
}

/* --- text --- */

static enum expr_status email_norm(struct slice of, struct expr_env *env, struct value *ret)
{
    of = text_lower(text_trim(of), env->arena);
    if (of.len == 0)
        return EXPR_OK;
    if (!text_is_email(of))
        return invalid(env, "not an e-mail address");
    *ret = value_slice(of);
    return EXPR_OK;
}

static enum expr_status of_length(struct slice of, struct expr_env *env, struct value *ret)
{
    struct number number = number_of_int((int64_t)text_length(of.text, of.len));

    return put_number(env, NUMBER_OK, &number, ret);
}

static enum expr_status pad(const struct expr *expr, const struct slice *text, const int64_t *integer,
                            struct expr_env *env, struct value *ret)
{
    struct slice fill = expr->count > 2 ? text[2] : (struct slice){" ", 1};

    if (integer[1] > TEXT_PAD_MAX)
        return invalid(env, "padded to more than a million characters");
    *ret = value_slice(text_pad(text[0], integer[1], fill, expr->function->id == FUNCTION_LPAD, env->arena));
    return EXPR_OK;
}

static enum expr_status substring(const struct expr *expr, struct slice of, const int64_t *integer,
                                  struct expr_env *env, struct value *ret)
{
    int64_t count = expr->count > 2 ? integer[2] : INT64_MAX;

    if (count < 0)
        return invalid(env, "a substring of negative length");
    *ret = value_slice(text_substring(of, integer[1], count));
    return EXPR_OK;
}

static enum expr_status split_part(const struct slice *text, int64_t n, struct expr_env *env, struct value *ret)
{
    if (n == 0)
        return invalid(env, "field 0 of a split text");
    *ret = value_slice(text_split_part(text[0], text[1], n));
    return EXPR_OK;
}

static enum expr_status replace(const struct slice *text, struct expr_env *env, struct value *ret)
{
    struct slice replaced = text_replace(text[0], text[1], text[2], VALUE_MAX, env->arena);

    if (!replaced.text)
        return invalid(env, "longer than 1 GB");
    *ret = value_slice(replaced);
    return EXPR_OK;
}

/* The arguments by their letters; *ret_null where one is NULL. */
static enum expr_status eval_arguments(const struct expr *expr, struct expr_env *env, struct slice *text,
                                       int64_t *integer, bool *ret_null)
{
    const char *takes = expr->function->takes;
    size_t letters = strlen(takes);
    enum expr_status status = EXPR_OK;

    *ret_null = false;
    for (uint32_t i = 0; i < expr->count && i < MAX_ARGS && status == EXPR_OK && !*ret_null; i++) {
        if (takes[i < letters ? i : letters - 1] == 'n')
            status = eval_integer(expr->args[i], env, &integer[i], ret_null);
        else
            status = eval_text(expr->args[i], env, &text[i], ret_null);
    }
    return status;
}

static enum expr_status call_text(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct slice text[MAX_ARGS] = {{0}};
    int64_t integer[MAX_ARGS] = {0};
    bool null;
    enum expr_status status = eval_arguments(expr, env, text, integer, &null);

    if (status != EXPR_OK || null)
        return status;
    switch (expr->function->id) {
    case FUNCTION_TRIM: *ret = value_slice(text_trim(text[0])); break;
    case FUNCTION_LOWER: *ret = value_slice(text_lower(text[0], env->arena)); break;
    case FUNCTION_UPPER: *ret = value_slice(text_upper(text[0], env->arena)); break;
    case FUNCTION_INITCAP: *ret = value_slice(text_initcap(text[0], env->arena)); break;
    case FUNCTION_DIGITS: *ret = value_slice(text_digits(text[0], env->arena)); break;
    case FUNCTION_EMAIL_NORM: return email_norm(text[0], env, ret);
    case FUNCTION_LENGTH: return of_length(text[0], env, ret);
    case FUNCTION_LEFT: *ret = value_slice(text_left(text[0], integer[1])); break;
    case FUNCTION_RIGHT: *ret = value_slice(text_right(text[0], integer[1])); break;
    case FUNCTION_SUBSTRING: return substring(expr, text[0], integer, env, ret);
    case FUNCTION_REPLACE: return replace(text, env, ret);
    case FUNCTION_SPLIT_PART: return split_part(text, integer[2], env, ret);
    case FUNCTION_LPAD:
    case FUNCTION_RPAD: return pad(expr, text, integer, env, ret);
    case FUNCTION_STARTS_WITH:
        *ret = value_bool(text[0].len >= text[1].len && memcmp(text[0].text, text[1].text, text[1].len) == 0);
        break;
    default: return invalid(env, "a function without meaning");
    }
    return EXPR_OK;
}

enum expr_status eval_call(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    *ret = value_null();
    switch (expr->function->id) {
    case FUNCTION_NULLIF: return call_nullif(expr, env, ret);
    case FUNCTION_ABS: return call_abs(expr, env, ret);
    case FUNCTION_ROUND: return call_round(expr, env, NUMBER_HALF_AWAY, ret);
    case FUNCTION_FLOOR: return call_round(expr, env, NUMBER_FLOOR, ret);
    case FUNCTION_CEIL: return call_round(expr, env, NUMBER_CEIL, ret);
    case FUNCTION_DIV: return call_div(expr, env, ret);
    case FUNCTION_GREATEST: return call_extreme(expr, env, 1, ret);
    case FUNCTION_LEAST: return call_extreme(expr, env, -1, ret);
    case FUNCTION_TO_INT2: return cast_integer(expr, env, INT16_MIN, INT16_MAX, ret);
    case FUNCTION_TO_INT4: return cast_integer(expr, env, INT32_MIN, INT32_MAX, ret);
    case FUNCTION_TO_INT8: return cast_integer(expr, env, INT64_MIN, INT64_MAX, ret);
    case FUNCTION_TO_NUMERIC: return cast_numeric(expr, env, ret);
    case FUNCTION_TO_TEXT: return cast_text(expr, env, ret);
    case FUNCTION_TO_BOOLEAN: return cast_boolean(expr, env, ret);
    case FUNCTION_JSON:
    case FUNCTION_JSON_OBJECT:
    case FUNCTION_JSON_RAW:
    case FUNCTION_JSON_GET: return eval_json(expr, env, ret);
    default: return call_text(expr, env, ret);
    }
}
