/* librdkafka, with its errors as ours: a transactional producer, the admin's few calls, and a reader of one topic.
 *
 * No value and no secret comes out in an error: of a broker's error only librdkafka's code and its fixed text are told.
 */
#ifndef PGREKEY_SINKS_KAFKA_CLIENT_H
#define PGREKEY_SINKS_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"

struct client_options {
    const char *brokers;
    /* librdkafka properties, "name=value" with commas between; a value "@file" is the first line of that file. A piece
     * without "=" belongs to the value before it. NULL: none. */
    const char *properties;
    const char *properties_file; /* the same, a pair a line, # comments; NULL: none */
    const char *transactional_id;
    int transaction_timeout_ms;
    size_t message_max_bytes;
    const char *compression;
    int linger_ms;
    bool (*stopping)(void *context); /* asked while it waits; NULL: never */
    void *context;
};

/* Sets brokers and properties: what any client of ours begins with. ERR_CONFIG names the property. */
int client_configure(const struct client_options *options, rd_kafka_conf_t *conf, struct err *reterr) MUST_CHECK;

struct client;

int client_open(const struct client_options *options, struct client **ret_client, struct err *reterr) MUST_CHECK;
/* Aborts an open transaction, briefly. NULL is fine. */
void client_close(struct client *client);
rd_kafka_t *client_handle(struct client *client);

/* A topic to produce to; owned by the client. Keys choose the partition as Kafka's own clients do. */
int client_topic(struct client *client, const char *name, rd_kafka_topic_t **ret_topic, struct err *reterr) MUST_CHECK;

/* Shuts out whoever used this transactional id before, and ends what they left open. May take until the broker has its
 * coordinator loaded. ERR_RETRY where the broker does not answer. */
int client_take_over(struct client *client, struct err *reterr) MUST_CHECK;
int client_begin(struct client *client, struct err *reterr) MUST_CHECK;
bool client_in_transaction(const struct client *client);
/* When the open transaction was begun, monotonic microseconds. */
int64_t client_begun_us(const struct client *client);

struct client_header {
    const char *name, *value; /* name NULL: none */
    size_t len;
};
/* Copies key and value; value NULL: a tombstone. Waits where the queue is full: that is the back-pressure. ERR_REFUSED:
 * the message is too large, and the setting's name. */
int client_produce(struct client *client, rd_kafka_topic_t *topic, const void *key, size_t key_len, const void *value,
                   size_t len, const struct client_header *header, struct err *reterr) MUST_CHECK;
/* Blocks until the broker has it. On -1 nothing of it is visible, or (ERR_RETRY) nobody knows: after the next take-over
 * the position tells. */
int client_commit(struct client *client, struct err *reterr) MUST_CHECK;
void client_abort(struct client *client);

/* Messages that are queued or in flight; failed ones and committed transactions since it was opened. */
struct client_figures {
    uint64_t queued, failed, transactions, messages;
    int64_t commit_us; /* how long the last commit took */
};
void client_figures(const struct client *client, struct client_figures *ret_figures);

/* A message as it is read; its texts live until it was taken. value NULL: a tombstone. */
struct client_message {
    const char *key, *value;
    size_t key_len, len;
    int partition;
    int64_t offset;
};
typedef int (*client_take_fn)(void *context, const struct client_message *message, struct err *reterr);
/* Every message of a topic that a read-committed reader sees, partition by partition, up to its end as it is when it is
 * begun. */
int client_read_topic(const struct client_options *options, const char *topic, client_take_fn take, void *context,
                      struct err *reterr) MUST_CHECK;
/* The same of one partition. */
int client_read_partition(const struct client_options *options, const char *topic, int partition, client_take_fn take,
                          void *context, struct err *reterr) MUST_CHECK;
/* How many partitions it has, and how many offsets the largest of them spans. */
int client_measure_topic(const struct client_options *options, const char *topic, int *ret_partitions,
                         uint64_t *ret_span, struct err *reterr) MUST_CHECK;

/* A topic of one partition, from an offset on, as messages come. */
struct client_tail;
int client_tail_open(const struct client_options *options, const char *topic, int64_t offset,
                     struct client_tail **ret_tail, struct err *reterr) MUST_CHECK;
enum client_tail_found { TAIL_NONE, TAIL_MESSAGE, TAIL_END }; /* END: once, where it has come to the end */
/* Waits so long at most. *ret_message lives until the next call. */
int client_tail_next(struct client_tail *tail, int wait_ms, enum client_tail_found *ret_found,
                     struct client_message *ret_message, struct err *reterr) MUST_CHECK;
void client_tail_close(struct client_tail *tail); /* NULL is fine */

/* Of a code that only says that no broker answers: what the connections failed for, where that is known (a password, a
 * certificate). */
rd_kafka_resp_err_t client_explain(struct client *client, rd_kafka_resp_err_t code);
/* What librdkafka says, as one of ours: `doing` "committing". Returns -1. */
int client_err(struct err *reterr, rd_kafka_resp_err_t code, const char *doing);

#endif
