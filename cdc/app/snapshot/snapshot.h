/* A snapshot from the inside: what snapshot.c, snapshot_plan.c, snapshot_point.c and snapshot_load.c share.
 *
 *     snapshot.c         begin, resume, end, abandon: in which order, and what the record says meanwhile
 *     snapshot_plan.c    tables ─▶ levels ─▶ key ranges ─▶ parts; and the parts of a recorded plan
 *     snapshot_point.c   a point of the stream, and the snapshot of the source that belongs to it
 *     snapshot_load.c    brings parts to the target, level by level, with a crew of workers (crew.h)
 */
#ifndef PGREKEY_APP_SNAPSHOT_H
#define PGREKEY_APP_SNAPSHOT_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/app/engine/engine.h"
#include "cdc/source/rowreader.h"

/* A point of the stream and what the source held there. The snapshot lives as long as the exporter rests. */
struct snapshot_point {
    uint64_t lsn;
    char name[64]; /* the exported snapshot's; what snapshot_join() takes */
    PGconn *exporter;
};

/* With the pipeline's own slot, which begins at this point. `again`: one that is there is ours, and goes first. */
int snapshot_point_of_slot(const struct settings *settings, bool again, struct snapshot_point *ret_point,
                           struct err *reterr) MUST_CHECK;
/* With a temporary slot, which goes with its session: every transaction whose commit ends at or before the point is in
 * the snapshot, every later one is not. That is true of no snapshot that a session takes by itself: a commit enters
 * WAL before others see it. Waits, at most source.slot_wait, for transactions that are open. */
int snapshot_point_temporary(const struct settings *settings, struct snapshot_point *ret_point,
                             struct err *reterr) MUST_CHECK;
/* Its two halves: the first connects, the second waits. */
int snapshot_point_open(const struct settings *settings, struct snapshot_point *ret_point,
                        struct err *reterr) MUST_CHECK;
int snapshot_point_make(const struct settings *settings, struct snapshot_point *point, struct err *reterr) MUST_CHECK;
void snapshot_point_done(struct snapshot_point *point);

/* A key range of a source table, for rules of one level. */
struct part {
    int id, level;
    bool done;
    struct copy_range range;
    const struct rule **rules;
    size_t rule_count;
};

struct snapshot {
    struct engine *engine;
    struct snapshot_point point; /* at which parts that are not done are read */
    uint64_t slot_lsn;           /* where the pipeline's slot begins */
    struct part *parts;          /* by id */
    size_t part_count, part_capacity;
    int level_count;
    int level; /* the one being loaded */
    uint64_t rows;
    double rows_expected;
};

/* Parts for all rules, at s->point. */
int snapshot_plan(struct snapshot *s, struct err *reterr) MUST_CHECK;
/* Records them on the target, with the slot's point. */
int snapshot_plan_record(struct snapshot *s, struct err *reterr) MUST_CHECK;
/* Those of the recorded parts that are not done. `later`, by rule->index, may be NULL: rules that may join while the
 * stream goes on; `wanted`: the parts of these, or all the others. ERR_REFUSED where the mapping no longer has their
 * tables or rules. */
int snapshot_plan_read(struct snapshot *s, const bool *later, bool wanted, struct err *reterr) MUST_CHECK;
/* Of a pipeline that streams: parts for rules that joined it and have none yet, recorded on the target. *ret_later,
 * which the caller frees: as above. */
int snapshot_plan_new(struct engine *engine, bool **ret_later, struct err *reterr) MUST_CHECK;
void snapshot_plan_free(struct snapshot *s);

/* All parts that are not done. */
int snapshot_load(struct snapshot *s, struct err *reterr) MUST_CHECK;

#endif
