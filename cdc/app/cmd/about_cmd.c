/* The commands that touch no server: settings, completion, man, help, version. */
#include <stdio.h>

#include "cdc/app/cmd/cli.h"

int cmd_settings(const struct cli *cli)
{
    if (command_has(cli->line, OPT_EXAMPLE)) {
        settings_print_example(stdout);
        return EXIT_OK;
    }
    printf("Settings stand in pgrekey.yaml (sections indented), in the environment, or behind --set.\n\n");
    settings_print_help(stdout);
    return EXIT_OK;
}

int cmd_completion(const struct cli *cli)
{
    struct err err = {0};
    if (completion_print(stdout, cli->line->arguments[0]))
        return EXIT_OK;
    err_set(&err, ERR_CONFIG, "there is completion for bash and zsh only");
    return cli_fail(cli->json, &err);
}

int cmd_man(const struct cli *cli)
{
    (void)cli;
    help_print_man(stdout);
    return EXIT_OK;
}

int cmd_help(const struct cli *cli)
{
    const struct command_line *line = cli->line;
    char topic[64];
    struct err err = {0};
    if (line->argument_count == 0) {
        help_print(stdout, NULL);
        return EXIT_OK;
    }
    snprintf(topic, sizeof(topic), "%.30s%s%.30s", line->arguments[0], line->argument_count > 1 ? " " : "",
             line->argument_count > 1 ? line->arguments[1] : "");
    if (help_print_topic(stdout, topic))
        return EXIT_OK;
    err_set(&err, ERR_CONFIG, "there is no command %s", topic);
    err_hint(&err, "`pgrekey help` lists them");
    return cli_fail(cli->json, &err);
}

int cmd_version(const struct cli *cli)
{
    if (cli->json)
        printf("{\"version\":\"%s\",\"libpq\":%d}\n", PGREKEY_VERSION, PQlibVersion());
    else
        printf("pgrekey %s\n", PGREKEY_VERSION);
    return EXIT_OK;
}
