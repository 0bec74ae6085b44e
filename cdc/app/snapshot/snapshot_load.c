/* Workers that bring parts to the target: each with a connection to the source that stands in the point's snapshot, and
 * a loader session of the sink. A part is one transaction of the target: cut off anywhere, it has left nothing behind
 * and is read again, and nobody has to know which of its rows were there.
 */
#include <stdlib.h>

#include "cdc/app/engine/fast_load.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/app/snapshot/crew.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

struct worker {
    struct snapshot *snapshot;
    PGconn *conn;
    struct sink *loader;
    struct batch batch;
};

/* Without its slot a snapshot leads nowhere. */
static int look_at_slot(const struct engine *engine, struct err *reterr)
{
    if (!engine->slot_given_up)
        return 0;
    (void)err_set(reterr, ERR_REFUSED,
                  "the guard has given up replication slot %s in the midst of the snapshot, for the source's sake",
                  engine->settings->source_slot);
    return err_hint(reterr, "the source needs room for the WAL of a whole snapshot: see guard.wal_budget. Then "
                            "`pgrekey drop`, empty the target tables, run again");
}

static int load_batch(struct worker *w, const struct part *part, bool last, struct err *reterr)
{
    if (look_at_slot(w->snapshot->engine, reterr) != 0)
        return -1;
    w->batch.snapshot_part = part->id;
    w->batch.part_done = last;
    w->batch.complete = true;
    w->batch.end_lsn = w->snapshot->point.lsn;
    if (sink_apply(w->loader, &w->batch, reterr) != 0)
        return -1;
    batch_reset(&w->batch);
    return 0;
}

static int add_change(struct crew_hand *hand, const struct part *part, const struct change *change, struct err *reterr)
{
    struct worker *w = hand->own;
    for (size_t i = 0; i < part->rule_count; i++) {
        struct row *row = NULL;
        if (map_transform_rule(w->snapshot->engine->binding.map, part->rules[i], change, &w->batch.arena, &row,
                               reterr) != 0)
            return -1;
        batch_add_row(&w->batch, row);
    }
    crew_count(hand);
    return 0;
}

static int load_rows(struct crew_hand *hand, const struct part *part, struct copy_reader *reader, struct err *reterr)
{
    struct worker *w = hand->own;
    const struct settings *settings = w->snapshot->engine->settings;
    for (;;) {
        struct change *change = NULL;
        int more = copy_reader_next(reader, w->snapshot->point.lsn, &w->batch.arena, &change, reterr);
        if (more < 0)
            return -1;
        if (more == 0)
            return load_batch(w, part, true, reterr);
        if (add_change(hand, part, change, reterr) != 0)
            return -1;
        if (w->batch.row_count < (size_t)settings->batch_max_rows &&
            arena_used(&w->batch.arena) < (size_t)settings->batch_max_bytes)
            continue;
        if (crew_stops(hand))
            return err_set(reterr, ERR_STOP, "stopped");
        if (load_batch(w, part, false, reterr) != 0)
            return -1;
    }
}

/* Each part in a transaction of its own: a lock on its table is held no longer than its rows are read. One that waited
 * for the next part, or for a level's other parts, would keep a TRUNCATE out, and with that whoever comes behind it,
 * the other workers included. */
static int load_part(struct crew_hand *hand, size_t index, struct err *reterr)
{
    struct worker *w = hand->own;
    const struct part *part = &w->snapshot->parts[index];
    struct copy_reader *reader = NULL;
    if (snapshot_join(w->conn, w->snapshot->point.name, reterr) != 0)
        return -1;
    int failed = copy_reader_open(w->conn, &part->range, engine_never, w->snapshot->engine, &reader, reterr) != 0 ||
                 load_rows(hand, part, reader, reterr) != 0;
    copy_reader_close(reader);
    return snapshot_leave(w->conn, failed ? NULL : reterr) != 0 || failed ? -1 : 0;
}

static int worker_open(struct crew_hand *hand, struct err *reterr)
{
    struct worker *w = hand->own;
    struct engine *engine = w->snapshot->engine;
    if (engine_open_source(engine->settings, "snapshot", ENGINE_PATIENT, &w->conn, reterr) != 0)
        return -1;
    return sink_loader_open(engine->sink, &w->loader, reterr);
}

static void worker_forget(struct crew_hand *hand)
{
    struct worker *w = hand->own;
    batch_reset(&w->batch);
}

/* --- the main thread meanwhile --- */

struct watch_load {
    struct snapshot *snapshot;
    struct progress progress;
};

static void tell(void *context, uint64_t rows)
{
    struct watch_load *watch = context;
    uint64_t expected = (uint64_t)watch->snapshot->rows_expected;
    progress_update(&watch->progress, rows, expected, NULL);
    vitals_snapshot(watch->snapshot->engine->vitals, rows, expected);
}

static const struct crew_ops ops = {.open = worker_open, .load = load_part, .forget = worker_forget, .idle = tell};

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

static int load_levels(struct snapshot *s, struct crew *crew, struct err *reterr)
{
    struct engine *engine = s->engine;
    for (s->level = 0; s->level < s->level_count; s->level++)
        if ((crew_wanted(crew, s->level) && load_lookups(s, reterr) != 0) || crew_load(crew, s->level, reterr) != 0 ||
            fast_load_level_done(engine, s->level, reterr) != 0 ||
            sink_derive_all(engine->sink, s->level, reterr) != 0 || look_at_slot(engine, reterr) != 0)
            return -1;
    return 0;
}

int snapshot_load(struct snapshot *s, struct err *reterr)
{
    int most = s->engine->sink->ops->loaders_max;
    size_t count = (size_t)s->engine->settings->snapshot_workers;
    if (most && count > (size_t)most)
        count = (size_t)most;
    struct worker *workers = mem_zalloc(count, sizeof(*workers));
    struct watch_load watch = {.snapshot = s};
    struct crew crew;
    crew_init(&crew, &ops, &watch, count);
    for (size_t i = 0; i < count; i++) {
        workers[i].snapshot = s;
        batch_init(&workers[i].batch);
        crew.hands[i].own = &workers[i];
    }
    for (size_t i = 0; i < s->part_count; i++)
        crew_add(&crew, s->parts[i].id, s->parts[i].level, s->parts[i].done);
    progress_init(&watch.progress, stderr, s->engine->options->progress, "snapshot", "rows");
    int failed = load_levels(s, &crew, reterr);
    s->rows += crew.rows;
    progress_clear(&watch.progress);
    crew_done(&crew);
    for (size_t i = 0; i < count; i++) {
        sink_close(workers[i].loader);
        pg_close(workers[i].conn);
        batch_done(&workers[i].batch);
    }
    free(workers);
    return failed;
}
