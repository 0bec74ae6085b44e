#include "cdc/source/kafka/group.h"

#include <stdlib.h>

#include "cdc/base/arena.h"
#include "cdc/source/kafka/internal.h"

struct kafka_group {
    struct kafka_group_options options;
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *list; /* what claims point into */
    struct kafka_claim *claims;
    size_t count;
    bool joined, changed;
};

static void give_back(struct kafka_group *group)
{
    if (group->list)
        rd_kafka_topic_partition_list_destroy(group->list);
    free(group->claims);
    group->list = NULL;
    group->claims = NULL;
    group->count = 0;
    group->changed = true;
}

static void take(struct kafka_group *group, const rd_kafka_topic_partition_list_t *partitions)
{
    give_back(group);
    group->list = rd_kafka_topic_partition_list_copy(partitions);
    group->count = (size_t)partitions->cnt;
    group->claims = mem_zalloc(group->count + 1, sizeof *group->claims);
    for (size_t i = 0; i < group->count; i++)
        group->claims[i] = (struct kafka_claim){group->list->elems[i].topic, group->list->elems[i].partition};
    group->joined = true;
}

/* The members' own client reads nothing. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque)
{
    struct kafka_group *group = opaque;
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        group->options.revoked(group->options.context);
        give_back(group);
        group->joined = false;
        rd_kafka_assign(rk, NULL);
        return;
    }
    for (int i = 0; i < partitions->cnt; i++)
        partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
    take(group, partitions);
    rd_kafka_assign(rk, partitions);
    rd_kafka_pause_partitions(rk, partitions);
}

static int subscribe(struct kafka_group *group, struct err *reterr)
{
    const struct kafka_group_options *options = &group->options;
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new((int)options->topic_count);
    for (size_t i = 0; i < options->topic_count; i++)
        rd_kafka_topic_partition_list_add(topics, options->topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(group->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return err_set(reterr, ERR_RETRY, "kafka: joining group %.100s: %s", options->group, rd_kafka_err2name(code));
}

int kafka_group_join(const struct kafka_group_options *options, struct kafka_group **ret_group, struct err *reterr)
{
    rd_kafka_conf_t *conf = NULL;
    char said[512] = "";
    if (kafka_conf(options->kafka, &conf, reterr) != 0)
        return -1;
    struct kafka_group *group = mem_zalloc(1, sizeof *group);
    group->options = *options;
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_opaque(conf, group);
    if (rd_kafka_conf_set(conf, "group.id", options->group, said, sizeof said) != RD_KAFKA_CONF_OK ||
        !(group->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, said, sizeof said))) {
        rd_kafka_conf_destroy(conf);
        free(group);
        return err_set(reterr, ERR_CONFIG, "kafka: %.200s", said);
    }
    rd_kafka_poll_set_consumer(group->rk);
    if (subscribe(group, reterr) != 0) {
        kafka_group_leave(group);
        return -1;
    }
    *ret_group = group;
    return 0;
}

void kafka_group_leave(struct kafka_group *group)
{
    if (!group)
        return;
    rd_kafka_consumer_close(group->rk);
    rd_kafka_destroy(group->rk);
    give_back(group);
    free(group);
}

int kafka_group_poll(struct kafka_group *group, int timeout_ms, bool *ret_changed, struct err *reterr)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(group->rk, timeout_ms);
    rd_kafka_resp_err_t code = message ? message->err : RD_KAFKA_RESP_ERR_NO_ERROR;
    if (message)
        rd_kafka_message_destroy(message);
    *ret_changed = group->changed && group->joined;
    group->changed = group->changed && !group->joined;
    if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        return err_set(reterr, ERR_CONFIG, "kafka: group %.100s may not be joined", group->options.group);
    return 0;
}

const struct kafka_claim *kafka_group_claims(const struct kafka_group *group, size_t *ret_count, bool *ret_joined)
{
    *ret_count = group->count;
    *ret_joined = group->joined;
    return group->claims;
}
