/* pgrekey.resync on the target: which tables are to be read again while the stream runs, and how far they are. Written
 * by whoever asks (`pgrekey resync`, the engine itself), worked off by the engine, oldest first. Works on any
 * connection to the target, in transactions of its own. */
#ifndef PGREKEY_SINKS_POSTGRES_RESYNC_STORE_H
#define PGREKEY_SINKS_POSTGRES_RESYNC_STORE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "cdc/base/relation.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/resync.h"

int resync_put(PGconn *conn, const char *pipeline, const struct resync_ask *ask, int64_t *ret_id,
               struct err *reterr) MUST_CHECK;
int resync_report(PGconn *conn, int64_t id, struct resync_report *ret_report, struct err *reterr) MUST_CHECK;

/* --- the engine's side --- */

/* A connection with the session of the sink's own, which quotes no values in the server's log. */
int resync_connect(const struct pgsink_options *options, PGconn **ret_conn, struct err *reterr) MUST_CHECK;
/* The oldest one that is not finished; *ret_record NULL where there is none. */
int resync_next(PGconn *conn, const char *pipeline, struct resync_record **ret_record, struct err *reterr) MUST_CHECK;
/* It is under way; `table` as schema.table. */
int resync_begun(PGconn *conn, const struct resync_record *record, const char *table, double expected,
                 struct err *reterr) MUST_CHECK;
/* What it waits for, NULL: nothing. No values. */
int resync_note(PGconn *conn, const struct resync_record *record, const char *note, struct err *reterr) MUST_CHECK;
/* record->next, rows and removed have moved: everything before is on the target as it was at `point`. */
int resync_moved(PGconn *conn, const struct resync_record *record, uint64_t point, struct err *reterr) MUST_CHECK;
/* The end; its keys are forgotten. With an entry in the audit. Rules of a table that was read whole are changed no
 * more: all their rows are those of the mapping at hand. */
int resync_ended(PGconn *conn, const char *pipeline, const struct resync_record *record, bool failed,
                 const char *result, struct err *reterr) MUST_CHECK;

/* The target rows of a rule with lo <= first key column < hi (NULL: open; hi_included: <= hi), for rules whose target
 * rows hold the source's key. The caller clears the result: in each row the source key (a JSON array, as quarantine
 * names it), then the locator's columns. */
bool resync_knows_keys(const struct map *map, const struct rule *rule);
int resync_keys_read(PGconn *conn, const struct rule *rule, const char *lo, const char *hi, bool hi_included,
                     PGresult **ret_rows, struct err *reterr) MUST_CHECK;

#endif
