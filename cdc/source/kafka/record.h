/* One message of our topics decoded: a C face over simdjson. docs/kafka.md says what stands in it.
 *
 * Knows no broker. In two steps: what the message is, so that readers can put it into its order; and, when its turn has
 * come, the values of its row.
 */
#ifndef PGREKEY_SOURCE_KAFKA_RECORD_H
#define PGREKEY_SOURCE_KAFKA_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"

#define RECORD_RULE_MAX 512

enum record_kind {
    RECORD_CHANGE,
    RECORD_BEGIN,
    RECORD_END,
    RECORD_FOREIGN, /* none of ours; `reason` says why, without a value */
};

struct record {
    enum record_kind kind;
    const char *reason;
    char op;      /* c, u, d, r */
    uint64_t lsn; /* where the source transaction's commit ends; of a row that was read: its point */
    uint32_t xid;
    uint64_t order;       /* in the transaction, from 1; 0 where the message belongs to none */
    uint64_t event_count; /* of END */
    int64_t ts_ms;        /* when it was committed; 0 where not known */
    char rule[RECORD_RULE_MAX];
};

struct record_decoder;

struct record_decoder *record_decoder_new(void);
void record_decoder_free(struct record_decoder *decoder); /* NULL is fine */

/* Any bytes; what is not ours is RECORD_FOREIGN. Nothing of the message is kept. */
void record_decode(struct record_decoder *decoder, const char *value, size_t len, struct record *ret_record);

/* The row of a change whose relation is known: its columns by name, all texts in the arena. Columns that the message
 * does not hold are ABSENT; those that the relation does not have are left out. Of a delete the key alone is present.
 * False, with a reason, where the values cannot be read. */
bool record_values(struct record_decoder *decoder, const char *value, size_t len, const struct record *record,
                   const struct relation *relation, struct value *ret_values, struct arena *arena,
                   const char **ret_reason);

#endif
