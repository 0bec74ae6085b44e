/* What the source says once a second: where its WAL ends and what its clock shows, what the slot retains; now and then
 * how old its oldest transaction is. And what is said to it: a heartbeat, a message in its WAL that comes back through
 * the whole pipeline. It needs no table there, and keeps the slot of a quiet database moving.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/engine/feed.h"
#include "cdc/app/monitor/internal.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"

#define SIDE "source"
#define AGES_EVERY_US INT64_C(10000000)

static int look_at_wal(struct monitor *m, PGconn *conn, struct err *reterr)
{
    PGresult *result = NULL;
    int64_t asked_us = clock_mono_us();
    if (pg_query(conn, SIDE, "reading the WAL position",
                 "SELECT pg_current_wal_lsn(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", 0, NULL,
                 &result, reterr) != 0)
        return -1;
    int64_t answered_us = clock_mono_us();
    uint64_t lsn;
    if (PQntuples(result) == 1 && lsn_parse(PQgetvalue(result, 0, 0), &lsn)) {
        pthread_mutex_lock(&m->vitals->lock);
        trace_note(&m->vitals->trace, lsn, strtoll(PQgetvalue(result, 0, 1), NULL, 10), asked_us, answered_us);
        pthread_mutex_unlock(&m->vitals->lock);
    }
    PQclear(result);
    return 0;
}

static int look_at_slot(struct monitor *m, PGconn *conn, struct err *reterr)
{
    struct slot_state slot;
    if (slot_read(conn, m->engine->settings->source_slot, &slot, reterr) != 0)
        return -1;
    pthread_mutex_lock(&m->lock);
    m->slot = slot;
    m->source_reached = true;
    m->source_seen_us = clock_mono_us();
    pthread_mutex_unlock(&m->lock);
    return 0;
}

/* Whose transactions a role does not see, it cannot tell the age of. */
static int look_at_ages(struct monitor *m, PGconn *conn, struct err *reterr)
{
    static const char SQL[] =
        "SELECT CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN (SELECT coalesce(extract(epoch FROM "
        "max(clock_timestamp() - xact_start)), 0) FROM pg_stat_activity WHERE backend_type = 'client backend' AND "
        "pid <> pg_backend_pid()) ELSE -1 END, coalesce((SELECT age(catalog_xmin) FROM pg_replication_slots WHERE "
        "slot_name = $1), -1)";
    const char *params[] = {m->engine->settings->source_slot};
    PGresult *result = NULL;
    if (pg_query(conn, SIDE, "reading the oldest transaction's age", SQL, 1, params, &result, reterr) != 0)
        return -1;
    pthread_mutex_lock(&m->lock);
    m->oldest_transaction_s = strtod(PQgetvalue(result, 0, 0), NULL);
    m->catalog_xmin_age = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
    pthread_mutex_unlock(&m->lock);
    PQclear(result);
    return 0;
}

/* A source that takes no message costs the heartbeats, nothing else. */
static int send_heartbeat(struct monitor *m, PGconn *conn, struct err *reterr)
{
    char content[FEED_CONTENT_MAX], quoted[LOG_QUOTED_MAX];
    const char *params[] = {FEED_PREFIX, feed_content(m->engine, vitals_heart_begins(m->vitals), content)};
    int failed = pg_query(conn, SIDE, "sending a heartbeat", "SELECT pg_logical_emit_message(true, $1, $2)", 2, params,
                          NULL, reterr);
    if (!failed || reterr->kind == ERR_RETRY)
        return failed;
    m->cannot_send = true;
    log_event(LOG_WARN, "no_heartbeats", "sqlstate=%s msg=%s", reterr->sqlstate,
              log_quote(reterr->message, quoted, sizeof(quoted)));
    vitals_event(m->vitals, LOG_WARN, "no_heartbeats", "the source takes no message of ours (SQLSTATE %s)",
                 reterr->sqlstate);
    return 0;
}

static int look(struct monitor *m, PGconn *conn, struct err *reterr)
{
    int64_t interval_us = monitor_tunables(m).heartbeat_us, now_us = clock_mono_us();
    if (look_at_wal(m, conn, reterr) != 0 || look_at_slot(m, conn, reterr) != 0)
        return -1;
    if (m->drop_wanted)
        return monitor_drop_slot(m, conn, reterr);
    if (now_us >= m->next_ages_us) {
        m->next_ages_us = now_us + AGES_EVERY_US;
        if (look_at_ages(m, conn, reterr) != 0)
            return -1;
    }
    if (interval_us > 0 && !m->cannot_send && m->slot.exists && now_us >= m->next_heartbeat_us) {
        m->next_heartbeat_us = now_us + interval_us;
        return send_heartbeat(m, conn, reterr);
    }
    return 0;
}

int monitor_look_at_source(struct observer *observer, struct err *reterr)
{
    struct monitor *m = observer->monitor;
    if ((observer->conn ||
         engine_open_source(m->engine->settings, "monitor", ENGINE_BRIEF, &observer->conn, reterr) == 0) &&
        look(m, observer->conn, reterr) == 0)
        return 0;
    pthread_mutex_lock(&m->lock);
    m->source_reached = false;
    pthread_mutex_unlock(&m->lock);
    return -1;
}
