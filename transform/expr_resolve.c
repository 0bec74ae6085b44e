/* Names to indexes, and the static type of every node: what is compared as a number, which literal is read as what.
 *
 * Bottom up, one pass. A literal has no type until a neighbour gives it one; a node made of such literals alone stays
 * untyped and is read when it is evaluated.
 */
#include "transform/expr_node.h"

#include <string.h>

static const char *type_name(enum expr_type type)
{
    switch (type) {
    case EXPR_UNTYPED: return "a literal";
    case EXPR_TEXT: return "text";
    case EXPR_NUMBER: return "a number";
    case EXPR_BOOL: return "a boolean";
    case EXPR_JSON: return "JSON";
    case EXPR_TEMPORAL: return "a date or timestamp";
    case EXPR_OTHER: break;
    }
    return "a value of another type";
}

/* "column x" or the type, to name an operand in a message. */
static int mismatch(const struct expr *node, const char *what, struct err *reterr)
{
    if (node->kind == NODE_COLUMN)
        return err_set(reterr, ERR_CONFIG, "column \"%s\" is %s, %s", node->name, type_name((enum expr_type)node->type),
                       what);
    return err_set(reterr, ERR_CONFIG, "%s stands where it cannot: %s", type_name((enum expr_type)node->type), what);
}

/* --- literals --- */

static void const_reset(struct expr *node)
{
    node->type = (uint8_t)node->op;
    node->value = node->text.text ? value_slice(node->text) : value_null();
    node->has_number = false;
    if (node->op == EXPR_NUMBER && number_parse(node->text.text, node->text.len, &node->number) == NUMBER_OK) {
        struct slice text;

        text.text = number_text(&node->number, &node->pool->arena, &text.len); /* 1e3 is 1000, -0 is 0 */
        node->value = value_slice(text);
        node->has_number = !node->number.is_big;
        number_done(&node->number);
    }
}

static bool const_as_number(struct expr *node)
{
    struct number number;

    if (number_parse(node->text.text, node->text.len, &number) != NUMBER_OK)
        return false;
    node->has_number = !number.is_big;
    if (node->has_number)
        node->number = number;
    number_done(&number);
    return true;
}

/* Reads a literal as its neighbour's type; false where it is none of that type. */
static bool const_coerce(struct expr *node, enum expr_type type, const char *base_type)
{
    struct slice text;
    bool truth;

    if (!node->text.text)
        return true;
    switch (type) {
    case EXPR_NUMBER:
        if (!const_as_number(node))
            return false;
        break;
    case EXPR_BOOL:
        if (!text_to_bool(node->text, &truth))
            return false;
        node->value = value_bool(truth);
        break;
    case EXPR_TEMPORAL:
        if (base_type && !temporal_literal(node->text, base_type, &node->pool->arena, &text))
            return false;
        if (base_type)
            node->value = value_slice(text);
        break;
    case EXPR_OTHER:
        if (base_type && strcmp(base_type, "uuid") == 0)
            node->value = value_slice(text_lower(node->text, &node->pool->arena));
        break;
    case EXPR_UNTYPED:
    case EXPR_TEXT:
    case EXPR_JSON: break;
    }
    node->type = (uint8_t)type;
    return true;
}

/* A literal given a type; another node must have it already, or none. */
static int want(struct expr *node, enum expr_type type, const char *base_type, const char *what, struct err *reterr)
{
    if (node->kind == NODE_CONST && node->type == EXPR_UNTYPED) {
        if (const_coerce(node, type, base_type))
            return 0;
        if (type == EXPR_TEMPORAL)
            return err_set(reterr, ERR_CONFIG, "'%s' is not a %s as the server writes it, in UTC", node->text.text,
                           base_type);
        return err_set(reterr, ERR_CONFIG, "'%s' is not %s", node->text.text, type_name(type));
    }
    if (node->type == EXPR_UNTYPED || node->type == (uint8_t)type)
        return 0;
    return mismatch(node, what, reterr);
}

/* --- operands that are compared --- */

static bool text_like_type(uint8_t type)
{
    return type == EXPR_TEXT || type == EXPR_OTHER || type == EXPR_JSON;
}

static int comparable(const struct expr *a, const struct expr *b, struct err *reterr)
{
    if (a->type != b->type && !(text_like_type(a->type) && text_like_type(b->type)))
        return err_set(reterr, ERR_CONFIG, "%s is compared with %s: cast one of them, as in x::numeric or x::text",
                       type_name((enum expr_type)a->type), type_name((enum expr_type)b->type));
    if (a->type == EXPR_TEMPORAL && a->base_type && b->base_type && strcmp(a->base_type, b->base_type) != 0)
        return err_set(reterr, ERR_CONFIG, "a %s is compared with a %s", a->base_type, b->base_type);
    return 0;
}

static enum node_order order_of(uint8_t type)
{
    switch ((enum expr_type)type) {
    case EXPR_NUMBER: return ORDER_NUMBER;
    case EXPR_BOOL: return ORDER_BOOL;
    case EXPR_TEMPORAL: return ORDER_TEMPORAL;
    default: return ORDER_TEXT;
    }
}

/* Gives the node its order, and the literals among the operands their neighbours' type. */
static int resolve_operands(struct expr *node, struct expr *const *operands, size_t count, bool ordered,
                            struct err *reterr)
{
    const struct expr *model = NULL;

    node->order = ORDER_TEXT;
    for (size_t i = 0; i < count; i++) {
        if (operands[i]->type == EXPR_UNTYPED)
            continue;
        if (model && comparable(model, operands[i], reterr) < 0)
            return -1;
        if (ordered && (operands[i]->type == EXPR_OTHER || operands[i]->type == EXPR_JSON))
            return mismatch(operands[i], "which has no order here: only = and <> compare it", reterr);
        model = operands[i];
    }
    if (!model)
        return 0;
    node->order = (uint8_t)order_of(model->type);
    for (size_t i = 0; i < count; i++)
        if (operands[i]->type == EXPR_UNTYPED &&
            want(operands[i], (enum expr_type)model->type, model->base_type, "", reterr) < 0)
            return -1;
    return 0;
}

/* --- results of branches --- */

/* Branches of one type give that type. Mixed ones give text: what they are then is the target column's to judge. */
static void merge_type(struct expr *node, const struct expr *branch, bool *seen)
{
    if (branch->kind == NODE_REJECT || (branch->kind == NODE_CONST && !branch->text.text))
        return;
    if (!*seen) {
        node->type = branch->type;
        node->base_type = branch->base_type;
        *seen = true;
    } else if (branch->type != EXPR_UNTYPED && branch->type != node->type) {
        node->type = node->type == EXPR_UNTYPED ? branch->type : (uint8_t)EXPR_TEXT;
        node->base_type = branch->base_type;
    }
}

/* A literal that does not read as the other branches' type makes text of the whole. */
static void settle_branch(struct expr *node, struct expr *branch)
{
    if (branch->kind == NODE_CONST && branch->type == EXPR_UNTYPED && node->type != EXPR_UNTYPED &&
        !const_coerce(branch, (enum expr_type)node->type, node->base_type))
        node->type = EXPR_TEXT;
}

static bool is_branch(const struct expr *node, uint32_t i)
{
    switch ((enum node_kind)node->kind) {
    case NODE_CASE: return i % 2 == 1 || i + 1 == node->count;
    case NODE_SWITCH: return (i > 0 && i % 2 == 0) || (i > 0 && i + 1 == node->count);
    default: return true;
    }
}

static void resolve_branches(struct expr *node)
{
    bool seen = false;

    node->type = EXPR_UNTYPED;
    node->base_type = NULL;
    for (uint32_t i = 0; i < node->count; i++)
        if (is_branch(node, i))
            merge_type(node, node->args[i], &seen);
    for (uint32_t i = 0; i < node->count; i++)
        if (is_branch(node, i))
            settle_branch(node, node->args[i]);
}

/* --- kinds of nodes --- */

static bool is_temporal(const char *base_type)
{
    return strcmp(base_type, "date") == 0 || strcmp(base_type, "timestamp without time zone") == 0 ||
           strcmp(base_type, "timestamp with time zone") == 0;
}

static enum expr_type column_type(const struct column *column)
{
    static const char *const TEXTS[] = {"text", "character varying", "character", "name", "citext", "\"char\""};
    const char *base = column->base_type, *dot = strrchr(base, '.');

    if (column->kind == COLUMN_NUMBER)
        return EXPR_NUMBER;
    if (column->kind == COLUMN_BOOL)
        return EXPR_BOOL;
    if (strcmp(base, "json") == 0 || strcmp(base, "jsonb") == 0)
        return EXPR_JSON;
    if (is_temporal(base))
        return EXPR_TEMPORAL;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        if (strcmp(base, TEXTS[i]) == 0 || (dot && strcmp(dot + 1, TEXTS[i]) == 0))
            return EXPR_TEXT;
    /* A domain is written as text by the source, whatever it is over; its base type says what the text is. */
    if (strcmp(base, "integer") == 0 || strcmp(base, "bigint") == 0 || strcmp(base, "smallint") == 0 ||
        strcmp(base, "numeric") == 0 || strcmp(base, "real") == 0 || strcmp(base, "double precision") == 0)
        return EXPR_NUMBER;
    return strcmp(base, "boolean") == 0 ? EXPR_BOOL : EXPR_OTHER;
}

static int resolve_column(struct expr *node, const struct relation *relation, struct err *reterr)
{
    int index;

    node->type = EXPR_UNTYPED;
    node->base_type = NULL;
    if (!relation)
        return 0;
    index = relation_column(relation, node->name);
    if (index < 0)
        return err_set(reterr, ERR_CONFIG, "table %s.%s has no column \"%s\"", relation->schema, relation->name,
                       node->name);
    node->index = (uint32_t)index;
    node->base_type = relation->columns[index].base_type;
    node->type = (uint8_t)column_type(&relation->columns[index]);
    node->padded = strcmp(node->base_type, "character") == 0;
    return 0;
}

/* Each part of the key must be compared with the mirror's as what it is. */
static int resolve_lookup_key(struct expr *node, struct err *reterr)
{
    const struct relation *mirror = node->lookup->relation;

    for (uint32_t i = 0; i < node->count && i < mirror->pk_count; i++) {
        const struct column *key = &mirror->columns[mirror->pk[i]];
        struct expr model = {.type = (uint8_t)column_type(key), .base_type = key->base_type};
        if (node->args[i]->type == EXPR_UNTYPED
                ? want(node->args[i], (enum expr_type)model.type, key->base_type, "", reterr) < 0
                : comparable(&model, node->args[i], reterr) < 0)
            return err_wrap(reterr, "look-up %s by \"%s\"", node->lookup->alias, key->name);
    }
    return 0;
}

static int resolve_lookup(struct expr *node, const struct relation *relation, struct err *reterr)
{
    const struct relation *mirror = node->lookup->relation;
    int index;

    node->type = EXPR_UNTYPED;
    node->base_type = NULL;
    if (!relation || !mirror)
        return 0;
    index = relation_column(mirror, node->name);
    if (index < 0)
        return err_set(reterr, ERR_CONFIG, "the mirror %s, which %s looks up, has no column \"%s\"", mirror->name,
                       node->lookup->alias, node->name);
    node->index = (uint32_t)index;
    node->base_type = mirror->columns[index].base_type;
    node->type = (uint8_t)column_type(&mirror->columns[index]);
    node->padded = strcmp(node->base_type, "character") == 0;
    return resolve_lookup_key(node, reterr);
}

/* All arguments from `first` on must be of the type. */
static int resolve_all(struct expr *node, enum expr_type type, enum expr_type gives, const char *what,
                       struct err *reterr)
{
    node->type = (uint8_t)gives;
    for (uint32_t i = 0; i < node->count; i++)
        if (want(node->args[i], type, NULL, what, reterr) < 0)
            return -1;
    return 0;
}

static int resolve_case(struct expr *node, struct err *reterr)
{
    for (uint32_t i = 0; i + 1 < node->count; i += 2)
        if (want(node->args[i], EXPR_BOOL, NULL, "and no condition after when", reterr) < 0)
            return -1;
    resolve_branches(node);
    return 0;
}

static int resolve_switch(struct expr *node, struct err *reterr)
{
    struct expr **operands = arena_zalloc(&node->pool->arena, node->count, sizeof *operands);
    size_t count = 0;

    operands[count++] = node->args[0];
    for (uint32_t i = 1; i + 1 < node->count; i += 2)
        operands[count++] = node->args[i];
    if (resolve_operands(node, operands, count, false, reterr) < 0)
        return -1;
    resolve_branches(node);
    return 0;
}

static int resolve_call(struct expr *node, struct err *reterr)
{
    const struct function *function = node->function;
    size_t letters = strlen(function->takes);

    node->type = (uint8_t)function->gives;
    for (uint32_t i = 0; i < node->count; i++) {
        char letter = function->takes[i < letters ? i : letters - 1];

        if (letter == 'n' && want(node->args[i], EXPR_NUMBER, NULL, "and a number is needed", reterr) < 0)
            return err_wrap(reterr, "%s()", function->name);
    }
    if (function->id == FUNCTION_NULLIF || function->id == FUNCTION_GREATEST || function->id == FUNCTION_LEAST) {
        if (resolve_operands(node, node->args, node->count, function->id != FUNCTION_NULLIF, reterr) < 0)
            return err_wrap(reterr, "%s()", function->name);
        resolve_branches(node);
        if (function->id == FUNCTION_NULLIF)
            node->type = node->args[0]->type;
    }
    return 0;
}

static int resolve_node(struct expr *node, const struct relation *relation, struct err *reterr)
{
    switch ((enum node_kind)node->kind) {
    case NODE_CONST: const_reset(node); return 0;
    case NODE_COLUMN: return resolve_column(node, relation, reterr);
    case NODE_AND:
    case NODE_OR:
    case NODE_NOT: return resolve_all(node, EXPR_BOOL, EXPR_BOOL, "and no condition", reterr);
    case NODE_COMPARE:
    case NODE_BETWEEN:
    case NODE_IN:
    case NODE_IS_DISTINCT:
        node->type = EXPR_BOOL;
        return resolve_operands(node, node->args, node->count,
                                node->kind == NODE_BETWEEN || (node->kind == NODE_COMPARE && node->op >= COMPARE_LT),
                                reterr);
    case NODE_IS_NULL:
    case NODE_LIKE: node->type = EXPR_BOOL; return 0;
    case NODE_REGEX: node->type = node->op == EXPR_REGEX_MATCH ? EXPR_BOOL : EXPR_TEXT; return 0;
    case NODE_ARITHMETIC:
    case NODE_NEGATE: return resolve_all(node, EXPR_NUMBER, EXPR_NUMBER, "and cannot be computed with", reterr);
    case NODE_NUMBER_FORMAT: return resolve_all(node, EXPR_NUMBER, EXPR_TEXT, "and cannot be numbered by", reterr);
    case NODE_CONCAT: node->type = EXPR_TEXT; return 0;
    case NODE_COALESCE:
    case NODE_EMPTY:
    case NODE_ON_ERROR: resolve_branches(node); return 0;
    case NODE_CASE: return resolve_case(node, reterr);
    case NODE_SWITCH: return resolve_switch(node, reterr);
    case NODE_CALL: return resolve_call(node, reterr);
    case NODE_UUID5: node->type = EXPR_OTHER; return 0;
    case NODE_PACK: node->type = EXPR_JSON; return 0;
    case NODE_LOOKUP: return resolve_lookup(node, relation, reterr);
    case NODE_ENUM:
    case NODE_CLASSIFY:
    case NODE_REJECT: node->type = EXPR_UNTYPED; return 0;
    case NODE_TOO_DEEP: break;
    }
    return err_set(reterr, ERR_CONFIG, "the expression is nested deeper than %d", EXPR_MAX_DEPTH);
}

int expr_resolve(struct expr *expr, const struct relation *relation, struct err *reterr)
{
    for (uint32_t i = 0; i < expr->count; i++)
        if (expr_resolve(expr->args[i], relation, reterr) < 0)
            return -1;
    return resolve_node(expr, relation, reterr);
}

int expr_resolve_condition(struct expr *expr, const struct relation *relation, struct err *reterr)
{
    if (expr_resolve(expr, relation, reterr) < 0)
        return -1;
    return want(expr, EXPR_BOOL, NULL, "and no condition", reterr);
}
