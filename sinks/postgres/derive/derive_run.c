/* Keys -> result -> merge: what differs is written, and nothing else.
 *
 *     pgrekey_k ─distinct, numbered─▶ pgrekey_w ─query─▶ pgrekey_r ─▶ rejected? doubled? parents there?
 *                                         │                       └─▶ '=' | 'u' | 'i'
 *                                         └─ no result, but once written ──▶ 'g'
 *
 * Old images of what is going to change are taken before the first statement that writes, new ones behind the last.
 * Rows that are gone go first, so that their unique values are free.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/park.h"

/* --- working keys --- */

/* Before they are used, when too many dead rows lie in them. */
static int truncate_tables(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    int index = one->derivation->index;
    struct buf sql;
    int failed;

    if (one->kept <= DERIVE_KEPT_MAX)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "TRUNCATE pgrekey_w%d, pgrekey_r%d", index, index);
    derive_put_small(&sql, one, "wr");
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    return failed;
}

static int analyse(struct pgsink *s, struct derive_one *one, char table, struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "ANALYZE pgrekey_%c%d", table, one->derivation->index);
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    return failed;
}

static int take_keys(struct pgsink *s, struct derive_one *one, int64_t *ret_count, struct err *reterr)
{
    int index = one->derivation->index;
    bool truncate = one->kept > DERIVE_KEPT_MAX;
    struct buf sql;
    int failed;

    if (truncate_tables(s, one, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "WITH old AS (DELETE FROM pgrekey_w%d), taken AS (DELETE FROM pgrekey_k%d RETURNING *) INSERT INTO "
               "pgrekey_w%d SELECT row_number() OVER (), ",
               index, index, index);
    derive_put_key_text(&sql, one, "k");
    buf_puts(&sql, ", k.* FROM (SELECT DISTINCT * FROM taken) AS k");
    failed = derive_sql(s, one, &sql, 0, NULL, ret_count, reterr);
    if (!failed && truncate) {
        buf_printf(&sql, "TRUNCATE pgrekey_k%d", index);
        derive_put_small(&sql, one, "k");
        failed = derive_run_sql(s, one, &sql, reterr);
    }
    buf_done(&sql);
    one->kept = truncate ? *ret_count : one->kept + *ret_count;
    one->keys = 0;
    return failed || (*ret_count > DERIVE_MANY && analyse(s, one, 'w', reterr)) ? -1 : 0;
}

/* --- the query --- */

/* An explicit cast, to the type without its length: what is too long is refused where it is stored. */
void derive_put_value(struct buf *sql, const struct derive_one *one, size_t i)
{
    buf_puts(sql, "q.");
    derive_put_column(sql, one->columns[i].name);
    buf_printf(sql, "::%s", target_cast_type(derive_column(one, i)));
}

void derive_put_reject(struct buf *sql, const struct derivation *d)
{
    if (!d->reject_when)
        buf_puts(sql, "NULL::text");
    else
        buf_printf(sql, "CASE WHEN (%s) THEN coalesce((%s)::text, 'validation_failure') END", d->reject_when,
                   d->reject_category ? d->reject_category : "NULL");
}

/* A rejected key's row goes as that of a parked one does. */
static void put_rejected_act(struct buf *sql, const struct derive_one *one)
{
    buf_printf(sql,
               ", CASE WHEN q.pgrekey_cat IS NOT NULL AND EXISTS (SELECT FROM pgrekey.derived AS x WHERE x.derivation "
               "= %s AND x.key = w.kt) THEN 'p'::\"char\" END",
               one->id);
}

static int query(struct pgsink *s, struct derive_one *one, const struct derive_range *range, int64_t *ret_rows,
                 struct err *reterr)
{
    const struct derivation *d = one->derivation;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "WITH old AS (DELETE FROM pgrekey_r%d) INSERT INTO pgrekey_r%d (n, kt", d->index, d->index);
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(&sql, ", t%zu", i);
    for (size_t i = 0; i < one->column_count; i++)
        buf_printf(&sql, ", c%zu", i);
    buf_puts(&sql, d->reject_gone ? ", cat, act) SELECT w.n, w.kt" : ", cat) SELECT w.n, w.kt");
    for (size_t i = 0; i < d->key_count; i++) {
        buf_puts(&sql, ", ");
        derive_put_id(&sql, one, i, "w");
    }
    for (size_t i = 0; i < one->column_count; i++) {
        buf_puts(&sql, ", ");
        derive_put_value(&sql, one, i);
    }
    buf_puts(&sql, ", q.pgrekey_cat");
    if (d->reject_gone)
        put_rejected_act(&sql, one);
    buf_puts(&sql, " FROM (WITH keys AS NOT MATERIALIZED (SELECT ");
    for (size_t i = 0; i < one->part_count; i++) {
        buf_printf(&sql, "%sw.k%zu AS ", i ? ", " : "", i);
        derive_put_column(&sql, one->parts[i]);
    }
    buf_printf(&sql, " FROM pgrekey_w%d AS w WHERE ", d->index);
    derive_put_range(&sql, range, "w");
    buf_puts(&sql, ") SELECT q.*, ");
    derive_put_reject(&sql, d);
    buf_printf(&sql, " AS pgrekey_cat FROM (%s\n) AS q) AS q JOIN pgrekey_w%d AS w ON ", d->query, d->index);
    derive_put_range(&sql, range, "w");
    for (size_t i = 0; i < one->part_count; i++) {
        buf_printf(&sql, " AND w.k%zu = q.", i);
        derive_put_column(&sql, one->parts[i]);
    }
    failed = derive_sql(s, one, &sql, 0, NULL, ret_rows, reterr);
    one->kept += *ret_rows;
    buf_done(&sql);
    return failed || (*ret_rows > DERIVE_MANY && analyse(s, one, 'r', reterr)) ? -1 : 0;
}

/* Two rows of one key: no one can say which is meant. */
static int mark_doubles(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    int index = one->derivation->index;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "UPDATE pgrekey_r%d AS r SET cat = 'ambiguous_value' FROM (SELECT n FROM pgrekey_r%d GROUP BY n HAVING "
               "count(*) > 1) AS twice WHERE r.n = twice.n",
               index, index);
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}

/* --- what differs --- */

/* " - 'key'": a row that returns loses the stamps that it bore while it was gone. */
static void put_unstamped(struct buf *sql, const struct derivation *d, const char *column)
{
    for (size_t i = 0; i < d->set_count; i++) {
        if (!d->set[i].stamp || strcmp(d->set[i].column, column) != 0)
            continue;
        buf_puts(sql, " - ");
        pg_put_literal(sql, d->set[i].text);
        buf_puts(sql, "::text");
    }
}

/* Of a merged column: what it becomes. */
static void put_merged(struct buf *sql, const struct derive_one *one, size_t i)
{
    struct buf name;

    buf_init(&name, 1024);
    derive_put_column(&name, one->columns[i].name);
    buf_printf(sql, "CASE WHEN r.c%zu IS NULL THEN t.%s", i, buf_text(&name));
    put_unstamped(sql, one->derivation, one->columns[i].name);
    buf_printf(sql, " ELSE coalesce(t.%s, '{}')", buf_text(&name));
    put_unstamped(sql, one->derivation, one->columns[i].name);
    buf_printf(sql, " || r.c%zu END", i);
    buf_done(&name);
}

void derive_put_differs(struct buf *sql, const struct derive_one *one)
{
    size_t count = 0;

    for (size_t i = 0; i < one->column_count; i++) {
        const char *cast = derive_has_equality(derive_column(one, i)->base_type) ? "" : "::text";
        if (one->columns[i].once)
            continue;
        buf_puts(sql, count++ ? " OR t." : "t.");
        derive_put_column(sql, one->columns[i].name);
        buf_printf(sql, "%s IS DISTINCT FROM ", cast);
        if (one->columns[i].merge)
            put_merged(sql, one, i);
        else
            buf_printf(sql, "r.c%zu%s", i, cast);
    }
    if (count == 0)
        buf_puts(sql, "false");
}

/* A row whose required parent is not there must not stand: 'p'arked, without a row until the parent comes. */
static int decide_parked(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    struct buf sql;
    int failed;

    if (!one->derivation->owns_rows)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "UPDATE pgrekey_r%d AS r SET act = 'p' WHERE r.parent_id IS NOT NULL AND EXISTS (SELECT FROM "
               "pgrekey.derived AS x WHERE x.derivation = %s AND x.key = r.kt)",
               one->derivation->index, one->id);
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}

/* "d AS (..)": what is to be done with each row that is not rejected. */
static void put_decided(struct buf *sql, const struct derive_one *one)
{
    const struct derivation *d = one->derivation;

    buf_printf(sql, "d AS (UPDATE pgrekey_r%d AS x SET act = s.act FROM (SELECT r.ctid AS at, CASE WHEN t.", d->index);
    derive_put_column(sql, d->keys[0].column);
    buf_printf(sql, " IS NULL THEN %s WHEN ", d->owns_rows ? "'i'" : "NULL");
    derive_put_differs(sql, one);
    buf_printf(sql, " THEN 'u' ELSE '=' END::\"char\" AS act FROM pgrekey_r%d AS r LEFT JOIN %s AS t ON ", d->index,
               one->table);
    derive_put_match(sql, one, "t", "r");
    buf_puts(sql, " WHERE r.cat IS NULL) AS s WHERE x.ctid = s.at RETURNING x.act, NULL::text AS cat, x.n)");
}

/* "g AS (..)": keys that once had a row and yield none. */
static void put_gone(struct buf *sql, const struct derive_one *one, const struct derive_range *range)
{
    const struct derivation *d = one->derivation;

    buf_printf(sql, "g AS (INSERT INTO pgrekey_r%d (n, kt", d->index);
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(sql, ", t%zu", i);
    buf_puts(sql, ", act) SELECT w.n, w.kt");
    for (size_t i = 0; i < d->key_count; i++) {
        buf_puts(sql, ", ");
        derive_put_id(sql, one, i, "w");
    }
    buf_printf(sql,
               ", 'g' FROM pgrekey_w%d AS w JOIN pgrekey.derived AS x ON x.derivation = %s AND x.key = w.kt AND x.good "
               "IS NOT NULL WHERE NOT EXISTS (SELECT FROM pgrekey_r%d AS r WHERE r.n = w.n) AND ",
               d->index, one->id, d->index);
    derive_put_range(sql, range, "w");
    buf_puts(sql, " RETURNING act, NULL::text AS cat, n)");
}

static int decide(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                  struct derive_tally *ret_tally, struct err *reterr)
{
    int64_t *const counts[] = {&ret_tally->updates,  &ret_tally->inserts, &ret_tally->gone,  &ret_tally->good,
                               &ret_tally->rejected, &ret_tally->orphans, &ret_tally->parked};
    PGresult *result = NULL;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "WITH ");
    put_decided(&sql, one);
    buf_puts(&sql, ", ");
    put_gone(&sql, one, range);
    buf_printf(&sql,
               " SELECT count(*) FILTER (WHERE act = 'u'), count(*) FILTER (WHERE act = 'i'), "
               "count(*) FILTER (WHERE act = 'g'), "
               "count(*) FILTER (WHERE cat IS NULL AND act IS DISTINCT FROM 'g'), "
               "count(DISTINCT n) FILTER (WHERE cat IS NOT NULL), "
               "count(DISTINCT n) FILTER (WHERE cat = 'orphan_reference'), "
               "count(*) FILTER (WHERE act = 'p') FROM (SELECT * FROM d UNION ALL SELECT * FROM g UNION ALL "
               "SELECT act, cat, n FROM pgrekey_r%d WHERE cat IS NOT NULL) AS a",
               one->derivation->index);
    failed = derive_query(s, one->derivation->name, session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (failed)
        return -1;
    for (int i = 0; i < 7; i++)
        *counts[i] = strtoll(PQgetvalue(result, 0, i), NULL, 10);
    PQclear(result);
    return 0;
}

/* --- writing --- */

static bool is_owned(const struct derive_one *one, const char *column)
{
    for (size_t i = 0; i < one->column_count; i++)
        if (strcmp(one->columns[i].name, column) == 0 && !one->columns[i].once)
            return true;
    return false;
}

/* The stamps of columns that it does not write otherwise. */
static void put_stamps_off(struct buf *sql, const struct derive_one *one, size_t count)
{
    const struct derivation *d = one->derivation;

    for (size_t i = 0; i < d->set_count; i++) {
        if (!d->set[i].stamp || is_owned(one, d->set[i].column))
            continue;
        buf_puts(sql, count++ ? ", " : "");
        derive_put_column(sql, d->set[i].column);
        buf_puts(sql, " = t.");
        derive_put_column(sql, d->set[i].column);
        put_unstamped(sql, d, d->set[i].column);
    }
}

void derive_put_changes(struct buf *sql, const struct derive_one *one)
{
    size_t count = 0;

    for (size_t i = 0; i < one->column_count; i++) {
        if (one->columns[i].once)
            continue;
        buf_puts(sql, count++ ? ", " : "");
        derive_put_column(sql, one->columns[i].name);
        buf_puts(sql, " = ");
        if (one->columns[i].merge)
            put_merged(sql, one, i);
        else
            buf_printf(sql, "r.c%zu", i);
    }
    put_stamps_off(sql, one, count);
}

static int write_updates(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "UPDATE %s AS t SET ", one->table);
    derive_put_changes(&sql, one);
    buf_printf(&sql, " FROM pgrekey_r%d AS r WHERE r.act = 'u' AND ", one->derivation->index);
    derive_put_match(&sql, one, "t", "r");
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}

void derive_put_insert(struct buf *sql, const struct derive_one *one, const char *from)
{
    const struct derivation *d = one->derivation;
    bool overriding = false;

    buf_printf(sql, "INSERT INTO %s (", one->table);
    for (size_t i = 0; i < d->key_count; i++) {
        buf_puts(sql, i ? ", " : "");
        derive_put_column(sql, d->keys[i].column);
    }
    for (size_t i = 0; i < one->column_count; i++) {
        buf_puts(sql, ", ");
        derive_put_column(sql, one->columns[i].name);
        overriding |= derive_column(one, i)->identity_always;
    }
    buf_printf(sql, ")%s SELECT ", overriding ? " OVERRIDING SYSTEM VALUE" : "");
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(sql, "%sr.t%zu", i ? ", " : "", i);
    for (size_t i = 0; i < one->column_count; i++)
        buf_printf(sql, ", r.c%zu", i);
    buf_printf(sql, " FROM %s AS r WHERE r.act = 'i'", from);
}

static int write_inserts(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    char from[32];
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    snprintf(from, sizeof(from), "pgrekey_r%d", one->derivation->index);
    derive_put_insert(&sql, one, from);
    if (s->derive->many) /* in the order of the key's index */
        buf_puts(&sql, " ORDER BY r.t0");
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}

/* returns: rows that were stamped may be among those that changed. */
static int say_who_came(struct pgsink *s, struct derive_one *one, bool returns, struct err *reterr)
{
    const struct derivation *d = one->derivation;

    for (size_t i = 0; i < d->key_count; i++) {
        struct buf relation;
        int failed;

        buf_init(&relation, DERIVE_SQL_MAX);
        buf_printf(&relation, "(SELECT i.t%zu AS ", i);
        derive_put_column(&relation, d->keys[i].column);
        buf_printf(&relation, " FROM pgrekey_r%d AS i WHERE i.act IN ('i'%s))", d->index, returns ? ", 'u'" : "");
        failed = park_arrived(s, d->to_schema, d->to_table, session_text(&relation), d->keys[i].column, reterr);
        buf_done(&relation);
        if (failed)
            return -1;
    }
    return 0;
}

static int write_all(struct pgsink *s, struct derive_one *one, const struct derive_tally *tally,
                     struct account *account, struct err *reterr)
{
    bool wrote = tally->updates || tally->inserts || tally->gone || tally->parked;
    bool read = wrote && touched_is_read(s, one);
    const struct derivation *d = one->derivation;
    bool returns = tally->updates && rule_set_stamps(d->set, d->set_count);

    s->derive->wrote |= wrote;
    if (read && touched_own(s, one, true, reterr))
        return -1;
    if ((tally->parked && derive_keep_parked(s, one, reterr)) ||
        ((tally->gone || tally->parked) && derive_gone(s, one, account, reterr)) ||
        (tally->updates > 1 && derive_release_unique(s, one, reterr)) ||
        (tally->updates && write_updates(s, one, reterr)) ||
        (tally->inserts && (write_inserts(s, one, reterr) || derive_restore(s, one, reterr))) ||
        ((tally->inserts || returns) && say_who_came(s, one, returns, reterr)))
        return -1;
    return read ? touched_own(s, one, false, reterr) : 0;
}

/* The result of an earlier range is gone. */
static int merge(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct account *account,
                 struct err *reterr)
{
    struct derive_tally tally = {0};
    int64_t rows = 0, missing = 0;

    if (query(s, one, range, &rows, reterr) || (rows && derive_forget_unmet(s, one, reterr)) ||
        (rows > 1 && mark_doubles(s, one, reterr)) || derive_parents(s, one, range, &missing, reterr) ||
        (missing && decide_parked(s, one, reterr)) || decide(s, one, range, &tally, reterr) ||
        write_all(s, one, &tally, account, reterr))
        return -1;
    return derive_settle(s, one, range, &tally, account, reterr);
}

int derive_merge(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct err *reterr)
{
    struct account account = {0};

    if (merge(s, one, range, &account, reterr) || derive_show(s, one, reterr))
        return -1;
    account_add(&one->step, &account);
    return 0;
}

/* --- a derivation --- */

/* Its number stands beside the keys it has written. */
int derive_ask_id(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, one->derivation->name};
    PGresult *result = NULL;

    if (*one->id)
        return 0;
    if (session_query(s, "numbering a derivation",
                      "WITH new AS (INSERT INTO pgrekey.derivation (pipeline, rule) VALUES ($1, $2) ON CONFLICT DO "
                      "NOTHING RETURNING id) SELECT id FROM new UNION ALL SELECT id FROM pgrekey.derivation WHERE "
                      "pipeline = $1 AND rule = $2",
                      2, params, &result, reterr))
        return -1;
    snprintf(one->id, sizeof(one->id), "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return *one->id ? 0 : err_set(reterr, ERR_FATAL, "derivation %s has no number", one->derivation->name);
}

int derive_keys(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    struct derive_range range = {.lo = 1, .whole = true};
    int failed;

    if (derive_make(s, one, reterr) || derive_ask_id(s, one, reterr) || take_keys(s, one, &range.hi, reterr))
        return -1;
    if (range.hi == 0)
        return 0;
    if (derive_planner(s, range.hi > DERIVE_MANY ? PLANNER_MANY : PLANNER_FEW, reterr))
        return -1;
    s->derive->many = range.hi > DERIVE_FEW;
    failed = derive_isolate(s, one, &range, reterr);
    s->derive->many = false;
    return failed;
}

int derive_drop_keys(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    struct buf sql;

    if (derive_make(s, one, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "DELETE FROM pgrekey_k%d", one->derivation->index);
    int failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    one->keys = 0;
    return failed;
}
