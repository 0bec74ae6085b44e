/* `pgrekey status`: reads what can be read of both servers, beside a running engine or without one. */
#include "cdc/app/status/status.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/monitor/http.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"

/* What is left before the slot is lost, below which it is time to act. */
#define SAFE_WAL_LOW_BYTES (INT64_C(1) << 30)
#define WATCH_EVERY_S 2

/* --- judging --- */

__attribute__((format(printf, 3, 4))) static void note(struct status *status, const char *remedy, const char *format,
                                                       ...)
{
    if (status->note_count == STATUS_NOTES_MAX)
        return;
    struct status_note *slot = &status->notes[status->note_count++];
    va_list args;
    va_start(args, format);
    vsnprintf(slot->fact, sizeof(slot->fact), format, args);
    va_end(args);
    snprintf(slot->remedy, sizeof(slot->remedy), "%s", remedy);
}

static const char *state_of(const struct pipeline_report *report)
{
    if (!report)
        return "unknown";
    if (!report->initialised)
        return "not set up";
    if (!report->exists || report->position.state == PIPELINE_NEW)
        return "new";
    if (report->position.paused)
        return "paused";
    if (report->position.state == PIPELINE_SNAPSHOT)
        return report->engine_running ? "snapshot" : "snapshot cut off";
    return report->engine_running ? "streaming" : "idle";
}

static void judge_lag(struct status *status)
{
    const struct pipeline_report *report = status->report;
    bool source_read = status->source_err.kind == ERR_NONE;
    status->retained_bytes = -1;
    if (source_read && status->slot.exists && status->slot.current_lsn >= status->slot.restart_lsn &&
        status->slot.restart_lsn != 0)
        status->retained_bytes = (int64_t)(status->slot.current_lsn - status->slot.restart_lsn);
    if (!report || !report->exists || report->position.state != PIPELINE_STREAMING)
        return;
    /* without the source, the running engine knows what it saw last */
    uint64_t end = source_read ? status->slot.current_lsn : report->engine_running ? report->source_lsn : 0;
    if (end != 0) {
        status->has_lag_bytes = true;
        status->lag_bytes = end > report->position.lsn ? end - report->position.lsn : 0;
    }
    if (report->engine_running && report->heartbeat_age_s >= 0 && report->lag_s >= 0) {
        status->has_lag_s = true;
        status->lag_s = report->lag_s;
    }
}

static void judge_slot(struct status *status)
{
    const struct slot_state *slot = &status->slot;
    const struct pipeline_report *report = status->report;
    const char *name = status->settings->source_slot;
    bool streaming = report && report->exists && report->position.state == PIPELINE_STREAMING;
    if (status->source_err.kind != ERR_NONE)
        return;
    if (!slot->exists) {
        if (streaming)
            note(status, "run: pgrekey drop, empty the target tables, then a new snapshot: pgrekey run",
                 "slot %s is gone from the source: changes since the position may be lost", name);
        return;
    }
    if (!slot->logical || strcmp(slot->plugin, "wal2json") != 0) {
        note(status, "choose another source.slot", "slot %s is not a logical slot of wal2json", name);
        return;
    }
    if (strcmp(slot->wal_status, "lost") == 0)
        note(status, "run: pgrekey drop, empty the target tables, then a new snapshot: pgrekey run",
             "slot %s is lost: the source removed WAL that it needed", name);
    else if (strcmp(slot->wal_status, "unreserved") == 0)
        note(status, "raise max_slot_wal_keep_size on the source and start the engine: pgrekey run",
             "slot %s will be lost at the source's next checkpoint", name);
    else if (slot->has_safe_wal_size && slot->safe_wal_size < SAFE_WAL_LOW_BYTES)
        note(status, "start the engine, or raise max_slot_wal_keep_size on the source",
             "slot %s will be lost after %lld MB more of WAL", name, (long long)(slot->safe_wal_size >> 20));
    if (streaming && slot->confirmed_lsn > report->position.lsn)
        note(status, "run: pgrekey check",
             "the target's position lies behind what slot %s has confirmed: the target was restored, or somebody else "
             "used the slot",
             name);
    if (report && !report->exists && report->initialised)
        note(status, "where no other pipeline uses it, run: pgrekey drop",
             "slot %s stands on the source and keeps its WAL, but the target knows no pipeline %s", name,
             status->settings->pipeline);
}

/* A rule that was changed, and one that lost more than its mapping accepts. *ret_within: rows in quarantine that the
 * mapping accepts. */
static void judge_account(struct status *status, const struct rule_account *account, int64_t *ret_within)
{
    char remedy[ERR_TEXT_MAX];
    bool changed = strcmp(account->state, "changed") == 0, derived = !*account->source_table;
    snprintf(remedy, sizeof(remedy), "run: pgrekey resync %s", account->source_table);
    if (changed && !derived)
        note(status, remedy, "%s was changed: its rows on the target are those of the older mapping", account->rule);
    bool joins = strcmp(account->state, "new") == 0 || strcmp(account->state, "back") == 0;
    if ((joins || (changed && derived)) && !status->report->engine_running)
        note(status, "run: pgrekey run", "%s is new or was changed, and its rows are not there yet", account->rule);
    if (strcmp(account->state, "removed") == 0)
        return;
    status->waiting += account->waiting;
    if (account->accepted < 0)
        return;
    if (account->quarantined <= account->accepted)
        *ret_within += account->quarantined - account->waiting;
    else
        note(status, "run: pgrekey quarantine list --rule with its name",
             "%s has %lld rows in quarantine, and the mapping accepts %lld", account->rule,
             (long long)account->quarantined, (long long)account->accepted);
}

static void judge_target(struct status *status)
{
    const struct pipeline_report *report = status->report;
    if (!report)
        return;
    const char *category = report->position.pause_category;
    if (!report->initialised)
        note(status, "run: pgrekey init", "the target has no schema pgrekey");
    if (strcmp(status->state, "snapshot cut off") == 0)
        note(status, "run: pgrekey run", "a snapshot was cut off; the next run resumes it");
    if (report->position.paused)
        note(status,
             report->engine_running ? "mend what it names, then: pgrekey resume"
                                    : "mend what it names, then: pgrekey run, and pgrekey resume beside it",
             "paused%s%s%s: %s", *category ? " (" : "", category, *category ? ")" : "", report->position.pause_reason);
    if (report->fast_load.failed > 0)
        note(status, "mend the rows that it does not take, then start the engine anew: pgrekey run",
             "%zu of what the fast load took off could not be built again: %s", report->fast_load.failed,
             report->fast_load.first_failed);
    int64_t within = 0;
    for (size_t i = 0; i < report->account_count; i++)
        judge_account(status, &report->accounts[i], &within);
    /* rows that wait for a parent have not failed */
    int64_t failed = report->quarantine_open - status->waiting;
    if (failed > within)
        note(status, "run: pgrekey quarantine list", "%lld row%s stand%s in quarantine", (long long)failed,
             failed == 1 ? "" : "s", failed == 1 ? "s" : "");
    /* while it builds large indexes it has no time for heartbeats */
    bool building = report->position.state == PIPELINE_SNAPSHOT && report->fast_load.off > 0;
    if (report->engine_running && report->heartbeat_age_s > 60 && !building)
        note(status, "look at its log", "the engine holds its lock but has not written a heartbeat for %.0f s",
             report->heartbeat_age_s);
    if (report->exists && !status->replay && strcmp(report->slot, status->settings->source_slot) != 0)
        note(status, "set source.slot to it, or name another pipeline",
             "the pipeline's record names slot %s, the settings name %s", report->slot, status->settings->source_slot);
}

void status_judge(struct status *status)
{
    status->state = state_of(status->report);
    judge_lag(status);
    judge_target(status);
    if (!status->replay)
        judge_slot(status);
    const struct err *failed = status->target_err.kind != ERR_NONE ? &status->target_err : &status->source_err;
    if (status->report && status->report->position.paused)
        status->exit_code = EXIT_PAUSED;
    else if (failed->kind != ERR_NONE)
        status->exit_code = run_exit_of(failed->kind);
    else
        status->exit_code = status->note_count ? EXIT_FINDINGS : EXIT_OK;
}

/* --- reading --- */

static int read_categories(PGconn *conn, struct status *status, struct err *reterr)
{
    static const char SQL[] = "SELECT category, count(*) FROM pgrekey.quarantine WHERE pipeline = $1"
                              " AND status IN ('pending', 'in_progress', 'escalated') AND rule NOT IN (SELECT step"
                              " FROM pgrekey.mapping_step WHERE pipeline = $1 AND state = 'removed')"
                              " GROUP BY 1 ORDER BY 2 DESC, 1";
    const char *params[] = {status->settings->pipeline};
    PGresult *result;
    if (pg_query(conn, "target", "counting the quarantine", SQL, 1, params, &result, reterr) < 0)
        return -1;
    for (int row = 0; row < PQntuples(result) && row < STATUS_CATEGORIES_MAX; row++) {
        snprintf(status->categories[row].name, sizeof(status->categories[row].name), "%s", PQgetvalue(result, row, 0));
        status->categories[row].count = strtoll(PQgetvalue(result, row, 1), NULL, 10);
        status->category_count++;
    }
    PQclear(result);
    return 0;
}

static int read_target(const struct cli *cli, struct status *status, struct err *reterr)
{
    PGconn *conn = NULL;
    if (cli_open_target(cli, &conn, reterr) < 0)
        return -1;
    int code = pipeline_report_read(conn, status->settings->pipeline, &status->report, reterr);
    if (code == 0 && status->report->initialised)
        code = read_categories(conn, status, reterr);
    pg_close(conn);
    return code;
}

static int read_source(const struct cli *cli, struct status *status, struct err *reterr)
{
    PGconn *conn = NULL;
    if (cli_open_source(cli, &conn, reterr) < 0)
        return -1;
    int code = slot_read(conn, status->settings->source_slot, &status->slot, reterr);
    pg_close(conn);
    return code;
}

/* The engine's own sentence, by HTTP/1.0 on its address: a small answer from this host, so that no client is needed. */
static void ask_engine(const char *listen, char *text, size_t size)
{
    static const char request[] = "GET /status.txt HTTP/1.0\r\n\r\n";
    char answer[2048];
    size_t len = 0;
    int fd = http_connect(listen);
    if (fd < 0)
        return;
    if (write(fd, request, sizeof(request) - 1) == (ssize_t)sizeof(request) - 1)
        for (ssize_t got; len + 1 < sizeof(answer) && (got = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0;)
            len += (size_t)got;
    close(fd);
    answer[len] = '\0';
    const char *body = strstr(answer, "\r\n\r\n");
    if (body && strstr(answer, " 200 "))
        snprintf(text, size, "%.*s", (int)strcspn(body + 4, "\n"), body + 4);
}

/* One look. Returns the exit code. */
static int look(const struct cli *cli)
{
    if (strcmp(cli->settings->sink, "kafka") == 0)
        return status_topics(cli);
    struct status status = {.settings = cli->settings,
                            .replay = !(cli->settings->source_dsn && *cli->settings->source_dsn) &&
                                      cli->settings->kafka_bootstrap};
    struct err err = {0};
    char line[1024];
    if (read_target(cli, &status, &err) < 0)
        status.target_err = err;
    err = (struct err){0};
    if ((status.replay ? status_read_replay(cli, &status, &err) : read_source(cli, &status, &err)) < 0)
        status.source_err = err;
    if (status.target_err.kind != ERR_NONE)
        ask_engine(cli->settings->http_listen, status.live, sizeof(status.live));
    status_judge(&status);
    int code = status.exit_code;
    if (command_has(cli->line, OPT_CHECK)) {
        code = status_check(&status, (double)command_seconds(cli->line, OPT_WARN_LAG, 60),
                            (double)command_seconds(cli->line, OPT_CRITICAL_LAG, 300), line, sizeof(line));
        puts(line);
    } else if (!cli->json) {
        status_print(&status);
    } else if (status_print_json(&status) < 0) {
        code = EXIT_INTERNAL;
    }
    pipeline_report_free(status.report);
    free(status.lanes);
    return code;
}

int cmd_status(const struct cli *cli)
{
    bool screen = isatty(STDOUT_FILENO) && !cli->json;
    if (!command_has(cli->line, OPT_WATCH))
        return look(cli);
    for (;;) {
        if (screen)
            fputs("\033[H\033[2J", stdout);
        int code = look(cli);
        if (fflush(stdout) != 0)
            return code;
        sleep(WATCH_EVERY_S);
    }
}
