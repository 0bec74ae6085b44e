/* What `pgrekey status` gathers, and what it makes of it. The judging is pure: tests/unit/status_test.c. */
#ifndef PGREKEY_APP_STATUS_H
#define PGREKEY_APP_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/app/engine/run.h"
#include "cdc/app/settings/settings.h"
#include "cdc/base/err.h"
#include "cdc/source/slot.h"
#include "sinks/postgres/state/state.h"

#define STATUS_CATEGORIES_MAX 16
#define STATUS_NOTES_MAX 12

struct status_note {
    char fact[ERR_TEXT_MAX];
    char remedy[ERR_TEXT_MAX];
};

/* A partition of a replay. */
struct status_lane {
    char topic[256];
    int partition;
    int64_t offset, high; /* of the next message; behind the last one, commit markers included */
};

struct cli;

struct status {
    const struct settings *settings;
    struct err source_err, target_err; /* kind ERR_NONE: the side was read */
    struct pipeline_report *report;    /* NULL where the target could not be read */
    struct slot_state slot;            /* valid where the source was read */
    bool replay;                       /* the settings know topics, and no source */
    size_t lane_count;
    struct status_lane *lanes; /* heap */
    size_t category_count;
    struct {
        char name[32];
        int64_t count;
    } categories[STATUS_CATEGORIES_MAX]; /* open quarantine */

    /* made by status_judge */
    const char
        *state; /* "unknown", "not set up", "new", "snapshot", "snapshot cut off", "streaming", "idle", "paused" */
    bool has_lag_bytes, has_lag_s;
    uint64_t lag_bytes; /* the source's WAL end less the position */
    double lag_s;
    int64_t retained_bytes; /* WAL that the slot keeps on the source; -1: unknown */
    int64_t waiting;        /* of the open quarantine: rows that wait for a parent */
    size_t note_count;
    struct status_note notes[STATUS_NOTES_MAX]; /* what needs attention */
    int exit_code;
    char live[512]; /* what an engine on this host says, where the target does not answer; "": nothing */
};

void status_judge(struct status *status);

/* status_replay.c: the lanes of a replay; ERR of the brokers. */
int status_read_replay(const struct cli *cli, struct status *status, struct err *reterr) MUST_CHECK;

/* status_check.c: the plugin's line, without newline, and its exit code: 0 ok, 1 warning, 2 critical, 3 not known. */
int status_check(const struct status *status, double warn_s, double critical_s, char *line, size_t size);

/* status_print.c */
void status_print(const struct status *status);
int status_print_json(const struct status *status);

struct cli;
/* Of `sink: kafka` (status_topics.c): what the topics and the slot tell. Prints it; the exit code. */
int status_topics(const struct cli *cli);

#endif
