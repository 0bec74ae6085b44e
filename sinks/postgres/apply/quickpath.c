#include "sinks/postgres/apply/quickpath.h"

#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/apply/fastpath.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/quarantine/breaker.h"
#include "sinks/postgres/rows/rowmode.h"
#include "sinks/postgres/session/pipe.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/state/record.h"

/* One statement for a row, and how many rows it must touch: 1, or -1 for no matter. */
struct expectation {
    size_t index;
    int64_t rows;
};

struct quick {
    struct pgsink *s;
    struct pipe pipe;
    struct expectation expected[QUICK_ROWS * 2];
    size_t expected_count;
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

/* Nothing aside, nothing noted, no delete that leaves its row or whose count tells what it counted as. */
static bool is_plain(const struct pgsink *s, const struct chunk_plan *plan)
{
    size_t rules = 0;

    if (plan->pending || plan->parked)
        return false;
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *rule = s->rules[r].target.rule;
        rules += s->net->rules[r].entry_count != 0;
        if (plan->late && plan->late[r])
            return false;
        if (s->net->rules[r].aside_count || (s->net->rules[r].entry_count && derive_reads(s, rule)))
            return false;
        if (!s->rules[r].target.may_exclude && rule->on_delete == DELETE_ROW && !derive_holds(s, r))
            continue;
        for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
            if (net_deletes(&s->net->entries[e]))
                return false;
    }
    return rules <= COUNTERS_RULES;
}

static bool send_row(struct quick *q, size_t r, const struct net_entry *entry, enum target_op op, int64_t rows)
{
    struct target *target = &q->s->rules[r].target;
    struct target_statement *statement = target_statement(target, op, entry->row->values);
    const char *const *params;
    int count;

    if (!statement)
        return false;
    count = target_bind(statement, entry->row, entry->locator, &q->s->scratch, &params);
    q->expected[q->expected_count++] =
        (struct expectation){.index = pipe_execute(&q->pipe, statement, count, params), .rows = rows};
    return true;
}

/* All rows: deletes children first, then what is written, parents first. False where one needs the long way. */
static bool send_rows(struct quick *q)
{
    const int *order = map_rule_order(q->s->options.map);
    const struct netchange *net = q->s->net;
    bool sent = true;

    for (size_t i = q->s->rule_count; i-- > 0;)
        for (uint32_t e = net->rules[order[i]].first; e != NET_NONE; e = net->entries[e].next)
            if (net_deletes(&net->entries[e]))
                sent &= send_row(q, (size_t)order[i], &net->entries[e], TARGET_DELETE, -1);
    for (size_t i = 0; i < q->s->rule_count; i++) {
        size_t r = (size_t)order[i];
        for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next)
            if (net_updates(&net->entries[e]))
                sent &= send_row(q, r, &net->entries[e], TARGET_UPDATE, 1);
        for (uint32_t e = net->rules[r].first; e != NET_NONE; e = net->entries[e].next)
            if (net_inserts(&net->entries[e]))
                sent &= send_row(q, r, &net->entries[e], TARGET_INSERT, -1);
    }
    return sent;
}

static bool met_all(const struct quick *q)
{
    for (size_t i = 0; i < q->expected_count; i++)
        if (q->expected[i].rows >= 0 && q->pipe.affected[q->expected[i].index] != q->expected[i].rows)
            return false;
    return true;
}

static bool has_updates(const struct quick *q)
{
    for (size_t i = 0; i < q->expected_count; i++)
        if (q->expected[i].rows >= 0)
            return true;
    return false;
}

static void count(struct pgsink *s)
{
    for (size_t r = 0; r < s->rule_count; r++) {
        struct account delta = {0};

        for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next) {
            const struct net_entry *entry = &s->net->entries[e];
            delta.mapped += (entry->action == NET_INSERT) - (entry->action == NET_DELETE);
            delta.excluded += entry->action == NET_EXCLUDED;
            delta.deletes += entry->action == NET_DELETE;
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
        if (entry->action == NET_DELETE)
            parents_row_deleted(s, rule, entry->locator);
        else if (net_inserts(entry))
            parents_row_written(s, entry->row);
    }
}

/* The transaction's end behind its rows: constraints, account, position, COMMIT. */
static void send_end(struct quick *q, const struct batch *batch, struct record_sent *ret_sent)
{
    if (q->s->deferrable)
        (void)pipe_run(&q->pipe, "SET CONSTRAINTS ALL IMMEDIATE");
    count(q->s);
    record_send(q->s, &q->pipe, batch, ret_sent);
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

static int write_batch(struct quick *q, const struct batch *batch, bool *ret_done, struct err *reterr)
{
    struct pgsink *s = q->s;
    struct err failure = {0};
    struct record_sent end;
    bool sent;

    if (pipe_begin(&q->pipe, s, &failure))
        return give_up(s, &failure, reterr);
    (void)pipe_run(&q->pipe, "BEGIN");
    sent = send_rows(q);
    if (!sent || has_updates(q)) {
        if (pipe_end(&q->pipe) || !sent || !met_all(q))
            return give_up(s, &failure, reterr);
        q->expected_count = 0;
        if (pipe_begin(&q->pipe, s, &failure))
            return give_up(s, &failure, reterr);
    }
    send_end(q, batch, &end);
    if (pipe_end(&q->pipe)) {
        (void)record_explain(s, &q->pipe, &end, &failure);
        return give_up(s, &failure, reterr);
    }
    s->lsn = batch->end_lsn;
    remember(s);
    *ret_done = true;
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
    if (chunk_plan(s, batch->rows, batch->row_count, &plan, &failure))
        return give_up(s, &failure, reterr);
    if (!is_plain(s, &plan))
        return 0;
    if (rowmode_releases(s, batch->rows, batch->row_count, &busy, &failure))
        return give_up(s, &failure, reterr);
    if (!busy && park_awaited(s, &busy, &failure))
        return give_up(s, &failure, reterr);
    if (!busy && park_any_leaving(s, &busy, &failure))
        return give_up(s, &failure, reterr);
    if (busy)
        return 0;
    if (write_batch(&q, batch, ret_done, reterr))
        return -1;
    if (*ret_done) {
        session_ended(s, true);
        breaker_count(s->breaker, batch->row_count, 0);
    }
    return 0;
}
