#include "sinks/postgres/derive/derive_quick.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/apply/chunk.h"
#include "sinks/postgres/derive/derive_quick_work.h"
#include "sinks/breaker.h"

/* A statement of a derivation, by what it does and for whom. */
struct quick_statement {
    enum quick_kind kind;
    size_t input, from; /* `from`: the rule, or the derivation, that the rows are of */
    unsigned flags;
    struct target_statement statement;
    struct quick_statement *next;
};

struct quick_due {
    bool due;
    bool sure;     /* keys have been sent for certain */
    bool unknown;  /* keys have been sent perhaps: the pipe will tell */
    bool followed; /* what its inputs' derivations changed has been sent */
    bool merged;   /* the merge is sent */
    bool taken;    /* and read */
    int64_t keys;
    int64_t figures[QUICK_FIGURES];
};

/* --- what fits --- */

static size_t position_of(const struct derive *derive, int kind, size_t index)
{
    for (size_t i = 0; i < derive->step_count; i++)
        if ((int)derive->steps[i].kind == kind && derive->steps[i].index == (int)index)
            return i;
    return SIZE_MAX;
}

static bool is_ready(const struct derive_one *one)
{
    if (!one->stands || one->kept > DERIVE_KEPT_MAX)
        return false;
    for (size_t i = 0; i < one->input_count; i++)
        if (one->inputs[i].filtered && (!one->inputs[i].kept || one->inputs[i].images > DERIVE_KEPT_MAX))
            return false;
    return true;
}

/* Whoever reads the table is due, and comes behind `position`, where it is written. */
static bool make_due(struct derive_quick *quick, const char *schema, const char *table, size_t but, size_t position)
{
    struct derive *derive = quick->s->derive;

    for (size_t d = 0; d < derive->count; d++) {
        struct derive_one *one = &derive->all[d];
        bool reads = false;

        for (size_t i = 0; d != but && i < one->input_count; i++)
            reads |= but < derive->count ? touched_by(&derive->all[but], &one->inputs[i])
                                         : touched_is_on(&one->inputs[i], schema, table);
        if (!reads)
            continue;
        size_t own = position_of(derive, STEP_DERIVATION, d);
        if (own < position || one->rests || one->keys || one->refused)
            return false;
        if (quick->due[d].due)
            continue;
        quick->due[d].due = quick->due_any = true;
        if (!make_due(quick, one->derivation->to_schema, one->derivation->to_table, d, own))
            return false;
    }
    return true;
}

static bool has_entries(const struct pgsink *s, size_t r)
{
    return s->net->rules[r].entry_count != 0;
}

/* Rows that come back have images of another kind, and images of a table are compared when all of it is written: not
 * for here. */
static bool is_plain_rule(const struct pgsink *s, size_t r)
{
    const struct rule *rule = s->rules[r].target.rule;

    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
        if (s->net->entries[e].action == NET_REPLACE)
            return false;
    for (size_t other = 0; other < s->rule_count; other++) {
        const struct rule *also = s->rules[other].target.rule;
        if (other != r && has_entries(s, other) && strcmp(also->to_table, rule->to_table) == 0 &&
            strcmp(also->to_schema, rule->to_schema) == 0)
            return false;
    }
    return true;
}

bool derive_quick_begin(struct derive_quick *quick, struct pgsink *s, struct pipe *pipe)
{
    quick->s = s;
    quick->pipe = pipe;
    quick->due_any = quick->planner = quick->odd = false;
    quick->sent_count = 0;
    quick->due = NULL;
    if (!s->derive)
        return true;
    quick->due = arena_zalloc(&s->scratch, s->derive->count, sizeof(*quick->due));
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *rule = s->rules[r].target.rule;
        if (!s->derive->read[r] || !has_entries(s, r))
            continue;
        if (s->rehearsal || !is_plain_rule(s, r) ||
            !make_due(quick, rule->to_schema, rule->to_table, SIZE_MAX, position_of(s->derive, STEP_RULE, r)))
            return false;
    }
    return true;
}

int derive_quick_ready(struct derive_quick *quick, struct err *reterr)
{
    for (size_t d = 0; quick->due && d < quick->s->derive->count; d++) {
        struct derive_one *one = &quick->s->derive->all[d];
        if (quick->due[d].due && !is_ready(one) && derive_ready(quick->s, one, reterr))
            return -1;
    }
    return 0;
}

/* --- statements --- */

static struct target_statement *statement_of(struct derive_quick *quick, size_t d, enum quick_kind kind, size_t input,
                                             size_t from, unsigned flags)
{
    struct derive *derive = quick->s->derive;
    struct derive_one *one = &derive->all[d];
    struct quick_statement *at;
    struct buf sql;

    for (at = one->quick; at; at = at->next)
        if (at->kind == kind && at->input == input && at->from == from && at->flags == flags)
            return &at->statement;
    at = mem_zalloc(1, sizeof(*at));
    *at = (struct quick_statement){.kind = kind, .input = input, .from = from, .flags = flags, .next = one->quick};
    buf_init(&sql, DERIVE_SQL_MAX);
    derive_quick_put(quick->s, &sql, d, kind, input, from, flags);
    at->statement.sql = mem_strdup(session_text(&sql));
    buf_done(&sql);
    snprintf(at->statement.name, sizeof(at->statement.name), "pgrekey_quick_%u", derive->quick_count++);
    one->quick = at;
    return &at->statement;
}

void derive_quick_free(struct derive_one *one)
{
    while (one->quick) {
        struct quick_statement *next = one->quick->next;
        free(one->quick->statement.sql);
        free(one->quick);
        one->quick = next;
    }
}

static void set_planner(struct derive_quick *quick, bool on)
{
    struct target_statement *statement = &quick->s->derive->planners[on];

    if (quick->planner == on)
        return;
    if (!statement->sql) {
        statement->sql = mem_strdup(
            on ? "SELECT set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true), "
                 "set_config('plan_cache_mode', 'force_generic_plan', true)"
               : "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), "
                 "set_config('plan_cache_mode', 'auto', true)");
        snprintf(statement->name, sizeof(statement->name), "pgrekey_planner_%d", on);
    }
    (void)pipe_execute(quick->pipe, statement, 0, NULL);
    quick->planner = on;
}

void derive_quick_leave_planner(struct derive_quick *quick)
{
    if (quick->planner)
        set_planner(quick, false);
}

static void send(struct derive_quick *quick, size_t d, enum quick_kind kind, size_t input, size_t from,
                 const struct locators *locators)
{
    struct target_statement *statement = statement_of(quick, d, kind, input, from, 0);
    size_t index;

    set_planner(quick, true);
    if (quick->sent_count == PIPE_MAX) {
        quick->pipe->failed = true;
        return;
    }
    index = pipe_execute(quick->pipe, statement, locators ? (int)locators->rule->locator_count : 0,
                         locators ? locators->params : NULL);
    quick->sent[quick->sent_count++] =
        (struct quick_sent){.derivation = d, .input = input, .index = index, .images = kind == QUICK_KEEP};
    quick->due[d].sure |= kind == QUICK_TOUCH || kind == QUICK_TOUCH_OWN;
    quick->due[d].unknown |= kind == QUICK_COMPARE || kind == QUICK_COMPARE_OWN;
}

/* --- touched rows --- */

static bool is_old(const struct net_entry *entry)
{
    return entry->locator && (net_updates(entry) || net_deletes(entry));
}

/* All inputs on the rule's table, over the rows of one moment. */
static void touch(struct derive_quick *quick, size_t r, bool old)
{
    struct pgsink *s = quick->s;
    const struct rule *rule = s->rules[r].target.rule;
    struct locators locators;
    bool any_old = false;

    touched_locators_begin(s, rule, &locators);
    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next) {
        const struct net_entry *entry = &s->net->entries[e];
        any_old |= is_old(entry);
        if (old ? is_old(entry) : entry->locator && (is_old(entry) || net_inserts(entry)))
            touched_locators_add(&locators, entry->locator);
    }
    touched_locators_end(&locators);
    for (size_t d = 0; locators.count && d < s->derive->count; d++) {
        struct derive_one *one = &s->derive->all[d];
        for (size_t i = 0; i < one->input_count; i++) {
            enum quick_kind kind = QUICK_TOUCH;
            if (!touched_is_on(&one->inputs[i], rule->to_schema, rule->to_table))
                continue;
            if (one->inputs[i].filtered && any_old)
                kind = old ? QUICK_KEEP : QUICK_COMPARE;
            send(quick, d, kind, i, r, &locators);
        }
    }
    touched_locators_done(&locators);
}

void derive_quick_before(struct derive_quick *quick)
{
    struct pgsink *s = quick->s;

    for (size_t r = 0; quick->due_any && r < s->rule_count; r++)
        if (s->derive->read[r] && has_entries(s, r))
            touch(quick, r, true);
}

void derive_quick_after(struct derive_quick *quick, size_t rule_index)
{
    if (quick->due_any && quick->s->derive->read[rule_index] && has_entries(quick->s, rule_index))
        touch(quick, rule_index, false);
}

/* --- a derivation --- */

/* Calls nobody's: does one of its inputs lie on the table of derivation f? */
static bool reads(const struct derive *derive, size_t d, size_t f)
{
    for (size_t i = 0; d != f && i < derive->all[d].input_count; i++)
        if (touched_by(&derive->all[f], &derive->all[d].inputs[i]))
            return true;
    return false;
}

static void follow(struct derive_quick *quick, size_t d, size_t f)
{
    const struct derive_one *one = &quick->s->derive->all[d];

    for (size_t i = 0; i < one->input_count; i++)
        if (touched_by(&quick->s->derive->all[f], &one->inputs[i]))
            send(quick, d, one->inputs[i].filtered ? QUICK_COMPARE_OWN : QUICK_TOUCH_OWN, i, f, NULL);
}

static bool changed(const struct quick_due *due)
{
    return due->figures[QUICK_UPDATED] || due->figures[QUICK_INSERTED] || due->figures[QUICK_DELETED];
}

static void merge(struct derive_quick *quick, size_t d)
{
    struct derive_one *one = &quick->s->derive->all[d];
    struct quick_due *due = &quick->due[d];
    struct target_statement *statement = statement_of(quick, d, QUICK_MERGE, 0, 0, derive_quick_flags(quick->s, one));
    const char *params[] = {one->id};

    set_planner(quick, true);
    (void)pipe_ask(quick->pipe, statement, 1, params, due->figures, QUICK_FIGURES);
    due->merged = true;
}

bool derive_quick_step(struct derive_quick *quick, size_t index)
{
    const struct derive *derive = quick->s->derive;
    struct quick_due *due = quick->due ? &quick->due[index] : NULL;

    if (!due || !due->due || due->merged)
        return true;
    for (size_t f = 0; f < derive->count; f++)
        if (quick->due[f].merged && !quick->due[f].taken && reads(derive, index, f))
            return false;
    for (size_t f = 0; !due->followed && f < derive->count; f++)
        if (quick->due[f].taken && changed(&quick->due[f]) && reads(derive, index, f))
            follow(quick, index, f);
    due->followed = true;
    if (!due->sure && due->unknown)
        return false;
    if (due->sure || due->keys > 0)
        merge(quick, index);
    return true;
}

/* Old images that the merge of derivation f has kept for others. */
static void count_images(struct derive *derive, size_t f, int64_t count)
{
    for (size_t d = 0; count && d < derive->count; d++)
        for (size_t i = 0; d != f && i < derive->all[d].input_count; i++)
            if (touched_by(&derive->all[f], &derive->all[d].inputs[i]))
                *(derive->all[d].inputs[i].filtered ? &derive->all[d].inputs[i].images : &derive->all[d].kept) += count;
}

bool derive_quick_took(struct derive_quick *quick)
{
    for (size_t i = 0; i < quick->sent_count; i++) {
        const struct quick_sent *sent = &quick->sent[i];
        struct derive_one *one = &quick->s->derive->all[sent->derivation];
        int64_t affected = quick->pipe->affected[sent->index];

        if (sent->images) {
            one->inputs[sent->input].images += affected;
            continue;
        }
        quick->due[sent->derivation].keys += affected;
        quick->due[sent->derivation].unknown = false;
        one->kept += affected;
    }
    quick->sent_count = 0;
    for (size_t d = 0; quick->due && d < quick->s->derive->count; d++) {
        struct quick_due *due = &quick->due[d];
        if (!due->merged || due->taken)
            continue;
        due->taken = true;
        quick->odd |= due->figures[QUICK_ODD] != 0;
        quick->s->derive->all[d].kept += 2 * due->figures[QUICK_KEYS];
        count_images(quick->s->derive, d, due->figures[QUICK_UPDATED] + due->figures[QUICK_DELETED]);
    }
    return !quick->odd;
}

void derive_quick_count(const struct derive_quick *quick)
{
    for (size_t d = 0; quick->due && d < quick->s->derive->count; d++) {
        const int64_t *figures = quick->due[d].figures;
        const struct account account = {.mapped = figures[QUICK_NEW] - figures[QUICK_GONE],
                                        .deletes = figures[QUICK_DELETED]};
        if (quick->due[d].taken)
            account_add(derive_delta(quick->s, d), &account);
    }
}

void derive_quick_committed(const struct derive_quick *quick)
{
    for (size_t d = 0; quick->due && d < quick->s->derive->count; d++)
        if (quick->due[d].taken)
            breaker_count(quick->s->breaker,
                          (uint64_t)(quick->due[d].figures[QUICK_ROWS] + quick->due[d].figures[QUICK_GONE]), 0);
}
