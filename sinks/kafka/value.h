/* One column's value as JSON, in either encoding of envelope.h. Pure. */
#ifndef PGREKEY_SINKS_KAFKA_VALUE_H
#define PGREKEY_SINKS_KAFKA_VALUE_H

#include "cdc/base/buf.h"
#include "cdc/base/change.h"
#include "sinks/kafka/envelope.h"

/* False where null was written because the encoding cannot hold the value: its text then belongs into
 * pgrekey.nonfinite. Never for ENVELOPE_PLAIN. An ABSENT value is written as null. */
bool value_write(struct buf *out, enum envelope_format format, enum envelope_kind kind, int scale,
                 const struct value *value);

/* "type":…, and its logical name: the inside of a Connect schema. */
void value_schema(struct buf *out, enum envelope_kind kind, int scale, bool optional);

#endif
