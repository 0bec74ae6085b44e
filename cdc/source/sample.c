/* Of a large table some pages are read (TABLESAMPLE), and of their rows those whose key's digest comes first: rows from
 * all over the table, and the same ones again when the mapping has been mended.
 */
#include "cdc/source/sample.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"

#define SIDE "source"
#define SQL_MAX_BYTES ((size_t)1 << 20)
#define PAGE_BYTES 8192.0
#define PAGES_SAMPLED 200.0

struct fields {
    size_t count;
    uint16_t *columns;
};

static struct fields wanted_fields(const struct sample_options *options, struct arena *arena)
{
    const struct relation *relation = options->relation;
    struct fields fields = {.columns = arena_zalloc(arena, relation->column_count + 1, sizeof(*fields.columns))};
    for (size_t i = 0; i < relation->column_count; i++)
        if (!options->never ||
            !options->never(options->context, relation->schema, relation->name, relation->columns[i].name))
            fields.columns[fields.count++] = (uint16_t)i;
    return fields;
}

static void put_select(struct buf *sql, const struct relation *relation, const struct fields *fields)
{
    buf_puts(sql, "SELECT ");
    for (size_t i = 0; i < fields->count; i++) {
        buf_puts(sql, i ? ", " : "");
        pg_put_ident(sql, relation->columns[fields->columns[i]].name);
    }
    if (fields->count == 0)
        buf_puts(sql, "NULL");
    buf_puts(sql, relation->kind == 'p' ? " FROM " : " FROM ONLY ");
    pg_put_qualified(sql, relation->schema, relation->name);
}

static void put_sample(struct buf *sql, const struct relation *relation, double percent)
{
    if (percent < 100)
        buf_printf(sql, " TABLESAMPLE SYSTEM (%.6f) REPEATABLE (1)", percent);
    for (size_t k = 0; k < relation->key_count; k++) {
        buf_puts(sql, k ? " || ' ' || " : " ORDER BY pg_catalog.md5(");
        pg_put_ident(sql, relation->columns[relation->key[k]].name);
        buf_puts(sql, "::text");
    }
    buf_puts(sql, relation->key_count ? ")" : "");
}

static void take_rows(const PGresult *result, const struct relation *relation, const struct fields *fields,
                      struct arena *arena, struct change **changes)
{
    for (int row = 0; row < PQntuples(result); row++) {
        struct change *change = arena_zalloc(arena, 1, sizeof(*change));
        *change = (struct change){
            .op = CHANGE_READ,
            .relation = relation,
            .columns = arena_alloc(arena, (relation->column_count + 1) * sizeof(struct value)),
            .identity = arena_alloc(arena, (relation->key_count + 1) * sizeof(struct value)),
        };
        for (size_t i = 0; i < relation->column_count; i++)
            change->columns[i] = (struct value){.state = VALUE_NULL};
        for (size_t i = 0; i < fields->count; i++) {
            if (PQgetisnull(result, row, (int)i))
                continue;
            uint32_t len = (uint32_t)PQgetlength(result, row, (int)i);
            change->columns[fields->columns[i]] = (struct value){
                .text = arena_strndup(arena, PQgetvalue(result, row, (int)i), len), .len = len, .state = VALUE_TEXT};
        }
        for (size_t k = 0; k < relation->key_count; k++)
            change->identity[k] = change->columns[relation->key[k]];
        changes[row] = change;
    }
}

static int ask(PGconn *conn, const struct relation *relation, struct buf *sql, int param_count,
               const char *const *params, PGresult **ret_result, struct err *reterr)
{
    int failed = pg_query(conn, SIDE, "reading rows", buf_text(sql), param_count, params, ret_result, reterr);
    buf_done(sql);
    return failed ? err_wrap(reterr, "table %s.%s", relation->schema, relation->name) : 0;
}

static int read_some(PGconn *conn, const struct sample_options *options, const struct fields *fields, double percent,
                     PGresult **ret_result, struct err *reterr)
{
    struct buf sql;
    buf_init(&sql, SQL_MAX_BYTES);
    put_select(&sql, options->relation, fields);
    put_sample(&sql, options->relation, percent);
    buf_printf(&sql, " LIMIT %zu", options->limit);
    return ask(conn, options->relation, &sql, 0, NULL, ret_result, reterr);
}

static int sample(PGconn *conn, const struct sample_options *options, const struct fields *fields, struct arena *arena,
                  struct change ***ret_changes, size_t *ret_count, struct err *reterr)
{
    double pages = (double)options->relation->size_bytes / PAGE_BYTES;
    double percent = pages > PAGES_SAMPLED ? 100 * PAGES_SAMPLED / pages : 100;
    PGresult *result = NULL;
    if (read_some(conn, options, fields, percent, &result, reterr))
        return -1;
    if (PQntuples(result) == 0 && percent < 100) { /* the sample met no live row */
        PQclear(result);
        if (read_some(conn, options, fields, 100, &result, reterr))
            return -1;
    }
    *ret_count = (size_t)PQntuples(result);
    *ret_changes = arena_alloc(arena, (*ret_count + 1) * sizeof(**ret_changes));
    take_rows(result, options->relation, fields, arena, *ret_changes);
    PQclear(result);
    return 0;
}

/* --- by key --- */

static int refuse_key(const struct relation *relation, struct err *reterr)
{
    (void)err_set(reterr, ERR_CONFIG, "a key does not fit that of table %s.%s, which has %zu column%s",
                  relation->schema, relation->name, relation->key_count, relation->key_count == 1 ? "" : "s");
    return err_hint(reterr, relation->key_count == 1 ? "give its value: 17"
                                                     : "give it as a JSON array: '[17, \"a\"]', as `pgrekey quarantine "
                                                       "list` prints it");
}

/* The server takes a JSON array apart. */
static int split_key(PGconn *conn, const struct relation *relation, const char *key, struct arena *arena,
                     const char **params, struct err *reterr)
{
    PGresult *result = NULL;
    if (*key != '[') {
        params[0] = key;
        return relation->key_count == 1 ? 0 : refuse_key(relation, reterr);
    }
    if (pg_query(conn, SIDE, "reading a key", "SELECT pg_catalog.json_array_elements_text($1::json)", 1, &key, &result,
                 reterr))
        return reterr->kind == ERR_POISON ? refuse_key(relation, reterr) : -1;
    bool fits = (size_t)PQntuples(result) == relation->key_count;
    for (int i = 0; fits && i < PQntuples(result); i++)
        params[i] = PQgetisnull(result, i, 0) ? NULL : arena_strdup(arena, PQgetvalue(result, i, 0));
    PQclear(result);
    return fits ? 0 : refuse_key(relation, reterr);
}

static int read_by_key(PGconn *conn, const struct sample_options *options, const struct fields *fields, const char *key,
                       struct arena *arena, PGresult **ret_result, struct err *reterr)
{
    const struct relation *relation = options->relation;
    const char **params = arena_zalloc(arena, relation->key_count + 1, sizeof(*params));
    struct buf sql;
    if (relation->key_count == 0 || split_key(conn, relation, key, arena, params, reterr))
        return relation->key_count == 0 ? refuse_key(relation, reterr) : -1;
    buf_init(&sql, SQL_MAX_BYTES);
    put_select(&sql, relation, fields);
    for (size_t k = 0; k < relation->key_count; k++) {
        buf_puts(&sql, k ? " AND " : " WHERE ");
        pg_put_ident(&sql, relation->columns[relation->key[k]].name);
        buf_printf(&sql, " = $%zu", k + 1);
    }
    if (ask(conn, relation, &sql, (int)relation->key_count, params, ret_result, reterr))
        return reterr->kind == ERR_POISON ? refuse_key(relation, reterr) : -1;
    return 0;
}

int sample_key(PGconn *conn, const struct relation *relation, const char *key, struct arena *arena,
               struct value **ret_identity, struct err *reterr)
{
    const char **params = arena_zalloc(arena, relation->key_count + 1, sizeof(*params));
    PGresult *result = NULL;
    struct buf sql;
    if (relation->key_count == 0 || split_key(conn, relation, key, arena, params, reterr))
        return relation->key_count == 0 ? refuse_key(relation, reterr) : -1;
    buf_init(&sql, SQL_MAX_BYTES);
    for (size_t k = 0; k < relation->key_count; k++)
        buf_printf(&sql, "%s$%zu::%s::text", k ? ", " : "SELECT ", k + 1, relation->columns[relation->key[k]].type);
    if (ask(conn, relation, &sql, (int)relation->key_count, params, &result, reterr))
        return reterr->kind == ERR_POISON ? refuse_key(relation, reterr) : -1;
    *ret_identity = arena_zalloc(arena, relation->key_count + 1, sizeof(**ret_identity));
    for (size_t k = 0; k < relation->key_count; k++) {
        uint32_t len = (uint32_t)PQgetlength(result, 0, (int)k);
        (*ret_identity)[k] = (struct value){
            .text = arena_strndup(arena, PQgetvalue(result, 0, (int)k), len), .len = len, .state = VALUE_TEXT};
    }
    PQclear(result);
    return 0;
}

int sample_read(PGconn *conn, const struct sample_options *options, struct arena *arena, struct change ***ret_changes,
                size_t *ret_count, struct err *reterr)
{
    struct fields fields = wanted_fields(options, arena);
    if (options->key_count == 0)
        return sample(conn, options, &fields, arena, ret_changes, ret_count, reterr);
    *ret_count = 0;
    *ret_changes = arena_alloc(arena, options->key_count * sizeof(**ret_changes));
    for (size_t i = 0; i < options->key_count; i++) {
        PGresult *result = NULL;
        if (read_by_key(conn, options, &fields, options->keys[i], arena, &result, reterr))
            return -1;
        if (PQntuples(result) == 1) {
            take_rows(result, options->relation, &fields, arena, *ret_changes + *ret_count);
            (*ret_count)++;
        }
        PQclear(result);
    }
    return 0;
}
