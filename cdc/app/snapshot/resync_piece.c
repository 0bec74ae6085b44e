#include "cdc/app/snapshot/resync_piece.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"
#include "cdc/source/rowreader.h"
#include "cdc/source/sample.h"
#include "sinks/postgres/apply/target.h"

#define KEYS_A_PIECE 500
#define STAY_ROWS 500 /* after so many the servers hear of us */

static bool looks_for_strays(const struct map *map, const struct rule *rule)
{
    return rule->on_delete == DELETE_ROW && resync_knows_keys(map, rule);
}

void seen_add(struct seen *seen, const struct change *change)
{
    if (!seen->wanted)
        return;
    if (seen->count == seen->capacity) {
        seen->capacity = seen->capacity ? seen->capacity * 2 : 1024;
        seen->keys = mem_realloc(seen->keys, seen->capacity * sizeof(*seen->keys));
    }
    seen->keys[seen->count++] = source_key(change, &seen->arena);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void seen_init(struct seen *seen, const struct map *map, const struct rule *const *rules, size_t count)
{
    *seen = (struct seen){0};
    for (size_t i = 0; i < count; i++)
        seen->wanted |= looks_for_strays(map, rules[i]);
    arena_init(&seen->arena, 0);
}

void seen_done(struct seen *seen)
{
    arena_done(&seen->arena);
    free(seen->keys);
}

static bool is_seen(const struct seen *seen, const char *key)
{
    return seen->count && bsearch(&key, seen->keys, seen->count, sizeof(*seen->keys), compare_keys);
}

/* --- rows --- */

static int add_row(struct piece *p, struct change *change, struct err *reterr)
{
    struct receiver *r = p->receiver;
    change->op = CHANGE_UPDATE;
    change->counted = true;
    change->lsn = p->point->lsn;
    p->record->rows++;
    if (receiver_add_rows(r, change, reterr) != 0)
        return -1;
    if (receiver_is_full(r, FILL_INSIDE))
        return receiver_wait_for_applier(r, reterr);
    return p->record->rows % STAY_ROWS == 0 ? receiver_stay(r, reterr) : 0;
}

/* A delete where the source has no row: of the row at `locator` by one rule, or of that with the key by all rules that
 * delete. */
static int add_stray(struct piece *p, struct change *change, const struct rule *only, struct value *locator,
                     struct err *reterr)
{
    struct receiver *r = p->receiver;
    const struct map *map = r->engine->binding.map;
    size_t count;
    const struct rule *const *rules = map_rules_of(map, p->relation, &count);
    *change = (struct change){.op = CHANGE_DELETE,
                              .relation = p->relation,
                              .identity = change->identity,
                              .lsn = p->point->lsn,
                              .stray = true};
    p->record->removed++;
    for (size_t i = 0; i < count; i++) {
        struct row *row = NULL;
        if ((only && rules[i] != only) || rules[i]->on_delete != DELETE_ROW)
            continue;
        if (map_transform_rule(map, rules[i], change, &r->handover->filling->arena, &row, reterr) != 0)
            return -1;
        if (locator)
            row->locator = locator;
        receiver_add_row(r, row);
    }
    return receiver_is_full(r, FILL_INSIDE) ? receiver_wait_for_applier(r, reterr) : 0;
}

/* ["7","12"] into values; such keys hold neither quotes nor backslashes, for they are numbers or UUIDs. */
static struct value *split_key(const struct relation *relation, const char *key, struct arena *arena)
{
    struct value *values = arena_zalloc(arena, relation->key_count + 1, sizeof(*values));
    const char *at = key;
    for (size_t k = 0; k < relation->key_count; k++) {
        const char *begin = strchr(at, '"'), *end = begin ? strchr(begin + 1, '"') : NULL;
        if (!end)
            break;
        uint32_t len = (uint32_t)(end - begin - 1);
        values[k] = (struct value){.text = arena_strndup(arena, begin + 1, len), .len = len, .state = VALUE_TEXT};
        at = end + 1;
    }
    return values;
}

/* --- a range --- */

static struct value *locator_at(const PGresult *rows, int i, const struct rule *rule, struct arena *arena)
{
    struct value *locator = arena_zalloc(arena, rule->locator_count + 1, sizeof(*locator));
    for (size_t l = 0; l < rule->locator_count; l++) {
        uint32_t len = (uint32_t)PQgetlength(rows, i, (int)l + 1);
        locator[l] = (struct value){
            .text = arena_strndup(arena, PQgetvalue(rows, i, (int)l + 1), len), .len = len, .state = VALUE_TEXT};
    }
    return locator;
}

static int remove_strays(struct piece *p, const struct rule *rule, const struct copy_range *range,
                         const struct seen *seen, struct err *reterr)
{
    PGresult *rows = NULL;
    int failed = resync_keys_read(p->target, rule, range->lo, range->hi, range->hi_included, &rows, reterr);
    for (int i = 0; !failed && i < PQntuples(rows); i++) {
        const char *key = PQgetvalue(rows, i, 0);
        if (is_seen(seen, key))
            continue;
        struct arena *arena = &p->receiver->handover->filling->arena;
        struct change *change = arena_zalloc(arena, 1, sizeof(*change));
        change->identity = split_key(p->relation, key, arena);
        failed = add_stray(p, change, rule, locator_at(rows, i, rule, arena), reterr);
    }
    PQclear(rows);
    return failed;
}

int piece_remove_strays(struct piece *p, const struct rule *const *rules, size_t count, const struct copy_range *range,
                        struct seen *seen, struct err *reterr)
{
    if (!p->target)
        return 0;
    if (seen->count)
        qsort(seen->keys, seen->count, sizeof(*seen->keys), compare_keys);
    for (size_t i = 0; i < count; i++)
        if (looks_for_strays(p->receiver->engine->binding.map, rules[i]) &&
            remove_strays(p, rules[i], range, seen, reterr) != 0)
            return -1;
    return 0;
}

static int read_rows(struct piece *p, PGconn *conn, const struct copy_range *range, struct seen *seen,
                     struct err *reterr)
{
    struct engine *engine = p->receiver->engine;
    struct copy_reader *reader = NULL;
    int more = 0;
    if (copy_reader_open(conn, range, engine_never, engine, &reader, reterr) != 0)
        return -1;
    for (;;) {
        struct change *change = NULL;
        more = copy_reader_next(reader, p->point->lsn, &p->receiver->handover->filling->arena, &change, reterr);
        if (more <= 0)
            break;
        seen_add(seen, change);
        if (add_row(p, change, reterr) != 0) {
            more = -1;
            break;
        }
    }
    copy_reader_close(reader);
    return more;
}

static int read_range(struct piece *p, PGconn *conn, const struct copy_range *range, struct err *reterr)
{
    const struct map *map = p->receiver->engine->binding.map;
    struct seen seen;
    size_t count;
    const struct rule *const *rules = map_rules_of(map, p->relation, &count);
    seen_init(&seen, map, rules, count);
    int failed = read_rows(p, conn, range, &seen, reterr) || piece_remove_strays(p, rules, count, range, &seen, reterr);
    seen_done(&seen);
    return failed;
}

static int read_next_range(struct piece *p, PGconn *conn, struct err *reterr)
{
    struct resync_record *record = p->record;
    struct copy_range range = {
        .relation = p->relation, .lo = record->next ? record->next : record->lo, .hi = record->hi, .hi_included = true};
    char *end = NULL;
    if (copy_range_end(conn, &range, p->rows_wanted, &end, reterr) != 0)
        return -1;
    p->last = !end;
    if (end) {
        range.hi = end;
        range.hi_included = false;
    }
    if (read_range(p, conn, &range, reterr) != 0) {
        free(end);
        return -1;
    }
    free(record->next);
    record->next = end;
    return 0;
}

/* --- keys --- */

static int read_key(struct piece *p, PGconn *conn, const char *key, struct err *reterr)
{
    struct engine *engine = p->receiver->engine;
    struct arena *arena = &p->receiver->handover->filling->arena;
    const struct sample_options options = {
        .relation = p->relation, .limit = 1, .keys = &key, .key_count = 1, .never = engine_never, .context = engine};
    struct change **changes, *gone;
    size_t count;
    if (sample_read(conn, &options, arena, &changes, &count, reterr) != 0)
        return -1;
    if (count > 0)
        return add_row(p, changes[0], reterr);
    gone = arena_alloc(arena, sizeof(*gone));
    return sample_key(conn, p->relation, key, arena, &gone->identity, reterr) != 0
               ? -1
               : add_stray(p, gone, NULL, NULL, reterr);
}

/* `next` counts them. */
static int read_next_keys(struct piece *p, PGconn *conn, struct err *reterr)
{
    struct resync_record *record = p->record;
    char text[24];
    size_t at = record->next ? (size_t)strtoull(record->next, NULL, 10) : 0, end = at + KEYS_A_PIECE;
    if (end > record->key_count)
        end = record->key_count;
    for (; at < end; at++)
        if (read_key(p, conn, record->keys[at], reterr) != 0)
            return -1;
    p->last = end == record->key_count;
    snprintf(text, sizeof(text), "%zu", end);
    free(record->next);
    record->next = mem_strdup(text);
    return 0;
}

static int open_point(const struct piece *p, PGconn **ret_conn, struct err *reterr)
{
    return engine_open_source(p->receiver->engine->settings, "resync rows", ENGINE_PATIENT, ret_conn, reterr) != 0 ||
                   snapshot_join(*ret_conn, p->point->name, reterr) != 0
               ? -1
               : 0;
}

int piece_read(struct piece *p, struct err *reterr)
{
    PGconn *conn = NULL;
    int failed = open_point(p, &conn, reterr);
    if (!failed)
        failed = p->record->key_count ? read_next_keys(p, conn, reterr) : read_next_range(p, conn, reterr);
    pg_close(conn);
    return failed ? -1 : 0;
}

static int delete_gone(struct piece *p, PGconn *conn, const struct rule *rule, const char *key, struct err *reterr)
{
    struct engine *engine = p->receiver->engine;
    struct arena *arena = &p->receiver->handover->filling->arena;
    const struct sample_options options = {
        .relation = p->relation, .limit = 1, .keys = &key, .key_count = 1, .never = engine_never, .context = engine};
    struct change **changes, *gone;
    size_t count;
    if (sample_read(conn, &options, arena, &changes, &count, reterr) != 0)
        return -1;
    if (count > 0)
        return 0;
    gone = arena_alloc(arena, sizeof(*gone));
    return sample_key(conn, p->relation, key, arena, &gone->identity, reterr) != 0
               ? -1
               : add_stray(p, gone, rule, NULL, reterr);
}

int piece_read_gone(struct piece *p, const struct rule *rule, const char *const *keys, size_t count, struct err *reterr)
{
    PGconn *conn = NULL;
    int failed = open_point(p, &conn, reterr);
    for (size_t i = 0; i < count && !failed; i++) {
        failed = delete_gone(p, conn, rule, keys[i], reterr);
        if (!failed && i % STAY_ROWS == STAY_ROWS - 1)
            failed = receiver_stay(p->receiver, reterr);
    }
    pg_close(conn);
    return failed ? -1 : 0;
}
