/* References of derived rows that the engine checks: with or without a foreign key, the parent must stand.
 *
 * A required one that is missing rejects the key (orphan_reference); an optional one becomes NULL and is noted in
 * pgrekey.pending_reference. Who owns the parent, a rule or a derivation, makes no difference.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"

static const struct place *find_parent(const struct pgsink *s, const struct derive_one *one, const char *column)
{
    for (size_t i = 0; i < s->references.derived_count; i++) {
        const struct derived_reference *reference = &s->references.derived[i];
        if (reference->mapped && reference->derivation == (size_t)one->derivation->index &&
            strcmp(reference->column, column) == 0)
            return &s->references.places[reference->place];
    }
    return NULL;
}

/* "r.cat IS NULL AND r.c2 IS NOT NULL AND NOT EXISTS (SELECT FROM … AS p WHERE p.id = r.c2)" */
static void put_missing_in(struct buf *sql, const struct derive_one *one, const struct place *parent, const char *value,
                           const char *result)
{
    const struct derivation *d = one->derivation;

    buf_printf(sql, "r.cat IS NULL AND r.%s IS NOT NULL AND NOT EXISTS (SELECT FROM %s AS p WHERE p.%s = r.%s%s)",
               value, parent->table, parent->column, value, parent->stands);
    if (d->owns_rows && d->key_count == 1 && strcmp(parent->name, d->to_table) == 0 &&
        strcmp(parent->schema, d->to_schema) == 0) /* its own kind: it may come with it */
        buf_printf(sql, " AND NOT EXISTS (SELECT FROM %s AS o WHERE o.t0 = r.%s AND o.cat IS NULL)", result, value);
}

static void put_missing(struct buf *sql, const struct derive_one *one, const struct place *parent, const char *value)
{
    char result[32];

    snprintf(result, sizeof(result), "pgrekey_r%d", one->derivation->index);
    put_missing_in(sql, one, parent, value, result);
}

/* *ret_missing grows by the keys that wait. */
static int require(struct pgsink *s, struct derive_one *one, const char *column, const char *value,
                   int64_t *ret_missing, struct err *reterr)
{
    const struct place *parent = find_parent(s, one, column);
    int64_t missing = 0;
    struct buf sql;
    int failed;

    if (!parent)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "UPDATE pgrekey_r%d AS r SET cat = 'orphan_reference', parent_table = ", one->derivation->index);
    pg_put_literal(&sql, parent->label);
    buf_printf(&sql, ", parent_id = r.%s::text WHERE ", value);
    put_missing(&sql, one, parent, value);
    failed = derive_sql(s, one, &sql, 0, NULL, &missing, reterr);
    buf_done(&sql);
    *ret_missing += missing;
    s->references.places[parent - s->references.places].waiting += missing;
    return failed;
}

static int forget_pending(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                          struct err *reterr)
{
    const char *params[] = {s->options.pipeline, one->derivation->name};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "DELETE FROM pgrekey.pending_reference AS p USING pgrekey_w%d AS w WHERE p.pipeline = $1 AND p.rule = "
               "$2 AND p.key = w.kt AND ",
               one->derivation->index);
    derive_put_range(&sql, range, "w");
    failed = derive_sql(s, one, &sql, 2, params, NULL, reterr);
    buf_done(&sql);
    return failed;
}

static int leave_null(struct pgsink *s, struct derive_one *one, const struct derivation_column *column,
                      const char *value, struct err *reterr)
{
    const struct place *parent = find_parent(s, one, column->name);
    const char *params[] = {s->options.pipeline, one->derivation->name, column->name, column->parent_entity,
                            parent ? parent->label : NULL};
    int64_t noted = 0;
    struct buf sql;
    int failed;

    if (!parent)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "INSERT INTO pgrekey.pending_reference (pipeline, rule, key, column_name, parent_entity, parent_table, "
               "parent_id) SELECT DISTINCT $1, $2, r.kt, $3, $4, $5, r.%s::text FROM pgrekey_r%d AS r WHERE ",
               value, one->derivation->index);
    put_missing(&sql, one, parent, value);
    buf_puts(&sql, " ON CONFLICT DO NOTHING");
    failed = derive_sql(s, one, &sql, 5, params, &noted, reterr);
    s->references.places[parent - s->references.places].pending += noted;
    if (!failed && noted) {
        buf_printf(&sql, "UPDATE pgrekey_r%d AS r SET %s = NULL WHERE ", one->derivation->index, value);
        put_missing(&sql, one, parent, value);
        failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    }
    buf_done(&sql);
    return failed;
}

int derive_parents(struct pgsink *s, struct derive_one *one, const struct derive_range *range, int64_t *ret_missing,
                   struct err *reterr)
{
    const struct derivation *d = one->derivation;
    bool optional = false;
    char value[24];

    *ret_missing = 0;

    for (size_t i = 0; i < d->key_count; i++) {
        snprintf(value, sizeof(value), "t%zu", i);
        if (d->keys[i].entity && d->keys[i].reference && require(s, one, d->keys[i].column, value, ret_missing, reterr))
            return -1;
    }
    for (size_t i = 0; i < one->column_count; i++) {
        snprintf(value, sizeof(value), "c%zu", i);
        optional |= one->columns[i].parent_entity && !one->columns[i].required;
        if (one->columns[i].parent_entity && one->columns[i].required &&
            require(s, one, one->columns[i].name, value, ret_missing, reterr))
            return -1;
    }
    if (optional && forget_pending(s, one, range, reterr))
        return -1;
    for (size_t i = 0; optional && i < one->column_count; i++) {
        snprintf(value, sizeof(value), "c%zu", i);
        if (one->columns[i].parent_entity && !one->columns[i].required &&
            leave_null(s, one, &one->columns[i], value, reterr))
            return -1;
    }
    return 0;
}

/* --- for who only asks --- */

static bool put_orphan(const struct pgsink *s, struct buf *sql, const struct derive_one *one, const char *column,
                       const char *value, const char *result, bool first)
{
    const struct place *parent = find_parent(s, one, column);

    if (!parent)
        return false;
    buf_puts(sql, first ? "(" : " OR (");
    put_missing_in(sql, one, parent, value, result);
    buf_putc(sql, ')');
    return true;
}

bool derive_put_orphans(const struct pgsink *s, struct buf *sql, const struct derive_one *one, const char *result)
{
    const struct derivation *d = one->derivation;
    bool any = false;
    char value[24];

    for (size_t i = 0; i < d->key_count; i++) {
        snprintf(value, sizeof(value), "t%zu", i);
        if (d->keys[i].entity && d->keys[i].reference)
            any |= put_orphan(s, sql, one, d->keys[i].column, value, result, !any);
    }
    for (size_t i = 0; i < one->column_count; i++) {
        snprintf(value, sizeof(value), "c%zu", i);
        if (one->columns[i].parent_entity)
            any |= put_orphan(s, sql, one, one->columns[i].name, value, result, !any);
    }
    return any;
}

bool derive_has_pending(const struct pgsink *s, const struct derive_one *one)
{
    for (size_t i = 0; i < one->column_count; i++) {
        const struct place *parent = one->columns[i].parent_entity ? find_parent(s, one, one->columns[i].name) : NULL;
        if (parent && parent->pending > 0)
            return true;
    }
    return false;
}
