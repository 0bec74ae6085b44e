#include "cdc/app/engine/lookup.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cdc/base/arena.h"
#include "cdc/source/rowreader.h"
#include "transform/lookup.h"

/* A row in one piece of memory: the values, then their texts, then its key. */
struct entry {
    UT_hash_handle hh;
    const char *key;
    struct value values[];
};

/* One mirror's copy. */
struct copy {
    const struct rule *rule;
    int level;
    bool loaded;
    struct entry *entries;
    size_t key_count;
    uint16_t *key; /* indexes into rule->columns */
};

struct lookups {
    const struct map *map;
    size_t max_rows;
    size_t count;
    struct copy *copies;
    pthread_rwlock_t lock;
    struct buf key; /* the writer's */
};

/* --- keys: each value with its length before it, so that no two lists look alike --- */

#define KEY_MAX_BYTES ((size_t)1 << 30)

static void put_key_part(struct buf *key, const struct value *value)
{
    buf_append(key, &value->len, sizeof(value->len));
    buf_append(key, value->text, value->len);
}

/* False where a part is NULL: such a row is never found. */
static bool make_key(struct buf *key, const struct value *parts, size_t count)
{
    buf_reset(key);
    for (size_t i = 0; i < count; i++) {
        if (parts[i].state != VALUE_TEXT)
            return false;
        put_key_part(key, &parts[i]);
    }
    return !buf_overflowed(key);
}

static bool make_row_key(struct buf *key, const struct copy *copy, const struct value *values)
{
    buf_reset(key);
    for (size_t i = 0; i < copy->key_count; i++) {
        if (values[copy->key[i]].state != VALUE_TEXT)
            return false;
        put_key_part(key, &values[copy->key[i]]);
    }
    return !buf_overflowed(key);
}

/* --- entries --- */

static struct entry *find_entry(const struct copy *copy, const struct buf *key)
{
    struct entry *found;
    HASH_FIND(hh, copy->entries, key->data, key->len, found);
    return found;
}

static size_t text_bytes(const struct value *values, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += values[i].state == VALUE_TEXT ? values[i].len : 0;
    return bytes;
}

/* Copies values whose texts go to `texts`; gives where the next may go. */
static char *copy_values(struct value *to, const struct value *from, size_t count, char *texts)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = (struct value){.state = VALUE_NULL};
        if (from[i].state != VALUE_TEXT)
            continue;
        memcpy(texts, from[i].text, from[i].len);
        to[i] = (struct value){.text = texts, .len = from[i].len, .state = VALUE_TEXT};
        texts += from[i].len;
    }
    return texts;
}

static struct entry *make_entry(const struct copy *copy, const struct value *values, const struct buf *key)
{
    size_t count = copy->rule->column_count, values_bytes = count * sizeof(struct value);
    struct entry *entry = mem_alloc(sizeof(*entry) + values_bytes + text_bytes(values, count) + key->len);
    char *end = copy_values(entry->values, values, count, (char *)entry->values + values_bytes);
    memcpy(end, key->data, key->len);
    entry->key = end;
    return entry;
}

static void remove_entry(struct copy *copy, const struct buf *key)
{
    struct entry *found = find_entry(copy, key);
    if (!found)
        return;
    HASH_DEL(copy->entries, found);
    free(found);
}

static void clear(struct copy *copy)
{
    struct entry *entry, *next;
    HASH_ITER(hh, copy->entries, entry, next)
    {
        HASH_DEL(copy->entries, entry);
        free(entry);
    }
}

static int refuse_size(const struct lookups *l, const struct rule *rule, struct err *reterr)
{
    (void)err_set(reterr, ERR_CONFIG, "mirror %s, which rules look up rows in, has more than %zu rows", rule->to_table,
                  l->max_rows);
    return err_hint(reterr, "a look-up is for small tables: raise lookup.max_rows, or write a derivation instead");
}

static int put_values(struct lookups *l, struct copy *copy, const struct value *values, struct err *reterr)
{
    if (!make_row_key(&l->key, copy, values))
        return 0;
    remove_entry(copy, &l->key);
    if (HASH_COUNT(copy->entries) >= l->max_rows)
        return refuse_size(l, copy->rule, reterr);
    struct entry *entry = make_entry(copy, values, &l->key);
    HASH_ADD_KEYPTR(hh, copy->entries, entry->key, l->key.len, entry);
    return 0;
}

/* --- answering --- */

static struct copy *copy_of(const struct lookups *l, const struct rule *rule)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->copies[i].rule == rule)
            return &l->copies[i];
    return NULL;
}

static const struct value *hand_out(const struct copy *copy, const struct entry *entry, struct arena *arena)
{
    size_t count = copy->rule->column_count;
    struct value *values = arena_alloc(arena, (count + 1) * sizeof(*values));
    (void)copy_values(values, entry->values, count, arena_alloc(arena, text_bytes(entry->values, count) + 1));
    return values;
}

static int find(void *context, const struct rule *mirror, const struct value *key, struct arena *arena,
                const struct value **ret_values)
{
    struct lookups *l = context;
    const struct copy *copy = copy_of(l, mirror);
    struct buf text;
    int outcome = -1;
    if (!copy)
        return -1;
    buf_init(&text, KEY_MAX_BYTES);
    bool known = make_key(&text, key, copy->key_count);
    pthread_rwlock_rdlock(&l->lock);
    if (copy->loaded) {
        const struct entry *entry = known ? find_entry(copy, &text) : NULL;
        outcome = entry != NULL;
        if (entry)
            *ret_values = hand_out(copy, entry, arena);
    }
    pthread_rwlock_unlock(&l->lock);
    buf_done(&text);
    return outcome;
}

/* --- filling --- */

struct loading {
    struct lookups *lookups;
    struct copy *copy;
};

static int take_loaded(void *context, const struct value *values, struct err *reterr)
{
    const struct loading *loading = context;
    return put_values(loading->lookups, loading->copy, values, reterr);
}

static int load(struct lookups *l, struct copy *copy, struct sink *sink, struct err *reterr)
{
    struct loading loading = {l, copy};
    pthread_rwlock_wrlock(&l->lock);
    clear(copy);
    copy->loaded = false;
    int failed = sink_mirror_read(sink, copy->rule, l->max_rows, take_loaded, &loading, reterr);
    copy->loaded = !failed;
    pthread_rwlock_unlock(&l->lock);
    return failed;
}

int lookups_load(struct lookups *l, struct sink *sink, int below_level, struct err *reterr)
{
    for (size_t i = 0; l && i < l->count; i++)
        if (l->copies[i].level < below_level && load(l, &l->copies[i], sink, reterr) != 0)
            return -1;
    return 0;
}

bool lookups_concern(const struct lookups *l, const struct relation *source)
{
    for (size_t i = 0; l && i < l->count; i++)
        if (map_rule_source(l->map, l->copies[i].rule) == source)
            return true;
    return false;
}

static void remove_at(struct lookups *l, struct copy *copy, const struct value *locator)
{
    if (locator && make_key(&l->key, locator, copy->key_count))
        remove_entry(copy, &l->key);
}

/* A row that goes to quarantine leaves its last good version standing, here as on the target. */
static int take_row(struct lookups *l, struct copy *copy, const struct row *row, struct err *reterr)
{
    switch (row->op) {
    case ROW_UPSERT: remove_at(l, copy, row->old_locator); return put_values(l, copy, row->values, reterr);
    case ROW_EXCLUDE:
        remove_at(l, copy, row->old_locator);
        remove_at(l, copy, row->locator);
        return 0;
    case ROW_DELETE: remove_at(l, copy, row->locator); return 0;
    case ROW_TRUNCATE:
        if (copy->rule->on_truncate == TRUNCATE_ROWS)
            clear(copy);
        return 0;
    case ROW_REJECT: return 0;
    }
    return 0;
}

int lookups_take(struct lookups *l, struct row *const *rows, size_t count, struct err *reterr)
{
    int failed = 0;
    pthread_rwlock_wrlock(&l->lock);
    for (size_t i = 0; !failed && i < count; i++) {
        struct copy *copy = copy_of(l, rows[i]->rule);
        if (copy)
            failed = take_row(l, copy, rows[i], reterr);
    }
    pthread_rwlock_unlock(&l->lock);
    return failed;
}

/* --- from the source --- */

static int take_read(struct lookups *l, struct copy *copy, struct copy_reader *reader, struct arena *arena,
                     struct err *reterr)
{
    for (;;) {
        struct change *change;
        struct row *row;
        arena_reset(arena, (size_t)1 << 20);
        int more = copy_reader_next(reader, 0, arena, &change, reterr);
        if (more <= 0)
            return more;
        if (map_transform_rule(l->map, copy->rule, change, arena, &row, reterr) != 0 ||
            lookups_take(l, &row, 1, reterr) != 0)
            return -1;
    }
}

int lookups_read_source(struct lookups *l, PGconn *source,
                        bool (*never)(void *context, const char *schema, const char *table, const char *column),
                        void *context, struct err *reterr)
{
    struct arena arena;
    int failed = 0;
    arena_init(&arena, 0);
    for (size_t i = 0; !failed && l && i < l->count; i++) {
        const struct copy_range whole = {.relation = map_rule_source(l->map, l->copies[i].rule)};
        struct copy_reader *reader = NULL;
        clear(&l->copies[i]);
        failed = copy_reader_open(source, &whole, never, context, &reader, reterr) != 0 ||
                 take_read(l, &l->copies[i], reader, &arena, reterr) != 0;
        copy_reader_close(reader);
        l->copies[i].loaded = !failed;
    }
    arena_done(&arena);
    return failed ? -1 : 0;
}

/* --- life --- */

static void add_copy(struct lookups *l, const struct rule *rule)
{
    struct copy *copy = &l->copies[l->count++];
    *copy = (struct copy){.rule = rule, .level = map_rule_step(l->map, rule)->level};
    copy->key = mem_zalloc(rule->column_count + 1, sizeof(*copy->key));
    for (size_t i = 0; i < rule->column_count; i++)
        if (rule->columns[i].key)
            copy->key[copy->key_count++] = (uint16_t)i;
}

struct lookups *lookups_new(struct map *map, size_t max_rows)
{
    size_t wanted = 0;
    for (size_t i = 0; i < map_rule_count(map); i++)
        wanted += map_rule(map, i)->looked_up;
    if (wanted == 0)
        return NULL;
    struct lookups *l = mem_zalloc(1, sizeof(*l));
    *l = (struct lookups){.map = map, .max_rows = max_rows, .copies = mem_zalloc(wanted, sizeof(*l->copies))};
    pthread_rwlock_init(&l->lock, NULL);
    buf_init(&l->key, KEY_MAX_BYTES);
    for (size_t i = 0; i < map_rule_count(map); i++)
        if (map_rule(map, i)->looked_up)
            add_copy(l, map_rule(map, i));
    map_set_lookups(map, &(struct lookup_source){.context = l, .find = find});
    return l;
}

void lookups_free(struct lookups *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++) {
        clear(&l->copies[i]);
        free(l->copies[i].key);
    }
    free(l->copies);
    buf_done(&l->key);
    pthread_rwlock_destroy(&l->lock);
    free(l);
}
