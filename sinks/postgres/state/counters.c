#include "sinks/postgres/state/counters.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/session/pipe.h"
#include "sinks/postgres/session/session.h"

void counters_add(struct pgsink *s, int rule_index, const struct account *delta)
{
    account_add(&s->rules[rule_index].delta, delta);
}

void counters_forget(struct pgsink *s)
{
    for (size_t i = 0; i < s->rule_count; i++)
        s->rules[i].delta = (struct account){0};
    for (size_t i = 0; i < derive_count(s); i++)
        *derive_delta(s, i) = (struct account){0};
}

/* Fails, as dividing by zero, where the rule has no row: a COMMIT may be right behind it. */
#define UPDATE_COUNTER                                                                                                 \
    "WITH moved AS (UPDATE pgrekey.counter SET mapped = mapped + $3::bigint, quarantined = quarantined + $4::bigint, " \
    "excluded = excluded + $5::bigint, failed_deletes = failed_deletes + $6::bigint "                                  \
    "WHERE pipeline = $1 AND rule = $2 RETURNING 1) SELECT 1 / count(*) FROM moved"

#define ADD_DELETES                                                                                                    \
    "INSERT INTO pgrekey.audit (pipeline, action, rule, at, rows) "                                                    \
    "VALUES ($1, 'delete', $2, date_trunc('hour', now()), $3::bigint) "                                                \
    "ON CONFLICT (pipeline, rule, at) WHERE action = 'delete' DO UPDATE SET rows = audit.rows + excluded.rows"

static struct target_statement *statement_of(struct pgsink *s, enum counters_op op)
{
    struct target_statement *statement = &s->counter_statements[op];

    if (!statement->sql) {
        statement->sql = mem_strdup(op == COUNTERS_UPDATE ? UPDATE_COUNTER : ADD_DELETES);
        snprintf(statement->name, sizeof(statement->name), "pgrekey_counter_%d", (int)op);
    }
    return statement;
}

static bool moves(const struct account *delta)
{
    return delta->mapped || delta->quarantined || delta->excluded || delta->failed_deletes;
}

static bool any(const struct account *delta)
{
    return moves(delta) || delta->deletes;
}

static void send_one(struct pgsink *s, struct pipe *pipe, const char *rule, struct account *delta)
{
    const char *params[6] = {s->options.pipeline, rule};

    if (moves(delta)) {
        params[2] = arena_printf(&s->scratch, "%" PRId64, delta->mapped);
        params[3] = arena_printf(&s->scratch, "%" PRId64, delta->quarantined);
        params[4] = arena_printf(&s->scratch, "%" PRId64, delta->excluded);
        params[5] = arena_printf(&s->scratch, "%" PRId64, delta->failed_deletes);
        (void)pipe_execute(pipe, statement_of(s, COUNTERS_UPDATE), 6, params);
    }
    if (delta->deletes) {
        params[2] = arena_printf(&s->scratch, "%" PRId64, delta->deletes);
        (void)pipe_execute(pipe, statement_of(s, COUNTERS_DELETES), 3, params);
    }
    *delta = (struct account){0};
}

/* Sends the deltas of at most COUNTERS_RULES rules and derivations, and clears them; false where there are more. */
static bool send_some(struct pgsink *s, struct pipe *pipe)
{
    const int *order = map_rule_order(s->options.map);
    size_t sent = 0;

    for (size_t i = 0; i < s->rule_count; i++) {
        struct rule_state *rule = &s->rules[order[i]];
        if (!any(&rule->delta))
            continue;
        if (sent++ == COUNTERS_RULES)
            return false;
        send_one(s, pipe, rule->target.rule->name, &rule->delta);
    }
    for (size_t i = 0; i < derive_count(s); i++) {
        if (!any(derive_delta(s, i)))
            continue;
        if (sent++ == COUNTERS_RULES)
            return false;
        send_one(s, pipe, derive_name(s, i), derive_delta(s, i));
    }
    return true;
}

size_t counters_moved(const struct pgsink *s)
{
    size_t moved = 0;

    for (size_t i = 0; i < s->rule_count; i++)
        moved += any(&s->rules[i].delta);
    for (size_t i = 0; i < derive_count(s); i++)
        moved += any(derive_delta(s, i));
    return moved;
}

void counters_send(struct pgsink *s, struct pipe *pipe)
{
    (void)send_some(s, pipe);
}

int counters_explain(const struct pgsink *s, const struct pipe *pipe, size_t from, struct err *reterr)
{
    if (pipe->failed_at == SIZE_MAX || pipe->failed_at < from || !reterr || strcmp(reterr->sqlstate, "22012") != 0)
        return -1;
    (void)err_set(reterr, ERR_FATAL, "a rule of pipeline %s has no row in pgrekey.counter", s->options.pipeline);
    return err_hint(reterr, "somebody took it away: `pgrekey drop` and begin again with empty target tables");
}

int counters_flush(struct pgsink *s, struct err *reterr)
{
    while (counters_moved(s)) {
        struct pipe pipe;

        if (pipe_begin(&pipe, s, reterr))
            return -1;
        (void)send_some(s, &pipe);
        if (pipe_end(&pipe))
            return counters_explain(s, &pipe, 0, reterr);
    }
    return 0;
}
