/* Rows that `map test` shows bear the ids that they would have: adopted ones where a run has found them already. */
#include <string.h>

#include "cdc/app/maptest/map_test.h"
#include "cdc/base/uuid.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/session/session.h"

/* Is the column the UUID of an entity, the row's own or a parent's? */
static bool is_named(const struct rule *rule, size_t column)
{
    return rule->columns[column].parent_entity || rule->entity_column == (int)column;
}

static bool is_uuid(const struct value *value)
{
    return value->state == VALUE_TEXT && value->len == UUID_TEXT_LEN;
}

static void put_ids(const struct map_test *test, struct buf *array)
{
    for (size_t i = 0; i < test->batch.row_count; i++) {
        const struct row *row = test->batch.rows[i];
        for (size_t c = 0; row->values && c < row->rule->column_count; c++)
            if (is_named(row->rule, c) && is_uuid(&row->values[c]))
                session_put_array_item(array, &row->values[c]);
        for (size_t c = 0; row->locator && c < row->rule->locator_count; c++)
            if (is_named(row->rule, row->rule->locator[c]) && is_uuid(&row->locator[c]))
                session_put_array_item(array, &row->locator[c]);
    }
}

/* Answers are in order of the computed id. */
static void rename_value(struct map_test *test, const PGresult *answers, struct value *value)
{
    int low = 0, high = PQntuples(answers);
    while (is_uuid(value) && low < high) {
        int middle = low + (high - low) / 2;
        int order = memcmp(value->text, PQgetvalue(answers, middle, 0), UUID_TEXT_LEN);
        if (order == 0) {
            value->text = arena_strdup(&test->batch.arena, PQgetvalue(answers, middle, 1));
            return;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
}

static void rename_rows(struct map_test *test, const PGresult *answers)
{
    for (size_t i = 0; i < test->batch.row_count; i++) {
        struct row *row = test->batch.rows[i];
        for (size_t c = 0; row->values && c < row->rule->column_count; c++)
            if (is_named(row->rule, c))
                rename_value(test, answers, &row->values[c]);
        for (size_t c = 0; row->locator && c < row->rule->locator_count; c++)
            if (is_named(row->rule, row->rule->locator[c]))
                rename_value(test, answers, &row->locator[c]);
    }
}

static int is_there(PGconn *conn, bool *ret_there, struct err *reterr)
{
    PGresult *result = NULL;
    if (pg_query(conn, "target", "looking for adopted rows", "SELECT to_regclass('pgrekey.adopted') IS NOT NULL", 0,
                 NULL, &result, reterr) < 0)
        return -1;
    *ret_there = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return 0;
}

int map_test_adopted(struct map_test *test, struct err *reterr)
{
    const char *params[2] = {test->cli->settings->pipeline, NULL};
    PGresult *answers = NULL;
    struct buf array;
    bool there = false;
    if (!test->target)
        return 0;
    if (is_there(test->target, &there, reterr) < 0)
        return -1;
    if (!there)
        return 0;
    buf_init(&array, SESSION_ARRAY_MAX);
    put_ids(test, &array);
    params[1] = session_end_array(&array);
    int failed = pg_query(test->target, "target", "looking for adopted rows",
                          "SELECT derived::text, id::text FROM pgrekey.adopted WHERE pipeline = $1 "
                          "AND derived = ANY ($2::uuid[]) ORDER BY derived",
                          2, params, &answers, reterr);
    if (!failed && PQntuples(answers) > 0)
        rename_rows(test, answers);
    PQclear(answers);
    buf_done(&array);
    return failed;
}
