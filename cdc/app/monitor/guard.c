/* What the guard over the source's WAL leads to: a level that is told, snapshots that wait, and, where the settings say
 * so, a slot that is given up before it fills the source's disk. The judging itself is cdc/lag/guard.
 */
#include <stdio.h>
#include <string.h>

#include "cdc/app/monitor/internal.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

#define RETAINED_EVERY_US INT64_C(10000000)
#define RETAINED_WINDOW_US INT64_C(600000000)
/* Retained WAL rises and falls between two checkpoints: a growth is one that goes on for minutes. */
#define RETAINED_LOOKS_MIN 30
#define DROP_TRIES 30

static void tell(struct monitor *m, const struct view *view)
{
    const struct guard *guard = &m->guard;
    char retained[32], limit[32];
    enum log_level level = guard->level >= GUARD_ACT ? LOG_ERROR : guard->level == GUARD_WARN ? LOG_WARN : LOG_INFO;
    progress_bytes((double)view->retained_bytes, retained, sizeof(retained));
    progress_bytes((double)guard->limit_bytes, limit, sizeof(limit));
    log_event(level, "guard", "slot=%s level=%s retained_bytes=%lld limit_bytes=%lld", view->slot_name,
              guard_level_name(guard->level), (long long)view->retained_bytes, (long long)guard->limit_bytes);
    vitals_event(m->vitals, level, "guard", "level %s: the slot keeps %s of WAL on the source, of %s",
                 guard_level_name(guard->level), retained, limit);
}

void monitor_guard(struct monitor *m, struct view *view)
{
    const struct tunables tunables = monitor_tunables(m);
    int64_t now_us = clock_mono_us();
    if (!view->source_reached || !view->slot.exists)
        return;
    pthread_mutex_lock(&m->lock);
    if (view->retained_bytes >= 0 && now_us >= m->next_retained_us) {
        m->next_retained_us = now_us + RETAINED_EVERY_US;
        pace_note(&m->retained_pace, (uint64_t)view->retained_bytes, now_us);
    }
    const struct guard_slot slot = {
        .retained_bytes = view->retained_bytes,
        .has_safe_wal_size = view->slot.has_safe_wal_size,
        .safe_wal_size = view->slot.safe_wal_size,
        .unreserved = strcmp(view->slot.wal_status, "unreserved") == 0,
        .lost = strcmp(view->slot.wal_status, "lost") == 0,
        .growth = m->retained_pace.count >= RETAINED_LOOKS_MIN ? pace_rate(&m->retained_pace, RETAINED_WINDOW_US) : 0};
    bool changed = guard_look(&m->guard, &tunables.guard, &slot);
    enum guard_level level = m->guard.level;
    view->guard = m->guard;
    pthread_mutex_unlock(&m->lock);
    enum guard_action action = tunables.action;
    m->engine->hold_snapshots = level >= GUARD_ACT && action >= GUARD_STOP_SNAPSHOTS;
    if (level == GUARD_FULL && action == GUARD_DROP_SLOT && !slot.lost)
        m->drop_wanted = true;
    if (changed)
        tell(m, view);
}

/* --- giving up the slot: the source observer's thread --- */

/* Who reads it is our own engine, or nobody: it is ended, and comes back to find the slot gone. */
static int end_reader(PGconn *conn, int pid, struct err *reterr)
{
    char text[16];
    const char *params[] = {text};
    snprintf(text, sizeof(text), "%d", pid);
    return pg_query(conn, "source", "ending the slot's reader", "SELECT pg_terminate_backend($1::int)", 1, params, NULL,
                    reterr);
}

int monitor_drop_slot(struct monitor *m, PGconn *conn, struct err *reterr)
{
    const char *name = m->engine->settings->source_slot;
    struct slot_state slot;
    for (int i = 0; i < DROP_TRIES && !m->stop; i++) {
        if (slot_read(conn, name, &slot, reterr) != 0 ||
            (slot.active && end_reader(conn, slot.active_pid, reterr) != 0))
            return -1;
        if (slot.exists && slot_drop(conn, name, 1, reterr) != 0)
            continue;
        m->drop_wanted = false;
        m->engine->slot_given_up = true;
        log_event(LOG_ERROR, "slot_dropped", "slot=%s why=guard", name);
        vitals_event(m->vitals, LOG_ERROR, "slot_dropped",
                     "the guard has given up slot %s, as guard.action says; a new snapshot is needed", name);
        return 0;
    }
    return -1;
}
