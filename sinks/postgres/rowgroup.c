/* Rows of one source transaction that block one another: x and y swapped under a unique constraint that the source
 * checks at the end of the statement or of the transaction, and the target at once. Tried one by one, each waits for
 * the other for ever. So all of them let go of their unique values first, under one savepoint, and then are written;
 * unless all succeed, all is as it was.
 */
#include "sinks/postgres/rowwork.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/parents.h"

#define GROUP_MAX 500

static bool in_unique_index(const struct relation *relation, int column)
{
    for (size_t u = 0; u < relation->unique_count; u++)
        for (size_t i = 0; i < relation->uniques[u].count && !relation->uniques[u].primary; i++)
            if (relation->uniques[u].columns[i] == column)
                return true;
    return false;
}

/* What a unique column holds for a moment: NULL, or a text that nobody else has. NULL: neither is possible. */
static const char *stand_in(const struct column *column)
{
    if (!column->not_null)
        return "NULL";
    if (strcmp(column->base_type, "text") == 0 || strcmp(column->base_type, "character varying") == 0 ||
        strcmp(column->base_type, "citext") == 0)
        return "left(md5(random()::text || ctid::text), 24)";
    return NULL;
}

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
            !in_unique_index(target->relation, column) || !stand_in(&target->relation->columns[column]))
            continue;
        buf_printf(&sql, "%s%s = %s", count++ ? ", " : "", target->columns[i],
                   stand_in(&target->relation->columns[column]));
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
    if (!entry || entry->state != STATE_QUARANTINED ||
        (entry->category != CATEGORY_CONSTRAINT_VIOLATION && entry->category != CATEGORY_EMAIL_CONFLICT))
        return 1;
    if (quarantine_change(s, entry, arena, &change, reterr))
        return -1;
    if (!change)
        return 1;
    int mapped = map_transform_rule(s->options.map, entry->rule, change, arena, &row, reterr);
    if (mapped)
        return mapped;
    return row->op == ROW_UPSERT ? let_go(s, row, reterr) : 1;
}

static int try_group(struct pgsink *s, bool *ret_all, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    bool in_group[GROUP_MAX];
    size_t group = 0;

    *ret_all = false;
    for (size_t i = 0; i < rm->aside_count; i++) {
        int other = let_go_of_entry(s, rm->aside[i], reterr);
        if (other < 0)
            return -1;
        in_group[i] = other == 0;
        group += in_group[i];
    }
    if (group < 2)
        return 0;
    for (size_t i = 0; i < rm->aside_count; i++) {
        bool resolved;
        if (!in_group[i])
            continue;
        if (rowmode_again(s, rm->aside[i], &resolved, reterr))
            return -1;
        if (!resolved)
            return 0;
    }
    *ret_all = true;
    return 0;
}

int rowmode_together(struct pgsink *s, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    bool all = false;

    if (rm->aside_count > GROUP_MAX)
        return 0;
    struct account *deltas = mem_alloc(s->rule_count * sizeof(*deltas));
    for (size_t i = 0; i < s->rule_count; i++)
        deltas[i] = s->rules[i].delta;

    int failed = session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_group", reterr);
    if (!failed) {
        struct err said = {0};
        failed = try_group(s, &all, &said);
        if (failed && said.class == ERR_POISON) /* a stand-in was refused */
            failed = 0, all = false;
        else if (failed)
            *reterr = said;
    }
    if (!failed && all) {
        failed = row_savepoint_end(s, reterr) ||
                 session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_group", reterr);
    } else if (!failed) {
        rm->savepoint = false;
        for (size_t i = 0; i < s->rule_count; i++)
            s->rules[i].delta = deltas[i];
        parents_forget(s->parents);
        failed = session_run(s, "going back to a savepoint",
                             "ROLLBACK TO SAVEPOINT pgrekey_group; RELEASE SAVEPOINT pgrekey_group", reterr);
    }
    free(deltas);
    return failed ? -1 : 0;
}
