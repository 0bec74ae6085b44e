/* `pgrekey run`: puts source, transform and sink together and keeps them going. The one loop of the engine. */
#ifndef PGREKEY_APP_RUN_H
#define PGREKEY_APP_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/app/settings/settings.h"
#include "cdc/base/err.h"

struct run_options {
    bool until_caught_up; /* end once the position reached the source's WAL end at start */
    uint64_t until_lsn;   /* end once the position is at or past this; 0: none */
    bool progress;        /* draw a progress bar on stderr */
    bool json;
    /* where the settings came from, for SIGHUP; path NULL: the default one */
    const char *config;
    const struct setting_override *overrides;
    size_t override_count;
};

/* How a run ended, as exit codes of the program (docs/operations.md). */
enum run_exit {
    EXIT_OK = 0,
    EXIT_INTERNAL = 1,    /* ERR_FATAL */
    EXIT_CONFIG = 2,      /* ERR_CONFIG: usage, settings, mapping */
    EXIT_UNREACHABLE = 3, /* ERR_RETRY that lasted */
    EXIT_REFUSED = 4,     /* ERR_REFUSED */
    EXIT_PAUSED = 5,      /* the breaker, or another pause, ended a one-shot run; do not restart */
    EXIT_FINDINGS = 6,    /* check, map check, map test, status: found something */
};
int run_exit_of(enum err_kind kind);

/* Set by the signal handler: finish the batch and leave. (A second signal ends the process where it stands, which is
 * safe at any point: run_cmd.c.) */
extern _Atomic int run_stop;
/* Set by SIGHUP: the settings that may change are read again. */
extern _Atomic int run_reload;

int run_pipeline(const struct settings *settings, const struct run_options *options, struct err *reterr);

#endif
