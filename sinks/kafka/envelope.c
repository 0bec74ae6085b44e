#include "sinks/kafka/envelope.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names --- */

#define TOPIC_MAX 249 /* Kafka's own limit */

static bool sane(char ret_name[ENVELOPE_TOPIC_MAX], int len)
{
    for (char *c = ret_name; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c))
            *c = '_';
    return len >= 0 && len <= TOPIC_MAX;
}

bool envelope_topic(const char *prefix, const char *schema, const char *table, char ret_name[ENVELOPE_TOPIC_MAX])
{
    return sane(ret_name, snprintf(ret_name, ENVELOPE_TOPIC_MAX, "%s.%s.%s", prefix, schema, table));
}

bool envelope_topic_of(const char *prefix, const char *what, char ret_name[ENVELOPE_TOPIC_MAX])
{
    return sane(ret_name, snprintf(ret_name, ENVELOPE_TOPIC_MAX, "%s.%s", prefix, what));
}

const char *envelope_txn_id(uint32_t xid, uint64_t commit_lsn, char ret_text[ENVELOPE_TXN_MAX])
{
    snprintf(ret_text, ENVELOPE_TXN_MAX, "%" PRIu32 ":%" PRIu64, xid, commit_lsn);
    return ret_text;
}

/* --- types --- */

static const struct {
    const char *type;
    enum envelope_kind kind;
} kinds[] = {
    {"smallint", ENVELOPE_INT16},
    {"integer", ENVELOPE_INT32},
    {"bigint", ENVELOPE_INT64},
    {"oid", ENVELOPE_INT64},
    {"boolean", ENVELOPE_BOOLEAN},
    {"real", ENVELOPE_FLOAT},
    {"double precision", ENVELOPE_DOUBLE},
    {"numeric", ENVELOPE_VARIABLE_DECIMAL},
    {"date", ENVELOPE_DATE},
    {"timestamp without time zone", ENVELOPE_TIMESTAMP},
    {"timestamp with time zone", ENVELOPE_TIMESTAMPTZ},
    {"time without time zone", ENVELOPE_TIME},
    {"json", ENVELOPE_JSON},
    {"jsonb", ENVELOPE_JSON},
    {"uuid", ENVELOPE_UUID},
    {"bytea", ENVELOPE_BYTES},
};

/* "numeric(12,2)": 2. A domain's own type hides it. */
static bool scale_of(const char *type, int *ret_scale)
{
    const char *open = strchr(type, '('), *comma = open ? strchr(open, ',') : NULL;
    if (!open || strncmp(type, "numeric", 7) != 0)
        return false;
    *ret_scale = comma ? atoi(comma + 1) : 0;
    return true;
}

enum envelope_kind envelope_kind_of(const struct column *column, int *ret_scale)
{
    *ret_scale = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (strcmp(column->base_type, kinds[i].type) != 0)
            continue;
        if (kinds[i].kind == ENVELOPE_VARIABLE_DECIMAL && scale_of(column->type, ret_scale))
            return ENVELOPE_DECIMAL;
        return kinds[i].kind;
    }
    return ENVELOPE_TEXT;
}
