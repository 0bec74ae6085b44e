#include "sinks/postgres/quarantine/quarantine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"

#define SIDE "target"

/* Texts of an entry in the order of ENTRY_COLUMNS; the numbers follow them. */
#define ENTRY_TEXTS(x)                                                                                                 \
    x(rule) x(source_table) x(target_table) x(op) x(category) x(severity) x(status) x(sqlstate) x(column)              \
        x(constraint) x(reason) x(suggestion) x(key) x(lsn) x(first_seen) x(last_tried) x(waits_table) x(waits_id)
#define ENTRY_COLUMNS                                                                                                  \
    "rule, source_table, target_table, op, category, severity, status, sqlstate, column_name, constraint_name,"        \
    " reason, suggestion, key, lsn, to_char(first_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"         \
    " to_char(last_tried AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), coalesce(waits_table, ''),"            \
    " coalesce(waits_id, ''), id, xid, retries"

/* Returns the number of the first column behind the entry's own. */
static int take_entry(const PGresult *result, int row, struct quarantine_entry *entry)
{
    int column = 0;
#define TAKE(name) entry->name = mem_strdup(PQgetvalue(result, row, column++));
    ENTRY_TEXTS(TAKE)
#undef TAKE
    entry->id = strtoll(PQgetvalue(result, row, column++), NULL, 10);
    entry->xid = strtoll(PQgetvalue(result, row, column++), NULL, 10);
    entry->retries = atoi(PQgetvalue(result, row, column++));
    return column;
}

void quarantine_entries_free(struct quarantine_entry *entries, size_t count)
{
    for (size_t i = 0; entries && i < count; i++) {
#define GIVE(name) free(entries[i].name);
        ENTRY_TEXTS(GIVE)
#undef GIVE
        free(entries[i].change);
    }
    free(entries);
}

int quarantine_list(PGconn *conn, const char *pipeline, const struct quarantine_filter *filter,
                    struct quarantine_entry **ret_entries, size_t *ret_count, struct err *reterr)
{
    char limit[24];
    const char *params[] = {pipeline, filter->rule, filter->category, filter->status, limit};
    PGresult *result;

    snprintf(limit, sizeof(limit), "%" PRId64, filter->limit > 0 ? filter->limit : 100);
    if (pg_query(conn, SIDE, "reading the quarantine",
                 "SELECT " ENTRY_COLUMNS " FROM pgrekey.quarantine WHERE pipeline = $1"
                 " AND ($2::text IS NULL OR rule = $2) AND ($3::text IS NULL OR category = $3)"
                 " AND CASE WHEN $4::text IS NULL THEN status IN ('pending', 'in_progress', 'escalated')"
                 " WHEN $4 = 'waiting' THEN status IN ('pending', 'in_progress', 'escalated') AND waits_id IS NOT NULL"
                 " ELSE status = $4 END ORDER BY id LIMIT $5::bigint",
                 5, params, &result, reterr))
        return -1;
    size_t count = (size_t)PQntuples(result);
    struct quarantine_entry *entries = mem_zalloc(count + 1, sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        take_entry(result, (int)i, &entries[i]);
    PQclear(result);
    *ret_entries = entries;
    *ret_count = count;
    return 0;
}

int quarantine_show(PGconn *conn, const char *pipeline, int64_t id, struct quarantine_entry **ret_entry,
                    struct err *reterr)
{
    char id_text[24];
    const char *params[] = {pipeline, id_text};
    PGresult *result;

    snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    if (pg_query(conn, SIDE, "reading the quarantine",
                 "SELECT " ENTRY_COLUMNS
                 ", CASE WHEN change = '{}' AND target_row IS NOT NULL THEN target_row::text ELSE change END"
                 " FROM pgrekey.quarantine WHERE pipeline = $1 AND id = $2",
                 2, params, &result, reterr))
        return -1;
    if (PQntuples(result) == 0) {
        PQclear(result);
        err_set(reterr, ERR_CONFIG, "pipeline %s has no quarantine entry %" PRId64, pipeline, id);
        return err_hint(reterr, "see `pgrekey quarantine list`");
    }
    struct quarantine_entry *entry = mem_zalloc(1, sizeof(*entry));
    int column = take_entry(result, 0, entry);
    entry->change = mem_strdup(PQgetvalue(result, 0, column));
    PQclear(result);
    *ret_entry = entry;
    return 0;
}
