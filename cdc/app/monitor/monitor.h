/* The monitor: watches a running engine from beside it, as long as the process lives.
 *
 *      source ◀── source.c   WAL end and clock, the slot, heartbeats (pg_logical_emit_message)   ┐
 *      target ◀── target.c   the pipeline's record and quarantine; writes the record for status  ├─▶ view ─▶ faces
 *      engine ──▶ vitals     (feed.h)                                                            ┘
 *                  tick      monitor.c: once a second rates, history, the guard; waits for nobody
 *
 * Each server has a thread and a connection of its own, so that one that hangs keeps nobody from seeing that it does.
 * Nothing here may stop the engine: what fails is told at debug level and tried again.
 */
#ifndef PGREKEY_APP_MONITOR_MONITOR_H
#define PGREKEY_APP_MONITOR_MONITOR_H

#include "cdc/app/engine/engine.h"
#include "cdc/app/monitor/view.h"

struct monitor;

/* Sets engine->vitals, which belongs to the monitor. */
int monitor_start(struct engine *engine, struct monitor **ret_monitor, struct err *reterr) MUST_CHECK;
/* Ends its threads; engine->vitals is NULL afterwards. NULL is fine. */
void monitor_stop(struct monitor *monitor);
/* The run has failed for this reason: the last thing that is told. */
void monitor_failed(struct monitor *monitor, const struct err *why);

/* What is known at this moment. Any thread; waits for no server. The caller calls view_done(). */
void monitor_view(struct monitor *monitor, struct view *ret_view);
/* Seconds since the engine's main thread passed by. */
double monitor_main_thread_age_s(const struct monitor *monitor);

#endif
