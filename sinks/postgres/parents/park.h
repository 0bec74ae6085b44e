/* Rows that wait for a parent, and what wakes them.
 *
 *   a row whose required parent is not there   ─▶ pgrekey.quarantine, waits_table and waits_id say for whom   park.c
 *   a parent that goes while children live     ─▶ the children leave the target and are kept whole there      leave.c
 *   an optional reference without its parent   ─▶ NULL, and a note in pgrekey.pending_reference               pending.c
 *   a parent that has come                     ─▶ both come back in the same target transaction               wake.c
 *
 * Parents are told by table and key, whoever writes them. Whoever writes rows says which came (park_arrived*), and
 * before it deletes some, which go (park_leaving*). What came is remembered, and taken up at the end of the chunk
 * (park_drain) and of the batch: woken rows go the way of new rows, and may wake others. Where nobody waits for a
 * table all of this costs a look at a number.
 */
#ifndef PGREKEY_SINKS_POSTGRES_PARK_H
#define PGREKEY_SINKS_POSTGRES_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/state/counters.h"
#include "transform/row.h"

struct pgsink;
struct work;
struct park;
struct target;

void park_open(struct pgsink *s); /* makes s->park */
void park_close(struct pgsink *s);
void park_end(struct pgsink *s); /* the target transaction is over */

/* --- who came (wake.c) --- */

/* A row of a rule stands now that did not before. */
void park_row_arrived(struct pgsink *s, const struct row *row);
/* Rows of a table stand now that did not before, whoever wrote them: `relation` holds them, or their `column`, which is
 * the table's key (SQL: a table's name, or a query in parentheses). Asks the target only where somebody waits for a row
 * of that table. */
int park_arrived(struct pgsink *s, const char *schema, const char *table, const char *relation, const char *column,
                 struct err *reterr) MUST_CHECK;
/* Does anybody wait for one of the rows that the net change inserts? Asks only where somebody waits for their table. */
int park_awaited(struct pgsink *s, bool *ret_awaited, struct err *reterr) MUST_CHECK;

/* Savepoints: how much has come and left so far, and that what did later has not. What has left moves the counters
 * where it stands (park_settle), which is before any other savepoint is set. */
struct park_mark {
    size_t arrived, left;
};
struct park_mark park_mark(const struct pgsink *s);
void park_undo(struct pgsink *s, struct park_mark mark);
void park_settle(struct pgsink *s);
/* Rows of a rule left the target and wait; `count` of them counted as mapped. */
void park_left(struct pgsink *s, size_t rule_index, int64_t count);
/* Rows of a derivation were deleted so that others could go. */
void park_left_derived(struct pgsink *s, size_t derivation, int64_t count);
/* Has grown where rows have left since: parents that were looked for before may be among them. */
uint64_t park_departures(const struct pgsink *s);

/* Wakes what waits for whoever came, and whoever came by that. Not inside a chunk. *ret_woken: how many rows. */
int park_drain(struct pgsink *s, size_t *ret_woken, struct err *reterr) MUST_CHECK;
/* The end of a target transaction: what stands aside is tried again, which may bring parents, which wake rows, which ..
 */
int park_finish(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* In target transactions of its own: wakes whatever waits for a parent that stands. For the end of a snapshot (or of
 * one of its levels), whose sessions do not see one another's rows. */
int park_sweep(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* --- who goes (leave.c) --- */

/* Who else of the chunk at hand sees to itself, and whether rows of derivations are let be. */
enum {
    PARK_MOVED = 1,   /* rows that the net change deletes or updates */
    PARK_DELETED = 2, /* rows that it deletes: what it updates has been written */
    PARK_NOT_DERIVED = 4,
};

/* Rows of a table are about to be deleted; `relation` and `column` as in park_arrived, with its parameters. Living rows
 * of row rules that need them leave the target, children first, and wait; optional references to them become NULL and
 * wait. Nothing is asked where nobody refers to the table. Poison: a row that must leave is held by rows that no rule
 * owns. */
int park_leaving(struct pgsink *s, const char *schema, const char *table, const char *relation, const char *column,
                 int param_count, const char *const *params, int ways, struct err *reterr) MUST_CHECK;
/* The same for the net change's deletes of one rule; and for a row. */
int park_group_leaving(struct pgsink *s, size_t rule_index, const uint32_t *entries, size_t count,
                       struct err *reterr) MUST_CHECK;
int park_row_leaving(struct pgsink *s, const struct rule *rule, const struct value *locator,
                     struct err *reterr) MUST_CHECK;
/* All rows of a rule that came from the source. */
int park_rule_leaving(struct pgsink *s, const struct rule *rule, const char *from_source,
                      struct err *reterr) MUST_CHECK;
/* Do living rows that the net change itself does not delete or move refer to rows that it deletes? */
int park_any_leaving(struct pgsink *s, bool *ret_any, struct err *reterr) MUST_CHECK;
/* Do rows refer to this one? */
int park_row_is_needed(struct pgsink *s, const struct rule *rule, const struct value *locator, bool *ret_needed,
                       struct err *reterr) MUST_CHECK;

/* --- parking (park.c) --- */

/* The entries of the plan that wait for a parent, as a set. */
int park_new_rows(struct pgsink *s, const struct chunk_plan *plan, struct account *deltas,
                  struct err *reterr) MUST_CHECK;
/* Row mode: the row that stands at the locator leaves the target and is kept in w->refusal; its children leave before
 * it. Where rows that no rule owns hold it, it stands on as it is. */
int park_take_row(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr) MUST_CHECK;
/* Rows of one rule that were parked with their target row (row->kept). What they leave ABSENT, and what is written
 * once, comes from it; where the change holds nothing at all (a row that left with its parent), everything does. */
int park_fill(struct pgsink *s, struct row *const *rows, size_t count, struct arena *arena,
              struct err *reterr) MUST_CHECK;
/* What is kept of the row `alias`, as an SQL expression. */
void park_put_kept(struct buf *sql, const struct relation *relation, const char *alias);
/* The column's value of that, where `k.kept` holds it and `alias` is jsonb_populate_record() of it. */
void park_put_back(struct buf *sql, const struct column *column, const char *alias);
/* They have been written anew: columns that the mapping does not own come back. Skips rows without ->kept. */
int park_restore(struct pgsink *s, const struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;
/* A row for park_fill to fill: of an entry whose change holds nothing. */
struct row *park_row(const struct rule *rule, const struct change *change, const char *kept, struct arena *arena);
bool park_is_empty(const struct change *change); /* does it hold nothing but, perhaps, its key? */

/* How quarantine calls a row: by its source key; by its place on the target where that is all that is known. */
const char *park_key(const struct row *row, struct arena *arena);
const char *park_locator_key(const struct rule *rule, const struct value *locator, struct arena *arena);
/* The same as SQL over the target row `alias`. */
void park_put_key(struct buf *sql, const struct target *target, const char *alias);

#define PARK_REASON_MISSING "its required parent is not there"
#define PARK_REASON_GONE "its required parent is gone"

#endif
