/* Words that are read and checked, but that nothing carries out yet. Whoever would run a mapping is refused; one place,
 * so that a word is let go by taking a line away here. */
#include "transform/map_internal.h"

static void refuse(struct map_issues *issues, const struct yaml_node *node, const char *word)
{
    issue_error(issues, node, "\"%s\" is not supported yet in this version", word);
}

int map_refuse_unbuilt(const struct map *map, struct map_issues *issues, struct err *reterr)
{
    size_t before = issue_error_count(issues);
    for (size_t i = 0; i < map->derive_count; i++)
        if (map->derives[i].adopt.by != ADOPT_NONE)
            refuse(issues, map->derives[i].adopt_node, "adopt");
    size_t count = issue_error_count(issues) - before;
    return count ? err_set(reterr, ERR_CONFIG, "the mapping file has %zu error%s", count, count == 1 ? "" : "s") : 0;
}
