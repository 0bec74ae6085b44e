#include "sinks/postgres/apply/fastpath.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/uuid.h"
#include "sinks/postgres/apply/copyin.h"
#include "sinks/postgres/apply/stage.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/parents/pending.h"
#include "sinks/postgres/session/pipe.h"
#include "sinks/postgres/session/session.h"

/* Fewer rows than this go as single statements. */
#define FEW 16
#define SQL_MAX ((size_t)1 << 20)

/* Entries of one rule that get the same treatment. */
struct group {
    uint32_t *entries;
    size_t count;
};

static struct group group_new(struct pgsink *s, size_t r)
{
    size_t most = s->net->rules[r].entry_count;
    return (struct group){.entries = arena_alloc(&s->scratch, (most + 1) * sizeof(uint32_t))};
}

/* The entries of `from` (one rule's), of one action or for one op, as single statements in one round trip.
 * *ret_affected: their sum; each one's in affected[] where not NULL. */
static int write_few(struct pgsink *s, size_t r, enum target_op op, const struct group *group, int64_t *affected,
                     int64_t *ret_affected, struct err *reterr)
{
    struct target *target = &s->rules[r].target;
    size_t index[FEW];
    struct pipe pipe;

    *ret_affected = 0;
    if (pipe_begin(&pipe, s, reterr))
        return -1;
    for (size_t i = 0; i < group->count; i++) {
        const struct net_entry *entry = &s->net->entries[group->entries[i]];
        struct target_statement *statement = target_statement(target, op, entry->row->values);
        const char *const *params;
        int count = target_bind(statement, entry->row, entry->locator, &s->scratch, &params);

        index[i] = pipe_execute(&pipe, statement, count, params);
    }
    if (pipe_end(&pipe))
        return -1;
    for (size_t i = 0; i < group->count; i++) {
        *ret_affected += pipe.affected[index[i]];
        if (affected)
            affected[i] = pipe.affected[index[i]];
    }
    return 0;
}

/* --- order --- */

#define NEAR_BITS 12
#define NEAR_FROM 256 /* fewer are not worth the trouble */

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* The first bits of a UUID as the server prints it. */
static unsigned uuid_prefix(const struct value *uuid)
{
    return (hex_digit(uuid->text[0]) << 8 | hex_digit(uuid->text[1]) << 4 | hex_digit(uuid->text[2])) &
           ((1u << NEAR_BITS) - 1);
}

/* UUIDs lie scattered over the whole index. Written in their own order, by a counting sort over their first bits, rows
 * that share an index page follow each other and find it in the processor's cache. */
static void bring_near(struct pgsink *s, size_t r, struct group *group)
{
    const struct target *target = &s->rules[r].target;
    uint32_t *starts, *sorted;

    if (group->count < NEAR_FROM || target->rule->locator_count != 1 ||
        strcmp(target->types[target->rule->locator[0]], "uuid") != 0)
        return;
    starts = arena_zalloc(&s->scratch, (1u << NEAR_BITS) + 1, sizeof(*starts));
    sorted = arena_alloc(&s->scratch, group->count * sizeof(*sorted));
    for (size_t i = 0; i < group->count; i++) {
        const struct value *locator = s->net->entries[group->entries[i]].locator;
        if (locator->state != VALUE_TEXT || locator->len != UUID_TEXT_LEN)
            return;
        starts[uuid_prefix(locator) + 1]++;
    }
    for (size_t i = 0; i < 1u << NEAR_BITS; i++)
        starts[i + 1] += starts[i];
    for (size_t i = 0; i < group->count; i++)
        sorted[starts[uuid_prefix(s->net->entries[group->entries[i]].locator)]++] = group->entries[i];
    group->entries = sorted;
}

/* --- deletes --- */

/* " FROM|USING unnest($1::uuid[], ..) AS k (c1, ..) WHERE t.a = k.c1 AND .." or, for one column, "= ANY". */
static void put_locator_join(struct buf *sql, const struct target *target, const char *joining)
{
    const struct rule *rule = target->rule;

    if (rule->locator_count == 1) {
        buf_printf(sql, " WHERE %s = ANY ($1::%s[])", target->columns[rule->locator[0]],
                   target->types[rule->locator[0]]);
        return;
    }
    buf_printf(sql, " %s unnest(", joining);
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(sql, "%s$%zu::%s[]", i ? ", " : "", i + 1, target->types[rule->locator[i]]);
    buf_puts(sql, ") AS k (");
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(sql, "%sc%zu", i ? ", " : "", i);
    buf_putc(sql, ')');
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(sql, "%st.%s = k.c%zu", i ? " AND " : " WHERE ", target->columns[rule->locator[i]], i);
}

/* A statement over the locators of a group, as arrays. */
static int run_over_locators(struct pgsink *s, size_t r, const struct group *group, const char *sql,
                             int64_t *ret_affected, struct err *reterr)
{
    const struct rule *rule = s->rules[r].target.rule;
    const char **params = arena_alloc(&s->scratch, rule->locator_count * sizeof(*params));
    struct buf *arrays = arena_alloc(&s->scratch, rule->locator_count * sizeof(*arrays));
    PGresult *result = NULL;
    int rc;

    for (size_t c = 0; c < rule->locator_count; c++) {
        buf_init(&arrays[c], SESSION_ARRAY_MAX);
        for (size_t i = 0; i < group->count; i++)
            session_put_array_item(&arrays[c], &s->net->entries[group->entries[i]].locator[c]);
        params[c] = session_end_array(&arrays[c]);
    }
    rc = session_query(s, "deleting rows", sql, (int)rule->locator_count, params, &result, reterr);
    *ret_affected = rc == 0 ? strtoll(PQcmdTuples(result), NULL, 10) : 0;
    PQclear(result);
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_done(&arrays[c]);
    return rc;
}

static int delete_group(struct pgsink *s, size_t r, const struct group *group, int64_t *ret_affected,
                        struct err *reterr)
{
    const struct target *target = &s->rules[r].target;
    enum target_op op = target->rule->on_delete == DELETE_SET ? TARGET_SET : TARGET_DELETE;
    struct buf sql;
    int rc;

    *ret_affected = 0;
    if (op == TARGET_SET && target->rule->set_count == 0)
        return 0;
    if (group->count < FEW)
        return write_few(s, r, op, group, NULL, ret_affected, reterr);
    buf_init(&sql, SQL_MAX);
    if (op == TARGET_SET) {
        buf_printf(&sql, "UPDATE %s AS t SET ", target->table);
        target_put_set_list(&sql, target, "t.");
        put_locator_join(&sql, target, "FROM");
    } else {
        buf_printf(&sql, "DELETE FROM %s AS t", target->table);
        put_locator_join(&sql, target, "USING");
    }
    rc = run_over_locators(s, r, group, session_text(&sql), ret_affected, reterr);
    buf_done(&sql);
    return rc;
}

/* The source rows are gone and their target rows stay. */
static int note_gone(struct pgsink *s, size_t r, const struct group *group, struct err *reterr)
{
    const char *params[3] = {s->options.pipeline, s->rules[r].target.rule->name, NULL};
    struct buf array;
    int rc;

    buf_init(&array, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < group->count; i++) {
        const char *key = park_key(s->net->entries[group->entries[i]].row, &s->scratch);
        struct value value = {.text = key, .len = (uint32_t)strlen(key), .state = VALUE_TEXT};
        session_put_array_item(&array, &value);
    }
    params[2] = session_end_array(&array);
    s->rules[r].gone += (int64_t)group->count;
    rc = session_query(s, "noting deleted rows",
                       "INSERT INTO pgrekey.gone (pipeline, rule, key) SELECT $1, $2, unnest($3::text[]) "
                       "ON CONFLICT DO NOTHING",
                       3, params, NULL, reterr);
    buf_done(&array);
    return rc;
}

/* What was there before the chunk counted as mapped where the row was on the target, else as excluded by rule. So does
 * a row that returns until it is inserted: it may go aside for a parent before that, and row mode finds it gone. Of a
 * replay nothing counts as excluded. */
static void count_deletes(const struct target *target, enum net_action action, bool counted, int64_t count,
                          int64_t affected, struct account *delta)
{
    int64_t mapped = target->may_exclude ? affected : count;

    if (counted && action == NET_EXCLUDE)
        mapped = 0;

    delta->mapped -= mapped;
    if (!target->rule->replayed) {
        delta->excluded -= count - mapped;
        if (action == NET_EXCLUDE || (action == NET_REPLACE && target->may_exclude))
            delta->excluded += count;
        else if (action == NET_REPLACE)
            delta->mapped += count;
    }
    if (action != NET_REPLACE && target->rule->on_delete == DELETE_ROW)
        delta->deletes += affected;
}

static void forget_parents(struct pgsink *s, const struct rule *rule, const struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        parents_row_deleted(s, rule, s->net->entries[group->entries[i]].locator);
}

/* A rule's deletes of one kind: each kind is counted differently, so each has a statement. */
static int write_deletes(struct pgsink *s, size_t r, enum net_action action, struct account *delta, struct err *reterr)
{
    const struct rule *rule = s->rules[r].target.rule;
    struct group group = group_new(s, r);
    int64_t affected = 0;

    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
        if (net_deletes(&s->net->entries[e]) && s->net->entries[e].action == action)
            group.entries[group.count++] = e;
    if (group.count == 0)
        return 0;
    if (target_ends(rule) && park_group_leaving(s, r, group.entries, group.count, reterr))
        return -1;
    if (rule->on_delete != DELETE_KEEP && delete_group(s, r, &group, &affected, reterr))
        return -1;
    if (rule->on_delete != DELETE_ROW && note_gone(s, r, &group, reterr))
        return -1;
    forget_parents(s, rule, &group);
    /* a resync's rows are never among others */
    bool counted = target_counted(&s->rules[r].target, s->net->entries[group.entries[0]].row->change);
    count_deletes(&s->rules[r].target, action, counted, (int64_t)group.count, affected, delta);
    return 0;
}

/* --- updates --- */

/* Rows of an update that met none: whole ones are new here, partial ones go to row mode, which has them completed. So
 * do all where rows have left with their parents: this may be one of them, and then an entry stands for it. */
static int take_unmatched(struct pgsink *s, const struct chunk_plan *plan, uint32_t e, struct group *inserts,
                          struct account *delta, struct err *reterr)
{
    struct net_entry *entry = &s->net->entries[e];

    if (plan->strict)
        return err_set(reterr, ERR_POISON, "a deleted row may have taken another with it");
    if (entry->row->partial || park_departures(s) != plan->departures) {
        netchange_set_aside(s->net, e);
        return 0;
    }
    inserts->entries[inserts->count++] = e;
    const struct target *target = &s->rules[entry->row->rule->index].target;
    if (target->may_exclude && !target_counted(target, entry->row->change)) {
        delta->mapped++;
        delta->excluded -= !target->rule->replayed;
    }
    return 0;
}

static int update_few(struct pgsink *s, size_t r, const struct chunk_plan *plan, const struct group *group,
                      struct group *inserts, struct account *delta, struct err *reterr)
{
    int64_t affected[FEW], sum;

    if (write_few(s, r, TARGET_UPDATE, group, affected, &sum, reterr))
        return -1;
    for (size_t i = 0; i < group->count; i++)
        if (affected[i] == 0 && take_unmatched(s, plan, group->entries[i], inserts, delta, reterr))
            return -1;
    return 0;
}

static int update_many(struct pgsink *s, size_t r, const struct chunk_plan *plan, struct target_statement *statement,
                       const struct group *group, struct group *inserts, struct account *delta, struct err *reterr)
{
    const struct row **rows = arena_alloc(&s->scratch, group->count * sizeof(*rows));
    const struct value **locators = arena_alloc(&s->scratch, group->count * sizeof(*locators));
    uint32_t *unmatched;
    size_t unmatched_count;

    for (size_t i = 0; i < group->count; i++) {
        rows[i] = s->net->entries[group->entries[i]].row;
        locators[i] = s->net->entries[group->entries[i]].locator;
    }
    if (stage_update(s, r, statement, rows, locators, group->count, &unmatched, &unmatched_count, reterr))
        return -1;
    for (size_t i = 0; i < unmatched_count; i++)
        if (take_unmatched(s, plan, group->entries[unmatched[i]], inserts, delta, reterr))
            return -1;
    return 0;
}

/* The statement of each entry; NULL where nothing is to be set. */
static struct target_statement **statements_of(struct pgsink *s, struct target *target, const struct group *group)
{
    struct target_statement **statements = arena_alloc(&s->scratch, group->count * sizeof(*statements));

    struct target_statement *whole = NULL; /* of rows that hold everything: one for all of them */

    for (size_t i = 0; i < group->count; i++) {
        const struct row *row = s->net->entries[group->entries[i]].row;
        statements[i] = !row->partial && whole ? whole : target_statement(target, TARGET_UPDATE, row->values);
        if (!row->partial)
            whole = statements[i];
    }
    return statements;
}

/* Updates that set the same columns go together; nearly always there is one such group. */
static int write_updates(struct pgsink *s, size_t r, const struct chunk_plan *plan, struct group *inserts,
                         struct account *delta, struct err *reterr)
{
    struct target *target = &s->rules[r].target;
    struct group all = group_new(s, r), group = group_new(s, r);
    struct target_statement **statements;
    bool *taken;

    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
        if (net_updates(&s->net->entries[e]))
            all.entries[all.count++] = e;
    if (all.count == 0)
        return 0;
    bring_near(s, r, &all);
    statements = statements_of(s, target, &all);
    taken = arena_zalloc(&s->scratch, all.count, sizeof(*taken));
    for (size_t at = 0; at < all.count; at++) {
        struct target_statement *statement = statements[at];

        if (!statement) { /* taken already; or nothing to set, and then only a look tells whether the row is there */
            if (target->may_exclude && !taken[at])
                netchange_set_aside(s->net, all.entries[at]);
            continue;
        }
        group.count = 0;
        for (size_t i = at; i < all.count; i++) {
            if (statements[i] != statement)
                continue;
            group.entries[group.count++] = all.entries[i];
            statements[i] = NULL;
            taken[i] = true;
        }
        if (group.count < FEW ? update_few(s, r, plan, &group, inserts, delta, reterr)
                              : update_many(s, r, plan, statement, &group, inserts, delta, reterr))
            return -1;
    }
    return 0;
}

/* --- inserts --- */

static int copy_rows(struct pgsink *s, size_t r, struct group *group, struct err *reterr)
{
    const struct target *target = &s->rules[r].target;
    struct buf sql;
    int64_t rows;
    int rc;

    if (group->count < FEW)
        return write_few(s, r, TARGET_INSERT, group, NULL, &rows, reterr);
    bring_near(s, r, group);
    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "COPY %s (%s) FROM STDIN", target->table, target->column_list);
    rc = copyin_begin(s, session_text(&sql), reterr);
    buf_done(&sql);
    if (rc)
        return -1;
    for (size_t i = 0; i < group->count; i++)
        copyin_row(s, -1, s->net->entries[group->entries[i]].row->values, NULL, target->rule->column_count);
    return copyin_end(s, &rows, reterr);
}

static int write_inserts(struct pgsink *s, size_t r, struct group *group, struct err *reterr)
{
    const struct row **rows;

    if (group->count == 0)
        return 0;
    if (copy_rows(s, r, group, reterr))
        return -1;
    for (size_t i = 0; i < group->count; i++)
        park_row_arrived(s, s->net->entries[group->entries[i]].row);
    if (!s->waking)
        return 0;
    rows = arena_alloc(&s->scratch, group->count * sizeof(*rows));
    for (size_t i = 0; i < group->count; i++)
        rows[i] = s->net->entries[group->entries[i]].row;
    return park_restore(s, rows, group->count, reterr);
}

static int write_rows(struct pgsink *s, size_t r, const struct chunk_plan *plan, struct account *delta,
                      struct err *reterr)
{
    const bool may_exclude = s->rules[r].target.may_exclude, replayed = s->rules[r].target.rule->replayed;
    struct group inserts = group_new(s, r);

    if (write_updates(s, r, plan, &inserts, delta, reterr))
        return -1;
    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next) {
        const struct net_entry *entry = &s->net->entries[e];
        if (!net_inserts(entry))
            continue;
        inserts.entries[inserts.count++] = e;
        delta->mapped += entry->action == NET_INSERT || may_exclude;
        delta->excluded -= entry->action == NET_REPLACE && may_exclude && !replayed;
    }
    return write_inserts(s, r, &inserts, reterr);
}

/* --- the whole --- */

/* Entries that only count. */
static void count_only(const struct pgsink *s, size_t rule_index, struct account *delta)
{
    for (uint32_t e = s->net->rules[rule_index].first; e != NET_NONE; e = s->net->entries[e].next)
        delta->excluded += !s->net->entries[e].aside && s->net->entries[e].action == NET_EXCLUDED;
}

/* Children first. `late`: rules whose rows derived ones refer to; their deletes come when those have gone. */
static int write_all_deletes(struct pgsink *s, bool late, struct account *deltas, struct err *reterr)
{
    static const enum net_action DELETES[] = {NET_DELETE, NET_REPLACE, NET_EXCLUDE};
    const int *order = map_rule_order(s->options.map);

    for (size_t i = s->rule_count; i-- > 0;) {
        size_t r = (size_t)order[i];
        for (size_t a = 0; s->net->rules[r].hashed && a < 3; a++)
            if ((derive_holds(s, r) && DELETES[a] != NET_REPLACE) == late &&
                write_deletes(s, r, DELETES[a], &deltas[r], reterr))
                return -1;
    }
    return 0;
}

static int write_rule(struct pgsink *s, size_t r, struct chunk_plan *plan, struct account *delta, struct err *reterr)
{
    if (s->net->rules[r].entry_count == 0)
        return 0;
    count_only(s, r, delta);
    return derive_leave_planner(s, reterr) || chunk_plan_late(s, plan, r, reterr) ||
                   write_rows(s, r, plan, delta, reterr) || derive_after(s, s->rules[r].target.rule, reterr)
               ? -1
               : 0;
}

int fastpath_write(struct pgsink *s, struct chunk_plan *plan, struct account *deltas, struct err *reterr)
{
    size_t count;
    const struct map_step *steps = map_steps(s->options.map, &count);

    plan->departures = park_departures(s);
    if (derive_before(s, reterr) || derive_leave_planner(s, reterr) || write_all_deletes(s, false, deltas, reterr))
        return -1;
    if (park_departures(s) != plan->departures && chunk_plan_again(s, plan, reterr))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (steps[i].kind == STEP_RULE ? write_rule(s, (size_t)steps[i].index, plan, &deltas[steps[i].index], reterr)
                                       : derive_step(s, steps[i].index, reterr))
            return -1;
    if (derive_finish(s, reterr) || (s->derive && write_all_deletes(s, true, deltas, reterr)) ||
        derive_run(s, NULL, reterr))
        return -1;
    derive_written(s);
    if (derive_leave_planner(s, reterr))
        return -1;
    return pending_put_notes(s, plan, reterr) || park_new_rows(s, plan, deltas, reterr) ? -1 : 0;
}
