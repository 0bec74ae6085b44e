/* The messages of envelope.h: what is the same in all messages of a rule is made once (a shape), the rest is put
 * together row by row into a buffer. Pure: no broker.
 */
#ifndef PGREKEY_SINKS_KAFKA_MESSAGE_H
#define PGREKEY_SINKS_KAFKA_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/buf.h"
#include "cdc/base/relation.h"
#include "sinks/kafka/envelope.h"
#include "transform/row.h"

struct shape;

/* prefix, database: as in `source`. target, source: the relations of the rule; all outlive the shape. */
struct shape *shape_new(const struct rule *rule, const struct relation *target, const struct relation *source,
                        const char *prefix, const char *database, enum envelope_format format);
void shape_free(struct shape *shape);

struct event {
    char op;                        /* c, u, d, r */
    const struct row *row;          /* values, change; of `d` only the change is read */
    const struct value *locator;    /* of `d`: the key that goes */
    const struct value *absent;     /* the row's values before it was completed from the source, or NULL */
    const char *why;                /* of `d` */
    const char *snapshot;           /* "true", "incremental", "false" */
    uint64_t lsn;                   /* commit's end, or the snapshot's point */
    int64_t commit_us;              /* 0: not known */
    uint32_t xid;                   /* 0: no transaction */
    uint64_t total_order, of_topic; /* 0: no transaction */
    uint64_t ordinal;               /* likewise */
};

/* {"id":"…"}: the key of a message without its schema, as the headers hold it. */
void message_plain_key(const struct shape *shape, const struct value *locator, struct buf *out);
void message_key(const struct shape *shape, const struct value *locator, struct buf *out);
void message_value(const struct shape *shape, const struct event *event, int64_t now_us, struct buf *out);

/* --- the transaction topic --- */

struct collection_count {
    const char *name; /* "schema.table" of the target */
    uint64_t events;
};
void message_txn_key(enum envelope_format format, const char *id, struct buf *out);
/* counts NULL: BEGIN. Collections without events are left out. */
void message_txn_value(enum envelope_format format, const char *id, int64_t commit_us,
                       const struct collection_count *counts, size_t count, uint64_t events, struct buf *out);

/* --- dead letters --- */

/* The legacy key as quarantine writes it: ["7"]. */
void message_source_key(const struct change *change, struct buf *out);
/* {"rule":…,"key":…} */
void message_letter_key(const char *rule, const char *key, struct buf *out);
/* row NULL: resolved. */
void message_letter_value(const struct rule *rule, const char *key, const struct row *row, uint64_t lsn, uint32_t xid,
                          int64_t now_us, struct buf *out);

#endif
