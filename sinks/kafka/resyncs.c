/* Tables that are to be read again, as state records: {"kind":"resync","id":n} with what was asked for, how far it is,
 * and how it ended. They move in the Kafka transaction of the rows. The last few that are over stay, for whoever asks.
 */
#include "sinks/kafka/resyncs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/log.h"
#include "sinks/kafka/ksink.h"

#define OVER_KEPT 20

struct kept {
    struct resync_record *record;
    char status[8]; /* waiting, running, done, failed */
};

static void make_key(int64_t id, char *text, size_t size)
{
    snprintf(text, size, RECORD_RESYNC ",\"id\":%" PRId64 "}", id);
}

/* --- a record as text --- */

static void put_text(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    if (text)
        buf_put_json_string(out, text, strlen(text));
    else
        buf_puts(out, "null");
}

static int put(struct ksink *k, const struct resync_record *record, const char *status, const char *result,
               struct err *reterr)
{
    char key[64];
    struct buf *out = &k->text;
    make_key(record->id, key, sizeof(key));
    buf_reset(out);
    buf_printf(out, "{\"id\":%" PRId64 ",\"status\":\"%s\"", record->id, status);
    put_text(out, "table", record->table);
    put_text(out, "reason", record->reason);
    put_text(out, "lo", record->lo);
    put_text(out, "hi", record->hi);
    put_text(out, "next", record->next);
    buf_printf(out, ",\"rows\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"since\":%" PRIu64 ",\"read\":%s", record->rows,
               record->removed, record->since, record->read ? "true" : "false");
    put_text(out, "result", result);
    buf_puts(out, ",\"keys\":[");
    for (size_t i = 0; i < record->key_count; i++) {
        if (i)
            buf_putc(out, ',');
        buf_put_json_string(out, record->keys[i], strlen(record->keys[i]));
    }
    buf_puts(out, "]}");
    if (buf_overflowed(out))
        return err_set(reterr, ERR_REFUSED, "too many keys in one request");
    return krecord_put(k, key, buf_text(out), reterr);
}

static char *own_text(const struct jsontree *record, const char *name, struct arena *arena)
{
    const char *text = jsontree_text(record, name, arena);
    return text ? mem_strdup(text) : NULL;
}

static struct kept parse(const char *value, struct arena *arena)
{
    const struct jsontree *text = jsontree_parse(value, strlen(value), arena), *keys = jsontree_get(text, "keys");
    const char *status = jsontree_text(text, "status", arena);
    struct resync_record *record = mem_zalloc(1, sizeof(*record));
    struct kept kept = {.record = record};
    *record = (struct resync_record){.id = jsontree_int(text, "id"),
                                     .table = own_text(text, "table", arena),
                                     .reason = own_text(text, "reason", arena),
                                     .lo = own_text(text, "lo", arena),
                                     .hi = own_text(text, "hi", arena),
                                     .next = own_text(text, "next", arena),
                                     .rows = (uint64_t)jsontree_int(text, "rows"),
                                     .removed = (uint64_t)jsontree_int(text, "removed"),
                                     .since = (uint64_t)jsontree_int(text, "since"),
                                     .read = jsontree_true(text, "read")};
    snprintf(kept.status, sizeof(kept.status), "%s", status ? status : "failed");
    record->begun = strcmp(kept.status, "running") == 0;
    for (const struct jsontree *key = keys ? keys->first : NULL; key; key = key->next) {
        record->keys = mem_realloc(record->keys, (record->key_count + 1) * sizeof(*record->keys));
        record->keys[record->key_count++] = mem_strdup(arena_strndup(arena, key->text, key->len));
    }
    return kept;
}

static bool is_over(const struct kept *kept)
{
    return strcmp(kept->status, "waiting") != 0 && strcmp(kept->status, "running") != 0;
}

/* --- all of them --- */

struct kept_list {
    struct kept *items;
    size_t count;
};

static bool take_kept(void *context, const char *key, const char *value)
{
    struct kept_list *list = context;
    struct arena arena;
    (void)key;
    arena_init(&arena, 0);
    list->items = mem_realloc(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = parse(value, &arena);
    arena_done(&arena);
    return true;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = ((const struct kept *)a)->record->id, y = ((const struct kept *)b)->record->id;
    return (x > y) - (x < y);
}

static struct kept_list list_all(const struct state *state)
{
    struct kept_list list = {0};
    state_each(state, RECORD_RESYNC, take_kept, &list);
    if (list.count)
        qsort(list.items, list.count, sizeof(*list.items), by_id);
    return list;
}

static void list_free(struct kept_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        resync_record_free(list->items[i].record);
    free(list->items);
}

static int forget_old(struct ksink *k, struct err *reterr)
{
    struct kept_list list = list_all(k->state);
    size_t over = 0;
    int failed = 0;
    for (size_t i = list.count; i-- > 0 && !failed;) {
        char key[64];
        make_key(list.items[i].record->id, key, sizeof(key));
        if (is_over(&list.items[i]) && ++over > OVER_KEPT)
            failed = krecord_put(k, key, NULL, reterr);
    }
    list_free(&list);
    return failed;
}

/* --- asking --- */

int kresync_add(struct ksink *k, int64_t id, const struct resync_ask *ask, struct err *reterr)
{
    struct resync_record record = {.id = id,
                                   .table = mem_strdup(ask->table),
                                   .reason = mem_strdup(ask->reason ? ask->reason : "asked"),
                                   .lo = ask->lo ? mem_strdup(ask->lo) : NULL,
                                   .hi = ask->hi ? mem_strdup(ask->hi) : NULL,
                                   .keys = mem_zalloc(ask->key_count + 1, sizeof(*record.keys)),
                                   .key_count = ask->key_count};
    for (size_t i = 0; i < ask->key_count; i++)
        record.keys[i] = mem_strdup(ask->keys[i]);
    struct resync_record *own = mem_alloc(sizeof(*own));
    *own = record;
    int failed = put(k, own, "waiting", NULL, reterr);
    resync_record_free(own);
    return failed;
}

static bool is_of(const struct resync_record *record, const struct rule *rule)
{
    char name[2 * ERR_NAME_MAX];
    snprintf(name, sizeof(name), "%s.%s", rule->from_schema, rule->from_table);
    return record->table && (strcmp(record->table, name) == 0 || strcmp(record->table, rule->from_table) == 0);
}

static bool reads_all(const struct kept *kept, const struct rule *rule)
{
    const struct resync_record *record = kept->record;
    return strcmp(kept->status, "waiting") == 0 && is_of(record, rule) && !record->lo && !record->hi &&
           record->key_count == 0;
}

bool kresync_refills(const struct ksink *k, const struct rule *rule)
{
    struct kept_list list = list_all(k->state);
    bool found = false;
    for (size_t i = 0; i < list.count; i++)
        found |= reads_all(&list.items[i], rule);
    list_free(&list);
    return found;
}

/* Several rules of one table want it once; ids of requests are small, so an LSN is free. */
int kresync_truncated(struct ksink *k, const struct row *row, struct err *reterr)
{
    char table[2 * ERR_NAME_MAX], key[64], quoted[LOG_QUOTED_MAX];
    int64_t id = (int64_t)k->txn.lsn;
    if (kresync_refills(k, row->rule))
        return 0;
    for (make_key(id, key, sizeof(key)); state_get(k->state, key); make_key(id, key, sizeof(key)))
        id++;
    snprintf(table, sizeof(table), "%s.%s", row->rule->from_schema, row->rule->from_table);
    log_event(LOG_WARN, "truncated", "table=%s msg=%s", log_quote(table, quoted, sizeof(quoted)),
              "\"it is read again, and what is gone there is deleted from its topics\"");
    return kresync_add(k, id, &(struct resync_ask){.table = table, .reason = "truncate"}, reterr);
}

/* --- how far they are --- */

static void replace(char **text, const char *with)
{
    free(*text);
    *text = with ? mem_strdup(with) : NULL;
}

int kresync_progress(struct ksink *k, const struct resync_progress *progress, struct err *reterr)
{
    char key[64];
    struct arena arena;
    make_key(progress->id, key, sizeof(key));
    const char *text = state_get(k->state, key);
    if (!text)
        return 0;
    arena_init(&arena, 0);
    struct kept kept = parse(text, &arena);
    struct resync_record *record = kept.record;
    replace(&record->next, progress->next);
    record->rows = progress->rows;
    record->removed = progress->removed;
    record->since = progress->since;
    record->read = progress->read;
    if (progress->over) { /* its keys are forgotten */
        while (record->key_count > 0)
            free(record->keys[--record->key_count]);
    }
    int failed = put(k, record,
                     !progress->over    ? "running"
                     : progress->failed ? "failed"
                                        : "done",
                     progress->result, reterr);
    resync_record_free(record);
    arena_done(&arena);
    return failed != 0 || (progress->over && forget_old(k, reterr) != 0) ? -1 : 0;
}

int kresync_waits(struct sink *sink, bool *ret_waits, struct err *reterr)
{
    struct kept_list list = list_all(ksink_of(sink)->state);
    (void)reterr;
    *ret_waits = false;
    for (size_t i = 0; i < list.count; i++)
        *ret_waits |= !is_over(&list.items[i]);
    list_free(&list);
    return 0;
}

int kresync_read(struct sink *sink, struct resync_record ***ret_records, size_t *ret_count, struct err *reterr)
{
    struct kept_list list = list_all(ksink_of(sink)->state);
    struct resync_record **records = mem_zalloc(list.count + 1, sizeof(*records));
    (void)reterr;
    *ret_count = 0;
    for (size_t i = 0; i < list.count; i++) {
        if (is_over(&list.items[i])) {
            resync_record_free(list.items[i].record);
            continue;
        }
        records[(*ret_count)++] = list.items[i].record;
    }
    free(list.items);
    *ret_records = records;
    return 0;
}

int kresync_end(struct sink *sink, const struct resync_record *record, const char *result, struct err *reterr)
{
    struct ksink *k = ksink_of(sink);
    const struct resync_progress over = {.id = record->id, .over = true, .failed = true, .result = result};
    return kresync_progress(k, &over, reterr) != 0 ? -1 : client_commit(k->client, reterr);
}

/* --- from outside --- */

void resyncs_report(const struct state *state, int64_t id, struct resync_report *ret_report)
{
    char key[64];
    struct arena arena;
    *ret_report = (struct resync_report){0};
    make_key(id, key, sizeof(key));
    const char *text = state_get(state, key);
    if (!text)
        return;
    arena_init(&arena, 0);
    struct kept kept = parse(text, &arena);
    const char *result = jsontree_text(jsontree_parse(text, strlen(text), &arena), "result", &arena);
    ret_report->exists = true;
    ret_report->begun = strcmp(kept.status, "waiting") != 0;
    ret_report->failed = strcmp(kept.status, "failed") == 0;
    ret_report->done = is_over(&kept);
    ret_report->rows = kept.record->rows;
    ret_report->removed = kept.record->removed;
    snprintf(ret_report->table, sizeof(ret_report->table), "%s", kept.record->table ? kept.record->table : "");
    snprintf(ret_report->result, sizeof(ret_report->result), "%s", result ? result : "");
    resync_record_free(kept.record);
    arena_done(&arena);
}

size_t resyncs_waiting(const struct state *state)
{
    struct kept_list list = list_all(state);
    size_t count = 0;
    for (size_t i = 0; i < list.count; i++)
        count += !is_over(&list.items[i]);
    list_free(&list);
    return count;
}
