#include "cdc/lag/pace.h"

static const struct pace_look *look_back(const struct pace *pace, size_t steps)
{
    return &pace->looks[(pace->next + PACE_LOOKS - 1 - steps) % PACE_LOOKS];
}

void pace_note(struct pace *pace, uint64_t value, int64_t now_us)
{
    if (pace->count > 0 && look_back(pace, 0)->value > value)
        pace->count = 0;
    pace->looks[pace->next] = (struct pace_look){.at_us = now_us, .value = value};
    pace->next = (pace->next + 1) % PACE_LOOKS;
    if (pace->count < PACE_LOOKS)
        pace->count++;
}

double pace_rate(const struct pace *pace, int64_t window_us)
{
    if (pace->count < 2)
        return 0;
    const struct pace_look *newest = look_back(pace, 0), *oldest = look_back(pace, 1);
    for (size_t steps = 2; steps < pace->count && newest->at_us - look_back(pace, steps)->at_us <= window_us; steps++)
        oldest = look_back(pace, steps);
    int64_t took_us = newest->at_us - oldest->at_us;
    return took_us > 0 ? (double)(newest->value - oldest->value) * 1e6 / (double)took_us : 0;
}

double pace_time_left_s(double behind, double arriving, double leaving)
{
    if (behind <= 0)
        return 0;
    return leaving > arriving ? behind / (leaving - arriving) : -1;
}
