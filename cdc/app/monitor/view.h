/* The health of a pipeline at one moment, in plain figures: what metrics, status page, health checks and webhooks are
 * made of. Taken by monitor_view(); whoever renders it is pure. Names and numbers, never a row's values.
 */
#ifndef PGREKEY_APP_MONITOR_VIEW_H
#define PGREKEY_APP_MONITOR_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/lag/guard.h"
#include "cdc/lag/vitals.h"
#include "cdc/source/slot.h"

/* The last hour, a point every five seconds. */
#define HISTORY_POINTS 720
#define HISTORY_STEP_S 5
struct history {
    struct history_point {
        float lag_s;          /* the highest since the point before; below zero: not known */
        float lag_bytes;      /* likewise */
    } points[HISTORY_POINTS]; /* a ring */
    size_t count, next;
};

struct view_rule {
    char *name, *source_table, *target_table; /* source_table "" of a derivation */
    int64_t mapped, quarantined, excluded, failed_deletes, waiting;
    uint64_t rows; /* applied since the start of the process */
    double rate;   /* rows a second */
};

struct view_quarantine {
    char *rule, *category;
    int64_t open, waiting;
    double oldest_s;
};

struct view {
    int64_t wall_us;
    double uptime_s;
    const char *pipeline, *slot_name;

    enum vitals_phase phase;
    double phase_age_s;
    bool paused;
    char pause_category[ERR_PAUSE_MAX], pause_reason[ERR_TEXT_MAX];

    double lag_s;                    /* -1: not known */
    bool has_lag_bytes;              /* the source's WAL end and our position are known */
    uint64_t lag_bytes, unconfirmed; /* WAL not applied; not confirmed to the slot */
    double source_rate, apply_rate;  /* WAL bytes a second, written and worked off */
    double time_left_s;              /* until caught up; 0: it is; -1: it falls behind, or not known */
    double heartbeat_age_s;          /* -1: none sent */
    double heartbeat_interval_s;     /* 0: off */

    struct view_stage {
        uint64_t lsn, items;
        double rate; /* items a second */
    } stages[VITALS_STAGES];
    const struct histogram *latency, *heartbeat, *batch;
    uint64_t batches, row_mode_batches, quarantined_ever, completed, reconnects;
    uint64_t open_rows, largest_rows;

    bool source_reached; /* the last look at it succeeded */
    double source_age_s; /* of the last look that did; -1: none */
    struct slot_state slot;
    int64_t retained_bytes;      /* -1: not known */
    double oldest_transaction_s; /* on the source; 0: none; -1: not known */
    int64_t catalog_xmin_age;    /* transactions; -1: not known */
    struct guard guard;

    bool has_target, target_reached;
    double target_age_s; /* of the last report; -1: none */
    bool has_report;
    int snapshot_parts, snapshot_parts_done;
    uint64_t snapshot_rows, snapshot_expected;
    double snapshot_rate, snapshot_left_s; /* -1: not known */
    uint64_t join_lsn;                     /* whole transactions from here on; 0: now */
    int64_t quarantine_open, waiting, references_waiting;
    size_t resync_count;
    int64_t resync_rows, resync_expected;
    char resync_table[2 * ERR_NAME_MAX];
    struct view_rule *rules;
    size_t rule_count;
    struct view_quarantine *quarantine;
    size_t quarantine_count;

    struct vitals_series *series; /* of publisher and replay; none where they do not run */
    size_t series_count;
    struct vitals_event events[VITALS_EVENTS]; /* newest first */
    size_t event_count;
    struct history history;

    uint64_t resident_bytes;
    double cpu_s;
};

void view_done(struct view *view);

/* May it be sent work? "" where it is ready, else why not. Ready: it streams, both servers were reached lately, nothing
 * is paused, and transactions are whole. */
const char *view_not_ready(const struct view *view);
/* Is the process itself alive: its main thread passed by lately. */
bool view_healthy(const struct view *view, double main_thread_age_s);

#endif
