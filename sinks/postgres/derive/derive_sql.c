/* Names and pieces of SQL that derivations are made of.
 *
 *   pgrekey_k<d>   k0, k1 …                       keys as they come, doubles included
 *   pgrekey_w<d>   n, kt, k0, k1 …                the keys of a run: distinct, numbered, kt as the quarantine names
 * them pgrekey_r<d>   n, kt, t0 …, c0 …, cat, act    the result: the target row's key, the owned columns, why it is
 * rejected, what is to be done: '=' nothing, 'u'pdate, 'i'nsert, 'g'one pgrekey_o<d>_<input> old images, where
 * `columns:` wants them compared with the new ones
 *
 * All are temporary, made when they are first needed, and stay; what is left in them is deleted before they are used
 * again. ON COMMIT DELETE ROWS would truncate all of them at each commit that touches one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"

void derive_put_range(struct buf *sql, const struct derive_range *range, const char *alias)
{
    if (range->whole)
        buf_puts(sql, "true");
    else
        buf_printf(sql, "%s.n BETWEEN %" PRId64 " AND %" PRId64, alias, range->lo, range->hi);
}

void derive_put_column(struct buf *sql, const char *name)
{
    pg_put_ident(sql, name);
}

const struct column *derive_column(const struct derive_one *one, size_t i)
{
    int column = relation_column(one->relation, one->columns[i].name);
    return &one->relation->columns[column];
}

void derive_put_match(struct buf *sql, const struct derive_one *one, const char *target, const char *result)
{
    for (size_t i = 0; i < one->derivation->key_count; i++) {
        buf_printf(sql, "%s%s.", i ? " AND " : "", target);
        derive_put_column(sql, one->derivation->keys[i].column);
        buf_printf(sql, " = %s.t%zu", result, i);
    }
}

void derive_put_id(struct buf *sql, const struct derive_one *one, size_t i, const char *alias)
{
    const struct derivation_key *key = &one->derivation->keys[i];
    size_t first = 0;

    for (size_t before = 0; before < i; before++)
        first += one->derivation->keys[before].part_count;
    if (!key->entity) {
        buf_printf(sql, "%s.k%zu", alias, first);
        return;
    }
    buf_puts(sql, "pgrekey.id(");
    pg_put_literal(sql, key->entity);
    for (size_t p = 0; p < key->part_count; p++)
        buf_printf(sql, ", %s.k%zu::text", alias, first + p);
    buf_puts(sql, ")");
}

void derive_put_key_text(struct buf *sql, const struct derive_one *one, const char *alias)
{
    for (size_t i = 0; i < one->part_count; i++)
        buf_printf(sql, "%s to_json(%s.k%zu::text)::text", i ? " || ',' ||" : "'[' ||", alias, i);
    buf_puts(sql, " || ']'");
}

void derive_put_read_key(struct buf *sql, const struct derive_one *one, const char *json)
{
    buf_printf(sql, "json_populate_record(NULL::pg_temp.pgrekey_k%d, json_build_object(", one->derivation->index);
    for (size_t i = 0; i < one->part_count; i++)
        buf_printf(sql, "%s'k%zu', %s -> %zu", i ? ", " : "", i, json, i);
    buf_puts(sql, ")) AS k");
}

void derive_put_row_text(struct buf *sql, const struct derive_one *one, const char *alias)
{
    for (size_t i = 0; i < one->derivation->key_count; i++) {
        buf_printf(sql, "%s%s.", i ? " || ',' || " : "", alias);
        derive_put_column(sql, one->derivation->keys[i].column);
        buf_puts(sql, "::text");
    }
}

void derive_put_result_text(struct buf *sql, const struct derive_one *one, const char *alias)
{
    for (size_t i = 0; i < one->derivation->key_count; i++)
        buf_printf(sql, "%s%s.t%zu::text", i ? " || ',' || " : "", alias, i);
}

void derive_put_keys(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                     const char *touched)
{
    size_t count = one->part_count;

    buf_puts(sql, "SELECT ");
    for (size_t i = 0; i < count; i++)
        buf_printf(sql, "%sq.k%zu", i ? ", " : "", i);
    buf_printf(sql, " FROM (WITH touched AS NOT MATERIALIZED (%s) SELECT * FROM (%s\n) AS s) AS q (", touched,
               input->input->keys);
    for (size_t i = 0; i < count; i++)
        buf_printf(sql, "%sk%zu", i ? ", " : "", i);
    buf_puts(sql, ")");
    for (size_t i = 0; i < count; i++)
        buf_printf(sql, " %s q.k%zu IS NOT NULL", i ? "AND" : "WHERE", i);
}

bool derive_has_equality(const char *type)
{
    static const char *const without[] = {"json", "json[]", "xml", "xml[]", "point", "point[]", "polygon", "polygon[]"};

    for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++)
        if (strcmp(type, without[i]) == 0)
            return false;
    return true;
}

int derive_sql(struct pgsink *s, struct derive_one *one, struct buf *sql, int param_count, const char *const *params,
               int64_t *ret_affected, struct err *reterr)
{
    PGresult *result = NULL;
    struct err said = {0};
    char doing[ERR_TEXT_MAX / 4];

    snprintf(doing, sizeof(doing), "derivation %.100s", one->derivation->name);
    int failed = derive_query(s, doing, session_text(sql), param_count, params, &result, &said);
    if (ret_affected)
        *ret_affected = failed ? 0 : strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    buf_reset(sql);
    if (failed && reterr)
        *reterr = said;
    return failed;
}

int derive_run_sql(struct pgsink *s, struct derive_one *one, struct buf *sql, struct err *reterr)
{
    char doing[ERR_TEXT_MAX / 4];
    int failed;

    snprintf(doing, sizeof(doing), "derivation %.100s", one->derivation->name);
    failed = session_run(s, doing, session_text(sql), reterr);
    buf_reset(sql);
    return failed;
}

/* --- temporary tables --- */

/* The keys' types are what the inputs' SQL gives together. */
static void put_keys_table(struct buf *sql, const struct derive_one *one)
{
    struct buf touched;

    buf_printf(sql, "CREATE TEMP TABLE IF NOT EXISTS pgrekey_k%d AS ", one->derivation->index);
    for (size_t i = 0; i < one->input_count; i++) {
        buf_init(&touched, DERIVE_SQL_MAX);
        buf_printf(&touched, "SELECT * FROM %s", one->inputs[i].table);
        buf_puts(sql, i ? " UNION ALL (" : "(");
        derive_put_keys(sql, one, &one->inputs[i], buf_text(&touched));
        buf_puts(sql, ")");
        buf_done(&touched);
    }
    buf_puts(sql, " WITH NO DATA; ");
}

static void put_result_table(struct buf *sql, const struct derive_one *one)
{
    const struct derivation *d = one->derivation;

    buf_printf(sql,
               "CREATE TEMP TABLE IF NOT EXISTS pgrekey_w%d (n bigint, kt text, LIKE pgrekey_k%d) ; CREATE TEMP TABLE "
               "IF NOT EXISTS pgrekey_r%d (n bigint, kt text",
               d->index, d->index, d->index);
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(sql, ", t%zu %s", i, one->relation->columns[relation_column(one->relation, d->keys[i].column)].type);
    for (size_t i = 0; i < one->column_count; i++)
        buf_printf(sql, ", c%zu %s", i, derive_column(one, i)->type);
    buf_puts(sql, ", cat text, parent_table text, parent_id text, act \"char\"); ");
    buf_printf(sql,
               "CREATE TEMP TABLE IF NOT EXISTS pgrekey_g%d (LIKE pgrekey_r%d); CREATE TEMP TABLE IF NOT EXISTS "
               "pgrekey_p%d (kt text, kept jsonb); CREATE INDEX IF NOT EXISTS pgrekey_pk%d ON pgrekey_p%d (kt)",
               d->index, d->index, d->index, d->index, d->index);
}

void derive_put_small(struct buf *sql, const struct derive_one *one, const char *tables)
{
    for (const char *t = tables; *t; t++) /* keys may be there already, and none of them is NULL */
        buf_printf(sql, "; INSERT INTO pgrekey_%c%d DEFAULT VALUES; ANALYZE pgrekey_%c%d; DELETE FROM pgrekey_%c%d%s",
                   *t, one->derivation->index, *t, one->derivation->index, *t, one->derivation->index,
                   *t == 'k' ? " WHERE k0 IS NULL" : "");
}

/* --- what the query gives --- */

static bool is_key(const struct derive_one *one, const char *name)
{
    for (size_t i = 0; i < one->derivation->key_count; i++)
        if (strcmp(one->derivation->keys[i].column, name) == 0)
            return true;
    return false;
}

/* What the mapping says of a column, where it says something (a list that a NULL name ends). */
static struct derivation_column said_of(const struct derivation *d, const char *name)
{
    for (const struct derivation_column *c = d->columns; c && c->name; c++)
        if (strcmp(c->name, name) == 0)
            return *c;
    return (struct derivation_column){0};
}

/* Every column of the result that the target has, and that is not the key's, is the derivation's own. */
static void take_columns(struct derive_one *one, const PGresult *result)
{
    int count = PQnfields(result);

    free(one->columns);
    one->columns = mem_zalloc((size_t)count + 1, sizeof(*one->columns));
    one->column_count = 0;
    for (int i = 0; i < count; i++) {
        int column = relation_column(one->relation, PQfname(result, i));
        if (column < 0 || one->relation->columns[column].generated || is_key(one, PQfname(result, i)))
            continue;
        struct derivation_column own = said_of(one->derivation, PQfname(result, i));
        own.name = one->relation->columns[column].name;
        one->columns[one->column_count++] = own;
    }
}

static int describe(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;
    int failed;

    if (one->described)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "WITH keys AS (SELECT ");
    for (size_t i = 0; i < one->part_count; i++) {
        buf_printf(&sql, "%sk%zu AS ", i ? ", " : "", i);
        derive_put_column(&sql, one->parts[i]);
    }
    buf_printf(&sql, " FROM pgrekey_k%d) SELECT * FROM (%s\n) AS q LIMIT 0", one->derivation->index,
               one->derivation->query);
    failed = session_query(s, "describing a derivation", session_text(&sql), 0, NULL, &result, reterr);
    if (!failed)
        take_columns(one, result);
    one->described = !failed;
    PQclear(result);
    buf_done(&sql);
    return failed ? err_wrap(reterr, "derivation %s", one->derivation->name) : 0;
}

int derive_make(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    struct buf sql;
    int failed;

    if (one->made)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    put_keys_table(&sql, one);
    failed = derive_run_sql(s, one, &sql, reterr) || describe(s, one, reterr);
    if (!failed) {
        put_result_table(&sql, one);
        derive_put_small(&sql, one, "kwr");
        failed = derive_run_sql(s, one, &sql, reterr);
    }
    buf_done(&sql);
    one->made = !failed;
    return failed ? -1 : 0;
}
