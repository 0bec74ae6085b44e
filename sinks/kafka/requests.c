/* What operators ask of a publisher: messages of the topic <prefix>.request, which `pgrekey resync` and `pgrekey
 * resume` write (ask.c). Each is taken once: how far, and what came of it, are state records in one Kafka transaction.
 * A resync's id is its message's offset. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/log.h"
#include "sinks/kafka/ksink.h"

#define RECORD_REQUESTS "{\"kind\":\"requests\"}"
#define END_WAIT_MS 10000
#define STEP_MS 100

static int64_t next_offset(const struct ksink *k)
{
    const char *text = state_get(k->state, RECORD_REQUESTS);
    struct arena arena;
    if (!text)
        return 0;
    arena_init(&arena, 0);
    int64_t next = jsontree_int(jsontree_parse(text, strlen(text), &arena), "next");
    arena_done(&arena);
    return next;
}

static int put_next(struct ksink *k, int64_t next, struct err *reterr)
{
    buf_reset(&k->text);
    buf_printf(&k->text, "{\"next\":%" PRId64 "}", next);
    return krecord_put(k, RECORD_REQUESTS, buf_text(&k->text), reterr);
}

static int take_resync(struct ksink *k, const struct jsontree *asked, int64_t id, struct arena *arena,
                       struct err *reterr)
{
    const struct jsontree *keys = jsontree_get(asked, "keys");
    struct resync_ask ask = {.table = jsontree_text(asked, "table", arena),
                             .reason = jsontree_text(asked, "reason", arena),
                             .lo = jsontree_text(asked, "lo", arena),
                             .hi = jsontree_text(asked, "hi", arena)};
    size_t count = 0;
    for (const struct jsontree *key = keys ? keys->first : NULL; key; key = key->next)
        count++;
    const char **texts = arena_zalloc(arena, count + 1, sizeof(*texts));
    for (const struct jsontree *key = keys ? keys->first : NULL; key; key = key->next)
        texts[ask.key_count++] = arena_strndup(arena, key->text, key->len);
    ask.keys = texts;
    return ask.table ? kresync_add(k, id, &ask, reterr) : 0;
}

static int take(struct ksink *k, const struct client_message *message, struct err *reterr)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct jsontree *asked = message->value ? jsontree_parse(message->value, message->len, &arena) : NULL;
    const char *what = jsontree_text(asked, "ask", &arena);
    int failed = 0;
    if (what && strcmp(what, "resync") == 0)
        failed = take_resync(k, asked, message->offset, &arena, reterr);
    else if (what && strcmp(what, "resume") == 0)
        k->resume_requested = true;
    else
        log_event(LOG_WARN, "request_ignored", "topic=%s offset=%" PRId64, k->request_topic, message->offset);
    arena_done(&arena);
    return failed != 0 ? -1 : put_next(k, message->offset + 1, reterr);
}

static int open_topic(struct ksink *k, struct err *reterr)
{
    struct topic_spec spec = {.name = k->request_topic};
    if (k->requests)
        return 0;
    if (topics_look(k->client, &spec, 1, reterr) != 0)
        return -1;
    return spec.present ? client_tail_open(&k->options.client, k->request_topic, next_offset(k), &k->requests, reterr)
                        : 0;
}

int krequests_take(struct ksink *k, bool all, struct err *reterr)
{
    struct client_message message;
    bool any = false;
    if (open_topic(k, reterr) != 0)
        return -1;
    for (int left_ms = END_WAIT_MS; k->requests && left_ms >= 0;) {
        enum client_tail_found found;
        if (client_tail_next(k->requests, all ? STEP_MS : 0, &found, &message, reterr) != 0)
            return -1;
        if (found == TAIL_MESSAGE) {
            any = true;
            if (take(k, &message, reterr) != 0)
                return -1;
            continue;
        }
        if (!all || found == TAIL_END)
            break;
        left_ms -= STEP_MS;
    }
    return any ? client_commit(k->client, reterr) : 0;
}
