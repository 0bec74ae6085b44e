/* The applier: takes a batch, gives it to the sink. While one is applied the next one fills. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cdc/app/replay/replay.h"
#include "cdc/base/clock.h"

#define TICK_US INT64_C(1000000)
#define DEADLOCKS_MAX 100

static struct batch *wait_for_batch(struct exchange *x, int64_t until_us, bool *ret_stop)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    pthread_mutex_lock(&x->lock);
    while (!x->taken && !x->stop)
        if (pthread_cond_timedwait(&x->changed, &x->lock, &until) == ETIMEDOUT)
            break;
    struct batch *batch = x->taken;
    *ret_stop = x->stop;
    pthread_mutex_unlock(&x->lock);
    return batch;
}

/* Of two workers that wait for each other one gives way, and tries again. */
static bool is_deadlock(const struct replay *r, const struct err *err)
{
    return r->settings->replay_group && strcmp(err->sqlstate, "40P01") == 0;
}

static int apply_one(struct replay *r, const struct batch *batch, struct err *reterr)
{
    for (int tries = 0;; tries++) {
        struct err err = {0};
        if (sink_apply(r->sink, batch, &err) == 0)
            return 0;
        if (!is_deadlock(r, &err) || tries == DEADLOCKS_MAX) {
            *reterr = err;
            return -1;
        }
        usleep((useconds_t)(10000 + clock_mono_us() % 50000));
    }
}

static int apply_all(struct replay *r, struct err *reterr)
{
    struct exchange *x = &r->exchange;
    int64_t next_tick = clock_mono_us() + TICK_US;
    for (;;) {
        bool stop;
        struct batch *batch = wait_for_batch(x, next_tick, &stop);
        if (batch) {
            if (apply_one(r, batch, reterr) != 0)
                return -1;
            r->applied_rows += batch->row_count;
            batch_reset(batch);
            pthread_mutex_lock(&x->lock);
            x->taken = NULL;
            pthread_cond_broadcast(&x->changed);
            pthread_mutex_unlock(&x->lock);
        }
        if (stop)
            return 0;
        if (clock_mono_us() < next_tick)
            continue;
        if (sink_tick(r->sink, reterr) != 0 && !is_deadlock(r, reterr))
            return -1;
        next_tick = clock_mono_us() + TICK_US;
    }
}

static void *applier_main(void *arg)
{
    struct replay *r = arg;
    struct exchange *x = &r->exchange;
    struct err err = {0};
    if (apply_all(r, &err) != 0) {
        pthread_mutex_lock(&x->lock);
        x->err = err;
        x->failed = true;
        pthread_cond_broadcast(&x->changed);
        pthread_mutex_unlock(&x->lock);
    }
    return NULL;
}

int exchange_start(struct replay *r, struct err *reterr)
{
    struct exchange *x = &r->exchange;
    pthread_condattr_t attr;
    x->stop = x->failed = false;
    x->taken = NULL;
    batch_init(&x->batches[0]);
    batch_init(&x->batches[1]);
    x->filling = &x->batches[0];
    pthread_mutex_init(&x->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&x->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&x->thread, NULL, applier_main, r) != 0)
        return err_set(reterr, ERR_FATAL, "starting the applier thread failed: %s", strerror(errno));
    x->running = true;
    return 0;
}

int exchange_stop(struct replay *r, struct err *reterr)
{
    struct exchange *x = &r->exchange;
    if (!x->running)
        return 0;
    pthread_mutex_lock(&x->lock);
    x->stop = true;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
    pthread_join(x->thread, NULL);
    x->running = false;
    batch_done(&x->batches[0]);
    batch_done(&x->batches[1]);
    pthread_cond_destroy(&x->changed);
    pthread_mutex_destroy(&x->lock);
    if (!x->failed)
        return 0;
    *reterr = x->err;
    return -1;
}

/* Waits for the applier to be idle, at most until then. */
static bool wait_for_idle(struct exchange *x, int64_t until_us)
{
    struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
    while (x->taken && !x->failed)
        if (pthread_cond_timedwait(&x->changed, &x->lock, &until) == ETIMEDOUT)
            break;
    return !x->taken && !x->failed;
}

/* What goes with the batch is settled only now that it goes: nobody but this thread gives. */
static bool is_worth_giving(struct replay *r, struct batch *batch)
{
    if (!batch->complete)
        return true;
    lanes_put_offsets(r, batch);
    if (batch->txn_count == 0 && batch->offset_count + batch->letter_count > 0)
        batch_add_mark(batch, r->lsn, 0, 0);
    return batch->txn_count > 0;
}

int exchange_give(struct replay *r, bool wait, bool *ret_given, struct err *reterr)
{
    struct exchange *x = &r->exchange;
    bool idle = false;
    *ret_given = false;
    while (!idle && !run_stop) {
        pthread_mutex_lock(&x->lock);
        idle = wait_for_idle(x, clock_mono_us() + (wait ? TICK_US / 5 : 0));
        bool failed = x->failed;
        if (failed)
            *reterr = x->err;
        pthread_mutex_unlock(&x->lock);
        if (failed)
            return -1;
        if (!wait)
            break;
    }
    if (!idle || !is_worth_giving(r, x->filling))
        return 0;
    pthread_mutex_lock(&x->lock);
    x->taken = x->filling;
    x->filling = x->taken == &x->batches[0] ? &x->batches[1] : &x->batches[0];
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
    *ret_given = true;
    return 0;
}

int exchange_drain(struct replay *r, struct err *reterr)
{
    struct exchange *x = &r->exchange;
    bool given, idle = false;
    r->passed_us = 0;
    if (exchange_give(r, true, &given, reterr) != 0)
        return -1;
    while (!idle && !run_stop) {
        pthread_mutex_lock(&x->lock);
        idle = wait_for_idle(x, clock_mono_us() + TICK_US / 5);
        bool failed = x->failed;
        if (failed)
            *reterr = x->err;
        pthread_mutex_unlock(&x->lock);
        if (failed)
            return -1;
    }
    return 0;
}
