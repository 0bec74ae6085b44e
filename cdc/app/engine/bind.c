/* The binding: the mapping file compared with both catalogues as they are now. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/check_derive.h"
#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/mapping.h"
#include "cdc/app/engine/sides.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

void binding_done(struct binding *binding)
{
    lookups_free(binding->lookups);
    map_free(binding->map);
    catalog_free(binding->source);
    catalog_free(binding->target);
    *binding = (struct binding){0};
}

#define BRIEF_LOCK_TIMEOUT_MS 5000
#define BRIEF_UNANSWERED_MS 15000

int engine_open_source(const struct settings *settings, const char *what, enum engine_conn kind, PGconn **ret_conn,
                       struct err *reterr)
{
    bool brief = kind == ENGINE_BRIEF;
    char session[64], name[64];
    snprintf(session, sizeof(session), "-c lock_timeout=%d", brief ? BRIEF_LOCK_TIMEOUT_MS : 0);
    snprintf(name, sizeof(name), "pgrekey %s", what);
    struct pg_options options = {
        .side = "source",
        .conninfo = settings->source_dsn,
        .password_file = settings->source_password_file,
        .application_name = name,
        .session = session,
        .replication = kind == ENGINE_REPLICATION,
        .unanswered_timeout_ms = brief ? BRIEF_UNANSWERED_MS : 0,
    };
    return pg_open(&options, ret_conn, reterr);
}

int engine_read_slot(const struct settings *settings, struct slot_state *ret_slot, struct err *reterr)
{
    PGconn *conn = NULL;
    if (engine_open_source(settings, "slot", ENGINE_BRIEF, &conn, reterr) != 0)
        return -1;
    int failed = slot_read(conn, settings->source_slot, ret_slot, reterr);
    pg_close(conn);
    return failed;
}

/* Who the source is: only a replication connection may ask for the system identifier without special rights. */
static int identify_source(struct engine *engine, struct err *reterr)
{
    PGconn *replication = NULL;
    uint64_t wal_lsn;
    if (engine_open_source(engine->settings, "identify", ENGINE_REPLICATION, &replication, reterr) != 0)
        return -1;
    int failed = slot_identify(replication, &engine->source, &wal_lsn, reterr);
    pg_close(replication);
    if (failed == 0 && engine->options->until_caught_up && engine->until_lsn == 0)
        engine->until_lsn = wal_lsn;
    return failed;
}

static int read_catalogs(struct engine *engine, struct binding *binding, struct err *reterr)
{
    size_t count;
    PGconn *conn = NULL;
    const char *const *schemas = map_source_schemas(binding->map, &count);
    if (engine_open_source(engine->settings, "catalogue", ENGINE_BRIEF, &conn, reterr) != 0)
        return -1;
    int failed = pg_read_catalog(conn, "source", schemas, count, &binding->source, reterr);
    pg_close(conn);
    return failed ? -1 : side_read_target(engine->settings, binding->map, &binding->target, reterr);
}

static int bind_new(struct engine *engine, struct binding *binding, struct map_issues *issues, struct err *reterr)
{
    if (!engine->settings->mapping)
        return err_set(reterr, ERR_CONFIG, "no mapping file: the setting mapping is empty");
    if (side_check_dsn(engine->settings, SIDE_SOURCE, reterr) != 0 ||
        side_check_dsn(engine->settings, SIDE_TARGET, reterr) != 0)
        return -1;
    if (engine->mapping.len == 0 && map_read(engine->settings->mapping, &engine->mapping, reterr) != 0)
        return -1;
    if (map_load_memory(engine->settings->mapping, buf_text(&engine->mapping), engine->mapping.len, &binding->map,
                        issues, reterr) != 0 ||
        (engine->settings->skip && map_skip(binding->map, engine->settings->skip, issues, reterr) != 0))
        return -1;
    if (identify_source(engine, reterr) != 0 || read_catalogs(engine, binding, reterr) != 0)
        return -1;
    int failed = map_bind(binding->map, binding->source, binding->target, issues, reterr);
    engine->bind_failed = failed != 0;
    return failed;
}

void binding_mark_nonfinite(struct binding *binding)
{
    const struct map *map = binding->map;
    struct catalog *source = binding->source;
    for (size_t i = 0; source && i < source->count; i++) {
        struct relation *relation = &source->relations[i];
        for (size_t j = 0; j < relation->column_count; j++) {
            struct column *column = &relation->columns[j];
            if (!column->nonfinite_possible || !map_column_used(map, relation->schema, relation->name, column->name))
                continue;
            relation->any_nonfinite = true;
            column->read_nonfinite =
                column->not_null || map_column_nonfinite(map, relation->schema, relation->name, column->name);
        }
    }
}

static int load_again(const struct engine *engine, const struct binding *binding, struct map **ret_map,
                      struct err *reterr)
{
    const struct settings *settings = engine->settings;
    struct map_issues known = {0};
    int failed = map_load_memory(settings->mapping, buf_text(&engine->mapping), engine->mapping.len, ret_map, &known,
                                 reterr) != 0 ||
                 (settings->skip && map_skip(*ret_map, settings->skip, &known, reterr) != 0) ||
                 map_bind(*ret_map, binding->source, binding->target, &known, reterr) != 0;
    map_issues_free(&known);
    return failed ? -1 : 0;
}

/* SQL that the target does not take, or that gives other columns than the mapping wants, would fail for every key. By a
 * map of its own, for what the check describes stays in it. */
static int check_sql(struct engine *engine, const struct binding *binding, struct map_issues *issues,
                     struct err *reterr)
{
    struct mapping mapping = {.source = binding->source, .target = binding->target};
    PGconn *conn = NULL;
    if (engine->sql_checked || map_derivation_count(binding->map) == 0)
        return 0;
    int failed = load_again(engine, binding, &mapping.map, reterr) != 0 ||
                 side_open_target(engine->settings, &conn, reterr) != 0 ||
                 check_derivations(&mapping, conn, false, reterr) != 0;
    pg_close(conn);
    map_free(mapping.map);
    engine->sql_checked = !failed;
    if (failed) {
        map_issues_free(issues);
        *issues = mapping.issues;
        return -1;
    }
    map_issues_free(&mapping.issues);
    return 0;
}

int engine_bind(struct engine *engine, struct err *reterr)
{
    struct binding binding = {0};
    struct map_issues issues = {0};
    engine->bind_failed = false;
    int failed = bind_new(engine, &binding, &issues, reterr) != 0 || check_sql(engine, &binding, &issues, reterr) != 0;
    mapping_tell(&issues, engine->settings->mapping, failed, reterr);
    map_issues_free(&issues);
    if (failed) {
        binding_done(&binding);
        return -1;
    }
    binding_mark_nonfinite(&binding);
    binding.lookups = lookups_new(binding.map, (size_t)engine->settings->lookup_max_rows);
    engine->warned_count = 0;
    binding_done(&engine->binding);
    engine->binding = binding;
    return 0;
}

struct pgsink_options engine_sink_options(struct engine *engine)
{
    struct pgsink_options options = side_sink_options(engine->settings);
    options.slot = engine->settings->source_slot;
    options.map = engine->binding.map;
    options.target = engine->binding.target;
    options.source = engine->source;
    options.rows = complete_row_source(engine);
    return options;
}

int engine_open_sink(struct engine *engine, struct sink_position *ret_position, struct err *reterr)
{
    if (strcmp(engine->settings->sink, "kafka") == 0)
        return engine_open_topics(engine, ret_position, reterr);
    struct pgsink_options options = engine_sink_options(engine);
    return pgsink_open(&options, &engine->sink, ret_position, reterr);
}

bool engine_never(void *context, const char *schema, const char *table, const char *column)
{
    const struct engine *engine = context;
    return map_column_never(engine->binding.map, schema, table, column);
}

bool engine_unread(void *context, const char *schema, const char *table, const char *column)
{
    const struct engine *engine = context;
    return engine_never(context, schema, table, column) || !map_column_used(engine->binding.map, schema, table, column);
}

/* A column that a rule reads must still be there, with its type and as part of the key it was in. */
static int compare_relation(const struct engine *engine, const struct relation *bound, const struct catalog *now,
                            struct err *reterr)
{
    const struct relation *found = catalog_find(now, bound->schema, bound->name);
    if (!found || found->oid != bound->oid)
        return err_set(reterr, ERR_REFUSED, "source table %s.%s was %s", bound->schema, bound->name,
                       found ? "replaced by another of the same name" : "dropped or renamed");
    for (size_t i = 0; i < bound->column_count; i++) {
        const struct column *column = &bound->columns[i];
        if (!map_column_used(engine->binding.map, bound->schema, bound->name, column->name))
            continue;
        int at = relation_column(found, column->name);
        if (at < 0)
            return err_set(reterr, ERR_REFUSED,
                           "column %s of source table %s.%s was dropped or renamed, and the mapping "
                           "reads it",
                           column->name, bound->schema, bound->name);
        if (found->columns[at].type_oid != column->type_oid)
            return err_set(reterr, ERR_REFUSED, "column %s of source table %s.%s changed its type from %s to %s",
                           column->name, bound->schema, bound->name, column->type, found->columns[at].type);
    }
    if (found->key_count != bound->key_count)
        return err_set(reterr, ERR_REFUSED, "the replica identity of source table %s.%s changed", bound->schema,
                       bound->name);
    return 0;
}

static int compare_catalog(const struct engine *engine, const struct catalog *now, struct err *reterr)
{
    const struct catalog *bound = engine->binding.source;
    for (size_t i = 0; i < bound->count; i++) {
        size_t rules;
        map_rules_of(engine->binding.map, &bound->relations[i], &rules);
        if (rules == 0)
            continue;
        if (compare_relation(engine, &bound->relations[i], now, reterr) != 0) {
            (void)err_pause(reterr, "schema_mismatch");
            err_hint(reterr, "put the table back as it was, then `pgrekey resume`; or stop, mend the mapping, "
                             "`pgrekey run`, and `pgrekey resume` beside it");
            return -1;
        }
    }
    return 0;
}

int engine_recheck_catalog(struct engine *engine, PGconn *conn, struct err *reterr)
{
    size_t count;
    struct catalog *now = NULL;
    const char *const *schemas = map_source_schemas(engine->binding.map, &count);
    if (pg_read_catalog(conn, "source", schemas, count, &now, reterr) != 0)
        return -1;
    int failed = compare_catalog(engine, now, reterr);
    catalog_free(now);
    return failed;
}
