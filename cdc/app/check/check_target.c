/* The target's side of `pgrekey check`. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/check.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/state/schema.h"

#define SIDE "target"
#define NAMES_SHOWN 8
#define TEXT_MAX_BYTES 65536
#define VERSION_MIN 120000
#define POOLER_WAIT_US 5000000

static const char SERVER_SQL[] =
    "SELECT pg_catalog.current_setting('server_version'),"                                      /* 0 */
    " pg_catalog.pg_is_in_recovery(),"                                                          /* 1 */
    " pg_catalog.current_setting('transaction_read_only'),"                                     /* 2 */
    " current_user,"                                                                            /* 3 */
    " (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),"                 /* 4 */
    " (SELECT rolbypassrls OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)," /* 5 */
    " (SELECT string_agg(extname, ', ' ORDER BY extname) FROM pg_catalog.pg_extension"
    "  WHERE extname IN ('pgcrypto', 'uuid-ossp')),"                          /* 6 */
    " pg_catalog.pg_database_size(pg_catalog.current_database()),"            /* 7 */
    " pg_catalog.current_setting('log_parameter_max_length_on_error', true)"; /* 8 */

static void check_server(struct check *check, const PGresult *server)
{
    struct findings *findings = &check->findings;
    char size[32];
    findings_add(findings, FINDING_INFO, SIDE, "version", NULL, "PostgreSQL %s, database of %s",
                 PQgetvalue(server, 0, 0), progress_bytes(strtod(PQgetvalue(server, 0, 7), NULL), size, sizeof(size)));
    if (PQserverVersion(check->target) < VERSION_MIN)
        findings_add(findings, FINDING_ERROR, SIDE, "version", "upgrade it to PostgreSQL 12 or later",
                     "PostgreSQL %s is older than 12", PQgetvalue(server, 0, 0));
    if (PQgetvalue(server, 0, 1)[0] == 't')
        findings_add(findings, FINDING_ERROR, SIDE, "standby", "connect to the primary: target.dsn",
                     "the server is a standby and takes no writes");
    else if (strcmp(PQgetvalue(server, 0, 2), "on") == 0)
        findings_add(findings, FINDING_ERROR, SIDE, "read_only",
                     "look for default_transaction_read_only in ALTER DATABASE, ALTER ROLE and postgresql.conf",
                     "sessions are read-only");
    if (!PQgetisnull(server, 0, 6))
        findings_add(findings, FINDING_INFO, SIDE, "extensions", NULL, "extensions for SHA-1 in SQL: %s",
                     PQgetvalue(server, 0, 6));
}

/* pgrekey.id() stands on an extension: whose function, in which schema, was decided when `init` ran. What derivations
 * cannot do without is an error, else it is only worth knowing. */
static void check_id_function(struct check *check, bool extension)
{
    static const char SQL[] = "SELECT pgrekey.uuid_v5('0c1d2e3f-4051-5263-8495-a6b7c8d9eafb', 'order:1')"
                              " = 'fdd9fc6f-9766-5318-a876-3af8d8874f36'";
    bool needed = check->mapping.map && map_derivation_count(check->mapping.map) > 0, works;
    enum finding_level level = needed ? FINDING_ERROR : FINDING_INFO;
    struct err err = {0};
    PGresult *result = NULL;
    if (!extension) {
        findings_add(&check->findings, level, SIDE, "extensions",
                     "CREATE EXTENSION \"uuid-ossp\"; -- or pgcrypto, in whatever schema; then: pgrekey init",
                     "no extension for SHA-1 in SQL: pgrekey.id() does not work (%s)",
                     needed ? "derivations need it" : "row rules do without");
        return;
    }
    if (!check->report || !check->report->initialised)
        return;
    works = pg_query(check->target, SIDE, "calling pgrekey.uuid_v5()", SQL, 0, NULL, &result, &err) == 0 &&
            PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    if (!works)
        findings_add(&check->findings, needed ? FINDING_ERROR : FINDING_WARNING, SIDE, "id_function",
                     "run: pgrekey init, which looks for the extension anew",
                     "pgrekey.id() does not work%s%s: its extension was made or moved after init, or the role may not "
                     "use its schema",
                     *err.sqlstate ? ", SQLSTATE " : "", err.sqlstate);
}

/* The server process behind a connection: 0 where the answer does not come in time (a pooler that has no session left
 * lets us wait for ever), -1 where it fails. */
static long backend_pid(PGconn *conn, const char *sql)
{
    int64_t deadline_us = clock_mono_us() + POOLER_WAIT_US;
    long pid = -1;
    if (!PQsendQuery(conn, sql))
        return -1;
    for (;;) {
        while (PQisBusy(conn)) {
            int64_t left_us = deadline_us - clock_mono_us();
            struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
            if (left_us <= 0)
                return 0;
            if (poll(&fd, 1, (int)(left_us / 1000) + 1) > 0 && !PQconsumeInput(conn))
                return -1;
        }
        PGresult *result = PQgetResult(conn);
        if (!result)
            return pid;
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            pid = strtol(PQgetvalue(result, 0, 0), NULL, 10);
        PQclear(result);
    }
}

/* A transaction pooler hands the session that is free to whoever begins: two clients then meet in one session, or one
 * client finds itself in another. */
static void check_pooler(struct check *check)
{
    static const char
        PID[] = "SELECT pg_catalog.pg_backend_pid()",
        *const REMEDY =
            "use the pooler's session mode (on Supabase: port 5432 of the pooler's host), or connect directly";
    struct err err = {0};
    PGconn *other = NULL;
    if (cli_open_target(check->cli, &other, &err) < 0) {
        check_add_err(check, SIDE, "second_session", &err);
        return;
    }
    long first = backend_pid(check->target, PID),
         theirs = backend_pid(other, "BEGIN; SELECT pg_catalog.pg_backend_pid()");
    long again = theirs > 0 ? backend_pid(check->target, PID) : first;
    pg_close(other); /* which also ends what `again` may be waiting for */
    for (PGresult *rest; (rest = PQgetResult(check->target));)
        PQclear(rest);
    if (first < 0 || theirs < 0 || again < 0)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "second_session", REMEDY,
                     "a second session could not be used beside the first");
    else if (theirs == 0)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "second_session",
                     "raise the pooler's pool size: the engine needs snapshot.workers + 2 sessions",
                     "a second session is not served while the first is open");
    else if (first == theirs || first != again)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "pooler", REMEDY,
                     "the connection goes through a transaction pooler: locks and settings of a session do not hold");
}

static void check_schema_version(struct check *check)
{
    static const char SQL[] =
        "SELECT (SELECT max(version) FROM pgrekey.schema_version),"
        " (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_catalog.pg_class c"
        "  WHERE c.relnamespace = 'pgrekey'::regnamespace AND c.relkind = 'r' AND c.relname <> 'schema_version'"
        "  AND NOT (pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'INSERT')"
        "   AND (pg_catalog.has_table_privilege(c.oid, 'UPDATE') OR c.relname = 'audit')))";
    PGresult *result = check_query(check, false, "schema", SQL, 0, NULL);
    if (!result)
        return;
    long version = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    if (version != SCHEMA_VERSION)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "schema_version",
                     version < SCHEMA_VERSION ? "run: pgrekey init" : "install the version of pgrekey that made it",
                     "schema pgrekey is of version %ld, this program wants %d", version, SCHEMA_VERSION);
    if (!PQgetisnull(result, 0, 1))
        findings_add(&check->findings, FINDING_ERROR, SIDE, "schema_privileges", "run: pgrekey init",
                     "the role may not write these tables of schema pgrekey: %s", PQgetvalue(result, 0, 1));
    PQclear(result);
}

static void check_schema(struct check *check)
{
    struct err err = {0};
    if (pipeline_report_read(check->target, check->settings->pipeline, &check->report, &err) < 0) {
        check_add_err(check, SIDE, "schema", &err);
        return;
    }
    if (!check->report->initialised)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "schema", "run: pgrekey init",
                     "the target has no schema pgrekey");
    else
        check_schema_version(check);
}

/* PostgreSQL 15 and later let a plain role be granted these; before, only a superuser keeps the log clean. */
static void check_log_privacy(struct check *check, const PGresult *server)
{
    static const char SQL[] =
        "SELECT string_agg(p, ', ') FROM unnest(ARRAY['log_min_messages', 'log_min_error_statement',"
        " 'log_error_verbosity', 'log_statement', 'log_min_duration_statement', 'log_duration',"
        " 'log_parameter_max_length', 'log_parameter_max_length_on_error']) p WHERE NOT "
        "pg_catalog.has_parameter_privilege(p, 'SET')";
    if (PQgetvalue(server, 0, 4)[0] == 't')
        return;
    if (PQserverVersion(check->target) < 150000) {
        findings_add(&check->findings, FINDING_WARNING, SIDE, "log_privacy", NULL,
                     "before PostgreSQL 15 a plain role cannot keep its failed statements out of the server's log, "
                     "which may then quote rows");
        return;
    }
    PGresult *result = check_query(check, false, "log_privacy", SQL, 0, NULL);
    if (result && !PQgetisnull(result, 0, 0))
        findings_add(&check->findings, FINDING_WARNING, SIDE, "log_privacy",
                     "run: pgrekey init (as a superuser, or have its output granted: pgrekey init --print)",
                     "the target's log may quote rows: role %s may not set %s", PQgetvalue(server, 0, 3),
                     PQgetvalue(result, 0, 0));
    PQclear(result);
}

void check_target(struct check *check)
{
    PGresult *server = check_query(check, false, "server", SERVER_SQL, 0, NULL);
    if (server) {
        check_server(check, server);
        check_log_privacy(check, server);
    }
    check_pooler(check);
    check_schema(check);
    if (server)
        check_id_function(check, !PQgetisnull(server, 0, 6));
    PQclear(server);
}

/* --- tables --- */

struct tables {
    const struct relation **relations;
    size_t count;
    struct buf oids;
};

static void check_privileges(struct check *check, const struct tables *tables)
{
    static const char SQL[] =
        "SELECT n.nspname, c.relname, current_user, string_agg(p, ', ' ORDER BY i),"
        " pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,"
        " unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS u (p, i)"
        " WHERE c.oid = ANY ($1::oid[]) AND NOT pg_catalog.has_table_privilege(c.oid, p) GROUP BY 1, 2, 3, n.oid"
        " UNION ALL SELECT DISTINCT n.nspname, NULL, current_user, 'USAGE', false"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = ANY ($1::oid[]) AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY 1, 2";
    const char *params[] = {buf_text(&tables->oids)};
    PGresult *result = check_query(check, false, "privileges", SQL, 1, params);
    for (int row = 0; result && row < PQntuples(result); row++) {
        bool schema = PQgetisnull(result, row, 1);
        struct buf remedy;
        buf_init(&remedy, TEXT_MAX_BYTES);
        buf_printf(&remedy, "GRANT %s ON %s", PQgetvalue(result, row, 3), schema ? "SCHEMA " : "");
        if (schema)
            pg_put_ident(&remedy, PQgetvalue(result, row, 0));
        else
            pg_put_qualified(&remedy, PQgetvalue(result, row, 0), PQgetvalue(result, row, 1));
        buf_puts(&remedy, " TO ");
        pg_put_ident(&remedy, PQgetvalue(result, row, 2));
        buf_puts(&remedy, "; -- or run: pgrekey init");
        findings_add(&check->findings, FINDING_ERROR, SIDE, "privileges", buf_text(&remedy),
                     "role %s lacks %s on %s%s%s", PQgetvalue(result, row, 2), PQgetvalue(result, row, 3),
                     PQgetvalue(result, row, 0), schema ? "" : ".", schema ? "" : PQgetvalue(result, row, 1));
        buf_done(&remedy);
    }
    PQclear(result);
}

/* The session runs with row_security = off: where policies would apply, statements fail instead of missing rows. */
static void check_rls(struct check *check, const struct tables *tables)
{
    static const char SQL[] = "SELECT c.relname, current_user FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::oid[])"
                              " AND pg_catalog.row_security_active(c.oid) ORDER BY 1";
    const char *params[] = {buf_text(&tables->oids)};
    PGresult *result = check_query(check, false, "row_security", SQL, 1, params);
    if (result && PQntuples(result) > 0) {
        struct buf names, remedy;
        buf_init(&names, TEXT_MAX_BYTES);
        buf_init(&remedy, TEXT_MAX_BYTES);
        for (int row = 0; row < PQntuples(result); row++)
            check_put_names(&names, PQgetvalue(result, row, 0), (size_t)row, NAMES_SHOWN);
        buf_puts(&remedy, "ALTER ROLE ");
        pg_put_ident(&remedy, PQgetvalue(result, 0, 1));
        buf_puts(&remedy, " BYPASSRLS;");
        findings_add(&check->findings, FINDING_ERROR, SIDE, "row_security", buf_text(&remedy),
                     "row level security holds for role %s on %d target table%s: %s", PQgetvalue(result, 0, 1),
                     PQntuples(result), PQntuples(result) == 1 ? "" : "s", buf_text(&names));
        buf_done(&names);
        buf_done(&remedy);
    }
    PQclear(result);
}

static void check_triggers(struct check *check, const struct tables *tables)
{
    static const char SQL[] = "SELECT n.nspname, c.relname, string_agg(t.tgname, ', ' ORDER BY t.tgname), count(*)"
                              " FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid"
                              " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])"
                              " AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') GROUP BY 1, 2 ORDER BY 1, 2";
    const char *params[] = {buf_text(&tables->oids)};
    PGresult *result = check_query(check, false, "triggers", SQL, 1, params);
    for (int row = 0; result && row < PQntuples(result); row++) {
        bool one = strcmp(PQgetvalue(result, row, 3), "1") == 0;
        findings_add(&check->findings, FINDING_WARNING, SIDE, "triggers",
                     "see that this is meant: what they write is theirs, and a row that they refuse goes to quarantine",
                     "trigger%s %s of %s.%s will fire for every row written", one ? "" : "s",
                     PQgetvalue(result, row, 2), PQgetvalue(result, row, 0), PQgetvalue(result, row, 1));
    }
    PQclear(result);
}

static void check_generated(struct check *check, const struct tables *tables)
{
    struct buf names;
    size_t count = 0;
    char name[2 * ERR_NAME_MAX + 4];
    buf_init(&names, TEXT_MAX_BYTES);
    for (size_t i = 0; i < tables->count; i++)
        for (size_t j = 0; j < tables->relations[i]->column_count; j++) {
            if (!tables->relations[i]->columns[j].generated)
                continue;
            snprintf(name, sizeof(name), "%s.%s", tables->relations[i]->name, tables->relations[i]->columns[j].name);
            check_put_names(&names, name, count++, NAMES_SHOWN);
        }
    if (count > 0)
        findings_add(&check->findings, FINDING_INFO, SIDE, "generated_columns", NULL,
                     "%zu generated column%s on target tables, computed by the server: %s", count,
                     count == 1 ? "" : "s", buf_text(&names));
    buf_done(&names);
}

static bool holds_rows(struct check *check, const struct relation *relation)
{
    struct buf sql;
    struct err err;
    PGresult *result = NULL;
    buf_init(&sql, 4096);
    buf_puts(&sql, "SELECT EXISTS (SELECT FROM ");
    pg_put_qualified(&sql, relation->schema, relation->name);
    buf_putc(&sql, ')');
    /* a table that may not be read has been complained of already */
    bool holds = pg_query(check->target, SIDE, "looking whether a table is empty", buf_text(&sql), 0, NULL, &result,
                          &err) == 0 &&
                 PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    buf_done(&sql);
    return holds;
}

/* A first snapshot writes into empty tables only, so that one that was cut off can be taken back. */
static void check_empty(struct check *check, const struct tables *tables)
{
    struct buf names, remedy;
    size_t count = 0;
    if (!check->report || check->report->position.state != PIPELINE_NEW)
        return;
    buf_init(&names, TEXT_MAX_BYTES);
    buf_init(&remedy, TEXT_MAX_BYTES);
    for (size_t i = 0; i < tables->count; i++) {
        struct adopter adopter;
        if (adopter_of_table(check->mapping.map, tables->relations[i]->schema, tables->relations[i]->name, &adopter) ||
            !holds_rows(check, tables->relations[i]))
            continue;
        buf_puts(&remedy, count ? ", " : "TRUNCATE ");
        pg_put_qualified(&remedy, tables->relations[i]->schema, tables->relations[i]->name);
        check_put_names(&names, tables->relations[i]->name, count++, NAMES_SHOWN);
    }
    buf_puts(&remedy, "; -- where their rows may go");
    if (count > 0)
        findings_add(&check->findings, FINDING_ERROR, SIDE, "not_empty", buf_text(&remedy),
                     "no snapshot has been taken yet, and %zu target table%s hold%s rows: %s", count,
                     count == 1 ? "" : "s", count == 1 ? "s" : "", buf_text(&names));
    buf_done(&names);
    buf_done(&remedy);
}

void check_target_tables(struct check *check)
{
    struct tables tables;
    tables.relations = check_relations(check, false, &tables.count);
    if (tables.count > 0) {
        buf_init(&tables.oids, (size_t)1 << 20);
        check_put_oids(&tables.oids, tables.relations, tables.count);
        check_privileges(check, &tables);
        check_rls(check, &tables);
        check_triggers(check, &tables);
        check_generated(check, &tables);
        check_empty(check, &tables);
        buf_done(&tables.oids);
    }
    free(tables.relations);
}
