/* The tree itself, for the files expr_*.c only.
 *
 *     expr_build.c    pool, constructors, printing      expr_eval.c      columns, logic, comparison, arithmetic
 *     expr_parse.c    text -> constructors              expr_call.c      functions
 *     expr_function.c the table of functions            expr_json.c      pack, JSON, identities
 *     expr_resolve.c  names -> indexes, static types    expr_pattern.c   regular expressions, enum, classify
 *     expr_temporal.c dates as text                      expr_lookup.c    columns of mirrors
 */
#ifndef PGREKEY_TRANSFORM_EXPR_NODE_H
#define PGREKEY_TRANSFORM_EXPR_NODE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "transform/expr.h"
#include "transform/number.h"
#include "transform/text.h"

#define EXPR_MAX_DEPTH 200 /* bounds every recursion over a tree */

enum node_kind {
    NODE_CONST,  /* value; SQL NULL too */
    NODE_COLUMN, /* name, index */
    NODE_AND,    /* any number of arguments */
    NODE_OR,
    NODE_NOT,
    NODE_IS_NULL,
    NODE_COMPARE,     /* op: enum node_compare */
    NODE_IS_DISTINCT, /* of two; NULLs are equal */
    NODE_IN,          /* the first among the rest */
    NODE_BETWEEN,     /* of, low, high */
    NODE_LIKE,        /* fold: ilike */
    NODE_ARITHMETIC,  /* op: a character of "+-*\/%" */
    NODE_NEGATE,
    NODE_CONCAT,
    NODE_COALESCE,
    NODE_EMPTY,         /* the second where the first is NULL or '' */
    NODE_CASE,          /* when, then, when, then …, else where the count is odd */
    NODE_SWITCH,        /* of, value, then, value, then …, else where the count is even */
    NODE_CALL,          /* function */
    NODE_REGEX,         /* op: enum expr_regex_kind; pattern; name: the replacement */
    NODE_ENUM,          /* map; the second argument: otherwise */
    NODE_CLASSIFY,      /* rules; the second argument: otherwise */
    NODE_UUID5,         /* name: entity; ns */
    NODE_PACK,          /* names, a name an argument */
    NODE_NUMBER_FORMAT, /* name: prefix; op: pad */
    NODE_ON_ERROR,      /* the second where the first rejects */
    NODE_REJECT,        /* op: category; name: reason */
    NODE_LOOKUP,        /* lookup; name: column, index: of the mirror; the arguments: its key */
    NODE_TOO_DEEP,      /* what a tree beyond EXPR_MAX_DEPTH is cut down to */
};

enum node_compare { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };

/* How two operands are compared, from their static types. */
enum node_order { ORDER_TEXT, ORDER_NUMBER, ORDER_BOOL, ORDER_TEMPORAL };

enum function_id {
    FUNCTION_TRIM,
    FUNCTION_LOWER,
    FUNCTION_UPPER,
    FUNCTION_INITCAP,
    FUNCTION_DIGITS,
    FUNCTION_EMAIL_NORM,
    FUNCTION_LENGTH,
    FUNCTION_LEFT,
    FUNCTION_RIGHT,
    FUNCTION_SUBSTRING,
    FUNCTION_REPLACE,
    FUNCTION_SPLIT_PART,
    FUNCTION_LPAD,
    FUNCTION_RPAD,
    FUNCTION_STARTS_WITH,
    FUNCTION_NULLIF,
    FUNCTION_ABS,
    FUNCTION_ROUND,
    FUNCTION_FLOOR,
    FUNCTION_CEIL,
    FUNCTION_DIV,
    FUNCTION_GREATEST,
    FUNCTION_LEAST,
    FUNCTION_JSON,
    FUNCTION_JSON_OBJECT,
    FUNCTION_JSON_RAW,
    FUNCTION_JSON_GET,
    FUNCTION_TO_INT2,
    FUNCTION_TO_INT4,
    FUNCTION_TO_INT8,
    FUNCTION_TO_NUMERIC,
    FUNCTION_TO_TEXT,
    FUNCTION_TO_BOOLEAN,
    /* Made into nodes of their own by expr_call. */
    FUNCTION_COALESCE,
    FUNCTION_CONCAT,
    FUNCTION_REGEX_MATCH,
    FUNCTION_REGEX_REPLACE,
    FUNCTION_REGEX_EXTRACT,
};

struct function {
    const char *name;
    enum function_id id;
    size_t min_args, max_args; /* max_args SIZE_MAX: any number */
    /* A letter an argument, the last one for all that follow: t any value as text, n number, a any. */
    const char *takes;
    enum expr_type gives;
};
/* NULL where there is none. */
const struct function *function_find(const char *name, size_t len);

struct enum_map {
    size_t count;
    struct enum_pair {
        struct slice from, to; /* to.text NULL: SQL NULL */
    } * pairs;                 /* sorted by from */
};

struct class_rule {
    enum expr_rule_kind kind;
    bool fold;
    struct slice pattern, result; /* result.text NULL: SQL NULL */
    pcre2_code *code;
};
struct class_rules {
    size_t count;
    struct class_rule *items;
};

struct expr {
    uint8_t kind;    /* enum node_kind */
    uint8_t type;    /* enum expr_type, known after expr_resolve */
    uint8_t order;   /* enum node_order, likewise */
    bool fold;       /* letters alike: ilike, ~* */
    bool negated;    /* not in, not like, !~, is not null, is not distinct */
    bool padded;     /* a char(n) column: its trailing blanks do not count */
    bool has_number; /* a constant that is a small number, already read */
    uint16_t depth;
    int32_t op;
    uint32_t count;
    struct expr **args;
    struct expr_pool *pool;
    struct slice text;    /* NODE_CONST as written, NULL text for SQL NULL */
    struct value value;   /* NODE_CONST as its neighbour wants it */
    struct number number; /* of has_number */
    const char *name;
    const char *base_type; /* of a column; decides whether two dates may be compared */
    uint32_t index;
    union {
        const struct function *function;
        pcre2_code *code;
        struct enum_map *map;
        struct class_rules *rules;
        const char *const *names;
        struct uuid ns;
        const struct expr_lookup *lookup;
    };
    struct slice pattern; /* NODE_REGEX as written */
};

struct expr_pool {
    struct arena arena;
    struct param {
        const char *name, *text;
        struct param *next;
    } * params;
    const struct expr_lookup *lookups; /* of the rule at hand */
    size_t lookup_count;
    struct code {
        pcre2_code *code;
        struct code *next;
    } * codes;
};

/* --- expr_build.c --- */
struct expr *node_new(struct expr_pool *pool, enum node_kind kind, struct expr *const *args, size_t count);
struct expr *node_number(struct expr_pool *pool, const char *text, size_t len); /* a constant with a type */
struct slice pool_text(struct expr_pool *pool, const char *text, size_t len);

/* NULL where there is no such look-up. */
const struct expr_lookup *pool_lookup(const struct expr_pool *pool, const char *alias, size_t len);
struct expr *node_lookup(struct expr_pool *pool, const struct expr_lookup *lookup, const char *column);

/* --- expr_temporal.c --- */
int temporal_compare(struct slice a, struct slice b);
/* A literal as the type's output would show it (TimeZone=UTC, DateStyle=ISO); false where it is no such value. */
bool temporal_literal(struct slice of, const char *base_type, struct arena *arena, struct slice *ret);

/* --- evaluating, each in its file --- */
enum tri { TRI_FALSE, TRI_TRUE, TRI_NULL };
enum expr_status eval_value(const struct expr *expr, struct expr_env *env, struct value *ret);
/* *ret_null, or *ret for number_done. */
enum expr_status eval_number(const struct expr *expr, struct expr_env *env, struct number *ret, bool *ret_null);
/* Text of a value; *ret_null. */
enum expr_status eval_text(const struct expr *expr, struct expr_env *env, struct slice *ret, bool *ret_null);
enum expr_status eval_call(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_regex(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_enum(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_classify(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_uuid5(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_lookup(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_pack(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_json(const struct expr *expr, struct expr_env *env, struct value *ret);
enum expr_status eval_reject(struct expr_env *env, enum category category, const char *reason);
enum expr_status eval_number_status(struct expr_env *env, enum number_status status);
/* Orders two values that are not NULL by the node's order. */
enum expr_status eval_order(const struct expr *node, struct expr_env *env, const struct value *a, const struct value *b,
                            int *ret_order);

static inline struct value value_null(void)
{
    return (struct value){.state = VALUE_NULL};
}
static inline struct value value_slice(struct slice of)
{
    return (struct value){.text = of.text, .len = (uint32_t)of.len, .state = VALUE_TEXT};
}
static inline struct value value_bool(bool value)
{
    return (struct value){.text = value ? "t" : "f", .len = 1, .state = VALUE_TEXT};
}
static inline struct slice slice_of_value(const struct value *value)
{
    return (struct slice){value->text, value->len};
}

#endif
