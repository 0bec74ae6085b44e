/* The masking of a mapping's rows: by `mask:` and a secret. What the file does not declare is NULL. */
#ifndef PGREKEY_TRANSFORM_MASK_MASK_H
#define PGREKEY_TRANSFORM_MASK_MASK_H

#include "cdc/base/arena.h"
#include "transform/map.h"

struct masker;

/* For a bound map, which must outlive it. The secret is hashed and not kept. One thread. */
struct masker *masker_new(const struct map *map, const void *secret, size_t len);
void masker_free(struct masker *masker); /* NULL is fine */

/* Masks the values of a rule's columns in place (rule->column_count); new texts are put into the arena. ABSENT ones
 * stay absent. */
void masker_apply(struct masker *masker, const struct rule *rule, struct value *values, struct arena *arena);

#endif
