/* One value masked: equal values alike, different ones differently, in the format that they had. */
#ifndef PGREKEY_TRANSFORM_MASK_VALUE_H
#define PGREKEY_TRANSFORM_MASK_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "transform/mask/permute.h"
#include "transform/text.h"

enum mask_kind {
    MASK_EMPTY, /* nothing of it is written: NULL, or left out of its JSON */
    MASK_CLEAR, /* as it is */
    MASK_NAME,
    MASK_EMAIL,
    MASK_PHONE,
    MASK_TEXT, /* free text: a longer one becomes words that say nothing, of the same length */
    MASK_DATE, /* of birth: the year stays, the day in it and the time of day do not */
    MASK_NUMBER,
    MASK_JSON, /* key by key, by fields */
};

/* The declared columns of a table, or keys of a JSON object. */
struct mask_fields {
    size_t count;
    struct mask_field *fields;
};
struct mask_field {
    const char *name;
    enum mask_kind kind;
    const struct mask_fields *json; /* of MASK_JSON */
};
const struct mask_field *mask_field_find(const struct mask_fields *fields, struct slice name);

struct masking {
    struct permuter *permuter;
    struct arena *arena; /* of what is put together on the way */
};

/* Appends the masked text. `limit` is the largest number that the column holds, in digits; NULL for none. False, with
 * nothing to be used of `out`, where nothing may be written. For all kinds but MASK_JSON. */
bool mask_value(struct masking *masking, enum mask_kind kind, const char *limit, struct slice value, struct buf *out);
/* The same of JSON: keys that are not declared are left out. False where the text is no JSON. */
bool mask_json(struct masking *masking, const struct mask_fields *fields, struct slice value, struct buf *out);

#endif
