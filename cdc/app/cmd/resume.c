/* Requests to the running engine, and the simplest of them, `pgrekey resume`. */
#include <string.h>
#include <time.h>

#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/request_cmd.h"
#include "cdc/app/cmd/topics_cmd.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/state/request.h"

#define WAIT_DEFAULT_S 30
#define LIVES_S 5.0  /* a sign of life that is no older was given by an engine that may be there */
#define LOOKS_MAX 30 /* for it, a tenth of a second apart */

int request_pipeline(const struct cli *cli, PGconn *target, struct pipeline_report **ret_report, struct err *reterr)
{
    const char *pipeline = cli->settings->pipeline;
    struct pipeline_report *report;
    if (pipeline_report_read(target, pipeline, &report, reterr) < 0)
        return -1;
    if (report->initialised && report->exists) {
        *ret_report = report;
        return 0;
    }
    bool initialised = report->initialised;
    pipeline_report_free(report);
    if (!initialised) {
        err_set(reterr, ERR_CONFIG, "the target has no schema pgrekey");
        return err_hint(reterr, "run: pgrekey init");
    }
    err_set(reterr, ERR_CONFIG, "the target knows no pipeline %s", pipeline);
    return err_hint(reterr, "its name is the setting pipeline; the first `pgrekey run` makes its record");
}

static void print_outcome(const struct cli *cli, int64_t id, const struct request_outcome *outcome, bool engine_running)
{
    if (cli->json) {
        struct json json;
        json_init(&json);
        json_open(&json, NULL, '{');
        json_int(&json, "request", id);
        json_bool(&json, "engine_running", engine_running);
        json_bool(&json, "done", outcome->done);
        json_bool(&json, "failed", outcome->failed);
        json_text(&json, "result", outcome->done ? outcome->result : NULL);
        json_close(&json, '}');
        json_print(&json, stdout);
    } else if (outcome->done && !outcome->failed && !cli->quiet) {
        printf("%s\n", outcome->result);
    }
}

/* No answer: the request stays in the table and is taken by whichever engine comes next. */
static int no_answer(const struct cli *cli, int64_t id, bool engine_running)
{
    struct err err = {0};
    if (engine_running) {
        err_set(&err, ERR_RETRY, "the engine has not answered yet");
        err_hint(&err,
                 "request %lld stays and is taken between two batches; `pgrekey status` shows what the engine is "
                 "doing; --wait waits longer",
                 (long long)id);
    } else {
        err_set(&err, ERR_RETRY, "no engine runs for pipeline %s", cli->settings->pipeline);
        err_hint(&err, "request %lld is recorded and taken when it starts: pgrekey run", (long long)id);
    }
    return cli_fail(false, &err);
}

/* The engine did what it was asked, but rows stand aside still. */
static bool some_failed(const struct request_outcome *outcome)
{
    long long resolved, failing;
    return (sscanf(outcome->result, "%lld resolved, %lld still failing", &resolved, &failing) == 2 && failing > 0) ||
           strstr(outcome->result, "waiting") != NULL;
}

/* An engine that begins its session anew lets go of its lock for a moment: its last sign of life tells it from one that
 * was stopped. */
static int look_for_engine(const struct cli *cli, PGconn *target, const struct pipeline_report *report,
                           bool *ret_running, struct err *reterr)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000000L};
    *ret_running = report->engine_running;
    bool lives = report->heartbeat_age_s >= 0 && report->heartbeat_age_s < LIVES_S;
    for (int look = 0; !*ret_running && lives && look < LOOKS_MAX; look++) {
        struct pipeline_report *now;
        nanosleep(&pause, NULL);
        if (pipeline_report_read(target, cli->settings->pipeline, &now, reterr) < 0)
            return -1;
        *ret_running = now->engine_running;
        pipeline_report_free(now);
    }
    return 0;
}

int request_run(const struct cli *cli, PGconn *target, const struct pipeline_report *report,
                const struct request_ask *ask)
{
    struct err err = {0};
    struct request_outcome outcome = {0};
    int64_t id, wait_s = command_seconds(cli->line, OPT_WAIT, WAIT_DEFAULT_S);
    if (request_put(target, cli->settings->pipeline, ask->kind, ask->ids, ask->id_count, ask->rule, ask->category, &id,
                    &err) < 0)
        return cli_fail(cli->json, &err);
    bool running = false;
    if (look_for_engine(cli, target, report, &running, &err) < 0 ||
        (running && request_wait(target, id, (int)(wait_s * 1000), &outcome, &err) < 0))
        return cli_fail(cli->json, &err);
    print_outcome(cli, id, &outcome, running);
    if (!outcome.done)
        return no_answer(cli, id, running);
    if (!outcome.failed)
        return some_failed(&outcome) ? EXIT_FINDINGS : EXIT_OK;
    err_set(&err, ERR_CONFIG, "the engine could not do it: %s", outcome.result);
    cli_fail(false, &err);
    return EXIT_FINDINGS;
}

int cmd_resume(const struct cli *cli)
{
    struct err err = {0};
    PGconn *target = NULL;
    struct pipeline_report *report = NULL;
    if (topics_are_the_sink(cli))
        return topics_resume(cli);
    if (cli_open_target(cli, &target, &err) < 0)
        return cli_fail(cli->json, &err);
    int code;
    if (request_pipeline(cli, target, &report, &err) < 0) {
        code = cli_fail(cli->json, &err);
    } else if (!report->position.paused) {
        if (cli->json)
            printf("{\"paused\":false}\n");
        else if (!cli->quiet)
            printf("pipeline %s is not paused: nothing to resume\n", cli->settings->pipeline);
        code = EXIT_OK;
    } else {
        const struct request_ask ask = {.kind = "resume"};
        code = request_run(cli, target, report, &ask);
    }
    pipeline_report_free(report);
    pg_close(target);
    return code;
}
