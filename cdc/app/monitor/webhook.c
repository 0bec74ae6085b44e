#include "cdc/app/monitor/webhook.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/cmd/json.h"
#include "cdc/base/arena.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"

#define QUEUE_MAX 64
#define BACKOFF_MIN_US INT64_C(1000000)
#define BACKOFF_MAX_US INT64_C(60000000)
#define GIVE_UP_US INT64_C(3600000000)
#define STOP_GRACE_US INT64_C(5000000)
#define SECRET_MAX 256

struct message {
    uint64_t number;
    char event[32];
    char *body;
    size_t len;
    int64_t since_us;
};

struct webhook {
    const char *url, *pipeline;
    long timeout_s;
    char secret[SECRET_MAX];
    int64_t started_us; /* with a message's number its delivery id */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct message queue[QUEUE_MAX]; /* a ring */
    size_t first, count;
    uint64_t sent;
    bool stop;
    int64_t stop_at_us;
};

/* --- signature --- */

void webhook_sign(const char *secret, const char *timestamp, const char *body, size_t len, char *text)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    struct buf signed_text;
    buf_init(&signed_text, len + 64);
    buf_printf(&signed_text, "%s.", timestamp);
    buf_append(&signed_text, body, len);
    (void)HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)signed_text.data, signed_text.len, mac,
               &mac_len);
    buf_done(&signed_text);
    int at = snprintf(text, WEBHOOK_SIGNATURE_MAX, "sha256=");
    for (unsigned i = 0; i < mac_len; i++)
        at += snprintf(text + at, WEBHOOK_SIGNATURE_MAX - (size_t)at, "%02x", mac[i]);
}

/* --- sending --- */

static size_t drop_answer(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static struct curl_slist *headers_of(const struct webhook *hook, const struct message *message)
{
    char line[160], timestamp[32], signature[WEBHOOK_SIGNATURE_MAX];
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    snprintf(timestamp, sizeof(timestamp), "%" PRId64, clock_wall_us() / 1000000);
    snprintf(line, sizeof(line), "X-Pgrekey-Delivery: %" PRIx64 "-%" PRIu64, (uint64_t)hook->started_us,
             message->number);
    headers = curl_slist_append(headers, line);
    snprintf(line, sizeof(line), "X-Pgrekey-Timestamp: %s", timestamp);
    headers = curl_slist_append(headers, line);
    if (!*hook->secret)
        return headers;
    webhook_sign(hook->secret, timestamp, message->body, message->len, signature);
    snprintf(line, sizeof(line), "X-Pgrekey-Signature: %s", signature);
    return curl_slist_append(headers, line);
}

/* *ret_why: why not, without the url, which may hold a token. */
static bool deliver(const struct webhook *hook, const struct message *message, char *why, size_t size)
{
    CURL *curl = curl_easy_init();
    if (!curl) {
        snprintf(why, size, "no memory");
        return false;
    }
    struct curl_slist *headers = headers_of(hook, message);
    long code = 0;
    curl_easy_setopt(curl, CURLOPT_URL, hook->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, hook->timeout_s);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "pgrekey/" PGREKEY_VERSION);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, message->body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)message->len);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_answer);
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (result != CURLE_OK)
        snprintf(why, size, "%s", curl_easy_strerror(result));
    else
        snprintf(why, size, "it answered %ld", code);
    return result == CURLE_OK && code >= 200 && code < 300;
}

static void forget_first(struct webhook *hook)
{
    free(hook->queue[hook->first].body);
    hook->queue[hook->first].body = NULL;
    hook->first = (hook->first + 1) % QUEUE_MAX;
    hook->count--;
}

/* Under lock, until there is something to send, or until_us. False: it is time to end. */
static bool wait_for_work(struct webhook *hook, int64_t until_us)
{
    for (;;) {
        int64_t now_us = clock_mono_us();
        if (hook->stop && (hook->count == 0 || now_us >= hook->stop_at_us))
            return false;
        if (hook->count > 0 && now_us >= until_us)
            return true;
        int64_t wake_us = hook->count > 0 ? until_us : now_us + 3600 * INT64_C(1000000);
        if (hook->stop && wake_us > hook->stop_at_us)
            wake_us = hook->stop_at_us;
        struct timespec wake = {.tv_sec = wake_us / 1000000, .tv_nsec = wake_us % 1000000 * 1000};
        (void)pthread_cond_timedwait(&hook->changed, &hook->lock, &wake);
    }
}

static void *webhook_main(void *arg)
{
    struct webhook *hook = arg;
    int64_t backoff_us = BACKOFF_MIN_US, next_us = 0;
    pthread_mutex_lock(&hook->lock);
    while (wait_for_work(hook, next_us)) {
        struct message message = hook->queue[hook->first];
        char why[160], quoted[LOG_QUOTED_MAX];
        pthread_mutex_unlock(&hook->lock);
        bool done = deliver(hook, &message, why, sizeof(why));
        bool given_up = !done && clock_mono_us() - message.since_us > GIVE_UP_US;
        if (!done)
            log_event(given_up ? LOG_ERROR : LOG_WARN, given_up ? "webhook_given_up" : "webhook_failed",
                      "about=%s in_ms=%" PRId64 " msg=%s", message.event, given_up ? 0 : backoff_us / 1000,
                      log_quote(why, quoted, sizeof(quoted)));
        pthread_mutex_lock(&hook->lock);
        if (done || given_up)
            forget_first(hook);
        next_us = done || given_up ? 0 : clock_mono_us() + backoff_us;
        backoff_us = done ? BACKOFF_MIN_US : backoff_us * 2 < BACKOFF_MAX_US ? backoff_us * 2 : BACKOFF_MAX_US;
    }
    pthread_mutex_unlock(&hook->lock);
    return NULL;
}

/* --- the queue --- */

static char *body_of(const char *pipeline, const char *event, bool over, const char *text, double lag_s,
                     size_t *ret_len)
{
    struct json json;
    char when[32];
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "pipeline", pipeline);
    json_text(&json, "event", event);
    json_text(&json, "state", over ? "resolved" : "firing");
    json_text(&json, "text", text);
    json_text(&json, "at", clock_format_utc(clock_wall_us(), when, sizeof(when)));
    if (lag_s >= 0)
        json_double(&json, "lag_s", lag_s);
    else
        json_null(&json, "lag_s");
    json_close(&json, '}');
    *ret_len = json.buf.len;
    char *body = mem_strdup(buf_text(&json.buf));
    json_done(&json);
    return body;
}

void webhook_send(struct webhook *hook, const char *event, bool over, const char *text, double lag_s)
{
    if (!hook)
        return;
    size_t len = 0;
    char *body = body_of(hook->pipeline, event, over, text, lag_s, &len);
    pthread_mutex_lock(&hook->lock);
    bool full = hook->count == QUEUE_MAX;
    if (!full) {
        struct message *message = &hook->queue[(hook->first + hook->count++) % QUEUE_MAX];
        *message = (struct message){.number = ++hook->sent, .body = body, .len = len, .since_us = clock_mono_us()};
        snprintf(message->event, sizeof(message->event), "%s", event);
        pthread_cond_signal(&hook->changed);
    }
    pthread_mutex_unlock(&hook->lock);
    if (!full)
        return;
    free(body);
    log_event(LOG_ERROR, "webhook_lost", "about=%s msg=\"%d wait already\"", event, QUEUE_MAX);
}

/* --- life --- */

static int read_secret(const char *path, char *secret, struct err *reterr)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "webhook.secret_file %s: %s", path, strerror(errno));
    bool read = fgets(secret, SECRET_MAX, file) != NULL;
    (void)fclose(file);
    if (read)
        secret[strcspn(secret, "\r\n")] = '\0';
    if (!read || !*secret)
        return err_set(reterr, ERR_CONFIG, "webhook.secret_file %s: its first line is empty", path);
    return 0;
}

int webhook_start(const struct settings *settings, struct webhook **ret_webhook, struct err *reterr)
{
    const char *url = settings->webhook_url;
    *ret_webhook = NULL;
    if (!url || !*url)
        return 0;
    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        return err_set(reterr, ERR_CONFIG, "webhook.url begins neither with https:// nor with http://");
    struct webhook *hook = mem_zalloc(1, sizeof(*hook));
    hook->url = url;
    hook->pipeline = settings->pipeline;
    hook->timeout_s = (long)settings->webhook_timeout_s;
    hook->started_us = clock_wall_us();
    if (settings->webhook_secret_file && read_secret(settings->webhook_secret_file, hook->secret, reterr) != 0) {
        free(hook);
        return -1;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&hook->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&hook->lock, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (pthread_create(&hook->thread, NULL, webhook_main, hook) != 0) {
        free(hook);
        return err_set(reterr, ERR_FATAL, "starting the webhooks' thread failed");
    }
    *ret_webhook = hook;
    return 0;
}

void webhook_stop(struct webhook *hook)
{
    if (!hook)
        return;
    pthread_mutex_lock(&hook->lock);
    hook->stop = true;
    hook->stop_at_us = clock_mono_us() + STOP_GRACE_US;
    pthread_cond_signal(&hook->changed);
    pthread_mutex_unlock(&hook->lock);
    pthread_join(hook->thread, NULL);
    while (hook->count > 0)
        forget_first(hook);
    pthread_cond_destroy(&hook->changed);
    pthread_mutex_destroy(&hook->lock);
    curl_global_cleanup();
    explicit_bzero(hook->secret, sizeof(hook->secret));
    free(hook);
}
