#include "sinks/postgres/parents/parents.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/uuid.h"
#include "sinks/postgres/session/session.h"

struct cached {
    struct uuid id;
    uint32_t place; /* index + 1; 0: free */
};

/* A set with open addressing. Entries are taken out by name only, and then the run behind them is put in anew. */
struct parents {
    struct cached *slots;
    size_t slot_count, count, max;
};

struct parents *parents_new(size_t max_entries)
{
    struct parents *parents = mem_zalloc(1, sizeof(*parents));

    parents->max = max_entries ? max_entries : 1;
    for (parents->slot_count = 16; parents->slot_count < parents->max * 2;)
        parents->slot_count *= 2;
    parents->slots = mem_zalloc(parents->slot_count, sizeof(*parents->slots));
    return parents;
}

void parents_free(struct parents *parents)
{
    if (!parents)
        return;
    free(parents->slots);
    free(parents);
}

void parents_forget(struct parents *parents)
{
    memset(parents->slots, 0, parents->slot_count * sizeof(*parents->slots));
    parents->count = 0;
}

static size_t slot_of(const struct parents *parents, const struct cached *wanted)
{
    size_t mask = parents->slot_count - 1;
    uint64_t hash;

    memcpy(&hash, wanted->id.bytes, sizeof(hash));
    hash = (hash ^ wanted->place) * UINT64_C(0x9E3779B97F4A7C15);
    for (size_t i = (size_t)(hash >> 20) & mask;; i = (i + 1) & mask) {
        const struct cached *slot = &parents->slots[i];
        if (slot->place == 0 || (slot->place == wanted->place && memcmp(&slot->id, &wanted->id, sizeof(slot->id)) == 0))
            return i;
    }
}

/* Only UUIDs are remembered; for others the target is asked each time. */
static bool cached_of(size_t place, const struct value *value, struct cached *ret_cached)
{
    ret_cached->place = (uint32_t)place + 1;
    return value->state == VALUE_TEXT && uuid_parse_text(value->text, value->len, &ret_cached->id);
}

bool parents_knows(const struct parents *parents, size_t place, const struct value *value)
{
    struct cached wanted;

    return cached_of(place, value, &wanted) && parents->slots[slot_of(parents, &wanted)].place != 0;
}

void parents_written(struct parents *parents, size_t place, const struct value *value)
{
    struct cached wanted;
    size_t slot;

    if (!cached_of(place, value, &wanted))
        return;
    slot = slot_of(parents, &wanted);
    if (parents->slots[slot].place != 0)
        return;
    if (parents->count == parents->max) {
        parents_forget(parents);
        slot = slot_of(parents, &wanted);
    }
    parents->slots[slot] = wanted;
    parents->count++;
}

void parents_deleted(struct parents *parents, size_t place, const struct value *value)
{
    size_t mask = parents->slot_count - 1;
    struct cached wanted;
    size_t slot;

    if (parents->count == 0 || !cached_of(place, value, &wanted))
        return;
    slot = slot_of(parents, &wanted);
    if (parents->slots[slot].place == 0)
        return;
    parents->slots[slot].place = 0;
    parents->count--;
    for (size_t i = (slot + 1) & mask; parents->slots[i].place != 0; i = (i + 1) & mask) {
        struct cached moved = parents->slots[i];
        parents->slots[i].place = 0;
        parents->slots[slot_of(parents, &moved)] = moved;
    }
}

/* --- asking --- */

static int by_parent_and_value(const void *left, const void *right)
{
    const struct parent_question *a = *(struct parent_question *const *)left;
    const struct parent_question *b = *(struct parent_question *const *)right;
    size_t len = a->value->len < b->value->len ? a->value->len : b->value->len;
    int order;

    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    order = memcmp(a->value->text, b->value->text, len);
    if (order != 0)
        return order;
    return a->value->len < b->value->len ? -1 : a->value->len > b->value->len;
}

static int query_parents(struct pgsink *s, const struct place *place, const char *array, PGresult **ret_result,
                         struct err *reterr)
{
    struct buf sql;
    int rc;

    buf_init(&sql, (size_t)1 << 16);
    buf_printf(&sql, "SELECT p.%s FROM %s AS p WHERE p.%s = ANY ($1::%s[])%s", place->column, place->table,
               place->column, place->type, place->stands);
    rc = session_query(s, "looking for parents", session_text(&sql), 1, &array, ret_result, reterr);
    buf_done(&sql);
    return rc;
}

static void answer(struct pgsink *s, struct parent_question **asked, size_t count, const PGresult *result)
{
    for (int row = 0; row < PQntuples(result); row++) {
        struct value found = {
            .text = PQgetvalue(result, row, 0), .len = (uint32_t)PQgetlength(result, row, 0), .state = VALUE_TEXT};
        struct parent_question wanted = {.place = asked[0]->place, .value = &found}, *key = &wanted, **at;

        parents_written(s->parents, wanted.place, &found);
        at = bsearch(&key, asked, count, sizeof(*asked), by_parent_and_value);
        if (!at)
            continue;
        while (at > asked && by_parent_and_value(at - 1, &key) == 0)
            at--;
        for (; at < asked + count && by_parent_and_value(at, &key) == 0; at++)
            (*at)->found = true;
    }
}

/* Sorted questions of one parent table. */
static int ask_target(struct pgsink *s, struct parent_question **asked, size_t count, struct err *reterr)
{
    struct buf array;
    PGresult *result = NULL;
    int rc;

    buf_init(&array, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || by_parent_and_value(&asked[i - 1], &asked[i]) != 0)
            session_put_array_item(&array, asked[i]->value);
    rc = query_parents(s, &s->references.places[asked[0]->place], session_end_array(&array), &result, reterr);
    buf_done(&array);
    if (rc)
        return -1;
    answer(s, asked, count, result);
    PQclear(result);
    return 0;
}

static int ask(struct pgsink *s, struct parent_question *questions, size_t count, bool use_cache, struct err *reterr)
{
    struct parent_question **asked = mem_alloc((count + 1) * sizeof(*asked));
    size_t asked_count = 0;
    int rc = 0;

    for (size_t i = 0; i < count; i++) {
        questions[i].found = use_cache && parents_knows(s->parents, questions[i].place, questions[i].value);
        if (!questions[i].found && questions[i].value->state == VALUE_TEXT)
            asked[asked_count++] = &questions[i];
    }
    if (asked_count)
        qsort(asked, asked_count, sizeof(*asked), by_parent_and_value);
    for (size_t i = 0, end; rc == 0 && i < asked_count; i = end) {
        for (end = i + 1; end < asked_count && asked[end]->place == asked[i]->place;)
            end++;
        rc = ask_target(s, asked + i, end - i, reterr);
    }
    free(asked);
    return rc;
}

int parents_ask(struct pgsink *s, struct parent_question *questions, size_t count, struct err *reterr)
{
    return ask(s, questions, count, true, reterr);
}

int parents_ask_afresh(struct pgsink *s, struct parent_question *questions, size_t count, struct err *reterr)
{
    return ask(s, questions, count, false, reterr);
}

/* --- rows of a rule --- */

void parents_row_written(struct pgsink *s, const struct row *row)
{
    for (size_t i = 0; i < rule_state_of(s, row->rule)->target.here_count; i++) {
        const struct here *here = &rule_state_of(s, row->rule)->target.here[i];
        parents_written(s->parents, here->place, &row->values[here->column]);
    }
}

void parents_row_deleted(struct pgsink *s, const struct rule *rule, const struct value *locator)
{
    const struct target *target = &rule_state_of(s, rule)->target;

    for (size_t i = 0; i < target->here_count; i++) {
        if (rule->locator_count != 1 || rule->locator[0] != target->here[i].column || target->cascades) {
            parents_forget(s->parents);
            return;
        }
        parents_deleted(s->parents, target->here[i].place, &locator[0]);
    }
}
