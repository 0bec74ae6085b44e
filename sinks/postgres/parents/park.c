#include "sinks/postgres/parents/park.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/apply/copyin.h"
#include "sinks/postgres/apply/image.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/rows/rowwork.h"

#define SQL_MAX ((size_t)1 << 20)

/* --- names --- */

const char *park_locator_key(const struct rule *rule, const struct value *locator, struct arena *arena)
{
    struct buf json;
    const char *text;

    buf_init(&json, (size_t)64 << 20);
    buf_puts(&json, "{\"target\":[");
    for (size_t i = 0; i < rule->locator_count; i++) {
        if (i)
            buf_putc(&json, ',');
        target_put_json(&json, &locator[i]);
    }
    buf_puts(&json, "]}");
    text = arena_strndup(arena, buf_text(&json), json.len);
    buf_done(&json);
    return text;
}

const char *park_key(const struct row *row, struct arena *arena)
{
    return row->key ? row->key : source_key(row->change, arena);
}

void park_put_key(struct buf *sql, const struct target *target, const char *alias)
{
    const struct rule *rule = target->rule;
    size_t count = target->knows_key ? rule->origin_count : rule->locator_count;
    const uint16_t *columns = target->knows_key ? rule->origin : rule->locator;

    buf_puts(sql, target->knows_key ? "('['" : "('{\"target\":['");
    for (size_t i = 0; i < count; i++)
        buf_printf(sql, "%s || to_json(%s.%s::text)::text", i ? " || ','" : "", alias, target->columns[columns[i]]);
    buf_puts(sql, target->knows_key ? " || ']')" : " || ']}')");
}

/* --- new rows, as a set --- */

enum {
    COLUMN_PIPELINE,
    COLUMN_RULE,
    COLUMN_KEY,
    COLUMN_SOURCE,
    COLUMN_TARGET,
    COLUMN_OP,
    COLUMN_CATEGORY,
    COLUMN_SEVERITY,
    COLUMN_COLUMN,
    COLUMN_REASON,
    COLUMN_SUGGESTION,
    COLUMN_CHANGE,
    COLUMN_LSN,
    COLUMN_XID,
    COLUMN_WAITS_TABLE,
    COLUMN_WAITS_ID,
    COLUMN_TARGET_ROW,
    COLUMNS,
};
static const char COPY[] =
    "COPY pgrekey.quarantine (pipeline, rule, key, source_table, target_table, op, category, severity, column_name,"
    " reason, suggestion, change, lsn, xid, waits_table, waits_id, target_row) FROM STDIN";

static struct value text_value(const char *text)
{
    if (!text)
        return (struct value){.state = VALUE_NULL};
    return (struct value){.text = text, .len = (uint32_t)strlen(text), .state = VALUE_TEXT};
}

static const char *dotted(struct pgsink *s, const char *schema, const char *table)
{
    return arena_printf(&s->scratch, "%s.%s", schema, table);
}

static void put_rule(struct pgsink *s, const struct rule *rule, struct value *values)
{
    values[COLUMN_RULE] = text_value(rule->name);
    values[COLUMN_SOURCE] = text_value(dotted(s, rule->from_schema, rule->from_table));
    values[COLUMN_TARGET] = text_value(dotted(s, rule->to_schema, rule->to_table));
}

static void put_note(struct pgsink *s, const struct parked_note *note, struct buf *image, struct value *values)
{
    const struct row *row = s->net->entries[note->entry].row;
    char lsn[LSN_TEXT_MAX];
    const char op[2] = {(char)row->change->op, '\0'};

    image->len = 0;
    image_put(image, row->change);
    values[COLUMN_KEY] = text_value(park_key(row, &s->scratch));
    values[COLUMN_OP] = text_value(arena_strdup(&s->scratch, op));
    values[COLUMN_COLUMN] = text_value(row->rule->columns[note->column].name);
    values[COLUMN_CHANGE] = (struct value){.text = image->data, .len = (uint32_t)image->len, .state = VALUE_TEXT};
    values[COLUMN_LSN] = text_value(arena_strdup(&s->scratch, lsn_format(row->change->lsn, lsn)));
    values[COLUMN_XID] = text_value(arena_printf(&s->scratch, "%u", row->change->xid));
    values[COLUMN_WAITS_TABLE] = text_value(s->references.places[note->place].label);
    values[COLUMN_WAITS_ID] = row->values[note->column];
    values[COLUMN_TARGET_ROW] = text_value(row->kept);
}

static bool stands(const struct pgsink *s, const struct parked_note *note)
{
    const struct net_entry *entry = &s->net->entries[note->entry];
    return !entry->aside && entry->action == NET_PARKED;
}

static void count_note(struct pgsink *s, const struct parked_note *note, struct account *deltas)
{
    size_t rule = (size_t)s->net->entries[note->entry].row->rule->index;

    deltas[rule].quarantined++;
    s->rules[rule].standing++;
    s->references.places[note->place].waiting++;
    s->figures.quarantined++;
}

int park_new_rows(struct pgsink *s, const struct chunk_plan *plan, struct account *deltas, struct err *reterr)
{
    struct value values[COLUMNS] = {[COLUMN_PIPELINE] = text_value(s->options.pipeline),
                                    [COLUMN_CATEGORY] = text_value(category_name(CATEGORY_ORPHAN_REFERENCE)),
                                    [COLUMN_SEVERITY] = text_value(category_severity(CATEGORY_ORPHAN_REFERENCE)),
                                    [COLUMN_REASON] = text_value(PARK_REASON_MISSING),
                                    [COLUMN_SUGGESTION] = text_value(category_suggestion(CATEGORY_ORPHAN_REFERENCE))};
    const struct rule *rule;
    struct buf image;
    int64_t rows;
    int rc;

    if (!plan->parked)
        return 0;
    rule = s->net->entries[plan->parked->entry].row->rule;
    put_rule(s, rule, values);
    if (copyin_begin(s, COPY, reterr))
        return -1;
    buf_init(&image, IMAGE_MAX);
    for (const struct parked_note *note = plan->parked; note; note = note->next) {
        if (!stands(s, note))
            continue;
        if (s->net->entries[note->entry].row->rule != rule) {
            rule = s->net->entries[note->entry].row->rule;
            put_rule(s, rule, values);
        }
        put_note(s, note, &image, values);
        copyin_row(s, -1, values, NULL, COLUMNS);
        count_note(s, note, deltas);
    }
    rc = copyin_end(s, &rows, reterr);
    if (rc == 0 && buf_overflowed(&image))
        rc = err_set(reterr, ERR_POISON, "a row is too large for the quarantine");
    buf_done(&image);
    return rc;
}

/* --- a row that stands --- */

static bool is_json(const struct column *column)
{
    return strcmp(column->base_type, "jsonb") == 0 || strcmp(column->base_type, "json") == 0;
}

static bool is_float(const struct column *column)
{
    return strcmp(column->base_type, "double precision") == 0 || strcmp(column->base_type, "real") == 0;
}

/* " - CASE WHEN t.a IS NULL THEN ARRAY['a']::text[] ELSE '{}'::text[] END" */
static void put_without_null(struct buf *sql, const struct column *column, const char *alias)
{
    buf_printf(sql, " - CASE WHEN %s.", alias);
    pg_put_ident(sql, column->name);
    buf_puts(sql, " IS NULL THEN ARRAY[");
    pg_put_literal(sql, column->name);
    buf_puts(sql, "]::text[] ELSE '{}'::text[] END");
}

/* " || CASE WHEN t.a = 0 THEN jsonb_build_object('a', t.a::text) ELSE '{}' END" */
static void put_signed_zero(struct buf *sql, const struct column *column, const char *alias)
{
    buf_printf(sql, " || CASE WHEN %s.", alias);
    pg_put_ident(sql, column->name);
    buf_puts(sql, " = 0 THEN jsonb_build_object(");
    pg_put_literal(sql, column->name);
    buf_printf(sql, ", %s.", alias);
    pg_put_ident(sql, column->name);
    buf_puts(sql, "::text) ELSE '{}' END");
}

/* A row as JSON. Of a JSON column NULL is left out, for a JSON null would look the same; a zero that may have a sign is
 * text, for JSON's has none. */
void park_put_kept(struct buf *sql, const struct relation *relation, const char *alias)
{
    buf_printf(sql, "to_jsonb(%s.*)", alias);
    for (size_t i = 0; i < relation->column_count; i++)
        if (is_json(&relation->columns[i]))
            put_without_null(sql, &relation->columns[i], alias);
    for (size_t i = 0; i < relation->column_count; i++) /* behind all of these, for || binds less */
        if (is_float(&relation->columns[i]))
            put_signed_zero(sql, &relation->columns[i], alias);
}

/* The record's column; but that a JSON null comes as NULL there. */
void park_put_back(struct buf *sql, const struct column *column, const char *alias)
{
    if (is_json(column)) {
        buf_puts(sql, "CASE WHEN k.kept->");
        pg_put_literal(sql, column->name);
        buf_puts(sql, " = 'null' THEN 'null' ELSE ");
    }
    buf_printf(sql, "%s.", alias);
    pg_put_ident(sql, column->name);
    buf_puts(sql, is_json(column) ? " END" : "");
}

static int read_row(struct pgsink *s, const struct work *w, const struct value *locator, const char **ret_kept,
                    struct err *reterr)
{
    const char **params = arena_zalloc(&s->rowmode->arena, w->rule->locator_count + 2, sizeof(*params));
    const struct rule_state *state = rule_state_of(s, w->rule);
    PGresult *result = NULL;
    struct buf sql;
    int count = 0, rc;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "SELECT (");
    park_put_kept(&sql, state->target.relation, "t");
    for (size_t i = 0; i < w->rule->locator_count; i++)
        params[count++] = value_text(&locator[i], &s->rowmode->arena);
    if (state->pending) { /* what it waits for by optional references comes back with it */
        buf_printf(&sql,
                   " || coalesce((SELECT jsonb_object_agg(p.column_name, p.parent_id) FROM pgrekey.pending_reference p"
                   " WHERE p.pipeline = $%d AND p.rule = $%d AND p.locator = ARRAY[",
                   count + 1, count + 2);
        for (size_t i = 0; i < w->rule->locator_count; i++)
            buf_printf(&sql, "%st.%s::text", i ? ", " : "", w->target->columns[w->rule->locator[i]]);
        buf_puts(&sql, "]), '{}')");
        params[count++] = s->options.pipeline;
        params[count++] = w->rule->name;
    }
    buf_printf(&sql, ")::text FROM %s t", w->target->table);
    for (size_t i = 0; i < w->rule->locator_count; i++)
        buf_printf(&sql, "%s t.%s = $%zu", i ? " AND" : " WHERE", w->target->columns[w->rule->locator[i]], i + 1);
    rc = session_query(s, "reading a row", session_text(&sql), count, params, &result, reterr);
    buf_done(&sql);
    *ret_kept = NULL;
    if (rc == 0 && PQntuples(result))
        *ret_kept = arena_strndup(&s->rowmode->arena, PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
    PQclear(result);
    return rc;
}

int park_take_row(struct pgsink *s, struct work *w, const struct value *locator, struct err *reterr)
{
    const struct row row = {.rule = w->rule, .change = w->change, .op = ROW_DELETE};
    const struct refusal refusal = w->refusal; /* outlives what the delete is told */
    const struct err server = w->server;
    const struct park_mark mark = park_mark(s);
    const char *kept;
    int64_t affected = 0;

    if (read_row(s, w, locator, &kept, reterr))
        return -1;
    if (!kept)
        return 0;
    if (row_savepoint(s, reterr))
        return -1;
    enum written written = write_leaving(s, w, locator, reterr);
    if (written == WRITE_DONE)
        written = write_execute(s, w, TARGET_DELETE, &row, locator, &affected, reterr);
    if (written == WRITE_FAILED)
        return -1;
    w->refusal = refusal;
    w->server = server;
    if (written == WRITE_REFUSED) {
        park_undo(s, mark);
        return 0;
    }
    w->existed = true;
    w->refusal.kept = kept;
    parents_forget(s->parents);
    return pending_remove(s, w->rule, w->old_key ? w->old_key : w->key, w->other_key, NULL, reterr);
}

/* --- coming back --- */

bool park_is_empty(const struct change *change)
{
    for (size_t i = 0; change->columns && i < change->relation->column_count; i++)
        if (change->columns[i].state != VALUE_ABSENT)
            return false;
    return true;
}

struct row *park_row(const struct rule *rule, const struct change *change, const char *kept, struct arena *arena)
{
    struct row *row = arena_zalloc(arena, 1, sizeof(*row));

    row->rule = rule;
    row->change = change;
    row->op = ROW_UPSERT;
    row->born = true;
    row->partial = true;
    row->values = arena_zalloc(arena, rule->column_count + 1, sizeof(*row->values));
    row->locator = arena_zalloc(arena, rule->locator_count + 1, sizeof(*row->locator));
    row->kept = kept;
    return row;
}

static void put_kept_array(struct buf *array, const struct row *row)
{
    struct value kept = text_value(row->kept);
    session_put_array_item(array, &kept);
}

/* SELECT the rule's columns of each kept row, in their order. */
static int read_kept(struct pgsink *s, const struct target *target, const char *array, PGresult **ret_result,
                     struct err *reterr)
{
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "SELECT ");
    for (size_t i = 0; i < target->rule->column_count; i++) {
        buf_puts(&sql, i ? ", (" : "(");
        park_put_back(
            &sql, &target->relation->columns[relation_column(target->relation, target->rule->columns[i].name)], "r");
        buf_puts(&sql, ")::text");
    }
    buf_printf(&sql,
               " FROM unnest($1::jsonb[]) WITH ORDINALITY AS k (kept, n), jsonb_populate_record(NULL::%s, k.kept) AS r"
               " ORDER BY k.n",
               target->table);
    rc = session_query(s, "reading parked rows", session_text(&sql), 1, &array, ret_result, reterr);
    buf_done(&sql);
    return rc;
}

static void fill_row(struct row *row, const PGresult *result, int at, struct arena *arena)
{
    const struct rule *rule = row->rule;

    row->partial = false;
    for (size_t i = 0; i < rule->column_count; i++)
        if (row->values[i].state == VALUE_ABSENT || rule->columns[i].once)
            row->values[i] = image_value(result, at, (int)i, arena);
    for (size_t i = 0; i < rule->locator_count; i++)
        row->locator[i] = row->values[rule->locator[i]];
}

int park_fill(struct pgsink *s, struct row *const *rows, size_t count, struct arena *arena, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf array;
    int rc;

    if (count == 0)
        return 0;
    buf_init(&array, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < count; i++)
        put_kept_array(&array, rows[i]);
    rc = read_kept(s, &rule_state_of(s, rows[0]->rule)->target, session_end_array(&array), &result, reterr);
    buf_done(&array);
    for (size_t i = 0; rc == 0 && i < count; i++)
        fill_row(rows[i], result, (int)i, arena);
    PQclear(result);
    return rc;
}

static bool comes_back(const struct target *target, const struct column *column)
{
    /* an identity that is generated always can only be given at an INSERT */
    if (column->generated || column->identity_always)
        return false;
    for (size_t i = 0; i < target->rule->column_count; i++)
        if (strcmp(target->rule->columns[i].name, column->name) == 0)
            return false;
    return true;
}

/* "a = r.a, b = r.b"; gives how many. */
static size_t put_restored(struct buf *sql, const struct target *target)
{
    size_t count = 0;

    for (size_t i = 0; i < target->relation->column_count; i++) {
        const struct column *column = &target->relation->columns[i];
        if (!comes_back(target, column))
            continue;
        buf_puts(sql, count++ ? ", " : "");
        pg_put_ident(sql, column->name);
        buf_puts(sql, " = ");
        park_put_back(sql, column, "r");
    }
    return count;
}

static int restore(struct pgsink *s, const struct target *target, const struct row *const *rows, size_t count,
                   struct err *reterr)
{
    const struct rule *rule = target->rule;
    struct buf *arrays = mem_alloc((rule->locator_count + 1) * sizeof(*arrays));
    const char **params = mem_alloc((rule->locator_count + 1) * sizeof(*params));
    struct buf sql;
    int rc = 0;

    for (size_t l = 0; l <= rule->locator_count; l++)
        buf_init(&arrays[l], SESSION_ARRAY_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!rows[i]->kept)
            continue;
        put_kept_array(&arrays[0], rows[i]);
        for (size_t l = 0; l < rule->locator_count; l++)
            session_put_array_item(&arrays[l + 1], &rows[i]->locator[l]);
    }
    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "UPDATE %s AS t SET ", target->table);
    if (put_restored(&sql, target) && arrays[0].len) {
        buf_puts(&sql, " FROM unnest($1::jsonb[]");
        for (size_t l = 0; l < rule->locator_count; l++)
            buf_printf(&sql, ", $%zu::%s[]", l + 2, target->types[rule->locator[l]]);
        buf_puts(&sql, ") AS k (kept");
        for (size_t l = 0; l < rule->locator_count; l++)
            buf_printf(&sql, ", l%zu", l);
        buf_printf(&sql, "), jsonb_populate_record(NULL::%s, k.kept) AS r", target->table);
        for (size_t l = 0; l < rule->locator_count; l++)
            buf_printf(&sql, "%s t.%s = k.l%zu", l ? " AND" : " WHERE", target->columns[rule->locator[l]], l);
        for (size_t l = 0; l <= rule->locator_count; l++)
            params[l] = session_end_array(&arrays[l]);
        rc = session_query(s, "bringing back what a parked row held", session_text(&sql), (int)rule->locator_count + 1,
                           params, NULL, reterr);
    }
    buf_done(&sql);
    for (size_t l = 0; l <= rule->locator_count; l++)
        buf_done(&arrays[l]);
    free(arrays);
    free(params);
    return rc;
}

int park_restore(struct pgsink *s, const struct row *const *rows, size_t count, struct err *reterr)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        kept += rows[i]->kept != NULL;
    return kept ? restore(s, &rule_state_of(s, rows[0]->rule)->target, rows, count, reterr) : 0;
}
