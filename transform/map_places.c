/* Where SQL stands in the file, and what of it is nobody's but the target's to judge. */
#include "transform/map_internal.h"

static size_t line_of(const struct yaml_node *node)
{
    return node ? node->line : 0;
}

size_t map_rule_line(const struct map *map, const struct rule *rule)
{
    (void)map;
    return rule->program && rule->program->spec ? line_of(rule->program->spec->node) : 0;
}

size_t map_derivation_query_line(const struct map *map, size_t index)
{
    return index < map->derive_count ? line_of(map->derives[index].query_node) : 0;
}

size_t map_derivation_keys_line(const struct map *map, size_t index, size_t input)
{
    if (index >= map->derive_count || input >= map->derives[index].input_count)
        return 0;
    return line_of(map->derives[index].inputs[input].node);
}

size_t map_derivation_reject_line(const struct map *map, size_t index)
{
    return index < map->derive_count ? line_of(map->derives[index].reject_node) : 0;
}

static bool rule_query(const struct rule *rule, struct map_adopt_query *ret)
{
    const struct rule_spec *spec = rule->program->spec;
    if (rule->adopt.by != ADOPT_SQL)
        return false;
    *ret = (struct map_adopt_query){.name = rule->name,
                                    .sql = rule->adopt.sql,
                                    .part_count = rule->entity_parts,
                                    .line = line_of(spec->adopt_node)};
    return true;
}

static bool derivation_query(const struct map *map, const struct derivation *derivation, struct map_adopt_query *ret)
{
    if (derivation->adopt.by != ADOPT_SQL)
        return false;
    *ret = (struct map_adopt_query){.name = derivation->name,
                                    .sql = derivation->adopt.sql,
                                    .line = line_of(map->derives[derivation->index].adopt_node)};
    for (size_t i = 0; i < derivation->key_count; i++)
        if (derivation->keys[i].entity && !derivation->keys[i].reference)
            ret->part_count = derivation->keys[i].part_count;
    return true;
}

bool map_adopt_query(const struct map *map, size_t index, struct map_adopt_query *ret_query)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (rule_query(map->rules[i], ret_query) && index-- == 0)
            return true;
    for (size_t i = 0; i < map->derivation_count; i++)
        if (derivation_query(map, map->derivations[i], ret_query) && index-- == 0)
            return true;
    return false;
}
