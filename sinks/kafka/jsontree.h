/* A JSON text as a small tree: what is read back from topics. Strict, bounded in depth; numbers stay text.
 *
 * Strings without escapes point into the text, which must live as long as the tree; all else lies in the arena.
 */
#ifndef PGREKEY_SINKS_KAFKA_JSONTREE_H
#define PGREKEY_SINKS_KAFKA_JSONTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"

#define JSONTREE_DEPTH_MAX 64

enum jsontree_kind { JSONTREE_NULL, JSONTREE_BOOL, JSONTREE_NUMBER, JSONTREE_STRING, JSONTREE_ARRAY, JSONTREE_OBJECT };

struct jsontree {
    enum jsontree_kind kind;
    bool truth;
    const char *text; /* of a string, decoded, or a number's digits; not NUL-terminated */
    size_t len;
    const char *name; /* of an object's member; likewise */
    size_t name_len;
    struct jsontree *first, *next; /* members or elements, in order */
};

/* NULL where it is no JSON. */
const struct jsontree *jsontree_parse(const char *text, size_t len, struct arena *arena);

/* All take NULL, and give NULL, 0 or false where there is no such thing. */
const struct jsontree *jsontree_get(const struct jsontree *object, const char *name);
const char *jsontree_text(const struct jsontree *object, const char *name, struct arena *arena); /* NUL-terminated */
int64_t jsontree_int(const struct jsontree *object, const char *name);
bool jsontree_true(const struct jsontree *object, const char *name);

#endif
