/* What the threads of an engine know of its health, where whoever watches can read it at any moment.
 *
 *     receiver, applier, snapshot ──▶ ┌────────┐ ──▶ metrics, status page, webhooks, the record for `status`
 *     the watch over the source   ──▶ │ vitals │
 *                                     └────────┘
 *
 * It lives as long as the process: over sessions, pauses and lost connections, for a pipeline that is stuck must be
 * seen. Counters and positions are atomic, the rest is under `lock`, which is never held over anything that waits. It
 * knows names and numbers, never a row's values.
 */
#ifndef PGREKEY_LAG_VITALS_H
#define PGREKEY_LAG_VITALS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "cdc/base/log.h"
#include "cdc/lag/histogram.h"
#include "cdc/lag/trace.h"

#define VITALS_EVENTS 64
#define VITALS_HEARTS 16

enum vitals_phase { PHASE_CONNECTING, PHASE_SNAPSHOT, PHASE_STREAMING, PHASE_PAUSED, PHASE_RECONNECTING };
#define VITALS_PHASES 5
const char *vitals_phase_name(enum vitals_phase phase);

enum vitals_stage { STAGE_RECEIVED, STAGE_DECODED, STAGE_TRANSFORMED, STAGE_APPLIED, STAGE_CONFIRMED };
#define VITALS_STAGES 5
const char *vitals_stage_name(enum vitals_stage stage);

struct vitals_event {
    int64_t wall_us;
    enum log_level level;
    char name[32];  /* as in the log: "paused" */
    char text[256]; /* a sentence, or "" */
};

/* A heartbeat on its way through the pipeline. */
struct vitals_heart {
    uint64_t number;   /* 0: none */
    int64_t sent_us;   /* monotonic */
    uint64_t need_lsn; /* applied up to here, all that committed before it is on the target; 0: not yet received */
};

/* Rows that went to one rule's target, by its name. */
struct vitals_rule {
    char *name;
    uint64_t rows;
};

/* A figure of a part that has its own: publisher and replay, by topic and partition. */
struct vitals_series {
    char name[48];    /* "pgrekey_replay_lag_records" */
    char labels[160]; /* "topic=\"a\",partition=\"0\"", or "" */
    double value;
};

struct vitals {
    int64_t started_us, started_wall_us;

    /* transactions, changes, rows, rows, transactions that went through each stage; and how far it is */
    struct {
        _Atomic uint64_t items, lsn;
    } stages[VITALS_STAGES];
    _Atomic uint64_t batches, row_mode_batches, quarantined, completed, reconnects;
    _Atomic uint64_t open_rows, largest_rows; /* rows of the open source transaction; of the largest one so far */
    _Atomic uint64_t snapshot_rows, snapshot_expected;
    _Atomic int64_t alive_us;   /* when the main thread last passed by */
    struct histogram latency;   /* commit on the source to commit on the target, each transaction with rows */
    struct histogram heartbeat; /* a heartbeat sent until all that committed before it is on the target */
    struct histogram batch;     /* what applying a batch took */

    pthread_mutex_t lock;
    struct trace trace;
    enum vitals_phase phase;
    int64_t phase_since_us;
    char pause_category[ERR_PAUSE_MAX], pause_reason[ERR_TEXT_MAX];
    bool has_position;
    uint64_t reached; /* everything up to here that concerns us is on the target */
    /* The oldest transaction of the filling and of the taken batch: its end and commit time; end 0: none. */
    struct vitals_waiting {
        uint64_t end_lsn;
        int64_t commit_us;
    } filling, taken;
    struct vitals_heart hearts[VITALS_HEARTS];
    uint64_t heart_sent;      /* number of the last one; 0: none */
    int64_t heart_through_us; /* when the newest one that came through was sent; 0: none came */
    struct vitals_rule *rules;
    size_t rule_count;
    struct vitals_series *series; /* by name, then as they came */
    size_t series_count;
    struct vitals_event events[VITALS_EVENTS]; /* a ring */
    uint64_t event_count;                      /* ever */
};

struct vitals *vitals_new(void);
void vitals_free(struct vitals *vitals); /* NULL is fine, as everywhere below: then nothing is noted */

void vitals_set_phase(struct vitals *vitals, enum vitals_phase phase);
/* What a pause is called, and why; NULL: it is none any more. */
void vitals_set_pause(struct vitals *vitals, const char *category, const char *reason);
/* Something that people should see. */
void vitals_event(struct vitals *vitals, enum log_level level, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The newest value of a series; a counter's is its whole. The names are those of docs/metrics.md. */
void vitals_set_series(struct vitals *vitals, const char *name, const char *labels, double value);
void vitals_passed(struct vitals *vitals, enum vitals_stage stage, uint64_t items, uint64_t lsn);

/* A snapshot is under way: so many rows of about so many. */
void vitals_snapshot(struct vitals *vitals, uint64_t rows, uint64_t expected);
/* Everything up to lsn that concerns us is on the target. */
void vitals_set_reached(struct vitals *vitals, uint64_t lsn);
/* A transaction waits in the filling batch; the filling batch was taken; the taken one is applied. */
void vitals_waits(struct vitals *vitals, uint64_t end_lsn, int64_t commit_us);
void vitals_taken(struct vitals *vitals);
void vitals_applied(struct vitals *vitals);
/* A session has ended: what waited comes again. */
void vitals_forget_waiting(struct vitals *vitals);

/* The next heartbeat's number, now under way. */
uint64_t vitals_heart_begins(struct vitals *vitals);
/* It came out of the stream, behind transactions up to need_lsn; applied: how far the target is. */
void vitals_heart_received(struct vitals *vitals, uint64_t number, uint64_t need_lsn, uint64_t applied);
/* The target has got so far. */
void vitals_heart_applied(struct vitals *vitals, uint64_t applied);

/* Index of a rule; adds it. Under lock. */
size_t vitals_rule(struct vitals *vitals, const char *name);

/* The lag in seconds at now_us: the age of the oldest source transaction that is not on the target; 0 when idle. -1
 * where the position is not known yet. */
double vitals_lag_s(struct vitals *vitals, int64_t now_us);
/* Age of the newest heartbeat that came through (or since the first one was sent); -1 where none was sent. */
double vitals_heart_age_s(struct vitals *vitals, int64_t now_us);

#endif
