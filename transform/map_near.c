/* What else may have been meant: "; did you mean "x"?", or "". Texts are the `bound` arena's. */
#include "transform/map_internal.h"

#include <string.h>

const char *map_near(struct map *map, const char *word, const char *const *names, size_t count)
{
    const char *near = map_suggest(word, names, count);
    return near ? arena_printf(&map->bound, "; did you mean \"%s\"?", near) : "";
}

const char *map_near_entity(struct map *map, const char *entity)
{
    const char **names = arena_zalloc(&map->bound, map->rule_count + map->derivation_count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->entity)
            names[count++] = map->rules[i]->entity;
    for (size_t i = 0; i < map->derivation_count; i++)
        if (map->derivations[i]->entity)
            names[count++] = map->derivations[i]->entity;
    return map_near(map, entity, names, count);
}

const char *map_near_column(struct map *map, const struct relation *relation, const char *name)
{
    const char **names = arena_zalloc(&map->bound, relation->column_count + 1, sizeof *names);
    for (size_t i = 0; i < relation->column_count; i++)
        names[i] = relation->columns[i].name;
    return map_near(map, name, names, relation->column_count);
}

const char *map_near_table(struct map *map, const struct catalog *catalog, const char *schema, const char *name)
{
    const char **names = arena_zalloc(&map->bound, catalog->count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; i < catalog->count; i++)
        if (strcmp(catalog->relations[i].schema, schema) == 0)
            names[count++] = catalog->relations[i].name;
    return map_near(map, name, names, count);
}
