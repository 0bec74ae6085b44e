/* The applier: a thread that takes whole batches from the receiver and gives them to the sink.
 *
 * The hand-over is one batch deep. That bounds memory to two batches and lets the batch size follow the target:
 * while one batch is applied the next one fills, and a quiet stream finds the applier idle at every commit.
 *
 * What fails is told once: the error is left in the hand-over, the thread ends, and the receiver, which polls
 * wake_fd, decides what it means.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/feed.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"

#define TICK_IDLE_US INT64_C(1000000)
/* While something applied is not durable yet, how often the target is asked. */
#define DURABLE_POLL_US INT64_C(50000)

int handover_init(struct handover *handover, struct err *reterr)
{
    *handover = (struct handover){.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (handover->wake_fd < 0)
        return err_set(reterr, ERR_FATAL, "making an eventfd failed: %s", strerror(errno));
    pthread_mutex_init(&handover->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&handover->changed, &attr);
    pthread_condattr_destroy(&attr);
    batch_init(&handover->batches[0]);
    batch_init(&handover->batches[1]);
    handover->filling = &handover->batches[0];
    return 0;
}

void handover_done(struct handover *handover)
{
    batch_done(&handover->batches[0]);
    batch_done(&handover->batches[1]);
    pthread_cond_destroy(&handover->changed);
    pthread_mutex_destroy(&handover->lock);
    close(handover->wake_fd);
}

static void wake_receiver(struct handover *handover)
{
    uint64_t one = 1;
    if (write(handover->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_event(LOG_DEBUG, "wake_failed", "errno=%d", errno);
}

/* Waits for a batch, at most until `until_us`. NULL: none came. */
static struct batch *wait_for_batch(struct handover *handover, int64_t until_us, bool *ret_stop)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    pthread_mutex_lock(&handover->lock);
    while (!handover->taken && !handover->stop)
        if (pthread_cond_timedwait(&handover->changed, &handover->lock, &until) == ETIMEDOUT)
            break;
    struct batch *batch = handover->taken;
    *ret_stop = handover->stop;
    pthread_mutex_unlock(&handover->lock);
    return batch;
}

static void report_applied(struct handover *handover, uint64_t lsn)
{
    pthread_mutex_lock(&handover->lock);
    if (lsn)
        position_applied(&handover->position, lsn);
    handover->taken = NULL;
    pthread_cond_broadcast(&handover->changed);
    pthread_mutex_unlock(&handover->lock);
    wake_receiver(handover);
}

/* A batch that ends inside a transaction, but holds whole ones before it, is applied as two: what is whole is
 * committed and does not wait for the end of the large one. */
static int apply_parts(struct engine *engine, struct batch *batch, struct err *reterr)
{
    if (batch->complete || batch->txn_count == 0)
        return sink_apply(engine->sink, batch, reterr);
    const struct txn_mark *last = &batch->txns[batch->txn_count - 1];
    struct batch whole = *batch, tail = *batch;
    whole.row_count = last->row_end;
    whole.complete = true;
    whole.end_lsn = last->end_lsn;
    tail.rows += last->row_end;
    tail.row_count -= last->row_end;
    tail.txn_count = 0;
    if (sink_apply(engine->sink, &whole, reterr) != 0)
        return -1;
    pthread_mutex_lock(&engine->handover.lock);
    position_applied(&engine->handover.position, last->end_lsn);
    pthread_mutex_unlock(&engine->handover.lock);
    return sink_apply(engine->sink, &tail, reterr);
}

static int apply_one(struct engine *engine, struct batch *batch, struct err *reterr)
{
    int64_t began_us = clock_mono_us();
    if (apply_parts(engine, batch, reterr) != 0)
        return -1;
    feed_applied(engine, batch, began_us);
    uint64_t lsn = batch->complete ? batch->end_lsn : 0;
    batch_reset(batch);
    report_applied(&engine->handover, lsn);
    vitals_heart_applied(engine->vitals, lsn);
    return 0;
}

/* Moves the target's record over ground without rows, so that a quiet slot moves too. */
static int advance_when_idle(struct engine *engine, int64_t *next_us, struct err *reterr)
{
    struct handover *handover = &engine->handover;
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&handover->lock);
    uint64_t lsn = handover->taken ? 0 : position_idle_target(&handover->position);
    bool wanted = engine->until_lsn && lsn >= engine->until_lsn;
    pthread_mutex_unlock(&handover->lock);
    if (lsn == 0 || (now < *next_us && !wanted))
        return 0;
    if (sink_advance(engine->sink, lsn, reterr) != 0)
        return -1;
    *next_us = now + engine->settings->target_position_interval_ms * 1000;
    pthread_mutex_lock(&handover->lock);
    position_applied(&handover->position, lsn);
    pthread_mutex_unlock(&handover->lock);
    return 0;
}

static int report_durable(struct engine *engine, bool *ret_all, struct err *reterr)
{
    struct handover *handover = &engine->handover;
    uint64_t lsn = 0;
    if (sink_durable(engine->sink, &lsn, reterr) != 0)
        return -1;
    pthread_mutex_lock(&handover->lock);
    uint64_t before = position_confirmable(&handover->position);
    position_durable(&handover->position, lsn);
    bool moved = position_confirmable(&handover->position) != before;
    *ret_all = position_confirmable(&handover->position) >= handover->position.applied;
    pthread_mutex_unlock(&handover->lock);
    if (moved)
        wake_receiver(handover);
    return 0;
}

/* The receiver begins another session for one. */
static int look_for_resync(struct engine *engine, struct err *reterr)
{
    bool waits = false;
    if (engine->resync || engine->skip || engine->resync_wanted)
        return 0;
    if (sink_resync_waits(engine->sink, &waits, reterr) != 0)
        return -1;
    engine->resync_wanted = waits;
    return 0;
}

static void tell_measure(void *context, const char *name, const char *labels, double value)
{
    vitals_set_series(context, name, labels, value);
}

static void measure(struct engine *engine)
{
    if (!engine->vitals || !engine->sink->ops->measure)
        return;
    uint64_t reached = feed_reached(engine);
    pthread_mutex_lock(&engine->vitals->lock);
    const struct trace *trace = &engine->vitals->trace;
    uint64_t end = trace->count ? trace->samples[trace->count - 1].lsn : 0;
    pthread_mutex_unlock(&engine->vitals->lock);
    sink_measure(engine->sink, tell_measure, engine->vitals);
    vitals_set_series(engine->vitals, "pgrekey_publish_lag_bytes", "", end > reached ? (double)(end - reached) : 0);
    vitals_set_series(engine->vitals, "pgrekey_publish_lag_seconds", "", feed_age_s(engine, reached));
}

/* A session that ends because it has passed a point leaves the record behind that point, or the next one would end for
 * the same reason. */
static int applier_loop(struct engine *engine, struct err *reterr)
{
    struct handover *handover = &engine->handover;
    int64_t next_tick = clock_mono_us() + TICK_IDLE_US, next_advance = clock_mono_us();
    struct sink_figures figures, told = {0};
    bool stop = false, all_durable = false, open = false;
    for (;;) {
        int64_t now = clock_mono_us();
        struct batch *batch = wait_for_batch(
            handover, all_durable || now + DURABLE_POLL_US > next_tick ? next_tick : now + DURABLE_POLL_US, &stop);
        if (batch) {
            open = !batch->complete;
            if (apply_one(engine, batch, reterr) != 0)
                return -1;
            all_durable = false;
        }
        if (stop)
            return engine->begin_again ? advance_when_idle(engine, &(int64_t){0}, reterr) : 0;
        if (open) { /* nothing may come between the pieces of one transaction */
            if (now >= next_tick && sink_tick(engine->sink, reterr) != 0)
                return -1;
            next_tick = now >= next_tick ? now + TICK_IDLE_US : next_tick;
            continue;
        }
        if (advance_when_idle(engine, &next_advance, reterr) != 0 || report_durable(engine, &all_durable, reterr) != 0)
            return -1;
        now = clock_mono_us();
        if (now < next_tick)
            continue;
        next_tick = now + TICK_IDLE_US;
        sink_figures(engine->sink, &figures);
        feed_figures(engine, &figures, &told);
        measure(engine);
        if (sink_tick(engine->sink, reterr) != 0 || look_for_resync(engine, reterr) != 0 ||
            losses_tell(engine, reterr) != 0)
            return -1;
    }
}

static void *applier_main(void *arg)
{
    struct engine *engine = arg;
    struct handover *handover = &engine->handover;
    struct err err = {0};
    if (applier_loop(engine, &err) != 0) {
        pthread_mutex_lock(&handover->lock);
        handover->err = err;
        handover->failed = true;
        pthread_cond_broadcast(&handover->changed);
        pthread_mutex_unlock(&handover->lock);
        wake_receiver(handover);
    }
    return NULL;
}

int applier_start(struct engine *engine, struct err *reterr)
{
    struct handover *handover = &engine->handover;
    handover->stop = handover->failed = false;
    handover->taken = NULL;
    batch_reset(&handover->batches[0]);
    batch_reset(&handover->batches[1]);
    position_init(&handover->position, engine->resume_lsn);
    if (pthread_create(&engine->applier, NULL, applier_main, engine) != 0)
        return err_set(reterr, ERR_FATAL, "starting the applier thread failed: %s", strerror(errno));
    engine->applier_running = true;
    return 0;
}

int applier_stop(struct engine *engine, struct err *reterr)
{
    struct handover *handover = &engine->handover;
    if (!engine->applier_running)
        return 0;
    pthread_mutex_lock(&handover->lock);
    handover->stop = true;
    pthread_cond_broadcast(&handover->changed);
    pthread_mutex_unlock(&handover->lock);
    pthread_join(engine->applier, NULL);
    engine->applier_running = false;
    engine->resume_lsn = handover->position.applied;
    if (!handover->failed)
        return 0;
    *reterr = handover->err;
    return -1;
}
