/* What stands in a topic though the source has it no more: after a TRUNCATE, or in a table that is read again. A row
 * whose last event is older than the first point of the resync was neither read then nor written or deleted since. So
 * a topic is read through, and such keys are found; whoever asks looks whether the source has the row all the same (one
 * that could not be mapped keeps its last good version).
 *
 * Memory is bounded: a partition at a time, and of its keys by their hash a slice of some half a million at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka/ksink.h"

#define SLICE_MESSAGES UINT64_C(500000)
#define STAY_EVERY 2000

struct last {
    uint64_t hash;  /* 0: free */
    int64_t offset; /* of the key's last event where that is old and no delete; -1: it is not */
};

struct scan {
    const struct rule *rule;
    const struct relation *source;
    uint64_t since, slice, slices;
    struct last *table;
    size_t size, used; /* size: a power of two */
    const struct sink_strays *strays;
    struct arena arena;
    uint64_t seen;
};

/* FNV-1a, spread by a last multiplication; never 0. */
static uint64_t hash_of(const char *key, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 29;
    return hash ? hash : 1;
}

static struct last *find(const struct scan *scan, uint64_t hash)
{
    size_t at = (size_t)hash & (scan->size - 1);
    while (scan->table[at].hash && scan->table[at].hash != hash)
        at = (at + 1) & (scan->size - 1);
    return &scan->table[at];
}

static void grow(struct scan *scan)
{
    struct last *old = scan->table;
    size_t size = scan->size;
    scan->size = size ? size * 2 : 4096;
    scan->table = mem_zalloc(scan->size, sizeof(*scan->table));
    for (size_t i = 0; i < size; i++)
        if (old[i].hash)
            *find(scan, old[i].hash) = old[i];
    free(old);
}

static int stay(struct scan *scan, struct err *reterr)
{
    return ++scan->seen % STAY_EVERY == 0 ? scan->strays->stay(scan->strays->context, reterr) : 0;
}

static const struct jsontree *payload_of(const struct client_message *message, struct arena *arena)
{
    const struct jsontree *value = jsontree_parse(message->value, message->len, arena),
                          *payload = jsontree_get(value, "payload");
    return payload ? payload : value;
}

/* An event of this rule, not a delete, older than the point? */
static bool is_old(struct scan *scan, const struct client_message *message)
{
    const struct jsontree *event = payload_of(message, &scan->arena), *after = jsontree_get(event, "after");
    const char *rule = jsontree_text(jsontree_get(event, "pgrekey"), "rule", &scan->arena);
    return after && after->kind == JSONTREE_OBJECT && rule && strcmp(rule, scan->rule->name) == 0 &&
           (uint64_t)jsontree_int(jsontree_get(event, "source"), "lsn") < scan->since;
}

/* First round: the last event of each key. */
static int note_message(void *context, const struct client_message *message, struct err *reterr)
{
    struct scan *scan = context;
    uint64_t hash = hash_of(message->key, message->key_len);
    if (stay(scan, reterr) != 0)
        return -1;
    if (!message->key || hash % scan->slices != scan->slice)
        return 0;
    if (scan->used * 3 >= scan->size * 2)
        grow(scan);
    struct last *last = find(scan, hash);
    scan->used += last->hash == 0;
    arena_reset(&scan->arena, (size_t)1 << 20);
    *last = (struct last){.hash = hash, .offset = message->value && is_old(scan, message) ? message->offset : -1};
    return 0;
}

/* ["7"] of {"id":"7"}, in the order of the table's key. False: the event does not name it. */
static bool make_key(const struct scan *scan, const struct jsontree *named, struct buf *out)
{
    buf_puts(out, "[");
    for (size_t i = 0; i < scan->source->key_count; i++) {
        const struct jsontree *value = jsontree_get(named, scan->source->columns[scan->source->key[i]].name);
        if (!value || value->kind != JSONTREE_STRING)
            return false;
        if (i)
            buf_putc(out, ',');
        buf_put_json_string(out, value->text, value->len);
    }
    buf_putc(out, ']');
    return !buf_overflowed(out);
}

/* Second round: what is behind the offsets that are left. */
static int take_message(void *context, const struct client_message *message, struct err *reterr)
{
    struct scan *scan = context;
    if (stay(scan, reterr) != 0)
        return -1;
    if (!message->key || !message->value)
        return 0;
    const struct last *last = find(scan, hash_of(message->key, message->key_len));
    if (last->hash == 0 || last->offset != message->offset)
        return 0;
    struct buf key;
    int failed = 0;
    buf_init(&key, (size_t)1 << 20);
    arena_reset(&scan->arena, (size_t)1 << 20);
    const struct jsontree *event = payload_of(message, &scan->arena);
    if (make_key(scan, jsontree_get(jsontree_get(event, "pgrekey"), "key"), &key))
        failed = scan->strays->take(scan->strays->context, buf_text(&key), reterr);
    buf_done(&key);
    return failed;
}

static bool any_left(const struct scan *scan)
{
    for (size_t i = 0; i < scan->size; i++)
        if (scan->table[i].hash && scan->table[i].offset >= 0)
            return true;
    return false;
}

/* *at counts slices of partitions; how many slices one has is settled by the first call, and stands above. */
#define SLICES_SHIFT 40
#define COUNT_MASK ((UINT64_C(1) << SLICES_SHIFT) - 1)

int kstrays_find(struct sink *sink, const struct rule *rule, uint64_t since, uint64_t *at,
                 const struct sink_strays *strays, struct err *reterr)
{
    const struct ksink *k = ksink_of(sink);
    const struct client_options *client = &k->options.client;
    const char *topic = k->outlet_of[rule->index]->name;
    int partitions = 0;
    uint64_t span = 0;
    if (client_measure_topic(client, topic, &partitions, &span, reterr) != 0)
        return -1;
    struct scan scan = {.rule = rule,
                        .source = map_rule_source(k->options.map, rule),
                        .since = since,
                        .slices = *at ? *at >> SLICES_SHIFT : span / SLICE_MESSAGES + 1,
                        .strays = strays};
    uint64_t count = *at & COUNT_MASK;
    scan.slice = count % scan.slices;
    int partition = (int)(count / scan.slices), failed = 0;
    if (partition >= partitions) {
        *at = UINT64_MAX;
        return 0;
    }
    arena_init(&scan.arena, 0);
    grow(&scan);
    failed = client_read_partition(client, topic, partition, note_message, &scan, reterr) != 0 ||
             (any_left(&scan) && client_read_partition(client, topic, partition, take_message, &scan, reterr) != 0);
    *at = scan.slices << SLICES_SHIFT | (count + 1);
    free(scan.table);
    arena_done(&scan.arena);
    return failed ? -1 : 0;
}
