/* `pgrekey run` from the command line: options and signals. The engine itself is run.c. */
#include <signal.h>
#include <unistd.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/base/lsn.h"

/* A blocked statement or a lock may hold the engine up for long; whoever asks twice means now. */
static void on_stop_signal(int number)
{
    if (run_stop)
        _exit(128 + number);
    run_stop = 1;
}

static void on_reload_signal(int number)
{
    (void)number;
    run_reload = 1;
}

/* Only the engine finishes what it does; every other command may simply die of a signal. */
static void catch_stop_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct sigaction reload = {.sa_handler = on_reload_signal, .sa_flags = SA_RESTART};
    sigemptyset(&reload.sa_mask);
    sigaction(SIGHUP, &reload, NULL);
}

int cmd_run(const struct cli *cli)
{
    struct err err = {0};
    struct run_options options = {
        .until_caught_up = command_has(cli->line, OPT_UNTIL_CAUGHT_UP),
        .progress = !cli->quiet && !cli->json && isatty(STDERR_FILENO),
        .json = cli->json,
        .config = cli_config(cli->line),
        .overrides = cli->line->sets,
        .override_count = cli->line->set_count,
    };
    if (command_has(cli->line, OPT_UNTIL) && !lsn_parse(cli->line->values[OPT_UNTIL], &options.until_lsn))
        return EXIT_CONFIG;
    catch_stop_signals();
    int code = run_pipeline(cli->settings, &options, &err);
    if (code != EXIT_OK)
        cli_fail(cli->json, &err);
    return code;
}
