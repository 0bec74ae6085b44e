#include "sinks/postgres/state/request_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/quarantine/retry.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/state/audit.h"

#define REQUESTS_MAX 16 /* a tick */
#define ENTRIES_MAX 500 /* a transaction */

struct request {
    int64_t id;
    char kind[24], rule[2 * ERR_NAME_MAX], category[32], by[ERR_NAME_MAX];
};

/* What a request came to: what the operator reads. */
struct tally {
    size_t done, failing, waiting, missing;
};

static int answer(struct pgsink *s, const struct request *request, const char *status, const char *result,
                  struct err *reterr)
{
    char id[24];
    const char *params[] = {id, status, result};

    snprintf(id, sizeof(id), "%" PRId64, request->id);
    return session_query(s, "answering a request",
                         "UPDATE pgrekey.request SET status = $2, result = $3, done_at = now() WHERE id = $1", 3,
                         params, NULL, reterr);
}

static int note(struct pgsink *s, const struct request *request, const char *action, int64_t rows, const char *result,
                struct err *reterr)
{
    char detail[ERR_TEXT_MAX];

    snprintf(detail, sizeof(detail), "asked by %s: %s", request->by, result);
    return audit_put(s, action, request->rule, rows, detail, reterr);
}

/* --- which entries --- */

struct wanted {
    int64_t id;
    size_t place; /* of its rule in the order of dependency: parents are tried first */
};

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static size_t place_of(const struct pgsink *s, const char *rule_name)
{
    const int *order = map_rule_order(s->options.map);

    for (size_t i = 0; i < s->rule_count; i++)
        if (strcmp(s->rules[order[i]].target.rule->name, rule_name) == 0)
            return i;
    return s->rule_count;
}

/* Open entries that the request means. *ret_named: how many ids it names, 0 where it goes by rule and category. */
static int wanted_entries(struct pgsink *s, const struct request *request, struct wanted **ret_wanted,
                          size_t *ret_count, size_t *ret_named, struct err *reterr)
{
    char id[24];
    const char *params[] = {s->options.pipeline, id};
    PGresult *result;

    snprintf(id, sizeof(id), "%" PRId64, request->id);
    if (session_query(s, "reading the quarantine",
                      "SELECT q.id, q.rule, coalesce(cardinality(r.ids), 0) FROM pgrekey.request r"
                      " LEFT JOIN pgrekey.quarantine q ON q.pipeline = $1"
                      " AND q.status IN ('pending', 'in_progress', 'escalated')"
                      " AND (coalesce(cardinality(r.ids), 0) = 0 OR q.id = ANY (r.ids))"
                      " AND (r.rule IS NULL OR q.rule = r.rule) AND (r.category IS NULL OR q.category = r.category)"
                      " WHERE r.id = $2",
                      2, params, &result, reterr))
        return -1;
    size_t count = 0;
    struct wanted *wanted = mem_alloc(((size_t)PQntuples(result) + 1) * sizeof(*wanted));
    *ret_named = 0;
    for (int i = 0; i < PQntuples(result); i++) {
        *ret_named = (size_t)atoi(PQgetvalue(result, i, 2));
        if (PQgetisnull(result, i, 0))
            continue;
        wanted[count++] = (struct wanted){.id = strtoll(PQgetvalue(result, i, 0), NULL, 10),
                                          .place = place_of(s, PQgetvalue(result, i, 1))};
    }
    PQclear(result);
    qsort(wanted, count, sizeof(*wanted), compare_wanted);
    *ret_wanted = wanted;
    *ret_count = count;
    return 0;
}

/* --- retry --- */

/* *ret_waiting: how many of them wait for a parent. */
static int mark_tried(struct pgsink *s, const int64_t *ids, size_t count, size_t *ret_waiting, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf array;
    int failed;

    buf_init(&array, SESSION_ARRAY_MAX);
    for (size_t i = 0; i < count; i++)
        buf_printf(&array, "%c%" PRId64, i ? ',' : '{', ids[i]);
    buf_puts(&array, count ? "}" : "{}");
    const char *params[] = {session_text(&array)};
    failed = session_query(s, "writing the quarantine",
                           "WITH t AS (UPDATE pgrekey.quarantine SET last_tried = now() WHERE id = ANY ($1::bigint[])"
                           " RETURNING waits_id) SELECT count(waits_id) FROM t",
                           1, params, &result, reterr);
    *ret_waiting = failed ? 0 : (size_t)strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    buf_done(&array);
    return failed;
}

static int retry_some(struct pgsink *s, const struct wanted *wanted, size_t count, struct tally *tally,
                      struct err *reterr)
{
    int64_t ids[ENTRIES_MAX];
    size_t left = count, waiting;

    for (size_t i = 0; i < count; i++)
        ids[i] = wanted[i].id;
    if (retry_entries(s, ids, &left, reterr) || row_savepoint_end(s, reterr) ||
        mark_tried(s, ids, left, &waiting, reterr))
        return -1;
    tally->done += count - left;
    tally->failing += left - waiting;
    tally->waiting += waiting;
    return 0;
}

/* --- discard --- */

static int discard_entry(struct pgsink *s, int64_t id, bool *ret_done, struct err *reterr)
{
    struct standing *entry;

    *ret_done = false;
    arena_reset(&s->rowmode->arena, 0);
    if (quarantine_load(s, id, &s->rowmode->arena, &entry, reterr))
        return -1;
    if (!entry)
        return derive_discard(s, id, ret_done, reterr);
    if (quarantine_discard(s, id, reterr))
        return -1;
    account_settle(s, entry->rule, entry->state, EVENT_DISCARD, 0);
    *ret_done = true;
    return 0;
}

static int discard_some(struct pgsink *s, const struct wanted *wanted, size_t count, struct tally *tally,
                        struct err *reterr)
{
    for (size_t i = 0; i < count; i++) {
        bool done;
        if (discard_entry(s, wanted[i].id, &done, reterr))
            return -1;
        tally->done += done;
        tally->missing += !done;
    }
    return 0;
}

/* --- serving --- */

static void put_result(const struct tally *tally, bool retry, char *text, size_t size)
{
    size_t len = (size_t)(retry ? snprintf(text, size, "%zu resolved, %zu still failing", tally->done, tally->failing)
                                : snprintf(text, size, "%zu discarded", tally->done));
    if (tally->waiting && len < size)
        len += (size_t)snprintf(text + len, size - len, ", %zu waiting for a parent", tally->waiting);
    if (tally->missing && len < size)
        snprintf(text + len, size - len, ", %zu not open", tally->missing);
}

/* A long list goes in several transactions, each whole in itself; the answer comes with the last. */
static int serve_entries(struct pgsink *s, const struct request *request, bool retry, struct err *reterr)
{
    struct tally tally = {0};
    struct wanted *wanted;
    size_t count, named, at = 0;
    char result[128];
    int failed = 0;

    if (wanted_entries(s, request, &wanted, &count, &named, reterr))
        return -1;
    tally.missing = named > count ? named - count : 0;
    do {
        size_t some = count - at < ENTRIES_MAX ? count - at : ENTRIES_MAX;
        failed = retry_begin(s, reterr) || (retry ? retry_some(s, wanted + at, some, &tally, reterr)
                                                  : discard_some(s, wanted + at, some, &tally, reterr));
        at += some;
        if (!failed && at == count) {
            put_result(&tally, retry, result, sizeof(result));
            failed = note(s, request, retry ? "retry" : "discard", (int64_t)count, result, reterr) ||
                     answer(s, request, "done", result, reterr);
        }
        failed = failed || retry_commit(s, reterr);
        if (failed)
            session_rollback(s);
    } while (!failed && at < count);
    free(wanted);
    return failed ? -1 : 0;
}

static int serve_resume(struct pgsink *s, const struct request *request, struct err *reterr)
{
    if (retry_begin(s, reterr) || note(s, request, "resume", 0, "the engine goes on", reterr) ||
        answer(s, request, "done", "the engine goes on", reterr) || retry_commit(s, reterr)) {
        session_rollback(s);
        return -1;
    }
    s->resume_requested = true;
    return 0;
}

static int serve(struct pgsink *s, const struct request *request, struct err *reterr)
{
    struct err said = {0};
    int failed;

    if (strcmp(request->kind, "resume") == 0)
        failed = serve_resume(s, request, &said);
    else
        failed = serve_entries(s, request, strcmp(request->kind, "quarantine_retry") == 0, &said);
    if (!failed)
        return 0;
    if (said.kind == ERR_RETRY || PQstatus(s->conn) != CONNECTION_OK) {
        *reterr = said;
        return -1;
    }
    /* It would fail the same way for ever: the operator hears of it, the stream goes on. */
    return answer(s, request, "failed", said.message, reterr);
}

int request_serve(struct pgsink *s, struct err *reterr)
{
    struct request requests[REQUESTS_MAX];
    const char *params[] = {s->options.pipeline};
    PGresult *result;

    if (session_query(s, "reading requests",
                      "SELECT id, kind, coalesce(rule, ''), coalesce(category, ''), requested_by FROM pgrekey.request"
                      " WHERE pipeline = $1 AND status = 'waiting' ORDER BY id LIMIT 16",
                      1, params, &result, reterr))
        return -1;
    int count = PQntuples(result);
    for (int i = 0; i < count; i++) {
        requests[i].id = strtoll(PQgetvalue(result, i, 0), NULL, 10);
        snprintf(requests[i].kind, sizeof(requests[i].kind), "%s", PQgetvalue(result, i, 1));
        snprintf(requests[i].rule, sizeof(requests[i].rule), "%s", PQgetvalue(result, i, 2));
        snprintf(requests[i].category, sizeof(requests[i].category), "%s", PQgetvalue(result, i, 3));
        snprintf(requests[i].by, sizeof(requests[i].by), "%s", PQgetvalue(result, i, 4));
    }
    PQclear(result);
    for (int i = 0; i < count; i++)
        if (serve(s, &requests[i], reterr))
            return -1;
    return 0;
}
