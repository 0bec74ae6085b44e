#include "sinks/postgres/state/account.h"

static struct account_delta counts_of(enum account_state state)
{
    switch (state) {
    case STATE_MAPPED: return (struct account_delta){.mapped = 1};
    case STATE_QUARANTINED: return (struct account_delta){.quarantined = 1};
    case STATE_EXCLUDED:
    case STATE_DISCARDED: return (struct account_delta){.excluded = 1};
    case STATE_DELETE_REFUSED: return (struct account_delta){.failed_deletes = 1};
    case STATE_ABSENT:
    case STATE_DELETE_DISCARDED:
    case STATE_COUNT: break;
    }
    return (struct account_delta){0};
}

static enum account_state discarded(enum account_state state)
{
    switch (state) {
    case STATE_QUARANTINED: return STATE_DISCARDED;
    case STATE_DELETE_REFUSED: return STATE_DELETE_DISCARDED;
    default: return state; /* there is nothing to give up */
    }
}

static enum account_state next(enum account_state state, enum account_event event)
{
    switch (event) {
    case EVENT_APPLIED: return STATE_MAPPED;
    case EVENT_FAILED: return STATE_QUARANTINED;
    case EVENT_NOT_WANTED: return STATE_EXCLUDED;
    case EVENT_DELETED: return STATE_ABSENT;
    case EVENT_DELETE_FAILED: return STATE_DELETE_REFUSED;
    case EVENT_DISCARD: return discarded(state);
    case EVENT_COUNT: break;
    }
    return state;
}

enum account_state account_next(enum account_state state, enum account_event event, struct account_delta *ret_delta)
{
    enum account_state to = next(state, event);
    struct account_delta before = counts_of(state), after = counts_of(to);
    *ret_delta = (struct account_delta){
        .mapped = after.mapped - before.mapped,
        .quarantined = after.quarantined - before.quarantined,
        .excluded = after.excluded - before.excluded,
        .failed_deletes = after.failed_deletes - before.failed_deletes,
    };
    return to;
}

void account_add(struct account *sum, const struct account *more)
{
    sum->mapped += more->mapped;
    sum->quarantined += more->quarantined;
    sum->excluded += more->excluded;
    sum->failed_deletes += more->failed_deletes;
    sum->deletes += more->deletes;
}
