/* `copy: {from: schema_a, to: schema_b}` as row rules: one for each table, made from the catalogues, so that
 * everything behind treats them like rules of the file. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

struct copier {
    struct map *map;
    const struct copy_spec *copy;
    const struct relation *source, *target; /* target NULL where only the source is bound */
    struct map_issues *issues;
};

static bool has_own_rule(const struct map *map, const struct relation *source)
{
    for (size_t i = 0; i < map->spec_count; i++)
        if (map_same_table(map->specs[i].from_schema, map->specs[i].from_table, source->schema, source->name))
            return true;
    return false;
}

static bool is_copied(const struct map *map, const struct copy_spec *copy, const struct relation *source)
{
    if (strcmp(source->schema, copy->from_schema) != 0 || source->kind != 'r' || has_own_rule(map, source) ||
        map_table_never(map, source->schema, source->name))
        return false;
    for (size_t i = 0; i < copy->except_count; i++)
        if (strcmp(copy->except[i], source->name) == 0)
            return false;
    return true;
}

static bool in_key(const struct relation *relation, const char *name)
{
    for (size_t i = 0; i < relation->pk_count; i++)
        if (strcmp(relation->columns[relation->pk[i]].name, name) == 0)
            return true;
    return false;
}

static void add_column(struct copier *c, struct rule_spec *spec, const char *name, bool key)
{
    spec->columns[spec->column_count++] =
        (struct column_spec){.name = name, .node = c->copy->node, .value = expr_column(c->map->pool, name), .key = key};
}

static void add_key(struct copier *c, struct rule_spec *spec, const struct relation *keyed)
{
    for (size_t i = 0; i < keyed->pk_count; i++) {
        const char *name = keyed->columns[keyed->pk[i]].name;
        if (relation_column(c->source, name) < 0)
            issue_error(c->issues, c->copy->node, "the key column \"%s\" of the target's %s.%s is not on the source",
                        name, keyed->schema, keyed->name);
        else if (map_column_never(c->map, c->source->schema, c->source->name, name))
            issue_error(c->issues, c->copy->node, "the key column \"%s\" of %s.%s is named under never:", name,
                        c->source->schema, c->source->name);
        else
            add_column(c, spec, name, true);
    }
}

static void add_others(struct copier *c, struct rule_spec *spec, const struct relation *keyed)
{
    for (size_t i = 0; i < c->source->column_count; i++) {
        const char *name = c->source->columns[i].name;
        if (in_key(keyed, name) || map_column_never(c->map, c->source->schema, c->source->name, name))
            continue;
        int at = c->target ? relation_column(c->target, name) : 0;
        if (at < 0)
            issue_warning(c->issues, c->copy->node, "%s.%s has no column \"%s\" on the target; it is not copied",
                          c->target->schema, c->target->name, name);
        else if (!c->target || !c->target->columns[at].generated)
            add_column(c, spec, name, false);
    }
}

/* The server takes a value for such a column at an insert, never at an update. A key is written at the insert. */
static void check_identity_columns(struct copier *c, const struct rule_spec *spec)
{
    for (size_t i = 0; c->target && i < spec->column_count; i++) {
        int at = relation_column(c->target, spec->columns[i].name);
        if (at < 0 || !c->target->columns[at].identity_always)
            continue;
        if (spec->columns[i].key)
            issue_warning(c->issues, c->copy->node,
                          "\"%s\" of %s.%s is GENERATED ALWAYS AS IDENTITY; the source's values are written over it, "
                          "but a key that changes is refused there",
                          spec->columns[i].name, c->target->schema, c->target->name);
        else
            issue_error(c->issues, c->copy->node,
                        "\"%s\" of %s.%s is GENERATED ALWAYS AS IDENTITY, which no update can write; make it BY "
                        "DEFAULT, or except the table",
                        spec->columns[i].name, c->target->schema, c->target->name);
    }
}

/* False where the table is refused. */
static bool expand_table(struct copier *c, struct rule_spec *spec)
{
    const struct relation *keyed = c->target ? c->target : c->source;
    if (keyed->pk_count == 0) {
        issue_error(c->issues, c->copy->node, "%s.%s has no primary key on the %s; add one, or except the table",
                    keyed->schema, keyed->name, c->target ? "target" : "source");
        return false;
    }
    *spec = (struct rule_spec){.node = c->copy->node,
                               .from_node = c->copy->node,
                               .to_node = c->copy->node,
                               .key_node = c->copy->node,
                               .from_schema = c->source->schema,
                               .from_table = c->source->name,
                               .to_schema = c->copy->to_schema,
                               .to_table = c->source->name,
                               .copy = true};
    spec->columns = arena_zalloc(&c->map->bound, c->source->column_count + keyed->pk_count, sizeof *spec->columns);
    add_key(c, spec, keyed);
    add_others(c, spec, keyed);
    check_identity_columns(c, spec);
    return true;
}

struct rule_spec *map_expand_copies(struct map *map, const struct catalog *source, const struct catalog *target,
                                    struct map_issues *issues, size_t *ret_count)
{
    size_t most = source ? source->count : 0;
    struct rule_spec *specs = arena_zalloc(&map->bound, most + 1, sizeof *specs);
    *ret_count = 0;
    for (size_t i = 0; i < map->copy_count; i++) {
        const struct copy_spec *copy = &map->copies[i];
        size_t found = 0;
        for (size_t r = 0; source && r < source->count; r++) {
            struct copier c = {map, copy, &source->relations[r], NULL, issues};
            if (!is_copied(map, copy, c.source))
                continue;
            found++;
            c.target = target ? catalog_find(target, copy->to_schema, c.source->name) : NULL;
            if (target && !c.target)
                issue_error(issues, copy->node, "there is no table %s.%s on the target; create it, or except it",
                            copy->to_schema, c.source->name);
            else if (*ret_count < most && expand_table(&c, &specs[*ret_count]))
                (*ret_count)++;
        }
        if (source && found == 0)
            issue_warning(issues, copy->node, "the schema \"%s\" has no table to copy", copy->from_schema);
    }
    return specs;
}
