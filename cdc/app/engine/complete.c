/* Values that the stream left out, read from the source by key.
 *
 * What is read is the row as it is now, perhaps newer than the change at hand: the changes in between still come,
 * in order, and set things right. A row that is gone has its delete on the way.
 */
#include <string.h>

#include "cdc/app/engine/engine.h"
#include "cdc/base/log.h"
#include "cdc/pg/pg.h"
#include "cdc/source/rowreader.h"

static int open_reader(struct engine *engine, const char *what, PGconn **conn, struct err *reterr)
{
    if (*conn)
        return 0;
    return engine_open_source(engine->settings, what, ENGINE_BRIEF, conn, reterr);
}

/* What the mapping reads is not there any more: the stream lies behind a change of the schema. */
static int explain_failure(const struct change *change, struct err *reterr)
{
    if (strcmp(reterr->sqlstate, "42703") != 0 && strcmp(reterr->sqlstate, "42P01") != 0)
        return -1;
    (void)err_set(reterr, ERR_REFUSED,
                  "source table %s.%s has lost a column, or is gone, and the "
                  "stream still holds changes that need it",
                  change->relation->schema, change->relation->name);
    (void)err_pause(reterr, "schema_mismatch");
    return err_hint(reterr, "put the table back as it was, then `pgrekey resume`");
}

static int read_row(struct engine *engine, PGconn *conn, struct change *change, bool nulls_too, struct arena *arena,
                    struct err *reterr)
{
    int found = row_read_by_key(conn, change, nulls_too, engine_unread, engine, arena, reterr);
    return found < 0 ? explain_failure(change, reterr) : found;
}

static void warn_null_once(struct engine *engine, const struct relation *relation, const struct column *column)
{
    for (size_t i = 0; i < engine->warned_count; i++)
        if (engine->warned[i] == column)
            return;
    if (engine->warned_count == sizeof(engine->warned) / sizeof(engine->warned[0]))
        return;
    engine->warned[engine->warned_count++] = column;
    log_event(LOG_WARN, "null_taken_as_null",
              "slot=%s table=%s.%s column=%s msg=\"the stream cannot tell NULL from NaN or Infinity here; mark the "
              "column nonfinite in the mapping if it may hold such values\"",
              engine->settings->source_slot, relation->schema, relation->name, column->name);
}

int complete_for_transform(struct engine *engine, struct change *change, struct arena *arena, bool *ret_gone,
                           struct err *reterr)
{
    if (open_reader(engine, "rows", &engine->receiver_conn, reterr) != 0)
        return -1;
    int found = read_row(engine, engine->receiver_conn, change, false, arena, reterr);
    if (found < 0)
        return -1;
    *ret_gone = found == 0;
    return 0;
}

/* The row is gone, or under another key: what stood in these columns is unknown. */
static void forget_nonfinite(struct change *change)
{
    const struct relation *relation = change->relation;
    change->gone = true;
    for (size_t i = 0; i < relation->column_count; i++)
        if (change->columns[i].state == VALUE_NULL && relation->columns[i].read_nonfinite)
            change->columns[i] = (struct value){.state = VALUE_ABSENT};
}

/* wal2json writes NaN and the infinities as null. In a NOT NULL column null can mean nothing else; elsewhere the
 * mapping says where to expect them (column->read_nonfinite, set by the binding). Any other null is taken as NULL,
 * and said so once a column. */
int complete_nonfinite(struct engine *engine, struct change *change, struct arena *arena, struct err *reterr)
{
    const struct relation *relation = change->relation;
    if (!change->columns || !relation->any_nonfinite)
        return 0;
    for (size_t i = 0; i < relation->column_count; i++) {
        const struct column *column = &relation->columns[i];
        if (change->columns[i].state != VALUE_NULL || !column->nonfinite_possible)
            continue;
        if (!column->read_nonfinite) {
            warn_null_once(engine, relation, column);
            continue;
        }
        if (open_reader(engine, "rows", &engine->receiver_conn, reterr) != 0)
            return -1;
        int found = read_row(engine, engine->receiver_conn, change, true, arena, reterr);
        if (found == 0)
            forget_nonfinite(change);
        return found < 0 ? -1 : 0;
    }
    return 0;
}

static int complete_for_sink(void *context, const struct row *partial, struct arena *arena, struct row **ret_row,
                             struct err *reterr)
{
    struct engine *engine = context;
    if (open_reader(engine, "rows for the sink", &engine->applier_conn, reterr) != 0)
        return -1;
    struct change *change = arena_alloc(arena, sizeof(*change));
    *change = *partial->change;
    if (change->columns) {
        size_t bytes = change->relation->column_count * sizeof(*change->columns);
        change->columns = memcpy(arena_alloc(arena, bytes), change->columns, bytes);
    }
    int found = read_row(engine, engine->applier_conn, change, true, arena, reterr);
    if (found <= 0) {
        if (found < 0 && PQstatus(engine->applier_conn) != CONNECTION_OK) {
            pg_close(engine->applier_conn);
            engine->applier_conn = NULL;
        }
        return found;
    }
    change->completed = true;
    return map_transform_rule(engine->binding.map, partial->rule, change, arena, ret_row, reterr) < 0 ? -1 : 1;
}

struct row_source complete_row_source(struct engine *engine)
{
    return (struct row_source){.context = engine, .complete = complete_for_sink};
}
