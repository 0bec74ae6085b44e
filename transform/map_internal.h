/* What the parts of the mapping share: the file as parsed (specs), and the rules made of it. Nobody outside
 * transform/map_*.c and fingerprint.c includes this.
 *
 *     text ─yaml─▶ tree ─map_load, map_value─▶ specs ─map_compile─▶ rules ─map_bind (catalogues)─▶ programs
 *                                                ▲
 *           copy:, mirrors: ─map_copy, map_mirror (catalogues)─┘
 *
 *     derive: ─map_derive─▶ derive_specs ─map_compile─▶ derivations
 */
#ifndef PGREKEY_TRANSFORM_MAP_INTERNAL_H
#define PGREKEY_TRANSFORM_MAP_INTERNAL_H

#include "transform/expr.h"
#include "transform/expr_fit.h"
#include "transform/issues.h"
#include "transform/lookup.h"
#include "transform/map.h"
#include "transform/mask/value.h"
#include "transform/yaml.h"

enum required { REQUIRED_DEFAULT, REQUIRED_YES, REQUIRED_NO };

/* One column of the target, as the file says it. */
struct column_spec {
    const char *name;
    const struct yaml_node *node; /* its value in the file, for issues */
    struct expr *value;
    const char *entity; /* the value is a UUID of this entity; else NULL */
    bool owned;         /* the rule's own entity; else a reference */
    bool conditional;   /* a reference with `when:`: NULL where that is not true */
    size_t part_count;  /* of the legacy key that the UUID is made of */
    bool key, once;
    bool second_pass; /* an optional reference that no order is made for */
    enum required required;
};

struct rule_spec {
    const struct yaml_node *node;
    const struct yaml_node *from_node, *to_node, *key_node, *identity_node;
    const char *name; /* NULL: from the tables */
    const char *from_schema, *from_table, *to_schema, *to_table;
    size_t column_count; /* key columns first */
    struct column_spec *columns;
    struct expr *when; /* NULL: all rows */
    const struct yaml_node *when_node;
    bool skip, copy;
    size_t lookup_count;
    struct expr_lookup *lookups;
    const struct yaml_node *lookup_node;
    const struct mirror_spec *mirror; /* the rule stands for this mirror; else NULL */
    struct adopt adopt;
    const struct yaml_node *adopt_node;
    struct accept_loss accept_loss;
    enum rule_delete on_delete;
    size_t set_count;
    struct rule_set *set;
    const struct yaml_node *set_node;
    enum rule_truncate on_truncate;
    size_t identity_count; /* target columns of `identity:` */
    const char **identity;
};

struct mirror_spec {
    const struct yaml_node *node, *columns_node, *index_node, *when_node;
    const char *schema, *table; /* of the source */
    const char *name;           /* of the table in the side schema */
    size_t column_count;        /* 0: all but never: */
    const char **columns;
    size_t index_count; /* each "a,b" */
    const char **indexes;
    struct expr *when;
    enum rule_truncate on_truncate;
};

/* --- derive: --- */

struct derive_input_spec {
    const struct yaml_node *node, *columns_node;
    const char *text;   /* as the file names it */
    const char *schema; /* NULL: named without one */
    const char *table;
    size_t column_count;
    const char **columns;
    const char *keys;
};

struct derive_column_spec {
    const char *name;
    const struct yaml_node *node;
    bool once, merge, second_pass;
    const char *entity; /* a reference */
    enum required required;
};

struct derive_spec {
    const struct yaml_node *node, *to_node, *key_node, *query_node, *adopt_node, *set_node, *reject_node;
    const char *name; /* NULL: from the table */
    const char *to_schema, *to_table;
    size_t key_count;
    struct derivation_key *keys;
    const struct yaml_node **key_nodes;
    bool owns_rows;
    bool columns_named; /* by `columns:` or `owns:`; else `columns` has only those that a word says more of */
    size_t column_count;
    struct derive_column_spec *columns;
    const char *query;
    size_t input_count;
    struct derive_input_spec *inputs;
    size_t read_count; /* tables of `reads:` */
    struct derive_input_spec *reads;
    const char *reject_when, *reject_category;
    bool reject_gone;
    enum derivation_gone gone;
    size_t set_count;
    struct rule_set *set;
    struct adopt adopt;
    bool skip;
    struct accept_loss accept_loss;
};

struct copy_spec {
    const struct yaml_node *node;
    const char *from_schema, *to_schema;
    size_t except_count;
    const char **except;
};

/* never: and nonfinite: */
struct column_mark {
    const struct yaml_node *node;
    const char *schema, *table, *column;
};
struct marks {
    size_t count, capacity;
    struct column_mark *items; /* heap */
};

/* mask: of one table */
struct mask_spec {
    const struct yaml_node *node;
    bool mirror;
    const char *schema, *table; /* of a mirror: the source's; else the target's */
    const struct mask_fields *fields;
};

/* How one column of a row is made: once for each rule column, looked at for every change. */
struct program_column {
    struct expr *value;
    int direct;    /* index of the source column where the value is nothing but a copy; else -1 */
    int identity;  /* of a locator column: index into change->identity where it is a copy of that; else -1 */
    bool not_null; /* NULL is refused here, the target would refuse it anyhow */
    bool reference;
    bool check; /* the value may not fit */
    struct fit fit;
};

struct rule_program {
    const struct rule_spec *spec;
    const struct relation *source, *target; /* NULL where not bound */
    struct expr *when;
    bool skip;
    struct program_column *columns; /* rule->column_count */
    size_t key_count;               /* they come first */
};

struct table_rules {
    size_t count;
    const struct rule **rules;
};

struct map {
    struct arena arena; /* what the file says; lives as long as the map */
    struct arena bound; /* rules; made anew by each map_bind */
    struct expr_pool *pool;
    struct yaml_node *root;

    bool has_namespace;
    struct uuid ns;
    const char *source_schema, *target_schema; /* where a table is named without one */
    size_t spec_count, copy_count, mirror_count, derive_count;
    struct rule_spec *specs;
    struct copy_spec *copies;
    struct mirror_spec *mirrors;
    struct derive_spec *derives;
    struct marks never, nonfinite;
    bool has_mask;
    size_t mask_count;
    struct mask_spec *masks;
    size_t source_schema_count, target_schema_count;
    const char **source_schemas, **target_schemas;

    /* of the last map_bind, or of map_load */
    const struct catalog *source, *target;
    size_t rule_count;
    struct rule **rules;
    int *order;
    size_t ordered_count; /* rules that `order` has */
    size_t step_count;
    struct map_step *steps;
    uint8_t *waits; /* what map_sort found: [child * nodes + parent], nodes being the rules, then the derivations */
    size_t derivation_count;
    struct derivation **derivations;
    size_t view_count;
    struct mirror_view *views;
    const char *mirror_schema;
    struct table_rules *tables; /* parallel to source->relations; NULL where not bound */

    struct lookup_source lookups; /* find NULL: nobody answers yet */
};

/* What map_load.c hands to map_value.c. */
struct loader {
    struct map *map;
    struct map_issues *issues;
    bool needs_namespace;
};

/* Of a table under `never:` or `nonfinite:`: all that it has. */
#define MAP_EVERY_COLUMN "*"

/* --- map_parts.c --- */
/* The text that map_read() gave -> map->root. -1 where a part is no YAML, and the issues say which. */
int map_parse_parts(struct loader *l, const char *text, size_t len) __attribute__((warn_unused_result));

/* --- map_load.c --- */
/* "table", "schema.table" or [schema, table]; false after an issue. */
bool map_table_of(struct loader *l, const struct yaml_node *node, const char *default_schema, const char **ret_schema,
                  const char **ret_table);
/* Is all of the table under `never:`? */
bool map_table_never(const struct map *map, const char *schema, const char *table);
/* {column: constant}, of `delete:` and `gone:`; the array in *ret_set. */
size_t map_set_of(struct loader *l, const struct yaml_node *node, struct rule_set **ret_set);
void map_accept_loss_of(struct loader *l, const struct yaml_node *node, struct accept_loss *ret);
enum rule_truncate map_truncate_of(struct loader *l, const struct yaml_node *node);

/* --- map_value.c --- */
/* The value form at `node`. Never NULL: after an issue it is a SQL NULL. `column` takes what only a column of
 * its own can be (a reference); NULL where the form stands inside another. */
struct expr *map_value(struct loader *l, const struct yaml_node *node, struct column_spec *column);
/* `{uuid: entity, of: …}` of a key. */
struct expr *map_key_value(struct loader *l, const struct yaml_node *node, struct column_spec *column,
                           bool owned_by_default);
struct expr *map_condition(struct loader *l, const struct yaml_node *node);
/* Each key of the mapping `node` must be one of the words. `what` names the place: "a rule". */
bool map_words_check(struct loader *l, const struct yaml_node *node, const char *what, const char *const *words,
                     size_t count);
/* The text of a scalar, or NULL and an issue. */
const char *map_scalar_text(struct loader *l, const struct yaml_node *node, const char *what);
/* "there is no param", with a suggestion. */
void map_no_param(struct loader *l, const struct yaml_node *node, const char *name);
/* A scalar, or a list of scalars. Count 0 after an issue. */
const char **map_text_list(struct loader *l, const struct yaml_node *node, const char *what, size_t *ret_count);
bool map_bool_of(struct loader *l, const struct yaml_node *node, bool otherwise);

struct expr *map_null(struct loader *l);
/* The result of a constructor that checks; after a failure an issue and NULL. */
struct expr *map_checked(struct loader *l, const struct yaml_node *node, int status, struct expr *expr,
                         const struct err *err);
/* A constant as written; NULL for a plain null. */
const char *map_const_text(struct loader *l, const struct yaml_node *node);
struct expr *map_const(struct loader *l, const struct yaml_node *node);
/* What stands after `of:`, `from:`, `by:`: a scalar is a column, quoted or not; else a form. */
struct expr *map_operand(struct loader *l, const struct yaml_node *node);
/* A form inside another one: a plain word is a column, a quoted text a constant. */
struct expr *map_nested_value(struct loader *l, const struct yaml_node *node);

/* --- map_modify.c --- */
/* The modifiers that stand in `node` around `base`. has_else: "else:" belongs to the base word. */
struct expr *map_modify(struct loader *l, const struct yaml_node *node, struct expr *base, bool has_else);

/* --- map_compile.c --- */
/* Makes rules of the file's specs and of `extra` ones, in the `bound` arena: names, parents, order. */
void map_compile(struct map *map, struct rule_spec *extra, size_t extra_count, struct map_issues *issues);
bool map_same_table(const char *schema_a, const char *table_a, const char *schema_b, const char *table_b);
/* "public.auth_user", or without the schema where it is the default. In the arena. */
const char *map_table_label(struct arena *arena, const char *schema, const char *table, const char *default_schema);

/* --- map_near.c --- */
/* "; did you mean "x"?" of what is like the word, or ""; in the `bound` arena. */
const char *map_near(struct map *map, const char *word, const char *const *names, size_t count);
const char *map_near_entity(struct map *map, const char *entity);
const char *map_near_column(struct map *map, const struct relation *relation, const char *name);
const char *map_near_table(struct map *map, const struct catalog *catalog, const char *schema, const char *name);

/* --- map_target.c --- */
/* The column, or an issue and NULL. */
const struct column *map_target_column(struct map *map, const struct relation *relation, const struct yaml_node *node,
                                       const char *name, struct map_issues *issues);
/* May these constants be written there? Issues where not. */
void map_check_set(struct map *map, const struct relation *relation, const struct yaml_node *node,
                   const struct rule_set *set, size_t count, struct map_issues *issues);

/* --- map_skip.c --- */
/* A reference to an entity that is left out for now finds nothing. */
void map_warn_of_skipped_parents(const struct map *map, struct map_issues *issues);

/* --- map_order.c --- */
/* Fills map->order; an issue where rules depend on each other in a circle. Looks at the target's foreign keys
 * where programs are bound. */
void map_sort(struct map *map, struct map_issues *issues);

/* --- map_copy.c --- */
/* One spec for each table of the schemas that `copy:` names. */
struct rule_spec *map_expand_copies(struct map *map, const struct catalog *source, const struct catalog *target,
                                    struct map_issues *issues, size_t *ret_count);

/* --- map_mirror.c --- */
void map_load_mirrors(struct loader *l, const struct yaml_node *node);
void map_load_views(struct loader *l, const struct yaml_node *node);
/* One spec for each mirror, made from the source's catalogue; none without one. One that stands on the target and is
 * to have all columns keeps those that it has. */
struct rule_spec *map_expand_mirrors(struct map *map, struct map_issues *issues, size_t *ret_count);
/* The relation that a mirror's rule writes, in the `bound` arena. */
const struct relation *map_mirror_relation(struct map *map, const struct rule *rule, const struct relation *source);

/* --- map_mask.c --- */
void map_load_mask(struct loader *l, const struct yaml_node *node);
/* What is declared of a rule's column; NULL: nothing. */
const struct mask_field *map_mask_of(const struct map *map, const struct rule *rule, const char *column);

/* --- map_lookup.c --- */
/* Makes them known to the expressions of this rule. */
void map_load_lookups(struct loader *l, struct rule_spec *spec, const struct yaml_node *node);
void map_bind_lookups(struct map *map, const struct rule_spec *spec, struct map_issues *issues);
/* When the rules' expressions know their types. */
void map_compare_lookups(const struct rule_spec *spec, struct map_issues *issues);

/* --- map_sql.c --- */
/* A scalar's SQL, with each `:name` replaced by that param's value as a literal; NULL and an issue where it is no text.
 */
const char *map_sql_of(struct loader *l, const struct yaml_node *node, const char *what);
struct sql_table {
    const char *schema; /* NULL: named without one */
    const char *table;
};
/* The tables that the SQL names, once each, with their schemas, views of the mapping replaced by what they read. */
size_t map_sql_reads(const struct map *map, struct arena *arena, const char *sql, const struct sql_table **ret_tables);
/* Marks the views that it reads, also through others: read[i] of map->views[i]. */
void map_sql_views(const struct map *map, struct arena *arena, const char *sql, bool *read);
/* Does the word stand in the SQL as a name? */
bool map_sql_names(struct arena *arena, const char *sql, const char *word);
bool map_is_view(const struct map *map, const char *schema, const char *name);
/* Puts the views in an order in which they can be made. */
void map_sort_views(struct map *map, const struct yaml_node *node, struct map_issues *issues);

/* --- map_derive.c --- */
void map_load_derivations(struct loader *l, const struct yaml_node *node);

/* --- map_derive_compile.c --- */
/* Makes derivations of the file's specs, in the `bound` arena, and finds what their inputs are. After the rules. */
void map_compile_derivations(struct map *map, struct map_issues *issues);
/* Owners: of entities, of rows, of columns. After the rules have found their parents. */
void map_check_derivations(struct map *map, struct map_issues *issues);
/* One derivation's columns against those of all others, once its columns are known. */
void map_check_derived_columns(struct map *map, const struct derivation *derivation, struct map_issues *issues);
/* Tables that a query reads although no change of them leads to it: warnings. */
void map_warn_of_unwatched(struct map *map, struct map_issues *issues);

/* The name in the side schema of the mirror that is meant; NULL where none is. schema NULL: named without one. */
const char *map_mirror_table(const struct map *map, const char *schema, const char *table);
/* The rule that fills it; NULL before the source is known. */
struct rule *map_mirror_rule(const struct map *map, const char *name);
/* --- map_adopt.c --- */
void map_adopt_of(struct loader *l, const struct yaml_node *node, struct adopt *adopt);
/* parts: of the legacy key; key_count: columns of the target key. entity NULL: the rows have none of their own. */
void map_check_adopt(const struct adopt *adopt, const struct yaml_node *node, const char *entity, size_t parts,
                     size_t key_count, struct map_issues *issues);

/* --- map_derive_bind.c --- */
void map_bind_derivation(struct map *map, struct derivation *derivation, struct map_issues *issues);

/* --- map_types.c --- */
/* Can the column's value stand in the target column? Errors where it never can, warnings where it may not. */
void map_check_types(const struct column_spec *spec, const struct column *source, const struct column *target,
                     bool copy, struct map_issues *issues);

#endif
