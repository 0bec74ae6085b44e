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

#include "cdc/app/engine.h"
#include "cdc/app/fill.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"

#define WAIT_MS 200

struct receiver {
    struct engine *engine;
    struct handover *handover;
    bool in_transaction;
    size_t transaction_rows; /* rows of the open transaction so far, whatever batch they are in */
    struct fill fill;
    uint64_t received_lsn;
    uint64_t commit_lsn; /* of the open transaction, while the engine skips; else 0 */
    bool reread;         /* parts of the snapshot have to be read anew */
};

/* --- hand-over --- */

static bool is_full(const struct receiver *r, enum fill_limit limit)
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
        pthread_cond_signal(&handover->changed);
    }
    pthread_mutex_unlock(&handover->lock);
    if (idle) {
        r->engine->oldest_commit_us = 0;
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

/* What the other threads have to say. */
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

static int report_position(struct receiver *r, bool now, struct err *reterr)
{
    pthread_mutex_lock(&r->handover->lock);
    uint64_t lsn = position_confirmable(&r->handover->position);
    pthread_mutex_unlock(&r->handover->lock);
    return stream_confirm(r->engine->stream, lsn, now, reterr);
}

static void drain_wakeups(const struct receiver *r)
{
    uint64_t count;
    while (read(r->handover->wake_fd, &count, sizeof(count)) > 0)
        ;
}

static int wait_for_applier(struct receiver *r, struct err *reterr)
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
        if (report_position(r, false, reterr) != 0 || stream_keep_alive(r->engine->stream, reterr) != 0)
            return -1;
    }
    return look_around(r, reterr) != 0 ? -1 : report_position(r, false, reterr);
}

/* --- what comes in --- */

static bool lacks_columns(const struct change *change)
{
    for (size_t i = 0; change->columns && i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            return true;
    return false;
}

static int complete(struct receiver *r, struct change *change, struct err *reterr)
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
    if (outcome == 1 && complete(r, change, reterr) != 0)
        return -1;
    if (outcome == 1)
        outcome = map_transform(map, change, arena, ret_rows, ret_count, reterr);
    if (outcome > 0)
        return err_set(reterr, ERR_FATAL, "a completed change still lacks a column (table %s.%s)",
                       change->relation->schema, change->relation->name);
    return outcome;
}

/* A row whose key changed is always read whole: what was read for it under the old key may have been the row that has
 * taken that key since. So is one that others are looked up by. Of such a table's own rules those that look up there
 * see the row as it is now. */
static int add_rows(struct receiver *r, struct change *change, struct err *reterr)
{
    struct lookups *lookups = r->engine->binding.lookups;
    struct batch *batch = r->handover->filling;
    struct row **rows = NULL;
    size_t count = 0;
    bool looked_up = lookups_concern(lookups, change->relation);
    if ((change->key_changed || looked_up) && lacks_columns(change) && complete(r, change, reterr) != 0)
        return -1;
    if (transform(r, change, &rows, &count, reterr) != 0)
        return -1;
    if (looked_up && (lookups_take(lookups, rows, count, reterr) != 0 ||
                      (count > 1 && transform(r, change, &rows, &count, reterr) != 0)))
        return -1;
    if (batch->row_count == 0 && count > 0)
        fill_begun(&r->fill, clock_mono_us());
    for (size_t i = 0; i < count; i++)
        batch_add_row(batch, rows[i]);
    r->transaction_rows += count;
    return 0;
}

/* --- what a resumed snapshot holds already --- */

static int judge(struct receiver *r, const struct rule *rule, const struct change *change,
                 enum skip_verdict *ret_verdict, struct err *reterr)
{
    struct engine *engine = r->engine;
    if (!engine->receiver_conn &&
        engine_open_source(engine->settings, "rows", ENGINE_BRIEF, &engine->receiver_conn, reterr) != 0)
        return -1;
    return skip_judge(engine->skip, rule, change, r->commit_lsn, skip_ask_source, engine->receiver_conn, ret_verdict,
                      reterr);
}

/* The half of a changed key that is news. */
static struct change *half(const struct change *change, enum skip_verdict verdict, struct arena *arena)
{
    const struct relation *relation = change->relation;
    struct change *part = arena_alloc(arena, sizeof(*part));
    *part = *change;
    part->key_changed = false;
    part->op = verdict == SKIP_OLD_KEY ? CHANGE_INSERT : CHANGE_DELETE;
    if (verdict == SKIP_NEW_KEY) {
        part->columns = NULL;
        return part;
    }
    part->identity = arena_zalloc(arena, relation->key_count + 1, sizeof(*part->identity));
    for (size_t k = 0; k < relation->key_count; k++)
        part->identity[k] = change->columns[relation->key[k]];
    return part;
}

/* The row of one rule, of a change or of its half. */
static int transform_one(struct receiver *r, const struct rule *rule, struct change *change, struct row **ret_row,
                         struct err *reterr)
{
    struct arena *arena = &r->handover->filling->arena;
    const struct map *map = r->engine->binding.map;
    int outcome = map_transform_rule(map, rule, change, arena, ret_row, reterr);
    if (outcome == 1 && complete(r, change, reterr) != 0)
        return -1;
    if (outcome == 1)
        outcome = map_transform_rule(map, rule, change, arena, ret_row, reterr);
    if (outcome > 0)
        return err_set(reterr, ERR_FATAL, "a completed change still lacks a column (table %s.%s)",
                       change->relation->schema, change->relation->name);
    return outcome;
}

/* What is news of a change, by the verdict for each rule. */
struct news {
    const struct rule *const *rules; /* of the change's table */
    struct change **changes;         /* the change or its half for each of them; NULL: nothing */
    struct row **rows;               /* without gaps */
    size_t rule_count, count;
};

static int transform_news(struct receiver *r, struct news *news, struct err *reterr)
{
    news->count = 0;
    for (size_t i = 0; i < news->rule_count; i++) {
        if (!news->changes[i])
            continue;
        if (transform_one(r, news->rules[i], news->changes[i], &news->rows[news->count], reterr) != 0)
            return -1;
        news->count++;
    }
    return 0;
}

/* As add_rows() does it. */
static int add_news(struct receiver *r, struct news *news, const struct change *change, struct err *reterr)
{
    struct lookups *lookups = r->engine->binding.lookups;
    struct batch *batch = r->handover->filling;
    if (transform_news(r, news, reterr) != 0)
        return -1;
    if (lookups_concern(lookups, change->relation) && (lookups_take(lookups, news->rows, news->count, reterr) != 0 ||
                                                       (news->count > 1 && transform_news(r, news, reterr) != 0)))
        return -1;
    if (batch->row_count == 0 && news->count > 0)
        fill_begun(&r->fill, clock_mono_us());
    for (size_t i = 0; i < news->count; i++)
        batch_add_row(batch, news->rows[i]);
    r->transaction_rows += news->count;
    return 0;
}

/* A table whose parts were all read before, or all after, is decided without a look at the key, and a change that is
 * no news is not completed either. */
static int on_known_ground(struct receiver *r, struct change *change, struct err *reterr)
{
    struct arena *arena = &r->handover->filling->arena;
    struct news news;
    bool any = false;
    news.rules = map_rules_of(r->engine->binding.map, change->relation, &news.rule_count);
    news.changes = arena_zalloc(arena, news.rule_count + 1, sizeof(struct change *));
    news.rows = arena_zalloc(arena, news.rule_count + 1, sizeof(struct row *));
    enum skip_verdict *verdicts = arena_zalloc(arena, news.rule_count + 1, sizeof(*verdicts));
    change->commit_lsn = r->commit_lsn;
    for (size_t i = 0; i < news.rule_count; i++) {
        if (judge(r, news.rules[i], change, &verdicts[i], reterr) != 0)
            return -1;
        any |= verdicts[i] != SKIP_ALL;
        r->reread |= verdicts[i] == SKIP_REREAD;
    }
    if (!any)
        return 0;
    bool looked_up = lookups_concern(r->engine->binding.lookups, change->relation);
    if (complete_nonfinite(r->engine, change, arena, reterr) != 0 ||
        ((change->key_changed || looked_up) && lacks_columns(change) && complete(r, change, reterr) != 0))
        return -1;
    for (size_t i = 0; i < news.rule_count; i++)
        if (verdicts[i] == SKIP_NOTHING || verdicts[i] == SKIP_REREAD)
            news.changes[i] = change;
        else if (verdicts[i] != SKIP_ALL)
            news.changes[i] = half(change, verdicts[i], arena);
    if (add_news(r, &news, change, reterr) != 0)
        return -1;
    return is_full(r, FILL_INSIDE) ? wait_for_applier(r, reterr) : 0;
}

static int on_change(struct receiver *r, struct change *change, struct err *reterr)
{
    if (r->commit_lsn)
        return on_known_ground(r, change, reterr);
    if (complete_nonfinite(r->engine, change, &r->handover->filling->arena, reterr) != 0 ||
        add_rows(r, change, reterr) != 0)
        return -1;
    return is_full(r, FILL_INSIDE) ? wait_for_applier(r, reterr) : 0;
}

static void on_commit(struct receiver *r, const struct stream_item *item)
{
    struct handover *handover = r->handover;
    bool empty = r->transaction_rows == 0;
    /* The mark of a transaction whose last piece is gone already stands alone: an empty one behind it goes with it. */
    if (!empty || !batch_is_empty(handover->filling)) {
        if (handover->filling->txn_count == 0)
            r->engine->oldest_commit_us = item->commit_us;
        batch_add_mark(handover->filling, item->end_lsn, item->commit_us, item->xid);
        empty = false;
    } else {
        batch_reset(handover->filling); /* what the messages of an empty transaction took up */
    }
    pthread_mutex_lock(&handover->lock);
    if (empty)
        position_received_empty(&handover->position, item->end_lsn);
    else
        position_received(&handover->position, item->end_lsn);
    pthread_mutex_unlock(&handover->lock);
    r->in_transaction = false;
    r->received_lsn = item->end_lsn;
    r->engine->received_lsn = item->end_lsn;
}

static void on_keepalive(struct receiver *r, uint64_t wal_end)
{
    struct handover *handover = r->handover;
    if (!batch_is_empty(handover->filling) || r->in_transaction)
        return;
    pthread_mutex_lock(&handover->lock);
    position_keepalive(&handover->position, wal_end);
    pthread_mutex_unlock(&handover->lock);
    if (wal_end > r->received_lsn)
        r->engine->received_lsn = r->received_lsn = wal_end;
}

static int on_item(struct receiver *r, const struct stream_item *item, struct err *reterr)
{
    switch (item->event) {
    case STREAM_BEGIN:
        r->in_transaction = true;
        r->commit_lsn = item->end_lsn <= skip_last_point(r->engine->skip) ? item->end_lsn : 0;
        r->transaction_rows = 0;
        pthread_mutex_lock(&r->handover->lock);
        position_begin(&r->handover->position);
        pthread_mutex_unlock(&r->handover->lock);
        return 0;
    case STREAM_CHANGE: return on_change(r, item->change, reterr);
    case STREAM_COMMIT: on_commit(r, item); return 0;
    case STREAM_KEEPALIVE: on_keepalive(r, item->end_lsn); return 0;
    case STREAM_MESSAGE: /* nothing reads messages yet; one outside a transaction is not followed by a commit */
        if (!r->in_transaction && batch_is_empty(r->handover->filling))
            batch_reset(r->handover->filling);
        return 0;
    case STREAM_NONE: return 0;
    }
    return 0;
}

/* --- the loop --- */

/* Waits until everything received is on the target, then ends the session, to begin another one without any more
 * skipping, or with parts of the snapshot read anew. */
static int begin_again(struct receiver *r, struct err *reterr)
{
    const struct handover *handover = r->handover;
    for (bool busy = true; busy && !run_stop;) {
        if (wait_for_applier(r, reterr) != 0)
            return -1;
        pthread_mutex_lock(&r->handover->lock);
        busy = handover->taken != NULL;
        pthread_mutex_unlock(&r->handover->lock);
        if (look_around(r, reterr) != 0)
            return -1;
        if (busy)
            usleep(1000);
    }
    r->engine->begin_again = true;
    return err_set(reterr, ERR_RETRY,
                   r->reread ? "parts of the snapshot are to be read anew"
                             : "the stream is past the points of the snapshot");
}

/* At the end of a transaction. */
static bool is_past_skipping(const struct receiver *r)
{
    return r->reread || (r->engine->skip && r->received_lsn >= skip_last_point(r->engine->skip));
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
    return look_around(r, reterr) != 0 ? -1 : report_position(r, false, reterr);
}

static bool one_shot_done(struct receiver *r)
{
    uint64_t until = r->engine->until_lsn;
    if (until == 0)
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
        if (item.event == STREAM_COMMIT && is_past_skipping(&r))
            return begin_again(&r, reterr);
        if (item.event == STREAM_COMMIT && is_full(&r, FILL_AT_COMMIT) && wait_for_applier(&r, reterr) != 0)
            return -1;
    }
    return report_position(&r, true, reterr);
}
