/* The statements of derive_quick.c.
 *
 *     pgrekey_k ─taken, distinct─▶ pgrekey_keys ─query─▶ pgrekey_result ─▶ pgrekey_decided ─▶ update, insert, derived
 *                                       └─ no result, but once written ──▶ pgrekey_lacking ─▶ delete
 *
 * All of a merge is one statement, so that its parts see the target as it was before: the old images of what it changes
 * are read in it as well.
 */
#include <stdio.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_quick_work.h"

#define KEYS_MAX (DERIVE_FEW + 1) /* so many are too many */

static const struct place *place_of(const struct pgsink *s, const struct derive_one *one, size_t key)
{
    const struct derivation *d = one->derivation;
    int place = references_find(&s->references, d->to_schema, d->to_table, d->keys[key].column);

    return place == NO_PLACE ? NULL : &s->references.places[place];
}

static bool is_awaited(const struct place *place)
{
    return place && (place->waiting > 0 || place->pending > 0);
}

unsigned derive_quick_flags(const struct pgsink *s, const struct derive_one *one)
{
    unsigned flags = one->standing > 0 ? QUICK_STANDING : 0;

    for (size_t i = 0; i < one->derivation->key_count; i++)
        flags |= is_awaited(place_of(s, one, i)) ? QUICK_AWAITED : 0;
    return flags | (derive_has_pending(s, one) ? QUICK_PENDING : 0);
}

/* --- touched rows --- */

static void put_touch(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                      const char *condition)
{
    struct buf touched;

    buf_init(&touched, DERIVE_SQL_MAX);
    buf_printf(&touched, "SELECT t.* FROM %s AS t WHERE %s", input->table, condition);
    touched_put_keys(sql, one, input, buf_text(&touched));
    buf_done(&touched);
}

static void put_keep(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                     const char *condition)
{
    char name[48];

    buf_printf(sql, "INSERT INTO %s SELECT t.* FROM %s AS t WHERE %s", touched_images(one, input, name, sizeof(name)),
               input->table, condition);
}

static void put_compare(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                        const char *condition)
{
    struct buf touched, rows;
    char name[48];

    buf_init(&touched, DERIVE_SQL_MAX);
    buf_init(&rows, DERIVE_SQL_MAX);
    buf_printf(&rows, "(SELECT t.* FROM %s AS t WHERE %s)", input->table, condition);
    touched_put_differing(&touched, input, "pgrekey_old", input->table, 'o', 'n');
    buf_puts(&touched, " UNION ALL ");
    touched_put_differing(&touched, input, buf_text(&rows), "pgrekey_old", 'n', 'o');
    buf_printf(sql, "WITH pgrekey_old AS (DELETE FROM %s RETURNING *) ",
               touched_images(one, input, name, sizeof(name)));
    touched_put_keys(sql, one, input, buf_text(&touched));
    buf_done(&rows);
    buf_done(&touched);
}

/* "(t.id) IN (SELECT r.t0 FROM <from> AS r)" */
static void put_own(struct buf *sql, const struct derivation *d, const char *from)
{
    for (size_t i = 0; i < d->key_count; i++) {
        buf_puts(sql, i ? ", t." : "(t.");
        derive_put_column(sql, d->keys[i].column);
    }
    buf_puts(sql, ") IN (SELECT ");
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(sql, "%sr.t%zu", i ? ", " : "", i);
    buf_printf(sql, " FROM %s AS r)", from);
}

/* --- the merge --- */

static void put_ids(struct buf *sql, const struct derive_one *one)
{
    for (size_t i = 0; i < one->derivation->key_count; i++) {
        buf_puts(sql, ", ");
        derive_put_id(sql, one, i, "w");
        buf_printf(sql, " AS t%zu", i);
    }
}

/* A type with a length is refused where the value is stored, for its cast cuts off; others are rounded, as storing them
 * would, to be compared with what stands. */
static bool rounds(const char *type)
{
    return strncmp(type, "character", 9) != 0 && strncmp(type, "bit", 3) != 0;
}

static void put_result(struct buf *sql, const struct derive_one *one)
{
    const struct derivation *d = one->derivation;

    buf_puts(sql, "pgrekey_result AS MATERIALIZED (SELECT w.kt");
    put_ids(sql, one);
    for (size_t i = 0; i < one->column_count; i++) {
        const struct column *column = derive_column(one, i);
        buf_puts(sql, ", ");
        derive_put_value(sql, one, i);
        if (rounds(column->base_type))
            buf_printf(sql, "::%s", column->type);
        buf_printf(sql, " AS c%zu", i);
    }
    buf_puts(sql, ", q.pgrekey_cat AS cat FROM (WITH keys AS NOT MATERIALIZED (SELECT ");
    for (size_t i = 0; i < one->part_count; i++) {
        buf_printf(sql, "%sw.k%zu AS ", i ? ", " : "", i);
        derive_put_column(sql, one->parts[i]);
    }
    buf_puts(sql, " FROM pgrekey_keys AS w) SELECT q.*, ");
    derive_put_reject(sql, d);
    buf_printf(sql, " AS pgrekey_cat FROM (%s\n) AS q) AS q JOIN pgrekey_keys AS w ON true", d->query);
    for (size_t i = 0; i < one->part_count; i++) {
        buf_printf(sql, " AND w.k%zu = q.", i);
        derive_put_column(sql, one->parts[i]);
    }
    buf_puts(sql, "), ");
}

static void put_decided(struct buf *sql, const struct derive_one *one)
{
    buf_puts(sql, "pgrekey_decided AS MATERIALIZED (SELECT r.*, CASE WHEN t.");
    derive_put_column(sql, one->derivation->keys[0].column);
    buf_printf(sql, " IS NULL THEN %s WHEN ", one->derivation->owns_rows ? "'i'" : "'='");
    derive_put_differs(sql, one);
    buf_printf(sql, " THEN 'u' ELSE '=' END AS act FROM pgrekey_result AS r LEFT JOIN %s AS t ON ", one->table);
    derive_put_match(sql, one, "t", "r");
    buf_puts(sql, "), ");
}

/* Keys that yield no row, with what is known of them. */
static void put_lacking(struct buf *sql, const struct derive_one *one)
{
    buf_puts(sql, "pgrekey_lacking AS MATERIALIZED (SELECT w.kt, x.good, x.key IS NOT NULL AS was");
    put_ids(sql, one);
    buf_puts(sql,
             " FROM pgrekey_keys AS w LEFT JOIN pgrekey.derived AS x ON x.derivation = $1::integer AND x.key = "
             "w.kt AND x.good IS NOT NULL WHERE NOT EXISTS (SELECT FROM pgrekey_result AS r WHERE r.kt = w.kt)), ");
}

/* Rows that go without asking anybody. */
static bool goes_quickly(const struct derive_one *one)
{
    return one->derivation->owns_rows && one->derivation->gone == GONE_DELETE && !one->has_children;
}

static bool changes_any(const struct derive_one *one)
{
    for (size_t i = 0; i < one->column_count; i++)
        if (!one->columns[i].once)
            return true;
    return false;
}

static void put_writes(struct buf *sql, const struct derive_one *one)
{
    if (goes_quickly(one)) {
        buf_printf(sql, "pgrekey_deleted AS (DELETE FROM %s AS t USING pgrekey_lacking AS r WHERE r.was AND ",
                   one->table);
        derive_put_match(sql, one, "t", "r");
        buf_puts(sql, " RETURNING 1), pgrekey_forgotten AS (DELETE FROM pgrekey.derived AS x USING pgrekey_lacking AS "
                      "r WHERE r.was AND x.derivation = $1::integer AND x.key = r.kt), ");
    }
    if (changes_any(one)) {
        buf_printf(sql, "pgrekey_updated AS (UPDATE %s AS t SET ", one->table);
        derive_put_changes(sql, one);
        buf_puts(sql, " FROM pgrekey_decided AS r WHERE r.act = 'u' AND ");
        derive_put_match(sql, one, "t", "r");
        buf_puts(sql, "), ");
    }
    if (one->derivation->owns_rows) {
        buf_puts(sql, "pgrekey_inserted AS (");
        derive_put_insert(sql, one, "pgrekey_decided");
        buf_puts(sql, "), ");
    }
    buf_puts(sql, "pgrekey_good AS (INSERT INTO pgrekey.derived AS x (derivation, key, good, row) SELECT $1::integer, "
                  "r.kt, true, ");
    if (one->linked)
        derive_put_result_text(sql, one, "r");
    else
        buf_puts(sql, "NULL");
    buf_puts(sql, " FROM pgrekey_decided AS r WHERE NOT EXISTS (SELECT FROM pgrekey.derived AS y WHERE y.derivation = "
                  "$1::integer AND y.key = r.kt AND y.good) ON CONFLICT (derivation, key) DO UPDATE SET good = true "
                  "RETURNING 1)");
}

/* For whoever reads the table: old images of what will be changed or go, and which rows these are. */
static void put_images(struct pgsink *s, struct buf *sql, const struct derive_one *one)
{
    const struct derivation *d = one->derivation;
    struct buf condition, from;
    size_t count = 0;

    buf_init(&condition, DERIVE_SQL_MAX);
    buf_init(&from, DERIVE_SQL_MAX);
    buf_puts(&from, "(SELECT ");
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(&from, "%st%zu", i ? ", " : "", i);
    buf_puts(&from, " FROM pgrekey_decided WHERE act = 'u' UNION ALL SELECT ");
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(&from, "%st%zu", i ? ", " : "", i);
    buf_puts(&from, " FROM pgrekey_lacking WHERE was)");
    put_own(&condition, d, buf_text(&from));
    for (size_t other = 0; other < s->derive->count; other++) {
        const struct derive_one *reader = &s->derive->all[other];
        for (size_t i = 0; reader != one && i < reader->input_count; i++) {
            if (!touched_by(one, &reader->inputs[i]))
                continue;
            buf_printf(sql, ", pgrekey_image_%zu AS (", count++);
            if (reader->inputs[i].filtered)
                put_keep(sql, reader, &reader->inputs[i], buf_text(&condition));
            else
                put_touch(sql, reader, &reader->inputs[i], buf_text(&condition));
            buf_puts(sql, ")");
        }
    }
    if (count) {
        buf_printf(sql,
                   ", pgrekey_before AS (DELETE FROM pgrekey_r%d), pgrekey_changed AS (INSERT INTO pgrekey_r%d (kt",
                   d->index, d->index);
        for (size_t i = 0; i < d->key_count; i++)
            buf_printf(sql, ", t%zu", i);
        buf_puts(sql, ") SELECT kt");
        for (size_t i = 0; i < d->key_count; i++)
            buf_printf(sql, ", t%zu", i);
        buf_puts(sql, " FROM pgrekey_decided WHERE act IN ('u', 'i'))");
    }
    buf_done(&from);
    buf_done(&condition);
}

/* --- what is not plain --- */

static void put_literals(struct buf *sql, const struct pgsink *s, const struct derive_one *one, const char *alias)
{
    buf_printf(sql, "%s.pipeline = ", alias);
    pg_put_literal(sql, s->options.pipeline);
    buf_printf(sql, " AND %s.rule = ", alias);
    pg_put_literal(sql, one->derivation->name);
}

static void put_awaited(const struct pgsink *s, struct buf *sql, const struct derive_one *one)
{
    for (size_t i = 0; i < one->derivation->key_count; i++) {
        const struct place *place = place_of(s, one, i);
        if (!place)
            continue;
        buf_puts(sql, " OR EXISTS (SELECT FROM pgrekey_decided AS r WHERE r.act <> '=' AND (EXISTS (SELECT FROM "
                      "pgrekey.quarantine AS q WHERE q.pipeline = ");
        pg_put_literal(sql, s->options.pipeline);
        buf_puts(sql, " AND q.waits_table = ");
        pg_put_literal(sql, place->label);
        buf_printf(sql,
                   " AND q.waits_id = r.t%zu::text AND q.waits_id IS NOT NULL AND q.status <> 'resolved' AND q.status "
                   "IN ('pending', 'in_progress', 'escalated')) OR EXISTS (SELECT FROM pgrekey.pending_reference AS p "
                   "WHERE p.pipeline = ",
                   i);
        pg_put_literal(sql, s->options.pipeline);
        buf_puts(sql, " AND p.parent_table = ");
        pg_put_literal(sql, place->label);
        buf_printf(sql, " AND p.parent_id = r.t%zu::text)))", i);
    }
}

static void put_odd(const struct pgsink *s, struct buf *sql, const struct derive_one *one, unsigned flags)
{
    struct buf orphans;

    buf_init(&orphans, DERIVE_SQL_MAX);
    buf_printf(sql, "(k.keys >= %d OR count(r.kt) <> k.keys - l.lacking OR coalesce(bool_or(r.cat IS NOT NULL), false)",
               KEYS_MAX);
    if (!goes_quickly(one))
        buf_puts(sql, " OR l.were > 0");
    if (derive_put_orphans(s, &orphans, one, "pgrekey_result"))
        buf_printf(sql, " OR EXISTS (SELECT FROM pgrekey_result AS r WHERE %s)", buf_text(&orphans));
    if (derive_adopts(one)) { /* a row that nobody has met */
        buf_puts(sql, " OR EXISTS (SELECT FROM pgrekey_decided AS r JOIN pgrekey.adopted AS a ON a.pipeline = ");
        pg_put_literal(sql, s->options.pipeline);
        buf_puts(sql, " AND a.entity = ");
        pg_put_literal(sql, one->derivation->entity);
        buf_puts(sql, " AND a.id = r.t0 AND a.met = '{}')");
    }
    if (flags & QUICK_STANDING) {
        buf_puts(sql, " OR EXISTS (SELECT FROM pgrekey_keys AS w JOIN pgrekey.quarantine AS q ON ");
        put_literals(sql, s, one, "q");
        buf_puts(sql, " AND q.key = w.kt AND q.status <> 'resolved')");
    }
    if (flags & QUICK_PENDING) {
        buf_puts(sql, " OR EXISTS (SELECT FROM pgrekey_keys AS w JOIN pgrekey.pending_reference AS p ON ");
        put_literals(sql, s, one, "p");
        buf_puts(sql, " AND p.key = w.kt)");
    }
    if (flags & QUICK_AWAITED)
        put_awaited(s, sql, one);
    buf_puts(sql, ")::integer");
    buf_done(&orphans);
}

static void put_merge(struct pgsink *s, struct buf *sql, const struct derive_one *one, unsigned flags)
{
    buf_printf(sql,
               "WITH pgrekey_taken AS (DELETE FROM pgrekey_k%d RETURNING *), pgrekey_keys AS MATERIALIZED (SELECT ",
               one->derivation->index);
    derive_put_key_text(sql, one, "k");
    buf_printf(sql, " AS kt, k.* FROM (SELECT DISTINCT * FROM pgrekey_taken LIMIT %d) AS k), ", KEYS_MAX);
    put_result(sql, one);
    put_decided(sql, one);
    put_lacking(sql, one);
    put_writes(sql, one);
    put_images(s, sql, one);
    buf_printf(sql,
               " SELECT k.keys, count(r.kt), count(*) FILTER (WHERE r.act = 'u'), count(*) FILTER (WHERE r.act = 'i'), "
               "(SELECT count(*) FROM pgrekey_good), l.good, %s, ",
               goes_quickly(one) ? "(SELECT count(*) FROM pgrekey_deleted)" : "0");
    put_odd(s, sql, one, flags);
    buf_puts(sql, " FROM (SELECT count(*) AS keys FROM pgrekey_keys) AS k CROSS JOIN (SELECT count(*) AS lacking, "
                  "count(*) FILTER (WHERE was) AS were, count(*) FILTER (WHERE good) AS good FROM pgrekey_lacking) AS "
                  "l LEFT JOIN pgrekey_decided AS r ON true GROUP BY k.keys, l.lacking, l.were, l.good");
}

/* --- all --- */

void derive_quick_put(struct pgsink *s, struct buf *sql, size_t derivation, enum quick_kind kind, size_t input,
                      size_t from, unsigned flags)
{
    const struct derive_one *one = &s->derive->all[derivation];
    char result[32];
    struct buf condition;

    buf_init(&condition, DERIVE_SQL_MAX);
    if (kind == QUICK_TOUCH || kind == QUICK_KEEP || kind == QUICK_COMPARE) {
        touched_put_place(s, s->rules[from].target.rule, &condition);
    } else if (kind != QUICK_MERGE) {
        snprintf(result, sizeof(result), "pgrekey_r%zu", from);
        put_own(&condition, s->derive->all[from].derivation, result);
    }
    switch (kind) {
    case QUICK_TOUCH:
    case QUICK_TOUCH_OWN: put_touch(sql, one, &one->inputs[input], buf_text(&condition)); break;
    case QUICK_KEEP: put_keep(sql, one, &one->inputs[input], buf_text(&condition)); break;
    case QUICK_COMPARE:
    case QUICK_COMPARE_OWN: put_compare(sql, one, &one->inputs[input], buf_text(&condition)); break;
    case QUICK_MERGE: put_merge(s, sql, one, flags); break;
    }
    buf_done(&condition);
}
