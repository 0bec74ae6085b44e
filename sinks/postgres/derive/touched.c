/* Rows that are touched -> keys of the derivations that read them.
 *
 * An image is read where it stands, in its table: before a row is written the old one, behind it the new one; each time
 * the keys SQL of every input on that table runs over just these rows, and what it yields is added to pgrekey_k<d>. No
 * trigger and no copy of a row. Only where `columns:` says which changes matter are old images kept until the new ones
 * are there: rows that are equal in all of these columns drop out.
 */
#include <stdio.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/apply/netchange.h"
#include "sinks/postgres/derive/derive_work.h"

/* --- one input --- */

void touched_put_keys(struct buf *sql, const struct derive_one *one, const struct derive_input *input,
                      const char *touched)
{
    buf_printf(sql, "INSERT INTO pgrekey_k%d SELECT DISTINCT * FROM (", one->derivation->index);
    derive_put_keys(sql, one, input, touched);
    buf_puts(sql, ") AS a");
}

static int add_keys(struct pgsink *s, struct derive_one *one, const struct derive_input *input, const char *touched,
                    int param_count, const char *const *params, struct err *reterr)
{
    int64_t added;
    struct buf sql;
    int failed;

    if (derive_make(s, one, reterr) || derive_planner(s, PLANNER_FEW, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    touched_put_keys(&sql, one, input, touched);
    failed = derive_sql(s, one, &sql, param_count, params, &added, reterr);
    buf_done(&sql);
    one->keys += added;
    one->kept += added;
    return failed;
}

/* "n.id = o.id": the rows' own key. A table without one has no pairs: then every row counts as changed. */
static void put_same_row(struct buf *sql, const struct relation *relation)
{
    for (size_t i = 0; i < relation->pk_count; i++) {
        const char *name = relation->columns[relation->pk[i]].name;
        buf_puts(sql, i ? " AND n." : "n.");
        pg_put_ident(sql, name);
        buf_puts(sql, " = o.");
        pg_put_ident(sql, name);
    }
    if (relation->pk_count == 0)
        buf_puts(sql, "false");
}

static void put_same_values(struct buf *sql, const struct derive_input *input)
{
    for (size_t i = 0; i < input->input->column_count; i++) {
        const char *name = input->input->columns[i];
        int column = relation_column(input->relation, name);
        const char *cast =
            column >= 0 && !derive_has_equality(input->relation->columns[column].base_type) ? "::text" : "";

        buf_puts(sql, " AND n.");
        pg_put_ident(sql, name);
        buf_printf(sql, "%s IS NOT DISTINCT FROM o.", cast);
        pg_put_ident(sql, name);
        buf_puts(sql, cast);
    }
}

void touched_put_differing(struct buf *sql, const struct derive_input *input, const char *from, const char *but,
                           char alias, char other)
{
    buf_printf(sql, "SELECT %c.* FROM %s AS %c WHERE NOT EXISTS (SELECT FROM %s AS %c WHERE ", alias, from, alias, but,
               other);
    put_same_row(sql, input->relation);
    put_same_values(sql, input);
    buf_puts(sql, ")");
}

const char *touched_images(const struct derive_one *one, const struct derive_input *input, char *name, size_t size)
{
    snprintf(name, size, "pgrekey_o%d_%zu", one->derivation->index, (size_t)(input - one->inputs));
    return name;
}

/* An image has a key, so a row of NULLs is none. (As defaults a domain might refuse them.) */
void touched_put_small(struct buf *sql, const char *images)
{
    buf_printf(sql, "; INSERT INTO %s SELECT (NULL::pg_temp.%s).*; ANALYZE %s; DELETE FROM %s AS o WHERE o IS NULL",
               images, images, images, images);
}

int touched_images_ready(struct pgsink *s, struct derive_one *one, struct derive_input *input, struct err *reterr)
{
    char name[48];
    struct buf sql;
    int failed;

    if (input->made)
        return 0;
    touched_images(one, input, name, sizeof(name));
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "CREATE TEMP TABLE IF NOT EXISTS %s AS SELECT * FROM %s WITH NO DATA", name, input->table);
    touched_put_small(&sql, name);
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    input->made = !failed;
    return failed;
}

/* Once they have been compared; before that none may go, however many there are. */
static int drop_images(struct pgsink *s, struct derive_one *one, struct derive_input *input, const char *name,
                       struct err *reterr)
{
    bool truncate = input->images > DERIVE_KEPT_MAX;
    struct buf sql;
    int failed;

    if (input->images == 0)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "%s %s", truncate ? "TRUNCATE" : "DELETE FROM", name);
    if (truncate)
        touched_put_small(&sql, name);
    failed = truncate ? derive_run_sql(s, one, &sql, reterr) : derive_sql(s, one, &sql, 0, NULL, NULL, reterr);
    buf_done(&sql);
    if (truncate && !failed)
        input->images = 0;
    return failed;
}

/* Keeps the images that stand now, beside those of other rows of the chunk. */
static int keep_images(struct pgsink *s, struct derive_one *one, struct derive_input *input, const char *condition,
                       int param_count, const char *const *params, struct err *reterr)
{
    char name[48];
    int64_t kept;
    struct buf sql;
    int failed;

    if (touched_images_ready(s, one, input, reterr))
        return -1;
    touched_images(one, input, name, sizeof(name));
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "INSERT INTO %s SELECT t.* FROM %s AS t WHERE %s", name, input->table, condition);
    failed = derive_sql(s, one, &sql, param_count, params, &kept, reterr);
    buf_done(&sql);
    input->images += kept;
    return failed;
}

/* Without figures the planner takes a temporary table for a small one, and compares each row with all. */
static int analyse_images(struct pgsink *s, struct derive_one *one, const struct derive_input *input, const char *name,
                          struct err *reterr)
{
    struct buf sql;
    int failed;

    if (input->images <= DERIVE_KEPT_MAX)
        return 0;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "ANALYZE %s", name);
    failed = derive_run_sql(s, one, &sql, reterr);
    buf_done(&sql);
    return failed;
}

/* Both images of rows that differ in some column that matters. `last`: no more of the rows are still to be written. */
static int compare_images(struct pgsink *s, struct derive_one *one, struct derive_input *input, bool last,
                          const char *condition, int param_count, const char *const *params, struct err *reterr)
{
    char name[48];
    struct buf touched, rows;
    int failed;

    if (touched_images_ready(s, one, input, reterr))
        return -1;
    touched_images(one, input, name, sizeof(name));
    if (analyse_images(s, one, input, name, reterr))
        return -1;
    buf_init(&touched, DERIVE_SQL_MAX);
    buf_init(&rows, DERIVE_SQL_MAX);
    buf_printf(&rows, "(SELECT t.* FROM %s AS t WHERE %s)", input->table, condition);
    touched_put_differing(&touched, input, name, input->table, 'o', 'n');
    buf_puts(&touched, " UNION ALL ");
    touched_put_differing(&touched, input, session_text(&rows), name, 'n', 'o');
    buf_done(&rows);
    failed = add_keys(s, one, input, session_text(&touched), param_count, params, reterr);
    buf_done(&touched);
    return failed || (last && drop_images(s, one, input, name, reterr)) ? -1 : 0;
}

/* --- all inputs on a table --- */

enum moment {
    MOMENT_ALONE, /* images are taken as they are, whatever `columns:` says */
    MOMENT_OLD,
    MOMENT_BETWEEN, /* a new one, but rows of another rule on the table have their old one */
    MOMENT_NEW,
};

static int take_input(struct pgsink *s, struct derive_one *one, struct derive_input *input, enum moment moment,
                      const char *condition, int param_count, const char *const *params, struct err *reterr)
{
    struct buf touched;
    int failed;

    if (input->filtered && moment == MOMENT_OLD)
        return keep_images(s, one, input, condition, param_count, params, reterr);
    if (input->filtered && moment != MOMENT_ALONE)
        return compare_images(s, one, input, moment == MOMENT_NEW, condition, param_count, params, reterr);
    buf_init(&touched, DERIVE_SQL_MAX);
    buf_printf(&touched, "SELECT t.* FROM %s AS t WHERE %s", input->table, condition);
    failed = add_keys(s, one, input, session_text(&touched), param_count, params, reterr);
    buf_done(&touched);
    return failed;
}

bool touched_is_on(const struct derive_input *input, const char *schema, const char *table)
{
    return strcmp(input->input->table, table) == 0 && strcmp(input->input->schema, schema) == 0;
}

static bool writes(const struct derive_one *writer, const char *column)
{
    for (size_t i = 0; i < writer->column_count; i++)
        if (strcmp(writer->columns[i].name, column) == 0)
            return true;
    for (size_t i = 0; i < writer->derivation->set_count; i++)
        if (strcmp(writer->derivation->set[i].column, column) == 0)
            return true;
    return false;
}

bool touched_by(const struct derive_one *writer, const struct derive_input *input)
{
    const struct relation *relation = input->relation;

    if (!touched_is_on(input, writer->derivation->to_schema, writer->derivation->to_table))
        return false;
    if (writer->derivation->owns_rows || !input->filtered || relation->has_user_triggers)
        return true;
    for (size_t i = 0; i < input->input->column_count; i++) {
        int column = relation_column(relation, input->input->columns[i]);
        if (column < 0 || relation->columns[column].generated || writes(writer, input->input->columns[i]))
            return true;
    }
    return false;
}

static int take(struct pgsink *s, const char *schema, const char *table, const struct derive_one *but,
                enum moment moment, const char *condition, int param_count, const char *const *params,
                struct err *reterr)
{
    struct derive *derive = s->derive;

    for (size_t d = 0; d < derive->count; d++) {
        struct derive_one *one = &derive->all[d];
        for (size_t i = 0; one != but && !one->rests && !one->later && i < one->input_count; i++)
            if (touched_is_on(&one->inputs[i], schema, table) &&
                (moment == MOMENT_ALONE || !but || touched_by(but, &one->inputs[i])) &&
                take_input(s, one, &one->inputs[i], moment, condition, param_count, params, reterr))
                return -1;
    }
    return 0;
}

int touched_where(struct pgsink *s, const char *schema, const char *table, const struct derive_one *but,
                  const char *condition, int param_count, const char *const *params, struct err *reterr)
{
    return take(s, schema, table, but, MOMENT_ALONE, condition, param_count, params, reterr);
}

int derive_touch_where(struct pgsink *s, const char *schema, const char *table, const char *condition, int param_count,
                       const char *const *params, struct err *reterr)
{
    return s->derive ? touched_where(s, schema, table, NULL, condition, param_count, params, reterr) : 0;
}

bool touched_is_read(const struct pgsink *s, const struct derive_one *one)
{
    for (size_t i = 0; i < s->derive->count; i++)
        for (size_t j = 0; &s->derive->all[i] != one && j < s->derive->all[i].input_count; j++)
            if (touched_by(one, &s->derive->all[i].inputs[j]))
                return true;
    return false;
}

int touched_own(struct pgsink *s, struct derive_one *one, bool old, struct err *reterr)
{
    const struct derivation *d = one->derivation;
    struct buf condition;
    int failed;

    buf_init(&condition, DERIVE_SQL_MAX);
    buf_puts(&condition, "(");
    for (size_t i = 0; i < d->key_count; i++) {
        buf_puts(&condition, i ? ", t." : "t.");
        derive_put_column(&condition, d->keys[i].column);
    }
    buf_puts(&condition, ") IN (SELECT ");
    for (size_t i = 0; i < d->key_count; i++)
        buf_printf(&condition, "%sr.t%zu", i ? ", " : "", i);
    buf_printf(&condition, " FROM pgrekey_r%d AS r WHERE r.act IN ('u', 'i', 'g', 'p'))", d->index);
    failed = take(s, d->to_schema, d->to_table, one, old ? MOMENT_OLD : MOMENT_NEW, session_text(&condition), 0, NULL,
                  reterr);
    buf_done(&condition);
    return failed;
}

int touched_all(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    int failed = 0;

    for (size_t i = 0; !failed && i < one->input_count; i++) {
        struct buf seen;
        buf_init(&seen, DERIVE_SQL_MAX);
        derive_put_seen(&seen, s, &one->inputs[i]);
        failed = take_input(s, one, &one->inputs[i], MOMENT_ALONE, session_text(&seen), 0, NULL, reterr);
        buf_done(&seen);
    }
    return failed ? -1 : 0;
}

/* --- rows by locator --- */

void touched_locators_begin(struct pgsink *s, const struct rule *rule, struct locators *ret_locators)
{
    *ret_locators = (struct locators){.rule = rule};
    ret_locators->arrays = arena_alloc(&s->scratch, rule->locator_count * sizeof(struct buf));
    ret_locators->params = arena_alloc(&s->scratch, rule->locator_count * sizeof(char *));
    for (size_t c = 0; c < rule->locator_count; c++)
        buf_init(&ret_locators->arrays[c], SESSION_ARRAY_MAX);
}

void touched_locators_add(struct locators *locators, const struct value *locator)
{
    for (size_t c = 0; c < locators->rule->locator_count; c++)
        session_put_array_item(&locators->arrays[c], &locator[c]);
    locators->count++;
}

void touched_put_place(struct pgsink *s, const struct rule *rule, struct buf *sql)
{
    const struct target *target = &rule_state_of(s, rule)->target;

    if (rule->locator_count == 1) {
        buf_printf(sql, "t.%s = ANY ($1::%s[])", target->columns[rule->locator[0]], target->types[rule->locator[0]]);
        return;
    }
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(sql, "%st.%s", i ? ", " : "(", target->columns[rule->locator[i]]);
    buf_puts(sql, ") IN (SELECT * FROM unnest(");
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(sql, "%s$%zu::%s[]", i ? ", " : "", i + 1, target->types[rule->locator[i]]);
    buf_puts(sql, "))");
}

void touched_locators_end(struct locators *locators)
{
    for (size_t c = 0; c < locators->rule->locator_count; c++)
        locators->params[c] = session_end_array(&locators->arrays[c]);
}

void touched_locators_done(struct locators *locators)
{
    for (size_t c = 0; c < locators->rule->locator_count; c++)
        buf_done(&locators->arrays[c]);
}

static int locators_take(struct pgsink *s, struct locators *locators, enum moment moment, struct err *reterr)
{
    const struct rule *rule = locators->rule;
    struct buf condition;
    int failed = 0;

    buf_init(&condition, DERIVE_SQL_MAX);
    touched_locators_end(locators);
    touched_put_place(s, rule, &condition);
    if (locators->count || moment == MOMENT_NEW) /* old images are compared, whoever has been set aside since */
        failed = take(s, rule->to_schema, rule->to_table, NULL, moment, session_text(&condition),
                      (int)rule->locator_count, locators->params, reterr);
    touched_locators_done(locators);
    buf_done(&condition);
    return failed;
}

bool derive_reads(const struct pgsink *s, const struct rule *rule)
{
    return s->derive && s->derive->read[rule->index];
}

static bool is_looked_at(const struct net_entry *entry, enum moment moment)
{
    bool new_here = entry->action == NET_INSERT || entry->action == NET_EXCLUDED || entry->action == NET_NOTHING;

    return entry->locator && !entry->aside && !(moment == MOMENT_OLD && new_here);
}

/* What was born in the chunk has no old image. A row that goes and comes back has changed even where both images are
 * alike: what others own of it has gone. */
static int take_entries(struct pgsink *s, const struct rule *rule, enum moment moment, struct err *reterr)
{
    struct locators changed, anew;
    int failed;

    touched_locators_begin(s, rule, &changed);
    touched_locators_begin(s, rule, &anew);
    for (uint32_t e = s->net->rules[rule->index].first; e != NET_NONE; e = s->net->entries[e].next) {
        const struct net_entry *entry = &s->net->entries[e];
        if (is_looked_at(entry, moment))
            touched_locators_add(entry->action == NET_REPLACE ? &anew : &changed, entry->locator);
    }
    failed = locators_take(s, &changed, moment, reterr);
    anew.count = failed ? 0 : anew.count;
    return locators_take(s, &anew, MOMENT_ALONE, reterr) || failed ? -1 : 0;
}

int derive_before(struct pgsink *s, struct err *reterr)
{
    if (s->derive)
        s->derive->in_chunk = true;
    for (size_t r = 0; s->derive && r < s->rule_count; r++)
        if (s->derive->read[r] && s->net->rules[r].hashed && s->net->rules[r].entry_count &&
            take_entries(s, s->rules[r].target.rule, MOMENT_OLD, reterr))
            return -1;
    return 0;
}

/* Are rows of the table still to be written, by another rule of the chunk? */
static bool more_to_come(const struct pgsink *s, const struct rule *rule)
{
    bool behind = false;

    for (size_t i = 0; i < s->derive->step_count; i++) {
        const struct map_step *step = &s->derive->steps[i];
        if (step->kind != STEP_RULE)
            continue;
        const struct rule *other = s->rules[step->index].target.rule;
        if (behind && s->net->rules[other->index].entry_count && strcmp(other->to_table, rule->to_table) == 0 &&
            strcmp(other->to_schema, rule->to_schema) == 0)
            return true;
        behind |= other == rule;
    }
    return false;
}

int derive_after(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    if (!derive_reads(s, rule) || s->net->rules[rule->index].entry_count == 0)
        return 0;
    return take_entries(s, rule, more_to_come(s, rule) ? MOMENT_BETWEEN : MOMENT_NEW, reterr);
}

int derive_touch_rows(struct pgsink *s, const struct row *const *rows, size_t count, struct err *reterr)
{
    for (size_t r = 0; s->derive && r < s->rule_count; r++) {
        struct locators locators;
        if (!s->derive->read[r])
            continue;
        touched_locators_begin(s, s->rules[r].target.rule, &locators);
        for (size_t i = 0; i < count; i++) {
            if (rows[i]->rule->index != (int)r)
                continue;
            if (rows[i]->locator)
                touched_locators_add(&locators, rows[i]->locator);
            if (rows[i]->old_locator)
                touched_locators_add(&locators, rows[i]->old_locator);
        }
        if (locators_take(s, &locators, MOMENT_ALONE, reterr))
            return -1;
    }
    return derive_leave_planner(s, reterr);
}

int derive_touch_found(struct pgsink *s, const struct rule *rule, const PGresult *found, struct err *reterr)
{
    struct locators locators;

    if (!derive_reads(s, rule))
        return 0;
    touched_locators_begin(s, rule, &locators);
    for (int i = 0; i < PQntuples(found); i++) {
        for (size_t c = 0; c < rule->locator_count; c++)
            session_put_array_item(&locators.arrays[c], &(struct value){.text = PQgetvalue(found, i, (int)c),
                                                                        .len = (uint32_t)PQgetlength(found, i, (int)c),
                                                                        .state = VALUE_TEXT});
        locators.count++;
    }
    return locators_take(s, &locators, MOMENT_ALONE, reterr);
}

int derive_touch_reference(struct pgsink *s, const struct reference *reference, const char *ids, bool pending,
                           struct err *reterr)
{
    const struct target *target = &s->rules[reference->rule].target;
    const struct rule *rule = target->rule;
    const char *params[] = {ids, s->options.pipeline, rule->name, s->references.places[reference->place].label,
                            rule->columns[reference->column].name};
    struct buf condition;
    int failed;

    if (!derive_reads(s, rule))
        return 0;
    buf_init(&condition, DERIVE_SQL_MAX);
    if (pending) {
        for (size_t l = 0; l < rule->locator_count; l++)
            buf_printf(&condition, "%st.%s", l ? ", " : "(", target->columns[rule->locator[l]]);
        buf_puts(&condition, ") IN (SELECT ");
        for (size_t l = 0; l < rule->locator_count; l++)
            buf_printf(&condition, "%sp.locator[%zu]::%s", l ? ", " : "", l + 1, target->types[rule->locator[l]]);
        buf_puts(&condition, " FROM pgrekey.pending_reference AS p WHERE p.parent_id = ANY ($1::text[]) AND p.pipeline "
                             "= $2 AND p.rule = $3 AND p.parent_table = $4 AND p.column_name = $5)");
    } else {
        buf_printf(&condition, "t.%s = ANY ($1::%s[])", target->columns[reference->column],
                   target->types[reference->column]);
    }
    failed = touched_where(s, rule->to_schema, rule->to_table, NULL, session_text(&condition), pending ? 5 : 1, params,
                           reterr);
    buf_done(&condition);
    return failed;
}
