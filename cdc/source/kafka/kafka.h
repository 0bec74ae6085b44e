/* Topics read partition by partition, committed messages only. No consumer group and no offsets kept here: whoever
 * reads says from where, and keeps how far it came with what it made of it.
 *
 * One thread a partition; partitions of one connection may be read by different threads.
 */
#ifndef PGREKEY_SOURCE_KAFKA_KAFKA_H
#define PGREKEY_SOURCE_KAFKA_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"

struct kafka_options {
    const char *bootstrap;
    const char *properties;      /* "name=value, name=value"; NULL */
    const char *properties_file; /* a line each; NULL */
    const char *client_id;
};

struct kafka;

/* Connects lazily: a broker that is away shows at the first question. ERR_CONFIG names a property that librdkafka
 * refuses. */
int kafka_open(const struct kafka_options *options, struct kafka **ret_kafka, struct err *reterr) MUST_CHECK;
void kafka_close(struct kafka *kafka); /* NULL is fine; after its partitions */

/* 0 partitions: there is no such topic. Blocks up to some seconds; ERR_RETRY where no broker answers. */
int kafka_partition_count(struct kafka *kafka, const char *topic, int *ret_count, struct err *reterr) MUST_CHECK;
/* *ret_high is the offset behind the last message, committed or not. */
int kafka_watermarks(struct kafka *kafka, const char *topic, int partition, int64_t *ret_low, int64_t *ret_high,
                     struct err *reterr) MUST_CHECK;
/* A topic's setting that is a number ("min.compaction.lag.ms"). */
int kafka_topic_number(struct kafka *kafka, const char *topic, const char *name, int64_t *ret_value,
                       struct err *reterr) MUST_CHECK;

struct kafka_message {
    int64_t offset, timestamp_ms;
    const char *key, *value; /* NULL: none. Valid until the next one is asked for. */
    size_t key_len, value_len;
};

struct kafka_partition;

int kafka_partition_open(struct kafka *kafka, const char *topic, int partition, int64_t offset,
                         struct kafka_partition **ret_partition, struct err *reterr) MUST_CHECK;
void kafka_partition_close(struct kafka_partition *partition); /* NULL is fine */
/* 1 and a message; 0 where none came within the time. ERR_REFUSED where the topic is gone, or the offset with it;
 * ERR_RETRY where the network is. */
int kafka_next(struct kafka_partition *partition, int timeout_ms, struct kafka_message *ret_message,
               struct err *reterr) MUST_CHECK;
/* All messages before this offset have been given, or will never be; -1 while that is not known. Messages of a
 * transaction that is still open lie behind it. */
int64_t kafka_reached(const struct kafka_partition *partition);

#endif
