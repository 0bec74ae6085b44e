/* Topics on the broker: are they there, make them, hold what is there to what we need. */
#ifndef PGREKEY_SINKS_KAFKA_TOPICS_H
#define PGREKEY_SINKS_KAFKA_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/kafka/client.h"

struct topic_spec {
    const char *name;
    int partitions;
    bool compacted; /* else it is cleaned up by age */
    bool present;   /* topics_look */
};

struct topic_options {
    int replication; /* 0: the broker's default */
    int64_t min_compaction_lag_ms, delete_retention_ms, retention_ms;
    size_t message_max_bytes;
};

/* Which are there. ERR_RETRY where the broker does not answer. */
int topics_look(struct client *client, struct topic_spec *specs, size_t count, struct err *reterr) MUST_CHECK;
/* Makes those that are not present. */
int topics_make(struct client *client, const struct topic_options *options, struct topic_spec *specs, size_t count,
                struct err *reterr) MUST_CHECK;
/* ERR_CONFIG where one that should keep its keys for ever may lose them by age or size. */
int topics_check(struct client *client, const struct topic_spec *specs, size_t count, struct err *reterr) MUST_CHECK;
/* Messages, markers of transactions included, that a topic has ever had in its partitions. */
int topics_written(struct client *client, const char *name, uint64_t *ret_count, struct err *reterr) MUST_CHECK;
/* Takes topics away, as they are; one that is not there is fine. */
int topics_remove(struct client *client, const struct topic_spec *specs, size_t count, struct err *reterr) MUST_CHECK;

#endif
