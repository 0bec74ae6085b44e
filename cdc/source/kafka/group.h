/* Membership in a consumer group: who reads which partition. Only that: what is read, and from where, is the member's
 * own business (kafka.h). */
#ifndef PGREKEY_SOURCE_KAFKA_GROUP_H
#define PGREKEY_SOURCE_KAFKA_GROUP_H

#include "cdc/source/kafka/kafka.h"

struct kafka_group;

struct kafka_claim {
    const char *topic;
    int partition;
};

struct kafka_group_options {
    const struct kafka_options *kafka;
    const char *group;
    const char *const *topics;
    size_t topic_count;
    /* The partitions go to others: called from kafka_group_poll and _leave, before they do. */
    void (*revoked)(void *context);
    void *context;
};

int kafka_group_join(const struct kafka_group_options *options, struct kafka_group **ret_group,
                     struct err *reterr) MUST_CHECK;
void kafka_group_leave(struct kafka_group *group); /* NULL is fine */
/* To be called every few seconds at least. *ret_changed: others are ours than after the last call. */
int kafka_group_poll(struct kafka_group *group, int timeout_ms, bool *ret_changed, struct err *reterr) MUST_CHECK;
/* Valid until the next poll. *ret_joined: partitions have been given out, perhaps none to us. */
const struct kafka_claim *kafka_group_claims(const struct kafka_group *group, size_t *ret_count, bool *ret_joined);

#endif
