/* What the publisher says of itself in its state topic: who its source is, how far it is, and what the tables look like
 * that it reads. So a replay needs no connection to the source. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/replay/replay.h"
#include "transform/issues.h"
#include "transform/yaml.h"

#define WAIT_MS 200
#define QUIET_MAX 150 /* times that nothing comes */

struct reading {
    struct replay *r;
    struct arena arena;
    struct {
        struct relation **items;
        size_t count, capacity;
    } relations;
    bool found;
};

/* JSON is YAML, and the tree is the one that the mapping is read with. NULL where it is no object. */
static const struct yaml_node *parse(struct reading *in, const char *text, size_t len)
{
    struct map_issues issues = {0};
    struct yaml_node *root = NULL;
    if (yaml_parse(text, len, 0, &in->arena, &root, &issues) != 0 || root->kind != YAML_MAP)
        root = NULL;
    map_issues_free(&issues);
    return root;
}

static const char *text_of(const struct yaml_node *node, const char *key)
{
    const struct yaml_node *value = node ? yaml_get(node, key) : NULL;
    return value && value->kind == YAML_SCALAR && !yaml_is_null(value) ? value->text : "";
}

static bool is_true(const struct yaml_node *node, const char *key)
{
    return strcmp(text_of(node, key), "true") == 0;
}

static uint64_t number_of(const struct yaml_node *node, const char *key)
{
    return strtoull(text_of(node, key), NULL, 10);
}

static void take_position(struct reading *in, const struct yaml_node *value)
{
    struct publisher *publisher = &in->r->publisher;
    in->found = true;
    publisher->streaming = strcmp(text_of(value, "state"), "streaming") == 0;
    publisher->lsn = number_of(value, "lsn");
    publisher->snapshot_lsn = number_of(value, "snapshot_lsn");
    publisher->source.timeline = (uint32_t)number_of(value, "timeline");
    snprintf(publisher->source.system_identifier, sizeof publisher->source.system_identifier, "%s",
             text_of(value, "system_identifier"));
    snprintf(publisher->source.database, sizeof publisher->source.database, "%s", text_of(value, "database"));
    snprintf(publisher->slot, sizeof publisher->slot, "%s", text_of(value, "slot"));
}

/* --- the catalogue --- */

static enum column_kind kind_of(const char *word)
{
    return strcmp(word, "number") == 0  ? COLUMN_NUMBER
           : strcmp(word, "bool") == 0  ? COLUMN_BOOL
           : strcmp(word, "bytea") == 0 ? COLUMN_BYTEA
                                        : COLUMN_TEXT;
}

static void take_columns(struct relation *relation, const struct yaml_node *list)
{
    relation->column_count = list && list->kind == YAML_LIST ? list->count : 0;
    relation->columns = mem_zalloc(relation->column_count + 1, sizeof *relation->columns);
    for (size_t i = 0; i < relation->column_count; i++) {
        const struct yaml_node *node = list->items[i];
        relation->columns[i] = (struct column){
            .name = mem_strdup(text_of(node, "name")),
            .type = mem_strdup(text_of(node, "type")),
            .base_type = mem_strdup(text_of(node, "base_type")),
            .kind = kind_of(text_of(node, "kind")),
            .attnum = (int)i + 1,
            .not_null = is_true(node, "not_null"),
            .toastable = is_true(node, "toastable"),
            .nonfinite_possible = is_true(node, "nonfinite"),
        };
    }
}

static uint16_t *take_key(const struct relation *relation, const struct yaml_node *list, size_t *ret_count)
{
    size_t count = list && list->kind == YAML_LIST ? list->count : 0;
    uint16_t *key = mem_zalloc(count + 1, sizeof *key);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        int at = relation_column(relation, list->items[i]->text);
        if (at >= 0)
            key[(*ret_count)++] = (uint16_t)at;
    }
    return key;
}

static void relation_done(struct relation *relation)
{
    struct catalog *one = mem_zalloc(1, sizeof *one);
    one->count = 1;
    one->relations = relation;
    catalog_free(one);
}

static void forget_relation(struct reading *in, const char *schema, const char *table)
{
    for (size_t i = 0; i < in->relations.count; i++) {
        struct relation *relation = in->relations.items[i];
        if (strcmp(relation->schema, schema) != 0 || strcmp(relation->name, table) != 0)
            continue;
        relation_done(relation);
        in->relations.items[i] = in->relations.items[--in->relations.count];
        return;
    }
}

static void take_relation(struct reading *in, const struct yaml_node *key, const struct yaml_node *value)
{
    const char *schema = text_of(key, "schema"), *table = text_of(key, "table");
    forget_relation(in, schema, table);
    if (!value)
        return;
    struct relation *relation = mem_zalloc(1, sizeof *relation);
    relation->schema = mem_strdup(schema);
    relation->name = mem_strdup(table);
    relation->kind = 'r';
    relation->replident = 'd';
    take_columns(relation, yaml_get(value, "columns"));
    relation->key = take_key(relation, yaml_get(value, "key"), &relation->key_count);
    relation->pk = take_key(relation, yaml_get(value, "pk"), &relation->pk_count);
    if (in->relations.count == in->relations.capacity) {
        in->relations.capacity = in->relations.capacity ? 2 * in->relations.capacity : 64;
        in->relations.items = mem_realloc(in->relations.items, in->relations.capacity * sizeof *in->relations.items);
    }
    in->relations.items[in->relations.count++] = relation;
}

static int by_name(const void *a, const void *b)
{
    const struct relation *x = a, *y = b;
    int order = strcmp(x->schema, y->schema);
    return order ? order : strcmp(x->name, y->name);
}

static struct catalog *catalog_of_relations(struct reading *in)
{
    struct catalog *catalog = mem_zalloc(1, sizeof *catalog);
    catalog->count = in->relations.count;
    catalog->relations = mem_zalloc(catalog->count + 1, sizeof *catalog->relations);
    for (size_t i = 0; i < catalog->count; i++) {
        catalog->relations[i] = *in->relations.items[i];
        free(in->relations.items[i]);
    }
    if (catalog->count > 0)
        qsort(catalog->relations, catalog->count, sizeof *catalog->relations, by_name);
    in->relations.count = 0;
    return catalog;
}

/* --- the topic --- */

static void take_message(struct reading *in, const struct kafka_message *message)
{
    const struct yaml_node *key = message->key ? parse(in, message->key, message->key_len) : NULL;
    const char *kind = text_of(key, "kind");
    const struct yaml_node *value = message->value && key ? parse(in, message->value, message->value_len) : NULL;
    if (strcmp(kind, "position") == 0 && value)
        take_position(in, value);
    else if (strcmp(kind, "relation") == 0)
        take_relation(in, key, value);
    arena_reset(&in->arena, (size_t)1 << 20);
}

static int read_all(struct reading *in, const char *topic, struct err *reterr)
{
    int64_t low = 0, high = 0;
    struct kafka_partition *reader = NULL;
    if (kafka_watermarks(in->r->kafka, topic, 0, &low, &high, reterr) != 0 ||
        kafka_partition_open(in->r->kafka, topic, 0, low, &reader, reterr) != 0)
        return -1;
    int failed = 0, quiet = 0;
    while (!failed && kafka_reached(reader) < high && quiet < QUIET_MAX && !run_stop) {
        struct kafka_message message;
        int got = kafka_next(reader, WAIT_MS, &message, reterr);
        failed = got < 0;
        quiet = got ? 0 : quiet + 1;
        if (got > 0)
            take_message(in, &message);
    }
    kafka_partition_close(reader);
    if (!failed && run_stop)
        return err_set(reterr, ERR_STOP, "stopped");
    if (!failed && quiet == QUIET_MAX)
        return err_set(reterr, ERR_RETRY, "kafka: topic %.200s cannot be read to its end", topic);
    return failed ? -1 : 0;
}

int replay_read_publisher(struct replay *r, struct err *reterr)
{
    struct reading in = {.r = r};
    char topic[ENVELOPE_TOPIC_MAX];
    int partitions = 0;
    if (!envelope_topic_of(r->settings->kafka_prefix, ENVELOPE_TOPIC_STATE, topic))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    arena_init(&in.arena, 0);
    int failed = kafka_partition_count(r->kafka, topic, &partitions, reterr);
    if (!failed && partitions > 0)
        failed = read_all(&in, topic, reterr);
    if (!failed && !in.found) {
        failed = err_set(reterr, ERR_REFUSED, "no publisher has been here: topic %.200s %s", topic,
                         partitions ? "holds no position" : "is not there");
        err_hint(reterr, "look at kafka.prefix; `sink: kafka` in `pgrekey run` publishes");
    }
    catalog_free(r->source);
    r->source = catalog_of_relations(&in);
    free(in.relations.items);
    arena_done(&in.arena);
    return failed;
}
