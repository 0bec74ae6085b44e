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
    const struct derive_one *one = &s->derive->all[at->kind == STEP_DERIVATION ? at->index : 0];

    return at->kind == STEP_DERIVATION && at->level == level && !one->derivation->skip && !one->rests;
}

static void set_fresh(struct pgsink *s, const char *schema, const char *table, bool fresh)
{
    for (size_t d = 0; d < s->derive->count; d++)
        for (size_t i = 0; i < s->derive->all[d].input_count; i++)
            if (touched_is_on(&s->derive->all[d].inputs[i], schema, table))
                s->derive->all[d].inputs[i].fresh = fresh;
}

static void forget_loaded(struct pgsink *s, int level)
{
    for (size_t i = 0; i < s->derive->step_count; i++) {
        const struct map_step *at = &s->derive->steps[i];
        const struct rule *rule = at->kind == STEP_RULE ? s->rules[at->index].target.rule : NULL;
        if (rule && at->level == level)
            set_fresh(s, rule->to_schema, rule->to_table, false);
    }
}

static void forget_all(struct pgsink *s)
{
    for (size_t d = 0; d < s->derive->count; d++)
        for (size_t i = 0; i < s->derive->all[d].input_count; i++)
            s->derive->all[d].inputs[i].fresh = false;
}

/* What was just loaded, or derived, has no statistics. A table that is not ours to analyse is left as it is. */
static int analyse_inputs(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    for (size_t i = 0; i < one->input_count; i++) {
        struct buf sql;
        int failed;

        if (one->inputs[i].fresh)
            continue;
        buf_init(&sql, DERIVE_SQL_MAX);
        buf_printf(&sql, "ANALYZE %s", one->inputs[i].table);
        failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
        buf_done(&sql);
        if (failed)
            return -1;
        set_fresh(s, one->inputs[i].input->schema, one->inputs[i].input->table, true);
    }
    return 0;
}

/* Rows that it puts off to the end are few. */
static int derive_one_of_all(struct pgsink *s, int index, struct err *reterr)
{
    struct derive_one *one = &s->derive->all[index];

    if (analyse_inputs(s, one, reterr) || derive_all(s, index, reterr))
        return -1;
    set_fresh(s, one->derivation->to_schema, one->derivation->to_table, false);
    return 0;
}

/* Those chosen, by step, inside the open transaction. What one of them writes is no news to those behind it. */
static int derive_chosen(struct pgsink *s, const bool *chosen, struct err *reterr)
{
    for (size_t i = 0; i < s->derive->step_count; i++)
        if (chosen[i])
            s->derive->all[s->derive->steps[i].index].later = true;
    for (size_t i = 0; i < s->derive->step_count; i++) {
        int index = s->derive->steps[i].index;
        if (!chosen[i])
            continue;
        s->derive->all[index].later = false;
        if (derive_one_of_all(s, index, reterr))
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

/* A load goes through all levels: those above this one are still to come. */
static void put_off_levels_above(struct pgsink *s, int level, bool off)
{
    for (size_t i = 0; i < s->derive->step_count; i++) {
        const struct map_step *step = &s->derive->steps[i];
        if (step->kind == STEP_DERIVATION && step->level > level)
            s->derive->all[step->index].later = off && is_on_level(s, i, step->level);
    }
}

int pgsink_derive_all(struct sink *sink, int level, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    size_t count = s->derive ? s->derive->step_count : 0;
    bool any = false, *chosen = mem_zalloc(count + 1, sizeof(*chosen));

    for (size_t i = 0; i < count; i++)
        any |= chosen[i] = is_on_level(s, i, level);
    if (s->derive)
        forget_loaded(s, level);
    if (any)
        put_off_levels_above(s, level, true);
    int failed = any ? derive_level(s, chosen, reterr) : 0;
    for (size_t i = 0; s->derive && i < s->derive->count; i++)
        s->derive->all[i].later = false;
    free(chosen);
    if (failed) {
        forget_all(s);
        session_rollback(s);
    }
    return failed;
}

/* --- those that are due --- */

/* One that is new to the pipeline, or computes its rows otherwise than it did. *ret_due: their names; NULL where the
 * mapping has no derivations. */
static int ask_due(struct pgsink *s, PGresult **ret_due, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};

    *ret_due = NULL;
    if (!s->derive)
        return 0;
    return session_query(s, "reading the mapping's record",
                         "SELECT step FROM pgrekey.mapping_step WHERE pipeline = $1 AND kind = 'derivation' "
                         "AND state IN ('new', 'changed')",
                         1, params, ret_due, reterr);
}

static bool is_due(const PGresult *due, const char *name)
{
    for (int n = 0; n < PQntuples(due); n++)
        if (strcmp(PQgetvalue(due, n, 0), name) == 0)
            return true;
    return false;
}

static int put_current(struct pgsink *s, const char *name, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, name};

    return session_query(s, "recording the mapping",
                         "UPDATE pgrekey.mapping_step SET state = 'current' WHERE pipeline = $1 AND step = $2", 2,
                         params, NULL, reterr);
}

/* A skipped one is not run, whatever its record says; one that rests stays due. */
static int run_due(struct pgsink *s, const PGresult *due, struct err *reterr)
{
    bool *chosen = mem_zalloc(s->derive->step_count + 1, sizeof(*chosen));
    bool any = false;
    int failed = session_begin(s, reterr);

    forget_all(s);
    for (size_t i = 0; !failed && i < s->derive->step_count; i++) {
        const struct map_step *step = &s->derive->steps[i];
        const struct derive_one *one = step->kind == STEP_DERIVATION ? &s->derive->all[step->index] : NULL;
        if (!one || one->rests || !is_due(due, one->derivation->name))
            continue;
        any |= chosen[i] = !one->derivation->skip;
        failed = put_current(s, one->derivation->name, reterr);
    }
    failed = failed || (any && derive_chosen(s, chosen, reterr)) || session_commit(s, reterr);
    for (size_t i = 0; i < s->derive->count; i++)
        s->derive->all[i].later = false;
    free(chosen);
    if (failed)
        session_rollback(s);
    return failed ? -1 : 0;
}

int pgsink_derive_due(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    PGresult *due = NULL;

    if (ask_due(s, &due, reterr))
        return -1;
    int failed = PQntuples(due) ? run_due(s, due, reterr) : 0;
    PQclear(due);
    return failed;
}

int pgsink_derive_rest(struct sink *sink, int level, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    PGresult *due = NULL;

    if (ask_due(s, &due, reterr))
        return -1;
    for (size_t i = 0; due && i < s->derive->step_count; i++) {
        const struct map_step *step = &s->derive->steps[i];
        if (step->kind == STEP_DERIVATION && step->level > level && is_due(due, derive_name(s, (size_t)step->index)))
            s->derive->all[step->index].rests = true;
    }
    PQclear(due);
    return 0;
}

const char *derive_table(const struct pgsink *s, size_t index)
{
    const struct derive_one *one = &s->derive->all[index];
    return one->derivation->owns_rows ? one->table : NULL;
}
