#include "sinks/postgres/mirror/mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/mirror/mirror_ddl.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/steps/steps.h"

#define SQL_MAX ((size_t)4 << 20)
#define DOING "making the mirrors"

/* pgrekey.mirror, the columns of KNOWN_SQL */
enum { KNOWN_NAME, KNOWN_KIND, KNOWN_PIPELINE, KNOWN_DEFINITION };
#define KNOWN_SQL                                                                                                      \
    "SELECT name, kind, pipeline, definition FROM pgrekey.mirror WHERE schema_name = $1 ORDER BY kind, position"

struct making {
    struct pgsink *s;
    const struct map *map;
    const char *schema;
    const struct mirror_view *views;
    size_t view_count;
    PGresult *known;       /* of the schema, all pipelines: tables, then views, in the order they were made in */
    struct catalog *found; /* what stands in the schema; NULL where there is nothing to do */
    bool begun;            /* the transaction: nothing is written before it */
};

static const char *known_text(const struct making *m, int row, int column)
{
    return PQgetvalue(m->known, row, column);
}

static bool known_is_ours(const struct making *m, int row)
{
    return strcmp(known_text(m, row, KNOWN_PIPELINE), m->s->options.pipeline) == 0;
}

static bool known_is_view(const struct making *m, int row)
{
    return *known_text(m, row, KNOWN_KIND) == 'v';
}

/* Its row in `known`, or -1. */
static int known_row(const struct making *m, const char *name)
{
    for (int i = 0; i < PQntuples(m->known); i++)
        if (strcmp(known_text(m, i, KNOWN_NAME), name) == 0)
            return i;
    return -1;
}

static bool is_wanted_table(const struct making *m, const char *name)
{
    for (size_t i = 0; i < map_rule_count(m->map); i++)
        if (map_rule(m->map, i)->mirror && strcmp(map_rule(m->map, i)->to_table, name) == 0)
            return true;
    return false;
}

/* --- looking --- */

static int look_at_schema(struct making *m, struct err *reterr)
{
    static const char SQL[] = "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') "
                              "FROM pg_namespace n WHERE n.nspname = $1";
    PGresult *result = NULL;

    if (session_query(m->s, DOING, SQL, 1, &m->schema, &result, reterr))
        return -1;
    bool there = PQntuples(result) == 1, may = there && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (may)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "target: %s schema %s, which the mapping's mirrors stand in",
                  there ? "the role may not create tables in" : "there is no", m->schema);
    return err_hint(reterr, "run `pgrekey init` again");
}

static int look(struct making *m, struct err *reterr)
{
    if (session_query(m->s, DOING, KNOWN_SQL, 1, &m->schema, &m->known, reterr))
        return -1;
    if (!map_has_mirrors(m->map) && PQntuples(m->known) == 0)
        return 0;
    return pg_read_catalog(m->s->conn, SIDE, &m->schema, 1, &m->found, reterr);
}

/* A name is free where nothing stands there, and ours where our record says so. */
static int check_name(const struct making *m, const char *name, struct err *reterr)
{
    int row = known_row(m, name);

    if (row >= 0 && known_is_ours(m, row))
        return 0;
    if (row < 0 && !catalog_find(m->found, m->schema, name))
        return 0;
    if (row >= 0)
        (void)err_set(reterr, ERR_REFUSED, "%s.%s on the target belongs to pipeline %s", m->schema, name,
                      known_text(m, row, KNOWN_PIPELINE));
    else
        (void)err_set(reterr, ERR_REFUSED, "%s.%s stands on the target already, and no pipeline has made it", m->schema,
                      name);
    return err_hint(reterr, row >= 0 ? "give this mapping a side schema of its own"
                                     : "rename it, or move it to another schema: this one is pgrekey's own");
}

static int check_names(const struct making *m, struct err *reterr)
{
    for (size_t i = 0; i < map_rule_count(m->map); i++)
        if (map_rule(m->map, i)->mirror && check_name(m, map_rule(m->map, i)->to_table, reterr))
            return -1;
    for (size_t i = 0; i < m->view_count; i++)
        if (check_name(m, m->views[i].name, reterr))
            return -1;
    return 0;
}

/* --- writing --- */

static int begin(struct making *m, struct err *reterr)
{
    struct buf path;

    if (m->begun)
        return 0;
    if (session_begin(m->s, reterr))
        return -1;
    m->begun = true;
    /* An index over a large mirror takes its time. Names in a view mean mirrors first. */
    buf_init(&path, 4096);
    buf_puts(&path, "SELECT set_config('statement_timeout', '0', true), set_config('search_path', ");
    struct buf ident;
    buf_init(&ident, 4096);
    pg_put_ident(&ident, m->schema);
    pg_put_literal(&path, buf_text(&ident));
    buf_done(&ident);
    buf_puts(&path, " || ', ' || current_setting('search_path'), true)");
    int failed = session_run(m->s, DOING, session_text(&path), reterr);
    buf_done(&path);
    return failed;
}

static int run(struct making *m, const struct buf *sql, struct err *reterr)
{
    if (begin(m, reterr))
        return -1;
    return session_run(m->s, DOING, session_text(sql), reterr);
}

static int record(struct making *m, const char *name, const char *kind, size_t position, const char *definition,
                  struct err *reterr)
{
    char number[24];
    const char *params[6] = {m->schema, name, m->s->options.pipeline, kind, number, definition};

    snprintf(number, sizeof(number), "%zu", position);
    return session_query(m->s, DOING,
                         "INSERT INTO pgrekey.mirror (schema_name, name, pipeline, kind, position, definition) "
                         "VALUES ($1, $2, $3, $4, $5::integer, $6) ON CONFLICT (schema_name, name) DO UPDATE SET "
                         "kind = excluded.kind, position = excluded.position, definition = excluded.definition",
                         6, params, NULL, reterr);
}

/* Drops what our record names, and forgets it. */
static int drop_known(struct making *m, int row, struct err *reterr)
{
    const char *name = known_text(m, row, KNOWN_NAME), *params[2] = {m->schema, name};
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "DROP %s IF EXISTS ", known_is_view(m, row) ? "VIEW" : "TABLE");
    pg_put_qualified(&sql, m->schema, name);
    int failed = run(m, &sql, reterr);
    buf_done(&sql);
    if (failed)
        return mirror_explain_dependents(name, reterr);
    return session_query(m->s, DOING, "DELETE FROM pgrekey.mirror WHERE schema_name = $1 AND name = $2", 2, params,
                         NULL, reterr);
}

static int close_to_others(struct making *m, const char *name, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    mirror_put_closing(&sql, m->schema, name);
    int failed = run(m, &sql, reterr);
    buf_done(&sql);
    return failed;
}

/* --- tables --- */

static int create_table(struct making *m, const struct rule *rule, const struct relation *wanted, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    mirror_put_table(&sql, rule, wanted);
    int failed = run(m, &sql, reterr);
    buf_done(&sql);
    if (failed || close_to_others(m, rule->to_table, reterr))
        return -1;
    return record(m, rule->to_table, "table", (size_t)rule->index, "", reterr);
}

/* One ALTER TABLE: what the mapping no longer has goes, what is missing or of another type comes without values. */
static int alter_table(struct making *m, const struct rule *rule, const struct relation *wanted,
                       const struct relation *found, struct err *reterr)
{
    size_t actions = 0;
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "ALTER TABLE ");
    pg_put_qualified(&sql, rule->to_schema, rule->to_table);
    for (size_t i = 0; i < found->column_count; i++) {
        int at = relation_column(wanted, found->columns[i].name);
        if (at >= 0 && strcmp(found->columns[i].type, wanted->columns[at].type) == 0)
            continue;
        buf_puts(&sql, actions++ ? ", DROP COLUMN " : " DROP COLUMN ");
        pg_put_ident(&sql, found->columns[i].name);
    }
    for (size_t i = 0; i < rule->column_count; i++) {
        int there = relation_column(found, rule->columns[i].name),
            here = relation_column(wanted, rule->columns[i].name);
        if (there >= 0 && here >= 0 && strcmp(found->columns[there].type, wanted->columns[here].type) == 0)
            continue;
        buf_puts(&sql, actions++ ? ", ADD COLUMN " : " ADD COLUMN ");
        mirror_put_column(&sql, wanted, rule->columns[i].name);
    }
    int failed = actions ? run(m, &sql, reterr) : 0;
    buf_done(&sql);
    return failed;
}

static int refuse_shape(const struct rule *rule, const char *column, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "mirror %s.%s has another %s%s than the mapping and the source give it",
                  rule->to_schema, rule->to_table, column ? "column " : "key", column ? column : "");
    return err_hint(reterr, "bring the old shape back; or `pgrekey drop` and begin again with empty target tables");
}

static int recreate_table(struct making *m, const struct rule *rule, const struct relation *wanted, struct err *reterr)
{
    if (drop_known(m, known_row(m, rule->to_table), reterr))
        return -1;
    return create_table(m, rule, wanted, reterr);
}

static int make_table(struct making *m, const struct rule *rule, struct err *reterr)
{
    const struct relation *wanted = map_rule_target(m->map, rule),
                          *found = catalog_find(m->found, m->schema, rule->to_table);
    const char *column;

    if (!found)
        return create_table(m, rule, wanted, reterr) || steps_load_again(m->s, rule, reterr) ? -1 : 0;
    if (m->s->state == PIPELINE_NEW)
        return recreate_table(m, rule, wanted, reterr);
    enum mirror_shape shape = mirror_compare(rule, wanted, found, &column);
    if (shape == MIRROR_SAME)
        return 0;
    if (shape == MIRROR_WIDER)
        return alter_table(m, rule, wanted, found, reterr);
    if (m->s->state != PIPELINE_STREAMING || !column)
        return refuse_shape(rule, column, reterr);
    return alter_table(m, rule, wanted, found, reterr) || steps_load_again(m->s, rule, reterr) ? -1 : 0;
}

/* --- indexes --- */

static int create_indexes(struct making *m, const struct rule *rule, struct err *reterr)
{
    int failed = 0;

    for (size_t i = 0; !failed && i < rule->mirror_index_count; i++) {
        struct buf sql;
        buf_init(&sql, SQL_MAX);
        mirror_put_index(&sql, rule, rule->mirror_indexes[i]);
        failed = run(m, &sql, reterr);
        buf_done(&sql);
    }
    return failed;
}

static bool wants_index(const struct rule *rule, const char *name)
{
    char wanted[MIRROR_NAME_MAX];

    for (size_t i = 0; i < rule->mirror_index_count; i++) {
        mirror_index_name(rule, rule->mirror_indexes[i], wanted);
        if (strcmp(wanted, name) == 0)
            return true;
    }
    return false;
}

static int drop_index(struct making *m, const char *name, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "DROP INDEX IF EXISTS ");
    pg_put_qualified(&sql, m->schema, name);
    int failed = run(m, &sql, reterr);
    buf_done(&sql);
    return failed;
}

/* Ours by their names; what somebody else made beside them stays. Nothing is written where all are there. */
static int make_indexes(struct making *m, const struct rule *rule, struct err *reterr)
{
    static const char SQL[] = "SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename = $2 "
                              "AND starts_with(indexname, '" MIRROR_INDEX_PREFIX "')";
    const char *params[2] = {rule->to_schema, rule->to_table};
    PGresult *result = NULL;
    size_t there = 0;
    int failed = 0;

    if (session_query(m->s, DOING, SQL, 2, params, &result, reterr))
        return -1;
    for (int i = 0; !failed && i < PQntuples(result); i++) {
        bool wanted = wants_index(rule, PQgetvalue(result, i, 0));
        there += wanted;
        if (!wanted)
            failed = drop_index(m, PQgetvalue(result, i, 0), reterr);
    }
    PQclear(result);
    if (failed || there == rule->mirror_index_count)
        return failed;
    return create_indexes(m, rule, reterr);
}

/* --- views --- */

static bool views_are_as_wanted(const struct making *m)
{
    size_t at = 0;

    for (int i = 0; i < PQntuples(m->known); i++) {
        if (!known_is_view(m, i) || !known_is_ours(m, i))
            continue;
        if (at == m->view_count || strcmp(known_text(m, i, KNOWN_NAME), m->views[at].name) != 0 ||
            strcmp(known_text(m, i, KNOWN_DEFINITION), m->views[at].query) != 0 ||
            !catalog_find(m->found, m->schema, m->views[at].name))
            return false;
        at++;
    }
    return at == m->view_count;
}

/* Will a table be dropped or altered that views may stand on? */
static bool tables_change(const struct making *m)
{
    const char *column;

    for (int i = 0; i < PQntuples(m->known); i++)
        if (known_is_ours(m, i) && !known_is_view(m, i) && !is_wanted_table(m, known_text(m, i, KNOWN_NAME)))
            return true;
    for (size_t i = 0; i < map_rule_count(m->map); i++) {
        const struct rule *rule = map_rule(m->map, i);
        const struct relation *found = rule->mirror ? catalog_find(m->found, m->schema, rule->to_table) : NULL;
        if (found && (m->s->state == PIPELINE_NEW ||
                      mirror_compare(rule, map_rule_target(m->map, rule), found, &column) != MIRROR_SAME))
            return true;
    }
    return false;
}

static int drop_views(struct making *m, struct err *reterr)
{
    for (int i = PQntuples(m->known); i-- > 0;)
        if (known_is_view(m, i) && known_is_ours(m, i) && drop_known(m, i, reterr))
            return -1;
    return 0;
}

static int explain_view(const struct mirror_view *view, struct err *reterr)
{
    char sqlstate[sizeof(reterr->sqlstate)];

    if (reterr->kind == ERR_RETRY)
        return err_wrap(reterr, "view %s", view->name);
    memcpy(sqlstate, reterr->sqlstate, sizeof(sqlstate));
    (void)err_set(reterr, ERR_CONFIG, "the target does not take the mapping's view %s (SQLSTATE %s)", view->name,
                  sqlstate);
    memcpy(reterr->sqlstate, sqlstate, sizeof(sqlstate));
    return err_hint(reterr, "run its query on the target with search_path set to the mirrors' schema: it says more");
}

static int create_views(struct making *m, struct err *reterr)
{
    for (size_t i = 0; i < m->view_count; i++) {
        struct buf sql;
        buf_init(&sql, SQL_MAX);
        mirror_put_view(&sql, m->schema, &m->views[i]);
        int failed = run(m, &sql, reterr);
        buf_done(&sql);
        if (failed)
            return explain_view(&m->views[i], reterr);
        if (close_to_others(m, m->views[i].name, reterr) ||
            record(m, m->views[i].name, "view", i, m->views[i].query, reterr))
            return -1;
    }
    return 0;
}

/* --- the whole --- */

static int drop_stale_tables(struct making *m, struct err *reterr)
{
    for (int i = 0; i < PQntuples(m->known); i++)
        if (known_is_ours(m, i) && !known_is_view(m, i) && !is_wanted_table(m, known_text(m, i, KNOWN_NAME)) &&
            drop_known(m, i, reterr))
            return -1;
    return 0;
}

static int make_all(struct making *m, struct err *reterr)
{
    bool views = tables_change(m) || !views_are_as_wanted(m);

    if (check_names(m, reterr) || (views && drop_views(m, reterr)) || drop_stale_tables(m, reterr))
        return -1;
    for (size_t i = 0; i < map_rule_count(m->map); i++) {
        const struct rule *rule = map_rule(m->map, i);
        if (rule->mirror && (make_table(m, rule, reterr) || make_indexes(m, rule, reterr)))
            return -1;
    }
    return views ? create_views(m, reterr) : 0;
}

int mirror_make(struct pgsink *s, struct err *reterr)
{
    struct making m = {.s = s, .map = s->options.map};
    int failed;

    m.schema = map_mirror_schema(m.map);
    m.views = map_views(m.map, &m.view_count);
    failed = (map_has_mirrors(m.map) && look_at_schema(&m, reterr)) || look(&m, reterr) ||
             (m.found && make_all(&m, reterr)) || (m.begun && session_commit(s, reterr));
    if (failed && m.begun)
        session_rollback(s);
    PQclear(m.known);
    catalog_free(m.found);
    return failed ? -1 : 0;
}

/* --- reading --- */

static int take_rows(const PGresult *result, const struct rule *rule, sink_take_fn take, void *context,
                     struct err *reterr)
{
    struct value *values = mem_zalloc(rule->column_count + 1, sizeof(*values));
    int failed = 0;

    for (int row = 0; !failed && row < PQntuples(result); row++) {
        for (size_t i = 0; i < rule->column_count; i++) {
            bool null = PQgetisnull(result, row, (int)i);
            values[i] = (struct value){.text = null ? NULL : PQgetvalue(result, row, (int)i),
                                       .len = (uint32_t)PQgetlength(result, row, (int)i),
                                       .state = null ? VALUE_NULL : VALUE_TEXT};
        }
        failed = take(context, values, reterr);
    }
    free(values);
    return failed;
}

int mirror_read(struct sink *sink, const struct rule *rule, size_t max_rows, sink_take_fn take, void *context,
                struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const struct target *target = &rule_state_of(s, rule)->target;
    PGresult *result = NULL;
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "SELECT %s FROM %s LIMIT %zu", target->column_list, target->table, max_rows + 1);
    int failed = session_query(s, "reading a look-up mirror", session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (failed)
        return -1;
    if ((size_t)PQntuples(result) > max_rows)
        failed = err_set(reterr, ERR_CONFIG, "mirror %s, which rows are looked up in, holds more than %zu rows",
                         rule->to_table, max_rows);
    else
        failed = take_rows(result, rule, take, context, reterr);
    PQclear(result);
    return failed;
}
