/* How fast something moves, from looks at it about once a second, and how long it will take to catch up.
 *
 * Not locked: its owner does that.
 */
#ifndef PGREKEY_LAG_PACE_H
#define PGREKEY_LAG_PACE_H

#include <stddef.h>
#include <stdint.h>

#define PACE_LOOKS 64

struct pace {
    struct pace_look {
        int64_t at_us; /* monotonic */
        uint64_t value;
    } looks[PACE_LOOKS]; /* a ring */
    size_t count, next;
};

/* A value below the last one (a counter that began anew) begins anew. */
void pace_note(struct pace *pace, uint64_t value, int64_t now_us);
/* Units a second over the last `window_us` (as far as it was looked at); 0 before there are two looks. */
double pace_rate(const struct pace *pace, int64_t window_us);

/* Seconds until `behind` is worked off, while `arriving` a second comes on top of it and `leaving` a second goes. 0:
 * nothing is behind. -1: never at this pace. */
double pace_time_left_s(double behind, double arriving, double leaving);

#endif
