/* What the target says: the pipeline's record, its account and its quarantine. And what is written there for `pgrekey
 * status`, which may run on another host. The session waits for no commit to reach the disk.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/monitor/internal.h"
#include "cdc/base/arena.h"
#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"

#define SIDE "target"
#define REPORT_EVERY_US INT64_C(2000000)
#define REPORT_SHARE 20 /* a report that takes long is asked for seldom: at most a twentieth of the time */
#define SESSION "-c synchronous_commit=off -c statement_timeout=30000 -c lock_timeout=3000"

static void free_quarantine(struct view_quarantine *quarantine, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(quarantine[i].rule);
        free(quarantine[i].category);
    }
    free(quarantine);
}

static int read_quarantine(struct monitor *m, PGconn *conn, struct view_quarantine **ret_rows, size_t *ret_count,
                           struct err *reterr)
{
    static const char SQL[] =
        "SELECT rule, category, count(*), count(*) FILTER (WHERE waits_id IS NOT NULL), "
        "extract(epoch FROM clock_timestamp() - min(first_seen)) FROM pgrekey.quarantine WHERE pipeline = $1 AND "
        "status IN ('pending', 'in_progress', 'escalated') AND rule NOT IN (SELECT step FROM pgrekey.mapping_step "
        "WHERE pipeline = $1 AND state = 'removed') GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2";
    const char *params[] = {m->engine->settings->pipeline};
    PGresult *result = NULL;
    if (pg_query(conn, SIDE, "counting the quarantine", SQL, 1, params, &result, reterr) != 0)
        return -1;
    *ret_count = (size_t)PQntuples(result);
    *ret_rows = mem_zalloc(*ret_count + 1, sizeof(**ret_rows));
    for (int i = 0; i < PQntuples(result); i++)
        (*ret_rows)[i] = (struct view_quarantine){
            .rule = mem_strdup(PQgetvalue(result, i, 0)),
            .category = mem_strdup(PQgetvalue(result, i, 1)),
            .open = strtoll(PQgetvalue(result, i, 2), NULL, 10),
            .waiting = strtoll(PQgetvalue(result, i, 3), NULL, 10),
            .oldest_s = strtod(PQgetvalue(result, i, 4), NULL),
        };
    PQclear(result);
    return 0;
}

static int read_report(struct monitor *m, PGconn *conn, struct err *reterr)
{
    struct pipeline_report *report = NULL;
    struct view_quarantine *quarantine = NULL;
    size_t count = 0;
    if (pipeline_report_read(conn, m->engine->settings->pipeline, &report, reterr) != 0)
        return -1;
    if (report->initialised && read_quarantine(m, conn, &quarantine, &count, reterr) != 0) {
        pipeline_report_free(report);
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    struct pipeline_report *old = m->report;
    struct view_quarantine *old_quarantine = m->quarantine;
    size_t old_count = m->quarantine_count;
    m->report = report;
    m->quarantine = quarantine;
    m->quarantine_count = count;
    m->target_seen_us = clock_mono_us();
    pthread_mutex_unlock(&m->lock);
    pipeline_report_free(old);
    free_quarantine(old_quarantine, old_count);
    return 0;
}

static int write_heartbeat(struct monitor *m, PGconn *conn, struct err *reterr)
{
    struct view view;
    monitor_view(m, &view);
    const struct pipeline_heartbeat beat = {
        .phase = vitals_phase_name(view.phase),
        .received_lsn = view.stages[STAGE_RECEIVED].lsn,
        .source_lsn = monitor_wal_end(m),
        .confirmed_lsn = view.stages[STAGE_CONFIRMED].lsn,
        .lag_s = view.lag_s,
        .rows_per_s = view.phase == PHASE_SNAPSHOT ? view.snapshot_rate : view.stages[STAGE_APPLIED].rate,
        .source_rate = view.source_rate,
        .apply_rate = view.apply_rate,
        .time_left_s = view.time_left_s,
        .heartbeat_age_s = view.heartbeat_age_s,
        .p50_s = histogram_quantile_s(view.latency, 0.5),
        .p99_s = histogram_quantile_s(view.latency, 0.99),
        .snapshot_left_s = view.snapshot_left_s,
        .snapshot_expected = view.snapshot_expected,
    };
    int failed = pipeline_heartbeat_write(conn, m->engine->settings->pipeline, &beat, reterr);
    view_done(&view);
    return failed;
}

static int open_target(struct observer *observer, struct err *reterr)
{
    const struct settings *settings = observer->monitor->engine->settings;
    const struct pg_options options = {
        .side = SIDE,
        .conninfo = settings->target_dsn,
        .password_file = settings->target_password_file,
        .application_name = "pgrekey monitor",
        .session = SESSION,
        .utf8_only = true,
        .unanswered_timeout_ms = 10000,
    };
    return pg_open(&options, &observer->conn, reterr);
}

static int look(struct monitor *m, PGconn *conn, struct err *reterr)
{
    int64_t now_us = clock_mono_us();
    if (now_us >= m->next_report_us) {
        if (read_report(m, conn, reterr) != 0)
            return -1;
        int64_t pause_us = (clock_mono_us() - now_us) * REPORT_SHARE;
        m->next_report_us = now_us + (pause_us > REPORT_EVERY_US ? pause_us : REPORT_EVERY_US);
    }
    return m->report->exists ? write_heartbeat(m, conn, reterr) : 0;
}

int monitor_look_at_target(struct observer *observer, struct err *reterr)
{
    struct monitor *m = observer->monitor;
    bool reached = (observer->conn || open_target(observer, reterr) == 0) && look(m, observer->conn, reterr) == 0;
    pthread_mutex_lock(&m->lock);
    m->target_reached = reached;
    pthread_mutex_unlock(&m->lock);
    return reached ? 0 : -1;
}
