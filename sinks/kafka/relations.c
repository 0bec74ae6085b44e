/* What the tables look like that are published, one state record each: a replay has no connection to the source, and
 * types of mirrors and copies are known there alone. */
#include <string.h>

#include "sinks/kafka/ksink.h"

#define VALUE_MAX ((size_t)1 << 20) /* 1,600 columns */

static const char *kind_name(enum column_kind kind)
{
    switch (kind) {
    case COLUMN_NUMBER: return "number";
    case COLUMN_BOOL: return "bool";
    case COLUMN_BYTEA: return "bytea";
    case COLUMN_TEXT: break;
    }
    return "text";
}

static void put_text(struct buf *out, const char *before, const char *text)
{
    buf_puts(out, before);
    buf_put_json_string(out, text, strlen(text));
}

static void put_columns(const struct map *map, const struct relation *relation, struct buf *out)
{
    bool first = true;
    buf_puts(out, "{\"columns\":[");
    for (size_t i = 0; i < relation->column_count; i++) {
        const struct column *column = &relation->columns[i];
        if (map_column_never(map, relation->schema, relation->name, column->name))
            continue;
        put_text(out, first ? "{\"name\":" : ",{\"name\":", column->name);
        put_text(out, ",\"type\":", column->type);
        put_text(out, ",\"base_type\":", column->base_type);
        buf_printf(out, ",\"kind\":\"%s\",\"not_null\":%s,\"toastable\":%s,\"nonfinite\":%s}", kind_name(column->kind),
                   column->not_null ? "true" : "false", column->toastable ? "true" : "false",
                   column->nonfinite_possible ? "true" : "false");
        first = false;
    }
    buf_puts(out, "]");
}

static void put_key(const struct relation *relation, const char *name, const uint16_t *key, size_t count,
                    struct buf *out)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < count; i++)
        put_text(out, i ? "," : "", relation->columns[key[i]].name);
    buf_putc(out, ']');
}

/* One that stands as it is is not written again. */
static int put_relation(struct ksink *k, const struct relation *relation, bool *ret_any, struct err *reterr)
{
    struct buf key, value;
    int failed = 0;
    buf_init(&key, 4096);
    buf_init(&value, VALUE_MAX);
    put_text(&key, "{\"kind\":\"relation\",\"schema\":", relation->schema);
    put_text(&key, ",\"table\":", relation->name);
    buf_putc(&key, '}');
    put_columns(k->options.map, relation, &value);
    put_key(relation, "key", relation->key, relation->key_count, &value);
    put_key(relation, "pk", relation->pk, relation->pk_count, &value);
    buf_putc(&value, '}');
    const char *known = state_get(k->state, buf_text(&key));
    if (!known || strcmp(known, buf_text(&value)) != 0) {
        *ret_any = true;
        failed = krecord_put(k, buf_text(&key), buf_text(&value), reterr);
    }
    buf_done(&key);
    buf_done(&value);
    return failed;
}

int krelations_record(struct ksink *k, struct err *reterr)
{
    const struct map *map = k->options.map;
    bool any = false;
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct relation *relation = map_rule_source(map, map_rule(map, i));
        bool done = false;
        for (size_t j = 0; j < i && !done; j++)
            done = map_rule_source(map, map_rule(map, j)) == relation;
        if (!done && put_relation(k, relation, &any, reterr) != 0)
            return -1;
    }
    return any ? client_commit(k->client, reterr) : 0;
}
