#include "sinks/kafka/state.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cdc/base/arena.h"

struct record {
    UT_hash_handle hh;
    char *key, *value;
};

struct state {
    struct record *records;
};

struct state *state_new(void)
{
    return mem_zalloc(1, sizeof(struct state));
}

static void forget(struct state *state, struct record *record)
{
    HASH_DEL(state->records, record);
    free(record->key);
    free(record->value);
    free(record);
}

static void clear(struct state *state)
{
    struct record *record, *next;
    HASH_ITER(hh, state->records, record, next) forget(state, record);
}

void state_free(struct state *state)
{
    if (!state)
        return;
    clear(state);
    free(state);
}

static struct record *find(const struct state *state, const char *key)
{
    struct record *found;
    HASH_FIND_STR(state->records, key, found);
    return found;
}

const char *state_get(const struct state *state, const char *key)
{
    const struct record *record = find(state, key);
    return record ? record->value : NULL;
}

void state_set(struct state *state, const char *key, const char *value)
{
    struct record *record = find(state, key);
    if (!value) {
        if (record)
            forget(state, record);
        return;
    }
    if (record) {
        free(record->value);
    } else {
        record = mem_zalloc(1, sizeof(*record));
        record->key = mem_strdup(key);
        HASH_ADD_KEYPTR(hh, state->records, record->key, strlen(record->key), record);
    }
    record->value = mem_strdup(value);
}

void state_each(const struct state *state, const char *prefix,
                bool (*visit)(void *context, const char *key, const char *value), void *context)
{
    struct record *record, *next;
    size_t len = strlen(prefix);
    HASH_ITER(hh, state->records, record, next)
    {
        if (strncmp(record->key, prefix, len) == 0 && !visit(context, record->key, record->value))
            return;
    }
}

static char *copy(const char *text, size_t len)
{
    char *own = mem_alloc(len + 1);
    memcpy(own, text ? text : "", text ? len : 0);
    own[text ? len : 0] = '\0';
    return own;
}

static int take(void *context, const struct client_message *message, struct err *reterr)
{
    char *key = copy(message->key, message->key_len),
         *value = message->value ? copy(message->value, message->len) : NULL;
    (void)reterr;
    state_set(context, key, value);
    free(key);
    free(value);
    return 0;
}

int state_load(struct state *state, const struct client_options *options, const char *topic, struct err *reterr)
{
    clear(state);
    return client_read_topic(options, topic, take, state, reterr);
}
