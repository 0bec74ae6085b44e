/* `pgrekey replay` from the command line: options and signals. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/replay/replay.h"
#include "cdc/base/lsn.h"
#include "cdc/base/timestamp.h"

static void on_stop_signal(int number)
{
    if (run_stop)
        _exit(128 + number);
    run_stop = 1;
}

static void catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static int take_time(const struct cli *cli, enum option_id id, int64_t *ret_us, struct err *reterr)
{
    const char *text = cli->line->values[id];
    if (!text)
        return 0;
    *ret_us = timestamp_parse(text, strlen(text));
    if (*ret_us > 0)
        return 0;
    return err_set(reterr, ERR_CONFIG, "--%s: a time like \"2026-01-31 12:00:00+00\" must stand here",
                   command_options()[id].name);
}

static void take_lsn(const struct cli *cli, enum option_id id, uint64_t *ret_lsn)
{
    if (command_has(cli->line, id))
        (void)lsn_parse(cli->line->values[id], ret_lsn);
}

int cmd_replay(const struct cli *cli)
{
    struct err err = {0};
    struct replay_options options = {
        .until_caught_up = command_has(cli->line, OPT_UNTIL_CAUGHT_UP),
        .tables = cli->line->values[OPT_TABLES],
        .progress = !cli->quiet && !cli->json && isatty(STDERR_FILENO),
        .json = cli->json,
    };
    take_lsn(cli, OPT_UNTIL, &options.until_lsn);
    take_lsn(cli, OPT_SINCE, &options.from_lsn);
    if (take_time(cli, OPT_UNTIL_TIME, &options.until_us, &err) != 0 ||
        take_time(cli, OPT_SINCE_TIME, &options.from_us, &err) != 0)
        return cli_fail(cli->json, &err);
    catch_stop_signals();
    int code = replay_run(cli->settings, &options, &err);
    if (code != EXIT_OK)
        cli_fail(cli->json, &err);
    return code;
}
