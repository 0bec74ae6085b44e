#include "transform/expr_node.h"

#include <stdlib.h>
#include <string.h>

struct expr_pool *expr_pool_new(void)
{
    struct expr_pool *pool = mem_zalloc(1, sizeof *pool);

    arena_init(&pool->arena, 0);
    return pool;
}

void expr_pool_free(struct expr_pool *pool)
{
    if (!pool)
        return;
    for (struct code *code = pool->codes; code; code = code->next)
        pcre2_code_free(code->code);
    arena_done(&pool->arena);
    free(pool);
}

struct slice pool_text(struct expr_pool *pool, const char *text, size_t len)
{
    if (!text)
        return (struct slice){NULL, 0};
    return (struct slice){arena_strndup(&pool->arena, text, len), len};
}

void expr_pool_set_param(struct expr_pool *pool, const char *name, const char *text)
{
    struct param *param = arena_zalloc(&pool->arena, 1, sizeof *param);

    param->name = arena_strdup(&pool->arena, name);
    param->text = text ? arena_strdup(&pool->arena, text) : NULL;
    param->next = pool->params;
    pool->params = param;
}

/* --- nodes --- */

struct expr *node_new(struct expr_pool *pool, enum node_kind kind, struct expr *const *args, size_t count)
{
    struct expr *node = arena_zalloc(&pool->arena, 1, sizeof *node);

    node->kind = (uint8_t)kind;
    node->depth = 1;
    node->pool = pool;
    node->count = (uint32_t)count;
    node->args = count > 0 ? arena_zalloc(&pool->arena, count, sizeof(struct expr *)) : NULL;
    for (size_t i = 0; i < count; i++) {
        node->args[i] = args[i];
        if (args[i]->depth >= node->depth)
            node->depth = (uint16_t)(args[i]->depth + 1);
    }
    if (node->depth > EXPR_MAX_DEPTH) {
        memset(node, 0, sizeof *node);
        node->kind = NODE_TOO_DEEP;
        node->depth = 1;
        node->pool = pool;
    }
    return node;
}

static struct expr *node_one(struct expr_pool *pool, enum node_kind kind, struct expr *of)
{
    return node_new(pool, kind, &of, 1);
}

static struct expr *node_two(struct expr_pool *pool, enum node_kind kind, struct expr *a, struct expr *b)
{
    struct expr *args[] = {a, b};

    return node_new(pool, kind, args, b ? 2 : 1);
}

struct expr *expr_null(struct expr_pool *pool)
{
    struct expr *node = node_new(pool, NODE_CONST, NULL, 0);

    node->value = value_null();
    return node;
}

struct expr *expr_const(struct expr_pool *pool, const char *text, size_t len)
{
    struct expr *node = expr_null(pool);

    node->text = pool_text(pool, text, len);
    node->value = value_slice(node->text);
    return node;
}

struct expr *node_number(struct expr_pool *pool, const char *text, size_t len)
{
    struct expr *node = expr_const(pool, text, len);

    node->op = EXPR_NUMBER;
    return node;
}

struct expr *expr_bool(struct expr_pool *pool, bool value)
{
    struct expr *node = expr_const(pool, value ? "t" : "f", 1);

    node->op = EXPR_BOOL;
    return node;
}

struct expr *expr_column(struct expr_pool *pool, const char *name)
{
    struct expr *node = node_new(pool, NODE_COLUMN, NULL, 0);

    node->name = arena_strdup(&pool->arena, name);
    return node;
}

bool expr_pool_param(const struct expr_pool *pool, const char *name, const char **ret_text)
{
    for (const struct param *param = pool->params; param; param = param->next) {
        if (strcmp(param->name, name) != 0)
            continue;
        *ret_text = param->text;
        return true;
    }
    return false;
}

int expr_param(struct expr_pool *pool, const char *name, struct expr **ret_expr, struct err *reterr)
{
    const char *text;

    if (!expr_pool_param(pool, name, &text))
        return err_set(reterr, ERR_CONFIG, "there is no param \"%s\"", name);
    *ret_expr = text ? expr_const(pool, text, strlen(text)) : expr_null(pool);
    return 0;
}

struct expr *expr_concat(struct expr_pool *pool, struct expr *const *parts, size_t count)
{
    return node_new(pool, NODE_CONCAT, parts, count);
}

struct expr *expr_coalesce(struct expr_pool *pool, struct expr *const *parts, size_t count)
{
    return node_new(pool, NODE_COALESCE, parts, count);
}

struct expr *expr_empty(struct expr_pool *pool, struct expr *of, struct expr *then)
{
    return node_two(pool, NODE_EMPTY, of, then);
}

struct expr *expr_case(struct expr_pool *pool, const struct expr_when *whens, size_t count, struct expr *otherwise)
{
    size_t args_count = 2 * count + (otherwise ? 1 : 0);
    struct expr **args = arena_zalloc(&pool->arena, args_count + 1, sizeof *args);

    for (size_t i = 0; i < count; i++) {
        args[2 * i] = whens[i].when;
        args[2 * i + 1] = whens[i].then;
    }
    if (otherwise)
        args[2 * count] = otherwise;
    return node_new(pool, NODE_CASE, args, args_count);
}

struct expr *expr_not(struct expr_pool *pool, struct expr *of)
{
    return node_one(pool, NODE_NOT, of);
}

struct expr *expr_is_null(struct expr_pool *pool, struct expr *of)
{
    return node_one(pool, NODE_IS_NULL, of);
}

struct expr *expr_uuid5(struct expr_pool *pool, const struct uuid *ns, const char *entity, struct expr *const *parts,
                        size_t count)
{
    struct expr *node = node_new(pool, NODE_UUID5, parts, count);

    if (node->kind == NODE_UUID5) {
        node->ns = *ns;
        node->name = arena_strdup(&pool->arena, entity);
    }
    return node;
}

struct expr *expr_pack(struct expr_pool *pool, const struct expr_pack_item *items, size_t count)
{
    struct expr **args = arena_zalloc(&pool->arena, count + 1, sizeof *args), *node;
    const char **names = arena_zalloc(&pool->arena, count + 1, sizeof *names);

    for (size_t i = 0; i < count; i++) {
        args[i] = items[i].of;
        names[i] = arena_strdup(&pool->arena, items[i].name);
    }
    node = node_new(pool, NODE_PACK, args, count);
    if (node->kind == NODE_PACK)
        node->names = names;
    return node;
}

struct expr *expr_number_format(struct expr_pool *pool, const char *prefix, int pad, struct expr *of)
{
    struct expr *node = node_one(pool, NODE_NUMBER_FORMAT, of);

    node->name = arena_strdup(&pool->arena, prefix ? prefix : "");
    node->op = pad;
    return node;
}

struct expr *expr_on_error(struct expr_pool *pool, struct expr *of, struct expr *fallback)
{
    return node_two(pool, NODE_ON_ERROR, of, fallback);
}

struct expr *expr_reject(struct expr_pool *pool, enum category category, const char *reason)
{
    struct expr *node = node_new(pool, NODE_REJECT, NULL, 0);

    node->op = (int32_t)category;
    node->name = arena_strdup(&pool->arena, reason);
    return node;
}

static struct expr *compare(struct expr_pool *pool, enum node_compare op, struct expr *a, struct expr *b)
{
    struct expr *node = node_two(pool, NODE_COMPARE, a, b);

    node->op = (int32_t)op;
    return node;
}

static struct expr *like(struct expr_pool *pool, bool fold, struct expr *a, struct expr *b)
{
    struct expr *node = node_two(pool, NODE_LIKE, a, b);

    node->fold = fold;
    return node;
}

/* ~ ~* !~ !~*: the pattern is compiled here, once. */
static int match(struct expr_pool *pool, const char *op, struct expr *a, struct expr *b, struct expr **ret_expr,
                 struct err *reterr)
{
    bool negated = *op == '!', fold = op[strlen(op) - 1] == '*';

    if (b->kind != NODE_CONST || !b->text.text)
        return err_set(reterr, ERR_CONFIG, "the pattern after %s must be a literal or a param", op);
    if (expr_regex(pool, EXPR_REGEX_MATCH, a, b->text.text, fold, NULL, ret_expr, reterr) < 0)
        return -1;
    (*ret_expr)->negated = negated;
    return 0;
}

int expr_binary(struct expr_pool *pool, const char *op, struct expr *a, struct expr *b, struct expr **ret_expr,
                struct err *reterr)
{
    static const struct {
        const char *op;
        enum node_compare compare;
    } COMPARES[] = {{"=", COMPARE_EQ},  {"<>", COMPARE_NE}, {"!=", COMPARE_NE}, {"<", COMPARE_LT},
                    {"<=", COMPARE_LE}, {">", COMPARE_GT},  {">=", COMPARE_GE}};

    for (size_t i = 0; i < sizeof COMPARES / sizeof *COMPARES; i++)
        if (strcmp(op, COMPARES[i].op) == 0) {
            *ret_expr = compare(pool, COMPARES[i].compare, a, b);
            return 0;
        }
    if (strlen(op) == 1 && strchr("+-*/%", *op)) {
        *ret_expr = node_two(pool, NODE_ARITHMETIC, a, b);
        (*ret_expr)->op = *op;
    } else if (strcmp(op, "||") == 0) {
        *ret_expr = node_two(pool, NODE_CONCAT, a, b);
    } else if (strcmp(op, "and") == 0) {
        *ret_expr = node_two(pool, NODE_AND, a, b);
    } else if (strcmp(op, "or") == 0) {
        *ret_expr = node_two(pool, NODE_OR, a, b);
    } else if (strcmp(op, "like") == 0 || strcmp(op, "ilike") == 0) {
        *ret_expr = like(pool, *op == 'i', a, b);
    } else if (strcmp(op, "~") == 0 || strcmp(op, "~*") == 0 || strcmp(op, "!~") == 0 || strcmp(op, "!~*") == 0) {
        return match(pool, op, a, b, ret_expr, reterr);
    } else {
        return err_set(reterr, ERR_CONFIG, "there is no operator %s", op);
    }
    return 0;
}

/* --- looking at a tree --- */

enum expr_type expr_result_type(const struct expr *expr)
{
    return (enum expr_type)expr->type;
}

bool expr_is_column(const struct expr *expr, const char **ret_name)
{
    if (expr->kind != NODE_COLUMN)
        return false;
    *ret_name = expr->name;
    return true;
}

bool expr_is_const(const struct expr *expr, const char **ret_text, size_t *ret_len)
{
    if (expr->kind != NODE_CONST)
        return false;
    *ret_text = expr->text.text;
    *ret_len = expr->text.len;
    return true;
}

void expr_each_column(const struct expr *expr, void (*visit)(void *context, const char *name), void *context)
{
    if (expr->kind == NODE_COLUMN)
        visit(context, expr->name);
    for (uint32_t i = 0; i < expr->count; i++)
        expr_each_column(expr->args[i], visit, context);
}

/* --- one canonical text --- */

static void print_slice(struct buf *out, struct slice of)
{
    buf_putc(out, ' ');
    if (of.text)
        buf_put_json_string(out, of.text, of.len);
    else
        buf_puts(out, "null");
}

static void print_text(struct buf *out, const char *text)
{
    print_slice(out, (struct slice){text, text ? strlen(text) : 0});
}

static void print_map(struct buf *out, const struct enum_map *map)
{
    for (size_t i = 0; i < map->count; i++) {
        print_slice(out, map->pairs[i].from);
        print_slice(out, map->pairs[i].to);
    }
}

static void print_rules(struct buf *out, const struct class_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        buf_printf(out, " %d%s", (int)rules->items[i].kind, rules->items[i].fold ? "i" : "");
        print_slice(out, rules->items[i].pattern);
        print_slice(out, rules->items[i].result);
    }
}

static void print_uuid(struct buf *out, const struct uuid *ns)
{
    char text[UUID_TEXT_LEN + 1];

    uuid_format(ns, text);
    print_text(out, text);
}

/* What a node holds beside its arguments. */
static void print_own(const struct expr *expr, struct buf *out)
{
    switch ((enum node_kind)expr->kind) {
    case NODE_CONST: print_slice(out, expr->text); break;
    case NODE_CALL: buf_printf(out, " %s", expr->function->name); break;
    case NODE_REGEX: print_slice(out, expr->pattern); break;
    case NODE_ENUM: print_map(out, expr->map); break;
    case NODE_CLASSIFY: print_rules(out, expr->rules); break;
    case NODE_UUID5: print_uuid(out, &expr->ns); break;
    case NODE_LOOKUP: print_text(out, expr->lookup->table); break;
    default: break;
    }
    if (expr->name)
        print_text(out, expr->name);
}

void expr_print(const struct expr *expr, struct buf *out)
{
    static const char *const NAMES[] = {
        [NODE_CONST] = "const",
        [NODE_COLUMN] = "column",
        [NODE_AND] = "and",
        [NODE_OR] = "or",
        [NODE_NOT] = "not",
        [NODE_IS_NULL] = "is_null",
        [NODE_COMPARE] = "compare",
        [NODE_IS_DISTINCT] = "is_distinct",
        [NODE_IN] = "in",
        [NODE_BETWEEN] = "between",
        [NODE_LIKE] = "like",
        [NODE_ARITHMETIC] = "arithmetic",
        [NODE_NEGATE] = "negate",
        [NODE_CONCAT] = "concat",
        [NODE_COALESCE] = "coalesce",
        [NODE_EMPTY] = "empty",
        [NODE_CASE] = "case",
        [NODE_SWITCH] = "switch",
        [NODE_CALL] = "call",
        [NODE_REGEX] = "regex",
        [NODE_ENUM] = "enum",
        [NODE_CLASSIFY] = "classify",
        [NODE_UUID5] = "uuid5",
        [NODE_PACK] = "pack",
        [NODE_NUMBER_FORMAT] = "number",
        [NODE_ON_ERROR] = "on_error",
        [NODE_REJECT] = "reject",
        [NODE_LOOKUP] = "lookup",
        [NODE_TOO_DEEP] = "too_deep",
    };

    buf_printf(out, "(%s", NAMES[expr->kind]);
    if (expr->op)
        buf_printf(out, " %d", expr->op);
    if (expr->negated)
        buf_puts(out, " not");
    if (expr->fold)
        buf_puts(out, " fold");
    print_own(expr, out);
    for (uint32_t i = 0; i < expr->count; i++) {
        buf_putc(out, ' ');
        if (expr->kind == NODE_PACK) {
            buf_put_json_string(out, expr->names[i], strlen(expr->names[i]));
            buf_putc(out, ' ');
        }
        expr_print(expr->args[i], out);
    }
    buf_putc(out, ')');
}
