/* Which parents are there: asked in one query a parent table and chunk, remembered in a bounded cache.
 *
 * The cache holds only ids that were seen or written by this session; own deletes take them out, a rollback empties
 * it. Row mode does not trust it.
 */
#ifndef PGREKEY_SINKS_POSTGRES_PARENTS_H
#define PGREKEY_SINKS_POSTGRES_PARENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "transform/row.h"

struct pgsink;
struct parents;

struct parents *parents_new(size_t max_entries);
void parents_free(struct parents *parents);
void parents_forget(struct parents *parents);

/* One value of a reference, and what is known of it. */
struct parent_question {
    size_t place;              /* references.h: a table's key column, whoever writes it */
    const struct value *value; /* the key's text */
    bool found;                /* the answer */
};

/* Answers from the cache, then asks the target for the rest (in the open transaction, so own writes are seen). */
int parents_ask(struct pgsink *s, struct parent_question *questions, size_t count, struct err *reterr) MUST_CHECK;
/* The same past the cache: what row mode uses. */
int parents_ask_afresh(struct pgsink *s, struct parent_question *questions, size_t count,
                       struct err *reterr) MUST_CHECK;

/* Is it in the cache? (false: ask) */
bool parents_knows(const struct parents *parents, size_t place, const struct value *value);
/* A row was written, or deleted, that stands at this place under this value. */
void parents_written(struct parents *parents, size_t place, const struct value *value);
void parents_deleted(struct parents *parents, size_t place, const struct value *value);

/* The same of a row of a rule, for whatever places it stands at; deleted: by its locator alone. */
void parents_row_written(struct pgsink *s, const struct row *row);
void parents_row_deleted(struct pgsink *s, const struct rule *rule, const struct value *locator);

#endif
