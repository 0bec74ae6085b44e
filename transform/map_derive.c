/* `derive:`: what the target computes by SQL, read from the file and made into derivations. The SQL itself is not
 * understood here; the target judges it (`pgrekey map check` with connections). */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DERIVATIONS_MAX 5000
#define KEY_PARTS_MAX 32

/* --- small things --- */

static const struct yaml_node *need(struct loader *l, const struct yaml_node *node, const char *word)
{
    const struct yaml_node *value = yaml_get(node, word);
    if (!value)
        issue_error(l->issues, node, "a derivation needs \"%s:\"", word);
    return value;
}

static const char *sql_of(struct loader *l, const struct yaml_node *node, const char *what)
{
    const char *text = node ? map_sql_of(l, node, what) : NULL;
    return text ? text : "";
}

static struct derive_column_spec *find_column(const struct derive_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->column_count; i++)
        if (strcmp(spec->columns[i].name, name) == 0)
            return &spec->columns[i];
    return NULL;
}

static bool is_key_column(const struct derive_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->key_count; i++)
        if (strcmp(spec->keys[i].column, name) == 0)
            return true;
    return false;
}

/* --- the key --- */

/* {uuid: entity, of: column or list, reference: true}, or the column itself. */
static void load_key_column(struct loader *l, struct derive_spec *spec, const struct yaml_node *key,
                            const struct yaml_node *node, bool reference_by_default)
{
    static const char *const words[] = {"uuid", "of", "reference"};
    struct derivation_key *out = &spec->keys[spec->key_count];
    const struct yaml_node *uuid = NULL, *of = node;
    spec->key_nodes[spec->key_count++] = node;
    *out = (struct derivation_key){.column = key->text, .of = ""};
    if (node->kind == YAML_MAP) {
        if (!map_words_check(l, node, "a key", words, COUNT(words)))
            return;
        uuid = yaml_get(node, "uuid");
        of = yaml_get(node, "of");
    }
    if (!of || (node->kind == YAML_MAP && !uuid)) {
        issue_error(l->issues, node, "a key is a column of the query's result, or {uuid: entity, of: column}");
        return;
    }
    out->parts = map_text_list(l, of, "a column of the query's result", &out->part_count);
    out->of = out->part_count ? out->parts[0] : "";
    if (!uuid) {
        if (out->part_count != 1)
            issue_error(l->issues, node, "a key without \"uuid:\" is one column of the query's result");
        return;
    }
    l->needs_namespace = true;
    out->entity = map_scalar_text(l, uuid, "an entity's name");
    out->reference = map_bool_of(l, yaml_get(node, "reference"), reference_by_default);
    if (out->entity && strchr(out->entity, ':'))
        issue_error(l->issues, uuid, "an entity's name must not hold ':'");
}

static void check_key_parts(struct loader *l, const struct derive_spec *spec)
{
    const char *seen[KEY_PARTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < spec->key_count; i++) {
        for (size_t p = 0; p < spec->keys[i].part_count; p++) {
            if (count == KEY_PARTS_MAX) {
                issue_error(l->issues, spec->key_node, "a key is made of up to %d columns", KEY_PARTS_MAX);
                return;
            }
            for (size_t j = 0; j < count; j++)
                if (strcmp(seen[j], spec->keys[i].parts[p]) == 0)
                    issue_error(l->issues, spec->key_nodes[i], "the key uses \"%s\" twice", seen[j]);
            seen[count++] = spec->keys[i].parts[p];
        }
    }
}

static void load_key(struct loader *l, struct derive_spec *spec, const struct yaml_node *key)
{
    if (key->kind != YAML_MAP || key->count == 0) {
        issue_error(l->issues, key, "a mapping target column: value must stand here, as {id: {uuid: entity, of: id}}");
        return;
    }
    size_t columns = key->count - (yaml_get(key, "adopt") != NULL), owned = 0;
    if (columns == 0)
        issue_error(l->issues, key, "the key names no column of the target");
    spec->keys = arena_zalloc(&l->map->arena, columns + 1, sizeof *spec->keys);
    spec->key_nodes = arena_zalloc(&l->map->arena, columns + 1, sizeof *spec->key_nodes);
    for (size_t i = 0; i < key->count; i++) {
        if (strcmp(key->keys[i]->text, "adopt") == 0) {
            spec->adopt_node = key->items[i];
            map_adopt_of(l, key->items[i], &spec->adopt);
            continue;
        }
        load_key_column(l, spec, key->keys[i], key->items[i], columns > 1);
    }
    for (size_t i = 0; i < spec->key_count; i++)
        owned += spec->keys[i].entity && !spec->keys[i].reference;
    if (owned > 1)
        issue_error(l->issues, key, "a derivation owns one entity; the others are references");
    check_key_parts(l, spec);
}

/* --- columns --- */

static struct derive_column_spec *add_column(struct loader *l, struct derive_spec *spec, const struct yaml_node *node,
                                             const char *name)
{
    if (is_key_column(spec, name))
        issue_error(l->issues, node, "\"%s\" is a key column already", name);
    struct derive_column_spec *column = &spec->columns[spec->column_count++];
    *column = (struct derive_column_spec){.name = name, .node = node};
    return column;
}

/* The column that a word says more of: one of those that the derivation owns, where it names them. */
static struct derive_column_spec *word_column(struct loader *l, struct derive_spec *spec, const struct yaml_node *node,
                                              const char *name)
{
    struct derive_column_spec *column = find_column(spec, name);
    if (column)
        return column;
    if (!spec->columns_named)
        return add_column(l, spec, node, name);
    const char **names = arena_zalloc(&l->map->arena, spec->column_count + 1, sizeof *names);
    for (size_t i = 0; i < spec->column_count; i++)
        names[i] = spec->columns[i].name;
    const char *near = map_suggest(name, names, spec->column_count);
    issue_error(l->issues, node, "\"%s\" is no column that this derivation owns%s%s%s", name,
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return NULL;
}

static void load_owned(struct loader *l, struct derive_spec *spec, const struct yaml_node *columns,
                       const struct yaml_node *owns)
{
    const struct yaml_node *node = owns ? owns : columns;
    size_t count = 0;
    spec->owns_rows = owns == NULL;
    spec->columns_named = node != NULL;
    if (owns && columns)
        issue_error(l->issues, columns, "\"owns:\" names the columns already");
    const char **names = node ? map_text_list(l, node, "a target column's name", &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        if (find_column(spec, names[i]))
            issue_error(l->issues, node, "\"%s\" is named twice", names[i]);
        else
            add_column(l, spec, node, names[i]);
    }
}

static void load_reference(struct loader *l, struct derive_spec *spec, const struct yaml_node *key,
                           const struct yaml_node *node)
{
    static const char *const words[] = {"uuid", "required"};
    struct derive_column_spec *column = word_column(l, spec, node, key->text);
    const struct yaml_node *entity = node;
    const struct yaml_node *required = NULL;
    if (node->kind == YAML_MAP) {
        if (!map_words_check(l, node, "a reference", words, COUNT(words)))
            return;
        entity = yaml_get(node, "uuid");
        required = yaml_get(node, "required");
    }
    if (!entity)
        issue_error(l->issues, node, "a reference is an entity's name, or {uuid: entity, required: false}");
    const char *name = entity ? map_scalar_text(l, entity, "an entity's name") : NULL;
    if (!column)
        return;
    column->node = node;
    column->entity = name;
    if (required)
        column->required = map_bool_of(l, required, false) ? REQUIRED_YES : REQUIRED_NO;
}

static void load_references(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    if (!node)
        return;
    if (node->kind != YAML_MAP) {
        issue_error(l->issues, node, "a mapping target column: entity must stand here");
        return;
    }
    for (size_t i = 0; i < node->count; i++)
        load_reference(l, spec, node->keys[i], node->items[i]);
}

enum flag { FLAG_ONCE, FLAG_MERGE, FLAG_SECOND_PASS };

static void load_flag(struct loader *l, struct derive_spec *spec, const struct yaml_node *node, enum flag flag)
{
    size_t count = 0;
    const char **names = node ? map_text_list(l, node, "a target column's name", &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct derive_column_spec *column = word_column(l, spec, node, names[i]);
        if (!column)
            continue;
        column->once = column->once || flag == FLAG_ONCE;
        column->merge = column->merge || flag == FLAG_MERGE;
        column->second_pass = column->second_pass || flag == FLAG_SECOND_PASS;
        if (flag == FLAG_SECOND_PASS && !column->entity)
            issue_error(l->issues, node, "\"%s\" is no reference; only those can be filled by a second pass", names[i]);
        else if (flag == FLAG_SECOND_PASS && column->required == REQUIRED_YES)
            issue_error(l->issues, node, "\"%s\" is a required reference, which no second pass can fill", names[i]);
    }
}

/* --- inputs --- */

static bool load_table(struct loader *l, const struct yaml_node *node, struct derive_input_spec *input)
{
    input->node = node;
    if (!map_table_of(l, node, NULL, &input->schema, &input->table))
        return false;
    input->text = input->schema ? arena_printf(&l->map->arena, "%s.%s", input->schema, input->table) : input->table;
    return true;
}

static void load_input(struct loader *l, struct derive_spec *spec, const struct yaml_node *key,
                       const struct yaml_node *node)
{
    static const char *const words[] = {"columns", "keys"};
    struct derive_input_spec *input = &spec->inputs[spec->input_count];
    const struct yaml_node *keys = node;
    if (!load_table(l, key, input))
        return;
    input->node = node;
    spec->input_count++;
    if (node->kind == YAML_MAP) {
        if (!map_words_check(l, node, "touched", words, COUNT(words)))
            return;
        keys = yaml_get(node, "keys");
        input->columns_node = yaml_get(node, "columns");
    }
    if (!keys)
        issue_error(l->issues, node, "\"keys:\" is missing here: a query from touched to the keys");
    input->keys = sql_of(l, keys, "a query from touched to the keys");
    if (input->columns_node)
        input->columns = map_text_list(l, input->columns_node, "a column's name", &input->column_count);
}

static void load_touched(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    if (!node)
        return;
    if (node->kind != YAML_MAP || node->count == 0) {
        issue_error(l->issues, node, "a mapping table: query must stand here");
        return;
    }
    spec->inputs = arena_zalloc(&l->map->arena, node->count + 1, sizeof *spec->inputs);
    for (size_t i = 0; i < node->count; i++)
        load_input(l, spec, node->keys[i], node->items[i]);
}

static void load_reads(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    if (!node)
        return;
    size_t count = node->kind == YAML_LIST ? node->count : 1;
    spec->reads = arena_zalloc(&l->map->arena, count + 1, sizeof *spec->reads);
    for (size_t i = 0; i < count; i++)
        if (load_table(l, node->kind == YAML_LIST ? node->items[i] : node, &spec->reads[spec->read_count]))
            spec->read_count++;
}

/* --- the rest of its words --- */

static void load_rejected_row(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR && strcmp(node->text, "gone") == 0 && spec->owns_rows)
        spec->reject_gone = true;
    else if (node->kind != YAML_SCALAR || strcmp(node->text, "keep") != 0)
        issue_error(l->issues, node,
                    spec->owns_rows ? "a rejected key's row is keep or gone"
                                    : "a derivation with \"owns:\" never deletes; a rejected key's row stays");
}

static void load_reject(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    static const char *const words[] = {"when", "category", "row"};
    spec->reject_node = node;
    if (!node || !map_words_check(l, node, "reject", words, COUNT(words)))
        return;
    const struct yaml_node *when = yaml_get(node, "when"), *category = yaml_get(node, "category");
    const struct yaml_node *row = yaml_get(node, "row");
    if (!when)
        issue_error(l->issues, node, "reject needs \"when:\", a condition over the query's row");
    spec->reject_when = sql_of(l, when, "a condition over the query's row");
    const char *text = category ? map_sql_of(l, category, "a category, or SQL that gives one,") : NULL;
    if (!text)
        text = category_name(CATEGORY_VALIDATION_FAILURE);
    if (row)
        load_rejected_row(l, spec, row);
    spec->reject_category = category_parse(text) == CATEGORY_NONE ? text : arena_printf(&l->map->arena, "'%s'", text);
}

static void load_gone(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    static const char *const words[] = {"set"};
    spec->gone = spec->owns_rows ? GONE_DELETE : GONE_KEEP;
    if (!node)
        return;
    if (node->kind == YAML_SCALAR && strcmp(node->text, "delete") == 0) {
        spec->gone = GONE_DELETE;
        if (!spec->owns_rows)
            issue_error(l->issues, node, "a derivation with \"owns:\" never deletes; write keep or {set: …}");
    } else if (node->kind == YAML_SCALAR && strcmp(node->text, "keep") == 0) {
        spec->gone = GONE_KEEP;
    } else if (node->kind != YAML_MAP || !yaml_get(node, "set")) {
        issue_error(l->issues, node, "gone is delete, keep or {set: {column: constant}}");
    } else if (map_words_check(l, node, "gone", words, COUNT(words))) {
        spec->gone = GONE_SET;
        spec->set_node = yaml_get(node, "set");
        spec->set_count = map_set_of(l, spec->set_node, &spec->set);
        for (size_t i = 0; i < spec->set_count; i++)
            if (is_key_column(spec, spec->set[i].column))
                issue_error(l->issues, spec->set_node, "a key column cannot be set by gone");
    }
}

static size_t entries(const struct yaml_node *node)
{
    return !node ? 0 : node->kind == YAML_SCALAR ? 1 : node->count;
}

static void load_columns(struct loader *l, struct derive_spec *spec, const struct yaml_node *node)
{
    static const char *const words[] = {"columns", "owns", "references", "once", "merge", "second_pass"};
    size_t most = 1;
    for (size_t i = 0; i < COUNT(words); i++)
        most += entries(yaml_get(node, words[i]));
    spec->columns = arena_zalloc(&l->map->arena, most, sizeof *spec->columns);
    load_owned(l, spec, yaml_get(node, "columns"), yaml_get(node, "owns"));
    load_references(l, spec, yaml_get(node, "references"));
    load_flag(l, spec, yaml_get(node, "once"), FLAG_ONCE);
    load_flag(l, spec, yaml_get(node, "merge"), FLAG_MERGE);
    load_flag(l, spec, yaml_get(node, "second_pass"), FLAG_SECOND_PASS);
}

static const char *const derive_words[] = {"name",  "to",    "key",   "columns",    "owns",       "touched",
                                           "query", "once",  "merge", "reject",     "references", "second_pass",
                                           "gone",  "reads", "skip",  "accept_loss"};

static void load_derivation(struct loader *l, const struct yaml_node *node, struct derive_spec *spec)
{
    *spec = (struct derive_spec){.node = node, .to_schema = "", .to_table = "", .query = "", .owns_rows = true};
    if (!map_words_check(l, node, "a derivation", derive_words, COUNT(derive_words)))
        if (node->kind != YAML_MAP)
            return;
    const struct yaml_node *name = yaml_get(node, "name");
    spec->name = name ? map_scalar_text(l, name, "a name") : NULL;
    spec->to_node = need(l, node, "to");
    if (spec->to_node && !map_table_of(l, spec->to_node, l->map->target_schema, &spec->to_schema, &spec->to_table))
        spec->to_schema = spec->to_table = "";
    spec->key_node = need(l, node, "key");
    if (spec->key_node)
        load_key(l, spec, spec->key_node);
    load_columns(l, spec, node);
    load_touched(l, spec, need(l, node, "touched"));
    load_reads(l, spec, yaml_get(node, "reads"));
    spec->query_node = need(l, node, "query");
    spec->query = sql_of(l, spec->query_node, "a query that reads keys");
    load_reject(l, spec, yaml_get(node, "reject"));
    load_gone(l, spec, yaml_get(node, "gone"));
    spec->skip = map_bool_of(l, yaml_get(node, "skip"), false);
    map_accept_loss_of(l, yaml_get(node, "accept_loss"), &spec->accept_loss);
    if (!spec->owns_rows && spec->adopt.by != ADOPT_NONE)
        issue_error(l->issues, spec->adopt_node, "who owns the rows adopts them, not a derivation with \"owns:\"");
}

void map_load_derivations(struct loader *l, const struct yaml_node *node)
{
    struct map *map = l->map;
    if (!node || yaml_is_null(node))
        return;
    if (node->kind != YAML_LIST || node->count > DERIVATIONS_MAX) {
        issue_error(l->issues, node, "a list of up to %d derivations must stand here", DERIVATIONS_MAX);
        return;
    }
    map->derives = arena_zalloc(&map->arena, node->count + 1, sizeof *map->derives);
    for (size_t i = 0; i < node->count; i++)
        load_derivation(l, node->items[i], &map->derives[map->derive_count++]);
}
