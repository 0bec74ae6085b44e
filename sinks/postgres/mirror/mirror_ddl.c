#include "sinks/postgres/mirror/mirror_ddl.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cdc/pg/pg.h"

/* --- the side schema --- */

static void put_for_others(struct buf *sql, const char *schema, const char *before, const char *after)
{
    buf_puts(sql, "        EXECUTE format('");
    buf_puts(sql, before);
    buf_puts(sql, " %I ");
    buf_puts(sql, after);
    buf_puts(sql, " %I', ");
    pg_put_literal(sql, schema);
    buf_puts(sql, ", web);\n");
}

/* Default privileges belong to whoever makes the tables; only that role's own may be changed. */
static void put_defaults(struct buf *sql, const char *schema, const char *role)
{
    buf_puts(sql, "DO $init$ BEGIN\n    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I "
                  "REVOKE ALL ON TABLES FROM PUBLIC', ");
    pg_put_literal(sql, role);
    buf_puts(sql, ", ");
    pg_put_literal(sql, schema);
    buf_puts(sql, ");\nEXCEPTION WHEN insufficient_privilege THEN\n"
                  "    NULL; -- the schema is closed, and each table is closed as it is made\n"
                  "END $init$;\n");
}

void mirror_put_schema(struct buf *sql, const char *schema, const char *role)
{
    buf_puts(sql, "CREATE SCHEMA IF NOT EXISTS ");
    pg_put_ident(sql, schema);
    buf_puts(sql, ";\nCOMMENT ON SCHEMA ");
    pg_put_ident(sql, schema);
    buf_puts(sql, " IS 'pgrekey: mirrors of source tables, and views over them';\nREVOKE ALL ON SCHEMA ");
    pg_put_ident(sql, schema);
    buf_puts(sql, " FROM PUBLIC;\nDO $init$ DECLARE web name; BEGIN\n"
                  "    FOR web IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP\n");
    put_for_others(sql, schema, "REVOKE ALL ON SCHEMA", "FROM");
    put_for_others(sql, schema, "REVOKE ALL ON ALL TABLES IN SCHEMA", "FROM");
    put_for_others(sql, schema, "ALTER DEFAULT PRIVILEGES IN SCHEMA", "REVOKE ALL ON TABLES FROM");
    buf_puts(sql, "    END LOOP;\nEND $init$;\n");
    if (!role)
        return;
    buf_puts(sql, "GRANT USAGE, CREATE ON SCHEMA ");
    pg_put_ident(sql, schema);
    buf_puts(sql, " TO ");
    pg_put_ident(sql, role);
    buf_puts(sql, ";\n");
    put_defaults(sql, schema, role);
}

/* --- tables --- */

void mirror_put_column(struct buf *sql, const struct relation *relation, const char *name)
{
    int at = relation_column(relation, name);

    pg_put_ident(sql, name);
    buf_printf(sql, " %s", at < 0 ? "text" : relation->columns[at].type);
}

void mirror_put_table(struct buf *sql, const struct rule *rule, const struct relation *relation)
{
    size_t keys = 0;

    buf_puts(sql, "CREATE TABLE ");
    pg_put_qualified(sql, rule->to_schema, rule->to_table);
    buf_puts(sql, " (");
    for (size_t i = 0; i < rule->column_count; i++) {
        buf_puts(sql, i ? ", " : "");
        mirror_put_column(sql, relation, rule->columns[i].name);
    }
    for (size_t i = 0; i < rule->column_count; i++) {
        if (!rule->columns[i].key)
            continue;
        buf_puts(sql, keys++ ? ", " : ", PRIMARY KEY (");
        pg_put_ident(sql, rule->columns[i].name);
    }
    buf_puts(sql, keys ? "))" : ")");
}

static bool same_key(const struct rule *rule, const struct relation *found)
{
    size_t keys = 0;

    for (size_t i = 0; i < rule->column_count; i++) {
        if (!rule->columns[i].key)
            continue;
        if (keys >= found->pk_count || strcmp(found->columns[found->pk[keys]].name, rule->columns[i].name) != 0)
            return false;
        keys++;
    }
    return keys == found->pk_count;
}

enum mirror_shape mirror_compare(const struct rule *rule, const struct relation *wanted, const struct relation *found,
                                 const char **ret_column)
{
    *ret_column = NULL;
    if (found->kind != 'r' || !same_key(rule, found))
        return MIRROR_OTHER;
    for (size_t i = 0; i < rule->column_count; i++) {
        const char *name = rule->columns[i].name;
        int there = relation_column(found, name), here = relation_column(wanted, name);
        if (there >= 0 && here >= 0 && strcmp(found->columns[there].type, wanted->columns[here].type) == 0)
            continue;
        *ret_column = name;
        return MIRROR_OTHER;
    }
    return found->column_count > rule->column_count ? MIRROR_WIDER : MIRROR_SAME;
}

/* --- indexes --- */

static uint32_t hash_text(uint32_t hash, const char *text)
{
    for (const char *at = text; *at; at++)
        hash = (hash ^ (uint8_t)*at) * UINT32_C(16777619);
    return hash * UINT32_C(16777619);
}

/* "pgrekey_office_id_valid_1f00ba12": whole characters of the columns as far as they fit. */
void mirror_index_name(const struct rule *rule, const char *columns, char *ret_name)
{
    size_t room = MIRROR_NAME_MAX - sizeof(MIRROR_INDEX_PREFIX) - 9, len = strlen(columns);
    uint32_t hash = hash_text(hash_text(UINT32_C(2166136261), rule->to_table), columns);

    if (len > room)
        for (len = room; len > 0 && ((uint8_t)columns[len] & 0xc0) == 0x80;)
            len--;
    snprintf(ret_name, MIRROR_NAME_MAX, MIRROR_INDEX_PREFIX "%.*s_%08" PRIx32, (int)len, columns, hash);
    for (char *at = ret_name; *at; at++)
        *at = *at == ',' ? '_' : *at;
}

static void put_part(struct buf *sql, const char *text, size_t len)
{
    struct buf name;

    buf_init(&name, 4096);
    buf_append(&name, text, len);
    pg_put_ident(sql, buf_text(&name));
    buf_done(&name);
}

void mirror_put_index(struct buf *sql, const struct rule *rule, const char *columns)
{
    char name[MIRROR_NAME_MAX];

    mirror_index_name(rule, columns, name);
    buf_puts(sql, "CREATE INDEX IF NOT EXISTS ");
    pg_put_ident(sql, name);
    buf_puts(sql, " ON ");
    pg_put_qualified(sql, rule->to_schema, rule->to_table);
    buf_puts(sql, " (");
    if (*columns == '(') {
        buf_printf(sql, "%s\n)", columns);
        return;
    }
    for (const char *at = columns;;) {
        size_t len = strcspn(at, ",");
        put_part(sql, at, len);
        if (!at[len])
            break;
        buf_puts(sql, ", ");
        at += len + 1;
    }
    buf_putc(sql, ')');
}

/* --- views --- */

/* The parentheses keep a second statement out, and the line break ends a comment. */
void mirror_put_view(struct buf *sql, const char *schema, const struct mirror_view *view)
{
    buf_puts(sql, "CREATE VIEW ");
    pg_put_qualified(sql, schema, view->name);
    buf_printf(sql, " AS (\n%s\n)", view->query);
}

void mirror_put_closing(struct buf *sql, const char *schema, const char *name)
{
    struct buf qualified;

    buf_init(&qualified, 4096);
    pg_put_qualified(&qualified, schema, name);
    buf_puts(sql, "DO $mirror$ DECLARE other text; BEGIN\n"
                  "    FOR other IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
                  "quote_ident(pg_get_userbyid(a.grantee)) END FROM pg_class c, aclexplode(c.relacl) a "
                  "WHERE c.oid = ");
    pg_put_literal(sql, buf_text(&qualified));
    buf_puts(sql, "::regclass AND a.grantee <> c.relowner LOOP\n        EXECUTE 'REVOKE ALL ON ' || ");
    pg_put_literal(sql, buf_text(&qualified));
    buf_puts(sql, " || ' FROM ' || other;\n    END LOOP;\nEND $mirror$");
    buf_done(&qualified);
}
