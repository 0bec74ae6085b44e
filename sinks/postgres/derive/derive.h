/* Derivations, run by the sink: rows, or columns of rows, that the target computes from mirrors and tables.
 *
 *     before a chunk's writes   old images of the rows it will touch ─┐ keys SQL of each
 *     after them                new images of the same rows ──────────┴─▶ input that reads them ─▶ keys (temporary)
 *     then, in map_steps() order, each derivation that has keys:
 *         query(keys) ─▶ result (temporary) ─▶ reject, parents, what differs ─▶ update, insert, gone ─▶ account
 *                                                             its changed rows are images for the next ones
 *
 * A derivation without keys costs nothing. Keys live on the target; memory here does not depend on their number.
 *   derive.c         the session's derivations, the chunk's and the transaction's life, the order
 *   derive_sql.c     names and pieces of SQL
 *   derive_statement.c  statements that come again, prepared
 *   touched.c        images of touched rows -> keys
 *   derive_run.c     keys -> result -> merge
 *   derive_gone.c    keys that yield no row any more
 *   derive_release.c derived rows that refer to rows which go
 *   derive_settle.c  account and quarantine of keys
 *   derive_again.c   entries of the quarantine tried again
 *   derive_ready.c   tables made for the quick path
 *   derive_parents.c references that the engine checks
 *   derive_snapshot.c  all keys, level by level
 *   derive_isolate.c keys that fail, found by halving
 */
#ifndef PGREKEY_SINKS_POSTGRES_DERIVE_H
#define PGREKEY_SINKS_POSTGRES_DERIVE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/postgres/state/account.h"
#include "transform/map.h"

struct pgsink;
struct derive;
struct reference;

/* Makes s->derive (NULL where the mapping has no derivation). ERR_CONFIG where a table is not there. */
int derive_open(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* The session finds mirrors, then the tables of the target's schemas, by their bare names. */
int derive_session(struct pgsink *s, struct err *reterr) MUST_CHECK;
void derive_close(struct pgsink *s);

/* Does some derivation read what this rule writes? */
bool derive_reads(const struct pgsink *s, const struct rule *rule);

/* Do derived rows refer to the rule's rows? Then these are deleted when all derivations have run. */
bool derive_holds(const struct pgsink *s, size_t rule_index);

/* --- touched rows: the images that stand at the moment of the call lead to keys --- */
/* The rows of the chunk's plan (s->net): before anything is written, and of one rule behind its writes. */
int derive_before(struct pgsink *s, struct err *reterr) MUST_CHECK;
int derive_after(struct pgsink *s, const struct rule *rule, struct err *reterr) MUST_CHECK;
/* Statements that are no derivation's come next. */
int derive_leave_planner(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* The chunk's rows are written: s->net means nothing any more. */
void derive_written(struct pgsink *s);
/* The target rows of these rows, by locator and old locator: called before and after they are written one by one. */
int derive_touch_rows(struct pgsink *s, const struct row *const *rows, size_t count, struct err *reterr) MUST_CHECK;
/* Rows of a rule that a query found: its first columns are their locators. */
int derive_touch_found(struct pgsink *s, const struct rule *rule, const PGresult *found, struct err *reterr) MUST_CHECK;
/* Rows that refer to these parents (an array literal), or have a note that they would. */
int derive_touch_reference(struct pgsink *s, const struct reference *reference, const char *ids, bool pending,
                           struct err *reterr) MUST_CHECK;
/* Rows of a target table `t` by any condition on it, as SQL ("t.id = ANY ($1::uuid[])"). */
int derive_touch_where(struct pgsink *s, const char *schema, const char *table, const char *condition, int param_count,
                       const char *const *params, struct err *reterr) MUST_CHECK;

/* --- running --- */
/* One derivation (its index), where it has keys. Keys that fail go to quarantine. Inside the open transaction. */
int derive_step(struct pgsink *s, int index, struct err *reterr) MUST_CHECK;
/* What the steps left: refused deletes are tried once more, children first, and whoever reads those rows runs again. */
int derive_finish(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* All that have keys, in order, and the finish. *ret_wrote (may be NULL): some row of the target was written. */
int derive_run(struct pgsink *s, bool *ret_wrote, struct err *reterr) MUST_CHECK;
bool derive_has_keys(const struct pgsink *s);
/* A derivation over all keys that its inputs hold, in the open transaction; what stood of it before is compared with,
 * so it may be run again. For the snapshot. */
int derive_all(struct pgsink *s, int index, struct err *reterr) MUST_CHECK;

/* Behind a snapshot, in a transaction of its own: rows that stood there before, whose keys wait or are rejected, go as
 * they would while streaming. */
int derive_settle_adopted(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* --- parents (park.h) --- */
/* Rows of a place are about to be deleted, `ids` as an array literal. Derived rows that refer to them let go of them,
 * and their keys are to be run again; `ways` is park_leaving's. */
int derive_release(struct pgsink *s, size_t place, const char *ids, int ways, struct err *reterr) MUST_CHECK;
/* Rows of a place have come: the keys that wait for them are to be run. */
int derive_arrived(struct pgsink *s, size_t place, const char *ids, struct err *reterr) MUST_CHECK;

/* --- lives --- */
/* What the steps since the last call counted stands, or has been rolled back to a savepoint. */
void derive_stands(struct pgsink *s);
void derive_undone(struct pgsink *s);
/* A rollback to a savepoint may have taken temporary tables away. */
void derive_forget_tables(struct pgsink *s);
/* The target transaction is over. */
void derive_ended(struct pgsink *s, bool committed);

/* --- accounts, for counters.c --- */
size_t derive_count(const struct pgsink *s);
const char *derive_name(const struct pgsink *s, size_t index);
/* The quoted name of the table whose rows it owns; NULL where it owns columns only. */
const char *derive_table(const struct pgsink *s, size_t index);
struct account *derive_delta(const struct pgsink *s, size_t index);

/* --- quarantine --- */
/* The derivation of an entry, or -1. */
int derive_index(const struct pgsink *s, const char *rule_name);
/* Entries standing: an upper bound, as for rules. */
int64_t *derive_standing(const struct pgsink *s, size_t index);
/* The key of an entry is run again. *ret_mine: it is an open one of a derivation; *ret_resolved: it stands no longer.
 */
int derive_again(struct pgsink *s, int64_t id, bool *ret_mine, bool *ret_resolved, struct err *reterr) MUST_CHECK;
/* An operator gave the entry up. *ret_done: false where it is no open one of a derivation. */
int derive_discard(struct pgsink *s, int64_t id, bool *ret_done, struct err *reterr) MUST_CHECK;

#endif
