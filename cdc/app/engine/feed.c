#include "cdc/app/engine/feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/clock.h"

/* --- heartbeats --- */

/* The time of its start tells one process's heartbeats from another's. */
const char *feed_content(const struct engine *engine, uint64_t number, char *text)
{
    snprintf(text, FEED_CONTENT_MAX, "%s %" PRId64 " %" PRIu64, engine->settings->pipeline,
             engine->vitals->started_wall_us, number);
    return text;
}

static uint64_t number_of(const struct engine *engine, const char *content)
{
    char ours[FEED_CONTENT_MAX];
    const char *space = strrchr(content, ' ');
    uint64_t number = space ? strtoull(space + 1, NULL, 10) : 0;
    return number && strcmp(content, feed_content(engine, number, ours)) == 0 ? number : 0;
}

/* Whatever committed before it has been received; it is through once that is on the target. */
void feed_message(struct engine *engine, const struct stream_item *item)
{
    struct handover *handover = &engine->handover;
    if (!engine->vitals || !item->prefix || strcmp(item->prefix, FEED_PREFIX) != 0)
        return;
    uint64_t number = number_of(engine, item->content);
    pthread_mutex_lock(&handover->lock);
    uint64_t committed = handover->position.committed, applied = handover->position.applied;
    pthread_mutex_unlock(&handover->lock);
    vitals_heart_received(engine->vitals, number, committed, applied);
}

/* --- receiver --- */

void feed_row(struct engine *engine, size_t transaction_rows)
{
    struct vitals *vitals = engine->vitals;
    if (!vitals)
        return;
    vitals_passed(vitals, STAGE_TRANSFORMED, 1, 0);
    atomic_store_explicit(&vitals->open_rows, transaction_rows, memory_order_relaxed);
    if (transaction_rows > atomic_load_explicit(&vitals->largest_rows, memory_order_relaxed))
        atomic_store_explicit(&vitals->largest_rows, transaction_rows, memory_order_relaxed);
}

void feed_commit(struct engine *engine, uint64_t end_lsn, int64_t commit_us, bool waits)
{
    struct vitals *vitals = engine->vitals;
    if (!vitals)
        return;
    vitals_passed(vitals, STAGE_RECEIVED, 1, end_lsn);
    vitals_passed(vitals, STAGE_DECODED, 0, end_lsn);
    vitals_passed(vitals, STAGE_TRANSFORMED, 0, end_lsn);
    atomic_store_explicit(&vitals->open_rows, 0, memory_order_relaxed);
    if (waits)
        vitals_waits(vitals, end_lsn, commit_us);
}

void feed_confirmed(struct engine *engine, uint64_t lsn)
{
    if (!engine->vitals)
        return;
    vitals_passed(engine->vitals, STAGE_CONFIRMED, 0, lsn);
    atomic_store_explicit(&engine->vitals->alive_us, clock_mono_us(), memory_order_relaxed);
}

/* --- applier --- */

/* A name is looked up once a batch. */
static void count_rules(struct vitals *vitals, const struct batch *batch)
{
    enum { KNOWN = 512 };
    size_t known[KNOWN] = {0}; /* one more than where a rule stands, by its index */
    for (size_t i = 0; i < batch->row_count; i++) {
        const struct rule *rule = batch->rows[i]->rule;
        size_t at = rule->index < KNOWN ? known[rule->index] : 0;
        if (at == 0)
            at = vitals_rule(vitals, rule->name) + 1;
        if (rule->index < KNOWN)
            known[rule->index] = at;
        vitals->rules[at - 1].rows++;
    }
}

void feed_applied(struct engine *engine, const struct batch *batch, int64_t began_us)
{
    struct vitals *vitals = engine->vitals;
    if (!vitals)
        return;
    int64_t now_us = clock_mono_us();
    histogram_observe(&vitals->batch, now_us - began_us, 1);
    vitals_passed(vitals, STAGE_APPLIED, batch->row_count, batch->complete ? batch->end_lsn : 0);
    pthread_mutex_lock(&vitals->lock);
    for (size_t i = 0; i < batch->txn_count; i++) {
        const struct txn_mark *mark = &batch->txns[i];
        if (mark->commit_us)
            histogram_observe(&vitals->latency,
                              now_us - trace_committed_us(&vitals->trace, mark->end_lsn, mark->commit_us, now_us), 1);
    }
    count_rules(vitals, batch);
    pthread_mutex_unlock(&vitals->lock);
    vitals_applied(vitals);
}

void feed_figures(struct engine *engine, const struct sink_figures *now, struct sink_figures *last)
{
    struct vitals *vitals = engine->vitals;
    if (!vitals)
        return;
    vitals->batches += now->batches - last->batches;
    vitals->row_mode_batches += now->row_mode_batches - last->row_mode_batches;
    vitals->quarantined += now->quarantined - last->quarantined;
    vitals->completed += now->completed_from_source - last->completed_from_source;
    *last = *now;
}

/* --- anyone --- */

double feed_age_s(struct engine *engine, uint64_t lsn)
{
    struct vitals *vitals = engine->vitals;
    if (!vitals)
        return 0;
    pthread_mutex_lock(&vitals->lock);
    int64_t age_us = trace_age_us(&vitals->trace, lsn, clock_mono_us());
    pthread_mutex_unlock(&vitals->lock);
    return (double)age_us / 1e6;
}

uint64_t feed_reached(struct engine *engine)
{
    struct handover *handover = &engine->handover;
    pthread_mutex_lock(&handover->lock);
    const struct position *position = &handover->position;
    uint64_t reached = position_idle(position) ? position->seen : position->applied;
    pthread_mutex_unlock(&handover->lock);
    return reached;
}
