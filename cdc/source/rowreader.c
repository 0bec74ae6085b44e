/* Rows read outside the stream, in COPY's text format or as text results: the same output text of every type that
 * wal2json writes, as long as the session has the same settings.
 *
 * A line of COPY is copied into the arena once and its escapes are undone in place, for they never grow:
 *
 *   7 \t O'Neil\tx \t \N \n   ─▶   columns[0] ─▶ 7   columns[1] ─▶ O'Neil<tab>x   columns[2] NULL
 */
#include "cdc/source/rowreader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/base/buf.h"
#include "cdc/base/clock.h"
#include "cdc/pg/pg.h"

#define SIDE "source"
#define SQL_MAX_BYTES ((size_t)1 << 20)
#define SAMPLES_PER_RANGE 200.0
#define SAMPLES_MIN 20000.0
#define ROW_BYTES_GUESS 200.0 /* of a table that was never analysed */
#define VISIBLE_WAIT_US INT64_C(10000000)
#define XIDS_AHEAD_MAX (1 << 20) /* further ahead of all others it is one from before the numbers came round */

struct copy_reader {
    PGconn *conn;
    const struct relation *relation;
    size_t field_count;
    uint16_t *fields; /* column of each field of a line */
    bool ended;
};

/* A table's own rows: those of its heirs arrive under their own names, but a partitioned table has no others. */
static void put_from(struct buf *sql, const struct relation *relation)
{
    buf_puts(sql, relation->kind == 'p' ? " FROM " : " FROM ONLY ");
    pg_put_qualified(sql, relation->schema, relation->name);
}

static int name_table(const struct relation *relation, struct err *reterr)
{
    return err_wrap(reterr, "table %s.%s", relation->schema, relation->name);
}

/* ---- key ranges ---- */

static double rows_of(const struct relation *relation)
{
    double by_size = (double)relation->size_bytes / ROW_BYTES_GUESS;
    return relation->estimated_rows > 0 ? relation->estimated_rows : by_size;
}

static int sample_bounds(PGconn *conn, const struct relation *relation, size_t range_count, double percent,
                         PGresult **ret_result, struct err *reterr)
{
    struct buf sql;
    buf_init(&sql, SQL_MAX_BYTES);
    buf_puts(&sql, "SELECT unnest(percentile_disc(ARRAY[");
    for (size_t i = 1; i < range_count; i++)
        buf_printf(&sql, "%s%.9f", i > 1 ? "," : "", (double)i / (double)range_count);
    buf_puts(&sql, "]::float8[]) WITHIN GROUP (ORDER BY ");
    pg_put_ident(&sql, relation->columns[relation->key[0]].name);
    buf_puts(&sql, "))::text");
    put_from(&sql, relation);
    if (percent < 100)
        buf_printf(&sql, " TABLESAMPLE SYSTEM (%.6f)", percent);
    int rc = pg_query(conn, SIDE, "dividing a table into ranges", buf_text(&sql), 0, NULL, ret_result, reterr);
    buf_done(&sql);
    return rc ? name_table(relation, reterr) : 0;
}

static bool is_empty(const PGresult *result)
{
    return PQntuples(result) == 0 || PQgetisnull(result, 0, 0);
}

/* bounds: in ascending order; equal neighbours count once. */
static struct copy_range *make_ranges(const struct relation *relation, const PGresult *bounds, size_t *ret_count)
{
    int bound_count = bounds && !is_empty(bounds) ? PQntuples(bounds) : 0;
    struct copy_range *ranges = mem_zalloc((size_t)bound_count + 1, sizeof(*ranges));
    size_t count = 1;

    ranges[0].relation = relation;
    for (int i = 0; i < bound_count; i++) {
        const char *bound = PQgetvalue(bounds, i, 0);
        if (ranges[count - 1].lo && strcmp(ranges[count - 1].lo, bound) == 0)
            continue;
        ranges[count - 1].hi = mem_strdup(bound);
        ranges[count] = (struct copy_range){.relation = relation, .lo = mem_strdup(bound)};
        count++;
    }
    *ret_count = count;
    return ranges;
}

int copy_ranges_plan(PGconn *conn, const struct relation *relation, double rows_per_range, size_t max_ranges,
                     struct copy_range **ret_ranges, size_t *ret_count, struct err *reterr)
{
    double rows = rows_of(relation);
    double wanted = rows_per_range > 0 ? rows / rows_per_range : 1;
    size_t range_count = wanted < (double)max_ranges ? (size_t)wanted : max_ranges;
    PGresult *bounds = NULL;

    if (relation->key_count > 0 && range_count >= 2) {
        double samples = SAMPLES_PER_RANGE * (double)range_count;
        double percent = 100 * (samples > SAMPLES_MIN ? samples : SAMPLES_MIN) / rows;
        if (sample_bounds(conn, relation, range_count, percent, &bounds, reterr))
            return -1;
        if (is_empty(bounds) && percent < 100) { /* the sample met no live row */
            PQclear(bounds);
            if (sample_bounds(conn, relation, range_count, 100, &bounds, reterr))
                return -1;
        }
    }
    *ret_ranges = make_ranges(relation, bounds, ret_count);
    PQclear(bounds);
    return 0;
}

void copy_ranges_free(struct copy_range *ranges, size_t count)
{
    for (size_t i = 0; ranges && i < count; i++) {
        free(ranges[i].lo);
        free(ranges[i].hi);
    }
    free(ranges);
}

static void put_where(struct buf *sql, const struct copy_range *range, const char *from)
{
    const struct relation *relation = range->relation;
    const char *word = " WHERE ";
    const struct {
        const char *operator, * bound;
    } bounds[] = {{from, range->lo}, {range->hi_included ? " <= " : " < ", range->hi}};

    for (size_t i = 0; i < 2; i++) {
        if (!bounds[i].bound)
            continue;
        buf_puts(sql, word);
        pg_put_ident(sql, relation->columns[relation->key[0]].name);
        buf_puts(sql, bounds[i].operator);
        pg_put_literal(sql, bounds[i].bound);
        word = " AND ";
    }
}

/* The key of the row at `offset` in the range, or in what of it lies behind all rows that have its first value. */
static int key_at(PGconn *conn, const struct copy_range *range, bool behind, size_t offset, char **ret_key,
                  struct err *reterr)
{
    const struct relation *relation = range->relation;
    PGresult *result = NULL;
    struct buf sql;
    buf_init(&sql, SQL_MAX_BYTES);
    buf_puts(&sql, "SELECT k::text FROM (SELECT ");
    pg_put_ident(&sql, relation->columns[relation->key[0]].name);
    buf_puts(&sql, " AS k");
    put_from(&sql, relation);
    put_where(&sql, range, behind ? " > " : " >= ");
    buf_printf(&sql, " ORDER BY 1 OFFSET %zu LIMIT 1) x", offset);
    int rc = pg_query(conn, SIDE, "dividing a table into ranges", buf_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (rc)
        return name_table(relation, reterr);
    *ret_key = is_empty(result) ? NULL : mem_strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return 0;
}

int copy_range_end(PGconn *conn, const struct copy_range *range, size_t rows, char **ret_end, struct err *reterr)
{
    struct copy_range rest = *range;
    char *first = NULL, *end = NULL;
    int failed = 0;
    *ret_end = NULL;
    if (range->relation->key_count == 0)
        return 0;
    if (key_at(conn, range, false, rows, &end, reterr) || (end && key_at(conn, range, false, 0, &first, reterr)))
        failed = -1;
    if (!failed && end && first && strcmp(end, first) == 0) { /* rows with the same value stay together */
        free(end);
        end = NULL;
        rest.lo = first;
        failed = key_at(conn, &rest, true, 0, &end, reterr);
    }
    free(first);
    *ret_end = failed ? NULL : end;
    return failed;
}

/* ---- COPY ---- */

/* A bound is an untyped literal, which takes the type of the column it is compared with. */
static void put_copy(struct buf *sql, const struct copy_reader *reader, const struct copy_range *range)
{
    const struct relation *relation = range->relation;

    buf_puts(sql, "COPY (SELECT ");
    for (size_t i = 0; i < reader->field_count; i++) {
        buf_puts(sql, i ? ", " : "");
        pg_put_ident(sql, relation->columns[reader->fields[i]].name);
    }
    put_from(sql, relation);
    put_where(sql, range, " >= ");
    buf_puts(sql, ") TO STDOUT");
}

static int start_copy(struct copy_reader *reader, const struct copy_range *range, struct err *reterr)
{
    struct buf sql;
    buf_init(&sql, SQL_MAX_BYTES);
    put_copy(&sql, reader, range);
    PGresult *result = PQexec(reader->conn, buf_text(&sql));
    buf_done(&sql);
    int rc = 0;
    if (PQresultStatus(result) != PGRES_COPY_OUT) {
        pg_err(reterr, SIDE, reader->conn, result, "reading rows by COPY");
        rc = name_table(range->relation, reterr);
    }
    PQclear(result);
    return rc;
}

int copy_reader_open(PGconn *conn, const struct copy_range *range,
                     bool (*never)(void *context, const char *schema, const char *table, const char *column),
                     void *context, struct copy_reader **ret_reader, struct err *reterr)
{
    const struct relation *relation = range->relation;
    struct copy_reader *reader = mem_zalloc(1, sizeof(*reader));

    reader->conn = conn;
    reader->relation = relation;
    reader->fields = mem_zalloc(relation->column_count + 1, sizeof(*reader->fields));
    for (size_t i = 0; i < relation->column_count; i++)
        if (!never || !never(context, relation->schema, relation->name, relation->columns[i].name))
            reader->fields[reader->field_count++] = (uint16_t)i;
    if (start_copy(reader, range, reterr)) {
        reader->ended = true;
        copy_reader_close(reader);
        return -1;
    }
    *ret_reader = reader;
    return 0;
}

static int octal(char c)
{
    return c >= '0' && c <= '7' ? c - '0' : -1;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to max_digits digits at *at (behind the backslash, or the x); *at ends behind the last one taken. */
static char take_code(const char **at, const char *end, int max_digits, int base, int (*digit)(char))
{
    int code = 0;
    for (int i = 0; i < max_digits && *at < end && digit(**at) >= 0; i++, (*at)++)
        code = code * base + digit(**at);
    return (char)(code & 0xff);
}

/* Undoes the escapes of one field in place; returns its new length. */
static size_t unescape(char *field, size_t len)
{
    const char *at = field, *end = field + len;
    char *to = field;
    while (at < end) {
        char c = *at++;
        if (c != '\\' || at == end) {
            *to++ = c;
            continue;
        }
        c = *at++;
        switch (c) {
        case 'b': c = '\b'; break;
        case 'f': c = '\f'; break;
        case 'n': c = '\n'; break;
        case 'r': c = '\r'; break;
        case 't': c = '\t'; break;
        case 'v': c = '\v'; break;
        case 'x':
            if (at < end && hex(*at) >= 0)
                c = take_code(&at, end, 2, 16, hex);
            break;
        default:
            if (octal(c) >= 0) {
                at--;
                c = take_code(&at, end, 3, 8, octal);
            }
        }
        *to++ = c;
    }
    return (size_t)(to - field);
}

/* One line, without its end, into values by column; false where it has not as many fields as were asked for. */
bool copy_line_split(char *line, size_t len, const uint16_t *fields, size_t field_count, struct value *values)
{
    char *end = line + len;
    if (field_count == 0)
        return len == 0;
    for (size_t i = 0; i < field_count; i++) {
        char *tab = memchr(line, '\t', (size_t)(end - line));
        size_t size = (size_t)((tab ? tab : end) - line);
        if ((tab == NULL) != (i + 1 == field_count))
            return false;
        struct value *value = &values[fields[i]];
        if (size == 2 && line[0] == '\\' && line[1] == 'N') {
            *value = (struct value){.state = VALUE_NULL};
        } else {
            if (memchr(line, '\\', size))
                size = unescape(line, size);
            *value = (struct value){.text = line, .len = (uint32_t)size, .state = VALUE_TEXT};
        }
        line = tab + 1;
    }
    return true;
}

static struct change *new_read(const struct relation *relation, uint64_t lsn, struct arena *arena)
{
    struct change *change = arena_zalloc(arena, 1, sizeof(*change));
    *change = (struct change){
        .op = CHANGE_READ,
        .relation = relation,
        .columns = arena_alloc(arena, relation->column_count * sizeof(struct value)),
        .identity = arena_alloc(arena, relation->key_count * sizeof(struct value)),
        .lsn = lsn,
    };
    for (size_t i = 0; i < relation->column_count; i++)
        change->columns[i] = (struct value){.state = VALUE_NULL}; /* what stays so is a column dropped by never */
    return change;
}

static int end_of_copy(struct copy_reader *reader, struct err *reterr)
{
    int rc = 0;
    reader->ended = true;
    for (PGresult *result; (result = PQgetResult(reader->conn)); PQclear(result)) {
        if (rc == 0 && PQresultStatus(result) != PGRES_COMMAND_OK) {
            pg_err(reterr, SIDE, reader->conn, result, "reading rows by COPY");
            rc = name_table(reader->relation, reterr);
        }
    }
    return rc;
}

int copy_reader_next(struct copy_reader *reader, uint64_t lsn, struct arena *arena, struct change **ret_change,
                     struct err *reterr)
{
    const struct relation *relation = reader->relation;
    char *data = NULL;

    if (reader->ended)
        return 0;
    int len = PQgetCopyData(reader->conn, &data, 0);
    if (len == -1)
        return end_of_copy(reader, reterr);
    if (len < 0) {
        reader->ended = true;
        pg_err(reterr, SIDE, reader->conn, NULL, "reading rows by COPY");
        return name_table(relation, reterr);
    }
    size_t size = (size_t)len;
    if (size > 0 && data[size - 1] == '\n')
        size--;
    char *line = arena_alloc(arena, size + 1);
    memcpy(line, data, size);
    PQfreemem(data);

    struct change *change = new_read(relation, lsn, arena);
    if (!copy_line_split(line, size, reader->fields, reader->field_count, change->columns)) {
        err_set(reterr, ERR_FATAL, "a line of COPY has another number of columns than was asked for");
        return name_table(relation, reterr);
    }
    for (size_t k = 0; k < relation->key_count; k++)
        change->identity[k] = change->columns[relation->key[k]];
    *ret_change = change;
    return 1;
}

void copy_reader_close(struct copy_reader *reader)
{
    if (!reader)
        return;
    if (!reader->ended) {
        char text[256], *data;
        PGcancel *request = PQgetCancel(reader->conn);
        if (request)
            PQcancel(request, text, sizeof(text));
        PQfreeCancel(request);
        while (PQgetCopyData(reader->conn, &data, 0) > 0)
            PQfreemem(data);
        end_of_copy(reader, NULL);
    }
    free(reader->fields);
    free(reader);
}

int snapshot_join(PGconn *conn, const char *snapshot, struct err *reterr)
{
    struct buf sql;
    struct err err;

    buf_init(&sql, 1024);
    buf_puts(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT ");
    pg_put_literal(&sql, snapshot);
    int rc = pg_run(conn, SIDE, "joining the snapshot", buf_text(&sql), &err);
    buf_done(&sql);
    if (rc == 0)
        return 0;
    if (strncmp(err.sqlstate, "22", 2) == 0 || strncmp(err.sqlstate, "42", 2) == 0) {
        err_set(&err, ERR_RETRY, "the exported snapshot is gone, for the session that held it has ended");
        err_hint(&err, "The snapshot starts over");
    }
    if (reterr)
        *reterr = err;
    return -1;
}

int snapshot_leave(PGconn *conn, struct err *reterr)
{
    return pg_run(conn, SIDE, "leaving the snapshot", "ROLLBACK", reterr);
}

/* ---- single rows ---- */

static bool is_wanted(const struct change *change, size_t index, bool nulls_too)
{
    const struct value *value = &change->columns[index];
    return value->state == VALUE_ABSENT ||
           (nulls_too && value->state == VALUE_NULL && change->relation->columns[index].nonfinite_possible);
}

/* The key under which the row stands now: the new one where an update changed it. */
static const struct value *key_now(const struct change *change, size_t k)
{
    const struct value *column = change->columns ? &change->columns[change->relation->key[k]] : NULL;
    return column && column->state == VALUE_TEXT ? column : &change->identity[k];
}

/* One row in any case: the snapshot that it was read with, whether the row was found, its fields. */
static void put_select(struct buf *sql, const struct relation *relation, const uint16_t *fields, size_t field_count)
{
    buf_puts(sql, "SELECT s.*, f.* FROM (SELECT pg_catalog.txid_current_snapshot()::text) s LEFT JOIN (SELECT true");
    for (size_t i = 0; i < field_count; i++) {
        buf_puts(sql, ", ");
        pg_put_ident(sql, relation->columns[fields[i]].name);
    }
    put_from(sql, relation);
    for (size_t k = 0; k < relation->key_count; k++) {
        buf_puts(sql, k ? " AND " : " WHERE ");
        pg_put_ident(sql, relation->columns[relation->key[k]].name);
        buf_printf(sql, " = $%zu", k + 1);
    }
    buf_puts(sql, ") f ON true");
}

/* Does a snapshot, "xmin:xmax:xip,xip", hold what a transaction did that is known to have committed? Its number has 32
 * bits, the snapshot's have 64. */
static bool snapshot_holds(const char *snapshot, uint32_t xid)
{
    char *at;
    uint64_t xmin = strtoull(snapshot, &at, 10);
    uint64_t xmax = *at == ':' ? strtoull(at + 1, &at, 10) : 0;
    int32_t ahead = (int32_t)(xid - (uint32_t)xmax);
    uint64_t wanted = xmax + (uint64_t)(int64_t)ahead;

    if (ahead >= 0)
        return ahead > XIDS_AHEAD_MAX;
    if (wanted < xmin)
        return true;
    while ((*at == ':' || *at == ',') && at[1])
        if (strtoull(at + 1, &at, 10) == wanted)
            return false;
    return true;
}

static int read_once(PGconn *conn, struct change *change, const uint16_t *fields, size_t field_count,
                     struct arena *arena, PGresult **ret_result, struct err *reterr)
{
    const struct relation *relation = change->relation;
    const char **params = arena_zalloc(arena, relation->key_count, sizeof(*params));
    struct buf sql;

    for (size_t k = 0; k < relation->key_count; k++) {
        const struct value *key = key_now(change, k);
        if (key->state == VALUE_TEXT)
            params[k] = arena_strndup(arena, key->text, key->len);
    }
    buf_init(&sql, SQL_MAX_BYTES);
    put_select(&sql, relation, fields, field_count);
    int rc = pg_query(conn, SIDE, "reading a row by key", buf_text(&sql), (int)relation->key_count, params, ret_result,
                      reterr);
    buf_done(&sql);
    return rc ? name_table(relation, reterr) : 0;
}

/* A commit stands in the WAL, and may have come by the stream, before others see it; until then a read by key finds the
 * row as it was before. While the source waits for a synchronous standby that can take long. */
static int read_fields(PGconn *conn, struct change *change, const uint16_t *fields, size_t field_count,
                       struct arena *arena, PGresult **ret_result, struct err *reterr)
{
    int64_t until_us = clock_mono_us() + VISIBLE_WAIT_US;

    for (useconds_t nap_us = 200;; nap_us = nap_us < 20000 ? nap_us * 2 : nap_us) {
        if (read_once(conn, change, fields, field_count, arena, ret_result, reterr))
            return -1;
        if (change->xid == 0 || snapshot_holds(PQgetvalue(*ret_result, 0, 0), change->xid))
            return 0;
        PQclear(*ret_result);
        if (clock_mono_us() > until_us)
            break;
        usleep(nap_us);
    }
    err_set(reterr, ERR_RETRY, SIDE ": a transaction of the stream is not visible yet after %d s",
            (int)(VISIBLE_WAIT_US / 1000000));
    err_hint(reterr, "Perhaps its commit waits for a synchronous standby");
    return name_table(change->relation, reterr);
}

static void fill_fields(const PGresult *result, const struct change *change, const uint16_t *fields, size_t field_count,
                        struct arena *arena)
{
    for (size_t i = 0; i < field_count; i++) {
        struct value *value = &change->columns[fields[i]];
        if (PQgetisnull(result, 0, (int)i + 2)) {
            *value = (struct value){.state = VALUE_NULL};
            continue;
        }
        uint32_t len = (uint32_t)PQgetlength(result, 0, (int)i + 2);
        *value = (struct value){
            .text = arena_strndup(arena, PQgetvalue(result, 0, (int)i + 2), len), .len = len, .state = VALUE_TEXT};
    }
}

int row_read_by_key(PGconn *conn, struct change *change, bool nulls_too,
                    bool (*never)(void *context, const char *schema, const char *table, const char *column),
                    void *context, struct arena *arena, struct err *reterr)
{
    const struct relation *relation = change->relation;
    uint16_t *fields = arena_zalloc(arena, relation->column_count + 1, sizeof(*fields));
    size_t field_count = 0;
    PGresult *result = NULL;

    if (relation->key_count == 0 || !change->identity) {
        err_set(reterr, ERR_REFUSED, "a row without a key cannot be read by it");
        return name_table(relation, reterr);
    }
    if (!change->columns)
        change->columns = arena_zalloc(arena, relation->column_count, sizeof(*change->columns));
    for (size_t i = 0; i < relation->column_count; i++) {
        if (!is_wanted(change, i, nulls_too))
            continue;
        if (never && never(context, relation->schema, relation->name, relation->columns[i].name))
            change->columns[i] = (struct value){.state = VALUE_NULL};
        else
            fields[field_count++] = (uint16_t)i;
    }
    if (field_count > 0) {
        if (read_fields(conn, change, fields, field_count, arena, &result, reterr))
            return -1;
        bool gone = PQgetisnull(result, 0, 1);
        if (!gone)
            fill_fields(result, change, fields, field_count, arena);
        PQclear(result);
        if (gone)
            return 0;
    }
    change->completed = true;
    return 1;
}
