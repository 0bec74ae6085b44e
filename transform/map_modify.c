/* The modifiers of a value form, applied from the inside out:
 *
 *     base -> apply -> (null:, empty: decide, else enum) -> type -> on_error
 */
#include "transform/map_internal.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct expr *apply_one(struct loader *l, const struct yaml_node *item, struct expr *of)
{
    struct expr *args[8] = {of};
    size_t count = 1;
    const char *name = NULL;
    if (item->kind == YAML_SCALAR)
        name = map_scalar_text(l, item, "a function's name");
    else if (item->kind == YAML_MAP && item->count == 1)
        name = item->keys[0]->text;
    else
        issue_error(l->issues, item, "a function's name, or {name: argument}, must stand here");
    if (!name)
        return of;
    if (item->kind == YAML_MAP) {
        const struct yaml_node *given = item->items[0];
        size_t n = given->kind == YAML_LIST ? given->count : 1;
        for (size_t i = 0; i < n && count < COUNT(args); i++)
            args[count++] = map_nested_value(l, given->kind == YAML_LIST ? given->items[i] : given);
    }
    static const char *const functions[] = {
        "trim",        "lower",         "upper",         "initcap",     "digits",     "email_norm", "length",
        "left",        "right",         "substring",     "replace",     "split_part", "lpad",       "rpad",
        "nullif",      "coalesce",      "concat",        "abs",         "round",      "floor",      "ceil",
        "greatest",    "least",         "json",          "json_object", "json_raw",   "json_get",   "regex_match",
        "starts_with", "regex_replace", "regex_extract", "int",         "numeric",    "text",       "boolean"};
    size_t min_args, max_args;
    if (!expr_function_known(name, &min_args, &max_args)) {
        const char *near = map_suggest(name, functions, COUNT(functions));
        issue_error(l->issues, item, "\"%s\" is no function%s%s%s", name, near ? "; did you mean \"" : "",
                    near ? near : "", near ? "\"?" : "");
        return of;
    }
    struct expr *expr = NULL;
    struct err err = {0};
    int status = expr_call(l->map->pool, name, args, count, &expr, &err);
    return map_checked(l, item, status, expr, &err);
}

static struct expr *apply_all(struct loader *l, const struct yaml_node *apply, struct expr *of)
{
    if (apply->kind != YAML_LIST)
        return apply_one(l, apply, of);
    for (size_t i = 0; i < apply->count; i++)
        of = apply_one(l, apply->items[i], of);
    return of;
}

static struct expr *enum_of(struct loader *l, const struct yaml_node *table, const struct yaml_node *otherwise,
                            struct expr *of)
{
    if (table->kind != YAML_MAP || table->count == 0) {
        issue_error(l->issues, table, "a mapping code: text must stand here");
        return of;
    }
    struct expr_enum_entry *entries = arena_zalloc(&l->map->arena, table->count, sizeof *entries);
    for (size_t i = 0; i < table->count; i++)
        entries[i] = (struct expr_enum_entry){table->keys[i]->text, map_const_text(l, table->items[i])};
    bool plain = otherwise && otherwise->kind == YAML_SCALAR && !otherwise->quoted;
    if (!otherwise || (plain && strcmp(otherwise->text, "reject") == 0))
        return expr_enum(l->map->pool, of, entries, table->count, EXPR_ELSE_REJECT, NULL);
    if (plain && strcmp(otherwise->text, "keep") == 0)
        return expr_enum(l->map->pool, of, entries, table->count, EXPR_ELSE_KEEP, NULL);
    struct expr *value = otherwise->kind == YAML_SCALAR ? map_const(l, otherwise) : map_value(l, otherwise, NULL);
    return expr_enum(l->map->pool, of, entries, table->count, EXPR_ELSE_EXPR, value);
}

/* `null:` and `empty:` decide on the value before enum sees it, and what they give is final. */
static struct expr *replace_missing(struct loader *l, const struct yaml_node *node, struct expr *of,
                                    struct expr *otherwise)
{
    struct expr_pool *pool = l->map->pool;
    const struct yaml_node *null = yaml_get(node, "null"), *by_default = yaml_get(node, "default");
    const struct yaml_node *empty = yaml_get(node, "empty");
    struct expr_when whens[2];
    size_t count = 0;
    if (null && by_default)
        issue_error(l->issues, by_default, "null and default are two words for one thing; write one");
    if (!null)
        null = by_default;
    if (!null && !empty)
        return otherwise;
    if (of == otherwise && !null)
        return expr_empty(pool, of, map_nested_value(l, empty));
    if (null)
        whens[count++] = (struct expr_when){expr_is_null(pool, of), map_nested_value(l, null)};
    if (empty)
        whens[count++] =
            (struct expr_when){expr_is_null(pool, expr_empty(pool, of, map_null(l))), map_nested_value(l, empty)};
    return expr_case(pool, whens, count, otherwise);
}

static struct expr *cast_to(struct loader *l, const struct yaml_node *type, struct expr *of)
{
    static const char *const types[] = {"int", "numeric", "text", "boolean", "json"};
    const char *name = map_scalar_text(l, type, "a type");
    for (size_t i = 0; name && i < COUNT(types); i++)
        if (strcmp(name, types[i]) == 0)
            return apply_one(l, type, of);
    if (name)
        issue_error(l->issues, type, "the types are int, numeric, text, boolean and json");
    return of;
}

static struct expr *on_error_of(struct loader *l, const struct yaml_node *word, struct expr *base, struct expr *of)
{
    if (yaml_is_null(word))
        return expr_on_error(l->map->pool, of, NULL);
    const char *text = map_scalar_text(l, word, "quarantine, null or keep_raw");
    if (text && strcmp(text, "keep_raw") == 0) {
        struct expr *raw = NULL;
        struct err err = {0};
        int status = expr_call(l->map->pool, "json_raw", &base, 1, &raw, &err);
        return expr_on_error(l->map->pool, of, map_checked(l, word, status, raw, &err));
    }
    if (text && strcmp(text, "quarantine") != 0)
        issue_error(l->issues, word, "on_error is quarantine, null or keep_raw");
    return of;
}

struct expr *map_modify(struct loader *l, const struct yaml_node *node, struct expr *base, bool has_else)
{
    const struct yaml_node *apply = yaml_get(node, "apply"), *table = yaml_get(node, "enum");
    const struct yaml_node *otherwise = yaml_get(node, "else"), *type = yaml_get(node, "type");
    const struct yaml_node *on_error = yaml_get(node, "on_error");
    struct expr *of = apply ? apply_all(l, apply, base) : base;
    struct expr *result = of;
    if (table && has_else)
        issue_error(l->issues, table, "enum cannot stand beside case, whose \"else:\" it would share; nest one");
    else if (table)
        result = enum_of(l, table, otherwise, of);
    else if (otherwise && !has_else)
        issue_error(l->issues, otherwise, "\"else:\" goes with enum or case");
    result = replace_missing(l, node, of, result);
    if (type)
        result = cast_to(l, type, result);
    return on_error ? on_error_of(l, on_error, base, result) : result;
}
