/* Adoption: rows that the target held before the pipeline, and that are the source's, keep their ids.
 *
 *   1 look      rows that two legacy keys claim go to the first key; ids without a row are left out      (adopt.c)
 *   2 doubles   rows of one legacy key become one: the oldest stays, children are remapped through the catalogue's
 *               foreign keys, the others are deleted                                               (adopt_merge.c)
 *   3 ids       (legacy key, id) of each row ─▶ UUIDv5 of the key ─▶ pgrekey.adopted, page by page        (adopt.c)
 *   4 done      the figures in pgrekey.adoption and a line in the audit, in one transaction
 *
 * Once a rule or derivation that says `adopt`, before the snapshot reads anything (of one that joins later, at the
 * start with which it joins), under the pipeline's lock. After a
 * kill what is done stays; the rule at hand begins again, which changes nothing that was done before. Every double and
 * every claim that was not granted has a line in the audit. What the engine makes of the ids: adopted.h.
 */
#ifndef PGREKEY_SINKS_POSTGRES_ADOPT_H
#define PGREKEY_SINKS_POSTGRES_ADOPT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "transform/map.h"

struct pgsink;

/* A rule or derivation that adopts rows of its table. */
struct adopter {
    const char *name, *entity, *to_schema, *to_table;
    const char *id; /* the column that holds the row's UUID */
    size_t part_count;
    struct adopt adopt;
};
size_t adopter_count(const struct map *map);
/* The first of this table; false where its rows are not adopted. */
bool adopter_of_table(const struct map *map, const char *schema, const char *table, struct adopter *ret_adopter);

/* SELECT of its pairs: columns l1 .. ln, text, none of them NULL; then id. Each id once, for the first legacy key that
 * claims it, and its row stands. Takes no parameters. */
void adopter_put_pairs(const struct adopter *adopter, struct buf *sql);

/* BEGIN of one of its steps. */
int adopt_begin(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* All that is not done yet. ERR_REFUSED where doubles cannot be made one, or ids are ambiguous. */
int adopt_run(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* The doubles of one adopter, some at a time; each step is a transaction. */
int adopt_merge(struct pgsink *s, const struct adopter *adopter, struct err *reterr) MUST_CHECK;
/* Foreign keys that lead to a table: name of the child, "a = o.x, …", "c.a = d.x AND …", is it the table itself? */
int adopt_read_references(struct pgsink *s, const char *table, PGresult **ret_result, struct err *reterr) MUST_CHECK;
/* The UUID that the legacy key of a row of pairs gives. */
struct uuid adopt_derived(const struct pgsink *s, const struct adopter *adopter, const PGresult *pairs, int row);
int adopt_is_done(struct pgsink *s, const struct adopter *adopter, bool *ret_done, struct err *reterr) MUST_CHECK;

/* --- undone (adopt_back.c) --- */

/* Where something is adopted, a snapshot is taken back table by table, inside the open transaction: deletes what it has
 * inserted and what nothing else refers to. Adopted rows, and those of a table that adopts by `sql:`, which cannot be
 * told from the application's, stay. */
int adopt_take_back(struct pgsink *s, const char *schema, const char *table, struct err *reterr) MUST_CHECK;
/* Forgets what was adopted: the rows keep their ids. */
int adopt_forget(PGconn *conn, const char *pipeline, struct err *reterr) MUST_CHECK;

#endif
