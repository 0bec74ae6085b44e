/* The mapping file -> specs, without a connection. All findings are collected: a broken piece is replaced by
 * something harmless (a SQL NULL, an empty name) and reading goes on; with one error nothing is handed out. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RULES_MAX 5000
#define COLUMNS_MAX 1600 /* PostgreSQL's own limit for a table */

static const char *const top_words[] = {"namespace", "params",        "never",         "nonfinite",    "rows",
                                        "copy",      "mirrors",       "views",         "derive",       "include",
                                        "mask",      "mirror_schema", "source_schema", "target_schema"};
static const char *const rule_words[] = {"name",      "from",    "to",          "key",         "when",
                                         "skip",      "delete",  "truncate",    "once",        "identity",
                                         "nonfinite", "columns", "accept_loss", "second_pass", "lookup"};

/* --- tables --- */

bool map_table_of(struct loader *l, const struct yaml_node *node, const char *default_schema, const char **ret_schema,
                  const char **ret_table)
{
    *ret_schema = default_schema;
    *ret_table = "";
    if (node->kind == YAML_LIST && node->count == 2) {
        *ret_schema = map_scalar_text(l, node->items[0], "a schema's name");
        *ret_table = map_scalar_text(l, node->items[1], "a table's name");
        return *ret_schema && *ret_table;
    }
    const char *text = map_scalar_text(l, node, "a table's name, schema.table or [schema, table]");
    if (!text)
        return false;
    const char *dot = strchr(text, '.');
    if (dot && dot != text && dot[1]) {
        *ret_schema = arena_strndup(&l->map->arena, text, (size_t)(dot - text));
        text = dot + 1;
    }
    *ret_table = text;
    return true;
}

static void mark_add(struct marks *marks, struct column_mark mark)
{
    if (marks->count == marks->capacity) {
        marks->capacity = marks->capacity ? 2 * marks->capacity : 16;
        marks->items = mem_realloc(marks->items, marks->capacity * sizeof *marks->items);
    }
    marks->items[marks->count++] = mark;
}

static void mark_columns(struct loader *l, struct marks *marks, const struct yaml_node *columns, const char *schema,
                         const char *table)
{
    size_t count;
    const char **names = map_text_list(l, columns, "a source column's name", &count);
    for (size_t i = 0; i < count; i++)
        mark_add(marks, (struct column_mark){columns, schema, table, names[i]});
}

/* {table: [columns]} */
static void load_marks(struct loader *l, const struct yaml_node *node, struct marks *marks)
{
    if (!node)
        return;
    if (node->kind != YAML_MAP) {
        issue_error(l->issues, node, "a mapping table: [columns] must stand here");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const char *schema, *table;
        if (map_table_of(l, node->keys[i], l->map->source_schema, &schema, &table))
            mark_columns(l, marks, node->items[i], schema, table);
    }
}

/* --- the top --- */

static void load_namespace(struct loader *l, const struct yaml_node *node)
{
    if (!node)
        return;
    if (node->kind == YAML_SCALAR && uuid_parse_text(node->text, strlen(node->text), &l->map->ns))
        l->map->has_namespace = true;
    else
        issue_error(l->issues, node, "a UUID must stand here, 8-4-4-4-12 hex digits");
}

static void load_params(struct loader *l, const struct yaml_node *node)
{
    if (!node)
        return;
    if (node->kind != YAML_MAP) {
        issue_error(l->issues, node, "a mapping name: value must stand here");
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *value = node->items[i];
        if (value->kind != YAML_SCALAR)
            issue_error(l->issues, value, "a param is a text, a number, true, false or null");
        else
            expr_pool_set_param(l->map->pool, node->keys[i]->text, yaml_is_null(value) ? NULL : value->text);
    }
}

static const char *schema_of(struct loader *l, const struct yaml_node *node, const char *otherwise)
{
    const char *name = node ? map_scalar_text(l, node, "a schema's name") : NULL;
    return name ? name : otherwise;
}

/* --- one rule --- */

static void add_column(struct loader *l, struct rule_spec *spec, const struct yaml_node *key,
                       const struct yaml_node *node, struct column_spec column)
{
    column.name = key->text;
    column.node = node;
    if (!*key->text)
        issue_error(l->issues, node, "a column's name is empty");
    for (size_t i = 0; i < spec->column_count; i++)
        if (strcmp(spec->columns[i].name, key->text) == 0)
            issue_error(l->issues, node, "\"%s\" is a key column already", key->text);
    struct err err = {0};
    if (expr_resolve(column.value, NULL, &err) < 0)
        issue_error(l->issues, node, "%s", err.message);
    spec->columns[spec->column_count++] = column;
}

static void load_key(struct loader *l, struct rule_spec *spec, const struct yaml_node *key)
{
    if (key->kind != YAML_MAP || key->count == 0) {
        issue_error(l->issues, key, "a mapping target column: value must stand here, as {id: {uuid: entity, of: id}}");
        return;
    }
    size_t columns = key->count - (yaml_get(key, "adopt") != NULL);
    if (columns == 0)
        issue_error(l->issues, key, "the key names no column of the target");
    for (size_t i = 0; i < key->count; i++) {
        if (strcmp(key->keys[i]->text, "adopt") == 0) {
            spec->adopt_node = key->items[i];
            map_adopt_of(l, key->items[i], &spec->adopt);
            continue;
        }
        struct column_spec column = {.key = true};
        column.value = map_key_value(l, key->items[i], &column, columns == 1);
        if (expr_looks_up(column.value)) /* a delete could not be led to the row */
            issue_error(l->issues, key->items[i], "a key cannot depend on a look-up");
        add_column(l, spec, key->keys[i], key->items[i], column);
    }
}

static void load_columns(struct loader *l, struct rule_spec *spec, const struct yaml_node *columns)
{
    if (!columns)
        return;
    if (columns->kind != YAML_MAP) {
        issue_error(l->issues, columns, "a mapping target column: value must stand here");
        return;
    }
    for (size_t i = 0; i < columns->count; i++) {
        struct column_spec column = {0};
        column.value = map_value(l, columns->items[i], &column);
        add_column(l, spec, columns->keys[i], columns->items[i], column);
    }
}

static struct column_spec *spec_column(const struct rule_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->column_count; i++)
        if (strcmp(spec->columns[i].name, name) == 0)
            return &spec->columns[i];
    return NULL;
}

/* As spec_column, with an issue that suggests one. */
static struct column_spec *need_column(struct loader *l, const struct rule_spec *spec, const struct yaml_node *node,
                                       const char *name)
{
    struct column_spec *column = spec_column(spec, name);
    if (column)
        return column;
    const char **names = arena_zalloc(&l->map->arena, spec->column_count + 1, sizeof *names);
    for (size_t i = 0; i < spec->column_count; i++)
        names[i] = spec->columns[i].name;
    const char *near = map_suggest(name, names, spec->column_count);
    issue_error(l->issues, node, "\"%s\" is no column of this rule%s%s%s", name, near ? "; did you mean \"" : "",
                near ? near : "", near ? "\"?" : "");
    return NULL;
}

static void load_once(struct loader *l, struct rule_spec *spec, const struct yaml_node *node)
{
    size_t count = 0;
    const char **names = node ? map_text_list(l, node, "a target column's name", &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct column_spec *column = need_column(l, spec, node, names[i]);
        if (column && column->key)
            issue_error(l->issues, node, "\"%s\" is a key column; a key is never rewritten anyhow", names[i]);
        else if (column)
            column->once = true;
    }
}

static void load_second_pass(struct loader *l, struct rule_spec *spec, const struct yaml_node *node)
{
    size_t count = 0;
    const char **names = node ? map_text_list(l, node, "a target column's name", &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct column_spec *column = need_column(l, spec, node, names[i]);
        if (!column)
            continue;
        column->second_pass = true;
        if (!column->entity || column->key)
            issue_error(l->issues, node, "\"%s\" is no reference; only those can be filled by a second pass", names[i]);
        else if (column->required == REQUIRED_YES)
            issue_error(l->issues, node, "\"%s\" is a required reference, which no second pass can fill", names[i]);
    }
}

/* A plain copy of that source column? */
static bool copies(const struct column_spec *column, const char **ret_source)
{
    return expr_is_column(column->value, ret_source);
}

static void load_identity(struct loader *l, struct rule_spec *spec, const struct yaml_node *node)
{
    if (!node)
        return;
    if (node->kind == YAML_MAP) {
        issue_error(l->issues, node, "a target column, or a list of them, must stand here");
        return;
    }
    spec->identity = map_text_list(l, node, "a target column's name", &spec->identity_count);
    for (size_t i = 0; i < spec->identity_count; i++) {
        const char *source;
        struct column_spec *column = need_column(l, spec, node, spec->identity[i]);
        if (column && !copies(column, &source))
            issue_error(l->issues, node, "\"%s\" must be a plain copy of a source column to serve as identity",
                        spec->identity[i]);
    }
}

size_t map_set_of(struct loader *l, const struct yaml_node *node, struct rule_set **ret_set)
{
    size_t count = 0;
    if (node->kind != YAML_MAP || node->count == 0) {
        issue_error(l->issues, node, "a mapping target column: constant must stand here");
        return 0;
    }
    *ret_set = arena_zalloc(&l->map->arena, node->count, sizeof **ret_set);
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *value = node->items[i];
        const struct yaml_node *stamp = value->kind == YAML_MAP && value->count == 1 ? yaml_get(value, "stamp") : NULL;
        const char *key = stamp ? map_scalar_text(l, stamp, "a key of the JSON object") : NULL;
        if (key)
            (*ret_set)[count++] = (struct rule_set){node->keys[i]->text, key, true};
        else if (!stamp && value->kind != YAML_SCALAR)
            issue_error(l->issues, value,
                        "a constant (a text, a number, true, false or null) or {stamp: key} must stand here");
        else if (!stamp)
            (*ret_set)[count++] =
                (struct rule_set){node->keys[i]->text, yaml_is_null(value) ? NULL : value->text, false};
    }
    return count;
}

static void load_set(struct loader *l, struct rule_spec *spec, const struct yaml_node *set)
{
    spec->on_delete = DELETE_SET;
    spec->set_node = set;
    spec->set_count = map_set_of(l, set, &spec->set);
    for (size_t i = 0; i < spec->set_count; i++) {
        const struct column_spec *column = spec_column(spec, spec->set[i].column);
        if (column && column->key)
            issue_error(l->issues, yaml_get(set, column->name), "a key column cannot be set by a delete");
    }
}

static void load_delete(struct loader *l, struct rule_spec *spec, const struct yaml_node *node)
{
    static const char *const words[] = {"set"};
    if (!node)
        return;
    if (node->kind == YAML_SCALAR && strcmp(node->text, "row") == 0)
        spec->on_delete = DELETE_ROW;
    else if (node->kind == YAML_SCALAR && strcmp(node->text, "keep") == 0)
        spec->on_delete = DELETE_KEEP;
    else if (node->kind != YAML_MAP)
        issue_error(l->issues, node, "delete is row, keep or {set: {column: constant}}");
    else if (map_words_check(l, node, "delete", words, COUNT(words)) && yaml_get(node, "set"))
        load_set(l, spec, yaml_get(node, "set"));
    else if (!yaml_get(node, "set"))
        issue_error(l->issues, node, "delete is row, keep or {set: {column: constant}}");
}

enum rule_truncate map_truncate_of(struct loader *l, const struct yaml_node *node)
{
    if (node && node->kind == YAML_SCALAR && strcmp(node->text, "rows") == 0)
        return TRUNCATE_ROWS;
    if (node && (node->kind != YAML_SCALAR || strcmp(node->text, "pause") != 0))
        issue_error(l->issues, node, "truncate is pause or rows");
    return TRUNCATE_PAUSE;
}

/* "100" rows, or "0.5%" in parts per million. */
void map_accept_loss_of(struct loader *l, const struct yaml_node *node, struct accept_loss *ret)
{
    if (!node)
        return;
    const char *text = node->kind == YAML_SCALAR ? node->text : "";
    size_t whole = strspn(text, "0123456789"), part = 0;
    uint64_t value = strtoull(text, NULL, 10), ppm = value * 10000;
    if (text[whole] == '.') {
        part = strspn(text + whole + 1, "0123456789");
        uint64_t unit = 1000;
        for (size_t i = 0; i < part; i++, unit /= 10)
            ppm += (uint64_t)(text[whole + 1 + i] - '0') * unit;
    }
    const char *end = text + whole + (text[whole] == '.' ? 1 + part : 0);
    bool percent = strcmp(end, "%") == 0 && ppm <= 1000000 && part <= 4;
    if (whole == 0 || whole > 15 || (!percent && text[whole]))
        issue_error(l->issues, node, "a number of rows, as 100, or a part of them, as 0.5%%, must stand here");
    else
        *ret = (struct accept_loss){percent ? LOSS_PPM : LOSS_ROWS, percent ? ppm : value};
}

static const struct yaml_node *need_word(struct loader *l, const struct yaml_node *node, const char *word)
{
    const struct yaml_node *value = yaml_get(node, word);
    if (!value)
        issue_error(l->issues, node, "a rule needs \"%s:\"", word);
    return value;
}

static void load_tables(struct loader *l, struct rule_spec *spec, const struct yaml_node *node)
{
    struct map *map = l->map;
    spec->from_node = need_word(l, node, "from");
    spec->to_node = need_word(l, node, "to");
    spec->from_schema = spec->from_table = spec->to_schema = spec->to_table = "";
    if (spec->from_node && !map_table_of(l, spec->from_node, map->source_schema, &spec->from_schema, &spec->from_table))
        spec->from_schema = spec->from_table = "";
    if (spec->to_node && !map_table_of(l, spec->to_node, map->target_schema, &spec->to_schema, &spec->to_table))
        spec->to_schema = spec->to_table = "";
}

static size_t entries(const struct yaml_node *node)
{
    return node && node->kind == YAML_MAP ? node->count : 0;
}

static void load_rule(struct loader *l, const struct yaml_node *node, struct rule_spec *spec)
{
    spec->node = node;
    if (node->kind != YAML_MAP) {
        issue_error(l->issues, node, "a rule must be a mapping with from, to, key and columns");
        spec->from_schema = spec->from_table = spec->to_schema = spec->to_table = "";
        return;
    }
    map_words_check(l, node, "a rule", rule_words, COUNT(rule_words));
    load_tables(l, spec, node);
    const struct yaml_node *name = yaml_get(node, "name"), *columns = yaml_get(node, "columns");
    const struct yaml_node *nonfinite = yaml_get(node, "nonfinite");
    spec->name = name ? map_scalar_text(l, name, "a name") : NULL;
    spec->key_node = need_word(l, node, "key");
    spec->when_node = yaml_get(node, "when");
    spec->identity_node = yaml_get(node, "identity");
    size_t most = entries(spec->key_node) + entries(columns);
    if (most > COLUMNS_MAX) {
        issue_error(l->issues, node, "a rule has more than %d columns", COLUMNS_MAX);
        return;
    }
    spec->columns = arena_zalloc(&l->map->arena, most + 1, sizeof *spec->columns);
    map_load_lookups(l, spec, yaml_get(node, "lookup"));
    if (spec->key_node)
        load_key(l, spec, spec->key_node);
    load_columns(l, spec, columns);
    if (spec->when_node)
        spec->when = map_condition(l, spec->when_node);
    spec->skip = map_bool_of(l, yaml_get(node, "skip"), false);
    load_once(l, spec, yaml_get(node, "once"));
    load_second_pass(l, spec, yaml_get(node, "second_pass"));
    load_identity(l, spec, spec->identity_node);
    load_delete(l, spec, yaml_get(node, "delete"));
    spec->on_truncate = map_truncate_of(l, yaml_get(node, "truncate"));
    map_accept_loss_of(l, yaml_get(node, "accept_loss"), &spec->accept_loss);
    if (nonfinite)
        mark_columns(l, &l->map->nonfinite, nonfinite, spec->from_schema, spec->from_table);
}

static void load_rules(struct loader *l, const struct yaml_node *rows)
{
    if (!rows)
        return;
    if (rows->kind != YAML_LIST || rows->count > RULES_MAX) {
        issue_error(l->issues, rows, "a list of up to %d rules must stand here", RULES_MAX);
        return;
    }
    l->map->specs = arena_zalloc(&l->map->arena, rows->count + 1, sizeof *l->map->specs);
    for (size_t i = 0; i < rows->count; i++) {
        load_rule(l, rows->items[i], &l->map->specs[l->map->spec_count++]);
        expr_pool_set_lookups(l->map->pool, NULL, 0);
    }
}

/* --- copy --- */

static void load_copy(struct loader *l, const struct yaml_node *node)
{
    static const char *const words[] = {"from", "to", "except"};
    struct copy_spec *copy = &l->map->copies[l->map->copy_count];
    if (!map_words_check(l, node, "copy", words, COUNT(words)))
        return;
    const struct yaml_node *from = yaml_get(node, "from"), *to = yaml_get(node, "to");
    const struct yaml_node *except = yaml_get(node, "except");
    if (!from || !to) {
        issue_error(l->issues, node, "copy needs \"from:\" and \"to:\", a schema each");
        return;
    }
    copy->node = node;
    copy->from_schema = map_scalar_text(l, from, "a schema's name");
    copy->to_schema = map_scalar_text(l, to, "a schema's name");
    if (except)
        copy->except = map_text_list(l, except, "a table's name", &copy->except_count);
    for (size_t i = 0; i < l->map->copy_count && copy->from_schema; i++)
        if (strcmp(l->map->copies[i].from_schema, copy->from_schema) == 0)
            issue_error(l->issues, node, "the schema \"%s\" is copied twice", copy->from_schema);
    if (copy->from_schema && copy->to_schema)
        l->map->copy_count++;
}

static void load_copies(struct loader *l, const struct yaml_node *node)
{
    if (!node)
        return;
    size_t count = node->kind == YAML_LIST ? node->count : 1;
    l->map->copies = arena_zalloc(&l->map->arena, count + 1, sizeof *l->map->copies);
    for (size_t i = 0; i < count; i++)
        load_copy(l, node->kind == YAML_LIST ? node->items[i] : node);
}

/* --- never --- */

struct never_use {
    const struct marks *never;
    const struct rule_spec *spec;
    const char *column; /* the first hit */
};

static bool marked(const struct marks *marks, const char *schema, const char *table, const char *column)
{
    for (size_t i = 0; i < marks->count; i++) {
        const struct column_mark *mark = &marks->items[i];
        bool named = strcmp(mark->column, column) == 0 || strcmp(mark->column, MAP_EVERY_COLUMN) == 0;
        if (named && map_same_table(mark->schema, mark->table, schema, table))
            return true;
    }
    return false;
}

static void find_never(void *context, const char *name)
{
    struct never_use *use = context;
    if (!use->column && marked(use->never, use->spec->from_schema, use->spec->from_table, name))
        use->column = name;
}

static void check_never(struct loader *l, const struct rule_spec *spec)
{
    struct never_use use = {&l->map->never, spec, NULL};
    if (map_table_never(l->map, spec->from_schema, spec->from_table)) {
        issue_error(l->issues, spec->from_node, "all of \"%s\" is under never: and cannot be read", spec->from_table);
        return;
    }
    for (size_t i = 0; i < spec->column_count; i++) {
        use.column = NULL;
        expr_each_column(spec->columns[i].value, find_never, &use);
        if (use.column)
            issue_error(l->issues, spec->columns[i].node, "\"%s\" is named under never: and cannot be read",
                        use.column);
    }
    use.column = NULL;
    if (spec->when)
        expr_each_column(spec->when, find_never, &use);
    if (use.column)
        issue_error(l->issues, spec->when_node, "\"%s\" is named under never: and cannot be read", use.column);
}

bool map_column_never(const struct map *map, const char *schema, const char *table, const char *column)
{
    return marked(&map->never, schema, table, column);
}

const char *map_never_column(const struct map *map, const char *schema, const char *table, size_t index)
{
    for (size_t i = 0; i < map->never.count; i++) {
        const struct column_mark *mark = &map->never.items[i];
        if (map_same_table(mark->schema, mark->table, schema, table) && index-- == 0)
            return mark->column;
    }
    return NULL;
}

bool map_table_never(const struct map *map, const char *schema, const char *table)
{
    return marked(&map->never, schema, table, MAP_EVERY_COLUMN);
}

bool map_column_nonfinite(const struct map *map, const char *schema, const char *table, const char *column)
{
    return marked(&map->nonfinite, schema, table, column);
}

/* --- schemas --- */

static void add_schema(const char **schemas, size_t *count, const char *schema)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(schemas[i], schema) == 0)
            return;
    schemas[(*count)++] = schema;
}

static void collect_schemas(struct map *map)
{
    size_t most = map->spec_count + map->copy_count + map->mirror_count + map->derive_count + 2;
    map->source_schemas = arena_zalloc(&map->arena, most, sizeof *map->source_schemas);
    map->target_schemas = arena_zalloc(&map->arena, most, sizeof *map->target_schemas);
    for (size_t i = 0; i < map->spec_count; i++) {
        add_schema(map->source_schemas, &map->source_schema_count, map->specs[i].from_schema);
        add_schema(map->target_schemas, &map->target_schema_count, map->specs[i].to_schema);
    }
    for (size_t i = 0; i < map->copy_count; i++) {
        add_schema(map->source_schemas, &map->source_schema_count, map->copies[i].from_schema);
        add_schema(map->target_schemas, &map->target_schema_count, map->copies[i].to_schema);
    }
    for (size_t i = 0; i < map->mirror_count; i++)
        add_schema(map->source_schemas, &map->source_schema_count, map->mirrors[i].schema);
    if (map->mirror_count > 0)
        add_schema(map->target_schemas, &map->target_schema_count, map->mirror_schema);
    for (size_t i = 0; i < map->derive_count; i++)
        add_schema(map->target_schemas, &map->target_schema_count, map->derives[i].to_schema);
}

const char *const *map_source_schemas(const struct map *map, size_t *ret_count)
{
    *ret_count = map->source_schema_count;
    return map->source_schemas;
}

const char *const *map_target_schemas(const struct map *map, size_t *ret_count)
{
    *ret_count = map->target_schema_count;
    return map->target_schemas;
}

/* --- the whole --- */

static void load_all(struct loader *l)
{
    const struct yaml_node *root = l->map->root;
    if (root->kind != YAML_MAP) {
        issue_error(l->issues, root, "a mapping file is a mapping: namespace, params, rows …");
        return;
    }
    if (yaml_get(root, "identity") || yaml_get(root, "identity.target"))
        issue_error(l->issues, root, "\"identity.target\" is not supported yet in this version");
    else
        map_words_check(l, root, "a mapping file", top_words, COUNT(top_words));
    l->map->source_schema = schema_of(l, yaml_get(root, "source_schema"), "public");
    l->map->target_schema = schema_of(l, yaml_get(root, "target_schema"), "public");
    l->map->mirror_schema = schema_of(l, yaml_get(root, "mirror_schema"), "pgrekey_mirror");
    load_namespace(l, yaml_get(root, "namespace"));
    load_params(l, yaml_get(root, "params"));
    load_marks(l, yaml_get(root, "never"), &l->map->never);
    load_marks(l, yaml_get(root, "nonfinite"), &l->map->nonfinite);
    map_load_mirrors(l, yaml_get(root, "mirrors"));
    load_rules(l, yaml_get(root, "rows"));
    load_copies(l, yaml_get(root, "copy"));
    map_load_views(l, yaml_get(root, "views"));
    map_load_derivations(l, yaml_get(root, "derive"));
    map_load_mask(l, yaml_get(root, "mask"));
    if (l->needs_namespace && !l->map->has_namespace && !yaml_get(root, "namespace"))
        issue_error(l->issues, NULL,
                    "\"namespace:\" is missing: a UUID, chosen once (uuidgen) and never changed again");
    if (l->map->spec_count + l->map->copy_count + l->map->mirror_count == 0 && !map_issues_have_errors(l->issues))
        issue_error(l->issues, NULL, "the file holds no rule: \"rows:\", \"copy:\" or \"mirrors:\" must have some");
    for (size_t i = 0; i < l->map->spec_count; i++)
        check_never(l, &l->map->specs[i]);
    collect_schemas(l->map);
    map_compile(l->map, NULL, 0, l->issues);
    if (!map_issues_have_errors(l->issues))
        map_sort(l->map, l->issues);
    map_warn_of_skipped_parents(l->map, l->issues);
    map_warn_of_unwatched(l->map, l->issues);
}

static int load_failed(const char *path, const struct map_issues *issues, struct err *reterr)
{
    size_t errors = issue_error_count(issues);
    return err_set(reterr, ERR_CONFIG, "the mapping %s has %zu error%s", path, errors, errors == 1 ? "" : "s");
}

int map_load_memory(const char *path, const char *text, size_t len, struct map **ret_map, struct map_issues *issues,
                    struct err *reterr)
{
    struct map *map = mem_zalloc(1, sizeof *map);
    arena_init(&map->arena, 0);
    arena_init(&map->bound, 0);
    map->pool = expr_pool_new();
    struct loader loader = {.map = map, .issues = issues};
    if (map_parse_parts(&loader, text, len) == 0)
        load_all(&loader);
    if (map_issues_have_errors(issues)) {
        map_free(map);
        return load_failed(path, issues, reterr);
    }
    *ret_map = map;
    return 0;
}

int map_load(const char *path, struct map **ret_map, struct map_issues *issues, struct err *reterr)
{
    struct buf text;
    buf_init(&text, YAML_MAX_BYTES);
    int status = map_read(path, &text, reterr);
    if (status == 0)
        status = map_load_memory(path, buf_text(&text), text.len, ret_map, issues, reterr);
    buf_done(&text);
    return status;
}

void map_free(struct map *map)
{
    if (!map)
        return;
    expr_pool_free(map->pool);
    free(map->never.items);
    free(map->nonfinite.items);
    arena_done(&map->bound);
    arena_done(&map->arena);
    free(map);
}

const struct uuid *map_namespace(const struct map *map)
{
    return &map->ns;
}
