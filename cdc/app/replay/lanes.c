/* All partitions side by side, and whole transactions out of them.
 *
 *     transaction   END 41: 3 events │ END 42: 2 │ …
 *     a/0           41#1  42#2 …
 *     a/1           41#3  57#1 …        41 is #1, #2, #3; what a partition shows is its next message
 *     b/0           41#2  …
 *
 * Messages of one partition stand in the order of commits. A number that no head shows is either still on its way, or
 * compaction has removed it: the latter is certain once each partition shows something later, or has been read past
 * where it ended after END was seen.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/replay/replay.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"

#define LETTERS_MAX 10000
#define PASS_EVERY_US INT64_C(1000000)
#define WAITS_PATIENT 20 /* before a broker is asked how far its partitions reach */

void replay_letter(struct replay *r, const struct lane *lane, int64_t offset, const char *reason)
{
    const char *topic = lane == &r->txn_lane ? r->txn_topic : r->topics[lane->topic].name;
    log_event(LOG_WARN, "dead_letter", "topic=%s partition=%d offset=%lld reason=\"%s\"", topic, lane->partition,
              (long long)offset, reason);
    if (r->letter_count == LETTERS_MAX) /* no batch has come for long: the log has them all */
        return;
    r->letters = mem_realloc(r->letters, (r->letter_count + 1) * sizeof *r->letters);
    r->letters[r->letter_count++] = (struct batch_letter){arena_strdup(&r->letter_arena, topic), lane->partition,
                                                          offset, arena_strdup(&r->letter_arena, reason)};
}

/* --- lanes --- */

static int open_lane(struct replay *r, const char *topic, struct lane *lane, struct err *reterr)
{
    const struct batch_offset *stored = replay_offset_find(r, topic, lane->partition);
    int64_t low = 0, high = 0;
    if (kafka_watermarks(r->kafka, topic, lane->partition, &low, &high, reterr) != 0)
        return -1;
    lane->stored = stored ? stored->to : -1;
    lane->anew = !stored;
    lane->lsn = stored ? stored->lsn : 0;
    lane->next = stored ? stored->to : low;
    lane->high = high;
    if (lane->next > high) {
        (void)err_set(reterr, ERR_REFUSED, "topic %s ends before what was read of it: it was deleted and made anew",
                      topic);
        (void)err_pause(reterr, "topic_gone");
        return err_hint(reterr, "`pgrekey drop`, then replay into an empty database; or take another kafka.prefix");
    }
    return kafka_partition_open(r->kafka, topic, lane->partition, lane->next < low ? low : lane->next, &lane->reader,
                                reterr);
}

static bool knows_topic(const struct replay *r, const char *topic)
{
    for (size_t i = 0; i < r->offset_count; i++)
        if (strcmp(r->offsets[i].topic, topic) == 0)
            return true;
    return false;
}

int lanes_open(struct replay *r, struct err *reterr)
{
    size_t count = 0;
    for (size_t i = 0; i < r->topic_count; i++)
        count += (size_t)r->topics[i].partition_count;
    r->lanes = mem_zalloc(count + 1, sizeof *r->lanes);
    r->txn_first = r->txn_count = r->popped = 0;
    r->txn_lane = (struct lane){.partition = 0};
    if (open_lane(r, r->txn_topic, &r->txn_lane, reterr) != 0)
        return -1;
    r->caught_up_offset = r->txn_lane.high;
    for (size_t i = 0; i < r->topic_count; i++)
        for (int p = 0; p < r->topics[i].partition_count; p++) {
            struct lane *lane = &r->lanes[r->lane_count];
            *lane = (struct lane){
                .topic = i, .partition = p, .left_out = r->offset_count > 0 && !knows_topic(r, r->topics[i].name)};
            r->lane_count++;
            if (open_lane(r, r->topics[i].name, lane, reterr) != 0)
                return -1;
        }
    return 0;
}

int lanes_open_one(struct replay *r, const char *topic, int partition, struct err *reterr)
{
    size_t at = 0;
    while (at < r->topic_count && strcmp(r->topics[at].name, topic) != 0)
        at++;
    if (at == r->topic_count)
        return err_set(reterr, ERR_FATAL, "a partition of a topic that nobody asked for: %.200s", topic);
    r->lanes = mem_realloc(r->lanes, (r->lane_count + 1) * sizeof *r->lanes);
    r->lanes[r->lane_count] = (struct lane){.topic = at, .partition = partition};
    return open_lane(r, topic, &r->lanes[r->lane_count++], reterr);
}

void lanes_close(struct replay *r)
{
    for (size_t i = 0; i < r->lane_count; i++)
        kafka_partition_close(r->lanes[i].reader);
    kafka_partition_close(r->txn_lane.reader);
    r->txn_lane.reader = NULL;
    free(r->lanes);
    r->lanes = NULL;
    r->lane_count = r->popped = 0;
    r->txn_first = r->txn_count = 0;
    r->txn_lane = (struct lane){.reader = NULL};
}

static const char *take_head(struct replay *r, struct lane *lane)
{
    if (!lane->head.value)
        return NULL; /* a tombstone says what the delete before it has said */
    record_decode(r->decoder, lane->head.value, lane->head.value_len, &lane->record);
    if (lane->record.kind == RECORD_FOREIGN)
        return lane->record.reason;
    if (lane->record.kind != RECORD_CHANGE)
        return "a message of the transaction topic";
    if (!lane->rule || strcmp(lane->rule->rule->name, lane->record.rule) != 0)
        lane->rule = replay_rule_find(r, lane->record.rule, lane->topic);
    if (!lane->rule)
        return "a row of a rule that the mapping does not have";
    /* A database that was filled otherwise reads from the begin, and holds what was read from the source up to there.
     */
    lane->has_head = !(lane->anew && lane->record.order == 0 && lane->record.lsn <= r->position.lsn);
    return NULL;
}

/* Others went on without it: the rows of a table that joins them have gone by. */
static int refuse_left_out(const struct replay *r, const struct lane *lane, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED,
                  "table %s was left out when this database began, and rows of it lie before where "
                  "it is now",
                  r->topics[lane->topic].collection);
    return err_hint(reterr, "leave it out with --tables, or begin afresh: `pgrekey drop`, empty the target's tables, "
                            "replay again");
}

int lane_fill(struct replay *r, struct lane *lane, int timeout_ms, struct err *reterr)
{
    while (!lane->has_head) {
        int got = kafka_next(lane->reader, timeout_ms, &lane->head, reterr);
        if (got <= 0)
            return got;
        const char *reason = take_head(r, lane);
        if (lane->left_out && lane->record.kind == RECORD_CHANGE && lane->record.lsn <= r->position.lsn)
            return refuse_left_out(r, lane, reterr);
        if (lane->has_head)
            break;
        lane->next = lane->head.offset + 1;
        if (reason)
            replay_letter(r, lane, lane->head.offset, reason);
    }
    return 0;
}

void lane_pop(struct lane *lane)
{
    lane->next = lane->head.offset + 1;
    if (lane->record.order > 0 && lane->record.lsn > lane->lsn)
        lane->lsn = lane->record.lsn;
    lane->has_head = false;
}

/* --- transactions --- */

static void take_txn(struct replay *r, const struct kafka_message *message)
{
    struct record record;
    if (!message->value)
        return;
    record_decode(r->decoder, message->value, message->value_len, &record);
    if (record.kind == RECORD_FOREIGN || record.kind == RECORD_CHANGE) {
        replay_letter(r, &r->txn_lane, message->offset, record.reason ? record.reason : "no transaction");
        return;
    }
    if (record.kind != RECORD_END || record.lsn <= r->lsn) /* what the database holds already */
        return;
    r->txns[(r->txn_first + r->txn_count++) % TXNS_AHEAD] = (struct replay_txn){.lsn = record.lsn,
                                                                                .events = record.event_count,
                                                                                .xid = record.xid,
                                                                                .ts_ms = record.ts_ms,
                                                                                .offset = message->offset};
}

/* Some ahead: how far the partitions reach is then asked once for all of them. */
int lanes_next_txn(struct replay *r, int timeout_ms, struct replay_txn **ret_txn, struct err *reterr)
{
    *ret_txn = NULL;
    while (r->txn_count == 0) {
        int got = 1;
        while (got > 0 && r->txn_count < TXNS_AHEAD) {
            struct kafka_message message;
            got = kafka_next(r->txn_lane.reader, r->txn_count ? 0 : timeout_ms, &message, reterr);
            if (got < 0)
                return -1;
            if (got > 0) {
                take_txn(r, &message);
                r->txn_lane.next = message.offset + 1;
            }
        }
        for (size_t i = 0; r->txn_count && i < r->lane_count; i++)
            r->lanes[i].high = -1;
        if (got == 0)
            break;
    }
    if (r->txn_count)
        *ret_txn = &r->txns[r->txn_first];
    return 0;
}

void lanes_txn_done(struct replay *r)
{
    r->lsn = r->txns[r->txn_first].lsn;
    r->txn_first = (r->txn_first + 1) % TXNS_AHEAD;
    r->txn_count--;
}

/* --- events --- */

static bool is_next(const struct lane *lane, const struct replay_txn *txn, uint64_t order)
{
    return lane->has_head && lane->record.order == order && lane->record.lsn == txn->lsn;
}

/* Does the lane hold nothing more of what had been published when END was read? */
static int lane_is_past(struct replay *r, struct lane *lane, bool *ret_past, struct err *reterr)
{
    *ret_past = lane->has_head;
    if (lane->has_head)
        return 0;
    int64_t low, reached = kafka_reached(lane->reader);
    if (lane->high < 0 && r->waits > WAITS_PATIENT &&
        kafka_watermarks(r->kafka, r->topics[lane->topic].name, lane->partition, &low, &lane->high, reterr) != 0)
        return -1;
    *ret_past = lane->high >= 0 && reached >= lane->high;
    return 0;
}

/* Events that the database holds already, from before it was begun with, or that a chosen point left out. */
static int fill_with_new(struct replay *r, struct lane *lane, const struct replay_txn *txn, struct err *reterr)
{
    for (;;) {
        if (lane_fill(r, lane, 0, reterr) != 0)
            return -1;
        if (!lane->has_head || lane->record.order == 0 || lane->record.lsn >= txn->lsn)
            return 0;
        lane_pop(lane);
    }
}

int lanes_next_event(struct replay *r, const struct replay_txn *txn, uint64_t order, struct lane **ret_lane,
                     bool *ret_wait, struct err *reterr)
{
    struct lane *least = NULL;
    bool all_past = true;
    *ret_lane = NULL;
    *ret_wait = false;
    if (r->lane_count && is_next(&r->lanes[r->popped], txn, order)) {
        *ret_lane = &r->lanes[r->popped];
        return 0;
    }
    for (size_t i = 0; i < r->lane_count; i++)
        if (is_next(&r->lanes[i], txn, order)) {
            r->popped = i;
            *ret_lane = &r->lanes[i];
            return 0;
        }
    for (size_t i = 0; i < r->lane_count; i++) {
        struct lane *lane = &r->lanes[i];
        bool past;
        if (fill_with_new(r, lane, txn, reterr) != 0)
            return -1;
        if (is_next(lane, txn, order) || (lane->has_head && lane->record.order == 0)) { /* a loose one goes first */
            r->popped = i;
            r->waits = 0;
            *ret_lane = lane;
            return 0;
        }
        if (lane_is_past(r, lane, &past, reterr) != 0)
            return -1;
        all_past = all_past && past;
        if (lane->has_head && lane->record.lsn == txn->lsn && (!least || lane->record.order < least->record.order)) {
            least = lane;
            r->popped = i;
        }
    }
    *ret_lane = all_past ? least : NULL;
    *ret_wait = !all_past;
    r->waits = all_past ? 0 : r->waits + 1;
    return 0;
}

struct lane *lanes_loose(struct replay *r)
{
    for (size_t i = 0; i < r->lane_count; i++)
        if (r->lanes[i].has_head && r->lanes[i].record.order == 0)
            return &r->lanes[i];
    return NULL;
}

/* --- what goes with a batch --- */

/* Behind the last message stand the marks of commits, which nobody is given. They are passed by with a batch, or once a
 * second, so that who compares offsets with the topics' ends finds nothing between. */
static void pass_marks(struct lane *lane)
{
    int64_t reached = lane->has_head || !lane->reader ? -1 : kafka_reached(lane->reader);
    lane->next = reached > lane->next ? reached : lane->next;
}

static size_t put_offset(struct batch_offset *offset, struct lane *lane, const char *topic, uint64_t lsn)
{
    if (lane->next == lane->stored)
        return 0;
    *offset = (struct batch_offset){topic, lane->partition, lane->stored, lane->next, lsn};
    lane->stored = lane->next;
    return 1;
}

/* Of the transaction topic only what is behind the last whole one: others are read ahead. */
void lanes_put_offsets(struct replay *r, struct batch *batch)
{
    struct batch_offset *offsets = arena_alloc(&batch->arena, (r->lane_count + 1) * sizeof *offsets);
    size_t count = 0;
    bool pass = batch->txn_count > 0 || clock_mono_us() - r->passed_us > PASS_EVERY_US;
    for (size_t i = 0; pass && i < r->lane_count; i++)
        pass_marks(&r->lanes[i]);
    if (pass && r->txn_count == 0)
        pass_marks(&r->txn_lane);
    r->passed_us = pass ? clock_mono_us() : r->passed_us;
    for (size_t i = 0; i < r->lane_count; i++)
        count += put_offset(&offsets[count], &r->lanes[i], r->topics[r->lanes[i].topic].name, r->lanes[i].lsn);
    struct lane txn = r->txn_lane;
    if (r->txn_count)
        txn.next = r->txns[r->txn_first].offset;
    count += put_offset(&offsets[count], &txn, r->txn_topic, r->lsn);
    r->txn_lane.stored = txn.stored;
    batch->offsets = offsets;
    batch->offset_count = count;
    struct batch_letter *letters = arena_alloc(&batch->arena, (r->letter_count + 1) * sizeof *letters);
    for (size_t i = 0; i < r->letter_count; i++) {
        letters[i] = r->letters[i];
        letters[i].topic = arena_strdup(&batch->arena, r->letters[i].topic);
        letters[i].reason = arena_strdup(&batch->arena, r->letters[i].reason);
    }
    batch->letters = letters;
    batch->letter_count = r->letter_count;
    r->letter_count = 0;
    arena_reset(&r->letter_arena, (size_t)64 << 10);
}
