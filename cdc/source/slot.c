/* Replication slots of the source. Everything here is one simple query at a time, for a replication connection
 * takes no other: that is why names stand in the SQL as literals.
 */
#include "cdc/source/slot.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"

#define SIDE "source"
#define SQL_MAX_BYTES 8192
#define CANCEL_GRACE_US 5000000 /* for the server to answer a cancel request */
#define DROP_RETRY_MS 100

static int query(PGconn *conn, const char *doing, struct buf *sql, PGresult **ret_result, struct err *reterr)
{
    if (buf_overflowed(sql))
        return err_set(reterr, ERR_CONFIG, "%s: a name is too long", doing);
    PGresult *result = PQexec(conn, buf_text(sql));
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg_err(reterr, SIDE, conn, result, doing);
        PQclear(result);
        return -1;
    }
    *ret_result = result;
    return 0;
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strnlen(from, size - 1);
    memcpy(to, from, len);
    to[len] = 0;
}

/* NULL comes as "": the position 0. */
static uint64_t lsn_of(const char *text)
{
    uint64_t lsn = 0;
    if (*text && !lsn_parse(text, &lsn))
        return 0;
    return lsn;
}

int slot_identify(PGconn *replication, struct source_identity *ret_identity, uint64_t *ret_wal_lsn, struct err *reterr)
{
    struct buf sql;
    PGresult *result = NULL;

    buf_init(&sql, SQL_MAX_BYTES);
    buf_puts(&sql, "IDENTIFY_SYSTEM");
    int rc = query(replication, "asking who the server is", &sql, &result, reterr);
    buf_done(&sql);
    if (rc)
        return -1;
    if (PQntuples(result) != 1 || PQnfields(result) < 4 || PQgetisnull(result, 0, 3)) {
        PQclear(result);
        return err_set(reterr, ERR_FATAL, "the source does not say which database a replication connection reaches");
    }
    *ret_identity = (struct source_identity){.timeline = (uint32_t)strtoul(PQgetvalue(result, 0, 1), NULL, 10)};
    copy_text(ret_identity->system_identifier, sizeof(ret_identity->system_identifier), PQgetvalue(result, 0, 0));
    copy_text(ret_identity->database, sizeof(ret_identity->database), PQgetvalue(result, 0, 3));
    if (ret_wal_lsn)
        *ret_wal_lsn = lsn_of(PQgetvalue(result, 0, 2));
    PQclear(result);
    return 0;
}

static void fill_state(const PGresult *result, struct slot_state *state)
{
    *state = (struct slot_state){.current_lsn = lsn_of(PQgetvalue(result, 0, 0)), .exists = !PQgetisnull(result, 0, 1)};
    if (!state->exists)
        return;
    state->logical = strcmp(PQgetvalue(result, 0, 1), "logical") == 0;
    copy_text(state->plugin, sizeof(state->plugin), PQgetvalue(result, 0, 2));
    copy_text(state->database, sizeof(state->database), PQgetvalue(result, 0, 3));
    state->active = PQgetvalue(result, 0, 4)[0] == 't';
    state->active_pid = (int)strtol(PQgetvalue(result, 0, 5), NULL, 10);
    state->restart_lsn = lsn_of(PQgetvalue(result, 0, 6));
    state->confirmed_lsn = lsn_of(PQgetvalue(result, 0, 7));
    copy_text(state->wal_status, sizeof(state->wal_status), PQgetvalue(result, 0, 8));
    state->has_safe_wal_size = !PQgetisnull(result, 0, 9);
    state->safe_wal_size = strtoll(PQgetvalue(result, 0, 9), NULL, 10);
}

int slot_read(PGconn *conn, const char *slot, struct slot_state *ret_state, struct err *reterr)
{
    struct buf sql;
    PGresult *result = NULL;

    buf_init(&sql, SQL_MAX_BYTES);
    buf_puts(&sql, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,"
                   " s.slot_type, s.plugin, s.database, s.active, s.active_pid, s.restart_lsn, s.confirmed_flush_lsn,");
    buf_puts(&sql, PQserverVersion(conn) >= 130000 ? " s.wal_status, s.safe_wal_size" : " 'reserved', NULL");
    buf_puts(&sql, " FROM (SELECT) one LEFT JOIN pg_replication_slots s ON s.slot_name = ");
    pg_put_literal(&sql, slot);
    int rc = query(conn, "looking at the replication slot", &sql, &result, reterr);
    buf_done(&sql);
    if (rc)
        return -1;
    fill_state(result, ret_state);
    PQclear(result);
    return 0;
}

enum slot_kind slot_kind(const struct slot_state *state, const char *database)
{
    if (!state->logical)
        return SLOT_PHYSICAL;
    if (strcmp(state->plugin, "wal2json") != 0)
        return SLOT_OTHER_PLUGIN;
    return database && strcmp(state->database, database) != 0 ? SLOT_OTHER_DATABASE : SLOT_OURS;
}

/* ---- making one ---- */

static void cancel(PGconn *conn)
{
    char text[256];
    PGcancel *request = PQgetCancel(conn);
    if (request)
        PQcancel(request, text, sizeof(text));
    PQfreeCancel(request);
}

/* PQexec that asks the server to give up after wait_us. *ret_cancelled says that it had to. */
static PGresult *exec_bounded(PGconn *conn, const char *sql, int64_t wait_us, bool *ret_cancelled)
{
    int64_t deadline_us = clock_mono_us() + wait_us;
    *ret_cancelled = false;
    if (!PQsendQuery(conn, sql))
        return NULL;
    while (PQisBusy(conn)) {
        int64_t left_us = deadline_us - clock_mono_us();
        if (left_us <= 0) {
            if (*ret_cancelled)
                return NULL;
            *ret_cancelled = true;
            deadline_us = clock_mono_us() + CANCEL_GRACE_US;
            cancel(conn);
            continue;
        }
        struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
        poll(&fd, 1, (int)(left_us / 1000) + 1);
        if (!PQconsumeInput(conn))
            return NULL;
    }
    PGresult *result = PQgetResult(conn);
    for (PGresult *more; (more = PQgetResult(conn));)
        PQclear(more);
    return result;
}

/* "pid 4711 (user app, open for 3600 s)" of every session whose transaction a new slot would wait for. */
static void name_blockers(PGconn *conn, struct buf *text)
{
    static const char sql[] =
        "SELECT 'session ' || pid, usename, extract(epoch FROM now() - xact_start)::bigint FROM pg_stat_activity"
        " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
        " UNION ALL SELECT 'a prepared transaction', owner, extract(epoch FROM now() - prepared)::bigint"
        " FROM pg_prepared_xacts ORDER BY 3 DESC NULLS LAST LIMIT 5";
    PGresult *result = conn ? PQexec(conn, sql) : NULL;
    for (int i = 0; result && i < PQntuples(result); i++) {
        buf_printf(text, "%s%s (user %s", i ? ", " : "", PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
        if (!PQgetisnull(result, i, 2))
            buf_printf(text, ", open for %s s", PQgetvalue(result, i, 2));
        buf_puts(text, ")");
    }
    PQclear(result);
}

static int err_blocked(PGconn *conn, const char *slot, int wait_s, struct err *reterr)
{
    struct buf names;
    buf_init(&names, 400);
    name_blockers(conn, &names);
    err_set(reterr, ERR_RETRY, "slot \"%s\" could not be made within %d s, for the source waits for open transactions",
            slot, wait_s);
    memcpy(reterr->sqlstate, "55P03", sizeof("55P03"));
    if (names.len > 0)
        err_hint(reterr, "End them or wait longer (source.slot_wait): %s", buf_text(&names));
    else
        err_hint(reterr, "End the sessions that pg_stat_activity shows with a backend_xid, or wait longer "
                         "(source.slot_wait)");
    buf_done(&names);
    return -1;
}

/* The ways in which a server refuses a slot, each with what to do. */
static int err_create(PGconn *conn, const PGresult *result, const char *slot, struct err *reterr)
{
    pg_err(reterr, SIDE, conn, result, "making the replication slot");
    if (!reterr)
        return -1;
    if (strcmp(reterr->sqlstate, "42710") == 0) {
        reterr->kind = ERR_REFUSED;
        return err_hint(reterr, "A slot \"%s\" exists already: drop it, or name another one", slot);
    }
    if (strcmp(reterr->sqlstate, "53400") == 0) {
        reterr->kind = ERR_CONFIG;
        return err_hint(reterr, "All slots of the source are in use: drop one, or raise max_replication_slots");
    }
    if (strcmp(reterr->sqlstate, "55000") == 0) {
        reterr->kind = ERR_CONFIG;
        return err_hint(reterr, "Set wal_level = logical on the source and restart it (on RDS: "
                                "rds.logical_replication = 1)");
    }
    return slot_explain_plugin(result, reterr);
}

int slot_create(PGconn *replication, PGconn *conn, const char *slot, bool temporary, int wait_s,
                uint64_t *ret_consistent_lsn, char *ret_snapshot, size_t snapshot_size, struct err *reterr)
{
    struct buf sql;
    struct err scratch;
    bool cancelled;

    reterr = reterr ? reterr : &scratch;
    wait_s = wait_s < 1 ? 1 : wait_s;
    buf_init(&sql, SQL_MAX_BYTES);
    buf_puts(&sql, "CREATE_REPLICATION_SLOT ");
    pg_put_ident(&sql, slot);
    buf_puts(&sql, temporary ? " TEMPORARY LOGICAL wal2json " : " LOGICAL wal2json ");
    buf_puts(&sql, PQserverVersion(replication) >= 150000 ? "(SNAPSHOT 'export')" : "EXPORT_SNAPSHOT");
    PGresult *result = exec_bounded(replication, buf_text(&sql), wait_s * INT64_C(1000000), &cancelled);
    buf_done(&sql);

    int rc = 0;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
        strlen(PQgetvalue(result, 0, 2)) < snapshot_size) {
        *ret_consistent_lsn = lsn_of(PQgetvalue(result, 0, 1));
        copy_text(ret_snapshot, snapshot_size, PQgetvalue(result, 0, 2));
    } else if (cancelled) {
        rc = err_blocked(conn, slot, wait_s, reterr);
    } else {
        rc = err_create(replication, result, slot, reterr);
    }
    PQclear(result);
    return rc;
}

int slot_explain_plugin(const PGresult *result, struct err *reterr)
{
    /* the server's sentence is looked at, never passed on */
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    message = message ? message : "";
    if (strcmp(reterr->sqlstate, "42501") == 0 && strstr(message, "output plugin")) {
        err_set(reterr, ERR_CONFIG, "the source does not allow wal2json as an output plugin");
        memcpy(reterr->sqlstate, "42501", sizeof("42501"));
        return err_hint(reterr, "Run there: ALTER SYSTEM SET output_plugin_libraries = pgoutput, test_decoding, "
                                "wal2json; SELECT pg_reload_conf()");
    }
    if (strcmp(reterr->sqlstate, "58P01") == 0 && strstr(message, "wal2json")) {
        err_set(reterr, ERR_CONFIG, "wal2json is not installed on the source");
        memcpy(reterr->sqlstate, "58P01", sizeof("58P01"));
        return err_hint(reterr, "Install it there (Debian: postgresql-15-wal2json)");
    }
    if (strcmp(reterr->sqlstate, "42501") == 0)
        return err_hint(reterr, "The source's role needs REPLICATION (on RDS: GRANT rds_replication)");
    return -1;
}

/* ---- dropping one ---- */

int slot_drop(PGconn *conn, const char *slot, int wait_s, struct err *reterr)
{
    int64_t deadline_us = clock_mono_us() + wait_s * INT64_C(1000000);
    struct slot_state state;
    const char *params[] = {slot};

    for (;;) {
        if (slot_read(conn, slot, &state, reterr))
            return -1;
        if (!state.exists)
            return 0;
        if (!state.active) {
            struct err err;
            if (pg_query(conn, SIDE, "dropping the replication slot", "SELECT pg_drop_replication_slot($1)", 1, params,
                         NULL, &err) == 0)
                return 0;
            bool raced = strcmp(err.sqlstate, "55006") == 0 || strcmp(err.sqlstate, "42704") == 0;
            if (!raced) {
                if (reterr)
                    *reterr = err;
                return -1;
            }
        }
        if (clock_mono_us() >= deadline_us)
            break;
        poll(NULL, 0, DROP_RETRY_MS);
    }
    err_set(reterr, ERR_RETRY, "slot \"%s\" is still in use by process %d of the source", slot, state.active_pid);
    return err_hint(reterr, "Stop the engine that reads it, or wait for wal_sender_timeout to pass");
}
