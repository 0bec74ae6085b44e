/* `pgrekey init --source`: the SQL that a DBA of the legacy server runs. We never write there. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/init.h"
#include "cdc/pg/pg.h"

#define SQL_MAX_BYTES ((size_t)4 << 20)

struct source_sql {
    const struct cli *cli;
    struct mapping mapping;
    struct buf sql;
    char *role;
};

static void put_role(struct source_sql *out)
{
    struct buf *sql = &out->sql;
    buf_puts(sql, "-- For the legacy server. Set the password in psql: \\password ");
    pg_put_ident(sql, out->role);
    buf_puts(sql, "\nCREATE ROLE ");
    pg_put_ident(sql, out->role);
    buf_puts(sql, " LOGIN REPLICATION;\n-- On RDS instead:\n--   CREATE ROLE ");
    pg_put_ident(sql, out->role);
    buf_puts(sql, " LOGIN;\n--   GRANT rds_replication TO ");
    pg_put_ident(sql, out->role);
    buf_puts(sql, ";\n\n");
}

static bool rule_reads(const struct map *map, const char *schema, const char *table)
{
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct rule *rule = map_rule(map, i);
        if (strcmp(rule->from_schema, schema) == 0 && (!table || strcmp(rule->from_table, table) == 0))
            return true;
    }
    return false;
}

/* The source could not be read, so that its columns are not known here: the server lists them when the SQL runs. */
static void put_columns_later(struct source_sql *out, const char *schema, const char *table)
{
    const struct map *map = out->mapping.map;
    const char *column;
    struct buf name, role;
    buf_init(&name, SQL_MAX_BYTES);
    buf_init(&role, SQL_MAX_BYTES);
    pg_put_qualified(&name, schema, table);
    pg_put_ident(&role, out->role);
    buf_puts(&out->sql,
             "DO $grant$ BEGIN\n    EXECUTE (SELECT 'GRANT SELECT (' || string_agg(quote_ident(attname), ', ')"
             " || ') ON ' || ");
    pg_put_literal(&out->sql, buf_text(&name));
    buf_puts(&out->sql, " || ' TO ' || ");
    pg_put_literal(&out->sql, buf_text(&role));
    buf_puts(&out->sql, "\n        FROM pg_attribute WHERE attrelid = ");
    pg_put_literal(&out->sql, buf_text(&name));
    buf_puts(&out->sql, "::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN (");
    for (size_t i = 0; (column = map_never_column(map, schema, table, i)); i++) {
        buf_puts(&out->sql, i ? ", " : "");
        pg_put_literal(&out->sql, column);
    }
    buf_puts(&out->sql, "));\nEND $grant$;\n");
    buf_done(&name);
    buf_done(&role);
}

/* A table with `never:` columns is granted by column: the role then cannot read the others at all. */
static void put_table(struct source_sql *out, const char *schema, const char *table)
{
    const struct relation *relation = out->mapping.source ? catalog_find(out->mapping.source, schema, table) : NULL;
    struct buf columns;
    bool all = true;
    if (!relation && map_never_column(out->mapping.map, schema, table, 0)) {
        put_columns_later(out, schema, table);
        return;
    }
    buf_init(&columns, SQL_MAX_BYTES);
    for (size_t i = 0; relation && i < relation->column_count; i++) {
        const char *name = relation->columns[i].name;
        if (map_column_never(out->mapping.map, schema, table, name)) {
            all = false;
            continue;
        }
        buf_puts(&columns, columns.len ? ", " : "");
        pg_put_ident(&columns, name);
    }
    buf_puts(&out->sql, "GRANT SELECT ");
    if (!all)
        buf_printf(&out->sql, "(%s) ", buf_text(&columns));
    buf_puts(&out->sql, "ON ");
    pg_put_qualified(&out->sql, schema, table);
    buf_puts(&out->sql, " TO ");
    pg_put_ident(&out->sql, out->role);
    buf_puts(&out->sql, ";\n");
    buf_done(&columns);
}

static void put_schema(struct source_sql *out, const char *schema)
{
    buf_puts(&out->sql, "GRANT USAGE ON SCHEMA ");
    pg_put_ident(&out->sql, schema);
    buf_puts(&out->sql, " TO ");
    pg_put_ident(&out->sql, out->role);
    buf_puts(&out->sql, ";\n");
    if (rule_reads(out->mapping.map, schema, NULL))
        return;
    /* only a copy of the whole schema reads it, and its tables are not known here */
    buf_puts(&out->sql, "GRANT SELECT ON ALL TABLES IN SCHEMA ");
    pg_put_ident(&out->sql, schema);
    buf_puts(&out->sql, " TO ");
    pg_put_ident(&out->sql, out->role);
    buf_puts(&out->sql, ";\n");
}

static void put_grants(struct source_sql *out)
{
    const struct map *map = out->mapping.map;
    size_t schema_count;
    const char *const *schemas = map_source_schemas(map, &schema_count);
    for (size_t i = 0; i < schema_count; i++)
        put_schema(out, schemas[i]);
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct rule *rule = map_rule(map, i);
        bool first = true;
        for (size_t j = 0; j < i && first; j++)
            first = strcmp(map_rule(map, j)->from_schema, rule->from_schema) != 0 ||
                    strcmp(map_rule(map, j)->from_table, rule->from_table) != 0;
        if (first)
            put_table(out, rule->from_schema, rule->from_table);
    }
}

static int load(struct source_sql *out, struct err *reterr)
{
    struct err err = {0};
    PGconn *source = NULL;
    if (mapping_load(&out->mapping, out->cli->settings->mapping, out->cli->settings->skip, reterr) < 0) {
        map_issues_print(&out->mapping.issues, out->cli->settings->mapping, stderr);
        return -1;
    }
    /* the role is usually not there yet: then the file alone has to do */
    if (!out->cli->settings->source_dsn || cli_open_source(out->cli, &source, &err) < 0)
        return 0;
    if (mapping_bind(&out->mapping, source, NULL, &err) < 0 && !out->mapping.source)
        buf_puts(&out->sql, "-- The source's catalogue could not be read.\n");
    pg_close(source);
    return 0;
}

int init_print_source(const struct cli *cli)
{
    struct source_sql out = {.cli = cli};
    struct err err = {0};
    int code = EXIT_OK;
    buf_init(&out.sql, SQL_MAX_BYTES);
    out.role = init_user_of(cli->settings->source_dsn);
    if (load(&out, &err) < 0) {
        code = cli_fail(cli->json, &err);
    } else {
        put_role(&out);
        put_grants(&out);
        fputs(buf_text(&out.sql), stdout);
    }
    buf_done(&out.sql);
    free(out.role);
    mapping_done(&out.mapping);
    return code;
}
