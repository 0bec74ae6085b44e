#include "cdc/app/cmd/cli.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/term.h"
#include "cdc/app/engine/sides.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

int cli_fail(bool as_json, const struct err *err)
{
    fprintf(stderr, "%spgrekey:%s %s", term_colour(stderr, TERM_RED), term_colour(stderr, TERM_PLAIN), err->message);
    if (err->sqlstate[0] && !strstr(err->message, err->sqlstate))
        fprintf(stderr, " (SQLSTATE %s)", err->sqlstate);
    fputc('\n', stderr);
    if (err->hint[0])
        term_wrap(stderr, err->hint, "  ", 110);
    if (as_json) {
        struct json json;
        json_init(&json);
        json_open(&json, NULL, '{');
        json_open(&json, "error", '{');
        json_text(&json, "class", err_kind_name(err->kind));
        json_text(&json, "message", err->message);
        json_text(&json, "hint", err->hint[0] ? err->hint : NULL);
        json_text(&json, "sqlstate", err->sqlstate[0] ? err->sqlstate : NULL);
        json_close(&json, '}');
        json_close(&json, '}');
        if (json_print(&json, stdout) < 0)
            return EXIT_INTERNAL;
    }
    return run_exit_of(err->kind);
}

static int open_side(const struct cli *cli, bool source, bool replication, PGconn **ret_conn, struct err *reterr)
{
    const struct settings *settings = cli->settings;
    const char *side = source ? "source" : "target", *dsn = source ? settings->source_dsn : settings->target_dsn;
    char name[64];
    if (side_check_dsn(settings, source ? SIDE_SOURCE : SIDE_TARGET, reterr) != 0)
        return -1;
    snprintf(name, sizeof(name), "pgrekey %s", cli->line->command->name);
    struct pg_options options = {
        .side = side,
        .conninfo = dsn,
        .password_file = source ? settings->source_password_file : settings->target_password_file,
        .application_name = name,
        .replication = replication,
        .utf8_only = !source,
    };
    return pg_open(&options, ret_conn, reterr);
}

int cli_open_source(const struct cli *cli, PGconn **ret_conn, struct err *reterr)
{
    return open_side(cli, true, false, ret_conn, reterr);
}

int cli_open_target(const struct cli *cli, PGconn **ret_conn, struct err *reterr)
{
    return open_side(cli, false, false, ret_conn, reterr);
}

int cli_open_replication(const struct cli *cli, PGconn **ret_conn, struct err *reterr)
{
    return open_side(cli, true, true, ret_conn, reterr);
}

const char *cli_config(const struct command_line *line)
{
    const char *path = line->values[OPT_CONFIG] ? line->values[OPT_CONFIG] : getenv("PGREKEY_CONFIG");
    return path && *path ? path : NULL;
}

void cli_set_log(const struct settings *settings)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int level = 0; settings->log_level && level < 4; level++)
        if (strcmp(settings->log_level, names[level]) == 0)
            log_set_level((enum log_level)level);
    log_set_json(settings->log_format && strcmp(settings->log_format, "json") == 0);
}
