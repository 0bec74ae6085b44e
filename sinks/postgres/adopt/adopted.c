#include "sinks/postgres/adopt/adopted_meet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/uuid.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/session/session.h"

#define KNOWN_MAX ((size_t)1 << 17) /* derived ids remembered from one batch to the next */
#define ARENA_KEEP_BYTES ((size_t)4 << 20)
struct adopted *adopted_new(void)
{
    struct adopted *a = mem_zalloc(1, sizeof(*a));

    arena_init(&a->arena, 0);
    buf_init(&a->own_names, SESSION_ARRAY_MAX);
    buf_init(&a->own_numbers, SESSION_ARRAY_MAX);
    return a;
}

static void forget_entities(struct adopted *a)
{
    for (size_t r = 0; r < a->rule_count; r++)
        free(a->columns[r]);
    free(a->columns);
    free(a->widths);
    free(a->adopters);
    free(a->own);
    buf_reset(&a->own_names);
    buf_reset(&a->own_numbers);
    a->columns = NULL;
    a->widths = NULL;
    a->adopters = NULL;
    a->own = NULL;
    a->rule_count = 0;
    a->any = false;
}

static void forget_known(struct adopted *a)
{
    free(a->known);
    a->known = NULL;
    a->slot_count = a->count = 0;
}

void adopted_forget(struct adopted *a)
{
    forget_known(a);
    a->meeting_count = 0;
}

void adopted_free(struct adopted *a)
{
    if (!a)
        return;
    forget_entities(a);
    forget_known(a);
    free(a->unknown);
    free(a->meetings);
    buf_done(&a->own_names);
    buf_done(&a->own_numbers);
    arena_done(&a->arena);
    free(a);
}

/* --- which columns --- */

static bool names(const PGresult *entities, const char *entity)
{
    for (int i = 0; entity && i < PQntuples(entities); i++)
        if (strcmp(PQgetvalue(entities, i, 0), entity) == 0)
            return true;
    return false;
}

/* Its number among the rules of its entity whose tables hold adopted rows. */
static int number_rule(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    struct value name = {.text = rule->name, .len = (uint32_t)strlen(rule->name), .state = VALUE_TEXT};
    struct adopted *a = s->adopted;
    int number = 0;

    for (int r = 0; r < rule->index; r++)
        number += a->own[r] != NOT_OWN && strcmp(s->rules[r].target.rule->entity, rule->entity) == 0;
    if (number >= OWN_MAX)
        return err_set(reterr, ERR_CONFIG, "more than %d rules write rows of the entity %s, which has adopted rows",
                       OWN_MAX, rule->entity);
    a->own[rule->index] = number;
    session_put_array_item(&a->own_names, &name);
    buf_printf(&a->own_numbers, "%c%d", a->own_numbers.len ? ',' : '{', number);
    return 0;
}

static bool take_adopter(struct pgsink *s, const struct rule *rule)
{
    struct adopter adopter;

    if (!rule->entity || !adopter_of_table(s->options.map, rule->to_schema, rule->to_table, &adopter) ||
        strcmp(adopter.entity, rule->entity) != 0)
        return false;
    s->adopted->adopters[rule->index] = adopter;
    return true;
}

static int mark_rule(struct pgsink *s, const struct rule *rule, const PGresult *entities, struct err *reterr)
{
    struct adopted *a = s->adopted;
    bool *columns = mem_zalloc(rule->column_count + 1, sizeof(*columns)), own = names(entities, rule->entity);
    size_t width = 0;

    for (size_t c = 0; c < rule->column_count; c++) {
        columns[c] = names(entities, rule->columns[c].parent_entity) || (own && rule->entity_column == (int)c);
        width += columns[c];
    }
    for (size_t i = 0; i < rule->locator_count; i++)
        width += columns[rule->locator[i]] ? 2 : 0;
    a->own[rule->index] = NOT_OWN;
    a->widths[rule->index] = width;
    if (width)
        a->columns[rule->index] = columns;
    else
        free(columns);
    a->any |= width > 0;
    return take_adopter(s, rule) && own ? number_rule(s, rule, reterr) : 0;
}

int adopted_open(struct pgsink *s, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    struct adopted *a = s->adopted;
    PGresult *entities = NULL;
    int rc = 0;

    forget_entities(a);
    forget_known(a);
    if (session_query(s, "looking for adopted rows",
                      "SELECT DISTINCT entity FROM pgrekey.adoption WHERE pipeline = $1 AND adopted > 0", 1, params,
                      &entities, reterr))
        return -1;
    a->rule_count = s->rule_count;
    a->columns = mem_zalloc(s->rule_count + 1, sizeof(*a->columns));
    a->widths = mem_zalloc(s->rule_count + 1, sizeof(*a->widths));
    a->adopters = mem_zalloc(s->rule_count + 1, sizeof(*a->adopters));
    a->own = mem_zalloc(s->rule_count + 1, sizeof(*a->own));
    for (size_t r = 0; rc == 0 && r < s->rule_count; r++)
        rc = mark_rule(s, s->rules[r].target.rule, entities, reterr);
    (void)session_end_array(&a->own_names);
    buf_puts(&a->own_numbers, a->own_numbers.len ? "}" : "{}");
    PQclear(entities);
    return rc;
}

/* --- what is known --- */

static struct known *slot_of(const struct adopted *a, const struct uuid *derived)
{
    size_t mask = a->slot_count - 1;
    uint64_t hash;

    memcpy(&hash, derived->bytes, sizeof(hash)); /* of a SHA-1: spread as it is */
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask)
        if (!a->known[i].used || memcmp(&a->known[i].derived, derived, sizeof(*derived)) == 0)
            return &a->known[i];
}

/* Room for so many more. Only between batches. */
static void make_room(struct adopted *a, size_t more)
{
    struct known *old = a->known;
    size_t old_count = a->slot_count;

    if (a->count > KNOWN_MAX)
        forget_known(a), old = NULL, old_count = 0;
    if (a->slot_count >= (a->count + more) * 2 && a->slot_count > 0)
        return;
    if (a->slot_count == 0)
        a->slot_count = 1024;
    while (a->slot_count < (a->count + more) * 2)
        a->slot_count *= 2;
    a->known = mem_zalloc(a->slot_count, sizeof(*a->known));
    for (size_t i = 0; i < old_count; i++)
        if (old[i].used)
            *slot_of(a, &old[i].derived) = old[i];
    free(old);
}

struct known *adopted_known(struct adopted *a, const struct value *value)
{
    struct uuid derived;
    struct known *known;

    if (value->state != VALUE_TEXT || !uuid_parse_text(value->text, value->len, &derived))
        return NULL;
    known = slot_of(a, &derived);
    if (known->used)
        return known;
    *known = (struct known){.derived = derived, .used = true};
    a->count++;
    return known;
}

static void want(struct adopted *a, const struct value *value)
{
    struct known *known = adopted_known(a, value);

    if (!known || known->asked)
        return;
    known->asked = true;
    if (a->unknown_count == a->unknown_capacity) {
        a->unknown_capacity = a->unknown_capacity ? a->unknown_capacity * 2 : 256;
        a->unknown = mem_realloc(a->unknown, a->unknown_capacity * sizeof(*a->unknown));
    }
    a->unknown[a->unknown_count++] = known;
}

static void want_row(struct adopted *a, const struct row *row)
{
    const struct rule *rule = row->rule;
    const bool *columns = a->columns[rule->index];

    if (!columns)
        return;
    for (size_t c = 0; row->values && c < rule->column_count; c++)
        if (columns[c])
            want(a, &row->values[c]);
    for (size_t i = 0; i < rule->locator_count; i++) {
        if (!columns[rule->locator[i]])
            continue;
        if (row->locator)
            want(a, &row->locator[i]);
        if (row->old_locator)
            want(a, &row->old_locator[i]);
    }
}

void adopted_put_uuid(struct buf *array, const struct uuid *uuid)
{
    char text[UUID_TEXT_LEN + 1];
    struct value value = {.text = text, .len = UUID_TEXT_LEN, .state = VALUE_TEXT};

    uuid_format(uuid, text);
    session_put_array_item(array, &value);
}

static void take_answers(struct adopted *a, const PGresult *result)
{
    for (int i = 0; i < PQntuples(result); i++) {
        struct uuid derived;
        if (!uuid_parse_text(PQgetvalue(result, i, 0), (size_t)PQgetlength(result, i, 0), &derived))
            continue;
        struct known *known = slot_of(a, &derived);
        known->adopted =
            known->used && uuid_parse_text(PQgetvalue(result, i, 1), (size_t)PQgetlength(result, i, 1), &known->id);
        known->met = strtoull(PQgetvalue(result, i, 2), NULL, 10);
    }
}

static int ask(struct pgsink *s, struct err *reterr)
{
    struct adopted *a = s->adopted;
    const char *params[4] = {s->options.pipeline, NULL, session_text(&a->own_names), session_text(&a->own_numbers)};
    PGresult *result = NULL;
    struct buf array;
    int rc;

    if (a->unknown_count == 0)
        return 0;
    buf_init(&array, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < a->unknown_count; i++)
        adopted_put_uuid(&array, &a->unknown[i]->derived);
    a->unknown_count = 0;
    params[1] = session_end_array(&array);
    rc = session_query(s, "looking for adopted rows",
                       "SELECT a.derived, a.id, (SELECT coalesce(bit_or(1::bigint << o.number), 0) "
                       "FROM unnest($3::text[], $4::integer[]) AS o (rule, number) WHERE o.rule = ANY (a.met)) "
                       "FROM pgrekey.adopted a WHERE a.pipeline = $1 AND a.derived = ANY ($2::uuid[])",
                       4, params, &result, reterr);
    buf_done(&array);
    if (rc)
        forget_known(a); /* what was to be asked is unknown still */
    else
        take_answers(a, result);
    PQclear(result);
    return rc;
}

/* --- rows --- */

static struct value *copy_values(const struct value *values, size_t count, struct arena *arena)
{
    struct value *copy = arena_alloc(arena, (count + 1) * sizeof(*copy));

    memcpy(copy, values, count * sizeof(*copy));
    return copy;
}

/* The adopted id instead of the derived one. */
static bool rename_value(struct adopted *a, struct value *value, struct arena *arena)
{
    const struct known *known = adopted_known(a, value);
    char *text;

    if (!known || !known->adopted)
        return false;
    text = arena_alloc(arena, UUID_TEXT_LEN + 1);
    uuid_format(&known->id, text);
    *value = (struct value){.text = text, .len = UUID_TEXT_LEN, .state = VALUE_TEXT};
    return true;
}

static bool is_renamed(struct adopted *a, const struct value *value)
{
    const struct known *known = adopted_known(a, value);

    return known && known->adopted;
}

static bool rename_locator(struct adopted *a, const struct rule *rule, struct value **locator, struct arena *arena)
{
    const bool *columns = a->columns[rule->index];
    bool any = false;

    for (size_t i = 0; *locator && i < rule->locator_count; i++)
        any |= columns[rule->locator[i]] && is_renamed(a, &(*locator)[i]);
    if (!any)
        return false;
    *locator = copy_values(*locator, rule->locator_count, arena);
    for (size_t i = 0; i < rule->locator_count; i++)
        if (columns[rule->locator[i]])
            (void)rename_value(a, &(*locator)[i], arena);
    return true;
}

static bool rename_values(struct adopted *a, const struct rule *rule, struct value **values, struct arena *arena)
{
    const bool *columns = a->columns[rule->index];
    bool any = false;

    for (size_t c = 0; *values && c < rule->column_count; c++)
        any |= columns[c] && is_renamed(a, &(*values)[c]);
    if (!any)
        return false;
    *values = copy_values(*values, rule->column_count, arena);
    for (size_t c = 0; c < rule->column_count; c++)
        if (columns[c])
            (void)rename_value(a, &(*values)[c], arena);
    return true;
}

/* A copy in which ids have taken their places; the row itself where none has. */
static struct row *renamed(struct adopted *a, struct row *row, struct arena *arena)
{
    struct row copy = *row;
    bool any;

    if (!a->columns[row->rule->index])
        return row;
    any = rename_values(a, row->rule, &copy.values, arena);
    any |= rename_locator(a, row->rule, &copy.locator, arena);
    any |= rename_locator(a, row->rule, &copy.old_locator, arena);
    if (!any)
        return row;
    row = arena_alloc(arena, sizeof(*row));
    *row = copy;
    return row;
}

/* --- a batch --- */

static size_t values_of(const struct adopted *a, const struct batch *batch)
{
    size_t count = 0;

    for (size_t i = 0; i < batch->row_count; i++)
        count += a->widths[batch->rows[i]->rule->index];
    return count;
}

/* Rows behind a TRUNCATE meet nothing: what stood before it does not stand then. */
static void translate_rows(struct adopted *a, const struct batch *batch, struct row **rows)
{
    bool truncated = false;

    for (size_t i = 0; i < batch->row_count; i++) {
        struct row *row = batch->rows[i];
        struct known *own;

        truncated |= row->op == ROW_TRUNCATE;
        own = truncated ? NULL : meet_id(a, row);
        rows[i] = renamed(a, row, &a->arena);
        if (!own || !own->adopted || meet_has(a, own, row->rule))
            continue;
        if (rows[i] == row) { /* its id is the derived one, or it is found by another column: a copy all the same */
            rows[i] = arena_alloc(&a->arena, sizeof(*row));
            *rows[i] = *row;
        }
        rows[i]->stood = row->partial;
        meet_add(a, own, rows[i]);
    }
}

int adopted_translate(struct pgsink *s, const struct batch *batch, struct batch *ret_view, struct err *reterr)
{
    struct adopted *a = s->adopted;
    size_t values;

    *ret_view = *batch;
    a->meeting_count = 0;
    values = a->any ? values_of(a, batch) : 0;
    if (values == 0)
        return 0;
    arena_reset(&a->arena, ARENA_KEEP_BYTES);
    make_room(a, values);
    for (size_t i = 0; i < batch->row_count; i++)
        want_row(a, batch->rows[i]);
    if (ask(s, reterr))
        return -1;
    ret_view->rows = arena_alloc(&a->arena, (batch->row_count + 1) * sizeof(struct row *));
    translate_rows(a, batch, ret_view->rows);
    if (meet_ask(s, reterr) == 0)
        return 0;
    adopted_forget(a);
    return -1;
}

bool adopted_unsettled(const struct pgsink *s)
{
    return s->adopted->meeting_count > 0;
}

int adopted_rows(struct pgsink *s, struct row **rows, size_t count, struct arena *arena, struct err *reterr)
{
    struct adopted *a = s->adopted;
    size_t values = 0;

    for (size_t i = 0; a->any && i < count; i++)
        values += a->widths[rows[i]->rule->index];
    if (values == 0)
        return 0;
    make_room(a, values);
    for (size_t i = 0; i < count; i++)
        want_row(a, rows[i]);
    if (ask(s, reterr))
        return -1;
    for (size_t i = 0; i < count; i++)
        rows[i] = renamed(a, rows[i], arena);
    return 0;
}

/* "(SELECT .. FROM pgrekey.adopted a WHERE .." of the rule's entity. */
static void put_adopted(const struct pgsink *s, const struct rule *rule, const char *what, struct buf *sql)
{
    buf_printf(sql, "(SELECT %s FROM pgrekey.adopted a WHERE a.pipeline = ", what);
    pg_put_literal(sql, s->options.pipeline);
    buf_puts(sql, " AND a.entity = ");
    pg_put_literal(sql, rule->entity);
}

/* Where the legacy key stands in the row it says whose the row is; else computed ids are told by their version. */
static void put_named(const struct pgsink *s, const struct rule *rule, const char *alias, struct buf *sql)
{
    const struct adopter *adopter = &s->adopted->adopters[rule->index];
    const char *id = s->rules[rule->index].target.columns[rule->entity_column];

    if (adopter->adopt.by != ADOPT_COLUMNS) {
        buf_printf(sql, " AND (substr(%s%s::text, 15, 1) = '5' OR %s%s::uuid IN ", alias, id, alias, id);
        put_adopted(s, rule, "a.id", sql);
        buf_puts(sql, "))");
        return;
    }
    buf_printf(sql, " AND %s%s::uuid = pgrekey.id(", alias, id);
    pg_put_literal(sql, rule->entity);
    for (size_t i = 0; i < adopter->adopt.column_count; i++) {
        buf_printf(sql, ", %s", alias);
        pg_put_ident(sql, adopter->adopt.columns[i]);
        buf_puts(sql, "::text");
    }
    buf_puts(sql, ")");
}

void adopted_put_ours(const struct pgsink *s, const struct rule *rule, const char *alias, struct buf *sql)
{
    const struct adopted *a = s->adopted;

    if (!a->adopters[rule->index].name)
        return;
    put_named(s, rule, alias, sql);
    if (a->own[rule->index] == NOT_OWN)
        return;
    buf_printf(sql, " AND %s%s::uuid NOT IN ", alias, s->rules[rule->index].target.columns[rule->entity_column]);
    put_adopted(s, rule, "a.id", sql);
    buf_puts(sql, " AND ");
    pg_put_literal(sql, rule->name);
    buf_puts(sql, " <> ALL (a.met))");
}

int adopted_transform(struct pgsink *s, const struct rule *rule, const struct change *change, struct arena *arena,
                      struct row **ret_row, struct err *reterr)
{
    int mapped = map_transform_rule(s->options.map, rule, change, arena, ret_row, reterr);

    return mapped == 0 ? adopted_rows(s, ret_row, 1, arena, reterr) : mapped;
}
