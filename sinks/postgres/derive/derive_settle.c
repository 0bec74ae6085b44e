/* What a run comes to for each key: good, rejected, failed, gone; in the account and in the quarantine.
 *
 *     keys that the inputs yield a row for  =  written (mapped)  +  rejected, failed (quarantined)
 *
 * pgrekey.derived holds every key whose target row is the derivation's, and whether it is good: so a row of somebody
 * else under the same key is never deleted, and the difference that a run makes can be counted without looking at
 * whole tables. A quarantined key that was written before keeps its last good row and its record, not good.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/breaker.h"
#include "sinks/postgres/quarantine/refusal.h"
#include "sinks/postgres/rows/rowwork.h"

/* Entries that stand of the keys at hand. */
struct before {
    int64_t quarantined, discarded, held;
};

static int count_query(struct pgsink *s, struct derive_one *one, struct buf *sql, int param_count,
                       const char *const *params, int64_t *ret_counts, int count, struct err *reterr)
{
    PGresult *result = NULL;
    int failed = derive_query(s, one->derivation->name, session_text(sql), param_count, params, &result, reterr);

    for (int i = 0; !failed && i < count; i++)
        ret_counts[i] = PQntuples(result) ? strtoll(PQgetvalue(result, 0, i), NULL, 10) : 0;
    PQclear(result);
    buf_reset(sql);
    return failed;
}

static int look_before(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                       struct before *ret_before, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, one->derivation->name};
    int64_t counts[3] = {0};
    struct buf sql;
    int failed;

    *ret_before = (struct before){0};
    if (one->standing == 0)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "SELECT count(*) FILTER (WHERE q.op <> 'D' AND q.status <> 'discarded'), "
               "count(*) FILTER (WHERE q.op <> 'D' AND q.status = 'discarded'), "
               "count(*) FILTER (WHERE q.op = 'D' AND q.status <> 'discarded') FROM pgrekey_w%d AS w "
               "JOIN pgrekey.quarantine AS q ON q.pipeline = $1 AND q.rule = $2 AND q.key = w.kt AND q.status <> "
               "'resolved' WHERE ",
               one->derivation->index);
    derive_put_range(&sql, range, "w");
    failed = count_query(s, one, &sql, 2, params, counts, 3, reterr);
    buf_done(&sql);
    *ret_before = (struct before){counts[0], counts[1], counts[2]};
    return failed;
}

/* Entries of keys in the range but those that are rejected again. An entry that this very transaction
 * put goes without a trace. */
static int resolve(struct pgsink *s, struct derive_one *one, const struct derive_range *range, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, one->derivation->name};
    int index = one->derivation->index;
    struct buf sql, which;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_init(&which, DERIVE_SQL_MAX);
    buf_printf(&which, "SELECT w.kt FROM pgrekey_w%d AS w WHERE ", index);
    derive_put_range(&which, range, "w");
    buf_printf(&which, " AND NOT EXISTS (SELECT FROM pgrekey_r%d AS r WHERE r.n = w.n AND r.cat IS NOT NULL)", index);
    buf_printf(&sql,
               "WITH which AS MATERIALIZED (%s), fresh AS (DELETE FROM pgrekey.quarantine AS q USING which WHERE "
               "q.pipeline = $1 AND q.rule = $2 AND q.key = which.kt AND q.status <> 'resolved' AND q.first_seen = "
               "now()) UPDATE pgrekey.quarantine AS q SET status = 'resolved', resolved_at = now(), next_try = NULL, "
               "blocked_by = NULL, change = '{}', target_row = NULL FROM which WHERE q.pipeline = $1 AND q.rule = $2 "
               "AND q.key = "
               "which.kt AND q.status <> 'resolved' AND q.first_seen <> now()",
               buf_text(&which));
    failed = derive_sql(s, one, &sql, 2, params, NULL, reterr);
    buf_done(&which);
    buf_done(&sql);
    return failed;
}

/* --- entries --- */

struct reason {
    const char *sqlstate, *column, *constraint, *text; /* "" where nothing is known */
};

/* CASE r.cat WHEN 'email_conflict' THEN 'high' … END: what C knows of categories, said to the server. */
static void put_by_category(struct buf *sql, const char *(*text)(enum category category))
{
    buf_puts(sql, "CASE r.cat");
    for (int c = CATEGORY_EMAIL_CONFLICT; c <= CATEGORY_TRANSIENT; c++) {
        buf_puts(sql, " WHEN ");
        pg_put_literal(sql, category_name((enum category)c));
        buf_puts(sql, " THEN ");
        pg_put_literal(sql, text((enum category)c));
    }
    buf_puts(sql, " END");
}

static void put_conflict(struct buf *sql, bool again)
{
    buf_printf(sql,
               " ON CONFLICT (pipeline, rule, key) WHERE status <> 'resolved' DO UPDATE SET op = excluded.op, "
               "category = excluded.category, severity = excluded.severity, sqlstate = excluded.sqlstate, column_name "
               "= excluded.column_name, constraint_name = excluded.constraint_name, reason = excluded.reason, "
               "suggestion = excluded.suggestion, waits_table = excluded.waits_table, waits_id = excluded.waits_id, "
               "target_row = coalesce(excluded.target_row, quarantine.target_row)%s",
               again ? ""
                     : ", status = 'pending', retries = 0, lsn = excluded.lsn, xid = excluded.xid, next_try = "
                       "excluded.next_try, last_tried = now()");
}

/* Entries from rows (kt, cat) under the name r. */
static int put_entries(struct pgsink *s, struct derive_one *one, const char *rows, const char *key_or_null,
                       const char *category_or_null, bool deleting, const struct reason *reason, int64_t *ret_count,
                       struct err *reterr)
{
    const struct derivation *d = one->derivation;
    char lsn[LSN_TEXT_MAX], xid[16], backoff[16];
    struct buf sql, names[2];
    int failed;

    for (size_t i = 0; i < 2; i++)
        buf_init(&names[i], 1024);
    buf_printf(&names[0], "%s.%s", d->inputs[0].schema, d->inputs[0].table);
    buf_printf(&names[1], "%s.%s", d->to_schema, d->to_table);
    snprintf(xid, sizeof(xid), "%" PRIu32, s->rowmode->xid);
    snprintf(backoff, sizeof(backoff), "%d", s->options.retry_backoff_s);
    const char *params[] = {s->options.pipeline,
                            d->name,
                            buf_text(&names[0]),
                            buf_text(&names[1]),
                            deleting ? "D" : "U",
                            reason->sqlstate,
                            reason->column,
                            reason->constraint,
                            reason->text,
                            lsn_format(s->lsn, lsn),
                            xid,
                            s->options.retry_limit > 0 ? backoff : NULL,
                            key_or_null,
                            category_or_null};
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "INSERT INTO pgrekey.quarantine (pipeline, rule, key, source_table, target_table, op, category, "
                   "severity, sqlstate, column_name, constraint_name, reason, suggestion, change, lsn, xid, next_try, "
                   "waits_table, waits_id, target_row) SELECT $1, $2, r.kt, $3, $4, $5, r.cat, ");
    put_by_category(&sql, category_severity);
    buf_puts(&sql, ", $6, $7, $8, CASE WHEN $9 <> '' THEN $9 WHEN r.cat = 'ambiguous_value' THEN 'several rows of one "
                   "key, or a rejected one' WHEN r.parent_id IS NOT NULL THEN '" PARK_REASON_MISSING
                   "' ELSE 'the derivation rejects it' END, ");
    put_by_category(&sql, category_suggestion);
    buf_printf(&sql,
               ", '{}', $10, $11, CASE WHEN r.parent_id IS NULL THEN now() + make_interval(secs => $12::float8) END, "
               "r.parent_table, r.parent_id, ");
    derive_put_kept(&sql, one, "r.kt");
    buf_printf(&sql, " FROM (%s) AS r", rows);
    put_conflict(&sql, s->derive->again);
    failed = derive_sql(s, one, &sql, key_or_null ? 14 : 12, params, ret_count, reterr);
    buf_done(&sql);
    for (size_t i = 0; i < 2; i++)
        buf_done(&names[i]);
    one->standing += *ret_count;
    s->figures.quarantined += (uint64_t)(s->derive->again ? 0 : *ret_count);
    return failed;
}

static int put_rejected(struct pgsink *s, struct derive_one *one, int64_t *ret_count, struct err *reterr)
{
    static const struct reason none = {"", "", "", ""};
    struct buf rows;
    int failed;

    buf_init(&rows, DERIVE_SQL_MAX);
    buf_puts(&rows, "SELECT DISTINCT ON (kt) kt, parent_table, parent_id, CASE WHEN cat IN (");
    for (int c = CATEGORY_EMAIL_CONFLICT; c <= CATEGORY_TRANSIENT; c++) {
        buf_puts(&rows, c > CATEGORY_EMAIL_CONFLICT ? ", " : "");
        pg_put_literal(&rows, category_name((enum category)c));
    }
    buf_printf(&rows, ") THEN cat ELSE 'validation_failure' END AS cat FROM pgrekey_r%d WHERE cat IS NOT NULL",
               one->derivation->index);
    failed = put_entries(s, one, session_text(&rows), NULL, NULL, false, &none, ret_count, reterr);
    buf_done(&rows);
    return failed;
}

/* --- pgrekey.derived --- */

static int note_good(struct pgsink *s, struct derive_one *one, int64_t *ret_count, struct err *reterr)
{
    const char *params[] = {one->id};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "INSERT INTO pgrekey.derived AS x (derivation, key, good, row) SELECT $1::integer, r.kt, true, ");
    if (one->linked)
        derive_put_result_text(&sql, one, "r");
    else
        buf_puts(&sql, "NULL");
    buf_printf(&sql,
               " FROM pgrekey_r%d AS r WHERE r.cat IS NULL AND coalesce(r.act, '=') IN ('=', 'u', 'i') AND NOT EXISTS "
               "(SELECT FROM pgrekey.derived AS y WHERE y.derivation = $1::integer AND y.key = r.kt AND y.good)%s "
               "ON CONFLICT (derivation, key) DO UPDATE SET good = true",
               one->derivation->index, s->derive->many ? " ORDER BY r.kt" : "");
    failed = derive_sql(s, one, &sql, 1, params, ret_count, reterr);
    buf_done(&sql);
    return failed;
}

/* Adopted rows among them whose keys were never good: to their children they come now. */
static int note_met(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    const char *params[] = {s->options.pipeline, d->entity, d->name};
    struct buf sql, relation;
    int64_t met = 0;
    int failed;

    if (!derive_adopts(one))
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(
        &sql,
        "UPDATE pgrekey.adopted AS a SET met = array_append(met, $3) FROM pgrekey_r%d AS r WHERE a.pipeline = $1 "
        "AND a.entity = $2 AND a.id = r.t0 AND a.met = '{}' AND r.cat IS NULL AND coalesce(r.act, '=') IN ('=', "
        "'u')",
        d->index);
    failed = derive_sql(s, one, &sql, 3, params, &met, reterr);
    buf_done(&sql);
    if (failed || met == 0)
        return failed;
    buf_init(&relation, DERIVE_SQL_MAX);
    buf_puts(&relation, "(SELECT r.t0 AS ");
    derive_put_column(&relation, d->keys[0].column);
    buf_printf(&relation, " FROM pgrekey_r%d AS r WHERE r.cat IS NULL AND coalesce(r.act, '=') IN ('=', 'u'))",
               d->index);
    failed = park_arrived(s, d->to_schema, d->to_table, session_text(&relation), d->keys[0].column, reterr);
    buf_done(&relation);
    return failed;
}

/* Rejected keys, and those whose row could not go, are not good any more. */
static int note_bad(struct pgsink *s, struct derive_one *one, int64_t *ret_count, struct err *reterr)
{
    const char *params[] = {one->id};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "UPDATE pgrekey.derived AS x SET good = false FROM (SELECT DISTINCT kt FROM pgrekey_r%d WHERE cat IS "
               "NOT NULL OR act = 'x') AS r WHERE x.derivation = $1::integer AND x.key = r.kt AND x.good",
               one->derivation->index);
    failed = derive_sql(s, one, &sql, 1, params, ret_count, reterr);
    buf_done(&sql);
    return failed;
}

/* A row that is kept is known as its key's on: it goes with a parent that goes. */
static int note_gone(struct pgsink *s, struct derive_one *one, int64_t *ret_count, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    const char *params[] = {one->id};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(
        &sql,
        "WITH went AS (SELECT r.kt, r.act FROM pgrekey_r%d AS r WHERE r.act IN ('g', 'p')), gone AS (DELETE FROM "
        "pgrekey.derived AS x USING went WHERE x.derivation = $1::integer AND x.key = went.kt%s), kept AS "
        "(UPDATE pgrekey.derived AS x SET good = NULL FROM went WHERE x.derivation = $1::integer AND x.key = "
        "went.kt%s) SELECT count(*) FROM went JOIN pgrekey.derived AS x ON x.derivation = $1::integer AND x.key "
        "= went.kt AND x.good",
        d->index, d->owns_rows && d->gone != GONE_DELETE ? " AND went.act = 'p'" : "",
        d->owns_rows && d->gone != GONE_DELETE ? " AND went.act = 'g'" : " AND false");
    failed = count_query(s, one, &sql, 1, params, ret_count, 1, reterr);
    buf_done(&sql);
    return failed;
}

/* --- a range --- */

int derive_settle(struct pgsink *s, struct derive_one *one, const struct derive_range *range,
                  const struct derive_tally *tally, struct account *account, struct err *reterr)
{
    int64_t good = 0, bad = 0, gone = 0, rejected = 0;
    struct before before;

    if (look_before(s, one, range, &before, reterr))
        return -1;
    if ((before.quarantined || before.discarded || before.held) && resolve(s, one, range, reterr))
        return -1;
    if ((tally->good && note_good(s, one, &good, reterr)) || (good && note_met(s, one, reterr)) ||
        ((tally->rejected || one->refused) && note_bad(s, one, &bad, reterr)) ||
        ((tally->gone || tally->parked) && note_gone(s, one, &gone, reterr)) ||
        (tally->rejected && put_rejected(s, one, &rejected, reterr)))
        return -1;
    if (derive_forget_kept(s, one, range, reterr))
        return -1;
    account->mapped += good - bad - gone;
    account->quarantined += rejected - before.quarantined;
    account->excluded -= before.discarded;
    account->failed_deletes -= before.held;
    if (!s->derive->again)
        breaker_count(s->breaker, (uint64_t)(tally->good + tally->gone), (uint64_t)(tally->rejected - tally->orphans));
    return 0;
}

/* --- a key that failed --- */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void note_failure(struct pgsink *s, const struct derive_one *one, enum category category, const struct err *why)
{
    snprintf(s->rowmode->failure, sizeof(s->rowmode->failure), "derivation %s, %s, SQLSTATE %s%s%s%s%s",
             one->derivation->name, category_name(category), why->sqlstate, *why->column ? ", column " : "",
             why->column, *why->constraint ? ", constraint " : "", why->constraint);
}

static int mark_bad(struct pgsink *s, struct derive_one *one, const char *key, int64_t *ret_count, struct err *reterr)
{
    const char *params[] = {one->id, key};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "UPDATE pgrekey.derived SET good = false WHERE derivation = $1::integer AND key = $2 AND good");
    failed = derive_sql(s, one, &sql, 2, params, ret_count, reterr);
    buf_done(&sql);
    return failed;
}

/* One key into quarantine; what stood of it before has been counted. */
static int put_one(struct pgsink *s, struct derive_one *one, const char *key, bool deleting, const struct err *why,
                   struct err *reterr)
{
    enum category category = refusal_category(why, deleting);
    const struct reason reason = {.sqlstate = or_empty(why->sqlstate),
                                  .column = or_empty(why->column),
                                  .constraint = or_empty(why->constraint),
                                  .text = refusal_reason(why, deleting)};
    int64_t put = 0;
    int failed = put_entries(s, one,
                             "SELECT $13::text AS kt, $14::text AS cat, NULL::text AS parent_table, NULL::text AS "
                             "parent_id",
                             key, category_name(category), deleting, &reason, &put, reterr);

    note_failure(s, one, category, why);
    if (!s->derive->again)
        breaker_count(s->breaker, 0, 1);
    return failed;
}

static int key_at(struct pgsink *s, struct derive_one *one, int64_t n, char **ret_key, struct err *reterr)
{
    PGresult *result = NULL;
    char sql[96];

    snprintf(sql, sizeof(sql), "SELECT kt FROM pgrekey_w%d WHERE n = %" PRId64, one->derivation->index, n);
    if (session_query(s, "deriving rows", sql, 0, NULL, &result, reterr))
        return -1;
    *ret_key = mem_strdup(PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return 0;
}

int derive_settle_failed(struct pgsink *s, struct derive_one *one, int64_t n, const struct err *why, struct err *reterr)
{
    const struct derive_range range = {.lo = n, .hi = n};
    struct before before;
    int64_t bad = 0;
    char *key;
    int failed;

    if (look_before(s, one, &range, &before, reterr) || key_at(s, one, n, &key, reterr))
        return -1;
    failed = mark_bad(s, one, key, &bad, reterr) || put_one(s, one, key, false, why, reterr);
    free(key);
    one->step.mapped -= bad;
    one->step.quarantined += 1 - before.quarantined;
    one->step.excluded -= before.discarded;
    one->step.failed_deletes -= before.held;
    return failed ? -1 : 0;
}

/* A refused delete, when all is done: the key is not good any more since its run, which took older entries away. */
int derive_settle_held(struct pgsink *s, struct derive_one *one, const char *key, const struct err *why,
                       struct err *reterr)
{
    one->step.failed_deletes++;
    return put_one(s, one, key, true, why, reterr);
}
