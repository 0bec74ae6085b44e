#include "sinks/kafka/topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/base/arena.h"

#define ANSWER_MS 10000
#define ADMIN_MS 60000

/* --- what is there --- */

int topics_look(struct client *client, struct topic_spec *specs, size_t count, struct err *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client_handle(client), 1, NULL, &metadata, ANSWER_MS);
    if (code)
        return client_err(reterr, client_explain(client, code), "asking for the topics");
    for (size_t i = 0; i < count; i++) {
        specs[i].present = false;
        for (int t = 0; t < metadata->topic_cnt; t++)
            if (strcmp(metadata->topics[t].topic, specs[i].name) == 0 && metadata->topics[t].partition_cnt > 0)
                specs[i].present = true;
    }
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

static int partitions_of(struct client *client, const char *name, int *ret_count, struct err *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic;
    if (client_topic(client, name, &topic, reterr) != 0)
        return -1;
    rd_kafka_resp_err_t code = rd_kafka_metadata(client_handle(client), 0, topic, &metadata, ANSWER_MS);
    if (code)
        return client_err(reterr, code, "asking for a topic");
    *ret_count = metadata->topic_cnt ? metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

int topics_written(struct client *client, const char *name, uint64_t *ret_count, struct err *reterr)
{
    int partitions = 0;
    if (partitions_of(client, name, &partitions, reterr) != 0)
        return -1;
    *ret_count = 0;
    for (int i = 0; i < partitions; i++) {
        int64_t low, high;
        rd_kafka_resp_err_t code =
            rd_kafka_query_watermark_offsets(client_handle(client), name, i, &low, &high, ANSWER_MS);
        if (code)
            return client_err(reterr, code, "asking how much a topic holds");
        *ret_count += (uint64_t)high;
    }
    return 0;
}

/* --- the admin's calls --- */

/* Waits for the answer to what was asked with `options`; the caller destroys both. */
static int wait_answer(rd_kafka_queue_t *queue, const char *doing, rd_kafka_event_t **ret_event, struct err *reterr)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_MS + 5000);
    if (!event)
        return err_set(reterr, ERR_RETRY, "Kafka: %s: no answer", doing);
    if (rd_kafka_event_error(event)) {
        (void)client_err(reterr, rd_kafka_event_error(event), doing);
        rd_kafka_event_destroy(event);
        return -1;
    }
    *ret_event = event;
    return 0;
}

static rd_kafka_AdminOptions_t *admin_options(struct client *client, rd_kafka_admin_op_t op)
{
    char text[128];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client_handle(client), op);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ADMIN_MS, text, sizeof(text));
    return options;
}

static int first_failure(const rd_kafka_topic_result_t *const *results, size_t count, rd_kafka_resp_err_t fine,
                         const char *doing, struct err *reterr)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (!code || code == fine)
            continue;
        (void)client_err(reterr, code, doing);
        return err_wrap(reterr, "topic %s", rd_kafka_topic_result_name(results[i]));
    }
    return 0;
}

static void set_number(rd_kafka_NewTopic_t *topic, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    (void)rd_kafka_NewTopic_set_config(topic, name, text);
}

static rd_kafka_NewTopic_t *describe(const struct topic_options *options, const struct topic_spec *spec)
{
    char text[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        spec->name, spec->partitions, options->replication ? options->replication : -1, text, sizeof(text));
    if (!topic)
        return NULL;
    (void)rd_kafka_NewTopic_set_config(topic, "cleanup.policy", spec->compacted ? "compact" : "delete");
    if (spec->compacted) {
        set_number(topic, "min.compaction.lag.ms", options->min_compaction_lag_ms);
        set_number(topic, "delete.retention.ms", options->delete_retention_ms);
    } else {
        set_number(topic, "retention.ms", options->retention_ms);
    }
    set_number(topic, "max.message.bytes", (int64_t)options->message_max_bytes);
    return topic;
}

static int make(struct client *client, rd_kafka_NewTopic_t **topics, size_t count, struct err *reterr)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client_handle(client));
    rd_kafka_AdminOptions_t *options = admin_options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_event_t *event = NULL;
    rd_kafka_CreateTopics(client_handle(client), topics, count, options, queue);
    int failed = wait_answer(queue, "making topics", &event, reterr);
    if (!failed) {
        size_t done;
        const rd_kafka_topic_result_t **results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &done);
        failed = first_failure(results, done, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, "making it", reterr);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return failed;
}

/* A new topic is known to the controller before every broker knows it. */
static int wait_present(struct client *client, struct topic_spec *specs, size_t count, struct err *reterr)
{
    for (int tries = 0; tries < 100; tries++) {
        bool all = true;
        if (topics_look(client, specs, count, reterr) != 0)
            return -1;
        for (size_t i = 0; i < count; i++)
            all = all && specs[i].present;
        if (all)
            return 0;
        usleep(100 * 1000);
    }
    return err_set(reterr, ERR_RETRY, "Kafka: new topics do not appear");
}

int topics_make(struct client *client, const struct topic_options *options, struct topic_spec *specs, size_t count,
                struct err *reterr)
{
    rd_kafka_NewTopic_t **topics = mem_zalloc(count + 1, sizeof(*topics));
    size_t wanted = 0;
    int failed = 0;
    for (size_t i = 0; i < count && !failed; i++) {
        if (specs[i].present)
            continue;
        topics[wanted] = describe(options, &specs[i]);
        if (!topics[wanted++])
            failed = err_set(reterr, ERR_CONFIG, "Kafka: a topic cannot be called %s", specs[i].name);
    }
    if (!failed && wanted > 0)
        failed = make(client, topics, wanted, reterr) != 0 || wait_present(client, specs, count, reterr) != 0;
    for (size_t i = 0; i < wanted; i++)
        if (topics[i])
            rd_kafka_NewTopic_destroy(topics[i]);
    free(topics);
    return failed ? -1 : 0;
}

int topics_remove(struct client *client, const struct topic_spec *specs, size_t count, struct err *reterr)
{
    rd_kafka_DeleteTopic_t **topics = mem_zalloc(count + 1, sizeof(*topics));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client_handle(client));
    rd_kafka_AdminOptions_t *options = admin_options(client, RD_KAFKA_ADMIN_OP_DELETETOPICS);
    rd_kafka_event_t *event = NULL;
    for (size_t i = 0; i < count; i++)
        topics[i] = rd_kafka_DeleteTopic_new(specs[i].name);
    rd_kafka_DeleteTopics(client_handle(client), topics, count, options, queue);
    int failed = wait_answer(queue, "removing topics", &event, reterr);
    if (!failed) {
        size_t done;
        const rd_kafka_topic_result_t **results =
            rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &done);
        failed = first_failure(results, done, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "removing it", reterr);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_DeleteTopic_destroy_array(topics, count);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    free(topics);
    return failed;
}

/* --- what is wrong with them --- */

static int check_policy(const char *topic, const char *value, struct err *reterr)
{
    if (strcmp(value, "compact") == 0)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "topic %s has cleanup.policy=%s: rows that nobody changes would be lost", topic,
                  value);
    return err_hint(reterr, "set cleanup.policy=compact for it, or remove it, so that it is made anew");
}

static int check_answer(rd_kafka_event_t *event, struct err *reterr)
{
    size_t count;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        size_t entries;
        const rd_kafka_ConfigEntry_t **configs = rd_kafka_ConfigResource_configs(resources[i], &entries);
        for (size_t c = 0; c < entries; c++)
            if (strcmp(rd_kafka_ConfigEntry_name(configs[c]), "cleanup.policy") == 0 &&
                check_policy(rd_kafka_ConfigResource_name(resources[i]), rd_kafka_ConfigEntry_value(configs[c]),
                             reterr) != 0)
                return -1;
    }
    return 0;
}

int topics_check(struct client *client, const struct topic_spec *specs, size_t count, struct err *reterr)
{
    rd_kafka_ConfigResource_t **asked = mem_zalloc(count + 1, sizeof(*asked));
    size_t wanted = 0;
    for (size_t i = 0; i < count; i++)
        if (specs[i].present && specs[i].compacted)
            asked[wanted++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, specs[i].name);
    int failed = 0;
    if (wanted > 0) {
        rd_kafka_queue_t *queue = rd_kafka_queue_new(client_handle(client));
        rd_kafka_AdminOptions_t *options = admin_options(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
        rd_kafka_event_t *event = NULL;
        rd_kafka_DescribeConfigs(client_handle(client), asked, wanted, options, queue);
        failed = wait_answer(queue, "asking how topics are set", &event, reterr);
        if (!failed) {
            failed = check_answer(event, reterr);
            rd_kafka_event_destroy(event);
        }
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
    }
    rd_kafka_ConfigResource_destroy_array(asked, wanted);
    free(asked);
    return failed;
}
