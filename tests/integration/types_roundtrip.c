/* types_roundtrip CONNINFO SLOT SCRIPT: do stream, COPY and reading by key give the same text of every value?
 *
 * Makes the slot, runs the SQL script, follows the stream up to the message "types_roundtrip" that it sends behind
 * the script, and compares the last change of each row with what COPY and row_read_by_key say of it. The tables stand
 * in schema public. Prints what differs, by table and column; exit code 1 where something does. A number that the
 * stream cannot tell (NaN and the like are null there) is read by key, as the engine does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "cdc/source/rowreader.h"
#include "cdc/source/slot.h"
#include "cdc/source/stream.h"

#define SIDE "source"
#define SESSION                                                                                                        \
    "-c bytea_output=hex -c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=3"           \
    " -c lc_monetary=C"
#define ROWS_MAX 4096
#define TABLES_MAX 64
#define MARK "types_roundtrip"

struct run {
    PGconn *conn;
    struct catalog *catalog;
    struct arena arena;
    struct change *rows[ROWS_MAX]; /* of the stream: the last change of each row; NULL where it is gone */
    size_t row_count;
    size_t compared, different;
};

static int fail(const struct err *err)
{
    fprintf(stderr, "types_roundtrip: %s%s%s\n", err->message, err->hint[0] ? "; " : "", err->hint);
    return 2;
}

static int relation(void *context, const char *schema, const char *table, const char *column, const char *why,
                    const struct relation **ret_relation, struct err *reterr)
{
    struct run *run = context;
    if (strcmp(why, "new") != 0)
        return err_set(reterr, ERR_REFUSED, "%s.%s.%s: %s", schema, table, column, why);
    *ret_relation = catalog_find(run->catalog, schema, table);
    return 0;
}

static bool same(const struct value *a, const struct value *b)
{
    return a->state == b->state && a->len == b->len && (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

static bool same_key(const struct change *a, const struct value *identity, const struct relation *table)
{
    if (!a || a->relation != table)
        return false;
    for (size_t k = 0; k < table->key_count; k++)
        if (!same(&a->columns[table->key[k]], &identity[k]))
            return false;
    return true;
}

static struct change **find_row(struct run *run, const struct value *identity, const struct relation *table)
{
    for (size_t i = 0; i < run->row_count; i++)
        if (same_key(run->rows[i], identity, table))
            return &run->rows[i];
    return NULL;
}

static int note_change(struct run *run, struct change *change, struct err *reterr)
{
    struct change **old = find_row(run, change->identity, change->relation);
    if (!old && change->op != CHANGE_INSERT)
        return err_set(reterr, ERR_FATAL, "table %s: a change of a row that is not there", change->relation->name);
    for (size_t i = 0; change->op == CHANGE_UPDATE && i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            change->columns[i] = (*old)->columns[i];
    if (change->op != CHANGE_INSERT)
        *old = change->op == CHANGE_DELETE ? NULL : change;
    else if (run->row_count < ROWS_MAX)
        run->rows[run->row_count++] = change;
    return 0;
}

static int follow(struct run *run, struct stream *stream, struct err *reterr)
{
    struct stream_item item;
    for (;;) {
        if (stream_next(stream, &run->arena, 10000, &item, reterr))
            return -1;
        if (item.event == STREAM_CHANGE && note_change(run, item.change, reterr))
            return -1;
        if (item.event == STREAM_MESSAGE && strcmp(item.prefix, MARK) == 0)
            return 0;
        if (item.event == STREAM_NONE)
            return err_set(reterr, ERR_FATAL, "the stream ended before its mark");
    }
}

static void compare(struct run *run, const char *what, const struct change *a, const struct change *b)
{
    for (size_t i = 0; i < a->relation->column_count; i++) {
        run->compared++;
        if (same(&a->columns[i], &b->columns[i]))
            continue;
        run->different++;
        printf("%s: %s.%s: %.*s | %.*s\n", what, a->relation->name, a->relation->columns[i].name,
               (int)a->columns[i].len, a->columns[i].text, (int)b->columns[i].len, b->columns[i].text);
    }
}

static int compare_row(struct run *run, struct change *read, size_t *unseen, struct err *reterr)
{
    struct change **streamed = find_row(run, read->identity, read->relation);
    struct change by_key = {.op = CHANGE_DELETE, .relation = read->relation, .identity = read->identity};
    if (!streamed) {
        printf("stream: %s: no such row\n", read->relation->name);
        run->different++;
        return 0;
    }
    (*unseen)--;
    if (row_read_by_key(run->conn, *streamed, true, NULL, NULL, &run->arena, reterr) != 1 ||
        row_read_by_key(run->conn, &by_key, false, NULL, NULL, &run->arena, reterr) != 1)
        return -1;
    compare(run, "stream | COPY", *streamed, read);
    compare(run, "key | COPY", &by_key, read);
    return 0;
}

/* COPY keeps its connection busy, so the rows are collected first. */
static int compare_table(struct run *run, const struct relation *table, struct err *reterr)
{
    struct copy_range range = {.relation = table};
    struct copy_reader *reader;
    struct change *rows[ROWS_MAX];
    size_t count = 0, unseen = 0;
    int rc = 1;

    if (copy_reader_open(run->conn, &range, NULL, NULL, &reader, reterr))
        return -1;
    while (rc == 1 && count < ROWS_MAX)
        if ((rc = copy_reader_next(reader, 0, &run->arena, &rows[count], reterr)) == 1)
            count++;
    copy_reader_close(reader);
    for (size_t i = 0; i < run->row_count; i++)
        unseen += run->rows[i] && run->rows[i]->relation == table;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = compare_row(run, rows[i], &unseen, reterr);
    if (rc == 0 && unseen > 0) {
        printf("COPY: %s: misses rows of the stream\n", table->name);
        run->different++;
    }
    return rc;
}

static char *read_script(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = 0;
    return text;
}

static int run_all(struct run *run, const char *conninfo, const char *slot, const char *script, struct err *reterr)
{
    static const char *const schemas[] = {"public"};
    struct pg_options options = {.side = SIDE, .conninfo = conninfo, .session = SESSION, .replication = true};
    struct stream_options streaming = {.conninfo = conninfo, .slot = slot, .relation = relation, .context = run};
    const char *tables[2 * TABLES_MAX];
    PGconn *replication;
    struct stream *stream;
    char snapshot[64];

    if (pg_open(&options, &replication, reterr))
        return -1;
    options.replication = false;
    int rc =
        pg_open(&options, &run->conn, reterr) ||
        slot_create(replication, run->conn, slot, false, 10, &streaming.start_lsn, snapshot, sizeof(snapshot), reterr);
    pg_close(replication);
    if (rc || pg_run(run->conn, SIDE, "running the script", script, reterr) ||
        pg_run(run->conn, SIDE, "marking the end", "SELECT pg_logical_emit_message(true, '" MARK "', '')", reterr) ||
        pg_read_catalog(run->conn, SIDE, schemas, 1, &run->catalog, reterr))
        return -1;
    streaming.tables = tables; /* all of them, for names have their own way into wal2json */
    for (size_t i = 0; i < run->catalog->count && i < TABLES_MAX; i++) {
        tables[2 * streaming.table_count] = run->catalog->relations[i].schema;
        tables[2 * streaming.table_count++ + 1] = run->catalog->relations[i].name;
    }
    if (stream_open(&streaming, &stream, reterr))
        return -1;
    rc = follow(run, stream, reterr);
    stream_close(stream);
    for (size_t i = 0; rc == 0 && i < run->catalog->count; i++)
        if (run->catalog->relations[i].kind == 'r')
            rc = compare_table(run, &run->catalog->relations[i], reterr);
    return rc ? -1 : slot_drop(run->conn, slot, 10, reterr);
}

int main(int argc, char **argv)
{
    static struct run run;
    struct err err = {0};

    if (argc != 4) {
        fprintf(stderr, "usage: types_roundtrip CONNINFO SLOT SCRIPT\n");
        return 2;
    }
    arena_init(&run.arena, 0);
    int rc = run_all(&run, argv[1], argv[2], read_script(argv[3]), &err);
    printf("%zu values compared, %zu differ\n", run.compared, run.different);
    arena_done(&run.arena);
    catalog_free(run.catalog);
    pg_close(run.conn);
    if (rc)
        return fail(&err);
    return run.different > 0 || run.compared == 0;
}
