/* The catalogue, read in four queries whatever its size.
 *
 * All four list their rows in the same order of relations and see the same snapshot, so that each is merged into the
 * array of relations by one pass:
 *
 *   relations   a      b      c  …
 *   columns     a a a  b b    c c …       "a" is the relation's oid
 *   indexes     a      b b    …
 *   keys        …      b      …           one row a column of a foreign key
 *
 * No query takes a lock on a user's table: the size of one that another session has locked against everything is
 * estimated instead of measured.
 */
#include "cdc/pg/pg.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"

#define DOING "reading the catalogue"

/* Of the same relations, in the same order, in each query. */
#define OF_RELATIONS                                                                                                   \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                                        \
    " WHERE n.nspname = ANY ($1::pg_catalog.text[]) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
#define IN_ORDER " ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\""

static const char relations_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relrowsecurity OR c.relforcerowsecurity,"
    " EXISTS (SELECT FROM pg_catalog.pg_trigger t"
    "  WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')),"
    " c.reltuples::pg_catalog.float8,"
    " CASE WHEN c.relkind NOT IN ('r', 'm') THEN 0"
    "  WHEN EXISTS (SELECT FROM locked WHERE locked.relation = c.oid)"
    "   THEN c.relpages::pg_catalog.int8 * pg_catalog.current_setting('block_size')::pg_catalog.int8"
    "  ELSE pg_catalog.pg_relation_size(c.oid) END"
    " FROM pg_catalog.pg_class c" OF_RELATIONS IN_ORDER;

static const char locked_sql[] = "WITH locked AS MATERIALIZED (SELECT relation FROM pg_catalog.pg_locks"
                                 " WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock') ";

/* domain: for each domain the type at its bottom, and whether one on the way forbids NULL or has a default. %s is the
 * column that tells a generated one, which servers before 12 do not have. */
static const char columns_sql[] =
    "WITH RECURSIVE step (oid, base, not_null, has_default) AS ("
    "  SELECT oid, typbasetype, typnotnull, typdefault IS NOT NULL FROM pg_catalog.pg_type WHERE typtype = 'd'"
    "  UNION ALL SELECT s.oid, t.typbasetype, s.not_null OR t.typnotnull, s.has_default OR t.typdefault IS NOT NULL"
    "  FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.base WHERE t.typtype = 'd'),"
    " domain AS (SELECT s.oid, s.base, s.not_null, s.has_default"
    "  FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.base WHERE t.typtype <> 'd') "
    "SELECT c.oid, a.attname, a.attnum, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod),"
    " pg_catalog.format_type(coalesce(d.base, a.atttypid), NULL), a.attnotnull OR coalesce(d.not_null, false),"
    " (a.atthasdef AND %s = '') OR a.attidentity <> '' OR coalesce(d.has_default, false),"
    " %s <> '', a.attidentity = 'a', a.attlen = -1 AND a.attstorage <> 'p'"
    " FROM pg_catalog.pg_attribute a LEFT JOIN domain d ON d.oid = a.atttypid"
    " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid" OF_RELATIONS " AND a.attnum > 0 AND NOT a.attisdropped" IN_ORDER
    ", a.attnum";

/* usable: what PostgreSQL itself asks of an index before it serves as replica identity. Under REPLICA IDENTITY FULL a
 * change carries the whole old row, the primary key in it. */
static const char indexes_sql[] =
    "SELECT c.oid, ic.relname, i.indisprimary, NOT i.indimmediate, i.indpred IS NOT NULL OR i.indexprs IS NOT NULL,"
    " i.indkey, i.indnkeyatts, i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND"
    "  CASE c.relreplident WHEN 'n' THEN false WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid"
    " JOIN pg_catalog.pg_class c ON c.oid = i.indrelid" OF_RELATIONS " AND i.indisunique AND i.indislive" IN_ORDER
    ", i.indisprimary DESC, ic.relname COLLATE \"C\"";

/* A key that refers to a partitioned table stands there once more for each of its partitions: those are left out. */
static const char keys_sql[] =
    "SELECT c.oid, con.conname, con.oid, pn.nspname, p.relname, con.condeferrable, con.confdeltype, u.child, pa.attname"
    " FROM pg_catalog.pg_constraint con"
    " JOIN pg_catalog.pg_class p ON p.oid = con.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace"
    " CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(con.conkey), pg_catalog.unnest(con.confkey))"
    "  WITH ORDINALITY AS u (child, parent, ordinal)"
    " JOIN pg_catalog.pg_attribute pa ON pa.attrelid = con.confrelid AND pa.attnum = u.parent"
    " JOIN pg_catalog.pg_class c ON c.oid = con.conrelid" OF_RELATIONS
    " AND con.contype = 'f' AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up"
    "  WHERE up.oid = con.conparentid AND up.conrelid = con.conrelid)" IN_ORDER
    ", con.conname COLLATE \"C\", con.oid, u.ordinal";

struct reading {
    PGconn *conn;
    const char *side;
    const char *schemas; /* the array that is $1 */
    struct catalog *catalog;
    struct err *reterr;
};

static bool get_bool(const PGresult *result, int row, int field)
{
    return PQgetvalue(result, row, field)[0] == 't';
}

static char *get_text(const PGresult *result, int row, int field)
{
    return mem_strdup(PQgetvalue(result, row, field));
}

static uint32_t get_oid(const PGresult *result, int row, int field)
{
    return (uint32_t)strtoul(PQgetvalue(result, row, field), NULL, 10);
}

static int query(struct reading *reading, const char *sql, PGresult **ret_result)
{
    return pg_query(reading->conn, reading->side, DOING, sql, 1, &reading->schemas, ret_result, reading->reterr);
}

/* Only outside a snapshot (a caller's READ COMMITTED transaction) can the queries disagree. */
static int changed_meanwhile(struct reading *reading)
{
    return err_set(reading->reterr, ERR_RETRY, "%s: the catalogue changed while it was read", reading->side);
}

/* The relation of a row, at or after *index; NULL where there is none. */
static struct relation *relation_of(struct reading *reading, const PGresult *result, int row, size_t *index)
{
    uint32_t oid = get_oid(result, row, 0);
    while (*index < reading->catalog->count && reading->catalog->relations[*index].oid != oid)
        ++*index;
    return *index < reading->catalog->count ? &reading->catalog->relations[*index] : NULL;
}

static int read_relations(struct reading *reading)
{
    PGresult *result;
    struct buf sql;

    buf_init(&sql, 64 << 10);
    buf_puts(&sql, locked_sql);
    buf_puts(&sql, relations_sql);
    int rc = query(reading, buf_text(&sql), &result);
    buf_done(&sql);
    if (rc != 0)
        return -1;

    struct catalog *catalog = reading->catalog;
    catalog->count = (size_t)PQntuples(result);
    catalog->relations = mem_zalloc(catalog->count, sizeof(*catalog->relations));
    for (int row = 0; row < PQntuples(result); row++) {
        struct relation *relation = &catalog->relations[row];
        relation->oid = get_oid(result, row, 0);
        relation->schema = get_text(result, row, 1);
        relation->name = get_text(result, row, 2);
        relation->kind = PQgetvalue(result, row, 3)[0];
        relation->replident = PQgetvalue(result, row, 4)[0];
        relation->row_security = get_bool(result, row, 5);
        relation->has_user_triggers = get_bool(result, row, 6);
        relation->estimated_rows = strtod(PQgetvalue(result, row, 7), NULL);
        relation->size_bytes = strtoll(PQgetvalue(result, row, 8), NULL, 10);
    }
    PQclear(result);
    return 0;
}

/* How wal2json writes a type: by the column's own, for a domain over a number comes in quotes. */
static enum column_kind kind_of_type(uint32_t type_oid)
{
    switch (type_oid) {
    case 20:
    case 21:
    case 23: /* int8, int2, int4 */
    case 26: /* oid */
    case 700:
    case 701: /* float4, float8 */
    case 1700: /* numeric */ return COLUMN_NUMBER;
    case 16: return COLUMN_BOOL;
    case 17: return COLUMN_BYTEA;
    default: return COLUMN_TEXT;
    }
}

static void fill_column(struct column *column, const PGresult *result, int row)
{
    column->name = get_text(result, row, 1);
    column->attnum = atoi(PQgetvalue(result, row, 2));
    column->type_oid = get_oid(result, row, 3);
    column->type = get_text(result, row, 4);
    column->base_type = get_text(result, row, 5);
    column->kind = kind_of_type(column->type_oid);
    column->not_null = get_bool(result, row, 6);
    column->has_default = get_bool(result, row, 7);
    column->generated = get_bool(result, row, 8);
    column->identity_always = get_bool(result, row, 9);
    column->toastable = get_bool(result, row, 10);
    column->nonfinite_possible = column->type_oid == 700 || column->type_oid == 701 || column->type_oid == 1700;
}

static int read_columns(struct reading *reading)
{
    const char *generated = PQserverVersion(reading->conn) >= 120000 ? "a.attgenerated" : "''";
    PGresult *result;
    struct buf sql;

    buf_init(&sql, 64 << 10);
    const char *rest = columns_sql;
    for (const char *at; (at = strstr(rest, "%s")); rest = at + 2) {
        buf_append(&sql, rest, (size_t)(at - rest));
        buf_puts(&sql, generated);
    }
    buf_puts(&sql, rest);
    int rc = query(reading, buf_text(&sql), &result);
    buf_done(&sql);
    if (rc != 0)
        return -1;

    int rows = PQntuples(result);
    size_t index = 0;
    for (int row = 0, end; row < rows && rc == 0; row = end) {
        struct relation *relation = relation_of(reading, result, row, &index);
        if (!relation) {
            rc = changed_meanwhile(reading);
            break;
        }
        for (end = row + 1; end < rows && get_oid(result, end, 0) == relation->oid;)
            end++;
        relation->columns = mem_zalloc((size_t)(end - row), sizeof(*relation->columns));
        relation->column_count = (size_t)(end - row);
        for (int i = row; i < end; i++)
            fill_column(&relation->columns[i - row], result, i);
    }
    PQclear(result);
    return rc;
}

/* Index of a column by its attnum, or -1. */
static int column_by_attnum(const struct relation *relation, int attnum)
{
    for (size_t i = 0; i < relation->column_count; i++) {
        if (relation->columns[i].attnum == attnum)
            return (int)i;
    }
    return -1;
}

/* The plain columns of an int2vector's first key_count numbers ("3 0 7": 0 is an expression); -1 where one is
 * missing. */
static int parse_key(const struct relation *relation, const char *text, int key_count, uint16_t **ret_columns,
                     size_t *ret_count)
{
    uint16_t *columns = mem_zalloc((size_t)key_count, sizeof(*columns));
    size_t count = 0;
    char *at = NULL;

    for (int i = 0; i < key_count; i++, text = at) {
        long attnum = strtol(text, &at, 10);
        if (attnum <= 0)
            continue;
        int column = column_by_attnum(relation, (int)attnum);
        if (column < 0) {
            free(columns);
            return -1;
        }
        columns[count++] = (uint16_t)column;
    }
    *ret_columns = columns;
    *ret_count = count;
    return 0;
}

static uint16_t *copy_columns(const struct unique_index *unique)
{
    uint16_t *columns = mem_alloc(unique->count * sizeof(*columns));
    return memcpy(columns, unique->columns, unique->count * sizeof(*columns));
}

static int fill_unique(struct relation *relation, const PGresult *result, int row)
{
    struct unique_index *unique = &relation->uniques[relation->unique_count++];

    unique->name = get_text(result, row, 1);
    unique->primary = get_bool(result, row, 2);
    unique->deferrable = get_bool(result, row, 3);
    unique->partial_or_expression = get_bool(result, row, 4);
    if (parse_key(relation, PQgetvalue(result, row, 5), atoi(PQgetvalue(result, row, 6)), &unique->columns,
                  &unique->count) != 0)
        return -1;
    if (unique->primary && !relation->pk) {
        relation->pk = copy_columns(unique);
        relation->pk_count = unique->count;
    }
    if (get_bool(result, row, 7) && !relation->key) {
        relation->key = copy_columns(unique);
        relation->key_count = unique->count;
    }
    return 0;
}

static int read_indexes(struct reading *reading)
{
    PGresult *result;
    if (query(reading, indexes_sql, &result) != 0)
        return -1;

    int rows = PQntuples(result), rc = 0;
    size_t index = 0;
    for (int row = 0; row < rows && rc == 0; row++) {
        struct relation *relation = relation_of(reading, result, row, &index);
        if (!relation) {
            rc = changed_meanwhile(reading);
            break;
        }
        relation->uniques = mem_realloc(relation->uniques, (relation->unique_count + 1) * sizeof(*relation->uniques));
        relation->uniques[relation->unique_count] = (struct unique_index){0};
        if (fill_unique(relation, result, row) != 0)
            rc = changed_meanwhile(reading);
    }
    PQclear(result);
    return rc;
}

static struct foreign_key *add_key(struct relation *relation, const PGresult *result, int row)
{
    relation->fks = mem_realloc(relation->fks, (relation->fk_count + 1) * sizeof(*relation->fks));
    struct foreign_key *fk = &relation->fks[relation->fk_count++];
    *fk = (struct foreign_key){
        .name = get_text(result, row, 1),
        .parent_schema = get_text(result, row, 3),
        .parent_table = get_text(result, row, 4),
        .deferrable = get_bool(result, row, 5),
        .on_delete = PQgetvalue(result, row, 6)[0],
    };
    return fk;
}

static int read_keys(struct reading *reading)
{
    PGresult *result;
    if (query(reading, keys_sql, &result) != 0)
        return -1;

    int rows = PQntuples(result), rc = 0;
    size_t index = 0;
    uint32_t constraint = 0;
    struct foreign_key *fk = NULL;
    for (int row = 0; row < rows; row++) {
        struct relation *relation = relation_of(reading, result, row, &index);
        int column = relation ? column_by_attnum(relation, atoi(PQgetvalue(result, row, 7))) : -1;
        if (column < 0) {
            rc = changed_meanwhile(reading);
            break;
        }
        if (!fk || get_oid(result, row, 2) != constraint)
            fk = add_key(relation, result, row);
        constraint = get_oid(result, row, 2);
        fk->columns = mem_realloc(fk->columns, (fk->count + 1) * sizeof(*fk->columns));
        fk->parent_columns = mem_realloc(fk->parent_columns, (fk->count + 1) * sizeof(*fk->parent_columns));
        fk->columns[fk->count] = (uint16_t)column;
        fk->parent_columns[fk->count++] = get_text(result, row, 8);
    }
    PQclear(result);
    return rc;
}

/* Names of types come with their schema unless it stands in search_path: with this one they always do. */
static int set_search_path(struct reading *reading, const char *path, char **ret_before)
{
    PGresult *result;
    static const char sql[] = "SELECT pg_catalog.current_setting('search_path'),"
                              " pg_catalog.set_config('search_path', $1, true)";

    if (pg_query(reading->conn, reading->side, DOING, sql, 1, &path, &result, reading->reterr) != 0)
        return -1;
    if (ret_before)
        *ret_before = get_text(result, 0, 0);
    PQclear(result);
    return 0;
}

static int read_all(struct reading *reading)
{
    char *search_path = NULL;

    if (set_search_path(reading, "pg_catalog", &search_path) != 0)
        return -1;
    int rc = -1;
    if (read_relations(reading) == 0 && read_columns(reading) == 0 && read_indexes(reading) == 0)
        rc = read_keys(reading);
    if (rc == 0)
        rc = set_search_path(reading, search_path, NULL);
    free(search_path);
    return rc;
}

static void put_array(struct buf *array, const char *const *items, size_t count)
{
    buf_putc(array, '{');
    for (size_t i = 0; i < count; i++) {
        buf_puts(array, i ? ",\"" : "\"");
        for (const char *at = items[i]; *at; at++) {
            if (*at == '"' || *at == '\\')
                buf_putc(array, '\\');
            buf_putc(array, *at);
        }
        buf_putc(array, '"');
    }
    buf_putc(array, '}');
}

int pg_read_catalog(PGconn *conn, const char *side, const char *const *schemas, size_t schema_count,
                    struct catalog **ret_catalog, struct err *reterr)
{
    /* one snapshot for the four queries, unless the caller's transaction is the one to read in */
    bool own = PQtransactionStatus(conn) == PQTRANS_IDLE;
    if (own && pg_run(conn, side, DOING, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", reterr) != 0)
        return -1;

    struct buf array;
    buf_init(&array, 1 << 20);
    put_array(&array, schemas, schema_count);
    struct reading reading = {.conn = conn, .side = side, .schemas = buf_text(&array), .reterr = reterr};
    reading.catalog = mem_zalloc(1, sizeof(*reading.catalog));

    int rc = buf_overflowed(&array) ? err_set(reterr, ERR_CONFIG, "%s: too many schemas", side) : read_all(&reading);
    if (own && rc == 0)
        rc = pg_run(conn, side, DOING, "COMMIT", reterr);
    else if (own)
        PQclear(PQexec(conn, "ROLLBACK")); /* the first error is the one to tell */
    buf_done(&array);
    if (rc != 0) {
        catalog_free(reading.catalog);
        return -1;
    }
    *ret_catalog = reading.catalog;
    return 0;
}
