/* What the engine's threads tell the vitals: small calls at the places where something happens. An engine without
 * vitals tells nobody. */
#ifndef PGREKEY_APP_FEED_H
#define PGREKEY_APP_FEED_H

#include <stdint.h>

#include "cdc/app/engine/engine.h"
#include "cdc/source/stream.h"

/* The prefix of our messages in the source's WAL. */
#define FEED_PREFIX "pgrekey.heartbeat"

/* "pipeline process number", the content of a heartbeat, into text[160]. */
#define FEED_CONTENT_MAX 160
const char *feed_content(const struct engine *engine, uint64_t number, char *text);

/* --- receiver --- */
void feed_message(struct engine *engine, const struct stream_item *item);
void feed_row(struct engine *engine, size_t transaction_rows);
/* rows: of the transaction; `waits`: it is in the filling batch. */
void feed_commit(struct engine *engine, uint64_t end_lsn, int64_t commit_us, bool waits);
void feed_confirmed(struct engine *engine, uint64_t lsn);

/* --- applier --- */
void feed_applied(struct engine *engine, const struct batch *batch, int64_t began_us);
/* The sink's own counts, and how far the target is. */
void feed_figures(struct engine *engine, const struct sink_figures *now, struct sink_figures *last);

/* --- anyone --- */
/* Seconds since the source's WAL end passed lsn: 0 where it has not, i.e. nothing is behind. */
double feed_age_s(struct engine *engine, uint64_t lsn);
/* Everything up to here that concerns us is on the target; 0: not known yet. */
uint64_t feed_reached(struct engine *engine);

#endif
