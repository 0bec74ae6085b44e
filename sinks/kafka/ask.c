/* What is done to a publisher from outside: requests, reports, and the end of what it knows. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/clock.h"
#include "sinks/kafka/ksink.h"
#include "sinks/kafka/resyncs.h"

#define ANSWER_MS 20000
#define REQUEST_MAX ((size_t)1 << 20)

/* --- a request --- */

struct sending {
    bool told;
    rd_kafka_resp_err_t code;
    int64_t offset;
};

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct sending *sending = opaque;
    (void)rk;
    *sending = (struct sending){.told = true, .code = message->err, .offset = message->offset};
}

static int open_producer(const struct client_options *client, struct sending *sending, rd_kafka_t **ret_rk,
                         struct err *reterr)
{
    static const char *const pairs[][2] = {
        {"enable.idempotence", "true"}, {"linger.ms", "0"}, {"message.timeout.ms", "15000"}, {"acks", "all"}};
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (client_configure(client, conf, reterr) != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
        (void)rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], text, sizeof(text));
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, sending);
    *ret_rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (*ret_rk)
        return 0;
    rd_kafka_conf_destroy(conf);
    return err_set(reterr, ERR_CONFIG, "kafka.properties: librdkafka refuses its configuration: %s", text);
}

/* Only a publisher makes that topic, so where it is not there none has run. */
static int check_topic(rd_kafka_t *rk, const char *topic, const char *prefix, struct err *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 1, NULL, &metadata, ANSWER_MS);
    bool there = false;
    if (code)
        return client_err(reterr, code, "asking for the topics");
    for (int i = 0; i < metadata->topic_cnt; i++)
        there |= strcmp(metadata->topics[i].topic, topic) == 0;
    rd_kafka_metadata_destroy(metadata);
    if (there)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "there is no topic %s", topic);
    return err_hint(reterr, "kafka.prefix is %s; the first `pgrekey run` makes its topics", prefix);
}

static int send_request(rd_kafka_t *rk, const char *topic, const char *text, struct sending *sending,
                        struct err *reterr)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                                 RD_KAFKA_V_VALUE((void *)(uintptr_t)text, strlen(text)),
                                                 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (code)
        return client_err(reterr, code, "asking the publisher");
    for (int64_t until_us = clock_mono_us() + ANSWER_MS * INT64_C(1000); !sending->told;) {
        (void)rd_kafka_poll(rk, 100);
        if (clock_mono_us() > until_us)
            return err_set(reterr, ERR_RETRY, "Kafka: asking the publisher: no answer from the broker");
    }
    return sending->code ? client_err(reterr, sending->code, "asking the publisher") : 0;
}

static int ask(const struct client_options *client, const char *prefix, const char *text, int64_t *ret_id,
               struct err *reterr)
{
    char topic[ENVELOPE_TOPIC_MAX];
    struct sending sending = {0};
    rd_kafka_t *rk = NULL;
    if (!envelope_topic_of(prefix, ENVELOPE_TOPIC_REQUEST, topic))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    if (open_producer(client, &sending, &rk, reterr) != 0)
        return -1;
    int failed =
        check_topic(rk, topic, prefix, reterr) != 0 || send_request(rk, topic, text, &sending, reterr) != 0 ? -1 : 0;
    rd_kafka_destroy(rk);
    *ret_id = sending.offset;
    return failed;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    buf_printf(out, ",\"%s\":", name);
    buf_put_json_string(out, text, strlen(text));
}

int kafkasink_ask_resync(const struct client_options *client, const char *prefix, const struct resync_ask *asked,
                         int64_t *ret_id, struct err *reterr)
{
    struct buf text;
    buf_init(&text, REQUEST_MAX / 2); /* the record of it is longer */
    buf_puts(&text, "{\"ask\":\"resync\"");
    put_text(&text, "table", asked->table);
    put_text(&text, "reason", asked->reason);
    put_text(&text, "lo", asked->lo);
    put_text(&text, "hi", asked->hi);
    buf_puts(&text, ",\"keys\":[");
    for (size_t i = 0; i < asked->key_count; i++) {
        if (i)
            buf_putc(&text, ',');
        buf_put_json_string(&text, asked->keys[i], strlen(asked->keys[i]));
    }
    buf_puts(&text, "]}");
    int failed = buf_overflowed(&text) ? err_set(reterr, ERR_CONFIG, "too many keys in one request")
                                       : ask(client, prefix, buf_text(&text), ret_id, reterr);
    buf_done(&text);
    return failed;
}

int kafkasink_ask_resume(const struct client_options *client, const char *prefix, struct err *reterr)
{
    int64_t id;
    return ask(client, prefix, "{\"ask\":\"resume\"}", &id, reterr);
}

int kafkasink_resync_report(const struct client_options *client, const char *prefix, int64_t id,
                            struct resync_report *ret_report, struct err *reterr)
{
    char topic[ENVELOPE_TOPIC_MAX];
    if (!envelope_topic_of(prefix, ENVELOPE_TOPIC_STATE, topic))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    struct state *state = state_new();
    int failed = state_load(state, client, topic, reterr);
    if (!failed)
        resyncs_report(state, id, ret_report);
    state_free(state);
    return failed;
}

/* --- the end --- */

struct forgetting {
    struct client *client;
    rd_kafka_topic_t *topic;
    int failed;
    struct err *reterr;
};

/* What its tables look like is for replays of what was published; how far requests were taken stays too. */
static bool forget(void *context, const char *key, const char *value)
{
    struct forgetting *f = context;
    (void)value;
    if (strncmp(key, "{\"kind\":\"relation\"", 18) == 0 || strncmp(key, "{\"kind\":\"requests\"", 18) == 0)
        return true;
    f->failed = client_produce(f->client, f->topic, key, strlen(key), NULL, 0, NULL, f->reterr);
    return f->failed == 0;
}

static int forget_all(const struct client_options *options, const char *topic, struct err *reterr)
{
    struct forgetting f = {.reterr = reterr};
    struct state *state = state_new();
    if (client_open(options, &f.client, reterr) != 0) {
        state_free(state);
        return -1;
    }
    f.failed = client_take_over(f.client, reterr) != 0 || state_load(state, options, topic, reterr) != 0 ||
               client_topic(f.client, topic, &f.topic, reterr) != 0 || client_begin(f.client, reterr) != 0;
    if (!f.failed)
        state_each(state, "", forget, &f);
    f.failed = f.failed || client_commit(f.client, reterr) != 0;
    client_close(f.client);
    state_free(state);
    return f.failed ? -1 : 0;
}

int kafkasink_forget(const struct client_options *client, const char *prefix, const char *pipeline, struct err *reterr)
{
    char topic[ENVELOPE_TOPIC_MAX], transactional_id[ENVELOPE_TOPIC_MAX];
    struct client_options options = *client;
    if (!envelope_topic_of(prefix, ENVELOPE_TOPIC_STATE, topic) ||
        !envelope_topic("pgrekey", prefix, pipeline, transactional_id))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    options.transactional_id = transactional_id;
    return forget_all(&options, topic, reterr);
}
