/* Parents that have come, and what that wakes.
 *
 *     arrived: place, key ─▶ pending references are filled                                        pending.c
 *                         ─▶ entries that wait are taken out ─▶ transformed anew ─▶ chunk_apply ─▶ arrived, too
 *
 * A woken row is a new row: what it counted for goes with its entry, and it may park again, for another parent, or fail
 * as any row may. At most WAKE_MAX of them are in memory at a time.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/apply/image.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/parents/pending.h"
#include "sinks/postgres/quarantine/retry.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/session/shared.h"

#define WAKE_MAX 5000
#define IDS_MAX 4000 /* fewer, so that those who wait for one parent each are found at once */
#define SWEEP_MAX 10000
#define SQL_MAX ((size_t)1 << 20)
#define ARENA_KEEP_BYTES ((size_t)4 << 20)

struct arrival {
    size_t place;
    char *id;
};

struct left {
    size_t index; /* of the rule, or of the derivation */
    bool derived;
    int64_t count;
};

struct park {
    struct arrival *arrived;
    size_t arrived_count, arrived_capacity;
    struct left *left;
    size_t left_count, left_capacity;
    uint64_t departures;
    struct arena arena; /* of the rows that are being woken */
};

void park_open(struct pgsink *s)
{
    s->park = mem_zalloc(1, sizeof(*s->park));
    arena_init(&s->park->arena, 0);
}

void park_close(struct pgsink *s)
{
    if (!s->park)
        return;
    park_end(s);
    arena_done(&s->park->arena);
    free(s->park->arrived);
    free(s->park->left);
    free(s->park);
    s->park = NULL;
}

void park_end(struct pgsink *s)
{
    park_undo(s, (struct park_mark){0});
    arena_reset(&s->park->arena, ARENA_KEEP_BYTES);
}

/* --- savepoints --- */

struct park_mark park_mark(const struct pgsink *s)
{
    return (struct park_mark){.arrived = s->park->arrived_count, .left = s->park->left_count};
}

void park_undo(struct pgsink *s, struct park_mark mark)
{
    struct park *park = s->park;

    while (park->arrived_count > mark.arrived)
        free(park->arrived[--park->arrived_count].id);
    if (park->left_count > mark.left)
        park->left_count = mark.left;
}

static void note_left(struct park *park, size_t index, bool derived, int64_t count)
{
    if (count == 0)
        return;
    if (park->left_count == park->left_capacity) {
        park->left_capacity = park->left_capacity ? park->left_capacity * 2 : 16;
        park->left = mem_realloc(park->left, park->left_capacity * sizeof(*park->left));
    }
    park->left[park->left_count++] = (struct left){.index = index, .derived = derived, .count = count};
}

void park_left(struct pgsink *s, size_t rule_index, int64_t count)
{
    s->park->departures++;
    note_left(s->park, rule_index, false, count);
}

void park_left_derived(struct pgsink *s, size_t derivation, int64_t count)
{
    note_left(s->park, derivation, true, count);
}

uint64_t park_departures(const struct pgsink *s)
{
    return s->park->departures;
}

void park_settle(struct pgsink *s)
{
    struct park *park = s->park;

    for (size_t i = 0; i < park->left_count; i++) {
        const struct left *left = &park->left[i];
        const struct account delta = {.mapped = -left->count, .quarantined = left->count};
        if (left->derived) {
            derive_delta(s, left->index)->deletes += left->count;
            continue;
        }
        counters_add(s, (int)left->index, &delta);
        s->figures.quarantined += (uint64_t)left->count;
    }
    park->left_count = 0;
}

/* --- who came --- */

static bool is_awaited(const struct place *place)
{
    return place->waiting > 0 || place->pending > 0;
}

static void add(struct park *park, size_t place, const char *text, size_t len)
{
    char *id = mem_alloc(len + 1);

    memcpy(id, text, len);
    id[len] = '\0';
    if (park->arrived_count == park->arrived_capacity) {
        park->arrived_capacity = park->arrived_capacity ? park->arrived_capacity * 2 : 64;
        park->arrived = mem_realloc(park->arrived, park->arrived_capacity * sizeof(*park->arrived));
    }
    park->arrived[park->arrived_count++] = (struct arrival){.place = place, .id = id};
}

void park_row_arrived(struct pgsink *s, const struct row *row)
{
    const struct target *target = &rule_state_of(s, row->rule)->target;

    for (size_t i = 0; i < target->here_count; i++) {
        const struct value *value = &row->values[target->here[i].column];
        if (is_awaited(&s->references.places[target->here[i].place]) && value->state == VALUE_TEXT)
            add(s->park, target->here[i].place, value->text, value->len);
    }
}

#define OPEN "status <> 'resolved' AND status IN ('pending', 'in_progress', 'escalated')"

/* The keys in a result's first column. */
static void add_all(struct park *park, size_t place, const PGresult *result)
{
    for (int i = 0; result && i < PQntuples(result); i++)
        add(park, place, PQgetvalue(result, i, 0), (size_t)PQgetlength(result, i, 0));
}

/* Those of the relation's keys that somebody waits for. */
static int relation_arrived(struct pgsink *s, size_t at, const char *relation, struct err *reterr)
{
    const struct place *place = &s->references.places[at];
    const char *params[] = {s->options.pipeline, place->label};
    PGresult *result = NULL;
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "SELECT r.%s::text FROM %s r WHERE EXISTS (SELECT FROM pgrekey.quarantine q WHERE q.pipeline = $1"
               " AND q.waits_table = $2 AND q.waits_id = r.%s::text AND q.waits_id IS NOT NULL AND q." OPEN
               ") OR EXISTS (SELECT FROM pgrekey.pending_reference p WHERE p.pipeline = $1 AND p.parent_table = $2"
               " AND p.parent_id = r.%s::text)",
               place->column, relation, place->column, place->column);
    rc = session_query(s, "looking for who waits", session_text(&sql), 2, params, &result, reterr);
    buf_done(&sql);
    add_all(s->park, at, result);
    PQclear(result);
    return rc;
}

int park_arrived(struct pgsink *s, const char *schema, const char *table, const char *relation, const char *column,
                 struct err *reterr)
{
    int place = references_find(&s->references, schema, table, column);

    if (place == NO_PLACE || !is_awaited(&s->references.places[place]))
        return 0;
    return relation_arrived(s, (size_t)place, relation, reterr);
}

static int ask_awaited(struct pgsink *s, const struct place *place, const char *ids, bool *ret_awaited,
                       struct err *reterr)
{
    const char *params[] = {s->options.pipeline, place->label, ids};
    PGresult *result = NULL;

    if (session_query(s, "looking for who waits",
                      "SELECT EXISTS (SELECT FROM pgrekey.quarantine WHERE pipeline = $1 AND waits_table = $2"
                      " AND waits_id = ANY ($3::text[]) AND waits_id IS NOT NULL AND " OPEN
                      ") OR EXISTS (SELECT FROM pgrekey.pending_reference WHERE pipeline = $1 AND parent_table = $2"
                      " AND parent_id = ANY ($3::text[]))",
                      3, params, &result, reterr))
        return -1;
    *ret_awaited = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

int park_awaited(struct pgsink *s, bool *ret_awaited, struct err *reterr)
{
    int rc = 0;

    *ret_awaited = false;
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct target *target = &s->rules[r].target;
        for (size_t i = 0; rc == 0 && !*ret_awaited && i < target->here_count; i++) {
            struct buf ids;
            if (!is_awaited(&s->references.places[target->here[i].place]))
                continue;
            buf_init(&ids, SESSION_ARRAY_MAX);
            for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
                if (net_inserts(&s->net->entries[e]))
                    session_put_array_item(&ids, &s->net->entries[e].row->values[target->here[i].column]);
            if (ids.len)
                rc = ask_awaited(s, &s->references.places[target->here[i].place], session_end_array(&ids), ret_awaited,
                                 reterr);
            buf_done(&ids);
        }
    }
    return rc;
}

/* --- taken out --- */

struct woken {
    struct row **rows;
    int64_t *ids; /* of their entries */
    size_t count;
};

static int find_entries(struct pgsink *s, const struct place *place, const char *ids, PGresult **ret_result,
                        struct err *reterr)
{
    const char *params[] = {s->options.pipeline, place->label, ids};
    char sql[768];

    snprintf(sql, sizeof(sql),
             "SELECT q.* FROM (SELECT DISTINCT unnest($3::text[])) AS a (id) CROSS JOIN LATERAL"
             " (SELECT id, first_seen = now(), rule, key, op, change, lsn, xid, target_row::text"
             " FROM pgrekey.quarantine WHERE pipeline = $1 AND waits_table = $2 AND waits_id = a.id"
             " AND waits_id IS NOT NULL AND rule NOT IN (SELECT rule FROM pgrekey.derivation WHERE pipeline = $1)"
             " AND " OPEN " OFFSET 0) AS q LIMIT %d",
             WAKE_MAX);
    return session_query(s, "looking for who waits", sql, 3, params, ret_result, reterr);
}

static const struct rule *rule_by_name(const struct pgsink *s, const char *name, const struct rule *guess)
{
    if (guess && strcmp(guess->name, name) == 0)
        return guess;
    for (size_t r = 0; r < s->rule_count; r++)
        if (strcmp(s->rules[r].target.rule->name, name) == 0)
            return s->rules[r].target.rule;
    return NULL;
}

/* Of a row that is known by its place on the target only, the key is not known. */
static bool read_change(const PGresult *result, int i, struct change *change, struct arena *arena)
{
    const struct relation *relation = change->relation;
    const char *key = PQgetvalue(result, i, 3);

    change->op = CHANGE_INSERT;
    change->xid = (uint32_t)strtoul(PQgetvalue(result, i, 7), NULL, 10);
    if (!lsn_parse(PQgetvalue(result, i, 6), &change->lsn))
        change->lsn = 0;
    change->columns = arena_zalloc(arena, relation->column_count + 1, sizeof(*change->columns));
    if (!image_read(PQgetvalue(result, i, 5), change, arena))
        return false;
    if (*key != '[')
        return true;
    change->identity = arena_zalloc(arena, relation->key_count + 1, sizeof(*change->identity));
    return image_read_key(key, change->identity, relation->key_count, arena);
}

/* The entry as a new row; NULL where it cannot be one, and stays as it is: row by row more can be done. */
static int read_entry(struct pgsink *s, const PGresult *result, int i, const struct rule *rule, struct row **ret_row,
                      struct err *reterr)
{
    struct arena *arena = &s->park->arena;
    struct change *change = arena_zalloc(arena, 1, sizeof(*change));
    const char *kept = PQgetisnull(result, i, 8) ? NULL : arena_strdup(arena, PQgetvalue(result, i, 8));
    struct row *row = NULL;

    *ret_row = NULL;
    change->relation = map_rule_source(s->options.map, rule);
    if (!change->relation || !read_change(result, i, change, arena))
        return 0;
    if (park_is_empty(change)) {
        if (!kept)
            return 0;
        row = park_row(rule, change, kept, arena);
        row->key = arena_strdup(arena, PQgetvalue(result, i, 3));
        *ret_row = row;
        return 0;
    }
    int mapped = map_transform_rule(s->options.map, rule, change, arena, &row, reterr);
    if (mapped < 0)
        return -1;
    if (mapped > 0 || (row->partial && !kept))
        return 0;
    row->kept = kept;
    *ret_row = row;
    return 0;
}

static void put_id(struct buf *array, int64_t id)
{
    buf_printf(array, "%c%" PRId64, array->len ? ',' : '{', id);
}

/* The entries stand no longer, and neither does what they counted for. */
static int take_out(struct pgsink *s, struct buf *fresh, struct buf *old, struct err *reterr)
{
    const char *params[1];

    if (fresh->len) {
        params[0] = session_end_array(fresh);
        if (session_query(s, "waking rows", "DELETE FROM pgrekey.quarantine WHERE id = ANY ($1::bigint[])", 1, params,
                          NULL, reterr))
            return -1;
    }
    if (old->len == 0)
        return 0;
    params[0] = session_end_array(old);
    return session_query(s, "waking rows",
                         "UPDATE pgrekey.quarantine SET status = 'resolved', resolved_at = now(), next_try = NULL,"
                         " blocked_by = NULL, change = '{}', target_row = NULL WHERE id = ANY ($1::bigint[])",
                         1, params, NULL, reterr);
}

/* Rows that were parked with their target row, filled from it, rule by rule. */
static int fill_rows(struct pgsink *s, const struct woken *woken, struct err *reterr)
{
    struct row **kept = mem_alloc((woken->count + 1) * sizeof(*kept));
    int rc = 0;

    for (size_t r = 0; rc == 0 && r < s->rule_count; r++) {
        size_t count = 0;
        for (size_t i = 0; i < woken->count; i++)
            if (woken->rows[i]->kept && woken->rows[i]->op == ROW_UPSERT && (size_t)woken->rows[i]->rule->index == r)
                kept[count++] = woken->rows[i];
        rc = park_fill(s, kept, count, &s->park->arena, reterr);
    }
    free(kept);
    return rc;
}

static int read_entries(struct pgsink *s, const PGresult *result, struct woken *woken, struct buf *fresh,
                        struct buf *old, struct err *reterr)
{
    const struct rule *rule = NULL;

    woken->rows = arena_alloc(&s->park->arena, ((size_t)PQntuples(result) + 1) * sizeof(*woken->rows));
    woken->ids = arena_alloc(&s->park->arena, ((size_t)PQntuples(result) + 1) * sizeof(*woken->ids));
    for (int i = 0; i < PQntuples(result); i++) {
        struct row *row = NULL;
        int64_t id = strtoll(PQgetvalue(result, i, 0), NULL, 10);

        rule = rule_by_name(s, PQgetvalue(result, i, 2), rule);
        if (rule && read_entry(s, result, i, rule, &row, reterr))
            return -1;
        if (!row) {
            rowmode_take_up(s, id);
            continue;
        }
        put_id(*PQgetvalue(result, i, 1) == 't' ? fresh : old, id);
        woken->rows[woken->count++] = row;
        counters_add(s, rule->index, &(struct account){.quarantined = -1});
    }
    return 0;
}

static int wake_piece(struct pgsink *s, const struct place *place, const char *ids, size_t *ret_found,
                      size_t *ret_woken, struct err *reterr)
{
    struct woken woken = {0};
    PGresult *result = NULL;
    struct buf fresh, old;
    int rc;

    arena_reset(&s->park->arena, ARENA_KEEP_BYTES);
    if (find_entries(s, place, ids, &result, reterr))
        return -1;
    buf_init(&fresh, SESSION_ARRAY_MAX);
    buf_init(&old, SESSION_ARRAY_MAX);
    *ret_found = (size_t)PQntuples(result);
    rc = read_entries(s, result, &woken, &fresh, &old, reterr) ||
                 adopted_rows(s, woken.rows, woken.count, &s->park->arena, reterr) || fill_rows(s, &woken, reterr) ||
                 take_out(s, &fresh, &old, reterr)
             ? -1
             : 0;
    PQclear(result);
    buf_done(&fresh);
    buf_done(&old);
    *ret_woken = woken.count;
    if (rc || woken.count == 0)
        return rc;
    s->waking = true;
    rc = chunk_apply(s, woken.rows, woken.count, reterr);
    s->waking = false;
    return rc;
}

static int wake(struct pgsink *s, const struct place *place, const char *ids, size_t *woken, struct err *reterr)
{
    size_t found, count;

    do {
        if (wake_piece(s, place, ids, &found, &count, reterr))
            return -1;
        *woken += count;
    } while (found == WAKE_MAX && count);
    return 0;
}

/* --- what has come is taken up --- */

static int by_place(const void *a, const void *b)
{
    const struct arrival *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int take_up_place(struct pgsink *s, const struct arrival *arrived, size_t count, size_t *woken,
                         struct err *reterr)
{
    struct place *place = &s->references.places[arrived[0].place];
    struct buf ids;
    int rc = 0;

    buf_init(&ids, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < count; i++)
        session_put_array_item(
            &ids, &(struct value){.text = arrived[i].id, .len = (uint32_t)strlen(arrived[i].id), .state = VALUE_TEXT});
    (void)session_end_array(&ids);
    if (place->pending)
        rc = pending_arrived(s, arrived[0].place, session_text(&ids), reterr);
    if (rc == 0)
        rc = derive_arrived(s, arrived[0].place, session_text(&ids), reterr);
    if (rc == 0 && place->waiting)
        rc = wake(s, place, session_text(&ids), woken, reterr);
    buf_done(&ids);
    return rc;
}

static int take_up(struct pgsink *s, struct arrival *arrived, size_t count, size_t *woken, struct err *reterr)
{
    int rc = 0;

    qsort(arrived, count, sizeof(*arrived), by_place);
    for (size_t i = 0, end; rc == 0 && i < count; i = end) {
        for (end = i + 1; end < count && end - i < IDS_MAX && arrived[end].place == arrived[i].place;)
            end++;
        rc = take_up_place(s, arrived + i, end - i, woken, reterr);
    }
    return rc;
}

int park_drain(struct pgsink *s, size_t *ret_woken, struct err *reterr)
{
    struct park *park = s->park;
    int rc = 0;

    *ret_woken = 0;
    /* Of this session's rows alone it would be half the truth: park_sweep comes. */
    if (s->snapshot || !shared_may_wake(s)) {
        park_undo(s, (struct park_mark){0});
        return 0;
    }
    while (rc == 0 && park->arrived_count) {
        struct arrival *arrived = park->arrived;
        size_t count = park->arrived_count;

        park->arrived = NULL;
        park->arrived_count = park->arrived_capacity = 0;
        rc = take_up(s, arrived, count, ret_woken, reterr);
        for (size_t i = 0; i < count; i++)
            free(arrived[i].id);
        free(arrived);
    }
    return rc;
}

int park_finish(struct pgsink *s, struct err *reterr)
{
    size_t woken;

    do
        if (rowmode_finish(s, reterr) || park_drain(s, &woken, reterr))
            return -1;
    while (woken || s->rowmode->aside_count || derive_has_keys(s));
    return 0;
}

/* --- sweeping --- */

/* What is swept of one place: the ids that are waited for, in their order, so that what the target refuses is met once.
 */
struct sweep {
    size_t place;
    const char *waiting; /* SQL */
    char *last;          /* the greatest id so far; NULL at the beginning */
    bool more;
};

/* Parents that stand and that somebody waits for. */
static int find_standing(struct pgsink *s, struct sweep *sweep, struct err *reterr)
{
    const struct place *place = &s->references.places[sweep->place];
    const char *params[] = {s->options.pipeline, place->label, sweep->last};
    PGresult *result = NULL;
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "SELECT DISTINCT w.id COLLATE \"C\" FROM (%s) w (id) JOIN %s p ON p.%s = w.id::%s%s WHERE $3::text IS "
               "NULL OR w.id COLLATE \"C\" > $3 ORDER BY 1 LIMIT %d",
               sweep->waiting, place->table, place->column, place->type, place->stands, SWEEP_MAX);
    rc = session_query(s, "looking for parents that came", session_text(&sql), 3, params, &result, reterr);
    buf_done(&sql);
    add_all(s->park, sweep->place, result);
    int count = rc == 0 ? PQntuples(result) : 0;
    sweep->more = count == SWEEP_MAX;
    if (sweep->more) {
        free(sweep->last);
        sweep->last = mem_strdup(PQgetvalue(result, count - 1, 0));
    }
    PQclear(result);
    return rc;
}

#define WAITING_ROWS                                                                                                   \
    "SELECT waits_id FROM pgrekey.quarantine WHERE pipeline = $1 AND waits_table = $2 AND waits_id IS NOT NULL "       \
    "AND " OPEN
#define WAITING_REFERENCES "SELECT parent_id FROM pgrekey.pending_reference WHERE pipeline = $1 AND parent_table = $2"

static int sweep_some(struct pgsink *s, struct sweep *sweep, struct err *reterr)
{
    size_t woken;

    if (retry_begin(s, reterr) || find_standing(s, sweep, reterr) || park_drain(s, &woken, reterr) ||
        ((woken || derive_has_keys(s)) && park_finish(s, reterr)))
        return -1;
    return retry_commit(s, reterr);
}

static int sweep_place(struct pgsink *s, size_t place, const char *waiting, struct err *reterr)
{
    struct sweep sweep = {.place = place, .waiting = waiting, .more = true};
    int rc = 0;

    while (rc == 0 && sweep.more)
        rc = sweep_some(s, &sweep, reterr);
    free(sweep.last);
    return rc;
}

int park_sweep(struct pgsink *s, struct err *reterr)
{
    const bool snapshot = s->snapshot;
    int rc = 0;

    s->snapshot = false;
    for (size_t p = 0; rc == 0 && p < s->references.place_count; p++) {
        if (s->references.places[p].waiting)
            rc = sweep_place(s, p, WAITING_ROWS, reterr);
        if (rc == 0 && s->references.places[p].pending)
            rc = sweep_place(s, p, WAITING_REFERENCES, reterr);
    }
    s->snapshot = snapshot;
    if (rc)
        session_rollback(s);
    return rc;
}
