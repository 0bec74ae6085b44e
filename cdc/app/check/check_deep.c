/* `check --deep`: NaN and Infinity in mapped columns. In the stream wal2json writes them as null, so a column that
 * holds them and may be NULL must be marked, or they would arrive as NULL. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/check/check.h"
#include "cdc/app/cmd/progress.h"
#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"

#define SIDE "source"
#define SQL_MAX_BYTES ((size_t)4 << 20)

static bool counted(const struct check *check, const struct relation *relation, const struct column *column)
{
    const struct map *map = check->mapping.map;
    return column->nonfinite_possible && !map_column_never(map, relation->schema, relation->name, column->name) &&
           map_column_used(map, relation->schema, relation->name, column->name);
}

static void add_count(struct check *check, const struct relation *relation, const struct column *column,
                      const char *count)
{
    char remedy[3 * ERR_NAME_MAX + 32];
    bool marked = map_column_nonfinite(check->mapping.map, relation->schema, relation->name, column->name);
    bool handled = column->not_null || marked;
    if (strcmp(count, "0") == 0)
        return;
    snprintf(remedy, sizeof(remedy), "in the mapping: nonfinite: {%s: [%s]}", relation->name, column->name);
    findings_add(&check->findings, handled ? FINDING_INFO : FINDING_WARNING, SIDE, "nonfinite", handled ? NULL : remedy,
                 "%s.%s.%s holds %s NaN or Infinity; in the stream they come as null%s", relation->schema,
                 relation->name, column->name, count, handled ? ", and are read from the source by key" : "");
}

static void count_table(struct check *check, const struct relation *relation)
{
    struct buf sql;
    size_t count = 0;
    buf_init(&sql, SQL_MAX_BYTES);
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!counted(check, relation, &relation->columns[i]))
            continue;
        buf_puts(&sql, count++ ? ", " : "SELECT ");
        buf_puts(&sql, "count(*) FILTER (WHERE ");
        pg_put_ident(&sql, relation->columns[i].name);
        /* as text: before version 14 numeric knows no Infinity to compare with */
        buf_puts(&sql, "::text IN ('NaN', 'Infinity', '-Infinity'))");
    }
    buf_puts(&sql, " FROM ");
    pg_put_qualified(&sql, relation->schema, relation->name);
    PGresult *result = count ? check_query(check, true, "nonfinite", buf_text(&sql), 0, NULL) : NULL;
    int at = 0;
    for (size_t i = 0; result && i < relation->column_count; i++)
        if (counted(check, relation, &relation->columns[i]))
            add_count(check, relation, &relation->columns[i], PQgetvalue(result, 0, at++));
    PQclear(result);
    buf_done(&sql);
}

void check_deep(struct check *check)
{
    size_t count;
    struct progress progress;
    const struct relation **relations = check_relations(check, true, &count);
    progress_init(&progress, stderr, !check->cli->quiet && !check->cli->json, "counting NaN", "tables");
    for (size_t i = 0; i < count; i++) {
        progress_update(&progress, i, count, relations[i]->name);
        count_table(check, relations[i]);
    }
    progress_clear(&progress);
    free(relations);
}
