#include "sinks/postgres/session/shared.h"

#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/quarantine/retry.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/session/session.h"

#define TURN_KEYS "hashtext('pgrekey turn'), hashtext($1)"
#define GATE_KEYS "hashtext('pgrekey gate'), hashtext($1)"

static int ask(struct pgsink *s, const char *doing, const char *sql, bool *ret, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;

    if (session_query(s, doing, sql, 1, params, &result, reterr))
        return -1;
    *ret = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

int shared_try_lock(struct pgsink *s, bool *ret_locked, struct err *reterr)
{
    bool streaming;

    if (ask(s, "reading the pipeline's record",
            "SELECT EXISTS (SELECT FROM pgrekey.pipeline WHERE name = $1 AND state = 'streaming')", &streaming, reterr))
        return -1;
    s->shared = streaming;
    return ask(s, "taking the pipeline's lock",
               streaming ? "SELECT pg_try_advisory_lock_shared(" LOCK_KEYS ")"
                         : "SELECT pg_try_advisory_lock(" LOCK_KEYS ")",
               ret_locked, reterr);
}

int pgsink_share(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    bool ignored;

    if (s->shared)
        return 0;
    if (ask(s, "sharing the pipeline's lock", "SELECT pg_advisory_lock_shared(" LOCK_KEYS ") IS NULL", &ignored,
            reterr) ||
        ask(s, "sharing the pipeline's lock", "SELECT pg_advisory_unlock(" LOCK_KEYS ")", &ignored, reterr))
        return -1;
    s->shared = true;
    return 0;
}

static void at_least_one(int64_t *bound)
{
    *bound = *bound > 0 ? *bound : 1;
}

/* Alone, too, where somebody waits for a unique value. Who begins to wait for one while we wait at the gate is passed
 * by here; the sweep comes. */
static int pass_gate(struct pgsink *s, bool alone, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, alone ? "t" : "f"};
    PGresult *result = NULL;

    if (session_query(
            s, "waiting for other workers",
            "SELECT alone, CASE WHEN alone THEN pg_advisory_xact_lock(" GATE_KEYS
            ") ELSE pg_advisory_xact_lock_shared(" GATE_KEYS ") END FROM (SELECT $2::boolean OR EXISTS (SELECT "
            "FROM pgrekey.quarantine WHERE pipeline = $1 AND status <> 'resolved' AND blocked_by IS NOT NULL) "
            "OFFSET 0) AS g (alone)",
            2, params, &result, reterr))
        return -1;
    s->gated = true;
    s->alone = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

int shared_begun(struct pgsink *s, struct err *reterr)
{
    parents_forget(s->parents);
    rowmode_forget_blocked(s);
    s->gated = s->alone = false;
    for (size_t r = 0; r < s->rule_count; r++) {
        at_least_one(&s->rules[r].standing);
        at_least_one(&s->rules[r].pending);
        at_least_one(&s->rules[r].gone);
    }
    for (size_t i = 0; s->derive && i < derive_count(s); i++)
        at_least_one(derive_standing(s, i));
    for (size_t p = 0; p < s->references.place_count; p++) {
        at_least_one(&s->references.places[p].waiting);
        at_least_one(&s->references.places[p].pending);
    }
    return s->in_turn ? pass_gate(s, true, reterr) : 0;
}

static bool reaches_out(const struct pgsink *s, const struct row *row)
{
    const struct target *target = &s->rules[row->rule->index].target;

    return (s->derive && derive_reads(s, row->rule)) || row->op == ROW_TRUNCATE ||
           (target->here_count && (row->op == ROW_DELETE || row->op == ROW_EXCLUDE || row->old_locator));
}

int shared_before(struct pgsink *s, struct row *const *rows, size_t count, struct err *reterr)
{
    bool alone = s->must_be_alone;

    if (s->gated)
        return 0;
    for (size_t i = 0; i < count && !alone; i++)
        alone = reaches_out(s, rows[i]);
    return pass_gate(s, alone, reterr);
}

bool shared_may_wake(const struct pgsink *s)
{
    return !s->shared || s->in_turn;
}

int shared_reach_out(struct pgsink *s, struct err *reterr)
{
    if (!s->shared || s->alone)
        return 0;
    s->must_be_alone = true;
    return err_set(reterr, ERR_RETRY, "rows of other workers are concerned");
}

bool shared_may_release(const struct pgsink *s)
{
    return !s->shared || s->alone;
}

int shared_take_turn(struct pgsink *s, bool *ret_ours, struct err *reterr)
{
    if (ask(s, "taking the turn", "SELECT pg_try_advisory_lock(" TURN_KEYS ")", ret_ours, reterr))
        return -1;
    s->in_turn = *ret_ours;
    return 0;
}

int shared_end_turn(struct pgsink *s, struct err *reterr)
{
    bool ignored;

    s->in_turn = false;
    return ask(s, "ending the turn", "SELECT pg_advisory_unlock(" TURN_KEYS ")", &ignored, reterr);
}

int shared_sweep(struct pgsink *s, struct err *reterr)
{
    for (size_t p = 0; p < s->references.place_count; p++) {
        at_least_one(&s->references.places[p].waiting);
        at_least_one(&s->references.places[p].pending);
    }
    return park_sweep(s, reterr);
}

int pgsink_sweep(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    bool ignored;

    if (ask(s, "waiting for the turn", "SELECT pg_advisory_lock(" TURN_KEYS ") IS NULL", &ignored, reterr))
        return -1;
    s->in_turn = true;
    return shared_sweep(s, reterr) || retry_blocked(s, reterr) || shared_end_turn(s, reterr) ? -1 : 0;
}
