#include "cdc/app/engine/turn.h"

#include <string.h>
#include <unistd.h>

#include "cdc/app/engine/engine.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

#define POLL_US (200 * 1000)
#define KEY "hashtextextended('pgrekey publishes from ' || $1, 0)"

static int ask(struct engine *engine, const char *sql, bool *ret_yes, struct err *reterr)
{
    const char *params[] = {engine->settings->source_slot};
    PGresult *result = NULL;
    if (pg_query(engine->turn, "source", "taking the publisher's lock", sql, 1, params, &result, reterr) != 0)
        return -1;
    *ret_yes = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
    PQclear(result);
    return 0;
}

/* While another reads the slot, the lock is given back: it may need it to begin a session anew. */
static int try_once(struct engine *engine, bool *ret_mine, struct err *reterr)
{
    struct slot_state slot;
    bool ignored;
    if (ask(engine, "SELECT pg_try_advisory_lock(" KEY ")", ret_mine, reterr) != 0)
        return -1;
    if (!*ret_mine)
        return 0;
    if (slot_read(engine->turn, engine->settings->source_slot, &slot, reterr) != 0)
        return -1;
    if (!slot.exists || !slot.active)
        return 0;
    *ret_mine = false;
    return ask(engine, "SELECT pg_advisory_unlock(" KEY ")", &ignored, reterr);
}

static int refuse(const struct engine *engine, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "another publisher is at work with replication slot %s",
                  engine->settings->source_slot);
    return err_hint(reterr, "another process reads this slot, or takes its snapshot: stop it, or choose another "
                            "source.slot and kafka.prefix");
}

static int wait_for_turn(struct engine *engine, struct err *reterr)
{
    const struct settings *settings = engine->settings;
    int64_t until_us = clock_mono_us() + settings->source_slot_wait_s * 1000000;
    for (bool mine = false, told = false; !run_stop; usleep(POLL_US)) {
        if (try_once(engine, &mine, reterr) != 0)
            return -1;
        if (mine)
            return 0;
        if (clock_mono_us() > until_us)
            return refuse(engine, reterr);
        if (!told)
            log_event(LOG_WARN, "slot_taken", "slot=%s wait_s=%lld", settings->source_slot,
                      (long long)settings->source_slot_wait_s);
        told = true;
    }
    return err_set(reterr, ERR_STOP, "stopped while waiting for another publisher");
}

int turn_take(struct engine *engine, struct err *reterr)
{
    turn_leave(engine);
    if (strcmp(engine->settings->sink, "kafka") != 0)
        return 0;
    if (engine_open_source(engine->settings, "turn", ENGINE_BRIEF, &engine->turn, reterr) != 0)
        return -1;
    return wait_for_turn(engine, reterr);
}

void turn_leave(struct engine *engine)
{
    pg_close(engine->turn);
    engine->turn = NULL;
}
