/* What compares a text with patterns: regular expressions, enum maps, ordered text rules. Patterns are compiled when
 * the mapping is loaded; a match is bounded, so that no value can hold the engine up.
 */
#include "transform/expr_node.h"

#include <stdlib.h>
#include <string.h>

#define MATCH_LIMIT 1000000
#define DEPTH_LIMIT 10000
#define HEAP_LIMIT_KIB 16384
#define PATTERN_MAX 16384
#define REPLACED_MAX ((size_t)64 << 20)

/* --- compiling --- */

static int compile(struct expr_pool *pool, struct slice pattern, bool fold, pcre2_code **ret_code, struct err *reterr)
{
    uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (fold ? (uint32_t)PCRE2_CASELESS : 0);
    struct code *kept;
    PCRE2_SIZE offset;
    PCRE2_UCHAR message[128];
    pcre2_code *code;
    int error;

    if (pattern.len > PATTERN_MAX)
        return err_set(reterr, ERR_CONFIG, "the regular expression is longer than %d bytes", PATTERN_MAX);
    code = pcre2_compile((PCRE2_SPTR)pattern.text, pattern.len, options, &error, &offset, NULL);
    if (!code) {
        pcre2_get_error_message(error, message, sizeof message);
        return err_set(reterr, ERR_CONFIG, "the regular expression is wrong at character %zu: %s",
                       text_length(pattern.text, offset) + 1, (const char *)message);
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* where it cannot, the interpreter does */
    kept = arena_zalloc(&pool->arena, 1, sizeof *kept);
    kept->code = code;
    kept->next = pool->codes;
    pool->codes = kept;
    *ret_code = code;
    return 0;
}

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool group_known(const pcre2_code *code, const char *name, size_t len)
{
    char copy[64], *end;
    uint32_t groups = 0;
    unsigned long number;

    if (len == 0 || len >= sizeof copy)
        return false;
    memcpy(copy, name, len);
    copy[len] = '\0';
    number = strtoul(copy, &end, 10);
    if (*end != '\0')
        return pcre2_substring_number_from_name(code, (PCRE2_SPTR)copy) > 0;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    return number <= groups;
}

/* A wrong reference would show only when a row matches; here it shows when the mapping is loaded. */
static int check_replacement(const pcre2_code *code, const char *text, struct err *reterr)
{
    for (const char *p = strchr(text, '$'); p; p = strchr(p, '$')) {
        const char *name = ++p;
        bool braces = *p == '{';

        if (*p == '$') {
            p++;
            continue;
        }
        if (braces)
            name = ++p;
        while (is_word(*p))
            p++;
        if (!group_known(code, name, (size_t)(p - name)) || (braces && *p != '}'))
            return err_set(reterr, ERR_CONFIG,
                           "the replacement refers to a group that the pattern does not have (write $$ for a dollar)");
    }
    return 0;
}

int expr_regex(struct expr_pool *pool, enum expr_regex_kind kind, struct expr *of, const char *pattern,
               bool ignore_case, const char *replacement, struct expr **ret_expr, struct err *reterr)
{
    struct slice copy = pool_text(pool, pattern, strlen(pattern));
    struct expr *node;
    pcre2_code *code;

    if (compile(pool, copy, ignore_case, &code, reterr) < 0)
        return -1;
    if (kind == EXPR_REGEX_REPLACE && check_replacement(code, replacement ? replacement : "", reterr) < 0)
        return -1;
    node = node_new(pool, NODE_REGEX, &of, 1);
    node->op = (int32_t)kind;
    node->fold = ignore_case;
    node->pattern = copy;
    if (kind == EXPR_REGEX_REPLACE)
        node->name = arena_strdup(&pool->arena, replacement ? replacement : "");
    if (node->kind == NODE_REGEX)
        node->code = code;
    *ret_expr = node;
    return 0;
}

static int pair_order(const void *a, const void *b)
{
    const struct enum_pair *x = a, *y = b;

    return text_compare(x->from, y->from);
}

struct expr *expr_enum(struct expr_pool *pool, struct expr *of, const struct expr_enum_entry *entries, size_t count,
                       enum expr_enum_else otherwise_kind, struct expr *otherwise)
{
    struct expr *args[] = {of, otherwise};
    struct expr *node = node_new(pool, NODE_ENUM, args, otherwise_kind == EXPR_ELSE_EXPR ? 2 : 1);
    struct enum_map *map = arena_zalloc(&pool->arena, 1, sizeof *map);

    map->pairs = arena_zalloc(&pool->arena, count + 1, sizeof *map->pairs);
    for (size_t i = 0; i < count; i++) {
        struct enum_pair pair = {
            pool_text(pool, entries[i].from, strlen(entries[i].from)),
            pool_text(pool, entries[i].to, entries[i].to ? strlen(entries[i].to) : 0),
        };
        size_t at = 0;

        while (at < map->count && !text_equal(map->pairs[at].from, pair.from))
            at++;
        if (at == map->count)
            map->pairs[map->count++] = pair;
    }
    qsort(map->pairs, map->count, sizeof *map->pairs, pair_order);
    node->op = (int32_t)otherwise_kind;
    if (node->kind == NODE_ENUM)
        node->map = map;
    return node;
}

int expr_classify(struct expr_pool *pool, struct expr *of, const struct expr_rule *rules, size_t count,
                  struct expr *otherwise, struct expr **ret_expr, struct err *reterr)
{
    struct expr *args[] = {of, otherwise};
    struct expr *node = node_new(pool, NODE_CLASSIFY, args, otherwise ? 2 : 1);
    struct class_rules *copy = arena_zalloc(&pool->arena, 1, sizeof *copy);

    copy->items = arena_zalloc(&pool->arena, count + 1, sizeof *copy->items);
    copy->count = count;
    for (size_t i = 0; i < count; i++) {
        struct class_rule *item = &copy->items[i];

        item->kind = rules[i].kind;
        item->fold = rules[i].ignore_case;
        item->pattern = pool_text(pool, rules[i].pattern, strlen(rules[i].pattern));
        item->result = pool_text(pool, rules[i].result, rules[i].result ? strlen(rules[i].result) : 0);
        if (item->kind == EXPR_RULE_REGEX && compile(pool, item->pattern, item->fold, &item->code, reterr) < 0)
            return -1;
    }
    if (node->kind == NODE_CLASSIFY)
        node->rules = copy;
    *ret_expr = node;
    return 0;
}

/* --- matching --- */

static pcre2_match_context *limits_new(void)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);

    if (context) {
        pcre2_set_match_limit(context, MATCH_LIMIT);
        pcre2_set_depth_limit(context, DEPTH_LIMIT);
        pcre2_set_heap_limit(context, HEAP_LIMIT_KIB);
    }
    return context;
}

/* pcre2_match's result; a pattern too deep for the compiled code's stack is tried again by the interpreter. */
static int run(const pcre2_code *code, struct slice of, pcre2_match_data *data)
{
    pcre2_match_context *limits = limits_new();
    int result = pcre2_match(code, (PCRE2_SPTR)of.text, of.len, 0, 0, data, limits);

    if (result == PCRE2_ERROR_JIT_STACKLIMIT)
        result = pcre2_match(code, (PCRE2_SPTR)of.text, of.len, 0, PCRE2_NO_JIT, data, limits);
    pcre2_match_context_free(limits);
    return result;
}

static enum expr_status match_failed(struct expr_env *env, int result)
{
    if (result <= PCRE2_ERROR_UTF8_ERR1 && result >= PCRE2_ERROR_UTF8_ERR21)
        return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "not valid UTF-8");
    return eval_reject(env, CATEGORY_VALIDATION_FAILURE, "the regular expression reached its limits on the value");
}

static enum expr_status matches(const pcre2_code *code, struct slice of, struct expr_env *env, bool *ret)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int result = data ? run(code, of, data) : PCRE2_ERROR_NOMEMORY;

    pcre2_match_data_free(data);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH)
        return match_failed(env, result);
    *ret = result >= 0;
    return EXPR_OK;
}

static enum expr_status extract(const pcre2_code *code, struct slice of, struct expr_env *env, struct value *ret)
{
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    int result = data ? run(code, of, data) : PCRE2_ERROR_NOMEMORY;
    const PCRE2_SIZE *ends;
    uint32_t groups = 0;

    *ret = value_null();
    if (result >= 0) {
        pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
        ends = pcre2_get_ovector_pointer(data) + (groups > 0 ? 2 : 0);
        if ((groups == 0 || result >= 2) && ends[0] != PCRE2_UNSET && ends[0] <= ends[1])
            *ret = value_slice((struct slice){of.text + ends[0], ends[1] - ends[0]});
    }
    pcre2_match_data_free(data);
    return result >= 0 || result == PCRE2_ERROR_NOMATCH ? EXPR_OK : match_failed(env, result);
}

static enum expr_status replace(const struct expr *expr, struct slice of, struct expr_env *env, struct value *ret)
{
    uint32_t options = PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_UNSET_EMPTY | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH;
    pcre2_match_context *limits = limits_new();
    size_t room = of.len + of.len / 2 + 64;
    PCRE2_SIZE len;
    char *text;
    int result;

    for (int round = 0;; round++) {
        len = room;
        text = arena_alloc(env->arena, room);
        result = pcre2_substitute(expr->code, (PCRE2_SPTR)of.text, of.len, 0, options, NULL, limits,
                                  (PCRE2_SPTR)expr->name, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)text, &len);
        if (result == PCRE2_ERROR_JIT_STACKLIMIT && !(options & PCRE2_NO_JIT))
            options |= PCRE2_NO_JIT;
        else if (result == PCRE2_ERROR_NOMEMORY && len > room && len <= REPLACED_MAX)
            room = len;
        else
            break;
        if (round == 2)
            break;
    }
    pcre2_match_context_free(limits);
    if (result < 0)
        return match_failed(env, result);
    *ret = result == 0 ? value_slice(of) : value_slice((struct slice){text, len});
    return EXPR_OK;
}

enum expr_status eval_regex(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct slice of;
    enum expr_status status;
    bool null, hit = false;

    status = eval_text(expr->args[0], env, &of, &null);
    if (status != EXPR_OK || null) {
        *ret = value_null();
        return status;
    }
    switch ((enum expr_regex_kind)expr->op) {
    case EXPR_REGEX_REPLACE: return replace(expr, of, env, ret);
    case EXPR_REGEX_EXTRACT: return extract(expr->code, of, env, ret);
    case EXPR_REGEX_MATCH: break;
    }
    status = matches(expr->code, of, env, &hit);
    *ret = value_bool(hit != expr->negated);
    return status;
}

/* --- enum --- */

static const struct enum_pair *map_find(const struct enum_map *map, struct slice from)
{
    struct enum_pair key = {.from = from};

    return map->count > 0 ? bsearch(&key, map->pairs, map->count, sizeof *map->pairs, pair_order) : NULL;
}

/* The value's text as it stands, else as the mapping may have it written: 1.00 as 1, t as true. */
static const struct enum_pair *map_look_up(const struct expr *expr, struct slice of, struct arena *arena)
{
    const struct enum_pair *hit = map_find(expr->map, of);
    struct number number, whole;

    if (hit)
        return hit;
    if (expr->args[0]->type == EXPR_BOOL && of.len == 1)
        return map_find(expr->map, *of.text == 't' ? (struct slice){"true", 4} : (struct slice){"false", 5});
    if (expr->args[0]->type != EXPR_NUMBER || number_parse(of.text, of.len, &number) != NUMBER_OK)
        return NULL;
    if (number_is_integer(&number) && number_round(&number, 0, NUMBER_DOWN, &whole) == NUMBER_OK) {
        struct slice text;

        text.text = number_text(&whole, arena, &text.len);
        hit = map_find(expr->map, text);
        number_done(&whole);
    }
    number_done(&number);
    return hit;
}

enum expr_status eval_enum(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    const struct enum_pair *pair;
    struct value of;
    enum expr_status status = eval_value(expr->args[0], env, &of);

    *ret = of;
    if (status != EXPR_OK || of.state == VALUE_NULL)
        return status;
    pair = map_look_up(expr, slice_of_value(&of), env->arena);
    if (pair) {
        *ret = pair->to.text ? value_slice(pair->to) : value_null();
        return EXPR_OK;
    }
    switch ((enum expr_enum_else)expr->op) {
    case EXPR_ELSE_EXPR: return eval_value(expr->args[1], env, ret);
    case EXPR_ELSE_KEEP: return EXPR_OK;
    case EXPR_ELSE_REJECT: break;
    }
    return eval_reject(env, CATEGORY_AMBIGUOUS_VALUE, "the value is not in the enum");
}

/* --- classify --- */

static enum expr_status rule_hits(const struct class_rule *rule, struct slice of, struct expr_env *env, bool *ret)
{
    switch (rule->kind) {
    case EXPR_RULE_CONTAINS:
        *ret = rule->fold ? text_contains_ascii(of, rule->pattern) : text_contains(of, rule->pattern);
        return EXPR_OK;
    case EXPR_RULE_EQUALS:
        *ret = rule->fold ? text_equal_ascii(of, rule->pattern) : text_equal(of, rule->pattern);
        return EXPR_OK;
    case EXPR_RULE_REGEX: break;
    }
    return matches(rule->code, of, env, ret);
}

enum expr_status eval_classify(const struct expr *expr, struct expr_env *env, struct value *ret)
{
    struct slice of;
    bool null;
    enum expr_status status = eval_text(expr->args[0], env, &of, &null);

    if (status != EXPR_OK)
        return status;
    for (size_t i = 0; !null && i < expr->rules->count; i++) {
        const struct class_rule *rule = &expr->rules->items[i];
        bool hit = false;

        status = rule_hits(rule, of, env, &hit);
        if (status != EXPR_OK)
            return status;
        if (hit) {
            *ret = rule->result.text ? value_slice(rule->result) : value_null();
            return EXPR_OK;
        }
    }
    *ret = value_null();
    return expr->count > 1 ? eval_value(expr->args[1], env, ret) : EXPR_OK;
}
