#include "sinks/postgres/steps/returned.h"

#include <stdlib.h>

#include "sinks/postgres/session/session.h"

#define SQL_MAX ((size_t)1 << 20)

static bool is_read_anew(const struct row *row, const struct rule *rule)
{
    return row->rule == rule && row->born && row->locator && row->change->op == CHANGE_READ;
}

/* SELECT k.n FROM unnest($1::int[], …) WITH ORDINALITY AS k (c0, …, n) WHERE EXISTS (SELECT FROM t WHERE …) */
static void put_question(struct buf *sql, const struct target *target)
{
    const struct rule *rule = target->rule;

    buf_puts(sql, "SELECT k.n FROM unnest(");
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_printf(sql, "%s$%zu::%s[]", c ? ", " : "", c + 1, target->types[rule->locator[c]]);
    buf_puts(sql, ") WITH ORDINALITY AS k (");
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_printf(sql, "c%zu, ", c);
    buf_printf(sql, "n) WHERE EXISTS (SELECT FROM %s AS t WHERE ", target->table);
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_printf(sql, "%st.%s = k.c%zu", c ? " AND " : "", target->columns[rule->locator[c]], c);
    buf_puts(sql, ")");
}

static int ask(struct pgsink *s, const struct rule *rule, struct buf *arrays, PGresult **ret_result, struct err *reterr)
{
    const char **params = mem_alloc((rule->locator_count + 1) * sizeof(*params));
    struct buf sql;

    for (size_t c = 0; c < rule->locator_count; c++)
        params[c] = session_end_array(&arrays[c]);
    buf_init(&sql, SQL_MAX);
    put_question(&sql, &rule_state_of(s, rule)->target);
    int failed = session_query(s, "looking for rows of a rule that is back", session_text(&sql),
                               (int)rule->locator_count, params, ret_result, reterr);
    buf_done(&sql);
    free(params);
    return failed;
}

static int meet(struct pgsink *s, const struct rule *rule, const struct batch *batch, struct err *reterr)
{
    struct buf *arrays = mem_zalloc(rule->locator_count + 1, sizeof(*arrays));
    struct row **asked = mem_alloc((batch->row_count + 1) * sizeof(struct row *));
    PGresult *result = NULL;
    size_t count = 0;
    int failed = 0;

    for (size_t c = 0; c < rule->locator_count; c++)
        buf_init(&arrays[c], SESSION_ARRAY_MAX);
    for (size_t i = 0; i < batch->row_count; i++) {
        struct row *row = batch->rows[i];
        if (!is_read_anew(row, rule))
            continue;
        for (size_t c = 0; c < rule->locator_count; c++)
            session_put_array_item(&arrays[c], &row->locator[c]);
        asked[count++] = row;
    }
    if (count)
        failed = ask(s, rule, arrays, &result, reterr);
    for (int i = 0; !failed && i < PQntuples(result); i++) {
        static const struct account MAPPED = {.mapped = 1};
        long at = strtol(PQgetvalue(result, i, 0), NULL, 10);
        if (at < 1 || (size_t)at > count)
            continue;
        asked[at - 1]->born = false;
        counters_add(s, rule->index, &MAPPED);
    }
    PQclear(result);
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_done(&arrays[c]);
    free(arrays);
    free(asked);
    return failed ? -1 : 0;
}

int returned_meet(struct pgsink *s, const struct batch *batch, struct err *reterr)
{
    for (size_t r = 0; r < s->rule_count; r++)
        if (s->rules[r].target.returns && meet(s, s->rules[r].target.rule, batch, reterr))
            return -1;
    return 0;
}
