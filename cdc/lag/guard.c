#include "cdc/lag/guard.h"

/* How far below a level's entry its end lies, as a part of the limit. */
#define LEAVE_BELOW 0.05

const char *guard_level_name(enum guard_level level)
{
    switch (level) {
    case GUARD_CALM: return "calm";
    case GUARD_WARN: return "warn";
    case GUARD_ACT: return "act";
    case GUARD_FULL: return "full";
    }
    return "unknown";
}

static int64_t limit_of(const struct guard_limits *limits, const struct guard_slot *slot)
{
    int64_t limit = limits->budget_bytes;
    if (slot->has_safe_wal_size) {
        int64_t allowed = slot->retained_bytes + (slot->safe_wal_size > 0 ? slot->safe_wal_size : 0);
        if (limit == 0 || allowed < limit)
            limit = allowed;
    }
    return limit;
}

static double entry_of(const struct guard_limits *limits, enum guard_level level)
{
    switch (level) {
    case GUARD_CALM: break;
    case GUARD_WARN: return limits->warn_percent / 100.0;
    case GUARD_ACT: return limits->act_percent / 100.0;
    case GUARD_FULL: return 1;
    }
    return 0;
}

static enum guard_level level_of(const struct guard *guard, const struct guard_limits *limits)
{
    enum guard_level level = GUARD_CALM;
    for (int next = GUARD_WARN; next <= GUARD_FULL; next++) {
        bool holds = (int)guard->level >= next;
        if (guard->used >= entry_of(limits, (enum guard_level)next) - (holds ? LEAVE_BELOW : 0))
            level = (enum guard_level)next;
    }
    return level;
}

bool guard_look(struct guard *guard, const struct guard_limits *limits, const struct guard_slot *slot)
{
    enum guard_level before = guard->level;
    if (slot->lost) {
        guard->level = GUARD_FULL;
        guard->used = 1;
        guard->full_in_s = 0;
        return guard->level != before;
    }
    if (slot->retained_bytes < 0)
        return false;
    guard->limit_bytes = limit_of(limits, slot);
    guard->used = guard->limit_bytes > 0 ? (double)slot->retained_bytes / (double)guard->limit_bytes : 0;
    guard->full_in_s = -1;
    if (guard->limit_bytes > 0 && guard->used >= 1)
        guard->full_in_s = 0;
    else if (guard->limit_bytes > 0 && slot->growth > 0)
        guard->full_in_s = (double)(guard->limit_bytes - slot->retained_bytes) / slot->growth;
    enum guard_level level = guard->limit_bytes > 0 ? level_of(guard, limits) : GUARD_CALM;
    guard->level = slot->unreserved && level < GUARD_ACT ? GUARD_ACT : level;
    return guard->level != before;
}
