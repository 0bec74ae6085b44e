/* Columns of mirrors: "alias.column" in an expression. Who holds the mirror's rows stands in lookup.h. */
#include "transform/expr_node.h"
#include "transform/lookup.h"

#include <string.h>

void expr_pool_set_lookups(struct expr_pool *pool, const struct expr_lookup *lookups, size_t count)
{
    pool->lookups = lookups;
    pool->lookup_count = count;
}

const struct expr_lookup *pool_lookup(const struct expr_pool *pool, const char *alias, size_t len)
{
    for (size_t i = 0; i < pool->lookup_count; i++)
        if (strlen(pool->lookups[i].alias) == len && memcmp(pool->lookups[i].alias, alias, len) == 0)
            return &pool->lookups[i];
    return NULL;
}

struct expr *node_lookup(struct expr_pool *pool, const struct expr_lookup *lookup, const char *column)
{
    struct expr *node = node_new(pool, NODE_LOOKUP, lookup->by, lookup->key_count);

    if (node->kind != NODE_LOOKUP)
        return node;
    node->lookup = lookup;
    node->name = arena_strdup(&pool->arena, column);
    return node;
}

struct expr *expr_named(struct expr_pool *pool, const char *name)
{
    const char *dot = strchr(name, '.');
    const struct expr_lookup *lookup = dot ? pool_lookup(pool, name, (size_t)(dot - name)) : NULL;

    return lookup ? node_lookup(pool, lookup, dot + 1) : expr_column(pool, name);
}

const char *expr_column_type(const struct expr *expr)
{
    return expr->kind == NODE_COLUMN ? expr->base_type : NULL;
}

bool expr_looks_up(const struct expr *expr)
{
    bool found = expr->kind == NODE_LOOKUP;

    for (uint32_t i = 0; i < expr->count && !found; i++)
        found = expr_looks_up(expr->args[i]);
    return found;
}

/* 1 and the key's values; 0 where one of them is NULL. */
static enum expr_status eval_key(const struct expr *expr, struct expr_env *env, struct value *key, bool *ret_null)
{
    *ret_null = false;
    for (uint32_t i = 0; i < expr->count && !*ret_null; i++) {
        enum expr_status status = eval_value(expr->args[i], env, &key[i]);
        if (status != EXPR_OK)
            return status;
        *ret_null = key[i].state != VALUE_TEXT;
    }
    return EXPR_OK;
}

enum expr_status eval_lookup(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct value *key = arena_zalloc(env->arena, expr->count + 1, sizeof *key);
    const struct value *row = NULL;
    bool null;
    enum expr_status status = eval_key(expr, env, key, &null);
    int found;

    *ret = value_null();
    if (status != EXPR_OK || null)
        return status;
    found = env->lookups && env->lookups->find && expr->lookup->mirror
                ? env->lookups->find(env->lookups->context, expr->lookup->mirror, key, env->arena, &row)
                : -1;
    if (found < 0)
        return eval_reject(env, CATEGORY_TRANSIENT, "the mirror of a look-up is not loaded");
    if (found > 0 && row[expr->index].state == VALUE_TEXT)
        *ret = row[expr->index];
    if (expr->padded && ret->state == VALUE_TEXT)
        ret->len = (uint32_t)text_trim_blanks_right(slice_of_value(ret)).len;
    return EXPR_OK;
}
