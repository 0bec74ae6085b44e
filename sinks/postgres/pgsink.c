/* Opening and closing a session on the target, and what is asked of it between batches. */
#include "sinks/postgres/pgsink.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/apply/apply.h"
#include "sinks/postgres/apply/netchange.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/mirror/mirror.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/breaker.h"
#include "sinks/postgres/quarantine/keep.h"
#include "sinks/postgres/quarantine/retry.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/session/durable.h"
#include "sinks/postgres/session/fence.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/session/shared.h"
#include "sinks/postgres/snapshot/fastload.h"
#include "sinks/postgres/snapshot/fastload_aside.h"
#include "sinks/postgres/snapshot/parts.h"
#include "sinks/postgres/state/audit.h"
#include "sinks/postgres/state/namespace.h"
#include "sinks/postgres/state/record.h"
#include "sinks/postgres/state/request_store.h"
#include "sinks/postgres/steps/steps.h"

#define PARENTS_MAX ((size_t)1 << 16)
#define COPY_MAX ((size_t)1 << 20)

static int sink_durable_op(struct sink *sink, uint64_t *ret_lsn, struct err *reterr)
{
    return durable_ask(pgsink_of(sink), ret_lsn, reterr);
}

/* Of several sessions one at a time does it. */
static int tick_in_turn(struct pgsink *s, struct err *reterr)
{
    bool ours;

    if (shared_take_turn(s, &ours, reterr))
        return -1;
    if (!ours)
        return 0;
    if (request_serve(s, reterr) || retry_due(s, reterr) || keep_expire(s, reterr) || shared_sweep(s, reterr)) {
        struct err ignored = {0};
        session_rollback(s);
        if (shared_end_turn(s, &ignored))
            *reterr = ignored; /* the session is lost, and that is what counts */
        return -1;
    }
    return shared_end_turn(s, reterr);
}

static int sink_tick_op(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (s->in_transaction || s->loader || s->state == PIPELINE_NEW)
        return 0;
    if (s->shared)
        return tick_in_turn(s, reterr);
    if (request_serve(s, reterr) || retry_due(s, reterr) || keep_expire(s, reterr) || parts_clear_reached(s, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

static void free_options(struct pgsink_options *options)
{
    const char *texts[] = {options->conninfo, options->password_file, options->pipeline, options->slot};

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        union {
            const char *kept;
            char *own;
        } text = {.kept = texts[i]};
        free(text.own);
    }
}

static void sink_close_op(struct sink *sink)
{
    struct pgsink *s = pgsink_of(sink);

    rowmode_close(s);
    pg_close(s->conn);
    for (size_t i = 0; i < s->rule_count; i++)
        target_done(&s->rules[i].target);
    for (size_t i = 0; i < COUNTERS_OPS; i++)
        free(s->counter_statements[i].sql);
    free(s->record_statement.sql);
    free(s->rules);
    park_close(s);
    references_done(&s->references);
    parents_free(s->parents);
    adopted_free(s->adopted);
    netchange_free(s->net);
    durable_free(s->durable);
    derive_close(s);
    breaker_free(s->breaker);
    buf_done(&s->copy);
    arena_done(&s->scratch);
    free_options(&s->options);
    free(s);
}

static const struct sink_ops OPS;

static void copy_options(struct pgsink *s, const struct pgsink_options *options)
{
    s->options = *options;
    s->options.conninfo = mem_strdup(options->conninfo ? options->conninfo : "");
    s->options.password_file = options->password_file ? mem_strdup(options->password_file) : NULL;
    s->options.pipeline = mem_strdup(options->pipeline);
    s->options.slot = mem_strdup(options->slot ? options->slot : "");
}

/* A deferrable constraint, or a trigger that may be one, anywhere near: then chunks check before they end. */
static bool any_deferrable(const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct relation *relation = &catalog->relations[i];
        if (relation->has_user_triggers)
            return true;
        for (size_t j = 0; j < relation->unique_count; j++)
            if (relation->uniques[j].deferrable)
                return true;
        for (size_t j = 0; j < relation->fk_count; j++)
            if (relation->fks[j].deferrable)
                return true;
    }
    return false;
}

static bool is_plain_key(const char *type)
{
    return strcmp(type, "smallint") == 0 || strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0 ||
           strcmp(type, "uuid") == 0;
}

static bool is_text(const char *type)
{
    return strcmp(type, "text") == 0 || strcmp(type, "character varying") == 0;
}

/* Does the target row hold the source's key, so that its text there is the source's? */
static bool knows_key(const struct pgsink *s, const struct target *target)
{
    const struct rule *rule = target->rule;
    const struct relation *source = map_rule_source(s->options.map, rule);

    if (!source || source->key_count == 0 || rule->origin_count != source->key_count)
        return false;
    for (size_t i = 0; i < rule->origin_count; i++) {
        const char *from = source->columns[source->key[i]].base_type, *to = target->types[rule->origin[i]];
        if (!is_text(to) ? !is_plain_key(from) || !is_plain_key(to) : !is_plain_key(from) && !is_text(from))
            return false;
    }
    return true;
}

static void add_here(struct target *target, size_t place, size_t column)
{
    target->here = mem_realloc(target->here, (target->here_count + 1) * sizeof(*target->here));
    target->here[target->here_count++] = (struct here){.place = place, .column = column};
}

/* Who refers to whom; and that the net change answers for rows that others refer to. */
static void describe_references(struct pgsink *s)
{
    bool *written;

    references_init(&s->references, s->options.map, s->options.target, s->options.pipeline);
    written = mem_zalloc(s->references.place_count + 1, sizeof(*written));
    for (size_t r = 0; r < s->rule_count; r++)
        s->rules[r].target.knows_key = knows_key(s, &s->rules[r].target);
    for (size_t r = 0; r < s->rule_count; r++)
        for (size_t p = 0; p < s->references.place_count; p++) {
            int column = references_column_at(&s->references.places[p], s->rules[r].target.rule);
            if (column < 0)
                continue;
            add_here(&s->rules[r].target, p, (size_t)column);
            s->references.places[p].shared = written[p];
            written[p] = true;
            s->net->rules[r].wanted = true;
        }
    free(written);
}

static int describe_targets(struct pgsink *s, struct err *reterr)
{
    s->rule_count = map_rule_count(s->options.map);
    s->rules = mem_zalloc(s->rule_count + 1, sizeof(*s->rules));
    s->net = netchange_new(s->rule_count);
    for (size_t i = 0; i < s->rule_count; i++) {
        const struct rule *rule = map_rule(s->options.map, i);
        if (target_init(&s->rules[i].target, rule, map_rule_target(s->options.map, rule), s->options.target, reterr))
            return -1;
    }
    describe_references(s);
    s->deferrable = any_deferrable(s->options.target);
    return derive_open(s, reterr);
}

static struct pgsink *new_sink(const struct pgsink_options *options)
{
    struct pgsink *s = mem_zalloc(1, sizeof(*s));

    s->sink.ops = &OPS;
    copy_options(s, options);
    s->parents = parents_new(PARENTS_MAX);
    s->adopted = adopted_new();
    s->durable = durable_new();
    s->breaker = breaker_new(options->breaker_window, options->breaker_percent);
    rowmode_open(s);
    park_open(s);
    buf_init(&s->copy, COPY_MAX);
    arena_init(&s->scratch, (size_t)256 << 10);
    return s;
}

int session_open(const struct pgsink_options *options, struct pgsink **ret_s, struct err *reterr)
{
    struct pgsink *s = new_sink(options);

    if (describe_targets(s, reterr) || opening_connect(s, reterr)) {
        sink_close(&s->sink);
        return -1;
    }
    *ret_s = s;
    return 0;
}

/* Only a snapshot that is under way leaves off what a fast load has taken. */
static int settle_fast_load(struct pgsink *s, struct err *reterr)
{
    struct fastload_state state;

    if (s->state != PIPELINE_SNAPSHOT) {
        int failed = fastload_build(s, INT_MAX, true, reterr);
        s->fast_load.bound_without = s->fast_load.restored > 0;
        return failed;
    }
    if (fastload_read(s->conn, s->options.pipeline, &state, reterr))
        return -1;
    s->fast_load.bound_without = state.off > 0;
    return 0;
}

const struct sink_fast_load *pgsink_fast_load(struct sink *sink)
{
    return &pgsink_of(sink)->fast_load;
}

int pgsink_open(const struct pgsink_options *options, struct sink **ret_sink, struct sink_position *ret_position,
                struct err *reterr)
{
    struct pgsink *s;

    if (session_open(options, &s, reterr))
        return -1;
    if (opening_lock(s, reterr) || opening_read_record(s, ret_position, reterr) ||
        (s->state == PIPELINE_STREAMING && !s->options.shared && durable_settle(s, reterr)) ||
        (s->state != PIPELINE_NEW && steps_check(s, reterr)) || namespace_record(s, reterr) ||
        derive_session(s, reterr) || mirror_make(s, reterr) || (s->state != PIPELINE_NEW && steps_write(s, reterr)) ||
        adopted_open(s, reterr) || (s->state == PIPELINE_STREAMING && adopt_run(s, reterr)) ||
        settle_fast_load(s, reterr) || opening_read_bounds(s, reterr) || parts_read_join(s, reterr)) {
        sink_close(&s->sink);
        return -1;
    }
    *ret_sink = &s->sink;
    return 0;
}

int pgsink_loader_open(const struct pgsink_options *options, struct sink **ret_sink, struct err *reterr)
{
    struct pgsink *s;

    if (session_open(options, &s, reterr))
        return -1;
    s->loader = true;
    derive_close(s); /* a snapshot derives level by level, when the level's rows are there */
    s->state = PIPELINE_SNAPSHOT;
    if (fence_join(s, reterr) || adopted_open(s, reterr)) {
        sink_close(&s->sink);
        return -1;
    }
    *ret_sink = &s->sink;
    return 0;
}

static int sink_loader_open_op(struct sink *sink, struct sink **ret_loader, struct err *reterr)
{
    return pgsink_loader_open(&pgsink_of(sink)->options, ret_loader, reterr);
}

int pgsink_advance(struct sink *sink, uint64_t lsn, struct err *reterr)
{
    struct batch batch = {.snapshot_part = -1, .complete = true, .end_lsn = lsn};
    struct pgsink *s = pgsink_of(sink);

    if (s->in_transaction || lsn <= s->lsn)
        return 0;
    if (session_begin(s, reterr) || record_commit(s, &batch, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

int pgsink_pause(struct sink *sink, const char *category, const char *reason, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[3] = {s->options.pipeline, category, reason};

    s->resume_requested = false;
    if (s->in_transaction) /* in the midst of a source transaction: it comes again from its begin */
        session_rollback(s);
    if (session_query(s, "recording the pause",
                      "UPDATE pgrekey.pipeline SET paused = true, pause_category = $2, pause_reason = $3 "
                      "WHERE name = $1",
                      3, params, NULL, reterr))
        return -1;
    return audit_put(s, "pause", "", 0, category, reterr);
}

int pgsink_resume(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};

    breaker_reset(s->breaker);
    s->resume_requested = false;
    if (session_query(s, "recording that it goes on",
                      "UPDATE pgrekey.pipeline SET paused = false, pause_category = NULL, pause_reason = NULL "
                      "WHERE name = $1",
                      1, params, NULL, reterr))
        return -1;
    return audit_put(s, "resume", "", 0, "", reterr);
}

int pgsink_resync_waits(struct sink *sink, bool *ret_waits, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    PGresult *result = NULL;

    if (session_query(s, "looking for what is to be resynced",
                      "SELECT EXISTS (SELECT FROM pgrekey.resync WHERE pipeline = $1 AND status IN ('waiting', "
                      "'running'))",
                      1, (const char *[]){s->options.pipeline}, &result, reterr))
        return -1;
    *ret_waits = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

bool pgsink_resume_requested(struct sink *sink)
{
    return pgsink_of(sink)->resume_requested;
}

void pgsink_figures(struct sink *sink, struct sink_figures *ret_figures)
{
    *ret_figures = pgsink_of(sink)->figures;
}

static const struct sink_ops OPS = {
    .name = "postgres",
    .apply = apply_batch,
    .durable = sink_durable_op,
    .tick = sink_tick_op,
    .close = sink_close_op,
    .advance = pgsink_advance,
    .pause = pgsink_pause,
    .resume = pgsink_resume,
    .resume_requested = pgsink_resume_requested,
    .figures = pgsink_figures,
    .steps_due = pgsink_steps_due,
    .steps_loaded = pgsink_steps_loaded,
    .losses = pgsink_losses,
    .resync_waits = pgsink_resync_waits,
    .mirror_read = mirror_read,
    .snapshot_begin = pgsink_snapshot_begin,
    .snapshot_plan = pgsink_snapshot_plan,
    .snapshot_resume = pgsink_snapshot_resume,
    .snapshot_settle = pgsink_snapshot_settle,
    .snapshot_end = pgsink_snapshot_end,
    .snapshot_abandon = pgsink_snapshot_abandon,
    .parts_read = pgsink_parts_read,
    .parts_add = pgsink_parts_add,
    .loader_open = sink_loader_open_op,
    .level_loaded = pgsink_level_loaded,
    .fast_load = pgsink_fast_load,
    .derive_all = pgsink_derive_all,
    .derive_due = pgsink_derive_due,
    .derive_rest = pgsink_derive_rest,
    .joins = true,
};
