/* Optional references that are NULL because their parent is not there: pgrekey.pending_reference. */
#ifndef PGREKEY_SINKS_POSTGRES_PENDING_H
#define PGREKEY_SINKS_POSTGRES_PENDING_H

#include <stddef.h>

#include "cdc/base/err.h"
#include "sinks/postgres/apply/chunk.h"
#include "transform/row.h"

struct pgsink;

/* One note; `locator` is where the row stands on the target. */
int pending_put(struct pgsink *s, const struct row *row, const char *key, size_t column, const struct value *parent,
                struct err *reterr) MUST_CHECK;
/* Those of the plan, as a set; the entries that went aside after all are left out. */
int pending_put_notes(struct pgsink *s, const struct chunk_plan *plan, struct err *reterr) MUST_CHECK;
/* Forgets what the row waited for, in one column or (NULL) in all. `other`: another name of the row, or NULL. */
int pending_remove(struct pgsink *s, const struct rule *rule, const char *key, const char *other,
                   const char *column_or_null, struct err *reterr) MUST_CHECK;
/* Parents have come (keys: an array literal): fills what waited for them. What the target refuses goes on waiting. */
int pending_arrived(struct pgsink *s, size_t place, const char *ids, struct err *reterr) MUST_CHECK;

#endif
