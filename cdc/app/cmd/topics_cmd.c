#include "cdc/app/cmd/topics_cmd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cdc/app/cmd/confirm.h"
#include "cdc/app/cmd/json.h"
#include "cdc/app/engine/topics_sink.h"
#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"
#include "cdc/source/slot.h"
#include "sinks/kafka/kafkasink.h"

#define WAIT_DEFAULT_S 30

bool topics_are_the_sink(const struct cli *cli)
{
    return strcmp(cli->settings->sink, "kafka") == 0;
}

static int look(const struct cli *cli, struct kafkasink_look *ret_look, struct err *reterr)
{
    struct client_options client = topics_client(cli->settings);
    return kafkasink_look(&client, cli->settings->kafka_prefix, ret_look, reterr);
}

static int read_slot(const struct cli *cli, PGconn **conn, struct slot_state *ret_slot, struct err *reterr)
{
    return cli_open_source(cli, conn, reterr) != 0 ||
                   slot_read(*conn, cli->settings->source_slot, ret_slot, reterr) != 0
               ? -1
               : 0;
}

/* --- resync --- */

int topics_ask_resync(const struct cli *cli, const struct resync_ask *ask, int64_t *ret_id, struct err *reterr)
{
    struct client_options client = topics_client(cli->settings);
    struct kafkasink_look seen;
    if (look(cli, &seen, reterr) != 0)
        return -1;
    if (seen.paused) {
        (void)err_set(reterr, ERR_REFUSED, "the pipeline is paused: %s", seen.pause_reason);
        return err_hint(reterr, "`pgrekey resume` first: a table is read again while the stream runs");
    }
    return kafkasink_ask_resync(&client, cli->settings->kafka_prefix, ask, ret_id, reterr);
}

/* Asked for, but not taken yet: the state knows nothing of it. */
int topics_resync_report(const struct cli *cli, int64_t id, struct resync_report *ret_report, struct err *reterr)
{
    struct client_options client = topics_client(cli->settings);
    if (kafkasink_resync_report(&client, cli->settings->kafka_prefix, id, ret_report, reterr) != 0)
        return -1;
    ret_report->exists = true;
    return 0;
}

int topics_engine_runs(const struct cli *cli, bool *ret_running, struct err *reterr)
{
    PGconn *conn = NULL;
    struct slot_state slot = {0};
    int failed = read_slot(cli, &conn, &slot, reterr);
    pg_close(conn);
    *ret_running = slot.active;
    return failed;
}

/* --- resume --- */

static void say(const struct cli *cli, bool was_paused, bool goes_on)
{
    if (cli->json)
        printf("{\"paused\":%s,\"done\":%s}\n", was_paused && !goes_on ? "true" : "false", goes_on ? "true" : "false");
    else if (!cli->quiet && goes_on)
        printf("the engine goes on\n");
    else if (!cli->quiet && !was_paused)
        printf("pipeline %s is not paused: nothing to resume\n", cli->settings->pipeline);
}

/* Until the record of the pause is gone. */
static int wait_for_end(const struct cli *cli, bool *ret_goes_on, struct err *reterr)
{
    const struct timespec pause = {.tv_nsec = 200L * 1000 * 1000};
    int64_t end_us = clock_mono_us() + command_seconds(cli->line, OPT_WAIT, WAIT_DEFAULT_S) * 1000000;
    struct kafkasink_look seen;
    for (;;) {
        if (look(cli, &seen, reterr) != 0)
            return -1;
        *ret_goes_on = !seen.paused;
        if (*ret_goes_on || clock_mono_us() > end_us)
            return 0;
        (void)nanosleep(&pause, NULL);
    }
}

int topics_resume(const struct cli *cli)
{
    struct client_options client = topics_client(cli->settings);
    struct kafkasink_look seen;
    struct err err = {0};
    bool goes_on = false;
    if (look(cli, &seen, &err) != 0)
        return cli_fail(cli->json, &err);
    if (!seen.paused) {
        say(cli, false, false);
        return EXIT_OK;
    }
    if (kafkasink_ask_resume(&client, cli->settings->kafka_prefix, &err) != 0 || wait_for_end(cli, &goes_on, &err) != 0)
        return cli_fail(cli->json, &err);
    if (goes_on) {
        say(cli, true, true);
        return EXIT_OK;
    }
    (void)err_set(&err, ERR_RETRY, "no engine has answered");
    err_hint(&err, "one that starts goes on by itself: pgrekey run; --wait waits longer");
    return cli_fail(cli->json, &err);
}

/* --- drop --- */

static int check_drop(const struct cli *cli, const struct slot_state *slot, const struct kafkasink_look *seen,
                      struct err *reterr)
{
    const struct settings *settings = cli->settings;
    enum slot_kind kind = slot->exists ? slot_kind(slot, NULL) : SLOT_OURS;
    if (kind != SLOT_OURS) {
        (void)err_set(reterr, ERR_REFUSED, "slot %s is not one of ours: its plugin is %s", settings->source_slot,
                      kind == SLOT_PHYSICAL ? "none (a physical slot)" : slot->plugin);
        return err_hint(reterr, "the setting source.slot names another's slot; nothing was dropped");
    }
    if (*seen->slot && strcmp(seen->slot, settings->source_slot) != 0) {
        (void)err_set(reterr, ERR_REFUSED, "the topics under %s were published from slot %s, but source.slot is %s",
                      settings->kafka_prefix, seen->slot, settings->source_slot);
        return err_hint(reterr, "run: pgrekey drop --set source.slot=%s", seen->slot);
    }
    if (!slot->active)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "the engine of pipeline %s is running", settings->pipeline);
    return err_hint(reterr, "stop it first (SIGTERM), then drop");
}

static int drop_both(const struct cli *cli, PGconn *conn, const struct slot_state *slot, bool known, struct err *reterr)
{
    const struct settings *settings = cli->settings;
    struct client_options client = topics_client(settings);
    if (slot->exists && slot_drop(conn, settings->source_slot, (int)settings->source_slot_wait_s, reterr) != 0)
        return -1;
    if (known && kafkasink_forget(&client, settings->kafka_prefix, settings->pipeline, reterr) != 0)
        return err_wrap(reterr, "the slot is dropped, the record is not");
    return 0;
}

static void say_dropped(const struct cli *cli, const struct slot_state *slot, bool known)
{
    const struct settings *settings = cli->settings;
    if (cli->json) {
        struct json json;
        json_init(&json);
        json_open(&json, NULL, '{');
        json_text(&json, "slot", settings->source_slot);
        json_bool(&json, "slot_dropped", slot->exists);
        json_text(&json, "prefix", settings->kafka_prefix);
        json_bool(&json, "record_removed", known);
        json_close(&json, '}');
        json_print(&json, stdout);
        return;
    }
    printf("slot %s: %s\n", settings->source_slot, slot->exists ? "dropped" : "was not there");
    printf("topics under %s: %s\n", settings->kafka_prefix,
           known ? "their position is forgotten; they stay, and what is in them" : "had no position");
}

static int run_drop(const struct cli *cli, PGconn **conn, struct err *reterr)
{
    struct slot_state slot = {0};
    struct kafkasink_look seen;
    char question[512];
    if (look(cli, &seen, reterr) != 0 || read_slot(cli, conn, &slot, reterr) != 0 ||
        check_drop(cli, &slot, &seen, reterr) != 0)
        return -1;
    bool known = seen.state != PIPELINE_NEW;
    snprintf(question, sizeof(question),
             "Drop slot %s and forget the position of the topics under %s? A new run needs another kafka.prefix, or "
             "these topics removed, and begins with a new snapshot.",
             cli->settings->source_slot, cli->settings->kafka_prefix);
    if ((slot.exists || known) &&
        (!confirm(cli->line, question, reterr) || drop_both(cli, *conn, &slot, known, reterr) != 0))
        return -1;
    say_dropped(cli, &slot, known);
    return 0;
}

int topics_drop(const struct cli *cli)
{
    struct err err = {0};
    PGconn *conn = NULL;
    int failed = run_drop(cli, &conn, &err);
    pg_close(conn);
    return failed ? cli_fail(cli->json, &err) : EXIT_OK;
}
