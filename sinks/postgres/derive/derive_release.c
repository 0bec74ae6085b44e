/* Derived rows that refer to rows which are about to go: they let go of them, and their keys run again. And the keys
 * that wait for rows which have come.
 *
 * A reference that may be NULL becomes NULL; a row that cannot stand without it is deleted, its own children first.
 * What the query then gives for their keys, now that the parent is not there, is what stands: an orphan waits in
 * quarantine, a row with another parent comes back. pgrekey.derived tells a row's key.
 */
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"

#define DEPTH_MAX 32

static bool is_key_column(const struct derive_one *one, const char *name)
{
    for (size_t i = 0; i < one->derivation->key_count; i++)
        if (strcmp(one->derivation->keys[i].column, name) == 0)
            return true;
    return false;
}

static bool is_own(const struct derive_one *one, const char *name)
{
    for (size_t i = 0; i < one->column_count; i++)
        if (strcmp(one->columns[i].name, name) == 0)
            return true;
    return one->derivation->owns_rows && is_key_column(one, name);
}

/* The keys of the rows under the condition. */
static int run_again(struct pgsink *s, struct derive_one *one, const char *condition, int param_count,
                     const char *const *params, int64_t *ret_count, struct err *reterr)
{
    struct buf sql;
    int failed;

    if (derive_make(s, one, reterr) || derive_ask_id(s, one, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "INSERT INTO pgrekey_k%d SELECT k.* FROM %s AS t JOIN pgrekey.derived AS x ON x.derivation = %s AND "
               "x.row = ",
               one->derivation->index, one->table, one->id);
    derive_put_row_text(&sql, one, "t");
    buf_puts(&sql, " CROSS JOIN LATERAL ");
    derive_put_read_key(&sql, one, "x.key::json");
    buf_printf(&sql, " WHERE %s", condition);
    failed = derive_sql(s, one, &sql, param_count, params, ret_count, reterr);
    buf_done(&sql);
    one->keys += *ret_count;
    one->kept += *ret_count;
    return failed;
}

/* Rows that refer to the children leave before these. */
static int leave_below(struct pgsink *s, struct derive_one *one, const char *condition, const char *ids, int ways,
                       struct err *reterr)
{
    const struct derivation *d = one->derivation;

    for (size_t i = 0; i < d->key_count; i++) {
        struct buf rows;
        int failed;

        buf_init(&rows, DERIVE_SQL_MAX);
        buf_puts(&rows, "(SELECT t.");
        derive_put_column(&rows, d->keys[i].column);
        buf_printf(&rows, " FROM %s AS t WHERE %s)", one->table, condition);
        failed =
            park_leaving(s, d->to_schema, d->to_table, session_text(&rows), d->keys[i].column, 1, &ids, ways, reterr);
        buf_done(&rows);
        if (failed)
            return -1;
    }
    return 0;
}

/* The children under the condition: without the reference, or without the row. */
static int let_go(struct pgsink *s, struct derive_one *one, const char *name, bool stays, const char *condition,
                  const char *ids, struct err *reterr)
{
    int64_t count = 0;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    if (stays) {
        buf_printf(&sql, "UPDATE %s AS t SET ", one->table);
        derive_put_column(&sql, name);
        buf_printf(&sql, " = NULL WHERE %s", condition);
    } else {
        buf_printf(&sql, "DELETE FROM %s AS t WHERE %s", one->table, condition);
    }
    failed = derive_sql(s, one, &sql, 1, &ids, &count, reterr);
    buf_done(&sql);
    if (stays)
        return failed;
    park_left_derived(s, (size_t)one->derivation->index, count);
    parents_forget(s->parents);
    return failed;
}

/* Of a table that several write: rows of others see to themselves. */
static void put_ours(struct buf *condition, const struct derive_one *one)
{
    buf_printf(condition,
               " AND EXISTS (SELECT FROM pgrekey.derived AS ours WHERE ours.derivation = %s AND ours.row = ", one->id);
    derive_put_row_text(condition, one, "t");
    buf_putc(condition, ')');
}

static int release_reference(struct pgsink *s, struct derive_one *one, const struct derived_reference *reference,
                             const char *ids, int ways, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    const struct column *column = &one->relation->columns[relation_column(one->relation, reference->column)];
    bool key = is_key_column(one, column->name);
    bool stays = !column->not_null && !key && !(reference->mapped && reference->required);
    struct buf condition;
    int64_t count = 0;
    int failed;

    if (derive_make(s, one, reterr) || derive_ask_id(s, one, reterr))
        return -1;
    if (!is_own(one, column->name) || (!stays && !d->owns_rows)) /* not ours to let go: the target refuses */
        return 0;
    buf_init(&condition, DERIVE_SQL_MAX);
    buf_puts(&condition, "t.");
    derive_put_column(&condition, column->name);
    buf_printf(&condition, " = ANY ($1::%s[])", column->base_type);
    put_ours(&condition, one);
    failed = run_again(s, one, session_text(&condition), 1, &ids, &count, reterr) ||
             (count && (touched_where(s, d->to_schema, d->to_table, one, session_text(&condition), 1, &ids, reterr) ||
                        (!stays && (derive_keep_released(s, one, session_text(&condition), ids, reterr) ||
                                    leave_below(s, one, session_text(&condition), ids, ways, reterr))) ||
                        let_go(s, one, column->name, stays, session_text(&condition), ids, reterr)));
    buf_done(&condition);
    return failed ? -1 : 0;
}

int derive_release(struct pgsink *s, size_t place, const char *ids, int ways, struct err *reterr)
{
    int rc = 0;

    if (!s->derive)
        return 0;
    if (s->derive->depth == DEPTH_MAX)
        return err_set(reterr, ERR_POISON, "derived rows refer to one another without end");
    s->derive->depth++;
    for (size_t i = 0; rc == 0 && i < s->references.derived_count; i++) {
        const struct derived_reference *reference = &s->references.derived[i];
        struct derive_one *one = &s->derive->all[reference->derivation];
        if (reference->place == place && !one->derivation->skip)
            rc = release_reference(s, one, reference, ids, ways, reterr);
    }
    s->derive->depth--;
    return rc;
}

/* --- parents that came --- */

/* Keys of entries that wait for them, and of rows with a note that they would refer to them. */
static int add_waiting(struct pgsink *s, struct derive_one *one, const struct place *place, const char *ids,
                       struct err *reterr)
{
    const char *params[] = {s->options.pipeline, one->derivation->name, place->label, ids};
    int64_t count = 0;
    struct buf sql;
    int failed;

    if (derive_make(s, one, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "INSERT INTO pgrekey_k%d SELECT k.* FROM (SELECT key FROM pgrekey.quarantine WHERE pipeline = $1 AND "
               "rule = $2 AND waits_table = $3 AND waits_id = ANY ($4::text[]) AND waits_id IS NOT NULL AND status IN "
               "('pending', 'in_progress', 'escalated') UNION SELECT key FROM pgrekey.pending_reference WHERE pipeline "
               "= $1 AND rule = $2 AND parent_table = $3 AND parent_id = ANY ($4::text[])) AS x CROSS JOIN LATERAL ",
               one->derivation->index);
    derive_put_read_key(&sql, one, "x.key::json");
    failed = derive_sql(s, one, &sql, 4, params, &count, reterr);
    buf_done(&sql);
    one->keys += count;
    one->kept += count;
    return failed;
}

int derive_arrived(struct pgsink *s, size_t place, const char *ids, struct err *reterr)
{
    for (size_t d = 0; s->derive && d < s->derive->count; d++) {
        bool refers = false;

        if (s->derive->all[d].derivation->skip) /* it never runs, so nothing of it waits */
            continue;
        for (size_t i = 0; i < s->references.derived_count; i++) {
            const struct derived_reference *reference = &s->references.derived[i];
            refers |= reference->derivation == d && reference->place == place && reference->mapped;
        }
        if (refers && add_waiting(s, &s->derive->all[d], &s->references.places[place], ids, reterr))
            return -1;
    }
    return 0;
}
