/* A planned chunk written in sets: COPY for new rows, a staging table and one UPDATE for changed ones, deletes by an
 * array of locators. Small groups go as single statements in one round trip. */
#ifndef PGREKEY_SINKS_POSTGRES_FASTPATH_H
#define PGREKEY_SINKS_POSTGRES_FASTPATH_H

#include "cdc/base/err.h"
#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/state/counters.h"

struct pgsink;

/* Writes what s->net holds and is not aside; may set more aside (partial rows that meet no row). Adds to deltas[rule
 * index] what it changes in the account, for the caller to add once it stands. On failure the caller rolls back to
 * its savepoint; ERR_POISON: some row's fault. */
int fastpath_write(struct pgsink *s, struct chunk_plan *plan, struct account *deltas, struct err *reterr) MUST_CHECK;

#endif
