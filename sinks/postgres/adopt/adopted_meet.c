#include "sinks/postgres/adopt/adopted_meet.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/state/marks.h"

#define SQL_MAX ((size_t)1 << 20)

struct known *meet_id(struct adopted *a, const struct row *row)
{
    const struct rule *rule = row->rule;

    if (a->own[rule->index] == NOT_OWN)
        return NULL;
    if (row->values)
        return adopted_known(a, &row->values[rule->entity_column]);
    for (size_t i = 0; row->locator && i < rule->locator_count; i++)
        if (rule->locator[i] == rule->entity_column)
            return adopted_known(a, &row->locator[i]);
    return NULL;
}

bool meet_has(const struct adopted *a, const struct known *known, const struct rule *rule)
{
    return known->met >> a->own[rule->index] & 1;
}

void meet_add(struct adopted *a, struct known *known, struct row *row)
{
    known->met |= (uint64_t)1 << a->own[row->rule->index];
    if (a->meeting_count == a->meeting_capacity) {
        a->meeting_capacity = a->meeting_capacity ? a->meeting_capacity * 2 : 64;
        a->meetings = mem_realloc(a->meetings, a->meeting_capacity * sizeof(*a->meetings));
    }
    a->meetings[a->meeting_count++] = (struct meeting){.known = known, .row = row};
}

/* Of a changed key the account follows by itself what is written; an excluded one leaves what stands. */
static bool asks_whether_it_stands(const struct meeting *meeting)
{
    const struct row *row = meeting->row;

    return (row->op == ROW_UPSERT && row->born) || (row->op == ROW_EXCLUDE && (row->born || row->old_locator));
}

/* Which of one rule's met rows stand on the target. */
static int ask_standing(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    const struct target *target = &rule_state_of(s, rule)->target;
    struct adopted *a = s->adopted;
    struct meeting **asked = arena_alloc(&a->arena, (a->meeting_count + 1) * sizeof(struct meeting *));
    const char *column = target->columns[rule->entity_column];
    PGresult *result = NULL;
    const char *params[1];
    struct buf array, sql;
    size_t count = 0;
    int rc = 0;

    buf_init(&array, SESSION_ARRAY_MAX);
    buf_init(&sql, 65536);
    for (size_t i = 0; i < a->meeting_count; i++) {
        if (a->meetings[i].row->rule != rule || !asks_whether_it_stands(&a->meetings[i]))
            continue;
        adopted_put_uuid(&array, &a->meetings[i].known->id);
        asked[count++] = &a->meetings[i];
    }
    params[0] = session_end_array(&array);
    buf_printf(&sql,
               "SELECT k.n FROM unnest($1::text[]) WITH ORDINALITY AS k (id, n) "
               "WHERE EXISTS (SELECT FROM %s AS t WHERE t.%s = k.id::%s)",
               target->table, column, target->types[rule->entity_column]);
    if (count)
        rc = session_query(s, "looking for adopted rows", session_text(&sql), 1, params, &result, reterr);
    for (int i = 0; rc == 0 && result && i < PQntuples(result); i++) {
        long at = strtol(PQgetvalue(result, i, 0), NULL, 10);
        if (at >= 1 && (size_t)at <= count)
            asked[at - 1]->stands = true;
    }
    PQclear(result);
    buf_done(&sql);
    buf_done(&array);
    return rc;
}

int meet_ask(struct pgsink *s, struct err *reterr)
{
    struct adopted *a = s->adopted;

    for (size_t r = 0; a->meeting_count && r < a->rule_count; r++)
        if (a->own[r] != NOT_OWN && ask_standing(s, s->rules[r].target.rule, reterr))
            return -1;
    /* the target row is there: the source row comes to it as a change */
    for (size_t i = 0; i < a->meeting_count; i++)
        if (a->meetings[i].stands && a->meetings[i].row->op == ROW_UPSERT)
            a->meetings[i].row->born = false;
    return 0;
}

static int note_met(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    struct adopted *a = s->adopted;
    const char *params[3] = {s->options.pipeline, NULL, rule->name};
    struct buf array;
    int rc = 0;

    buf_init(&array, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < a->meeting_count; i++)
        if (a->meetings[i].row->rule == rule)
            adopted_put_uuid(&array, &a->meetings[i].known->derived);
    params[1] = array.len ? session_end_array(&array) : NULL;
    if (params[1])
        rc = session_query(s, "noting adopted rows",
                           "UPDATE pgrekey.adopted SET met = array_append(met, $3) WHERE pipeline = $1 AND derived = "
                           "ANY ($2::uuid[]) AND $3 <> ALL (met)",
                           3, params, NULL, reterr);
    buf_done(&array);
    return rc;
}

/* UPDATE t SET a = k.c0, .. FROM unnest($1::.., .., $n::uuid[]) AS k (c0, .., id) WHERE t.id = k.id. What the target
 * refuses stays as it is: the rows then go the way of any row that is refused. */
static int identify(struct pgsink *s, const struct rule *rule, struct buf *arrays, struct err *reterr)
{
    const struct target *target = &rule_state_of(s, rule)->target;
    const char **params = arena_alloc(&s->adopted->arena, (rule->locator_count + 1) * sizeof(*params));
    struct err why = {0};
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "UPDATE %s AS t SET ", target->table);
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_printf(&sql, "%s%s = k.c%zu", c ? ", " : "", target->columns[rule->locator[c]], c);
    buf_puts(&sql, " FROM unnest(");
    for (size_t c = 0; c < rule->locator_count; c++) {
        buf_printf(&sql, "$%zu::%s[], ", c + 1, target->types[rule->locator[c]]);
        params[c] = session_end_array(&arrays[c]);
    }
    buf_printf(&sql, "$%zu::%s[]) AS k (", rule->locator_count + 1, target->types[rule->entity_column]);
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_printf(&sql, "c%zu, ", c);
    buf_printf(&sql, "id) WHERE t.%s = k.id", target->columns[rule->entity_column]);
    params[rule->locator_count] = session_end_array(&arrays[rule->locator_count]);
    rc = session_run(s, "naming adopted rows", "SAVEPOINT pgrekey_adopted", reterr);
    if (rc == 0 &&
        session_query(s, "naming adopted rows", session_text(&sql), (int)rule->locator_count + 1, params, NULL, &why)) {
        if (why.kind != ERR_POISON) {
            *reterr = why;
            rc = -1;
        } else {
            rc = session_back_to(s, "naming adopted rows", "pgrekey_adopted", false, reterr);
        }
    }
    buf_done(&sql);
    return rc ? -1 : session_run(s, "naming adopted rows", "RELEASE SAVEPOINT pgrekey_adopted", reterr);
}

/* Rows that are found by other columns than their key do not hold these yet: they come to them before anything looks.
 */
static int put_identities(struct pgsink *s, const struct rule *rule, struct buf *arrays, struct err *reterr)
{
    struct adopted *a = s->adopted;
    size_t count = 0;

    for (size_t c = 0; c <= rule->locator_count; c++)
        buf_init(&arrays[c], SESSION_ARRAY_MAX);
    for (size_t i = 0; i < a->meeting_count; i++) {
        const struct meeting *meeting = &a->meetings[i];
        if (meeting->row->rule != rule || !meeting->stands || meeting->row->op != ROW_UPSERT)
            continue;
        for (size_t c = 0; c < rule->locator_count; c++)
            session_put_array_item(&arrays[c], &meeting->row->locator[c]);
        adopted_put_uuid(&arrays[rule->locator_count], &meeting->known->id);
        count++;
    }
    if (count == 0)
        return 0;
    return identify(s, rule, arrays, reterr);
}
static int name_rows(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    struct buf *arrays;
    int rc;

    if (rule->locator_is_key)
        return 0;
    arrays = mem_zalloc(rule->locator_count + 1, sizeof(*arrays));
    rc = put_identities(s, rule, arrays, reterr);
    for (size_t c = 0; c <= rule->locator_count; c++)
        buf_done(&arrays[c]);
    free(arrays);
    return rc;
}

int adopted_settle(struct pgsink *s, struct err *reterr)
{
    static const struct account MAPPED = {.mapped = 1};
    struct adopted *a = s->adopted;

    if (a->meeting_count == 0)
        return 0;
    for (size_t r = 0; r < a->rule_count; r++)
        if (a->own[r] != NOT_OWN &&
            (note_met(s, s->rules[r].target.rule, reterr) || name_rows(s, s->rules[r].target.rule, reterr)))
            return -1;
    for (size_t i = 0; i < a->meeting_count; i++) {
        const struct row *row = a->meetings[i].row;
        if (!a->meetings[i].stands)
            continue;
        if (row->op == ROW_UPSERT)
            counters_add(s, row->rule->index, &MAPPED);
        else if (gone_put(s, row->rule, source_key_new(row->change, &a->arena), reterr))
            return -1;
    }
    a->meeting_count = 0;
    return 0;
}
