/* `mask:` — what a masked copy shows of each column, by kinds of masking: read, compared with the rules.
 *
 *     mask:
 *       rows:    {profiles: {clear: [id], name: [first_name], json: {metadata: {clear: [theme]}}}}
 *       mirrors: {auth_user: {clear: [id], email: [email]}}
 */
#include "transform/map_internal.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TABLES_MAX 5000

static const struct {
    const char *word;
    enum mask_kind kind;
} kinds[] = {{"clear", MASK_CLEAR}, {"empty", MASK_EMPTY},   {"name", MASK_NAME},
             {"email", MASK_EMAIL}, {"phone", MASK_PHONE},   {"text", MASK_TEXT},
             {"date", MASK_DATE},   {"number", MASK_NUMBER}, {"json", MASK_JSON}};

const struct mask_field *mask_field_find(const struct mask_fields *fields, struct slice name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (strlen(fields->fields[i].name) == name.len && memcmp(fields->fields[i].name, name.text, name.len) == 0)
            return &fields->fields[i];
    return NULL;
}

/* --- the file --- */

static void add_field(struct loader *l, struct mask_fields *fields, const struct yaml_node *node,
                      struct mask_field field)
{
    if (!field.name)
        return;
    if (mask_field_find(fields, (struct slice){field.name, strlen(field.name)})) {
        issue_error(l->issues, node, "\"%.64s\" is declared twice", field.name);
        return;
    }
    struct mask_field *grown = arena_zalloc(&l->map->arena, fields->count + 1, sizeof *grown);
    if (fields->count)
        memcpy(grown, fields->fields, fields->count * sizeof *grown);
    grown[fields->count++] = field;
    fields->fields = grown;
}

static const struct mask_fields *load_fields(struct loader *l, const struct yaml_node *node, const char *what);

static void load_json(struct loader *l, struct mask_fields *fields, const struct yaml_node *node)
{
    if (node->kind != YAML_MAP) {
        issue_error(l->issues, node, "a mapping name: {clear: [keys], name: [keys] …} must stand here");
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        add_field(l, fields, node->items[i],
                  (struct mask_field){node->keys[i]->text, MASK_JSON, load_fields(l, node->items[i], "JSON")});
}

static const struct mask_fields *load_fields(struct loader *l, const struct yaml_node *node, const char *what)
{
    struct mask_fields *fields = arena_zalloc(&l->map->arena, 1, sizeof *fields);
    const char *words[COUNT(kinds)];
    for (size_t k = 0; k < COUNT(kinds); k++)
        words[k] = kinds[k].word;
    if (yaml_is_null(node) || !map_words_check(l, node, what, words, COUNT(words)))
        return fields;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        const struct yaml_node *list = yaml_get(node, kinds[k].word);
        size_t count = 0;
        if (!list)
            continue;
        if (kinds[k].kind == MASK_JSON) {
            load_json(l, fields, list);
            continue;
        }
        const char **names = map_text_list(l, list, "a column's name, or a key's in JSON", &count);
        for (size_t i = 0; i < count; i++)
            add_field(l, fields, list, (struct mask_field){names[i], kinds[k].kind, NULL});
    }
    return fields;
}

static void load_tables(struct loader *l, const struct yaml_node *node, bool mirrors)
{
    struct map *map = l->map;
    if (!node || yaml_is_null(node))
        return;
    if (node->kind != YAML_MAP || node->count > TABLES_MAX) {
        issue_error(l->issues, node, "a mapping table: {clear: [columns], name: [columns] …} must stand here");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        struct mask_spec spec = {.node = node->items[i], .mirror = mirrors};
        if (map_table_of(l, node->keys[i], mirrors ? map->source_schema : map->target_schema, &spec.schema,
                         &spec.table)) {
            spec.fields = load_fields(l, node->items[i], "the mask of a table");
            map->masks[map->mask_count++] = spec;
        }
    }
}

void map_load_mask(struct loader *l, const struct yaml_node *node)
{
    static const char *const words[] = {"rows", "mirrors"};
    if (!node)
        return;
    l->map->has_mask = true;
    if (yaml_is_null(node) || !map_words_check(l, node, "mask", words, COUNT(words)))
        return;
    const struct yaml_node *rows = yaml_get(node, "rows"), *mirrors = yaml_get(node, "mirrors");
    size_t most = (rows ? rows->count : 0) + (mirrors ? mirrors->count : 0);
    l->map->masks = arena_zalloc(&l->map->arena, most + 1, sizeof *l->map->masks);
    load_tables(l, rows, false);
    load_tables(l, mirrors, true);
}

bool map_has_mask(const struct map *map)
{
    return map->has_mask;
}

/* --- compared with the rules --- */

static const struct mask_spec *spec_of(const struct map *map, const struct rule *rule)
{
    for (size_t i = 0; i < map->mask_count; i++) {
        const struct mask_spec *spec = &map->masks[i];
        if (spec->mirror == rule->mirror &&
            (rule->mirror ? map_same_table(spec->schema, spec->table, rule->from_schema, rule->from_table)
                          : map_same_table(spec->schema, spec->table, rule->to_schema, rule->to_table)))
            return spec;
    }
    return NULL;
}

const struct mask_field *map_mask_of(const struct map *map, const struct rule *rule, const char *column)
{
    const struct mask_spec *spec = spec_of(map, rule);
    return spec ? mask_field_find(spec->fields, (struct slice){column, strlen(column)}) : NULL;
}

static bool is_one_of(const char *type, const char *const *types)
{
    for (; *types; types++)
        if (strcmp(type, *types) == 0)
            return true;
    return false;
}

static bool suits(enum mask_kind kind, const char *type)
{
    static const char *const texts[] = {"text", "character varying", "character", "citext", "public.citext", NULL};
    static const char *const jsons[] = {"json", "jsonb", NULL};
    static const char *const numbers[] = {"smallint", "integer", "bigint", "numeric", "real", "double precision", NULL};
    static const char *const dates[] = {"date", "timestamp without time zone", "timestamp with time zone", NULL};
    switch (kind) {
    case MASK_EMPTY:
    case MASK_CLEAR: return true;
    case MASK_NAME:
    case MASK_EMAIL:
    case MASK_PHONE:
    case MASK_TEXT: return is_one_of(type, texts);
    case MASK_DATE: return is_one_of(type, texts) || is_one_of(type, dates);
    case MASK_NUMBER: return is_one_of(type, texts) || is_one_of(type, numbers);
    case MASK_JSON: return is_one_of(type, texts) || is_one_of(type, jsons);
    }
    return false;
}

static const char *word_of(enum mask_kind kind)
{
    for (size_t k = 0; k < COUNT(kinds); k++)
        if (kinds[k].kind == kind)
            return kinds[k].word;
    return "";
}

/* What is not shown becomes NULL: may it? */
static void check_column(const struct rule *rule, const struct rule_column *column, const struct column *target,
                         const struct mask_field *field, const struct yaml_node *node, struct map_issues *issues)
{
    const char *table = rule->mirror ? rule->from_table : rule->to_table;
    bool hidden = !field || field->kind == MASK_EMPTY;
    if (hidden && (column->key || (target && target->not_null)))
        issue_error(issues, node, "\"%s\" of %s must not be NULL, so it has to be declared clear or masked",
                    column->name, table);
    else if (!field)
        issue_warning(issues, node, "\"%s\" of %s is not declared: a masked copy has NULL there", column->name, table);
    else if (target && !suits(field->kind, target->base_type))
        issue_error(issues, node, "\"%s\" of %s is %s, which cannot be masked as %s", column->name, table, target->type,
                    word_of(field->kind));
}

static void check_rule(const struct map *map, const struct rule *rule, struct map_issues *issues)
{
    const struct mask_spec *spec = spec_of(map, rule);
    const struct relation *relation = map_rule_target(map, rule);
    if (!spec) {
        issue_error(issues, yaml_get(map->root, "mask"), "nothing is said of %s %s.%s",
                    rule->mirror ? "the mirror" : "the table", rule->mirror ? rule->from_schema : rule->to_schema,
                    rule->mirror ? rule->from_table : rule->to_table);
        return;
    }
    for (size_t c = 0; c < rule->column_count; c++) {
        int at = relation ? relation_column(relation, rule->columns[c].name) : -1;
        check_column(rule, &rule->columns[c], at < 0 ? NULL : &relation->columns[at],
                     map_mask_of(map, rule, rule->columns[c].name), spec->node, issues);
    }
}

static bool is_written(const struct map *map, const struct mask_spec *spec, const char *column)
{
    for (size_t r = 0; r < map->rule_count; r++)
        if (spec_of(map, map->rules[r]) == spec && (!column || map_column_index(map->rules[r], column) >= 0))
            return true;
    return false;
}

/* A slip of the pen would leave a column that is meant to be masked undeclared. */
static void check_names(const struct map *map, const struct mask_spec *spec, struct map_issues *issues)
{
    if (!is_written(map, spec, NULL)) {
        issue_error(issues, spec->node, spec->mirror ? "%s.%s is not mirrored" : "no rule writes the table %s.%s",
                    spec->schema, spec->table);
        return;
    }
    for (size_t i = 0; i < spec->fields->count; i++)
        if (!is_written(map, spec, spec->fields->fields[i].name))
            issue_error(issues, spec->node, "no %s \"%.64s\" of %s",
                        spec->mirror ? "column is mirrored as" : "rule fills", spec->fields->fields[i].name,
                        spec->table);
}

int map_check_mask(const struct map *map, struct map_issues *issues, struct err *reterr)
{
    size_t before = issue_error_count(issues);
    for (size_t r = 0; r < map->rule_count; r++)
        check_rule(map, map->rules[r], issues);
    for (size_t i = 0; i < map->mask_count; i++)
        if (map->source || !map->masks[i].mirror)
            check_names(map, &map->masks[i], issues);
    size_t errors = issue_error_count(issues) - before;
    if (errors)
        return err_set(reterr, ERR_CONFIG, "\"mask:\" does not cover the mapping: %zu error%s", errors,
                       errors == 1 ? "" : "s");
    return 0;
}
