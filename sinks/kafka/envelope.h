/* The contract between publisher and readers: names of topics, and what stands in a message. docs/kafka.md tells it to
 * people; here are the names, and the one encoder. Pure: no broker, no I/O.
 *
 *     <prefix>.<schema>.<table>   data of one target table that a row rule writes; mirrors likewise, in their side
 * schema <prefix>.transaction        BEGIN and END of every source transaction that has events <prefix>.dead-letter
 * rows that could not be mapped, and what became of them <prefix>.state              the publisher's own, compacted:
 * position, open dead letters, parts of the snapshot
 *
 * A data message: key = JSON object of the columns that the row is found by (rule->locator: the target's key, or what
 * `identity:` names), value =
 *
 *     {"before": null | {key columns}, "after": {columns} | null,
 *      "source": {"version","connector":"pgrekey","name":prefix,"ts_ms","ts_us","ts_ns","snapshot","db","sequence",
 *                 "schema","table","txId","lsn"},
 *      "transaction": {"id":"xid:lsn","total_order":n,"data_collection_order":m} | null,
 *      "op": "c|u|d|r", "ts_ms": n,
 *      "pgrekey": {"rule","table":"schema.table","key":{source key: text},"unchanged":[…],"nonfinite":{…},
 *                  "delete":"row|set|keep","why":"gone|excluded|moved|stray","ordinal":n}}
 *
 * source.schema and source.table are the target's, source.lsn is where the transaction's commit ends on the source (of
 * `r`: the point that the row was read at). With schemas the value is {"schema":…,"payload":{the above}}, the key
 * likewise, and columns are encoded otherwise (ENVELOPE_CONNECT).
 */
#ifndef PGREKEY_SINKS_KAFKA_ENVELOPE_H
#define PGREKEY_SINKS_KAFKA_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/buf.h"
#include "cdc/base/relation.h"
#include "transform/row.h"

#define ENVELOPE_TOPIC_TRANSACTION "transaction"
#define ENVELOPE_TOPIC_DEAD_LETTER "dead-letter"
#define ENVELOPE_TOPIC_STATE "state"
#define ENVELOPE_TOPIC_REQUEST "request"
#define ENVELOPE_TOPIC_MAX 250 /* with the end of the string */

/* Of a changed key: the key that comes, on the delete; the key that was, on the create. JSON, as in the message's key.
 */
#define ENVELOPE_HEADER_NEW_KEY "__debezium.newkey"
#define ENVELOPE_HEADER_OLD_KEY "__debezium.oldkey"

/* How a column's value is written.
 *
 *     type            ENVELOPE_PLAIN                       ENVELOPE_CONNECT
 *     int2, int4      number                               int16, int32
 *     int8, oid       number                               int64
 *     boolean         true, false                          boolean
 *     float4, float8  number; "NaN", "Infinity", …         float, double; null, and named in pgrekey.nonfinite
 *     numeric(p,s)    text, all digits: "12.50", "NaN"     Decimal: base64 of the two's complement; NaN as above
 *     numeric         the same                             VariableScaleDecimal {"scale","value"}; NaN as above
 *     date            "2024-02-29"                         Date: int32 days since 1970
 *     timestamp       "2024-02-29 12:00:00.5"              MicroTimestamp: int64 since 1970
 *     timestamptz     "2024-02-29T12:00:00.500000Z"        ZonedTimestamp: the same text
 *     time            "12:00:00.5"                         MicroTime: int64 since midnight
 *     json, jsonb     text that is JSON                    Json: the same text
 *     uuid            text                                 Uuid: the same text
 *     bytea           "\\x00ff"                            bytes: base64
 *     anything else   its output text                      string: the same text
 *
 * Temporal values outside what the second column can hold (infinity, BC) are null there, and named in
 * pgrekey.nonfinite with their text. In PLAIN they are their text.
 */
enum envelope_format { ENVELOPE_PLAIN, ENVELOPE_CONNECT };

/* What a column of the target is to the encoder. */
enum envelope_kind {
    ENVELOPE_INT16,
    ENVELOPE_INT32,
    ENVELOPE_INT64,
    ENVELOPE_BOOLEAN,
    ENVELOPE_FLOAT,
    ENVELOPE_DOUBLE,
    ENVELOPE_DECIMAL,          /* scale known */
    ENVELOPE_VARIABLE_DECIMAL, /* not known */
    ENVELOPE_DATE,
    ENVELOPE_TIMESTAMP,
    ENVELOPE_TIMESTAMPTZ,
    ENVELOPE_TIME,
    ENVELOPE_JSON,
    ENVELOPE_UUID,
    ENVELOPE_BYTES,
    ENVELOPE_TEXT,
};
/* *ret_scale: of ENVELOPE_DECIMAL. */
enum envelope_kind envelope_kind_of(const struct column *column, int *ret_scale);

/* "prefix.schema.table": what a topic's name may not hold becomes "_". False where it is too long. */
bool envelope_topic(const char *prefix, const char *schema, const char *table, char ret_name[ENVELOPE_TOPIC_MAX]);
/* "prefix.transaction" and its like. */
bool envelope_topic_of(const char *prefix, const char *what, char ret_name[ENVELOPE_TOPIC_MAX]);

/* "4711:123456789": what all messages of a source transaction name it by. Text of ENVELOPE_TXN_MAX. */
#define ENVELOPE_TXN_MAX 40
const char *envelope_txn_id(uint32_t xid, uint64_t commit_lsn, char ret_text[ENVELOPE_TXN_MAX]);

#endif
