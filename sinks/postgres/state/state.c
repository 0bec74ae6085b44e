#include "sinks/postgres/state/state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/mirror/mirror.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/snapshot/fastload.h"
#include "sinks/postgres/state/record.h"

#define DOING "reading the pipeline's record"

static void take(char *out, size_t size, const PGresult *result, int column)
{
    snprintf(out, size, "%s", PQgetvalue(result, 0, column));
}

static uint64_t take_lsn(const PGresult *result, int column)
{
    uint64_t lsn = 0;

    (void)lsn_parse(PQgetvalue(result, 0, column), &lsn);
    return lsn;
}

static int read_initialised(PGconn *conn, struct pipeline_report *report, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, DOING, "SELECT to_regclass('pgrekey.pipeline') IS NOT NULL", 0, NULL, &result, reterr))
        return -1;
    report->initialised = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

#define SELECT_RECORD                                                                                                  \
    "SELECT p.state, p.lsn, p.paused, coalesce(p.pause_reason, ''), p.slot, p.system_identifier, p.timeline, "         \
    "p.database, coalesce(to_char(p.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), ''), "        \
    "" LOCK_HELD ", coalesce(extract(epoch FROM clock_timestamp() - h.at), -1), "                                      \
    "coalesce(h.received_lsn, '0/0'), coalesce(h.source_lsn, '0/0'), coalesce(h.confirmed_lsn, '0/0'), "               \
    "coalesce(h.lag_s, -1), coalesce(h.rows_per_s, 0), coalesce(h.phase, ''), coalesce(p.snapshot_parts, 0), "         \
    "(SELECT count(*) FROM pgrekey.snapshot_part s WHERE s.pipeline = p.name AND s.done), "                            \
    "coalesce((SELECT max(s.point) FROM pgrekey.snapshot_part s WHERE s.pipeline = p.name), '0/0'), "                  \
    "(SELECT coalesce(sum(s.rows), 0) FROM pgrekey.snapshot_part s WHERE s.pipeline = p.name), "                       \
    "(SELECT count(*) FROM pgrekey.quarantine q WHERE q.pipeline = p.name "                                            \
    "AND q.status IN ('pending', 'in_progress', 'escalated') AND NOT EXISTS (SELECT FROM pgrekey.mapping_step m "      \
    "WHERE m.pipeline = q.pipeline AND m.step = q.rule AND m.state = 'removed')), coalesce(p.pause_category, ''), "    \
    "(SELECT count(*) FROM pgrekey.pending_reference r WHERE r.pipeline = p.name), "                                   \
    "coalesce(h.source_rate, 0), coalesce(h.apply_rate, 0), coalesce(h.time_left_s, -1), "                             \
    "coalesce(h.message_age_s, -1), coalesce(h.p50_s, -1), coalesce(h.p99_s, -1), coalesce(h.snapshot_left_s, -1), "   \
    "coalesce(h.snapshot_expected, 0) "                                                                                \
    "FROM pgrekey.pipeline p LEFT JOIN pgrekey.heartbeat h ON h.pipeline = p.name WHERE p.name = $1"

static void take_record(struct pipeline_report *report, const PGresult *result)
{
    report->exists = true;
    report->position.state =
        strcmp(PQgetvalue(result, 0, 0), "streaming") == 0 ? PIPELINE_STREAMING : PIPELINE_SNAPSHOT;
    report->position.lsn = take_lsn(result, 1);
    report->position.paused = *PQgetvalue(result, 0, 2) == 't';
    take(report->position.pause_reason, sizeof(report->position.pause_reason), result, 3);
    take(report->slot, sizeof(report->slot), result, 4);
    take(report->source.system_identifier, sizeof(report->source.system_identifier), result, 5);
    report->source.timeline = (uint32_t)strtoul(PQgetvalue(result, 0, 6), NULL, 10);
    take(report->source.database, sizeof(report->source.database), result, 7);
    take(report->updated_at, sizeof(report->updated_at), result, 8);
    report->engine_running = *PQgetvalue(result, 0, 9) == 't';
    report->heartbeat_age_s = strtod(PQgetvalue(result, 0, 10), NULL);
    report->received_lsn = take_lsn(result, 11);
    report->source_lsn = take_lsn(result, 12);
    report->confirmed_lsn = take_lsn(result, 13);
    report->lag_s = strtod(PQgetvalue(result, 0, 14), NULL);
    report->rows_per_s = strtod(PQgetvalue(result, 0, 15), NULL);
    take(report->phase, sizeof(report->phase), result, 16);
    report->snapshot_parts = atoi(PQgetvalue(result, 0, 17));
    report->snapshot_parts_done = atoi(PQgetvalue(result, 0, 18));
    report->join_lsn = take_lsn(result, 19);
    report->snapshot_rows = strtoll(PQgetvalue(result, 0, 20), NULL, 10);
    report->quarantine_open = strtoll(PQgetvalue(result, 0, 21), NULL, 10);
    take(report->position.pause_category, sizeof(report->position.pause_category), result, 22);
    report->references_waiting = strtoll(PQgetvalue(result, 0, 23), NULL, 10);
    report->source_rate = strtod(PQgetvalue(result, 0, 24), NULL);
    report->apply_rate = strtod(PQgetvalue(result, 0, 25), NULL);
    report->time_left_s = strtod(PQgetvalue(result, 0, 26), NULL);
    report->message_age_s = strtod(PQgetvalue(result, 0, 27), NULL);
    report->p50_s = strtod(PQgetvalue(result, 0, 28), NULL);
    report->p99_s = strtod(PQgetvalue(result, 0, 29), NULL);
    report->snapshot_left_s = strtod(PQgetvalue(result, 0, 30), NULL);
    report->snapshot_expected = strtoll(PQgetvalue(result, 0, 31), NULL, 10);
}

static int read_record(PGconn *conn, const char *pipeline, struct pipeline_report *report, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, DOING, SELECT_RECORD, 1, &pipeline, &result, reterr))
        return -1;
    if (PQntuples(result) == 1)
        take_record(report, result);
    PQclear(result);
    return 0;
}

static int read_accounts(PGconn *conn, const char *pipeline, struct pipeline_report *report, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, DOING,
                 "SELECT c.rule, c.source_table, c.target_table, c.mapped, c.quarantined, c.excluded, "
                 "c.failed_deletes, coalesce(m.state, 'current'), coalesce(m.accept_rows, "
                 "m.accept_ppm * (c.mapped + c.quarantined + c.excluded) / 1000000, -1), "
                 "(SELECT count(*) FROM pgrekey.quarantine q WHERE q.pipeline = c.pipeline AND q.rule = c.rule "
                 "AND q.status IN ('pending', 'in_progress', 'escalated') AND q.waits_id IS NOT NULL), "
                 "coalesce(a.adopted, -1), a.merged, a.shared, a.missing, a.others, a.done FROM pgrekey.counter c "
                 "LEFT JOIN pgrekey.adoption a ON a.pipeline = c.pipeline AND a.rule = c.rule "
                 "LEFT JOIN pgrekey.mapping_step m ON m.pipeline = c.pipeline AND m.step = c.rule "
                 "WHERE c.pipeline = $1 ORDER BY c.rule",
                 1, &pipeline, &result, reterr))
        return -1;
    report->account_count = (size_t)PQntuples(result);
    report->accounts = mem_zalloc(report->account_count + 1, sizeof(*report->accounts));
    for (int i = 0; i < PQntuples(result); i++)
        report->accounts[i] = (struct rule_account){
            .rule = mem_strdup(PQgetvalue(result, i, 0)),
            .source_table = mem_strdup(PQgetvalue(result, i, 1)),
            .target_table = mem_strdup(PQgetvalue(result, i, 2)),
            .mapped = strtoll(PQgetvalue(result, i, 3), NULL, 10),
            .quarantined = strtoll(PQgetvalue(result, i, 4), NULL, 10),
            .excluded = strtoll(PQgetvalue(result, i, 5), NULL, 10),
            .failed_deletes = strtoll(PQgetvalue(result, i, 6), NULL, 10),
            .state = mem_strdup(PQgetvalue(result, i, 7)),
            .accepted = strtoll(PQgetvalue(result, i, 8), NULL, 10),
            .waiting = strtoll(PQgetvalue(result, i, 9), NULL, 10),
            .adopted = strtoll(PQgetvalue(result, i, 10), NULL, 10),
            .merged = strtoll(PQgetvalue(result, i, 11), NULL, 10),
            .shared = strtoll(PQgetvalue(result, i, 12), NULL, 10),
            .missing = strtoll(PQgetvalue(result, i, 13), NULL, 10),
            .others = strtoll(PQgetvalue(result, i, 14), NULL, 10),
            .adoption_done = *PQgetvalue(result, i, 15) == 't',
        };
    PQclear(result);
    return 0;
}

static int read_resync(PGconn *conn, const char *pipeline, struct pipeline_report *report, struct err *reterr)
{
    PGresult *result = NULL;

    if (pg_query(conn, SIDE, DOING,
                 "SELECT count(*) OVER (), source_table, coalesce(result, ''), rows, expected FROM pgrekey.resync "
                 "WHERE pipeline = $1 AND status IN ('waiting', 'running') ORDER BY id LIMIT 1",
                 1, &pipeline, &result, reterr))
        return -1;
    if (PQntuples(result) == 1) {
        report->resync_count = (size_t)strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        take(report->resync_table, sizeof(report->resync_table), result, 1);
        take(report->resync_note, sizeof(report->resync_note), result, 2);
        report->resync_rows = strtoll(PQgetvalue(result, 0, 3), NULL, 10);
        report->resync_expected = strtoll(PQgetvalue(result, 0, 4), NULL, 10);
    }
    PQclear(result);
    return 0;
}

int pipeline_report_read(PGconn *conn, const char *pipeline, struct pipeline_report **ret_report, struct err *reterr)
{
    struct pipeline_report *report = mem_zalloc(1, sizeof(*report));

    report->position.state = PIPELINE_NEW;
    report->heartbeat_age_s = -1;
    if (read_initialised(conn, report, reterr) ||
        (report->initialised &&
         (fastload_read(conn, pipeline, &report->fast_load, reterr) || read_record(conn, pipeline, report, reterr) ||
          read_accounts(conn, pipeline, report, reterr) || read_resync(conn, pipeline, report, reterr)))) {
        pipeline_report_free(report);
        return -1;
    }
    *ret_report = report;
    return 0;
}

void pipeline_report_free(struct pipeline_report *report)
{
    if (!report)
        return;
    for (size_t i = 0; i < report->account_count; i++) {
        free(report->accounts[i].rule);
        free(report->accounts[i].source_table);
        free(report->accounts[i].target_table);
        free(report->accounts[i].state);
    }
    free(report->accounts);
    free(report);
}

/* Before anything is forgotten, and in transactions of its own: over full tables it takes its time. */
static int restore_all(PGconn *conn, const char *pipeline, struct err *reterr)
{
    struct sink_fast_load outcome = {0};

    if (fastload_restore(conn, pipeline, INT_MAX, true, &outcome, reterr))
        return -1;
    if (outcome.failed == 0)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "%zu of what a fast load took off cannot be built again: %s", outcome.failed,
                  outcome.last_failed);
    return err_hint(reterr, "empty the table or mend its rows, and drop again; pgrekey.taken_off has the definition");
}

int pipeline_forget(PGconn *conn, const char *pipeline, struct err *reterr)
{
    PGresult *result = NULL;
    bool locked;
    int rc;

    if (pg_query(conn, SIDE, "taking the pipeline's lock", "SELECT pg_try_advisory_lock(" LOCK_KEYS ")", 1, &pipeline,
                 &result, reterr))
        return -1;
    locked = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (!locked) {
        (void)err_set(reterr, ERR_REFUSED, "the engine of pipeline %s is running", pipeline);
        return err_hint(reterr, "stop it first");
    }
    rc = restore_all(conn, pipeline, reterr);
    if (rc == 0)
        rc = pg_run(conn, SIDE, "forgetting the pipeline", "BEGIN", reterr);
    if (rc == 0)
        rc = mirror_forget(conn, pipeline, reterr);
    if (rc == 0)
        rc = adopt_forget(conn, pipeline, reterr);
    if (rc == 0)
        rc = record_forget(conn, pipeline, true, reterr);
    if (rc == 0)
        rc = pg_run(conn, SIDE, "forgetting the pipeline", "COMMIT", reterr);
    else
        PQclear(PQexec(conn, "ROLLBACK"));
    if (pg_query(conn, SIDE, "leaving the pipeline's lock", "SELECT pg_advisory_unlock(" LOCK_KEYS ")", 1, &pipeline,
                 NULL, rc ? NULL : reterr))
        return -1;
    return rc;
}
