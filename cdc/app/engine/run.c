/* `pgrekey run`: sessions, one after the other, until there is a reason to end.
 *
 *            ┌────────────── ERR_RETRY: back off, begin again from the target's position ─┐
 *            ▼                                                                            │
 *     bind ─▶ open sink ─▶ (snapshot) ─▶ check slot ─▶ stream, apply, watch ──────────────┤
 *            ▲                                              │ ERR_REFUSED while running   │
 *            └──────────── resume ◀── pause in place ◀──────┘                             ▼
 *                                                                     stop, one-shot done, fatal: out
 *
 * Classes become policy here and nowhere else. What is refused at the start ends the program, for a person stands
 * there; what is refused in mid-stream pauses it, for nobody does.
 */
#include "cdc/app/engine/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/fast_load.h"
#include "cdc/app/engine/turn.h"
#include "cdc/app/monitor/http.h"
#include "cdc/app/monitor/monitor.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/adopt/names.h"

_Atomic int run_stop;
_Atomic int run_reload;

int run_exit_of(enum err_kind kind)
{
    switch (kind) {
    case ERR_NONE:
    case ERR_STOP: return EXIT_OK;
    case ERR_RETRY: return EXIT_UNREACHABLE;
    case ERR_CONFIG: return EXIT_CONFIG;
    case ERR_REFUSED: return EXIT_REFUSED;
    case ERR_POISON:
    case ERR_FATAL: break;
    }
    return EXIT_INTERNAL;
}

struct run {
    struct engine *engine;
    bool connected; /* a session has come up once: from then on failures of the network are waited out */
    bool streamed;  /* the stream has been open once: from then on refusals pause */
    bool rebind;    /* the session ended only to begin anew */
    int64_t backoff_ms;
    uint64_t backoff_lsn; /* where it stood when it last backed off: progress begins the back-off anew */
};

/* --- a session --- */

static void close_session(struct engine *engine)
{
    vitals_forget_waiting(engine->vitals);
    stream_close(engine->stream);
    engine->stream = NULL;
    resync_close(engine->resync);
    engine->resync = NULL;
    sink_close(engine->sink);
    engine->sink = NULL;
    names_close(engine->names);
    engine->names = NULL;
    skip_free(engine->skip);
    engine->skip = NULL;
    snapshot_free_joining(engine);
    pg_close(engine->receiver_conn);
    pg_close(engine->applier_conn);
    engine->receiver_conn = engine->applier_conn = NULL;
    turn_leave(engine);
}

static int refuse_older_target(const struct settings *settings, const struct slot_state *slot, uint64_t position,
                               struct err *reterr)
{
    char ours[LSN_TEXT_MAX], theirs[LSN_TEXT_MAX];
    (void)err_set(
        reterr, ERR_REFUSED,
        "the target's position %s lies behind slot %s, which was confirmed up to %s: the target was restored "
        "to an older state, or the slot was used by somebody else; the changes between are gone from the slot",
        lsn_format(position, ours), settings->source_slot, lsn_format(slot->confirmed_lsn, theirs));
    return err_hint(reterr,
                    "restore a newer backup of the target; or `pgrekey drop`, empty the target tables and take a "
                    "new snapshot");
}

/* Is the slot ahead of the target? Everything else about it is for stream_open() to tell. */
static int check_not_behind(struct engine *engine, struct err *reterr)
{
    const struct settings *settings = engine->settings;
    struct slot_state slot;
    if (engine_read_slot(settings, &slot, reterr) != 0)
        return -1;
    bool readable = slot.exists && strcmp(slot.plugin, "wal2json") == 0 && strcmp(slot.wal_status, "lost") != 0;
    if (readable && slot.confirmed_lsn > engine->resume_lsn)
        return refuse_older_target(settings, &slot, engine->resume_lsn, reterr);
    return 0;
}

static int on_relation(void *context, const char *schema, const char *table, const char *column, const char *why,
                       const struct relation **ret_relation, struct err *reterr)
{
    struct engine *engine = context;
    size_t rules = 0;
    const struct relation *relation = catalog_find(engine->binding.source, schema, table);
    if (relation)
        map_rules_of(engine->binding.map, relation, &rules);
    *ret_relation = rules > 0 ? relation : NULL;
    if (rules == 0 || strcmp(why, "new") == 0)
        return 0;
    /* The stream shows another shape than the binding: harmless (a new column), or the mapping has lost its ground. */
    log_event(LOG_WARN, "shape_changed", "slot=%s table=%s.%s column=%s why=%s", engine->settings->source_slot, schema,
              table, column ? column : "", why);
    if (!engine->receiver_conn &&
        engine_open_source(engine->settings, "rows", ENGINE_BRIEF, &engine->receiver_conn, reterr) != 0)
        return -1;
    return engine_recheck_catalog(engine, engine->receiver_conn, reterr);
}

/* Schema and name of every table that a rule reads, in turn. Freed by the caller (array only). */
static const char **wanted_tables(const struct engine *engine, size_t *ret_count)
{
    const struct catalog *source = engine->binding.source;
    const char **names = mem_alloc((source->count * 2 + 1) * sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < source->count; i++) {
        size_t rules;
        map_rules_of(engine->binding.map, &source->relations[i], &rules);
        if (rules == 0)
            continue;
        names[count * 2] = source->relations[i].schema;
        names[count * 2 + 1] = source->relations[i].name;
        count++;
    }
    *ret_count = count;
    return names;
}

/* A slot that somebody reads, perhaps our own dead session, is waited for before it is an error. */
static int open_stream(struct engine *engine, struct err *reterr)
{
    const struct settings *settings = engine->settings;
    size_t table_count;
    const char **tables = wanted_tables(engine, &table_count);
    struct stream_options options = {
        .conninfo = settings->source_dsn,
        .password_file = settings->source_password_file,
        .slot = settings->source_slot,
        .start_lsn = engine->resume_lsn,
        .status_interval_ms = (int)settings->source_status_interval_ms,
        .receive_timeout_ms = (int)settings->source_receive_timeout_ms,
        .wake_fd = engine->handover.wake_fd,
        .commit_lsns = engine->skip || engine->resync || engine->sink->ops->wants_commits,
        .timestamps = settings->source_timestamps || engine->sink->ops->wants_commits,
        .tables = tables,
        .table_count = table_count,
        .relation = on_relation,
        .never = engine_never,
        .context = engine,
    };
    int64_t until_us = clock_mono_us() + settings->source_slot_wait_s * 1000000;
    int failed;
    bool told = false;
    while ((failed = stream_open(&options, &engine->stream, reterr)) != 0) {
        if (strcmp(reterr->sqlstate, "55006") != 0 || run_stop)
            break;
        if (clock_mono_us() > until_us) {
            reterr->kind = ERR_REFUSED;
            err_hint(reterr, "another process reads this slot: stop it, or choose another source.slot");
            break;
        }
        if (!told)
            log_event(LOG_WARN, "slot_taken", "slot=%s wait_s=%lld", settings->source_slot,
                      (long long)settings->source_slot_wait_s);
        told = true;
        usleep(200 * 1000);
    }
    free(tables);
    return failed;
}

/* The open stream until a stop, a failure, or the end of a one-shot run. */
static int stream_run(struct engine *engine, struct err *reterr)
{
    char text[LSN_TEXT_MAX];
    struct err stop_err = {0};
    log_event(LOG_INFO, "streaming", "slot=%s lsn=%s", engine->settings->source_slot,
              lsn_format(engine->resume_lsn, text));
    if (watch_start(engine, reterr) != 0 || applier_start(engine, reterr) != 0) {
        watch_stop(engine);
        return -1;
    }
    vitals_set_phase(engine->vitals, PHASE_STREAMING);
    vitals_event(engine->vitals, LOG_INFO, "streaming", "from %s", text);
    int failed = receive_run(engine, reterr);
    watch_stop(engine);
    if (applier_stop(engine, &stop_err) != 0 && !failed) {
        *reterr = stop_err;
        failed = -1;
    }
    vitals_forget_waiting(engine->vitals);
    stream_close(engine->stream);
    engine->stream = NULL;
    if (!failed)
        log_event(LOG_INFO, "stopped", "slot=%s lsn=%s", engine->settings->source_slot,
                  lsn_format(engine->resume_lsn, text));
    return failed;
}

/* --- pausing in place --- */

/* What was not named where it arose is told by what the server said: 42 is about names, types and rights. */
static const char *pause_category(const struct err *err)
{
    if (*err->pause)
        return err->pause;
    if (strcmp(err->sqlstate, "42501") == 0)
        return "privilege";
    if (strncmp(err->sqlstate, "42", 2) == 0)
        return "schema_mismatch";
    return err->kind == ERR_CONFIG ? "config" : "refused";
}

/* Where the server spoke it knows no way out. */
static const char *way_out(const struct err *why, const char *category)
{
    if (*why->hint || strcmp(category, "schema_mismatch") != 0)
        return why->hint;
    return "put back what is missing, or stop, mend the mapping and start; then `pgrekey resume`";
}

/* Records the pause, with the way out, for `status`. One that the record already holds stays as it is. */
static int record_pause(struct engine *engine, const struct err *why, struct err *reterr)
{
    char reason[ERR_TEXT_MAX], message[LOG_QUOTED_MAX], hint[LOG_QUOTED_MAX];
    const char *category = pause_category(why), *out = way_out(why, category);
    log_event(LOG_ERROR, "paused", "slot=%s category=%s msg=%s hint=%s", engine->settings->source_slot, category,
              log_quote(why->message, message, sizeof(message)), log_quote(out, hint, sizeof(hint)));
    vitals_set_phase(engine->vitals, PHASE_PAUSED);
    vitals_set_pause(engine->vitals, category, why->message);
    vitals_event(engine->vitals, LOG_ERROR, "paused", "%s: %s", category, why->message);
    if (engine->paused)
        return 0;
    struct buf text;
    buf_init(&text, sizeof(reason) - 1);
    buf_puts(&text, why->message);
    if (*out && text.len + 2 + strlen(out) < sizeof(reason))
        buf_printf(&text, "; %s", out);
    memcpy(reason, buf_text(&text), text.len + 1);
    buf_done(&text);
    engine->paused = true;
    return sink_pause(engine->sink, category, reason, reterr);
}

/* Waits, alive, for `pgrekey resume`. 0: go on; -1: ended (one-shot run, stop) or failed. */
static int wait_for_resume(struct engine *engine, const struct err *why, struct err *reterr)
{
    if (record_pause(engine, why, reterr) != 0)
        return -1;
    if (engine->until_lsn) {
        *reterr = *why;
        reterr->kind = ERR_REFUSED;
        return -1;
    }
    for (int64_t next_us = 0; !run_stop; usleep(100 * 1000)) {
        if (clock_mono_us() < next_us)
            continue;
        next_us = clock_mono_us() + 1000000;
        if (sink_tick(engine->sink, reterr) != 0)
            return -1;
        if (sink_resume_requested(engine->sink)) {
            engine->paused = false;
            vitals_set_phase(engine->vitals, PHASE_CONNECTING);
            vitals_set_pause(engine->vitals, NULL, NULL);
            vitals_event(engine->vitals, LOG_INFO, "resumed", "by an operator");
            log_event(LOG_INFO, "resumed", "slot=%s", engine->settings->source_slot);
            return sink_resume(engine->sink, reterr);
        }
    }
    return err_set(reterr, ERR_STOP, "stopped while paused");
}

/* --- the life of a run --- */

/* A session that begins anew binds anew. Where the catalogue has lost what the mapping reads meanwhile, the old
 * binding stays, and the watch pauses the stream for it like at any other time. */
static int bind_or_keep(struct run *run, struct err *reterr)
{
    struct engine *engine = run->engine;
    if (engine_bind(engine, reterr) == 0)
        return 0;
    if (!run->streamed || !engine->bind_failed || !engine->binding.map)
        return -1;
    char quoted[LOG_QUOTED_MAX];
    log_event(LOG_WARN, "binding_kept", "slot=%s msg=%s", engine->settings->source_slot,
              log_quote(reterr->message, quoted, sizeof(quoted)));
    return 0;
}

/* What the mapping's changes have left to do, or left behind. */
static int tell_steps(struct engine *engine, struct err *reterr)
{
    struct sink_step *steps = NULL;
    size_t count = 0;
    if (sink_steps_due(engine->sink, &steps, &count, reterr) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        const struct sink_step *step = &steps[i];
        char name[LOG_QUOTED_MAX];
        (void)log_quote(step->name, name, sizeof(name));
        if (strcmp(step->state, "new") == 0)
            log_event(LOG_INFO, "step_new", "slot=%s step=%s kind=%s table=%s", engine->settings->source_slot, name,
                      step->kind, step->source_table);
        else if (strcmp(step->state, "back") == 0)
            log_event(LOG_INFO, "step_back", "slot=%s step=%s kind=%s table=%s msg=\"its table is read again\"",
                      engine->settings->source_slot, name, step->kind, step->source_table);
        else if (strcmp(step->state, "changed") == 0 && strcmp(step->kind, "derivation") == 0)
            log_event(LOG_INFO, "derive_again", "slot=%s step=%s", engine->settings->source_slot, name);
        else if (strcmp(step->state, "removed") == 0)
            log_event(LOG_INFO, "step_removed", "slot=%s step=%s kind=%s msg=\"its rows stay, out of the account\"",
                      engine->settings->source_slot, name, step->kind);
        else
            log_event(LOG_WARN, "resync_due",
                      "slot=%s step=%s kind=%s table=%s msg=\"the rows on the target are those "
                      "of an older mapping\"",
                      engine->settings->source_slot, name, step->kind, step->source_table);
    }
    sink_steps_free(steps, count);
    return 0;
}

/* What is bound while a dead run's fast load has foreign keys off knows nothing of them: good enough to load what is
 * left, but not to stream. */
static int bind_with_all(struct run *run, struct err *reterr)
{
    if (!sink_fast_load(run->engine->sink).bound_without)
        return 0;
    run->rebind = true;
    return err_set(reterr, ERR_RETRY, "the mapping is compared with the catalogues anew");
}

static int open_sink(struct run *run, struct err *reterr)
{
    struct engine *engine = run->engine;
    struct sink_position position;
    if (turn_take(engine, reterr) != 0 || engine_open_sink(engine, &position, reterr) != 0)
        return -1;
    run->connected = true;
    fast_load_log(engine, &(struct sink_fast_load){0});
    if (tell_steps(engine, reterr) != 0)
        return -1;
    if (position.state != PIPELINE_STREAMING)
        return snapshot_take(engine, &position, reterr) != 0 ? -1 : bind_with_all(run, reterr);
    if (bind_with_all(run, reterr) != 0)
        return -1;
    engine->resume_lsn = position.lsn;
    engine->paused = position.paused;
    if (snapshot_rejoin(engine, reterr) != 0)
        return -1;
    if (!position.paused)
        return 0;
    if (lookups_load(engine->binding.lookups, engine->sink, INT_MAX, reterr) != 0) /* for retries of the quarantine */
        return -1;
    struct err why = {.kind = ERR_REFUSED};
    snprintf(why.message, sizeof(why.message), "%s", position.pause_reason);
    (void)err_pause(&why, position.pause_category);
    return wait_for_resume(engine, &why, reterr);
}

/* From connecting to the end of the stream. A pause stays inside: what it was for may still be so afterwards; then the
 * stream finds it again, and pauses again. A pause for the schema ends the session instead, for it has to bind anew. */
static int session(struct run *run, struct err *reterr)
{
    struct engine *engine = run->engine;
    if (bind_or_keep(run, reterr) != 0 || open_sink(run, reterr) != 0)
        return -1;
    for (;;) {
        struct err why = {0};
        if (check_not_behind(engine, reterr) != 0 ||
            lookups_load(engine->binding.lookups, engine->sink, INT_MAX, reterr) != 0 ||
            resync_begin(engine, reterr) != 0 || open_stream(engine, reterr) != 0 ||
            sink_take_over(engine->sink, reterr) != 0 || resync_begin_kept(engine, reterr) != 0)
            return -1;
        turn_leave(engine);
        run->streamed = true;
        if (stream_run(engine, &why) == 0)
            return 0;
        if (why.kind != ERR_REFUSED && why.kind != ERR_CONFIG) {
            *reterr = why;
            return -1;
        }
        if (wait_for_resume(engine, &why, reterr) != 0)
            return -1;
        /* of a part that was on its way nobody knows here whether it has arrived */
        if (why.kind == ERR_CONFIG || strcmp(pause_category(&why), "schema_mismatch") == 0 || engine->joining) {
            run->rebind = true;
            return err_set(reterr, ERR_RETRY, "the mapping is compared with the catalogues anew");
        }
    }
}

/* What a server refuses for now: read-only (a full disk on some hosts, a failover), a login or a right that was taken
 * away. Once a stream has run, who gives it back finds the engine alive. */
static bool refused_for_now(const char *sqlstate)
{
    return strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "42501") == 0 || strncmp(sqlstate, "28", 2) == 0;
}

/* A one-shot run says so and ends, but for a server that is read-only. */
static bool passes_by_itself(const struct run *run, const struct err *err)
{
    if (err->kind == ERR_RETRY || strcmp(err->sqlstate, "25006") == 0)
        return run->connected;
    return run->streamed && !run->engine->until_lsn && refused_for_now(err->sqlstate);
}

static void back_off(struct run *run, const struct err *err)
{
    const struct settings *settings = run->engine->settings;
    if (run->engine->resume_lsn > run->backoff_lsn)
        run->backoff_ms = settings->reconnect_min_ms;
    run->backoff_lsn = run->engine->resume_lsn;
    char quoted[LOG_QUOTED_MAX];
    log_event(LOG_WARN, "reconnecting", "slot=%s in_ms=%lld sqlstate=%s msg=%s", settings->source_slot,
              (long long)run->backoff_ms, err->sqlstate, log_quote(err->message, quoted, sizeof(quoted)));
    vitals_set_phase(run->engine->vitals, PHASE_RECONNECTING);
    vitals_event(run->engine->vitals, LOG_WARN, "reconnecting", "%s", err->message);
    run->engine->vitals->reconnects++;
    for (int64_t until = clock_mono_us() + run->backoff_ms * 1000; !run_stop && clock_mono_us() < until;)
        usleep(20 * 1000);
    run->backoff_ms =
        run->backoff_ms * 2 < settings->reconnect_max_ms ? run->backoff_ms * 2 : settings->reconnect_max_ms;
}

static int report(const struct engine *engine, const struct err *err)
{
    if (err->kind == ERR_STOP)
        return EXIT_OK;
    return engine->paused ? EXIT_PAUSED : run_exit_of(err->kind);
}

static int run_sessions(struct run *run, struct err *reterr)
{
    while (!run_stop) {
        *reterr = (struct err){0};
        if (session(run, reterr) == 0)
            return EXIT_OK;
        int exit_code = report(run->engine, reterr);
        if (!passes_by_itself(run, reterr))
            return exit_code;
        close_session(run->engine);
        if (!run->rebind && !run->engine->begin_again)
            back_off(run, reterr);
        run->rebind = run->engine->begin_again = false;
    }
    return EXIT_OK;
}

int run_pipeline(const struct settings *settings, const struct run_options *options, struct err *reterr)
{
    struct engine engine = {.settings = settings, .options = options, .until_lsn = options->until_lsn};
    struct run run = {.engine = &engine, .backoff_ms = settings->reconnect_min_ms};
    if (handover_init(&engine.handover, reterr) != 0)
        return run_exit_of(reterr->kind);
    pthread_mutex_init(&engine.watch.lock, NULL);
    buf_init(&engine.mapping, MAP_FILE_MAX_BYTES);
    struct monitor *monitor = NULL;
    struct http *http = NULL;
    int exit_code = EXIT_INTERNAL;
    if (monitor_start(&engine, &monitor, reterr) == 0) {
        http = http_start(settings->http_listen, monitor);
        exit_code = run_sessions(&run, reterr);
        if (exit_code != EXIT_OK)
            monitor_failed(monitor, reterr);
    } else {
        exit_code = run_exit_of(reterr->kind);
    }
    close_session(&engine);
    http_stop(http);
    monitor_stop(monitor);
    handover_done(&engine.handover);
    pthread_mutex_destroy(&engine.watch.lock);
    binding_done(&engine.binding);
    losses_done(&engine.losses);
    buf_done(&engine.mapping);
    return exit_code;
}
