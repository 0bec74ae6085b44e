#include "sinks/postgres/snapshot/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/session/session.h"

#define RULES_MAX ((size_t)1 << 20)

int part_put(struct pgsink *s, const struct sink_part *part, struct err *reterr)
{
    char id[16], level[16];
    struct buf rules;
    const char *params[8] = {s->options.pipeline, id, level, part->schema, part->table, part->lo, part->hi};

    snprintf(id, sizeof(id), "%d", part->id);
    snprintf(level, sizeof(level), "%d", part->level);
    buf_init(&rules, RULES_MAX);
    for (size_t i = 0; i < part->rule_count; i++)
        session_put_array_item(
            &rules,
            &(struct value){.text = part->rules[i], .len = (uint32_t)strlen(part->rules[i]), .state = VALUE_TEXT});
    params[7] = session_end_array(&rules);
    int failed = session_query(s, "recording a part of the snapshot",
                               "INSERT INTO pgrekey.snapshot_part (pipeline, part, level, source_schema, source_table, "
                               "lo, hi, rules) VALUES ($1, $2::integer, $3::integer, $4, $5, $6, $7, $8::text[])",
                               8, params, NULL, reterr);
    buf_done(&rules);
    return failed;
}

int parts_read_join(struct pgsink *s, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;

    s->join_lsn = 0;
    if (session_query(s, "reading the snapshot's points",
                      "SELECT coalesce(max(point), '0/0') FROM pgrekey.snapshot_part WHERE pipeline = $1", 1, params,
                      &result, reterr))
        return -1;
    (void)lsn_parse(PQgetvalue(result, 0, 0), &s->join_lsn);
    PQclear(result);
    return 0;
}

int parts_clear_reached(struct pgsink *s, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};

    if (s->join_lsn == 0 || s->in_transaction || s->state != PIPELINE_STREAMING || s->lsn < s->join_lsn)
        return 0;
    if (session_query(
            s, "clearing the snapshot's points",
            "UPDATE pgrekey.snapshot_part SET point = NULL, lo = NULL, hi = NULL WHERE pipeline = $1 AND NOT EXISTS "
            "(SELECT FROM pgrekey.snapshot_part WHERE pipeline = $1 AND NOT done)",
            1, params, NULL, reterr))
        return -1;
    s->join_lsn = 0;
    return 0;
}

int parts_undo(struct pgsink *s, const struct rule *rule, uint64_t commit_lsn, struct err *reterr)
{
    char lsn[LSN_TEXT_MAX];
    const char *params[3] = {s->options.pipeline, rule->name, lsn_format(commit_lsn, lsn)};

    return session_query(s, "undoing parts of the snapshot",
                         "UPDATE pgrekey.snapshot_part SET done = false, rows = 0, point = NULL "
                         "WHERE pipeline = $1 AND $2 = ANY (rules) AND point >= $3::pg_lsn",
                         3, params, NULL, reterr);
}

/* --- reading them --- */

static char *text_of(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : mem_strdup(PQgetvalue(result, row, column));
}

static void fill_part(struct sink_part *part, const PGresult *result, int row)
{
    *part = (struct sink_part){
        .id = atoi(PQgetvalue(result, row, 0)),
        .level = atoi(PQgetvalue(result, row, 1)),
        .schema = text_of(result, row, 2),
        .table = text_of(result, row, 3),
        .lo = text_of(result, row, 4),
        .hi = text_of(result, row, 5),
        .done = *PQgetvalue(result, row, 6) == 't',
    };
    (void)lsn_parse(PQgetvalue(result, row, 7), &part->point);
}

static void add_rule(struct sink_part *part, const char *rule)
{
    part->rules = mem_realloc(part->rules, (part->rule_count + 1) * sizeof(*part->rules));
    part->rules[part->rule_count++] = mem_strdup(rule);
}

/* One row for each rule of each part. */
int pgsink_parts_read(struct sink *sink, struct sink_part **ret_parts, size_t *ret_count, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;
    struct sink_part *parts;
    size_t count = 0;

    if (session_query(s, "reading the snapshot's parts",
                      "SELECT part, level, source_schema, source_table, lo, hi, done, coalesce(point, '0/0'), r.rule "
                      "FROM pgrekey.snapshot_part, unnest(rules) WITH ORDINALITY AS r (rule, n) "
                      "WHERE pipeline = $1 ORDER BY part, r.n",
                      1, params, &result, reterr))
        return -1;
    parts = mem_zalloc((size_t)PQntuples(result) + 1, sizeof(*parts));
    for (int i = 0; i < PQntuples(result); i++) {
        if (count == 0 || parts[count - 1].id != atoi(PQgetvalue(result, i, 0)))
            fill_part(&parts[count++], result, i);
        add_rule(&parts[count - 1], PQgetvalue(result, i, 8));
    }
    PQclear(result);
    *ret_parts = parts;
    *ret_count = count;
    return 0;
}
