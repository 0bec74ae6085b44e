#include "cdc/source/peek.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"
#include "cdc/source/stream.h"

#define SIDE "source"
#define DOING "peeking at the slot"
#define TABLES_MAX_BYTES ((size_t)16 << 20)

/* Transactions stay whole: the limit counts, but the one that it falls into comes to its end. So rows are taken one by
 * one, and what is too much is never brought over. */
static const char SQL[] = "SELECT xid, data FROM pg_catalog.pg_logical_slot_peek_changes($1::name, NULL, $2::integer,"
                          " 'format-version', '2', 'include-types', '0', 'include-transaction', '0',"
                          " 'actions', 'insert,update,delete,truncate', 'add-tables', $3)";

struct peek {
    PGconn *conn;
    const struct peek_options *options;
    struct wal2json *decoder;
    struct arena *arena;
    struct change **changes;
    size_t count;
};

static int take_message(struct peek *peek, const PGresult *result, struct err *reterr)
{
    size_t len = (size_t)PQgetlength(result, 0, 1);
    struct wal2json_item item;
    char *message = arena_alloc(peek->arena, len + WAL2JSON_PADDING);
    memcpy(message, PQgetvalue(result, 0, 1), len);
    memset(message + len, 0, WAL2JSON_PADDING);
    if (wal2json_decode(peek->decoder, message, len, peek->arena, &item, reterr))
        return -1;
    if (item.action != WAL2JSON_CHANGE)
        return 0;
    item.change->xid = (uint32_t)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
    peek->changes[peek->count++] = item.change;
    return 0;
}

static int explain(const struct peek *peek, struct err *reterr)
{
    const char *slot = peek->options->slot;
    if (strcmp(reterr->sqlstate, "55006") == 0) {
        (void)err_set(reterr, ERR_REFUSED, "slot %s is being read: only one can read it at a time", slot);
        return err_hint(reterr, "stop the engine first; or look at a sample of the tables");
    }
    if (strcmp(reterr->sqlstate, "42704") == 0) {
        (void)err_set(reterr, ERR_REFUSED, "the source has no slot %s", slot);
        return err_hint(reterr, "the first `pgrekey run` makes it; look at a sample of the tables meanwhile");
    }
    return -1;
}

/* Leaves the rest where it is. */
static void give_up(PGconn *conn)
{
    char text[256];
    PGcancel *request = PQgetCancel(conn);
    if (request)
        (void)PQcancel(request, text, sizeof(text));
    PQfreeCancel(request);
    for (PGresult *result; (result = PQgetResult(conn));)
        PQclear(result);
}

static int take_all(struct peek *peek, struct err *reterr)
{
    int failed = 0;
    for (PGresult *result; (result = PQgetResult(peek->conn)); PQclear(result)) {
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_SINGLE_TUPLE && peek->count < peek->options->limit) {
            failed = take_message(peek, result, reterr);
        } else if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK) {
            (void)pg_err(reterr, SIDE, peek->conn, result, DOING);
            failed = explain(peek, reterr);
        }
        if (failed || (status == PGRES_SINGLE_TUPLE && peek->count == peek->options->limit)) {
            PQclear(result);
            give_up(peek->conn);
            break;
        }
    }
    return failed;
}

static int run(struct peek *peek, struct err *reterr)
{
    const struct peek_options *options = peek->options;
    struct buf tables;
    char limit[24];
    buf_init(&tables, TABLES_MAX_BYTES);
    stream_put_tables(&tables, options->tables, options->table_count);
    snprintf(limit, sizeof(limit), "%zu", options->limit);
    const char *params[] = {options->slot, limit, buf_text(&tables)};
    int sent = PQsendQueryParams(peek->conn, SQL, 3, NULL, params, NULL, NULL, 0) && PQsetSingleRowMode(peek->conn);
    buf_done(&tables);
    return sent ? take_all(peek, reterr) : pg_err(reterr, SIDE, peek->conn, NULL, DOING);
}

int slot_peek(PGconn *conn, const struct peek_options *options, struct arena *arena, struct change ***ret_changes,
              size_t *ret_count, struct err *reterr)
{
    struct peek peek = {.conn = conn,
                        .options = options,
                        .decoder = wal2json_new(&options->decode),
                        .arena = arena,
                        .changes = arena_alloc(arena, (options->limit + 1) * sizeof(struct change *))};
    int failed = run(&peek, reterr);
    wal2json_free(peek.decoder);
    if (failed)
        return -1;
    *ret_changes = peek.changes;
    *ret_count = peek.count;
    return 0;
}
