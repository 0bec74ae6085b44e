/* The monitor from the inside: what its files share. */
#ifndef PGREKEY_APP_MONITOR_INTERNAL_H
#define PGREKEY_APP_MONITOR_INTERNAL_H

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cdc/app/monitor/alarm.h"
#include "cdc/app/monitor/monitor.h"
#include "cdc/app/monitor/webhook.h"
#include "cdc/lag/pace.h"
#include "sinks/postgres/state/state.h"

/* A thread that asks one server once a second. */
struct observer {
    struct monitor *monitor;
    pthread_t thread;
    bool running;
    PGconn *conn;   /* the thread's own */
    _Atomic int fd; /* of conn, to cut off a server that does not answer when the process ends; -1: none */
    _Atomic bool ended;
    /* One look: -1 closes the connection; the next look opens another. */
    int (*look)(struct observer *observer, struct err *reterr);
    const char *name; /* in the log */
};

/* Settings that a reload may change; under the monitor's lock. */
struct tunables {
    struct guard_limits guard;
    enum guard_action action;
    struct alarm_limits alarms;
    int64_t heartbeat_us;
};

struct monitor {
    struct engine *engine;
    struct vitals *vitals;
    _Atomic bool stop;
    struct observer source, target;
    pthread_t tick;
    bool ticking, has_target; /* a publisher has none */

    /* source.c, its thread's own */
    int64_t next_heartbeat_us, next_ages_us;
    _Atomic bool drop_wanted; /* the guard has said so */
    bool cannot_send;         /* the source takes no message of ours: told once */
    /* the tick's own */
    struct webhook *webhook; /* NULL: none */
    struct alarms alarms;
    bool told_streaming, told_ready;
    int64_t next_retained_us;
    /* target.c, its thread's own */
    int64_t next_report_us;

    pthread_mutex_t lock; /* over what follows */
    struct tunables tunables;
    bool source_reached, target_reached;
    int64_t source_seen_us, target_seen_us; /* of the last good look; 0: none */
    struct slot_state slot;
    double oldest_transaction_s;
    int64_t catalog_xmin_age;
    struct pipeline_report *report; /* NULL before there was one */
    struct view_quarantine *quarantine;
    size_t quarantine_count;
    struct guard guard;
    struct pace wal_pace, reached_pace, retained_pace, snapshot_pace, stage_pace[VITALS_STAGES];
    struct rule_pace {
        struct pace pace;
    } * rule_paces; /* by the vitals' index of a rule */
    size_t rule_pace_count;
    struct history history;
    float highest_lag_s, highest_lag_bytes; /* since the last point of the history */
};

int observer_start(struct observer *observer, struct monitor *monitor, const char *name,
                   int (*look)(struct observer *, struct err *), struct err *reterr) MUST_CHECK;
void observer_stop(struct observer *observer);

int monitor_look_at_source(struct observer *observer, struct err *reterr) MUST_CHECK;
int monitor_look_at_target(struct observer *observer, struct err *reterr) MUST_CHECK;

/* guard.c: judges what the view shows, tells it, holds snapshots back; the source's observer drops the slot where
 * drop_wanted says so. */
/* reload.c */
struct tunables monitor_tunables_of(const struct settings *settings);
struct tunables monitor_tunables(struct monitor *monitor);
/* Reads the settings anew, where SIGHUP asked for it. */
void monitor_reload(struct monitor *monitor);

/* notify.c: what systemd wants to know; nothing without it. */
void notify_tick(const struct view *view, bool healthy, bool *told_ready);
void notify_reloading(void);
void notify_stopping(void);

/* Brings view->guard up to date. */
void monitor_guard(struct monitor *monitor, struct view *view);
int monitor_drop_slot(struct monitor *monitor, PGconn *conn, struct err *reterr) MUST_CHECK;

/* The source's WAL end as it was last seen; 0: not yet. */
uint64_t monitor_wal_end(struct monitor *monitor);

#endif
