/* Derivations against the target's catalogue: the table, its key, the columns that are written. Where the file does not
 * name the columns they are known only when the target has described the query. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

struct derive_binder {
    struct map *map;
    struct map_issues *issues;
    struct derivation *derivation;
    const struct derive_spec *spec;
    const struct relation *target;
};

/* The column, or an issue and NULL. */
static const struct column *need_column(struct derive_binder *b, const struct relation *relation,
                                        const struct yaml_node *node, const char *name)
{
    return map_target_column(b->map, relation, node, name, b->issues);
}

/* --- table and key --- */

static const struct relation *find_target(struct derive_binder *b)
{
    const struct derivation *derivation = b->derivation;
    const struct relation *found = catalog_find(b->map->target, derivation->to_schema, derivation->to_table);
    if (found && (found->kind == 'r' || found->kind == 'p'))
        return found;
    issue_error(b->issues, b->spec->to_node, found ? "%s.%s is not a table" : "there is no table %s.%s on the target",
                derivation->to_schema, derivation->to_table);
    return NULL;
}

static bool covers_key(const struct derive_binder *b, const struct unique_index *index)
{
    if (index->count != b->derivation->key_count || index->partial_or_expression || index->deferrable)
        return false;
    for (size_t i = 0; i < index->count; i++) {
        bool found = false;
        for (size_t k = 0; k < b->derivation->key_count && !found; k++)
            found = strcmp(b->derivation->keys[k].column, b->target->columns[index->columns[i]].name) == 0;
        if (!found)
            return false;
    }
    return true;
}

static void bind_key(struct derive_binder *b)
{
    bool good = true, covered = false;
    for (size_t i = 0; i < b->derivation->key_count; i++) {
        const struct derivation_key *key = &b->derivation->keys[i];
        const struct yaml_node *node = b->spec->key_nodes[i];
        const struct column *column = need_column(b, b->target, node, key->column);
        good = good && column;
        if (column && key->entity && strcmp(column->base_type, "uuid") != 0)
            issue_error(b->issues, node, "a UUID goes into \"%s\", but that is %s on the target", key->column,
                        column->type);
        if (column && (column->generated || (column->identity_always && b->derivation->owns_rows)))
            issue_error(b->issues, node, "\"%s\" is generated on the target; it cannot be written", key->column);
    }
    if (!good)
        return;
    for (size_t i = 0; i < b->target->unique_count && !covered; i++)
        covered = covers_key(b, &b->target->uniques[i]);
    if (!covered)
        issue_error(b->issues, b->spec->key_node,
                    "%s.%s has no primary key or unique index over exactly the key's columns", b->target->schema,
                    b->target->name);
}

/* --- columns --- */

static void bind_reference(struct derive_binder *b, const struct derive_column_spec *spec, const struct column *target,
                           struct derivation_column *column)
{
    if (strcmp(target->base_type, "uuid") != 0)
        issue_error(b->issues, spec->node, "a UUID goes into \"%s\", but that is %s on the target", spec->name,
                    target->type);
    if (spec->required == REQUIRED_NO && target->not_null)
        issue_error(b->issues, spec->node, "\"%s\" must not be NULL on the target, so the reference is required",
                    spec->name);
    if (spec->second_pass && target->not_null)
        issue_error(b->issues, spec->node,
                    "\"%s\" must not be NULL on the target, so no second pass can fill it; drop that there",
                    spec->name);
    if (spec->required == REQUIRED_DEFAULT)
        column->required = target->not_null;
}

static const struct derive_column_spec *spec_of(const struct derive_binder *b, const char *name)
{
    for (size_t i = 0; i < b->spec->column_count; i++)
        if (strcmp(b->spec->columns[i].name, name) == 0)
            return &b->spec->columns[i];
    return NULL;
}

static void bind_column(struct derive_binder *b, struct derivation_column *column)
{
    const struct derive_column_spec *spec = spec_of(b, column->name);
    const struct yaml_node *node = spec ? spec->node : b->spec->query_node;
    const struct column *target = need_column(b, b->target, node, column->name);
    if (!target)
        return;
    if (target->generated || target->identity_always)
        issue_error(b->issues, node, "\"%s\" is generated on the target; it cannot be written", column->name);
    if (column->merge && strcmp(target->base_type, "jsonb") != 0)
        issue_error(b->issues, node, "\"%s\" is %s on the target; only jsonb can be merged", column->name,
                    target->type);
    if (spec && spec->entity)
        bind_reference(b, spec, target, column);
}

static bool is_filled(const struct derive_binder *b, const char *name)
{
    for (size_t i = 0; i < b->derivation->column_count; i++)
        if (strcmp(b->derivation->columns[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < b->derivation->key_count; i++)
        if (strcmp(b->derivation->keys[i].column, name) == 0)
            return true;
    return false;
}

static void check_required(struct derive_binder *b)
{
    for (size_t i = 0; i < b->target->column_count && b->derivation->owns_rows; i++) {
        const struct column *column = &b->target->columns[i];
        if (column->not_null && !column->has_default && !column->generated && !column->identity_always &&
            !is_filled(b, column->name))
            issue_error(b->issues, b->spec->node,
                        "\"%s\" of %s.%s must not be NULL and has no default, but the derivation does not fill it",
                        column->name, b->target->schema, b->target->name);
    }
}

/* Those of `from`, as the target's columns make them. */
static void bind_columns(struct derive_binder *b, const struct derivation_column *from, size_t count)
{
    struct derivation_column *columns = arena_zalloc(&b->map->bound, count + 1, sizeof *columns);
    if (count)
        memcpy(columns, from, count * sizeof *columns);
    for (size_t i = 0; i < count; i++)
        bind_column(b, &columns[i]);
    b->derivation->columns = columns;
    b->derivation->column_count = count;
}

/* --- the rest --- */

static void bind_inputs(struct derive_binder *b)
{
    for (size_t i = 0; i < b->derivation->input_count; i++) {
        const struct derivation_input *input = &b->derivation->inputs[i];
        const struct relation *relation =
            input->mirror ? input->mirror->program->target : catalog_find(b->map->target, input->schema, input->table);
        for (size_t c = 0; relation && c < input->column_count; c++)
            need_column(b, relation, b->spec->inputs[i].columns_node, input->columns[c]);
    }
}

void map_bind_derivation(struct map *map, struct derivation *derivation, struct map_issues *issues)
{
    struct derive_binder b = {map, issues, derivation, &map->derives[derivation->index], NULL};
    b.target = find_target(&b);
    if (!b.target)
        return;
    bind_key(&b);
    bind_columns(&b, derivation->columns, b.spec->column_count);
    if (b.spec->columns_named)
        check_required(&b);
    else
        derivation->column_count = 0; /* those that a word says more of are no list of what it owns */
    map_check_set(map, b.target, b.spec->set_node, derivation->set, derivation->set_count, issues);
    bind_inputs(&b);
    for (size_t i = 0; i < derivation->adopt.column_count; i++)
        need_column(&b, b.target, b.spec->adopt_node, derivation->adopt.columns[i]);
}

/* --- what the target says of the query --- */

static bool has_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static bool is_key_part(const struct derivation *derivation, const char *name)
{
    for (size_t k = 0; k < derivation->key_count; k++)
        if (has_name(derivation->keys[k].parts, derivation->keys[k].part_count, name))
            return true;
    return false;
}

/* What the result must hold. */
static void check_result(struct derive_binder *b, const char *const *names, size_t count)
{
    for (size_t i = 0; i < b->spec->column_count; i++)
        if (!has_name(names, count, b->spec->columns[i].name))
            issue_error(b->issues, b->spec->query_node, "the query gives no column \"%s\"", b->spec->columns[i].name);
    for (size_t k = 0; k < b->derivation->key_count; k++)
        for (size_t p = 0; p < b->derivation->keys[k].part_count; p++)
            if (!has_name(names, count, b->derivation->keys[k].parts[p]))
                issue_error(b->issues, b->spec->query_node,
                            "the query gives no column \"%s\", which the key is made of",
                            b->derivation->keys[k].parts[p]);
}

/* A column of the result is a target's, a part of the key, or something that `reject:` looks at. */
static bool is_known(struct derive_binder *b, const char *name)
{
    const struct derivation *derivation = b->derivation;
    return spec_of(b, name) || is_key_part(derivation, name) ||
           (derivation->reject_when && map_sql_names(&b->map->bound, derivation->reject_when, name)) ||
           (derivation->reject_category && map_sql_names(&b->map->bound, derivation->reject_category, name));
}

static size_t take_columns(struct derive_binder *b, const char *const *names, size_t count,
                           struct derivation_column *columns)
{
    size_t taken = 0;
    for (size_t i = 0; i < count; i++) {
        const struct derive_column_spec *spec = spec_of(b, names[i]);
        bool key = is_key_part(b->derivation, names[i]);
        for (size_t k = 0; k < b->derivation->key_count; k++)
            key = key || strcmp(b->derivation->keys[k].column, names[i]) == 0;
        if (spec)
            columns[taken++] = (struct derivation_column){.name = spec->name,
                                                          .once = spec->once,
                                                          .merge = spec->merge,
                                                          .parent_entity = spec->entity,
                                                          .required = spec->required == REQUIRED_YES};
        else if (!key && relation_column(b->target, names[i]) >= 0)
            columns[taken++] = (struct derivation_column){.name = arena_strdup(&b->map->bound, names[i])};
        else if (!is_known(b, names[i]))
            issue_error(b->issues, b->spec->query_node,
                        "the query gives a column \"%s\", which %s.%s does not have and nothing else uses%s", names[i],
                        b->target->schema, b->target->name, map_near_column(b->map, b->target, names[i]));
    }
    return taken;
}

int map_derivation_describe(struct map *map, size_t index, const char *const *names, size_t count,
                            struct map_issues *issues, struct err *reterr)
{
    if (index >= map->derivation_count || !map->target)
        return err_set(reterr, ERR_FATAL, "a derivation is described before the mapping is bound");
    struct derive_binder b = {map, issues, map->derivations[index], &map->derives[index], NULL};
    size_t before = issue_error_count(issues);
    b.target = catalog_find(map->target, b.derivation->to_schema, b.derivation->to_table);
    check_result(&b, names, count);
    if (b.target && !b.spec->columns_named) {
        struct derivation_column *columns = arena_zalloc(&map->bound, count + 1, sizeof *columns);
        bind_columns(&b, columns, take_columns(&b, names, count, columns));
        check_required(&b);
        map_check_derived_columns(map, b.derivation, issues);
    }
    size_t errors = issue_error_count(issues) - before;
    if (errors > 0)
        return err_set(reterr, ERR_CONFIG, "the query of %s does not fit: %zu error%s", b.derivation->name, errors,
                       errors == 1 ? "" : "s");
    return 0;
}
