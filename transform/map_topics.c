/* Rows that were mapped once and come back from topics. Each rule gets a source of its own: a relation that looks like
 * what the rule writes, and values that are nothing but copies of its columns. Everything behind the rules stays as it
 * is: parents, order, mirrors, derivations.
 *
 *     legacy table ─▶ rule ─▶ topic ─▶ relation of the rule ─▶ rule, copying ─▶ the same row
 */
#include "transform/map_internal.h"

#include <string.h>

static const struct relation *relation_of_rule(struct map *map, const struct rule *rule)
{
    const struct relation *target = rule->program->target;
    struct relation *relation = arena_zalloc(&map->bound, 1, sizeof *relation);
    relation->schema = arena_strdup(&map->bound, rule->from_schema);
    relation->name = arena_strdup(&map->bound, rule->from_table);
    relation->kind = 'r';
    relation->replident = 'd';
    relation->column_count = rule->column_count;
    relation->columns = arena_zalloc(&map->bound, rule->column_count + 1, sizeof *relation->columns);
    for (size_t c = 0; c < rule->column_count; c++) {
        int at = relation_column(target, rule->columns[c].name);
        if (at >= 0)
            relation->columns[c] = target->columns[at];
        relation->columns[c].attnum = (int)c + 1;
        relation->columns[c].name = arena_strdup(&map->bound, rule->columns[c].name);
    }
    relation->key_count = relation->pk_count = rule->locator_count;
    relation->key = relation->pk = arena_alloc(&map->bound, (rule->locator_count + 1) * sizeof *relation->key);
    memcpy(relation->key, rule->locator, rule->locator_count * sizeof *relation->key);
    return relation;
}

static void read_topic(struct map *map, struct rule *rule, bool check)
{
    struct rule_program *program = rule->program;
    program->source = relation_of_rule(map, rule);
    program->when = NULL;
    for (size_t c = 0; c < rule->column_count; c++) {
        program->columns[c].direct = (int)c;
        program->columns[c].identity = -1;
        program->columns[c].check = check;
    }
    for (size_t k = 0; k < rule->locator_count; k++)
        program->columns[rule->locator[k]].identity = (int)k;
    rule->looks_up = rule->looked_up = false;
    rule->replayed = rule->may_exclude = true;
    rule->adopt = (struct adopt){.by = ADOPT_NONE};
    rule->origin_count = rule->locator_count;
    rule->origin = rule->locator;
}

void map_bind_topics(struct map *map, bool check)
{
    for (size_t r = 0; r < map->rule_count; r++)
        read_topic(map, map->rules[r], check);
    map->tables = NULL;
}
