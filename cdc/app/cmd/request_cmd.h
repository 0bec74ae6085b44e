/* What `resume` and `quarantine retry|discard` share: put a request, wait for the running engine, say how it went. */
#ifndef PGREKEY_APP_REQUEST_CMD_H
#define PGREKEY_APP_REQUEST_CMD_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/app/cmd/cli.h"
#include "sinks/postgres/state/state.h"

struct request_ask {
    const char *kind; /* as request_put */
    const int64_t *ids;
    size_t id_count;
    const char *rule, *category;
};

/* Reads the pipeline's report; ERR_CONFIG where the target knows no such pipeline. */
int request_pipeline(const struct cli *cli, PGconn *target, struct pipeline_report **ret_report,
                     struct err *reterr) MUST_CHECK;
/* The exit code; prints the outcome. Blocks up to --wait. */
int request_run(const struct cli *cli, PGconn *target, const struct pipeline_report *report,
                const struct request_ask *ask);

#endif
