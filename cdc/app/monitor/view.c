#include "cdc/app/monitor/view.h"

#include <stdlib.h>

/* The main thread passes by several times a second while it streams. Elsewhere it may wait for a server for long. */
#define MAIN_THREAD_MAX_S 300
#define SERVER_MAX_S 30

void view_done(struct view *view)
{
    for (size_t i = 0; i < view->rule_count; i++) {
        free(view->rules[i].name);
        free(view->rules[i].source_table);
        free(view->rules[i].target_table);
    }
    for (size_t i = 0; i < view->quarantine_count; i++) {
        free(view->quarantine[i].rule);
        free(view->quarantine[i].category);
    }
    free(view->rules);
    free(view->series);
    free(view->quarantine);
}

const char *view_not_ready(const struct view *view)
{
    if (view->paused)
        return "paused";
    switch (view->phase) {
    case PHASE_CONNECTING: return "connecting";
    case PHASE_SNAPSHOT: return "snapshot under way";
    case PHASE_PAUSED: return "paused";
    case PHASE_RECONNECTING: return "reconnecting";
    case PHASE_STREAMING: break;
    }
    if (!view->source_reached || view->source_age_s > SERVER_MAX_S)
        return "the source cannot be reached";
    if (view->has_target && (!view->target_reached || view->target_age_s > SERVER_MAX_S))
        return "the target cannot be reached";
    if (view->join_lsn > view->stages[STAGE_APPLIED].lsn && view->join_lsn > view->stages[STAGE_CONFIRMED].lsn)
        return "a resumed snapshot is not joined yet: some transactions are there in part";
    return "";
}

bool view_healthy(const struct view *view, double main_thread_age_s)
{
    return view->phase != PHASE_STREAMING || main_thread_age_s < MAIN_THREAD_MAX_S;
}
