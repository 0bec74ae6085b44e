/* The window: whole source transactions, in commit order, over all topics. */
#include <string.h>
#include <unistd.h>

#include "cdc/app/replay/replay.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"

#define IDLE_MS 20
#define WAIT_US 1000

bool replay_is_full(const struct replay *r)
{
    const struct batch *batch = r->exchange.filling;
    return batch->row_count >= (size_t)r->settings->batch_max_rows ||
           arena_used(&batch->arena) >= (size_t)r->settings->batch_max_bytes;
}

int replay_give(struct replay *r, bool wait, struct err *reterr)
{
    bool given;
    return exchange_give(r, wait, &given, reterr);
}

/* Takes the head of a lane into the batch. */
int replay_take(struct replay *r, struct lane *lane, struct err *reterr)
{
    struct batch *batch = r->exchange.filling;
    struct row *row = NULL;
    const char *reason = "";
    if (replay_row(r, r->decoder, r->masker, &lane->head, &lane->record, lane->rule, false, &batch->arena, &row,
                   &reason, reterr) != 0)
        return -1;
    int64_t offset = lane->head.offset;
    lane_pop(lane);
    if (row)
        batch_add_row(batch, row);
    else
        replay_letter(r, lane, offset, reason);
    return lane_fill(r, lane, 0, reterr);
}

int replay_mark(struct replay *r)
{
    if (!r->exchange.filling->complete)
        batch_add_mark(r->exchange.filling, r->lsn, 0, 0);
    return 0;
}

/* --- one transaction --- */

static bool events_missing_matter(const struct replay *r, const struct replay_txn *txn)
{
    return txn->ts_ms * 1000 > clock_wall_us() - r->lag_ms * 1000;
}

/* Compaction has taken what later transactions wrote anew; younger than its lag it must not. */
static void tell_short(struct replay *r, const struct replay_txn *txn, uint64_t missing)
{
    char lsn[LSN_TEXT_MAX];
    r->short_count++;
    if (!r->options->tables && events_missing_matter(r, txn))
        log_event(LOG_WARN, "events_missing", "lsn=%s xid=%u events=%llu missing=%llu", lsn_format(txn->lsn, lsn),
                  txn->xid, (unsigned long long)txn->events, (unsigned long long)missing);
}

/* What the applier has to say, and a little rest. */
static int rest(struct replay *r, struct err *reterr)
{
    usleep(WAIT_US);
    pthread_mutex_lock(&r->exchange.lock);
    bool failed = r->exchange.failed;
    if (failed)
        *reterr = r->exchange.err;
    pthread_mutex_unlock(&r->exchange.lock);
    return failed ? -1 : 0;
}

static void mark(struct replay *r, const struct replay_txn *txn)
{
    batch_add_mark(r->exchange.filling, txn->lsn, txn->ts_ms * 1000, txn->xid);
}

static int take_events(struct replay *r, const struct replay_txn *txn, uint64_t *ret_taken, struct err *reterr)
{
    *ret_taken = 0;
    for (uint64_t order = 1; order <= txn->events && !run_stop;) {
        struct lane *lane;
        bool wait;
        if (lanes_next_event(r, txn, order, &lane, &wait, reterr) != 0)
            return -1;
        if (wait) {
            if (rest(r, reterr) != 0)
                return -1;
            continue;
        }
        if (!lane)
            return 0;
        if (lane->record.order > 0) {
            order = lane->record.order + 1;
            ++*ret_taken;
        }
        if (replay_take(r, lane, reterr) != 0 ||
            (replay_is_full(r) && r->exchange.filling->txn_count == 0 && replay_give(r, true, reterr) != 0))
            return -1;
    }
    return 0;
}

/* A large one has batches of its own, which end in one target transaction. */
static int take_txn(struct replay *r, const struct replay_txn *txn, struct err *reterr)
{
    uint64_t taken;
    struct replay_txn at = *txn;
    if (r->exchange.filling->row_count + at.events > (size_t)r->settings->batch_max_rows &&
        replay_give(r, true, reterr) != 0)
        return -1;
    if (take_events(r, &at, &taken, reterr) != 0)
        return -1;
    if (run_stop)
        return 0;
    if (taken < at.events)
        tell_short(r, &at, at.events - taken);
    mark(r, &at);
    lanes_txn_done(r);
    return replay_is_full(r) ? replay_give(r, true, reterr) : 0;
}

/* --- rows outside transactions: a table that was read again --- */

static int take_loose(struct replay *r, struct err *reterr)
{
    for (size_t i = 0; i < r->lane_count; i++)
        if (lane_fill(r, &r->lanes[i], 0, reterr) != 0)
            return -1;
    for (struct lane *lane; !run_stop && (lane = lanes_loose(r));) {
        const struct replay_txn here = {.lsn = r->lsn};
        if (replay_take(r, lane, reterr) != 0)
            return -1;
        if (!replay_is_full(r) && lanes_loose(r))
            continue;
        mark(r, &here);
        if (replay_is_full(r) && replay_give(r, true, reterr) != 0)
            return -1;
    }
    return 0;
}

/* --- the loop --- */

static bool is_beyond(const struct replay *r, const struct replay_txn *txn)
{
    const struct replay_options *options = r->options;
    return (options->until_lsn && txn->lsn > options->until_lsn) ||
           (options->until_us && txn->ts_ms * 1000 > options->until_us);
}

/* Nothing is waiting: what was asked for is there once the transaction topic was read to where it ended at the start.
 * Behind a point that the publisher was past by then nothing is on the way, for a time it may still come. */
static bool is_caught_up(const struct replay *r)
{
    const struct replay_options *options = r->options;
    if (r->txn_count > 0 || kafka_reached(r->txn_lane.reader) < r->caught_up_offset)
        return false;
    return options->until_caught_up || (options->until_us && options->until_us < clock_wall_us()) ||
           (options->until_lsn && (r->lsn >= options->until_lsn || r->publisher.lsn >= options->until_lsn));
}

static int loop(struct replay *r, struct err *reterr)
{
    while (!run_stop) {
        struct replay_txn *txn;
        if (lanes_next_txn(r, 0, &txn, reterr) != 0)
            return -1;
        if (!txn && (take_loose(r, reterr) != 0 || replay_give(r, false, reterr) != 0 ||
                     lanes_next_txn(r, IDLE_MS, &txn, reterr) != 0))
            return -1;
        if (txn ? is_beyond(r, txn) : is_caught_up(r))
            return exchange_drain(r, reterr);
        if (txn && take_txn(r, txn, reterr) != 0)
            return -1;
        if (!txn && rest(r, reterr) != 0)
            return -1;
    }
    return 0;
}

int replay_stream(struct replay *r, struct err *reterr)
{
    char lsn[LSN_TEXT_MAX];
    struct err stop_err = {0};
    r->lsn = r->position.lsn;
    r->decoder = record_decoder_new();
    r->masker = r->secret.len ? masker_new(r->map, r->secret.data, r->secret.len) : NULL;
    log_event(LOG_INFO, "replaying", "prefix=%s lsn=%s topics=%zu masking=%s mode=transactions",
              r->settings->kafka_prefix, lsn_format(r->lsn, lsn), r->topic_count, r->masker ? "on" : "off");
    int failed = lanes_open(r, reterr) != 0 || exchange_start(r, reterr) != 0;
    failed = failed || loop(r, reterr) != 0;
    if (exchange_stop(r, &stop_err) != 0 && !failed) {
        *reterr = stop_err;
        failed = 1;
    }
    lanes_close(r);
    masker_free(r->masker);
    record_decoder_free(r->decoder);
    r->masker = NULL;
    r->decoder = NULL;
    if (!failed)
        log_event(LOG_INFO, "stopped", "prefix=%s lsn=%s rows=%llu short=%llu", r->settings->kafka_prefix,
                  lsn_format(r->lsn, lsn), (unsigned long long)r->applied_rows, (unsigned long long)r->short_count);
    return failed ? -1 : 0;
}
