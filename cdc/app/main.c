/* The program's door: reads the command line, loads the settings, runs one command. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/base/log.h"

static void set_log_level(const struct cli *cli)
{
    if (cli->settings)
        cli_set_log(cli->settings);
    if (cli->quiet)
        log_set_level(LOG_ERROR);
    if (command_has(cli->line, OPT_VERBOSE))
        log_set_level(LOG_DEBUG);
}

static int run_command(struct cli *cli, struct err *err)
{
    const struct command_line *line = cli->line;
    set_log_level(cli);
    if (line->command->settings) {
        if (settings_load(cli_config(line), line->sets, line->set_count, &cli->settings, err) < 0)
            return cli_fail(cli->json, err);
        set_log_level(cli);
    }
    int code = line->command->run(cli);
    settings_free(cli->settings);
    return code;
}

static int dispatch(struct cli *cli, struct err *err)
{
    const struct command_line *line = cli->line;
    if (command_has(line, OPT_HELP)) {
        if (line->command || line->argument_count == 0)
            help_print(stdout, line->command);
        else if (!help_print_topic(stdout, line->arguments[0]))
            help_print(stdout, NULL);
        return EXIT_OK;
    }
    if (command_has(line, OPT_VERSION))
        return cmd_version(cli);
    if (line->command)
        return run_command(cli, err);
    help_print(stderr, NULL);
    return EXIT_CONFIG;
}

/* A core would hold rows and passwords. */
static void forbid_core(void)
{
    const struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct command_line line;
    signal(SIGPIPE, SIG_IGN);
    forbid_core();
    int status = command_parse(argc, argv, &line, &err);
    struct cli cli = {.line = &line, .json = command_has(&line, OPT_JSON), .quiet = command_has(&line, OPT_QUIET)};
    int code = status < 0 ? cli_fail(cli.json, &err) : dispatch(&cli, &err);
    command_line_done(&line);
    /* a report that did not reach its reader is no success; a reader who left early is no failure */
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE && code == EXIT_OK)
        code = EXIT_INTERNAL;
    return code;
}
