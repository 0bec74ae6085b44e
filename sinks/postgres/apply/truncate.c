/* TRUNCATE of source tables: it carries no rows, so the target's are found by the columns that only rows of the source
 * have (rule->origin). Several tables of one TRUNCATE come one by one; here they go together, children first.
 */
#include "sinks/postgres/rows/rowwork.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/snapshot/parts.h"

/* A copied key tells as well as a legacy column does: whatever has it came from the source. */
static bool can_tell(const struct rule *rule)
{
    return rule->origin_count > 0 || !rule->entity;
}

/* " WHERE legacy_id IS NOT NULL" */
static void put_from_source(const struct pgsink *s, struct buf *sql, const struct target *target, const char *joining)
{
    const struct rule *rule = target->rule;
    const uint16_t *columns = rule->origin_count ? rule->origin : rule->locator;
    size_t count = rule->origin_count ? rule->origin_count : rule->locator_count;

    for (size_t i = 0; i < count; i++)
        buf_printf(sql, "%s%s IS NOT NULL", i ? " AND " : joining, target->columns[columns[i]]);
    adopted_put_ours(s, rule, "", sql);
}

/* Rows that no rule owns hold some of them. */
static int refuse_held(const struct rule *rule, struct err *reterr)
{
    if (strcmp(reterr->sqlstate, "23503") != 0)
        return -1;
    err_set(reterr, ERR_REFUSED, "TRUNCATE of %s.%s on the source: rows of %s still refer to %s.%s", rule->from_schema,
            rule->from_table, reterr->table[0] ? reterr->table : "other tables", rule->to_schema, rule->to_table);
    err_pause(reterr, "truncate");
    return err_hint(reterr, "remove those rows on the target, then resume");
}

static int remove_rows(struct pgsink *s, struct target *target, int64_t *ret_removed, struct err *reterr)
{
    const struct rule *rule = target->rule;
    struct buf sql;
    PGresult *result = NULL;
    int failed;

    *ret_removed = 0;
    if (!can_tell(rule) || rule->on_delete == DELETE_KEEP || (rule->on_delete == DELETE_SET && rule->set_count == 0))
        return 0;
    buf_init(&sql, (size_t)1 << 20);
    if (target_ends(rule)) {
        put_from_source(s, &sql, target, " WHERE ");
        failed = park_rule_leaving(s, rule, session_text(&sql), reterr);
        buf_reset(&sql);
        park_settle(s);
        if (failed) {
            buf_done(&sql);
            return refuse_held(rule, reterr);
        }
    }
    if (rule->on_delete == DELETE_SET) {
        buf_printf(&sql, "UPDATE %s SET ", target->table);
        target_put_set_list(&sql, target, "");
    } else {
        buf_printf(&sql, "DELETE FROM %s", target->table);
    }
    put_from_source(s, &sql, target, " WHERE ");
    failed = session_query(s, "carrying out a TRUNCATE", session_text(&sql), 0, NULL, &result, reterr);
    if (!failed && rule->on_delete == DELETE_ROW)
        *ret_removed = strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    buf_done(&sql);
    return failed ? refuse_held(rule, reterr) : 0;
}

/* Nothing is left of the rule: its counters go to 0, whatever they were. */
static int settle_rule(struct pgsink *s, const struct rule *rule, int64_t removed, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name};
    struct account *delta = &rule_state_of(s, rule)->delta;
    PGresult *result;

    if (session_query(s, "reading the counters",
                      "SELECT mapped, quarantined, excluded, failed_deletes FROM pgrekey.counter"
                      " WHERE pipeline = $1 AND rule = $2",
                      2, params, &result, reterr))
        return -1;
    if (PQntuples(result) > 0) {
        struct account down = {.mapped = -strtoll(PQgetvalue(result, 0, 0), NULL, 10) - delta->mapped,
                               .quarantined = -strtoll(PQgetvalue(result, 0, 1), NULL, 10) - delta->quarantined,
                               .excluded = -strtoll(PQgetvalue(result, 0, 2), NULL, 10) - delta->excluded,
                               .failed_deletes = -strtoll(PQgetvalue(result, 0, 3), NULL, 10) - delta->failed_deletes,
                               .deletes = removed};
        counters_add(s, rule->index, &down);
    }
    PQclear(result);
    if (quarantine_resolve_rule(s, rule, reterr))
        return -1;
    return session_query(s, "clearing a rule's marks",
                         "WITH g AS (DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2)"
                         " DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2",
                         2, params, NULL, reterr);
}

/* All rows that came from the source, as they stand: for whoever derives from them. */
static int touch_rows(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    const struct target *target = &rule_state_of(s, rule)->target;
    struct buf sql;
    int failed;

    if (!derive_reads(s, rule) || !can_tell(rule))
        return 0;
    buf_init(&sql, (size_t)1 << 20);
    buf_puts(&sql, "true");
    put_from_source(s, &sql, target, " AND ");
    failed = derive_touch_where(s, rule->to_schema, rule->to_table, session_text(&sql), 0, NULL, reterr);
    buf_done(&sql);
    return failed;
}

static int truncate_rule(struct pgsink *s, const struct row *row, struct err *reterr)
{
    const struct rule *rule = row->rule;
    int64_t removed;

    if (touch_rows(s, rule, reterr) || remove_rows(s, &rule_state_of(s, rule)->target, &removed, reterr) ||
        (row->change->commit_lsn && parts_undo(s, rule, row->change->commit_lsn, reterr)))
        return -1;
    if (rule->on_delete == DELETE_SET && touch_rows(s, rule, reterr))
        return -1;
    return settle_rule(s, rule, removed, reterr);
}

/* Does the target hold rows that the TRUNCATE means? Where no column tells, any row counts. */
static int holds_rows(struct pgsink *s, struct target *target, bool *ret_holds, struct err *reterr)
{
    struct buf sql;
    PGresult *result;
    int failed;

    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "SELECT 1 FROM %s", target->table);
    if (can_tell(target->rule))
        put_from_source(s, &sql, target, " WHERE ");
    buf_puts(&sql, " LIMIT 1");
    failed = session_query(s, "carrying out a TRUNCATE", session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (failed)
        return -1;
    *ret_holds = PQntuples(result) > 0;
    PQclear(result);
    return 0;
}

/* What may not be emptied by us pauses, until somebody else has emptied it: then there is nothing left to do. */
static int refuse_unless_empty(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    bool holds;

    if (holds_rows(s, &rule_state_of(s, rule)->target, &holds, reterr))
        return -1;
    if (!holds)
        return 0;
    err_set(reterr, ERR_REFUSED, "TRUNCATE of %s.%s on the source: rule %s %s", rule->from_schema, rule->from_table,
            rule->name,
            rule->on_truncate == TRUNCATE_PAUSE ? "pauses on it"
                                                : "has no column that tells which target rows came from the source");
    err_pause(reterr, "truncate");
    return err_hint(reterr, "remove its rows from %s.%s by hand, then resume", rule->to_schema, rule->to_table);
}

int rowmode_truncate(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    const int *order = map_rule_order(s->options.map);

    if (s->deferrable && session_run(s, "carrying out a TRUNCATE", "SET CONSTRAINTS ALL IMMEDIATE", reterr))
        return -1;
    for (size_t i = 0; i < count; i++) {
        const struct rule *rule = rows[i]->rule;
        if ((rule->on_truncate == TRUNCATE_PAUSE || !can_tell(rule)) && refuse_unless_empty(s, rule, reterr))
            return -1;
    }
    parents_forget(s->parents);
    for (size_t at = s->rule_count; at-- > 0;)
        for (size_t i = 0; i < count; i++)
            if (rows[i]->rule->index == order[at] && truncate_rule(s, rows[i], reterr))
                return -1;
    return 0;
}
