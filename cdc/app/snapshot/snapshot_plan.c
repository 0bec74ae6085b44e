/* What a snapshot is made of. A part is a key range of a source table for the rules of one level: rules stand on the
 * level below those that refer to them, so parents are there before their children. A table whose rules stand on two
 * levels is read twice.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/app/snapshot/join.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/pg/pg.h"

#define RANGES_MAX 256

static bool refers_to_itself(const struct engine *engine, const struct rule *rule)
{
    const struct relation *target = map_rule_target(engine->binding.map, rule);
    for (size_t i = 0; i < rule->column_count; i++)
        if (rule->columns[i].parent == rule)
            return true;
    for (size_t i = 0; target && i < target->fk_count; i++)
        if (strcmp(target->fks[i].parent_schema, rule->to_schema) == 0 &&
            strcmp(target->fks[i].parent_table, rule->to_table) == 0)
            return true;
    return false;
}

/* --- parts --- */

static void add_part(struct snapshot *s, int level, const struct copy_range *range, const struct rule *const *rules,
                     size_t rule_count)
{
    if (s->part_count == s->part_capacity) {
        s->part_capacity = s->part_capacity ? s->part_capacity * 2 : 64;
        s->parts = mem_realloc(s->parts, s->part_capacity * sizeof(*s->parts));
    }
    struct part *part = &s->parts[s->part_count];
    *part = (struct part){.id = (int)s->part_count, .level = level, .rule_count = rule_count};
    part->range.relation = range->relation;
    part->range.lo = range->lo ? mem_strdup(range->lo) : NULL;
    part->range.hi = range->hi ? mem_strdup(range->hi) : NULL;
    part->rules = mem_alloc(rule_count * sizeof(*part->rules));
    memcpy(part->rules, rules, rule_count * sizeof(*part->rules));
    s->part_count++;
}

/* How large a part may be, and how many. One that joins stops the stream; and a table that refers to itself is read in
 * one piece in a snapshot, for parents mostly have the lower keys. */
struct sizes {
    double rows;
    size_t most;
    bool whole;
};

static struct sizes sizes_of(const struct snapshot *s, bool late)
{
    double rows = (double)s->engine->settings->snapshot_range_rows;
    if (!late)
        return (struct sizes){.rows = rows, .most = RANGES_MAX, .whole = true};
    return (struct sizes){.rows = rows > JOIN_PART_ROWS ? JOIN_PART_ROWS : rows, .most = JOIN_PARTS_MAX};
}

/* wanted: by rule->index; NULL: all. */
static int plan_table(struct snapshot *s, PGconn *conn, const struct relation *relation, int level, const bool *wanted,
                      const struct sizes *sizes, struct err *reterr)
{
    const struct map *map = s->engine->binding.map;
    size_t all, count = 0;
    const struct rule *const *of_table = map_rules_of(map, relation, &all);
    const struct rule **rules = mem_alloc((all + 1) * sizeof(*rules));
    bool whole = false;
    for (size_t i = 0; i < all; i++)
        if (map_rule_step(map, of_table[i])->level == level && (!wanted || wanted[of_table[i]->index])) {
            rules[count++] = of_table[i];
            whole = whole || refers_to_itself(s->engine, of_table[i]);
        }
    struct copy_range *ranges = NULL;
    size_t range_count = 0;
    int failed = 0;
    if (count > 0) {
        failed = copy_ranges_plan(conn, relation, sizes->rows, whole && sizes->whole ? 1 : sizes->most, &ranges,
                                  &range_count, reterr);
        for (size_t i = 0; !failed && i < range_count; i++)
            add_part(s, level, &ranges[i], rules, count);
        if (!failed && relation->estimated_rows > 0)
            s->rows_expected += relation->estimated_rows;
        copy_ranges_free(ranges, range_count);
    }
    free(rules);
    return failed;
}

static int plan(struct snapshot *s, const bool *wanted, bool late, struct err *reterr)
{
    struct engine *engine = s->engine;
    const struct sizes sizes = sizes_of(s, late);
    s->level_count = map_level_count(engine->binding.map);
    PGconn *conn = NULL;
    int failed = engine_open_source(engine->settings, "snapshot plan", ENGINE_PATIENT, &conn, reterr);
    if (!failed && !wanted)
        failed = snapshot_join(conn, s->point.name, reterr);
    for (int level = 0; !failed && level < s->level_count; level++)
        for (size_t i = 0; !failed && i < engine->binding.source->count; i++)
            failed = plan_table(s, conn, &engine->binding.source->relations[i], level, wanted, &sizes, reterr);
    pg_close(conn);
    return failed;
}

int snapshot_plan(struct snapshot *s, struct err *reterr)
{
    return plan(s, NULL, false, reterr);
}

/* --- on the target --- */

static char **names_of(const struct part *part)
{
    char **names = mem_alloc((part->rule_count + 1) * sizeof(*names));
    for (size_t i = 0; i < part->rule_count; i++)
        names[i] = mem_strdup(part->rules[i]->name);
    return names;
}

static struct sink_part *records_of(const struct snapshot *s)
{
    struct sink_part *records = mem_zalloc(s->part_count + 1, sizeof(*records));
    for (size_t i = 0; i < s->part_count; i++) {
        const struct part *part = &s->parts[i];
        records[i] = (struct sink_part){
            .id = part->id,
            .level = part->level,
            .schema = mem_strdup(part->range.relation->schema),
            .table = mem_strdup(part->range.relation->name),
            .lo = part->range.lo ? mem_strdup(part->range.lo) : NULL,
            .hi = part->range.hi ? mem_strdup(part->range.hi) : NULL,
            .rules = names_of(part),
            .rule_count = part->rule_count,
        };
    }
    return records;
}

int snapshot_plan_record(struct snapshot *s, struct err *reterr)
{
    struct sink_part *records = records_of(s);
    int failed = sink_snapshot_plan(s->engine->sink, s->slot_lsn, records, s->part_count, reterr);
    sink_parts_free(records, s->part_count);
    return failed;
}

/* Is the rule new on the target, and not planned yet? */
static bool is_new(const struct rule *rule, const struct sink_step *steps, size_t step_count,
                   const struct sink_part *parts, size_t part_count)
{
    bool found = false;
    for (size_t i = 0; i < step_count; i++)
        found = found || ((strcmp(steps[i].state, "new") == 0 || strcmp(steps[i].state, "back") == 0) &&
                          strcmp(steps[i].name, rule->name) == 0);
    for (size_t i = 0; found && i < part_count; i++)
        for (size_t r = 0; r < parts[i].rule_count; r++)
            if (strcmp(parts[i].rules[r], rule->name) == 0)
                return false;
    return found;
}

/* new[rule->index]: its parts are still to be planned. later[]: it may come while the stream goes on. */
static int find_new(struct engine *engine, bool *new, bool *later, struct err *reterr)
{
    const struct map *map = engine->binding.map;
    struct sink_step *steps = NULL;
    struct sink_part *parts = NULL;
    size_t step_count = 0, part_count = 0;
    int failed = sink_steps_due(engine->sink, &steps, &step_count, reterr) != 0 ||
                 sink_parts_read(engine->sink, &parts, &part_count, reterr) != 0;
    for (size_t i = 0; !failed && i < map_rule_count(map); i++)
        new[map_rule(map, i)->index] = is_new(map_rule(map, i), steps, step_count, parts, part_count);
    if (!failed && engine->sink->ops->joins)
        join_find(map, steps, step_count, later);
    free(engine->back);
    engine->back = failed ? NULL : join_back(map, steps, step_count);
    sink_steps_free(steps, step_count);
    sink_parts_free(parts, part_count);
    return failed ? -1 : 0;
}

/* Those of the new rules that come at once, or later. */
static int plan_new(struct engine *engine, const bool *new, const bool *later, bool late, struct err *reterr)
{
    struct snapshot s = {.engine = engine};
    size_t count = map_rule_count(engine->binding.map);
    bool *wanted = mem_zalloc(count + 1, sizeof(*wanted)), any = false;
    for (size_t i = 0; i < count; i++)
        any |= wanted[i] = new[i] && later[i] == late;
    int failed = any ? plan(&s, wanted, late, reterr) : 0;
    if (!failed && any) {
        struct sink_part *records = records_of(&s);
        failed = sink_parts_add(engine->sink, records, s.part_count, !late, reterr);
        sink_parts_free(records, s.part_count);
    }
    snapshot_plan_free(&s);
    free(wanted);
    return failed ? -1 : 0;
}

int snapshot_plan_new(struct engine *engine, bool **ret_later, struct err *reterr)
{
    size_t count = map_rule_count(engine->binding.map);
    bool *new = mem_zalloc(count + 1, sizeof(*new)), *later = mem_zalloc(count + 1, sizeof(*later));
    int failed = find_new(engine, new, later, reterr) != 0 || plan_new(engine, new, later, false, reterr) != 0 ||
                 plan_new(engine, new, later, true, reterr) != 0;
    free(new);
    *ret_later = later;
    return failed ? -1 : 0;
}

static const struct rule *rule_named(const struct map *map, const struct relation *relation, const char *name)
{
    size_t count;
    const struct rule *const *rules = map_rules_of(map, relation, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rules[i]->name, name) == 0)
            return rules[i];
    return NULL;
}

/* The rules of a recorded part; NULL where the mapping lacks one. The caller frees the array. */
static const struct rule **rules_of(const struct map *map, const struct relation *relation,
                                    const struct sink_part *record)
{
    const struct rule **rules = mem_alloc((record->rule_count + 1) * sizeof(*rules));
    for (size_t i = 0; i < record->rule_count; i++) {
        rules[i] = rule_named(map, relation, record->rules[i]);
        if (!rules[i]) {
            free(rules);
            return NULL;
        }
    }
    return rules;
}

static int take_record(struct snapshot *s, const struct sink_part *record, struct err *reterr)
{
    const struct binding *binding = &s->engine->binding;
    const struct relation *relation = catalog_find(binding->source, record->schema, record->table);
    const struct rule **rules = relation ? rules_of(binding->map, relation, record) : NULL;
    if (!rules) {
        (void)err_set(reterr, ERR_REFUSED, "the snapshot was begun with other rules for table %s.%s", record->schema,
                      record->table);
        return err_hint(reterr, "bring the mapping back; or `pgrekey drop`, empty the target tables and begin again");
    }
    struct copy_range range = {.relation = relation, .lo = record->lo, .hi = record->hi};
    add_part(s, record->level, &range, rules, record->rule_count);
    s->parts[s->part_count - 1].id = record->id;
    free(rules);
    return 0;
}

static bool all_later(const struct part *part, const bool *later)
{
    for (size_t i = 0; i < part->rule_count; i++)
        if (!later[part->rules[i]->index])
            return false;
    return true;
}

static void drop_last(struct snapshot *s)
{
    struct part *part = &s->parts[--s->part_count];
    free(part->range.lo);
    free(part->range.hi);
    free(part->rules);
}

int snapshot_plan_read(struct snapshot *s, const bool *later, bool wanted, struct err *reterr)
{
    struct sink_part *records = NULL;
    size_t count = 0;
    s->level_count = map_level_count(s->engine->binding.map);
    int failed = sink_parts_read(s->engine->sink, &records, &count, reterr);
    for (size_t i = 0; !failed && i < count; i++) {
        if (!records[i].done)
            failed = take_record(s, &records[i], reterr);
        if (!failed && !records[i].done && later && all_later(&s->parts[s->part_count - 1], later) != wanted)
            drop_last(s);
        if (records[i].level >= s->level_count)
            s->level_count = records[i].level + 1;
    }
    sink_parts_free(records, count);
    return failed;
}

void snapshot_plan_free(struct snapshot *s)
{
    for (size_t i = 0; i < s->part_count; i++) {
        free(s->parts[i].range.lo);
        free(s->parts[i].range.hi);
        free(s->parts[i].rules);
    }
    free(s->parts);
}
