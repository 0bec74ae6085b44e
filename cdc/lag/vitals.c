#include "cdc/lag/vitals.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/base/clock.h"

const char *vitals_phase_name(enum vitals_phase phase)
{
    static const char *const names[VITALS_PHASES] = {"connecting", "snapshot", "streaming", "paused", "reconnecting"};
    return names[phase];
}

const char *vitals_stage_name(enum vitals_stage stage)
{
    static const char *const names[VITALS_STAGES] = {"received", "decoded", "transformed", "applied", "confirmed"};
    return names[stage];
}

struct vitals *vitals_new(void)
{
    struct vitals *vitals = mem_zalloc(1, sizeof(*vitals));
    pthread_mutex_init(&vitals->lock, NULL);
    vitals->started_us = vitals->phase_since_us = clock_mono_us();
    vitals->alive_us = vitals->started_us;
    vitals->started_wall_us = clock_wall_us();
    return vitals;
}

void vitals_free(struct vitals *vitals)
{
    if (!vitals)
        return;
    for (size_t i = 0; i < vitals->rule_count; i++)
        free(vitals->rules[i].name);
    free(vitals->rules);
    free(vitals->series);
    pthread_mutex_destroy(&vitals->lock);
    free(vitals);
}

/* --- what happens --- */

void vitals_set_phase(struct vitals *vitals, enum vitals_phase phase)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    if (vitals->phase != phase)
        vitals->phase_since_us = clock_mono_us();
    vitals->phase = phase;
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_set_pause(struct vitals *vitals, const char *category, const char *reason)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    snprintf(vitals->pause_category, sizeof(vitals->pause_category), "%s", category ? category : "");
    snprintf(vitals->pause_reason, sizeof(vitals->pause_reason), "%s", category && reason ? reason : "");
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_event(struct vitals *vitals, enum log_level level, const char *name, const char *format, ...)
{
    if (!vitals)
        return;
    struct vitals_event event = {.wall_us = clock_wall_us(), .level = level};
    va_list args;
    snprintf(event.name, sizeof(event.name), "%s", name);
    va_start(args, format);
    vsnprintf(event.text, sizeof(event.text), format, args);
    va_end(args);
    pthread_mutex_lock(&vitals->lock);
    vitals->events[vitals->event_count++ % VITALS_EVENTS] = event;
    pthread_mutex_unlock(&vitals->lock);
}

/* Kept by name, so that a family stands together. Under lock. */
static struct vitals_series *find_series(struct vitals *vitals, const char *name, const char *labels)
{
    size_t at = 0;
    for (; at < vitals->series_count && strcmp(vitals->series[at].name, name) <= 0; at++)
        if (strcmp(vitals->series[at].name, name) == 0 && strcmp(vitals->series[at].labels, labels) == 0)
            return &vitals->series[at];
    vitals->series = mem_realloc(vitals->series, (vitals->series_count + 1) * sizeof(*vitals->series));
    memmove(&vitals->series[at + 1], &vitals->series[at], (vitals->series_count - at) * sizeof(*vitals->series));
    vitals->series_count++;
    vitals->series[at] = (struct vitals_series){0};
    snprintf(vitals->series[at].name, sizeof(vitals->series[at].name), "%s", name);
    snprintf(vitals->series[at].labels, sizeof(vitals->series[at].labels), "%s", labels);
    return &vitals->series[at];
}

void vitals_set_series(struct vitals *vitals, const char *name, const char *labels, double value)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    find_series(vitals, name, labels)->value = value;
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_passed(struct vitals *vitals, enum vitals_stage stage, uint64_t items, uint64_t lsn)
{
    if (!vitals)
        return;
    atomic_fetch_add_explicit(&vitals->stages[stage].items, items, memory_order_relaxed);
    if (lsn > atomic_load_explicit(&vitals->stages[stage].lsn, memory_order_relaxed))
        atomic_store_explicit(&vitals->stages[stage].lsn, lsn, memory_order_relaxed);
}

void vitals_snapshot(struct vitals *vitals, uint64_t rows, uint64_t expected)
{
    if (!vitals)
        return;
    atomic_store_explicit(&vitals->snapshot_rows, rows, memory_order_relaxed);
    atomic_store_explicit(&vitals->snapshot_expected, expected, memory_order_relaxed);
}

void vitals_set_reached(struct vitals *vitals, uint64_t lsn)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    vitals->has_position = true;
    vitals->reached = lsn;
    pthread_mutex_unlock(&vitals->lock);
}

/* --- what waits --- */

void vitals_waits(struct vitals *vitals, uint64_t end_lsn, int64_t commit_us)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    if (vitals->filling.end_lsn == 0)
        vitals->filling = (struct vitals_waiting){.end_lsn = end_lsn, .commit_us = commit_us};
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_taken(struct vitals *vitals)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    vitals->taken = vitals->filling;
    vitals->filling = (struct vitals_waiting){0};
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_applied(struct vitals *vitals)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    vitals->taken = (struct vitals_waiting){0};
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_forget_waiting(struct vitals *vitals)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    vitals->filling = vitals->taken = (struct vitals_waiting){0};
    pthread_mutex_unlock(&vitals->lock);
    vitals->open_rows = 0;
}

/* --- heartbeats --- */

uint64_t vitals_heart_begins(struct vitals *vitals)
{
    pthread_mutex_lock(&vitals->lock);
    uint64_t number = ++vitals->heart_sent;
    vitals->hearts[number % VITALS_HEARTS] = (struct vitals_heart){.number = number, .sent_us = clock_mono_us()};
    if (vitals->heart_through_us == 0)
        vitals->heart_through_us = -clock_mono_us(); /* below zero: none came through, this is when we began to ask */
    pthread_mutex_unlock(&vitals->lock);
    return number;
}

static void came_through(struct vitals *vitals, struct vitals_heart *heart)
{
    histogram_observe(&vitals->heartbeat, clock_mono_us() - heart->sent_us, 1);
    if (heart->sent_us > vitals->heart_through_us)
        vitals->heart_through_us = heart->sent_us;
    heart->number = 0;
}

void vitals_heart_received(struct vitals *vitals, uint64_t number, uint64_t need_lsn, uint64_t applied)
{
    if (!vitals || number == 0)
        return;
    pthread_mutex_lock(&vitals->lock);
    struct vitals_heart *heart = &vitals->hearts[number % VITALS_HEARTS];
    if (heart->number == number) {
        heart->need_lsn = need_lsn;
        if (applied >= need_lsn)
            came_through(vitals, heart);
    }
    pthread_mutex_unlock(&vitals->lock);
}

void vitals_heart_applied(struct vitals *vitals, uint64_t applied)
{
    if (!vitals)
        return;
    pthread_mutex_lock(&vitals->lock);
    for (size_t i = 0; i < VITALS_HEARTS; i++)
        if (vitals->hearts[i].number && vitals->hearts[i].need_lsn && applied >= vitals->hearts[i].need_lsn)
            came_through(vitals, &vitals->hearts[i]);
    pthread_mutex_unlock(&vitals->lock);
}

double vitals_heart_age_s(struct vitals *vitals, int64_t now_us)
{
    pthread_mutex_lock(&vitals->lock);
    int64_t since_us = vitals->heart_through_us < 0 ? -vitals->heart_through_us : vitals->heart_through_us;
    pthread_mutex_unlock(&vitals->lock);
    return since_us == 0 ? -1 : (double)(now_us - since_us) / 1e6;
}

/* --- what is read --- */

size_t vitals_rule(struct vitals *vitals, const char *name)
{
    for (size_t i = 0; i < vitals->rule_count; i++)
        if (strcmp(vitals->rules[i].name, name) == 0)
            return i;
    vitals->rules = mem_realloc(vitals->rules, (vitals->rule_count + 1) * sizeof(*vitals->rules));
    vitals->rules[vitals->rule_count] = (struct vitals_rule){.name = mem_strdup(name)};
    return vitals->rule_count++;
}

double vitals_lag_s(struct vitals *vitals, int64_t now_us)
{
    double lag_s = -1;
    pthread_mutex_lock(&vitals->lock);
    const struct vitals_waiting *oldest = vitals->taken.end_lsn ? &vitals->taken : &vitals->filling;
    if (oldest->end_lsn)
        lag_s = (double)(now_us - trace_committed_us(&vitals->trace, oldest->end_lsn, oldest->commit_us, now_us)) / 1e6;
    else if (vitals->has_position)
        lag_s = (double)trace_age_us(&vitals->trace, vitals->reached, now_us) / 1e6;
    pthread_mutex_unlock(&vitals->lock);
    return lag_s;
}
