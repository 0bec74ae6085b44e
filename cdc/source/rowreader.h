/* Rows of one source table outside the stream: a range of the snapshot by COPY, or single rows by key. */
#ifndef PGREKEY_SOURCE_ROWREADER_H
#define PGREKEY_SOURCE_ROWREADER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/arena.h"
#include "cdc/base/change.h"
#include "cdc/base/err.h"

/* A piece of a table that one worker copies: rows with lo <= first key column < hi. NULL: open. */
struct copy_range {
    const struct relation *relation;
    char *lo, *hi;    /* text of the first key column's values */
    bool hi_included; /* <= hi */
};

/* Divides a table into at most max_ranges pieces of about rows_per_range rows by values of its first key column
 * (sampled; tables smaller than that, or without a key, stay whole). Caller frees with copy_ranges_free. */
int copy_ranges_plan(PGconn *conn, const struct relation *relation, double rows_per_range, size_t max_ranges,
                     struct copy_range **ret_ranges, size_t *ret_count, struct err *reterr) MUST_CHECK;
void copy_ranges_free(struct copy_range *ranges, size_t count);

/* Where a piece of about `rows` rows at the beginning of the range should end (exclusive). The caller frees it; NULL:
 * the whole range is no larger, or the table has no key. Quick where an index begins with the first key column. */
int copy_range_end(PGconn *conn, const struct copy_range *range, size_t rows, char **ret_end,
                   struct err *reterr) MUST_CHECK;

struct copy_reader;
/* Starts COPY (SELECT …) TO STDOUT on a connection that stands in the exported snapshot's transaction. Columns that
 * `never` says are left out of the SELECT and NULL in the changes. */
int copy_reader_open(PGconn *conn, const struct copy_range *range,
                     bool (*never)(void *context, const char *schema, const char *table, const char *column),
                     void *context, struct copy_reader **ret_reader, struct err *reterr) MUST_CHECK;
/* 1 and a CHANGE_READ in `arena`; 0 at the end; -1. lsn is put into each change. */
int copy_reader_next(struct copy_reader *reader, uint64_t lsn, struct arena *arena, struct change **ret_change,
                     struct err *reterr) MUST_CHECK;
void copy_reader_close(struct copy_reader *reader); /* NULL is fine */

/* One line of COPY's text format, without its line end, taken apart in place: field i goes to values[fields[i]].
 * False where it has not field_count fields. (The reader's inner part, open for its tests.) */
bool copy_line_split(char *line, size_t len, const uint16_t *fields, size_t field_count, struct value *values);

/* BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT. */
int snapshot_join(PGconn *conn, const char *snapshot, struct err *reterr) MUST_CHECK;
/* Ends that transaction, whether or not it has failed; its locks go. */
int snapshot_leave(PGconn *conn, struct err *reterr) MUST_CHECK;

/* Reads the row with this key as it is now, with the change itself at least (which may take a while to become visible;
 * ERR_RETRY after ten seconds); fills the absent columns of `change` (all of them where
 * change->columns is NULL; with `nulls_too` also those that are NULL, for NaN and Infinity) and sets completed.
 * Returns 1, 0 where the row is gone, -1. */
int row_read_by_key(PGconn *conn, struct change *change, bool nulls_too,
                    bool (*never)(void *context, const char *schema, const char *table, const char *column),
                    void *context, struct arena *arena, struct err *reterr) MUST_CHECK;

#endif
