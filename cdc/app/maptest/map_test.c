/* `pgrekey map test`: a dry run. Rows of the source, a sample or what waits in the slot, go through the rules, and what
 * comes out is shown, values and all; so is what derivations make of it. Nothing stays written, nothing is consumed.
 */
#include "cdc/app/maptest/map_test.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/suggest.h"
#include "cdc/pg/pg.h"
#include "cdc/source/peek.h"
#include "cdc/source/sample.h"

#define LIMIT_DEFAULT 10
#define LIMIT_MAX 10000
#define CHAIN_MAX 8 /* derivations behind one another that --rule goes back through */

/* --- the mapping and both sides --- */

static int open_sides(struct map_test *test, struct err *reterr)
{
    const struct settings *settings = test->cli->settings;
    if (!settings->source_dsn) {
        (void)err_set(reterr, ERR_CONFIG, "source.dsn is not set: the rows to be tried come from there");
        return err_hint(reterr, "set it in pgrekey.yaml or as PGREKEY_SOURCE_DSN");
    }
    if (engine_open_source(settings, "map test", ENGINE_BRIEF, &test->source, reterr) < 0)
        return -1;
    return settings->target_dsn ? cli_open_target(test->cli, &test->target, reterr) : 0;
}

static int bind(struct map_test *test, struct err *reterr)
{
    const char *path = test->cli->settings->mapping;
    if (!path)
        return err_set(reterr, ERR_CONFIG, "no mapping file: the setting mapping is empty");
    if (mapping_load(&test->mapping, path, test->cli->settings->skip, reterr) < 0 || open_sides(test, reterr) < 0 ||
        mapping_bind(&test->mapping, test->source, test->target, reterr) < 0)
        return -1;
    test->engine.binding =
        (struct binding){.map = test->mapping.map, .source = test->mapping.source, .target = test->mapping.target};
    binding_mark_nonfinite(&test->engine.binding);
    test->engine.binding.lookups = lookups_new(test->mapping.map, (size_t)test->cli->settings->lookup_max_rows);
    return lookups_read_source(test->engine.binding.lookups, test->source, engine_never, &test->engine, reterr);
}

static bool leads_to(const struct map *map, const struct rule *rule, const struct derivation *derivation, int depth);

/* Does the rule, or a derivation that it leads to, write this table? */
static bool writes(const struct map *map, const struct rule *rule, const struct derivation_input *input, int depth)
{
    if (strcmp(rule->to_table, input->table) == 0 && strcmp(rule->to_schema, input->schema) == 0)
        return true;
    for (size_t i = 0; i < map_derivation_count(map); i++) {
        const struct derivation *by = map_derivation(map, i);
        if (strcmp(by->to_table, input->table) == 0 && strcmp(by->to_schema, input->schema) == 0 &&
            leads_to(map, rule, by, depth + 1))
            return true;
    }
    return false;
}

/* Through others too. One that owns columns of the table it reads leads to itself. */
static bool leads_to(const struct map *map, const struct rule *rule, const struct derivation *derivation, int depth)
{
    for (size_t i = 0; depth < CHAIN_MAX && i < derivation->input_count; i++)
        if (writes(map, rule, &derivation->inputs[i], depth))
            return true;
    return false;
}

static bool is_wanted(const struct map_test *test, const struct rule *rule)
{
    const char *name = test->cli->line->values[OPT_RULE], *table = test->cli->line->values[OPT_TABLE];
    size_t schema_len = strlen(rule->from_schema);
    if (test->derivation ? !leads_to(test->mapping.map, rule, test->derivation, 0)
                         : name && strcmp(rule->name, name) != 0)
        return false;
    return !table || strcmp(rule->from_table, table) == 0 ||
           (strncmp(table, rule->from_schema, schema_len) == 0 && table[schema_len] == '.' &&
            strcmp(table + schema_len + 1, rule->from_table) == 0);
}

static bool is_wanted_table(const struct map_test *test, const struct relation *relation)
{
    size_t count;
    const struct rule *const *rules = map_rules_of(test->mapping.map, relation, &count);
    for (size_t i = 0; i < count; i++)
        if (is_wanted(test, rules[i]))
            return true;
    return false;
}

/* A word that means nothing is answered, not passed over. */
static int check_words(struct map_test *test, struct err *reterr)
{
    const char *rule = test->cli->line->values[OPT_RULE], *table = test->cli->line->values[OPT_TABLE];
    const struct map *map = test->mapping.map;
    struct suggest suggest = {.word = rule ? rule : table};
    bool wanted = !rule && !table;
    for (size_t i = 0; rule && i < map_derivation_count(map); i++) {
        if (strcmp(map_derivation(map, i)->name, rule) == 0)
            test->derivation = map_derivation(map, i);
        suggest_offer(&suggest, map_derivation(map, i)->name);
    }
    for (size_t i = 0; i < map_rule_count(map) && !wanted; i++) {
        wanted = is_wanted(test, map_rule(map, i));
        suggest_offer(&suggest, rule ? map_rule(map, i)->name : map_rule(map, i)->from_table);
    }
    if (wanted)
        return 0;
    (void)err_set(reterr, ERR_CONFIG,
                  rule ? "no rule or derivation is called %.100s%s" : "no rule reads the table %.100s%s",
                  rule ? rule : table, rule && table ? ", or not one that reads this table" : "");
    return suggest.nearest ? err_hint(reterr, "did you mean %s?", suggest.nearest) : -1;
}

/* --- rows --- */

static bool lacks_columns(const struct change *change)
{
    for (size_t i = 0; change->columns && i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            return true;
    return false;
}

/* What the stream left out is read by key, as the engine does it. */
static int complete(struct map_test *test, struct change *change, struct err *reterr)
{
    bool gone = false;
    if (complete_for_transform(&test->engine, change, &test->batch.arena, &gone, reterr) < 0)
        return -1;
    change->gone = gone;
    change->completed = !gone;
    return 0;
}

static int transform(struct map_test *test, struct change *change, struct err *reterr)
{
    struct row **rows = NULL;
    size_t count = 0;
    struct arena *arena = &test->batch.arena;
    if (complete_nonfinite(&test->engine, change, arena, reterr) < 0 ||
        (change->key_changed && lacks_columns(change) && complete(test, change, reterr) < 0))
        return -1;
    int outcome = map_transform(test->mapping.map, change, arena, &rows, &count, reterr);
    if (outcome == 1 && complete(test, change, reterr) < 0)
        return -1;
    if (outcome == 1)
        outcome = map_transform(test->mapping.map, change, arena, &rows, &count, reterr);
    if (outcome != 0)
        return outcome < 0 ? -1 : err_set(reterr, ERR_FATAL, "a completed change still lacks a column");
    for (size_t i = 0; i < count; i++)
        if (is_wanted(test, rows[i]->rule))
            batch_add_row(&test->batch, rows[i]);
    return 0;
}

static int transform_all(struct map_test *test, struct change **changes, size_t count, struct err *reterr)
{
    for (size_t i = 0; i < count; i++)
        if (transform(test, changes[i], reterr) < 0)
            return -1;
    return 0;
}

static int take_samples(struct map_test *test, size_t limit, struct err *reterr)
{
    const struct command_line *line = test->cli->line;
    const struct catalog *source = test->mapping.source;
    for (size_t i = 0; i < source->count; i++) {
        const struct sample_options options = {
            .relation = &source->relations[i],
            .limit = limit,
            .keys = line->arguments,
            .key_count = line->argument_count,
            .never = engine_never,
            .context = &test->engine,
        };
        struct change **changes;
        size_t count;
        if (!is_wanted_table(test, options.relation))
            continue;
        if (sample_read(test->source, &options, &test->batch.arena, &changes, &count, reterr) < 0 ||
            transform_all(test, changes, count, reterr) < 0)
            return -1;
        if (count < line->argument_count)
            return err_set(reterr, ERR_CONFIG, "%zu of the keys %s not in table %s.%s", line->argument_count - count,
                           line->argument_count - count == 1 ? "is" : "are", options.relation->schema,
                           options.relation->name);
    }
    return 0;
}

/* What waits may have been written when its table had another shape. */
static int on_relation(void *context, const char *schema, const char *table, const char *column, const char *why,
                       const struct relation **ret_relation, struct err *reterr)
{
    const struct map_test *test = context;
    const struct relation *relation = catalog_find(test->mapping.source, schema, table);
    *ret_relation = relation && is_wanted_table(test, relation) ? relation : NULL;
    if (!*ret_relation || strcmp(why, "new") == 0 || strcmp(why, "unknown_column") == 0 ||
        (column && !map_column_used(test->mapping.map, schema, table, column)))
        return 0;
    return err_set(reterr, ERR_REFUSED,
                   "a change that waits in the slot has another column %s than table %s.%s has now",
                   column ? column : "", schema, table);
}

static bool on_never(void *context, const char *schema, const char *table, const char *column)
{
    const struct map_test *test = context;
    return map_column_never(test->mapping.map, schema, table, column);
}

static int peek(struct map_test *test, size_t limit, struct err *reterr)
{
    const struct catalog *source = test->mapping.source;
    const char **names = arena_zalloc(&test->batch.arena, 2 * source->count + 1, sizeof(*names));
    struct peek_options options = {
        .slot = test->cli->settings->source_slot,
        .limit = limit,
        .tables = names,
        .decode = {.relation = on_relation, .never = on_never, .context = test},
    };
    struct change **changes;
    size_t count;
    for (size_t i = 0; i < source->count; i++) {
        if (!is_wanted_table(test, &source->relations[i]))
            continue;
        names[2 * options.table_count] = source->relations[i].schema;
        names[2 * options.table_count++ + 1] = source->relations[i].name;
    }
    if (slot_peek(test->source, &options, &test->batch.arena, &changes, &count, reterr) < 0)
        return -1;
    return transform_all(test, changes, count, reterr);
}

static int read_rows(struct map_test *test, struct err *reterr)
{
    const struct command_line *line = test->cli->line;
    int64_t limit = command_number(line, OPT_LIMIT, LIMIT_DEFAULT);
    if (limit > LIMIT_MAX)
        return err_set(reterr, ERR_CONFIG, "--limit: at most %d rows", LIMIT_MAX);
    if (line->argument_count && (test->stream || !line->values[OPT_TABLE])) {
        (void)err_set(reterr, ERR_CONFIG, "keys are of one table of the source, and not of what waits in the slot");
        return err_hint(reterr, "pgrekey map test --table TABLE KEY...");
    }
    return test->stream ? peek(test, (size_t)limit, reterr) : take_samples(test, (size_t)limit, reterr);
}

/* --- what became of them --- */

const char *map_test_outcome(const struct row *row)
{
    switch (row->op) {
    case ROW_UPSERT: return "mapped";
    case ROW_EXCLUDE: return "excluded";
    case ROW_DELETE: return "deleted";
    case ROW_TRUNCATE: return "truncated";
    case ROW_REJECT: break;
    }
    return "quarantined";
}

/* True where no row would be quarantined. */
static bool count_outcomes(struct map_test *test)
{
    size_t quarantined = 0;
    test->tallies = mem_zalloc(map_rule_count(test->mapping.map) + 1, sizeof(*test->tallies));
    for (size_t i = 0; i < test->batch.row_count; i++) {
        const struct row *row = test->batch.rows[i];
        struct map_test_tally *tally = &test->tallies[row->rule->index];
        tally->rows++;
        tally->mapped += row->op == ROW_UPSERT;
        tally->excluded += row->op == ROW_EXCLUDE;
        tally->deleted += row->op == ROW_DELETE || row->op == ROW_TRUNCATE;
        tally->quarantined += row->op == ROW_REJECT;
        quarantined += row->op == ROW_REJECT;
    }
    return quarantined == 0;
}

static int fail(const struct map_test *test, const struct err *err)
{
    if (map_issues_have_errors(&test->mapping.issues) && !test->cli->json)
        map_issues_print(&test->mapping.issues, test->cli->settings->mapping, stderr);
    return cli_fail(test->cli->json, err);
}

static int run_test(struct map_test *test)
{
    struct err err = {0};
    if (bind(test, &err) < 0 || check_words(test, &err) < 0 || read_rows(test, &err) < 0 ||
        map_test_derive(test, &err) < 0 || map_test_adopted(test, &err) < 0)
        return fail(test, &err);
    bool clean = count_outcomes(test) && map_test_derived_clean(test);
    if (!test->cli->json)
        map_test_print(test);
    else if (map_test_print_json(test) < 0)
        return EXIT_INTERNAL;
    return clean ? EXIT_OK : EXIT_FINDINGS;
}

int cmd_map_test(const struct cli *cli)
{
    struct map_test test = {.cli = cli, .stream = command_has(cli->line, OPT_STREAM)};
    test.engine.settings = cli->settings;
    batch_init(&test.batch);
    int code = run_test(&test);
    free(test.tallies);
    batch_done(&test.batch);
    lookups_free(test.engine.binding.lookups);
    mapping_done(&test.mapping);
    pg_close(test.engine.receiver_conn);
    pg_close(test.engine.applier_conn);
    pg_close(test.source);
    pg_close(test.target);
    return code;
}
