#include "cdc/app/snapshot/sweep.h"

#include <stdlib.h>

#include "cdc/base/log.h"

#define KEYS_A_PIECE 1000

void sweep_begin(struct sweep *sweep)
{
    sweep_done(sweep);
    arena_init(&sweep->arena, 0);
    sweep->open = true;
}

void sweep_done(struct sweep *sweep)
{
    if (sweep->open)
        arena_done(&sweep->arena);
    free(sweep->keys);
    *sweep = (struct sweep){0};
}

bool sweep_is_due(const struct sweep *sweep, const struct resync_record *record)
{
    return sweep->open && !record->lo && !record->hi && record->key_count == 0;
}

static int take(void *context, const char *key, struct err *reterr)
{
    struct sweep *sweep = context;
    (void)reterr;
    if (sweep->count == sweep->capacity) {
        sweep->capacity = sweep->capacity ? sweep->capacity * 2 : 1024;
        sweep->keys = mem_realloc(sweep->keys, sweep->capacity * sizeof(*sweep->keys));
    }
    sweep->keys[sweep->count++] = arena_strdup(&sweep->arena, key);
    return 0;
}

static int stay(void *context, struct err *reterr)
{
    const struct sweep *sweep = context;
    if (run_stop)
        return err_set(reterr, ERR_STOP, "stopped");
    return receiver_stay(sweep->receiver, reterr);
}

int sweep_look(struct sweep *sweep, struct receiver *receiver, const struct relation *relation,
               const struct resync_record *record, struct err *reterr)
{
    const struct engine *engine = receiver->engine;
    size_t count;
    const struct rule *const *rules = map_rules_of(engine->binding.map, relation, &count);
    const struct sink_strays strays = {.context = sweep, .take = take, .stay = stay};
    sweep->receiver = receiver;
    while (sweep->at == sweep->count && sweep->rule < count) {
        if (rules[sweep->rule]->on_delete != DELETE_ROW || sweep->place == UINT64_MAX) {
            sweep->rule++;
            sweep->place = 0;
            continue;
        }
        sweep->at = sweep->count = 0;
        arena_reset(&sweep->arena, (size_t)1 << 20);
        if (sink_strays_find(engine->sink, rules[sweep->rule], record->since, &sweep->place, &strays, reterr) != 0)
            return -1;
        if (sweep->count)
            log_event(LOG_INFO, "resync_strays", "table=%s rule=%s candidates=%zu", record->table,
                      rules[sweep->rule]->name, sweep->count);
    }
    return 0;
}

int sweep_read(struct sweep *sweep, struct piece *piece, struct err *reterr)
{
    size_t count, end = sweep->at + KEYS_A_PIECE < sweep->count ? sweep->at + KEYS_A_PIECE : sweep->count;
    const struct rule *const *rules = map_rules_of(piece->receiver->engine->binding.map, piece->relation, &count);
    piece->last = sweep->rule >= count;
    if (piece->last)
        return 0;
    if (piece_read_gone(piece, rules[sweep->rule], sweep->keys + sweep->at, end - sweep->at, reterr) != 0)
        return -1;
    sweep->at = end;
    return 0;
}
