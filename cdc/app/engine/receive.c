/* The receiver: stream -> fix-ups -> transform -> batch, and the decision when a batch goes to the applier.
 *
 * A batch is handed over when it is full, or when it holds whole transactions and the applier is idle and nothing
 * more is waiting in the socket; fill.h says when exactly.
 *
 * While the target blocks, status messages go on: the slot is never lost to wal_sender_timeout because of a lock
 * on the target.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/engine/feed.h"
#include "cdc/app/engine/receiver.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"

#define WAIT_MS 200

/* --- hand-over --- */

bool receiver_is_full(const struct receiver *r, enum fill_limit limit)
{
    const struct batch *batch = r->handover->filling;
    return fill_reached(&r->fill, limit, batch->row_count, arena_used(&batch->arena));
}

/* Gives the filling batch to an idle applier. False where it is not idle. */
static bool try_hand_over(struct receiver *r)
{
    struct handover *handover = r->handover;
    pthread_mutex_lock(&handover->lock);
    bool idle = !handover->taken && !handover->failed;
    size_t rows = handover->filling->row_count;
    if (idle) {
        handover->taken = handover->filling;
        handover->filling = handover->filling == &handover->batches[0] ? &handover->batches[1] : &handover->batches[0];
        vitals_taken(r->engine->vitals);
        pthread_cond_signal(&handover->changed);
    }
    pthread_mutex_unlock(&handover->lock);
    if (idle) {
        fill_went(&r->fill, rows, clock_mono_us());
    }
    return idle;
}

static int applier_failure(struct receiver *r, struct err *reterr)
{
    struct handover *handover = r->handover;
    pthread_mutex_lock(&handover->lock);
    bool failed = handover->failed;
    if (failed)
        *reterr = handover->err;
    pthread_mutex_unlock(&handover->lock);
    return failed ? -1 : 0;
}

/* What the other threads have to say: -1 with it. */
static int look_around(struct receiver *r, struct err *reterr)
{
    struct watch *watch = &r->engine->watch;
    if (applier_failure(r, reterr) != 0)
        return -1;
    if (!watch->drifted)
        return 0;
    pthread_mutex_lock(&watch->lock);
    *reterr = watch->err;
    pthread_mutex_unlock(&watch->lock);
    return -1;
}

int receiver_report(struct receiver *r, bool now, struct err *reterr)
{
    pthread_mutex_lock(&r->handover->lock);
    uint64_t lsn = position_confirmable(&r->handover->position);
    pthread_mutex_unlock(&r->handover->lock);
    feed_confirmed(r->engine, lsn);
    return stream_confirm(r->engine->stream, lsn, now, reterr);
}

int receiver_stay(struct receiver *r, struct err *reterr)
{
    return look_around(r, reterr) != 0 || receiver_report(r, false, reterr) != 0 ||
                   stream_keep_alive(r->engine->stream, reterr) != 0
               ? -1
               : 0;
}

static void drain_wakeups(const struct receiver *r)
{
    uint64_t count;
    while (read(r->handover->wake_fd, &count, sizeof(count)) > 0)
        ;
}

int receiver_wait_for_applier(struct receiver *r, struct err *reterr)
{
    if (batch_is_empty(r->handover->filling)) {
        batch_reset(r->handover->filling);
        return 0;
    }
    while (!try_hand_over(r)) {
        if (run_stop)
            return 0;
        if (look_around(r, reterr) != 0)
            return -1;
        struct pollfd fd = {.fd = r->handover->wake_fd, .events = POLLIN};
        (void)poll(&fd, 1, WAIT_MS);
        drain_wakeups(r);
        if (receiver_report(r, false, reterr) != 0 || stream_keep_alive(r->engine->stream, reterr) != 0)
            return -1;
    }
    return look_around(r, reterr) != 0 ? -1 : receiver_report(r, false, reterr);
}

/* --- what comes in --- */

bool receiver_lacks_columns(const struct change *change)
{
    for (size_t i = 0; change->columns && i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            return true;
    return false;
}

int receiver_complete(struct receiver *r, struct change *change, struct err *reterr)
{
    bool gone = false;
    if (complete_for_transform(r->engine, change, &r->handover->filling->arena, &gone, reterr) != 0)
        return -1;
    change->gone = gone;
    change->completed = !gone;
    return 0;
}

static int transform(struct receiver *r, struct change *change, struct row ***ret_rows, size_t *ret_count,
                     struct err *reterr)
{
    const struct map *map = r->engine->binding.map;
    struct arena *arena = &r->handover->filling->arena;
    int outcome = map_transform(map, change, arena, ret_rows, ret_count, reterr);
    if (outcome == 1 && receiver_complete(r, change, reterr) != 0)
        return -1;
    if (outcome == 1)
        outcome = map_transform(map, change, arena, ret_rows, ret_count, reterr);
    if (outcome > 0)
        return err_set(reterr, ERR_FATAL, "a completed change still lacks a column (table %s.%s)",
                       change->relation->schema, change->relation->name);
    return outcome;
}

void receiver_add_row(struct receiver *r, struct row *row)
{
    struct batch *batch = r->handover->filling;
    if (batch->row_count == 0)
        fill_begun(&r->fill, clock_mono_us());
    batch_add_row(batch, row);
    batch->open = r->begun;
    feed_row(r->engine, ++r->transaction_rows);
}

/* A row whose key changed is always read whole: what was read for it under the old key may have been the row that has
 * taken that key since. So is one that others are looked up by. Of such a table's own rules those that look up there
 * see the row as it is now. */
int receiver_add_rows(struct receiver *r, struct change *change, struct err *reterr)
{
    struct lookups *lookups = r->engine->binding.lookups;
    struct row **rows = NULL;
    size_t count = 0;
    bool looked_up = lookups_concern(lookups, change->relation);
    if ((change->key_changed || looked_up) && receiver_lacks_columns(change) &&
        receiver_complete(r, change, reterr) != 0)
        return -1;
    if (transform(r, change, &rows, &count, reterr) != 0)
        return -1;
    if (looked_up && (lookups_take(lookups, rows, count, reterr) != 0 ||
                      (count > 1 && transform(r, change, &rows, &count, reterr) != 0)))
        return -1;
    for (size_t i = 0; i < count; i++)
        receiver_add_row(r, rows[i]);
    return 0;
}

static int on_change(struct receiver *r, struct change *change, struct err *reterr)
{
    if (r->commit_lsn)
        return receiver_on_known_ground(r, change, reterr);
    if (complete_nonfinite(r->engine, change, &r->handover->filling->arena, reterr) != 0 ||
        receiver_add_rows(r, change, reterr) != 0)
        return -1;
    return receiver_is_full(r, FILL_INSIDE) ? receiver_wait_for_applier(r, reterr) : 0;
}

void receiver_begin(struct receiver *r)
{
    r->in_transaction = true;
    r->transaction_rows = 0;
    pthread_mutex_lock(&r->handover->lock);
    position_begin(&r->handover->position);
    pthread_mutex_unlock(&r->handover->lock);
}

void receiver_commit(struct receiver *r, uint64_t end_lsn, int64_t commit_us, uint32_t xid)
{
    struct handover *handover = r->handover;
    bool empty = r->transaction_rows == 0;
    /* The mark of a transaction whose last piece is gone already stands alone: an empty one behind it goes with it. */
    bool waits = !empty || !batch_is_empty(handover->filling);
    if (waits) {
        batch_add_mark(handover->filling, end_lsn, commit_us, xid);
        empty = false;
    } else {
        batch_reset(handover->filling); /* what the messages of an empty transaction took up */
    }
    pthread_mutex_lock(&handover->lock);
    if (empty)
        position_received_empty(&handover->position, end_lsn);
    else
        position_received(&handover->position, end_lsn);
    pthread_mutex_unlock(&handover->lock);
    feed_commit(r->engine, end_lsn, commit_us, waits);
    r->in_transaction = false;
    r->begun = (struct txn_mark){0};
    r->received_lsn = end_lsn;
}

/* Also while a batch waits for the applier: what it holds is received, and the server tells how far it is only once. */
static void on_keepalive(struct receiver *r, uint64_t wal_end)
{
    struct handover *handover = r->handover;
    if (r->in_transaction)
        return;
    pthread_mutex_lock(&handover->lock);
    position_keepalive(&handover->position, wal_end);
    pthread_mutex_unlock(&handover->lock);
    if (wal_end > r->received_lsn)
        r->received_lsn = wal_end;
    vitals_passed(r->engine->vitals, STAGE_RECEIVED, 0, wal_end);
}

static int on_item(struct receiver *r, const struct stream_item *item, struct err *reterr)
{
    switch (item->event) {
    case STREAM_BEGIN:
        if (resync_before(r->engine->resync, r, item->end_lsn, reterr) != 0)
            return -1;
        receiver_begin(r);
        r->begun = (struct txn_mark){.end_lsn = item->end_lsn, .commit_us = item->commit_us, .xid = item->xid};
        r->commit_lsn =
            item->end_lsn <= skip_last_point(r->engine->skip) || skip_has_unread(r->engine->skip) ? item->end_lsn : 0;
        return 0;
    case STREAM_CHANGE:
        vitals_passed(r->engine->vitals, STAGE_DECODED, 1, 0);
        return on_change(r, item->change, reterr);
    case STREAM_COMMIT: receiver_commit(r, item->end_lsn, item->commit_us, item->xid); return 0;
    case STREAM_KEEPALIVE: on_keepalive(r, item->end_lsn); return 0;
    case STREAM_MESSAGE: /* one outside a transaction is not followed by a commit */
        feed_message(r->engine, item);
        if (!r->in_transaction && batch_is_empty(r->handover->filling))
            batch_reset(r->handover->filling);
        return 0;
    case STREAM_NONE: return 0;
    }
    return 0;
}

/* --- the loop --- */

int receiver_drain(struct receiver *r, struct err *reterr)
{
    const struct handover *handover = r->handover;
    for (bool busy = true; busy && !run_stop;) {
        if (receiver_wait_for_applier(r, reterr) != 0)
            return -1;
        pthread_mutex_lock(&r->handover->lock);
        busy = handover->taken != NULL;
        pthread_mutex_unlock(&r->handover->lock);
        if (busy)
            usleep(1000);
        if (receiver_stay(r, reterr) != 0)
            return -1;
    }
    return 0;
}

/* Ends the session once everything received is on the target. */
static int begin_again(struct receiver *r, const char *why, struct err *reterr)
{
    if (receiver_drain(r, reterr) != 0)
        return -1;
    r->engine->begin_again = true;
    return err_set(reterr, ERR_RETRY, "%s", why);
}

/* Why the session should begin again, at the end of a transaction or when nothing comes; NULL: it should not. */
static const char *why_begin_again(const struct receiver *r)
{
    const struct engine *engine = r->engine;
    if (r->in_transaction)
        return NULL;
    if (r->reread)
        return "parts of the snapshot are to be read anew";
    if (skip_last_point(engine->skip) && r->received_lsn >= skip_last_point(engine->skip))
        return "the stream is past the points of the snapshot";
    if (engine->joining)
        return resync_has_joined(engine->resync) ? "what joins is there" : NULL;
    if (engine->resync ? resync_is_done(engine->resync) : engine->resync_wanted && !engine->skip)
        return engine->resync ? "nothing is left to be read again" : "a table is to be read again";
    return NULL;
}

/* Nothing more has arrived. Hands over what can go; looks at what the other threads have to say. */
static int when_quiet(struct receiver *r, int *ret_wait_ms, struct err *reterr)
{
    const struct batch *batch = r->handover->filling;
    *ret_wait_ms = WAIT_MS;
    drain_wakeups(r);
    if (batch->complete && batch->txn_count > 0) {
        int64_t linger = fill_linger_us(&r->fill, batch->row_count, clock_mono_us());
        if (linger == 0)
            (void)try_hand_over(r);
        else
            *ret_wait_ms = (int)(linger / 1000) + 1;
    }
    if (resync_when_quiet(r->engine->resync, r, ret_wait_ms, reterr) != 0)
        return -1;
    return look_around(r, reterr) != 0 ? -1 : receiver_report(r, false, reterr);
}

static bool one_shot_done(struct receiver *r)
{
    uint64_t until = r->engine->until_lsn;
    if (until == 0 || r->engine->joining || !resync_is_done(r->engine->resync))
        return false;
    pthread_mutex_lock(&r->handover->lock);
    bool done = position_confirmable(&r->handover->position) >= until;
    pthread_mutex_unlock(&r->handover->lock);
    return done;
}

int receive_run(struct engine *engine, struct err *reterr)
{
    struct receiver r = {.engine = engine,
                         .handover = &engine->handover,
                         .received_lsn = engine->resume_lsn,
                         .fill = {.max_rows = (size_t)engine->settings->batch_max_rows,
                                  .max_bytes = (size_t)engine->settings->batch_max_bytes}};
    int wait_ms = 0;
    while (!run_stop && !one_shot_done(&r)) {
        struct stream_item item;
        if (stream_next(engine->stream, &r.handover->filling->arena, wait_ms, &item, reterr) != 0)
            return -1;
        wait_ms = 0;
        if (item.event == STREAM_NONE) {
            if (when_quiet(&r, &wait_ms, reterr) != 0)
                return -1;
        } else if (on_item(&r, &item, reterr) != 0) {
            return -1;
        }
        const char *why = why_begin_again(&r);
        if (why)
            return begin_again(&r, why, reterr);
        if (item.event == STREAM_COMMIT && receiver_is_full(&r, FILL_AT_COMMIT) &&
            receiver_wait_for_applier(&r, reterr) != 0)
            return -1;
    }
    return receiver_report(&r, true, reterr);
}
