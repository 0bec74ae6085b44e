/* Look-ups of row rules in mirrors: see lookup.h.
 *
 *     lookup: {ct: {mirror: django_content_type, by: item_type_id}}   ──▶   ct.model, ct.app_label in its expressions
 */
#include "transform/lookup.h"

#include "transform/map_internal.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KEY_MAX 32

void map_set_lookups(struct map *map, const struct lookup_source *source)
{
    map->lookups = *source;
}

static bool is_alias(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return len > 0 && !name[len] && (*name < '0' || *name > '9');
}

static void load_by(struct loader *l, struct expr_lookup *lookup, const struct yaml_node *by)
{
    size_t count = by->kind == YAML_LIST ? by->count : 1;
    if (count == 0 || count > KEY_MAX) {
        issue_error(l->issues, by, "a column, or a list of up to %d, must stand here", KEY_MAX);
        return;
    }
    lookup->by = arena_zalloc(&l->map->arena, count, sizeof(struct expr *));
    for (size_t i = 0; i < count; i++)
        lookup->by[lookup->key_count++] = map_operand(l, by->kind == YAML_LIST ? by->items[i] : by);
}

static void load_lookup(struct loader *l, struct expr_lookup *lookup, const struct yaml_node *node)
{
    static const char *const words[] = {"mirror", "by"};
    const char *schema, *table;
    if (!map_words_check(l, node, "a look-up", words, COUNT(words)))
        return;
    const struct yaml_node *mirror = yaml_get(node, "mirror"), *by = yaml_get(node, "by");
    if (!mirror || !by) {
        issue_error(l->issues, node, "a look-up needs \"mirror:\", and \"by:\", the value of the mirror's key");
        return;
    }
    load_by(l, lookup, by);
    if (!map_table_of(l, mirror, NULL, &schema, &table))
        return;
    lookup->table = map_mirror_table(l->map, schema, table);
    if (!lookup->table)
        issue_error(l->issues, mirror, "there is no mirror \"%s\" under mirrors:", table);
}

/* Look-ups do not use each other: they are known to the rule only when all are read. */
void map_load_lookups(struct loader *l, struct rule_spec *spec, const struct yaml_node *node)
{
    if (!node)
        return;
    if (node->kind != YAML_MAP || node->count == 0) {
        issue_error(l->issues, node, "a mapping alias: {mirror: table, by: column} must stand here");
        return;
    }
    spec->lookups = arena_zalloc(&l->map->arena, node->count, sizeof *spec->lookups);
    spec->lookup_node = node;
    for (size_t i = 0; i < node->count; i++) {
        struct expr_lookup *lookup = &spec->lookups[spec->lookup_count++];
        *lookup = (struct expr_lookup){.alias = node->keys[i]->text, .table = ""};
        if (!is_alias(lookup->alias))
            issue_error(l->issues, node->items[i], "an alias is made of letters, digits and _");
        load_lookup(l, lookup, node->items[i]);
    }
    expr_pool_set_lookups(l->map->pool, spec->lookups, spec->lookup_count);
}

/* After the mirrors' own rules. */
void map_bind_lookups(struct map *map, const struct rule_spec *spec, struct map_issues *issues)
{
    for (size_t i = 0; i < spec->lookup_count; i++) {
        struct expr_lookup *lookup = &spec->lookups[i];
        struct rule *mirror = map_mirror_rule(map, lookup->table);
        lookup->mirror = mirror;
        lookup->relation = mirror ? mirror->program->target : NULL;
        if (mirror)
            mirror->looked_up = true;
        if (lookup->relation && lookup->relation->pk_count != lookup->key_count)
            issue_error(issues, yaml_get(spec->lookup_node, lookup->alias),
                        "the key of the mirror %s has %zu column%s, \"by:\" gives %zu", lookup->table,
                        lookup->relation->pk_count, lookup->relation->pk_count == 1 ? "" : "s", lookup->key_count);
    }
}

static bool is_integer(const char *type)
{
    return strcmp(type, "smallint") == 0 || strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0;
}

static bool is_text(const char *type)
{
    return strcmp(type, "text") == 0 || strcmp(type, "character varying") == 0;
}

/* Keys are compared by their text: 7 is found as 7, but not as 7.0 or 007. */
void map_compare_lookups(const struct rule_spec *spec, struct map_issues *issues)
{
    for (size_t i = 0; i < spec->lookup_count; i++) {
        const struct expr_lookup *lookup = &spec->lookups[i];
        const struct relation *mirror = lookup->relation;
        for (size_t k = 0; mirror && k < lookup->key_count && k < mirror->pk_count; k++) {
            const char *by = expr_column_type(lookup->by[k]), *key = mirror->columns[mirror->pk[k]].base_type;
            if (!by || strcmp(by, key) == 0 || (is_integer(by) && is_integer(key)) || (is_text(by) && is_text(key)))
                continue;
            issue_warning(issues, yaml_get(spec->lookup_node, lookup->alias),
                          "\"by:\" is %s, the key of the mirror %s is %s: they are compared as text", by, lookup->table,
                          key);
        }
    }
}
