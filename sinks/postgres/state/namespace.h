/* What pgrekey.id() computes with: the pipeline's name and its namespace, as settings of each session of the engine,
 * and on record for everybody else's.
 */
#ifndef PGREKEY_SINKS_POSTGRES_NAMESPACE_H
#define PGREKEY_SINKS_POSTGRES_NAMESPACE_H

#include "cdc/base/err.h"

struct pgsink;

/* Sets pgrekey.pipeline and pgrekey.namespace for the session. */
int namespace_set(struct pgsink *s, struct err *reterr) MUST_CHECK;
/* Writes pgrekey.namespace where it says otherwise. Under the pipeline's lock. */
int namespace_record(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
