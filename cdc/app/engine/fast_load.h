/* What a fast load does, as the engine's log tells it; the work is sinks/postgres/snapshot/fastload.h's. */
#ifndef PGREKEY_APP_FAST_LOAD_H
#define PGREKEY_APP_FAST_LOAD_H

#include "cdc/app/engine/engine.h"

/* Says what the sink has taken off, built again or could not build since `before`, which is brought up to date. */
void fast_load_log(const struct engine *engine, struct sink_fast_load *before);
/* Builds again what is off up to this level, and says so. */
int fast_load_level_done(const struct engine *engine, int level, struct err *reterr) MUST_CHECK;

#endif
