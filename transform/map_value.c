/* Value forms: what stands right of a column's name, as YAML -> an expression.
 *
 *     name: {from: name, apply: [trim], empty: {concat: ["Office ", id]}}
 *            └─ base ─┘  └────────── modifiers, inside out ──────────────┘
 *
 * A form has one base word and, around it, modifiers. A form may stand inside another. There, a plain word is
 * a column, a quoted text is a constant (libyaml tells how a scalar was written); plain numbers, true, false
 * and null are constants.
 */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LIST_MAX 1000

static const char *const modifier_words[] = {"apply", "enum", "else", "empty", "null", "default", "on_error", "type"};

bool map_words_check(struct loader *l, const struct yaml_node *node, const char *what, const char *const *words,
                     size_t count)
{
    bool good = true;
    if (node->kind != YAML_MAP) {
        issue_error(l->issues, node, "%s must be a mapping, key: value", what);
        return false;
    }
    for (size_t i = 0; i < node->count; i++) {
        const char *key = node->keys[i]->text;
        bool known = false;
        for (size_t j = 0; j < count && !known; j++)
            known = strcmp(words[j], key) == 0;
        if (known)
            continue;
        good = false;
        const char *near = map_suggest(key, words, count);
        if (near)
            issue_error(l->issues, node->items[i], "\"%s\" is no word of %s; did you mean \"%s\"?", key, what, near);
        else
            issue_error(l->issues, node->items[i], "\"%s\" is no word of %s", key, what);
    }
    return good;
}

const char *map_scalar_text(struct loader *l, const struct yaml_node *node, const char *what)
{
    if (node->kind != YAML_SCALAR || yaml_is_null(node) || !*node->text) {
        issue_error(l->issues, node, "%s must stand here", what);
        return NULL;
    }
    return node->text;
}

const char **map_text_list(struct loader *l, const struct yaml_node *node, const char *what, size_t *ret_count)
{
    size_t count = node->kind == YAML_LIST ? node->count : 1;
    const char **texts = arena_zalloc(&l->map->arena, count + 1, sizeof *texts);
    *ret_count = 0;
    if (count == 0)
        issue_error(l->issues, node, "%s must stand here; the list is empty", what);
    for (size_t i = 0; i < count; i++) {
        const char *text = map_scalar_text(l, node->kind == YAML_LIST ? node->items[i] : node, what);
        if (text)
            texts[(*ret_count)++] = text;
    }
    return texts;
}

bool map_bool_of(struct loader *l, const struct yaml_node *node, bool otherwise)
{
    bool value = otherwise;
    if (node && !yaml_is_bool(node, &value))
        issue_error(l->issues, node, "true or false must stand here");
    return value;
}

struct expr *map_null(struct loader *l)
{
    return expr_null(l->map->pool);
}

/* The result of a constructor that checks; after a failure an issue and NULL. */
struct expr *map_checked(struct loader *l, const struct yaml_node *node, int status, struct expr *expr,
                         const struct err *err)
{
    if (status == 0)
        return expr;
    issue_error(l->issues, node, "%s", err->message);
    return map_null(l);
}

static bool is_number(const char *text)
{
    if (*text == '-' || *text == '+')
        text++;
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    return digits > 0 && !*rest;
}

/* A constant as written; plain null is SQL NULL. */
const char *map_const_text(struct loader *l, const struct yaml_node *node)
{
    if (node->kind != YAML_SCALAR) {
        issue_error(l->issues, node, "a constant must be a text, a number, true, false or null");
        return NULL;
    }
    return yaml_is_null(node) ? NULL : node->text;
}

struct expr *map_const(struct loader *l, const struct yaml_node *node)
{
    const char *text = map_const_text(l, node);
    return text ? expr_const(l->map->pool, text, strlen(text)) : map_null(l);
}

static struct expr *column_of(struct loader *l, const struct yaml_node *node)
{
    const char *name = map_scalar_text(l, node, "a source column's name");
    return name ? expr_named(l->map->pool, name) : map_null(l);
}

static struct expr *text_expr(struct loader *l, const struct yaml_node *node)
{
    const char *text = map_scalar_text(l, node, "an expression");
    struct expr *expr = NULL;
    struct err err = {0};
    if (!text)
        return map_null(l);
    int status = expr_parse(l->map->pool, text, &expr, &err);
    return map_checked(l, node, status, expr, &err);
}

struct expr *map_condition(struct loader *l, const struct yaml_node *node)
{
    struct expr *expr = text_expr(l, node);
    struct err err = {0};
    if (expr_resolve_condition(expr, NULL, &err) < 0)
        issue_error(l->issues, node, "%s", err.message);
    return expr;
}

/* A scalar inside another form. */
static struct expr *scalar_nested(struct loader *l, const struct yaml_node *node)
{
    bool truth;
    size_t len = strlen(node->text);
    if (node->quoted && len > 1 && node->text[0] == '\'' && node->text[len - 1] == '\'')
        issue_warning(l->issues, node, "the single quotes are part of the text; if they should not, leave them out");
    if (node->quoted || is_number(node->text))
        return expr_const(l->map->pool, node->text, len);
    if (yaml_is_null(node))
        return map_null(l);
    if (yaml_is_bool(node, &truth))
        return expr_bool(l->map->pool, truth);
    return expr_named(l->map->pool, node->text);
}

struct expr *map_nested_value(struct loader *l, const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR ? scalar_nested(l, node) : map_value(l, node, NULL);
}

struct expr *map_operand(struct loader *l, const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR ? column_of(l, node) : map_value(l, node, NULL);
}

static struct expr **nested_list(struct loader *l, const struct yaml_node *node, size_t *ret_count)
{
    *ret_count = 0;
    if (node->kind != YAML_LIST || node->count == 0 || node->count > LIST_MAX) {
        issue_error(l->issues, node, "a list of one or more values must stand here");
        return NULL;
    }
    struct expr **parts = arena_zalloc(&l->map->arena, node->count, sizeof(struct expr *));
    for (size_t i = 0; i < node->count; i++)
        parts[i] = map_nested_value(l, node->items[i]);
    *ret_count = node->count;
    return parts;
}

/* What stands under `word` in `node`, or an issue. */
static const struct yaml_node *need(struct loader *l, const struct yaml_node *node, const char *word)
{
    const struct yaml_node *value = yaml_get(node, word);
    if (!value)
        issue_error(l->issues, node, "\"%s:\" is missing here", word);
    return value;
}

static bool whole_number(struct loader *l, const struct yaml_node *node, int min, int max, int *ret_value)
{
    char *end;
    long value = node->kind == YAML_SCALAR ? strtol(node->text, &end, 10) : -1;
    if (node->kind != YAML_SCALAR || end == node->text || *end || value < min || value > max) {
        issue_error(l->issues, node, "a whole number from %d to %d must stand here", min, max);
        return false;
    }
    *ret_value = (int)value;
    return true;
}

/* --- base words --- */

static struct expr *concat_of(struct loader *l, const struct yaml_node *node, bool coalesce)
{
    size_t count;
    struct expr **parts = nested_list(l, node, &count);
    if (!parts)
        return map_null(l);
    return coalesce ? expr_coalesce(l->map->pool, parts, count) : expr_concat(l->map->pool, parts, count);
}

static struct expr *case_of(struct loader *l, const struct yaml_node *list, const struct yaml_node *otherwise)
{
    static const char *const words[] = {"when", "then"};
    if (list->kind != YAML_LIST || list->count == 0 || list->count > LIST_MAX) {
        issue_error(l->issues, list, "a list of {when: condition, then: value} must stand here");
        return map_null(l);
    }
    struct expr_when *whens = arena_zalloc(&l->map->arena, list->count, sizeof *whens);
    for (size_t i = 0; i < list->count; i++) {
        const struct yaml_node *item = list->items[i];
        const struct yaml_node *when = NULL, *then = NULL;
        if (map_words_check(l, item, "an entry of case", words, COUNT(words))) {
            when = need(l, item, "when");
            then = need(l, item, "then");
        }
        whens[i].when = when ? map_condition(l, when) : expr_bool(l->map->pool, false);
        whens[i].then = then ? map_nested_value(l, then) : map_null(l);
    }
    return expr_case(l->map->pool, whens, list->count, otherwise ? map_nested_value(l, otherwise) : NULL);
}

static struct expr *left_of(struct loader *l, const struct yaml_node *node)
{
    static const char *const words[] = {"of", "chars"};
    int chars;
    if (!map_words_check(l, node, "left", words, COUNT(words)))
        return map_null(l);
    const struct yaml_node *of = need(l, node, "of"), *count = need(l, node, "chars");
    if (!of || !count || !whole_number(l, count, 0, 1000000, &chars))
        return map_null(l);
    struct expr *args[] = {map_operand(l, of), expr_const(l->map->pool, count->text, strlen(count->text))};
    struct expr *expr = NULL;
    struct err err = {0};
    int status = expr_call(l->map->pool, "left", args, 2, &expr, &err);
    return map_checked(l, node, status, expr, &err);
}

static struct expr *regex_of(struct loader *l, const struct yaml_node *node)
{
    static const char *const words[] = {"of", "match", "replace", "extract", "with", "ignore_case"};
    static const struct {
        const char *word;
        enum expr_regex_kind kind;
    } kinds[] = {{"match", EXPR_REGEX_MATCH}, {"replace", EXPR_REGEX_REPLACE}, {"extract", EXPR_REGEX_EXTRACT}};
    if (!map_words_check(l, node, "regex", words, COUNT(words)))
        return map_null(l);
    const struct yaml_node *of = need(l, node, "of"), *pattern = NULL, *with = yaml_get(node, "with");
    enum expr_regex_kind kind = EXPR_REGEX_MATCH;
    size_t given = 0;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const struct yaml_node *here = yaml_get(node, kinds[i].word);
        given += here != NULL;
        if (here) {
            pattern = here;
            kind = kinds[i].kind;
        }
    }
    if (given != 1 || !pattern)
        issue_error(l->issues, node, "regex needs exactly one of match, replace and extract");
    else if ((kind == EXPR_REGEX_REPLACE) != (with != NULL))
        issue_error(l->issues, node, "\"with:\" goes with replace, and replace needs it");
    const char *text = pattern ? map_scalar_text(l, pattern, "a regular expression") : NULL;
    if (!of || !text || given != 1 || (kind == EXPR_REGEX_REPLACE) != (with != NULL))
        return map_null(l);
    const char *replacement = with ? map_const_text(l, with) : NULL;
    struct expr *expr = NULL;
    struct err err = {0};
    int status =
        expr_regex(l->map->pool, kind, map_operand(l, of), text, map_bool_of(l, yaml_get(node, "ignore_case"), false),
                   with && !replacement ? "" : replacement, &expr, &err);
    return map_checked(l, pattern, status, expr, &err);
}

static struct expr *number_of(struct loader *l, const struct yaml_node *node)
{
    static const char *const words[] = {"prefix", "pad", "of"};
    int pad = 0;
    if (!map_words_check(l, node, "number", words, COUNT(words)))
        return map_null(l);
    const struct yaml_node *of = need(l, node, "of"), *digits = yaml_get(node, "pad");
    const struct yaml_node *prefix = yaml_get(node, "prefix");
    if (!of || (digits && !whole_number(l, digits, 0, 100, &pad)))
        return map_null(l);
    const char *text = prefix ? map_const_text(l, prefix) : NULL;
    return expr_number_format(l->map->pool, text ? text : "", pad, map_operand(l, of));
}

/* Numbers inside a pack are JSON numbers, so they are read as the expression language reads them. */
static struct expr *pack_value(struct loader *l, const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR && !node->quoted && is_number(node->text))
        return text_expr(l, node);
    return map_nested_value(l, node);
}

static struct expr *pack_of(struct loader *l, const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR || node->count == 0 || node->count > LIST_MAX) {
        issue_error(l->issues, node, "pack needs a list of columns, or a mapping name: value");
        return map_null(l);
    }
    struct expr_pack_item *items = arena_zalloc(&l->map->arena, node->count, sizeof *items);
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_MAP) {
            items[i] = (struct expr_pack_item){node->keys[i]->text, pack_value(l, node->items[i])};
            continue;
        }
        const char *name = map_scalar_text(l, node->items[i], "a source column's name");
        items[i] = (struct expr_pack_item){name ? name : "", name ? expr_named(l->map->pool, name) : map_null(l)};
    }
    return expr_pack(l->map->pool, items, node->count);
}

/* --- classify --- */

struct rule_list {
    struct expr_rule *items;
    size_t count;
};

static void add_patterns(struct loader *l, const struct yaml_node *item, enum expr_rule_kind kind,
                         const struct yaml_node *patterns, bool ignore_case, struct rule_list *list)
{
    size_t count;
    const char **texts = map_text_list(l, patterns, "a text to look for, or a list of them,", &count);
    const struct yaml_node *then = yaml_get(item, "then");
    const char *result = then ? map_const_text(l, then) : NULL;
    if (list->count + count > LIST_MAX) {
        issue_error(l->issues, item, "classify has more than %d patterns", LIST_MAX);
        return;
    }
    for (size_t i = 0; i < count; i++)
        list->items[list->count++] = (struct expr_rule){kind, ignore_case, texts[i], result};
}

static void classify_entry(struct loader *l, const struct yaml_node *item, bool ignore_case, struct rule_list *list)
{
    static const char *const words[] = {"contains", "equals", "regex", "then", "ignore_case"};
    static const enum expr_rule_kind kinds[] = {EXPR_RULE_CONTAINS, EXPR_RULE_EQUALS, EXPR_RULE_REGEX};
    size_t given = 0;
    if (!map_words_check(l, item, "a rule of classify", words, COUNT(words)) || !need(l, item, "then"))
        return;
    ignore_case = map_bool_of(l, yaml_get(item, "ignore_case"), ignore_case);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const struct yaml_node *patterns = yaml_get(item, words[i]);
        if (patterns && given++ == 0)
            add_patterns(l, item, kinds[i], patterns, ignore_case, list);
    }
    if (given != 1)
        issue_error(l->issues, item, "a rule of classify needs exactly one of contains, equals and regex");
}

static struct expr *classify_of(struct loader *l, const struct yaml_node *node)
{
    static const char *const words[] = {"of", "rules", "else", "ignore_case"};
    if (!map_words_check(l, node, "classify", words, COUNT(words)))
        return map_null(l);
    const struct yaml_node *of = need(l, node, "of"), *rules = need(l, node, "rules");
    const struct yaml_node *otherwise = yaml_get(node, "else");
    if (!of || !rules)
        return map_null(l);
    if (rules->kind != YAML_LIST || rules->count == 0) {
        issue_error(l->issues, rules, "a list of {contains: text, then: result} must stand here");
        return map_null(l);
    }
    struct rule_list list = {.items = arena_zalloc(&l->map->arena, LIST_MAX, sizeof(struct expr_rule))};
    bool ignore_case = map_bool_of(l, yaml_get(node, "ignore_case"), false);
    for (size_t i = 0; i < rules->count; i++)
        classify_entry(l, rules->items[i], ignore_case, &list);
    struct expr *expr = NULL;
    struct err err = {0};
    int status = expr_classify(l->map->pool, map_operand(l, of), list.items, list.count,
                               otherwise ? map_const(l, otherwise) : NULL, &expr, &err);
    return map_checked(l, rules, status, expr, &err);
}

/* --- references and derived keys --- */

static struct expr *uuid_of(struct loader *l, const struct yaml_node *node, struct column_spec *column)
{
    const struct yaml_node *entity = yaml_get(node, "uuid"), *of = need(l, node, "of");
    const char *name = map_scalar_text(l, entity, "an entity's name");
    l->needs_namespace = true;
    if (name && strchr(name, ':'))
        issue_error(l->issues, entity, "an entity's name must not hold ':'");
    if (!name || !of)
        return map_null(l);
    size_t count = of->kind == YAML_LIST ? of->count : 1;
    if (count == 0 || count > 32) {
        issue_error(l->issues, of, "a column, or a list of up to 32, must stand here");
        return map_null(l);
    }
    struct expr **parts = arena_zalloc(&l->map->arena, count, sizeof(struct expr *));
    for (size_t i = 0; i < count; i++)
        parts[i] = map_operand(l, of->kind == YAML_LIST ? of->items[i] : of);
    column->entity = name;
    column->part_count = count;
    return expr_uuid5(l->map->pool, &l->map->ns, name, parts, count);
}

struct expr *map_key_value(struct loader *l, const struct yaml_node *node, struct column_spec *column,
                           bool owned_by_default)
{
    static const char *const words[] = {"uuid", "of", "reference"};
    if (node->kind != YAML_MAP || !yaml_get(node, "uuid"))
        return map_value(l, node, NULL);
    if (!map_words_check(l, node, "a key", words, COUNT(words)))
        return map_null(l);
    struct expr *expr = uuid_of(l, node, column);
    column->owned = !map_bool_of(l, yaml_get(node, "reference"), !owned_by_default);
    column->required = column->owned ? REQUIRED_DEFAULT : REQUIRED_YES;
    return expr;
}

static struct expr *reference_of(struct loader *l, const struct yaml_node *node, struct column_spec *column)
{
    static const char *const words[] = {"uuid", "of", "required", "when"};
    struct expr_pool *pool = l->map->pool;
    if (!column) {
        issue_error(l->issues, node, "a reference {uuid: …} must stand directly under its column");
        return map_null(l);
    }
    if (!map_words_check(l, node, "a reference", words, COUNT(words)))
        return map_null(l);
    const struct yaml_node *required = yaml_get(node, "required"), *when = yaml_get(node, "when");
    struct expr *expr = uuid_of(l, node, column);
    if (required)
        column->required = map_bool_of(l, required, false) ? REQUIRED_YES : REQUIRED_NO;
    if (column->required == REQUIRED_YES) {
        struct expr *parts[] = {
            expr, expr_reject(pool, CATEGORY_ORPHAN_REFERENCE, "a required reference is NULL on the source")};
        expr = expr_coalesce(pool, parts, 2);
    }
    if (when) {
        struct expr_when only = {map_condition(l, when), expr};
        column->conditional = true;
        expr = expr_case(pool, &only, 1, NULL);
    }
    return expr;
}

/* --- the form --- */

enum base { FROM, CONST, PARAM, CONCAT, COALESCE, CASE, EXPR, LEFT, REGEX, NUMBER, CLASSIFY, PACK, UUID, BASES };
static const char *const base_words[BASES] = {"from", "const", "param",  "concat",   "coalesce", "case", "expr",
                                              "left", "regex", "number", "classify", "pack",     "uuid"};

void map_no_param(struct loader *l, const struct yaml_node *node, const char *name)
{
    const struct yaml_node *params = yaml_get(l->map->root, "params");
    const char *near = NULL;

    for (size_t i = 0; params && params->kind == YAML_MAP && i < params->count && !near; i++) {
        const char *candidate = params->keys[i]->text;
        near = map_suggest(name, &candidate, 1);
    }
    issue_error(l->issues, node, "there is no param \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
                near ? near : "", near ? "\"?" : "");
}

static struct expr *param_of(struct loader *l, const struct yaml_node *node)
{
    const char *name = map_scalar_text(l, node, "a param's name");
    struct expr *expr = NULL;
    struct err err = {0};
    if (!name)
        return map_null(l);
    if (expr_param(l->map->pool, name, &expr, &err) == 0)
        return expr;
    map_no_param(l, node, name);
    return map_null(l);
}

static struct expr *base_of(struct loader *l, enum base base, const struct yaml_node *node, struct column_spec *column)
{
    const struct yaml_node *value = yaml_get(node, base_words[base]);
    switch (base) {
    case FROM: return map_operand(l, value);
    case CONST: return map_const(l, value);
    case PARAM: return param_of(l, value);
    case CONCAT: return concat_of(l, value, false);
    case COALESCE: return concat_of(l, value, true);
    case CASE: return case_of(l, value, yaml_get(node, "else"));
    case EXPR: return text_expr(l, value);
    case LEFT: return left_of(l, value);
    case REGEX: return regex_of(l, value);
    case NUMBER: return number_of(l, value);
    case CLASSIFY: return classify_of(l, value);
    case PACK: return pack_of(l, value);
    case UUID: return reference_of(l, node, column);
    case BASES: break;
    }
    return map_null(l);
}

/* The one base word of a form, or BASES and an issue. */
static enum base find_base(struct loader *l, const struct yaml_node *node)
{
    enum base found = BASES;
    for (enum base b = 0; b < BASES; b++) {
        if (!yaml_get(node, base_words[b]))
            continue;
        if (found != BASES) {
            issue_error(l->issues, node, "\"%s\" and \"%s\" cannot stand side by side", base_words[found],
                        base_words[b]);
            return BASES;
        }
        found = b;
    }
    if (found == BASES && node->count > 0) {
        const char *near = map_suggest(node->keys[0]->text, base_words, BASES);
        issue_error(l->issues, node, "no word here says where the value comes from (from, const, uuid, expr …)%s%s%s",
                    near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    } else if (found == BASES) {
        issue_error(l->issues, node, "a value must stand here");
    }
    return found;
}

static bool form_words_check(struct loader *l, const struct yaml_node *node, enum base base)
{
    const char *words[1 + COUNT(modifier_words)] = {base_words[base]};
    if (base == UUID) /* checks its own */
        return true;
    memcpy(&words[1], modifier_words, sizeof modifier_words);
    bool modifiers = base != CONST && base != PACK;
    return map_words_check(l, node, base_words[base], words, modifiers ? COUNT(words) : 1);
}

struct expr *map_value(struct loader *l, const struct yaml_node *node, struct column_spec *column)
{
    if (node->kind == YAML_LIST) {
        issue_error(l->issues, node, "a value cannot be a list; concat, coalesce and pack take one");
        return map_null(l);
    }
    if (node->kind == YAML_SCALAR) {
        bool truth;
        if (!node->quoted && (yaml_is_null(node) || yaml_is_bool(node, &truth) || is_number(node->text))) {
            issue_error(l->issues, node, "a source column's name must stand here; write {const: …} for a constant");
            return map_null(l);
        }
        return column_of(l, node);
    }
    enum base base = find_base(l, node);
    if (base == BASES || !form_words_check(l, node, base))
        return map_null(l);
    struct expr *expr = base_of(l, base, node, column);
    if (base == UUID || base == CONST || base == PACK)
        return expr;
    return map_modify(l, node, expr, base == CASE);
}
