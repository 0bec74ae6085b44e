/* The account of each rule, as deltas of the open target transaction: mapped, quarantined, excluded.
 *
 * Deltas are added when the work they stand for can only be undone by rolling back the whole transaction, so that a
 * savepoint's rollback needs no bookkeeping: whoever works under a savepoint adds after its release.
 */
#ifndef PGREKEY_SINKS_POSTGRES_COUNTERS_H
#define PGREKEY_SINKS_POSTGRES_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/postgres/state/account.h"

struct pgsink;
struct pipe;

/* Adds to the rule's deltas. */
void counters_add(struct pgsink *s, int rule_index, const struct account *delta);
/* Forgets all deltas: the transaction was rolled back. */
void counters_forget(struct pgsink *s);
/* Writes what changed, in rule order (the same for all sessions, so that loaders cannot deadlock), and clears it. */
int counters_flush(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* How many rules have deltas; and the same writing as part of a pipe, for at most COUNTERS_RULES of them. */
#define COUNTERS_RULES 16
size_t counters_moved(const struct pgsink *s);
void counters_send(struct pgsink *s, struct pipe *pipe);
/* After a pipe failed that held nothing but counters from this index on: says so where a rule has none. Returns -1. */
int counters_explain(const struct pgsink *s, const struct pipe *pipe, size_t from, struct err *reterr);

enum counters_op { COUNTERS_UPDATE, COUNTERS_DELETES, COUNTERS_OPS };

#endif
