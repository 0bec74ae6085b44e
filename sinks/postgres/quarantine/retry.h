/* Entries of the quarantine tried again: by themselves with back-off, or because an operator asks. */
#ifndef PGREKEY_SINKS_POSTGRES_RETRY_H
#define PGREKEY_SINKS_POSTGRES_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"

struct pgsink;

/* A target transaction of our own between two batches; retry_commit writes the counters. After a failure the caller
 * rolls back (session_rollback). */
int retry_begin(struct pgsink *s, struct err *reterr) MUST_CHECK;
int retry_commit(struct pgsink *s, struct err *reterr) MUST_CHECK;

/* Tries the entries until nothing moves; the unresolved ones are what is left in ids[0..*count). Inside retry_begin. */
int retry_entries(struct pgsink *s, int64_t *ids, size_t *count, struct err *reterr) MUST_CHECK;

/* Entries whose next try is due, in a transaction of their own; part of sink_tick. */
int retry_due(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Entries that wait for a unique value, likewise. */
int retry_blocked(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
