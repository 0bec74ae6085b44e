#include "sinks/kafka/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "sinks/kafka/message_schema.h"
#include "sinks/kafka/value.h"

#define STATIC_MAX ((size_t)4 << 20)

struct field {
    enum envelope_kind kind;
    int scale;
    char *name; /* "\"name\":" */
};

struct shape {
    const struct rule *rule;
    const struct relation *source;
    enum envelope_format format;
    struct field *fields;     /* by column of the rule */
    char **identity;          /* "\"id\":" by column of the source's key */
    struct buf key_begin;     /* what stands before a key's payload, "" for plain */
    struct buf value_begin;   /* … a value's */
    struct buf source_begin;  /* "source":{"version":…,"name":"…", */
    struct buf source_table;  /* "db":…,"schema":…,"table":…, */
    struct buf pgrekey_begin; /* "pgrekey":{"rule":…,"table":… */
};

/* --- shapes --- */

static char *name_of(const char *column)
{
    struct buf text;
    buf_init(&text, STATIC_MAX);
    buf_put_json_string(&text, column, strlen(column));
    buf_putc(&text, ':');
    char *name = mem_strdup(buf_text(&text));
    buf_done(&text);
    return name;
}

static void put_name(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "\"%s\":", key);
    buf_put_json_string(out, value, strlen(value));
}

static void make_statics(struct shape *s, const char *prefix, const char *database)
{
    const struct rule *rule = s->rule;
    char table[2 * 64 + 2];
    snprintf(table, sizeof(table), "%s.%s", rule->from_schema, rule->from_table);
    buf_puts(&s->source_begin, "\"source\":{\"version\":\"" PGREKEY_VERSION "\",\"connector\":\"pgrekey\",");
    put_name(&s->source_begin, "name", prefix);
    put_name(&s->source_table, "db", database);
    buf_putc(&s->source_table, ',');
    put_name(&s->source_table, "schema", rule->to_schema);
    buf_putc(&s->source_table, ',');
    put_name(&s->source_table, "table", rule->to_table);
    buf_puts(&s->pgrekey_begin, "\"pgrekey\":{");
    put_name(&s->pgrekey_begin, "rule", rule->name);
    buf_putc(&s->pgrekey_begin, ',');
    put_name(&s->pgrekey_begin, "table", table);
}

static void make_schemas(struct shape *s, const char *prefix)
{
    char topic[ENVELOPE_TOPIC_MAX];
    struct schema_field *fields = mem_zalloc(s->rule->column_count + 1, sizeof(*fields));
    (void)envelope_topic(prefix, s->rule->to_schema, s->rule->to_table, topic);
    for (size_t i = 0; i < s->rule->column_count; i++)
        fields[i] = (struct schema_field){
            .name = s->rule->columns[i].name, .kind = s->fields[i].kind, .scale = s->fields[i].scale};
    schema_put_key(&s->key_begin, topic, fields, s->rule->locator, s->rule->locator_count);
    schema_put_value(&s->value_begin, topic, fields, s->rule->column_count);
    free(fields);
}

struct shape *shape_new(const struct rule *rule, const struct relation *target, const struct relation *source,
                        const char *prefix, const char *database, enum envelope_format format)
{
    struct shape *s = mem_zalloc(1, sizeof(*s));
    struct buf *statics[] = {&s->key_begin, &s->value_begin, &s->source_begin, &s->source_table, &s->pgrekey_begin};
    *s = (struct shape){.rule = rule, .source = source, .format = format};
    for (size_t i = 0; i < sizeof(statics) / sizeof(*statics); i++)
        buf_init(statics[i], STATIC_MAX);
    s->fields = mem_zalloc(rule->column_count + 1, sizeof(*s->fields));
    for (size_t i = 0; i < rule->column_count; i++) {
        int at = target ? relation_column(target, rule->columns[i].name) : -1;
        s->fields[i].kind = at < 0 ? ENVELOPE_TEXT : envelope_kind_of(&target->columns[at], &s->fields[i].scale);
        s->fields[i].name = name_of(rule->columns[i].name);
    }
    s->identity = mem_zalloc(source->key_count + 1, sizeof(*s->identity));
    for (size_t i = 0; i < source->key_count; i++)
        s->identity[i] = name_of(source->columns[source->key[i]].name);
    make_statics(s, prefix, database);
    if (format == ENVELOPE_CONNECT)
        make_schemas(s, prefix);
    return s;
}

void shape_free(struct shape *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->rule->column_count; i++)
        free(s->fields[i].name);
    for (size_t i = 0; i < s->source->key_count; i++)
        free(s->identity[i]);
    free(s->fields);
    free(s->identity);
    buf_done(&s->key_begin);
    buf_done(&s->value_begin);
    buf_done(&s->source_begin);
    buf_done(&s->source_table);
    buf_done(&s->pgrekey_begin);
    free(s);
}

static void put_static(struct buf *out, const struct buf *text)
{
    buf_append(out, text->data, text->len);
}

/* --- keys --- */

static void put_locator(const struct shape *s, enum envelope_format format, const struct value *locator,
                        struct buf *out)
{
    buf_putc(out, '{');
    for (size_t i = 0; i < s->rule->locator_count; i++) {
        const struct field *field = &s->fields[s->rule->locator[i]];
        if (i)
            buf_putc(out, ',');
        buf_puts(out, field->name);
        (void)value_write(out, format, field->kind, field->scale, &locator[i]);
    }
    buf_putc(out, '}');
}

void message_plain_key(const struct shape *s, const struct value *locator, struct buf *out)
{
    put_locator(s, s->format, locator, out);
}

void message_key(const struct shape *s, const struct value *locator, struct buf *out)
{
    put_static(out, &s->key_begin);
    put_locator(s, s->format, locator, out);
    if (s->format == ENVELOPE_CONNECT)
        buf_putc(out, '}');
}

/* --- values --- */

static void put_nonfinite(const struct shape *s, size_t column, const struct value *value, struct buf *others)
{
    buf_puts(others, others->len ? "," : ",\"nonfinite\":{");
    buf_puts(others, s->fields[column].name);
    buf_put_json_string(others, value->text, value->len);
}

static void put_after(const struct shape *s, const struct row *row, struct buf *out, struct buf *nonfinite)
{
    buf_putc(out, '{');
    for (size_t i = 0; i < s->rule->column_count; i++) {
        if (i)
            buf_putc(out, ',');
        buf_puts(out, s->fields[i].name);
        if (!value_write(out, s->format, s->fields[i].kind, s->fields[i].scale, &row->values[i]))
            put_nonfinite(s, i, &row->values[i], nonfinite);
    }
    buf_putc(out, '}');
}

static void put_source(const struct shape *s, const struct event *event, struct buf *out)
{
    put_static(out, &s->source_begin);
    buf_printf(out, ",\"ts_ms\":%" PRId64 ",\"ts_us\":%" PRId64 ",\"ts_ns\":%" PRId64 ",\"snapshot\":\"%s\",",
               event->commit_us / 1000, event->commit_us, event->commit_us * 1000, event->snapshot);
    buf_printf(out, "\"sequence\":\"[\\\"%" PRIu64 "\\\",\\\"%" PRIu64 "\\\"]\",", event->lsn, event->ordinal);
    put_static(out, &s->source_table);
    if (event->xid)
        buf_printf(out, ",\"txId\":%" PRIu32, event->xid);
    else
        buf_puts(out, ",\"txId\":null");
    buf_printf(out, ",\"lsn\":%" PRIu64 "}", event->lsn);
}

static void put_transaction(const struct event *event, struct buf *out)
{
    char id[ENVELOPE_TXN_MAX];
    if (event->total_order)
        buf_printf(out,
                   ",\"transaction\":{\"id\":\"%s\",\"total_order\":%" PRIu64 ",\"data_collection_order\":%" PRIu64 "}",
                   envelope_txn_id(event->xid, event->lsn, id), event->total_order, event->of_topic);
    else
        buf_puts(out, ",\"transaction\":null");
}

/* The legacy row's key as it is now: of the columns where the change has them, else of its identity. */
static const struct value *source_key_value(const struct change *change, size_t k)
{
    const struct relation *relation = change->relation;
    const struct value *column = change->columns ? &change->columns[relation->key[k]] : NULL;
    if (column && column->state == VALUE_TEXT)
        return column;
    return change->identity && change->identity[k].state == VALUE_TEXT ? &change->identity[k] : NULL;
}

static void put_source_key(const struct shape *s, const struct change *change, struct buf *out)
{
    if (s->source->key_count == 0)
        return;
    buf_puts(out, ",\"key\":{");
    for (size_t k = 0; k < s->source->key_count; k++) {
        const struct value *value = source_key_value(change, k);
        if (k)
            buf_putc(out, ',');
        buf_puts(out, s->identity[k]);
        if (value)
            buf_put_json_string(out, value->text, value->len);
        else
            buf_puts(out, "null");
    }
    buf_putc(out, '}');
}

static void put_unchanged(const struct shape *s, const struct value *absent, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; absent && i < s->rule->column_count; i++) {
        if (absent[i].state != VALUE_ABSENT)
            continue;
        buf_puts(out, any ? "," : ",\"unchanged\":[");
        buf_append(out, s->fields[i].name, strlen(s->fields[i].name) - 1);
        any = true;
    }
    if (any)
        buf_putc(out, ']');
}

static void put_pgrekey(const struct shape *s, const struct event *event, const struct buf *nonfinite, struct buf *out)
{
    buf_putc(out, ',');
    put_static(out, &s->pgrekey_begin);
    put_source_key(s, event->row->change, out);
    put_unchanged(s, event->absent, out);
    if (nonfinite->len) {
        put_static(out, nonfinite);
        buf_putc(out, '}');
    }
    if (event->op == 'd')
        buf_printf(out, ",\"delete\":\"%s\",\"why\":\"%s\"", s->rule->on_delete == DELETE_SET ? "set" : "row",
                   event->why);
    if (event->ordinal)
        buf_printf(out, ",\"ordinal\":%" PRIu64, event->ordinal);
    buf_putc(out, '}');
}

void message_value(const struct shape *s, const struct event *event, int64_t now_us, struct buf *out)
{
    struct buf nonfinite;
    buf_init(&nonfinite, STATIC_MAX);
    put_static(out, &s->value_begin);
    buf_puts(out, "{\"before\":");
    if (event->op == 'd') {
        put_locator(s, s->format, event->locator, out);
        buf_puts(out, ",\"after\":null,");
    } else {
        buf_puts(out, "null,\"after\":");
        put_after(s, event->row, out, &nonfinite);
        buf_putc(out, ',');
    }
    put_source(s, event, out);
    put_transaction(event, out);
    buf_printf(out, ",\"op\":\"%c\",\"ts_ms\":%" PRId64, event->op, now_us / 1000);
    put_pgrekey(s, event, &nonfinite, out);
    buf_putc(out, '}');
    if (s->format == ENVELOPE_CONNECT)
        buf_putc(out, '}');
    buf_done(&nonfinite);
}

/* --- transactions --- */

void message_txn_key(enum envelope_format format, const char *id, struct buf *out)
{
    if (format == ENVELOPE_CONNECT)
        schema_put_txn_key(out);
    buf_printf(out, "{\"id\":\"%s\"}%s", id, format == ENVELOPE_CONNECT ? "}" : "");
}

void message_txn_value(enum envelope_format format, const char *id, int64_t commit_us,
                       const struct collection_count *counts, size_t count, uint64_t events, struct buf *out)
{
    bool any = false;
    if (format == ENVELOPE_CONNECT)
        schema_put_txn_value(out);
    buf_printf(out, "{\"status\":\"%s\",\"id\":\"%s\",\"ts_ms\":%" PRId64, counts ? "END" : "BEGIN", id,
               commit_us / 1000);
    if (!counts) {
        buf_puts(out, ",\"event_count\":null,\"data_collections\":null}");
    } else {
        buf_printf(out, ",\"event_count\":%" PRIu64 ",\"data_collections\":[", events);
        for (size_t i = 0; i < count; i++) {
            if (counts[i].events == 0)
                continue;
            buf_puts(out, any ? ",{" : "{");
            put_name(out, "data_collection", counts[i].name);
            buf_printf(out, ",\"event_count\":%" PRIu64 "}", counts[i].events);
            any = true;
        }
        buf_puts(out, "]}");
    }
    if (format == ENVELOPE_CONNECT)
        buf_putc(out, '}');
}

/* --- dead letters --- */

void message_source_key(const struct change *change, struct buf *out)
{
    buf_putc(out, '[');
    for (size_t k = 0; k < change->relation->key_count; k++) {
        const struct value *value = source_key_value(change, k);
        if (k)
            buf_putc(out, ',');
        if (value)
            buf_put_json_string(out, value->text, value->len);
        else
            buf_puts(out, "null");
    }
    buf_putc(out, ']');
}

void message_letter_key(const char *rule, const char *key, struct buf *out)
{
    buf_putc(out, '{');
    put_name(out, "rule", rule);
    buf_putc(out, ',');
    put_name(out, "key", key);
    buf_putc(out, '}');
}

static void put_raw(const struct value *value, const char *name, bool first, struct buf *out)
{
    if (!first)
        buf_putc(out, ',');
    buf_put_json_string(out, name, strlen(name));
    buf_putc(out, ':');
    if (value->state == VALUE_TEXT)
        buf_put_json_string(out, value->text, value->len);
    else
        buf_puts(out, "null");
}

/* As decoded: what was not sent is left out. */
static void put_change(const struct change *change, struct buf *out)
{
    const struct relation *relation = change->relation;
    bool first = true;
    buf_puts(out, ",\"change\":{\"columns\":{");
    for (size_t i = 0; change->columns && i < relation->column_count; i++) {
        if (change->columns[i].state == VALUE_ABSENT)
            continue;
        put_raw(&change->columns[i], relation->columns[i].name, first, out);
        first = false;
    }
    buf_puts(out, "},\"identity\":{");
    for (size_t k = 0; change->identity && k < relation->key_count; k++)
        put_raw(&change->identity[k], relation->columns[relation->key[k]].name, k == 0, out);
    buf_puts(out, "}}");
}

void message_letter_value(const struct rule *rule, const char *key, const struct row *row, uint64_t lsn, uint32_t xid,
                          int64_t now_us, struct buf *out)
{
    char table[2 * 64 + 2];
    snprintf(table, sizeof(table), "%s.%s", rule->from_schema, rule->from_table);
    buf_printf(out, "{\"status\":\"%s\",", row ? "pending" : "resolved");
    put_name(out, "rule", rule->name);
    buf_putc(out, ',');
    put_name(out, "table", table);
    buf_putc(out, ',');
    put_name(out, "key", key);
    if (row) {
        buf_putc(out, ',');
        put_name(out, "category", category_name(row->category));
        buf_putc(out, ',');
        put_name(out, "severity", category_severity(row->category));
        if (row->column) {
            buf_putc(out, ',');
            put_name(out, "column", row->column);
        }
        buf_putc(out, ',');
        put_name(out, "reason", row->reason ? row->reason : "");
        buf_putc(out, ',');
        put_name(out, "suggestion", category_suggestion(row->category));
        buf_printf(out, ",\"op\":\"%c\"", (char)row->change->op);
    }
    buf_printf(out, ",\"lsn\":%" PRIu64 ",\"xid\":%" PRIu32 ",\"ts_ms\":%" PRId64, lsn, xid, now_us / 1000);
    if (row)
        put_change(row->change, out);
    buf_putc(out, '}');
}
