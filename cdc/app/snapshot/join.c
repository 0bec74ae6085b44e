#include "cdc/app/snapshot/join.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/engine/receiver.h"
#include "cdc/app/snapshot/resync_piece.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/pg/pg.h"

#define STAY_ROWS 1000 /* after so many the servers hear of us */

/* --- who may come late --- */

static const char *name_of(const struct map *map, const struct map_step *step)
{
    return step->kind == STEP_RULE ? map_rule(map, (size_t)step->index)->name
                                   : map_derivation(map, (size_t)step->index)->name;
}

static bool is_in(const struct sink_step *steps, size_t count, const char *name, const char *state)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(steps[i].name, name) == 0 && strcmp(steps[i].state, state) == 0)
            return true;
    return false;
}

/* Steps stand in their order, so whoever leans on one comes behind it: one pass from the last to the first. A
 * derivation that was there before leans on nothing: its rows stand, and it rests. Nor is a rule that is back leaned
 * on, for its rows stand too. */
static void find_leaned_on(const struct map *map, const struct map_step *steps, size_t count, const bool *new,
                           const bool *back, bool *leaned)
{
    for (size_t i = count; i-- > 0;)
        for (size_t c = i + 1; c < count && !back[i]; c++)
            if (map_needs(map, &steps[c], &steps[i]) && (new[c] || back[c] ? leaned[c] : steps[c].kind == STEP_RULE))
                leaned[i] = true;
}

void join_find(const struct map *map, const struct sink_step *due, size_t due_count, bool *ret_may)
{
    size_t count;
    const struct map_step *steps = map_steps(map, &count);
    bool *new = mem_zalloc(count + 1, sizeof(*new)), *back = mem_zalloc(count + 1, sizeof(*back)),
         *leaned = mem_zalloc(count + 1, sizeof(*leaned));
    for (size_t i = 0; i < count; i++) {
        new[i] = is_in(due, due_count, name_of(map, &steps[i]), "new");
        back[i] = is_in(due, due_count, name_of(map, &steps[i]), "back");
    }
    find_leaned_on(map, steps, count, new, back, leaned);
    for (size_t i = 0; i < count; i++)
        if (steps[i].kind == STEP_RULE)
            ret_may[steps[i].index] = (new[i] || back[i]) && !leaned[i];
    free(new);
    free(back);
    free(leaned);
}

bool *join_back(const struct map *map, const struct sink_step *due, size_t due_count)
{
    bool *back = mem_zalloc(map_rule_count(map) + 1, sizeof(*back));
    for (size_t i = 0; i < map_rule_count(map); i++)
        back[map_rule(map, i)->index] = is_in(due, due_count, map_rule(map, i)->name, "back");
    return back;
}

/* --- a part --- */

static int add_change(struct receiver *r, const struct part *part, struct change *change, struct err *reterr)
{
    for (size_t i = 0; i < part->rule_count; i++) {
        struct row *row = NULL;
        if (map_transform_rule(r->engine->binding.map, part->rules[i], change, &r->handover->filling->arena, &row,
                               reterr) != 0)
            return -1;
        receiver_add_row(r, row);
    }
    return receiver_is_full(r, FILL_INSIDE) ? receiver_wait_for_applier(r, reterr) : 0;
}

static int read_rows(struct piece *p, const struct part *part, struct copy_reader *reader, struct seen *seen,
                     struct err *reterr)
{
    struct receiver *r = p->receiver;
    for (;;) {
        struct change *change = NULL;
        int more = copy_reader_next(reader, p->point->lsn, &r->handover->filling->arena, &change, reterr);
        if (more <= 0)
            return more;
        seen_add(seen, change);
        if (add_change(r, part, change, reterr) != 0 ||
            (++p->record->rows % STAY_ROWS == 0 && receiver_stay(r, reterr) != 0))
            return -1;
    }
}

/* Of a new rule no target row can be without a source row. */
static size_t those_back(const struct engine *engine, const struct part *part, const struct rule **ret_rules)
{
    size_t count = 0;
    for (size_t i = 0; i < part->rule_count; i++)
        if (engine->back && engine->back[part->rules[i]->index])
            ret_rules[count++] = part->rules[i];
    return count;
}

int join_read(struct piece *p, const struct part *part, struct err *reterr)
{
    struct engine *engine = p->receiver->engine;
    const struct rule **back = mem_alloc((part->rule_count + 1) * sizeof(*back));
    size_t count = those_back(engine, part, back);
    struct copy_reader *reader = NULL;
    struct seen seen;
    PGconn *conn = NULL;
    seen_init(&seen, engine->binding.map, back, count);
    int failed = engine_open_source(engine->settings, "join rows", ENGINE_PATIENT, &conn, reterr) != 0 ||
                 snapshot_join(conn, p->point->name, reterr) != 0 ||
                 copy_reader_open(conn, &part->range, engine_never, engine, &reader, reterr) != 0 ||
                 read_rows(p, part, reader, &seen, reterr) != 0;
    copy_reader_close(reader);
    pg_close(conn);
    failed = failed || piece_remove_strays(p, back, count, &part->range, &seen, reterr) != 0;
    seen_done(&seen);
    free(back);
    return failed ? -1 : 0;
}
