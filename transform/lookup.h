/* What `lookup:` of a row rule asks: the row of a small mirror, by the mirror's key. transform/ has the question; the
 * answer, a copy of the mirror as it was before the change at hand, belongs to whoever composes the engine
 * (cdc/app/engine/lookup.c).
 */
#ifndef PGREKEY_TRANSFORM_LOOKUP_H
#define PGREKEY_TRANSFORM_LOOKUP_H

#include "cdc/base/arena.h"
#include "cdc/base/change.h"
#include "transform/rule.h"

struct map;

struct lookup_source {
    void *context;
    /* The mirror's row whose key columns have these values, in the rule's order of them; none of them NULL or absent.
     * 1 and *ret_values, mirror->column_count of them, in the arena; 0: there is no such row; -1: the mirror is not
     * loaded, which must not happen. Called by several threads at once. */
    int (*find)(void *context, const struct rule *mirror, const struct value *key, struct arena *arena,
                const struct value **ret_values);
};

/* Who answers from now on, for map_transform and map_transform_rule; copied, the context must outlive its use. Survives
 * map_bind. Before the first call nobody does: every question is one that must not happen. */
void map_set_lookups(struct map *map, const struct lookup_source *source);

#endif
