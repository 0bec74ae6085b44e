#include "cdc/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t clock_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

const char *clock_format_utc(int64_t wall_us, char *text, size_t size)
{
    int64_t seconds = wall_us / 1000000, micros = wall_us % 1000000;
    if (micros < 0) { /* before 1970 */
        seconds--;
        micros += 1000000;
    }
    time_t when = (time_t)seconds;
    struct tm utc;
    char date[40];

    if (!gmtime_r(&when, &utc) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        snprintf(text, size, "?");
    else
        snprintf(text, size, "%s.%03dZ", date, (int)(micros / 1000));
    return text;
}
