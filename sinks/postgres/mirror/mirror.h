/* Mirrors on the target: the tables of rules with `mirror`, their indexes, and the views over them, in the side schema.
 *
 * They are the engine's own. Which ones a pipeline has made stands in pgrekey.mirror: what stands in the schema without
 * being there belongs to somebody else and is never touched. How rows get into them is no matter of this module; they
 * go the way of any row.
 */
#ifndef PGREKEY_SINKS_POSTGRES_MIRROR_H
#define PGREKEY_SINKS_POSTGRES_MIRROR_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "sinks/sink.h"
#include "transform/map.h"

struct pgsink;

/* Makes all as the mapping has it, in a transaction of its own: tables, indexes, views; takes away what this pipeline
 * made before and the mapping no longer has. Where all is as it should be nothing is written. Before the first snapshot
 * (state PIPELINE_NEW) tables are made anew, so that they are empty; while it streams, one that lacks columns or has
 * others is altered, emptied and due to be copied again (steps.h). ERR_CONFIG: a view that fails (names the mapping's
 * line and the SQLSTATE), a missing schema or privilege; ERR_REFUSED: a name that is taken, another key. */
int mirror_make(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* All rows of a rule's table, its columns in the rule's order, as the server prints them. More than max_rows:
 * ERR_CONFIG. The values live until `take` returns; it may fail. Not inside a target transaction. */
int mirror_read(struct sink *sink, const struct rule *rule, size_t max_rows, sink_take_fn take, void *context,
                struct err *reterr) MUST_CHECK;

/* Tables and views that the pipeline has made: *ret_count. 0 where the engine's schema is not there. */
int mirror_count(PGconn *conn, const char *pipeline, size_t *ret_count, struct err *reterr) MUST_CHECK;
/* After a DROP that failed because something else stands on it: says so. Returns -1. */
int mirror_explain_dependents(const char *name, struct err *reterr);
/* Drops them, inside the caller's transaction; the side schema too, where that is then empty and may be dropped. */
int mirror_forget(PGconn *conn, const char *pipeline, struct err *reterr) MUST_CHECK;

#endif
