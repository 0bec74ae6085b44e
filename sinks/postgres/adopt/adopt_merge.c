/* Doubles: several target rows of one legacy key become one.
 *
 *   doubles, a thousand keys at a time ─▶ pg_temp.pgrekey_double (keep, gone)
 *   for each foreign key that leads to the table: children of `gone` ─▶ `keep`, one UPDATE
 *   `gone` deleted, a line in the audit for each, COMMIT
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/session/session.h"

#define ROUND_KEYS 1000
#define SQL_MAX ((size_t)1 << 20)

int adopt_begin(struct pgsink *s, struct err *reterr)
{
    if (session_begin(s, reterr))
        return -1;
    /* Whole tables are gone through, for once: the planner may do as it likes. */
    return session_run(
        s, "beginning a step of the adoption",
        "SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "
        "SET LOCAL statement_timeout = 0",
        reterr);
}

/* The row that was there first; where nothing tells, the smallest id. */
static const char *age_column(const struct relation *relation)
{
    int column = relation ? relation_column(relation, "created_at") : -1;
    const char *type = column < 0 ? "" : relation->columns[column].base_type;

    return strncmp(type, "timestamp", 9) == 0 || strcmp(type, "date") == 0 ? "t.created_at, " : "";
}

/* SELECT of the doubles: arrays of uuid, the row that stays first. By created_at, where the table has it. */
static void put_doubles(const struct adopter *adopter, const struct catalog *target, struct buf *sql)
{
    const struct relation *relation = catalog_find(target, adopter->to_schema, adopter->to_table);

    buf_printf(sql, "SELECT array_agg(p.id ORDER BY %sp.id) AS ids FROM (", age_column(relation));
    adopter_put_pairs(adopter, sql);
    buf_puts(sql, ") AS p JOIN ");
    pg_put_qualified(sql, adopter->to_schema, adopter->to_table);
    buf_puts(sql, " AS t ON t.");
    pg_put_ident(sql, adopter->id);
    buf_puts(sql, "::uuid = p.id GROUP BY ");
    for (size_t i = 0; i < adopter->part_count; i++)
        buf_printf(sql, "%sp.l%zu", i ? ", " : "", i + 1);
    buf_puts(sql, " HAVING count(*) > 1");
}

int adopt_read_references(struct pgsink *s, const char *table, PGresult **ret_result, struct err *reterr)
{
    return session_query(
        s, "reading foreign keys",
        "SELECT c.conrelid::regclass::text, string_agg(format('%I = o.%I', f.attname, p.attname), ', ' ORDER BY k.n), "
        "string_agg(format('c.%I = d.%I', f.attname, p.attname), ' AND ' ORDER BY k.n), c.conrelid = c.confrelid "
        "FROM pg_catalog.pg_constraint c "
        "CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (child, parent, n) "
        "JOIN pg_catalog.pg_attribute f ON f.attrelid = c.conrelid AND f.attnum = k.child "
        "JOIN pg_catalog.pg_attribute p ON p.attrelid = c.confrelid AND p.attnum = k.parent "
        "WHERE c.contype = 'f' AND c.confrelid = $1::regclass AND c.conparentid = 0 GROUP BY c.oid, c.conrelid, "
        "c.confrelid ORDER BY c.oid",
        1, &table, ret_result, reterr);
}

/* --- a round --- */

struct merge {
    const struct adopter *adopter;
    const char *table, *id; /* quoted */
    const char *doubles;    /* SELECT */
    PGresult *references;
};

static int refuse_double(const struct merge *m, const char *table, const struct err *why, struct err *reterr)
{
    const struct adopter *adopter = m->adopter;

    (void)err_set(reterr, ERR_REFUSED,
                  "adopt of %s: rows of %s.%s have one legacy key, and cannot be made one: %s (SQLSTATE %s%s%s)",
                  adopter->name, adopter->to_schema, adopter->to_table, table, why->sqlstate,
                  *why->constraint ? ", constraint " : "", why->constraint);
    return err_hint(reterr, "make them one by hand, or set the legacy key of all but one to NULL");
}

static int run_step(struct pgsink *s, const struct merge *m, const char *table, const char *sql, int64_t *ret_rows,
                    struct err *reterr)
{
    PGresult *result = NULL;
    struct err why = {0};

    if (session_query(s, "merging doubles", sql, 0, NULL, &result, &why)) {
        if (why.kind == ERR_POISON)
            return refuse_double(m, table, &why, reterr);
        *reterr = why;
        return -1;
    }
    if (ret_rows)
        *ret_rows = strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return 0;
}

static int find_doubles(struct pgsink *s, const struct merge *m, int64_t *ret_count, struct err *reterr)
{
    struct buf sql;
    int rc;

    if (session_run(s, "looking for doubles",
                    "CREATE TEMP TABLE pgrekey_double (keep uuid NOT NULL, gone uuid PRIMARY KEY, "
                    "children bigint NOT NULL DEFAULT 0) ON COMMIT DROP",
                    reterr))
        return -1;
    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "INSERT INTO pg_temp.pgrekey_double (keep, gone) "
               "SELECT x.ids[1], unnest(x.ids[2:]) FROM (%s LIMIT %d) AS x",
               m->doubles, ROUND_KEYS);
    rc = run_step(s, m, m->table, session_text(&sql), ret_count, reterr);
    buf_done(&sql);
    return rc ? -1 : session_run(s, "looking for doubles", "ANALYZE pg_temp.pgrekey_double", reterr);
}

/* Children go over to the row that stays. */
static int remap_children(struct pgsink *s, const struct merge *m, int reference, struct err *reterr)
{
    const char *child = PQgetvalue(m->references, reference, 0);
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "WITH moved AS (UPDATE %s AS c SET %s FROM pg_temp.pgrekey_double AS k, %s AS o, %s AS d "
               "WHERE o.%s::uuid = k.keep AND d.%s::uuid = k.gone AND %s RETURNING k.gone) "
               "UPDATE pg_temp.pgrekey_double AS k SET children = k.children + n.count "
               "FROM (SELECT gone, count(*) FROM moved GROUP BY gone) AS n WHERE n.gone = k.gone",
               child, PQgetvalue(m->references, reference, 1), m->table, m->table, m->id, m->id,
               PQgetvalue(m->references, reference, 2));
    rc = run_step(s, m, child, session_text(&sql), NULL, reterr);
    buf_done(&sql);
    return rc;
}

static int delete_doubles(struct pgsink *s, const struct merge *m, struct err *reterr)
{
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "DELETE FROM %s AS d USING pg_temp.pgrekey_double AS k WHERE d.%s::uuid = k.gone", m->table,
               m->id);
    rc = run_step(s, m, m->table, session_text(&sql), NULL, reterr);
    buf_done(&sql);
    return rc;
}

static int note_doubles(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    const char *params[3] = {s->options.pipeline, adopter->name, adopter->entity};

    if (session_query(s, "recording the adoption",
                      "INSERT INTO pgrekey.audit (pipeline, action, rule, rows, detail) SELECT $1, 'adopt_merge', $2, "
                      "1, format('entity %s: %s stays, %s went into it, references remapped: %s', $3::text, keep, "
                      "gone, children) FROM pg_temp.pgrekey_double",
                      3, params, NULL, reterr))
        return -1;
    return session_query(s, "recording the adoption",
                         "UPDATE pgrekey.adoption SET merged = merged + (SELECT count(*) FROM pg_temp.pgrekey_double) "
                         "WHERE pipeline = $1 AND rule = $2",
                         2, params, NULL, reterr);
}

static int merge_round(struct pgsink *s, const struct merge *m, int64_t *ret_count, struct err *reterr)
{
    if (adopt_begin(s, reterr) || find_doubles(s, m, ret_count, reterr))
        return -1;
    for (int i = 0; *ret_count && i < PQntuples(m->references); i++)
        if (remap_children(s, m, i, reterr))
            return -1;
    if (*ret_count && (delete_doubles(s, m, reterr) || note_doubles(s, m->adopter, reterr)))
        return -1;
    return session_commit(s, reterr);
}

int adopt_merge(struct pgsink *s, const struct adopter *adopter, struct err *reterr)
{
    struct merge m = {.adopter = adopter};
    struct buf table, id, doubles;
    int64_t count = 1;
    int rc;

    buf_init(&table, 1024);
    buf_init(&id, 1024);
    buf_init(&doubles, SQL_MAX);
    pg_put_qualified(&table, adopter->to_schema, adopter->to_table);
    pg_put_ident(&id, adopter->id);
    put_doubles(adopter, s->options.target, &doubles);
    m.table = session_text(&table);
    m.id = session_text(&id);
    m.doubles = session_text(&doubles);
    rc = adopt_read_references(s, m.table, &m.references, reterr);
    while (rc == 0 && count > 0)
        rc = merge_round(s, &m, &count, reterr);
    PQclear(m.references);
    buf_done(&table);
    buf_done(&id);
    buf_done(&doubles);
    return rc;
}
