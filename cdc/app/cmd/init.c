/* `pgrekey init`: the engine's role, its schema and its grants on the target.
 *
 * All of it is one transaction. What a host may refuse without harm (what keeps its log clean) only raises a warning;
 * the warnings are listed. User tables get grants, nothing else.
 */
#include "cdc/app/cmd/init.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/term.h"
#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/mirror/mirror_ddl.h"
#include "sinks/postgres/state/schema.h"

#define SIDE "target"
#define SQL_MAX_BYTES ((size_t)4 << 20)
#define REFUSED_MAX 64

struct init {
    const struct cli *cli;
    PGconn *target; /* NULL: only printed, and the target could not be reached */
    struct mapping mapping;
    char *user;                 /* whom target.dsn logs in as */
    struct buf tables, roles;   /* SQL */
    const char **target_tables; /* schema, name in turn */
    size_t target_table_count;
    char *refused[REFUSED_MAX];
    size_t refused_count;
};

char *init_user_of(const char *dsn)
{
    char *user = NULL;
    PQconninfoOption *given = dsn ? PQconninfoParse(dsn, NULL) : NULL, *defaults = PQconndefaults();
    for (const PQconninfoOption *option = given; option && option->keyword; option++)
        if (strcmp(option->keyword, "user") == 0 && option->val)
            user = mem_strdup(option->val);
    for (const PQconninfoOption *option = defaults; !user && option && option->keyword; option++)
        if (strcmp(option->keyword, "user") == 0 && option->val)
            user = mem_strdup(option->val);
    PQconninfoFree(given);
    PQconninfoFree(defaults);
    return user ? user : mem_strdup("pgrekey");
}

/* --- what to grant on --- */

static int connect_target(struct init *init, struct err *reterr)
{
    const struct command_line *line = init->cli->line;
    const struct pg_options options = {
        .side = SIDE, .conninfo = line->values[OPT_DSN], .application_name = "pgrekey init", .utf8_only = true};
    int status = command_has(line, OPT_DSN) ? pg_open(&options, &init->target, reterr)
                                            : cli_open_target(init->cli, &init->target, reterr);
    /* what is only printed can do without */
    return status < 0 && !command_has(line, OPT_PRINT) ? -1 : 0;
}

/* Errors of the binding are `map check`'s business: here only the tables' names matter. */
static int bind_quietly(struct init *init, struct err *reterr)
{
    struct err err = {0};
    PGconn *source = NULL;
    if (mapping_load(&init->mapping, init->cli->settings->mapping, init->cli->settings->skip, reterr) < 0) {
        map_issues_print(&init->mapping.issues, init->cli->settings->mapping, stderr);
        return -1;
    }
    if (init->cli->settings->source_dsn && cli_open_source(init->cli, &source, &err) < 0)
        source = NULL;
    int status = source || init->target ? mapping_bind(&init->mapping, source, init->target, &err) : 0;
    pg_close(source);
    if (status < 0 && !init->mapping.target && init->target) {
        *reterr = err;
        return -1;
    }
    return 0;
}

static void add_table(struct init *init, const char *schema, const char *table)
{
    if (init->mapping.target && !catalog_find(init->mapping.target, schema, table))
        return;
    for (size_t j = 0; j < init->target_table_count; j++)
        if (strcmp(init->target_tables[2 * j], schema) == 0 && strcmp(init->target_tables[2 * j + 1], table) == 0)
            return;
    init->target_tables[2 * init->target_table_count] = schema;
    init->target_tables[2 * init->target_table_count + 1] = table;
    init->target_table_count++;
}

static void collect_tables(struct init *init)
{
    size_t count = map_rule_count(init->mapping.map), derived = map_derivation_count(init->mapping.map);
    init->target_tables = mem_zalloc(2 * (count + derived) + 1, sizeof(*init->target_tables));
    for (size_t i = 0; i < count; i++) {
        const struct rule *rule = map_rule(init->mapping.map, i);
        if (!rule->mirror)
            add_table(init, rule->to_schema, rule->to_table);
    }
    for (size_t i = 0; i < derived; i++) {
        const struct derivation *derivation = map_derivation(init->mapping.map, i);
        add_table(init, derivation->to_schema, derivation->to_table);
    }
}

/* Made here before schema_put_roles asks for it: it may log in only where somebody will log in as it. */
static void put_role(struct init *init)
{
    const char *role = init->cli->settings->target_role;
    bool login = command_has(init->cli->line, OPT_LOGIN);
    bool logs_in = login || strcmp(init->user, role) == 0;
    buf_puts(&init->roles, "DO $init$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ");
    pg_put_literal(&init->roles, role);
    buf_puts(&init->roles, ") THEN\n        CREATE ROLE ");
    pg_put_ident(&init->roles, role);
    buf_puts(&init->roles, logs_in ? " LOGIN;\n    END IF;\nEND $init$;\n" : " NOLOGIN;\n    END IF;\nEND $init$;\n");
    if (login) {
        buf_puts(&init->roles, "ALTER ROLE ");
        pg_put_ident(&init->roles, role);
        buf_puts(&init->roles, " LOGIN;\n");
    }
}

/* Whoever target.dsn logs in as acts by the role's rights; a superuser needs none. */
static void put_membership(struct init *init)
{
    const char *role = init->cli->settings->target_role;
    if (strcmp(init->user, role) == 0)
        return;
    buf_puts(&init->roles, "DO $init$ BEGIN\n    IF NOT pg_has_role(");
    pg_put_literal(&init->roles, init->user);
    buf_puts(&init->roles, ", ");
    pg_put_literal(&init->roles, role);
    buf_puts(&init->roles, ", 'member') THEN\n        GRANT ");
    pg_put_ident(&init->roles, role);
    buf_puts(&init->roles, " TO ");
    pg_put_ident(&init->roles, init->user);
    buf_puts(&init->roles, ";\n    END IF;\nEND $init$;\n");
}

static void put_sql(struct init *init)
{
    const struct settings *settings = init->cli->settings;
    const struct schema_options options = {
        .role = settings->target_role,
        .target_tables = init->target_tables,
        .target_table_count = init->target_table_count,
    };
    schema_put_tables(&init->tables);
    put_role(init);
    schema_put_roles(&init->roles, &options);
    if (map_has_mirrors(init->mapping.map))
        mirror_put_schema(&init->roles, map_mirror_schema(init->mapping.map), settings->target_role);
    put_membership(init);
}

/* --- running it --- */

/* What was refused without failing: our own warnings, and the server's about grants that it did not make. */
static void note_refused(void *context, const PGresult *result)
{
    struct init *init = context;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (severity && message && strcmp(severity, "WARNING") == 0 && init->refused_count < REFUSED_MAX)
        init->refused[init->refused_count++] = mem_strdup(message);
}

static int refuse_newer(struct init *init, struct err *reterr)
{
    static const char SQL[] = "SELECT pg_catalog.to_regclass('pgrekey.schema_version') IS NOT NULL";
    PGresult *result;
    if (pg_query(init->target, SIDE, "looking for the schema", SQL, 0, NULL, &result, reterr) < 0)
        return -1;
    bool there = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (!there)
        return 0;
    if (pg_query(init->target, SIDE, "reading the schema's version", "SELECT max(version) FROM pgrekey.schema_version",
                 0, NULL, &result, reterr) < 0)
        return -1;
    long version = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    if (version <= SCHEMA_VERSION)
        return 0;
    err_set(reterr, ERR_REFUSED, "schema pgrekey is of version %ld, this program knows %d", version, SCHEMA_VERSION);
    return err_hint(reterr, "install the version of pgrekey that made it, or a newer one");
}

static int run_all(struct init *init, struct err *reterr)
{
    struct err ignored = {0};
    PQsetNoticeReceiver(init->target, note_refused, init);
    if (pg_run(init->target, SIDE, "beginning", "BEGIN", reterr) < 0)
        return -1;
    if (refuse_newer(init, reterr) == 0 &&
        pg_run(init->target, SIDE, "making schema pgrekey", buf_text(&init->tables), reterr) == 0 &&
        pg_run(init->target, SIDE, "making the role and its grants", buf_text(&init->roles), reterr) == 0 &&
        pg_run(init->target, SIDE, "committing", "COMMIT", reterr) == 0)
        return 0;
    if (strcmp(reterr->sqlstate, "42501") == 0)
        err_hint(reterr, "nothing was changed. Connect as an admin: --dsn; or have a DBA run the output of "
                         "`pgrekey init --print`");
    int rolled_back = pg_run(init->target, SIDE, "rolling back", "ROLLBACK", &ignored);
    (void)rolled_back; /* where it fails the connection is gone, and the transaction with it */
    return -1;
}

/* --- telling --- */

static bool may_log_in(const struct init *init)
{
    struct err ignored = {0};
    PGresult *result;
    const char *params[] = {init->cli->settings->target_role};
    if (pg_query(init->target, SIDE, "looking at the role",
                 "SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = $1", 1, params, &result, &ignored) < 0)
        return false;
    bool login = PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return login;
}

/* Only said, never done: it is more than this program should take by itself. */
static void note_row_security(const struct init *init)
{
    size_t secured = 0;
    for (size_t i = 0; i < init->target_table_count; i++) {
        const struct relation *relation =
            catalog_find(init->mapping.target, init->target_tables[2 * i], init->target_tables[2 * i + 1]);
        secured += relation && relation->row_security;
    }
    if (secured > 0)
        printf(
            "row level security stands on %zu of them; where %s is no superuser it needs: ALTER ROLE %s BYPASSRLS;\n",
            secured, init->user, init->user);
}

static void report_text(const struct init *init)
{
    const struct settings *settings = init->cli->settings;
    bool same = strcmp(init->user, settings->target_role) == 0;
    printf("schema pgrekey is there (version %d); role %s may write it and %zu target table%s\n", SCHEMA_VERSION,
           settings->target_role, init->target_table_count, init->target_table_count == 1 ? "" : "s");
    if (!same)
        printf("%s, as whom target.dsn logs in, acts by its rights\n", init->user);
    bool login = may_log_in(init);
    if (same && !login)
        printf("target.dsn logs in as %s, which may not log in yet: pgrekey init --login\n", settings->target_role);
    if (login)
        printf("where %s has no password yet: \\password %s in psql, and its file named by target.password_file\n",
               settings->target_role, settings->target_role);
    note_row_security(init);
    if (init->refused_count == 0)
        return;
    printf("\n%sRefused by the host%s:\n", term_colour(stdout, TERM_YELLOW), term_colour(stdout, TERM_PLAIN));
    for (size_t i = 0; i < init->refused_count; i++)
        printf("  %s\n", init->refused[i]);
    printf("An admin can run what `pgrekey init --print` shows of it. Until then keep readers away from the server's "
           "log.\n");
}

static int report(const struct init *init)
{
    if (!init->cli->json) {
        if (!init->cli->quiet)
            report_text(init);
        return EXIT_OK;
    }
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_int(&json, "schema_version", SCHEMA_VERSION);
    json_text(&json, "role", init->cli->settings->target_role);
    json_int(&json, "target_tables", (int64_t)init->target_table_count);
    json_open(&json, "refused", '[');
    for (size_t i = 0; i < init->refused_count; i++)
        json_text(&json, NULL, init->refused[i]);
    json_close(&json, ']');
    json_close(&json, '}');
    return json_print(&json, stdout) < 0 ? EXIT_INTERNAL : EXIT_OK;
}

static void print_sql(const struct init *init)
{
    printf("-- What `pgrekey init` runs on the target; it may be run more than once. The log settings keep rows out of "
           "the\n"
           "-- server's log; where they are refused there is a warning, and the rest holds.\n");
    if (!init->target)
        printf("-- The target could not be reached: tables of `copy:` rules are missing among the grants.\n");
    printf("BEGIN;\n%s%sCOMMIT;\n", buf_text(&init->tables), buf_text(&init->roles));
    printf("-- A password, where the role logs in itself: \\password %s\n", init->cli->settings->target_role);
}

static int run_init(struct init *init)
{
    struct err err = {0};
    if (connect_target(init, &err) < 0 || bind_quietly(init, &err) < 0)
        return cli_fail(init->cli->json, &err);
    init->user = init_user_of(init->cli->settings->target_dsn);
    collect_tables(init);
    put_sql(init);
    if (buf_overflowed(&init->tables) || buf_overflowed(&init->roles)) {
        err_set(&err, ERR_FATAL, "the SQL is longer than 4 MB");
        return cli_fail(init->cli->json, &err);
    }
    if (command_has(init->cli->line, OPT_PRINT)) {
        print_sql(init);
        return EXIT_OK;
    }
    return run_all(init, &err) < 0 ? cli_fail(init->cli->json, &err) : report(init);
}

int cmd_init(const struct cli *cli)
{
    struct init init = {.cli = cli};
    if (command_has(cli->line, OPT_SOURCE))
        return init_print_source(cli);
    buf_init(&init.tables, SQL_MAX_BYTES);
    buf_init(&init.roles, SQL_MAX_BYTES);
    int code = run_init(&init);
    buf_done(&init.tables);
    buf_done(&init.roles);
    free(init.target_tables);
    free(init.user);
    for (size_t i = 0; i < init.refused_count; i++)
        free(init.refused[i]);
    mapping_done(&init.mapping);
    pg_close(init.target);
    return code;
}
