/* libFuzzer: any bytes in place of a message of the slot. The first byte picks the relation; the decoder is kept, for
 * what it remembers of tables is part of what is tried. Corpus: tests/fuzz/corpus/wal2json. */
#include <stdlib.h>
#include <string.h>

#include "cdc/source/wal2json.h"

static volatile unsigned long sink; /* so that no compiler leaves the reading out */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char names[][8] = {"id", "name", "price", "ok", "data", "body"};
static char type[] = "any", schema[] = "public", table[] = "t";
static struct column columns[] = {
    {.name = names[0], .type = type, .base_type = type, .kind = COLUMN_NUMBER},
    {.name = names[1], .type = type, .base_type = type, .kind = COLUMN_TEXT},
    {.name = names[2], .type = type, .base_type = type, .kind = COLUMN_NUMBER},
    {.name = names[3], .type = type, .base_type = type, .kind = COLUMN_BOOL},
    {.name = names[4], .type = type, .base_type = type, .kind = COLUMN_BYTEA, .toastable = true},
    {.name = names[5], .type = type, .base_type = type, .kind = COLUMN_TEXT, .toastable = true},
};
static uint16_t key[] = {0, 1};
static const struct relation relations[] = {
    {.schema = schema, .name = table, .columns = columns, .column_count = 6, .key = key, .key_count = 1},
    {.schema = schema, .name = table, .columns = columns, .column_count = 4, .key = key, .key_count = 2},
    {.schema = schema, .name = table, .columns = columns, .column_count = 6},
};

struct policy {
    unsigned choice, calls;
};

static int relation(void *context, const char *in_schema, const char *in_table, const char *column, const char *why,
                    const struct relation **ret_relation, struct err *reterr)
{
    struct policy *policy = context;
    (void)in_schema;
    (void)in_table;
    (void)column;
    unsigned pick = (policy->choice + policy->calls++) % 5;
    if (pick == 4 && strcmp(why, "new") != 0)
        return err_set(reterr, ERR_REFUSED, "no");
    *ret_relation = pick < 3 ? &relations[pick] : NULL;
    return 0;
}

static bool never(void *context, const char *in_schema, const char *in_table, const char *column)
{
    const struct policy *policy = context;
    (void)in_schema;
    (void)in_table;
    return policy->choice & 0x40 && strcmp(column, "body") == 0;
}

/* Every byte that a change points to is read, so that a sanitizer sees where it should not. */
static unsigned long sum_of(const struct value *values, size_t count)
{
    unsigned long sum = 0;
    for (size_t i = 0; values && i < count; i++)
        for (size_t k = 0; values[i].state == VALUE_TEXT && k < values[i].len; k++)
            sum += (unsigned char)values[i].text[k];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy policy = {0};
    struct arena arena;
    struct wal2json_item item;
    struct err err;

    if (size < 1)
        return 0;
    policy.choice = data[0];
    arena_init(&arena, 0);
    struct wal2json *decoder = wal2json_new(&(struct wal2json_options){relation, never, &policy});
    for (int round = 0; round < 2; round++) {
        char *message = malloc(size - 1 + WAL2JSON_PADDING); /* not the arena's: a redzone right behind the padding */
        if (!message)
            abort();
        memcpy(message, data + 1, size - 1);
        memset(message + size - 1, 0, WAL2JSON_PADDING);
        if (wal2json_decode(decoder, message, size - 1, &arena, &item, &err) == 0) {
            const struct change *change = item.change;
            if (item.action == WAL2JSON_CHANGE)
                sink += sum_of(change->columns, change->relation->column_count) +
                        sum_of(change->identity, change->identity ? change->relation->key_count : 0);
            if (item.action == WAL2JSON_MESSAGE)
                sink += strlen(item.prefix) + strlen(item.content);
        }
        free(message);
    }
    wal2json_free(decoder);
    arena_done(&arena);
    return 0;
}
