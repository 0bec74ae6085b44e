/* The derivations of a session: what they are, in which order they run, and what of their account stands. */
#include "sinks/postgres/derive/derive.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/parents/park.h"

#define ROUNDS_MAX 16 /* rows that could not go at once make others run again; more rounds than that are a circle */

/* --- opening --- */

static char *qualified(const char *schema, const char *table)
{
    struct buf text;
    char *copy;

    buf_init(&text, 1024);
    pg_put_qualified(&text, schema, table);
    copy = mem_strdup(buf_text(&text));
    buf_done(&text);
    return copy;
}

/* A mirror's relation is known before its table is there. */
static const struct relation *relation_of(const struct pgsink *s, const struct derivation_input *input)
{
    const struct relation *relation = input->mirror ? map_rule_target(s->options.map, input->mirror) : NULL;
    return relation ? relation : catalog_find(s->options.target, input->schema, input->table);
}

static int open_inputs(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    one->input_count = one->derivation->input_count;
    one->inputs = mem_zalloc(one->input_count + 1, sizeof(*one->inputs));
    for (size_t i = 0; i < one->input_count; i++) {
        const struct derivation_input *input = &one->derivation->inputs[i];
        one->inputs[i] = (struct derive_input){.input = input,
                                               .relation = relation_of(s, input),
                                               .table = qualified(input->schema, input->table),
                                               .filtered = input->column_count > 0};
        if (!one->inputs[i].relation)
            return err_set(reterr, ERR_CONFIG, "derivation %s: the target has no table %s.%s", one->derivation->name,
                           input->schema, input->table);
        for (size_t r = 0; r < s->rule_count; r++) {
            const struct rule *rule = s->rules[r].target.rule;
            if (strcmp(rule->to_table, input->table) == 0 && strcmp(rule->to_schema, input->schema) == 0)
                s->derive->read[r] = true;
        }
    }
    return 0;
}

static void collect_parts(struct derive_one *one)
{
    const struct derivation *d = one->derivation;

    for (size_t i = 0; i < d->key_count; i++)
        one->part_count += d->keys[i].part_count;
    one->parts = mem_zalloc(one->part_count + 1, sizeof(*one->parts));
    one->part_count = 0;
    for (size_t i = 0; i < d->key_count; i++)
        for (size_t p = 0; p < d->keys[i].part_count; p++)
            one->parts[one->part_count++] = d->keys[i].parts[p];
}

static bool refers(const struct pgsink *s, const struct derivation *d)
{
    for (size_t i = 0; i < s->references.derived_count; i++)
        if (s->references.derived[i].derivation == (size_t)d->index)
            return true;
    return false;
}

static bool has_place(const struct pgsink *s, const struct derivation *d)
{
    for (size_t i = 0; i < d->key_count; i++)
        if (references_find(&s->references, d->to_schema, d->to_table, d->keys[i].column) != NO_PLACE)
            return true;
    return false;
}

/* Who refers to its rows? *ret_cascades: some foreign key acts when one of them goes. */
static bool is_referred_to(const struct catalog *catalog, const struct derivation *d, bool *ret_cascades)
{
    bool found = false;

    *ret_cascades = false;
    for (size_t i = 0; i < catalog->count; i++)
        for (size_t f = 0; f < catalog->relations[i].fk_count; f++) {
            const struct foreign_key *fk = &catalog->relations[i].fks[f];
            if (strcmp(fk->parent_table, d->to_table) != 0 || strcmp(fk->parent_schema, d->to_schema) != 0)
                continue;
            found = true;
            *ret_cascades |= strchr("cnd", fk->on_delete) != NULL;
        }
    return found;
}

static int check_columns(const struct derive_one *one, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    const char *missing = NULL;

    for (size_t i = 0; i < d->key_count; i++)
        if (relation_column(one->relation, d->keys[i].column) < 0)
            missing = d->keys[i].column;
    for (size_t i = 0; i < one->column_count; i++)
        if (relation_column(one->relation, one->columns[i].name) < 0)
            missing = one->columns[i].name;
    if (!missing)
        return 0;
    return err_set(reterr, ERR_CONFIG, "derivation %s: table %s.%s has no column %s", d->name, d->to_schema,
                   d->to_table, missing);
}

static int open_one(struct pgsink *s, struct derive_one *one, const struct derivation *d, struct err *reterr)
{
    *one = (struct derive_one){.derivation = d, .relation = catalog_find(s->options.target, d->to_schema, d->to_table)};
    if (!one->relation)
        return err_set(reterr, ERR_CONFIG, "derivation %s: the target has no table %s.%s", d->name, d->to_schema,
                       d->to_table);
    one->table = qualified(d->to_schema, d->to_table);
    one->has_children = is_referred_to(s->options.target, d, &one->cascades) || has_place(s, d);
    one->linked = refers(s, d);
    one->described = d->column_count > 0;
    one->column_count = d->column_count;
    one->columns = mem_alloc((d->column_count + 1) * sizeof(*one->columns));
    if (d->column_count)
        memcpy(one->columns, d->columns, d->column_count * sizeof(*one->columns));
    collect_parts(one);
    if (d->skip) /* it reads nothing, and so it never runs */
        return 0;
    return check_columns(one, reterr) || open_inputs(s, one, reterr) ? -1 : 0;
}

/* --- rules whose rows derived ones refer to --- */

static bool refers_to(const struct relation *child, const char *schema, const char *table)
{
    for (size_t f = 0; child && f < child->fk_count; f++)
        if (strcmp(child->fks[f].parent_table, table) == 0 && strcmp(child->fks[f].parent_schema, schema) == 0)
            return true;
    return false;
}

static bool is_input(const struct derive *derive, const struct rule *rule)
{
    return derive->read[rule->index] && !rule->mirror;
}

/* Do derived rows refer to the place? In a circle, where the rule's rows refer to those in turn, what may be NULL holds
 * nobody: it lets go when the row is deleted, for else each would wait for the other. */
static bool is_held_by_derived(const struct pgsink *s, const struct rule *rule, size_t place)
{
    for (size_t i = 0; i < s->references.derived_count; i++) {
        const struct derived_reference *reference = &s->references.derived[i];
        const struct derivation *d = s->derive->all[reference->derivation].derivation;
        bool circle = false;

        if (reference->place != place)
            continue;
        for (size_t r = 0; r < s->references.count; r++) {
            const struct place *to = &s->references.places[s->references.items[r].place];
            circle |= s->references.items[r].rule == (size_t)rule->index && strcmp(to->name, d->to_table) == 0 &&
                      strcmp(to->schema, d->to_schema) == 0;
        }
        if (reference->required || !circle)
            return true;
    }
    return false;
}

/* A parent of such a rule's rows goes late as well, for they stand until then. What a derivation reads goes at once,
 * for it must not see rows that are gone. */
static void find_late(struct pgsink *s)
{
    const int *order = map_rule_order(s->options.map);

    for (size_t at = s->rule_count; at-- > 0;) {
        const struct rule *rule = s->rules[order[at]].target.rule;
        bool late = false;

        for (size_t i = 0; i < s->rules[order[at]].target.here_count; i++)
            late |= is_held_by_derived(s, rule, s->rules[order[at]].target.here[i].place);
        for (size_t i = 0; i < s->rule_count; i++)
            late |= s->derive->late[i] && refers_to(s->rules[i].target.relation, rule->to_schema, rule->to_table);
        s->derive->late[rule->index] = late && !is_input(s->derive, rule);
    }
}

bool derive_holds(const struct pgsink *s, size_t rule_index)
{
    return s->derive && s->derive->late[rule_index];
}

int derive_open(struct pgsink *s, struct err *reterr)
{
    size_t count = map_derivation_count(s->options.map);

    if (count == 0)
        return 0;
    s->derive = mem_zalloc(1, sizeof(*s->derive));
    s->derive->all = mem_zalloc(count, sizeof(*s->derive->all));
    s->derive->read = mem_zalloc(s->rule_count + 1, sizeof(*s->derive->read));
    s->derive->late = mem_zalloc(s->rule_count + 1, sizeof(*s->derive->late));
    s->derive->statements = derive_statements_new();
    s->derive->steps = map_steps(s->options.map, &s->derive->step_count);
    for (size_t i = 0; i < count; i++) {
        s->derive->count++;
        if (open_one(s, &s->derive->all[i], map_derivation(s->options.map, i), reterr))
            return -1;
    }
    find_late(s);
    return 0;
}

int derive_session(struct pgsink *s, struct err *reterr)
{
    size_t count;
    const char *const *schemas = map_target_schemas(s->options.map, &count);
    struct buf path;
    int failed;

    if (!s->derive)
        return 0;
    buf_init(&path, DERIVE_SQL_MAX);
    pg_put_ident(&path, map_mirror_schema(s->options.map));
    for (size_t i = 0; i < count; i++) {
        buf_puts(&path, ", ");
        pg_put_ident(&path, schemas[i]);
    }
    failed = session_query(s, "setting up the session",
                           "SELECT set_config('search_path', $1 || ', ' || current_setting('search_path'), false)", 1,
                           (const char *[]){session_text(&path)}, NULL, reterr);
    buf_done(&path);
    return failed;
}

void derive_close(struct pgsink *s)
{
    if (!s->derive)
        return;
    for (size_t i = 0; i < s->derive->count; i++) {
        struct derive_one *one = &s->derive->all[i];
        for (size_t j = 0; one->inputs && j < one->input_count; j++)
            free(one->inputs[j].table);
        derive_quick_free(one);
        free(one->inputs);
        free(one->parts);
        free(one->columns);
        free(one->table);
    }
    free(s->derive->all);
    free(s->derive->read);
    free(s->derive->late);
    for (size_t i = 0; i < 2; i++)
        free(s->derive->planners[i].sql);
    derive_statements_free(s->derive->statements);
    free(s->derive);
    s->derive = NULL;
}

/* --- running --- */

int derive_step(struct pgsink *s, int index, struct err *reterr)
{
    if (!s->derive || s->derive->all[index].keys == 0)
        return 0;
    if (s->derive->all[index].rests)
        return derive_drop_keys(s, &s->derive->all[index], reterr);
    return derive_keys(s, &s->derive->all[index], reterr);
}

bool derive_has_keys(const struct pgsink *s)
{
    for (size_t i = 0; s->derive && i < s->derive->count; i++)
        if (s->derive->all[i].keys || s->derive->all[i].refused)
            return true;
    return false;
}

static int run_steps(struct pgsink *s, struct err *reterr)
{
    for (size_t i = 0; i < s->derive->step_count; i++)
        if (s->derive->steps[i].kind == STEP_DERIVATION && derive_step(s, s->derive->steps[i].index, reterr))
            return -1;
    return 0;
}

static int finish_refused(struct pgsink *s, struct err *reterr)
{
    for (size_t i = s->derive->step_count; i-- > 0;) {
        const struct map_step *step = &s->derive->steps[i];
        if (step->kind == STEP_DERIVATION && s->derive->all[step->index].refused &&
            derive_gone_again(s, &s->derive->all[step->index], reterr))
            return -1;
    }
    return 0;
}

int derive_finish(struct pgsink *s, struct err *reterr)
{
    for (int round = 0; derive_has_keys(s); round++) {
        if (round == ROUNDS_MAX)
            return err_set(reterr, ERR_FATAL, "derivations make one another run without end");
        if (finish_refused(s, reterr) || run_steps(s, reterr))
            return -1;
    }
    return 0;
}

int derive_run(struct pgsink *s, bool *ret_wrote, struct err *reterr)
{
    if (ret_wrote)
        *ret_wrote = false;
    if (!derive_has_keys(s))
        return 0;
    s->derive->wrote = false;
    if (run_steps(s, reterr) || derive_finish(s, reterr) || derive_leave_planner(s, reterr))
        return -1;
    if (ret_wrote)
        *ret_wrote = s->derive->wrote;
    return 0;
}

int derive_all(struct pgsink *s, int index, struct err *reterr)
{
    struct derive_one *one = &s->derive->all[index];

    return derive_make(s, one, reterr) || touched_all(s, one, reterr) || derive_step(s, index, reterr) ? -1 : 0;
}

/* --- lives --- */

void derive_stands(struct pgsink *s)
{
    if (s->derive)
        park_settle(s);
    for (size_t i = 0; s->derive && i < s->derive->count; i++) {
        account_add(&s->derive->all[i].delta, &s->derive->all[i].step);
        s->derive->all[i].step = (struct account){0};
    }
}

/* What the transaction itself made is gone, or may be. */
static void forget_made(struct derive_one *one)
{
    one->made = one->stands;
    for (size_t i = 0; i < one->input_count; i++)
        one->inputs[i].made = one->inputs[i].kept;
}

void derive_keep_made(struct derive_one *one)
{
    one->stands = one->made && *one->id;
    for (size_t i = 0; i < one->input_count; i++)
        one->inputs[i].kept = one->inputs[i].made;
}

void derive_forget_tables(struct pgsink *s)
{
    for (size_t i = 0; s->derive && i < s->derive->count; i++)
        forget_made(&s->derive->all[i]);
}

static void forget(struct derive_one *one)
{
    forget_made(one);
    one->keys = 0;
    one->refused = false;
    if (!one->stands)
        *one->id = '\0';
}

void derive_written(struct pgsink *s)
{
    if (s->derive)
        s->derive->in_chunk = false;
}

void derive_undone(struct pgsink *s)
{
    derive_written(s);
    if (s->derive)
        s->derive->planner = PLANNER_SESSION;
    for (size_t i = 0; s->derive && i < s->derive->count; i++) {
        s->derive->all[i].step = (struct account){0};
        forget(&s->derive->all[i]);
    }
}

void derive_ended(struct pgsink *s, bool committed)
{
    derive_written(s);
    if (s->derive) {
        s->derive->many = false;
        s->derive->planner = PLANNER_SESSION;
    }
    for (size_t i = 0; s->derive && i < s->derive->count; i++) {
        struct derive_one *one = &s->derive->all[i];
        one->keys = 0;
        one->refused = one->keeps = false;
        one->step = (struct account){0};
        if (committed) {
            derive_keep_made(one);
            continue;
        }
        one->delta = (struct account){0};
        forget(one);
    }
}

/* --- accounts and quarantine --- */

size_t derive_count(const struct pgsink *s)
{
    return s->derive ? s->derive->count : 0;
}

const char *derive_name(const struct pgsink *s, size_t index)
{
    return s->derive->all[index].derivation->name;
}

struct account *derive_delta(const struct pgsink *s, size_t index)
{
    return &s->derive->all[index].delta;
}

int64_t *derive_standing(const struct pgsink *s, size_t index)
{
    return &s->derive->all[index].standing;
}

int derive_index(const struct pgsink *s, const char *rule_name)
{
    for (size_t i = 0; i < derive_count(s); i++)
        if (strcmp(derive_name(s, i), rule_name) == 0)
            return (int)i;
    return -1;
}
