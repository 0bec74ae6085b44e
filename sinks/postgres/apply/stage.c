#include "sinks/postgres/apply/stage.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sinks/postgres/apply/copyin.h"
#include "sinks/postgres/session/session.h"

#define SQL_MAX ((size_t)1 << 20)
/* Rows of earlier chunks that the table may hold before it is emptied inside a transaction. */
#define STAGED_MAX 50000

static int stage_make(struct pgsink *s, size_t r, struct err *reterr)
{
    const struct target *target = &s->rules[r].target;
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "CREATE TEMP TABLE IF NOT EXISTS pgrekey_stage_%zu (n bigint", r);
    for (size_t i = 0; i < target->rule->column_count; i++)
        buf_printf(&sql, ", c%zu %s", i, target->types[i]);
    buf_puts(&sql, ") ON COMMIT DELETE ROWS");
    rc = session_run(s, "making a staging table", session_text(&sql), reterr);
    buf_done(&sql);
    return rc;
}

/* The table as it must be for the next rows: there, and not too full. Rows are numbered on through the whole
 * transaction, so that those of an earlier chunk are never taken for this one's, even where emptying was undone. */
static int stage_ready(struct pgsink *s, size_t r, struct err *reterr)
{
    struct rule_state *rule = &s->rules[r];
    char sql[64];

    if (!rule->stage_made) {
        if (stage_make(s, r, reterr))
            return -1;
        rule->stage_made = true;
    }
    if (rule->staged <= STAGED_MAX)
        return 0;
    snprintf(sql, sizeof(sql), "TRUNCATE pgrekey_stage_%zu", r);
    rule->staged = 0;
    return session_run(s, "emptying a staging table", sql, reterr);
}

static int stage_fill(struct pgsink *s, size_t r, const struct target_statement *statement,
                      const struct row *const *rows, const struct value *const *locators, size_t count,
                      struct err *reterr)
{
    const struct rule *rule = s->rules[r].target.rule;
    size_t column_count = rule->locator_count + statement->count;
    struct value *values = arena_alloc(&s->scratch, column_count * sizeof(*values));
    struct buf sql;
    int64_t copied;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "COPY pgrekey_stage_%zu (n", r);
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(&sql, ", c%u", rule->locator[i]);
    for (size_t i = 0; i < statement->count; i++)
        buf_printf(&sql, ", c%u", statement->columns[i]);
    buf_puts(&sql, ") FROM STDIN");
    rc = copyin_begin(s, session_text(&sql), reterr);
    buf_done(&sql);
    if (rc)
        return -1;
    for (size_t row = 0; row < count; row++) {
        for (size_t i = 0; i < rule->locator_count; i++)
            values[i] = locators[row][i];
        for (size_t i = 0; i < statement->count; i++)
            values[rule->locator_count + i] = rows[row]->values[statement->columns[i]];
        copyin_row(s, s->rules[r].stage_next + (int64_t)row, values, NULL, column_count);
    }
    return copyin_end(s, &copied, reterr);
}

static void put_match(struct buf *sql, const struct target *target)
{
    for (size_t i = 0; i < target->rule->locator_count; i++)
        buf_printf(sql, " AND t.%s = s.c%u", target->columns[target->rule->locator[i]], target->rule->locator[i]);
}

static int stage_apply(struct pgsink *s, size_t r, const struct target_statement *statement, int64_t *ret_affected,
                       struct err *reterr)
{
    const struct target *target = &s->rules[r].target;
    PGresult *result = NULL;
    struct buf sql;
    char value[24];
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "UPDATE %s AS t SET ", target->table);
    for (size_t i = 0; i < statement->count; i++) {
        snprintf(value, sizeof(value), "s.c%u", statement->columns[i]);
        buf_printf(&sql, "%s%s = ", i ? ", " : "", target->columns[statement->columns[i]]);
        target_put_value(&sql, target, statement->columns[i], "t", value);
    }
    buf_printf(&sql, " FROM pgrekey_stage_%zu AS s WHERE s.n >= %" PRId64, r, s->rules[r].stage_next);
    put_match(&sql, target);
    rc = session_query(s, "updating rows", session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    *ret_affected = rc == 0 ? strtoll(PQcmdTuples(result), NULL, 10) : 0;
    PQclear(result);
    return rc;
}

static int stage_unmatched(struct pgsink *s, size_t r, size_t count, uint32_t **ret_unmatched,
                           size_t *ret_unmatched_count, struct err *reterr)
{
    const struct target *target = &s->rules[r].target;
    PGresult *result = NULL;
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "SELECT s.n FROM pgrekey_stage_%zu AS s WHERE s.n >= %" PRId64 " AND NOT EXISTS (SELECT FROM %s "
               "AS t WHERE true",
               r, s->rules[r].stage_next, target->table);
    put_match(&sql, target);
    buf_puts(&sql, ") ORDER BY 1");
    rc = session_query(s, "looking for rows", session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    *ret_unmatched = arena_alloc(&s->scratch, (count + 1) * sizeof(**ret_unmatched));
    *ret_unmatched_count = 0;
    for (int i = 0; rc == 0 && i < PQntuples(result); i++) {
        int64_t at = strtoll(PQgetvalue(result, i, 0), NULL, 10) - s->rules[r].stage_next;
        if (at >= 0 && (size_t)at < count && *ret_unmatched_count < count)
            (*ret_unmatched)[(*ret_unmatched_count)++] = (uint32_t)at;
    }
    PQclear(result);
    return rc;
}

int stage_update(struct pgsink *s, size_t r, const struct target_statement *statement, const struct row *const *rows,
                 const struct value *const *locators, size_t count, uint32_t **ret_unmatched,
                 size_t *ret_unmatched_count, struct err *reterr)
{
    int64_t affected;
    int rc = 0;

    *ret_unmatched_count = 0;
    if (stage_ready(s, r, reterr) || stage_fill(s, r, statement, rows, locators, count, reterr) ||
        stage_apply(s, r, statement, &affected, reterr))
        return -1;
    if ((size_t)affected > count)
        rc = err_set(reterr, ERR_POISON, "rule %s: more than one row of the target answers to a locator",
                     s->rules[r].target.rule->name);
    else if ((size_t)affected < count)
        rc = stage_unmatched(s, r, count, ret_unmatched, ret_unmatched_count, reterr);
    s->rules[r].staged += (int64_t)count;
    s->rules[r].stage_next += (int64_t)count;
    return rc;
}

void stage_rolled_back(struct pgsink *s)
{
    for (size_t i = 0; i < s->rule_count; i++)
        s->rules[i].stage_made = false;
}

void stage_ended(struct pgsink *s)
{
    for (size_t i = 0; i < s->rule_count; i++)
        s->rules[i].staged = s->rules[i].stage_next = 0;
}
