/* The source's side of `pgrekey check`. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/check.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/pg/pg.h"

#define SIDE "source"
#define NAMES_SHOWN 8
#define LONG_TRANSACTION_S 60
#define REMEDY_MAX_BYTES 65536
#define VERSION_MIN 120000

#define RELOAD "; SELECT pg_reload_conf();"

/* One row: what the server is and allows. Settings are asked of pg_settings where their plain unit is wanted, or where
 * a plain role may not see them: then the row is missing, and asking outright would fail. */
static const char SERVER_SQL[] =
    "WITH s AS (SELECT name, setting FROM pg_catalog.pg_settings) SELECT"
    " pg_catalog.current_setting('server_version'),"                                              /* 0 */
    " pg_catalog.pg_is_in_recovery(),"                                                            /* 1 */
    " pg_catalog.current_setting('wal_level'),"                                                   /* 2 */
    " pg_catalog.current_setting('max_replication_slots')::int,"                                  /* 3 */
    " (SELECT count(*) FROM pg_catalog.pg_replication_slots),"                                    /* 4 */
    " pg_catalog.current_setting('max_wal_senders')::int,"                                        /* 5 */
    " (SELECT count(*) FROM pg_catalog.pg_stat_replication),"                                     /* 6 */
    " (SELECT setting FROM s WHERE name = 'max_slot_wal_keep_size'),"                             /* 7, MB */
    " (SELECT setting::bigint FROM s WHERE name = 'wal_sender_timeout'),"                         /* 8, ms */
    " pg_catalog.current_setting('logical_decoding_work_mem', true),"                             /* 9 */
    " (SELECT setting FROM s WHERE name = 'output_plugin_libraries'),"                            /* 10 */
    " (SELECT count(*) FROM pg_catalog.pg_prepared_xacts),"                                       /* 11 */
    " pg_catalog.current_setting('rds.logical_replication', true),"                               /* 12 */
    " (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)," /* 13 */
    " EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'rds_replication'"
    "  AND pg_catalog.pg_has_role(current_user, r.oid, 'member'))," /* 14 */
    " current_user,"                                                /* 15 */
    " EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'pg_read_all_stats'"
    "  AND pg_catalog.pg_has_role(current_user, r.oid, 'usage')),"                         /* 16 */
    " (SELECT setting::bigint FROM s WHERE name = 'idle_in_transaction_session_timeout')"; /* 17, ms */

static const char *text_at(const PGresult *result, int column)
{
    return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static long number_at(const PGresult *result, int column)
{
    return strtol(PQgetvalue(result, 0, column), NULL, 10);
}

static bool true_at(const PGresult *result, int column)
{
    return PQgetvalue(result, 0, column)[0] == 't';
}

/* Would a list setting let this word in? */
static bool list_has(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at; at++) {
        bool begins = at == list || strchr(", \"", at[-1]) != NULL;
        if (begins && strncmp(at, word, len) == 0 && (at[len] == '\0' || strchr(", \"", at[len])))
            return true;
    }
    return false;
}

static void check_server(struct check *check, const PGresult *server)
{
    struct findings *findings = &check->findings;
    bool rds = text_at(server, 12) != NULL;
    findings_add(findings, FINDING_INFO, SIDE, "version", NULL, "PostgreSQL %s%s", text_at(server, 0),
                 rds ? " on RDS" : "");
    if (PQserverVersion(check->source) < VERSION_MIN)
        findings_add(findings, FINDING_ERROR, SIDE, "version", "upgrade it to PostgreSQL 12 or later",
                     "PostgreSQL %s is older than 12", text_at(server, 0));
    if (true_at(server, 1))
        findings_add(findings, FINDING_ERROR, SIDE, "standby", "connect to the primary: source.dsn",
                     "the server is a standby: it makes no logical slots of its own before version 16");
    if (strcmp(text_at(server, 2), "logical") != 0)
        findings_add(findings, FINDING_ERROR, SIDE, "wal_level",
                     rds ? "set rds.logical_replication = 1 in the parameter group, then reboot the instance"
                         : "ALTER SYSTEM SET wal_level = logical; -- then restart the server",
                     "wal_level is %s; logical decoding needs logical", text_at(server, 2));
    const char *encoding = PQparameterStatus(check->source, "server_encoding");
    if (encoding && strcmp(encoding, "UTF8") != 0)
        findings_add(findings, FINDING_ERROR, SIDE, "encoding",
                     "dump it and restore it into a database with encoding UTF8",
                     "the database's encoding is %s; logical decoding sends text unconverted", encoding);
}

static void check_limits(struct check *check, const PGresult *server)
{
    struct findings *findings = &check->findings;
    char remedy[128];
    long slots = number_at(server, 3), senders = number_at(server, 5), sender_timeout_ms = number_at(server, 8);
    if (!check->slot.exists && number_at(server, 4) >= slots) {
        snprintf(remedy, sizeof(remedy), "ALTER SYSTEM SET max_replication_slots = %ld; -- then restart the server",
                 slots + 4);
        findings_add(findings, FINDING_ERROR, SIDE, "slots", remedy, "all %ld replication slots are in use", slots);
    }
    if (!check->slot.active && number_at(server, 6) >= senders) {
        snprintf(remedy, sizeof(remedy), "ALTER SYSTEM SET max_wal_senders = %ld; -- then restart the server",
                 senders + 4);
        findings_add(findings, FINDING_ERROR, SIDE, "walsenders", remedy, "all %ld WAL senders are in use", senders);
    }
    const char *keep = text_at(server, 7);
    if (keep && strcmp(keep, "-1") == 0)
        findings_add(findings, FINDING_WARNING, SIDE, "max_slot_wal_keep_size",
                     "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'" RELOAD " -- what the disk can spare",
                     "the slot may keep WAL without limit (max_slot_wal_keep_size = -1): an engine that stands still "
                     "fills the source's disk");
    else if (keep)
        findings_add(findings, FINDING_INFO, SIDE, "max_slot_wal_keep_size", NULL,
                     "the slot is lost once it would keep more than %s MB of WAL (max_slot_wal_keep_size)", keep);
    if (sender_timeout_ms == 0)
        findings_add(findings, FINDING_WARNING, SIDE, "wal_sender_timeout",
                     "ALTER SYSTEM SET wal_sender_timeout = '60s'" RELOAD,
                     "wal_sender_timeout is 0: after a crash of the engine's machine the slot stays taken for ever");
    else if (sender_timeout_ms <= 2 * check->settings->source_status_interval_ms)
        findings_add(findings, FINDING_WARNING, SIDE, "wal_sender_timeout",
                     "ALTER SYSTEM SET wal_sender_timeout = '60s'" RELOAD,
                     "wal_sender_timeout (%ld ms) leaves little room for a status message every %lld ms",
                     sender_timeout_ms, (long long)check->settings->source_status_interval_ms);
    else if (sender_timeout_ms > check->settings->source_slot_wait_s * 1000)
        findings_add(
            findings, FINDING_INFO, SIDE, "wal_sender_timeout", NULL,
            "after a crash the slot can stay taken for %ld s (wal_sender_timeout), longer than source.slot_wait",
            sender_timeout_ms / 1000);
    if (text_at(server, 9))
        findings_add(findings, FINDING_INFO, SIDE, "logical_decoding_work_mem", NULL,
                     "transactions larger than %s are decoded from disk (logical_decoding_work_mem)",
                     text_at(server, 9));
}

static void check_role(struct check *check, const PGresult *server)
{
    struct buf remedy;
    check->can_replicate = true_at(server, 13) || true_at(server, 14);
    if (check->can_replicate)
        return;
    buf_init(&remedy, REMEDY_MAX_BYTES);
    if (text_at(server, 12))
        buf_puts(&remedy, "GRANT rds_replication TO ");
    else
        buf_puts(&remedy, "ALTER ROLE ");
    pg_put_ident(&remedy, text_at(server, 15));
    buf_puts(&remedy, text_at(server, 12) ? ";" : " REPLICATION;");
    findings_add(&check->findings, FINDING_ERROR, SIDE, "replication_role", buf_text(&remedy),
                 "role %s may not replicate", text_at(server, 15));
    buf_done(&remedy);
}

/* The one line that makes wal2json allowed, keeping what is allowed already. */
static void put_allow_line(struct buf *remedy, const char *present)
{
    buf_puts(remedy, "ALTER SYSTEM SET output_plugin_libraries = ");
    for (const char *at = present; *at;) {
        at += strspn(at, ", ");
        size_t len = *at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, ", ");
        bool plain = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_\"") >= len;
        if (len)
            buf_printf(remedy, plain ? "%.*s, " : "\"%.*s\", ", (int)len, at);
        at += strnlen(at, len);
    }
    buf_puts(remedy, "wal2json" RELOAD);
}

/* The library is loaded before the slot waits for anything, so a lock timeout too says that it is there. */
static void probe_plugin(struct check *check)
{
    static const char NAME[] = "'pgrekey_check_' || pg_catalog.pg_backend_pid()";
    struct err err = {0};
    char sql[256];
    snprintf(sql, sizeof(sql), "SELECT pg_catalog.pg_create_logical_replication_slot(%s, 'wal2json', true)", NAME);
    if (pg_run(check->source, SIDE, "preparing", "SET lock_timeout = '2s'", &err) < 0) {
        check_add_err(check, SIDE, "wal2json", &err);
        return;
    }
    PGresult *result = PQexec(check->source, sql);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        snprintf(sql, sizeof(sql), "SELECT pg_catalog.pg_drop_replication_slot(%s)", NAME);
        if (pg_run(check->source, SIDE, "dropping the temporary slot", sql, &err) < 0)
            check_add_err(check, SIDE, "wal2json", &err);
        findings_add(&check->findings, FINDING_INFO, SIDE, "wal2json", NULL, "wal2json is installed and allowed");
    } else {
        pg_err(&err, SIDE, check->source, result, "making a temporary slot with wal2json");
        if (strcmp(err.sqlstate, "55P03") == 0) {
            findings_add(&check->findings, FINDING_INFO, SIDE, "wal2json", NULL, "wal2json is installed and allowed");
        } else {
            slot_explain_plugin(result, &err);
            check_add_err(check, SIDE, "wal2json", &err);
        }
    }
    PQclear(result);
    if (pg_run(check->source, SIDE, "preparing", "RESET lock_timeout", &err) < 0)
        check_add_err(check, SIDE, "wal2json", &err);
}

static void check_plugin(struct check *check, const PGresult *server)
{
    const char *allowed = text_at(server, 10);
    bool slot_free = number_at(server, 4) < number_at(server, 3);
    if (allowed && !list_has(allowed, "wal2json")) {
        struct buf remedy;
        buf_init(&remedy, REMEDY_MAX_BYTES);
        put_allow_line(&remedy, allowed);
        findings_add(&check->findings, FINDING_ERROR, SIDE, "output_plugin_libraries", buf_text(&remedy),
                     "wal2json is not allowed as an output plugin (output_plugin_libraries = %s)", allowed);
        buf_done(&remedy);
    } else if (check->can_replicate && slot_free && strcmp(text_at(server, 2), "logical") == 0 && !true_at(server, 1)) {
        probe_plugin(check);
    }
}

/* The slot waits for every transaction that has written, in any database. */
static void check_open_transactions(struct check *check)
{
    static const char SQL[] =
        "SELECT pid, coalesce(usename, '?'), extract(epoch FROM now() - xact_start)::bigint, coalesce(datname, '?')"
        " FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid()"
        " AND now() - xact_start > $1::interval ORDER BY xact_start LIMIT 20";
    char age[24], duration[32];
    snprintf(age, sizeof(age), "%d s", LONG_TRANSACTION_S);
    const char *params[] = {age};
    PGresult *result = check_query(check, true, "open_transactions", SQL, 1, params);
    for (int row = 0; result && row < PQntuples(result); row++) {
        char remedy[96];
        snprintf(remedy, sizeof(remedy), "SELECT pg_terminate_backend(%s); -- where it is forgotten",
                 PQgetvalue(result, row, 0));
        findings_add(&check->findings, check->slot.exists ? FINDING_INFO : FINDING_WARNING, SIDE, "open_transactions",
                     remedy,
                     "session %s of %s (database %s) holds a transaction open for %s; making the slot waits for it",
                     PQgetvalue(result, row, 0), PQgetvalue(result, row, 1), PQgetvalue(result, row, 3),
                     progress_duration(strtod(PQgetvalue(result, row, 2), NULL), duration, sizeof(duration)));
    }
    PQclear(result);
}

static void check_waits(struct check *check, const PGresult *server)
{
    struct findings *findings = &check->findings;
    check_open_transactions(check);
    if (!true_at(server, 16))
        findings_add(findings, FINDING_INFO, SIDE, "pg_read_all_stats", NULL,
                     "role %s does not see other users' transactions (pg_read_all_stats), so long ones cannot be named",
                     text_at(server, 15));
    if (number_at(server, 11) > 0)
        findings_add(findings, check->slot.exists ? FINDING_INFO : FINDING_WARNING, SIDE, "prepared_transactions",
                     "SELECT gid, owner, prepared FROM pg_prepared_xacts; -- then COMMIT PREPARED or ROLLBACK PREPARED",
                     "%ld prepared transaction%s open; making the slot waits for %s", number_at(server, 11),
                     number_at(server, 11) == 1 ? " is" : "s are", number_at(server, 11) == 1 ? "it" : "them");
}

void check_source(struct check *check)
{
    struct err err = {0};
    if (slot_read(check->source, check->settings->source_slot, &check->slot, &err) == 0)
        check->slot_read = true;
    else
        check_add_err(check, SIDE, "slot", &err);
    PGresult *server = check_query(check, true, "server", SERVER_SQL, 0, NULL);
    if (!server)
        return;
    check_server(check, server);
    check_role(check, server);
    check_limits(check, server);
    check_plugin(check, server);
    check_waits(check, server);
    PQclear(server);
}

/* --- tables --- */

/* `never:` columns are not read, so nothing is asked of them. */
static void check_select(struct check *check, const struct relation *const *relations, size_t count)
{
    static const char SQL[] =
        "SELECT n.nspname, c.relname, a.attname, current_user, pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.oid = ANY ($1::oid[]) AND NOT (pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')"
        "  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')) ORDER BY 1, 2, a.attnum";
    struct buf oids, names, grant;
    buf_init(&oids, (size_t)1 << 20);
    buf_init(&names, REMEDY_MAX_BYTES);
    buf_init(&grant, REMEDY_MAX_BYTES);
    check_put_oids(&oids, relations, count);
    const char *params[] = {buf_text(&oids)}, *last_schema = "", *last = "", *last_usage = "";
    PGresult *result = check_query(check, true, "select", SQL, 1, params);
    size_t tables = 0;
    struct buf usage;
    buf_init(&usage, REMEDY_MAX_BYTES);
    for (int row = 0; result && row < PQntuples(result); row++) {
        const char *schema = PQgetvalue(result, row, 0), *table = PQgetvalue(result, row, 1);
        if (map_column_never(check->mapping.map, schema, table, PQgetvalue(result, row, 2)))
            continue;
        if (PQgetvalue(result, row, 4)[0] == 'f' && strcmp(last_usage, schema) != 0) {
            buf_puts(&usage, "GRANT USAGE ON SCHEMA ");
            pg_put_ident(&usage, schema);
            buf_puts(&usage, " TO ");
            pg_put_ident(&usage, PQgetvalue(result, row, 3));
            buf_puts(&usage, "; ");
            last_usage = schema;
        }
        if (strcmp(last, table) == 0 && strcmp(last_schema, schema) == 0)
            continue;
        check_put_names(&names, table, tables, NAMES_SHOWN);
        buf_puts(&grant, tables++ ? ", " : "GRANT SELECT ON ");
        pg_put_qualified(&grant, schema, table);
        last = table;
        last_schema = schema;
    }
    if (tables > 0) {
        buf_puts(&grant, " TO ");
        pg_put_ident(&grant, PQgetvalue(result, 0, 3));
        buf_puts(&usage, buf_text(&grant));
        buf_putc(&usage, ';');
        findings_add(&check->findings, FINDING_ERROR, SIDE, "select", buf_text(&usage),
                     "role %s may not read %zu mapped table%s: %s", PQgetvalue(result, 0, 3), tables,
                     tables == 1 ? "" : "s", buf_text(&names));
    }
    PQclear(result);
    buf_done(&usage);
    buf_done(&oids);
    buf_done(&names);
    buf_done(&grant);
}

/* Tables without any identity are the binding's to refuse; here the way out stands in one line. */
static void check_identity(struct check *check, const struct relation *relation)
{
    struct buf remedy;
    if (relation->key_count > 0 || relation->pk_count == 0)
        return;
    buf_init(&remedy, REMEDY_MAX_BYTES);
    buf_puts(&remedy, "ALTER TABLE ");
    pg_put_qualified(&remedy, relation->schema, relation->name);
    buf_puts(&remedy, " REPLICA IDENTITY DEFAULT;");
    findings_add(&check->findings, FINDING_ERROR, SIDE, "replica_identity", buf_text(&remedy),
                 "%s.%s has a primary key, but REPLICA IDENTITY %s: its rows are not told by it in the stream",
                 relation->schema, relation->name, relation->replident == 'f' ? "FULL" : "NOTHING");
    buf_done(&remedy);
}

static void check_shapes(struct check *check, const struct relation *const *relations, size_t count)
{
    struct buf full;
    char rows_text[32], bytes_text[32];
    size_t full_count = 0;
    double rows = 0, bytes = 0;
    buf_init(&full, REMEDY_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        rows += relations[i]->estimated_rows > 0 ? relations[i]->estimated_rows : 0;
        bytes += (double)relations[i]->size_bytes;
        check_identity(check, relations[i]);
        if (relations[i]->replident == 'f' && relations[i]->key_count > 0)
            check_put_names(&full, relations[i]->name, full_count++, NAMES_SHOWN);
    }
    if (full_count > 0)
        findings_add(&check->findings, FINDING_INFO, SIDE, "replica_identity_full", NULL,
                     "%zu table%s with REPLICA IDENTITY FULL (%s): not needed here, and each change of them carries "
                     "the whole old row",
                     full_count, full_count == 1 ? "" : "s", buf_text(&full));
    progress_bytes(bytes, bytes_text, sizeof(bytes_text));
    if (rows > 0)
        findings_add(&check->findings, FINDING_INFO, SIDE, "size", NULL, "%zu mapped tables hold about %s rows in %s",
                     count, progress_count(rows, rows_text, sizeof(rows_text)), bytes_text);
    else
        findings_add(&check->findings, FINDING_INFO, SIDE, "size", NULL,
                     "%zu mapped tables hold %s (never analysed: rows unknown)", count, bytes_text);
    buf_done(&full);
}

void check_source_tables(struct check *check)
{
    size_t count;
    const struct relation **relations = check_relations(check, true, &count);
    if (count > 0) {
        check_select(check, relations, count);
        check_shapes(check, relations, count);
    }
    free(relations);
}
