/* A source and a target for the contract suite, and a pipeline between them without a stream.
 *
 * Both are schemas of one PostgreSQL: `legacy` is changed by SQL, and each change of it becomes a struct change as the
 * stream would give it (row as it is after the change, old key, chosen columns left out as unchanged and out of line).
 * `app` is what the sink writes. So rows can be completed "from the source", and both sides compared by SQL.
 */
#ifndef PGREKEY_TESTS_CONTRACT_WORLD_H
#define PGREKEY_TESTS_CONTRACT_WORLD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "sinks/postgres/pgsink.h"

struct world {
    PGconn *source; /* writes legacy, inside a transaction between world_begin and world_commit */
    PGconn *eye;    /* looks at both */
    struct catalog *legacy, *app;
    struct map *map;
    struct sink *sink;
    struct pgsink_options options;
    struct sink_position position; /* as the sink was opened with */
    struct batch batch;
    uint64_t lsn;
    uint32_t xid;
    size_t first_row; /* of the open source transaction, in the batch */
    bool in_transaction;
    int completed; /* rows that the sink asked for */
};

/* Both schemas afresh, an empty snapshot ended, the sink at its begin. For cmocka's setup and teardown; teardown
 * holds the accounts to the equation. */
int world_setup(void **state);
int world_teardown(void **state);
/* Only connects and makes the schemas; no sink yet. */
int world_setup_bare(void **state);
int world_teardown_bare(void **state);
/* The same with other tables and another mapping. */
struct world_shape {
    const char *schemas, *mapping;
};
int world_setup_as(void **state, const struct world_shape *shape);
int world_setup_bare_as(void **state, const struct world_shape *shape);
/* The usual tables, of which offices, users and orders adopt by legacy_id, with rows in them that were there before:
 * offices 1 and 2, users 1 to 6 and orders 1 to 8 (those of the source, when they come); users 50 and 51 and an order
 * of one, whose source rows nobody makes; an office, a user and an order of nobody's. All refer to these. */
int world_setup_adopting(void **state);
/* NULL where no server was given. */
const char *world_conninfo(void);

/* --- the source --- */
void world_begin(struct world *w);
/* Ends the source transaction and marks it in the batch. False: the source refused it, and its changes are forgotten.
 */
bool world_commit(struct world *w);
/* One row; values as SQL. */
void world_insert(struct world *w, const char *table, const char *values);
/* The rows that `where` matches, in order of their key. `absent`: a column left out of the changes; or NULL. */
void world_update(struct world *w, const char *table, const char *where, const char *set, const char *absent);
void world_delete(struct world *w, const char *table, const char *where);
void world_truncate(struct world *w, const char *table);
/* Does the source, as the open transaction sees it, hold such a row? */
bool world_has(struct world *w, const char *table, const char *where);
/* SQL on either side that makes no change for the sink. */
void world_run(struct world *w, const char *sql);

/* --- the sink --- */
void world_apply(struct world *w);                     /* what is in the batch, whole; must succeed */
int world_try_apply(struct world *w, struct err *err); /* the same, may fail */
void world_apply_part(struct world *w);                /* inside a source transaction */
void world_tick(struct world *w);
void world_reopen(struct world *w); /* as after a restart */

/* --- looking --- */
/* Rows joined by newlines, columns by '|', NULL as \N. Static storage. */
const char *world_ask(struct world *w, const char *sql);
#define assert_world(w, sql, wanted) assert_string_equal(world_ask(w, sql), wanted)
/* mapped|quarantined|excluded|failed_deletes */
#define assert_account(w, rule, wanted) assert_string_equal(world_account(w, rule), wanted)
const char *world_account(struct world *w, const char *rule);
/* mapped + quarantined + excluded = rows of the source table; quarantined and failed deletes = entries. */
void world_assert_equation(struct world *w);

#endif
