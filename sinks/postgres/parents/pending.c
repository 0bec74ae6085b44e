#include "sinks/postgres/parents/pending.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/rows/rowwork.h"

#define SQL_MAX ((size_t)1 << 20)

/* --- notes --- */

static const char PUT[] =
    "INSERT INTO pgrekey.pending_reference (pipeline, rule, column_name, parent_entity, parent_table, key, parent_id,"
    " locator) SELECT $1, $2, $3, $4, $5, k.key, k.parent_id, k.locator::text[]"
    " FROM unnest($6::text[], $7::text[], $8::text[]) AS k (key, parent_id, locator)"
    " ON CONFLICT (pipeline, rule, key, column_name) DO UPDATE SET parent_entity = excluded.parent_entity,"
    " parent_table = excluded.parent_table, parent_id = excluded.parent_id, locator = excluded.locator";

/* Notes of one column. */
struct notes {
    struct buf keys, parents, locators;
    size_t count;
};

static void notes_init(struct notes *notes)
{
    buf_init(&notes->keys, SESSION_ARRAY_MAX);
    buf_init(&notes->parents, SESSION_ARRAY_MAX);
    buf_init(&notes->locators, SESSION_ARRAY_MAX);
    notes->count = 0;
}

static void notes_done(struct notes *notes)
{
    buf_done(&notes->keys);
    buf_done(&notes->parents);
    buf_done(&notes->locators);
}

static void notes_add(struct notes *notes, const struct row *row, const char *key, const struct value *parent)
{
    struct value text = {.text = key, .len = (uint32_t)strlen(key), .state = VALUE_TEXT};
    struct buf locator;

    session_put_array_item(&notes->keys, &text);
    session_put_array_item(&notes->parents, parent);
    buf_init(&locator, SQL_MAX);
    for (size_t i = 0; i < row->rule->locator_count; i++)
        session_put_array_item(&locator, &row->locator[i]);
    text.text = session_end_array(&locator);
    text.len = (uint32_t)strlen(text.text);
    session_put_array_item(&notes->locators, &text);
    buf_done(&locator);
    notes->count++;
}

static int notes_put(struct pgsink *s, struct notes *notes, const struct rule *rule, size_t column, struct err *reterr)
{
    int place = references_place(&s->references, rule, column);
    const char *params[8] = {s->options.pipeline, rule->name, rule->columns[column].name,
                             rule->columns[column].parent_entity};

    if (notes->count == 0 || place == NO_PLACE)
        return 0;
    params[4] = s->references.places[place].label;
    params[5] = session_end_array(&notes->keys);
    params[6] = session_end_array(&notes->parents);
    params[7] = session_end_array(&notes->locators);
    rule_state_of(s, rule)->pending += (int64_t)notes->count;
    s->references.places[place].pending += (int64_t)notes->count;
    return session_query(s, "noting references that wait", PUT, 8, params, NULL, reterr);
}

int pending_put(struct pgsink *s, const struct row *row, const char *key, size_t column, const struct value *parent,
                struct err *reterr)
{
    struct notes notes;
    int rc;

    notes_init(&notes);
    notes_add(&notes, row, key, parent);
    rc = notes_put(s, &notes, row->rule, column, reterr);
    notes_done(&notes);
    return rc;
}

static bool is_of(const struct pgsink *s, const struct pending_note *note, size_t rule, size_t column)
{
    const struct net_entry *entry = &s->net->entries[note->entry];
    return !entry->aside && entry->action != NET_PARKED && (size_t)entry->row->rule->index == rule &&
           note->column == column;
}

static int put_column(struct pgsink *s, const struct chunk_plan *plan, const struct rule *rule, size_t column,
                      struct err *reterr)
{
    struct notes notes;
    int rc;

    notes_init(&notes);
    for (const struct pending_note *note = plan->pending; note; note = note->next) {
        const struct row *row = s->net->entries[note->entry].row;
        if (is_of(s, note, (size_t)rule->index, column))
            notes_add(&notes, row, park_key(row, &s->scratch), &note->parent);
    }
    rc = notes_put(s, &notes, rule, column, reterr);
    notes_done(&notes);
    return rc;
}

int pending_put_notes(struct pgsink *s, const struct chunk_plan *plan, struct err *reterr)
{
    if (!plan->pending)
        return 0;
    for (size_t i = 0; i < s->references.count; i++) {
        const struct reference *reference = &s->references.items[i];
        const struct rule *rule = s->rules[reference->rule].target.rule;
        if (reference->mapped && !reference->required && s->net->rules[reference->rule].entry_count &&
            put_column(s, plan, rule, reference->column, reterr))
            return -1;
    }
    return 0;
}

int pending_remove(struct pgsink *s, const struct rule *rule, const char *key, const char *other,
                   const char *column_or_null, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key, column_or_null, other};

    if (rule_state_of(s, rule)->pending == 0)
        return 0;
    return session_query(s, "forgetting a reference that waited",
                         "DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2"
                         " AND key IN ($3, $5) AND ($4::text IS NULL OR column_name = $4)",
                         5, params, NULL, reterr);
}

/* --- parents that came --- */

static int fill(struct pgsink *s, const struct reference *reference, const char *ids, const char *key,
                struct err *reterr)
{
    const struct target *target = &s->rules[reference->rule].target;
    const struct rule *rule = target->rule;
    const struct place *place = &s->references.places[reference->place];
    const char *params[] = {
        s->options.pipeline, place->label, ids, rule->name, rule->columns[reference->column].name, key};
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "WITH p AS (DELETE FROM pgrekey.pending_reference AS n WHERE pipeline = $1 AND parent_table = $2"
               " AND parent_id = ANY ($3::text[]) AND rule = $4 AND column_name = $5 AND locator IS NOT NULL"
               " AND ($6::text IS NULL OR key = $6)"
               /* it may have left again since it came */
               " AND EXISTS (SELECT FROM %s AS p WHERE p.%s = n.parent_id::%s%s) RETURNING locator, parent_id)"
               " UPDATE %s AS t SET %s = p.parent_id::%s FROM p",
               place->table, place->column, place->type, place->stands, target->table,
               target->columns[reference->column], target->types[reference->column]);
    for (size_t l = 0; l < rule->locator_count; l++)
        buf_printf(&sql, "%s t.%s = p.locator[%zu]::%s", l ? " AND" : " WHERE", target->columns[rule->locator[l]],
                   l + 1, target->types[rule->locator[l]]);
    rc = session_query(s, "filling references", session_text(&sql), 6, params, NULL, reterr);
    buf_done(&sql);
    return rc;
}

/* Under a savepoint. 1: the target refused it, and nothing is changed. */
static int try_fill(struct pgsink *s, const struct reference *reference, const char *ids, const char *key,
                    struct err *reterr)
{
    struct err said = {0};

    if (session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_fill", reterr))
        return -1;
    if (fill(s, reference, ids, key, &said) == 0)
        return session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_fill", reterr);
    if (session_refusal(s, &said, false) == CATEGORY_NONE) {
        *reterr = said;
        return -1;
    }
    return session_back_to(s, "going back to a savepoint", "pgrekey_fill", true, reterr) ? -1 : 1;
}

/* One by one, so that those which the target refuses keep nobody else. */
static int fill_each(struct pgsink *s, const struct reference *reference, const char *ids, struct err *reterr)
{
    const struct rule *rule = s->rules[reference->rule].target.rule;
    const char *params[] = {s->options.pipeline, s->references.places[reference->place].label, ids, rule->name,
                            rule->columns[reference->column].name};
    PGresult *result = NULL;
    int rc;

    rc = session_query(s, "looking for references that wait",
                       "SELECT key FROM pgrekey.pending_reference WHERE pipeline = $1 AND parent_table = $2"
                       " AND parent_id = ANY ($3::text[]) AND rule = $4 AND column_name = $5",
                       5, params, &result, reterr);
    for (int i = 0; rc == 0 && i < PQntuples(result); i++)
        rc = try_fill(s, reference, ids, PQgetvalue(result, i, 0), reterr) < 0 ? -1 : 0;
    PQclear(result);
    return rc;
}

int pending_arrived(struct pgsink *s, size_t place, const char *ids, struct err *reterr)
{
    for (size_t i = 0; i < s->references.count; i++) {
        const struct reference *reference = &s->references.items[i];
        if (reference->place != place || !reference->mapped || reference->required ||
            s->rules[reference->rule].pending == 0)
            continue;
        if (derive_touch_reference(s, reference, ids, true, reterr))
            return -1;
        int refused = try_fill(s, reference, ids, NULL, reterr);
        if (refused < 0 || (refused > 0 && fill_each(s, reference, ids, reterr)) ||
            derive_touch_reference(s, reference, ids, false, reterr))
            return -1;
    }
    return 0;
}
