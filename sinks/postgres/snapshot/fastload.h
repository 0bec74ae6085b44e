/* Fast load: what a snapshot takes off empty tables and builds again when their rows are in.
 *
 *     begin of a snapshot      table empty? ─▶ record in pgrekey.taken_off, DROP          one transaction, with the
 *                                                                                         snapshot's own record
 *     the table's level done   CREATE INDEX …, forget its record                          a transaction each
 *                              ADD CONSTRAINT … NOT VALID, then VALIDATE, forget          two transactions
 *
 * An object is off exactly as long as its record stands, whatever dies when. Whoever next opens the pipeline, resumes,
 * abandons or drops it builds again what is left.
 *
 * Only what decides nothing about rows is taken: indexes that are not unique, and foreign keys whose parents the engine
 * asks for itself. So the same rows stand aside as without it; but that those whose values an index does not take are
 * in until it is built, and put aside then (fastload_aside.h). Should a build fail all the same, the record stays, says
 * why, and is tried again at the next start; a foreign key then stands NOT VALID, and holds for new rows.
 */
#ifndef PGREKEY_SINKS_POSTGRES_FASTLOAD_H
#define PGREKEY_SINKS_POSTGRES_FASTLOAD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"

struct pgsink;

/* Inside the transaction that begins a snapshot: takes off what may go of the rules' tables. What is not ours to alter,
 * or holds rows, stays as it is. */
int fastload_take_off(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* Builds again what the pipeline's record says of levels up to this one: each in transactions of its own, or under
 * savepoints where the caller is in one. What cannot be built is recorded, and counted in *outcome beside what can; -1
 * where the server does not do its part (connection, disk, lock), and then what is left can be tried again. `retry`:
 * also what has failed before. */
int fastload_restore(PGconn *conn, const char *pipeline, int level, bool retry, struct sink_fast_load *outcome,
                     struct err *reterr) MUST_CHECK;

/* How many objects are off, and how many of these could not be built when it was last tried. */
struct fastload_state {
    size_t off, failed;
    char first_failed[256]; /* "index public.a_b of public.a (SQLSTATE 54000)", or "" */
};
int fastload_read(PGconn *conn, const char *pipeline, struct fastload_state *ret_state, struct err *reterr) MUST_CHECK;

#endif
