#include "tests/contract/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/state/schema.h"
#include "transform/map.h"

static const char schemas[] =
    "DROP SCHEMA IF EXISTS pgrekey, legacy, app CASCADE;"
    "CREATE SCHEMA legacy; CREATE SCHEMA app;"
    /* The source checks at the end of the transaction, the target at once: any order inside one is possible. */
    "CREATE TABLE legacy.offices (id integer PRIMARY KEY, name text NOT NULL);"
    "CREATE TABLE legacy.users (id integer PRIMARY KEY, email text NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED,"
    " nick text UNIQUE DEFERRABLE INITIALLY DEFERRED, office_id integer, boss_id integer, bio text);"
    "CREATE TABLE legacy.orders (id integer PRIMARY KEY, user_id integer, total numeric, status text, note text);"
    "CREATE TABLE legacy.members (id integer PRIMARY KEY, user_id integer, office_id integer, role text);"
    "CREATE TABLE legacy.notes (id integer PRIMARY KEY, body text, wanted boolean NOT NULL DEFAULT true);"
    "CREATE TABLE legacy.plain (a integer, b text, note varchar(20), PRIMARY KEY (a, b));"
    "CREATE TABLE app.offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text NOT NULL);"
    "CREATE TABLE app.users (id uuid PRIMARY KEY, legacy_id integer UNIQUE, email text NOT NULL UNIQUE,"
    " nick text UNIQUE, office_id uuid NOT NULL REFERENCES app.offices, boss_id uuid REFERENCES app.users, bio text,"
    " born_as text, app_note text DEFAULT 'untouched');"
    "CREATE TABLE app.orders (id uuid PRIMARY KEY, legacy_id integer UNIQUE, user_id uuid NOT NULL"
    " REFERENCES app.users, total numeric CHECK (total >= 0), note varchar(10));"
    "CREATE TABLE app.members (user_id uuid, office_id uuid, legacy_id integer UNIQUE, role text,"
    " closed boolean NOT NULL DEFAULT false, PRIMARY KEY (user_id, office_id));"
    "CREATE TABLE app.notes (id uuid PRIMARY KEY, body text);"
    "CREATE TABLE app.plain (a integer, b text, note varchar(20), PRIMARY KEY (a, b));";

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: offices, from: offices, to: offices, key: {id: {uuid: office, of: id}}, truncate: rows,\n"
    "   columns: {legacy_id: id, name: name}}\n"
    "- {name: users, from: users, to: users, key: {id: {uuid: user, of: id}}, once: [born_as], truncate: rows,\n"
    "   columns: {legacy_id: id, email: email, nick: nick, office_id: {uuid: office, of: office_id},\n"
    "             boss_id: {uuid: user, of: boss_id, required: false}, bio: bio, born_as: email}}\n"
    "- {name: orders, from: orders, to: orders, key: {id: {uuid: order, of: id}}, when: status <> 'draft',\n"
    "   columns: {legacy_id: id, user_id: {uuid: user, of: user_id}, total: total, note: note}}\n"
    "- {name: members, from: members, to: members, identity: legacy_id, delete: {set: {closed: true}},\n"
    "   key: {user_id: {uuid: user, of: user_id}, office_id: {uuid: office, of: office_id}},\n"
    "   columns: {legacy_id: id, role: role}}\n"
    "- {name: notes, from: notes, to: notes, key: {id: {uuid: note, of: id}}, delete: keep, when: wanted,\n"
    "   columns: {body: body}}\n"
    "- {name: plain, from: plain, to: plain, key: {a: a, b: b}, columns: {note: note}}\n";

const char *world_conninfo(void)
{
    const char *conninfo = getenv("PGREKEY_TEST_TARGET");
    return conninfo && *conninfo ? conninfo : NULL;
}

static PGconn *connect_to(const char *who)
{
    struct pg_options options = {.side = who,
                                 .conninfo = world_conninfo(),
                                 .application_name = who,
                                 .session = "-c client_min_messages=warning"};
    struct err err = {0};
    PGconn *conn = NULL;
    if (pg_open(&options, &conn, &err))
        fail_msg("%s", err.message);
    return conn;
}

static void run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(result));
    PQclear(result);
}

static const struct world_shape usual = {.schemas = schemas, .mapping = mapping};

static void make_schemas(struct world *w, const struct world_shape *shape)
{
    struct buf sql;
    buf_init(&sql, (size_t)1 << 20);
    run(w->eye, shape->schemas);
    schema_put_tables(&sql);
    run(w->eye, buf_text(&sql));
    buf_done(&sql);
}

static void bind_map(struct world *w, const struct world_shape *shape)
{
    const char *const legacy[] = {"legacy"}, *const app[] = {"app"};
    struct map_issues issues = {0};
    struct err err = {0};
    if (pg_read_catalog(w->eye, "source", legacy, 1, &w->legacy, &err) ||
        pg_read_catalog(w->eye, "target", app, 1, &w->app, &err) ||
        map_load_memory("contract.yaml", shape->mapping, strlen(shape->mapping), &w->map, &issues, &err) ||
        map_bind(w->map, w->legacy, w->app, &issues, &err)) {
        map_issues_print(&issues, "contract.yaml", stderr);
        fail_msg("%s", err.message);
    }
    map_issues_free(&issues);
}

/* --- rows of the source as changes --- */

static struct value cell(struct world *w, const PGresult *result, int row, int column, struct arena *arena)
{
    (void)w;
    if (PQgetisnull(result, row, column))
        return (struct value){.state = VALUE_NULL};
    return (struct value){.text = arena_strdup(arena, PQgetvalue(result, row, column)),
                          .len = (uint32_t)PQgetlength(result, row, column),
                          .state = VALUE_TEXT};
}

static struct value *cells(struct world *w, const PGresult *result, int row, size_t count, struct arena *arena)
{
    struct value *values = arena_zalloc(arena, count + 1, sizeof(*values));
    for (size_t i = 0; i < count; i++)
        values[i] = cell(w, result, row, (int)i, arena);
    return values;
}

static PGresult *ask_source(struct world *w, const char *sql)
{
    if (getenv("PGREKEY_TEST_TRACE"))
        print_message("%u: %s\n", w->xid, sql);
    PGresult *result = PQexec(w->source, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(result));
    return result;
}

/* Its columns as they are now; false where it is gone. */
static bool read_row(struct world *w, const struct relation *relation, const struct value *identity,
                     struct value **ret_columns, struct arena *arena)
{
    struct buf sql;
    buf_init(&sql, 65536);
    buf_printf(&sql, "SELECT * FROM legacy.%s WHERE true", relation->name);
    for (size_t i = 0; i < relation->key_count; i++) {
        const char *text = arena_strndup(arena, identity[i].text, identity[i].len);
        buf_printf(&sql, " AND %s = ", relation->columns[relation->key[i]].name);
        pg_put_literal(&sql, text);
    }
    PGresult *result = ask_source(w, buf_text(&sql));
    bool found = PQntuples(result) == 1;
    if (found)
        *ret_columns = cells(w, result, 0, relation->column_count, arena);
    PQclear(result);
    buf_done(&sql);
    return found;
}

static int complete(void *context, const struct row *partial, struct arena *arena, struct row **ret_row,
                    struct err *reterr)
{
    struct world *w = context;
    struct change *change = arena_zalloc(arena, 1, sizeof(*change));
    *change = *partial->change;
    change->op = CHANGE_UPDATE;
    change->completed = true;
    w->completed++;
    if (!read_row(w, change->relation, change->identity, &change->columns, arena))
        return 0;
    return map_transform_rule(w->map, partial->rule, change, arena, ret_row, reterr) ? -1 : 1;
}

static void add_change(struct world *w, struct change *change)
{
    struct row **rows;
    size_t count;
    struct err err = {0};
    int status = map_transform(w->map, change, &w->batch.arena, &rows, &count, &err);
    if (status == 1) { /* what the receiver does */
        struct value *now;
        change->completed = true;
        if (read_row(w, change->relation, change->identity, &now, &w->batch.arena))
            change->columns = now;
        status = map_transform(w->map, change, &w->batch.arena, &rows, &count, &err);
    }
    if (status)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < count; i++)
        batch_add_row(&w->batch, rows[i]);
}

static struct change *new_change(struct world *w, enum change_op op, const char *table)
{
    struct change *change = arena_zalloc(&w->batch.arena, 1, sizeof(*change));
    change->op = op;
    change->relation = catalog_find(w->legacy, "legacy", table);
    assert_non_null(change->relation);
    change->lsn = w->lsn;
    change->xid = w->xid;
    return change;
}

static struct value *key_of(const struct relation *relation, const struct value *columns, struct arena *arena)
{
    struct value *key = arena_zalloc(arena, relation->key_count + 1, sizeof(*key));
    for (size_t i = 0; i < relation->key_count; i++)
        key[i] = columns[relation->key[i]];
    return key;
}

static void ensure_transaction(struct world *w)
{
    if (!w->in_transaction)
        world_begin(w);
}

void world_insert(struct world *w, const char *table, const char *values)
{
    struct arena *arena = &w->batch.arena;
    ensure_transaction(w);
    struct change *change = new_change(w, CHANGE_INSERT, table);
    PGresult *result =
        ask_source(w, arena_printf(arena, "INSERT INTO legacy.%s VALUES (%s) RETURNING *", table, values));
    change->columns = cells(w, result, 0, change->relation->column_count, arena);
    change->identity = key_of(change->relation, change->columns, arena);
    PQclear(result);
    add_change(w, change);
}

void world_update(struct world *w, const char *table, const char *where, const char *set, const char *absent)
{
    struct arena *arena = &w->batch.arena;
    ensure_transaction(w);
    const struct relation *relation = catalog_find(w->legacy, "legacy", table);
    PGresult *old =
        ask_source(w, arena_printf(arena, "SELECT *, ctid FROM legacy.%s WHERE %s ORDER BY 1", table, where));
    for (int i = 0; i < PQntuples(old); i++) {
        struct change *change = new_change(w, CHANGE_UPDATE, table);
        PGresult *result = ask_source(w, arena_printf(arena, "UPDATE legacy.%s SET %s WHERE ctid = '%s' RETURNING *",
                                                      table, set, PQgetvalue(old, i, (int)relation->column_count)));
        change->columns = cells(w, result, 0, relation->column_count, arena);
        change->identity = key_of(relation, cells(w, old, i, relation->column_count, arena), arena);
        struct value *key = key_of(relation, change->columns, arena);
        for (size_t k = 0; k < relation->key_count; k++)
            change->key_changed |=
                key[k].len != change->identity[k].len || memcmp(key[k].text, change->identity[k].text, key[k].len) != 0;
        if (absent)
            change->columns[relation_column(relation, absent)] = (struct value){.state = VALUE_ABSENT};
        PQclear(result);
        add_change(w, change);
    }
    PQclear(old);
}

void world_delete(struct world *w, const char *table, const char *where)
{
    struct arena *arena = &w->batch.arena;
    ensure_transaction(w);
    PGresult *result = ask_source(w, arena_printf(arena, "DELETE FROM legacy.%s WHERE %s RETURNING *", table, where));
    for (int i = 0; i < PQntuples(result); i++) {
        struct change *change = new_change(w, CHANGE_DELETE, table);
        change->identity = key_of(change->relation, cells(w, result, i, change->relation->column_count, arena), arena);
        add_change(w, change);
    }
    PQclear(result);
}

void world_truncate(struct world *w, const char *table)
{
    ensure_transaction(w);
    run(w->source, arena_printf(&w->batch.arena, "DELETE FROM legacy.%s", table));
    add_change(w, new_change(w, CHANGE_TRUNCATE, table));
}

bool world_has(struct world *w, const char *table, const char *where)
{
    PGresult *result = ask_source(w, arena_printf(&w->batch.arena, "SELECT 1 FROM legacy.%s WHERE %s", table, where));
    bool found = PQntuples(result) > 0;
    PQclear(result);
    return found;
}

void world_run(struct world *w, const char *sql)
{
    run(w->eye, sql);
}

void world_begin(struct world *w)
{
    assert_false(w->in_transaction);
    run(w->source, "BEGIN");
    w->in_transaction = true;
    w->xid++;
    w->lsn += 16;
    w->first_row = w->batch.row_count;
}

bool world_commit(struct world *w)
{
    PGresult *result = PQexec(w->source, "COMMIT");
    bool good = PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    w->in_transaction = false;
    if (getenv("PGREKEY_TEST_TRACE"))
        print_message("%u: %s\n", w->xid, good ? "COMMIT" : "ROLLBACK");
    if (!good)
        w->batch.row_count = w->first_row;
    batch_add_mark(&w->batch, w->lsn, 0, w->xid);
    return good;
}

/* --- the sink --- */

int world_try_apply(struct world *w, struct err *err)
{
    if (w->in_transaction)
        assert_true(world_commit(w));
    int status = sink_apply(w->sink, &w->batch, err);
    batch_reset(&w->batch);
    w->first_row = 0;
    return status;
}

void world_apply(struct world *w)
{
    struct err err = {0};
    if (world_try_apply(w, &err))
        fail_msg("apply: %s: %s", err_kind_name(err.kind), err.message);
}

void world_apply_part(struct world *w)
{
    struct err err = {0};
    assert_true(w->in_transaction);
    if (sink_apply(w->sink, &w->batch, &err))
        fail_msg("apply: %s", err.message);
    batch_reset(&w->batch);
    w->first_row = 0;
}

void world_tick(struct world *w)
{
    struct err err = {0};
    if (sink_tick(w->sink, &err))
        fail_msg("tick: %s", err.message);
}

void world_reopen(struct world *w)
{
    struct err err = {0};
    sink_close(w->sink);
    w->sink = NULL;
    if (pgsink_open(&w->options, &w->sink, &w->position, &err))
        fail_msg("open: %s; %s", err.message, err.hint);
}

/* --- looking --- */

const char *world_ask(struct world *w, const char *sql)
{
    static char text[65536];
    size_t len = 0;
    PGresult *result = PQexec(w->eye, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(result));
    text[0] = '\0';
    for (int i = 0; i < PQntuples(result); i++)
        for (int c = 0; c < PQnfields(result); c++) {
            const char *value = PQgetisnull(result, i, c) ? "\\N" : PQgetvalue(result, i, c);
            const char *before = c ? "|" : i ? "\n" : "";
            int put = snprintf(text + len, sizeof(text) - len, "%s%s", before, value);
            assert_true(put >= 0 && (size_t)put < sizeof(text) - len);
            len += (size_t)put;
        }
    PQclear(result);
    return text;
}

const char *world_account(struct world *w, const char *rule)
{
    char sql[256];
    snprintf(sql, sizeof(sql),
             "SELECT mapped, quarantined, excluded, failed_deletes FROM pgrekey.counter WHERE rule = '%s'", rule);
    return world_ask(w, sql);
}

void world_assert_equation(struct world *w)
{
    for (size_t i = 0; i < map_rule_count(w->map); i++) {
        const struct rule *rule = map_rule(w->map, i);
        char sql[1024];
        snprintf(sql, sizeof(sql),
                 "SELECT '%s', c.mapped + c.quarantined + c.excluded - (SELECT count(*) FROM legacy.%s),"
                 " c.quarantined - (SELECT count(*) FROM pgrekey.quarantine q WHERE q.rule = c.rule AND op <> 'D'"
                 " AND status IN ('pending', 'in_progress', 'escalated')),"
                 " c.failed_deletes - (SELECT count(*) FROM pgrekey.quarantine q WHERE q.rule = c.rule AND op = 'D'"
                 " AND status IN ('pending', 'in_progress', 'escalated')) FROM pgrekey.counter c WHERE rule = '%s'",
                 rule->name, rule->from_table, rule->name);
        char wanted[128];
        snprintf(wanted, sizeof(wanted), "%s|0|0|0", rule->name);
        assert_string_equal(world_ask(w, sql), wanted);
    }
}

/* --- beginning and end --- */

int world_setup_bare(void **state)
{
    return world_setup_bare_as(state, &usual);
}

int world_setup_bare_as(void **state, const struct world_shape *shape)
{
    struct world *w = calloc(1, sizeof(*w));
    *state = w;
    w->eye = connect_to("contract eye");
    w->source = connect_to("contract source");
    make_schemas(w, shape);
    bind_map(w, shape);
    batch_init(&w->batch);
    w->lsn = 1000;
    w->options = (struct pgsink_options){
        .conninfo = world_conninfo(),
        .pipeline = "contract",
        .slot = "contract",
        .map = w->map,
        .target = w->app,
        .source = {.system_identifier = "7000000000000000001", .timeline = 1, .database = "legacy"},
        .rows = {.context = w, .complete = complete},
        .lock_wait_s = 5,
        .retry_limit = 3,
        .retry_backoff_s = 3600,
    };
    return 0;
}

int world_setup(void **state)
{
    return world_setup_as(state, &usual);
}

int world_setup_as(void **state, const struct world_shape *shape)
{
    struct err err = {0};
    if (world_setup_bare_as(state, shape))
        return -1;
    struct world *w = *state;
    if (pgsink_open(&w->options, &w->sink, &w->position, &err) || pgsink_snapshot_begin(w->sink, false, &err) ||
        pgsink_snapshot_plan(w->sink, w->lsn, NULL, 0, &err) || pgsink_snapshot_end(w->sink, w->lsn, &err))
        fail_msg("%s; %s", err.message, err.hint);
    return 0;
}

static const char stood[] =
    "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" SCHEMA public;"
    "INSERT INTO app.offices SELECT gen_random_uuid(), i, 'stood ' || i FROM generate_series(1, 2) i;"
    "INSERT INTO app.offices VALUES (gen_random_uuid(), NULL, 'nobody''s');"
    "INSERT INTO app.users (id, legacy_id, email, office_id, born_as, app_note)"
    " SELECT gen_random_uuid(), i, 'stood' || coalesce(i, 0), o.id, 'stood', 'theirs'"
    " FROM unnest(ARRAY[1, 2, 3, 4, 5, 6, 50, 51, NULL]) i, app.offices o"
    " WHERE o.legacy_id IS NULL;"
    "INSERT INTO app.orders SELECT gen_random_uuid(), i, u.id, 7, 'theirs'"
    " FROM unnest(ARRAY[1, 2, 3, 4, 5, 6, 7, 8, 50, NULL]) i, app.users u"
    " WHERE u.legacy_id = 50;";

/* `key: {id: {uuid: user, of: id}}` becomes `key: {id: {uuid: user, of: id}, adopt: legacy_id}`. */
static void put_adopting(struct buf *out, const char *mapping_text)
{
    static const char *const keys[] = {"{id: {uuid: office, of: id}", "{id: {uuid: user, of: id}",
                                       "{id: {uuid: order, of: id}"};
    const char *rest = mapping_text;

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        const char *at = strstr(rest, keys[i]);
        assert_non_null(at);
        at += strlen(keys[i]);
        buf_append(out, rest, (size_t)(at - rest));
        buf_puts(out, ", adopt: legacy_id");
        rest = at;
    }
    buf_puts(out, rest);
}

int world_setup_adopting(void **state)
{
    struct buf tables, text;
    int failed;

    buf_init(&tables, (size_t)1 << 20);
    buf_init(&text, (size_t)1 << 20);
    buf_printf(&tables, "%s%s", usual.schemas, stood);
    put_adopting(&text, usual.mapping);
    const struct world_shape shape = {.schemas = buf_text(&tables), .mapping = buf_text(&text)};
    failed = world_setup_as(state, &shape);
    buf_done(&tables);
    buf_done(&text);
    return failed;
}

int world_teardown_bare(void **state)
{
    struct world *w = *state;
    sink_close(w->sink);
    batch_done(&w->batch);
    map_free(w->map);
    catalog_free(w->legacy);
    catalog_free(w->app);
    pg_close(w->source);
    pg_close(w->eye);
    free(w);
    return 0;
}

int world_teardown(void **state)
{
    world_assert_equation(*state);
    return world_teardown_bare(state);
}
