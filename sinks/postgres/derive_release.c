/* Derived rows that refer to rows which are about to go: they let go of them, and their keys run again.
 *
 * A reference that may be NULL becomes NULL; a row that cannot stand without it is deleted, its own children first.
 * What the query then gives for their keys, now that the parent is not there, is what stands: an orphan waits in
 * quarantine, a row with another parent comes back. pgrekey.derived tells a row's key.
 */
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive_work.h"

#define DEPTH_MAX 32

/* The column of a plain reference to the table; NULL where the foreign key is none. */
static const struct column *reference_to(const struct relation *relation, size_t fk, const char *schema,
                                         const char *table)
{
    const struct foreign_key *key = &relation->fks[fk];

    if (key->count != 1 || strcmp(key->parent_table, table) != 0 || strcmp(key->parent_schema, schema) != 0)
        return NULL;
    return &relation->columns[key->columns[0]];
}

static bool is_key_column(const struct derive_one *one, const char *name)
{
    for (size_t i = 0; i < one->derivation->key_count; i++)
        if (strcmp(one->derivation->keys[i].column, name) == 0)
            return true;
    return false;
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
    buf_printf(&sql, " CROSS JOIN LATERAL json_populate_record(NULL::pg_temp.pgrekey_k%d, json_build_object(",
               one->derivation->index);
    for (size_t i = 0; i < one->part_count; i++)
        buf_printf(&sql, "%s'k%zu', x.key::json -> %zu", i ? ", " : "", i, i);
    buf_printf(&sql, ")) AS k WHERE %s", condition);
    failed = derive_sql(s, one, &sql, param_count, params, ret_count, reterr);
    buf_done(&sql);
    one->keys += *ret_count;
    one->kept += *ret_count;
    return failed;
}

static int release(struct pgsink *s, const char *schema, const char *table, const char *rows, int param_count,
                   const char *const *params, int depth, struct err *reterr);

/* Rows of `one` whose `column` refers to rows that go. */
static int release_reference(struct pgsink *s, struct derive_one *one, const struct column *column, const char *rows,
                             int param_count, const char *const *params, int depth, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    bool stays = !column->not_null && !is_key_column(one, column->name);
    struct buf condition, sql, name;
    int64_t count = 0;
    int failed;

    buf_init(&name, 1024);
    pg_put_ident(&name, column->name);
    buf_init(&condition, DERIVE_SQL_MAX);
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&condition, "t.%s IN (%s)", buf_text(&name), rows);
    failed = run_again(s, one, session_text(&condition), param_count, params, &count, reterr) ||
             (count &&
              touched_where(s, d->to_schema, d->to_table, one, session_text(&condition), param_count, params, reterr));
    if (!failed && count && !stays && d->key_count == 1) {
        buf_puts(&sql, "SELECT t.");
        derive_put_column(&sql, d->keys[0].column);
        buf_printf(&sql, " FROM %s AS t WHERE %s", one->table, session_text(&condition));
        failed = release(s, d->to_schema, d->to_table, session_text(&sql), param_count, params, depth + 1, reterr);
        buf_reset(&sql);
    }
    if (!failed && count) {
        if (stays)
            buf_printf(&sql, "UPDATE %s AS t SET %s = NULL WHERE %s", one->table, buf_text(&name),
                       session_text(&condition));
        else
            buf_printf(&sql, "DELETE FROM %s AS t WHERE %s", one->table, session_text(&condition));
        failed = derive_sql(s, one, &sql, param_count, params, NULL, reterr);
    }
    buf_done(&name);
    buf_done(&sql);
    buf_done(&condition);
    return failed ? -1 : 0;
}

static int release(struct pgsink *s, const char *schema, const char *table, const char *rows, int param_count,
                   const char *const *params, int depth, struct err *reterr)
{
    if (depth == DEPTH_MAX)
        return err_set(reterr, ERR_POISON, "derived rows refer to one another without end");
    for (size_t i = 0; i < s->derive->count; i++) {
        struct derive_one *one = &s->derive->all[i];
        for (size_t f = 0; one->linked && f < one->relation->fk_count; f++) {
            const struct column *column = reference_to(one->relation, f, schema, table);
            if (column && release_reference(s, one, column, rows, param_count, params, depth, reterr))
                return -1;
        }
    }
    return 0;
}

int derive_release(struct pgsink *s, const char *schema, const char *table, const char *rows, int param_count,
                   const char *const *params, struct err *reterr)
{
    return s->derive ? release(s, schema, table, rows, param_count, params, 0, reterr) : 0;
}
