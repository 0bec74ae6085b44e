/* The functions of the text syntax and of `apply:`. Names are SQL's where SQL has the function. */
#include "transform/expr_node.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

static const struct function FUNCTIONS[] = {
    {"trim", FUNCTION_TRIM, 1, 1, "t", EXPR_TEXT},
    {"lower", FUNCTION_LOWER, 1, 1, "t", EXPR_TEXT},
    {"upper", FUNCTION_UPPER, 1, 1, "t", EXPR_TEXT},
    {"initcap", FUNCTION_INITCAP, 1, 1, "t", EXPR_TEXT},
    {"digits", FUNCTION_DIGITS, 1, 1, "t", EXPR_TEXT},
    {"email_norm", FUNCTION_EMAIL_NORM, 1, 1, "t", EXPR_TEXT},
    {"length", FUNCTION_LENGTH, 1, 1, "t", EXPR_NUMBER},
    {"left", FUNCTION_LEFT, 2, 2, "tn", EXPR_TEXT},
    {"right", FUNCTION_RIGHT, 2, 2, "tn", EXPR_TEXT},
    {"substring", FUNCTION_SUBSTRING, 2, 3, "tn", EXPR_TEXT},
    {"replace", FUNCTION_REPLACE, 3, 3, "t", EXPR_TEXT},
    {"split_part", FUNCTION_SPLIT_PART, 3, 3, "ttn", EXPR_TEXT},
    {"lpad", FUNCTION_LPAD, 2, 3, "tnt", EXPR_TEXT},
    {"rpad", FUNCTION_RPAD, 2, 3, "tnt", EXPR_TEXT},
    {"starts_with", FUNCTION_STARTS_WITH, 2, 2, "t", EXPR_BOOL},
    {"nullif", FUNCTION_NULLIF, 2, 2, "a", EXPR_UNTYPED},
    {"abs", FUNCTION_ABS, 1, 1, "n", EXPR_NUMBER},
    {"round", FUNCTION_ROUND, 1, 2, "n", EXPR_NUMBER},
    {"floor", FUNCTION_FLOOR, 1, 1, "n", EXPR_NUMBER},
    {"ceil", FUNCTION_CEIL, 1, 1, "n", EXPR_NUMBER},
    {"ceiling", FUNCTION_CEIL, 1, 1, "n", EXPR_NUMBER},
    {"div", FUNCTION_DIV, 2, 2, "n", EXPR_NUMBER},
    {"greatest", FUNCTION_GREATEST, 1, SIZE_MAX, "a", EXPR_UNTYPED},
    {"least", FUNCTION_LEAST, 1, SIZE_MAX, "a", EXPR_UNTYPED},
    {"json", FUNCTION_JSON, 1, 1, "t", EXPR_JSON},
    {"json_object", FUNCTION_JSON_OBJECT, 1, 1, "t", EXPR_JSON},
    {"json_raw", FUNCTION_JSON_RAW, 1, 1, "t", EXPR_JSON},
    {"json_get", FUNCTION_JSON_GET, 2, SIZE_MAX, "t", EXPR_TEXT},
    {"smallint", FUNCTION_TO_INT2, 1, 1, "a", EXPR_NUMBER},
    {"int2", FUNCTION_TO_INT2, 1, 1, "a", EXPR_NUMBER},
    {"int", FUNCTION_TO_INT4, 1, 1, "a", EXPR_NUMBER},
    {"integer", FUNCTION_TO_INT4, 1, 1, "a", EXPR_NUMBER},
    {"int4", FUNCTION_TO_INT4, 1, 1, "a", EXPR_NUMBER},
    {"bigint", FUNCTION_TO_INT8, 1, 1, "a", EXPR_NUMBER},
    {"int8", FUNCTION_TO_INT8, 1, 1, "a", EXPR_NUMBER},
    {"numeric", FUNCTION_TO_NUMERIC, 1, 1, "a", EXPR_NUMBER},
    {"decimal", FUNCTION_TO_NUMERIC, 1, 1, "a", EXPR_NUMBER},
    {"text", FUNCTION_TO_TEXT, 1, 1, "a", EXPR_TEXT},
    {"boolean", FUNCTION_TO_BOOLEAN, 1, 1, "a", EXPR_BOOL},
    {"bool", FUNCTION_TO_BOOLEAN, 1, 1, "a", EXPR_BOOL},
    {"coalesce", FUNCTION_COALESCE, 1, SIZE_MAX, "a", EXPR_UNTYPED},
    {"concat", FUNCTION_CONCAT, 1, SIZE_MAX, "t", EXPR_TEXT},
    {"regex_match", FUNCTION_REGEX_MATCH, 2, 3, "t", EXPR_BOOL},
    {"regex_replace", FUNCTION_REGEX_REPLACE, 3, 4, "t", EXPR_TEXT},
    {"regex_extract", FUNCTION_REGEX_EXTRACT, 2, 3, "t", EXPR_TEXT},
};

const struct function *function_find(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (strlen(FUNCTIONS[i].name) == len && strncasecmp(FUNCTIONS[i].name, name, len) == 0)
            return &FUNCTIONS[i];
    return NULL;
}

bool expr_function_known(const char *name, size_t *ret_min_args, size_t *ret_max_args)
{
    const struct function *function = function_find(name, strlen(name));

    if (!function)
        return false;
    *ret_min_args = function->min_args;
    *ret_max_args = function->max_args;
    return true;
}

/* The text of a constant argument, or why there is none. */
static int const_text(const struct expr *arg, const char *function, const char *what, const char **ret_text,
                      struct err *reterr)
{
    if (arg->kind != NODE_CONST || !arg->text.text)
        return err_set(reterr, ERR_CONFIG, "%s(): the %s must be a literal or a param", function, what);
    *ret_text = arg->text.text;
    return 0;
}

static int call_regex(struct expr_pool *pool, const struct function *function, struct expr *const *args, size_t count,
                      struct expr **ret_expr, struct err *reterr)
{
    bool replace = function->id == FUNCTION_REGEX_REPLACE;
    size_t flags_at = replace ? 3 : 2;
    const char *pattern = NULL, *replacement = NULL, *flags = "";
    enum expr_regex_kind kind = replace                                  ? EXPR_REGEX_REPLACE
                                : function->id == FUNCTION_REGEX_EXTRACT ? EXPR_REGEX_EXTRACT
                                                                         : EXPR_REGEX_MATCH;

    if (const_text(args[1], function->name, "pattern", &pattern, reterr) < 0)
        return -1;
    if (replace && const_text(args[2], function->name, "replacement", &replacement, reterr) < 0)
        return -1;
    if (count > flags_at && const_text(args[flags_at], function->name, "flag", &flags, reterr) < 0)
        return -1;
    if (strcmp(flags, "") != 0 && strcmp(flags, "i") != 0)
        return err_set(reterr, ERR_CONFIG, "%s(): the only flag is 'i'", function->name);
    return expr_regex(pool, kind, args[0], pattern, *flags == 'i', replacement, ret_expr, reterr);
}

static int check_count(const struct function *function, size_t count, struct err *reterr)
{
    if (count >= function->min_args && count <= function->max_args)
        return 0;
    if (function->min_args == function->max_args)
        return err_set(reterr, ERR_CONFIG, "%s() takes %zu argument%s, not %zu", function->name, function->min_args,
                       function->min_args == 1 ? "" : "s", count);
    if (function->max_args == SIZE_MAX)
        return err_set(reterr, ERR_CONFIG, "%s() takes at least %zu argument%s, not %zu", function->name,
                       function->min_args, function->min_args == 1 ? "" : "s", count);
    return err_set(reterr, ERR_CONFIG, "%s() takes %zu to %zu arguments, not %zu", function->name, function->min_args,
                   function->max_args, count);
}

int expr_call(struct expr_pool *pool, const char *name, struct expr *const *args, size_t count, struct expr **ret_expr,
              struct err *reterr)
{
    const struct function *function = function_find(name, strlen(name));
    struct expr *node;

    if (!function)
        return err_set(reterr, ERR_CONFIG, "there is no function %s()", name);
    if (check_count(function, count, reterr) < 0)
        return -1;
    switch (function->id) {
    case FUNCTION_COALESCE: *ret_expr = expr_coalesce(pool, args, count); return 0;
    case FUNCTION_CONCAT: *ret_expr = expr_concat(pool, args, count); return 0;
    case FUNCTION_REGEX_MATCH:
    case FUNCTION_REGEX_REPLACE:
    case FUNCTION_REGEX_EXTRACT: return call_regex(pool, function, args, count, ret_expr, reterr);
    default: break;
    }
    node = node_new(pool, NODE_CALL, args, count);
    if (node->kind == NODE_CALL)
        node->function = function;
    *ret_expr = node;
    return 0;
}
