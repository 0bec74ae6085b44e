/* The first snapshot: every mapped row as it was at the very point where the slot begins.
 *
 *     record SNAPSHOT, durable ─▶ slot, exports its snapshot ─▶ parts, level by level ─▶ record STREAMING at the
 *                                                               (workers in parallel)    slot's point, durable
 *
 * A part is a key range of a source table for the rules of one level: rules stand on the level below those that refer
 * to them, so parents are there before their children. A table whose rules stand on two levels is read twice.
 *
 * A crash anywhere leaves the record SNAPSHOT; the next start drops the slot, removes what was written and begins
 * anew. The record comes before the slot, so a slot without a record is never ours.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/engine.h"
#include "cdc/app/progress.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "cdc/source/rowreader.h"

#define RANGES_MAX 256

struct part {
    int id, level;
    struct copy_range range;
    const struct rule **rules; /* of the table, on this level */
    size_t rule_count;
};

struct snapshot {
    struct engine *engine;
    char name[64]; /* the exported snapshot's */
    uint64_t lsn;
    PGconn *exporter; /* the snapshot lives as long as this connection rests */
    struct part *parts;
    size_t part_count, part_capacity;
    int level;                /* the one being loaded */
    _Atomic size_t next_part; /* of all parts; a worker skips those of other levels */
    _Atomic uint64_t rows;
    double rows_expected;
    _Atomic size_t running; /* workers */
    _Atomic bool failed;
    pthread_mutex_t lock;
    struct err err; /* the first worker's */
};

struct worker {
    struct snapshot *snapshot;
    pthread_t thread;
    PGconn *conn;
    struct sink *loader;
    struct batch batch;
};

/* --- levels --- */

static bool refers_to_itself(const struct engine *engine, const struct rule *rule)
{
    const struct relation *target = map_rule_target(engine->binding.map, rule);
    for (size_t i = 0; i < rule->column_count; i++)
        if (rule->columns[i].parent == rule)
            return true;
    for (size_t i = 0; target && i < target->fk_count; i++)
        if (strcmp(target->fks[i].parent_schema, rule->to_schema) == 0 &&
            strcmp(target->fks[i].parent_table, rule->to_table) == 0)
            return true;
    return false;
}

/* levels[rule->index]. Returns how many there are. */
static int find_levels(const struct engine *engine, int *levels)
{
    size_t count;
    const struct map_step *steps = map_steps(engine->binding.map, &count);
    int highest = 0;
    for (size_t i = 0; i < count; i++) {
        if (steps[i].kind == STEP_RULE)
            levels[steps[i].index] = steps[i].level;
        if (steps[i].level > highest)
            highest = steps[i].level;
    }
    return highest + 1;
}

/* --- parts --- */

static void add_part(struct snapshot *s, int level, const struct copy_range *range, const struct rule *const *rules,
                     size_t rule_count)
{
    if (s->part_count == s->part_capacity) {
        s->part_capacity = s->part_capacity ? s->part_capacity * 2 : 64;
        s->parts = mem_realloc(s->parts, s->part_capacity * sizeof(*s->parts));
    }
    struct part *part = &s->parts[s->part_count];
    *part = (struct part){.id = (int)s->part_count, .level = level, .rule_count = rule_count};
    part->range.relation = range->relation;
    part->range.lo = range->lo ? mem_strdup(range->lo) : NULL;
    part->range.hi = range->hi ? mem_strdup(range->hi) : NULL;
    part->rules = mem_alloc(rule_count * sizeof(*part->rules));
    memcpy(part->rules, rules, rule_count * sizeof(*part->rules));
    s->part_count++;
}

static int plan_table(struct snapshot *s, PGconn *conn, const struct relation *relation, const int *levels, int level,
                      struct err *reterr)
{
    size_t all, count = 0;
    const struct rule *const *of_table = map_rules_of(s->engine->binding.map, relation, &all);
    const struct rule **rules = mem_alloc((all + 1) * sizeof(*rules));
    bool whole = false;
    for (size_t i = 0; i < all; i++)
        if (levels[of_table[i]->index] == level) {
            rules[count++] = of_table[i];
            whole = whole || refers_to_itself(s->engine, of_table[i]);
        }
    struct copy_range *ranges = NULL;
    size_t range_count = 0;
    int failed = 0;
    if (count > 0) {
        /* A table that refers to itself is read in one piece: parents mostly have the lower keys. */
        failed = copy_ranges_plan(conn, relation, (double)s->engine->settings->snapshot_range_rows,
                                  whole ? 1 : RANGES_MAX, &ranges, &range_count, reterr);
        for (size_t i = 0; !failed && i < range_count; i++)
            add_part(s, level, &ranges[i], rules, count);
        if (!failed && relation->estimated_rows > 0)
            s->rows_expected += relation->estimated_rows;
        copy_ranges_free(ranges, range_count);
    }
    free(rules);
    return failed;
}

static int plan(struct snapshot *s, int *ret_level_count, struct err *reterr)
{
    struct engine *engine = s->engine;
    int *levels = mem_alloc((map_rule_count(engine->binding.map) + 1) * sizeof(*levels));
    *ret_level_count = find_levels(engine, levels);
    PGconn *conn = NULL;
    int failed = engine_open_source(engine->settings, "snapshot plan", ENGINE_PATIENT, &conn, reterr);
    if (!failed)
        failed = snapshot_join(conn, s->name, reterr);
    for (int level = 0; !failed && level < *ret_level_count; level++)
        for (size_t i = 0; !failed && i < engine->binding.source->count; i++)
            failed = plan_table(s, conn, &engine->binding.source->relations[i], levels, level, reterr);
    pg_close(conn);
    free(levels);
    return failed;
}

/* --- workers --- */

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
    return 0;
}

static int load_rows(struct worker *w, struct part *part, struct copy_reader *reader, struct err *reterr)
{
    const struct settings *settings = w->snapshot->engine->settings;
    for (;;) {
        struct change *change = NULL;
        int more = copy_reader_next(reader, w->snapshot->lsn, &w->batch.arena, &change, reterr);
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

static int load_part(struct worker *w, struct part *part, struct err *reterr)
{
    struct copy_reader *reader = NULL;
    if (copy_reader_open(w->conn, &part->range, engine_never, w->snapshot->engine, &reader, reterr) != 0)
        return -1;
    int failed = load_rows(w, part, reader, reterr);
    copy_reader_close(reader);
    return failed;
}

static int worker_open(struct worker *w, struct err *reterr)
{
    struct engine *engine = w->snapshot->engine;
    struct pgsink_options options;
    engine_sink_options(engine, &options);
    if (engine_open_source(engine->settings, "snapshot", ENGINE_PATIENT, &w->conn, reterr) != 0 ||
        snapshot_join(w->conn, w->snapshot->name, reterr) != 0)
        return -1;
    return pgsink_loader_open(&options, &w->loader, reterr);
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
        if (s->parts[next].level == s->level)
            failed = load_part(w, &s->parts[next], &err);
    }
    if (failed)
        snapshot_fail(s, &err);
    s->running--;
    return NULL;
}

/* --- the main thread meanwhile --- */

static int beat(struct snapshot *s, int64_t *last_us, uint64_t *last_rows, struct err *reterr)
{
    int64_t now = clock_mono_us();
    if (now - *last_us < 1000000)
        return 0;
    struct pgsink_heartbeat heartbeat = {
        .received_lsn = s->lsn,
        .confirmed_lsn = s->lsn,
        .rows_per_s = (double)(s->rows - *last_rows) * 1e6 / (double)(now - *last_us),
        .phase = "snapshot",
    };
    *last_us = now;
    *last_rows = s->rows;
    return pgsink_heartbeat(s->engine->sink, &heartbeat, reterr);
}

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
    int64_t last_us = 0;
    uint64_t last_rows = s->rows;
    while (s->running > 0) {
        progress_update(progress, s->rows, (uint64_t)s->rows_expected, NULL);
        if (!s->failed && beat(s, &last_us, &last_rows, &err) != 0)
            snapshot_fail(s, &err);
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

static int load(struct snapshot *s, int level_count, struct err *reterr)
{
    size_t count = (size_t)s->engine->settings->snapshot_workers;
    struct worker *workers = mem_zalloc(count, sizeof(*workers));
    for (size_t i = 0; i < count; i++) {
        workers[i].snapshot = s;
        batch_init(&workers[i].batch);
    }
    struct progress progress;
    progress_init(&progress, stderr, s->engine->options->progress, "snapshot", "rows");
    int failed = 0;
    for (s->level = 0; !failed && s->level < level_count; s->level++)
        failed = lookups_load(s->engine->binding.lookups, s->engine->sink, s->level, reterr) ||
                 load_level(s, workers, count, &progress, reterr);
    progress_clear(&progress);
    for (size_t i = 0; i < count; i++) {
        sink_close(workers[i].loader);
        pg_close(workers[i].conn);
        batch_done(&workers[i].batch);
    }
    free(workers);
    return failed;
}

/* --- the slot --- */

static int make_slot(struct snapshot *s, bool again, struct err *reterr)
{
    struct engine *engine = s->engine;
    const struct settings *settings = engine->settings;
    PGconn *conn = NULL;
    int wait_s = (int)settings->source_slot_wait_s;
    if (engine_open_source(settings, "slot", ENGINE_BRIEF, &conn, reterr) != 0)
        return -1;
    int failed = again ? slot_drop(conn, settings->source_slot, wait_s, reterr) : 0;
    if (!failed)
        failed = engine_open_source(settings, "snapshot export", ENGINE_REPLICATION, &s->exporter, reterr);
    if (!failed)
        failed =
            slot_create(s->exporter, conn, settings->source_slot, wait_s, &s->lsn, s->name, sizeof(s->name), reterr);
    pg_close(conn);
    return failed;
}

/* A slot of our name before we ever recorded one belongs to somebody else. */
static int refuse_foreign_slot(struct engine *engine, struct err *reterr)
{
    PGconn *conn = NULL;
    struct slot_state slot;
    if (engine_open_source(engine->settings, "slot", ENGINE_BRIEF, &conn, reterr) != 0)
        return -1;
    int failed = slot_read(conn, engine->settings->source_slot, &slot, reterr);
    pg_close(conn);
    if (failed)
        return -1;
    if (!slot.exists)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "replication slot %s exists already, but the target has no position for it",
                  engine->settings->source_slot);
    err_hint(reterr, "`pgrekey drop` removes the slot and what the target knows of it; or choose another source.slot");
    return -1;
}

/* A first snapshot that cannot be taken as things are (a missing privilege, no free slot) leaves nothing behind: its
 * slot goes, then what it wrote together with the record. */
static void abandon(struct snapshot *s, const struct err *why)
{
    const struct settings *settings = s->engine->settings;
    PGconn *conn = NULL;
    struct err err = {0};
    int failed = 0;
    pg_close(s->exporter);
    s->exporter = NULL;
    if (s->lsn)
        failed = engine_open_source(settings, "slot", ENGINE_BRIEF, &conn, &err) != 0 ||
                 slot_drop(conn, settings->source_slot, (int)settings->source_slot_wait_s, &err) != 0;
    pg_close(conn);
    if (!failed)
        failed = pgsink_snapshot_abandon(s->engine->sink, &err);
    log_event(failed ? LOG_WARN : LOG_INFO, "snapshot_abandoned", "slot=%s why=%s%s%s", settings->source_slot,
              err_class_name(why->class), failed ? " left=yes msg=" : "", failed ? err.message : "");
}

static int take_begun(struct snapshot *s, bool again, struct err *reterr)
{
    struct engine *engine = s->engine;
    char text[LSN_TEXT_MAX];
    int level_count = 0;
    if (make_slot(s, again, reterr) != 0 || plan(s, &level_count, reterr) != 0 ||
        pgsink_snapshot_point(engine->sink, s->lsn, (int)s->part_count, reterr) != 0)
        return -1;
    log_event(LOG_INFO, "snapshot_begins", "slot=%s lsn=%s parts=%zu levels=%d again=%s", engine->settings->source_slot,
              lsn_format(s->lsn, text), s->part_count, level_count, again ? "yes" : "no");
    int64_t began_us = clock_mono_us();
    if (load(s, level_count, reterr) != 0 || pgsink_snapshot_end(engine->sink, s->lsn, reterr) != 0)
        return -1;
    log_event(LOG_INFO, "snapshot_done", "slot=%s lsn=%s rows=%llu seconds=%.1f", engine->settings->source_slot,
              lsn_format(s->lsn, text), (unsigned long long)s->rows, (double)(clock_mono_us() - began_us) / 1e6);
    engine->resume_lsn = s->lsn;
    return 0;
}

static int take(struct snapshot *s, bool again, struct err *reterr)
{
    if (!again && refuse_foreign_slot(s->engine, reterr) != 0)
        return -1;
    if (pgsink_snapshot_begin(s->engine->sink, again, reterr) != 0)
        return -1;
    if (take_begun(s, again, reterr) == 0)
        return 0;
    if (!again && (reterr->class == ERR_CONFIG || reterr->class == ERR_REFUSED))
        abandon(s, reterr);
    return -1;
}

int snapshot_take(struct engine *engine, bool again, struct err *reterr)
{
    struct snapshot s = {.engine = engine};
    pthread_mutex_init(&s.lock, NULL);
    int failed = take(&s, again, reterr);
    pg_close(s.exporter);
    for (size_t i = 0; i < s.part_count; i++) {
        free(s.parts[i].range.lo);
        free(s.parts[i].range.hi);
        free(s.parts[i].rules);
    }
    free(s.parts);
    pthread_mutex_destroy(&s.lock);
    return failed;
}
