/* Puts the view together: vitals, what both servers last said, rates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cdc/app/engine/feed.h"
#include "cdc/app/monitor/internal.h"
#include "cdc/base/arena.h"
#include "cdc/base/clock.h"

#define RATE_WINDOW_US INT64_C(10000000)
#define WAL_WINDOW_US INT64_C(30000000)
/* So near the source's present nobody is behind: looks are a second apart. */
#define CAUGHT_UP_S 1.5

static void take_vitals(struct monitor *m, struct view *view, int64_t now_us)
{
    struct vitals *v = m->vitals;
    pthread_mutex_lock(&v->lock);
    view->phase = v->phase;
    view->phase_age_s = (double)(now_us - v->phase_since_us) / 1e6;
    view->paused = *v->pause_category != '\0';
    memcpy(view->pause_category, v->pause_category, sizeof(view->pause_category));
    memcpy(view->pause_reason, v->pause_reason, sizeof(view->pause_reason));
    view->event_count = v->event_count < VITALS_EVENTS ? (size_t)v->event_count : VITALS_EVENTS;
    for (size_t i = 0; i < view->event_count; i++)
        view->events[i] = v->events[(v->event_count - 1 - i) % VITALS_EVENTS];
    view->series_count = v->series_count;
    view->series = mem_alloc((v->series_count + 1) * sizeof(*view->series));
    if (v->series_count)
        memcpy(view->series, v->series, v->series_count * sizeof(*view->series));
    pthread_mutex_unlock(&v->lock);
    for (int i = 0; i < VITALS_STAGES; i++)
        view->stages[i] = (struct view_stage){.lsn = v->stages[i].lsn, .items = v->stages[i].items};
    view->latency = &v->latency;
    view->heartbeat = &v->heartbeat;
    view->batch = &v->batch;
    view->batches = v->batches;
    view->row_mode_batches = v->row_mode_batches;
    view->quarantined_ever = v->quarantined;
    view->completed = v->completed;
    view->reconnects = v->reconnects;
    view->open_rows = v->open_rows;
    view->largest_rows = v->largest_rows;
    view->snapshot_rows = v->snapshot_rows;
    view->snapshot_expected = v->snapshot_expected;
}

static void take_lag(struct monitor *m, struct view *view, int64_t now_us)
{
    uint64_t reached = feed_reached(m->engine), end = monitor_wal_end(m), confirmed = view->stages[STAGE_CONFIRMED].lsn;
    if (reached)
        vitals_set_reached(m->vitals, reached);
    if (reached > view->stages[STAGE_APPLIED].lsn)
        view->stages[STAGE_APPLIED].lsn = reached;
    view->lag_s = vitals_lag_s(m->vitals, now_us);
    view->heartbeat_age_s = vitals_heart_age_s(m->vitals, now_us);
    view->heartbeat_interval_s = (double)m->tunables.heartbeat_us / 1e6;
    view->has_lag_bytes = reached && end;
    if (view->has_lag_bytes)
        view->lag_bytes = end > reached ? end - reached : 0;
    if (!confirmed)
        confirmed = m->slot.confirmed_lsn;
    view->unconfirmed = end > confirmed && confirmed ? end - confirmed : 0;
}

static void take_rates(struct monitor *m, struct view *view)
{
    view->source_rate = pace_rate(&m->wal_pace, WAL_WINDOW_US);
    view->apply_rate = pace_rate(&m->reached_pace, WAL_WINDOW_US);
    for (int i = 0; i < VITALS_STAGES; i++)
        view->stages[i].rate = pace_rate(&m->stage_pace[i], RATE_WINDOW_US);
    view->time_left_s = -1;
    if (view->has_lag_bytes && view->lag_s >= 0)
        view->time_left_s = view->lag_s < CAUGHT_UP_S
                                ? 0
                                : pace_time_left_s((double)view->lag_bytes, view->source_rate, view->apply_rate);
    view->snapshot_rate = pace_rate(&m->snapshot_pace, WAL_WINDOW_US);
    view->snapshot_left_s = -1;
    if (view->phase == PHASE_SNAPSHOT && view->snapshot_rate > 0 && view->snapshot_expected > 0)
        view->snapshot_left_s = view->snapshot_expected > view->snapshot_rows
                                    ? (double)(view->snapshot_expected - view->snapshot_rows) / view->snapshot_rate
                                    : 0;
}

static double age_s(int64_t seen_us, int64_t now_us)
{
    return seen_us ? (double)(now_us - seen_us) / 1e6 : -1;
}

static void take_servers(const struct monitor *m, struct view *view, int64_t now_us)
{
    view->source_reached = m->source_reached;
    view->has_target = m->has_target;
    view->target_reached = m->target_reached;
    view->source_age_s = age_s(m->source_seen_us, now_us);
    view->target_age_s = age_s(m->target_seen_us, now_us);
    view->slot = m->slot;
    view->retained_bytes = m->slot.exists && m->slot.restart_lsn && m->slot.current_lsn >= m->slot.restart_lsn
                               ? (int64_t)(m->slot.current_lsn - m->slot.restart_lsn)
                               : -1;
    view->oldest_transaction_s = m->source_seen_us ? m->oldest_transaction_s : -1;
    view->catalog_xmin_age = m->source_seen_us ? m->catalog_xmin_age : -1;
    view->guard = m->guard;
    view->history = m->history;
}

/* Both locks are held. */
static void take_rules(const struct monitor *m, struct view *view)
{
    const struct pipeline_report *report = m->report;
    view->rules = mem_zalloc(report->account_count + 1, sizeof(*view->rules));
    for (size_t i = 0; i < report->account_count; i++) {
        const struct rule_account *account = &report->accounts[i];
        if (strcmp(account->state, "removed") == 0)
            continue;
        struct view_rule *rule = &view->rules[view->rule_count++];
        *rule = (struct view_rule){.name = mem_strdup(account->rule),
                                   .source_table = mem_strdup(account->source_table),
                                   .target_table = mem_strdup(account->target_table),
                                   .mapped = account->mapped,
                                   .quarantined = account->quarantined,
                                   .excluded = account->excluded,
                                   .failed_deletes = account->failed_deletes,
                                   .waiting = account->waiting};
        for (size_t j = 0; j < m->vitals->rule_count; j++)
            if (strcmp(m->vitals->rules[j].name, account->rule) == 0) {
                rule->rows = m->vitals->rules[j].rows;
                rule->rate = j < m->rule_pace_count ? pace_rate(&m->rule_paces[j].pace, RATE_WINDOW_US) : 0;
            }
    }
}

static void take_report(const struct monitor *m, struct view *view)
{
    const struct pipeline_report *report = m->report;
    if (!report)
        return;
    view->has_report = true;
    view->snapshot_parts = report->snapshot_parts;
    view->snapshot_parts_done = report->snapshot_parts_done;
    view->join_lsn = report->position.state == PIPELINE_STREAMING ? report->join_lsn : 0;
    view->quarantine_open = report->quarantine_open;
    view->references_waiting = report->references_waiting;
    view->resync_count = report->resync_count;
    view->resync_rows = report->resync_rows;
    view->resync_expected = report->resync_expected;
    memcpy(view->resync_table, report->resync_table, sizeof(view->resync_table));
    view->quarantine = mem_zalloc(m->quarantine_count + 1, sizeof(*view->quarantine));
    view->quarantine_count = m->quarantine_count;
    for (size_t i = 0; i < m->quarantine_count; i++) {
        view->quarantine[i] = m->quarantine[i];
        view->quarantine[i].rule = mem_strdup(m->quarantine[i].rule);
        view->quarantine[i].category = mem_strdup(m->quarantine[i].category);
        view->waiting += m->quarantine[i].waiting;
    }
    pthread_mutex_lock(&m->vitals->lock);
    take_rules(m, view);
    pthread_mutex_unlock(&m->vitals->lock);
}

static void take_process(const struct monitor *m, struct view *view, int64_t now_us)
{
    unsigned long pages = 0;
    struct timespec cpu;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*s %lu", &pages) != 1)
        pages = 0;
    if (file)
        (void)fclose(file);
    view->resident_bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        view->cpu_s = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    view->uptime_s = (double)(now_us - m->vitals->started_us) / 1e6;
    view->wall_us = clock_wall_us();
}

void monitor_view(struct monitor *m, struct view *ret_view)
{
    int64_t now_us = clock_mono_us();
    *ret_view = (struct view){.pipeline = m->engine->settings->pipeline, .slot_name = m->engine->settings->source_slot};
    take_process(m, ret_view, now_us);
    pthread_mutex_lock(&m->lock);
    take_vitals(m, ret_view, now_us);
    take_lag(m, ret_view, now_us);
    take_rates(m, ret_view);
    take_servers(m, ret_view, now_us);
    take_report(m, ret_view);
    pthread_mutex_unlock(&m->lock);
}
