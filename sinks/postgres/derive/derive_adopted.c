/* Rows that the target held before, and that are a derivation's by their legacy key.
 *
 * A key that no snapshot finds a good row for, because it waits for its parent or is rejected (`row: gone`), has no row
 * while streaming; so the row that stands of it goes here, and of a key that waits it is kept for its return. Rows
 * whose key the source does not have stay as they are: no derivation hears of them.
 *
 *     behind the last level ─▶ such keys become keys that once had a row ─▶ they run again, all together, as after a
 * change
 *
 * At the end and together, because whoever refers to such a row may be on a later level, and goes before it.
 */
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/derive/derive_work.h"

/* "SELECT FROM pgrekey.adopted AS a WHERE … AND a.id = ": what follows is an id of that entity. */
static void put_unmet(struct buf *sql, const struct pgsink *s, const char *entity)
{
    buf_puts(sql, "SELECT FROM pgrekey.adopted AS a WHERE a.pipeline = ");
    pg_put_literal(sql, s->options.pipeline);
    buf_puts(sql, " AND a.entity = ");
    pg_put_literal(sql, entity);
    buf_puts(sql, " AND a.met = '{}' AND a.id = ");
}

static void put_seen(struct buf *sql, const struct pgsink *s, const char *entity, const char *column)
{
    buf_puts(sql, " AND NOT EXISTS (");
    put_unmet(sql, s, entity);
    buf_puts(sql, "t.");
    derive_put_column(sql, column);
    buf_putc(sql, ')');
}

void derive_put_seen(struct buf *sql, const struct pgsink *s, const struct derive_input *input)
{
    const struct map *map = s->options.map;

    buf_puts(sql, "true");
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct rule *rule = map_rule(map, i);
        if (rule->adopt.by != ADOPT_NONE && rule->entity && touched_is_on(input, rule->to_schema, rule->to_table))
            put_seen(sql, s, rule->entity, rule->columns[rule->entity_column].name);
    }
    for (size_t i = 0; i < s->derive->count; i++) {
        const struct derive_one *one = &s->derive->all[i];
        const struct derivation *d = one->derivation;
        if (derive_adopts(one) && touched_is_on(input, d->to_schema, d->to_table))
            put_seen(sql, s, d->entity, d->keys[0].column);
    }
}

/* The entity whose rows the derivation owns columns of, where some of them were there before; else NULL. */
static const char *adopting_entity(const struct pgsink *s, const struct derive_one *one)
{
    const struct derivation *d = one->derivation;
    const struct map *map = s->options.map;

    for (size_t i = 0; !d->owns_rows && d->key_count == 1 && i < map_rule_count(map); i++) {
        const struct rule *rule = map_rule(map, i);
        if (rule->adopt.by != ADOPT_NONE && rule->entity && strcmp(rule->to_table, d->to_table) == 0 &&
            strcmp(rule->to_schema, d->to_schema) == 0 && d->keys[0].entity &&
            strcmp(rule->entity, d->keys[0].entity) == 0)
            return rule->entity;
    }
    return NULL;
}

int derive_forget_unmet(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const char *entity = adopting_entity(s, one);
    struct buf sql;
    int failed;

    if (!entity)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "DELETE FROM pgrekey_r%d AS r WHERE EXISTS (", one->derivation->index);
    put_unmet(&sql, s, entity);
    buf_puts(&sql, "r.t0)");
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}

/* Its quarantined keys whose row was there before and stands become known as its own, and are to run. */
static int take_keys(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    const char *params[] = {s->options.pipeline, d->name, d->entity, one->id};
    int64_t taken = 0;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "WITH stands AS MATERIALIZED (SELECT q.key, a.id, a.derived FROM pgrekey.quarantine AS q CROSS JOIN "
                   "LATERAL ");
    derive_put_read_key(&sql, one, "q.key::json");
    buf_printf(&sql, " JOIN pgrekey.adopted AS a ON a.pipeline = $1 AND a.entity = $3 AND a.met = '{}' AND a.id = ");
    derive_put_id(&sql, one, 0, "k");
    buf_printf(&sql,
               " WHERE q.pipeline = $1 AND q.rule = $2 AND q.op <> 'D' AND q.status NOT IN ('resolved', 'discarded')%s "
               "AND EXISTS (SELECT FROM %s AS t WHERE t.",
               d->reject_gone ? "" : " AND q.waits_id IS NOT NULL", one->table);
    derive_put_column(&sql, d->keys[0].column);
    buf_puts(&sql, " = a.id)), met AS (UPDATE pgrekey.adopted AS a SET met = array_append(a.met, $2) FROM stands "
                   "WHERE a.pipeline = $1 AND a.derived = stands.derived), known AS (INSERT INTO pgrekey.derived "
                   "(derivation, key, good, row) SELECT $4::integer, key, false, ");
    buf_puts(&sql, one->linked ? "id::text" : "NULL");
    buf_printf(&sql,
               " FROM stands ON CONFLICT DO NOTHING) INSERT INTO pgrekey_k%d SELECT k.* FROM stands CROSS JOIN "
               "LATERAL ",
               d->index);
    derive_put_read_key(&sql, one, "stands.key::json");
    failed = derive_sql(s, one, &sql, 4, params, &taken, reterr);
    buf_done(&sql);
    one->keys += taken;
    one->kept += taken;
    return failed;
}

static int settle(struct pgsink *s, struct err *reterr)
{
    for (size_t i = 0; i < s->derive->count; i++) {
        struct derive_one *one = &s->derive->all[i];
        if (one->derivation->owns_rows && one->standing > 0 && !one->derivation->skip && !one->rests &&
            derive_adopts(one) && (derive_make(s, one, reterr) || take_keys(s, one, reterr)))
            return -1;
    }
    return derive_run(s, NULL, reterr) ? -1 : 0;
}

int derive_settle_adopted(struct pgsink *s, struct err *reterr)
{
    if (!s->derive || adopter_count(s->options.map) == 0)
        return 0;
    if (session_begin(s, reterr))
        return -1;
    s->derive->again = true;
    int failed = settle(s, reterr);
    s->derive->again = false;
    if (!failed) {
        derive_stands(s);
        failed = counters_flush(s, reterr) || session_commit(s, reterr);
    }
    if (failed)
        session_rollback(s);
    return failed ? -1 : 0;
}
