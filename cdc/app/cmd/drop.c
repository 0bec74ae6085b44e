/* `pgrekey drop`: the end of a pipeline. The slot goes first, for what it costs is the source's disk; the record on
 * the target last, so that a drop that was cut off can be repeated. */
#include <string.h>
#include <time.h>

#include "cdc/app/cmd/confirm.h"
#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/request_cmd.h"
#include "cdc/app/cmd/topics_cmd.h"
#include "cdc/pg/pg.h"
#include "cdc/source/slot.h"
#include "sinks/postgres/mirror/mirror.h"

#define ENDING_POLLS 10

struct drop {
    const struct cli *cli;
    PGconn *source, *target; /* target NULL with --slot-only */
    struct slot_state slot;
    struct pipeline_report *report; /* NULL where there is no record */
    size_t mirrors;                 /* tables and views of its own; may be there without a record */
};

static int read_target(struct drop *drop, struct err *reterr)
{
    const struct settings *settings = drop->cli->settings;
    if (cli_open_target(drop->cli, &drop->target, reterr) < 0) {
        if (reterr->kind == ERR_RETRY)
            err_hint(reterr, "where the target is gone for good, --slot-only drops the slot alone");
        return -1;
    }
    if (pipeline_report_read(drop->target, settings->pipeline, &drop->report, reterr) < 0 ||
        mirror_count(drop->target, settings->pipeline, &drop->mirrors, reterr) < 0)
        return -1;
    if (drop->report->initialised && drop->report->exists)
        return 0;
    pipeline_report_free(drop->report);
    drop->report = NULL;
    return 0;
}

/* An engine that has just ended may still have its session on the target for a moment. */
static int engine_stays(struct drop *drop, struct err *reterr)
{
    const struct timespec pause = {.tv_nsec = 200L * 1000 * 1000};

    for (int i = 0; i < ENDING_POLLS && drop->report && drop->report->engine_running; i++) {
        (void)nanosleep(&pause, NULL);
        pipeline_report_free(drop->report);
        drop->report = NULL;
        if (pipeline_report_read(drop->target, drop->cli->settings->pipeline, &drop->report, reterr) < 0)
            return -1;
    }
    return 0;
}

static int look(struct drop *drop, struct err *reterr)
{
    const struct settings *settings = drop->cli->settings;
    if (!command_has(drop->cli->line, OPT_SLOT_ONLY) && read_target(drop, reterr) < 0)
        return -1;
    if (cli_open_source(drop->cli, &drop->source, reterr) < 0 ||
        slot_read(drop->source, settings->source_slot, &drop->slot, reterr) < 0)
        return -1;
    if (engine_stays(drop, reterr) < 0)
        return -1;
    if (drop->report && drop->report->engine_running) {
        err_set(reterr, ERR_REFUSED, "the engine of pipeline %s is running", settings->pipeline);
        return err_hint(reterr, "stop it first (SIGTERM), then drop");
    }
    enum slot_kind kind = drop->slot.exists ? slot_kind(&drop->slot, NULL) : SLOT_OURS;
    if (kind != SLOT_OURS) {
        err_set(reterr, ERR_REFUSED, "slot %s is not one of ours: its plugin is %s", settings->source_slot,
                kind == SLOT_PHYSICAL ? "none (a physical slot)" : drop->slot.plugin);
        return err_hint(reterr, "the setting source.slot names another's slot; nothing was dropped");
    }
    if (drop->report && strcmp(drop->report->slot, settings->source_slot) != 0) {
        err_set(reterr, ERR_REFUSED, "pipeline %s uses slot %s, but the setting source.slot is %s", settings->pipeline,
                drop->report->slot, settings->source_slot);
        return err_hint(reterr, "run: pgrekey drop --set source.slot=%s", drop->report->slot);
    }
    return 0;
}

static int remove_both(struct drop *drop, struct err *reterr)
{
    const struct settings *settings = drop->cli->settings;
    if (drop->slot.exists &&
        slot_drop(drop->source, settings->source_slot, (int)settings->source_slot_wait_s, reterr) < 0)
        return -1;
    if ((drop->report || drop->mirrors > 0) && pipeline_forget(drop->target, settings->pipeline, reterr) < 0)
        return err_wrap(reterr, "the slot is dropped, the record is not");
    return 0;
}

static void print_outcome(const struct drop *drop)
{
    const struct settings *settings = drop->cli->settings;
    if (drop->cli->json) {
        struct json json;
        json_init(&json);
        json_open(&json, NULL, '{');
        json_text(&json, "slot", settings->source_slot);
        json_bool(&json, "slot_dropped", drop->slot.exists);
        json_text(&json, "pipeline", settings->pipeline);
        json_bool(&json, "record_removed", drop->report != NULL);
        json_int(&json, "mirrors_dropped", (int64_t)drop->mirrors);
        json_close(&json, '}');
        json_print(&json, stdout);
        return;
    }
    printf("slot %s: %s\n", settings->source_slot, drop->slot.exists ? "dropped" : "was not there");
    if (drop->target)
        printf("pipeline %s: %s\n", settings->pipeline,
               drop->report ? "forgotten; the rows on the target stay" : "had no record on the target");
    if (drop->mirrors > 0)
        printf("mirrors: %zu table%s or view%s of the side schema dropped\n", drop->mirrors,
               drop->mirrors == 1 ? "" : "s", drop->mirrors == 1 ? "" : "s");
}

static int run_drop(struct drop *drop)
{
    const struct settings *settings = drop->cli->settings;
    struct err err = {0};
    char question[256];
    if (look(drop, &err) < 0)
        return cli_fail(drop->cli->json, &err);
    snprintf(question, sizeof(question), "Drop slot %s%s%s%s? A new run would begin with a new snapshot.",
             settings->source_slot, drop->report ? " and forget pipeline " : "", drop->report ? settings->pipeline : "",
             drop->report ? " with its position, quarantine and mirrors" : "");
    if (!drop->slot.exists && !drop->report && drop->mirrors == 0) {
        print_outcome(drop);
        return EXIT_OK;
    }
    if (!confirm(drop->cli->line, question, &err) || remove_both(drop, &err) < 0)
        return cli_fail(drop->cli->json, &err);
    print_outcome(drop);
    return EXIT_OK;
}

int cmd_drop(const struct cli *cli)
{
    struct drop drop = {.cli = cli};
    if (topics_are_the_sink(cli) && !command_has(cli->line, OPT_SLOT_ONLY))
        return topics_drop(cli);
    int code = run_drop(&drop);
    pipeline_report_free(drop.report);
    pg_close(drop.source);
    pg_close(drop.target);
    return code;
}
