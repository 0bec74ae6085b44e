/* The first snapshot: every mapped row, joined to the slot without a gap.
 *
 *     record SNAPSHOT ─▶ slot, exports its snapshot ─▶ plan: parts ─▶ parts, level by level ─▶ record STREAMING at the
 *         durable                                      durable        (workers in parallel)    slot's point, durable
 *
 * The record comes before the slot, so a slot without a record is never ours. Cut off before the plan is recorded,
 * nothing has been loaded, and it begins anew with another slot. Cut off later it is resumed: slot and position stay,
 * parts that are done stay, the others are read at a new point, for the first one's snapshot died with its session.
 * Then one part may hold what the stream has still to bring to another; skip.c leaves that out.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/engine/fast_load.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"

/* A slot of our name before we ever recorded one belongs to somebody else. */
static int refuse_foreign_slot(struct engine *engine, struct err *reterr)
{
    struct slot_state slot;
    if (engine_read_slot(engine->settings, &slot, reterr) != 0)
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
    bool has_slot = s->slot_lsn != 0;
    snapshot_point_done(&s->point);
    if (has_slot)
        failed = engine_open_source(settings, "slot", ENGINE_BRIEF, &conn, &err) != 0 ||
                 slot_drop(conn, settings->source_slot, (int)settings->source_slot_wait_s, &err) != 0;
    pg_close(conn);
    if (!failed)
        failed = sink_snapshot_abandon(s->engine->sink, &err);
    log_event(failed ? LOG_WARN : LOG_INFO, "snapshot_abandoned", "slot=%s why=%s%s%s", settings->source_slot,
              err_kind_name(why->kind), failed ? " left=yes msg=" : "", failed ? err.message : "");
}

/* --- begin --- */

static int load_and_end(struct snapshot *s, struct err *reterr)
{
    struct engine *engine = s->engine;
    char text[LSN_TEXT_MAX];
    int64_t began_us = clock_mono_us();
    vitals_set_phase(engine->vitals, PHASE_SNAPSHOT);
    vitals_event(engine->vitals, LOG_INFO, "snapshot", "%zu parts", s->part_count);
    if (snapshot_load(s, reterr) != 0 || sink_snapshot_end(engine->sink, s->slot_lsn, reterr) != 0)
        return -1;
    vitals_event(engine->vitals, LOG_INFO, "snapshot_done", "%llu rows", (unsigned long long)s->rows);
    log_event(LOG_INFO, "snapshot_done", "slot=%s lsn=%s rows=%llu seconds=%.1f", engine->settings->source_slot,
              lsn_format(s->slot_lsn, text), (unsigned long long)s->rows, (double)(clock_mono_us() - began_us) / 1e6);
    engine->resume_lsn = s->slot_lsn;
    return 0;
}

static int take_begun(struct snapshot *s, bool again, struct err *reterr)
{
    struct engine *engine = s->engine;
    char text[LSN_TEXT_MAX];
    if (snapshot_point_of_slot(engine->settings, again, &s->point, reterr) != 0)
        return -1;
    s->slot_lsn = s->point.lsn;
    if (snapshot_plan(s, reterr) != 0 || snapshot_plan_record(s, reterr) != 0)
        return -1;
    log_event(LOG_INFO, "snapshot_begins", "slot=%s lsn=%s parts=%zu levels=%d again=%s", engine->settings->source_slot,
              lsn_format(s->slot_lsn, text), s->part_count, s->level_count, again ? "yes" : "no");
    return load_and_end(s, reterr);
}

static int take(struct snapshot *s, bool again, struct err *reterr)
{
    if (!again && refuse_foreign_slot(s->engine, reterr) != 0)
        return -1;
    struct sink_fast_load before = sink_fast_load(s->engine->sink);
    if (sink_snapshot_begin(s->engine->sink, again, reterr) != 0)
        return -1;
    fast_load_log(s->engine, &before);
    if (take_begun(s, again, reterr) == 0)
        return 0;
    if (!again && (reterr->kind == ERR_CONFIG || reterr->kind == ERR_REFUSED))
        abandon(s, reterr);
    return -1;
}

/* --- resume --- */

/* Without the slot nobody can tell what happened to the parts that are done. */
static int check_slot(const struct snapshot *s, struct err *reterr)
{
    const struct settings *settings = s->engine->settings;
    struct slot_state slot;
    if (engine_read_slot(settings, &slot, reterr) != 0)
        return -1;
    bool lost = slot.exists && strcmp(slot.wal_status, "lost") == 0;
    if (slot.exists && !lost && slot.confirmed_lsn <= s->slot_lsn)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "the snapshot cannot be resumed: replication slot %s %s", settings->source_slot,
                  !slot.exists ? "is gone"
                  : lost       ? "is lost, the source has removed WAL that it needed"
                               : "was moved on by somebody else");
    return err_hint(reterr, "`pgrekey drop`, empty the target tables, then run again: a new snapshot");
}

static int resume(struct snapshot *s, struct err *reterr)
{
    struct engine *engine = s->engine;
    char text[LSN_TEXT_MAX], point[LSN_TEXT_MAX];
    if (check_slot(s, reterr) != 0 || sink_snapshot_resume(engine->sink, reterr) != 0 ||
        snapshot_plan_read(s, NULL, false, reterr) != 0)
        return -1;
    if (s->part_count > 0 && snapshot_point_temporary(engine->settings, &s->point, reterr) != 0)
        return -1;
    log_event(LOG_INFO, "snapshot_resumes", "slot=%s lsn=%s parts=%zu point=%s", engine->settings->source_slot,
              lsn_format(s->slot_lsn, text), s->part_count, lsn_format(s->point.lsn, point));
    return load_and_end(s, reterr);
}

/* --- the join --- */

static int set_skip(struct engine *engine, struct err *reterr)
{
    struct sink_part *parts = NULL;
    size_t count = 0;
    if (sink_parts_read(engine->sink, &parts, &count, reterr) != 0)
        return -1;
    skip_free(engine->skip);
    engine->skip = skip_new(engine->binding.map, engine->binding.source, parts, count, engine->resume_lsn);
    sink_parts_free(parts, count);
    return 0;
}

/* Parts that a TRUNCATE has emptied, or of rules that have joined and are needed at once, are loaded as those of a
 * first snapshot are. */
static int load_left(struct engine *engine, const bool *later, struct err *reterr)
{
    struct snapshot s = {.engine = engine};
    char point[LSN_TEXT_MAX];
    int failed = snapshot_plan_read(&s, later, false, reterr);
    if (!failed && s.part_count > 0) {
        failed = sink_snapshot_resume(engine->sink, reterr) != 0 ||
                 snapshot_point_temporary(engine->settings, &s.point, reterr) != 0;
        if (!failed)
            log_event(LOG_INFO, "snapshot_rejoins", "slot=%s parts=%zu point=%s", engine->settings->source_slot,
                      s.part_count, lsn_format(s.point.lsn, point));
        failed = failed || snapshot_load(&s, reterr) != 0 || sink_snapshot_settle(engine->sink, reterr) != 0;
    }
    snapshot_point_done(&s.point);
    snapshot_plan_free(&s);
    return failed ? -1 : 0;
}

void snapshot_free_joining(struct engine *engine)
{
    if (engine->joining)
        snapshot_plan_free(engine->joining);
    free(engine->joining);
    engine->joining = NULL;
    free(engine->back);
    engine->back = NULL;
}

/* Of parts that come later, those of the lowest level: the others lean on them. */
static int plan_joining(struct engine *engine, const bool *later, struct err *reterr)
{
    struct snapshot *s = mem_zalloc(1, sizeof(*s));
    engine->joining = s;
    s->engine = engine;
    if (snapshot_plan_read(s, later, true, reterr) != 0)
        return -1;
    s->level = INT_MAX;
    for (size_t i = 0; i < s->part_count; i++)
        s->level = s->parts[i].level < s->level ? s->parts[i].level : s->level;
    if (s->part_count == 0) {
        snapshot_free_joining(engine);
        return 0;
    }
    log_event(LOG_INFO, "joining", "slot=%s parts=%zu level=%d", engine->settings->source_slot, s->part_count,
              s->level);
    return sink_derive_rest(engine->sink, s->level, reterr);
}

int snapshot_rejoin(struct engine *engine, struct err *reterr)
{
    struct sink_fast_load before = sink_fast_load(engine->sink);
    bool *later = NULL;
    int failed = snapshot_plan_new(engine, &later, reterr);
    if (!failed) {
        fast_load_log(engine, &before);
        failed = plan_joining(engine, later, reterr) != 0 || load_left(engine, later, reterr) != 0;
    }
    free(later);
    if (failed || fast_load_level_done(engine, INT_MAX, reterr) != 0 || sink_steps_loaded(engine->sink, reterr) != 0 ||
        sink_derive_due(engine->sink, reterr) != 0)
        return -1;
    return set_skip(engine, reterr);
}

int snapshot_take(struct engine *engine, const struct sink_position *position, struct err *reterr)
{
    struct snapshot s = {.engine = engine, .slot_lsn = position->snapshot_lsn};
    bool again = position->state == PIPELINE_SNAPSHOT;
    int failed = again && s.slot_lsn ? resume(&s, reterr) : take(&s, again, reterr);
    snapshot_point_done(&s.point);
    snapshot_plan_free(&s);
    return failed != 0 ? -1 : set_skip(engine, reterr);
}
