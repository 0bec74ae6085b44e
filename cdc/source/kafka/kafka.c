#include "cdc/source/kafka/kafka.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cdc/base/arena.h"
#include "cdc/base/log.h"
#include "cdc/source/kafka/internal.h"

#define ANSWER_MS 15000
#define CLOSE_S 5
#define BATCH 512
#define LINE_MAX_BYTES 4096

struct kafka {
    rd_kafka_t *rk;
};

struct kafka_partition {
    struct kafka *kafka;
    rd_kafka_topic_t *topic;
    char *name;
    int32_t number;
    rd_kafka_message_t *messages[BATCH];
    size_t count, next;
    rd_kafka_message_t *given;
    int64_t reached;
};

/* --- properties --- */

static int refuse_property(const char *name, const char *why, struct err *reterr)
{
    (void)err_set(reterr, ERR_CONFIG, "kafka.properties: %.100s", *why ? why : name);
    return err_hint(reterr, "librdkafka's CONFIGURATION.md has them all");
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    for (size_t len = strlen(text); len && strchr(" \t\r\n", text[len - 1]);)
        text[--len] = '\0';
    return text;
}

static int read_line(const char *path, char *line, int size, struct err *reterr)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "kafka.properties: cannot open %s: %s", path, strerror(errno));
    bool got = fgets(line, size, file) != NULL;
    fclose(file);
    return got ? 0 : err_set(reterr, ERR_CONFIG, "kafka.properties: %s is empty", path);
}

/* What librdkafka says of a refused value may hold it. */
static int set_property(rd_kafka_conf_t *conf, char *pair, struct err *reterr)
{
    char said[512], *name = trim(pair), *equals = strchr(name, '=');
    if (!*name || *name == '#')
        return 0;
    if (!equals)
        return refuse_property("", "a property without a value", reterr);
    *equals = '\0';
    name = trim(name);
    char line[LINE_MAX_BYTES] = "", *value = trim(equals + 1);
    if (*value == '@' && read_line(value + 1, line, sizeof line, reterr) != 0)
        return -1;
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, *value == '@' ? trim(line) : value, said, sizeof said);
    memset(line, 0, sizeof line);
    if (result == RD_KAFKA_CONF_OK)
        return 0;
    return err_set(reterr, ERR_CONFIG, "kafka.properties: librdkafka refuses the property %.100s or its value", name);
}

static int set_list(rd_kafka_conf_t *conf, const char *list, struct err *reterr)
{
    char *copy = mem_strdup(list ? list : ""), *rest = copy, *pair;
    int failed = 0;
    while (!failed && (pair = strsep(&rest, ",")))
        failed = set_property(conf, pair, reterr);
    free(copy);
    return failed;
}

static int set_file(rd_kafka_conf_t *conf, const char *path, struct err *reterr)
{
    char line[LINE_MAX_BYTES];
    int failed = 0;
    if (!path)
        return 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "cannot open kafka.properties_file %s: %s", path, strerror(errno));
    while (!failed && fgets(line, sizeof line, file))
        failed = set_property(conf, line, reterr);
    memset(line, 0, sizeof line);
    fclose(file);
    return failed;
}

/* Whole messages only, in bounded memory, from where we say: a position that is gone is told, never guessed. */
static int set_own(rd_kafka_conf_t *conf, const struct kafka_options *options, bool late, struct err *reterr)
{
    static const char *const early[][2] = {{"queued.max.messages.kbytes", "2048"},
                                           {"queued.min.messages", "20000"},
                                           {"fetch.wait.max.ms", "100"},
                                           {"fetch.error.backoff.ms", "50"},
                                           {"log_level", "3"}};
    static const char *const fixed[][2] = {{"isolation.level", "read_committed"}, {"enable.auto.commit", "false"},
                                           {"enable.partition.eof", "true"},      {"auto.offset.reset", "error"},
                                           {"allow.auto.create.topics", "false"}, {"check.crcs", "true"}};
    const char *const(*pairs)[2] = late ? fixed : early;
    size_t count = late ? sizeof fixed / sizeof *fixed : sizeof early / sizeof *early;
    char said[512] = "";
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], said, sizeof said) != RD_KAFKA_CONF_OK)
            return refuse_property(pairs[i][0], said, reterr);
    if (late && (rd_kafka_conf_set(conf, "bootstrap.servers", options->bootstrap, said, sizeof said) ||
                 rd_kafka_conf_set(conf, "client.id", options->client_id, said, sizeof said)))
        return refuse_property("bootstrap.servers", said, reterr);
    return 0;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    char quoted[LOG_QUOTED_MAX];
    (void)rk;
    (void)level;
    log_event(LOG_DEBUG, "kafka", "facility=%s msg=%s", facility, log_quote(text, quoted, sizeof quoted));
}

int kafka_conf(const struct kafka_options *options, rd_kafka_conf_t **ret_conf, struct err *reterr)
{
    if (!options->bootstrap) {
        (void)err_set(reterr, ERR_CONFIG, "kafka.bootstrap is not set");
        return err_hint(reterr, "set it in pgrekey.yaml or as PGREKEY_KAFKA_BOOTSTRAP");
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (set_own(conf, options, false, reterr) != 0 || set_list(conf, options->properties, reterr) != 0 ||
        set_file(conf, options->properties_file, reterr) != 0 || set_own(conf, options, true, reterr) != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    *ret_conf = conf;
    return 0;
}

int kafka_open(const struct kafka_options *options, struct kafka **ret_kafka, struct err *reterr)
{
    char said[512] = "";
    rd_kafka_conf_t *conf = NULL;
    if (kafka_conf(options, &conf, reterr) != 0)
        return -1;
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, said, sizeof said);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(reterr, ERR_CONFIG, "kafka: %.200s", said);
    }
    *ret_kafka = mem_zalloc(1, sizeof **ret_kafka);
    (*ret_kafka)->rk = rk;
    return 0;
}

static void *destroy_main(void *rk)
{
    rd_kafka_destroy(rk);
    return NULL;
}

/*
 * librdkafka 2.0.2 may wait for ever in its destroy for a broker's thread whose topic was deleted. Nothing of ours
 * hangs on that: a process that ends leaves it behind.
 */
void kafka_close(struct kafka *kafka)
{
    pthread_t thread;
    struct timespec until;
    if (!kafka)
        return;
    if (pthread_create(&thread, NULL, destroy_main, kafka->rk) != 0) {
        rd_kafka_destroy(kafka->rk);
    } else {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += CLOSE_S;
        if (pthread_timedjoin_np(thread, NULL, &until) != 0)
            pthread_detach(thread);
    }
    free(kafka);
}

/* --- questions --- */

static int refuse_gone(const char *topic, const char *what, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "topic %.200s %s", topic, what);
    (void)err_pause(reterr, "topic_gone");
    return err_hint(reterr, "what it held is lost to this database: have the publisher send the table again "
                            "(`pgrekey resync TABLE` there), then `pgrekey drop` here and replay into an empty one");
}

static int failure(const char *topic, rd_kafka_resp_err_t code, struct err *reterr)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: return refuse_gone(topic, "is gone", reterr);
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return refuse_gone(topic, "does not hold the stored offset: it was deleted and made anew", reterr);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return err_set(reterr, ERR_CONFIG, "kafka: topic %.200s may not be read: %s", topic, rd_kafka_err2name(code));
    default: return err_set(reterr, ERR_RETRY, "kafka: topic %.200s: %s", topic, rd_kafka_err2name(code));
    }
}

int kafka_partition_count(struct kafka *kafka, const char *topic, int *ret_count, struct err *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(kafka->rk, topic, NULL);
    rd_kafka_resp_err_t code =
        handle ? rd_kafka_metadata(kafka->rk, 0, handle, &metadata, ANSWER_MS) : rd_kafka_last_error();
    int count = 0;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata && metadata->topic_cnt == 1) {
        code = metadata->topics[0].err;
        count = metadata->topics[0].partition_cnt;
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (handle)
        rd_kafka_topic_destroy(handle);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        code = RD_KAFKA_RESP_ERR_NO_ERROR;
        count = 0;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failure(topic, code, reterr);
    *ret_count = count;
    return 0;
}

int kafka_watermarks(struct kafka *kafka, const char *topic, int partition, int64_t *ret_low, int64_t *ret_high,
                     struct err *reterr)
{
    rd_kafka_resp_err_t code =
        rd_kafka_query_watermark_offsets(kafka->rk, topic, partition, ret_low, ret_high, ANSWER_MS);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : failure(topic, code, reterr);
}

static int take_number(rd_kafka_event_t *event, const char *name, int64_t *ret_value)
{
    size_t count = 0, entries = 0;
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    const rd_kafka_ConfigResource_t **resources =
        result ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    if (count != 1 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return -1;
    const rd_kafka_ConfigEntry_t **all = rd_kafka_ConfigResource_configs(resources[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        const char *value = rd_kafka_ConfigEntry_value(all[i]);
        if (strcmp(rd_kafka_ConfigEntry_name(all[i]), name) == 0 && value) {
            *ret_value = strtoll(value, NULL, 10);
            return 0;
        }
    }
    return -1;
}

int kafka_topic_number(struct kafka *kafka, const char *topic, const char *name, int64_t *ret_value, struct err *reterr)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka->rk);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_DescribeConfigs(kafka->rk, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ANSWER_MS);
    int failed = event ? take_number(event, name, ret_value) : -1;
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    if (failed)
        return err_set(reterr, ERR_RETRY, "kafka: topic %.200s: its setting %s cannot be read", topic, name);
    return 0;
}

/* --- reading --- */

int kafka_partition_open(struct kafka *kafka, const char *topic, int partition, int64_t offset,
                         struct kafka_partition **ret_partition, struct err *reterr)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(kafka->rk, topic, NULL);
    if (!handle)
        return failure(topic, rd_kafka_last_error(), reterr);
    if (rd_kafka_consume_start(handle, partition, offset) != 0) {
        int failed = failure(topic, rd_kafka_last_error(), reterr);
        rd_kafka_topic_destroy(handle);
        return failed;
    }
    struct kafka_partition *p = mem_zalloc(1, sizeof *p);
    *p = (struct kafka_partition){
        .kafka = kafka, .topic = handle, .name = mem_strdup(topic), .number = partition, .reached = -1};
    *ret_partition = p;
    return 0;
}

static void forget_given(struct kafka_partition *p)
{
    if (p->given)
        rd_kafka_message_destroy(p->given);
    p->given = NULL;
}

void kafka_partition_close(struct kafka_partition *p)
{
    if (!p)
        return;
    forget_given(p);
    while (p->next < p->count)
        rd_kafka_message_destroy(p->messages[p->next++]);
    rd_kafka_consume_stop(p->topic, p->number);
    rd_kafka_topic_destroy(p->topic);
    free(p->name);
    free(p);
}

static int fill(struct kafka_partition *p, int timeout_ms, struct err *reterr)
{
    ssize_t got = rd_kafka_consume_batch(p->topic, p->number, timeout_ms, p->messages, BATCH);
    if (got < 0)
        return failure(p->name, rd_kafka_last_error(), reterr);
    p->count = (size_t)got;
    p->next = 0;
    return 0;
}

/* Brokers come and go by themselves; only what does not heal is told. */
static int take_event(struct kafka_partition *p, const rd_kafka_message_t *message, struct err *reterr)
{
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: p->reached = message->offset; return 0;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE: return 0;
    default: return failure(p->name, message->err, reterr);
    }
}

int kafka_next(struct kafka_partition *p, int timeout_ms, struct kafka_message *ret, struct err *reterr)
{
    forget_given(p);
    for (;;) {
        if (p->next == p->count && fill(p, timeout_ms, reterr) != 0)
            return -1;
        if (p->next == p->count)
            return 0;
        rd_kafka_message_t *message = p->messages[p->next++];
        if (message->err) {
            int failed = take_event(p, message, reterr);
            rd_kafka_message_destroy(message);
            if (failed)
                return -1;
            timeout_ms = 0;
            continue;
        }
        p->given = message;
        if (message->offset >= p->reached)
            p->reached = -1;
        *ret = (struct kafka_message){.offset = message->offset,
                                      .timestamp_ms = rd_kafka_message_timestamp(message, NULL),
                                      .key = message->key,
                                      .key_len = message->key_len,
                                      .value = message->payload,
                                      .value_len = message->len};
        return 1;
    }
}

int64_t kafka_reached(const struct kafka_partition *p)
{
    return p->next == p->count ? p->reached : -1;
}
