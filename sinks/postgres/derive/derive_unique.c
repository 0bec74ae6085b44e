/* Unique values that rows of one derivation hand to each other: one statement cannot, for each row is checked as it is
 * written. So whoever gives a value up that another of them takes lets go of it first.
 *
 *     a: x -> y    b: y -> x      UPDATE .. SET email = NULL of both      then as usual
 */
#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"

/* The index's only column, where it is the derivation's to write and may be NULL: its place among the owned ones. */
static int unique_column(const struct derive_one *one, const struct unique_index *unique)
{
    if (unique->partial_or_expression || unique->deferrable || unique->primary || unique->count != 1)
        return -1;
    for (size_t i = 0; i < one->column_count; i++)
        if (derive_column(one, i) == &one->relation->columns[unique->columns[0]] && !one->columns[i].once &&
            !derive_column(one, i)->not_null)
            return (int)i;
    return -1;
}

static int release(struct pgsink *s, struct derive_one *one, size_t i, struct err *reterr)
{
    int index = one->derivation->index;
    struct buf sql, name;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_init(&name, 1024);
    derive_put_column(&name, one->columns[i].name);
    buf_printf(&sql, "UPDATE %s AS t SET %s = NULL FROM pgrekey_r%d AS r WHERE r.act = 'u' AND ", one->table,
               buf_text(&name), index);
    derive_put_match(&sql, one, "t", "r");
    buf_printf(&sql, " AND t.%s IS NOT NULL AND t.%s IS DISTINCT FROM r.c%zu", buf_text(&name), buf_text(&name), i);
    buf_printf(&sql, " AND EXISTS (SELECT FROM pgrekey_r%d AS o WHERE o.act = 'u' AND o.n <> r.n AND o.c%zu = t.%s)",
               index, i, buf_text(&name));
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&name);
    buf_done(&sql);
    return failed;
}

int derive_release_unique(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    for (size_t u = 0; u < one->relation->unique_count; u++) {
        int column = unique_column(one, &one->relation->uniques[u]);

        if (column >= 0 && release(s, one, (size_t)column, reterr))
            return -1;
    }
    return 0;
}
