/* The watch: a thread with a source connection of its own, so that looking never delays the stream.
 *
 * Now and then it reads the catalogue and compares it with the binding: wal2json sends no DDL and matches tables by
 * name, so nobody else would notice a rename. (What the source's WAL and the slot do is the monitor's to see.)
 *
 * A failing connection is not its business to report: the stream fails by itself when the source is gone.
 */
#include <stdlib.h>
#include <time.h>

#include "cdc/app/engine/engine.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

#define AGAIN_US INT64_C(1000000) /* after a look that failed */

/* -1: it could not be read. Otherwise it fits, or the binding has drifted. */
static int look_at_catalog(struct engine *engine, struct err *reterr)
{
    struct watch *watch = &engine->watch;
    if (!watch->conn && engine_open_source(engine->settings, "watch", ENGINE_BRIEF, &watch->conn, reterr) != 0)
        return -1;
    if (engine_recheck_catalog(engine, watch->conn, reterr) == 0)
        return 0;
    if (reterr->kind != ERR_REFUSED)
        return -1;
    pthread_mutex_lock(&watch->lock);
    watch->err = *reterr;
    pthread_mutex_unlock(&watch->lock);
    watch->drifted = true;
    return 0;
}

static void *watch_main(void *arg)
{
    struct engine *engine = arg;
    struct watch *watch = &engine->watch;
    int64_t interval_us = engine->settings->source_catalog_interval_ms * 1000, next_us = clock_mono_us() + interval_us;
    while (!watch->stop) {
        struct err err = {0};
        char quoted[LOG_QUOTED_MAX];
        struct timespec pause = {.tv_nsec = 50 * 1000000};
        nanosleep(&pause, NULL);
        if (watch->drifted || clock_mono_us() < next_us)
            continue;
        next_us = clock_mono_us() + interval_us;
        if (look_at_catalog(engine, &err) == 0)
            continue;
        log_event(LOG_DEBUG, "watch_failed", "msg=%s", log_quote(err.message, quoted, sizeof(quoted)));
        pg_close(watch->conn);
        watch->conn = NULL;
        next_us = clock_mono_us() + (AGAIN_US < interval_us ? AGAIN_US : interval_us);
    }
    pg_close(watch->conn);
    watch->conn = NULL;
    return NULL;
}

int watch_start(struct engine *engine, struct err *reterr)
{
    struct watch *watch = &engine->watch;
    watch->stop = watch->drifted = false;
    if (pthread_create(&watch->thread, NULL, watch_main, engine) != 0)
        return err_set(reterr, ERR_FATAL, "starting the watch thread failed");
    watch->running = true;
    return 0;
}

void watch_stop(struct engine *engine)
{
    struct watch *watch = &engine->watch;
    if (!watch->running)
        return;
    watch->stop = true;
    pthread_join(watch->thread, NULL);
    watch->running = false;
}
