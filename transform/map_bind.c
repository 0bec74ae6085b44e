/* The map against both catalogues: names become indexes, and what cannot work is said before anything runs. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

struct binder {
    struct map *map;
    struct map_issues *issues;
    struct rule *rule;
    const struct rule_spec *spec;
    const struct relation *source, *target; /* NULL where not bound or not found */
};

static const char *kind_name(char kind)
{
    switch (kind) {
    case 'v': return "a view";
    case 'm': return "a materialized view";
    case 'f': return "a foreign table";
    case 'p': return "a partitioned table";
    default: return "no table";
    }
}

/* --- source --- */

static const struct relation *find_source(struct binder *b)
{
    const struct rule *rule = b->rule;
    const struct catalog *catalog = b->map->source;
    const struct relation *found = catalog_find(catalog, rule->from_schema, rule->from_table);
    if (!found)
        issue_error(b->issues, b->spec->from_node, "there is no table %s.%s on the source%s", rule->from_schema,
                    rule->from_table, map_near_table(b->map, catalog, rule->from_schema, rule->from_table));
    else if (found->kind == 'p')
        issue_error(b->issues, b->spec->from_node,
                    "%s.%s is a partitioned table; its changes come under its partitions, name those", found->schema,
                    found->name);
    else if (found->kind != 'r')
        issue_error(b->issues, b->spec->from_node, "%s.%s is %s, not a table", found->schema, found->name,
                    kind_name(found->kind));
    else if (found->key_count == 0)
        issue_error(b->issues, b->spec->from_node,
                    "%s.%s has no replica identity that names a row (REPLICA IDENTITY %s); add a primary key, or a "
                    "unique index over NOT NULL columns and ALTER TABLE … REPLICA IDENTITY USING INDEX …",
                    found->schema, found->name,
                    found->replident == 'f'   ? "FULL"
                    : found->replident == 'n' ? "NOTHING"
                                              : "DEFAULT");
    else
        return found;
    return NULL;
}

struct name_check {
    struct binder *b;
    const struct yaml_node *node;
    bool good;
};

static void check_name(void *context, const char *name)
{
    struct name_check *check = context;
    struct binder *b = check->b;
    if (relation_column(b->source, name) >= 0)
        return;
    check->good = false;
    bool plain = check->node && check->node->kind != YAML_SCALAR;
    issue_error(b->issues, check->node, "%s.%s has no column \"%s\"%s%s", b->source->schema, b->source->name, name,
                map_near_column(b->map, b->source, name), plain ? " (a text is written in quotes)" : "");
}

/* All names exist and all types go together. */
static bool resolve(struct binder *b, struct expr *expr, const struct yaml_node *node, bool condition)
{
    struct name_check check = {b, node, true};
    struct err err = {0};
    expr_each_column(expr, check_name, &check);
    if (!check.good)
        return false;
    int status = condition ? expr_resolve_condition(expr, b->source, &err) : expr_resolve(expr, b->source, &err);
    if (status < 0)
        issue_error(b->issues, node, "%s", err.message);
    return status == 0;
}

static bool is_identity_column(const struct relation *source, const char *name, int *ret_index)
{
    for (size_t k = 0; k < source->key_count; k++) {
        if (strcmp(source->columns[source->key[k]].name, name) != 0)
            continue;
        *ret_index = (int)k;
        return true;
    }
    return false;
}

struct key_use {
    const struct relation *source;
    uint64_t used; /* bits of identity columns */
    bool others;   /* reads a column that is none */
};

static void note_key_column(void *context, const char *name)
{
    struct key_use *use = context;
    int at = 0;
    if (!is_identity_column(use->source, name, &at))
        use->others = true;
    else if (at < 64)
        use->used |= UINT64_C(1) << at;
}

static void warn_of_unused_identity(struct binder *b, uint64_t used)
{
    for (size_t k = 0; k < b->source->key_count && k < 64; k++)
        if (!(used >> k & 1))
            issue_warning(b->issues, b->spec->key_node,
                          "the key does not use \"%s\", which is part of what names a row of %s.%s; two of its rows "
                          "may become one",
                          b->source->columns[b->source->key[k]].name, b->source->schema, b->source->name);
}

static void locate_by_key(struct binder *b)
{
    uint16_t *locator = arena_zalloc(&b->map->bound, b->rule->program->key_count + 1, sizeof *locator);
    b->rule->locator_count = b->rule->program->key_count;
    for (size_t i = 0; i < b->rule->locator_count; i++)
        locator[i] = (uint16_t)i;
    b->rule->locator = locator;
    b->rule->locator_is_key = true;
}

static void locate_by_identity(struct binder *b)
{
    struct rule_program *program = b->rule->program;
    uint64_t covered = 0;
    for (size_t i = 0; i < b->rule->locator_count; i++) {
        struct program_column *column = &program->columns[b->rule->locator[i]];
        const char *source_name = NULL;
        if (!expr_is_column(column->value, &source_name) ||
            !is_identity_column(b->source, source_name, &column->identity))
            issue_error(b->issues, b->spec->identity_node,
                        "\"%s\" does not copy a column of the replica identity of %s.%s, as identity must",
                        b->rule->columns[b->rule->locator[i]].name, b->source->schema, b->source->name);
        else if (column->identity < 64)
            covered |= UINT64_C(1) << column->identity;
    }
    for (size_t k = 0; k < b->source->key_count && k < 64; k++)
        if (!(covered >> k & 1))
            issue_error(b->issues, b->spec->identity_node,
                        "identity does not hold \"%s\", which is part of the replica identity of %s.%s",
                        b->source->columns[b->source->key[k]].name, b->source->schema, b->source->name);
}

/* A delete carries the replica identity only: can the target row be found by that? */
static void bind_locator(struct binder *b)
{
    struct rule_program *program = b->rule->program;
    struct key_use use = {.source = b->source};
    for (size_t i = 0; i < program->key_count; i++)
        expr_each_column(program->columns[i].value, note_key_column, &use);
    if (!use.others && program->key_count > 0) {
        locate_by_key(b);
        warn_of_unused_identity(b, use.used);
    } else if (b->spec->identity_count > 0) {
        locate_by_identity(b);
    } else if (b->spec->copy) {
        issue_error(b->issues, b->spec->node,
                    "the primary key of the target's %s.%s is not the replica identity of the source's %s.%s; give "
                    "the table a rule of its own, or except it",
                    b->rule->to_schema, b->rule->to_table, b->source->schema, b->source->name);
    } else {
        issue_error(b->issues, b->spec->key_node,
                    "a delete carries only the replica identity of %s.%s, and this key is not made of that alone; "
                    "name the target column that holds it: \"identity: legacy_id\"",
                    b->source->schema, b->source->name);
    }
}

/* What tells that a target row came from this source table: plain copies of its key, in `identity:` or elsewhere. */
static void bind_origin(struct binder *b)
{
    const struct rule_program *program = b->rule->program;
    uint16_t *origin = arena_zalloc(&b->map->bound, b->source->key_count + 1, sizeof *origin);
    for (size_t k = 0; k < b->source->key_count; k++) {
        for (size_t i = 0; i < b->rule->column_count; i++) {
            if (program->columns[i].direct != b->source->key[k])
                continue;
            origin[b->rule->origin_count++] = (uint16_t)i;
            break;
        }
    }
    b->rule->origin = origin;
    if (b->rule->origin_count == 0 && b->spec->on_truncate == TRUNCATE_ROWS)
        issue_warning(b->issues, yaml_get(b->spec->node, "truncate"),
                      "no column keeps a copy of the key of %s.%s, so nothing tells its rows on the target; a TRUNCATE "
                      "pauses",
                      b->source->schema, b->source->name);
}

static void bind_source(struct binder *b)
{
    struct rule_program *program = b->rule->program;
    bool good = true;
    for (size_t i = 0; i < b->rule->column_count; i++) {
        struct program_column *column = &program->columns[i];
        const char *name;
        good = resolve(b, column->value, b->spec->columns[i].node, false) && good;
        if (expr_is_column(column->value, &name))
            column->direct = relation_column(b->source, name);
    }
    if (program->when)
        good = resolve(b, program->when, b->spec->when_node, true) && good;
    if (!good)
        return;
    bind_locator(b);
    bind_origin(b);
}

/* --- target --- */

static const struct relation *find_target(struct binder *b)
{
    const struct rule *rule = b->rule;
    const struct catalog *catalog = b->map->target;
    const struct relation *found = catalog_find(catalog, rule->to_schema, rule->to_table);
    if (!found)
        issue_error(b->issues, b->spec->to_node, "there is no table %s.%s on the target%s", rule->to_schema,
                    rule->to_table, map_near_table(b->map, catalog, rule->to_schema, rule->to_table));
    else if (found->kind != 'r' && found->kind != 'p')
        issue_error(b->issues, b->spec->to_node, "%s.%s is %s, not a table", found->schema, found->name,
                    kind_name(found->kind));
    else
        return found;
    return NULL;
}

static void bind_target_column(struct binder *b, size_t i, struct rule_column *out)
{
    const struct column_spec *spec = &b->spec->columns[i];
    struct program_column *column = &b->rule->program->columns[i];
    const struct column *target = map_target_column(b->map, b->target, spec->node, spec->name, b->issues);
    if (!target)
        return;
    const struct column *source = b->source && column->direct >= 0 ? &b->source->columns[column->direct] : NULL;
    if (target->generated)
        issue_error(b->issues, spec->node, "\"%s\" is a generated column on the target; it cannot be written",
                    spec->name);
    if (target->identity_always && !b->spec->copy)
        issue_error(b->issues, spec->node,
                    "\"%s\" is GENERATED ALWAYS AS IDENTITY on the target; leave it out, or make it BY DEFAULT",
                    spec->name);
    if (column->reference && spec->required == REQUIRED_DEFAULT)
        out->required = target->not_null;
    if (spec->second_pass && target->not_null)
        issue_error(b->issues, spec->node,
                    "\"%s\" must not be NULL on the target, so no second pass can fill it; drop that there",
                    spec->name);
    if (column->reference && spec->required == REQUIRED_NO && target->not_null)
        issue_error(b->issues, spec->node, "\"%s\" must not be NULL on the target, so the reference is required",
                    spec->name);
    if (b->source || column->direct < 0)
        map_check_types(spec, source, target, b->spec->copy, b->issues);
    column->not_null = target->not_null;
    column->fit = fit_of(target);
    /* Values that come from the same type were accepted by a server already. */
    column->check = !spec->entity && !(source && strcmp(source->type, target->type) == 0) &&
                    !(source && b->rule->mirror && strcmp(source->base_type, target->base_type) == 0);
}

static bool covers(const struct relation *target, const struct unique_index *index, const struct rule *rule,
                   const uint16_t *columns, size_t count, bool exactly)
{
    if (index->count == 0 || (exactly && index->count != count))
        return false;
    for (size_t i = 0; i < index->count; i++) {
        const char *name = target->columns[index->columns[i]].name;
        bool found = false;
        for (size_t j = 0; j < count && !found; j++)
            found = strcmp(rule->columns[columns[j]].name, name) == 0;
        if (!found)
            return false;
    }
    return true;
}

enum cover { COVER_NONE, COVER_DEFERRABLE, COVER_PARTIAL, COVER_FULL };

static enum cover find_cover(const struct binder *b, const uint16_t *columns, size_t count, bool exactly)
{
    enum cover best = COVER_NONE;
    for (size_t i = 0; i < b->target->unique_count; i++) {
        const struct unique_index *index = &b->target->uniques[i];
        if (!covers(b->target, index, b->rule, columns, count, exactly))
            continue;
        enum cover cover = index->partial_or_expression ? COVER_PARTIAL
                           : index->deferrable          ? COVER_DEFERRABLE
                                                        : COVER_FULL;
        best = cover > best ? cover : best;
    }
    return best;
}

static void check_key_index(struct binder *b)
{
    struct rule_program *program = b->rule->program;
    uint16_t *key = arena_zalloc(&b->map->bound, program->key_count + 1, sizeof *key);
    for (size_t i = 0; i < program->key_count; i++)
        key[i] = (uint16_t)i;
    enum cover cover = program->key_count ? find_cover(b, key, program->key_count, true) : COVER_FULL;
    if (cover == COVER_DEFERRABLE)
        issue_error(b->issues, b->spec->key_node,
                    "the unique constraint of %s.%s over the key is deferrable; rows cannot be upserted by it",
                    b->target->schema, b->target->name);
    else if (cover != COVER_FULL)
        issue_error(b->issues, b->spec->key_node,
                    "%s.%s has no primary key or unique index over exactly the key's columns", b->target->schema,
                    b->target->name);
}

static void check_locator_index(struct binder *b)
{
    if (b->rule->locator_is_key || b->rule->locator_count == 0)
        return;
    enum cover cover = find_cover(b, b->rule->locator, b->rule->locator_count, false);
    if (cover == COVER_NONE)
        issue_error(b->issues, b->spec->identity_node,
                    "%s.%s has no unique index over the columns of identity; deletes and updates are found by them",
                    b->target->schema, b->target->name);
    else if (cover == COVER_PARTIAL)
        issue_warning(b->issues, b->spec->identity_node,
                      "the unique index of %s.%s over the columns of identity is partial; rows outside it are found "
                      "slowly",
                      b->target->schema, b->target->name);
}

static void bind_target(struct binder *b)
{
    struct rule_column *columns = arena_zalloc(&b->map->bound, b->rule->column_count + 1, sizeof *columns);
    memcpy(columns, b->rule->columns, b->rule->column_count * sizeof *columns);
    for (size_t i = 0; i < b->rule->column_count; i++)
        bind_target_column(b, i, &columns[i]);
    b->rule->columns = columns;
    for (size_t i = 0; i < b->rule->adopt.column_count; i++)
        (void)map_target_column(b->map, b->target, b->spec->adopt_node, b->rule->adopt.columns[i], b->issues);
    check_key_index(b);
    check_locator_index(b);
    map_check_set(b->map, b->target, b->spec->set_node, b->spec->set, b->spec->set_count, b->issues);
}

/* --- what no rule fills --- */

static bool filled(const struct map *map, const struct relation *target, const char *column)
{
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->program->target == target && map_column_index(map->rules[i], column) >= 0)
            return true;
    return false;
}

/* A rule that fills only some columns of rows that another rule fills too is warned of: it may come first. */
static void check_required(struct binder *b)
{
    for (size_t i = 0; i < b->target->column_count; i++) {
        const struct column *column = &b->target->columns[i];
        if (!column->not_null || column->has_default || column->generated || column->identity_always ||
            map_column_index(b->rule, column->name) >= 0)
            continue;
        if (filled(b->map, b->target, column->name))
            issue_warning(b->issues, b->spec->node, "\"%s\" of %s.%s must not be NULL, and only another rule fills it",
                          column->name, b->target->schema, b->target->name);
        else
            issue_error(b->issues, b->spec->node,
                        "\"%s\" of %s.%s must not be NULL and has no default, but no column of the rule fills it",
                        column->name, b->target->schema, b->target->name);
    }
}

static void check_marks(struct map *map, const struct marks *marks, bool nonfinite, struct map_issues *issues)
{
    for (size_t i = 0; i < marks->count; i++) {
        const struct column_mark *mark = &marks->items[i];
        const struct relation *relation = catalog_find(map->source, mark->schema, mark->table);
        int at = relation ? relation_column(relation, mark->column) : -1, key;
        if (!relation)
            issue_warning(issues, mark->node, "there is no table %s.%s on the source", mark->schema, mark->table);
        else if (strcmp(mark->column, MAP_EVERY_COLUMN) == 0)
            continue;
        else if (at < 0)
            issue_warning(issues, mark->node, "%s.%s has no column \"%s\"", mark->schema, mark->table, mark->column);
        else if (!nonfinite && is_identity_column(relation, mark->column, &key))
            issue_error(issues, mark->node, "\"%s\" is part of what names a row of %s.%s; it cannot be dropped",
                        mark->column, mark->schema, mark->table);
        else if (nonfinite && !relation->columns[at].nonfinite_possible)
            issue_warning(issues, mark->node, "\"%s\" is %s, which has no NaN and no infinity", mark->column,
                          relation->columns[at].type);
    }
}

/* --- from a table to its rules --- */

static void build_tables(struct map *map)
{
    map->tables = arena_zalloc(&map->bound, map->source->count + 1, sizeof *map->tables);
    for (size_t i = 0; i < map->rule_count; i++) {
        struct table_rules *table = &map->tables[map->rules[i]->program->source - map->source->relations];
        table->count++;
    }
    for (size_t t = 0; t < map->source->count; t++) {
        map->tables[t].rules = arena_zalloc(&map->bound, map->tables[t].count + 1, sizeof(struct rule *));
        map->tables[t].count = 0;
    }
    for (size_t i = 0; i < map->rule_count; i++) {
        struct table_rules *table = &map->tables[map->rules[i]->program->source - map->source->relations];
        table->rules[table->count++] = map->rules[i];
    }
}

const struct rule *const *map_rules_of(const struct map *map, const struct relation *source, size_t *ret_count)
{
    *ret_count = 0;
    if (!map->tables || map->source->count == 0)
        return NULL;
    const struct relation *first = map->source->relations;
    /* A relation of another reading of the same catalogue is found by name. */
    if ((uintptr_t)source < (uintptr_t)first || (uintptr_t)source >= (uintptr_t)(first + map->source->count))
        source = catalog_find(map->source, source->schema, source->name);
    if (!source)
        return NULL;
    *ret_count = map->tables[source - first].count;
    return map->tables[source - first].rules;
}

const struct relation *map_rule_source(const struct map *map, const struct rule *rule)
{
    return map->source ? rule->program->source : NULL;
}

/* --- the whole --- */

static void bind_rule(struct map *map, struct rule *rule, struct map_issues *issues)
{
    struct binder b = {.map = map, .issues = issues, .rule = rule, .spec = rule->program->spec};
    if (map->source)
        b.source = find_source(&b);
    if (rule->mirror)
        b.target = b.source ? map_mirror_relation(map, rule, b.source) : NULL;
    else if (map->target)
        b.target = find_target(&b);
    rule->program->source = b.source;
    rule->program->target = b.target;
    if (b.source)
        bind_source(&b);
    if (b.target)
        bind_target(&b);
}

/* What stands for rules that only the catalogues know: of copies, then of mirrors. */
static struct rule_spec *expand(struct map *map, struct map_issues *issues, size_t *ret_count)
{
    size_t copies, mirrors;
    const struct rule_spec *copied = map_expand_copies(map, map->source, map->target, issues, &copies);
    const struct rule_spec *mirrored = map_expand_mirrors(map, issues, &mirrors);
    struct rule_spec *specs = arena_zalloc(&map->bound, copies + mirrors + 1, sizeof *specs);
    memcpy(specs, copied, copies * sizeof *specs);
    memcpy(specs + copies, mirrored, mirrors * sizeof *specs);
    *ret_count = copies + mirrors;
    return specs;
}

int map_bind(struct map *map, const struct catalog *source, const struct catalog *target, struct map_issues *issues,
             struct err *reterr)
{
    size_t before = issue_error_count(issues), extra_count;
    arena_reset(&map->bound, 0);
    map->source = source;
    map->target = target;
    map->tables = NULL;
    struct rule_spec *extra = expand(map, issues, &extra_count);
    map_compile(map, extra, extra_count, issues);
    for (size_t i = 0; i < map->rule_count; i++)
        if (map->rules[i]->mirror)
            bind_rule(map, map->rules[i], issues);
    for (size_t i = 0; i < map->spec_count; i++)
        map_bind_lookups(map, &map->specs[i], issues);
    for (size_t i = 0; i < map->rule_count; i++)
        if (!map->rules[i]->mirror)
            bind_rule(map, map->rules[i], issues);
    for (size_t i = 0; i < map->spec_count; i++)
        map_compare_lookups(&map->specs[i], issues);
    for (size_t i = 0; i < map->rule_count; i++) {
        struct binder b = {.map = map, .issues = issues, .rule = map->rules[i]};
        b.spec = b.rule->program->spec;
        b.target = b.rule->program->target;
        if (b.target)
            check_required(&b);
    }
    for (size_t i = 0; target && i < map->derivation_count; i++)
        map_bind_derivation(map, map->derivations[i], issues);
    if (source) {
        check_marks(map, &map->never, false, issues);
        check_marks(map, &map->nonfinite, true, issues);
    }
    size_t errors = issue_error_count(issues) - before;
    if (errors == 0)
        map_sort(map, issues);
    errors = issue_error_count(issues) - before;
    if (errors > 0)
        return err_set(reterr, ERR_CONFIG, "the mapping does not fit the databases: %zu error%s", errors,
                       errors == 1 ? "" : "s");
    if (source)
        build_tables(map);
    return 0;
}
