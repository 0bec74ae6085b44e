/* Rows that could not be applied, kept with their change until they can. Tables: schema.h.
 *
 * This part of the header is for whoever has a connection (the command line); what the sink itself uses stands in
 * session.h and rowmode.h beside it. quarantine_show is the one door through which a row's values come out.
 */
#ifndef PGREKEY_SINKS_POSTGRES_QUARANTINE_H
#define PGREKEY_SINKS_POSTGRES_QUARANTINE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"

struct quarantine_entry {
    int64_t id;
    char *rule, *source_table, *target_table, *op, *category, *severity, *status, *sqlstate, *column, *constraint;
    char *reason, *suggestion;    /* without values */
    char *key;                    /* the source key, JSON; a key is a legacy id, shown by list too */
    char *waits_table, *waits_id; /* the parent that it waits for; "" where it waits for none */
    char *change;                 /* JSON with the row's values: only quarantine_show fills it */
    char *lsn, *first_seen, *last_tried;
    int64_t xid;
    int retries;
};
struct quarantine_filter {
    const char *rule, *category, *status; /* NULL: any; status NULL: open ones (pending, in_progress, escalated);
                                                 "waiting": pending ones that wait for a parent */
    int64_t limit;                        /* 0: 100 */
};

int quarantine_list(PGconn *conn, const char *pipeline, const struct quarantine_filter *filter,
                    struct quarantine_entry **ret_entries, size_t *ret_count, struct err *reterr) MUST_CHECK;
int quarantine_show(PGconn *conn, const char *pipeline, int64_t id, struct quarantine_entry **ret_entry,
                    struct err *reterr) MUST_CHECK; /* ERR_CONFIG where there is no such entry */
void quarantine_entries_free(struct quarantine_entry *entries, size_t count);

#endif
