/* How long resolved entries of the quarantine are kept: they hold data of the source. */
#ifndef PGREKEY_SINKS_POSTGRES_KEEP_H
#define PGREKEY_SINKS_POSTGRES_KEEP_H

#include "cdc/base/err.h"

struct pgsink;

/* Now and then deletes those that are older than the options say, some at a time; part of sink_tick. */
int keep_expire(struct pgsink *s, struct err *reterr) MUST_CHECK;

#endif
