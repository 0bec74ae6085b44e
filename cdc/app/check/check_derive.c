#include "cdc/app/check/check_derive.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/check_plan.h"
#include "cdc/app/check/check_sql.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/mirror/mirror_ddl.h"
#include "transform/issues.h"

#define TOUCHED "WITH touched AS NOT MATERIALIZED (SELECT * FROM pg_temp.pgrekey_touched) "
#define KEYS "WITH keys AS NOT MATERIALIZED (SELECT * FROM pg_temp.pgrekey_keys) "

#define UUID_OID 2950

/* A plan costs what it reads: the stand-ins are empty and the planner takes them for a few pages each, but where an
 * index can spare reading a table it is to be used, and a table of any size is to be read only where none can. */
#define COSTS                                                                                                          \
    "pg_catalog.set_config('seq_page_cost', '20', true), pg_catalog.set_config('random_page_cost', '1', true), "       \
    "pg_catalog.set_config('cpu_tuple_cost', '1', true), pg_catalog.set_config('cpu_index_tuple_cost', '1', true)"

struct checking {
    struct mapping *mapping;
    const struct map *map;
    PGconn *conn;
    bool adopt;
};

/* One derivation. */
struct subject {
    struct checking *c;
    const struct derivation *d;
    size_t part_count; /* columns of `keys` */
    size_t line;       /* of its query */
};

static int run(struct checking *c, const char *sql, struct err *reterr)
{
    return pg_run(c->conn, CHECK_SQL_SIDE, CHECK_SQL_DOING, sql, reterr);
}

/* --- what the SQL reads: stand-ins, for the mirrors as the file has them now --- */

static int set_path(struct checking *c, struct err *reterr)
{
    size_t count;
    const char *const *schemas = map_target_schemas(c->map, &count);
    struct buf path;
    buf_init(&path, CHECK_SQL_MAX);
    pg_put_ident(&path, map_mirror_schema(c->map));
    for (size_t i = 0; i < count; i++) {
        buf_puts(&path, ", ");
        pg_put_ident(&path, schemas[i]);
    }
    const char *params[] = {buf_text(&path)};
    static const char SQL[] =
        "SELECT pg_catalog.set_config('search_path', $1 || ', ' || current_setting('search_path'), true), " COSTS;
    int status = pg_query(c->conn, CHECK_SQL_SIDE, CHECK_SQL_DOING, SQL, 1, params, NULL, reterr);
    buf_done(&path);
    return status;
}

static int make_mirrors(struct checking *c, struct err *reterr)
{
    struct buf sql;
    int status = 0;
    buf_init(&sql, CHECK_SQL_MAX);
    for (size_t i = 0; i < map_rule_count(c->map); i++) {
        const struct relation *relation = map_rule_target(c->map, map_rule(c->map, i));
        struct rule like = *map_rule(c->map, i);
        if (!like.mirror || !relation)
            continue;
        like.to_schema = "pg_temp";
        mirror_put_table(&sql, &like, relation);
        buf_puts(&sql, "; ");
        for (size_t j = 0; j < like.mirror_index_count; j++) {
            mirror_put_index(&sql, &like, like.mirror_indexes[j]);
            buf_puts(&sql, "; ");
        }
    }
    if (sql.len > 0)
        status = buf_overflowed(&sql) ? err_set(reterr, ERR_CONFIG, "%s: too many mirrors", CHECK_SQL_DOING)
                                      : run(c, buf_text(&sql), reterr);
    buf_done(&sql);
    return status;
}

static int make_views(struct checking *c, struct err *reterr)
{
    size_t count;
    const struct mirror_view *views = map_views(c->map, &count);
    for (size_t i = 0; i < count; i++) {
        struct check_sql piece = {c->mapping, c->conn, views[i].name, "the view", views[i].query, views[i].line};
        PGresult *result = NULL;
        struct buf sql;
        buf_init(&sql, CHECK_SQL_MAX);
        mirror_put_view(&sql, "pg_temp", &views[i]);
        int status = check_sql_ask(&piece, &sql, &result, reterr);
        PQclear(result);
        buf_done(&sql);
        if (status < 0)
            return -1;
    }
    return 0;
}

/* --- keys and touched --- */

static void put_input(struct buf *sql, const struct derivation_input *input)
{
    pg_put_qualified(sql, input->mirror ? "pg_temp" : input->schema, input->table);
}

/* A row of NULLs, so that the planner thinks of few. */
static int fill(struct checking *c, const char *table, struct err *reterr)
{
    char sqlstate[6];
    struct buf sql;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_printf(&sql, "INSERT INTO pg_temp.%s DEFAULT VALUES", table);
    int status = check_sql_try(c->conn, &sql, sqlstate, reterr);
    buf_reset(&sql);
    buf_printf(&sql, "ANALYZE pg_temp.%s", table);
    if (status >= 0)
        status = check_sql_try(c->conn, &sql, sqlstate, reterr);
    buf_done(&sql);
    return status < 0 ? -1 : 0;
}

static int make_touched(struct subject *s, const struct derivation_input *input, struct err *reterr)
{
    struct check_sql piece = {s->c->mapping, s->c->conn, s->d->name, "a look at the table under \"touched:\"",
                              input->table,  s->d->line};
    PGresult *result = NULL;
    struct buf sql;
    if (run(s->c, "DROP TABLE IF EXISTS pg_temp.pgrekey_touched", reterr) < 0)
        return -1;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_puts(&sql, "CREATE TEMP TABLE pgrekey_touched AS SELECT * FROM ");
    put_input(&sql, input);
    buf_puts(&sql, " WITH NO DATA");
    int status = check_sql_ask(&piece, &sql, &result, reterr);
    PQclear(result);
    buf_done(&sql);
    return status ? status : fill(s->c, "pgrekey_touched", reterr);
}

static int explain(struct subject *s, const struct buf *statement, size_t line, const char *what, struct err *reterr)
{
    struct buf sql;
    PGresult *result = NULL;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_printf(&sql, "EXPLAIN (FORMAT JSON, VERBOSE, COSTS OFF) %s", buf_text(statement));
    int status =
        pg_query(s->c->conn, CHECK_SQL_SIDE, CHECK_SQL_DOING, buf_text(&sql), 0, NULL, &result, reterr) < 0 ? -1 : 0;
    if (status == 0)
        check_plan(PQgetvalue(result, 0, 0), s->c->mapping, line, s->d->name, what);
    PQclear(result);
    buf_done(&sql);
    return status;
}

static int check_count(struct subject *s, size_t line, int given)
{
    if ((size_t)given == s->part_count)
        return 0;
    issue_error_at(&s->c->mapping->issues, line, 1, "%s: the query of keys gives %d column%s, the key is made of %zu",
                   s->d->name, given, given == 1 ? "" : "s", s->part_count);
    return 1;
}

/* What leads from rows of an input to keys. 1 where nothing more can be said. */
static int check_keys(struct subject *s, size_t i, struct err *reterr)
{
    const struct derivation_input *input = &s->d->inputs[i];
    struct check_sql piece = {s->c->mapping, s->c->conn,
                              s->d->name,    "the query of keys",
                              input->keys,   map_derivation_keys_line(s->c->map, (size_t)s->d->index, i)};
    PGresult *result = NULL;
    struct buf sql;
    int status = make_touched(s, input, reterr);
    if (status != 0)
        return status;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_printf(&sql, TOUCHED "SELECT * FROM (%s\n) q LIMIT 0", input->keys);
    status = check_sql_ask(&piece, &sql, &result, reterr);
    if (status == 0)
        status = check_count(s, piece.line, PQnfields(result));
    PQclear(result);
    buf_reset(&sql);
    buf_printf(&sql, TOUCHED "SELECT * FROM (%s\n) q", input->keys);
    if (status == 0)
        status = explain(s, &sql, piece.line, piece.what, reterr);
    buf_done(&sql);
    return status;
}

static void put_keys_of(struct buf *sql, const struct derivation_input *input)
{
    buf_puts(sql, "(WITH touched AS NOT MATERIALIZED (SELECT * FROM ");
    put_input(sql, input);
    buf_printf(sql, ") SELECT * FROM (%s\n) q)", input->keys);
}

static void put_parts(struct buf *sql, const struct derivation *d)
{
    bool first = true;
    for (size_t k = 0; k < d->key_count; k++)
        for (size_t p = 0; p < d->keys[k].part_count; p++) {
            buf_puts(sql, first ? "" : ", ");
            pg_put_ident(sql, d->keys[k].parts[p]);
            first = false;
        }
}

/* The relation `keys`, with the types that the SQL of all inputs gives together. */
static int make_keys(struct subject *s, struct err *reterr)
{
    char sqlstate[6];
    struct buf sql;
    if (run(s->c, "DROP TABLE IF EXISTS pg_temp.pgrekey_keys", reterr) < 0)
        return -1;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_puts(&sql, "CREATE TEMP TABLE pgrekey_keys (");
    put_parts(&sql, s->d);
    buf_puts(&sql, ") AS ");
    for (size_t i = 0; i < s->d->input_count; i++) {
        buf_puts(&sql, i ? " UNION ALL " : "");
        put_keys_of(&sql, &s->d->inputs[i]);
    }
    buf_puts(&sql, " WITH NO DATA");
    int status = check_sql_try(s->c->conn, &sql, sqlstate, reterr);
    buf_done(&sql);
    if (status > 0)
        issue_error_at(&s->c->mapping->issues, s->d->line, 1,
                       "%s: the keys of its inputs are of types that do not go together (SQLSTATE %s); cast them",
                       s->d->name, sqlstate);
    return status ? status : fill(s->c, "pgrekey_keys", reterr);
}

/* --- the query --- */

/* Names: what is wrong with them are issues. */
static int describe(struct subject *s, const PGresult *result)
{
    int count = PQnfields(result);
    const char **names = mem_zalloc((size_t)count + 1, sizeof *names);
    struct err ignored = {0};
    for (int i = 0; i < count; i++)
        names[i] = PQfname(result, i);
    int status = map_derivation_describe(s->c->mapping->map, (size_t)s->d->index, names, (size_t)count,
                                         &s->c->mapping->issues, &ignored);
    free(names);
    return status < 0 ? 1 : 0;
}

struct pair {
    const char *column, *from; /* of the target's table, of the query */
};

/* Will the target's columns take them? 1: no. */
static int try_types(struct subject *s, const struct pair *pairs, size_t count, char *ret_sqlstate, struct err *reterr)
{
    struct buf sql;
    buf_init(&sql, CHECK_SQL_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_puts(&sql, i ? ", " : "EXPLAIN INSERT INTO pg_temp.pgrekey_result (");
        pg_put_ident(&sql, pairs[i].column);
    }
    for (size_t i = 0; i < count; i++) {
        buf_puts(&sql, i ? ", q." : ") " KEYS "SELECT q.");
        pg_put_ident(&sql, pairs[i].from);
    }
    buf_printf(&sql, " FROM (%s\n) q", s->d->query);
    int status = check_sql_try(s->c->conn, &sql, ret_sqlstate, reterr);
    buf_done(&sql);
    return status;
}

/* All at once, for that is mostly all there is to ask; each alone where one does not fit, so that it can be named. */
static int check_pairs(struct subject *s, const struct pair *pairs, size_t count, struct err *reterr)
{
    char sqlstate[6];
    int status = count ? try_types(s, pairs, count, sqlstate, reterr) : 0;
    bool fits = status == 0;
    for (size_t i = 0; !fits && status >= 0 && i < count; i++) {
        status = try_types(s, &pairs[i], 1, sqlstate, reterr);
        if (status > 0)
            issue_error_at(&s->c->mapping->issues, s->line, 1,
                           "%s: the query's column \"%s\" is of a type that column \"%s\" of %s.%s does not take "
                           "(SQLSTATE %s); cast it",
                           s->d->name, pairs[i].from, pairs[i].column, s->d->to_schema, s->d->to_table, sqlstate);
    }
    return status < 0 ? -1 : 0;
}

static int check_types(struct subject *s, struct err *reterr)
{
    struct pair *pairs = mem_zalloc(s->d->column_count + s->d->key_count + 1, sizeof *pairs);
    size_t count = 0;
    struct buf sql;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_puts(&sql, "DROP TABLE IF EXISTS pg_temp.pgrekey_result; CREATE TEMP TABLE pgrekey_result AS SELECT * FROM ");
    pg_put_qualified(&sql, s->d->to_schema, s->d->to_table);
    buf_puts(&sql, " WITH NO DATA");
    int status = run(s->c, buf_text(&sql), reterr);
    buf_done(&sql);
    for (size_t i = 0; i < s->d->column_count; i++)
        pairs[count++] = (struct pair){s->d->columns[i].name, s->d->columns[i].name};
    for (size_t k = 0; k < s->d->key_count; k++)
        if (!s->d->keys[k].entity)
            pairs[count++] = (struct pair){s->d->keys[k].column, s->d->keys[k].of};
    if (status == 0)
        status = check_pairs(s, pairs, count, reterr);
    free(pairs);
    return status;
}

static int check_condition(struct subject *s, const char *text, const char *what, const char *cast, struct err *reterr)
{
    struct check_sql piece = {s->c->mapping, s->c->conn, s->d->name,
                              what,          text,       map_derivation_reject_line(s->c->map, (size_t)s->d->index)};
    PGresult *result = NULL;
    struct buf sql;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_printf(&sql, KEYS "SELECT (%s\n)%s FROM (%s\n) q LIMIT 0", text, cast, s->d->query);
    int status = check_sql_ask(&piece, &sql, &result, reterr);
    PQclear(result);
    buf_done(&sql);
    return status < 0 ? -1 : 0;
}

static int check_query(struct subject *s, struct err *reterr)
{
    const struct derivation *d = s->d;
    struct check_sql piece = {s->c->mapping, s->c->conn, d->name, "the query", d->query, s->line};
    PGresult *result = NULL;
    struct buf sql;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_printf(&sql, KEYS "SELECT * FROM (%s\n) q LIMIT 0", d->query);
    int status = check_sql_ask(&piece, &sql, &result, reterr);
    if (status == 0)
        status = describe(s, result);
    PQclear(result);
    buf_reset(&sql);
    buf_printf(&sql, KEYS "SELECT * FROM (%s\n) q", d->query);
    if (status == 0)
        status = explain(s, &sql, s->line, piece.what, reterr);
    buf_done(&sql);
    if (status == 0)
        status = check_types(s, reterr);
    if (status == 0 && d->reject_when)
        status = check_condition(s, d->reject_when, "the condition of \"reject:\"", "::boolean", reterr);
    if (status == 0 && d->reject_category)
        status = check_condition(s, d->reject_category, "the category of \"reject:\"", "::text", reterr);
    return status < 0 ? -1 : 0;
}

static int check_one(struct checking *c, const struct derivation *d, struct err *reterr)
{
    struct subject s = {.c = c, .d = d, .line = map_derivation_query_line(c->map, (size_t)d->index)};
    int refused = 0;
    for (size_t k = 0; k < d->key_count; k++)
        s.part_count += d->keys[k].part_count;
    for (size_t i = 0; i < d->input_count; i++) {
        int status = check_keys(&s, i, reterr);
        if (status < 0)
            return -1;
        refused |= status;
    }
    int status = refused ? 1 : make_keys(&s, reterr);
    return status == 0 ? check_query(&s, reterr) : status < 0 ? -1 : 0;
}

/* --- adoption --- */

static int check_adoption(struct checking *c, const struct map_adopt_query *query, struct err *reterr)
{
    struct check_sql piece = {c->mapping, c->conn, query->name, "the query of \"adopt:\"", query->sql, query->line};
    PGresult *result = NULL;
    struct buf sql;
    buf_init(&sql, CHECK_SQL_MAX);
    buf_printf(&sql, "SELECT * FROM (%s\n) q LIMIT 0", query->sql);
    int status = check_sql_ask(&piece, &sql, &result, reterr);
    int count = status == 0 ? PQnfields(result) : 0;
    Oid type = count > 0 ? PQftype(result, count - 1) : UUID_OID;
    PQclear(result);
    buf_done(&sql);
    if (status == 0 && type != UUID_OID)
        issue_error_at(&c->mapping->issues, query->line, 1,
                       "%s: the last column of the query of \"adopt:\" is no uuid; cast it", query->name);
    if (status == 0 && (size_t)count != query->part_count + 1)
        issue_error_at(&c->mapping->issues, query->line, 1,
                       "%s: the query of \"adopt:\" gives %d column%s; wanted are the legacy key, of %zu, and the "
                       "existing id",
                       query->name, count, count == 1 ? "" : "s", query->part_count);
    return status < 0 ? -1 : 0;
}

/* --- the whole --- */

static int check_all(struct checking *c, struct err *reterr)
{
    struct map_adopt_query query;
    if (set_path(c, reterr) < 0 || make_mirrors(c, reterr) < 0 || make_views(c, reterr) < 0)
        return -1;
    for (size_t i = 0; i < map_derivation_count(c->map); i++)
        if (check_one(c, map_derivation(c->map, i), reterr) < 0)
            return -1;
    for (size_t i = 0; c->adopt && map_adopt_query(c->map, i, &query); i++)
        if (check_adoption(c, &query, reterr) < 0)
            return -1;
    return 0;
}

static bool has_sql(const struct map *map)
{
    size_t views;
    struct map_adopt_query query;
    (void)map_views(map, &views);
    return views > 0 || map_derivation_count(map) > 0 || map_adopt_query(map, 0, &query);
}

/* Only with TEMPORARY can anything stand for what is not there; the engine needs it as well. */
static int may_make_temporary(struct checking *c, bool *ret_may, struct err *reterr)
{
    PGresult *result;
    if (pg_query(c->conn, CHECK_SQL_SIDE, CHECK_SQL_DOING,
                 "SELECT pg_catalog.has_database_privilege(current_database(), 'TEMPORARY')", 0, NULL, &result,
                 reterr) < 0)
        return -1;
    *ret_may = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (!*ret_may)
        issue_error_at(&c->mapping->issues, 0, 0,
                       "the role may not make temporary tables on the target, which derivations need: GRANT TEMPORARY "
                       "ON DATABASE … TO …");
    return 0;
}

int check_derivations(struct mapping *mapping, PGconn *target, bool adopt, struct err *reterr)
{
    struct checking c = {mapping, mapping->map, target, adopt};
    size_t before = issue_error_count(&mapping->issues);
    bool may = false;
    if (!target || !has_sql(mapping->map) || (map_has_mirrors(mapping->map) && !mapping->source))
        return 0;
    if (may_make_temporary(&c, &may, reterr) < 0)
        return -1;
    if (may) {
        struct err end = {0};
        int status = run(&c, "BEGIN", reterr);
        if (status == 0)
            status = check_all(&c, reterr);
        if (run(&c, "ROLLBACK", &end) < 0 && status == 0) {
            *reterr = end;
            status = -1;
        }
        if (status < 0)
            return -1;
    }
    size_t errors = issue_error_count(&mapping->issues) - before;
    return errors ? err_set(reterr, ERR_CONFIG, "the target does not take the mapping's SQL: %zu error%s", errors,
                            errors == 1 ? "" : "s")
                  : 0;
}
