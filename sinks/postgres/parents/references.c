#include "sinks/postgres/parents/references.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"

static char *quoted(const char *schema, const char *name)
{
    struct buf buf;
    char *text;

    buf_init(&buf, (size_t)1 << 16);
    if (schema)
        pg_put_qualified(&buf, schema, name);
    else
        pg_put_ident(&buf, name);
    text = mem_strdup(buf_text(&buf));
    buf_done(&buf);
    return text;
}

static char *label_of(const char *schema, const char *name)
{
    size_t size = strlen(schema) + strlen(name) + 2;
    char *label = mem_alloc(size);

    snprintf(label, size, "%s.%s", schema, name);
    return label;
}

int references_find(const struct references *references, const char *schema, const char *table, const char *column)
{
    for (size_t i = 0; i < references->place_count; i++) {
        const struct place *place = &references->places[i];
        if (strcmp(place->name, table) == 0 && strcmp(place->schema, schema) == 0 &&
            strcmp(place->column_name, column) == 0)
            return (int)i;
    }
    return NO_PLACE;
}

static const char *key_of(const struct rule *rule)
{
    for (size_t i = 0; i < rule->column_count; i++)
        if (rule->columns[i].key)
            return rule->columns[i].name;
    return "";
}

static void put_unstamped(struct buf *sql, const struct rule_set *set, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!set[i].stamp)
            continue;
        buf_puts(sql, " AND p.");
        pg_put_ident(sql, set[i].column);
        buf_puts(sql, " ->> ");
        pg_put_literal(sql, set[i].text);
        buf_puts(sql, " IS NULL");
    }
}

/* Adopted rows of a derivation whose keys have never yielded a row are still the application's alone. (Of a rule the
 * source row may have been seen and be quarantined, and then the row that stands is its last good version.) */
static void put_met(struct buf *sql, const struct references *references, const char *entity, const char *column)
{
    buf_puts(sql, " AND NOT EXISTS (SELECT FROM pgrekey.adopted AS a WHERE a.pipeline = ");
    pg_put_literal(sql, references->pipeline);
    buf_puts(sql, " AND a.entity = ");
    pg_put_literal(sql, entity);
    buf_puts(sql, " AND a.id = p.");
    pg_put_ident(sql, column);
    buf_puts(sql, " AND a.met = '{}')");
}

/* Whoever writes the table may leave rows there that are gone, and find others there. */
static char *stands_of(const struct references *references, const struct map *map, const struct relation *relation,
                       const char *column)
{
    const bool uuids = strcmp(relation->columns[relation_column(relation, column)].base_type, "uuid") == 0;
    struct buf sql;
    char *text;

    buf_init(&sql, (size_t)1 << 16);
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct rule *rule = map_rule(map, i);
        if (strcmp(rule->to_table, relation->name) != 0 || strcmp(rule->to_schema, relation->schema) != 0)
            continue;
        put_unstamped(&sql, rule->set, rule->set_count);
    }
    for (size_t i = 0; i < map_derivation_count(map); i++) {
        const struct derivation *d = map_derivation(map, i);
        if (!d->owns_rows || strcmp(d->to_table, relation->name) != 0 || strcmp(d->to_schema, relation->schema) != 0)
            continue;
        put_unstamped(&sql, d->set, d->set_count);
        if (uuids && d->adopt.by != ADOPT_NONE && d->entity && strcmp(d->keys[0].column, column) == 0)
            put_met(&sql, references, d->entity, column);
    }
    text = mem_strdup(buf_text(&sql));
    buf_done(&sql);
    return text;
}

static int make_place(struct references *references, const struct map *map, const struct relation *relation,
                      const char *column)
{
    int found = references_find(references, relation->schema, relation->name, column);
    int at = relation_column(relation, column);

    if (found != NO_PLACE || at < 0)
        return found;
    references->places = mem_realloc(references->places, (references->place_count + 1) * sizeof(*references->places));
    references->places[references->place_count] =
        (struct place){.schema = relation->schema,
                       .name = relation->name,
                       .column_name = relation->columns[at].name,
                       .label = label_of(relation->schema, relation->name),
                       .table = quoted(relation->schema, relation->name),
                       .column = quoted(NULL, column),
                       .type = relation->columns[at].base_type,
                       .stands = stands_of(references, map, relation, column)};
    return (int)references->place_count++;
}

static void add(struct references *references, const struct reference *reference)
{
    for (size_t i = 0; i < references->count; i++)
        if (references->items[i].rule == reference->rule && references->items[i].column == reference->column &&
            references->items[i].place == reference->place)
            return;
    references->items = mem_realloc(references->items, (references->count + 1) * sizeof(*references->items));
    references->items[references->count++] = *reference;
}

/* --- the mapping's --- */

static int add_mapped(struct references *references, const struct map *map, const struct catalog *target,
                      const struct rule *rule, size_t c)
{
    const struct rule_column *column = &rule->columns[c];
    const struct relation *relation = NULL;
    const char *key = "";

    if (column->parent) {
        relation = map_rule_target(map, column->parent);
        key = key_of(column->parent);
    } else if (column->parent_derivation && column->parent_derivation->key_count) {
        relation = catalog_find(target, column->parent_derivation->to_schema, column->parent_derivation->to_table);
        key = column->parent_derivation->keys[0].column;
    }
    int place = relation ? make_place(references, map, relation, key) : NO_PLACE;
    if (place != NO_PLACE)
        add(references, &(struct reference){.rule = (size_t)rule->index,
                                            .column = c,
                                            .place = (size_t)place,
                                            .required = column->required,
                                            .mapped = true});
    return place;
}

/* --- the target's foreign keys --- */

static bool is_ours(const struct map *map, const char *schema, const char *table)
{
    for (size_t i = 0; i < map_rule_count(map); i++)
        if (strcmp(map_rule(map, i)->to_table, table) == 0 && strcmp(map_rule(map, i)->to_schema, schema) == 0)
            return true;
    for (size_t i = 0; i < map_derivation_count(map); i++)
        if (strcmp(map_derivation(map, i)->to_table, table) == 0 &&
            strcmp(map_derivation(map, i)->to_schema, schema) == 0)
            return true;
    return false;
}

/* Keys of several columns are the target's own business: what waits is told by one value. */
static void add_foreign_keys(struct references *references, const struct map *map, const struct catalog *target,
                             const struct rule *rule)
{
    const struct relation *relation = map_rule_target(map, rule);

    for (size_t i = 0; relation && i < relation->fk_count; i++) {
        const struct foreign_key *fk = &relation->fks[i];
        const struct relation *parent = catalog_find(target, fk->parent_schema, fk->parent_table);
        int column = fk->count == 1 ? map_column_index(rule, relation->columns[fk->columns[0]].name) : -1;

        if (column < 0 || !parent || !is_ours(map, fk->parent_schema, fk->parent_table))
            continue;
        int place = make_place(references, map, parent, fk->parent_columns[0]);
        if (place != NO_PLACE)
            add(references,
                &(struct reference){
                    .rule = (size_t)rule->index, .column = (size_t)column, .place = (size_t)place, .required = true});
    }
}

/* --- derivations' --- */

static void add_derived(struct references *references, const struct derived_reference *reference)
{
    for (size_t i = 0; i < references->derived_count; i++)
        if (references->derived[i].derivation == reference->derivation &&
            references->derived[i].place == reference->place &&
            strcmp(references->derived[i].column, reference->column) == 0)
            return;
    references->derived =
        mem_realloc(references->derived, (references->derived_count + 1) * sizeof(*references->derived));
    references->derived[references->derived_count++] = *reference;
}

/* Where rows of an entity stand: with the rule that makes them, or with the derivation. */
static int entity_place(struct references *references, const struct map *map, const struct catalog *target,
                        const char *entity)
{
    for (size_t i = 0; i < map_rule_count(map); i++) {
        const struct rule *rule = map_rule(map, i);
        if (rule->entity && strcmp(rule->entity, entity) == 0 && map_rule_target(map, rule))
            return make_place(references, map, map_rule_target(map, rule), key_of(rule));
    }
    for (size_t i = 0; i < map_derivation_count(map); i++) {
        const struct derivation *d = map_derivation(map, i);
        const struct relation *relation = catalog_find(target, d->to_schema, d->to_table);
        for (size_t k = 0; relation && d->entity && strcmp(d->entity, entity) == 0 && k < d->key_count; k++)
            if (d->keys[k].entity && !d->keys[k].reference)
                return make_place(references, map, relation, d->keys[k].column);
    }
    return NO_PLACE;
}

static void add_derived_mapped(struct references *references, const struct map *map, const struct catalog *target,
                               const struct derivation *d)
{
    struct derived_reference reference = {.derivation = (size_t)d->index, .mapped = true};

    for (size_t k = 0; k < d->key_count; k++) {
        int place = d->keys[k].entity && d->keys[k].reference ? entity_place(references, map, target, d->keys[k].entity)
                                                              : NO_PLACE;
        reference.column = d->keys[k].column;
        reference.place = (size_t)place;
        reference.required = true;
        if (place != NO_PLACE)
            add_derived(references, &reference);
    }
    for (const struct derivation_column *c = d->columns;
         c && (d->column_count ? c < d->columns + d->column_count : c->name != NULL); c++) {
        int place = c->parent_entity ? entity_place(references, map, target, c->parent_entity) : NO_PLACE;
        reference.column = c->name;
        reference.place = (size_t)place;
        reference.required = c->required;
        if (place != NO_PLACE)
            add_derived(references, &reference);
    }
}

static bool owns(const struct derivation *d, const char *column)
{
    for (size_t k = 0; k < d->key_count; k++)
        if (strcmp(d->keys[k].column, column) == 0)
            return d->owns_rows;
    for (size_t i = 0; i < d->column_count; i++)
        if (strcmp(d->columns[i].name, column) == 0)
            return true;
    return d->owns_rows && d->column_count == 0; /* not described yet */
}

static void add_derived_foreign_keys(struct references *references, const struct map *map, const struct catalog *target,
                                     const struct derivation *d)
{
    const struct relation *relation = catalog_find(target, d->to_schema, d->to_table);

    for (size_t i = 0; relation && i < relation->fk_count; i++) {
        const struct foreign_key *fk = &relation->fks[i];
        const struct relation *parent = catalog_find(target, fk->parent_schema, fk->parent_table);
        const struct column *column = &relation->columns[fk->columns[0]];

        if (fk->count != 1 || !parent || !is_ours(map, fk->parent_schema, fk->parent_table) || !owns(d, column->name))
            continue;
        int place = make_place(references, map, parent, fk->parent_columns[0]);
        if (place != NO_PLACE)
            add_derived(references, &(struct derived_reference){.derivation = (size_t)d->index,
                                                                .column = column->name,
                                                                .place = (size_t)place,
                                                                .required = column->not_null});
    }
}

void references_init(struct references *references, const struct map *map, const struct catalog *target,
                     const char *pipeline)
{
    size_t columns = 0;

    *references = (struct references){.pipeline = pipeline, .rule_count = map_rule_count(map)};
    references->offsets = mem_zalloc(references->rule_count + 1, sizeof(*references->offsets));
    for (size_t r = 0; r < references->rule_count; r++) {
        references->offsets[r] = columns;
        columns += map_rule(map, r)->column_count;
    }
    references->place_of = mem_alloc((columns + 1) * sizeof(*references->place_of));
    for (size_t r = 0; r < references->rule_count; r++)
        for (size_t c = 0; c < map_rule(map, r)->column_count; c++)
            references->place_of[references->offsets[r] + c] = add_mapped(references, map, target, map_rule(map, r), c);
    for (size_t r = 0; r < references->rule_count; r++)
        add_foreign_keys(references, map, target, map_rule(map, r));
    for (size_t i = 0; i < map_derivation_count(map); i++) {
        add_derived_mapped(references, map, target, map_derivation(map, i));
        add_derived_foreign_keys(references, map, target, map_derivation(map, i));
    }
}

void references_done(struct references *references)
{
    for (size_t i = 0; i < references->place_count; i++) {
        free(references->places[i].label);
        free(references->places[i].table);
        free(references->places[i].column);
        free(references->places[i].stands);
    }
    free(references->places);
    free(references->items);
    free(references->derived);
    free(references->offsets);
    free(references->place_of);
    *references = (struct references){0};
}

/* --- asked --- */

int references_column_at(const struct place *place, const struct rule *rule)
{
    if (strcmp(place->name, rule->to_table) != 0 || strcmp(place->schema, rule->to_schema) != 0)
        return -1;
    return map_column_index(rule, place->column_name);
}

bool references_derived(const struct references *references, size_t place)
{
    for (size_t i = 0; i < references->derived_count; i++)
        if (references->derived[i].place == place)
            return true;
    return false;
}

const struct reference *references_by_constraint(const struct references *references, const struct rule *rule,
                                                 const struct relation *relation, const char *constraint)
{
    for (size_t i = 0; i < relation->fk_count; i++) {
        const struct foreign_key *fk = &relation->fks[i];
        if (fk->count != 1 || strcmp(fk->name, constraint) != 0)
            continue;
        int place = references_find(references, fk->parent_schema, fk->parent_table, fk->parent_columns[0]);
        int column = map_column_index(rule, relation->columns[fk->columns[0]].name);
        for (size_t k = 0; k < references->count; k++)
            if (references->items[k].rule == (size_t)rule->index && (int)references->items[k].column == column &&
                (int)references->items[k].place == place)
                return &references->items[k];
    }
    return NULL;
}
