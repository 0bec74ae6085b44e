/* One change -> one row for each rule of its table. Pure; everything that could be looked up was, by map_bind.
 *
 *     image "now":  the change's columns           -> when?, values, locator
 *     image "old":  nothing but the replica identity -> locator of a delete, old_locator of a changed key
 */
#include "transform/map_internal.h"

#include <string.h>

struct run {
    const struct rule *rule;
    const struct rule_program *program;
    const struct change *change;
    const struct value *now; /* NULL for delete and truncate */
    struct arena *arena;
    struct row *row;
    struct expr_env env; /* over the image "now" */
};

/* The columns as the rules see them. The key is never ABSENT there: where it is long and unchanged the message
 * leaves it out, but the identity has it. */
static const struct value *image_now(const struct change *change, struct arena *arena)
{
    const struct relation *source = change->relation;
    bool whole = true;
    for (size_t k = 0; k < source->key_count && whole; k++)
        whole = change->columns[source->key[k]].state != VALUE_ABSENT;
    if (whole || !change->identity)
        return change->columns;
    struct value *image = arena_alloc(arena, source->column_count * sizeof *image);
    memcpy(image, change->columns, source->column_count * sizeof *image);
    for (size_t k = 0; k < source->key_count; k++)
        if (image[source->key[k]].state == VALUE_ABSENT)
            image[source->key[k]] = change->identity[k];
    return image;
}

static const struct value *image_old(const struct change *change, struct arena *arena)
{
    const struct relation *source = change->relation;
    struct value *image = arena_zalloc(arena, source->column_count + 1, sizeof *image);
    for (size_t k = 0; change->identity && k < source->key_count; k++)
        image[source->key[k]] = change->identity[k];
    return image;
}

/* Where the row of that image stands on the target; NULL where that cannot be computed (then it never stood
 * there: a key that is NULL or rejected was never written). */
static struct value *locate(const struct run *run, const struct value *image)
{
    const struct rule *rule = run->rule;
    struct value *locator = arena_alloc(run->arena, (rule->locator_count + 1) * sizeof *locator);
    struct expr_env env = {.columns = image, .arena = run->arena, .absent_is_null = true};
    for (size_t i = 0; i < rule->locator_count; i++) {
        const struct program_column *column = &run->program->columns[rule->locator[i]];
        if (column->direct >= 0)
            locator[i] = image[column->direct];
        else if (expr_eval(column->value, &env, &locator[i]) != EXPR_OK)
            return NULL;
        if (locator[i].state != VALUE_TEXT)
            return NULL;
    }
    return locator;
}

/* As locate, for rows whose locator must be there: NULLs find nothing. */
static struct value *locate_or_nothing(const struct run *run, const struct value *image)
{
    struct value *locator = locate(run, image);
    if (locator)
        return locator;
    locator = arena_zalloc(run->arena, run->rule->locator_count + 1, sizeof *locator);
    for (size_t i = 0; i < run->rule->locator_count; i++)
        locator[i].state = VALUE_NULL;
    return locator;
}

static bool same_values(const struct value *a, const struct value *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].state != b[i].state || a[i].len != b[i].len || memcmp(a[i].text, b[i].text, a[i].len) != 0)
            return false;
    return true;
}

static void set_locators(struct run *run, struct value *locator)
{
    run->row->locator = locator;
    if (!run->change->key_changed)
        return;
    struct value *old = locate(run, image_old(run->change, run->arena));
    if (old && !(locator && same_values(old, locator, run->rule->locator_count)))
        run->row->old_locator = old;
}

static void reject(struct run *run, const char *column, enum category category, const char *reason)
{
    run->row->op = ROW_REJECT;
    run->row->values = NULL;
    run->row->partial = false;
    run->row->category = category;
    run->row->column = column;
    run->row->reason = reason;
    set_locators(run, locate(run, run->now));
}

static void make_null(struct run *run, size_t i)
{
    const struct rule_column *column = &run->rule->columns[i];
    const struct program_column *program = &run->program->columns[i];
    bool conditional = run->program->spec->columns[i].conditional;
    if (column->key)
        reject(run, column->name, CATEGORY_VALIDATION_FAILURE, "a key value is NULL");
    else if (program->reference && ((column->required && !conditional) || program->not_null))
        reject(run, column->name, CATEGORY_ORPHAN_REFERENCE, "a required reference is NULL on the source");
    else if (program->not_null)
        reject(run, column->name, CATEGORY_CONSTRAINT_VIOLATION, "NULL where the target needs a value");
}

/* 0, or 1 where a column of the source is missing. After a reject run->row->op says so. */
static int make_value(struct run *run, size_t i, struct value *value)
{
    const struct program_column *program = &run->program->columns[i];
    const struct rule_column *column = &run->rule->columns[i];
    enum category category;
    const char *reason;
    if (program->direct >= 0) {
        *value = run->now[program->direct];
    } else {
        switch (expr_eval(program->value, &run->env, value)) {
        case EXPR_OK: break;
        case EXPR_NEEDS_COLUMN:
            if (!run->change->gone)
                return 1;
            *value = (struct value){.state = VALUE_ABSENT};
            break;
        case EXPR_REJECT: reject(run, column->name, run->env.category, run->env.reason); return 0;
        }
    }
    if (value->state == VALUE_ABSENT && column->key) {
        if (!run->change->completed && !run->change->gone)
            return 1;
        value->state = VALUE_NULL;
    }
    if (value->state == VALUE_NULL)
        make_null(run, i);
    else if (value->state == VALUE_ABSENT)
        run->row->partial = true;
    else if (program->check && !fit_check(&program->fit, value, &category, &reason))
        reject(run, column->name, category, reason);
    return 0;
}

static int make_values(struct run *run)
{
    const struct rule *rule = run->rule;
    struct value *values = arena_alloc(run->arena, (rule->column_count + 1) * sizeof *values);
    run->row->op = ROW_UPSERT;
    for (size_t i = 0; i < rule->column_count; i++) {
        int status = make_value(run, i, &values[i]);
        if (status != 0 || run->row->op == ROW_REJECT)
            return status;
    }
    run->row->values = values;
    struct value *locator = arena_alloc(run->arena, (rule->locator_count + 1) * sizeof *locator);
    for (size_t i = 0; i < rule->locator_count; i++)
        locator[i] = values[rule->locator[i]];
    set_locators(run, locator);
    return 0;
}

static void exclude(struct run *run)
{
    run->row->op = ROW_EXCLUDE;
    set_locators(run, locate_or_nothing(run, run->now));
}

static int map_living_row(struct run *run)
{
    bool wanted = true;
    if (run->program->skip) {
        exclude(run);
        return 0;
    }
    if (run->program->when) {
        switch (expr_test(run->program->when, &run->env, &wanted)) {
        case EXPR_OK: break;
        case EXPR_NEEDS_COLUMN:
            if (!run->change->gone)
                return 1;
            wanted = true; /* unknown: a row that stands follows the change, the next one decides */
            break;
        case EXPR_REJECT: reject(run, NULL, run->env.category, run->env.reason); return 0;
        }
    }
    if (!wanted) {
        exclude(run);
        return 0;
    }
    return make_values(run);
}

static int run_rule(const struct map *map, const struct rule *rule, const struct change *change,
                    const struct value *now, struct arena *arena, struct row **ret_row, struct err *reterr)
{
    struct row *row = arena_zalloc(arena, 1, sizeof *row);
    struct run run = {.rule = rule, .program = rule->program, .change = change, .now = now, .arena = arena, .row = row};
    run.env = (struct expr_env){
        .columns = now, .lookups = &map->lookups, .arena = arena, .absent_is_null = change->completed};
    row->rule = rule;
    row->change = change;
    row->born = change->op == CHANGE_INSERT || change->op == CHANGE_READ;
    int status = 0;
    if (change->op == CHANGE_TRUNCATE) {
        row->op = ROW_TRUNCATE;
    } else if (change->op == CHANGE_DELETE) {
        row->op = ROW_DELETE;
        row->locator = locate_or_nothing(&run, image_old(change, arena));
    } else {
        status = map_living_row(&run);
    }
    if (status != 0 && change->completed)
        return err_set(reterr, ERR_FATAL, "rule %s needs a column that a completed row of %s.%s does not hold",
                       rule->name, rule->from_schema, rule->from_table);
    *ret_row = row;
    return status;
}

static bool is_living(const struct change *change)
{
    return change->op != CHANGE_DELETE && change->op != CHANGE_TRUNCATE;
}

int map_transform(const struct map *map, const struct change *change, struct arena *arena, struct row ***ret_rows,
                  size_t *ret_count, struct err *reterr)
{
    size_t count;
    const struct rule *const *rules = map_rules_of(map, change->relation, &count);
    if (is_living(change) && !change->columns)
        return err_set(reterr, ERR_FATAL, "a change of %s.%s has no columns", change->relation->schema,
                       change->relation->name);
    const struct value *now = count > 0 && is_living(change) ? image_now(change, arena) : NULL;
    struct row **rows = arena_alloc(arena, (count + 1) * sizeof(struct row *));
    for (size_t i = 0; i < count; i++) {
        int status = run_rule(map, rules[i], change, now, arena, &rows[i], reterr);
        if (status != 0)
            return status;
    }
    *ret_rows = rows;
    *ret_count = count;
    return 0;
}

int map_transform_rule(const struct map *map, const struct rule *rule, const struct change *change, struct arena *arena,
                       struct row **ret_row, struct err *reterr)
{
    if (is_living(change) && !change->columns)
        return err_set(reterr, ERR_FATAL, "a change of %s.%s has no columns", change->relation->schema,
                       change->relation->name);
    const struct value *now = is_living(change) ? image_now(change, arena) : NULL;
    return run_rule(map, rule, change, now, arena, ret_row, reterr);
}
