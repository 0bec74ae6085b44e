/* Schemas as Kafka Connect's JsonConverter wants them: what stands before a message's payload. Each writes up to and
 * with `"payload":`; the message's own text and a closing brace follow. */
#ifndef PGREKEY_SINKS_KAFKA_MESSAGE_SCHEMA_H
#define PGREKEY_SINKS_KAFKA_MESSAGE_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

#include "cdc/base/buf.h"
#include "sinks/kafka/envelope.h"

struct schema_field {
    const char *name;
    enum envelope_kind kind;
    int scale;
};

/* key: indexes into fields. */
void schema_put_key(struct buf *out, const char *topic, const struct schema_field *fields, const uint16_t *key,
                    size_t key_count);
void schema_put_value(struct buf *out, const char *topic, const struct schema_field *fields, size_t count);
void schema_put_txn_key(struct buf *out);
void schema_put_txn_value(struct buf *out);

#endif
