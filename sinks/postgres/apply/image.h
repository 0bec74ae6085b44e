/* The image of a source row inside a quarantine entry: to JSON, and back by the target's own JSON functions. */
#ifndef PGREKEY_SINKS_POSTGRES_IMAGE_H
#define PGREKEY_SINKS_POSTGRES_IMAGE_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"

struct pgsink;

/* PostgreSQL takes no text beyond that; escapes included. */
#define IMAGE_MAX ((size_t)1000 << 20)

/* {"column": "text" or null, …}; what is ABSENT is left out. {} for a delete. */
void image_put(struct buf *json, const struct change *change);
/* Fills the ABSENT columns of `change` that the image holds. Columns that the source no longer has are passed over. */
int image_fill(struct pgsink *s, const char *image, struct change *change, struct arena *arena,
               struct err *reterr) MUST_CHECK;
/* The same as image_fill for a text that image_put wrote; false where it was not, and then the change is half filled.
 * For many at once: no round trip each. */
bool image_read(const char *image, struct change *change, struct arena *arena);
/* A source key as source_key() writes it. */
bool image_read_key(const char *key, struct value *identity, size_t count, struct arena *arena);
/* A cell of a result as a value, copied. */
struct value image_value(const PGresult *result, int row, int column, struct arena *arena);

#endif
