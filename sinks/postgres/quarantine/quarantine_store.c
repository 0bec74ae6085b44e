#include "sinks/postgres/quarantine/quarantine_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/apply/image.h"
#include "sinks/postgres/session/session.h"

#define ENTRY_COLUMNS "id, status, category, op, change, lsn, xid, retries, target_row::text"
#define ENTRY_COLUMN_COUNT 9

/* --- asking for many keys at once --- */

static void put_text_item(struct buf *array, const char *text)
{
    session_put_array_item(array, &(struct value){.text = text, .len = (uint32_t)strlen(text), .state = VALUE_TEXT});
}

static int compare_questions(const void *a, const void *b)
{
    const struct quarantine_key *const *x = a, *const *y = b;
    if ((*x)->rule->index != (*y)->rule->index)
        return (*x)->rule->index < (*y)->rule->index ? -1 : 1;
    return strcmp((*x)->key, (*y)->key);
}

/* The answer comes sorted as the questions are (COLLATE "C" is strcmp's order), so one walk matches them. */
static void mark_standing(struct quarantine_key **asked, size_t count, const PGresult *result)
{
    size_t at = 0;
    for (int i = 0; i < PQntuples(result); i++) {
        int index = atoi(PQgetvalue(result, i, 0));
        const char *key = PQgetvalue(result, i, 1);
        while (at < count &&
               (asked[at]->rule->index < index || (asked[at]->rule->index == index && strcmp(asked[at]->key, key) < 0)))
            at++;
        for (; at < count && asked[at]->rule->index == index && strcmp(asked[at]->key, key) == 0; at++)
            asked[at]->standing = true;
    }
}

static int ask_standing(struct pgsink *s, struct quarantine_key **asked, size_t count, struct err *reterr)
{
    struct buf indexes, rules, keys;
    buf_init(&indexes, SESSION_ARRAY_MAX);
    buf_init(&rules, SESSION_ARRAY_MAX);
    buf_init(&keys, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&indexes, "%c%d", i ? ',' : '{', asked[i]->rule->index);
        put_text_item(&rules, asked[i]->rule->name);
        put_text_item(&keys, asked[i]->key);
    }
    session_end_array(&indexes);
    session_end_array(&rules);
    session_end_array(&keys);

    PGresult *result = NULL;
    const char *params[] = {s->options.pipeline, session_text(&indexes), session_text(&rules), session_text(&keys)};
    int failed = session_query(
        s, "asking the quarantine",
        /* OFFSET 0: each key by the index; without statistics a join may go through all entries for each key */
        "SELECT DISTINCT a.index, a.key COLLATE \"C\" FROM unnest($2::int[], $3::text[], $4::text[])"
        " AS a (index, rule, key) CROSS JOIN LATERAL (SELECT FROM pgrekey.quarantine q WHERE q.pipeline = $1"
        " AND q.rule = a.rule AND q.key = a.key AND q.status <> 'resolved' OFFSET 0) q ORDER BY 1, 2",
        4, params, &result, reterr);
    if (!failed)
        mark_standing(asked, count, result);
    PQclear(result);
    buf_done(&indexes);
    buf_done(&rules);
    buf_done(&keys);
    return failed;
}

int quarantine_standing_keys(struct pgsink *s, struct quarantine_key *keys, size_t count, struct err *reterr)
{
    struct quarantine_key **asked = NULL;
    size_t asked_count = 0;
    int failed;

    for (size_t i = 0; i < count; i++) {
        keys[i].standing = false;
        if (rule_state_of(s, keys[i].rule)->standing == 0)
            continue;
        if (!asked)
            asked = mem_alloc(count * sizeof(*asked));
        asked[asked_count++] = &keys[i];
    }
    if (!asked)
        return 0;
    qsort(asked, asked_count, sizeof(*asked), compare_questions);
    failed = ask_standing(s, asked, asked_count, reterr);
    free(asked);
    return failed;
}

/* --- one entry --- */

static enum account_state state_of(const char *status, enum change_op op)
{
    bool discarded = strcmp(status, "discarded") == 0;
    if (op == CHANGE_DELETE)
        return discarded ? STATE_DELETE_DISCARDED : STATE_DELETE_REFUSED;
    return discarded ? STATE_DISCARDED : STATE_QUARANTINED;
}

/* From a row of ENTRY_COLUMNS. */
static struct standing *take_entry(const PGresult *result, const struct rule *rule, const char *key,
                                   struct arena *arena)
{
    struct standing *entry = arena_zalloc(arena, 1, sizeof(*entry));
    entry->rule = rule;
    entry->key = arena_strdup(arena, key);
    entry->id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    entry->category = category_parse(PQgetvalue(result, 0, 2));
    entry->op = (enum change_op)PQgetvalue(result, 0, 3)[0];
    entry->state = state_of(PQgetvalue(result, 0, 1), entry->op);
    entry->image = arena_strndup(arena, PQgetvalue(result, 0, 4), (size_t)PQgetlength(result, 0, 4));
    if (!lsn_parse(PQgetvalue(result, 0, 5), &entry->lsn))
        entry->lsn = 0;
    entry->xid = (uint32_t)strtoul(PQgetvalue(result, 0, 6), NULL, 10);
    entry->retries = atoi(PQgetvalue(result, 0, 7));
    if (!PQgetisnull(result, 0, 8))
        entry->kept = arena_strndup(arena, PQgetvalue(result, 0, 8), (size_t)PQgetlength(result, 0, 8));
    return entry;
}

int quarantine_find(struct pgsink *s, const struct rule *rule, const char *key, struct arena *arena,
                    struct standing **ret_entry, struct err *reterr)
{
    PGresult *result;
    const char *params[] = {s->options.pipeline, rule->name, key};

    *ret_entry = NULL;
    if (rule_state_of(s, rule)->standing == 0)
        return 0;
    if (session_query(s, "reading the quarantine",
                      "SELECT " ENTRY_COLUMNS " FROM pgrekey.quarantine"
                      " WHERE pipeline = $1 AND rule = $2 AND key = $3 AND status <> 'resolved'",
                      3, params, &result, reterr))
        return -1;
    if (PQntuples(result) > 0)
        *ret_entry = take_entry(result, rule, key, arena);
    PQclear(result);
    return 0;
}

static const struct rule *rule_by_name(const struct pgsink *s, const char *name)
{
    for (size_t i = 0; i < s->rule_count; i++)
        if (strcmp(s->rules[i].target.rule->name, name) == 0)
            return s->rules[i].target.rule;
    return NULL;
}

int quarantine_load(struct pgsink *s, int64_t id, struct arena *arena, struct standing **ret_entry, struct err *reterr)
{
    PGresult *result;
    char id_text[24];
    const char *params[] = {s->options.pipeline, id_text};

    *ret_entry = NULL;
    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    if (session_query(s, "reading the quarantine",
                      "SELECT " ENTRY_COLUMNS ", rule, key FROM pgrekey.quarantine"
                      " WHERE pipeline = $1 AND id = $2 AND status <> 'resolved'",
                      2, params, &result, reterr))
        return -1;
    if (PQntuples(result) > 0) {
        const struct rule *rule = rule_by_name(s, PQgetvalue(result, 0, ENTRY_COLUMN_COUNT));
        if (rule)
            *ret_entry = take_entry(result, rule, PQgetvalue(result, 0, ENTRY_COLUMN_COUNT + 1), arena);
    }
    PQclear(result);
    return 0;
}

/* --- changes in and out --- */

static int take_key(struct pgsink *s, const char *key, struct value *identity, size_t key_count, struct arena *arena,
                    bool *ret_fits, struct err *reterr)
{
    PGresult *result;
    if (session_query(s, "reading a quarantined key", "SELECT v FROM json_array_elements_text($1::json) AS v", 1, &key,
                      &result, reterr))
        return -1;
    *ret_fits = (size_t)PQntuples(result) == key_count;
    for (size_t i = 0; *ret_fits && i < key_count; i++)
        identity[i] = image_value(result, (int)i, 0, arena);
    PQclear(result);
    return 0;
}

int quarantine_change(struct pgsink *s, const struct standing *entry, struct arena *arena, struct change **ret_change,
                      struct err *reterr)
{
    const struct relation *relation = map_rule_source(s->options.map, entry->rule);
    struct change *change = arena_zalloc(arena, 1, sizeof(*change));
    bool fits;

    *ret_change = NULL;
    if (!relation)
        return err_set(reterr, ERR_FATAL, "rule %s: the mapping is not bound to a source", entry->rule->name);
    change->op = entry->op;
    change->relation = relation;
    change->lsn = entry->lsn;
    change->xid = entry->xid;
    change->identity = arena_zalloc(arena, relation->key_count + 1, sizeof(*change->identity));
    if (*entry->key != '[') { /* known by its place on the target only */
        change->identity = NULL;
        change->columns = arena_zalloc(arena, relation->column_count + 1, sizeof(*change->columns));
        *ret_change = change;
        return 0;
    }
    if (take_key(s, entry->key, change->identity, relation->key_count, arena, &fits, reterr))
        return -1;
    if (!fits)
        return 0;
    if (entry->op != CHANGE_DELETE) {
        change->columns = arena_zalloc(arena, relation->column_count + 1, sizeof(*change->columns));
        if (image_fill(s, entry->image, change, arena, reterr))
            return -1;
    }
    *ret_change = change;
    return 0;
}

int quarantine_merge(struct pgsink *s, const struct standing *entry, const struct change *change, struct arena *arena,
                     struct change **ret_change, struct err *reterr)
{
    struct change *merged = arena_alloc(arena, sizeof(*merged));
    size_t column_count = change->relation->column_count;

    *merged = *change;
    if (change->columns) {
        merged->columns = arena_zalloc(arena, column_count + 1, sizeof(*merged->columns));
        memcpy(merged->columns, change->columns, column_count * sizeof(*merged->columns));
        if (entry->op != CHANGE_DELETE && image_fill(s, entry->image, merged, arena, reterr))
            return -1;
    }
    *ret_change = merged;
    return 0;
}

/* --- put, resolve, postpone --- */

static const char PUT[] =
    "INSERT INTO pgrekey.quarantine AS q (pipeline, rule, key, source_table, target_table, op, category, severity,"
    " sqlstate, column_name, constraint_name, reason, suggestion, change, lsn, xid, blocked_by, next_try,"
    " waits_table, waits_id, target_row, place)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
    " now() + make_interval(secs => $18), $19, $20, $21, $22)"
    " ON CONFLICT (pipeline, rule, key) WHERE status <> 'resolved' DO UPDATE SET status = 'pending',"
    " op = excluded.op, category = excluded.category, severity = excluded.severity, sqlstate = excluded.sqlstate,"
    " column_name = excluded.column_name, constraint_name = excluded.constraint_name, reason = excluded.reason,"
    " suggestion = excluded.suggestion, change = excluded.change, lsn = excluded.lsn, xid = excluded.xid,"
    " blocked_by = excluded.blocked_by, next_try = excluded.next_try, retries = 0, last_tried = now(),"
    " waits_table = excluded.waits_table, waits_id = excluded.waits_id,"
    " target_row = coalesce(excluded.target_row, q.target_row), place = excluded.place"
    " RETURNING id";

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* The image as text, in a buffer that the caller frees. */
static int make_image(struct buf *image, const struct change *change, struct err *reterr)
{
    buf_init(image, IMAGE_MAX);
    image_put(image, change);
    if (!buf_overflowed(image))
        return 0;
    buf_done(image);
    return err_set(reterr, ERR_FATAL, "a row of %s.%s is too large for the quarantine", change->relation->schema,
                   change->relation->name);
}

static void count_waiting(struct pgsink *s, const struct place *waits)
{
    if (waits)
        s->references.places[waits - s->references.places].waiting++;
}

int quarantine_put(struct pgsink *s, const struct rule *rule, const struct change *change, const char *key,
                   const struct refusal *why, int64_t *ret_id, struct err *reterr)
{
    char source[2 * ERR_NAME_MAX + 2], target[2 * ERR_NAME_MAX + 2], op[2] = {(char)change->op, '\0'};
    char lsn[LSN_TEXT_MAX], xid[16], backoff[16];
    struct buf image;
    PGresult *result;

    if (make_image(&image, change, reterr))
        return -1;
    snprintf(source, sizeof(source), "%s.%s", rule->from_schema, rule->from_table);
    snprintf(target, sizeof(target), "%s.%s", rule->to_schema, rule->to_table);
    snprintf(xid, sizeof(xid), "%" PRIu32, change->xid);
    snprintf(backoff, sizeof(backoff), "%d", s->options.retry_backoff_s);
    const char *params[] = {s->options.pipeline,
                            rule->name,
                            key,
                            source,
                            target,
                            op,
                            category_name(why->category),
                            category_severity(why->category),
                            or_empty(why->sqlstate),
                            or_empty(why->column),
                            or_empty(why->constraint),
                            or_empty(why->reason),
                            category_suggestion(why->category),
                            buf_text(&image),
                            lsn_format(change->lsn, lsn),
                            xid,
                            why->blocked_by,
                            s->options.retry_limit > 0 && !why->waits ? backoff : NULL,
                            why->waits ? why->waits->label : NULL,
                            why->waits ? why->waits_id : NULL,
                            why->kept,
                            why->place};
    int failed =
        session_query(s, "writing the quarantine", PUT, sizeof(params) / sizeof(*params), params, &result, reterr);
    buf_done(&image);
    if (failed)
        return -1;
    *ret_id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    rule_state_of(s, rule)->standing++;
    count_waiting(s, why->waits);
    return 0;
}

int quarantine_refresh(struct pgsink *s, int64_t id, const struct change *change, const struct refusal *why,
                       struct err *reterr)
{
    struct buf image;
    char id_text[24];

    if (make_image(&image, change, reterr))
        return -1;
    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    const char *params[] = {id_text,
                            category_name(why->category),
                            category_severity(why->category),
                            or_empty(why->sqlstate),
                            or_empty(why->column),
                            or_empty(why->constraint),
                            or_empty(why->reason),
                            category_suggestion(why->category),
                            buf_text(&image),
                            why->blocked_by,
                            why->waits ? why->waits->label : NULL,
                            why->waits ? why->waits_id : NULL,
                            why->kept};
    int failed = session_query(
        s, "writing the quarantine",
        "UPDATE pgrekey.quarantine SET category = $2, severity = $3, sqlstate = $4, column_name = $5,"
        " constraint_name = $6, reason = $7, suggestion = $8, change = $9, blocked_by = $10, waits_table = $11,"
        " waits_id = $12, target_row = coalesce($13::jsonb, target_row),"
        " next_try = CASE WHEN $12::text IS NULL THEN next_try END WHERE id = $1",
        sizeof(params) / sizeof(*params), params, NULL, reterr);
    buf_done(&image);
    if (!failed)
        count_waiting(s, why->waits);
    return failed;
}

int quarantine_blocked(struct pgsink *s, const char *blocked_by, void (*found)(struct pgsink *s, int64_t id),
                       struct err *reterr)
{
    const char *params[] = {s->options.pipeline, blocked_by};
    PGresult *result;

    if (session_query(s, "reading the quarantine",
                      "SELECT id FROM pgrekey.quarantine WHERE pipeline = $1 AND blocked_by = $2"
                      " AND status NOT IN ('resolved', 'discarded') ORDER BY id LIMIT 100",
                      2, params, &result, reterr))
        return -1;
    for (int i = 0; i < PQntuples(result); i++)
        found(s, strtoll(PQgetvalue(result, i, 0), NULL, 10));
    PQclear(result);
    return 0;
}

int quarantine_count_failures(struct pgsink *s, const int64_t *ids, size_t count, int64_t *ret_failures,
                              int64_t *ret_waiting, struct err *reterr)
{
    struct buf array;
    PGresult *result;

    buf_init(&array, (size_t)16 << 20);
    for (size_t i = 0; i < count; i++)
        buf_printf(&array, "%c%" PRId64, i ? ',' : '{', ids[i]);
    buf_puts(&array, count ? "}" : "{}");
    const char *params[] = {session_text(&array)};
    int failed = session_query(s, "reading the quarantine",
                               "SELECT count(*) FILTER (WHERE waits_id IS NULL),"
                               " count(*) FILTER (WHERE waits_id IS NOT NULL) FROM pgrekey.quarantine"
                               " WHERE id = ANY ($1::bigint[]) AND last_tried = now() AND status = 'pending'",
                               1, params, &result, reterr);
    buf_done(&array);
    if (failed)
        return -1;
    *ret_failures = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    *ret_waiting = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    PQclear(result);
    return 0;
}

static int resolve(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};
    return session_query(
        s, "resolving the quarantine",
        "WITH fresh AS (DELETE FROM pgrekey.quarantine WHERE pipeline = $1 AND rule = $2"
        " AND ($3::text IS NULL OR key = $3) AND status <> 'resolved' AND first_seen = now())"
        " UPDATE pgrekey.quarantine SET status = 'resolved', resolved_at = now(), next_try = NULL, blocked_by = NULL,"
        " change = '{}', target_row = NULL WHERE pipeline = $1 AND rule = $2 AND ($3::text IS NULL OR key = $3)"
        " AND status <> 'resolved' AND first_seen <> now()",
        3, params, NULL, reterr);
}

int quarantine_resolve(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr)
{
    return resolve(s, rule, key, reterr);
}

int quarantine_resolve_rule(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    return resolve(s, rule, NULL, reterr);
}

int quarantine_discard(struct pgsink *s, int64_t id, struct err *reterr)
{
    char id_text[24];
    const char *params[] = {id_text};

    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    return session_query(s, "writing the quarantine",
                         "UPDATE pgrekey.quarantine SET status = 'discarded', next_try = NULL, blocked_by = NULL,"
                         " resolved_at = now() WHERE id = $1",
                         1, params, NULL, reterr);
}

int quarantine_postpone(struct pgsink *s, int64_t id, struct err *reterr)
{
    char id_text[24], limit[16], backoff[16];
    const char *params[] = {id_text, limit, backoff};

    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    snprintf(limit, sizeof(limit), "%d", s->options.retry_limit);
    snprintf(backoff, sizeof(backoff), "%d", s->options.retry_backoff_s);
    return session_query(s, "writing the quarantine",
                         "UPDATE pgrekey.quarantine SET retries = retries + 1, last_tried = now(),"
                         " status = CASE WHEN retries + 1 >= $2::int THEN 'escalated' ELSE 'pending' END,"
                         " next_try = CASE WHEN retries + 1 >= $2::int THEN NULL"
                         " ELSE now() + make_interval(secs => $3::float8 * 2 ^ least(retries + 1, 20)) END"
                         " WHERE id = $1 AND status IN ('pending', 'in_progress')",
                         3, params, NULL, reterr);
}
