/* What a subcommand gets, and the few things that all of them do: fail, connect, print JSON. */
#ifndef PGREKEY_APP_CLI_H
#define PGREKEY_APP_CLI_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "cdc/app/cmd/command.h"
#include "cdc/app/engine/run.h"
#include "cdc/app/settings/settings.h"
#include "cdc/base/err.h"

struct cli {
    const struct command_line *line;
    struct settings *settings; /* NULL for commands that want none */
    bool json, quiet;
};

/* "pgrekey: sentence" and the hint on stderr; with `json` also {"error": …} on stdout. Returns the exit code. */
int cli_fail(bool json, const struct err *err);

/* Ordinary connections by the settings; ERR_CONFIG where the DSN is not set. */
int cli_open_source(const struct cli *cli, PGconn **ret_conn, struct err *reterr) MUST_CHECK;
int cli_open_target(const struct cli *cli, PGconn **ret_conn, struct err *reterr) MUST_CHECK;
/* The same with replication=database. */
int cli_open_replication(const struct cli *cli, PGconn **ret_conn, struct err *reterr) MUST_CHECK;

/* The settings file that was named by option or environment; NULL: the default one. */
const char *cli_config(const struct command_line *line);
/* log.level and log.format, unless the command line says otherwise. */
void cli_set_log(const struct settings *settings);

/* One object per command. */
int cmd_run(const struct cli *cli);
int cmd_replay(const struct cli *cli);
int cmd_check(const struct cli *cli);
int cmd_init(const struct cli *cli);
int cmd_status(const struct cli *cli);
int cmd_resume(const struct cli *cli);
int cmd_resync(const struct cli *cli);
int cmd_drop(const struct cli *cli);
int cmd_quarantine_list(const struct cli *cli);
int cmd_quarantine_show(const struct cli *cli);
int cmd_quarantine_retry(const struct cli *cli);
int cmd_quarantine_discard(const struct cli *cli);
int cmd_map_check(const struct cli *cli);
int cmd_map_test(const struct cli *cli);
int cmd_settings(const struct cli *cli);
int cmd_completion(const struct cli *cli);
int cmd_man(const struct cli *cli);
int cmd_help(const struct cli *cli);
int cmd_version(const struct cli *cli);

#endif
