/* What a derived row that leaves because its parent is not there brings back when it returns: columns that the
 * application owns, and what is written once.
 *
 *     parked, or released from a parent that goes ─▶ pgrekey_p<d> ─▶ quarantine.target_row ─▶ the row inserted again
 *                                                         └── where the same transaction brings it back ──▶
 */
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/park.h"

int derive_keep_parked(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    int index = one->derivation->index;
    int64_t kept = 0;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "INSERT INTO pgrekey_p%d SELECT r.kt, ", index);
    park_put_kept(&sql, one->relation, "t");
    buf_printf(&sql, " FROM pgrekey_r%d AS r JOIN %s AS t ON ", index, one->table);
    derive_put_match(&sql, one, "t", "r");
    buf_puts(&sql, " WHERE r.act = 'p'");
    failed = derive_sql(s, one, &sql, 0, NULL, &kept, reterr);
    buf_done(&sql);
    one->keeps |= kept > 0;
    return failed;
}

int derive_keep_released(struct pgsink *s, struct derive_one *one, const char *condition, const char *ids,
                         struct err *reterr)
{
    int64_t kept = 0;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "INSERT INTO pgrekey_p%d SELECT x.key, ", one->derivation->index);
    park_put_kept(&sql, one->relation, "t");
    buf_printf(&sql, " FROM %s AS t JOIN pgrekey.derived AS x ON x.derivation = %s AND x.row = ", one->table, one->id);
    derive_put_row_text(&sql, one, "t");
    buf_printf(&sql, " WHERE %s", condition);
    failed = derive_sql(s, one, &sql, 1, &ids, &kept, reterr);
    buf_done(&sql);
    one->keeps |= kept > 0;
    return failed;
}

void derive_put_kept(struct buf *sql, const struct derive_one *one, const char *key)
{
    if (one->keeps)
        buf_printf(sql, "(SELECT p.kept FROM pgrekey_p%d AS p WHERE p.kt = %s LIMIT 1)", one->derivation->index, key);
    else
        buf_puts(sql, "NULL::jsonb");
}

/* --- the way back --- */

static const struct derivation_column *own_column(const struct derive_one *one, const char *name)
{
    for (size_t i = 0; i < one->column_count; i++)
        if (strcmp(one->columns[i].name, name) == 0)
            return &one->columns[i];
    return NULL;
}

/* Rules, and other derivations, that write the column. */
static bool is_others(const struct pgsink *s, const struct derive_one *one, const char *name)
{
    const struct derivation *d = one->derivation;

    for (size_t i = 0; i < s->derive->count; i++) {
        const struct derive_one *other = &s->derive->all[i];
        if (other != one && strcmp(other->derivation->to_table, d->to_table) == 0 &&
            strcmp(other->derivation->to_schema, d->to_schema) == 0 && own_column(other, name))
            return true;
    }
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *rule = s->rules[r].target.rule;
        for (size_t c = 0; c < rule->column_count && strcmp(rule->to_table, d->to_table) == 0 &&
                           strcmp(rule->to_schema, d->to_schema) == 0;
             c++)
            if (strcmp(rule->columns[c].name, name) == 0)
                return true;
    }
    return false;
}

static bool is_key(const struct derive_one *one, const char *name)
{
    for (size_t i = 0; i < one->derivation->key_count; i++)
        if (strcmp(one->derivation->keys[i].column, name) == 0)
            return true;
    return false;
}

/* "a = o.a, meta = coalesce(o.meta, '{}') || coalesce(t.meta, '{}')"; false where nothing comes back. */
static bool put_list(struct buf *sql, const struct pgsink *s, const struct derive_one *one)
{
    size_t count = 0;

    for (size_t i = 0; i < one->relation->column_count; i++) {
        const struct column *column = &one->relation->columns[i];
        const struct derivation_column *own = own_column(one, column->name);
        struct buf name;

        if (column->generated || column->identity_always || is_key(one, column->name) ||
            (own && !own->once && !own->merge) || is_others(s, one, column->name))
            continue;
        buf_init(&name, 1024);
        derive_put_column(&name, column->name);
        buf_printf(sql, "%s%s = ", count++ ? ", " : "", buf_text(&name));
        if (own && own->merge)
            buf_printf(sql, "coalesce(o.%s, '{}') || coalesce(t.%s, '{}')", buf_text(&name), buf_text(&name));
        else
            park_put_back(sql, column, "o");
        buf_done(&name);
    }
    return count > 0;
}

int derive_restore(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, one->derivation->name};
    struct buf sql;
    int failed = 0;

    if (!one->derivation->owns_rows || (!one->keeps && one->standing == 0))
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "UPDATE %s AS t SET ", one->table);
    if (put_list(&sql, s, one)) {
        buf_printf(&sql, " FROM pgrekey_r%d AS r CROSS JOIN LATERAL (SELECT coalesce(", one->derivation->index);
        derive_put_kept(&sql, one, "r.kt");
        buf_printf(&sql,
                   ", (SELECT q.target_row FROM pgrekey.quarantine AS q WHERE q.pipeline = $1 AND q.rule = $2 AND "
                   "q.key = r.kt AND q.status <> 'resolved')) AS kept) AS k CROSS JOIN LATERAL "
                   "jsonb_populate_record(NULL::%s, k.kept) AS o WHERE r.act = 'i' AND k.kept IS NOT NULL AND ",
                   one->table);
        derive_put_match(&sql, one, "t", "r");
        failed = derive_sql(s, one, &sql, 2, params, NULL, reterr);
    }
    buf_done(&sql);
    return failed;
}

int derive_forget_kept(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct err *reterr)
{
    int index = one->derivation->index;
    struct buf sql;
    int failed;

    if (!one->keeps)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "DELETE FROM pgrekey_p%d AS p USING pgrekey_w%d AS w WHERE p.kt = w.kt AND ", index, index);
    derive_put_range(&sql, range, "w");
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}
