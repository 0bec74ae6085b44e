/* Workers that load parts side by side, level by level: who takes which part, who tries again, the first failure, and
 * what the main thread does meanwhile. How a part comes to the target is the caller's (struct crew_ops).
 *
 * Two loaders that write rows with the same unique values may wait for each other. Whoever is chosen to give way has
 * lost only its part, for a part is one transaction of the target: it loads it again, while the other goes on.
 */
#ifndef PGREKEY_APP_CREW_H
#define PGREKEY_APP_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/err.h"

struct crew;

/* A worker, on a thread of its own while a level is loaded. */
struct crew_hand {
    struct crew *crew;
    void *own; /* what the caller put there before the first level */
    pthread_t thread;
    bool open;
    uint64_t rows;
};

struct crew_ops {
    /* Connects; once, on the worker's thread, before its first part. What it opened is the caller's to close, after a
     * failure too. */
    int (*open)(struct crew_hand *hand, struct err *reterr) MUST_CHECK;
    /* Loads the part of this index, counting rows by crew_count(). */
    int (*load)(struct crew_hand *hand, size_t part, struct err *reterr) MUST_CHECK;
    /* Forgets what a load that failed has left in hand. */
    void (*forget)(struct crew_hand *hand);
    /* On the main thread, again and again while workers run. */
    void (*idle)(void *context, uint64_t rows);
};

struct crew_part {
    int id, level;
    bool done;
};

struct crew {
    const struct crew_ops *ops;
    void *context; /* the caller's */
    struct crew_hand *hands;
    size_t hand_count;
    struct crew_part *parts;
    size_t part_count;
    int level;             /* the one being loaded */
    _Atomic size_t next;   /* of all parts; a worker skips those of other levels */
    _Atomic size_t active; /* workers */
    _Atomic uint64_t rows;
    _Atomic bool failed;
    pthread_mutex_t lock;
    struct err err; /* the first worker's */
};

/* ops and context outlive the crew. */
void crew_init(struct crew *crew, const struct crew_ops *ops, void *context, size_t hand_count);
void crew_done(struct crew *crew);
/* Parts keep the order in which they are added: index 0, 1, … */
void crew_add(struct crew *crew, int id, int level, bool done);
/* Is a part of the level still to be loaded? */
bool crew_wanted(const struct crew *crew, int level);
/* Loads them; blocks until the last worker has ended. A level that wants none costs no worker. ERR_STOP on run_stop. */
int crew_load(struct crew *crew, int level, struct err *reterr) MUST_CHECK;

/* For a load: one row more; whether it should end early, with ERR_STOP. */
void crew_count(struct crew_hand *hand);
bool crew_stops(const struct crew_hand *hand);

#endif
