/* Workers that bring parts to the target: each with a connection to the source that stands in the point's snapshot, and
 * a loader session of the sink. A part is one transaction of the target: cut off anywhere, it has left nothing behind
 * and is read again, and nobody has to know which of its rows were there.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/engine/fast_load.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

#define DEADLOCK "40P01"
#define DEADLOCKS_MAX 100 /* of one part */

struct worker {
    struct snapshot *snapshot;
    pthread_t thread;
    PGconn *conn;
    struct sink *loader;
    struct batch batch;
    uint64_t rows;
};

/* The first failure is the one that is told. */
static void snapshot_fail(struct snapshot *s, const struct err *err)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed)
        s->err = *err;
    s->failed = true;
    pthread_mutex_unlock(&s->lock);
}

static int load_batch(struct worker *w, struct part *part, bool last, struct err *reterr)
{
    w->batch.snapshot_part = part->id;
    w->batch.part_done = last;
    w->batch.complete = true;
    w->batch.end_lsn = w->snapshot->point.lsn;
    if (sink_apply(w->loader, &w->batch, reterr) != 0)
        return -1;
    batch_reset(&w->batch);
    return 0;
}

static int add_change(struct worker *w, const struct part *part, const struct change *change, struct err *reterr)
{
    for (size_t i = 0; i < part->rule_count; i++) {
        struct row *row = NULL;
        if (map_transform_rule(w->snapshot->engine->binding.map, part->rules[i], change, &w->batch.arena, &row,
                               reterr) != 0)
            return -1;
        batch_add_row(&w->batch, row);
    }
    w->snapshot->rows++;
    w->rows++;
    return 0;
}

static int load_rows(struct worker *w, struct part *part, struct copy_reader *reader, struct err *reterr)
{
    const struct settings *settings = w->snapshot->engine->settings;
    for (;;) {
        struct change *change = NULL;
        int more = copy_reader_next(reader, w->snapshot->point.lsn, &w->batch.arena, &change, reterr);
        if (more < 0)
            return -1;
        if (more == 0)
            return load_batch(w, part, true, reterr);
        if (add_change(w, part, change, reterr) != 0)
            return -1;
        if (w->batch.row_count < (size_t)settings->batch_max_rows &&
            arena_used(&w->batch.arena) < (size_t)settings->batch_max_bytes)
            continue;
        if (run_stop || w->snapshot->failed)
            return err_set(reterr, ERR_STOP, "stopped");
        if (load_batch(w, part, false, reterr) != 0)
            return -1;
    }
}

/* Each part in a transaction of its own: a lock on its table is held no longer than its rows are read. One that waited
 * for the next part, or for a level's other parts, would keep a TRUNCATE out, and with that whoever comes behind it,
 * the other workers included. */
static int load_once(struct worker *w, struct part *part, struct err *reterr)
{
    struct copy_reader *reader = NULL;
    if (snapshot_join(w->conn, w->snapshot->point.name, reterr) != 0)
        return -1;
    int failed = copy_reader_open(w->conn, &part->range, engine_never, w->snapshot->engine, &reader, reterr) != 0 ||
                 load_rows(w, part, reader, reterr) != 0;
    copy_reader_close(reader);
    return snapshot_leave(w->conn, failed ? NULL : reterr) != 0 || failed ? -1 : 0;
}

/* Two loaders that write rows with the same unique values may wait for each other. Whoever is chosen to give way has
 * lost only its part, and reads it again, while the other goes on. */
static int load_part(struct worker *w, struct part *part, struct err *reterr)
{
    uint64_t rows = 0;
    for (int tries = 1;; tries++) {
        struct err err = {0};
        uint64_t before = w->rows;
        if (load_once(w, part, &err) == 0) {
            part->done = true;
            return 0;
        }
        w->snapshot->rows -= w->rows - before;
        batch_reset(&w->batch);
        rows += w->rows - before;
        if (strcmp(err.sqlstate, DEADLOCK) != 0 || tries == DEADLOCKS_MAX || run_stop || w->snapshot->failed) {
            *reterr = err;
            return -1;
        }
        log_event(LOG_WARN, "snapshot_part_again", "part=%d rows=%llu sqlstate=%s", part->id, (unsigned long long)rows,
                  err.sqlstate);
        usleep((useconds_t)(tries * 10000));
    }
}

static int worker_open(struct worker *w, struct err *reterr)
{
    struct engine *engine = w->snapshot->engine;
    if (engine_open_source(engine->settings, "snapshot", ENGINE_PATIENT, &w->conn, reterr) != 0)
        return -1;
    return sink_loader_open(engine->sink, &w->loader, reterr);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct snapshot *s = w->snapshot;
    struct err err = {0};
    int failed = w->conn ? 0 : worker_open(w, &err);
    while (!failed && !run_stop && !s->failed) {
        size_t next = s->next_part++;
        if (next >= s->part_count)
            break;
        if (s->parts[next].level == s->level && !s->parts[next].done)
            failed = load_part(w, &s->parts[next], &err);
    }
    if (failed)
        snapshot_fail(s, &err);
    s->running--;
    return NULL;
}

/* --- the main thread meanwhile --- */

static int load_level(struct snapshot *s, struct worker *workers, size_t count, struct progress *progress,
                      struct err *reterr)
{
    struct err err = {0};
    size_t started = 0;
    s->next_part = 0;
    for (; started < count && !s->failed; started++) {
        s->running++;
        if (pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]) == 0)
            continue;
        s->running--;
        (void)err_set(&err, ERR_FATAL, "starting a snapshot worker failed");
        snapshot_fail(s, &err);
        break;
    }
    while (s->running > 0) {
        progress_update(progress, s->rows, (uint64_t)s->rows_expected, NULL);
        vitals_snapshot(s->engine->vitals, s->rows, (uint64_t)s->rows_expected);
        usleep(50 * 1000);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (s->failed) {
        *reterr = s->err;
        return -1;
    }
    return run_stop ? err_set(reterr, ERR_STOP, "stopped") : 0;
}

/* A level that has nothing left to load costs no worker. */
static bool level_is_done(const struct snapshot *s)
{
    for (size_t i = 0; i < s->part_count; i++)
        if (s->parts[i].level == s->level && !s->parts[i].done)
            return false;
    return true;
}

/* Rows are looked up as they were at the point at hand. The target has the mirrors so where all parts were read at the
 * slot's; else only the source has. */
static int load_lookups(struct snapshot *s, struct err *reterr)
{
    struct engine *engine = s->engine;
    struct lookups *lookups = engine->binding.lookups;
    PGconn *conn = NULL;
    if (s->point.lsn == s->slot_lsn)
        return lookups_load(lookups, engine->sink, s->level, reterr);
    if (!lookups)
        return 0;
    int failed = engine_open_source(engine->settings, "snapshot look-ups", ENGINE_PATIENT, &conn, reterr) != 0 ||
                 snapshot_join(conn, s->point.name, reterr) != 0 ||
                 lookups_read_source(lookups, conn, engine_never, engine, reterr) != 0;
    pg_close(conn);
    return failed ? -1 : 0;
}

int snapshot_load(struct snapshot *s, struct err *reterr)
{
    int most = s->engine->sink->ops->loaders_max;
    size_t count = (size_t)s->engine->settings->snapshot_workers;
    if (most && count > (size_t)most)
        count = (size_t)most;
    struct worker *workers = mem_zalloc(count, sizeof(*workers));
    for (size_t i = 0; i < count; i++) {
        workers[i].snapshot = s;
        batch_init(&workers[i].batch);
    }
    struct progress progress;
    progress_init(&progress, stderr, s->engine->options->progress, "snapshot", "rows");
    int failed = 0;
    for (s->level = 0; !failed && s->level < s->level_count; s->level++) {
        if (!level_is_done(s))
            failed = load_lookups(s, reterr) || load_level(s, workers, count, &progress, reterr);
        if (!failed)
            failed =
                fast_load_level_done(s->engine, s->level, reterr) || sink_derive_all(s->engine->sink, s->level, reterr);
    }
    progress_clear(&progress);
    for (size_t i = 0; i < count; i++) {
        sink_close(workers[i].loader);
        pg_close(workers[i].conn);
        batch_done(&workers[i].batch);
    }
    free(workers);
    return failed;
}
