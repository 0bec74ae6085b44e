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
    const struct rule *parent; /* the rule that owns the parent's table */
    const struct value *value; /* its key's text */
    bool found;                /* the answer */
};

/* Answers from the cache, then asks the target for the rest (in the open transaction, so own writes are seen). */
int parents_ask(struct pgsink *s, struct parent_question *questions, size_t count, struct err *reterr) MUST_CHECK;
/* The same past the cache: what row mode uses. */
int parents_ask_afresh(struct pgsink *s, struct parent_question *questions, size_t count,
                       struct err *reterr) MUST_CHECK;

/* Is it in the cache? (false: ask) */
bool parents_knows(const struct parents *parents, const struct rule *rule, const struct value *value);
/* A row of `rule` was written, or deleted (value: of its single key column). */
void parents_written(struct parents *parents, const struct rule *rule, const struct value *value);
void parents_deleted(struct parents *parents, const struct rule *rule, const struct value *value);

#endif
