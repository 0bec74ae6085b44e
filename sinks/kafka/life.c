/* The life of a snapshot into topics: what is to be read stands in the state topic, each part is a Kafka transaction
 * with its record, so that one that was cut off has left nothing that a read-committed reader sees. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/ksink.h"

#define PART_PREFIX "{\"kind\":\"part\""

/* --- topics --- */

static void topic_key(const char *name, char *text, size_t size)
{
    snprintf(text, size, "{\"kind\":\"topic\",\"name\":\"%s\"}", name); /* names need no escaping */
}

static int refuse_missing(const struct topic_spec *spec, const struct rule *rule, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED,
                  "topic %s was deleted: its rows are gone, and making it anew would leave it empty", spec->name);
    (void)err_pause(reterr, "topic_deleted");
    if (!rule)
        return err_hint(reterr, "restore it; or take a new kafka.prefix and a new snapshot");
    return err_hint(reterr, "`pgrekey resync %s.%s`, then run again: it is made anew and filled from the source",
                    rule->from_schema, rule->from_table);
}

/* Gone, though it was recorded. A data topic whose tables are all about to be read again may be made anew, and so may
 * that of requests. */
static int check_missing(struct ksink *k, const struct topic_spec *spec, struct err *reterr)
{
    const struct rule *any = NULL;
    if (strcmp(spec->name, k->request_topic) == 0)
        return 0;
    for (size_t i = 0; i < map_rule_count(k->options.map); i++) {
        const struct rule *rule = map_rule(k->options.map, i);
        if (strcmp(k->outlet_of[i]->name, spec->name) != 0)
            continue;
        any = rule;
        if (!kresync_refills(k, rule))
            return refuse_missing(spec, rule, reterr);
    }
    return any ? 0 : refuse_missing(spec, NULL, reterr);
}

/* The state topic is last in specs: without it nothing is known of the others. */
int klife_topics(struct ksink *k, struct err *reterr)
{
    char key[ENVELOPE_TOPIC_MAX + 64];
    if (topics_look(k->client, k->specs, k->spec_count, reterr) != 0)
        return -1;
    for (size_t i = 0; i < k->spec_count; i++) {
        topic_key(k->specs[i].name, key, sizeof(key));
        if (!k->specs[i].present && state_get(k->state, key) && check_missing(k, &k->specs[i], reterr) != 0)
            return -1;
    }
    if (topics_check(k->client, k->specs, k->spec_count, reterr) != 0 ||
        topics_make(k->client, &k->options.topics, k->specs, k->spec_count, reterr) != 0)
        return -1;
    bool any = false;
    for (size_t i = 0; i < k->spec_count; i++) {
        topic_key(k->specs[i].name, key, sizeof(key));
        if (state_get(k->state, key))
            continue;
        any = true;
        if (krecord_put(k, key, "{}", reterr) != 0)
            return -1;
    }
    return any ? client_commit(k->client, reterr) : 0;
}

/* What stands in a topic before the first snapshot is not ours. */
static int refuse_used(struct ksink *k, struct err *reterr)
{
    if (topics_look(k->client, k->specs, k->spec_count, reterr) != 0)
        return -1;
    for (size_t i = 0; i < k->spec_count; i++) {
        uint64_t written = 0;
        if (!k->specs[i].present || strcmp(k->specs[i].name, k->state_topic) == 0 ||
            strcmp(k->specs[i].name, k->request_topic) == 0)
            continue;
        if (topics_written(k->client, k->specs[i].name, &written, reterr) != 0)
            return -1;
        if (written == 0)
            continue;
        (void)err_set(reterr, ERR_REFUSED, "topic %s holds messages already, but there is no position for it",
                      k->specs[i].name);
        return err_hint(reterr, "take another kafka.prefix; or remove the topics under %s first", k->options.prefix);
    }
    return 0;
}

/* --- begin, end --- */

int klife_begin(struct sink *sink, bool again, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    if (!again && refuse_used(k, reterr) != 0)
        return -1;
    if (ksink_take_over(sink, reterr) != 0)
        return -1;
    k->phase = PIPELINE_SNAPSHOT;
    k->lsn = k->snapshot_lsn = 0;
    return ksteps_record_all(k, reterr) != 0 ? -1 : krecord_commit(k, reterr);
}

int klife_resume(struct sink *sink, struct err *reterr)
{
    return ksink_take_over(sink, reterr);
}

int klife_end(struct sink *sink, uint64_t lsn, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    k->phase = PIPELINE_STREAMING;
    k->lsn = lsn;
    return krecord_commit(k, reterr);
}

/* The topics were empty when this session began, and nobody has been told of a position. */
int klife_abandon(struct sink *sink, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    client_abort(k->client);
    k->phase = PIPELINE_NEW;
    return topics_remove(k->client, k->specs, k->spec_count, reterr);
}

/* --- parts --- */

static void put_text(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    if (text)
        buf_put_json_string(out, text, strlen(text));
    else
        buf_puts(out, "null");
}

static int put_part(struct ksink *k, const struct sink_part *part, struct err *reterr)
{
    char key[64];
    struct buf *out = &k->text;
    snprintf(key, sizeof(key), PART_PREFIX ",\"id\":%d}", part->id);
    buf_reset(out);
    buf_printf(out, "{\"id\":%d,\"level\":%d,\"done\":%s,\"point\":%" PRIu64, part->id, part->level,
               part->done ? "true" : "false", part->point);
    put_text(out, "schema", part->schema);
    put_text(out, "table", part->table);
    put_text(out, "lo", part->lo);
    put_text(out, "hi", part->hi);
    buf_puts(out, ",\"rules\":[");
    for (size_t i = 0; i < part->rule_count; i++) {
        if (i)
            buf_putc(out, ',');
        buf_put_json_string(out, part->rules[i], strlen(part->rules[i]));
    }
    buf_puts(out, "]}");
    return krecord_put(k, key, buf_text(out), reterr);
}

int klife_plan(struct sink *sink, uint64_t lsn, const struct sink_part *parts, size_t count, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    k->snapshot_lsn = lsn;
    for (size_t i = 0; i < count; i++)
        if (put_part(k, &parts[i], reterr) != 0)
            return -1;
    return krecord_commit(k, reterr);
}

struct part_list {
    struct sink_part *parts;
    size_t count;
};

static char *own_text(const struct jsontree *record, const char *name, struct arena *arena)
{
    const char *text = jsontree_text(record, name, arena);
    return text ? mem_strdup(text) : NULL;
}

static bool take_part(void *context, const char *key, const char *value)
{
    struct part_list *list = context;
    struct arena arena;
    (void)key;
    arena_init(&arena, 0);
    const struct jsontree *record = jsontree_parse(value, strlen(value), &arena),
                          *rules = jsontree_get(record, "rules");
    list->parts = mem_realloc(list->parts, (list->count + 1) * sizeof(*list->parts));
    struct sink_part *part = &list->parts[list->count++];
    *part = (struct sink_part){.id = (int)jsontree_int(record, "id"),
                               .level = (int)jsontree_int(record, "level"),
                               .schema = own_text(record, "schema", &arena),
                               .table = own_text(record, "table", &arena),
                               .lo = own_text(record, "lo", &arena),
                               .hi = own_text(record, "hi", &arena),
                               .done = jsontree_true(record, "done"),
                               .point = (uint64_t)jsontree_int(record, "point")};
    for (const struct jsontree *rule = rules ? rules->first : NULL; rule; rule = rule->next) {
        part->rules = mem_realloc(part->rules, (part->rule_count + 1) * sizeof(*part->rules));
        part->rules[part->rule_count++] = mem_strdup(arena_strndup(&arena, rule->text, rule->len));
    }
    arena_done(&arena);
    return true;
}

static int by_id(const void *a, const void *b)
{
    return ((const struct sink_part *)a)->id - ((const struct sink_part *)b)->id;
}

int klife_parts_read(struct sink *sink, struct sink_part **ret_parts, size_t *ret_count, struct err *reterr)
{
    struct part_list list = {0};
    (void)reterr;
    state_each(ksink_of(sink)->state, PART_PREFIX, take_part, &list);
    if (list.count)
        qsort(list.parts, list.count, sizeof(*list.parts), by_id);
    *ret_parts = list.parts;
    *ret_count = list.count;
    return 0;
}

int klife_parts_add(struct sink *sink, struct sink_part *parts, size_t count, bool at_once, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    struct part_list list = {0};
    int next = 0;
    (void)at_once; /* they always are: ops.joins is not set */
    if (ksink_take_over(sink, reterr) != 0)
        return -1;
    state_each(k->state, PART_PREFIX, take_part, &list);
    for (size_t i = 0; i < list.count; i++)
        if (list.parts[i].id >= next)
            next = list.parts[i].id + 1;
    sink_parts_free(list.parts, list.count);
    for (size_t i = 0; i < count; i++) {
        parts[i].id = next++;
        if (put_part(k, &parts[i], reterr) != 0)
            return -1;
    }
    return krecord_commit(k, reterr);
}

/* --- the loader: the main sink's producer, one part at a time --- */

struct loader {
    struct sink sink;
    struct ksink *main;
};

static struct loader *loader_of(struct sink *sink)
{
    union {
        struct sink *sink;
        struct loader *own;
    } as = {.sink = sink};
    return as.own;
}

struct wanted_part {
    int id;
    struct part_list found;
};

static bool find_part(void *context, const char *key, const char *value)
{
    struct wanted_part *wanted = context;
    (void)take_part(&wanted->found, key, value);
    if (wanted->found.parts[wanted->found.count - 1].id == wanted->id)
        return false;
    sink_parts_free(wanted->found.parts, wanted->found.count);
    wanted->found = (struct part_list){0};
    return true;
}

static int part_done(struct ksink *k, const struct batch *batch, struct err *reterr)
{
    struct wanted_part wanted = {.id = batch->snapshot_part};
    state_each(k->state, PART_PREFIX, find_part, &wanted);
    if (wanted.found.count == 0)
        return err_set(reterr, ERR_FATAL, "part %d of the snapshot is not recorded", batch->snapshot_part);
    wanted.found.parts[0].done = true;
    wanted.found.parts[0].point = batch->end_lsn;
    int failed = put_part(k, &wanted.found.parts[0], reterr) != 0 || client_commit(k->client, reterr) != 0;
    sink_parts_free(wanted.found.parts, wanted.found.count);
    k->rows_open = 0;
    return failed ? -1 : 0;
}

static int load_batch(struct sink *sink, const struct batch *batch, struct err *reterr)
{
    struct ksink *k = loader_of(sink)->main;
    struct row *const *rows;
    int failed =
        client_begin(k->client, reterr) != 0 || knames_put(k, batch->rows, batch->row_count, &rows, reterr) != 0;
    for (size_t i = 0; i < batch->row_count && !failed; i++)
        failed = publish_read(k, rows[i], batch->end_lsn, reterr);
    failed = failed || publish_refuse_if_open(k, reterr) != 0 || (batch->part_done && part_done(k, batch, reterr) != 0);
    if (failed)
        client_abort(k->client);
    return failed ? -1 : 0;
}

static void close_loader(struct sink *sink)
{
    struct loader *loader = loader_of(sink);
    client_abort(loader->main->client); /* a part that was not done */
    free(loader);
}

static const struct sink_ops LOADER_OPS = {.name = "kafka loader", .apply = load_batch, .close = close_loader};

int klife_loader_open(struct sink *sink, struct sink **ret_loader, struct err *reterr)
{
    struct loader *loader = mem_zalloc(1, sizeof(*loader));
    (void)reterr;
    loader->sink.ops = &LOADER_OPS;
    loader->main = ksink_of(sink);
    *ret_loader = &loader->sink;
    return 0;
}
