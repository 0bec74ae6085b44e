/* The reverse of a snapshot over adopted tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/uuid.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/session/session.h"

#define PAGE_ROWS 10000
#define SQL_MAX ((size_t)1 << 20)

/* " AND NOT EXISTS (…)" for each table that refers to this one: what stays there needs its parents. */
static int put_unreferenced(struct pgsink *s, const char *table, struct buf *sql, struct err *reterr)
{
    PGresult *references = NULL;

    if (adopt_read_references(s, table, &references, reterr))
        return -1;
    for (int i = 0; i < PQntuples(references); i++)
        buf_printf(sql, " AND NOT EXISTS (SELECT FROM %s AS c WHERE %s%s)", PQgetvalue(references, i, 0),
                   PQgetvalue(references, i, 2), *PQgetvalue(references, i, 3) == 't' ? " AND c.ctid <> d.ctid" : "");
    PQclear(references);
    return 0;
}

/* A page of the cursor pgrekey_back: of its rows, those that bear the UUID of the legacy key which stands in them. */
static int take_back_page(struct pgsink *s, const struct adopter *adopter, const char *table, const char *unless,
                          bool *ret_more, int64_t *taken, struct err *reterr)
{
    PGresult *page = NULL, *result = NULL;
    struct buf array, sql;
    const char *params[1];
    char fetch[64];
    int rc;

    snprintf(fetch, sizeof(fetch), "FETCH %d FROM pgrekey_back", PAGE_ROWS);
    if (session_query(s, "reading rows to take back", fetch, 0, NULL, &page, reterr))
        return -1;
    buf_init(&array, SESSION_ARRAY_MAX);
    buf_init(&sql, SQL_MAX);
    for (int row = 0; row < PQntuples(page); row++) {
        struct uuid derived = adopt_derived(s, adopter, page, row), id;
        struct value value = {
            .text = PQgetvalue(page, row, PQnfields(page) - 1), .len = UUID_TEXT_LEN, .state = VALUE_TEXT};
        if (uuid_parse_text(value.text, value.len, &id) && memcmp(&id, &derived, sizeof(id)) == 0)
            session_put_array_item(&array, &value);
    }
    *ret_more = PQntuples(page) > 0;
    PQclear(page);
    params[0] = session_end_array(&array);
    buf_printf(&sql, "DELETE FROM %s AS d WHERE d.", table);
    pg_put_ident(&sql, adopter->id);
    buf_printf(&sql, "::uuid = ANY ($1::uuid[])%s", unless);
    rc = session_query(s, "taking rows back", session_text(&sql), 1, params, &result, reterr);
    if (rc == 0)
        *taken += strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    buf_done(&array);
    buf_done(&sql);
    return rc;
}

/* Once through the table: ours are rows that were not there before. */
static int take_back_once(struct pgsink *s, const struct adopter *adopter, const char *table, const char *unless,
                          int64_t *ret_taken, struct err *reterr)
{
    bool more = true;
    struct buf sql;
    int rc;

    *ret_taken = 0;
    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "DECLARE pgrekey_back NO SCROLL CURSOR FOR SELECT p.* FROM (");
    adopter_put_pairs(adopter, &sql);
    buf_puts(&sql, ") AS p WHERE NOT EXISTS (SELECT FROM pgrekey.adopted a WHERE a.id = p.id AND a.pipeline = "
                   "current_setting('pgrekey.pipeline'))");
    rc = session_run(s, "reading rows to take back", session_text(&sql), reterr);
    buf_done(&sql);
    while (rc == 0 && more)
        rc = take_back_page(s, adopter, table, unless, &more, ret_taken, reterr);
    return rc ? -1 : session_run(s, "reading rows to take back", "CLOSE pgrekey_back", reterr);
}

/* Before the adoption was done nothing was inserted; and what would look like it stems from an earlier pipeline. */
static int take_back_adopted(struct pgsink *s, const struct adopter *adopter, const char *table, const char *unless,
                             struct err *reterr)
{
    int64_t taken = 1;
    bool done;

    if (adopter->adopt.by != ADOPT_COLUMNS)
        return 0;
    if (adopt_is_done(s, adopter, &done, reterr))
        return -1;
    while (done && taken > 0) /* rows that refer to one another: from the leaves on */
        if (take_back_once(s, adopter, table, unless, &taken, reterr))
            return -1;
    return 0;
}

/* A table that was empty: all of it, from the leaves on. */
static int take_back_all(struct pgsink *s, const char *table, const char *unless, struct err *reterr)
{
    int64_t taken = 1;
    struct buf sql;
    int rc = 0;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "DELETE FROM %s AS d WHERE true%s", table, unless);
    while (rc == 0 && taken > 0) {
        PGresult *result = NULL;
        rc = session_query(s, "emptying the target's tables", session_text(&sql), 0, NULL, &result, reterr);
        taken = rc ? 0 : strtoll(PQcmdTuples(result), NULL, 10);
        PQclear(result);
    }
    buf_done(&sql);
    return rc;
}

int adopt_take_back(struct pgsink *s, const char *schema, const char *table, struct err *reterr)
{
    struct adopter adopter;
    const bool adopts = adopter_of_table(s->options.map, schema, table, &adopter);
    struct buf name, unless;
    int rc;

    buf_init(&name, 1024);
    buf_init(&unless, SQL_MAX);
    pg_put_qualified(&name, schema, table);
    rc = put_unreferenced(s, session_text(&name), &unless, reterr);
    if (rc == 0)
        rc = adopts ? take_back_adopted(s, &adopter, session_text(&name), session_text(&unless), reterr)
                    : take_back_all(s, session_text(&name), session_text(&unless), reterr);
    buf_done(&name);
    buf_done(&unless);
    return rc;
}

int adopt_forget(PGconn *conn, const char *pipeline, struct err *reterr)
{
    const char *params[1] = {pipeline};

    if (pg_query(conn, SIDE, "forgetting adopted rows", "DELETE FROM pgrekey.adopted WHERE pipeline = $1", 1, params,
                 NULL, reterr))
        return -1;
    return pg_query(conn, SIDE, "forgetting adopted rows", "DELETE FROM pgrekey.adoption WHERE pipeline = $1", 1,
                    params, NULL, reterr);
}
