#include "cdc/app/snapshot/crew.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/engine/run.h"
#include "cdc/base/arena.h"
#include "cdc/base/log.h"

#define DEADLOCK "40P01"
#define TRIES_MAX 100 /* of one part */
#define TRY_REST_US 10000
#define IDLE_US 50000

void crew_init(struct crew *crew, const struct crew_ops *ops, void *context, size_t hand_count)
{
    *crew = (struct crew){.ops = ops, .context = context, .hand_count = hand_count};
    crew->hands = mem_zalloc(hand_count + 1, sizeof(*crew->hands));
    for (size_t i = 0; i < hand_count; i++)
        crew->hands[i].crew = crew;
    pthread_mutex_init(&crew->lock, NULL);
}

void crew_done(struct crew *crew)
{
    pthread_mutex_destroy(&crew->lock);
    free(crew->hands);
    free(crew->parts);
}

void crew_add(struct crew *crew, int id, int level, bool done)
{
    crew->parts = mem_realloc(crew->parts, (crew->part_count + 1) * sizeof(*crew->parts));
    crew->parts[crew->part_count++] = (struct crew_part){.id = id, .level = level, .done = done};
}

bool crew_wanted(const struct crew *crew, int level)
{
    for (size_t i = 0; i < crew->part_count; i++)
        if (crew->parts[i].level == level && !crew->parts[i].done)
            return true;
    return false;
}

void crew_count(struct crew_hand *hand)
{
    hand->rows++;
    hand->crew->rows++;
}

bool crew_stops(const struct crew_hand *hand)
{
    return run_stop || hand->crew->failed;
}

/* --- a worker --- */

/* The first failure is the one that is told. */
static void fail(struct crew *crew, const struct err *err)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->failed)
        crew->err = *err;
    crew->failed = true;
    pthread_mutex_unlock(&crew->lock);
}

static int load_part(struct crew_hand *hand, size_t index, struct err *reterr)
{
    struct crew *crew = hand->crew;
    uint64_t lost = 0;
    for (int tries = 1;; tries++) {
        struct err err = {0};
        uint64_t before = hand->rows;
        if (crew->ops->load(hand, index, &err) == 0) {
            crew->parts[index].done = true;
            return 0;
        }
        lost += hand->rows - before;
        crew->rows -= hand->rows - before;
        crew->ops->forget(hand);
        if (strcmp(err.sqlstate, DEADLOCK) != 0 || tries == TRIES_MAX || crew_stops(hand)) {
            *reterr = err;
            return -1;
        }
        log_event(LOG_WARN, "snapshot_part_again", "part=%d rows=%llu sqlstate=%s", crew->parts[index].id,
                  (unsigned long long)lost, err.sqlstate);
        usleep((useconds_t)(tries * TRY_REST_US));
    }
}

static void *hand_main(void *arg)
{
    struct crew_hand *hand = arg;
    struct crew *crew = hand->crew;
    struct err err = {0};
    int failed = hand->open ? 0 : crew->ops->open(hand, &err);
    hand->open = true;
    while (!failed && !crew_stops(hand)) {
        size_t next = crew->next++;
        if (next >= crew->part_count)
            break;
        if (crew->parts[next].level == crew->level && !crew->parts[next].done)
            failed = load_part(hand, next, &err);
    }
    if (failed)
        fail(crew, &err);
    crew->active--;
    return NULL;
}

/* --- the main thread meanwhile --- */

int crew_load(struct crew *crew, int level, struct err *reterr)
{
    size_t started = 0;
    if (!crew_wanted(crew, level))
        return 0;
    crew->level = level;
    crew->next = 0;
    for (; started < crew->hand_count && !crew->failed; started++) {
        crew->active++;
        if (pthread_create(&crew->hands[started].thread, NULL, hand_main, &crew->hands[started]) == 0)
            continue;
        struct err err = {0};
        crew->active--;
        (void)err_set(&err, ERR_FATAL, "starting a snapshot worker failed");
        fail(crew, &err);
        break;
    }
    while (crew->active > 0) {
        crew->ops->idle(crew->context, crew->rows);
        usleep(IDLE_US);
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(crew->hands[i].thread, NULL);
    if (crew->failed) {
        *reterr = crew->err;
        return -1;
    }
    return run_stop ? err_set(reterr, ERR_STOP, "stopped") : 0;
}
