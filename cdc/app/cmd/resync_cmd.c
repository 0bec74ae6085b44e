/* `pgrekey resync`: puts a request where the running engine finds it, and shows how far it is. */
#include <string.h>
#include <time.h>

#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/app/cmd/request_cmd.h"
#include "cdc/app/cmd/topics_cmd.h"
#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/snapshot/resync_store.h"

#define POLL_MS 100
#define LOOK_POLLS 3         /* so many polls between two looks at whether the engine is there still */
#define MISSED_MAX 5         /* looks: between two sessions it is not */
#define MISSED_TOPICS_MAX 20 /* a publisher's session takes longer to begin */

struct waiting {
    const struct cli *cli;
    PGconn *target; /* NULL: the sink is Kafka */
    int64_t id;
    bool engine_running;
    struct resync_report report;
};

static int take_ask(const struct cli *cli, struct resync_ask *ret_ask, struct err *reterr)
{
    const struct command_line *line = cli->line;
    *ret_ask = (struct resync_ask){
        .table = line->arguments[0],
        .lo = line->values[OPT_FROM],
        .hi = line->values[OPT_TO],
        .keys = line->arguments + 1,
        .key_count = line->argument_count - 1,
    };
    if (ret_ask->key_count == 0 || (!ret_ask->lo && !ret_ask->hi))
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "either keys, or a range");
    return err_hint(reterr, "pgrekey resync TABLE KEY...; or pgrekey resync TABLE --from KEY --to KEY");
}

static int refuse_paused(const struct pipeline_report *report, struct err *reterr)
{
    if (!report->position.paused)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "the pipeline is paused: %s", report->position.pause_reason);
    return err_hint(reterr, "`pgrekey resume` first: a table is read again while the stream runs");
}

static int engine_runs(const struct waiting *w, bool *ret_running, struct err *reterr)
{
    struct pipeline_report *report;
    if (!w->target)
        return topics_engine_runs(w->cli, ret_running, reterr);
    if (pipeline_report_read(w->target, w->cli->settings->pipeline, &report, reterr) < 0)
        return -1;
    *ret_running = report->engine_running;
    pipeline_report_free(report);
    return 0;
}

static int look_for_engine(struct waiting *w, int *missed, struct err *reterr)
{
    bool running = false;
    if (engine_runs(w, &running, reterr) != 0)
        return -1;
    *missed = running ? 0 : *missed + 1;
    w->engine_running = *missed < (w->target ? MISSED_MAX : MISSED_TOPICS_MAX);
    return 0;
}

static int read_report(struct waiting *w, struct err *reterr)
{
    return w->target ? resync_report(w->target, w->id, &w->report, reterr)
                     : topics_resync_report(w->cli, w->id, &w->report, reterr);
}

/* Until it is done, the time is over, or no engine is there. wait_s < 0: for ever. */
static int wait_for_end(struct waiting *w, int64_t wait_s, struct err *reterr)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int64_t end_us = clock_mono_us() + wait_s * 1000000;
    struct progress progress;
    int failed = 0, missed = 0;
    progress_init(&progress, stderr, !w->cli->quiet && !w->cli->json, "resync", "rows");
    for (int poll = 1; !failed; poll++) {
        failed = read_report(w, reterr);
        if (!failed && poll % LOOK_POLLS == 0)
            failed = look_for_engine(w, &missed, reterr);
        if (failed || w->report.done || !w->report.exists || !w->engine_running ||
            (wait_s >= 0 && clock_mono_us() >= end_us))
            break;
        progress_update(&progress, w->report.rows, w->report.expected,
                        *w->report.result ? w->report.result : w->report.table);
        nanosleep(&pause, NULL);
    }
    progress_clear(&progress);
    w->engine_running = missed == 0;
    return failed;
}

static void print_json(const struct waiting *w)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_int(&json, "resync", w->id);
    json_text(&json, "table", w->report.table);
    json_bool(&json, "engine_running", w->engine_running);
    json_bool(&json, "done", w->report.done);
    json_bool(&json, "failed", w->report.failed);
    json_int(&json, "rows", (int64_t)w->report.rows);
    json_int(&json, "gone", (int64_t)w->report.removed);
    json_text(&json, "result", *w->report.result ? w->report.result : NULL);
    json_close(&json, '}');
    json_print(&json, stdout);
}

static int not_done(const struct waiting *w)
{
    struct err err = {0};
    if (!w->report.exists) {
        (void)err_set(&err, ERR_CONFIG, "the request is gone: the pipeline was dropped, or begun anew");
        return cli_fail(false, &err);
    }
    if (!w->engine_running) {
        (void)err_set(&err, ERR_RETRY, "no engine runs for pipeline %s", w->cli->settings->pipeline);
        err_hint(&err, "request %lld is recorded, and taken up when it starts: pgrekey run", (long long)w->id);
    } else {
        (void)err_set(&err, ERR_RETRY, "not done yet: %llu rows so far%s%s", (unsigned long long)w->report.rows,
                      *w->report.result ? "; " : "", w->report.result);
        err_hint(&err, "request %lld goes on by itself; `pgrekey status` shows it", (long long)w->id);
    }
    return cli_fail(false, &err);
}

static int tell(const struct waiting *w)
{
    if (w->cli->json)
        print_json(w);
    if (!w->report.done)
        return not_done(w);
    if (!w->report.failed) {
        if (!w->cli->json && !w->cli->quiet)
            printf("%s: %s\n", w->report.table, w->report.result);
        return EXIT_OK;
    }
    struct err err = {0};
    (void)err_set(&err, ERR_CONFIG, "the engine could not do it: %s", w->report.result);
    cli_fail(false, &err);
    return EXIT_FINDINGS;
}

static int run(const struct cli *cli, PGconn *target, struct err *reterr)
{
    struct waiting w = {.cli = cli, .target = target};
    struct pipeline_report *report = NULL;
    struct resync_ask ask;
    if (take_ask(cli, &ask, reterr) < 0 || request_pipeline(cli, target, &report, reterr) < 0)
        return -1;
    w.engine_running = true;
    int failed = refuse_paused(report, reterr);
    pipeline_report_free(report);
    if (failed || resync_put(target, cli->settings->pipeline, &ask, &w.id, reterr) ||
        wait_for_end(&w, command_seconds(cli->line, OPT_WAIT, -1), reterr))
        return -1;
    return tell(&w);
}

static int run_topics(const struct cli *cli, struct err *reterr)
{
    struct waiting w = {.cli = cli, .engine_running = true};
    struct resync_ask ask;
    if (take_ask(cli, &ask, reterr) < 0 || topics_ask_resync(cli, &ask, &w.id, reterr) != 0 ||
        wait_for_end(&w, command_seconds(cli->line, OPT_WAIT, -1), reterr) != 0)
        return -1;
    return tell(&w);
}

int cmd_resync(const struct cli *cli)
{
    struct err err = {0};
    PGconn *target = NULL;
    if (topics_are_the_sink(cli)) {
        int done = run_topics(cli, &err);
        return done < 0 ? cli_fail(cli->json, &err) : done;
    }
    if (cli_open_target(cli, &target, &err) < 0)
        return cli_fail(cli->json, &err);
    int code = run(cli, target, &err);
    pg_close(target);
    return code < 0 ? cli_fail(cli->json, &err) : code;
}
