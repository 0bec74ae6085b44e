/* Specs -> rules: names, entities and their owners, who writes what. Needs no catalogue; map_bind does it again
 * with the rules that `copy:` stands for, and then fills in what only the catalogues know. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

bool map_same_table(const char *schema_a, const char *table_a, const char *schema_b, const char *table_b)
{
    return strcmp(table_a, table_b) == 0 && strcmp(schema_a, schema_b) == 0;
}

int map_column_index(const struct rule *rule, const char *name)
{
    for (size_t i = 0; i < rule->column_count; i++)
        if (strcmp(rule->columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

const char *map_table_label(struct arena *arena, const char *schema, const char *table, const char *default_schema)
{
    return strcmp(schema, default_schema) == 0 ? table : arena_printf(arena, "%s.%s", schema, table);
}

static const char *rule_name(struct map *map, const struct rule_spec *spec)
{
    if (spec->name)
        return spec->name;
    return arena_printf(&map->bound, "%s->%s",
                        map_table_label(&map->bound, spec->from_schema, spec->from_table, map->source_schema),
                        map_table_label(&map->bound, spec->to_schema, spec->to_table, map->target_schema));
}

static void make_columns(struct map *map, struct rule *rule, const struct rule_spec *spec)
{
    struct rule_column *columns = arena_zalloc(&map->bound, spec->column_count + 1, sizeof *columns);
    struct rule_program *program = rule->program;
    program->columns = arena_zalloc(&map->bound, spec->column_count + 1, sizeof *program->columns);
    rule->entity_column = -1;
    for (size_t i = 0; i < spec->column_count; i++) {
        const struct column_spec *from = &spec->columns[i];
        columns[i] = (struct rule_column){.name = from->name, .key = from->key, .once = from->once};
        if (from->entity && from->owned) {
            rule->entity = from->entity;
            rule->entity_column = (int)i;
            rule->entity_parts = from->part_count;
        } else {
            columns[i].parent_entity = from->entity;
        }
        columns[i].required = from->required == REQUIRED_YES;
        columns[i].second_pass = from->second_pass;
        program->columns[i] = (struct program_column){
            .value = from->value, .direct = -1, .identity = -1, .reference = columns[i].parent_entity != NULL};
        program->key_count += from->key;
    }
    rule->columns = columns;
    rule->column_count = spec->column_count;
}

/* Until the source is known: `identity:` where it is given, else the key. */
static void make_locator(struct map *map, struct rule *rule, const struct rule_spec *spec)
{
    uint16_t *locator = arena_zalloc(&map->bound, spec->column_count + 1, sizeof *locator);
    for (size_t i = 0; i < spec->identity_count; i++) {
        int column = map_column_index(rule, spec->identity[i]);
        if (column >= 0)
            locator[rule->locator_count++] = (uint16_t)column;
    }
    rule->locator_is_key = spec->identity_count == 0;
    for (size_t i = 0; rule->locator_is_key && i < spec->column_count; i++)
        if (spec->columns[i].key)
            locator[rule->locator_count++] = (uint16_t)i;
    rule->locator = locator;
}

static struct rule *make_rule(struct map *map, const struct rule_spec *spec, size_t index)
{
    struct rule *rule = arena_zalloc(&map->bound, 1, sizeof *rule);
    rule->program = arena_zalloc(&map->bound, 1, sizeof *rule->program);
    rule->program->spec = spec;
    rule->program->when = spec->when;
    rule->program->skip = spec->skip;
    rule->index = (int)index;
    rule->name = rule_name(map, spec);
    rule->from_schema = spec->from_schema;
    rule->from_table = spec->from_table;
    rule->to_schema = spec->to_schema;
    rule->to_table = spec->to_table;
    rule->may_exclude = spec->skip || spec->when;
    rule->looks_up = spec->lookup_count > 0;
    rule->skip = spec->skip;
    rule->copy = spec->copy;
    rule->adopt = spec->adopt;
    rule->accept_loss = spec->accept_loss;
    rule->mirror = spec->mirror != NULL;
    rule->mirror_index_count = spec->mirror ? spec->mirror->index_count : 0;
    rule->mirror_indexes = spec->mirror ? spec->mirror->indexes : NULL;
    rule->on_delete = spec->on_delete;
    rule->set = spec->set;
    rule->set_count = spec->set_count;
    rule->on_truncate = spec->on_truncate;
    make_columns(map, rule, spec);
    make_locator(map, rule, spec);
    return rule;
}

/* --- names --- */

static void check_names(const struct map *map, struct map_issues *issues)
{
    for (size_t i = 0; i < map->rule_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(map->rules[i]->name, map->rules[j]->name) != 0)
                continue;
            issue_error(issues, map->rules[i]->program->spec->node,
                        "a rule before is called \"%s\" too; give one of them a \"name:\" of its own",
                        map->rules[i]->name);
            break;
        }
    }
}

/* --- entities --- */

/* The name of the key column that holds the rule's own entity. */
static const char *owned_column(const struct rule *rule)
{
    const struct rule_spec *spec = rule->program->spec;
    for (size_t i = 0; i < spec->column_count; i++)
        if (spec->columns[i].owned && spec->columns[i].entity)
            return spec->columns[i].name;
    return "";
}

static bool owns(const struct rule *rule, const char *entity)
{
    return rule->entity && strcmp(rule->entity, entity) == 0;
}

static const struct rule *owner_of(const struct map *map, const char *entity)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (owns(map->rules[i], entity))
            return map->rules[i];
    return NULL;
}

static const struct derivation *derivation_owner_of(const struct map *map, const char *entity)
{
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map->derivations[i]->entity && strcmp(map->derivations[i]->entity, entity) == 0)
            return map->derivations[i];
    return NULL;
}

static void check_owners(const struct map *map, struct map_issues *issues)
{
    for (size_t i = 0; i < map->rule_count; i++) {
        const struct rule *rule = map->rules[i];
        const struct rule_spec *spec = rule->program->spec;
        size_t owned = 0;
        for (size_t c = 0; c < spec->column_count; c++)
            owned += spec->columns[c].owned && spec->columns[c].entity;
        if (owned > 1)
            issue_error(issues, spec->key_node, "a rule owns one entity; the others are references");
        const struct rule *first = rule->entity ? owner_of(map, rule->entity) : NULL;
        if (first && first != rule &&
            (!map_same_table(first->to_schema, first->to_table, rule->to_schema, rule->to_table) ||
             strcmp(owned_column(first), owned_column(rule)) != 0))
            issue_error(issues, spec->key_node,
                        "the entity \"%s\" is owned by rule %s, which writes it to another place; write "
                        "\"reference: true\" where this key refers to it",
                        rule->entity, first->name);
    }
}

static void find_parents(struct map *map, struct rule *rule, struct map_issues *issues)
{
    const struct rule_spec *spec = rule->program->spec;
    /* The rule's own array, not yet handed out. */
    struct rule_column *columns = arena_zalloc(&map->bound, rule->column_count + 1, sizeof *columns);
    memcpy(columns, rule->columns, rule->column_count * sizeof *columns);
    for (size_t i = 0; i < rule->column_count; i++) {
        const char *entity = columns[i].parent_entity;
        if (!entity)
            continue;
        columns[i].parent = owner_of(map, entity);
        columns[i].parent_derivation = columns[i].parent ? NULL : derivation_owner_of(map, entity);
        if (columns[i].parent || columns[i].parent_derivation)
            continue;
        issue_error(issues, spec->columns[i].node, "no rule has a key of the entity \"%s\"%s", entity,
                    map_near_entity(map, entity));
    }
    rule->columns = columns;
}

/* --- who writes what --- */

/* Two rules write the same rows of a table where their keys are made alike: the same columns, entities, or copies. */
static bool same_rows(const struct rule *a, const struct rule *b)
{
    const struct rule_spec *sa = a->program->spec, *sb = b->program->spec;
    if (a->program->key_count != b->program->key_count)
        return false;
    for (size_t i = 0; i < a->program->key_count; i++) {
        int j = map_column_index(b, sa->columns[i].name);
        if (j < 0 || !sb->columns[j].key)
            return false;
        const char *ea = sa->columns[i].entity, *eb = sb->columns[j].entity;
        if ((ea == NULL) != (eb == NULL) || (ea && strcmp(ea, eb) != 0))
            return false;
    }
    return true;
}

static void check_pair(const struct rule *a, const struct rule *b, struct map_issues *issues)
{
    if (!map_same_table(a->to_schema, a->to_table, b->to_schema, b->to_table) || !same_rows(a, b))
        return;
    const struct rule_spec *spec = b->program->spec;
    size_t shared = 0;
    for (size_t i = b->program->key_count; i < b->column_count; i++) {
        int other = map_column_index(a, b->columns[i].name);
        if (other < 0)
            continue;
        shared++;
        issue_error(issues, spec->columns[i].node ? spec->columns[i].node : spec->node,
                    "the column \"%s\" of %s is written by rule %s already", b->columns[i].name, b->to_table, a->name);
    }
    if (shared == 0 && map_same_table(a->from_schema, a->from_table, b->from_schema, b->from_table))
        issue_error(issues, spec->node, "rule %s writes the same rows of %s from the same table; make one rule of both",
                    a->name, b->to_table);
}

static void check_adopt(const struct rule *rule, struct map_issues *issues)
{
    const struct rule_spec *spec = rule->program->spec;
    if (rule->adopt.by != ADOPT_NONE)
        map_check_adopt(&rule->adopt, spec->adopt_node, rule->entity, rule->entity_parts, rule->program->key_count,
                        issues);
}

/* --- the whole --- */

void map_compile(struct map *map, struct rule_spec *extra, size_t extra_count, struct map_issues *issues)
{
    size_t count = map->spec_count + extra_count;
    map->rule_count = 0;
    map->rules = arena_zalloc(&map->bound, count + 1, sizeof(struct rule *));
    map->order = arena_zalloc(&map->bound, count + 1, sizeof *map->order);
    map->steps = arena_zalloc(&map->bound, count + map->derive_count + 1, sizeof *map->steps);
    map->step_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct rule_spec *spec = i < map->spec_count ? &map->specs[i] : &extra[i - map->spec_count];
        map->rules[i] = make_rule(map, spec, i);
        map->order[i] = (int)i;
        map->rule_count++;
    }
    check_names(map, issues);
    map_compile_derivations(map, issues);
    check_owners(map, issues);
    for (size_t i = 0; i < count; i++) {
        find_parents(map, map->rules[i], issues);
        check_adopt(map->rules[i], issues);
        for (size_t j = 0; j < i; j++)
            check_pair(map->rules[j], map->rules[i], issues);
    }
    map_check_derivations(map, issues);
}

size_t map_rule_count(const struct map *map)
{
    return map->rule_count;
}

const struct rule *map_rule(const struct map *map, size_t index)
{
    return index < map->rule_count ? map->rules[index] : NULL;
}

const int *map_rule_order(const struct map *map)
{
    return map->order;
}

const struct map_step *map_steps(const struct map *map, size_t *ret_count)
{
    *ret_count = map->step_count;
    return map->steps;
}

const struct map_step *map_rule_step(const struct map *map, const struct rule *rule)
{
    for (size_t i = 0; i < map->step_count; i++)
        if (map->steps[i].kind == STEP_RULE && map->steps[i].index == rule->index)
            return &map->steps[i];
    return NULL;
}

int map_level_count(const struct map *map)
{
    int highest = 0;
    for (size_t i = 0; i < map->step_count; i++)
        highest = map->steps[i].level > highest ? map->steps[i].level : highest;
    return highest + 1;
}

size_t map_derivation_count(const struct map *map)
{
    return map->derivation_count;
}

const struct derivation *map_derivation(const struct map *map, size_t index)
{
    return index < map->derivation_count ? map->derivations[index] : NULL;
}

const struct mirror_view *map_views(const struct map *map, size_t *ret_count)
{
    *ret_count = map->view_count;
    return map->views;
}

const char *map_mirror_schema(const struct map *map)
{
    return map->mirror_schema ? map->mirror_schema : "pgrekey_mirror";
}

const struct relation *map_rule_target(const struct map *map, const struct rule *rule)
{
    (void)map;
    return rule->program->target;
}

struct use {
    const char *column;
    bool found;
};

static void find_use(void *context, const char *name)
{
    struct use *use = context;
    use->found = use->found || strcmp(name, use->column) == 0;
}

bool map_column_used(const struct map *map, const char *schema, const char *table, const char *column)
{
    struct use use = {column, false};
    for (size_t i = 0; i < map->rule_count && !use.found; i++) {
        const struct rule *rule = map->rules[i];
        if (!map_same_table(rule->from_schema, rule->from_table, schema, table))
            continue;
        for (size_t c = 0; c < rule->column_count; c++)
            expr_each_column(rule->program->columns[c].value, find_use, &use);
        if (rule->program->when)
            expr_each_column(rule->program->when, find_use, &use);
        const struct relation *source = rule->program->source;
        for (size_t k = 0; source && k < source->key_count; k++)
            find_use(&use, source->columns[source->key[k]].name);
    }
    return use.found;
}
