#include "cdc/app/join.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/receiver.h"
#include "cdc/app/snapshot.h"
#include "cdc/pg/pg.h"

#define STAY_ROWS 1000 /* after so many the servers hear of us */

/* --- who may come late --- */

static const char *name_of(const struct map *map, const struct map_step *step)
{
    return step->kind == STEP_RULE ? map_rule(map, (size_t)step->index)->name
                                   : map_derivation(map, (size_t)step->index)->name;
}

static bool is_new(const struct sink_step *steps, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(steps[i].name, name) == 0 && strcmp(steps[i].state, "new") == 0)
            return true;
    return false;
}

/* Steps stand in their order, so whoever leans on one comes behind it: one pass from the last to the first. A
 * derivation that was there before leans on nothing: its rows stand, and it rests. */
static void find_leaned_on(const struct map *map, const struct map_step *steps, size_t count, const bool *new,
                           bool *leaned)
{
    for (size_t i = count; i-- > 0;)
        for (size_t c = i + 1; c < count; c++)
            if (map_needs(map, &steps[c], &steps[i]) && (new[c] ? leaned[c] : steps[c].kind == STEP_RULE))
                leaned[i] = true;
}

void join_find(const struct map *map, const struct sink_step *due, size_t due_count, bool *ret_may)
{
    size_t count;
    const struct map_step *steps = map_steps(map, &count);
    bool *new = mem_zalloc(count + 1, sizeof(*new)), *leaned = mem_zalloc(count + 1, sizeof(*leaned));
    for (size_t i = 0; i < count; i++)
        new[i] = is_new(due, due_count, name_of(map, &steps[i]));
    find_leaned_on(map, steps, count, new, leaned);
    for (size_t i = 0; i < count; i++)
        if (steps[i].kind == STEP_RULE)
            ret_may[steps[i].index] = new[i] && !leaned[i];
    free(new);
    free(leaned);
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

static int read_rows(struct receiver *r, const struct part *part, struct copy_reader *reader, uint64_t lsn,
                     uint64_t *ret_rows, struct err *reterr)
{
    for (uint64_t rows = 0;; rows++) {
        struct change *change = NULL;
        int more = copy_reader_next(reader, lsn, &r->handover->filling->arena, &change, reterr);
        *ret_rows = rows;
        if (more <= 0)
            return more;
        if (add_change(r, part, change, reterr) != 0 ||
            (rows % STAY_ROWS == STAY_ROWS - 1 && receiver_stay(r, reterr) != 0))
            return -1;
    }
}

int join_read(struct receiver *r, const struct part *part, const struct snapshot_point *point, uint64_t *ret_rows,
              struct err *reterr)
{
    PGconn *conn = NULL;
    struct copy_reader *reader = NULL;
    int failed = engine_open_source(r->engine->settings, "join rows", ENGINE_PATIENT, &conn, reterr) != 0 ||
                 snapshot_join(conn, point->name, reterr) != 0 ||
                 copy_reader_open(conn, &part->range, engine_never, r->engine, &reader, reterr) != 0 ||
                 read_rows(r, part, reader, point->lsn, ret_rows, reterr) != 0;
    copy_reader_close(reader);
    pg_close(conn);
    return failed ? -1 : 0;
}
