/* What of a chunk the fast path may take. It writes nothing, so it may run before the transaction begins. */
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/chunk.h"
#include "sinks/postgres/parents.h"
#include "sinks/postgres/quarantine_store.h"
#include "sinks/postgres/session.h"

/* Keys that stand in quarantine. */
static int set_aside_standing(struct pgsink *s, struct err *reterr)
{
    struct netchange *net = s->net;
    struct quarantine_key *keys;
    uint32_t *entries;
    size_t count = 0;

    for (size_t r = 0; r < s->rule_count; r++)
        count += s->rules[r].standing ? net->rules[r].entry_count : 0;
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
            keys[count] = (struct quarantine_key){.rule = row->rule, .key = source_key(row->change, &s->scratch)};
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

/* Keys of one rule with a record in a side table (gone, pending_reference). */
static int set_aside_recorded(struct pgsink *s, size_t r, const char *sql, struct err *reterr)
{
    struct netchange *net = s->net;
    const char *params[3] = {s->options.pipeline, s->rules[r].target.rule->name, NULL};
    uint32_t *entries = arena_alloc(&s->scratch, (net->rules[r].entry_count + 1) * sizeof(*entries));
    size_t count = 0;
    PGresult *result = NULL;
    struct buf array;
    int rc;

    buf_init(&array, SESSION_ARRAY_MAX);
    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
        const char *key = source_key(net->entries[e].row->change, &s->scratch);
        struct value value = {.text = key, .len = (uint32_t)strlen(key), .state = VALUE_TEXT};
        session_put_array_item(&array, &value);
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
    "SELECT DISTINCT k.n FROM unnest($3::text[]) WITH ORDINALITY AS k (key, n) JOIN pgrekey." table                    \
    " x ON x.pipeline = $1 AND x.rule = $2 AND x.key = k.key"

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
 * counted as. And an update that sets nothing tells nothing about whether the row is there. */
static void set_aside_unclear(struct pgsink *s, struct chunk_plan *plan)
{
    struct netchange *net = s->net;

    for (size_t r = 0; r < s->rule_count; r++) {
        struct target *target = &s->rules[r].target;
        bool unclear = target->rule->may_exclude && target->rule->on_delete != DELETE_ROW;

        if (!net->rules[r].hashed) /* births only */
            continue;
        for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
            struct net_entry *entry = &net->entries[e];
            if (net_deletes(entry)) {
                plan->strict |= target->cascades;
                if (unclear)
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

/* What the chunk itself says of a parent: 1 it will be there, 0 it will not (or goes to row mode), -1 nothing. */
static int parent_in_chunk(const struct netchange *net, const struct rule *parent, const struct value *value)
{
    const struct net_entry *entry;
    uint32_t found;

    if (!parent->locator_is_key || parent->locator_count != 1)
        return -1;
    found = netchange_find(net, parent, value);
    if (found == NET_NONE)
        return -1;
    entry = &net->entries[found];
    if (entry->aside)
        return 0;
    if (entry->action == NET_INSERT || entry->action == NET_REPLACE)
        return 1;
    return entry->action == NET_UPDATE ? -1 : 0;
}

/* The references of one rule's rows that the chunk does not answer itself. */
static void collect_questions(struct pgsink *s, size_t r, struct asking *asking)
{
    struct netchange *net = s->net;
    const struct rule *rule = s->rules[r].target.rule;
    size_t most = 0;

    for (size_t c = 0; c < rule->column_count; c++)
        most += rule->columns[c].parent != NULL;
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
            const struct value *value = &entry->row->values[c];
            const struct rule *parent = rule->columns[c].parent;
            if (!parent || value->state != VALUE_TEXT || parent_in_chunk(net, parent, value) == 1)
                continue;
            asking->questions[asking->count] = (struct parent_question){.parent = parent, .value = value};
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

/* A row with a missing required parent goes to row mode, which comes last and looks again. So does one whose optional
 * parent may still come out of row mode in this chunk. */
static void judge_answers(struct pgsink *s, const struct asking *asking, struct chunk_plan *plan)
{
    struct netchange *net = s->net;

    for (size_t i = 0; i < asking->count; i++) {
        const struct parent_question *question = &asking->questions[i];
        struct net_entry *entry = &net->entries[asking->entries[i]];
        int in_chunk = parent_in_chunk(net, question->parent, question->value);

        if (entry->aside || (question->found && in_chunk != 0))
            continue;
        if (entry->row->rule->columns[asking->columns[i]].required || in_chunk == 0 ||
            net->rules[question->parent->index].aside_count)
            netchange_set_aside(net, asking->entries[i]);
        else
            null_reference(s, asking->entries[i], asking->columns[i], plan);
    }
}

/* Rows that lean on rows of their own table that went aside after they were judged. */
static bool follow_aside(struct pgsink *s, size_t r)
{
    struct netchange *net = s->net;
    const struct rule *rule = s->rules[r].target.rule;
    bool moved = false;

    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next) {
        const struct net_entry *entry = &net->entries[e];
        if (!net_inserts(entry) && !net_updates(entry))
            continue;
        for (size_t c = 0; c < rule->column_count && !entry->aside; c++) {
            if (rule->columns[c].parent != rule || entry->row->values[c].state != VALUE_TEXT ||
                parent_in_chunk(net, rule, &entry->row->values[c]) != 0)
                continue;
            netchange_set_aside(net, e);
            moved = true;
        }
    }
    return moved;
}

static int check_parents(struct pgsink *s, struct chunk_plan *plan, struct err *reterr)
{
    const int *order = map_rule_order(s->options.map);

    for (size_t i = 0; i < s->rule_count; i++) {
        size_t r = (size_t)order[i];
        struct asking asking;

        if (!s->rules[r].target.has_parents || s->net->rules[r].entry_count == 0)
            continue;
        collect_questions(s, r, &asking);
        if (asking.count && parents_ask(s, asking.questions, asking.count, reterr))
            return -1;
        judge_answers(s, &asking, plan);
        while (s->net->rules[r].aside_count && follow_aside(s, r))
            ;
    }
    return 0;
}

int chunk_plan(struct pgsink *s, struct row *const *rows, size_t count, struct chunk_plan *ret_plan, struct err *reterr)
{
    *ret_plan = (struct chunk_plan){0};
    netchange_build(s->net, rows, count, &s->scratch);
    if (!s->snapshot && (set_aside_standing(s, reterr) || set_aside_side_records(s, reterr)))
        return -1;
    set_aside_unclear(s, ret_plan);
    return check_parents(s, ret_plan, reterr);
}
