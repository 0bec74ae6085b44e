/* The order in which rules are applied: a rule after all that own what it refers to, otherwise as in the file.
 *
 * Edges come from references of the mapping and from foreign keys of the target. A circle is refused, also one that
 * deferrable foreign keys close: a snapshot loads one level after the other, in transactions of their own. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

struct edges {
    size_t count;   /* rules */
    uint8_t *waits; /* [child * count + parent] */
};

static void add_edge(const struct edges *edges, int child, int parent)
{
    if (child != parent)
        edges->waits[(size_t)child * edges->count + (size_t)parent] = 1;
}

static void add_references(const struct map *map, struct edges *edges, const struct rule *rule)
{
    for (size_t c = 0; c < rule->column_count; c++) {
        const char *entity = rule->columns[c].parent_entity;
        for (size_t i = 0; entity && i < map->rule_count; i++)
            if (map->rules[i]->entity && strcmp(map->rules[i]->entity, entity) == 0)
                add_edge(edges, rule->index, (int)i);
    }
}

static bool writes_any(const struct rule *rule, const struct relation *target, const struct foreign_key *fk)
{
    for (size_t i = 0; i < fk->count; i++)
        if (map_column_index(rule, target->columns[fk->columns[i]].name) >= 0)
            return true;
    return false;
}

static void add_foreign_keys(const struct map *map, struct edges *edges, const struct rule *rule)
{
    const struct relation *target = rule->program->target;
    for (size_t f = 0; target && f < target->fk_count; f++) {
        const struct foreign_key *fk = &target->fks[f];
        if (map_same_table(fk->parent_schema, fk->parent_table, rule->to_schema, rule->to_table) ||
            !writes_any(rule, target, fk))
            continue;
        for (size_t i = 0; i < map->rule_count; i++)
            if (map_same_table(map->rules[i]->to_schema, map->rules[i]->to_table, fk->parent_schema, fk->parent_table))
                add_edge(edges, rule->index, (int)i);
    }
}

static bool waits(const struct edges *edges, const bool *done, size_t child)
{
    for (size_t parent = 0; parent < edges->count; parent++)
        if (!done[parent] && edges->waits[child * edges->count + parent])
            return true;
    return false;
}

/* The first rule of the file that waits for nothing, or -1. */
static int next_rule(const struct edges *edges, const bool *done)
{
    for (size_t i = 0; i < edges->count; i++)
        if (!done[i] && !waits(edges, done, i))
            return (int)i;
    return -1;
}

/* From any waiting rule, going to its parents again and again, one is met twice: that is the circle. */
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
                buf_printf(&text, "%s > ", map->rules[at]->name);
            size_t parent = 0;
            while (done[parent] || !edges->waits[at * edges->count + parent])
                parent++;
            at = parent;
            if (round == 1 && at == start)
                break;
        }
    }
    const struct yaml_node *node = map->rules[at]->program->spec->node;
    issue_error(issues, node, "rules refer to each other in a circle: %s%s; a circle is not supported", buf_text(&text),
                map->rules[at]->name);
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

void map_sort(struct map *map, struct map_issues *issues)
{
    struct edges edges = {.count = map->rule_count};
    bool *done = mem_zalloc(map->rule_count + 1, sizeof *done);
    int *levels = mem_zalloc(map->rule_count + 1, sizeof *levels);
    edges.waits = mem_zalloc(map->rule_count * map->rule_count + 1, 1);
    for (size_t i = 0; i < map->rule_count; i++) {
        add_references(map, &edges, map->rules[i]);
        add_foreign_keys(map, &edges, map->rules[i]);
    }
    for (size_t i = 0; i < map->rule_count; i++) {
        int next = next_rule(&edges, done);
        if (next < 0) {
            report_circle(map, &edges, done, issues);
            break;
        }
        done[next] = true;
        map->order[i] = next;
        levels[next] = level_of(&edges, levels, (size_t)next);
        map->steps[map->step_count++] = (struct map_step){STEP_RULE, next, levels[next]};
    }
    free(levels);
    free(edges.waits);
    free(done);
}
