/* Rows that block one another: x and y swapped under a unique constraint that the source checks at the end of the
 * statement or of the transaction, and the target at once; deleted rows that refer to one another; pairs exchanged
 * between two ids; a row that hands its values and its children to a new one. Tried one by one, each waits for the
 * other for ever. So under one savepoint all of them first let go of what blocks, and then are written; who is stuck
 * for another reason is left out, and unless the rest succeeds, all is as it was.
 */
#include "sinks/postgres/rows/rowwork.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/parents/parents.h"

#define GROUP_MAX 500
#define ROUNDS_MAX 16 /* left out one by one; more are not a swap */

struct group {
    int64_t ids[GROUP_MAX];
    bool follows[GROUP_MAX]; /* lets go of nothing, but comes right when the others do: its parent is among them */
    bool resolved[GROUP_MAX];
    size_t count;
    size_t released; /* by how many something has been let go of: where that is nobody, the group helps nobody */
};

/* What a column of the row holds for a moment, as SQL; NULL: it stays as it is. A row that is to be deleted lets go of
 * its references too, for its like may refer to one another. */
static const char *stand_in(const struct row *row, size_t i, const struct relation *relation)
{
    const struct rule_column *own = &row->rule->columns[i];
    bool deleted = row->op == ROW_DELETE;
    int column = relation_column(relation, own->name);

    for (size_t k = 0; k < row->rule->locator_count; k++)
        if (row->rule->locator[k] == i)
            return NULL;
    if (column < 0 || own->key || (!deleted && (own->once || row->values[i].state == VALUE_ABSENT)))
        return NULL;
    if (unique_by_more_than_key(relation, column))
        return unique_stand_in(&relation->columns[column]);
    return deleted && own->parent && !relation->columns[column].not_null ? "NULL" : NULL;
}

static int let_go(struct pgsink *s, const struct row *row, bool *ret_released, struct err *reterr)
{
    const struct rule *rule = row->rule;
    const struct target *target = &rule_state_of(s, rule)->target;
    const char **params = arena_zalloc(&s->rowmode->arena, rule->locator_count, sizeof(*params));
    int count = 0, failed = 0;
    PGresult *result = NULL;
    struct buf sql;

    *ret_released = false;
    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET ", target->table);
    for (size_t i = 0; i < rule->column_count; i++) {
        const char *text = stand_in(row, i, target->relation);
        if (text)
            buf_printf(&sql, "%s%s = %s", count++ ? ", " : "", target->columns[i], text);
    }
    for (size_t i = 0; i < rule->locator_count; i++) {
        params[i] = value_text(&row->locator[i], &s->rowmode->arena);
        buf_printf(&sql, "%s%s = $%zu", i ? " AND " : " WHERE ", target->columns[rule->locator[i]], i + 1);
    }
    if (count)
        failed =
            session_query(s, "releasing values", session_text(&sql), (int)rule->locator_count, params, &result, reterr);
    if (count && !failed)
        *ret_released = strtoll(PQcmdTuples(result), NULL, 10) > 0;
    PQclear(result);
    buf_done(&sql);
    return failed;
}

/* --- pairs that are exchanged: their target rows keep their keys, and exchange their identities (rowwrite.c) --- */

static void exchange_forget(struct rowmode *rm)
{
    for (size_t i = 0; i < rm->exchange_count; i++)
        free(rm->exchange[i].key);
    rm->exchange_count = 0;
}

static void exchange_add(struct rowmode *rm, const struct standing *entry)
{
    if (!rm->exchange)
        rm->exchange = mem_alloc(GROUP_MAX * sizeof(*rm->exchange));
    rm->exchange[rm->exchange_count++] = (struct exchanged_pair){.rule = entry->rule, .key = mem_strdup(entry->key)};
}

bool rowmode_exchanges(const struct rowmode *rm, const struct rule *rule, const char *key)
{
    for (size_t i = 0; i < rm->exchange_count; i++)
        if (rm->exchange[i].rule == rule && strcmp(rm->exchange[i].key, key) == 0)
            return true;
    return false;
}

/* --- the group --- */

enum part {
    PART_NONE, /* none of those that block one another */
    PART_LETS_GO,
    PART_FOLLOWS,
};

static enum part part_of(const struct standing *entry)
{
    if (entry->state == STATE_DELETE_REFUSED)
        return PART_LETS_GO;
    if (entry->state != STATE_QUARANTINED)
        return PART_NONE;
    if (entry->category == CATEGORY_CONSTRAINT_VIOLATION || entry->category == CATEGORY_EMAIL_CONFLICT)
        return PART_LETS_GO;
    if (entry->category == CATEGORY_AMBIGUOUS_VALUE && !entry->rule->locator_is_key)
        return PART_LETS_GO;
    return entry->category == CATEGORY_ORPHAN_REFERENCE ? PART_FOLLOWS : PART_NONE;
}

/* *ret_released: others may have what it held. A row that is new holds nothing. */
static int let_go_of_entry(struct pgsink *s, int64_t id, enum part *ret_part, bool *ret_released, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct standing *entry;
    struct change *change;
    struct row *row;

    arena_reset(arena, 0);
    *ret_part = PART_NONE;
    *ret_released = false;
    if (quarantine_load(s, id, arena, &entry, reterr))
        return -1;
    enum part part = entry ? part_of(entry) : PART_NONE;
    if (part != PART_LETS_GO) {
        *ret_part = part;
        return 0;
    }
    if (quarantine_change(s, entry, arena, &change, reterr))
        return -1;
    if (!change)
        return 0;
    int mapped = adopted_transform(s, entry->rule, change, arena, &row, reterr);
    if (mapped)
        return mapped < 0 ? -1 : 0;
    if (row->op != ROW_UPSERT && !(row->op == ROW_DELETE && row->rule->on_delete == DELETE_ROW))
        return 0;
    *ret_part = part;
    if (entry->category == CATEGORY_AMBIGUOUS_VALUE)
        exchange_add(s->rowmode, entry);
    if (let_go(s, row, ret_released, reterr))
        return -1;
    *ret_released = *ret_released || row->op == ROW_DELETE || entry->category == CATEGORY_AMBIGUOUS_VALUE;
    return 0;
}

static void drop(struct group *group, size_t at)
{
    group->count--;
    memmove(&group->ids[at], &group->ids[at + 1], (group->count - at) * sizeof(*group->ids));
}

static int all_let_go(struct pgsink *s, struct group *group, size_t *ret_at, struct err *reterr)
{
    exchange_forget(s->rowmode);
    group->released = 0;
    for (*ret_at = 0; *ret_at < group->count;) {
        enum part part;
        bool released;
        if (let_go_of_entry(s, group->ids[*ret_at], &part, &released, reterr))
            return -1;
        group->released += released;
        group->follows[*ret_at] = part == PART_FOLLOWS;
        group->resolved[*ret_at] = false;
        if (part == PART_NONE)
            drop(group, *ret_at);
        else
            ++*ret_at;
    }
    return 0;
}

static int write_all(struct pgsink *s, struct group *group, size_t *ret_at, struct err *reterr)
{
    bool moved = true;

    while (moved) {
        moved = false;
        for (*ret_at = 0; *ret_at < group->count; ++*ret_at) {
            bool *resolved = &group->resolved[*ret_at];
            if (*resolved)
                continue;
            if (rowmode_again(s, group->ids[*ret_at], resolved, reterr))
                return -1;
            moved |= *resolved;
        }
    }
    return 0;
}

/* All let go, then all are written. *ret_stuck: the first that let go in vain; group->count where there is none. */
static int try_group(struct pgsink *s, struct group *group, size_t *ret_stuck, struct err *reterr)
{
    if (all_let_go(s, group, ret_stuck, reterr) || (group->released > 0 && write_all(s, group, ret_stuck, reterr)))
        return -1;
    *ret_stuck = 0;
    while (*ret_stuck < group->count && (group->resolved[*ret_stuck] || group->follows[*ret_stuck]))
        ++*ret_stuck;
    return 0;
}

static int undo(struct pgsink *s, const struct account *deltas, struct err *reterr)
{
    park_undo(s, s->rowmode->group_mark);
    s->rowmode->savepoint = false;
    for (size_t i = 0; i < s->rule_count; i++)
        s->rules[i].delta = deltas[i];
    parents_forget(s->parents);
    return session_back_to(s, "going back to a savepoint", "pgrekey_group", false, reterr);
}

/* Leaves out whoever is stuck for another reason, and tries with the rest. */
static int try_groups(struct pgsink *s, struct group *group, const struct account *deltas, struct err *reterr)
{
    for (int round = 0; round < ROUNDS_MAX && group->count > 1; round++) {
        struct err said = {0};
        size_t stuck;
        int failed = try_group(s, group, &stuck, &said);
        if (failed && said.kind != ERR_POISON) { /* else a stand-in was refused */
            *reterr = said;
            return -1;
        }
        if (!failed && stuck == group->count && group->count > 1)
            return row_savepoint_end(s, reterr);
        if (undo(s, deltas, reterr))
            return -1;
        if (!failed && group->released == 0)
            break;
        if (stuck < group->count)
            drop(group, stuck);
    }
    group->count = 0;
    return undo(s, deltas, reterr);
}

static void forget_resolved(int64_t *ids, size_t *count, const struct group *group)
{
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        bool resolved = false;
        for (size_t j = 0; j < group->count && !resolved; j++)
            resolved = group->resolved[j] && group->ids[j] == ids[i];
        if (!resolved)
            ids[kept++] = ids[i];
    }
    *count = kept;
}

int rowmode_together(struct pgsink *s, int64_t *ids, size_t *count, struct err *reterr)
{
    struct account *deltas;
    struct group *group;
    int failed;

    if (*count < 2 || *count > GROUP_MAX)
        return 0;
    group = mem_zalloc(1, sizeof(*group));
    group->count = *count;
    memcpy(group->ids, ids, *count * sizeof(*ids));
    s->rowmode->group_mark = park_mark(s);
    deltas = mem_alloc((s->rule_count + 1) * sizeof(*deltas));
    for (size_t i = 0; i < s->rule_count; i++)
        deltas[i] = s->rules[i].delta;
    failed = session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_group", reterr) ||
             try_groups(s, group, deltas, reterr) ||
             session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_group", reterr);
    exchange_forget(s->rowmode);
    if (!failed)
        forget_resolved(ids, count, group);
    free(deltas);
    free(group);
    return failed ? -1 : 0;
}
