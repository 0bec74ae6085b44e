#include "cdc/app/monitor/alarm.h"

#include <stdio.h>
#include <string.h>

#include "cdc/app/cmd/progress.h"

/* A lag that was told is over well below its limit, so that nobody is told twice a minute. */
#define LAG_OVER 0.5

const char *alarm_name(enum alarm alarm)
{
    static const char *const names[ALARM_COUNT] = {"paused", "guard", "slot", "servers", "lag"};
    return names[alarm];
}

/* How bad it is; 0: not at all. *ret_text, where it is. */
static int judge_slot(struct alarms *alarms, const struct view *view, char *text, size_t size)
{
    if (view->source_age_s < 0)
        return 0;
    if (strcmp(view->slot.wal_status, "lost") == 0) {
        snprintf(text, size, "slot %s is lost: the source removed WAL that it needed", view->slot_name);
        return 1;
    }
    alarms->had_slot |= view->slot.exists;
    if (view->slot.exists || !alarms->had_slot)
        return 0;
    snprintf(text, size, "slot %s is gone from the source", view->slot_name);
    return 1;
}

static int judge_servers(const struct view *view, char *text, size_t size)
{
    const char *which = !view->source_reached                       ? "the source"
                        : view->has_target && !view->target_reached ? "the target"
                                                                    : NULL;
    if (which)
        snprintf(text, size, "%s cannot be reached", which);
    else if (view->phase == PHASE_RECONNECTING)
        snprintf(text, size, "sessions keep failing");
    return which || view->phase == PHASE_RECONNECTING;
}

static int judge(struct alarms *alarms, enum alarm alarm, const struct alarm_limits *limits, const struct view *view,
                 char *text, size_t size)
{
    char part[32], whole[32];
    switch (alarm) {
    case ALARM_PAUSED: snprintf(text, size, "%s: %s", view->pause_category, view->pause_reason); return view->paused;
    case ALARM_GUARD:
        snprintf(text, size, "level %s: the slot keeps %s of WAL on the source, of %s",
                 guard_level_name(view->guard.level), progress_bytes((double)view->retained_bytes, part, sizeof(part)),
                 progress_bytes((double)view->guard.limit_bytes, whole, sizeof(whole)));
        return (int)view->guard.level;
    case ALARM_SLOT: return judge_slot(alarms, view, text, size);
    case ALARM_SERVERS: return judge_servers(view, text, size);
    case ALARM_LAG:
        snprintf(text, size, "%s behind", progress_duration(view->lag_s, part, sizeof(part)));
        return limits->lag_s > 0 && view->phase != PHASE_SNAPSHOT &&
               view->lag_s >= limits->lag_s * (alarms->told[ALARM_LAG] ? LAG_OVER : 1);
    case ALARM_COUNT: break;
    }
    return 0;
}

size_t alarms_look(struct alarms *alarms, const struct alarm_limits *limits, const struct view *view, int64_t now_us,
                   struct alarm_change changes[ALARM_COUNT])
{
    size_t count = 0;
    for (int i = 0; i < ALARM_COUNT; i++) {
        struct alarm_change *change = &changes[count];
        *change = (struct alarm_change){.alarm = (enum alarm)i};
        int level = judge(alarms, change->alarm, limits, view, change->text, sizeof(change->text));
        double lasts_s = i == ALARM_SERVERS ? limits->after_s : 0;
        if (level == 0) {
            change->over = alarms->told[i];
            alarms->told[i] = false;
            alarms->level[i] = 0;
            alarms->since_us[i] = 0;
            if (change->over)
                snprintf(change->text, sizeof(change->text), "back to normal");
            count += change->over;
            continue;
        }
        if (alarms->since_us[i] == 0)
            alarms->since_us[i] = now_us;
        if (level > alarms->level[i] && (double)(now_us - alarms->since_us[i]) / 1e6 >= lasts_s) {
            alarms->told[i] = true;
            alarms->level[i] = level;
            count++;
        }
    }
    return count;
}
