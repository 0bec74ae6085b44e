/* Derivations over all keys: in a snapshot level by level, and later those that are new or were changed. And the tables
 * that they fill, which begin empty. */
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/postgres/rows/rowmode.h"

static bool is_on_level(const struct pgsink *s, size_t step, int level)
{
    const struct map_step *at = &s->derive->steps[step];
    return at->kind == STEP_DERIVATION && at->level == level && !s->derive->all[at->index].derivation->skip;
}

/* What was just loaded has no statistics. A table that is not ours to analyse is left as it is. */
static int analyse_inputs(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    for (size_t i = 0; i < one->input_count; i++) {
        struct buf sql;
        int failed;

        buf_init(&sql, DERIVE_SQL_MAX);
        buf_printf(&sql, "ANALYZE %s", one->inputs[i].table);
        failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
        buf_done(&sql);
        if (failed)
            return -1;
    }
    return 0;
}

/* Those chosen, by step, inside the open transaction. */
static int derive_chosen(struct pgsink *s, const bool *chosen, struct err *reterr)
{
    for (size_t i = 0; i < s->derive->step_count; i++) {
        int index = s->derive->steps[i].index;
        if (chosen[i] && (analyse_inputs(s, &s->derive->all[index], reterr) || derive_all(s, index, reterr)))
            return -1;
    }
    if (derive_finish(s, reterr))
        return -1;
    derive_stands(s);
    return counters_flush(s, reterr);
}

static int derive_level(struct pgsink *s, const bool *chosen, struct err *reterr)
{
    return session_begin(s, reterr) || derive_chosen(s, chosen, reterr) || session_commit(s, reterr) ? -1 : 0;
}

int pgsink_derive_all(struct sink *sink, int level, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    size_t count = s->derive ? s->derive->step_count : 0;
    bool any = false, *chosen = mem_zalloc(count + 1, sizeof(*chosen));

    for (size_t i = 0; i < count; i++)
        any |= chosen[i] = is_on_level(s, i, level);
    int failed = any ? derive_level(s, chosen, reterr) : 0;
    free(chosen);
    if (failed)
        session_rollback(s);
    return failed;
}

/* --- those that are due --- */

/* chosen by step. A skipped one is not run, whatever its record says. */
static void choose_due(const struct pgsink *s, const PGresult *due, bool *chosen)
{
    for (size_t i = 0; i < s->derive->step_count; i++) {
        const struct map_step *step = &s->derive->steps[i];
        if (step->kind != STEP_DERIVATION || s->derive->all[step->index].derivation->skip)
            continue;
        for (int n = 0; n < PQntuples(due); n++)
            chosen[i] |= strcmp(PQgetvalue(due, n, 0), derive_name(s, (size_t)step->index)) == 0;
    }
}

static int run_due(struct pgsink *s, const PGresult *due, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    bool *chosen = mem_zalloc(s->derive->step_count + 1, sizeof(*chosen));

    choose_due(s, due, chosen);
    int failed = session_begin(s, reterr) || derive_chosen(s, chosen, reterr) ||
                 session_query(s, "recording the mapping",
                               "UPDATE pgrekey.mapping_step SET state = 'current' WHERE pipeline = $1 "
                               "AND kind = 'derivation' AND state IN ('new', 'changed')",
                               1, params, NULL, reterr) ||
                 session_commit(s, reterr);
    free(chosen);
    if (failed)
        session_rollback(s);
    return failed ? -1 : 0;
}

int pgsink_derive_due(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};
    PGresult *due = NULL;

    if (!s->derive)
        return 0;
    if (session_query(s, "reading the mapping's record",
                      "SELECT step FROM pgrekey.mapping_step WHERE pipeline = $1 AND kind = 'derivation' "
                      "AND state IN ('new', 'changed')",
                      1, params, &due, reterr))
        return -1;
    int failed = PQntuples(due) ? run_due(s, due, reterr) : 0;
    PQclear(due);
    return failed;
}

const char *derive_table(const struct pgsink *s, size_t index)
{
    const struct derive_one *one = &s->derive->all[index];
    return one->derivation->owns_rows ? one->table : NULL;
}
