#include "sinks/kafka/client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cdc/base/arena.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"

#define WAIT_MS 100
#define TAKE_OVER_MS 60000
#define ABORT_MS 5000
#define SECRET_MAX 4096

struct named_topic {
    UT_hash_handle hh;
    rd_kafka_topic_t *topic;
    char name[];
};

struct client {
    rd_kafka_t *rk;
    struct client_options options; /* texts are the caller's, only used while it is opened; what stays is plain */
    struct named_topic *topics;
    bool taken_over, in_transaction;
    int64_t begun_us;
    struct client_figures figures;
    _Atomic int first_failure; /* rd_kafka_resp_err_t of a delivery in this transaction */
    char failed_topic[256];    /* where it was to go; both are told by calls of ours, which is one thread */
    _Atomic uint64_t failed;
    _Atomic int connection_error; /* why the broker does not take us: authentication, TLS; 0: not known */
};

int client_err(struct err *reterr, rd_kafka_resp_err_t code, const char *doing)
{
    enum err_kind kind = ERR_RETRY;
    switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: kind = ERR_CONFIG; break;
    default: break;
    }
    return err_set(reterr, kind, "Kafka: %s failed: %s (%s)", doing, rd_kafka_err2str(code), rd_kafka_err2name(code));
}

/* Frees the error. */
static int take_error(struct err *reterr, rd_kafka_error_t *error, const char *doing)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
        code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH)
        return err_set(reterr, ERR_RETRY, "Kafka: another publisher with this transactional id has taken over");
    return client_err(reterr, code, doing);
}

/* --- configuration --- */

static int set_property(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *reterr)
{
    char text[512];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, text, sizeof(text));
    if (result == RD_KAFKA_CONF_OK)
        return 0;
    return err_set(reterr, ERR_CONFIG, "kafka.properties: librdkafka %s %s",
                   result == RD_KAFKA_CONF_UNKNOWN ? "knows no property" : "takes no such value for", name);
}

static int read_secret(const char *path, char *text, size_t size, struct err *reterr)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "kafka.properties: cannot read %s: %s", path, strerror(errno));
    if (!fgets(text, (int)size, file))
        *text = '\0';
    fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    return 0;
}

/* Our own part of the configuration is not to be undone. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {
        "transactional.id", "enable.idempotence", "isolation.level",      "enable.auto.commit",
        "group.id",         "bootstrap.servers",  "metadata.broker.list", "transaction.timeout.ms"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int set_pair(rd_kafka_conf_t *conf, char *pair, struct err *reterr)
{
    char secret[SECRET_MAX], *value = strchr(pair, '=');
    *value++ = '\0';
    if (is_ours(pair))
        return err_set(reterr, ERR_CONFIG, "kafka.properties: %s is set by pgrekey itself", pair);
    if (*value != '@')
        return set_property(conf, pair, value, reterr);
    if (read_secret(value + 1, secret, sizeof(secret), reterr) != 0)
        return -1;
    int failed = set_property(conf, pair, secret, reterr);
    explicit_bzero(secret, sizeof(secret));
    return failed;
}

static char *skip_separators(char *at)
{
    while (*at == ' ' || *at == ',' || *at == '\n')
        at++;
    return at;
}

static int set_properties(rd_kafka_conf_t *conf, const char *properties, struct err *reterr)
{
    char *text = mem_strdup(properties ? properties : ""), *at = skip_separators(text);
    int failed = 0;
    while (!failed && *at) {
        char *end = at + strcspn(at, ",\n"), *after = skip_separators(end);
        while (*after && !memchr(after, '=', strcspn(after, ",\n"))) { /* goes on: a list is the value */
            end = after + strcspn(after, ",\n");
            after = skip_separators(end);
        }
        *end = '\0';
        failed = strchr(at, '=') ? set_pair(conf, at, reterr)
                                 : err_set(reterr, ERR_CONFIG, "kafka.properties: wants name=value");
        at = after;
    }
    explicit_bzero(text, strlen(text));
    free(text);
    return failed ? -1 : 0;
}

/* A pair a line, as Kafka's own tools take them: values may hold commas. */
static int set_file(rd_kafka_conf_t *conf, const char *path, struct err *reterr)
{
    char line[SECRET_MAX];
    int failed = 0;
    if (!path)
        return 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "kafka.properties_file: cannot read %s: %s", path, strerror(errno));
    while (!failed && fgets(line, sizeof(line), file)) {
        char *at = line + strspn(line, " \t");
        at[strcspn(at, "\r\n")] = '\0';
        if (*at == '\0' || *at == '#')
            continue;
        failed = strchr(at, '=') ? set_pair(conf, at, reterr)
                                 : err_set(reterr, ERR_CONFIG, "kafka.properties_file: wants name=value a line");
    }
    explicit_bzero(line, sizeof(line));
    fclose(file);
    return failed;
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    (void)level;
    (void)text; /* may hold what a broker said */
    log_event(LOG_DEBUG, "librdkafka", "facility=%s", facility);
}

int client_configure(const struct client_options *options, rd_kafka_conf_t *conf, struct err *reterr)
{
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (!options->brokers || !*options->brokers) {
        (void)err_set(reterr, ERR_CONFIG, "kafka.bootstrap is not set");
        return err_hint(reterr, "set it in pgrekey.yaml or as PGREKEY_KAFKA_BOOTSTRAP");
    }
    if (set_property(conf, "bootstrap.servers", options->brokers, reterr) != 0)
        return -1;
    return set_file(conf, options->properties_file, reterr) != 0 ? -1
                                                                 : set_properties(conf, options->properties, reterr);
}

/* --- the producer --- */

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct client *client = opaque;
    int none = 0;
    (void)rk;
    if (!message->err)
        return;
    client->failed++;
    /* what a purge reports follows from the first failure */
    if (message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE && message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT &&
        atomic_compare_exchange_strong(&client->first_failure, &none, (int)message->err))
        snprintf(client->failed_topic, sizeof(client->failed_topic), "%s", rd_kafka_topic_name(message->rkt));
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct client *client = opaque;
    (void)rk;
    (void)reason;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL)
        client->connection_error = code;
}

rd_kafka_resp_err_t client_explain(struct client *client, rd_kafka_resp_err_t code)
{
    (void)rd_kafka_poll(client->rk, 0); /* which tells of it */
    bool vague = code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                 code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
    return vague && client->connection_error ? (rd_kafka_resp_err_t)client->connection_error : code;
}

static int configure_producer(const struct client_options *options, rd_kafka_conf_t *conf, struct client *client,
                              struct err *reterr)
{
    char timeout[24], bytes[24], linger[24];
    snprintf(timeout, sizeof(timeout), "%d", options->transaction_timeout_ms);
    snprintf(bytes, sizeof(bytes), "%zu", options->message_max_bytes);
    snprintf(linger, sizeof(linger), "%d", options->linger_ms);
    const char *pairs[][2] = {{"transaction.timeout.ms", timeout},
                              {"message.max.bytes", bytes},
                              {"linger.ms", linger},
                              {"compression.type", options->compression},
                              {"allow.auto.create.topics", "false"}, /* one that was deleted would come back empty */
                              {"partitioner", "murmur2_random"},
                              {"queue.buffering.max.kbytes", "65536"},
                              {"queue.buffering.max.messages", "200000"},
                              {"transactional.id", options->transactional_id}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        if (set_property(conf, pairs[i][0], pairs[i][1], reterr) != 0)
            return -1;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, client);
    return client_configure(options, conf, reterr); /* last: kafka.properties may change what is not ours */
}

int client_open(const struct client_options *options, struct client **ret_client, struct err *reterr)
{
    struct client *client = mem_zalloc(1, sizeof(*client));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[512];
    client->options = *options;
    if (configure_producer(options, conf, client, reterr) != 0) {
        rd_kafka_conf_destroy(conf);
        free(client);
        return -1;
    }
    client->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!client->rk) { /* the text names properties only */
        rd_kafka_conf_destroy(conf);
        free(client);
        return err_set(reterr, ERR_CONFIG, "kafka.properties: librdkafka refuses its configuration: %s", text);
    }
    *ret_client = client;
    return 0;
}

void client_close(struct client *client)
{
    struct named_topic *topic, *next;
    if (!client)
        return;
    client_abort(client);
    HASH_ITER(hh, client->topics, topic, next)
    {
        HASH_DEL(client->topics, topic);
        rd_kafka_topic_destroy(topic->topic);
        free(topic);
    }
    (void)rd_kafka_purge(client->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy_flags(client->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    free(client);
}

rd_kafka_t *client_handle(struct client *client)
{
    return client->rk;
}

int client_topic(struct client *client, const char *name, rd_kafka_topic_t **ret_topic, struct err *reterr)
{
    struct named_topic *found;
    HASH_FIND_STR(client->topics, name, found);
    if (!found) {
        rd_kafka_topic_t *topic = rd_kafka_topic_new(client->rk, name, NULL);
        if (!topic)
            return client_err(reterr, rd_kafka_last_error(), "naming a topic");
        found = mem_zalloc(1, sizeof(*found) + strlen(name) + 1);
        memcpy(found->name, name, strlen(name) + 1);
        found->topic = topic;
        HASH_ADD_STR(client->topics, name, found);
    }
    *ret_topic = found->topic;
    return 0;
}

/* --- transactions --- */

static bool stopping(const struct client *client)
{
    return client->options.stopping && client->options.stopping(client->options.context);
}

static int stopped(struct err *reterr)
{
    return err_set(reterr, ERR_STOP, "stopped");
}

int client_take_over(struct client *client, struct err *reterr)
{
    if (client->taken_over)
        return 0;
    for (int64_t until_us = clock_mono_us() + TAKE_OVER_MS * INT64_C(1000);;) {
        rd_kafka_error_t *error = rd_kafka_init_transactions(client->rk, 1000);
        if (!error)
            break;
        bool again = rd_kafka_error_is_retriable(error) && clock_mono_us() < until_us;
        if (!again)
            return take_error(reterr, error, "taking over the transactional id");
        rd_kafka_error_destroy(error);
        if (stopping(client))
            return stopped(reterr);
    }
    client->taken_over = true;
    return 0;
}

int client_begin(struct client *client, struct err *reterr)
{
    if (client->in_transaction)
        return 0;
    client->first_failure = 0;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(client->rk);
    if (error)
        return take_error(reterr, error, "beginning a transaction");
    client->in_transaction = true;
    client->begun_us = clock_mono_us();
    return 0;
}

bool client_in_transaction(const struct client *client)
{
    return client->in_transaction;
}

int64_t client_begun_us(const struct client *client)
{
    return client->begun_us;
}

static int refuse_size(struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "a row is larger than a message may be");
    (void)err_pause(reterr, "message_size");
    return err_hint(reterr, "raise kafka.message_max_bytes, and max.message.bytes of the topic where it exists "
                            "already, then start again");
}

static int delivery_failure(struct client *client, struct err *reterr)
{
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)client->first_failure;
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || code == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE)
        return (void)refuse_size(reterr), err_wrap(reterr, "topic %s", client->failed_topic);
    if (code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        /* the next session looks which one it is */
        return err_set(reterr, ERR_RETRY, "Kafka: a topic that is published to is not there");
    return client_err(reterr, code, "delivering");
}

int client_produce(struct client *client, rd_kafka_topic_t *topic, const void *key, size_t key_len, const void *value,
                   size_t len, const struct client_header *header, struct err *reterr)
{
    for (;;) {
        rd_kafka_headers_t *headers = NULL;
        if (header && header->name) {
            headers = rd_kafka_headers_new(1);
            (void)rd_kafka_header_add(headers, header->name, -1, header->value, (ssize_t)header->len);
        }
        union { /* copied by librdkafka, which is not told so by its types */
            const void *given;
            void *taken;
        } bytes = {.given = value};
        rd_kafka_vu_t parts[] = {
            {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
            {.vtype = RD_KAFKA_VTYPE_KEY,
             .u.mem = {.ptr = (union {
                                  const void *g;
                                  void *t;
                              }){.g = key}
                                  .t,
                       .size = key_len}},
            {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {.ptr = bytes.taken, .size = len}},
            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
            {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        };
        rd_kafka_error_t *error = rd_kafka_produceva(client->rk, parts, headers ? 5 : 4);
        if (!error) {
            client->figures.messages++;
            if ((client->figures.messages & 1023) == 0)
                (void)rd_kafka_poll(client->rk, 0);
            return client->first_failure ? delivery_failure(client, reterr) : 0;
        }
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        if (headers)
            rd_kafka_headers_destroy(headers);
        if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
            return refuse_size(reterr);
        if (client->first_failure)
            return delivery_failure(client, reterr);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return client_err(reterr, code, "producing");
        (void)rd_kafka_poll(client->rk, WAIT_MS);
        if (stopping(client))
            return stopped(reterr);
    }
}

/* Once the messages are delivered a commit is short; while the broker is gone it is tried until they time out. */
int client_commit(struct client *client, struct err *reterr)
{
    int64_t began_us = clock_mono_us(), until_us = began_us + client->options.transaction_timeout_ms * INT64_C(1000);
    for (;;) {
        rd_kafka_error_t *error = rd_kafka_commit_transaction(client->rk, 1000);
        if (!error)
            break;
        if (rd_kafka_error_is_retriable(error) && clock_mono_us() < until_us && !stopping(client)) {
            rd_kafka_error_destroy(error);
            continue;
        }
        if (stopping(client)) {
            rd_kafka_error_destroy(error);
            return stopped(reterr);
        }
        if (client->first_failure) {
            rd_kafka_error_destroy(error);
            return delivery_failure(client, reterr);
        }
        return take_error(reterr, error, "committing");
    }
    client->in_transaction = false;
    client->figures.transactions++;
    client->figures.commit_us = clock_mono_us() - began_us;
    return 0;
}

void client_abort(struct client *client)
{
    if (!client->in_transaction)
        return;
    rd_kafka_error_t *error = rd_kafka_abort_transaction(client->rk, ABORT_MS);
    if (error)
        rd_kafka_error_destroy(error);
    client->in_transaction = false;
}

void client_figures(const struct client *client, struct client_figures *ret_figures)
{
    *ret_figures = client->figures;
    ret_figures->failed = client->failed;
    ret_figures->queued = (uint64_t)rd_kafka_outq_len(client->rk);
}
