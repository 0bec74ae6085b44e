/* What is taken off, and by which words it comes back. See fastload.h. */
#include "sinks/postgres/snapshot/fastload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinks/postgres/session/session.h"

#define SQL_MAX ((size_t)4 << 20)
#define DOING "taking indexes and foreign keys off"

/* Both queries: table's oid; schema, table and name of the object, its definition, and what its definition does not
 * say, as statements. Names come with their schemas, for the search path is empty then. */
#define MINE                                                                                                           \
    "t.relkind = 'r' AND NOT t.relispartition AND pg_has_role(t.relowner, 'USAGE') "                                   \
    "AND has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')"

/* One that is unique, or an exclusion constraint's, decides which rows are taken; one that others lean on, that is
 * broken, an extension's, or stands in a tablespace of its own, is not worth the trouble. */
#define INDEXES_SQL                                                                                                    \
    "SELECT n.nspname, t.relname, c.relname, pg_get_indexdef(c.oid), concat_ws('; ', "                                 \
    "(SELECT format('COMMENT ON INDEX %I.%I IS %L', n.nspname, c.relname, d) FROM obj_description(c.oid, 'pg_class') " \
    "d WHERE d IS NOT NULL), "                                                                                         \
    "CASE WHEN i.indisclustered THEN format('ALTER TABLE %I.%I CLUSTER ON %I', n.nspname, t.relname, c.relname) END, " \
    "(SELECT string_agg(format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, c.relname, "          \
    "a.attnum, a.attstattarget), '; ') FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0)) "       \
    "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid "                   \
    "JOIN pg_namespace n ON n.oid = t.relnamespace WHERE t.oid = $1::oid AND " MINE                                    \
    " AND i.indisvalid AND i.indisready AND i.indislive AND c.reltablespace = 0 AND NOT (i.indisunique OR "            \
    "i.indisprimary OR i.indisexclusion OR i.indisreplident) AND NOT EXISTS (SELECT FROM pg_depend d WHERE "           \
    "d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid OR d.classid = 'pg_class'::regclass AND "              \
    "d.objid = c.oid AND d.deptype IN ('x', 'e')) ORDER BY c.relname"

/* Beyond that: the parent's table and column, and the child's, for the mapping to be asked. */
#define FOREIGN_KEYS_SQL                                                                                               \
    "SELECT n.nspname, t.relname, k.conname, replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''), coalesce("        \
    "(SELECT format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, t.relname, d) FROM "              \
    "obj_description(k.oid, 'pg_constraint') d WHERE d IS NOT NULL), ''), k.convalidated, pn.nspname, p.relname, "     \
    "pa.attname, a.attname FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON "         \
    "n.oid = t.relnamespace JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace "   \
    "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.conkey[1] "                                            \
    "JOIN pg_attribute pa ON pa.attrelid = p.oid AND pa.attnum = k.confkey[1] "                                        \
    "WHERE t.oid = $1::oid AND " MINE " AND k.contype = 'f' AND k.conparentid = 0 AND k.conislocal "                   \
    "AND cardinality(k.conkey) = 1 AND p.relkind = 'r' AND has_table_privilege(p.oid, 'REFERENCES') AND "              \
    "has_schema_privilege(pn.oid, 'USAGE') AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = k.oid "     \
    "AND g.tgenabled <> 'O') ORDER BY k.conname"

enum { AT_SCHEMA, AT_TABLE, AT_NAME, AT_DEFINITION, AT_EXTRAS };
enum { AT_VALIDATED = AT_EXTRAS + 1, AT_PARENT_SCHEMA, AT_PARENT_TABLE, AT_PARENT_COLUMN, AT_COLUMN };

/* --- what the mapping says --- */

static bool same_table(const struct rule *a, const char *schema, const char *table)
{
    return strcmp(a->to_schema, schema) == 0 && strcmp(a->to_table, table) == 0;
}

/* The level behind which nothing writes the table any more; -1 where no rule does. */
static int level_of_table(const struct pgsink *s, const char *schema, const char *table)
{
    size_t count;
    const struct map_step *steps = map_steps(s->options.map, &count);
    int level = -1;

    for (size_t i = 0; i < count; i++)
        if (steps[i].kind == STEP_RULE && steps[i].level > level &&
            same_table(map_rule(s->options.map, (size_t)steps[i].index), schema, table))
            level = steps[i].level;
    return level;
}

/* The parent may be a rule's row or a derivation's. */
static bool asks_for_parent(const struct pgsink *s, const struct rule *rule, const PGresult *keys, int row)
{
    int column = map_column_index(rule, PQgetvalue(keys, row, AT_COLUMN));
    int place = column < 0 ? NO_PLACE : references_place(&s->references, rule, (size_t)column);
    const struct place *parent = place == NO_PLACE ? NULL : &s->references.places[place];

    return parent && strcmp(parent->schema, PQgetvalue(keys, row, AT_PARENT_SCHEMA)) == 0 &&
           strcmp(parent->name, PQgetvalue(keys, row, AT_PARENT_TABLE)) == 0 &&
           strcmp(parent->column_name, PQgetvalue(keys, row, AT_PARENT_COLUMN)) == 0;
}

/* Does every rule of the table ask for the parents that the foreign key would ask for? */
static bool engine_checks(const struct pgsink *s, const struct rule *rule, const PGresult *keys, int row)
{
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *other = s->rules[r].target.rule;
        if (same_table(other, rule->to_schema, rule->to_table) && !asks_for_parent(s, other, keys, row))
            return false;
    }
    return true;
}

/* --- taking off --- */

static int put_record(struct pgsink *s, const char *kind, int level, const char *oid, const PGresult *found, int row,
                      bool validated, struct err *reterr)
{
    char number[16];
    const char *params[10] = {s->options.pipeline,
                              number,
                              kind,
                              oid,
                              PQgetvalue(found, row, AT_SCHEMA),
                              PQgetvalue(found, row, AT_TABLE),
                              PQgetvalue(found, row, AT_NAME),
                              PQgetvalue(found, row, AT_DEFINITION),
                              PQgetvalue(found, row, AT_EXTRAS),
                              validated ? "t" : "f"};

    snprintf(number, sizeof(number), "%d", level);
    return session_query(s, DOING,
                         "INSERT INTO pgrekey.taken_off (pipeline, level, kind, table_oid, schema_name, table_name, "
                         "name, definition, extras, validated) VALUES ($1, $2::integer, $3, $4::oid, $5, $6, $7, $8, "
                         "$9, $10::boolean)",
                         10, params, NULL, reterr);
}

static int drop(struct pgsink *s, bool index, const PGresult *found, int row, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    if (index) {
        buf_puts(&sql, "DROP INDEX ");
        pg_put_qualified(&sql, PQgetvalue(found, row, AT_SCHEMA), PQgetvalue(found, row, AT_NAME));
    } else {
        buf_puts(&sql, "ALTER TABLE ");
        pg_put_qualified(&sql, PQgetvalue(found, row, AT_SCHEMA), PQgetvalue(found, row, AT_TABLE));
        buf_puts(&sql, " DROP CONSTRAINT ");
        pg_put_ident(&sql, PQgetvalue(found, row, AT_NAME));
    }
    int failed = session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed;
}

static int take_indexes(struct pgsink *s, const char *oid, int level, const PGresult *indexes, struct err *reterr)
{
    for (int row = 0; row < PQntuples(indexes); row++, s->fast_load.taken_off++)
        if (put_record(s, "index", level, oid, indexes, row, true, reterr) || drop(s, true, indexes, row, reterr))
            return -1;
    return 0;
}

static int take_foreign_keys(struct pgsink *s, const struct rule *rule, const char *oid, int level,
                             const PGresult *keys, struct err *reterr)
{
    for (int row = 0; row < PQntuples(keys); row++) {
        int parents =
            level_of_table(s, PQgetvalue(keys, row, AT_PARENT_SCHEMA), PQgetvalue(keys, row, AT_PARENT_TABLE));
        bool validated = *PQgetvalue(keys, row, AT_VALIDATED) == 't';
        if (!engine_checks(s, rule, keys, row))
            continue;
        if (put_record(s, "foreign key", parents > level ? parents : level, oid, keys, row, validated, reterr) ||
            drop(s, false, keys, row, reterr))
            return -1;
        s->fast_load.taken_off++;
    }
    return 0;
}

static int ask_if_empty(struct pgsink *s, const struct target *target, bool *ret_empty, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "SELECT NOT EXISTS (SELECT FROM %s)", target->table);
    int failed = session_query(s, DOING, session_text(&sql), 0, NULL, &result, reterr);
    *ret_empty = !failed && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    buf_done(&sql);
    return failed;
}

/* A table with rows is not locked. That one without stays so is only sure once it is. */
static int lock_if_empty(struct pgsink *s, const struct target *target, bool *ret_empty, struct err *reterr)
{
    struct buf sql;

    if (ask_if_empty(s, target, ret_empty, reterr))
        return -1;
    if (!*ret_empty)
        return 0;
    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", target->table);
    int failed = session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed ? -1 : ask_if_empty(s, target, ret_empty, reterr);
}

static int take_off_table(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    struct target *target = &s->rules[rule->index].target;
    int level = level_of_table(s, rule->to_schema, rule->to_table);
    PGresult *indexes = NULL, *keys = NULL, *found = NULL;
    char oid[16] = "";
    const char *params[1] = {oid};
    bool empty = true;
    int failed =
        session_query(s, DOING, "SELECT $1::regclass::oid", 1, (const char *[]){target->table}, &found, reterr);

    if (!failed)
        snprintf(oid, sizeof(oid), "%s", PQgetvalue(found, 0, 0));
    PQclear(found);
    failed = failed || session_query(s, DOING, INDEXES_SQL, 1, params, &indexes, reterr) ||
             session_query(s, DOING, FOREIGN_KEYS_SQL, 1, params, &keys, reterr);
    if (!failed && PQntuples(indexes) + PQntuples(keys) > 0)
        failed = lock_if_empty(s, target, &empty, reterr);
    if (!failed && empty)
        failed = take_indexes(s, oid, level, indexes, reterr) || take_foreign_keys(s, rule, oid, level, keys, reterr);
    PQclear(indexes);
    PQclear(keys);
    return failed ? -1 : 0;
}

static bool first_of_table(const struct pgsink *s, size_t r)
{
    const struct rule *rule = s->rules[r].target.rule;

    for (size_t i = 0; i < r; i++)
        if (same_table(s->rules[i].target.rule, rule->to_schema, rule->to_table))
            return false;
    return true;
}

int fastload_take_off(struct pgsink *s, struct err *reterr)
{
    PGresult *path = NULL;
    int failed = session_query(s, DOING, "SELECT current_setting('search_path'), set_config('search_path', '', true)",
                               0, NULL, &path, reterr);

    for (size_t r = 0; !failed && r < s->rule_count; r++)
        if (first_of_table(s, r))
            failed = take_off_table(s, s->rules[r].target.rule, reterr);
    if (!failed)
        failed = session_query(s, DOING, "SELECT set_config('search_path', $1, true)", 1,
                               (const char *[]){PQgetvalue(path, 0, 0)}, NULL, reterr);
    PQclear(path);
    return failed ? -1 : 0;
}
