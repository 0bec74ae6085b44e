/* A mirror that rules look up rows in, read back from its topic: last state per key. */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "sinks/kafka/ksink.h"

struct mirror_row {
    UT_hash_handle hh;
    char *key, *value;
    size_t value_len;
};

struct mirror {
    struct mirror_row *rows;
    size_t max_rows;
    const struct rule *rule;
};

static void forget(struct mirror *mirror, struct mirror_row *row)
{
    HASH_DEL(mirror->rows, row);
    free(row->key);
    free(row->value);
    free(row);
}

static char *copy(const char *text, size_t len)
{
    char *own = mem_alloc(len + 1);
    memcpy(own, text ? text : "", text ? len : 0);
    own[text ? len : 0] = '\0';
    return own;
}

static int take(void *context, const struct client_message *message, struct err *reterr)
{
    struct mirror *mirror = context;
    struct mirror_row *row;
    const char *key = message->key;
    size_t key_len = message->key_len;
    HASH_FIND(hh, mirror->rows, key, key_len, row);
    if (!message->value) {
        if (row)
            forget(mirror, row);
        return 0;
    }
    if (!row) {
        if (HASH_COUNT(mirror->rows) >=
            2 * mirror->max_rows + 1000) /* deleted ones without a tombstone are among them */
            return err_set(reterr, ERR_CONFIG, "mirror %s, which rules look up rows in, has more than %zu rows",
                           mirror->rule->to_table, mirror->max_rows);
        row = mem_zalloc(1, sizeof(*row));
        row->key = copy(key, key_len);
        HASH_ADD_KEYPTR(hh, mirror->rows, row->key, key_len, row);
    }
    free(row->value);
    row->value = copy(message->value, message->len);
    row->value_len = message->len;
    return 0;
}

/* As the source prints it: that is what it is compared with. */
static struct value decode(const struct jsontree *node, enum envelope_kind kind, struct arena *arena)
{
    if (!node || node->kind == JSONTREE_NULL)
        return (struct value){.state = VALUE_NULL};
    if (node->kind == JSONTREE_BOOL)
        return (struct value){.text = node->truth ? "t" : "f", .len = 1, .state = VALUE_TEXT};
    struct value value = {.text = node->text, .len = (uint32_t)node->len, .state = VALUE_TEXT};
    if (kind != ENVELOPE_TIMESTAMPTZ || node->len < 20 || node->text[node->len - 1] != 'Z')
        return value;
    size_t end = node->len - 1;
    while (end > 20 && node->text[end - 1] == '0')
        end--;
    if (node->text[end - 1] == '.')
        end--;
    char *text = arena_strndup(arena, node->text, end + 3);
    text[10] = ' ';
    memcpy(text + end, "+00", 3);
    return (struct value){.text = text, .len = (uint32_t)end + 3, .state = VALUE_TEXT};
}

/* Without a conversion of its own in this format? */
static bool is_plain(const struct ksink *k, enum envelope_kind kind)
{
    switch (kind) {
    case ENVELOPE_DECIMAL:
    case ENVELOPE_VARIABLE_DECIMAL:
    case ENVELOPE_DATE:
    case ENVELOPE_TIMESTAMP:
    case ENVELOPE_TIME:
    case ENVELOPE_BYTES: return k->format == ENVELOPE_PLAIN;
    default: return true;
    }
}

static int find_kinds(const struct ksink *k, const struct rule *rule, enum envelope_kind *kinds, struct err *reterr)
{
    const struct relation *target = map_rule_target(k->options.map, rule);
    for (size_t i = 0; i < rule->column_count; i++) {
        int scale, at = target ? relation_column(target, rule->columns[i].name) : -1;
        kinds[i] = at < 0 ? ENVELOPE_TEXT : envelope_kind_of(&target->columns[at], &scale);
        if (!is_plain(k, kinds[i]))
            return err_set(reterr, ERR_CONFIG,
                           "mirror %s, which rules look up rows in, has a column of type %s: with kafka.schemas such "
                           "columns cannot be read back",
                           rule->to_table, target->columns[at].type);
    }
    return 0;
}

static int give_row(const struct rule *rule, const struct mirror_row *row, const enum envelope_kind *kinds,
                    struct arena *arena, sink_take_fn hand, void *context, struct err *reterr)
{
    const struct jsontree *message = jsontree_parse(row->value, row->value_len, arena),
                          *payload = jsontree_get(message, "payload");
    const struct jsontree *after = jsontree_get(payload ? payload : message, "after");
    if (!after || after->kind != JSONTREE_OBJECT)
        return 0; /* deleted, with or without a tombstone behind it */
    struct value *values = arena_zalloc(arena, rule->column_count + 1, sizeof(*values));
    for (size_t i = 0; i < rule->column_count; i++)
        values[i] = decode(jsontree_get(after, rule->columns[i].name), kinds[i], arena);
    return hand(context, values, reterr);
}

int kmirror_read(struct sink *sink, const struct rule *rule, size_t max_rows, sink_take_fn hand, void *context,
                 struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    struct mirror mirror = {.max_rows = max_rows, .rule = rule};
    enum envelope_kind *kinds = mem_zalloc(rule->column_count + 1, sizeof(*kinds));
    int failed = find_kinds(k, rule, kinds, reterr) != 0 ||
                 client_read_topic(&k->options.client, k->outlet_of[rule->index]->name, take, &mirror, reterr) != 0;
    struct mirror_row *row, *next;
    struct arena arena;
    arena_init(&arena, 0);
    HASH_ITER(hh, mirror.rows, row, next)
    {
        arena_reset(&arena, (size_t)1 << 20);
        if (!failed)
            failed = give_row(rule, row, kinds, &arena, hand, context, reterr);
        forget(&mirror, row);
    }
    arena_done(&arena);
    free(kinds);
    return failed ? -1 : 0;
}
