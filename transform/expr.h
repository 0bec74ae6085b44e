/* Expressions: one tree, whether it was written as text (`when:`, `{expr: "..."}`) or as YAML heads.
 *
 *     text ──expr_parse──▶            ┌─ expr_resolve(relation): names -> indexes, static types
 *     YAML ──constructors─▶ struct expr ─┤
 *                                     └─ expr_eval(columns of one row) -> struct value
 *
 * A tree lives in its pool (the map's lifetime), is immutable once resolved, and may then be evaluated by many
 * threads at once. Evaluation does no I/O; what it makes lies in the caller's arena.
 *
 * Meaning (docs/mapping.md has the whole of it):
 * - Three-valued logic, NULL in -> NULL out, as in SQL.
 * - Static types from the source's catalogue. A quoted literal, a constant of the YAML and a param have no type and
 *   take their neighbour's (`status = '3'` compares numbers where status is one).
 * - Numbers are exact decimals of any size (GMP); text compares by bytes; date and timestamp by their ISO text.
 * - An ABSENT column (unchanged, out of line) is asked for only where its value decides something; a tree that is
 *   nothing but a column gives ABSENT on.
 */
#ifndef PGREKEY_TRANSFORM_EXPR_H
#define PGREKEY_TRANSFORM_EXPR_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"
#include "cdc/base/relation.h"
#include "cdc/base/uuid.h"
#include "transform/row.h"

struct expr;
struct expr_pool;

/* Owns every node, text and compiled pattern made in it. All texts handed to the functions below are copied. */
struct expr_pool *expr_pool_new(void);
void expr_pool_free(struct expr_pool *pool); /* NULL is fine */
/* Declares a param before expressions that name it are made. text NULL: SQL NULL. A later one of the same name wins. */
void expr_pool_set_param(struct expr_pool *pool, const char *name, const char *text);
/* Is there one? Its text, NULL for SQL NULL. */
bool expr_pool_param(const struct expr_pool *pool, const char *name, const char **ret_text);

/* A look-up of a rule: one row of a small mirror, found by the mirror's key; "alias.column" is a column of it. */
struct rule;
struct lookup_source;
struct expr_lookup {
    const char *alias, *table; /* as the file names them */
    size_t key_count;
    struct expr **by; /* the key's values, in the order of the mirror's key */
    /* Filled in before expr_resolve with a relation. */
    const struct rule *mirror;
    const struct relation *relation; /* the mirror's, its columns in the rule's order */
};
/* What texts and names made from now on may use; the array must live as long as the pool. */
void expr_pool_set_lookups(struct expr_pool *pool, const struct expr_lookup *lookups, size_t count);

/* The SQL-like text. ERR_CONFIG: "at character 12: …". */
int expr_parse(struct expr_pool *pool, const char *text, struct expr **ret_expr, struct err *reterr) MUST_CHECK;

/* --- constructors that cannot fail --- */
struct expr *expr_null(struct expr_pool *pool);
struct expr *expr_const(struct expr_pool *pool, const char *text, size_t len); /* no type of its own */
struct expr *expr_bool(struct expr_pool *pool, bool value);
struct expr *expr_column(struct expr_pool *pool, const char *name);
/* The same, but for "alias.column" where there is a look-up of that alias. */
struct expr *expr_named(struct expr_pool *pool, const char *name);
struct expr *expr_concat(struct expr_pool *pool, struct expr *const *parts, size_t count); /* NULL if any part is */
struct expr *expr_coalesce(struct expr_pool *pool, struct expr *const *parts, size_t count);
/* NULL or '' gives `then`: `empty:`. */
struct expr *expr_empty(struct expr_pool *pool, struct expr *of, struct expr *then);
struct expr_when {
    struct expr *when, *then;
};
struct expr *expr_case(struct expr_pool *pool, const struct expr_when *whens, size_t count,
                       struct expr *otherwise /* NULL: SQL NULL */);
struct expr *expr_not(struct expr_pool *pool, struct expr *of);
struct expr *expr_is_null(struct expr_pool *pool, struct expr *of);

/* Code -> text. */
struct expr_enum_entry {
    const char *from, *to; /* to NULL: SQL NULL */
};
enum expr_enum_else {
    EXPR_ELSE_REJECT, /* the row goes to quarantine, ambiguous_value */
    EXPR_ELSE_KEEP,   /* the value itself */
    EXPR_ELSE_EXPR,   /* otherwise */
};
/* A NULL stays NULL and asks no entry. Where two entries have the same `from`, the first wins. */
struct expr *expr_enum(struct expr_pool *pool, struct expr *of, const struct expr_enum_entry *entries, size_t count,
                       enum expr_enum_else otherwise_kind, struct expr *otherwise /* of EXPR_ELSE_EXPR */);

/* UUIDv5 identity of the entity's key; NULL if any part is NULL. ns is copied. */
struct expr *expr_uuid5(struct expr_pool *pool, const struct uuid *ns, const char *entity, struct expr *const *parts,
                        size_t count);

/* One JSON object: numbers and booleans as such, json and jsonb nested, NULL as null, the rest as strings. */
struct expr_pack_item {
    const char *name;
    struct expr *of;
};
struct expr *expr_pack(struct expr_pool *pool, const struct expr_pack_item *items, size_t count);

/* prefix + the integer, with zeros up to `pad` digits: "PAT-000012". Not an integer: reject, validation_failure. */
struct expr *expr_number_format(struct expr_pool *pool, const char *prefix, int pad, struct expr *of);

/* Where `of` rejects, `fallback` instead (NULL: SQL NULL). For `on_error:`; the raw text of a JSON that is none is
 * expr_call("json_raw", {of}) -> {"raw": text}. */
struct expr *expr_on_error(struct expr_pool *pool, struct expr *of, struct expr *fallback);
/* Never a value: the row goes to quarantine. reason is a phrase without values. */
struct expr *expr_reject(struct expr_pool *pool, enum category category, const char *reason);

/* --- constructors that check; ERR_CONFIG --- */
int expr_param(struct expr_pool *pool, const char *name, struct expr **ret_expr, struct err *reterr) MUST_CHECK;
/* A function by its name, as in the text syntax, with its number of arguments checked. What `apply:` is made of:
 * trim lower upper initcap digits email_norm length left right substring replace split_part lpad rpad nullif coalesce
 * concat abs round floor ceil greatest least json json_object json_raw json_get regex_match regex_replace
 * regex_extract starts_with int numeric text boolean. */
int expr_call(struct expr_pool *pool, const char *name, struct expr *const *args, size_t count, struct expr **ret_expr,
              struct err *reterr) MUST_CHECK;
/* Is there such a function, and how many arguments may it have? max_args SIZE_MAX: any number. */
bool expr_function_known(const char *name, size_t *ret_min_args, size_t *ret_max_args);
/* op as in the text: "+ - * / % || = <> != < <= > >= and or like ilike ~ ~* !~ !~*". */
int expr_binary(struct expr_pool *pool, const char *op, struct expr *a, struct expr *b, struct expr **ret_expr,
                struct err *reterr) MUST_CHECK;

enum expr_regex_kind { EXPR_REGEX_MATCH, EXPR_REGEX_REPLACE, EXPR_REGEX_EXTRACT };
/* PCRE2, UTF mode. MATCH: boolean. REPLACE: all hits, $1 and ${name} in `replacement`. EXTRACT: group 1 of the first
 * hit, or the whole hit where the pattern has no group; NULL without a hit. A value that runs into the match limits
 * rejects, validation_failure. */
int expr_regex(struct expr_pool *pool, enum expr_regex_kind kind, struct expr *of, const char *pattern,
               bool ignore_case, const char *replacement, struct expr **ret_expr, struct err *reterr) MUST_CHECK;

/* The first rule that matches decides. */
enum expr_rule_kind { EXPR_RULE_CONTAINS, EXPR_RULE_EQUALS, EXPR_RULE_REGEX };
struct expr_rule {
    enum expr_rule_kind kind;
    bool ignore_case; /* of ASCII letters for CONTAINS and EQUALS, of all letters for REGEX */
    const char *pattern;
    const char *result; /* NULL: SQL NULL */
};
/* otherwise: also for NULL; NULL pointer: SQL NULL. */
int expr_classify(struct expr_pool *pool, struct expr *of, const struct expr_rule *rules, size_t count,
                  struct expr *otherwise, struct expr **ret_expr, struct err *reterr) MUST_CHECK;

/* --- between making and evaluating --- */
enum expr_type {
    EXPR_UNTYPED,  /* a literal that takes its neighbour's type */
    EXPR_TEXT,     /* text, varchar, char, citext, name */
    EXPR_NUMBER,   /* integers, numeric, floats */
    EXPR_BOOL,     /* "t" or "f" */
    EXPR_JSON,     /* json, jsonb */
    EXPR_TEMPORAL, /* date, timestamp with or without time zone: ordered among the same type */
    EXPR_OTHER,    /* everything else: equality of its text */
};
/* Finds columns in the relation, gives types, checks operands. Can be done again, with another relation, while nobody
 * evaluates. relation NULL: only what can be checked without a catalogue, columns stay untyped, no evaluation.
 * ERR_CONFIG, a sentence that names column and operator. */
int expr_resolve(struct expr *expr, const struct relation *relation, struct err *reterr) MUST_CHECK;
/* As expr_resolve, and the result must be a condition. */
int expr_resolve_condition(struct expr *expr, const struct relation *relation, struct err *reterr) MUST_CHECK;
/* Known after expr_resolve. */
enum expr_type expr_result_type(const struct expr *expr);
/* Is it nothing but a column / a constant? The names are the tree's. */
bool expr_is_column(const struct expr *expr, const char **ret_name);
/* ret_text NULL for SQL NULL. */
bool expr_is_const(const struct expr *expr, const char **ret_text, size_t *ret_len);
/* The base type of a column, once names are resolved; NULL of any other expression. */
const char *expr_column_type(const struct expr *expr);
/* Does it ask a look-up? */
bool expr_looks_up(const struct expr *expr);
/* Every column named, once for each place. */
void expr_each_column(const struct expr *expr, void (*visit)(void *context, const char *name), void *context);
/* One canonical text for what the tree means (params replaced by their values); what a fingerprint is made of. */
void expr_print(const struct expr *expr, struct buf *out);

/* --- evaluating --- */
struct expr_env {
    const struct value *columns;         /* as the relation has them */
    const struct lookup_source *lookups; /* who answers look-ups; NULL: nobody */
    bool absent_is_null;                 /* change->completed: what is still absent counts as NULL */
    struct arena *arena;
    enum category category; /* set by EXPR_REJECT */
    const char *reason;     /* likewise: a phrase without any value */
};
enum expr_status {
    EXPR_OK,
    EXPR_NEEDS_COLUMN, /* an absent column decides: complete the change and come again */
    EXPR_REJECT,       /* env->category, env->reason */
};
/* The value's text lies in the row, the tree or the arena. */
enum expr_status expr_eval(const struct expr *expr, struct expr_env *env, struct value *ret_value) MUST_CHECK;
/* A condition; NULL counts as false. */
enum expr_status expr_test(const struct expr *expr, struct expr_env *env, bool *ret_true) MUST_CHECK;

#endif
