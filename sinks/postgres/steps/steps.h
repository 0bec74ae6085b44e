/* The mapping's steps on record (pgrekey.mapping_step): what each rule, mirror and derivation meant when its rows were
 * written, so that a changed mapping is told apart from the one that the target was filled with, step by step.
 *
 *     not on record                  new: its table is copied before the stream goes on
 *     other identity                 refused: the same rows would get other identities
 *     same identity, other meaning   changed: goes on, and its rows are due to be written again (pgrekey resync)
 *     on record, not in the mapping  removed: rows, counters and quarantine stay as they are, outside the account
 *     removed, in the mapping again  back: its table is read again, part by part, over the rows that are there
 *
 * What is due stays on record until it is done.
 */
#ifndef PGREKEY_SINKS_POSTGRES_STEPS_H
#define PGREKEY_SINKS_POSTGRES_STEPS_H

#include "cdc/base/err.h"
#include "transform/rule.h"

struct pgsink;

/* Records all steps as they are, inside the open transaction: what a snapshot begins with. */
int steps_record(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Compares the mapping with the record. ERR_REFUSED names what stands in the way; nothing is written. */
int steps_check(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Writes what became of each step, once nothing stands in the way any more, in a transaction of its own. */
int steps_write(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Inside the open transaction: empties a mirror and forgets what was counted of it, so that it is new again. */
int steps_load_again(struct pgsink *s, const struct rule *mirror, struct err *reterr) MUST_CHECK;

#endif
