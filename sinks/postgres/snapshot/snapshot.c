/* The life of a snapshot in the pipeline's record. Its begin, its plan and its end wait for the target's disk. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/adopt/adopt.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/session/fence.h"
#include "sinks/postgres/session/session.h"
#include "sinks/postgres/snapshot/fastload.h"
#include "sinks/postgres/snapshot/fastload_aside.h"
#include "sinks/postgres/snapshot/parts.h"
#include "sinks/postgres/state/record.h"
#include "sinks/postgres/steps/steps.h"

#define SQL_MAX ((size_t)1 << 20)

static int begin_durably(struct pgsink *s, const char *doing, struct err *reterr)
{
    if (session_begin(s, reterr))
        return -1;
    return session_run(s, doing, "SET LOCAL synchronous_commit = local", reterr);
}

/* Is this rule the first one that writes its table? */
static bool first_of_table(const struct pgsink *s, size_t r)
{
    for (size_t i = 0; i < r; i++)
        if (strcmp(s->rules[i].target.table, s->rules[r].target.table) == 0)
            return false;
    return true;
}

static int look_for_rows(struct pgsink *s, const char *table, bool *ret_empty, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql, "SELECT NOT EXISTS (SELECT FROM %s)", table);
    rc = session_query(s, "looking at the target's tables", session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (rc)
        return -1;
    *ret_empty = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

static int refuse_table(const char *schema, const char *table, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "target table %s.%s is not empty", schema, table);
    return err_hint(reterr, "a first snapshot wants empty tables: empty it, or map another one");
}

static int refuse_rows(struct pgsink *s, struct err *reterr)
{
    bool empty;

    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *rule = s->rules[r].target.rule;
        struct adopter adopter;
        if (adopter_of_table(s->options.map, rule->to_schema, rule->to_table, &adopter))
            continue;
        if (look_for_rows(s, s->rules[r].target.table, &empty, reterr))
            return -1;
        if (!empty)
            return refuse_table(rule->to_schema, rule->to_table, reterr);
    }
    for (size_t i = 0; i < derive_count(s); i++) {
        const struct derivation *d = map_derivation(s->options.map, i);
        struct adopter adopter;
        if (!derive_table(s, i) || adopter_of_table(s->options.map, d->to_schema, d->to_table, &adopter))
            continue;
        if (look_for_rows(s, derive_table(s, i), &empty, reterr))
            return -1;
        if (!empty)
            return refuse_table(d->to_schema, d->to_table, reterr);
    }
    return 0;
}

/* Quick where nothing else refers to the tables. */
static int truncate_tables(struct pgsink *s, struct err *reterr)
{
    struct buf sql;
    int rc;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "SAVEPOINT pgrekey_truncate; TRUNCATE ");
    for (size_t r = 0; r < s->rule_count; r++)
        if (first_of_table(s, r))
            buf_printf(&sql, "%s%s", r ? ", " : "", s->rules[r].target.table);
    for (size_t i = 0; i < derive_count(s); i++)
        if (derive_table(s, i))
            buf_printf(&sql, ", %s", derive_table(s, i));
    rc = session_run(s, "emptying the target's tables", session_text(&sql), reterr);
    buf_done(&sql);
    return rc;
}

static int delete_rows(struct pgsink *s, struct err *reterr)
{
    size_t count;
    const struct map_step *steps = map_steps(s->options.map, &count);

    if (session_back_to(s, "emptying the target's tables", "pgrekey_truncate", false, reterr))
        return -1;
    for (size_t i = count; i-- > 0;) {
        const char *table = steps[i].kind == STEP_RULE ? s->rules[steps[i].index].target.table
                                                       : derive_table(s, (size_t)steps[i].index);
        struct buf sql;
        int rc;

        if (!table)
            continue;
        buf_init(&sql, SQL_MAX);
        buf_printf(&sql, "DELETE FROM %s", table);
        rc = session_run(s, "emptying the target's tables", session_text(&sql), reterr);
        buf_done(&sql);
        if (rc)
            return -1;
    }
    return 0;
}

static int record_pipeline(struct pgsink *s, struct err *reterr)
{
    const struct source_identity *source = &s->options.source;
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX], timeline[16];
    const char *params[7] = {
        s->options.pipeline, s->options.slot, source->system_identifier, timeline, source->database, whole, identity};

    map_fingerprint(s->options.map, whole, identity);
    snprintf(timeline, sizeof(timeline), "%" PRIu32, source->timeline);
    return session_query(s, "recording the pipeline",
                         "INSERT INTO pgrekey.pipeline (name, state, slot, system_identifier, timeline, database, "
                         "fingerprint, identity_fingerprint, snapshot_begun) "
                         "VALUES ($1, 'snapshot', $2, $3, $4::bigint, $5, $6, $7, now())",
                         7, params, NULL, reterr);
}

static int record_derivations(struct pgsink *s, struct err *reterr)
{
    for (size_t i = 0; i < derive_count(s); i++) {
        const struct derivation *d = map_derivation(s->options.map, i);
        const char *params[4] = {s->options.pipeline, d->name, d->to_schema, d->to_table};
        if (session_query(s, "recording the derivations",
                          "INSERT INTO pgrekey.counter (pipeline, rule, source_table, target_table) "
                          "VALUES ($1, $2, '', $3 || '.' || $4)",
                          4, params, NULL, reterr))
            return -1;
    }
    return 0;
}

static int record_rules(struct pgsink *s, struct err *reterr)
{
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct rule *rule = s->rules[r].target.rule;
        const char *params[6] = {s->options.pipeline, rule->name,      rule->from_schema,
                                 rule->from_table,    rule->to_schema, rule->to_table};
        if (session_query(s, "recording the rules",
                          "INSERT INTO pgrekey.counter (pipeline, rule, source_table, target_table) "
                          "VALUES ($1, $2, $3 || '.' || $4, $5 || '.' || $6)",
                          6, params, NULL, reterr))
            return -1;
    }
    return record_derivations(s, reterr);
}

/* Rows that were there before stand in some of them: what was inserted is looked for, children first. */
static int take_back(struct pgsink *s, struct err *reterr)
{
    size_t count;
    const struct map_step *steps = map_steps(s->options.map, &count);

    if (session_run(s, "emptying the target's tables", "SET LOCAL enable_hashjoin = on; SET LOCAL enable_seqscan = on",
                    reterr))
        return -1;
    for (size_t i = count; i-- > 0;) {
        const struct derivation *d = NULL;
        const struct rule *rule = NULL;

        if (steps[i].kind == STEP_RULE)
            rule = s->rules[steps[i].index].target.rule;
        else if (derive_table(s, (size_t)steps[i].index))
            d = map_derivation(s->options.map, (size_t)steps[i].index);
        if ((rule && adopt_take_back(s, rule->to_schema, rule->to_table, reterr)) ||
            (d && adopt_take_back(s, d->to_schema, d->to_table, reterr)))
            return -1;
    }
    return 0;
}

static int empty_tables(struct pgsink *s, struct err *reterr)
{
    struct err refused = {0};

    if (adopter_count(s->options.map))
        return take_back(s, reterr);
    if (truncate_tables(s, &refused) == 0)
        return 0;
    if (refused.kind != ERR_RETRY)
        return delete_rows(s, reterr);
    if (reterr)
        *reterr = refused;
    return -1;
}

static int begin(struct pgsink *s, bool again, struct err *reterr)
{
    if (begin_durably(s, "beginning a snapshot", reterr) || fence_close(s, reterr) ||
        (!again && (adopt_forget(s->conn, s->options.pipeline, reterr) || refuse_rows(s, reterr))))
        return -1;
    if (record_forget(s->conn, s->options.pipeline, false, reterr) || record_pipeline(s, reterr) ||
        record_rules(s, reterr) || steps_record(s, reterr))
        return -1;
    if (again && !s->options.fast_load &&
        fastload_restore(s->conn, s->options.pipeline, INT_MAX, true, &s->fast_load, reterr))
        return -1;
    if (!again && s->options.fast_load && fastload_take_off(s, reterr))
        return -1;
    return session_commit(s, reterr);
}

static int forget(struct pgsink *s, struct err *reterr)
{
    if (fastload_restore(s->conn, s->options.pipeline, INT_MAX, true, &s->fast_load, reterr) ||
        adopt_forget(s->conn, s->options.pipeline, reterr) ||
        record_forget(s->conn, s->options.pipeline, false, reterr))
        return -1;
    return session_commit(s, reterr);
}

/* Before anything is read. What the adoption of a new pipeline cannot go on with leaves no record of it: the mapping
 * may have to change. */
static int adopt(struct pgsink *s, bool again, struct err *reterr)
{
    struct err ignored = {0};

    if (adopt_run(s, reterr) == 0)
        return 0;
    session_rollback(s);
    if (!again && (reterr->kind == ERR_REFUSED || reterr->kind == ERR_CONFIG)) {
        if (begin_durably(s, "giving up the adoption", &ignored) || forget(s, &ignored))
            session_rollback(s);
        else
            s->state = PIPELINE_NEW;
    }
    return -1;
}

int pgsink_snapshot_begin(struct sink *sink, bool again, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (begin(s, again, reterr)) {
        session_rollback(s);
        return -1;
    }
    s->state = PIPELINE_SNAPSHOT;
    s->lsn = 0;
    for (size_t r = 0; r < s->rule_count; r++)
        s->rules[r].standing = s->rules[r].pending = s->rules[r].gone = 0;
    for (size_t p = 0; p < s->references.place_count; p++)
        s->references.places[p].waiting = s->references.places[p].pending = 0;
    return adopt(s, again, reterr);
}

static int plan(struct pgsink *s, uint64_t consistent_lsn, const struct sink_part *parts, size_t count,
                struct err *reterr)
{
    char lsn[LSN_TEXT_MAX], number[24];
    const char *params[3] = {s->options.pipeline, lsn_format(consistent_lsn, lsn), number};

    snprintf(number, sizeof(number), "%zu", count);
    if (begin_durably(s, "recording the snapshot's plan", reterr) ||
        session_query(s, "recording the snapshot's plan",
                      "UPDATE pgrekey.pipeline SET snapshot_lsn = $2::pg_lsn, snapshot_parts = $3::integer "
                      "WHERE name = $1",
                      3, params, NULL, reterr))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (part_put(s, &parts[i], reterr))
            return -1;
    return session_commit(s, reterr);
}

int pgsink_snapshot_plan(struct sink *sink, uint64_t consistent_lsn, const struct sink_part *parts, size_t count,
                         struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (plan(s, consistent_lsn, parts, count, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

static int add_parts(struct pgsink *s, struct sink_part *parts, size_t count, bool at_once, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;

    if (begin_durably(s, "recording new parts", reterr) ||
        session_query(s, "recording new parts",
                      "SELECT coalesce(max(part) + 1, 0) FROM pgrekey.snapshot_part WHERE pipeline = $1", 1, params,
                      &result, reterr))
        return -1;
    int next = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    for (size_t i = 0; i < count; i++) {
        parts[i].id = next + (int)i;
        if (part_put(s, &parts[i], reterr))
            return -1;
    }
    if (session_query(s, "recording new parts",
                      "UPDATE pgrekey.pipeline SET snapshot_parts = (SELECT count(*) FROM pgrekey.snapshot_part "
                      "WHERE pipeline = $1) WHERE name = $1",
                      1, params, NULL, reterr) ||
        (at_once && s->options.fast_load && fastload_take_off(s, reterr)))
        return -1;
    return session_commit(s, reterr);
}

int pgsink_parts_add(struct sink *sink, struct sink_part *parts, size_t count, bool at_once, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (add_parts(s, parts, count, at_once, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

/* What begins the snapshot's record tells it from another one: a loader of the dead engine finds its own gone. */
static int resume(struct pgsink *s, struct err *reterr)
{
    const char *params[1] = {s->options.pipeline};

    if (begin_durably(s, "resuming the snapshot", reterr) || fence_close(s, reterr) ||
        session_query(s, "resuming the snapshot",
                      "UPDATE pgrekey.pipeline SET snapshot_begun = clock_timestamp() WHERE name = $1", 1, params, NULL,
                      reterr))
        return -1;
    return session_commit(s, reterr);
}

int pgsink_snapshot_resume(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (resume(s, reterr)) {
        session_rollback(s);
        return -1;
    }
    return 0;
}

static int end(struct pgsink *s, uint64_t end_lsn, struct err *reterr)
{
    char lsn[LSN_TEXT_MAX];
    const char *params[2] = {s->options.pipeline, lsn_format(end_lsn, lsn)};

    if (begin_durably(s, "ending the snapshot", reterr) ||
        session_query(s, "ending the snapshot",
                      "UPDATE pgrekey.pipeline SET state = 'streaming', lsn = $2::pg_lsn, snapshot_ended = now(), "
                      "updated_at = now() WHERE name = $1",
                      2, params, NULL, reterr))
        return -1;
    return session_commit(s, reterr);
}

int pgsink_snapshot_settle(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    return opening_read_bounds(s, reterr) || park_sweep(s, reterr) || derive_settle_adopted(s, reterr) ? -1 : 0;
}

int pgsink_level_loaded(struct sink *sink, int level, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    return fastload_build(s, level, false, reterr);
}

int pgsink_snapshot_end(struct sink *sink, uint64_t lsn, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (pgsink_level_loaded(sink, INT_MAX, reterr) || pgsink_snapshot_settle(sink, reterr))
        return -1;
    if (end(s, lsn, reterr)) {
        session_rollback(s);
        return -1;
    }
    s->state = PIPELINE_STREAMING;
    s->lsn = lsn;
    return parts_read_join(s, reterr);
}

/* Where nothing was written the tables are not touched: the role may lack the right to. */
static int abandon(struct pgsink *s, struct err *reterr)
{
    struct err rows = {0};

    if (begin_durably(s, "giving up the snapshot", reterr) || fence_close(s, reterr))
        return -1;
    if (refuse_rows(s, &rows)) {
        if (rows.kind != ERR_REFUSED) {
            *reterr = rows;
            return -1;
        }
        if (empty_tables(s, reterr))
            return -1;
    } else if (adopter_count(s->options.map) && take_back(s, reterr)) {
        return -1;
    }
    return forget(s, reterr);
}

int pgsink_snapshot_abandon(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);

    if (abandon(s, reterr)) {
        session_rollback(s);
        return -1;
    }
    s->state = PIPELINE_NEW;
    return 0;
}
