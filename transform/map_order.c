/* The one order of everything that writes: a rule or a derivation after all that own what it refers to and all whose
 * tables it reads, otherwise as in the file, rules first.
 *
 *     mirrors ──▶ derivation ──▶ rule that refers to its rows ──▶ derivation that reads those …
 *
 * Edges come from references of the mapping, from foreign keys of the target, and from what a derivation reads. A
 * circle is refused, also one that deferrable foreign keys close: a snapshot loads one level after the other, in
 * transactions of their own. Columns of a `second_pass:` make no edge: they are filled when their parent comes. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

/* Nodes are the rules, then the derivations. */
struct edges {
    size_t count, rules;
    uint8_t *waits; /* [child * count + parent] */
};

static void add_edge(const struct edges *edges, size_t child, size_t parent)
{
    if (child != parent)
        edges->waits[child * edges->count + parent] = 1;
}

static void add_owners(const struct map *map, const struct edges *edges, size_t child, const char *entity)
{
    if (!entity)
        return;
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->entity && strcmp(map->rules[i]->entity, entity) == 0)
            add_edge(edges, child, i);
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map->derivations[i]->entity && strcmp(map->derivations[i]->entity, entity) == 0)
            add_edge(edges, child, edges->rules + i);
}

/* All that write rows of the table. */
static void add_writers(const struct map *map, const struct edges *edges, size_t child, const char *schema,
                        const char *table)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (map_same_table(map->rules[i]->to_schema, map->rules[i]->to_table, schema, table))
            add_edge(edges, child, i);
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map->derivations[i]->owns_rows &&
            map_same_table(map->derivations[i]->to_schema, map->derivations[i]->to_table, schema, table))
            add_edge(edges, child, edges->rules + i);
}

/* --- rules --- */

static bool in_second_pass(const struct rule *rule, const char *name)
{
    int at = map_column_index(rule, name);
    return at >= 0 && rule->program->spec->columns[at].second_pass;
}

static void add_references(const struct map *map, const struct edges *edges, const struct rule *rule)
{
    for (size_t c = 0; c < rule->column_count; c++)
        if (!rule->program->spec->columns[c].second_pass)
            add_owners(map, edges, (size_t)rule->index, rule->columns[c].parent_entity);
    for (size_t i = 0; i < rule->program->spec->lookup_count; i++)
        add_writers(map, edges, (size_t)rule->index, map->mirror_schema, rule->program->spec->lookups[i].table);
}

static bool writes_any(const struct rule *rule, const struct relation *target, const struct foreign_key *fk)
{
    for (size_t i = 0; i < fk->count; i++) {
        const char *name = target->columns[fk->columns[i]].name;
        if (map_column_index(rule, name) >= 0 && !in_second_pass(rule, name))
            return true;
    }
    return false;
}

static void add_foreign_keys(const struct map *map, const struct edges *edges, const struct rule *rule)
{
    const struct relation *target = rule->program->target;
    for (size_t f = 0; target && f < target->fk_count; f++) {
        const struct foreign_key *fk = &target->fks[f];
        if (!map_same_table(fk->parent_schema, fk->parent_table, rule->to_schema, rule->to_table) &&
            writes_any(rule, target, fk))
            add_writers(map, edges, (size_t)rule->index, fk->parent_schema, fk->parent_table);
    }
}

/* --- derivations --- */

static bool in_list(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Does it write a column of the input that matters? */
static bool writes_column_of(const struct derivation *writer, const struct derivation_input *input)
{
    if (input->column_count == 0 || writer->column_count == 0)
        return true;
    for (size_t c = 0; c < writer->column_count; c++)
        if (in_list(writer->columns[c].name, input->columns, input->column_count))
            return true;
    return false;
}

static void add_input(const struct map *map, const struct edges *edges, size_t child,
                      const struct derivation_input *input)
{
    add_writers(map, edges, child, input->schema, input->table);
    for (size_t i = 0; i < map->derivation_count; i++)
        if (!map->derivations[i]->owns_rows &&
            map_same_table(map->derivations[i]->to_schema, map->derivations[i]->to_table, input->schema,
                           input->table) &&
            writes_column_of(map->derivations[i], input))
            add_edge(edges, child, edges->rules + i);
}

/* Tables of its query, and of `reads:`, that are no inputs: their rows must be there all the same. */
static void add_read(const struct map *map, const struct edges *edges, size_t child,
                     const struct derivation *derivation, const char *schema, const char *table)
{
    struct derivation_input input = {.schema = schema, .table = table};
    if (map_same_table(schema, table, derivation->to_schema, derivation->to_table))
        return;
    for (size_t i = 0; i < derivation->input_count; i++)
        if (map_same_table(derivation->inputs[i].schema, derivation->inputs[i].table, schema, table))
            return;
    add_input(map, edges, child, &input);
}

static void add_reads(struct map *map, const struct edges *edges, size_t child, const struct derivation *derivation)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    const struct sql_table *tables;
    for (size_t i = 0; i <= derivation->input_count; i++) {
        const char *sql = i < derivation->input_count ? derivation->inputs[i].keys : derivation->query;
        size_t count = map_sql_reads(map, &map->bound, sql, &tables);
        for (size_t t = 0; t < count; t++)
            add_read(map, edges, child, derivation, tables[t].schema, tables[t].table);
    }
    for (size_t i = 0; i < spec->read_count; i++) {
        const struct derive_input_spec *read = &spec->reads[i];
        const char *mirror = map_mirror_table(map, read->schema, read->table);
        const char *schema = mirror ? map->mirror_schema : read->schema ? read->schema : map->target_schema;
        add_read(map, edges, child, derivation, schema, mirror ? mirror : read->table);
    }
}

static bool derives_any(const struct map *map, const struct derivation *derivation, const struct relation *target,
                        const struct foreign_key *fk)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    for (size_t i = 0; i < fk->count; i++) {
        const char *name = target->columns[fk->columns[i]].name;
        bool found = !spec->columns_named && spec->owns_rows, second_pass = false;
        for (size_t c = 0; c < spec->column_count; c++) {
            if (strcmp(spec->columns[c].name, name) != 0)
                continue;
            found = true;
            second_pass = spec->columns[c].second_pass;
        }
        for (size_t k = 0; k < spec->key_count && spec->owns_rows; k++)
            found = found || strcmp(spec->keys[k].column, name) == 0;
        if (found && !second_pass)
            return true;
    }
    return false;
}

static void add_derivation(struct map *map, const struct edges *edges, const struct derivation *derivation)
{
    const struct derive_spec *spec = &map->derives[derivation->index];
    size_t child = edges->rules + (size_t)derivation->index;
    const struct relation *target =
        map->target ? catalog_find(map->target, derivation->to_schema, derivation->to_table) : NULL;
    for (size_t i = 0; i < derivation->input_count; i++)
        add_input(map, edges, child, &derivation->inputs[i]);
    add_reads(map, edges, child, derivation);
    for (size_t i = 0; i < derivation->key_count; i++)
        if (derivation->keys[i].reference || !derivation->owns_rows)
            add_owners(map, edges, child, derivation->keys[i].entity);
    for (size_t i = 0; i < spec->column_count; i++)
        if (!spec->columns[i].second_pass)
            add_owners(map, edges, child, spec->columns[i].entity);
    if (!derivation->owns_rows)
        add_writers(map, edges, child, derivation->to_schema, derivation->to_table);
    for (size_t f = 0; target && f < target->fk_count; f++) {
        const struct foreign_key *fk = &target->fks[f];
        if (!map_same_table(fk->parent_schema, fk->parent_table, derivation->to_schema, derivation->to_table) &&
            derives_any(map, derivation, target, fk))
            add_writers(map, edges, child, fk->parent_schema, fk->parent_table);
    }
}

/* --- sorting --- */

static bool waits(const struct edges *edges, const bool *done, size_t child)
{
    for (size_t parent = 0; parent < edges->count; parent++)
        if (!done[parent] && edges->waits[child * edges->count + parent])
            return true;
    return false;
}

/* The first of the file that waits for nothing, or -1. */
static int next_node(const struct edges *edges, const bool *done)
{
    for (size_t i = 0; i < edges->count; i++)
        if (!done[i] && !waits(edges, done, i))
            return (int)i;
    return -1;
}

static const char *node_name(const struct map *map, size_t node)
{
    return node < map->rule_count ? map->rules[node]->name : map->derivations[node - map->rule_count]->name;
}

static const struct yaml_node *node_place(const struct map *map, size_t node)
{
    return node < map->rule_count ? map->rules[node]->program->spec->node : map->derives[node - map->rule_count].node;
}

/* From any waiting one, going to its parents again and again, one is met twice: that is the circle. */
static void report_circle(const struct map *map, const struct edges *edges, const bool *done, struct map_issues *issues)
{
    size_t at = 0;
    struct buf text;
    buf_init(&text, 700);
    while (done[at])
        at++;
    for (int round = 0; round < 2; round++) {
        size_t start = at;
        for (size_t steps = 0; steps <= edges->count; steps++) {
            if (round == 1)
                buf_printf(&text, "%s > ", node_name(map, at));
            size_t parent = 0;
            while (done[parent] || !edges->waits[at * edges->count + parent])
                parent++;
            at = parent;
            if (round == 1 && at == start)
                break;
        }
    }
    issue_error(issues, node_place(map, at),
                "rules need each other in a circle: %s%s; name the optional references that may be filled later under "
                "\"second_pass:\" of one of them",
                buf_text(&text), node_name(map, at));
    buf_done(&text);
}

/* One more than the highest level that it waits for. `levels` of those before it are known. */
static int level_of(const struct edges *edges, const int *levels, size_t child)
{
    int level = 0;
    for (size_t parent = 0; parent < edges->count; parent++)
        if (edges->waits[child * edges->count + parent] && levels[parent] >= level)
            level = levels[parent] + 1;
    return level;
}

static void add_step(struct map *map, size_t node, int level)
{
    bool rule = node < map->rule_count;
    int index = (int)(rule ? node : node - map->rule_count);
    if (rule)
        map->order[map->ordered_count++] = index;
    map->steps[map->step_count++] = (struct map_step){rule ? STEP_RULE : STEP_DERIVATION, index, level};
}

static void sort(struct map *map, const struct edges *edges, bool *done, int *levels, struct map_issues *issues)
{
    for (size_t i = 0; i < edges->count; i++) {
        int next = next_node(edges, done);
        if (next < 0) {
            report_circle(map, edges, done, issues);
            return;
        }
        done[next] = true;
        levels[next] = level_of(edges, levels, (size_t)next);
        add_step(map, (size_t)next, levels[next]);
    }
}

void map_sort(struct map *map, struct map_issues *issues)
{
    struct edges edges = {.count = map->rule_count + map->derivation_count, .rules = map->rule_count};
    bool *done = mem_zalloc(edges.count + 1, sizeof *done);
    int *levels = mem_zalloc(edges.count + 1, sizeof *levels);
    map->waits = edges.waits = arena_zalloc(&map->bound, edges.count * edges.count + 1, 1);
    for (size_t i = 0; i < map->rule_count; i++) {
        add_references(map, &edges, map->rules[i]);
        add_foreign_keys(map, &edges, map->rules[i]);
    }
    for (size_t i = 0; i < map->derivation_count; i++)
        add_derivation(map, &edges, map->derivations[i]);
    map->step_count = map->ordered_count = 0;
    sort(map, &edges, done, levels, issues);
    free(levels);
    free(done);
}

static size_t node_of(const struct map *map, const struct map_step *step)
{
    return step->kind == STEP_RULE ? (size_t)step->index : map->rule_count + (size_t)step->index;
}

bool map_needs(const struct map *map, const struct map_step *child, const struct map_step *parent)
{
    return map->waits[node_of(map, child) * (map->rule_count + map->derivation_count) + node_of(map, parent)];
}
