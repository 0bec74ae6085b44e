#include "sinks/postgres/apply/quickpath.h"

#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/apply/fastpath.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/derive/derive_quick.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/breaker.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/session/pipe.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/record.h"

/* One statement for a row, and how many rows it must touch: 1, or -1 for no matter. */
struct expectation {
    size_t index;
    int64_t rows;
    uint32_t deletes; /* the entry, where it is for its row to go */
};

struct quick {
    struct pgsink *s;
    struct pipe pipe;
    struct expectation expected[QUICK_ROWS * 2];
    size_t expected_count;
    bool *went; /* by entry: there was a row to delete, and it counted as mapped for that */
    struct derive_quick derived;
};

static bool is_quick(const struct pgsink *s, const struct batch *batch)
{
    if (s->in_transaction || s->loader || !batch->complete || batch->snapshot_part >= 0 || batch->joins ||
        batch->row_count > QUICK_ROWS)
        return false;
    for (size_t i = 0; i < batch->row_count; i++)
        if (batch->rows[i]->op == ROW_TRUNCATE)
            return false;
    return true;
}

/* By rows of derivations: they let go of a row that goes. */
static bool is_referred_to(const struct pgsink *s, size_t r)
{
    const struct target *target = &s->rules[r].target;
    bool referred = derive_holds(s, r);

    for (size_t i = 0; i < target->here_count; i++)
        referred |= references_derived(&s->references, target->here[i].place);
    return referred;
}

/* No delete that leaves its row, or that somebody else has a part in. One of a rule with a condition counts as what
 * its row tells, and so it does not of a row that comes back, or was counted apart. */
static bool is_plain_delete(const struct pgsink *s, size_t r, const struct net_entry *entry)
{
    const struct target *target = &s->rules[r].target;

    if (target->rule->on_delete != DELETE_ROW || is_referred_to(s, r))
        return false;
    if (!target->may_exclude && entry->action != NET_EXCLUDE)
        return true;
    return entry->action != NET_REPLACE && !target->rule->replayed && !target_counted(target, entry->row->change);
}

/* Nothing aside, nothing noted. */
static bool is_plain(const struct pgsink *s, const struct chunk_plan *plan)
{
    size_t rules = 0;

    if (plan->pending || plan->parked)
        return false;
    for (size_t r = 0; r < s->rule_count; r++) {
        rules += s->net->rules[r].entry_count != 0;
        if (s->net->rules[r].aside_count)
            return false;
        for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
            if (net_deletes(&s->net->entries[e]) && !is_plain_delete(s, r, &s->net->entries[e]))
                return false;
    }
    return rules <= COUNTERS_RULES;
}

static bool send_row(struct quick *q, size_t r, uint32_t e, enum target_op op, int64_t rows)
{
    const struct net_entry *entry = &q->s->net->entries[e];
    struct target *target = &q->s->rules[r].target;
    struct target_statement *statement = target_statement(target, op, entry->row->values);
    const char *const *params;
    int count;

    if (!statement)
        return false;
    count = target_bind(statement, entry->row, entry->locator, &q->s->scratch, &params);
    q->expected[q->expected_count++] = (struct expectation){.index = pipe_execute(&q->pipe, statement, count, params),
                                                            .rows = rows,
                                                            .deletes = op == TARGET_DELETE ? e : NET_NONE};
    return true;
}

static bool met_all(const struct quick *q)
{
    for (size_t i = 0; i < q->expected_count; i++)
        if (q->expected[i].rows >= 0 && q->pipe.affected[q->expected[i].index] != q->expected[i].rows)
            return false;
    return true;
}

static void note_who_went(struct quick *q)
{
    for (size_t i = 0; i < q->expected_count; i++)
        if (q->expected[i].deletes != NET_NONE)
            q->went[q->expected[i].deletes] = q->pipe.affected[q->expected[i].index] > 0;
}

/* Is there an outcome that must be known before the end is sent? */
static bool has_answers(const struct quick *q)
{
    for (size_t i = 0; i < q->expected_count; i++) {
        uint32_t e = q->expected[i].deletes;
        if (q->expected[i].rows >= 0 ||
            (e != NET_NONE && q->s->rules[q->s->net->entries[e].row->rule->index].target.may_exclude))
            return true;
    }
    return false;
}

static void count_delete(const struct target *target, const struct net_entry *entry, bool went, struct account *delta)
{
    bool mapped = went || !target->may_exclude;

    delta->mapped -= mapped;
    delta->excluded -= !mapped;
    delta->excluded += entry->action == NET_EXCLUDE;
    delta->deletes += mapped;
}

static void count(const struct quick *q)
{
    struct pgsink *s = q->s;

    for (size_t r = 0; r < s->rule_count; r++) {
        struct account delta = {0};

        for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next) {
            const struct net_entry *entry = &s->net->entries[e];
            delta.mapped += entry->action == NET_INSERT;
            delta.excluded += entry->action == NET_EXCLUDED;
            if (entry->action == NET_DELETE || entry->action == NET_EXCLUDE)
                count_delete(&s->rules[r].target, entry, q->went[e], &delta);
        }
        counters_add(s, (int)r, &delta);
    }
}

/* The parents' cache follows what was committed. */
static void remember(struct pgsink *s)
{
    for (uint32_t e = 0; e < s->net->count; e++) {
        const struct net_entry *entry = &s->net->entries[e];
        const struct rule *rule = entry->row->rule;

        if (!s->net->rules[rule->index].wanted)
            continue;
        if (entry->action == NET_DELETE || entry->action == NET_EXCLUDE)
            parents_row_deleted(s, rule, entry->locator);
        else if (net_inserts(entry))
            parents_row_written(s, entry->row);
    }
}

/* The transaction's end behind its rows: constraints, account, position, COMMIT. False: too many accounts for it. */
static bool send_end(struct quick *q, const struct batch *batch, struct record_sent *ret_sent)
{
    count(q);
    if (counters_moved(q->s) > COUNTERS_RULES)
        return false;
    if (q->s->deferrable)
        (void)pipe_run(&q->pipe, "SET CONSTRAINTS ALL IMMEDIATE");
    record_send(q->s, &q->pipe, batch, ret_sent);
    return true;
}

/* A row's fault is for the long way to find; anything else is the caller's. */
static int give_up(struct pgsink *s, struct err *failure, struct err *reterr)
{
    if (failure->kind != ERR_POISON && failure->kind != ERR_NONE) {
        if (reterr)
            *reterr = *failure;
        return -1;
    }
    session_rollback(s);
    return 0;
}

/* The same in the midst of a pipe. */
static int abandon(struct quick *q, struct err *failure, struct err *reterr)
{
    bool read = PQpipelineStatus(q->s->conn) == PQ_PIPELINE_OFF || pipe_end(&q->pipe) == 0;

    (void)read; /* or it has failed, and the failure says how */
    return give_up(q->s, failure, reterr);
}

/* Reads what has been sent, and opens the pipe again. False where a failure or something that is not plain ends it. */
static bool turn(struct quick *q, struct err *failure)
{
    if (pipe_end(&q->pipe) || !met_all(q) || !derive_quick_took(&q->derived))
        return false;
    note_who_went(q);
    q->expected_count = 0;
    return pipe_begin(&q->pipe, q->s, failure) == 0;
}

/* What a rule's turn sends at most: rows, preparing included, and images. */
static bool has_room(const struct quick *q, size_t r)
{
    size_t most = 2 * ((size_t)q->s->net->rules[r].entry_count + derive_count(q->s)) + 8;
    return q->pipe.count + most < PIPE_MAX;
}

static bool send_deletes(struct quick *q)
{
    const int *order = map_rule_order(q->s->options.map);
    const struct netchange *net = q->s->net;
    bool sent = true;

    for (size_t i = q->s->rule_count; i-- > 0;)
        for (uint32_t e = net->rules[order[i]].first; e != NET_NONE; e = net->entries[e].next)
            if (net_deletes(&net->entries[e]))
                sent &= send_row(q, (size_t)order[i], e, TARGET_DELETE, -1);
    return sent;
}

static bool send_rule(struct quick *q, size_t r)
{
    const struct netchange *net = q->s->net;
    bool sent = true;

    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next)
        if (net_updates(&net->entries[e]))
            sent &= send_row(q, r, e, TARGET_UPDATE, 1);
    for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next)
        if (net_inserts(&net->entries[e]))
            sent &= send_row(q, r, e, TARGET_INSERT, -1);
    return sent;
}

static bool take_rule(struct quick *q, size_t r, struct err *failure)
{
    if (q->s->net->rules[r].entry_count == 0)
        return true;
    if (!has_room(q, r) && !turn(q, failure))
        return false;
    derive_quick_leave_planner(&q->derived);
    if (!send_rule(q, r))
        return false;
    derive_quick_after(&q->derived, r);
    return true;
}

static bool take_derivation(struct quick *q, size_t index, struct err *failure)
{
    if (q->pipe.count + 2 * (derive_count(q->s) + 4) >= PIPE_MAX && !turn(q, failure))
        return false;
    while (!derive_quick_step(&q->derived, index))
        if (!turn(q, failure))
            return false;
    return true;
}

/* Deletes, children first; then rules and derivations in their order. False where one needs the long way, or failed. */
static bool send_all(struct quick *q, struct err *failure)
{
    size_t count;
    const struct map_step *steps = map_steps(q->s->options.map, &count);

    derive_quick_before(&q->derived);
    derive_quick_leave_planner(&q->derived);
    if (!send_deletes(q))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!(steps[i].kind == STEP_RULE ? take_rule(q, (size_t)steps[i].index, failure)
                                         : take_derivation(q, (size_t)steps[i].index, failure)))
            return false;
    derive_quick_leave_planner(&q->derived);
    return true;
}

static int write_batch(struct quick *q, const struct batch *batch, bool *ret_done, struct err *reterr)
{
    struct pgsink *s = q->s;
    struct err failure = {0};
    struct record_sent end;

    if (pipe_begin(&q->pipe, s, &failure))
        return give_up(s, &failure, reterr);
    (void)pipe_run(&q->pipe, "BEGIN");
    if (!send_all(q, &failure))
        return abandon(q, &failure, reterr);
    if ((q->derived.due_any || has_answers(q)) && !turn(q, &failure))
        return give_up(s, &failure, reterr);
    derive_quick_count(&q->derived);
    if (!send_end(q, batch, &end))
        return abandon(q, &failure, reterr);
    if (pipe_end(&q->pipe)) {
        (void)record_explain(s, &q->pipe, &end, &failure);
        return give_up(s, &failure, reterr);
    }
    s->lsn = batch->end_lsn;
    remember(s);
    *ret_done = true;
    return 0;
}

/* Parents that derivations write: none of them goes by this path, so that they may be asked for at once. */
static int ask_late(struct pgsink *s, struct chunk_plan *plan, struct err *reterr)
{
    for (size_t r = 0; plan->late && r < s->rule_count; r++)
        if (plan->late[r] && chunk_plan_late(s, plan, r, reterr))
            return -1;
    return 0;
}

int quickpath_apply(struct pgsink *s, const struct batch *batch, bool *ret_done, struct err *reterr)
{
    struct chunk_plan plan;
    struct quick q = {.s = s};
    struct err failure = {0};
    bool busy;

    *ret_done = false;
    if (!is_quick(s, batch))
        return 0;
    arena_reset(&s->scratch, (size_t)1 << 20);
    if (chunk_plan(s, batch->rows, batch->row_count, &plan, &failure) || ask_late(s, &plan, &failure))
        return give_up(s, &failure, reterr);
    if (!is_plain(s, &plan) || !derive_quick_begin(&q.derived, s, &q.pipe))
        return 0;
    if (rowmode_releases(s, batch->rows, batch->row_count, &busy, &failure))
        return give_up(s, &failure, reterr);
    if (!busy && park_awaited(s, &busy, &failure))
        return give_up(s, &failure, reterr);
    if (!busy && park_any_leaving(s, &busy, &failure))
        return give_up(s, &failure, reterr);
    if (busy)
        return 0;
    if (derive_quick_ready(&q.derived, &failure))
        return give_up(s, &failure, reterr);
    q.went = arena_zalloc(&s->scratch, s->net->count + 1, sizeof(*q.went));
    if (write_batch(&q, batch, ret_done, reterr))
        return -1;
    if (*ret_done) {
        session_ended(s, true);
        breaker_count(s->breaker, batch->row_count, 0);
        derive_quick_committed(&q.derived);
        s->figures.quick_batches++;
        s->figures.quick_derived += q.derived.due_any;
    }
    return 0;
}
