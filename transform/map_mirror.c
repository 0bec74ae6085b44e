/* `mirrors:` as row rules, and `views:`. A mirror's rule is made from the source's catalogue, like one of `copy:`, so
 * that everything behind treats its rows like any others. Its target is a table of the engine's own, so the relation
 * is not read from the target but made here: what the table must look like, whether or not it is there yet.
 *
 *     mirrors: {dispatch_jaw: {columns: [id, side]}}  ──▶  dispatch_jaw -> pgrekey_mirror.dispatch_jaw
 */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIRRORS_MAX 5000
#define VIEWS_MAX 500

/* --- the file --- */

/* A column, a list of columns, or a list of either: an index each. */
static void load_indexes(struct loader *l, struct mirror_spec *mirror, const struct yaml_node *node)
{
    size_t count = node->kind == YAML_LIST ? node->count : 1;
    mirror->index_node = node;
    mirror->indexes = arena_zalloc(&l->map->arena, count + 1, sizeof *mirror->indexes);
    if (node->kind == YAML_MAP || count == 0) {
        issue_error(l->issues, node, "a column, or a list of columns (or of lists, for an index over several)");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *item = node->kind == YAML_LIST ? node->items[i] : node;
        struct buf text;
        size_t columns;
        const char **names = map_text_list(l, item, "a source column's name", &columns);
        buf_init(&text, 1 << 20);
        for (size_t c = 0; c < columns; c++) {
            if (columns == 1 && names[c][0] == '(')
                ; /* an expression */
            else if (strchr(names[c], ','))
                issue_error(l->issues, item, "a column with a comma in its name cannot be indexed");
            buf_printf(&text, "%s%s", c ? "," : "", names[c]);
        }
        mirror->indexes[mirror->index_count++] = arena_strdup(&l->map->arena, buf_text(&text));
        buf_done(&text);
    }
}

static void load_columns(struct loader *l, struct mirror_spec *mirror, const struct yaml_node *node)
{
    mirror->columns_node = node;
    mirror->columns = map_text_list(l, node, "a source column's name", &mirror->column_count);
    for (size_t i = 0; i < mirror->column_count; i++) {
        for (size_t j = 0; j < i; j++)
            if (strcmp(mirror->columns[i], mirror->columns[j]) == 0)
                issue_error(l->issues, node, "\"%s\" is named twice", mirror->columns[i]);
        if (map_column_never(l->map, mirror->schema, mirror->table, mirror->columns[i]))
            issue_error(l->issues, node, "\"%s\" is named under never: and cannot be read", mirror->columns[i]);
    }
}

struct never_use {
    const struct map *map;
    const struct mirror_spec *mirror;
    const char *column;
};

static void find_never(void *context, const char *name)
{
    struct never_use *use = context;
    if (map_column_never(use->map, use->mirror->schema, use->mirror->table, name))
        use->column = name;
}

static void load_where(struct loader *l, struct mirror_spec *mirror, const struct yaml_node *node)
{
    struct never_use use = {l->map, mirror, NULL};
    mirror->when_node = node;
    mirror->when = map_condition(l, node);
    expr_each_column(mirror->when, find_never, &use);
    if (use.column)
        issue_error(l->issues, node, "\"%s\" is named under never: and cannot be read", use.column);
}

static void load_mirror(struct loader *l, const struct yaml_node *key, const struct yaml_node *node)
{
    static const char *const words[] = {"columns", "index", "where", "name", "truncate"};
    struct map *map = l->map;
    struct mirror_spec *mirror = &map->mirrors[map->mirror_count];
    /* A copy is to be what its source is: empty, too. */
    *mirror = (struct mirror_spec){.node = node, .on_truncate = TRUNCATE_ROWS};
    if (!map_table_of(l, key, map->source_schema, &mirror->schema, &mirror->table))
        return;
    mirror->name = mirror->table;
    map->mirror_count++;
    if (map_table_never(map, mirror->schema, mirror->table))
        issue_error(l->issues, node, "all of \"%s\" is under never: and cannot be read", mirror->table);
    if (yaml_is_null(node) || !map_words_check(l, node, "a mirror", words, COUNT(words)))
        return;
    const struct yaml_node *name = yaml_get(node, "name");
    const struct yaml_node *columns = yaml_get(node, "columns"), *index = yaml_get(node, "index");
    const struct yaml_node *where = yaml_get(node, "where"), *truncate = yaml_get(node, "truncate");
    const char *given = name ? map_scalar_text(l, name, "a table's name") : NULL;
    mirror->name = given ? given : mirror->table;
    if (columns)
        load_columns(l, mirror, columns);
    if (index)
        load_indexes(l, mirror, index);
    if (where)
        load_where(l, mirror, where);
    if (truncate)
        mirror->on_truncate = map_truncate_of(l, truncate);
}

void map_load_mirrors(struct loader *l, const struct yaml_node *node)
{
    struct map *map = l->map;
    if (!node || yaml_is_null(node))
        return;
    if (node->kind != YAML_MAP || node->count > MIRRORS_MAX) {
        issue_error(l->issues, node, "a mapping source table: {columns: [...]} must stand here");
        return;
    }
    map->mirrors = arena_zalloc(&map->arena, node->count + 1, sizeof *map->mirrors);
    for (size_t i = 0; i < node->count; i++)
        load_mirror(l, node->keys[i], node->items[i]);
    for (size_t i = 0; i < map->mirror_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(map->mirrors[i].name, map->mirrors[j].name) == 0)
                issue_error(l->issues, map->mirrors[i].node,
                            "a mirror before is called \"%s\" too; give one of them a \"name:\" of its own",
                            map->mirrors[i].name);
}

static bool is_mirror(const struct map *map, const char *name)
{
    for (size_t i = 0; i < map->mirror_count; i++)
        if (strcmp(map->mirrors[i].name, name) == 0)
            return true;
    return false;
}

void map_load_views(struct loader *l, const struct yaml_node *node)
{
    struct map *map = l->map;
    if (!node || yaml_is_null(node))
        return;
    if (node->kind != YAML_MAP || node->count > VIEWS_MAX) {
        issue_error(l->issues, node, "a mapping name: query must stand here, of up to %d views", VIEWS_MAX);
        return;
    }
    map->views = arena_zalloc(&map->arena, node->count + 1, sizeof *map->views);
    for (size_t i = 0; i < node->count; i++) {
        const char *name = node->keys[i]->text, *query = map_sql_of(l, node->items[i], "a query");
        if (!*name)
            issue_error(l->issues, node->items[i], "a view's name is empty");
        if (is_mirror(map, name))
            issue_error(l->issues, node->items[i], "a mirror is called \"%s\" already", name);
        if (query)
            map->views[map->view_count++] = (struct mirror_view){name, query, node->items[i]->line};
    }
    map_sort_views(map, node, l->issues);
}

/* --- rules --- */

static void add_column(struct map *map, struct rule_spec *spec, const struct yaml_node *node, const char *name,
                       bool key)
{
    for (size_t i = 0; i < spec->column_count; i++)
        if (strcmp(spec->columns[i].name, name) == 0)
            return;
    spec->columns[spec->column_count++] =
        (struct column_spec){.name = name, .node = node, .value = expr_column(map->pool, name), .key = key};
}

/* A column that came to the source after the mirror was made: the rows that are there already lack its values. */
static bool came_later(const struct relation *standing, const struct mirror_spec *mirror, const char *name,
                       struct map_issues *issues)
{
    if (!standing || relation_column(standing, name) >= 0)
        return false;
    issue_warning(issues, mirror->node, "the mirror was made without the column \"%s\" of %s.%s; it stays without it",
                  name, mirror->schema, mirror->table);
    return true;
}

/* `standing`: the mirror as it stands on the target; NULL where it is not there, or not known. */
static void add_columns(struct map *map, struct rule_spec *spec, const struct relation *source,
                        const struct relation *standing, struct map_issues *issues)
{
    const struct mirror_spec *mirror = spec->mirror;
    for (size_t k = 0; k < source->key_count; k++)
        add_column(map, spec, mirror->node, source->columns[source->key[k]].name, true);
    for (size_t i = 0; i < mirror->column_count; i++)
        add_column(map, spec, mirror->columns_node, mirror->columns[i], false);
    for (size_t i = 0; mirror->column_count == 0 && i < source->column_count; i++)
        if (!map_column_never(map, source->schema, source->name, source->columns[i].name) &&
            !came_later(standing, mirror, source->columns[i].name, issues))
            add_column(map, spec, mirror->node, source->columns[i].name, false);
}

static void check_index(const struct rule_spec *spec, const char *index, struct map_issues *issues)
{
    while (*index && *index != '(') {
        size_t len = strcspn(index, ",");
        bool found = false;
        for (size_t i = 0; i < spec->column_count && !found; i++)
            found = strlen(spec->columns[i].name) == len && strncmp(spec->columns[i].name, index, len) == 0;
        if (!found)
            issue_error(issues, spec->mirror->index_node, "the mirror has no column \"%.*s\" to be indexed", (int)len,
                        index);
        index += len + (index[len] == ',');
    }
}

static void expand(struct map *map, const struct mirror_spec *mirror, struct rule_spec *spec, struct map_issues *issues)
{
    const struct relation *relation = catalog_find(map->source, mirror->schema, mirror->table);
    const struct relation *standing = map->target ? catalog_find(map->target, map->mirror_schema, mirror->name) : NULL;
    *spec = (struct rule_spec){.node = mirror->node,
                               .from_node = mirror->node,
                               .to_node = mirror->node,
                               .key_node = mirror->node,
                               .from_schema = mirror->schema,
                               .from_table = mirror->table,
                               .to_schema = map->mirror_schema,
                               .to_table = mirror->name,
                               .when = mirror->when,
                               .when_node = mirror->when_node,
                               .on_truncate = mirror->on_truncate,
                               .mirror = mirror};
    if (!relation) /* map_bind says so */
        return;
    spec->columns = arena_zalloc(&map->bound, relation->column_count + relation->key_count + mirror->column_count + 1,
                                 sizeof *spec->columns);
    add_columns(map, spec, relation, standing, issues);
    for (size_t i = 0; i < mirror->index_count; i++)
        check_index(spec, mirror->indexes[i], issues);
}

bool map_has_mirrors(const struct map *map)
{
    return map->mirror_count + map->view_count > 0;
}

struct rule_spec *map_expand_mirrors(struct map *map, struct map_issues *issues, size_t *ret_count)
{
    *ret_count = map->source ? map->mirror_count : 0;
    struct rule_spec *specs = arena_zalloc(&map->bound, *ret_count + 1, sizeof *specs);
    for (size_t i = 0; i < *ret_count; i++)
        expand(map, &map->mirrors[i], &specs[i], issues);
    return specs;
}

/* --- the table --- */

static bool is_one_of(const char *type, const char *const *types, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

/* Types that every PostgreSQL has, and whose text means the same on each. */
static bool is_everywhere(const char *type)
{
    static const char *const types[] = {"smallint",
                                        "integer",
                                        "bigint",
                                        "numeric",
                                        "real",
                                        "double precision",
                                        "boolean",
                                        "text",
                                        "character varying",
                                        "character",
                                        "\"char\"",
                                        "name",
                                        "bytea",
                                        "date",
                                        "timestamp without time zone",
                                        "timestamp with time zone",
                                        "time without time zone",
                                        "time with time zone",
                                        "interval",
                                        "uuid",
                                        "json",
                                        "jsonb",
                                        "xml",
                                        "inet",
                                        "cidr",
                                        "macaddr",
                                        "macaddr8",
                                        "bit",
                                        "bit varying",
                                        "oid",
                                        "point",
                                        "line",
                                        "lseg",
                                        "box",
                                        "path",
                                        "polygon",
                                        "circle",
                                        "tsvector",
                                        "tsquery",
                                        "pg_lsn",
                                        "int4range",
                                        "int8range",
                                        "numrange",
                                        "tsrange",
                                        "tstzrange",
                                        "daterange"};
    return is_one_of(type, types, COUNT(types));
}

/* Built-in types stay, but for their length: what the source takes, now or once a column was widened, is taken here
 * too. A domain becomes its base type, the rest becomes text; arrays likewise. */
static void mirror_type(struct arena *arena, const struct column *source, struct column *column)
{
    char *element = arena_strdup(arena, source->base_type);
    size_t len = strlen(element);
    bool array = len > 2 && strcmp(element + len - 2, "[]") == 0;
    if (array)
        element[len - 2] = '\0';
    if (!is_everywhere(element)) {
        column->type = column->base_type = arena_strdup(arena, array ? "text[]" : "text");
        column->kind = COLUMN_TEXT;
        column->type_oid = 0;
        column->toastable = true;
        return;
    }
    /* These two mean length 1 where they stand alone. */
    column->type = column->base_type = source->base_type;
    if (strcmp(element, "character") == 0)
        column->type = arena_strdup(arena, array ? "bpchar[]" : "bpchar");
    else if (strcmp(element, "bit") == 0)
        column->type = column->base_type = arena_strdup(arena, array ? "bit varying[]" : "bit varying");
    if (strcmp(source->type, source->base_type) != 0)
        column->type_oid = 0;
}

static void put_columns(struct map *map, struct relation *relation, const struct rule *rule,
                        const struct relation *source)
{
    relation->columns = arena_zalloc(&map->bound, rule->column_count + 1, sizeof *relation->columns);
    for (size_t i = 0; i < rule->column_count; i++) {
        int at = relation_column(source, rule->columns[i].name);
        if (at < 0) /* map_bind says so */
            continue;
        struct column *column = &relation->columns[relation->column_count];
        *column = source->columns[at];
        mirror_type(&map->bound, &source->columns[at], column);
        column->attnum = (int)++relation->column_count;
        column->not_null = rule->columns[i].key;
        column->has_default = column->generated = column->identity_always = column->read_nonfinite = false;
    }
}

const struct relation *map_mirror_relation(struct map *map, const struct rule *rule, const struct relation *source)
{
    struct relation *relation = arena_zalloc(&map->bound, 1, sizeof *relation);
    size_t keys = rule->program->key_count;
    relation->schema = arena_strdup(&map->bound, rule->to_schema);
    relation->name = arena_strdup(&map->bound, rule->to_table);
    relation->kind = 'r';
    relation->replident = 'd';
    relation->estimated_rows = source->estimated_rows;
    put_columns(map, relation, rule, source);
    uint16_t *key = arena_zalloc(&map->bound, keys + 1, sizeof *key);
    for (size_t i = 0; i < keys; i++)
        key[i] = (uint16_t)i;
    relation->key = relation->pk = key;
    relation->key_count = relation->pk_count = keys;
    relation->unique_count = 1;
    relation->uniques = arena_zalloc(&map->bound, 1, sizeof *relation->uniques);
    *relation->uniques = (struct unique_index){
        .name = arena_printf(&map->bound, "%s_pkey", rule->to_table), .count = keys, .columns = key, .primary = true};
    return relation;
}
