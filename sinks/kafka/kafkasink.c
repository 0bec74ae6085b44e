#include "sinks/kafka/kafkasink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/clock.h"
#include "sinks/kafka/ksink.h"

#define KEY_MAX ((size_t)1 << 20)

/* --- between batches --- */

/* Everything that is committed is durable: the producer asks for acknowledgement by all replicas. */
static int durable_op(struct sink *sink, uint64_t *ret_lsn, struct err *reterr)
{
    (void)reterr;
    *ret_lsn = ksink_of(sink)->lsn;
    return 0;
}

static int tick_op(struct sink *sink, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    if (!k->taken_over)
        return 0;
    if (client_in_transaction(k->client))
        return publish_tick(k, reterr);
    return krequests_take(k, false, reterr);
}

static int advance_op(struct sink *sink, uint64_t lsn, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    if (client_in_transaction(k->client) || lsn <= k->lsn)
        return 0;
    k->lsn = lsn;
    k->as_of_us = clock_wall_us(); /* the stream has come to where the source's WAL ends */
    k->txn = (struct ktxn){0};
    return krecord_commit(k, reterr);
}

/* For whoever looks at the state. That it cannot be told may be what the pause is for. */
static void tell_pause(struct ksink *k, const char *category, const char *reason)
{
    struct err ignored = {0};
    if (!k->taken_over)
        return;
    buf_reset(&k->text);
    buf_puts(&k->text, "{\"category\":");
    buf_put_json_string(&k->text, category, strlen(category));
    buf_puts(&k->text, ",\"reason\":");
    buf_put_json_string(&k->text, reason, strlen(reason));
    buf_putc(&k->text, '}');
    if (krecord_put(k, RECORD_PAUSE, buf_text(&k->text), &ignored) != 0 || client_commit(k->client, &ignored) != 0) {
        client_abort(k->client);
        k->stale = true;
    }
}

static int pause_op(struct sink *sink, const char *category, const char *reason, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    (void)reterr;
    if (client_in_transaction(k->client)) {
        client_abort(k->client);
        k->stale = true;
    }
    tell_pause(k, category, reason);
    return 0;
}

static int forget_pause(struct ksink *k, struct err *reterr)
{
    if (!state_get(k->state, RECORD_PAUSE))
        return 0;
    return krecord_put(k, RECORD_PAUSE, NULL, reterr) != 0 ? -1 : client_commit(k->client, reterr);
}

static int resume_op(struct sink *sink, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    breaker_reset(k->breaker);
    k->resume_requested = false;
    return k->taken_over ? forget_pause(k, reterr) : 0;
}

static bool resume_requested_op(struct sink *sink)
{
    return ksink_of(sink)->resume_requested;
}

static void figures_op(struct sink *sink, struct sink_figures *ret_figures)
{
    *ret_figures = ksink_of(sink)->figures;
}

static void measure_op(struct sink *sink, sink_measure_fn tell, void *context)
{
    struct ksink *k = ksink_of(sink);
    struct client_figures figures;
    char labels[ENVELOPE_TOPIC_MAX + 16];
    client_figures(k->client, &figures);
    tell(context, "pgrekey_publish_position_lsn", "", (double)k->lsn);
    tell(context, "pgrekey_publish_queue_records", "", (double)figures.queued);
    tell(context, "pgrekey_publish_failed_deliveries_total", "", (double)figures.failed);
    tell(context, "pgrekey_publish_transactions_total", "", (double)figures.transactions);
    for (size_t i = 0; i < k->outlet_count; i++) {
        snprintf(labels, sizeof(labels), "topic=\"%s\"", k->outlets[i].name);
        tell(context, "pgrekey_published_records_total", labels, (double)k->outlets[i].published);
    }
}

/* --- taking over --- */

static int same_position(const char *before, const char *now, struct err *reterr)
{
    if ((!before && !now) || (before && now && strcmp(before, now) == 0))
        return 0;
    return err_set(reterr, ERR_RETRY, "another publisher has moved the position meanwhile");
}

static int load_state(struct ksink *k, struct err *reterr)
{
    return state_load(k->state, &k->options.client, k->state_topic, reterr) != 0 ? -1
                                                                                 : krecord_read_position(k, reterr);
}

/* A stream that is opened again begins at the last position, whatever had come behind it. */
static int take_over_again(struct ksink *k, struct err *reterr)
{
    if (client_in_transaction(k->client)) {
        client_abort(k->client);
        k->stale = true;
    }
    k->rows_open = 0;
    int failed = k->stale ? load_state(k, reterr) : krecord_read_position(k, reterr);
    k->stale = k->stale && failed;
    return failed;
}

int ksink_take_over(struct sink *sink, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    if (k->taken_over)
        return k->phase == PIPELINE_STREAMING ? take_over_again(k, reterr) : 0;
    if (client_take_over(k->client, reterr) != 0)
        return -1;
    if (k->has_state) {
        const char *text = state_get(k->state, RECORD_POSITION);
        char *before = text ? mem_strdup(text) : NULL;
        int failed =
            load_state(k, reterr) != 0 || same_position(before, state_get(k->state, RECORD_POSITION), reterr) != 0;
        free(before);
        if (failed)
            return -1;
    }
    k->taken_over = true;
    /* what was asked for decides whether a topic that is gone may be made anew */
    if (krequests_take(k, true, reterr) != 0 || klife_topics(k, reterr) != 0 || krelations_record(k, reterr) != 0 ||
        knames_follow(k, reterr) != 0)
        return -1;
    k->resume_requested = false; /* one that came while nobody was paused */
    return forget_pause(k, reterr);
}

/* --- opening --- */

static struct outlet *outlet_for(struct ksink *k, const struct rule *rule, struct err *reterr)
{
    char name[ENVELOPE_TOPIC_MAX], collection[2 * ERR_NAME_MAX];
    snprintf(collection, sizeof(collection), "%s.%s", rule->to_schema, rule->to_table);
    if (!envelope_topic(k->options.prefix, rule->to_schema, rule->to_table, name)) {
        (void)err_set(reterr, ERR_CONFIG, "the topic of rule %s would have a name that is too long", rule->name);
        return NULL;
    }
    for (size_t i = 0; i < k->outlet_count; i++) {
        if (strcmp(k->outlets[i].name, name) != 0)
            continue;
        if (strcmp(k->outlets[i].collection, collection) == 0)
            return &k->outlets[i];
        (void)err_set(reterr, ERR_CONFIG, "tables %s and %s would have the same topic %s", collection,
                      k->outlets[i].collection, name);
        return NULL;
    }
    struct outlet *outlet = &k->outlets[k->outlet_count++];
    memcpy(outlet->name, name, sizeof(name));
    memcpy(outlet->collection, collection, sizeof(collection));
    return client_topic(k->client, name, &outlet->topic, reterr) != 0 ? NULL : outlet;
}

/* Ids of the rows of a rule or derivation that adopts are known to a target alone, references to them too. */
static int check_adopt(const struct ksink *k, const struct adopt *adopt, const char *name, struct err *reterr)
{
    if (adopt->by == ADOPT_NONE || k->options.names.put)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "%s adopts rows of the target, whose ids a publisher does not know", name);
    return err_hint(reterr,
                    "set identity.target to the target that has adopted them; or take adopt: out of the mapping");
}

static int check_rule(const struct ksink *k, const struct rule *rule, const struct relation *source, struct err *reterr)
{
    if (rule->locator_count == 0 || !source || source->key_count == 0) {
        (void)err_set(reterr, ERR_CONFIG, "rule %s has no key: its rows cannot be published", rule->name);
        return err_hint(reterr, "a topic's messages are kept by key; give the table a primary key");
    }
    return check_adopt(k, &rule->adopt, rule->name, reterr);
}

static int describe_rules(struct ksink *k, struct err *reterr)
{
    const struct map *map = k->options.map;
    size_t count = map_rule_count(map);
    k->outlets = mem_zalloc(count + 1, sizeof(*k->outlets));
    k->outlet_of = mem_zalloc(count + 1, sizeof(*k->outlet_of));
    k->shapes = mem_zalloc(count + 1, sizeof(*k->shapes));
    for (size_t i = 0; i < map_derivation_count(map); i++)
        if (check_adopt(k, &map_derivation(map, i)->adopt, map_derivation(map, i)->name, reterr) != 0)
            return -1;
    for (size_t i = 0; i < count; i++) {
        const struct rule *rule = map_rule(map, i);
        const struct relation *source = map_rule_source(map, rule);
        if (check_rule(k, rule, source, reterr) != 0)
            return -1;
        k->outlet_of[i] = outlet_for(k, rule, reterr);
        if (!k->outlet_of[i])
            return -1;
        k->shapes[i] = shape_new(rule, map_rule_target(map, rule), source, k->options.prefix,
                                 k->options.source.database, k->format);
    }
    return 0;
}

static void add_spec(struct ksink *k, const char *name, int partitions, bool compacted)
{
    k->specs[k->spec_count++] = (struct topic_spec){.name = name, .partitions = partitions, .compacted = compacted};
}

static int describe_topics(struct ksink *k, struct err *reterr)
{
    k->specs = mem_zalloc(k->outlet_count + 4, sizeof(*k->specs));
    for (size_t i = 0; i < k->outlet_count; i++)
        add_spec(k, k->outlets[i].name, k->options.partitions, true);
    add_spec(k, k->txn_topic, 1, false);
    add_spec(k, k->letter_topic, 1, false);
    add_spec(k, k->request_topic, 1, false);
    add_spec(k, k->state_topic, 1, true);
    return client_topic(k->client, k->txn_topic, &k->to_txn, reterr) != 0 ||
                   client_topic(k->client, k->letter_topic, &k->to_letter, reterr) != 0 ||
                   client_topic(k->client, k->state_topic, &k->to_state, reterr) != 0
               ? -1
               : 0;
}

static int name_topics(struct ksink *k, struct err *reterr)
{
    const char *prefix = k->options.prefix;
    if (!prefix || !*prefix)
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is not set");
    if (!envelope_topic_of(prefix, ENVELOPE_TOPIC_TRANSACTION, k->txn_topic) ||
        !envelope_topic_of(prefix, ENVELOPE_TOPIC_DEAD_LETTER, k->letter_topic) ||
        !envelope_topic_of(prefix, ENVELOPE_TOPIC_STATE, k->state_topic) ||
        !envelope_topic_of(prefix, ENVELOPE_TOPIC_REQUEST, k->request_topic) ||
        !envelope_topic("pgrekey", prefix, k->options.pipeline, k->transactional_id))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    k->options.client.transactional_id = k->transactional_id;
    return 0;
}

static void close_op(struct sink *sink)
{
    struct ksink *k = ksink_of(sink);
    client_tail_close(k->requests);
    client_close(k->client);
    for (size_t i = 0; k->shapes && i < map_rule_count(k->options.map); i++)
        shape_free(k->shapes[i]);
    free(k->shapes);
    free(k->outlet_of);
    free(k->outlets);
    free(k->specs);
    state_free(k->state);
    breaker_free(k->breaker);
    arena_done(&k->scratch);
    arena_done(&k->renamed);
    buf_done(&k->key);
    buf_done(&k->value);
    buf_done(&k->text);
    free(k);
}

static const struct sink_ops OPS = {
    .name = "kafka",
    .wants_commits = true,
    .loaders_max = 1,
    .apply = publish_batch,
    .durable = durable_op,
    .tick = tick_op,
    .close = close_op,
    .take_over = ksink_take_over,
    .advance = advance_op,
    .pause = pause_op,
    .resume = resume_op,
    .resume_requested = resume_requested_op,
    .figures = figures_op,
    .measure = measure_op,
    .steps_due = ksteps_due,
    .steps_loaded = ksteps_loaded,
    .resync_waits = kresync_waits,
    .resyncs_read = kresync_read,
    .resync_end = kresync_end,
    .strays_find = kstrays_find,
    .mirror_read = kmirror_read,
    .snapshot_begin = klife_begin,
    .snapshot_plan = klife_plan,
    .snapshot_resume = klife_resume,
    .snapshot_end = klife_end,
    .snapshot_abandon = klife_abandon,
    .parts_read = klife_parts_read,
    .parts_add = klife_parts_add,
    .loader_open = klife_loader_open,
};

static int read_state(struct ksink *k, struct err *reterr)
{
    struct topic_spec *state = &k->specs[k->spec_count - 1];
    if (topics_look(k->client, state, 1, reterr) != 0)
        return -1;
    k->has_state = state->present;
    if (!k->has_state)
        return 0;
    if (load_state(k, reterr) != 0)
        return -1;
    return k->phase == PIPELINE_STREAMING ? ksteps_check(k, reterr) : 0;
}

int kafkasink_open(const struct kafkasink_options *options, struct sink **ret_sink, struct sink_position *ret_position,
                   struct err *reterr)
{
    struct ksink *k = mem_zalloc(1, sizeof(*k));
    k->sink.ops = &OPS;
    k->options = *options;
    k->format = options->schemas ? ENVELOPE_CONNECT : ENVELOPE_PLAIN;
    k->state = state_new();
    k->breaker = breaker_new(options->breaker_window, options->breaker_percent);
    arena_init(&k->scratch, (size_t)256 << 10);
    arena_init(&k->renamed, 0);
    buf_init(&k->key, KEY_MAX);
    buf_init(&k->value, options->client.message_max_bytes);
    buf_init(&k->text, KEY_MAX);
    if (name_topics(k, reterr) != 0 || client_open(&k->options.client, &k->client, reterr) != 0) {
        sink_close(&k->sink);
        return -1;
    }
    if (describe_rules(k, reterr) != 0 || describe_topics(k, reterr) != 0 || read_state(k, reterr) != 0) {
        sink_close(&k->sink);
        return -1;
    }
    *ret_position = (struct sink_position){.state = k->phase, .lsn = k->lsn, .snapshot_lsn = k->snapshot_lsn};
    *ret_sink = &k->sink;
    return 0;
}
