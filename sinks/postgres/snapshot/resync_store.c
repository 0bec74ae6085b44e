#include "sinks/postgres/snapshot/resync_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/session/session.h"

#define SQL_MAX ((size_t)1 << 16)
#define ARRAY_MAX ((size_t)64 << 20)

/* --- asking --- */

static void put_array(struct buf *array, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct value value = {.text = texts[i], .len = (uint32_t)strlen(texts[i]), .state = VALUE_TEXT};
        session_put_array_item(array, &value);
    }
}

int resync_put(PGconn *conn, const char *pipeline, const struct resync_ask *ask, int64_t *ret_id, struct err *reterr)
{
    struct buf array;
    PGresult *result = NULL;
    int failed;

    buf_init(&array, ARRAY_MAX);
    put_array(&array, ask->keys, ask->key_count);
    const char *keys = ask->key_count ? session_end_array(&array) : NULL;
    const char *params[] = {pipeline, ask->table, ask->reason ? ask->reason : "asked", keys, ask->lo, ask->hi};
    if (buf_overflowed(&array))
        failed = err_set(reterr, ERR_CONFIG, "too many keys in one request");
    else
        failed = pg_query(conn, SIDE, "asking for a resync",
                          "INSERT INTO pgrekey.resync (pipeline, source_table, reason, keys, lo, hi)"
                          " VALUES ($1, $2, $3, $4::text[], $5, $6) RETURNING id",
                          6, params, &result, reterr);
    buf_done(&array);
    if (!failed)
        *ret_id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return failed;
}

int resync_report(PGconn *conn, int64_t id, struct resync_report *ret_report, struct err *reterr)
{
    char id_text[24];
    const char *params[] = {id_text};
    PGresult *result;

    *ret_report = (struct resync_report){0};
    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    if (pg_query(conn, SIDE, "reading a resync",
                 "SELECT source_table, status, expected, rows, removed, coalesce(result, '') FROM pgrekey.resync"
                 " WHERE id = $1",
                 1, params, &result, reterr))
        return -1;
    if (PQntuples(result) == 1) {
        const char *status = PQgetvalue(result, 0, 1);
        ret_report->exists = true;
        ret_report->begun = strcmp(status, "waiting") != 0;
        ret_report->failed = strcmp(status, "failed") == 0;
        ret_report->done = ret_report->failed || strcmp(status, "done") == 0;
        ret_report->expected = strtoull(PQgetvalue(result, 0, 2), NULL, 10);
        ret_report->rows = strtoull(PQgetvalue(result, 0, 3), NULL, 10);
        ret_report->removed = strtoull(PQgetvalue(result, 0, 4), NULL, 10);
        snprintf(ret_report->table, sizeof(ret_report->table), "%s", PQgetvalue(result, 0, 0));
        snprintf(ret_report->result, sizeof(ret_report->result), "%s", PQgetvalue(result, 0, 5));
    }
    PQclear(result);
    return 0;
}

/* --- the engine's side --- */

int resync_connect(const struct pgsink_options *options, PGconn **ret_conn, struct err *reterr)
{
    struct pgsink s = {.options = *options};

    if (opening_connect(&s, reterr) == 0) {
        *ret_conn = s.conn;
        return 0;
    }
    pg_close(s.conn);
    return -1;
}

static char *text_at(const PGresult *result, int column)
{
    return PQgetisnull(result, 0, column) ? NULL : mem_strdup(PQgetvalue(result, 0, column));
}

static struct resync_record *take_record(const PGresult *result)
{
    struct resync_record *record = mem_zalloc(1, sizeof(*record));
    const struct {
        char **to;
        int column;
    } texts[] = {{&record->table, 1}, {&record->reason, 2}, {&record->lo, 3}, {&record->hi, 4}, {&record->next, 5}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        *texts[i].to = text_at(result, texts[i].column);
    record->id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    record->begun = strcmp(PQgetvalue(result, 0, 6), "running") == 0;
    record->rows = strtoull(PQgetvalue(result, 0, 7), NULL, 10);
    record->removed = strtoull(PQgetvalue(result, 0, 8), NULL, 10);
    record->keys = mem_zalloc((size_t)PQntuples(result), sizeof(*record->keys));
    for (int i = 0; i < PQntuples(result); i++)
        if (!PQgetisnull(result, i, 9))
            record->keys[record->key_count++] = mem_strdup(PQgetvalue(result, i, 9));
    return record;
}

int resync_next(PGconn *conn, const char *pipeline, struct resync_record **ret_record, struct err *reterr)
{
    const char *params[] = {pipeline};
    PGresult *result;

    *ret_record = NULL;
    if (pg_query(conn, SIDE, "reading what is to be resynced",
                 "SELECT r.id, source_table, reason, lo, hi, next, status, rows, removed, k.key FROM"
                 " (SELECT * FROM pgrekey.resync WHERE pipeline = $1 AND status IN ('waiting', 'running')"
                 "  ORDER BY id LIMIT 1) r LEFT JOIN unnest(r.keys) WITH ORDINALITY AS k (key, n) ON true ORDER BY k.n",
                 1, params, &result, reterr))
        return -1;
    if (PQntuples(result) > 0)
        *ret_record = take_record(result);
    PQclear(result);
    return 0;
}

static int update(PGconn *conn, const struct resync_record *record, const char *sql, int param_count,
                  const char **params, struct err *reterr)
{
    char id[24];

    snprintf(id, sizeof(id), "%" PRId64, record->id);
    params[0] = id;
    return pg_query(conn, SIDE, "recording a resync", sql, param_count, params, NULL, reterr);
}

int resync_begun(PGconn *conn, const struct resync_record *record, const char *table, double expected,
                 struct err *reterr)
{
    char rows[32];
    const char *params[] = {NULL, table, rows};

    snprintf(rows, sizeof(rows), "%.0f", expected > 0 ? expected : 0);
    return update(conn, record,
                  "UPDATE pgrekey.resync SET status = 'running', begun_at = coalesce(begun_at, now()),"
                  " source_table = $2, expected = $3::bigint WHERE id = $1",
                  3, params, reterr);
}

int resync_note(PGconn *conn, const struct resync_record *record, const char *note, struct err *reterr)
{
    const char *params[] = {NULL, note};

    return update(conn, record, "UPDATE pgrekey.resync SET result = $2 WHERE id = $1", 2, params, reterr);
}

int resync_moved(PGconn *conn, const struct resync_record *record, uint64_t point, struct err *reterr)
{
    char rows[24], removed[24], lsn[LSN_TEXT_MAX];
    const char *params[] = {NULL, record->next, rows, removed, lsn_format(point, lsn)};

    snprintf(rows, sizeof(rows), "%" PRIu64, record->rows);
    snprintf(removed, sizeof(removed), "%" PRIu64, record->removed);
    return update(conn, record,
                  "UPDATE pgrekey.resync SET next = $2, rows = $3::bigint, removed = $4::bigint, point = $5::pg_lsn,"
                  " result = NULL WHERE id = $1",
                  5, params, reterr);
}

int resync_ended(PGconn *conn, const char *pipeline, const struct resync_record *record, bool failed,
                 const char *result, struct err *reterr)
{
    bool whole = !failed && !record->lo && !record->hi && record->key_count == 0;
    const char *params[] = {NULL, failed ? "failed" : "done", result, pipeline, whole ? "t" : "f"};

    return update(conn, record,
                  "WITH r AS (UPDATE pgrekey.resync SET status = $2, result = $3, done_at = now(), keys = NULL,"
                  " lo = NULL, hi = NULL, next = NULL WHERE id = $1 RETURNING *),"
                  " m AS (UPDATE pgrekey.mapping_step m SET state = 'current' FROM r WHERE $5::boolean AND"
                  " m.pipeline = $4 AND m.source_table = r.source_table AND m.kind = 'rule' AND m.state = 'changed')"
                  " INSERT INTO pgrekey.audit (pipeline, action, rule, rows, detail)"
                  " SELECT $4, 'resync', '', r.rows, r.source_table || ', ' || r.reason || ' by ' || r.requested_by ||"
                  " ': ' || r.result FROM r",
                  5, params, reterr);
}

/* --- what stands on the target --- */

static bool is_plain_key(const char *type)
{
    return strcmp(type, "smallint") == 0 || strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0 ||
           strcmp(type, "uuid") == 0;
}

static const struct column *target_column(const struct map *map, const struct rule *rule, size_t i)
{
    const struct relation *target = map_rule_target(map, rule);
    const char *name = rule->columns[rule->origin[i]].name;

    for (size_t c = 0; target && c < target->column_count; c++)
        if (strcmp(target->columns[c].name, name) == 0)
            return &target->columns[c];
    return NULL;
}

static bool writes_same_table(const char *schema, const char *table, const struct rule *rule)
{
    return strcmp(schema, rule->to_schema) == 0 && strcmp(table, rule->to_table) == 0;
}

/* Another source table, or a derivation, may have left rows there with the same numbers. */
static bool is_shared(const struct map *map, const struct rule *rule)
{
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct rule *other = map_rule(map, i);
        if (writes_same_table(other->to_schema, other->to_table, rule) &&
            map_rule_source(map, other) != map_rule_source(map, rule))
            return true;
    }
    for (size_t i = 0; i < map_derivation_count(map); i++) {
        const struct derivation *other = map_derivation(map, i);
        if (other->owns_rows && writes_same_table(other->to_schema, other->to_table, rule))
            return true;
    }
    return false;
}

bool resync_knows_keys(const struct map *map, const struct rule *rule)
{
    const struct relation *source = map_rule_source(map, rule);

    if (!source || source->key_count == 0 || rule->origin_count != source->key_count || is_shared(map, rule))
        return false;
    for (size_t i = 0; i < rule->origin_count; i++) {
        const struct column *column = target_column(map, rule, i);
        if (!column || !is_plain_key(source->columns[source->key[i]].base_type) || !is_plain_key(column->base_type))
            return false;
    }
    return true;
}

static void put_bound(struct buf *sql, const struct rule *rule, const char *operator, const char * bound)
{
    if (!bound)
        return;
    buf_puts(sql, " AND ");
    pg_put_ident(sql, rule->columns[rule->origin[0]].name);
    buf_puts(sql, operator);
    pg_put_literal(sql, bound);
}

int resync_keys_read(PGconn *conn, const struct rule *rule, const char *lo, const char *hi, bool hi_included,
                     PGresult **ret_rows, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "SELECT '['");
    for (size_t i = 0; i < rule->origin_count; i++) {
        buf_puts(&sql, i ? " || ',' || to_json(" : " || to_json(");
        pg_put_ident(&sql, rule->columns[rule->origin[i]].name);
        buf_puts(&sql, "::text)::text");
    }
    buf_puts(&sql, " || ']'");
    for (size_t i = 0; i < rule->locator_count; i++) {
        buf_puts(&sql, ", ");
        pg_put_ident(&sql, rule->columns[rule->locator[i]].name);
    }
    buf_puts(&sql, " FROM ");
    pg_put_qualified(&sql, rule->to_schema, rule->to_table);
    for (size_t i = 0; i < rule->origin_count; i++) {
        buf_puts(&sql, i ? " AND " : " WHERE ");
        pg_put_ident(&sql, rule->columns[rule->origin[i]].name);
        buf_puts(&sql, " IS NOT NULL");
    }
    put_bound(&sql, rule, " >= ", lo);
    put_bound(&sql, rule, hi_included ? " <= " : " < ", hi);
    int failed = pg_query(conn, SIDE, "reading a rule's keys", buf_text(&sql), 0, NULL, ret_rows, reterr);
    buf_done(&sql);
    return failed;
}
