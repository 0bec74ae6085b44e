/* Look-ups of row rules in mirrors: see lookup.h. */
#include "transform/lookup.h"

#include "transform/map_internal.h"

void map_set_lookups(struct map *map, const struct lookup_source *source)
{
    map->lookups = *source;
}
