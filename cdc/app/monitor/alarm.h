/* What somebody has to be told: conditions that begin and end. Pure: views in, changes out.
 *
 * A condition that may pass by itself (a lost connection, a lag) is told only when it has lasted; whatever was told is
 * told again when it is over.
 */
#ifndef PGREKEY_APP_MONITOR_ALARM_H
#define PGREKEY_APP_MONITOR_ALARM_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/app/monitor/view.h"

enum alarm {
    ALARM_PAUSED,  /* the breaker, or another pause */
    ALARM_GUARD,   /* the guard over the source's WAL is above calm; told anew when it climbs */
    ALARM_SLOT,    /* the slot is lost, or gone */
    ALARM_SERVERS, /* a server cannot be reached, or sessions keep failing */
    ALARM_LAG,
    ALARM_COUNT,
};
const char *alarm_name(enum alarm alarm);

struct alarm_limits {
    double lag_s;   /* 0: none */
    double after_s; /* how long ALARM_SERVERS has to last */
};

struct alarms {
    bool told[ALARM_COUNT];
    int level[ALARM_COUNT];        /* how bad it was when it was told */
    int64_t since_us[ALARM_COUNT]; /* monotonic; 0: it is not so */
    bool had_slot;
};

struct alarm_change {
    enum alarm alarm;
    bool over;
    char text[ERR_TEXT_MAX + 64]; /* a sentence without values */
};

/* Returns how many of the changes there are. */
size_t alarms_look(struct alarms *alarms, const struct alarm_limits *limits, const struct view *view, int64_t now_us,
                   struct alarm_change changes[ALARM_COUNT]);

#endif
