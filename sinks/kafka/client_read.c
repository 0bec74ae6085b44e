/* Readers: of a whole topic (state at start, mirrors that are looked up in), of one as it grows (requests). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/base/clock.h"
#include "sinks/kafka/client.h"

#define ANSWER_MS 10000
#define SILENCE_US INT64_C(60000000) /* after so long without a message the broker counts as gone */

struct reading {
    rd_kafka_t *rk;
    const char *topic;
    client_take_fn take;
    void *context;
    int partitions, only; /* only: that one; -1: all */
    bool *ended;
    int64_t heard_us;
    const struct client_options *options;
};

static int open_reader(const struct client_options *options, rd_kafka_t **ret_rk, struct err *reterr)
{
    static const char *const pairs[][2] = {{"group.id", "pgrekey-reader"},        {"enable.auto.commit", "false"},
                                           {"isolation.level", "read_committed"}, {"enable.partition.eof", "true"},
                                           {"fetch.wait.max.ms", "50"},           {"auto.offset.reset", "earliest"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];
    if (client_configure(options, conf, reterr) != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        (void)rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], text, sizeof(text));
    *ret_rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (*ret_rk)
        return 0;
    rd_kafka_conf_destroy(conf);
    return err_set(reterr, ERR_CONFIG, "kafka.properties: librdkafka refuses its configuration: %s", text);
}

static int count_partitions(struct reading *r, struct err *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(r->rk, r->topic, NULL);
    rd_kafka_resp_err_t code = rd_kafka_metadata(r->rk, 0, topic, &metadata, ANSWER_MS);
    rd_kafka_topic_destroy(topic);
    if (code)
        return client_err(reterr, code, "asking for a topic");
    code = metadata->topic_cnt ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    r->partitions = code ? 0 : metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return code ? client_err(reterr, code, "asking for a topic") : 0;
}

static int assign(struct reading *r, struct err *reterr)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(r->partitions);
    for (int i = 0; i < r->partitions; i++)
        if (r->only < 0 || r->only == i)
            rd_kafka_topic_partition_list_add(list, r->topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t code = rd_kafka_assign(r->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return code ? client_err(reterr, code, "reading a topic") : 0;
}

static struct client_message describe(const rd_kafka_message_t *message)
{
    return (struct client_message){.key = message->key,
                                   .key_len = message->key_len,
                                   .value = message->payload,
                                   .len = message->len,
                                   .partition = message->partition,
                                   .offset = message->offset};
}

static int take_message(struct reading *r, const rd_kafka_message_t *message, int *left, struct err *reterr)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        *left -= !r->ended[message->partition];
        r->ended[message->partition] = true;
        return 0;
    }
    if (message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return client_err(reterr, message->err, "reading a topic");
    if (message->err)
        return 0; /* librdkafka tries again */
    const struct client_message own = describe(message);
    return r->take(r->context, &own, reterr);
}

static int read_all(struct reading *r, struct err *reterr)
{
    int left = r->only < 0 ? r->partitions : r->only < r->partitions;
    r->heard_us = clock_mono_us();
    while (left > 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(r->rk, 100);
        if (message) {
            int failed = take_message(r, message, &left, reterr);
            rd_kafka_message_destroy(message);
            if (failed)
                return -1;
            r->heard_us = clock_mono_us();
        } else if (clock_mono_us() - r->heard_us > SILENCE_US) {
            return err_set(reterr, ERR_RETRY, "Kafka: topic %s cannot be read to its end", r->topic);
        }
        if (r->options->stopping && r->options->stopping(r->options->context))
            return err_set(reterr, ERR_STOP, "stopped");
    }
    return 0;
}

static int run_reading(struct reading *r, struct err *reterr)
{
    if (open_reader(r->options, &r->rk, reterr) != 0)
        return -1;
    (void)rd_kafka_poll_set_consumer(r->rk);
    int failed = count_partitions(r, reterr);
    if (!failed) {
        r->ended = mem_zalloc((size_t)r->partitions + 1, sizeof(*r->ended));
        failed = assign(r, reterr) != 0 || read_all(r, reterr) != 0;
        free(r->ended);
    }
    (void)rd_kafka_assign(r->rk, NULL);
    rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return failed ? -1 : 0;
}

int client_read_topic(const struct client_options *options, const char *topic, client_take_fn take, void *context,
                      struct err *reterr)
{
    struct reading r = {.topic = topic, .take = take, .context = context, .options = options, .only = -1};
    return run_reading(&r, reterr);
}

int client_read_partition(const struct client_options *options, const char *topic, int partition, client_take_fn take,
                          void *context, struct err *reterr)
{
    struct reading r = {.topic = topic, .take = take, .context = context, .options = options, .only = partition};
    return run_reading(&r, reterr);
}

int client_measure_topic(const struct client_options *options, const char *topic, int *ret_partitions,
                         uint64_t *ret_span, struct err *reterr)
{
    struct reading r = {.topic = topic, .options = options};
    if (open_reader(options, &r.rk, reterr) != 0)
        return -1;
    int failed = count_partitions(&r, reterr);
    *ret_span = 0;
    for (int i = 0; i < r.partitions && !failed; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(r.rk, topic, i, &low, &high, ANSWER_MS);
        if (code)
            failed = client_err(reterr, code, "asking how much a topic holds");
        else if ((uint64_t)(high - low) > *ret_span)
            *ret_span = (uint64_t)(high - low);
    }
    *ret_partitions = r.partitions;
    rd_kafka_destroy_flags(r.rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return failed ? -1 : 0;
}

/* --- one that grows --- */

struct client_tail {
    rd_kafka_t *rk;
    rd_kafka_message_t *last;
};

int client_tail_open(const struct client_options *options, const char *topic, int64_t offset,
                     struct client_tail **ret_tail, struct err *reterr)
{
    struct client_tail *tail = mem_zalloc(1, sizeof(*tail));
    if (open_reader(options, &tail->rk, reterr) != 0) {
        free(tail);
        return -1;
    }
    (void)rd_kafka_poll_set_consumer(tail->rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    rd_kafka_resp_err_t code = rd_kafka_assign(tail->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    *ret_tail = tail;
    return code ? client_err(reterr, code, "reading a topic") : 0;
}

int client_tail_next(struct client_tail *tail, int wait_ms, enum client_tail_found *ret_found,
                     struct client_message *ret_message, struct err *reterr)
{
    if (tail->last)
        rd_kafka_message_destroy(tail->last);
    tail->last = rd_kafka_consumer_poll(tail->rk, wait_ms);
    *ret_found = TAIL_NONE;
    if (!tail->last)
        return 0;
    if (!tail->last->err) {
        *ret_found = TAIL_MESSAGE;
        *ret_message = describe(tail->last);
    } else if (tail->last->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        *ret_found = TAIL_END;
    } else if (tail->last->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        return client_err(reterr, tail->last->err, "reading a topic");
    }
    return 0; /* librdkafka tries again where something else is amiss */
}

void client_tail_close(struct client_tail *tail)
{
    if (!tail)
        return;
    if (tail->last)
        rd_kafka_message_destroy(tail->last);
    (void)rd_kafka_assign(tail->rk, NULL);
    rd_kafka_destroy_flags(tail->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(tail);
}
