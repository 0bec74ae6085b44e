#include "sinks/kafka/message_schema.h"

#include <string.h>

#include "sinks/kafka/value.h"

#define PAYLOAD ",\"payload\":"

static void put_field(struct buf *out, const struct schema_field *field, bool optional, bool first)
{
    buf_puts(out, first ? "{" : ",{");
    value_schema(out, field->kind, field->scale, optional);
    buf_puts(out, ",\"field\":");
    buf_put_json_string(out, field->name, strlen(field->name));
    buf_putc(out, '}');
}

void schema_put_key(struct buf *out, const char *topic, const struct schema_field *fields, const uint16_t *key,
                    size_t key_count)
{
    buf_puts(out, "{\"schema\":{\"type\":\"struct\",\"fields\":[");
    for (size_t i = 0; i < key_count; i++)
        put_field(out, &fields[key[i]], false, i == 0);
    buf_printf(out, "],\"optional\":false,\"name\":\"%s.Key\"}" PAYLOAD, topic);
}

/* A row as a struct; every field optional, so that `before` can be the key alone. */
static void put_row(struct buf *out, const char *topic, const struct schema_field *fields, size_t count,
                    const char *name)
{
    buf_puts(out, "{\"type\":\"struct\",\"fields\":[");
    for (size_t i = 0; i < count; i++)
        put_field(out, &fields[i], true, i == 0);
    buf_printf(out, "],\"optional\":true,\"name\":\"%s.Value\",\"field\":\"%s\"}", topic, name);
}

#define FIELD(type, optional, name) "{\"type\":\"" type "\",\"optional\":" optional ",\"field\":\"" name "\"}"
#define TEXTS_BY_NAME(name)                                                                                            \
    "{\"type\":\"map\",\"keys\":{\"type\":\"string\",\"optional\":false},\"values\":{\"type\":\"string\","             \
    "\"optional\":true},\"optional\":true,\"field\":\"" name "\"}"

static const char source_schema[] =
    "{\"type\":\"struct\",\"fields\":[" FIELD("string", "false", "version") "," FIELD("string", "false", "connector") "," FIELD("string", "false", "name") "," FIELD("int64", "false", "ts_ms") "," FIELD(
        "int64", "true",
        "ts_us") "," FIELD("int64", "true",
                           "ts_ns") "," FIELD("string", "true",
                                              "snapshot") "," FIELD("string", "true",
                                                                    "sequence") "," FIELD("string", "false",
                                                                                          "db") "," FIELD("string",
                                                                                                          "false",
                                                                                                          "schema") "," FIELD("string",
                                                                                                                              "false",
                                                                                                                              "table") "," FIELD("int64",
                                                                                                                                                 "true",
                                                                                                                                                 "txId") "," FIELD("int64",
                                                                                                                                                                   "true",
                                                                                                                                                                   "lsn") "],\"optional\":false,\"name\":\"pgrekey.Source\",\"field\":\"source\"}";

static const char transaction_schema[] = "{\"type\":\"struct\",\"fields\":[" FIELD("string", "false", "id") "," FIELD(
    "int64", "false", "total_order") "," FIELD("int64", "false",
                                               "data_collection_order") "],\"optional\":true,\"name\":\"event.block\","
                                                                        "\"version\":1,\"field\":\"transaction\"}";

static const char pgrekey_schema[] = "{\"type\":\"struct\",\"fields\":[" FIELD("string", "false", "rule") "," FIELD(
    "string", "false",
    "table") "," TEXTS_BY_NAME("key") ",{\"type\":\"array\",\"items\":{\"type\":\"string\",\"optional\":false},"
                                      "\"optional\":true,\"field\":\"unchanged\"}," TEXTS_BY_NAME(
                                          "nonfinite") "," FIELD("string", "true",
                                                                 "delete") "," FIELD("string", "true",
                                                                                     "why") "," FIELD("int64", "true",
                                                                                                      "ordinal") "],"
                                                                                                                 "\"opt"
                                                                                                                 "ional"
                                                                                                                 "\":"
                                                                                                                 "true,"
                                                                                                                 "\"nam"
                                                                                                                 "e\":"
                                                                                                                 "\"pgr"
                                                                                                                 "ekey."
                                                                                                                 "Extra"
                                                                                                                 "\","
                                                                                                                 "\"fie"
                                                                                                                 "ld\":"
                                                                                                                 "\"pgr"
                                                                                                                 "ekey"
                                                                                                                 "\"}";

void schema_put_value(struct buf *out, const char *topic, const struct schema_field *fields, size_t count)
{
    buf_puts(out, "{\"schema\":{\"type\":\"struct\",\"fields\":[");
    put_row(out, topic, fields, count, "before");
    buf_putc(out, ',');
    put_row(out, topic, fields, count, "after");
    buf_printf(out, ",%s,%s,", source_schema, transaction_schema);
    buf_puts(out, FIELD("string", "false", "op") "," FIELD("int64", "true", "ts_ms") ",");
    buf_puts(out, pgrekey_schema);
    buf_printf(out, "],\"optional\":false,\"name\":\"%s.Envelope\",\"version\":2}" PAYLOAD, topic);
}

void schema_put_txn_key(struct buf *out)
{
    buf_puts(out, "{\"schema\":{\"type\":\"struct\",\"fields\":[" FIELD(
                      "string", "false",
                      "id") "],\"optional\":false,"
                            "\"name\":\"io.debezium.connector.common.TransactionMetadataKey\",\"version\":1}" PAYLOAD);
}

void schema_put_txn_value(struct buf *out)
{
    buf_puts(
        out,
        "{\"schema\":{\"type\":\"struct\",\"fields\":[" FIELD("string", "false", "status") "," FIELD(
            "string", "false",
            "id") "," FIELD("int64", "false",
                            "ts_ms") "," FIELD("int64", "true",
                                               "event_count") ",{\"type\":\"array\",\"items\":{\"type\":\"struct\","
                                                              "\"fields\":"
                                                              "[" FIELD("string", "false", "data_collection") "," FIELD(
                                                                  "int64", "false", "event_count") "],"
                                                                                                   "\"optional"
                                                                                                   "\":true,"
                                                                                                   "\"name\":"
                                                                                                   "\"event."
                                                                                                   "collection"
                                                                                                   "\","
                                                                                                   "\"version"
                                                                                                   "\":1},"
                                                                                                   "\"optional"
                                                                                                   "\":true,"
                                                                                                   "\"field\":"
                                                                                                   "\"data_"
                                                                                                   "collection"
                                                                                                   "s\"}],"
                                                                                                   "\"optional"
                                                                                                   "\":false,"
                                                                                                   "\"name\":"
                                                                                                   "\"io."
                                                                                                   "debezium."
                                                                                                   "connector."
                                                                                                   "common."
                                                                                                   "Transactio"
                                                                                                   "nMetadataV"
                                                                                                   "alue\","
                                                                                                   "\"version"
                                                                                                   "\":"
                                                                                                   "1"
                                                                                                   "}" PAYLOAD);
}
