/* Rows that the target held before, under ids of their own: pgrekey.adopted.
 *
 * transform/ gives every row its derived UUID. Here the ids of adopted rows take their place: in keys, in locators and
 * in references, before anything else looks at a batch.
 *
 *     batch's rows ─▶ values of entities that have adopted rows ─▶ cache ─▶ one query for the rest ─▶ copies of rows
 *
 * Which ids are adopted is settled before the snapshot and never changes after it, so what is known once stays known.
 * Where no entity has rows under other ids, nothing is asked and nothing copied.
 *
 * A source row that is seen for the first time while its adopted target row stands is no birth for the target: it goes
 * as an update, and is counted as mapped (`met` in pgrekey.adopted, a rule; settled in the batch's own transaction).
 */
#ifndef PGREKEY_SINKS_POSTGRES_ADOPTED_H
#define PGREKEY_SINKS_POSTGRES_ADOPTED_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "sinks/sink.h"

struct pgsink;
struct adopted;

struct adopted *adopted_new(void);
void adopted_free(struct adopted *adopted); /* NULL is fine */
/* Reads which entities have adopted rows; once the session is open, and again after an adoption. */
int adopted_open(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* A view of the batch with rows as they are called on the target; it lasts until the next one. Asks inside the open
 * transaction, where there is one; writes nothing. */
int adopted_translate(struct pgsink *s, const struct batch *batch, struct batch *ret_view,
                      struct err *reterr) MUST_CHECK;
/* Did the view meet adopted rows that have to be settled, inside the transaction that writes it? */
bool adopted_unsettled(const struct pgsink *s);
int adopted_settle(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* What was learnt in a transaction that was rolled back is forgotten. */
void adopted_forget(struct adopted *adopted);
/* Rows that were transformed outside a batch (read by key, woken): rows[i] is replaced where it must be, in arena. */
int adopted_rows(struct pgsink *s, struct row **rows, size_t count, struct arena *arena, struct err *reterr) MUST_CHECK;
/* map_transform_rule() for the sink: the row as it is called on the target. */
int adopted_transform(struct pgsink *s, const struct rule *rule, const struct change *change, struct arena *arena,
                      struct row **ret_row, struct err *reterr) MUST_CHECK;
/* A condition on rows of the rule's table that are the source's, where the table adopts and so holds rows of others:
 * adopted ones whose source row has not been seen, and what is the application's own. Nothing where it does not adopt.
 * " AND t.id = ..", alias "t." or "". */
void adopted_put_ours(const struct pgsink *s, const struct rule *rule, const char *alias, struct buf *sql);

#endif
