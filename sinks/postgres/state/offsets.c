#include "sinks/postgres/state/offsets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/session/pipe.h"
#include "sinks/postgres/session/session.h"

#define COLUMNS "unnest($2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::pg_lsn[]) AS o (t, p, f, n, l)"

/* One statement for all partitions: those that are new come in, the others move. */
#define MOVE                                                                                                           \
    "WITH o AS (SELECT * FROM " COLUMNS "), made AS (INSERT INTO pgrekey.replay_offset SELECT $1, t, p, n, l FROM o "  \
    "WHERE f < 0 ON CONFLICT DO NOTHING RETURNING 1), moved AS (UPDATE pgrekey.replay_offset r SET next_offset = n, "  \
    "lsn = l FROM o WHERE r.pipeline = $1 AND r.topic = t AND r.partition = p AND r.next_offset = f RETURNING 1) "     \
    "SELECT 1 / ((SELECT count(*) FROM made) + (SELECT count(*) FROM moved) = (SELECT count(*) FROM o))::integer"
#define SET                                                                                                            \
    "INSERT INTO pgrekey.replay_offset AS r SELECT $1, t, p, n, l FROM " COLUMNS                                       \
    " ON CONFLICT (pipeline, topic, partition) DO UPDATE SET next_offset = excluded.next_offset, lsn = excluded.lsn "  \
    "WHERE r.next_offset IS NOT NULL"
#define LETTERS                                                                                                        \
    "INSERT INTO pgrekey.dead_letter SELECT $1, t, p, o, r FROM unnest($2::text[], $3::integer[], $4::bigint[], "      \
    "$5::text[]) AS l (t, p, o, r) ON CONFLICT DO NOTHING"

enum { TOPIC, PARTITION, FROM, TO, LSN, ARRAYS };

static void put(struct buf *array, const char *text)
{
    struct value value = {.text = text, .len = (uint32_t)strlen(text), .state = VALUE_TEXT};

    session_put_array_item(array, &value);
}

static void put_number(struct buf *array, int64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, number);
    put(array, text);
}

static void begin_arrays(struct buf *arrays)
{
    for (size_t i = 0; i < ARRAYS; i++)
        buf_init(&arrays[i], SESSION_ARRAY_MAX);
}

static void end_arrays(const struct pgsink *s, struct buf *arrays, const char **params)
{
    params[0] = s->options.pipeline;
    for (size_t i = 0; i < ARRAYS; i++)
        params[i + 1] = session_end_array(&arrays[i]);
}

static void free_arrays(struct buf *arrays)
{
    for (size_t i = 0; i < ARRAYS; i++)
        buf_done(&arrays[i]);
}

static void put_offsets(struct buf *arrays, const struct batch_offset *offsets, size_t count)
{
    char lsn[LSN_TEXT_MAX];

    begin_arrays(arrays);
    for (size_t i = 0; i < count; i++) {
        put(&arrays[TOPIC], offsets[i].topic);
        put_number(&arrays[PARTITION], offsets[i].partition);
        put_number(&arrays[FROM], offsets[i].from);
        put_number(&arrays[TO], offsets[i].to);
        put(&arrays[LSN], lsn_format(offsets[i].lsn, lsn));
    }
}

static void send_letters(struct pgsink *s, struct pipe *pipe, const struct batch *batch)
{
    struct buf arrays[ARRAYS];
    const char *params[ARRAYS + 1];

    begin_arrays(arrays);
    for (size_t i = 0; i < batch->letter_count; i++) {
        put(&arrays[TOPIC], batch->letters[i].topic);
        put_number(&arrays[PARTITION], batch->letters[i].partition);
        put_number(&arrays[FROM], batch->letters[i].offset);
        put(&arrays[TO], batch->letters[i].reason);
    }
    end_arrays(s, arrays, params);
    (void)pipe_query(pipe, LETTERS, ARRAYS, params);
    free_arrays(arrays);
}

void offsets_send(struct pgsink *s, struct pipe *pipe, const struct batch *batch)
{
    struct buf arrays[ARRAYS];
    const char *params[ARRAYS + 1];

    if (batch->letter_count)
        send_letters(s, pipe, batch);
    if (batch->offset_count == 0)
        return;
    put_offsets(arrays, batch->offsets, batch->offset_count);
    end_arrays(s, arrays, params);
    (void)pipe_query(pipe, batch->snapshot_part >= 0 ? SET : MOVE, ARRAYS + 1, params);
    free_arrays(arrays);
}

int pgsink_offsets_set(struct sink *sink, const struct batch_offset *offsets, size_t count, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    struct buf arrays[ARRAYS];
    const char *params[ARRAYS + 1];
    int rc;

    put_offsets(arrays, offsets, count);
    end_arrays(s, arrays, params);
    rc = session_query(s, "recording the topics' offsets", SET, ARRAYS + 1, params, NULL, reterr);
    free_arrays(arrays);
    return rc;
}

static int check_schema(struct pgsink *s, struct err *reterr)
{
    PGresult *result = NULL;
    bool there;

    if (session_query(s, "looking at the engine's schema", "SELECT to_regclass('pgrekey.replay_offset') IS NOT NULL", 0,
                      NULL, &result, reterr))
        return -1;
    there = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (there)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "target: the engine's schema pgrekey is older than `pgrekey replay`");
    return err_hint(reterr, "run `pgrekey init` again");
}

int pgsink_offsets_read(struct sink *sink, struct batch_offset **ret_offsets, size_t *ret_count, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};
    struct batch_offset *offsets;
    PGresult *result = NULL;

    if (check_schema(s, reterr) ||
        session_query(s, "reading the topics' offsets",
                      "SELECT topic, partition, next_offset, lsn FROM pgrekey.replay_offset WHERE pipeline = $1", 1,
                      params, &result, reterr))
        return -1;
    *ret_count = (size_t)PQntuples(result);
    *ret_offsets = offsets = mem_zalloc(*ret_count + 1, sizeof(*offsets));
    for (int i = 0; i < PQntuples(result); i++) {
        offsets[i].topic = mem_strdup(PQgetvalue(result, i, 0));
        offsets[i].partition = atoi(PQgetvalue(result, i, 1));
        offsets[i].from = offsets[i].to = strtoll(PQgetvalue(result, i, 2), NULL, 10);
        (void)lsn_parse(PQgetvalue(result, i, 3), &offsets[i].lsn);
    }
    PQclear(result);
    return 0;
}

void pgsink_offsets_free(struct batch_offset *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        union {
            const char *kept;
            char *own;
        } topic = {.kept = offsets[i].topic};
        free(topic.own);
    }
    free(offsets);
}

int pgsink_rewind(struct sink *sink, uint64_t lsn, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    char text[LSN_TEXT_MAX];
    const char *params[2] = {s->options.pipeline, lsn_format(lsn, text)};

    if (session_query(s, "setting the position back",
                      "WITH forgotten AS (DELETE FROM pgrekey.replay_offset WHERE pipeline = $1) "
                      "UPDATE pgrekey.pipeline SET lsn = $2::pg_lsn WHERE name = $1",
                      2, params, NULL, reterr))
        return -1;
    s->lsn = lsn;
    return 0;
}
