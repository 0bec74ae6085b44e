/* An empty database begins with the last state of every key up to a point, as a snapshot does with tables: parts, each
 * a partition (and the rules of one level), loaded by several workers, level by level, derivations behind each.
 *
 * The point P is the last transaction that is older than min.compaction.lag.ms: behind it nothing has been compacted
 * away, so whole transactions can follow. A part is read twice, first for where each key's last message up to P stands,
 * then for those messages: each key once, so that rows are written like those of any snapshot. What compaction takes of
 * that in the meantime has a later message behind P.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/progress.h"
#include "cdc/app/replay/keys.h"
#include "cdc/app/replay/replay.h"
#include "cdc/app/snapshot/crew.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"

#define WAIT_MS 200
#define QUIET_MAX 300 /* times that nothing comes */

struct state {
    struct replay *r;
    uint64_t point;
    int64_t txn_offset; /* of the transaction topic: behind the point; -1: before it */
    bool too_late;      /* the point lies behind what --until wants */
    struct sink_part *parts;
    size_t part_count;
    struct crew crew;
    struct progress progress;
};

struct worker {
    struct state *state;
    struct crew_hand *hand;
    struct sink *loader;
    struct batch batch;
    struct record_decoder *decoder;
    struct masker *masker;
    struct keys *keys;
    struct batch_letter *letters; /* of the part at hand */
    size_t letter_count;
    struct arena arena;
};

/* --- the point --- */

static bool is_settled(const struct replay *r, const struct record *record)
{
    return record->ts_ms < clock_wall_us() / 1000 - r->lag_ms;
}

static bool take_end(void *context, const struct record *end, int64_t offset)
{
    struct state *s = context;
    const struct replay_options *options = s->r->options;
    if (end->lsn > s->r->publisher.snapshot_lsn && !is_settled(s->r, end))
        return false;
    s->point = end->lsn > s->point ? end->lsn : s->point;
    s->txn_offset = offset + 1;
    s->too_late = options->until_us && end->ts_ms * 1000 > options->until_us;
    return !s->too_late;
}

static int refuse_until(const struct state *s, struct err *reterr)
{
    char lsn[LSN_TEXT_MAX];
    (void)err_set(reterr, ERR_REFUSED,
                  "the topics hold whole transactions only from %s on: a state before that cannot be made of them",
                  lsn_format(s->point, lsn));
    return err_hint(reterr, "choose a later --until; a larger min.compaction.lag.ms keeps more of the past");
}

static int find_point(struct state *s, struct err *reterr)
{
    struct replay *r = s->r;
    int64_t low;
    s->point = r->publisher.snapshot_lsn;
    s->txn_offset = -1;
    if (replay_read_ends(r, 0, take_end, s, &low, reterr) != 0)
        return -1;
    s->txn_offset = s->txn_offset < 0 ? low : s->txn_offset;
    if (s->too_late || (r->options->until_lsn && s->point > r->options->until_lsn))
        return refuse_until(s, reterr);
    return 0;
}

/* --- the plan --- */

static void add_rule(struct sink_part *part, const struct rule *rule)
{
    part->rules = mem_realloc(part->rules, (part->rule_count + 1) * sizeof *part->rules);
    part->rules[part->rule_count++] = mem_strdup(rule->name);
}

/* One part for a partition and the rules of one level. */
static void add_part(struct state *s, size_t topic, int partition, int level, int64_t high)
{
    const struct replay *r = s->r;
    struct sink_part part = {.id = (int)s->part_count, .level = level};
    char text[32];
    for (size_t i = 0; i < r->rule_count; i++)
        if (r->rules[i].topic == (int)topic && map_rule_step(r->map, r->rules[i].rule)->level == level) {
            if (part.rule_count == 0) {
                part.schema = mem_strdup(r->rules[i].rule->to_schema);
                part.table = mem_strdup(r->rules[i].rule->to_table);
            }
            add_rule(&part, r->rules[i].rule);
        }
    if (part.rule_count == 0)
        return;
    snprintf(text, sizeof text, "%d", partition);
    part.lo = mem_strdup(text);
    snprintf(text, sizeof text, "%lld", (long long)high);
    part.hi = mem_strdup(text);
    s->parts = mem_realloc(s->parts, (s->part_count + 1) * sizeof *s->parts);
    s->parts[s->part_count++] = part;
}

static int plan(struct state *s, struct err *reterr)
{
    struct replay *r = s->r;
    int levels = map_level_count(r->map);
    for (size_t i = 0; i < r->topic_count; i++)
        for (int p = 0; p < r->topics[i].partition_count; p++) {
            int64_t low, high;
            if (kafka_watermarks(r->kafka, r->topics[i].name, p, &low, &high, reterr) != 0)
                return -1;
            for (int level = 0; level < levels; level++)
                add_part(s, i, p, level, high);
        }
    return sink_snapshot_plan(r->sink, s->point, s->parts, s->part_count, reterr);
}

/* --- one part --- */

struct reading {
    struct worker *w;
    const struct sink_part *part;
    size_t topic;
    struct kafka_partition *reader;
    int64_t high, next; /* next: of the first message that does not belong to the state */
    int quiet;
};

static bool is_of_part(const struct sink_part *part, const char *rule)
{
    for (size_t i = 0; i < part->rule_count; i++)
        if (strcmp(part->rules[i], rule) == 0)
            return true;
    return false;
}

/* 1: a message of the state; 0: there are no more. */
static int next_message(struct reading *in, struct kafka_message *ret, struct record *ret_record, struct err *reterr)
{
    struct state *s = in->w->state;
    for (;;) {
        if (crew_stops(in->w->hand))
            return err_set(reterr, ERR_STOP, "stopped");
        if (kafka_reached(in->reader) >= in->high) {
            in->next = in->high;
            return 0;
        }
        int got = kafka_next(in->reader, WAIT_MS, ret, reterr);
        if (got < 0)
            return -1;
        in->quiet = got ? 0 : in->quiet + 1;
        if (in->quiet == QUIET_MAX)
            return err_set(reterr, ERR_RETRY, "kafka: topic %.200s cannot be read", s->r->topics[in->topic].name);
        if (got == 0)
            continue;
        if (ret->offset >= in->high) {
            in->next = in->high;
            return 0;
        }
        if (!ret->value)
            continue;
        record_decode(in->w->decoder, ret->value, ret->value_len, ret_record);
        if (ret_record->kind == RECORD_CHANGE && ret_record->order > 0 && ret_record->lsn > s->point) {
            in->next = ret->offset;
            return 0;
        }
        return 1;
    }
}

static int open_reading(struct reading *in, struct err *reterr)
{
    struct replay *r = in->w->state->r;
    int64_t low, high;
    int partition = atoi(in->part->lo);
    if (kafka_watermarks(r->kafka, r->topics[in->topic].name, partition, &low, &high, reterr) != 0)
        return -1;
    in->high = strtoll(in->part->hi, NULL, 10);
    in->quiet = 0;
    return kafka_partition_open(r->kafka, r->topics[in->topic].name, partition, low, &in->reader, reterr);
}

static void close_reading(struct reading *in)
{
    kafka_partition_close(in->reader);
    in->reader = NULL;
}

static void put_letter(struct reading *in, int64_t offset, const char *reason)
{
    struct worker *w = in->w;
    w->letters = mem_realloc(w->letters, (w->letter_count + 1) * sizeof *w->letters);
    w->letters[w->letter_count++] = (struct batch_letter){w->state->r->topics[in->topic].name, atoi(in->part->lo),
                                                          offset, arena_strdup(&w->arena, reason)};
    log_event(LOG_WARN, "dead_letter", "topic=%s partition=%s offset=%lld reason=\"%s\"",
              w->state->r->topics[in->topic].name, in->part->lo, (long long)offset, reason);
}

/* Where each key's last message stands. */
static int find_last(struct reading *in, struct err *reterr)
{
    const struct replay_rule *rule;
    struct kafka_message message;
    struct record record;
    int got;
    if (open_reading(in, reterr) != 0)
        return -1;
    keys_clear(in->w->keys);
    while ((got = next_message(in, &message, &record, reterr)) > 0) {
        if (record.kind != RECORD_CHANGE)
            put_letter(in, message.offset, record.reason ? record.reason : "a message of the transaction topic");
        else if (!(rule = replay_rule_find(in->w->state->r, record.rule, in->topic)))
            put_letter(in, message.offset, "a row of a rule that the mapping does not have");
        else if (is_of_part(in->part, rule->rule->name))
            keys_put(in->w->keys, rule->rule->name, message.key, message.key_len, message.offset);
    }
    close_reading(in);
    return got;
}

static int give_batch(struct reading *in, bool last, struct err *reterr)
{
    struct worker *w = in->w;
    struct batch *batch = &w->batch;
    const struct batch_offset offset = {w->state->r->topics[in->topic].name, atoi(in->part->lo), -1, in->next,
                                        w->state->point};
    batch->snapshot_part = in->part->id;
    batch->part_done = last;
    batch->complete = true;
    batch->end_lsn = w->state->point;
    if (last) {
        batch->offsets = &offset;
        batch->offset_count = 1;
        batch->letters = w->letters;
        batch->letter_count = w->letter_count;
    }
    if (sink_apply(w->loader, batch, reterr) != 0)
        return -1;
    batch_reset(batch);
    return 0;
}

static int add_row(struct reading *in, const struct kafka_message *message, const struct record *record,
                   const struct replay_rule *rule, struct err *reterr)
{
    struct worker *w = in->w;
    const struct replay *r = w->state->r;
    struct row *row = NULL;
    const char *reason;
    if (replay_row(w->state->r, w->decoder, w->masker, message, record, rule, true, &w->batch.arena, &row, &reason,
                   reterr) != 0)
        return -1;
    if (!row) {
        put_letter(in, message->offset, reason);
        return 0;
    }
    batch_add_row(&w->batch, row);
    crew_count(w->hand);
    if (w->batch.row_count < (size_t)r->settings->batch_max_rows &&
        arena_used(&w->batch.arena) < (size_t)r->settings->batch_max_bytes)
        return 0;
    return give_batch(in, false, reterr);
}

static int load_last(struct reading *in, struct err *reterr)
{
    struct kafka_message message;
    struct record record;
    int got;
    if (open_reading(in, reterr) != 0)
        return -1;
    while ((got = next_message(in, &message, &record, reterr)) > 0) {
        const struct replay_rule *rule =
            record.kind == RECORD_CHANGE ? replay_rule_find(in->w->state->r, record.rule, in->topic) : NULL;
        if (!rule || record.op == 'd' || !is_of_part(in->part, rule->rule->name) ||
            keys_get(in->w->keys, rule->rule->name, message.key, message.key_len) != message.offset)
            continue;
        if (add_row(in, &message, &record, rule, reterr) != 0) {
            got = -1;
            break;
        }
    }
    close_reading(in);
    return got < 0 ? -1 : give_batch(in, true, reterr);
}

static int topic_of(const struct replay *r, const struct sink_part *part)
{
    for (size_t i = 0; i < r->rule_count; i++)
        if (is_of_part(part, r->rules[i].rule->name))
            return r->rules[i].topic;
    return -1;
}

static int load_part(struct crew_hand *hand, size_t index, struct err *reterr)
{
    struct worker *w = hand->own;
    const struct sink_part *part = &w->state->parts[index];
    struct reading in = {.w = w, .part = part};
    int topic = topic_of(w->state->r, part);
    if (topic < 0)
        return err_set(reterr, ERR_REFUSED, "the mapping has no longer what began to be replayed: table %s.%s",
                       part->schema, part->table);
    in.topic = (size_t)topic;
    w->letter_count = 0;
    arena_reset(&w->arena, (size_t)64 << 10);
    return find_last(&in, reterr) != 0 || load_last(&in, reterr) != 0 ? -1 : 0;
}

/* --- workers --- */

static int worker_open(struct crew_hand *hand, struct err *reterr)
{
    struct worker *w = hand->own;
    struct replay *r = w->state->r;
    w->decoder = record_decoder_new();
    w->keys = keys_new();
    w->masker = r->secret.len ? masker_new(r->map, r->secret.data, r->secret.len) : NULL;
    return sink_loader_open(r->sink, &w->loader, reterr);
}

static void worker_forget(struct crew_hand *hand)
{
    struct worker *w = hand->own;
    batch_reset(&w->batch);
}

static void worker_close(struct worker *w)
{
    sink_close(w->loader);
    masker_free(w->masker);
    keys_free(w->keys);
    record_decoder_free(w->decoder);
    batch_done(&w->batch);
    arena_done(&w->arena);
    free(w->letters);
}

static void tell(void *context, uint64_t rows)
{
    struct state *s = context;
    progress_update(&s->progress, rows, rows, NULL);
}

static const struct crew_ops ops = {.open = worker_open, .load = load_part, .forget = worker_forget, .idle = tell};

static int load_levels(struct state *s, struct err *reterr)
{
    struct replay *r = s->r;
    int levels = map_level_count(r->map);
    for (int level = 0; level < levels; level++)
        if (crew_load(&s->crew, level, reterr) != 0 || sink_level_loaded(r->sink, level, reterr) != 0 ||
            sink_derive_all(r->sink, level, reterr) != 0)
            return -1;
    return 0;
}

static int load(struct state *s, struct err *reterr)
{
    struct worker *workers = mem_zalloc(s->crew.hand_count, sizeof *workers);
    for (size_t i = 0; i < s->crew.hand_count; i++) {
        workers[i].state = s;
        workers[i].hand = &s->crew.hands[i];
        s->crew.hands[i].own = &workers[i];
        batch_init(&workers[i].batch);
        arena_init(&workers[i].arena, 0);
    }
    for (size_t i = 0; i < s->part_count; i++)
        crew_add(&s->crew, s->parts[i].id, s->parts[i].level, s->parts[i].done);
    progress_init(&s->progress, stderr, s->r->options->progress, "replay", "rows");
    int failed = load_levels(s, reterr);
    progress_clear(&s->progress);
    for (size_t i = 0; i < s->crew.hand_count; i++)
        worker_close(&workers[i]);
    free(workers);
    return failed;
}

/* --- the whole --- */

static int begin(struct state *s, bool again, struct err *reterr)
{
    return find_point(s, reterr) != 0 || sink_snapshot_begin(s->r->sink, again, reterr) != 0 || plan(s, reterr) != 0
               ? -1
               : 0;
}

/* The transaction topic is read from its begin then: what the point covers is left out. */
static int resume(struct state *s, struct err *reterr)
{
    s->point = s->r->position.snapshot_lsn;
    s->txn_offset = -1;
    return sink_snapshot_resume(s->r->sink, reterr) != 0 ||
                   sink_parts_read(s->r->sink, &s->parts, &s->part_count, reterr) != 0
               ? -1
               : 0;
}

static int end(struct state *s, struct err *reterr)
{
    const struct batch_offset offset = {s->r->txn_topic, 0, -1, s->txn_offset, s->point};
    if (s->txn_offset >= 0 && pgsink_offsets_set(s->r->sink, &offset, 1, reterr) != 0)
        return -1;
    if (sink_snapshot_end(s->r->sink, s->point, reterr) != 0)
        return -1;
    s->r->position.state = PIPELINE_STREAMING;
    s->r->position.lsn = s->point;
    pgsink_offsets_free(s->r->offsets, s->r->offset_count);
    s->r->offsets = NULL;
    s->r->offset_count = 0;
    return pgsink_offsets_read(s->r->sink, &s->r->offsets, &s->r->offset_count, reterr);
}

int replay_state(struct replay *r, struct err *reterr)
{
    struct state s = {.r = r};
    char lsn[LSN_TEXT_MAX];
    bool again = r->position.state == PIPELINE_SNAPSHOT;
    int64_t began_us = clock_mono_us();
    crew_init(&s.crew, &ops, &s, (size_t)r->settings->snapshot_workers);
    int failed = again && r->position.snapshot_lsn ? resume(&s, reterr) : begin(&s, again, reterr);
    if (!failed) {
        log_event(LOG_INFO, "replaying", "prefix=%s lsn=%s parts=%zu topics=%zu masking=%s mode=state",
                  r->settings->kafka_prefix, lsn_format(s.point, lsn), s.part_count, r->topic_count,
                  r->secret.len ? "on" : "off");
        failed = load(&s, reterr) != 0 || end(&s, reterr) != 0;
    }
    if (!failed)
        log_event(LOG_INFO, "state_done", "prefix=%s lsn=%s rows=%llu seconds=%.1f", r->settings->kafka_prefix,
                  lsn_format(s.point, lsn), (unsigned long long)s.crew.rows,
                  (double)(clock_mono_us() - began_us) / 1e6);
    sink_parts_free(s.parts, s.part_count);
    crew_done(&s.crew);
    return failed ? -1 : 0;
}
