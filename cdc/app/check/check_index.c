#include "cdc/app/check/check_index.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/parents/references.h"
#include "transform/issues.h"

#define SIDE "target"
#define LARGE_ROWS 10000 /* below, reading the whole table hurts nobody */
#define SQL_MAX ((size_t)16 << 20)

#define NOT_INDEXED                                                                                                    \
    " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid "           \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "                                                        \
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "                                 \
    "WHERE n.nspname = r.schema AND c.relname = r.name AND a.attname = r.col AND i.indisvalid "                        \
    "AND i.indpred IS NULL) ORDER BY r.at"

/* A column that refers, and the rule or derivation whose rows it stands in. */
struct referring {
    const char *name, *schema, *table, *column;
    const struct place *place;
    size_t line;
    double rows;
};

struct all {
    size_t count;
    struct referring *items;
};

static double larger(double rows, const struct relation *relation)
{
    return relation && relation->estimated_rows > rows ? relation->estimated_rows : rows;
}

static void add(struct all *all, const struct referring *item)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->items[i].schema, item->schema) == 0 && strcmp(all->items[i].table, item->table) == 0 &&
            strcmp(all->items[i].column, item->column) == 0)
            return;
    if (item->rows >= LARGE_ROWS)
        all->items[all->count++] = *item;
}

/* What the target will hold is told by the source, where it is empty as yet. */
static void collect(const struct mapping *mapping, const struct references *references, struct all *all)
{
    const struct map *map = mapping->map;
    all->items = mem_alloc((references->count + references->derived_count + 1) * sizeof(*all->items));
    for (size_t i = 0; i < references->count; i++) {
        const struct reference *reference = &references->items[i];
        const struct rule *rule = map_rule(map, reference->rule);
        struct referring item = {.name = rule->name,
                                 .schema = rule->to_schema,
                                 .table = rule->to_table,
                                 .column = rule->columns[reference->column].name,
                                 .place = &references->places[reference->place],
                                 .line = map_rule_line(map, rule)};
        item.rows = larger(larger(0, map_rule_source(map, rule)), map_rule_target(map, rule));
        add(all, &item);
    }
    for (size_t i = 0; i < references->derived_count; i++) {
        const struct derived_reference *reference = &references->derived[i];
        const struct derivation *d = map_derivation(map, reference->derivation);
        struct referring item = {.name = d->name,
                                 .schema = d->to_schema,
                                 .table = d->to_table,
                                 .column = reference->column,
                                 .place = &references->places[reference->place],
                                 .line = map_derivation_query_line(map, reference->derivation)};
        item.rows = larger(0, catalog_find(mapping->target, d->to_schema, d->to_table));
        add(all, &item);
    }
}

static void put_question(struct buf *sql, const struct all *all)
{
    buf_puts(sql, "SELECT r.at FROM (VALUES ");
    for (size_t i = 0; i < all->count; i++) {
        buf_printf(sql, "%s(%zu, ", i ? ", " : "", i);
        pg_put_literal(sql, all->items[i].schema);
        buf_puts(sql, ", ");
        pg_put_literal(sql, all->items[i].table);
        buf_puts(sql, ", ");
        pg_put_literal(sql, all->items[i].column);
        buf_puts(sql, ")");
    }
    buf_puts(sql, ") AS r (at, schema, name, col)" NOT_INDEXED);
}

static int ask(struct mapping *mapping, PGconn *target, const struct all *all, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;
    buf_init(&sql, SQL_MAX);
    put_question(&sql, all);
    int failed = pg_query(target, SIDE, "looking for indexes", buf_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    for (int i = 0; !failed && i < PQntuples(result); i++) {
        const struct referring *item = &all->items[strtoul(PQgetvalue(result, i, 0), NULL, 10)];
        issue_warning_at(&mapping->issues, item->line, 1,
                         "%s: \"%s\" of %s.%s (about %.0f rows) has no index: when a row of %s goes, all of it is read "
                         "to find those that refer to it",
                         item->name, item->column, item->schema, item->table, item->rows, item->place->label);
    }
    PQclear(result);
    return failed ? -1 : 0;
}

int check_indexes(struct mapping *mapping, PGconn *target, struct err *reterr)
{
    struct references references;
    struct all all = {0};
    if (!target || !mapping->target)
        return 0;
    references_init(&references, mapping->map, mapping->target, ""); /* nothing is looked up by it here */
    collect(mapping, &references, &all);
    int failed = all.count ? ask(mapping, target, &all, reterr) : 0;
    free(all.items);
    references_done(&references);
    return failed;
}
