/* Says once when a rule holds more rows in quarantine than its mapping accepts, and again when that comes anew. */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/engine/engine.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"

#define LOOK_US INT64_C(5000000)

static bool any_accepted(const struct map *map)
{
    for (size_t i = 0; i < map_rule_count(map); i++)
        if (map_rule(map, i)->accept_loss.kind != LOSS_UNSAID)
            return true;
    for (size_t i = 0; i < map_derivation_count(map); i++)
        if (map_derivation(map, i)->accept_loss.kind != LOSS_UNSAID)
            return true;
    return false;
}

static bool was_told(const struct losses *losses, const char *step)
{
    for (size_t i = 0; i < losses->count; i++)
        if (strcmp(losses->told[i].step, step) == 0)
            return true;
    return false;
}

int losses_tell(struct engine *engine, struct err *reterr)
{
    struct losses *losses = &engine->losses;
    struct sink_loss *now = NULL;
    size_t count = 0;
    int64_t now_us = clock_mono_us();
    if (now_us < losses->next_us || !any_accepted(engine->binding.map))
        return 0;
    losses->next_us = now_us + LOOK_US;
    if (sink_losses(engine->sink, &now, &count, reterr) != 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        char name[LOG_QUOTED_MAX];
        if (!was_told(losses, now[i].step))
            log_event(LOG_WARN, "loss_exceeded", "slot=%s step=%s quarantined=%lld accepted=%lld",
                      engine->settings->source_slot, log_quote(now[i].step, name, sizeof(name)),
                      (long long)now[i].quarantined, (long long)now[i].accepted);
    }
    losses_done(losses);
    losses->told = now;
    losses->count = count;
    return 0;
}

void losses_done(struct losses *losses)
{
    sink_losses_free(losses->told, losses->count);
    losses->told = NULL;
    losses->count = 0;
}
