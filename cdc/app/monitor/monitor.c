/* Life of the monitor, and its tick: once a second, without waiting for anybody. */
#include "cdc/app/monitor/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cdc/app/engine/feed.h"
#include "cdc/app/monitor/internal.h"
#include "cdc/base/arena.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"

#define TICK_US INT64_C(1000000)

uint64_t monitor_wal_end(struct monitor *m)
{
    pthread_mutex_lock(&m->vitals->lock);
    const struct trace *trace = &m->vitals->trace;
    uint64_t lsn = trace->count ? trace->samples[trace->count - 1].lsn : 0;
    pthread_mutex_unlock(&m->vitals->lock);
    return lsn;
}

double monitor_main_thread_age_s(const struct monitor *m)
{
    return (double)(clock_mono_us() - m->vitals->alive_us) / 1e6;
}

/* --- the tick --- */

static void note_rules(struct monitor *m, int64_t now_us)
{
    struct vitals *v = m->vitals;
    pthread_mutex_lock(&v->lock);
    if (m->rule_pace_count < v->rule_count) {
        m->rule_paces = mem_realloc(m->rule_paces, v->rule_count * sizeof(*m->rule_paces));
        for (; m->rule_pace_count < v->rule_count; m->rule_pace_count++) {
            m->rule_paces[m->rule_pace_count] = (struct rule_pace){0};
            pace_note(&m->rule_paces[m->rule_pace_count].pace, 0, now_us - TICK_US);
        }
    }
    for (size_t i = 0; i < v->rule_count; i++)
        pace_note(&m->rule_paces[i].pace, v->rules[i].rows, now_us);
    pthread_mutex_unlock(&v->lock);
}

static void note_paces(struct monitor *m, int64_t now_us)
{
    uint64_t end = monitor_wal_end(m), reached = feed_reached(m->engine);
    if (end)
        pace_note(&m->wal_pace, end, now_us);
    if (reached)
        pace_note(&m->reached_pace, reached, now_us);
    pace_note(&m->snapshot_pace, m->vitals->snapshot_rows, now_us);
    for (int i = 0; i < VITALS_STAGES; i++)
        pace_note(&m->stage_pace[i], m->vitals->stages[i].items, now_us);
    note_rules(m, now_us);
}

static void note_history(struct monitor *m, const struct view *view, int64_t *next_us)
{
    struct history *history = &m->history;
    float lag_s = (float)view->lag_s, lag_bytes = view->has_lag_bytes ? (float)view->lag_bytes : -1;
    m->highest_lag_s = lag_s > m->highest_lag_s ? lag_s : m->highest_lag_s;
    m->highest_lag_bytes = lag_bytes > m->highest_lag_bytes ? lag_bytes : m->highest_lag_bytes;
    if (clock_mono_us() < *next_us)
        return;
    *next_us += HISTORY_STEP_S * INT64_C(1000000);
    history->points[history->next] =
        (struct history_point){.lag_s = m->highest_lag_s, .lag_bytes = m->highest_lag_bytes};
    history->next = (history->next + 1) % HISTORY_POINTS;
    if (history->count < HISTORY_POINTS)
        history->count++;
    m->highest_lag_s = m->highest_lag_bytes = -1;
}

static void tell_alarms(struct monitor *m, const struct view *view)
{
    const struct alarm_limits limits = monitor_tunables(m).alarms;
    struct alarm_change changes[ALARM_COUNT];
    if (view->phase == PHASE_STREAMING && !m->told_streaming) { /* what an earlier process may have told is over */
        m->told_streaming = true;
        webhook_send(m->webhook, "ended", true, "the engine runs and streams", view->lag_s);
    }
    size_t count = alarms_look(&m->alarms, &limits, view, clock_mono_us(), changes);
    for (size_t i = 0; i < count; i++) {
        const char *name = alarm_name(changes[i].alarm);
        char quoted[LOG_QUOTED_MAX];
        log_event(changes[i].over ? LOG_INFO : LOG_WARN, changes[i].over ? "alarm_over" : "alarm", "about=%s msg=%s",
                  name, log_quote(changes[i].text, quoted, sizeof(quoted)));
        webhook_send(m->webhook, name, changes[i].over, changes[i].text, view->lag_s);
    }
}

static void tick(struct monitor *m, int64_t *next_history_us)
{
    struct view view;
    pthread_mutex_lock(&m->lock);
    note_paces(m, clock_mono_us());
    pthread_mutex_unlock(&m->lock);
    monitor_view(m, &view);
    pthread_mutex_lock(&m->lock);
    note_history(m, &view, next_history_us);
    pthread_mutex_unlock(&m->lock);
    monitor_guard(m, &view);
    tell_alarms(m, &view);
    notify_tick(&view, view_healthy(&view, monitor_main_thread_age_s(m)), &m->told_ready);
    view_done(&view);
}

static void *tick_main(void *arg)
{
    struct monitor *m = arg;
    int64_t next_us = clock_mono_us(), next_history_us = next_us;
    while (!m->stop) {
        struct timespec pause = {.tv_nsec = 20 * 1000000};
        nanosleep(&pause, NULL);
        if (clock_mono_us() < next_us)
            continue;
        next_us = clock_mono_us() + TICK_US;
        monitor_reload(m);
        tick(m, &next_history_us);
    }
    return NULL;
}

/* --- life --- */

int monitor_start(struct engine *engine, struct monitor **ret_monitor, struct err *reterr)
{
    struct monitor *m = mem_zalloc(1, sizeof(*m));
    m->engine = engine;
    m->vitals = engine->vitals = vitals_new();
    m->has_target = engine->settings->target_dsn != NULL;
    m->oldest_transaction_s = -1;
    m->catalog_xmin_age = -1;
    m->highest_lag_s = m->highest_lag_bytes = -1;
    m->guard.full_in_s = -1;
    m->tunables = monitor_tunables_of(engine->settings);
    pthread_mutex_init(&m->lock, NULL);
    *ret_monitor = m;
    if (webhook_start(engine->settings, &m->webhook, reterr) != 0)
        return -1;
    if (observer_start(&m->source, m, "source", monitor_look_at_source, reterr) != 0 ||
        (m->has_target && observer_start(&m->target, m, "target", monitor_look_at_target, reterr) != 0))
        return -1;
    if (pthread_create(&m->tick, NULL, tick_main, m) != 0)
        return err_set(reterr, ERR_FATAL, "starting the monitor's thread failed");
    m->ticking = true;
    return 0;
}

void monitor_failed(struct monitor *m, const struct err *why)
{
    char text[ERR_TEXT_MAX + 32];
    snprintf(text, sizeof(text), "the engine has ended: %s", why->message);
    webhook_send(m->webhook, "ended", false, text, -1);
}

void monitor_stop(struct monitor *m)
{
    if (!m)
        return;
    m->stop = true;
    notify_stopping();
    if (m->ticking)
        pthread_join(m->tick, NULL);
    webhook_stop(m->webhook);
    observer_stop(&m->source);
    observer_stop(&m->target);
    struct view last = {.quarantine = m->quarantine, .quarantine_count = m->quarantine_count};
    view_done(&last);
    pipeline_report_free(m->report);
    free(m->rule_paces);
    m->engine->vitals = NULL;
    vitals_free(m->vitals);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
