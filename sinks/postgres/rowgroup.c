/* Rows that block one another: x and y swapped under a unique constraint that the source checks at the end of the
 * statement or of the transaction, and the target at once; deleted rows that refer to one another. Tried one by one,
 * each waits for the other for ever. So under one savepoint all of them first let go of what blocks, and then are
 * written; who is stuck for another reason is left out, and unless the rest succeeds, all is as it was.
 */
#include "sinks/postgres/rowwork.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/parents.h"

#define GROUP_MAX 500
#define ROUNDS_MAX 16 /* left out one by one; more are not a swap */

static int let_go(struct pgsink *s, const struct row *row, struct err *reterr)
{
    const struct rule *rule = row->rule;
    const struct target *target = &rule_state_of(s, rule)->target;
    const char **params = arena_zalloc(&s->rowmode->arena, rule->locator_count, sizeof(*params));
    int count = 0, failed = 0;
    struct buf sql;

    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET ", target->table);
    for (size_t i = 0; i < rule->column_count; i++) {
        int column = relation_column(target->relation, rule->columns[i].name);
        if (column < 0 || rule->columns[i].key || rule->columns[i].once || row->values[i].state == VALUE_ABSENT ||
            !unique_by_more_than_key(target->relation, column) || !unique_stand_in(&target->relation->columns[column]))
            continue;
        buf_printf(&sql, "%s%s = %s", count++ ? ", " : "", target->columns[i],
                   unique_stand_in(&target->relation->columns[column]));
    }
    for (size_t i = 0; i < rule->locator_count; i++) {
        params[i] = value_text(&row->locator[i], &s->rowmode->arena);
        buf_printf(&sql, "%s%s = $%zu", i ? " AND " : " WHERE ", target->columns[rule->locator[i]], i + 1);
    }
    if (count)
        failed =
            session_query(s, "releasing unique values", buf_text(&sql), (int)rule->locator_count, params, NULL, reterr);
    buf_done(&sql);
    return failed;
}

/* Rows that are to be deleted and refer to one another let go of their references. */
static int let_go_of_parents(struct pgsink *s, const struct row *row, struct err *reterr)
{
    const struct rule *rule = row->rule;
    const struct target *target = &rule_state_of(s, rule)->target;
    const char **params = arena_zalloc(&s->rowmode->arena, rule->locator_count, sizeof(*params));
    int count = 0, failed = 0;
    struct buf sql;

    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET ", target->table);
    for (size_t i = 0; i < rule->column_count; i++) {
        int column = relation_column(target->relation, rule->columns[i].name);
        if (column < 0 || !rule->columns[i].parent || rule->columns[i].key ||
            target->relation->columns[column].not_null)
            continue;
        buf_printf(&sql, "%s%s = NULL", count++ ? ", " : "", target->columns[i]);
    }
    for (size_t i = 0; i < rule->locator_count; i++) {
        params[i] = value_text(&row->locator[i], &s->rowmode->arena);
        buf_printf(&sql, "%s%s = $%zu", i ? " AND " : " WHERE ", target->columns[rule->locator[i]], i + 1);
    }
    if (count)
        failed =
            session_query(s, "releasing references", buf_text(&sql), (int)rule->locator_count, params, NULL, reterr);
    buf_done(&sql);
    return failed;
}

static bool may_block(const struct standing *entry)
{
    if (entry->state == STATE_DELETE_REFUSED)
        return true;
    return entry->state == STATE_QUARANTINED &&
           (entry->category == CATEGORY_CONSTRAINT_VIOLATION || entry->category == CATEGORY_EMAIL_CONFLICT);
}

/* 1 where the entry is none of those that can block one another. */
static int let_go_of_entry(struct pgsink *s, int64_t id, struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    struct standing *entry;
    struct change *change;
    struct row *row;

    arena_reset(arena, 0);
    if (quarantine_load(s, id, arena, &entry, reterr))
        return -1;
    if (!entry || !may_block(entry))
        return 1;
    if (quarantine_change(s, entry, arena, &change, reterr))
        return -1;
    if (!change)
        return 1;
    int mapped = map_transform_rule(s->options.map, entry->rule, change, arena, &row, reterr);
    if (mapped)
        return mapped;
    if (row->op == ROW_DELETE && row->rule->on_delete == DELETE_ROW)
        return let_go_of_parents(s, row, reterr);
    return row->op == ROW_UPSERT ? let_go(s, row, reterr) : 1;
}

struct group {
    int64_t ids[GROUP_MAX];
    size_t count;
};

static void drop(struct group *group, size_t at)
{
    group->count--;
    memmove(&group->ids[at], &group->ids[at + 1], (group->count - at) * sizeof(*group->ids));
}

/* All let go, then all are written. *ret_stuck: the first one that fails even so; group->count where none does. */
static int try_group(struct pgsink *s, struct group *group, size_t *ret_stuck, struct err *reterr)
{
    for (size_t i = 0; i < group->count;) {
        int other = let_go_of_entry(s, group->ids[i], reterr);
        *ret_stuck = i;
        if (other < 0)
            return -1;
        if (other)
            drop(group, i);
        else
            i++;
    }
    for (size_t i = 0; i < group->count; i++) {
        bool resolved;
        *ret_stuck = i;
        if (rowmode_again(s, group->ids[i], &resolved, reterr))
            return -1;
        if (!resolved)
            return 0;
    }
    *ret_stuck = group->count;
    return 0;
}

static int undo(struct pgsink *s, const struct account *deltas, struct err *reterr)
{
    s->rowmode->savepoint = false;
    for (size_t i = 0; i < s->rule_count; i++)
        s->rules[i].delta = deltas[i];
    parents_forget(s->parents);
    return session_run(s, "going back to a savepoint", "ROLLBACK TO SAVEPOINT pgrekey_group", reterr);
}

/* Leaves out whoever is stuck for another reason, and tries with the rest. */
static int try_groups(struct pgsink *s, struct group *group, const struct account *deltas, struct err *reterr)
{
    for (int round = 0; round < ROUNDS_MAX && group->count > 1; round++) {
        struct err said = {0};
        size_t stuck;
        int failed = try_group(s, group, &stuck, &said);
        if (failed && said.class != ERR_POISON) { /* else a stand-in was refused */
            *reterr = said;
            return -1;
        }
        if (!failed && stuck == group->count && group->count > 1)
            return row_savepoint_end(s, reterr);
        if (undo(s, deltas, reterr))
            return -1;
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
            resolved = group->ids[j] == ids[i];
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
    deltas = mem_alloc((s->rule_count + 1) * sizeof(*deltas));
    for (size_t i = 0; i < s->rule_count; i++)
        deltas[i] = s->rules[i].delta;
    failed = session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_group", reterr) ||
             try_groups(s, group, deltas, reterr) ||
             session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_group", reterr);
    if (!failed)
        forget_resolved(ids, count, group);
    free(deltas);
    free(group);
    return failed ? -1 : 0;
}
