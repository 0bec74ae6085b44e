/* The guard over the source's disk: how near the WAL that the slot retains is to what the source can bear. Pure.
 *
 *     retained ────────────▶ warn_percent ───▶ act_percent ───▶ limit
 *                  CALM          WARN             ACT           FULL
 *
 * The limit is whichever comes first: `safe_wal_size` (what the server allows the slot, max_slot_wal_keep_size), and a
 * budget in bytes from the settings, for a managed database shows no free disk. Where neither is known, there is
 * nothing to guard, and that is said. A level is left only well below where it was entered, so that nobody is told
 * twice a minute.
 */
#ifndef PGREKEY_LAG_GUARD_H
#define PGREKEY_LAG_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum guard_level { GUARD_CALM, GUARD_WARN, GUARD_ACT, GUARD_FULL };
const char *guard_level_name(enum guard_level level);

enum guard_action { GUARD_ALERT, GUARD_STOP_SNAPSHOTS, GUARD_DROP_SLOT };

struct guard_limits {
    int64_t budget_bytes; /* 0: none */
    int warn_percent, act_percent;
};

struct guard_slot {
    int64_t retained_bytes; /* -1: not known; then the level stays */
    bool has_safe_wal_size;
    int64_t safe_wal_size; /* how much more may be written */
    bool unreserved, lost;
    double growth; /* retained bytes a second, over some minutes */
};

struct guard {
    enum guard_level level;
    int64_t limit_bytes; /* 0: none known */
    double used;         /* retained / limit; 0 where no limit is known */
    double full_in_s;    /* at this growth; -1: it does not grow, or no limit is known */
};

/* What the slot is like now; true where the level has changed. */
bool guard_look(struct guard *guard, const struct guard_limits *limits, const struct guard_slot *slot);

#endif
