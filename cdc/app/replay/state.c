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
#include <unistd.h>

#include "cdc/app/cmd/progress.h"
#include "cdc/app/replay/keys.h"
#include "cdc/app/replay/replay.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"

#define WAIT_MS 200
#define QUIET_MAX 300 /* times that nothing comes */
#define DEADLOCK "40P01"
#define DEADLOCKS_MAX 100

struct state {
    struct replay *r;
    uint64_t point;
    int64_t txn_offset; /* of the transaction topic: behind the point */
    struct sink_part *parts;
    size_t part_count;
    int level;
    _Atomic size_t next_part;
    _Atomic uint64_t rows;
    _Atomic size_t running;
    _Atomic bool failed;
    pthread_mutex_t lock;
    struct err err;
};

struct worker {
    struct state *state;
    pthread_t thread;
    struct sink *loader;
    struct batch batch;
    struct record_decoder *decoder;
    struct masker *masker;
    struct keys *keys;
    struct batch_letter *letters; /* of the part at hand */
    size_t letter_count;
    struct arena arena;
    uint64_t rows;
};

/* --- the point --- */

static bool is_settled(const struct replay *r, const struct record *record)
{
    return record->ts_ms < clock_wall_us() / 1000 - r->lag_ms;
}

static int take_end(struct state *s, const struct record *record, int64_t offset)
{
    const struct replay_options *options = s->r->options;
    if (record->kind != RECORD_END)
        return 0;
    if (record->lsn > s->r->publisher.snapshot_lsn && !is_settled(s->r, record))
        return 1;
    s->point = record->lsn > s->point ? record->lsn : s->point;
    s->txn_offset = offset + 1;
    return options->until_us && record->ts_ms * 1000 > options->until_us ? -1 : 0;
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
    struct kafka_partition *reader = NULL;
    struct record_decoder *decoder = record_decoder_new();
    int64_t low = 0, high = 0;
    int outcome = 0, quiet = 0;
    s->point = r->publisher.snapshot_lsn;
    if (kafka_watermarks(r->kafka, r->txn_topic, 0, &low, &high, reterr) != 0 ||
        kafka_partition_open(r->kafka, r->txn_topic, 0, low, &reader, reterr) != 0) {
        record_decoder_free(decoder);
        return -1;
    }
    s->txn_offset = low;
    int got = 0;
    while (got >= 0 && outcome == 0 && kafka_reached(reader) < high && quiet < QUIET_MAX && !run_stop) {
        struct kafka_message message;
        struct record record;
        got = kafka_next(reader, WAIT_MS, &message, reterr);
        quiet = got ? 0 : quiet + 1;
        if (got <= 0 || !message.value)
            continue;
        record_decode(decoder, message.value, message.value_len, &record);
        outcome = take_end(s, &record, message.offset);
    }
    kafka_partition_close(reader);
    record_decoder_free(decoder);
    if (got < 0)
        return -1;
    if (run_stop)
        return err_set(reterr, ERR_STOP, "stopped");
    if (quiet == QUIET_MAX)
        return err_set(reterr, ERR_RETRY, "kafka: topic %.200s cannot be read to its end", r->txn_topic);
    if (outcome < 0 || (r->options->until_lsn && s->point > r->options->until_lsn))
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
        if (s->failed || run_stop)
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
    w->rows++;
    w->state->rows++;
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

static int load_once(struct worker *w, const struct sink_part *part, struct err *reterr)
{
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

/* Two loaders that write the same unique values may wait for each other; whoever gives way reads its part again. */
static int load_part(struct worker *w, struct sink_part *part, struct err *reterr)
{
    for (int tries = 1;; tries++) {
        struct err err = {0};
        uint64_t before = w->rows;
        if (load_once(w, part, &err) == 0) {
            part->done = true;
            return 0;
        }
        w->state->rows -= w->rows - before;
        batch_reset(&w->batch);
        if (strcmp(err.sqlstate, DEADLOCK) != 0 || tries == DEADLOCKS_MAX || run_stop || w->state->failed) {
            *reterr = err;
            return -1;
        }
        usleep((useconds_t)(tries * 10000));
    }
}

/* --- workers --- */

static void fail(struct state *s, const struct err *err)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed)
        s->err = *err;
    s->failed = true;
    pthread_mutex_unlock(&s->lock);
}

static int worker_open(struct worker *w, struct err *reterr)
{
    struct replay *r = w->state->r;
    w->decoder = record_decoder_new();
    w->keys = keys_new();
    w->masker = r->secret.len ? masker_new(r->map, r->secret.data, r->secret.len) : NULL;
    return sink_loader_open(r->sink, &w->loader, reterr);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct state *s = w->state;
    struct err err = {0};
    int failed = w->loader ? 0 : worker_open(w, &err);
    while (!failed && !run_stop && !s->failed) {
        size_t next = s->next_part++;
        if (next >= s->part_count)
            break;
        if (s->parts[next].level == s->level && !s->parts[next].done)
            failed = load_part(w, &s->parts[next], &err);
    }
    if (failed)
        fail(s, &err);
    s->running--;
    return NULL;
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

static int load_level(struct state *s, struct worker *workers, size_t count, struct progress *progress,
                      struct err *reterr)
{
    size_t started = 0;
    s->next_part = 0;
    for (; started < count && !s->failed; started++) {
        s->running++;
        if (pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]) == 0)
            continue;
        struct err err = {0};
        s->running--;
        (void)err_set(&err, ERR_FATAL, "starting a worker failed");
        fail(s, &err);
        break;
    }
    while (s->running > 0) {
        progress_update(progress, s->rows, s->rows, NULL);
        usleep(20 * 1000);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (s->failed) {
        *reterr = s->err;
        return -1;
    }
    return run_stop ? err_set(reterr, ERR_STOP, "stopped") : 0;
}

static bool level_is_done(const struct state *s)
{
    for (size_t i = 0; i < s->part_count; i++)
        if (s->parts[i].level == s->level && !s->parts[i].done)
            return false;
    return true;
}

static int load(struct state *s, struct err *reterr)
{
    struct replay *r = s->r;
    size_t count = (size_t)r->settings->snapshot_workers;
    struct worker *workers = mem_zalloc(count, sizeof *workers);
    struct progress progress;
    int failed = 0, levels = map_level_count(r->map);
    for (size_t i = 0; i < count; i++) {
        workers[i].state = s;
        batch_init(&workers[i].batch);
        arena_init(&workers[i].arena, 0);
    }
    progress_init(&progress, stderr, r->options->progress, "replay", "rows");
    for (s->level = 0; !failed && s->level < levels; s->level++) {
        if (!level_is_done(s))
            failed = load_level(s, workers, count, &progress, reterr);
        failed = failed || sink_level_loaded(r->sink, s->level, reterr) != 0 ||
                 sink_derive_all(r->sink, s->level, reterr) != 0;
    }
    progress_clear(&progress);
    for (size_t i = 0; i < count; i++)
        worker_close(&workers[i]);
    free(workers);
    return failed ? -1 : 0;
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
    pthread_mutex_init(&s.lock, NULL);
    int failed = again && r->position.snapshot_lsn ? resume(&s, reterr) : begin(&s, again, reterr);
    if (!failed) {
        log_event(LOG_INFO, "replaying", "prefix=%s lsn=%s parts=%zu topics=%zu masking=%s mode=state",
                  r->settings->kafka_prefix, lsn_format(s.point, lsn), s.part_count, r->topic_count,
                  r->secret.len ? "on" : "off");
        failed = load(&s, reterr) != 0 || end(&s, reterr) != 0;
    }
    if (!failed)
        log_event(LOG_INFO, "state_done", "prefix=%s lsn=%s rows=%llu seconds=%.1f", r->settings->kafka_prefix,
                  lsn_format(s.point, lsn), (unsigned long long)s.rows, (double)(clock_mono_us() - began_us) / 1e6);
    sink_parts_free(s.parts, s.part_count);
    pthread_mutex_destroy(&s.lock);
    return failed ? -1 : 0;
}
