/* Derivations in a snapshot: level by level over all keys, and the tables that they fill, which begin empty. */
#include <string.h>

#include "sinks/postgres/derive_work.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/postgres/rowmode.h"

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

static int derive_level(struct pgsink *s, int level, struct err *reterr)
{
    if (session_begin(s, reterr))
        return -1;
    for (size_t i = 0; i < s->derive->step_count; i++) {
        int index = s->derive->steps[i].index;
        if (is_on_level(s, i, level) &&
            (analyse_inputs(s, &s->derive->all[index], reterr) || derive_all(s, index, reterr)))
            return -1;
    }
    if (derive_finish(s, reterr))
        return -1;
    derive_stands(s);
    return counters_flush(s, reterr) || session_commit(s, reterr) ? -1 : 0;
}

int pgsink_derive_all(struct sink *sink, int level, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    bool any = false;

    for (size_t i = 0; s->derive && i < s->derive->step_count; i++)
        any |= is_on_level(s, i, level);
    if (!any)
        return 0;
    if (derive_level(s, level, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

const char *derive_table(const struct pgsink *s, size_t index)
{
    const struct derive_one *one = &s->derive->all[index];
    return one->derivation->owns_rows ? one->table : NULL;
}
