#include "sinks/postgres/opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/session/shared.h"
#include "sinks/postgres/state/namespace.h"
#include "sinks/postgres/state/schema.h"

#define LOCK_POLL_NS (200L * 1000 * 1000)

/* Commits do not wait for the disk (durable.c says why that is safe). Our statements find their rows by index, and
 * the planner must not think otherwise over a table that has just been filled and not been analysed. */
#define SESSION                                                                                                        \
    "-c synchronous_commit=off -c jit=off -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "       \
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"

/* What a role may be denied, one by one: the server's log stays free of values, and a dead client is noticed. */
static const char *const WISHES[][2] = {
    {"log_min_messages", "fatal"},
    {"log_min_error_statement", "panic"},
    {"log_error_verbosity", "terse"},
    {"log_statement", "none"},
    {"log_min_duration_statement", "-1"},
    {"log_duration", "off"},
    {"log_parameter_max_length", "0"},
    {"log_parameter_max_length_on_error", "0"},
    {"client_connection_check_interval", "10s"},
};

static int wish(struct pgsink *s, struct err *reterr)
{
    struct buf sql;
    int rc;

    buf_init(&sql, (size_t)1 << 16);
    buf_puts(&sql, "DO $wish$ BEGIN ");
    for (size_t i = 0; i < sizeof(WISHES) / sizeof(*WISHES); i++)
        buf_printf(&sql, "BEGIN PERFORM set_config('%s', '%s', false); EXCEPTION WHEN OTHERS THEN NULL; END; ",
                   WISHES[i][0], WISHES[i][1]);
    buf_puts(&sql, "END $wish$");
    rc = session_run(s, "setting up the session", session_text(&sql), reterr);
    buf_done(&sql);
    return rc;
}

static int connect_as(const struct pgsink *s, PGconn **ret_conn, struct err *reterr)
{
    char session[1024];
    char name[96];
    struct pg_options options = {.side = SIDE,
                                 .conninfo = s->options.conninfo,
                                 .password_file = s->options.password_file,
                                 .application_name = name,
                                 .session = session,
                                 .utf8_only = true};

    snprintf(name, sizeof(name), "pgrekey %s", s->options.pipeline);
    snprintf(session, sizeof(session), SESSION " -c statement_timeout=%d -c lock_timeout=%d",
             s->options.statement_timeout_ms, s->options.lock_timeout_ms);
    return pg_open(&options, ret_conn, reterr);
}

static int ask_pid(PGconn *conn, int *ret_pid, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, "asking for the session", "SELECT pg_backend_pid()", 0, NULL, &result, reterr))
        return -1;
    *ret_pid = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    return 0;
}

/* Behind a pooler libpq holds another process id than the server. One that pools by transaction then gives a second
 * client the same server session while the first one rests: our lock, settings and statements would be anybody's. */
static int refuse_pooler(struct pgsink *s, struct err *reterr)
{
    PGconn *second = NULL;
    int pid, second_pid = 0, again = 0, rc;

    if (ask_pid(s->conn, &pid, reterr))
        return -1;
    if (pid == PQbackendPID(s->conn))
        return 0;
    if (connect_as(s, &second, reterr))
        return -1;
    rc = ask_pid(second, &second_pid, reterr) || ask_pid(s->conn, &again, reterr) ? -1 : 0;
    pg_close(second);
    if (rc == 0 && (second_pid == pid || again != pid)) {
        (void)err_set(reterr, ERR_CONFIG, "target: a pooler shares server sessions between clients by transaction");
        rc = err_hint(reterr, "connect to the server itself, or to the pooler's session mode (Supabase: port 5432)");
    }
    return rc;
}

static int check_server(struct pgsink *s, struct err *reterr)
{
    PGresult *result = NULL;
    bool standby, read_only, schema;

    if (session_query(s, "looking at the server",
                      "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean, "
                      "to_regclass('pgrekey.pipeline') IS NOT NULL",
                      0, NULL, &result, reterr))
        return -1;
    standby = *PQgetvalue(result, 0, 0) == 't';
    read_only = *PQgetvalue(result, 0, 1) == 't';
    schema = *PQgetvalue(result, 0, 2) == 't';
    PQclear(result);
    if (standby || read_only) {
        (void)err_set(reterr, ERR_CONFIG, "target: the server %s",
                      standby ? "is a standby and takes no writes" : "or the role is set to read-only transactions");
        snprintf(reterr->sqlstate, sizeof(reterr->sqlstate), "25006"); /* as a write would say, and as it passes */
        return err_hint(reterr, standby ? "connect to the primary" : "look at default_transaction_read_only");
    }
    if (!schema) {
        (void)err_set(reterr, ERR_CONFIG, "target: the engine's schema pgrekey is not there");
        return err_hint(reterr, "run `pgrekey init` first");
    }
    return 0;
}

static int check_version(struct pgsink *s, struct err *reterr)
{
    PGresult *result = NULL;
    int version;

    if (session_query(s, "reading the engine's schema", "SELECT max(version) FROM pgrekey.schema_version", 0, NULL,
                      &result, reterr))
        return -1;
    version = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    if (version == SCHEMA_VERSION)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "target: the engine's schema pgrekey has version %d, this program needs %d",
                  version, SCHEMA_VERSION);
    return err_hint(reterr, version < SCHEMA_VERSION ? "run `pgrekey init` again" : "use the newer pgrekey");
}

int opening_connect(struct pgsink *s, struct err *reterr)
{
    if (connect_as(s, &s->conn, reterr) || wish(s, reterr) || refuse_pooler(s, reterr) || check_server(s, reterr) ||
        check_version(s, reterr))
        return -1;
    return namespace_set(s, reterr);
}

int opening_lock(struct pgsink *s, struct err *reterr)
{
    int wait_s = s->options.lock_wait_s > 0 ? s->options.lock_wait_s : OPENING_LOCK_WAIT_S;
    int64_t deadline = clock_mono_us() + (int64_t)wait_s * 1000000;
    const char *params[1] = {s->options.pipeline};

    for (;;) {
        PGresult *result = NULL;
        bool locked;

        if (s->options.shared) {
            if (shared_try_lock(s, &locked, reterr))
                return -1;
            if (locked)
                return 0;
            if (clock_mono_us() >= deadline)
                break;
            nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_NS}, NULL);
            continue;
        }
        if (session_query(s, "taking the pipeline's lock", "SELECT pg_try_advisory_lock(" LOCK_KEYS ")", 1, params,
                          &result, reterr))
            return -1;
        locked = *PQgetvalue(result, 0, 0) == 't';
        PQclear(result);
        if (locked)
            return 0;
        if (clock_mono_us() >= deadline)
            break;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_POLL_NS}, NULL);
    }
    (void)err_set(reterr, ERR_REFUSED, "another engine holds pipeline %s on the target (waited %d s)",
                  s->options.pipeline, wait_s);
    return err_hint(reterr,
                    "stop the other one; if its host is dead, end its session: pg_terminate_backend() of the "
                    "application_name 'pgrekey %s'",
                    s->options.pipeline);
}

/* --- the record --- */

static int refuse_source(const struct pgsink *s, const char *what, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "the record of pipeline %s belongs to another %s", s->options.pipeline, what);
    return err_hint(reterr, "connect to the source it was begun with; or give this one another pipeline name; or "
                            "`pgrekey drop` and begin again with empty target tables");
}

static int compare_source(const struct pgsink *s, const PGresult *record, struct err *reterr)
{
    const struct source_identity *source = &s->options.source;

    if (strcmp(PQgetvalue(record, 0, 2), s->options.slot) != 0)
        return refuse_source(s, "slot", reterr);
    if (strcmp(PQgetvalue(record, 0, 3), source->system_identifier) != 0)
        return refuse_source(s, "source server (system identifier)", reterr);
    if (strcmp(PQgetvalue(record, 0, 5), source->database) != 0)
        return refuse_source(s, "source database", reterr);
    if (strtoul(PQgetvalue(record, 0, 4), NULL, 10) != source->timeline)
        return refuse_source(s, "timeline of the source (it was restored, or a standby was promoted)", reterr);
    return 0;
}

int opening_read_record(struct pgsink *s, struct sink_position *ret_position, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;
    int rc = 0;

    *ret_position = (struct sink_position){.state = PIPELINE_NEW};
    if (session_query(s, "reading the pipeline's record",
                      "SELECT state, lsn, slot, system_identifier, timeline, database, fingerprint, "
                      "identity_fingerprint, paused, coalesce(pause_reason, ''), coalesce(pause_category, ''), "
                      "coalesce(snapshot_lsn, '0/0') "
                      "FROM pgrekey.pipeline WHERE name = $1",
                      1, params, &result, reterr))
        return -1;
    if (PQntuples(result) == 1) {
        rc = compare_source(s, result, reterr);
        ret_position->state =
            strcmp(PQgetvalue(result, 0, 0), "streaming") == 0 ? PIPELINE_STREAMING : PIPELINE_SNAPSHOT;
        (void)lsn_parse(PQgetvalue(result, 0, 1), &ret_position->lsn);
        snprintf(s->fingerprint, sizeof(s->fingerprint), "%s", PQgetvalue(result, 0, 6));
        ret_position->paused = *PQgetvalue(result, 0, 8) == 't';
        snprintf(ret_position->pause_reason, sizeof(ret_position->pause_reason), "%s", PQgetvalue(result, 0, 9));
        snprintf(ret_position->pause_category, sizeof(ret_position->pause_category), "%s", PQgetvalue(result, 0, 10));
        (void)lsn_parse(PQgetvalue(result, 0, 11), &ret_position->snapshot_lsn);
    }
    PQclear(result);
    s->state = ret_position->state;
    s->lsn = ret_position->lsn;
    return rc;
}

static void read_place_bound(struct pgsink *s, const char *label, bool waiting, int64_t count)
{
    for (size_t p = 0; p < s->references.place_count; p++) {
        struct place *place = &s->references.places[p];
        if (strcmp(place->label, label) == 0)
            *(waiting ? &place->waiting : &place->pending) = count;
    }
}

static void read_rule_bound(struct rule_state *rule, char kind, int64_t count)
{
    switch (kind) {
    case '0': rule->standing = count; break;
    case '1': rule->pending = count; break;
    case '2': rule->gone = count; break;
    case '6': rule->target.changed = true; break;
    case '7': rule->target.returns = true; break;
    default: rule->target.may_exclude = true;
    }
}

int opening_read_bounds(struct pgsink *s, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;

    if (session_query(s, "reading the accounts",
                      "SELECT 0, rule, count(*) FROM pgrekey.quarantine WHERE pipeline = $1 AND status <> 'resolved' "
                      "GROUP BY rule UNION ALL "
                      "SELECT 1, rule, count(*) FROM pgrekey.pending_reference WHERE pipeline = $1 GROUP BY rule "
                      "UNION ALL SELECT 2, rule, count(*) FROM pgrekey.gone WHERE pipeline = $1 GROUP BY rule "
                      "UNION ALL SELECT 3, rule, excluded FROM pgrekey.counter WHERE pipeline = $1 AND excluded > 0 "
                      "UNION ALL SELECT 4, waits_table, count(*) FROM pgrekey.quarantine WHERE pipeline = $1 "
                      "AND status <> 'resolved' AND waits_id IS NOT NULL GROUP BY waits_table "
                      "UNION ALL SELECT 5, parent_table, count(*) FROM pgrekey.pending_reference "
                      "WHERE pipeline = $1 AND parent_table IS NOT NULL GROUP BY parent_table "
                      "UNION ALL SELECT CASE state WHEN 'changed' THEN 6 ELSE 7 END, step, 1 FROM "
                      "pgrekey.mapping_step WHERE pipeline = $1 AND state IN ('changed', 'back')",
                      1, params, &result, reterr))
        return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        char kind = *PQgetvalue(result, i, 0);
        const char *name = PQgetvalue(result, i, 1);
        int64_t count = strtoll(PQgetvalue(result, i, 2), NULL, 10);
        int derivation = kind == '0' ? derive_index(s, name) : -1;
        if (derivation >= 0)
            *derive_standing(s, (size_t)derivation) = count;
        if (kind == '4' || kind == '5')
            read_place_bound(s, name, kind == '4', count);
        for (size_t r = 0; kind != '4' && kind != '5' && r < s->rule_count; r++)
            if (strcmp(s->rules[r].target.rule->name, name) == 0)
                read_rule_bound(&s->rules[r], kind, count);
    }
    PQclear(result);
    return 0;
}
