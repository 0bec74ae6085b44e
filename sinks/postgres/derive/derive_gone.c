/* Keys that yield no row any more: their target rows are deleted, set, or kept.
 *
 * A delete that others refuse, for their rows refer to it, waits until all derivations have run: then those rows may
 * have gone themselves, or refer to something else. What is refused even then is found row by row, and stays as a
 * failed delete.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"

static bool is_held(const struct err *said)
{
    return strcmp(said->sqlstate, "23503") == 0 || strcmp(said->sqlstate, "23001") == 0;
}

/* --- set --- */

static int set_rows(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    struct buf sql;
    int failed;

    if (d->set_count == 0)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "UPDATE %s AS t SET ", one->table);
    target_put_set(&sql, d->set, d->set_count, "t.");
    buf_printf(&sql, " FROM pgrekey_r%d AS r WHERE r.act = 'g' AND ", d->index);
    derive_put_match(&sql, one, "t", "r");
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}

/* --- delete --- */

/* From the rows that `from` ("pgrekey_r3 AS r WHERE r.act = 'g'") names. */
static int delete_rows(struct pgsink *s, struct derive_one *one, const char *from, int64_t *ret_deleted,
                       struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "DELETE FROM %s AS t USING %s AND ", one->table, from);
    derive_put_match(&sql, one, "t", "r");
    failed = derive_sql(s, one, &sql, 0, NULL, ret_deleted, reterr);
    buf_done(&sql);
    return failed;
}

/* Whoever refers to them leaves first; `ways` is park_leaving's. */
static int leave(struct pgsink *s, struct derive_one *one, const char *from, int ways, struct err *reterr)
{
    const struct derivation *d = one->derivation;

    for (size_t i = 0; i < d->key_count; i++) {
        struct buf rows;
        int failed;

        buf_init(&rows, DERIVE_SQL_MAX);
        buf_printf(&rows, "(SELECT r.t%zu AS ", i);
        derive_put_column(&rows, d->keys[i].column);
        buf_printf(&rows, " FROM %s)", from);
        failed =
            park_leaving(s, d->to_schema, d->to_table, session_text(&rows), d->keys[i].column, 0, NULL, ways, reterr);
        buf_done(&rows);
        if (failed)
            return -1;
    }
    parents_forget(s->parents);
    return 0;
}

/* Derived rows that refer to them through key column i, each as "OR EXISTS (..)". */
static void put_referring(struct pgsink *s, const struct derive_one *one, const char *from, size_t i, struct buf *sql)
{
    const struct derivation *d = one->derivation;
    int place = references_find(&s->references, d->to_schema, d->to_table, d->keys[i].column);

    for (size_t r = 0; place != NO_PLACE && r < s->references.derived_count; r++) {
        const struct derived_reference *reference = &s->references.derived[r];
        const struct derive_one *child = &s->derive->all[reference->derivation];
        if (reference->place != (size_t)place || child->derivation->skip)
            continue;
        buf_printf(sql, " OR EXISTS (SELECT FROM %s AS t WHERE t.", child->table);
        derive_put_column(sql, reference->column);
        buf_printf(sql, " IN (SELECT r.t%zu FROM %s))", i, from);
    }
}

/* Where foreign keys are deferred the server says nothing of derived rows that still refer to them until all is
 * written, and then it is too late to put them off. */
static int ask_held(struct pgsink *s, struct derive_one *one, const char *from, bool *ret_held, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "SELECT false");
    for (size_t i = 0; i < one->derivation->key_count; i++)
        put_referring(s, one, from, i, &sql);
    failed = derive_query(s, one->derivation->name, session_text(&sql), 0, NULL, &result, reterr);
    *ret_held = !failed && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    buf_done(&sql);
    return failed;
}

/* Tries under a savepoint. *ret_held: rows that refer to them hold them, and nothing was deleted. */
static int try_delete(struct pgsink *s, struct derive_one *one, const char *from, int ways, int64_t *ret_deleted,
                      struct err *ret_said, bool *ret_held, struct err *reterr)
{
    const struct park_mark mark = park_mark(s);

    *ret_held = false;
    if (s->deferrable && (ways & PARK_NOT_DERIVED) && ask_held(s, one, from, ret_held, reterr))
        return -1;
    if (*ret_held)
        return 0;
    if (session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_gone", reterr))
        return -1;
    if (leave(s, one, from, ways, ret_said) == 0 && delete_rows(s, one, from, ret_deleted, ret_said) == 0)
        return session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_gone", reterr);
    if (!is_held(ret_said)) {
        if (reterr)
            *reterr = *ret_said;
        return -1;
    }
    *ret_held = true;
    park_undo(s, mark);
    return session_back_to(s, "going back to a savepoint", "pgrekey_gone", true, reterr);
}

/* Rows that are about to be stamped: whoever refers to them leaves as if they went. Where rows of nobody's are in the
 * way, all of them go on referring to rows that stand, after all. */
static int end_rows(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const struct park_mark mark = park_mark(s);
    struct err said = {0};
    char from[96];

    snprintf(from, sizeof(from), "pgrekey_r%d AS r WHERE r.act = 'g'", one->derivation->index);
    if (session_run(s, "setting a savepoint", "SAVEPOINT pgrekey_gone", reterr))
        return -1;
    if (leave(s, one, from, s->derive->in_chunk ? PARK_MOVED : 0, &said) == 0)
        return session_run(s, "releasing a savepoint", "RELEASE SAVEPOINT pgrekey_gone", reterr);
    if (said.kind != ERR_POISON) {
        *reterr = said;
        return -1;
    }
    park_undo(s, mark);
    return session_back_to(s, "going back to a savepoint", "pgrekey_gone", true, reterr);
}

/* They wait in pgrekey_g<d>, and are no longer counted as good: act 'x'. */
static int put_off(struct pgsink *s, struct derive_one *one, const char *which, struct err *reterr)
{
    int index = one->derivation->index;
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "INSERT INTO pgrekey_g%d SELECT r.* FROM pgrekey_r%d AS r WHERE %s; UPDATE pgrekey_r%d AS r SET act = "
               "'x' WHERE %s",
               index, index, which, index, which);
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    one->refused = true;
    return failed;
}

int derive_gone(struct pgsink *s, struct derive_one *one, struct account *account, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    const char *which = d->gone == GONE_DELETE ? "r.act IN ('g', 'p')" : "r.act = 'p'";
    char from[96];
    struct err said = {0};
    int64_t deleted = 0;
    bool held = one->cascades;
    const bool stamps = d->owns_rows && one->has_children && rule_set_stamps(d->set, d->set_count);

    if (d->gone == GONE_SET && ((stamps && end_rows(s, one, reterr)) || set_rows(s, one, reterr)))
        return -1;
    if (!d->owns_rows)
        return 0;
    snprintf(from, sizeof(from), "pgrekey_r%d AS r WHERE %s", d->index, which);
    if (!one->has_children) {
        if (delete_rows(s, one, from, &deleted, reterr))
            return -1;
    } else if (!held && try_delete(s, one, from, PARK_NOT_DERIVED | (s->derive->in_chunk ? PARK_MOVED : 0), &deleted,
                                   &said, &held, reterr)) {
        return -1;
    }
    account->deletes += deleted;
    return held ? put_off(s, one, which, reterr) : 0;
}

/* --- again, when all have run --- */

struct waiting {
    size_t count;
    char **keys;
    bool *parked; /* it stands in quarantine already, for its parent */
};

static int load_waiting(struct pgsink *s, const struct derive_one *one, struct waiting *ret_waiting, struct err *reterr)
{
    PGresult *result = NULL;
    char sql[96];

    snprintf(sql, sizeof(sql), "SELECT DISTINCT kt, cat IS NOT NULL FROM pgrekey_g%d", one->derivation->index);
    if (session_query(s, "deriving rows", sql, 0, NULL, &result, reterr))
        return -1;
    ret_waiting->count = (size_t)PQntuples(result);
    ret_waiting->keys = mem_alloc((ret_waiting->count + 1) * sizeof(char *));
    ret_waiting->parked = mem_zalloc(ret_waiting->count + 1, sizeof(bool));
    for (size_t i = 0; i < ret_waiting->count; i++) {
        ret_waiting->keys[i] = mem_strdup(PQgetvalue(result, (int)i, 0));
        ret_waiting->parked[i] = *PQgetvalue(result, (int)i, 1) == 't';
    }
    PQclear(result);
    return 0;
}

/* The rows that wait, as a condition over the target table `t`. */
static void put_waiting(struct buf *sql, const struct derive_one *one)
{
    buf_printf(sql, "EXISTS (SELECT FROM pgrekey_g%d AS r WHERE ", one->derivation->index);
    derive_put_match(sql, one, "t", "r");
    buf_puts(sql, ")");
}

static int touch_waiting(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    struct buf condition;
    int failed;

    buf_init(&condition, DERIVE_SQL_MAX);
    put_waiting(&condition, one);
    failed = touched_where(s, d->to_schema, d->to_table, one, session_text(&condition), 0, NULL, reterr);
    buf_done(&condition);
    return failed;
}

/* Whose rows went is no key of the derivation's any more. */
static int forget_keys(struct pgsink *s, struct derive_one *one, const char *key_or_null, struct err *reterr)
{
    const char *params[] = {one->id, key_or_null};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "DELETE FROM pgrekey.derived AS x USING pgrekey_g%d AS r WHERE x.derivation = $1::integer AND x.key = "
               "r.kt AND ($2::text IS NULL OR r.kt = $2)",
               one->derivation->index);
    failed = derive_sql(s, one, &sql, 2, params, NULL, reterr);
    buf_done(&sql);
    return failed;
}

static int delete_each(struct pgsink *s, struct derive_one *one, const struct waiting *waiting, int ways,
                       struct err *reterr)
{
    for (size_t i = 0; i < waiting->count; i++) {
        struct err said = {0};
        int64_t deleted = 0;
        struct buf from;
        bool held = false;
        int failed;

        buf_init(&from, DERIVE_SQL_MAX);
        buf_printf(&from, "pgrekey_g%d AS r WHERE r.kt = ", one->derivation->index);
        pg_put_literal(&from, waiting->keys[i]);
        failed = try_delete(s, one, session_text(&from), ways, &deleted, &said, &held, reterr);
        buf_done(&from);
        if (failed || (!held && forget_keys(s, one, waiting->keys[i], reterr)) ||
            (held && !waiting->parked[i] && derive_settle_held(s, one, waiting->keys[i], &said, reterr)))
            return -1;
        one->step.deletes += deleted;
    }
    return 0;
}

int derive_gone_again(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const int ways = s->derive->in_chunk ? PARK_DELETED : 0;
    struct waiting waiting = {0};
    struct err said = {0};
    int64_t deleted = 0;
    char text[64];
    struct buf sql;
    bool held = false;
    int failed;

    one->refused = false;
    if (touch_waiting(s, one, reterr))
        return -1;
    snprintf(text, sizeof(text), "pgrekey_g%d AS r WHERE true", one->derivation->index);
    if (try_delete(s, one, text, ways, &deleted, &said, &held, reterr))
        return -1;
    one->step.deletes += deleted;
    failed = held ? load_waiting(s, one, &waiting, reterr) || delete_each(s, one, &waiting, ways, reterr)
                  : forget_keys(s, one, NULL, reterr);
    for (size_t i = 0; i < waiting.count; i++)
        free(waiting.keys[i]);
    free(waiting.keys);
    free(waiting.parked);
    if (failed)
        return -1;
    s->derive->wrote = true;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "DELETE FROM pgrekey_g%d", one->derivation->index);
    failed = derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    return failed;
}
