/* What of a chunk the fast path may take. It writes nothing, so it may run before the transaction begins. */
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/quarantine/quarantine_store.h"
#include "sinks/postgres/session/session.h"

/* Keys that stand in quarantine. */
static int set_aside_standing(struct pgsink *s, struct err *reterr)
{
    struct netchange *net = s->net;
    struct quarantine_key *keys;
    uint32_t *entries;
    size_t count = 0;

    for (size_t r = 0; r < s->rule_count; r++)
        count += s->rules[r].standing ? (size_t)net->rules[r].entry_count * 2 : 0;
    if (count == 0)
        return 0;
    keys = arena_alloc(&s->scratch, count * sizeof(*keys));
    entries = arena_alloc(&s->scratch, count * sizeof(*entries));
    count = 0;
    for (size_t r = 0; r < s->rule_count; r++) {
        if (s->rules[r].standing == 0)
            continue;
        for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
            const struct row *row = net->entries[e].row;
            if (net->entries[e].aside)
                continue;
            keys[count] = (struct quarantine_key){.rule = row->rule, .key = park_key(row, &s->scratch)};
            entries[count++] = e;
            if (s->rules[r].target.knows_key)
                continue;
            keys[count] = (struct quarantine_key){
                .rule = row->rule, .key = park_locator_key(row->rule, net->entries[e].locator, &s->scratch)};
            entries[count++] = e;
        }
    }
    if (quarantine_standing_keys(s, keys, count, reterr))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (keys[i].standing)
            netchange_set_aside(net, entries[i]);
    return 0;
}

static void put_key(struct buf *array, const char *key)
{
    struct value value = {.text = key, .len = (uint32_t)strlen(key), .state = VALUE_TEXT};
    session_put_array_item(array, &value);
}

/* Keys of one rule with a record in a side table (gone, pending_reference). */
static int set_aside_recorded(struct pgsink *s, size_t r, const char *sql, struct err *reterr)
{
    struct netchange *net = s->net;
    const char *params[3] = {s->options.pipeline, s->rules[r].target.rule->name, NULL};
    uint32_t *entries = arena_alloc(&s->scratch, (2 * (size_t)net->rules[r].entry_count + 1) * sizeof(*entries));
    size_t count = 0;
    PGresult *result = NULL;
    struct buf array;
    int rc;

    buf_init(&array, SESSION_ARRAY_MAX);
    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
        put_key(&array, park_key(net->entries[e].row, &s->scratch));
        entries[count++] = e;
        if (s->rules[r].target.knows_key || !net->entries[e].locator)
            continue;
        put_key(&array, park_locator_key(net->entries[e].row->rule, net->entries[e].locator, &s->scratch));
        entries[count++] = e;
    }
    params[2] = session_end_array(&array);
    rc = session_query(s, "looking for side records", sql, 3, params, &result, reterr);
    buf_done(&array);
    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        long at = strtol(PQgetvalue(result, i, 0), NULL, 10);
        if (at >= 1 && (size_t)at <= count)
            netchange_set_aside(net, entries[at - 1]);
    }
    PQclear(result);
    return rc;
}

#define SELECT_RECORDED(table)                                                                                         \
    "SELECT DISTINCT k.n FROM unnest($3::text[]) WITH ORDINALITY AS k (key, n) CROSS JOIN LATERAL (SELECT FROM"        \
    " pgrekey." table " x WHERE x.pipeline = $1 AND x.rule = $2 AND x.key = k.key OFFSET 0) x"

static int set_aside_side_records(struct pgsink *s, struct err *reterr)
{
    for (size_t r = 0; r < s->rule_count; r++) {
        if (s->net->rules[r].entry_count == 0)
            continue;
        if (s->rules[r].gone && set_aside_recorded(s, r, SELECT_RECORDED("gone"), reterr))
            return -1;
        if (s->rules[r].pending && set_aside_recorded(s, r, SELECT_RECORDED("pending_reference"), reterr))
            return -1;
    }
    return 0;
}

/* Where a delete leaves the row and a condition may have kept it away before, only a look at each row tells what it
 * counted as; so it is where the row was never counted. And an update that sets nothing tells nothing about whether the
 * row is there. */
static void set_aside_unclear(struct pgsink *s, struct chunk_plan *plan)
{
    struct netchange *net = s->net;

    for (size_t r = 0; r < s->rule_count; r++) {
        struct target *target = &s->rules[r].target;
        bool unclear = target->may_exclude && target->rule->on_delete != DELETE_ROW;

        if (!net->rules[r].hashed) /* births only */
            continue;
        for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
            struct net_entry *entry = &net->entries[e];
            if (net_deletes(entry)) {
                plan->strict |= target->cascades;
                if (unclear || entry->row->change->stray)
                    netchange_set_aside(net, e);
            }
        }
    }
}

/* --- parents --- */

struct asking {
    struct parent_question *questions;
    uint32_t *entries;
    uint16_t *columns;
    size_t count;
};

/* What the chunk itself says of a parent. */
enum in_chunk {
    IN_CHUNK_UNKNOWN,
    IN_CHUNK_THERE, /* it will be there */
    IN_CHUNK_ASIDE, /* row mode will tell */
    IN_CHUNK_GONE,  /* it will not be there */
    IN_CHUNK_LATER, /* it will be there when this row has been written */
};

static enum in_chunk reference_in_chunk(const struct pgsink *s, const struct net_entry *child, size_t column)
{
    const struct rule *parent = child->row->rule->columns[column].parent;
    const struct net_entry *entry;
    uint32_t found;

    if (!parent || !parent->locator_is_key || parent->locator_count != 1)
        return IN_CHUNK_UNKNOWN;
    found = netchange_find(s->net, parent, &child->row->values[column]);
    if (found == NET_NONE)
        return IN_CHUNK_UNKNOWN;
    entry = &s->net->entries[found];
    if (entry->aside)
        return IN_CHUNK_ASIDE;
    if (entry->action == NET_INSERT || entry->action == NET_REPLACE)
        return child->row->rule->columns[column].second_pass ? IN_CHUNK_LATER : IN_CHUNK_THERE;
    if (entry->action == NET_UPDATE)
        return IN_CHUNK_UNKNOWN;
    /* what one rule leaves out another may write */
    return s->references.places[references_place(&s->references, child->row->rule, column)].shared ? IN_CHUNK_ASIDE
                                                                                                   : IN_CHUNK_GONE;
}

static bool asks(const struct pgsink *s, const struct net_entry *entry, size_t column)
{
    return entry->row->values[column].state == VALUE_TEXT &&
           references_place(&s->references, entry->row->rule, column) != NO_PLACE;
}

/* The references of one rule's rows that the chunk does not answer itself: of one kind, those to rows of derivations or
 * the others. */
static void collect_questions(struct pgsink *s, size_t r, bool late, struct asking *asking)
{
    struct netchange *net = s->net;
    const struct rule *rule = s->rules[r].target.rule;
    size_t most = 0;

    for (size_t c = 0; c < rule->column_count; c++)
        most += references_place(&s->references, rule, c) != NO_PLACE;
    most = most * net->rules[r].entry_count + 1;
    asking->questions = arena_alloc(&s->scratch, most * sizeof(*asking->questions));
    asking->entries = arena_alloc(&s->scratch, most * sizeof(*asking->entries));
    asking->columns = arena_alloc(&s->scratch, most * sizeof(*asking->columns));
    asking->count = 0;
    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
        const struct net_entry *entry = &net->entries[e];
        if (!net_inserts(entry) && !net_updates(entry))
            continue;
        for (size_t c = 0; c < rule->column_count; c++) {
            if (!asks(s, entry, c) || (rule->columns[c].parent == NULL) != late ||
                reference_in_chunk(s, entry, c) == IN_CHUNK_THERE)
                continue;
            asking->questions[asking->count] = (struct parent_question){
                .place = (size_t)references_place(&s->references, rule, c), .value = &entry->row->values[c]};
            asking->entries[asking->count] = e;
            asking->columns[asking->count++] = (uint16_t)c;
        }
    }
}

/* The row with a NULL where its parent is missing, and a note of it. */
static void null_reference(struct pgsink *s, uint32_t at, size_t column, struct chunk_plan *plan)
{
    struct net_entry *entry = &s->net->entries[at];
    struct pending_note *note = arena_alloc(&s->scratch, sizeof(*note));

    if (!entry->merged) {
        const struct rule *rule = entry->row->rule;
        struct row *copy = arena_alloc(&s->scratch, sizeof(*copy));
        *copy = *entry->row;
        copy->values = arena_alloc(&s->scratch, rule->column_count * sizeof(*copy->values));
        memcpy(copy->values, entry->row->values, rule->column_count * sizeof(*copy->values));
        entry->row = copy;
        entry->merged = true;
    }
    *note = (struct pending_note){
        .entry = at, .column = column, .parent = entry->row->values[column], .next = plan->pending};
    plan->pending = note;
    entry->row->values[column] = (struct value){.state = VALUE_NULL};
}

static bool holds_all(const struct row *row)
{
    const struct change *change = row->change;

    for (size_t i = 0; !row->kept && change->columns && i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            return false;
    return change->columns != NULL;
}

/* A new row waits for its parent. Of one that is there already the target row has to go, which is row mode's. */
static void park(struct pgsink *s, uint32_t at, size_t column, struct chunk_plan *plan)
{
    struct net_entry *entry = &s->net->entries[at];
    struct parked_note *note;

    if (entry->action != NET_INSERT || !holds_all(entry->row)) {
        netchange_set_aside(s->net, at);
        return;
    }
    note = arena_alloc(&s->scratch, sizeof(*note));
    *note = (struct parked_note){.entry = at,
                                 .column = column,
                                 .place = (size_t)references_place(&s->references, entry->row->rule, column),
                                 .next = plan->parked};
    plan->parked = note;
    entry->action = NET_PARKED;
}

/* Where the parent may still come out of row mode in this chunk, the row goes there too: it comes last, and looks
 * again. */
static void miss(struct pgsink *s, uint32_t at, size_t column, enum in_chunk in_chunk, struct chunk_plan *plan)
{
    const struct net_entry *entry = &s->net->entries[at];

    if (in_chunk == IN_CHUNK_ASIDE)
        netchange_set_aside(s->net, at);
    else if (entry->row->rule->columns[column].required)
        park(s, at, column, plan);
    else
        null_reference(s, at, column, plan);
}

static void judge_answers(struct pgsink *s, const struct asking *asking, struct chunk_plan *plan)
{
    for (size_t i = 0; i < asking->count; i++) {
        const struct parent_question *question = &asking->questions[i];
        struct net_entry *entry = &s->net->entries[asking->entries[i]];
        enum in_chunk in_chunk;

        if (entry->aside || entry->action == NET_PARKED || entry->row->values[asking->columns[i]].state != VALUE_TEXT)
            continue;
        in_chunk = reference_in_chunk(s, entry, asking->columns[i]);
        if (!question->found || (in_chunk != IN_CHUNK_UNKNOWN && in_chunk != IN_CHUNK_THERE))
            miss(s, asking->entries[i], asking->columns[i], in_chunk, plan);
    }
}

/* Rows that lean on rows of the chunk which went aside, or were parked, after they were judged: of the same table, or
 * of one that comes later. */
static bool follow(struct pgsink *s, size_t r, struct chunk_plan *plan)
{
    struct netchange *net = s->net;
    const struct rule *rule = s->rules[r].target.rule;
    bool moved = false;

    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
        const struct net_entry *entry = &net->entries[e];
        for (size_t c = 0; c < rule->column_count && (net_inserts(entry) || net_updates(entry)); c++) {
            enum in_chunk in_chunk = asks(s, entry, c) ? reference_in_chunk(s, entry, c) : IN_CHUNK_UNKNOWN;
            if (in_chunk != IN_CHUNK_ASIDE && in_chunk != IN_CHUNK_GONE)
                continue;
            miss(s, e, c, in_chunk, plan);
            moved = true;
        }
    }
    return moved;
}

static int check_parents(struct pgsink *s, struct chunk_plan *plan, struct err *reterr)
{
    const int *order = map_rule_order(s->options.map);
    bool moved = true;

    for (size_t i = 0; i < s->rule_count; i++) {
        size_t r = (size_t)order[i];
        struct asking asking;

        if (!s->rules[r].target.has_parents || s->net->rules[r].entry_count == 0)
            continue;
        collect_questions(s, r, false, &asking);
        if (asking.count && parents_ask(s, asking.questions, asking.count, reterr))
            return -1;
        judge_answers(s, &asking, plan);
    }
    while (moved) {
        moved = false;
        for (size_t r = 0; r < s->rule_count; r++)
            if (s->rules[r].target.has_parents && s->net->rules[r].entry_count)
                moved |= follow(s, r, plan);
    }
    return 0;
}

int chunk_plan_again(struct pgsink *s, struct chunk_plan *plan, struct err *reterr)
{
    return check_parents(s, plan, reterr);
}

/* --- parents that derivations write --- */

static void look_for_late(struct pgsink *s, struct chunk_plan *plan)
{
    if (map_derivation_count(s->options.map) == 0)
        return;
    plan->late = arena_zalloc(&s->scratch, s->rule_count, sizeof(*plan->late));
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *rule = s->rules[r].target.rule;
        for (size_t c = 0; c < rule->column_count && s->net->rules[r].entry_count; c++)
            plan->late[r] |= rule->columns[c].parent_derivation && !rule->columns[c].parent;
    }
}

int chunk_plan_late(struct pgsink *s, struct chunk_plan *plan, size_t rule_index, struct err *reterr)
{
    struct asking asking;

    if (!plan->late || !plan->late[rule_index])
        return 0;
    collect_questions(s, rule_index, true, &asking);
    if (asking.count && parents_ask(s, asking.questions, asking.count, reterr))
        return -1;
    judge_answers(s, &asking, plan);
    while (follow(s, rule_index, plan))
        ;
    return 0;
}

int chunk_plan(struct pgsink *s, struct row *const *rows, size_t count, struct chunk_plan *ret_plan, struct err *reterr)
{
    *ret_plan = (struct chunk_plan){0};
    netchange_build(s->net, rows, count, &s->scratch);
    /* entries of woken rows have been taken out */
    if (!s->snapshot && ((!s->waking && set_aside_standing(s, reterr)) || set_aside_side_records(s, reterr)))
        return -1;
    set_aside_unclear(s, ret_plan);
    look_for_late(s, ret_plan);
    return check_parents(s, ret_plan, reterr);
}
