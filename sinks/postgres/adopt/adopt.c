#include "sinks/postgres/adopt/adopt.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/uuid.h"
#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/audit.h"

#define PAGE_ROWS 10000
#define SQL_MAX ((size_t)1 << 20)

/* --- who adopts --- */

static bool take_rule(const struct rule *rule, struct adopter *ret_adopter)
{
    if (rule->adopt.by == ADOPT_NONE)
        return false;
    *ret_adopter = (struct adopter){.name = rule->name,
                                    .entity = rule->entity,
                                    .to_schema = rule->to_schema,
                                    .to_table = rule->to_table,
                                    .id = rule->columns[rule->entity_column].name,
                                    .part_count = rule->entity_parts,
                                    .adopt = rule->adopt};
    return true;
}

static bool take_derivation(const struct derivation *derivation, struct adopter *ret_adopter)
{
    if (derivation->adopt.by == ADOPT_NONE)
        return false;
    *ret_adopter = (struct adopter){.name = derivation->name,
                                    .entity = derivation->entity,
                                    .to_schema = derivation->to_schema,
                                    .to_table = derivation->to_table,
                                    .id = derivation->keys[0].column,
                                    .part_count = derivation->keys[0].part_count,
                                    .adopt = derivation->adopt};
    return true;
}

/* The index-th of them, or their number where there are fewer. */
static size_t find(const struct map *map, size_t index, struct adopter *ret_adopter)
{
    size_t count = 0;

    for (size_t i = 0; i < map_rule_count(map); i++)
        if (take_rule(map_rule(map, i), ret_adopter) && count++ == index)
            return count;
    for (size_t i = 0; i < map_derivation_count(map); i++)
        if (take_derivation(map_derivation(map, i), ret_adopter) && count++ == index)
            return count;
    return count;
}

size_t adopter_count(const struct map *map)
{
    struct adopter adopter;

    return find(map, SIZE_MAX, &adopter);
}

/* Rules first. */
static struct adopter adopter_at(const struct map *map, size_t index)
{
    struct adopter adopter = {0};

    (void)find(map, index, &adopter);
    return adopter;
}

bool adopter_of_table(const struct map *map, const char *schema, const char *table, struct adopter *ret_adopter)
{
    for (size_t i = 0; i < adopter_count(map); i++) {
        struct adopter adopter = adopter_at(map, i);
        if (strcmp(adopter.to_table, table) != 0 || strcmp(adopter.to_schema, schema) != 0)
            continue;
        *ret_adopter = adopter;
        return true;
    }
    return false;
}

/* --- pairs of legacy key and id --- */

/* Does `sql:` return as many columns as the legacy key has parts, and the id? ERR_CONFIG where not. */
static int check_query(PGconn *conn, const struct adopter *adopter, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;
    size_t fields;
    int rc;

    if (adopter->adopt.by != ADOPT_SQL)
        return 0;
    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "SELECT * FROM (%s\n) AS q LIMIT 0", adopter->adopt.sql);
    rc = pg_query(conn, SIDE, "asking what `adopt` returns", session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (rc)
        return err_wrap(reterr, "adopt of %s", adopter->name);
    fields = (size_t)PQnfields(result);
    PQclear(result);
    if (fields == adopter->part_count + 1)
        return 0;
    return err_set(reterr, ERR_CONFIG,
                   "adopt of %s: its query returns %zu column%s; wanted: the legacy key (%zu) and the id",
                   adopter->name, fields, fields == 1 ? "" : "s", adopter->part_count);
}

/* "x.l1, x.l2" */
static void put_parts(struct buf *sql, const struct adopter *adopter, const char *alias)
{
    for (size_t i = 0; i < adopter->part_count; i++)
        buf_printf(sql, "%s%s.l%zu", i ? ", " : "", alias, i + 1);
}

/* What the query returns, as text and uuid; n is 1 for the first legacy key that claims an id. */
static void put_claims(struct buf *sql, const struct adopter *adopter)
{
    buf_puts(sql, "(SELECT DISTINCT ");
    for (size_t i = 0; i < adopter->part_count; i++)
        buf_printf(sql, "q.l%zu::text AS l%zu, ", i + 1, i + 1);
    buf_puts(sql, "q.id::uuid AS id, dense_rank() OVER (PARTITION BY q.id::uuid ORDER BY ");
    put_parts(sql, adopter, "q");
    buf_printf(sql, ") AS n FROM (%s\n) AS q (", adopter->adopt.sql);
    for (size_t i = 0; i < adopter->part_count; i++)
        buf_printf(sql, "l%zu, ", i + 1);
    buf_puts(sql, "id) WHERE q.id IS NOT NULL");
    for (size_t i = 0; i < adopter->part_count; i++)
        buf_printf(sql, " AND q.l%zu IS NOT NULL", i + 1);
    buf_puts(sql, ")");
}

static void put_stands(struct buf *sql, const struct adopter *adopter)
{
    buf_puts(sql, "EXISTS (SELECT FROM ");
    pg_put_qualified(sql, adopter->to_schema, adopter->to_table);
    buf_puts(sql, " AS t WHERE t.");
    pg_put_ident(sql, adopter->id);
    buf_puts(sql, "::uuid = x.id)");
}

static void put_pairs_of_columns(const struct adopter *adopter, struct buf *sql)
{
    const struct adopt *adopt = &adopter->adopt;

    buf_puts(sql, "SELECT ");
    for (size_t i = 0; i < adopt->column_count; i++) {
        buf_puts(sql, "t.");
        pg_put_ident(sql, adopt->columns[i]);
        buf_printf(sql, "::text AS l%zu, ", i + 1);
    }
    buf_puts(sql, "t.");
    pg_put_ident(sql, adopter->id);
    buf_puts(sql, "::uuid AS id FROM ");
    pg_put_qualified(sql, adopter->to_schema, adopter->to_table);
    buf_puts(sql, " AS t");
    for (size_t i = 0; i < adopt->column_count; i++) {
        buf_puts(sql, i ? " AND t." : " WHERE t.");
        pg_put_ident(sql, adopt->columns[i]);
        buf_puts(sql, " IS NOT NULL");
    }
}

void adopter_put_pairs(const struct adopter *adopter, struct buf *sql)
{
    if (adopter->adopt.by == ADOPT_COLUMNS) {
        put_pairs_of_columns(adopter, sql);
        return;
    }
    buf_puts(sql, "SELECT ");
    put_parts(sql, adopter, "x");
    buf_puts(sql, ", x.id FROM ");
    put_claims(sql, adopter);
    buf_puts(sql, " AS x WHERE x.n = 1 AND ");
    put_stands(sql, adopter);
}

/* SELECT of what pairs leave out: l1 .. ln, id, and whether the row stands (then it is an earlier key's). */
static void put_left_out(const struct adopter *adopter, struct buf *sql)
{
    buf_puts(sql, "SELECT ");
    put_parts(sql, adopter, "x");
    buf_puts(sql, ", x.id, x.stands FROM (SELECT x.*, ");
    put_stands(sql, adopter);
    buf_puts(sql, " AS stands FROM ");
    put_claims(sql, adopter);
    buf_puts(sql, " AS x) AS x WHERE x.n > 1 OR NOT x.stands");
}

/* --- what is looked at first --- */

static int has_begun(struct pgsink *s, const struct adopter *adopter, bool *ret_begun, bool *ret_done,
                     struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, adopter->name};
    PGresult *result = NULL;

    if (session_query(s, "looking at the adoption",
                      "SELECT done FROM pgrekey.adoption WHERE pipeline = $1 AND rule = $2", 2, params, &result,
                      reterr))
        return -1;
    *ret_begun = PQntuples(result) == 1;
    *ret_done = *ret_begun && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

int adopt_is_done(struct pgsink *s, const struct adopter *adopter, bool *ret_done, struct err *reterr)
{
    bool begun;

    return has_begun(s, adopter, &begun, ret_done, reterr);
}

/* The record of the adoption, with what the query says that cannot be granted. */
static void put_begin(const struct adopter *adopter, struct buf *sql)
{
    if (adopter->adopt.by == ADOPT_COLUMNS) {
        buf_puts(sql, "INSERT INTO pgrekey.adoption (pipeline, rule, entity, target_table) "
                      "VALUES ($1, $2, $3, $4 || '.' || $5)");
        return;
    }
    buf_puts(sql, "WITH x AS MATERIALIZED (");
    put_left_out(adopter, sql);
    buf_puts(sql, "), noted AS (INSERT INTO pgrekey.audit (pipeline, action, rule, rows, detail) "
                  "SELECT $1, CASE WHEN x.stands THEN 'adopt_shared' ELSE 'adopt_missing' END, $2, 1, "
                  "'entity ' || $3 || ': legacy key ' || concat_ws(', ', ");
    put_parts(sql, adopter, "x");
    buf_puts(sql, ") || CASE WHEN x.stands THEN ' claims a row that is an earlier key''s: ' "
                  "ELSE ' claims a row that is not there: ' END || x.id FROM x) "
                  "INSERT INTO pgrekey.adoption (pipeline, rule, entity, target_table, shared, missing) "
                  "SELECT $1, $2, $3, $4 || '.' || $5, count(*) FILTER (WHERE x.stands), "
                  "count(*) FILTER (WHERE NOT x.stands) FROM x");
}

static int begin_one(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    const char *params[5] = {s->options.pipeline, adopter->name, adopter->entity, adopter->to_schema,
                             adopter->to_table};
    struct buf sql;
    int rc;

    if (check_query(s->conn, adopter, reterr) || adopt_begin(s, reterr))
        return -1;
    buf_init(&sql, SQL_MAX);
    put_begin(adopter, &sql);
    rc = session_query(s, "beginning an adoption", session_text(&sql), 5, params, NULL, reterr);
    buf_done(&sql);
    return rc ? -1 : session_commit(s, reterr);
}

/* --- ids --- */

static void put_legacy(struct buf *text, const struct uuid_part *parts, size_t count)
{
    if (count == 1) {
        buf_append(text, parts[0].text, parts[0].len);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(text, '|');
        for (size_t c = 0; c < parts[i].len; c++) {
            if (parts[i].text[c] == '\\' || parts[i].text[c] == '|')
                buf_putc(text, '\\');
            buf_putc(text, parts[i].text[c]);
        }
    }
}

static void take_parts(const PGresult *page, int row, size_t count, struct uuid_part *parts)
{
    for (size_t i = 0; i < count; i++)
        parts[i] =
            (struct uuid_part){.text = PQgetvalue(page, row, (int)i), .len = (size_t)PQgetlength(page, row, (int)i)};
}

struct uuid adopt_derived(const struct pgsink *s, const struct adopter *adopter, const PGresult *pairs, int row)
{
    struct uuid_part parts[ADOPT_PARTS_MAX];

    take_parts(pairs, row, adopter->part_count, parts);
    return uuid_of_key(map_namespace(s->options.map), adopter->entity, parts, adopter->part_count);
}

/* One row of the page into the three arrays. */
static void put_row(const struct pgsink *s, const struct adopter *adopter, const PGresult *page, int row,
                    struct buf arrays[3])
{
    size_t count = adopter->part_count;
    struct uuid_part parts[ADOPT_PARTS_MAX];
    char derived[UUID_TEXT_LEN + 1];
    struct value value = {.text = derived, .len = UUID_TEXT_LEN, .state = VALUE_TEXT};
    struct buf legacy;
    struct uuid uuid = adopt_derived(s, adopter, page, row);

    take_parts(page, row, count, parts);
    uuid_format(&uuid, derived);
    session_put_array_item(&arrays[0], &value);
    value.text = PQgetvalue(page, row, (int)count);
    session_put_array_item(&arrays[1], &value);
    buf_init(&legacy, SESSION_ARRAY_MAX);
    put_legacy(&legacy, parts, count);
    value = (struct value){.text = buf_text(&legacy), .len = (uint32_t)legacy.len, .state = VALUE_TEXT};
    session_put_array_item(&arrays[2], &value);
    buf_done(&legacy);
}

/* The ids that say otherwise than what is there: of two keys, or of two rules of one entity. */
static int refuse_ambiguous(const struct adopter *adopter, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "adopt of %s: one id has two legacy keys, or one legacy key two ids",
                  adopter->name);
    return err_hint(reterr, "each row of %s.%s is adopted for one legacy key of the entity %s, and by one rule",
                    adopter->to_schema, adopter->to_table, adopter->entity);
}

/* Of what was there already each must say the same. */
static int check_page(struct pgsink *s, const struct adopter *adopter, const char *const *params, int64_t rows,
                      struct err *reterr)
{
    PGresult *result = NULL;
    int64_t same;

    if (session_query(s, "recording adopted rows",
                      "SELECT count(*) FROM unnest($3::uuid[], $4::uuid[], $5::text[]) AS k (derived, id, legacy) "
                      "JOIN pgrekey.adopted a ON a.derived = k.derived AND a.id = k.id "
                      "WHERE a.pipeline = $1 AND a.entity = $2",
                      5, params, &result, reterr))
        return -1;
    same = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    return same == rows ? 0 : refuse_ambiguous(adopter, reterr);
}

#define RECORD_PAGE                                                                                                    \
    "INSERT INTO pgrekey.adopted (pipeline, entity, derived, id, legacy) "                                             \
    "SELECT $1, $2, * FROM unnest($3::uuid[], $4::uuid[], $5::text[])"

/* Mostly nothing of a page is there yet. To look for each row first costs as much as to write it, so that is done only
 * where the page as it is was refused: after a crash, or where a key or an id comes twice. */
static int record_page(struct pgsink *s, const struct adopter *adopter, const char *const *params, int64_t rows,
                       struct err *reterr)
{
    struct err why = {0};
    PGresult *result = NULL;
    int rc;

    if (session_run(s, "recording adopted rows", "SAVEPOINT pgrekey_page", reterr))
        return -1;
    if (session_query(s, "recording adopted rows", RECORD_PAGE, 5, params, NULL, &why) == 0)
        return 0;
    if (strcmp(why.sqlstate, "23505") != 0) {
        *reterr = why;
        return -1;
    }
    if (session_back_to(s, "recording adopted rows", "pgrekey_page", false, reterr))
        return -1;
    rc = session_query(s, "recording adopted rows", RECORD_PAGE " ON CONFLICT DO NOTHING", 5, params, &result, reterr);
    if (rc == 0 && strtoll(PQcmdTuples(result), NULL, 10) != rows)
        rc = check_page(s, adopter, params, rows, reterr);
    PQclear(result);
    return rc;
}

static int write_page(struct pgsink *s, const struct adopter *adopter, const PGresult *page, struct err *reterr)
{
    const char *params[5] = {s->options.pipeline, adopter->entity, NULL, NULL, NULL};
    const int64_t rows = PQntuples(page);
    struct buf arrays[3];
    int rc;

    for (size_t i = 0; i < 3; i++)
        buf_init(&arrays[i], SESSION_ARRAY_MAX);
    for (int row = 0; row < PQntuples(page); row++)
        put_row(s, adopter, page, row, arrays);
    for (size_t i = 0; i < 3; i++)
        params[2 + i] = session_end_array(&arrays[i]);
    rc = record_page(s, adopter, params, rows, reterr);
    for (size_t i = 0; i < 3; i++)
        buf_done(&arrays[i]);
    return rc;
}

/* The pairs as they are now, kept by the server for as long as it takes to go through them: each page is a transaction
 * of its own. */
static int write_pages(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    bool more = true;
    char fetch[64];

    snprintf(fetch, sizeof(fetch), "FETCH %d FROM pgrekey_adopt", PAGE_ROWS);
    while (more) {
        PGresult *page = NULL;
        int rc = session_query(s, "reading rows to adopt", fetch, 0, NULL, &page, reterr);

        more = rc == 0 && PQntuples(page) > 0;
        if (more)
            rc = adopt_begin(s, reterr) || write_page(s, adopter, page, reterr) || session_commit(s, reterr) ? -1 : 0;
        PQclear(page);
        if (rc)
            return -1;
    }
    return session_run(s, "reading rows to adopt", "CLOSE pgrekey_adopt; ANALYZE pgrekey.adopted", reterr);
}

/* What an adoption that was cut off has left: the rows may have changed since. */
static int forget_unfinished(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, adopter->entity};

    return session_query(s, "clearing an unfinished adoption",
                         "DELETE FROM pgrekey.adopted WHERE pipeline = $1 AND entity = $2 AND NOT EXISTS "
                         "(SELECT FROM pgrekey.adoption d WHERE d.pipeline = $1 AND d.entity = $2 AND d.done)",
                         2, params, NULL, reterr);
}

static int adopt_ids(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    struct buf sql;
    int rc;

    if (forget_unfinished(s, adopter, reterr) || adopt_begin(s, reterr))
        return -1;
    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "DECLARE pgrekey_adopt NO SCROLL CURSOR WITH HOLD FOR ");
    adopter_put_pairs(adopter, &sql);
    rc = session_run(s, "reading rows to adopt", session_text(&sql), reterr) || session_commit(s, reterr) ? -1 : 0;
    buf_done(&sql);
    return rc ? -1 : write_pages(s, adopter, reterr);
}

/* --- the whole --- */

static int record(struct pgsink *s, const struct adopter *adopter, struct buf *sql, char *detail, size_t detail_size,
                  int64_t *ret_adopted, struct err *reterr)
{
    const char *params[3] = {s->options.pipeline, adopter->name, adopter->entity};
    PGresult *result = NULL;

    buf_puts(sql, "UPDATE pgrekey.adoption o SET done = true, adopted = n.adopted, others = n.others FROM "
                  "(SELECT count(a.id) AS adopted, count(*) FILTER (WHERE a.id IS NULL) AS others FROM ");
    pg_put_qualified(sql, adopter->to_schema, adopter->to_table);
    buf_puts(sql, " AS t LEFT JOIN pgrekey.adopted a ON a.pipeline = $1 AND a.entity = $3 AND a.id = t.");
    pg_put_ident(sql, adopter->id);
    buf_puts(sql, "::uuid) AS n WHERE o.pipeline = $1 AND o.rule = $2 "
                  "RETURNING o.adopted, o.merged, o.shared, o.missing, o.others");
    if (session_query(s, "recording the adoption", session_text(sql), 3, params, &result, reterr))
        return -1;
    *ret_adopted = PQntuples(result) ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    if (PQntuples(result))
        snprintf(detail, detail_size,
                 "entity %s; doubles merged: %s; claims of a later key: %s, without a row: %s; "
                 "rows that are nobody's: %s",
                 adopter->entity, PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 3),
                 PQgetvalue(result, 0, 4));
    PQclear(result);
    return 0;
}

/* Of a table that is mapped later somebody may wait already, for the id that its row would have had. */
static int rename_awaited(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    const char *params[4] = {s->options.pipeline, adopter->entity, adopter->to_schema, adopter->to_table};

    if (session_query(s, "renaming who is waited for",
                      "UPDATE pgrekey.quarantine q SET waits_id = a.id::text FROM pgrekey.adopted a "
                      "WHERE q.pipeline = $1 AND q.waits_table = $3 || '.' || $4 AND q.status <> 'resolved' "
                      "AND a.pipeline = $1 AND a.entity = $2 AND a.derived::text = q.waits_id",
                      4, params, NULL, reterr))
        return -1;
    return session_query(s, "renaming who is waited for",
                         "UPDATE pgrekey.pending_reference q SET parent_id = a.id::text FROM pgrekey.adopted a "
                         "WHERE q.pipeline = $1 AND q.parent_entity = $2 AND a.pipeline = $1 AND a.entity = $2 "
                         "AND a.derived::text = q.parent_id",
                         2, params, NULL, reterr);
}

static int finish(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    char detail[512] = "";
    int64_t adopted = 0;
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    rc = adopt_begin(s, reterr) || record(s, adopter, &sql, detail, sizeof(detail), &adopted, reterr) ? -1 : 0;
    buf_done(&sql);
    if (rc || rename_awaited(s, adopter, reterr) || audit_put(s, "adopt", adopter->name, adopted, detail, reterr))
        return -1;
    return session_commit(s, reterr);
}

static int adopt_one(struct pgsink *s, const struct adopter *adopter, bool *ret_done, struct err *reterr)
{
    bool begun;

    if (has_begun(s, adopter, &begun, ret_done, reterr))
        return -1;
    if (*ret_done)
        return 0;
    if (!begun && begin_one(s, adopter, reterr))
        return -1;
    return adopt_merge(s, adopter, reterr) || adopt_ids(s, adopter, reterr) || finish(s, adopter, reterr) ? -1 : 0;
}

/* What the target holds against it is no row's fault here. */
static int refuse_poison(const struct adopter *adopter, struct err *reterr)
{
    if (reterr->kind != ERR_POISON)
        return -1;
    reterr->kind = ERR_REFUSED;
    (void)err_wrap(reterr, "adopt of %s", adopter->name);
    return err_hint(reterr, "look at what it finds: legacy keys, and ids that are UUIDs");
}

int adopt_run(struct pgsink *s, struct err *reterr)
{
    size_t count = adopter_count(s->options.map);
    bool all_done = true;

    for (size_t i = 0; i < count; i++) {
        struct adopter adopter = adopter_at(s->options.map, i);
        bool done = false;
        if (adopt_one(s, &adopter, &done, reterr))
            return refuse_poison(&adopter, reterr);
        all_done &= done;
    }
    return all_done ? 0 : adopted_open(s, reterr);
}
