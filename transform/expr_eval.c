/* Walks a tree over one row. Columns, literals and booleans are passed on without a copy; only texts and numbers that
 * did not exist before are made, in the arena.
 */
#include "transform/expr_node.h"

#include <string.h>

#define VALUE_MAX ((size_t)0x3fffffff) /* what PostgreSQL allocates for one value */

enum expr_status eval_reject(struct expr_env *env, enum category category, const char *reason)
{
    env->category = category;
    env->reason = reason;
    return EXPR_REJECT;
}

enum expr_status eval_number_status(struct expr_env *env, enum number_status status)
{
    switch (status) {
    case NUMBER_OK: return EXPR_OK;
    case NUMBER_SYNTAX: return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "not a number");
    case NUMBER_RANGE: return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "a number beyond the range of numeric");
    case NUMBER_BY_ZERO: break;
    }
    return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "division by zero");
}

/* --- leaves --- */

static enum expr_status eval_column(const struct expr *expr, const struct expr_env *env, struct value *ret)
{
    *ret = env->columns[expr->index];
    if (ret->state == VALUE_ABSENT) {
        if (!env->absent_is_null)
            return EXPR_NEEDS_COLUMN;
        *ret = value_null();
    }
    if (expr->padded && ret->state == VALUE_TEXT)
        ret->len = (uint32_t)text_trim_blanks_right(slice_of_value(ret)).len;
    return EXPR_OK;
}

enum expr_status eval_text(const struct expr *expr, struct expr_env *env, struct slice *ret, bool *ret_null)
{
    struct value value;
    enum expr_status status = eval_value(expr, env, &value);

    *ret_null = status != EXPR_OK || value.state != VALUE_TEXT;
    *ret = *ret_null ? (struct slice){"", 0} : slice_of_value(&value);
    return status;
}

/* --- comparing --- */

static enum expr_status order_numbers(struct expr_env *env, const struct value *a, const struct value *b, int *ret)
{
    struct number x, y;
    enum number_status status = number_parse(a->text, a->len, &x);

    if (status != NUMBER_OK)
        return eval_number_status(env, status);
    status = number_parse(b->text, b->len, &y);
    if (status == NUMBER_OK) {
        *ret = number_compare(&x, &y);
        number_done(&y);
    }
    number_done(&x);
    return eval_number_status(env, status);
}

static enum expr_status order_bools(struct expr_env *env, const struct value *a, const struct value *b, int *ret)
{
    bool x, y;

    if (!text_to_bool(slice_of_value(a), &x) || !text_to_bool(slice_of_value(b), &y))
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "not a boolean");
    *ret = (int)x - (int)y;
    return EXPR_OK;
}

enum expr_status eval_order(const struct expr *node, struct expr_env *env, const struct value *a, const struct value *b,
                            int *ret_order)
{
    switch ((enum node_order)node->order) {
    case ORDER_NUMBER: return order_numbers(env, a, b, ret_order);
    case ORDER_BOOL: return order_bools(env, a, b, ret_order);
    case ORDER_TEMPORAL: *ret_order = temporal_compare(slice_of_value(a), slice_of_value(b)); return EXPR_OK;
    case ORDER_TEXT: break;
    }
    *ret_order = text_compare(slice_of_value(a), slice_of_value(b));
    return EXPR_OK;
}

static enum tri tri_of(bool value)
{
    return value ? TRI_TRUE : TRI_FALSE;
}

static bool compare_holds(enum node_compare op, int order)
{
    switch (op) {
    case COMPARE_EQ: return order == 0;
    case COMPARE_NE: return order != 0;
    case COMPARE_LT: return order < 0;
    case COMPARE_LE: return order <= 0;
    case COMPARE_GT: return order > 0;
    case COMPARE_GE: break;
    }
    return order >= 0;
}

static enum expr_status compare_values(const struct expr *expr, struct expr_env *env, enum node_compare op,
                                       const struct value *a, const struct value *b, enum tri *ret)
{
    enum expr_status status;
    int order = 0;

    *ret = TRI_NULL;
    if (a->state == VALUE_NULL || b->state == VALUE_NULL)
        return EXPR_OK;
    if (expr->order == ORDER_TEXT && op <= COMPARE_NE) {
        *ret = tri_of(text_equal(slice_of_value(a), slice_of_value(b)) == (op == COMPARE_EQ));
        return EXPR_OK;
    }
    status = eval_order(expr, env, a, b, &order);
    *ret = tri_of(compare_holds(op, order));
    return status;
}

/* a and b; what one operand alone decides (a NULL of either) does not ask for the other. */
static enum expr_status eval_both(const struct expr *expr, struct expr_env *env, struct value *a, struct value *b)
{
    enum expr_status status = eval_value(expr->args[0], env, a);

    if (status == EXPR_OK)
        status = eval_value(expr->args[1], env, b);
    return status;
}

static enum expr_status eval_compare(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    struct value a, b;
    enum expr_status status = eval_both(expr, env, &a, &b);

    return status == EXPR_OK ? compare_values(expr, env, (enum node_compare)expr->op, &a, &b, ret) : status;
}

static enum expr_status eval_distinct(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    struct value a, b;
    enum expr_status status = eval_both(expr, env, &a, &b);

    if (status != EXPR_OK)
        return status;
    if (a.state == VALUE_NULL || b.state == VALUE_NULL)
        *ret = tri_of(a.state != b.state);
    else
        status = compare_values(expr, env, COMPARE_NE, &a, &b, ret);
    return status;
}

static enum expr_status eval_between(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    struct value of, bound;
    enum tri low, high;
    enum expr_status status = eval_value(expr->args[0], env, &of);

    if (status == EXPR_OK)
        status = eval_value(expr->args[1], env, &bound);
    if (status == EXPR_OK)
        status = compare_values(expr, env, COMPARE_GE, &of, &bound, &low);
    if (status != EXPR_OK || low == TRI_FALSE) {
        *ret = TRI_FALSE;
        return status;
    }
    status = eval_value(expr->args[2], env, &bound);
    if (status == EXPR_OK)
        status = compare_values(expr, env, COMPARE_LE, &of, &bound, &high);
    if (status == EXPR_OK)
        *ret = high == TRI_FALSE ? TRI_FALSE : low == TRI_NULL ? TRI_NULL : high;
    return status;
}

static enum expr_status eval_in(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    struct value of, item;
    enum tri hit, result = TRI_FALSE;
    bool needs = false;
    enum expr_status status = eval_value(expr->args[0], env, &of);

    if (status != EXPR_OK)
        return status;
    for (uint32_t i = 1; i < expr->count; i++) {
        status = eval_value(expr->args[i], env, &item);
        if (status == EXPR_OK)
            status = compare_values(expr, env, COMPARE_EQ, &of, &item, &hit);
        if (status == EXPR_REJECT && !needs)
            return status;
        if (status != EXPR_OK) {
            needs = true;
        } else if (hit == TRI_TRUE) {
            *ret = TRI_TRUE;
            return EXPR_OK;
        } else if (hit == TRI_NULL) {
            result = TRI_NULL;
        }
    }
    *ret = result;
    return needs ? EXPR_NEEDS_COLUMN : EXPR_OK;
}

static enum expr_status eval_like(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    struct value a, b;
    enum expr_status status = eval_both(expr, env, &a, &b);

    *ret = TRI_NULL;
    if (status == EXPR_OK && a.state != VALUE_NULL && b.state != VALUE_NULL)
        *ret = tri_of(text_like(slice_of_value(&a), slice_of_value(&b), expr->fold));
    return status;
}

/* --- logic --- */

static enum expr_status eval_tri(const struct expr *expr, struct expr_env *env, enum tri *ret);

/* `decisive` of any argument is the result, whatever the others are: FALSE of and, TRUE of or. An absent column
 * is asked for only where no other argument decides. */
static enum expr_status eval_chain(const struct expr *expr, struct expr_env *env, enum tri decisive, enum tri *ret)
{
    enum tri result = decisive == TRI_FALSE ? TRI_TRUE : TRI_FALSE, item;
    bool needs = false;

    for (uint32_t i = 0; i < expr->count; i++) {
        enum expr_status status = eval_tri(expr->args[i], env, &item);

        if (status == EXPR_REJECT && !needs)
            return status;
        if (status != EXPR_OK) {
            needs = true;
        } else if (item == decisive) {
            *ret = decisive;
            return EXPR_OK;
        } else if (item == TRI_NULL) {
            result = TRI_NULL;
        }
    }
    *ret = result;
    return needs ? EXPR_NEEDS_COLUMN : EXPR_OK;
}

static enum tri tri_not(enum tri of)
{
    return of == TRI_NULL ? TRI_NULL : of == TRI_TRUE ? TRI_FALSE : TRI_TRUE;
}

static enum expr_status tri_of_value(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    struct value value;
    enum expr_status status = eval_value(expr, env, &value);
    bool truth;

    if (status != EXPR_OK)
        return status;
    *ret = TRI_NULL;
    if (value.state == VALUE_NULL)
        return EXPR_OK;
    if (!text_to_bool(slice_of_value(&value), &truth))
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "not a boolean");
    *ret = tri_of(truth);
    return EXPR_OK;
}

static enum expr_status eval_tri(const struct expr *expr, struct expr_env *env, enum tri *ret)
{
    enum expr_status status;
    struct value value;

    *ret = TRI_NULL;
    switch ((enum node_kind)expr->kind) {
    case NODE_AND: return eval_chain(expr, env, TRI_FALSE, ret);
    case NODE_OR: return eval_chain(expr, env, TRI_TRUE, ret);
    case NODE_NOT:
        status = eval_tri(expr->args[0], env, ret);
        *ret = tri_not(*ret);
        return status;
    case NODE_IS_NULL:
        status = eval_value(expr->args[0], env, &value);
        *ret = tri_of(value.state == VALUE_NULL);
        break;
    case NODE_COMPARE: status = eval_compare(expr, env, ret); break;
    case NODE_IS_DISTINCT: status = eval_distinct(expr, env, ret); break;
    case NODE_IN: status = eval_in(expr, env, ret); break;
    case NODE_BETWEEN: status = eval_between(expr, env, ret); break;
    case NODE_LIKE: status = eval_like(expr, env, ret); break;
    default: return tri_of_value(expr, env, ret);
    }
    if (expr->negated)
        *ret = tri_not(*ret);
    return status;
}

/* --- numbers --- */

static enum expr_status arithmetic(const struct expr *expr, struct expr_env *env, struct number *ret, bool *ret_null)
{
    struct number a, b;
    enum number_status result = NUMBER_OK;
    enum expr_status status = eval_number(expr->args[0], env, &a, ret_null);

    if (status != EXPR_OK || *ret_null)
        return status;
    status = eval_number(expr->args[1], env, &b, ret_null);
    if (status == EXPR_OK && !*ret_null) {
        switch (expr->op) {
        case '+': result = number_add(&a, &b, ret); break;
        case '-': result = number_sub(&a, &b, ret); break;
        case '*': result = number_mul(&a, &b, ret); break;
        case '/': result = number_div(&a, &b, ret); break;
        default: result = number_mod(&a, &b, ret); break;
        }
        number_done(&b);
        status = eval_number_status(env, result);
    }
    number_done(&a);
    return status;
}

enum expr_status eval_number(const struct expr *expr, struct expr_env *env, struct number *ret, bool *ret_null)
{
    struct value value;
    enum expr_status status;

    *ret_null = false;
    if (expr->kind == NODE_ARITHMETIC)
        return arithmetic(expr, env, ret, ret_null);
    if (expr->kind == NODE_NEGATE) {
        status = eval_number(expr->args[0], env, ret, ret_null);
        if (status == EXPR_OK && !*ret_null)
            number_negate(ret);
        return status;
    }
    if (expr->kind == NODE_CONST && expr->has_number) {
        *ret = expr->number;
        return EXPR_OK;
    }
    status = eval_value(expr, env, &value);
    *ret_null = value.state != VALUE_TEXT;
    if (status != EXPR_OK || *ret_null)
        return status;
    return eval_number_status(env, number_parse(value.text, value.len, ret));
}

static enum expr_status number_value(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct number number;
    struct slice text;
    bool null;
    enum expr_status status = eval_number(expr, env, &number, &null);

    *ret = value_null();
    if (status != EXPR_OK || null)
        return status;
    text.text = number_text(&number, env->arena, &text.len);
    number_done(&number);
    *ret = value_slice(text);
    return EXPR_OK;
}

/* "PAT-" and 12 with pad 6: "PAT-000012"; the sign of a negative number stands before the zeros. */
static enum expr_status number_format(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct number number, whole;
    struct slice digits;
    size_t prefix = strlen(expr->name), pad = expr->op > 0 ? (size_t)expr->op : 0, zeros, sign;
    char *text;
    bool null, integer;
    enum expr_status status = eval_number(expr->args[0], env, &number, &null);

    *ret = value_null();
    if (status != EXPR_OK || null)
        return status;
    integer = number_is_integer(&number) && number_round(&number, 0, NUMBER_DOWN, &whole) == NUMBER_OK;
    number_done(&number);
    if (!integer)
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "not a whole number");
    digits.text = number_text(&whole, env->arena, &digits.len);
    number_done(&whole);
    sign = *digits.text == '-';
    zeros = pad > digits.len - sign ? pad - (digits.len - sign) : 0;
    text = arena_alloc(env->arena, prefix + zeros + digits.len + 1);
    memcpy(text, expr->name, prefix);
    memcpy(text + prefix, "-", sign);
    memset(text + prefix + sign, '0', zeros);
    memcpy(text + prefix + sign + zeros, digits.text + sign, digits.len - sign);
    *ret = value_slice((struct slice){text, prefix + zeros + digits.len});
    return EXPR_OK;
}

/* --- other values --- */

static enum expr_status concat(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct slice *parts = arena_alloc(env->arena, expr->count * sizeof *parts + 1);
    size_t len = 0;
    char *text, *out;
    bool null;

    *ret = value_null();
    for (uint32_t i = 0; i < expr->count; i++) {
        enum expr_status status = eval_text(expr->args[i], env, &parts[i], &null);

        if (status != EXPR_OK || null)
            return status;
        len += parts[i].len;
    }
    if (len > VALUE_MAX)
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "longer than 1 GB");
    out = text = arena_alloc(env->arena, len + 1);
    for (uint32_t i = 0; i < expr->count; i++) {
        memcpy(out, parts[i].text, parts[i].len);
        out += parts[i].len;
    }
    *ret = value_slice((struct slice){text, len});
    return EXPR_OK;
}

static enum expr_status coalesce(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    enum expr_status status = EXPR_OK;

    *ret = value_null();
    for (uint32_t i = 0; i < expr->count && status == EXPR_OK && ret->state == VALUE_NULL; i++)
        status = eval_value(expr->args[i], env, ret);
    return status;
}

static enum expr_status empty(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    enum expr_status status = eval_value(expr->args[0], env, ret);

    if (status != EXPR_OK || (ret->state == VALUE_TEXT && ret->len > 0))
        return status;
    *ret = value_null();
    return expr->count > 1 ? eval_value(expr->args[1], env, ret) : EXPR_OK;
}

static enum expr_status case_when(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    uint32_t i = 0;

    for (; i + 1 < expr->count; i += 2) {
        enum tri hit;
        enum expr_status status = eval_tri(expr->args[i], env, &hit);

        if (status != EXPR_OK)
            return status;
        if (hit == TRI_TRUE)
            return eval_value(expr->args[i + 1], env, ret);
    }
    *ret = value_null();
    return i < expr->count ? eval_value(expr->args[i], env, ret) : EXPR_OK;
}

static enum expr_status case_of(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct value of, item;
    uint32_t i = 1;
    enum expr_status status = eval_value(expr->args[0], env, &of);

    for (; status == EXPR_OK && i + 1 < expr->count; i += 2) {
        enum tri hit = TRI_NULL;

        status = eval_value(expr->args[i], env, &item);
        if (status == EXPR_OK)
            status = compare_values(expr, env, COMPARE_EQ, &of, &item, &hit);
        if (status == EXPR_OK && hit == TRI_TRUE)
            return eval_value(expr->args[i + 1], env, ret);
    }
    *ret = value_null();
    return status == EXPR_OK && i < expr->count ? eval_value(expr->args[i], env, ret) : status;
}

static enum expr_status on_error(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    enum expr_status status = eval_value(expr->args[0], env, ret);

    if (status != EXPR_REJECT)
        return status;
    *ret = value_null();
    return expr->count > 1 ? eval_value(expr->args[1], env, ret) : EXPR_OK;
}

static enum expr_status tri_value(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    enum tri tri;
    enum expr_status status = eval_tri(expr, env, &tri);

    *ret = tri == TRI_NULL ? value_null() : value_bool(tri == TRI_TRUE);
    return status;
}

enum expr_status eval_value(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    *ret = value_null();
    switch ((enum node_kind)expr->kind) {
    case NODE_CONST: *ret = expr->value; return EXPR_OK;
    case NODE_COLUMN: return eval_column(expr, env, ret);
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT:
    case NODE_IS_NULL:
    case NODE_COMPARE:
    case NODE_IS_DISTINCT:
    case NODE_IN:
    case NODE_BETWEEN:
    case NODE_LIKE: return tri_value(expr, env, ret);
    case NODE_ARITHMETIC:
    case NODE_NEGATE: return number_value(expr, env, ret);
    case NODE_CONCAT: return concat(expr, env, ret);
    case NODE_COALESCE: return coalesce(expr, env, ret);
    case NODE_EMPTY: return empty(expr, env, ret);
    case NODE_CASE: return case_when(expr, env, ret);
    case NODE_SWITCH: return case_of(expr, env, ret);
    case NODE_CALL: return eval_call(expr, env, ret);
    case NODE_REGEX: return eval_regex(expr, env, ret);
    case NODE_ENUM: return eval_enum(expr, env, ret);
    case NODE_CLASSIFY: return eval_classify(expr, env, ret);
    case NODE_UUID5: return eval_uuid5(expr, env, ret);
    case NODE_PACK: return eval_pack(expr, env, ret);
    case NODE_NUMBER_FORMAT: return number_format(expr, env, ret);
    case NODE_ON_ERROR: return on_error(expr, env, ret);
    case NODE_LOOKUP: return eval_lookup(expr, env, ret);
    case NODE_REJECT: return eval_reject(env, (enum category)expr->op, expr->name);
    case NODE_TOO_DEEP: break;
    }
    return eval_reject(env, CATEGORY_SCHEMA_MISMATCH, "the expression was not resolved");
}

enum expr_status expr_eval(const struct expr *expr, struct expr_env *env, struct value *ret_value)
{
    if (expr->kind == NODE_COLUMN) { /* as it is: ABSENT goes on, char(n) keeps its blanks */
        *ret_value = env->columns[expr->index];
        if (ret_value->state == VALUE_ABSENT && env->absent_is_null)
            *ret_value = value_null();
        return EXPR_OK;
    }
    return eval_value(expr, env, ret_value);
}

enum expr_status expr_test(const struct expr *expr, struct expr_env *env, bool *ret_true)
{
    enum tri tri;
    enum expr_status status = eval_tri(expr, env, &tri);

    *ret_true = status == EXPR_OK && tri == TRI_TRUE;
    return status;
}
