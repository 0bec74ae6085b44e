/* The watch: a thread with a source connection of its own, so that looking never delays the stream.
 *
 * Once a second it notes the source's WAL end with the time. The age of a position is then the time since the WAL
 * end passed it: idle is no lag, and no clock but ours is asked. Now and then it reads the catalogue and compares
 * it with the binding: wal2json sends no DDL and matches tables by name, so nobody else would notice a rename.
 *
 * A failing connection is not its business to report: the stream fails by itself when the source is gone.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/engine.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"

/* Room for a sample: when the list is full, every second one of its older half goes. So it reaches back for days,
 * exact for what is recent, coarser the longer ago. */
static void thin_out(struct watch *watch)
{
    size_t kept = 0;
    for (size_t i = 0; i < WATCH_SAMPLES; i++)
        if (i >= WATCH_SAMPLES / 2 || i % 2 == 0)
            watch->samples[kept++] = watch->samples[i];
    watch->sample_count = kept;
}

static void note_sample(struct watch *watch, uint64_t lsn)
{
    pthread_mutex_lock(&watch->lock);
    if (watch->sample_count == 0 || watch->samples[watch->sample_count - 1].lsn < lsn) {
        if (watch->sample_count == WATCH_SAMPLES)
            thin_out(watch);
        watch->samples[watch->sample_count++] = (struct watch_sample){.lsn = lsn, .seen_us = clock_mono_us()};
    }
    pthread_mutex_unlock(&watch->lock);
    watch->source_lsn = lsn;
}

double watch_age_s(struct watch *watch, uint64_t lsn)
{
    double age = 0;
    pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < watch->sample_count; i++)
        if (watch->samples[i].lsn > lsn) {
            age = (double)(clock_mono_us() - watch->samples[i].seen_us) / 1e6;
            break;
        }
    pthread_mutex_unlock(&watch->lock);
    return age;
}

static int look_at_wal(struct engine *engine, struct err *reterr)
{
    struct watch *watch = &engine->watch;
    if (!watch->conn && engine_open_source(engine->settings, "watch", ENGINE_BRIEF, &watch->conn, reterr) != 0)
        return -1;
    PGresult *result = NULL;
    if (pg_query(watch->conn, "source", "reading the WAL position", "SELECT pg_current_wal_lsn()", 0, NULL, &result,
                 reterr) != 0)
        return -1;
    uint64_t lsn;
    if (PQntuples(result) == 1 && lsn_parse(PQgetvalue(result, 0, 0), &lsn))
        note_sample(watch, lsn);
    PQclear(result);
    return 0;
}

static void look_at_catalog(struct engine *engine)
{
    struct watch *watch = &engine->watch;
    struct err err = {0};
    if (engine_recheck_catalog(engine, watch->conn, &err) == 0 || err.kind != ERR_REFUSED)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->err = err;
    pthread_mutex_unlock(&watch->lock);
    watch->drifted = true;
}

static void *watch_main(void *arg)
{
    struct engine *engine = arg;
    struct watch *watch = &engine->watch;
    int64_t next_look = 0, next_catalog = clock_mono_us() + engine->settings->source_catalog_interval_ms * 1000;
    while (!watch->stop) {
        struct err err = {0};
        char quoted[LOG_QUOTED_MAX];
        int64_t now = clock_mono_us();
        if (now < next_look) {
            struct timespec pause = {.tv_nsec = 50 * 1000000};
            nanosleep(&pause, NULL);
            continue;
        }
        next_look = now + 1000000;
        if (look_at_wal(engine, &err) != 0) {
            log_event(LOG_DEBUG, "watch_failed", "msg=%s", log_quote(err.message, quoted, sizeof(quoted)));
            pg_close(watch->conn);
            watch->conn = NULL;
        } else if (now >= next_catalog && !watch->drifted) {
            look_at_catalog(engine);
            next_catalog = now + engine->settings->source_catalog_interval_ms * 1000;
        }
    }
    pg_close(watch->conn);
    watch->conn = NULL;
    return NULL;
}

int watch_start(struct engine *engine, struct err *reterr)
{
    struct watch *watch = &engine->watch;
    watch->stop = watch->drifted = false;
    watch->sample_count = 0;
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
