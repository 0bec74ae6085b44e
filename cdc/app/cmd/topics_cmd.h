/* What commands do where the sink is Kafka: they reach the publisher by a topic of requests, and read its state. */
#ifndef PGREKEY_APP_TOPICS_CMD_H
#define PGREKEY_APP_TOPICS_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/app/cmd/cli.h"
#include "sinks/resync.h"

bool topics_are_the_sink(const struct cli *cli);

/* ERR_REFUSED where the publisher is paused. */
int topics_ask_resync(const struct cli *cli, const struct resync_ask *ask, int64_t *ret_id,
                      struct err *reterr) MUST_CHECK;
int topics_resync_report(const struct cli *cli, int64_t id, struct resync_report *ret_report,
                         struct err *reterr) MUST_CHECK;
/* Does somebody read the slot? */
int topics_engine_runs(const struct cli *cli, bool *ret_running, struct err *reterr) MUST_CHECK;

/* The commands whole: the exit code. */
int topics_resume(const struct cli *cli);
int topics_drop(const struct cli *cli);

#endif
