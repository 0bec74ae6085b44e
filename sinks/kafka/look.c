/* A look at the state topic from outside, for `pgrekey status`. */
#include <stdio.h>
#include <string.h>

#include "sinks/kafka/ksink.h"
#include "sinks/kafka/resyncs.h"

static bool count_record(void *context, const char *key, const char *value)
{
    struct kafkasink_look *look = context;
    if (strncmp(key, "{\"kind\":\"letter\"", 16) == 0)
        look->letters++;
    if (strncmp(key, "{\"kind\":\"part\"", 14) != 0)
        return true;
    look->parts++;
    if (strstr(value, "\"done\":true"))
        look->parts_done++;
    return true;
}

static void read_pause(const struct state *state, struct kafkasink_look *look)
{
    const char *text = state_get(state, RECORD_PAUSE);
    struct arena arena;
    if (!text)
        return;
    arena_init(&arena, 0);
    const struct jsontree *record = jsontree_parse(text, strlen(text), &arena);
    const char *category = jsontree_text(record, "category", &arena), *reason = jsontree_text(record, "reason", &arena);
    look->paused = true;
    snprintf(look->pause_category, sizeof(look->pause_category), "%s", category ? category : "");
    snprintf(look->pause_reason, sizeof(look->pause_reason), "%s", reason ? reason : "");
    arena_done(&arena);
}

static void read_position(const struct state *state, struct kafkasink_look *look)
{
    const char *text = state_get(state, RECORD_POSITION);
    struct arena arena;
    if (!text)
        return;
    arena_init(&arena, 0);
    const struct jsontree *record = jsontree_parse(text, strlen(text), &arena);
    const char *phase = jsontree_text(record, "state", &arena);
    look->state = phase && strcmp(phase, "streaming") == 0 ? PIPELINE_STREAMING : PIPELINE_SNAPSHOT;
    look->lsn = (uint64_t)jsontree_int(record, "lsn");
    look->snapshot_lsn = (uint64_t)jsontree_int(record, "snapshot_lsn");
    look->as_of_ms = jsontree_int(record, "as_of_ms");
    const char *slot = jsontree_text(record, "slot", &arena);
    snprintf(look->slot, sizeof(look->slot), "%s", slot ? slot : "");
    arena_done(&arena);
}

int kafkasink_look(const struct client_options *client, const char *prefix, struct kafkasink_look *ret_look,
                   struct err *reterr)
{
    char topic[ENVELOPE_TOPIC_MAX];
    *ret_look = (struct kafkasink_look){.state = PIPELINE_NEW};
    if (!envelope_topic_of(prefix, ENVELOPE_TOPIC_STATE, topic))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    struct state *state = state_new();
    int failed = state_load(state, client, topic, reterr);
    if (!failed) {
        read_position(state, ret_look);
        read_pause(state, ret_look);
        ret_look->resyncs = resyncs_waiting(state);
        state_each(state, "", count_record, ret_look);
    }
    state_free(state);
    return failed;
}
