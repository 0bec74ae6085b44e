/* Specs of `derive:` -> derivations, and who owns what: entities, rows, columns, each once among rules and derivations.
 * Needs no catalogue; made anew by each map_bind. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

/* A mirror may be named by its own table or by its source's. */
const char *map_mirror_table(const struct map *map, const char *schema, const char *table)
{
    for (size_t i = 0; i < map->mirror_count; i++) {
        const struct mirror_spec *mirror = &map->mirrors[i];
        if (schema ? map_same_table(mirror->schema, mirror->table, schema, table) ||
                         map_same_table(map->mirror_schema, mirror->name, schema, table)
                   : strcmp(mirror->name, table) == 0)
            return mirror->name;
    }
    for (size_t i = 0; i < map->mirror_count && !schema; i++)
        if (map_same_table(map->mirrors[i].schema, map->mirrors[i].table, map->source_schema, table))
            return map->mirrors[i].name;
    return NULL;
}

struct rule *map_mirror_rule(const struct map *map, const char *name)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->mirror && strcmp(map->rules[i]->to_table, name) == 0)
            return map->rules[i];
    return NULL;
}

static void make_input(const struct map *map, const struct derive_input_spec *from, struct derivation_input *input)
{
    const char *mirror = map_mirror_table(map, from->schema, from->table);
    *input = (struct derivation_input){.schema = mirror         ? map->mirror_schema
                                                 : from->schema ? from->schema
                                                                : map->target_schema,
                                       .table = mirror ? mirror : from->table,
                                       .source = from->text,
                                       .mirror = mirror ? map_mirror_rule(map, mirror) : NULL,
                                       .column_count = from->column_count,
                                       .columns = from->columns,
                                       .keys = from->keys};
}

static void make_columns(struct map *map, struct derivation *derivation, const struct derive_spec *spec)
{
    struct derivation_column *columns = arena_zalloc(&map->bound, spec->column_count + 1, sizeof *columns);
    for (size_t i = 0; i < spec->column_count; i++) {
        const struct derive_column_spec *from = &spec->columns[i];
        columns[i] = (struct derivation_column){.name = from->name,
                                                .once = from->once,
                                                .merge = from->merge,
                                                .parent_entity = from->entity,
                                                .required = from->required == REQUIRED_YES};
    }
    derivation->columns = columns;
    derivation->column_count = spec->columns_named ? spec->column_count : 0;
}

static struct derivation *make_derivation(struct map *map, const struct derive_spec *spec, size_t index)
{
    struct derivation *derivation = arena_zalloc(&map->bound, 1, sizeof *derivation);
    struct derivation_input *inputs = arena_zalloc(&map->bound, spec->input_count + 1, sizeof *inputs);
    *derivation = (struct derivation){.index = (int)index,
                                      .name = spec->name,
                                      .to_schema = spec->to_schema,
                                      .to_table = spec->to_table,
                                      .key_count = spec->key_count,
                                      .keys = spec->keys,
                                      .owns_rows = spec->owns_rows,
                                      .query = spec->query,
                                      .input_count = spec->input_count,
                                      .inputs = inputs,
                                      .reject_when = spec->reject_when,
                                      .reject_category = spec->reject_category,
                                      .reject_gone = spec->reject_gone,
                                      .gone = spec->gone,
                                      .set_count = spec->set_count,
                                      .set = spec->set,
                                      .adopt = spec->adopt,
                                      .accept_loss = spec->accept_loss,
                                      .skip = spec->skip,
                                      .line = spec->node->line};
    if (!derivation->name)
        derivation->name =
            arena_printf(&map->bound, "derive->%s",
                         map_table_label(&map->bound, spec->to_schema, spec->to_table, map->target_schema));
    for (size_t i = 0; spec->owns_rows && i < spec->key_count; i++)
        if (spec->keys[i].entity && !spec->keys[i].reference)
            derivation->entity = spec->keys[i].entity;
    for (size_t i = 0; i < spec->input_count; i++)
        make_input(map, &spec->inputs[i], &inputs[i]);
    make_columns(map, derivation, spec);
    return derivation;
}

static bool name_taken(const struct map *map, const char *name)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (strcmp(map->rules[i]->name, name) == 0)
            return true;
    for (size_t i = 0; i < map->derivation_count; i++)
        if (strcmp(map->derivations[i]->name, name) == 0)
            return true;
    return false;
}

void map_compile_derivations(struct map *map, struct map_issues *issues)
{
    map->derivation_count = 0;
    map->derivations = arena_zalloc(&map->bound, map->derive_count + 1, sizeof(struct derivation *));
    for (size_t i = 0; i < map->derive_count; i++) {
        struct derivation *derivation = make_derivation(map, &map->derives[i], i);
        if (name_taken(map, derivation->name))
            issue_error(issues, map->derives[i].node,
                        "a rule or derivation before is called \"%s\" too; give one of them a \"name:\" of its own",
                        derivation->name);
        map->derivations[map->derivation_count++] = derivation;
    }
}

/* A schema that `copy:` fills may hold any table, as long as the catalogues have not told. */
static bool may_be_copied(const struct map *map, const char *schema)
{
    for (size_t i = 0; !map->source && i < map->copy_count; i++)
        if (strcmp(map->copies[i].to_schema, schema) == 0)
            return true;
    return false;
}

/* --- entities --- */

static bool is_owned(const struct map *map, const char *entity)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->entity && strcmp(map->rules[i]->entity, entity) == 0)
            return true;
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map->derivations[i]->entity && strcmp(map->derivations[i]->entity, entity) == 0)
            return true;
    return false;
}

static void need_owner(struct map *map, const char *entity, const struct yaml_node *node, struct map_issues *issues)
{
    if (!entity || is_owned(map, entity))
        return;
    issue_error(issues, node, "no rule has a key of the entity \"%s\"%s", entity, map_near_entity(map, entity));
}

static void check_entities(struct map *map, const struct derivation *derivation, struct map_issues *issues)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    for (size_t i = 0; i < derivation->key_count; i++)
        if (derivation->keys[i].reference || !derivation->owns_rows)
            need_owner(map, derivation->keys[i].entity, spec->key_nodes[i], issues);
    for (size_t i = 0; i < spec->column_count; i++)
        need_owner(map, spec->columns[i].entity, spec->columns[i].node, issues);
    if (!derivation->entity)
        return;
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->entity && strcmp(map->rules[i]->entity, derivation->entity) == 0)
            issue_error(issues, spec->key_node,
                        "the entity \"%s\" is owned by rule %s; columns of its rows are derived with \"owns:\"",
                        derivation->entity, map->rules[i]->name);
    for (int i = 0; i < derivation->index; i++)
        if (map->derivations[i]->entity && strcmp(map->derivations[i]->entity, derivation->entity) == 0)
            issue_error(issues, spec->key_node,
                        "the entity \"%s\" is owned by %s; columns of its rows are derived with \"owns:\"",
                        derivation->entity, map->derivations[i]->name);
}

/* --- rows and columns --- */

/* Do both write the same rows: are their keys made alike? */
static bool same_rows(const struct rule *rule, const struct derivation *derivation)
{
    const struct rule_spec *spec = rule->program->spec;
    if (!map_same_table(rule->to_schema, rule->to_table, derivation->to_schema, derivation->to_table) ||
        rule->program->key_count != derivation->key_count)
        return false;
    for (size_t i = 0; i < derivation->key_count; i++) {
        const struct derivation_key *key = &derivation->keys[i];
        int at = map_column_index(rule, key->column);
        if (at < 0 || !spec->columns[at].key)
            return false;
        const char *entity = spec->columns[at].entity;
        if (!entity != !key->entity || (entity && strcmp(entity, key->entity) != 0))
            return false;
    }
    return true;
}

static bool same_derived_rows(const struct derivation *a, const struct derivation *b)
{
    if (!map_same_table(a->to_schema, a->to_table, b->to_schema, b->to_table) || a->key_count != b->key_count)
        return false;
    for (size_t i = 0; i < a->key_count; i++) {
        const struct derivation_key *x = &a->keys[i], *y = NULL;
        for (size_t j = 0; j < b->key_count && !y; j++)
            y = strcmp(b->keys[j].column, x->column) == 0 ? &b->keys[j] : NULL;
        if (!y || !x->entity != !y->entity || (x->entity && strcmp(x->entity, y->entity) != 0))
            return false;
    }
    return true;
}

static const struct derivation_column *owned_column(const struct derivation *derivation, const char *name)
{
    for (size_t i = 0; i < derivation->column_count; i++)
        if (strcmp(derivation->columns[i].name, name) == 0)
            return &derivation->columns[i];
    return NULL;
}

static const struct yaml_node *column_node(const struct map *map, const struct derivation *derivation, const char *name)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    for (size_t i = 0; i < spec->column_count; i++)
        if (strcmp(spec->columns[i].name, name) == 0)
            return spec->columns[i].node;
    return spec->query_node ? spec->query_node : spec->node;
}

static void check_rule_pair(struct map *map, const struct derivation *derivation, struct rule *rule,
                            struct map_issues *issues)
{
    struct rule_column *columns = NULL;
    for (size_t i = 0; i < derivation->column_count; i++) {
        const struct derivation_column *column = &derivation->columns[i];
        int at = map_column_index(rule, column->name);
        if (at < 0)
            continue;
        if (!column->merge) {
            issue_error(issues, column_node(map, derivation, column->name),
                        "the column \"%s\" of %s is written by rule %s already (jsonb that both write is named under "
                        "\"merge:\")",
                        column->name, derivation->to_table, rule->name);
            continue;
        }
        if (!columns) {
            columns = arena_zalloc(&map->bound, rule->column_count + 1, sizeof *columns);
            memcpy(columns, rule->columns, rule->column_count * sizeof *columns);
            rule->columns = columns;
        }
        columns[at].merge = true;
    }
}

static void check_derived_pair(const struct map *map, const struct derivation *derivation,
                               const struct derivation *other, struct map_issues *issues)
{
    for (size_t i = 0; i < derivation->column_count; i++) {
        const struct derivation_column *column = &derivation->columns[i];
        const struct derivation_column *theirs = owned_column(other, column->name);
        if (theirs && !(theirs->merge && column->merge))
            issue_error(issues, column_node(map, derivation, column->name),
                        "the column \"%s\" of %s is written by %s already (jsonb that both write is named under "
                        "\"merge:\" of both)",
                        column->name, derivation->to_table, other->name);
    }
}

void map_check_derived_columns(struct map *map, const struct derivation *derivation, struct map_issues *issues)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (same_rows(map->rules[i], derivation))
            check_rule_pair(map, derivation, map->rules[i], issues);
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map->derivations[i] != derivation && same_derived_rows(map->derivations[i], derivation))
            check_derived_pair(map, derivation, map->derivations[i], issues);
}

/* Rows have one owner; who owns columns of rows needs one. */
static void check_rows(struct map *map, const struct derivation *derivation, struct map_issues *issues)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    const char *owner = NULL;
    for (size_t i = 0; i < map->rule_count && !owner; i++)
        if (same_rows(map->rules[i], derivation))
            owner = map->rules[i]->name;
    for (size_t i = 0; i < map->derivation_count && !owner; i++)
        if (map->derivations[i] != derivation && map->derivations[i]->owns_rows &&
            same_derived_rows(map->derivations[i], derivation))
            owner = map->derivations[i]->name;
    if (owner && derivation->owns_rows && !derivation->entity)
        issue_error(issues, spec->key_node,
                    "the rows of %s are written by %s already; columns of them are derived with \"owns:\"",
                    derivation->to_table, owner);
    else if (!owner && !derivation->owns_rows && !may_be_copied(map, derivation->to_schema))
        issue_error(issues, spec->key_node,
                    "no rule writes rows of %s with this key, so there is nothing to own columns of",
                    derivation->to_table);
}

/* --- inputs --- */

static bool is_written(const struct map *map, const struct derivation_input *input)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (map_same_table(map->rules[i]->to_schema, map->rules[i]->to_table, input->schema, input->table))
            return true;
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map_same_table(map->derivations[i]->to_schema, map->derivations[i]->to_table, input->schema, input->table))
            return true;
    if (strcmp(input->schema, map->mirror_schema) == 0) /* a mirror has no rule before the source is known */
        return map_mirror_table(map, input->schema, input->table) != NULL;
    return may_be_copied(map, input->schema);
}

static const char *similar_input(struct map *map, const char *name)
{
    const char **names =
        arena_zalloc(&map->bound, 2 * map->mirror_count + map->spec_count + map->derive_count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < map->mirror_count; i++) {
        names[count++] = map->mirrors[i].name;
        names[count++] = map->mirrors[i].table;
    }
    for (size_t i = 0; i < map->spec_count; i++)
        names[count++] = map->specs[i].to_table;
    for (size_t i = 0; i < map->derive_count; i++)
        names[count++] = map->derives[i].to_table;
    return map_near(map, name, names, count);
}

static void check_input(struct map *map, const struct derivation *derivation, size_t i, struct map_issues *issues)
{
    const struct derive_input_spec *spec = &map->derives[derivation->index].inputs[i];
    const struct derivation_input *input = &derivation->inputs[i];
    if (map_is_view(map, spec->schema, spec->table))
        issue_error(issues, spec->node, "\"%s\" is a view; name the tables that it reads", spec->text);
    else if (!is_written(map, input))
        issue_error(issues, spec->node, "there is no mirror \"%s\", and no rule writes a table of that name%s",
                    spec->text, similar_input(map, spec->text));
    for (size_t j = 0; j < i; j++)
        if (map_same_table(derivation->inputs[j].schema, derivation->inputs[j].table, input->schema, input->table))
            issue_error(issues, spec->node, "the table %s.%s is named twice under touched", input->schema,
                        input->table);
    if (!map_same_table(input->schema, input->table, derivation->to_schema, derivation->to_table))
        return;
    if (derivation->owns_rows)
        issue_error(issues, spec->node, "the derivation reads the rows that it writes itself");
    else if (input->column_count == 0)
        issue_error(issues, spec->node,
                    "the derivation reads the table that it writes to; name the \"columns:\" whose changes matter");
    for (size_t c = 0; c < input->column_count && !derivation->owns_rows; c++)
        if (owned_column(derivation, input->columns[c]))
            issue_error(issues, spec->columns_node, "\"%s\" is written by this derivation itself", input->columns[c]);
}

static void check_adopt(const struct map *map, const struct derivation *derivation, struct map_issues *issues)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    if (derivation->adopt.by == ADOPT_NONE || !derivation->owns_rows)
        return;
    size_t parts = 0;
    for (size_t i = 0; i < derivation->key_count; i++)
        if (derivation->keys[i].entity && !derivation->keys[i].reference)
            parts = derivation->keys[i].part_count;
    map_check_adopt(&derivation->adopt, spec->adopt_node, derivation->entity, parts, derivation->key_count, issues);
}

void map_check_derivations(struct map *map, struct map_issues *issues)
{
    for (size_t i = 0; i < map->derivation_count; i++) {
        const struct derivation *derivation = map->derivations[i];
        check_entities(map, derivation, issues);
        check_rows(map, derivation, issues);
        check_adopt(map, derivation, issues);
        for (size_t n = 0; n < derivation->input_count; n++)
            check_input(map, derivation, n, issues);
        for (size_t r = 0; r < map->rule_count; r++)
            if (same_rows(map->rules[r], derivation))
                check_rule_pair(map, derivation, map->rules[r], issues);
        for (size_t d = 0; d < i; d++)
            if (same_derived_rows(map->derivations[d], derivation))
                check_derived_pair(map, derivation, map->derivations[d], issues);
    }
}

/* --- what nobody watches --- */

static bool is_watched(const struct map *map, const struct derivation *derivation, const struct sql_table *table)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    for (size_t i = 0; i < derivation->input_count; i++) {
        const struct derive_input_spec *input = &spec->inputs[i];
        if (map_same_table(derivation->inputs[i].schema, derivation->inputs[i].table, table->schema, table->table))
            return true;
        /* A mirror has no rule before the source is known. */
        const char *mirror = map_mirror_table(map, input->schema, input->table);
        if (mirror && map_same_table(map->mirror_schema, mirror, table->schema, table->table))
            return true;
    }
    for (size_t i = 0; i < spec->read_count; i++) {
        const struct derive_input_spec *read = &spec->reads[i];
        const char *mirror = map_mirror_table(map, read->schema, read->table);
        const char *schema = mirror ? map->mirror_schema : read->schema ? read->schema : map->target_schema;
        if (map_same_table(schema, mirror ? mirror : read->table, table->schema, table->table))
            return true;
    }
    return map_same_table(derivation->to_schema, derivation->to_table, table->schema, table->table);
}

static bool is_of_mapping(const struct map *map, const struct sql_table *table)
{
    struct derivation_input input = {.schema = table->schema, .table = table->table};
    return is_written(map, &input) && !may_be_copied(map, table->schema);
}

void map_warn_of_unwatched(struct map *map, struct map_issues *issues)
{
    for (size_t i = 0; i < map->derivation_count; i++) {
        const struct derivation *derivation = map->derivations[i];
        const struct sql_table *tables;
        size_t count = map_sql_reads(map, &map->bound, derivation->query, &tables);
        for (size_t t = 0; t < count; t++)
            if (is_of_mapping(map, &tables[t]) && !is_watched(map, derivation, &tables[t]))
                issue_warning(issues, map->derives[i].query_node,
                              "the query reads %s.%s, whose changes lead to no key; name it under \"touched:\", or "
                              "under \"reads:\" where they do not matter",
                              tables[t].schema, tables[t].table);
    }
}
