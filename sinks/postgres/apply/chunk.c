#include "sinks/postgres/apply/chunk.h"

#include "sinks/postgres/apply/fastpath.h"
#include "sinks/postgres/apply/stage.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/breaker.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/session/shared.h"

/* A failed chunk of at most this many rows goes to row mode; a larger one in pieces first. Pieces are runs in source
 * order, so that what is right for a chunk is right for them. */
#define ROW_MODE_ROWS 48
#define PIECES 8
#define SCRATCH_KEEP_BYTES ((size_t)4 << 20)

static int begin(struct pgsink *s, struct err *reterr)
{
    return session_run(
        s, "beginning a chunk",
        s->deferrable ? "SAVEPOINT pgrekey_chunk; SET CONSTRAINTS ALL DEFERRED" : "SAVEPOINT pgrekey_chunk", reterr);
}

/* What was deferred is checked here, where a failure can still be undone. */
static int end(struct pgsink *s, struct err *reterr)
{
    return session_run(s, "ending a chunk",
                       s->deferrable ? "SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT pgrekey_chunk"
                                     : "RELEASE SAVEPOINT pgrekey_chunk",
                       reterr);
}

static int undo(struct pgsink *s, struct err *reterr)
{
    parents_forget(s->parents);
    stage_rolled_back(s);
    derive_undone(s);
    return session_run(s, "undoing a chunk",
                       s->deferrable ? "ROLLBACK TO SAVEPOINT pgrekey_chunk; RELEASE SAVEPOINT pgrekey_chunk; "
                                       "SET CONSTRAINTS ALL IMMEDIATE"
                                     : "ROLLBACK TO SAVEPOINT pgrekey_chunk; RELEASE SAVEPOINT pgrekey_chunk",
                       reterr);
}

/* A delete that takes rows of other tables with it must not come before a row that is set aside, for that may be the
 * one which leaves the deleted parent. */
static int keep_order(const struct pgsink *s, const struct chunk_plan *plan, struct err *reterr)
{
    for (size_t r = 0; plan->strict && r < s->rule_count; r++)
        if (s->net->rules[r].aside_count)
            return err_set(reterr, ERR_POISON, "a deleted row may take another with it");
    return 0;
}

static int try_as_sets(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    struct account *deltas = arena_zalloc(&s->scratch, s->rule_count, sizeof(*deltas));
    struct chunk_plan plan;

    const struct park_mark mark = park_mark(s);

    if (chunk_plan(s, rows, count, &plan, reterr) || keep_order(s, &plan, reterr) ||
        fastpath_write(s, &plan, deltas, reterr) || end(s, reterr)) {
        park_undo(s, mark);
        return -1;
    }
    park_settle(s);
    for (size_t i = 0; i < s->rule_count; i++)
        counters_add(s, (int)i, &deltas[i]);
    derive_stands(s);
    return 0;
}

static int apply_in_pieces(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    size_t step = (count + PIECES - 1) / PIECES;

    if (count <= ROW_MODE_ROWS) {
        s->figures.row_mode_batches++;
        return rowmode_apply(s, rows, count, reterr);
    }
    for (size_t at = 0; at < count; at += step)
        if (chunk_apply(s, rows + at, count - at < step ? count - at : step, reterr))
            return -1;
    return 0;
}

int chunk_apply(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    struct err failure = {0};
    struct row **aside;
    size_t aside_count;

    if (count == 0)
        return 0;
    arena_reset(&s->scratch, SCRATCH_KEEP_BYTES);
    if ((s->shared && shared_before(s, rows, count, reterr)) || begin(s, reterr))
        return -1;
    if (try_as_sets(s, rows, count, &failure)) {
        if (failure.kind != ERR_POISON) {
            if (reterr)
                *reterr = failure;
            return -1;
        }
        return undo(s, reterr) ? -1 : apply_in_pieces(s, rows, count, reterr);
    }
    aside_count = netchange_aside_rows(s->net, rows, count, &aside);
    breaker_count(s->breaker, count - aside_count, 0);
    return aside_count ? rowmode_apply(s, aside, aside_count, reterr) : 0;
}
