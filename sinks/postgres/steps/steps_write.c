/* What a start makes of a changed mapping, on record. A mirror is wholly ours, so a changed one is emptied and copied
 * again like a new one. */
#include <stdio.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/state/audit.h"
#include "sinks/postgres/steps/steps_work.h"

#define SQL_MAX ((size_t)1 << 16)
#define DOING "recording the mapping"

/* state NULL: stays as it is where the step is on record. */
static int put_step(struct pgsink *s, const struct step *step, const char *state, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, step->name,       step->kind,   step->identity,
                            step->whole,         step->entity,     step->source, step->target,
                            step->accept_rows,   step->accept_ppm, state,        step->skipped ? "t" : "f"};

    return session_query(
        s, DOING,
        "INSERT INTO pgrekey.mapping_step AS m (pipeline, step, kind, identity_fingerprint, fingerprint, entity, "
        "source_table, target_table, accept_rows, accept_ppm, state, skipped) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::bigint, $10::bigint, coalesce($11, 'current'), $12::boolean) "
        "ON CONFLICT (pipeline, step) DO UPDATE SET kind = excluded.kind, "
        "identity_fingerprint = excluded.identity_fingerprint, fingerprint = excluded.fingerprint, "
        "entity = excluded.entity, source_table = excluded.source_table, target_table = excluded.target_table, "
        "accept_rows = excluded.accept_rows, accept_ppm = excluded.accept_ppm, state = coalesce($11, m.state), "
        "skipped = excluded.skipped",
        12, params, NULL, reterr);
}

int steps_record(struct pgsink *s, struct err *reterr)
{
    size_t count;
    struct step *steps = steps_of(s->options.map, &s->scratch, &count);

    for (size_t i = 0; i < count; i++)
        if (put_step(s, &steps[i], "current", reterr))
            return -1;
    return 0;
}

/* A statement about one step: $1 the pipeline, $2 its name. */
static int run_about(struct pgsink *s, const char *name, const char *sql, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, name};

    return session_query(s, DOING, sql, 2, params, NULL, reterr);
}

static int forget_parts(struct pgsink *s, const char *name, struct err *reterr)
{
    return run_about(s, name, "DELETE FROM pgrekey.snapshot_part WHERE pipeline = $1 AND rules = ARRAY[$2]", reterr) ||
                   run_about(s, name,
                             "UPDATE pgrekey.snapshot_part SET rules = array_remove(rules, $2) WHERE pipeline = $1 "
                             "AND $2 = ANY (rules)",
                             reterr)
               ? -1
               : 0;
}

/* --- new ones --- */

static int join(struct pgsink *s, const struct step *step, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, step->name, step->source, step->target};

    if (put_step(s, step, "new", reterr) || audit_put(s, "mapping", step->name, 0, "joined", reterr))
        return -1;
    return session_query(s, DOING,
                         "INSERT INTO pgrekey.counter (pipeline, rule, source_table, target_table) "
                         "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                         4, params, NULL, reterr);
}

/* Has anything been loaded of a step that is new on record? */
static int ask_loaded(struct pgsink *s, const char *name, bool *ret_loaded, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, name};
    PGresult *result = NULL;

    if (session_query(s, DOING,
                      "SELECT EXISTS (SELECT FROM pgrekey.snapshot_part WHERE pipeline = $1 AND $2 = ANY (rules) "
                      "AND done)",
                      2, params, &result, reterr))
        return -1;
    *ret_loaded = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    return 0;
}

/* --- mirrors: what is loaded again --- */

/* Whoever computes from a mirror that was emptied and copied again cannot know which rows are others now. */
static int mark_readers(struct pgsink *s, const struct rule *mirror, struct err *reterr)
{
    const struct map_step parent = {STEP_RULE, mirror->index, 0};

    for (size_t i = 0; i < map_derivation_count(s->options.map); i++) {
        const struct map_step child = {STEP_DERIVATION, (int)i, 0};
        if (map_needs(s->options.map, &child, &parent) &&
            run_about(s, map_derivation(s->options.map, i)->name,
                      "UPDATE pgrekey.mapping_step SET state = 'changed' WHERE pipeline = $1 AND step = $2 AND "
                      "state = 'current'",
                      reterr))
            return -1;
    }
    return 0;
}

int steps_load_again(struct pgsink *s, const struct rule *mirror, struct err *reterr)
{
    struct buf sql;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "TRUNCATE ");
    pg_put_qualified(&sql, mirror->to_schema, mirror->to_table);
    int failed = session_run(s, "emptying a mirror", session_text(&sql), reterr);
    buf_done(&sql);
    if (failed)
        return -1;
    static const char *const STATEMENTS[] = {
        "DELETE FROM pgrekey.quarantine WHERE pipeline = $1 AND rule = $2",
        "DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2",
        "DELETE FROM pgrekey.snapshot_part WHERE pipeline = $1 AND rules = ARRAY[$2]",
        "UPDATE pgrekey.snapshot_part SET rules = array_remove(rules, $2) WHERE pipeline = $1 AND $2 = ANY (rules)",
        "UPDATE pgrekey.mapping_step SET state = 'new' WHERE pipeline = $1 AND step = $2",
    };
    for (size_t i = 0; i < sizeof(STATEMENTS) / sizeof(*STATEMENTS); i++)
        if (run_about(s, mirror->name, STATEMENTS[i], reterr))
            return -1;
    if (run_about(s, mirror->name,
                  "UPDATE pgrekey.counter SET mapped = 0, quarantined = 0, excluded = 0, failed_deletes = 0 "
                  "WHERE pipeline = $1 AND rule = $2",
                  reterr))
        return -1;
    return mark_readers(s, mirror, reterr);
}

/* --- those of before --- */

/* A resync that is under way has read rows by the mapping of before: it begins anew. What was left out until now is
 * read by itself. */
static int read_again(struct pgsink *s, const struct compare *c, const struct step *step, int at, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, step->source};

    if (session_query(s, DOING,
                      "UPDATE pgrekey.resync SET next = NULL, rows = 0, removed = 0 WHERE pipeline = $1 "
                      "AND source_table = $2 AND status = 'running'",
                      2, params, NULL, reterr))
        return -1;
    if (step->skipped || *PQgetvalue(c->record, at, RECORD_SKIPPED) != 't')
        return 0;
    return session_query(s, DOING,
                         "INSERT INTO pgrekey.resync (pipeline, source_table, reason) SELECT $1, $2, 'skipped no more' "
                         "WHERE NOT EXISTS (SELECT FROM pgrekey.resync WHERE pipeline = $1 AND source_table = $2 "
                         "AND status IN ('waiting', 'running') AND lo IS NULL AND hi IS NULL AND keys IS NULL)",
                         2, params, NULL, reterr);
}

#define COUNT_ANEW                                                                                                     \
    "UPDATE pgrekey.counter SET mapped = 0, quarantined = 0, excluded = 0, failed_deletes = 0"                         \
    " WHERE pipeline = $1 AND rule = $2"

/* Nobody knows what happened to its rows meanwhile, and so what they count for: the account begins anew, and its table
 * is read again over what stands (returned.h). */
static int come_back(struct pgsink *s, const struct step *step, struct err *reterr)
{
    static const char *const STATEMENTS[] = {
        "DELETE FROM pgrekey.quarantine WHERE pipeline = $1 AND rule = $2",
        "DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2",
        COUNT_ANEW,
    };

    for (size_t i = 0; i < sizeof(STATEMENTS) / sizeof(*STATEMENTS); i++)
        if (run_about(s, step->name, STATEMENTS[i], reterr))
            return -1;
    const char *params[3] = {s->options.pipeline, step->name, step->source};
    if (session_query(s, DOING, "UPDATE pgrekey.counter SET source_table = $3 WHERE pipeline = $1 AND rule = $2", 3,
                      params, NULL, reterr))
        return -1;
    return put_step(s, step, "back", reterr);
}

static int change(struct pgsink *s, const struct compare *c, const struct step *step, int at, struct err *reterr)
{
    bool loaded = true;

    if (audit_put(s, "mapping", step->name, 0, steps_is_state(c, at, "removed") ? "taken up again" : "changed", reterr))
        return -1;
    if (step->rule && step->rule->mirror)
        return put_step(s, step, NULL, reterr) || steps_load_again(s, step->rule, reterr) ? -1 : 0;
    if (steps_is_state(c, at, "removed") && step->rule)
        return come_back(s, step, reterr);
    if (steps_is_state(c, at, "back") ||
        steps_is_moved(c, at, step)) /* parts of the old mapping would stand beside parts of the new one */
        return forget_parts(s, step->name, reterr) || come_back(s, step, reterr) ? -1 : 0;
    if (steps_is_state(c, at, "new") && ask_loaded(s, step->name, &loaded, reterr))
        return -1;
    if (loaded && step->rule && read_again(s, c, step, at, reterr))
        return -1;
    return put_step(s, step, loaded ? "changed" : NULL, reterr);
}

static int write_step(struct pgsink *s, const struct compare *c, const struct step *step, struct err *reterr)
{
    int at = steps_find_recorded(c, step->name);

    if (at < 0)
        return join(s, step, reterr);
    if (!steps_same(c, at, RECORD_WHOLE, step->whole) || steps_is_state(c, at, "removed"))
        return change(s, c, step, at, reterr);
    if (steps_same(c, at, RECORD_ACCEPT_ROWS, step->accept_rows) &&
        steps_same(c, at, RECORD_ACCEPT_PPM, step->accept_ppm))
        return 0;
    return put_step(s, step, NULL, reterr);
}

/* Of a mirror the table goes with it; of one that was to be loaded there is nothing yet. Back again, it is a new one.
 */
static int forget(struct pgsink *s, const char *name, struct err *reterr)
{
    return run_about(s, name,
                     "WITH c AS (DELETE FROM pgrekey.counter WHERE pipeline = $1 AND rule = $2), "
                     "q AS (DELETE FROM pgrekey.quarantine WHERE pipeline = $1 AND rule = $2), "
                     "p AS (DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2), "
                     "g AS (DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2) "
                     "DELETE FROM pgrekey.mapping_step WHERE pipeline = $1 AND step = $2",
                     reterr);
}

static int remove_step(struct pgsink *s, const struct compare *c, int at, struct err *reterr)
{
    const char *name = PQgetvalue(c->record, at, RECORD_NAME);
    bool loaded = strcmp(PQgetvalue(c->record, at, RECORD_KIND), "mirror") != 0;

    if (loaded && steps_is_state(c, at, "new") && ask_loaded(s, name, &loaded, reterr))
        return -1;
    if (forget_parts(s, name, reterr) || audit_put(s, "mapping", name, 0, "removed", reterr))
        return -1;
    if (!loaded)
        return forget(s, name, reterr);
    return run_about(s, name, "UPDATE pgrekey.mapping_step SET state = 'removed' WHERE pipeline = $1 AND step = $2",
                     reterr);
}

static int write_removed(struct pgsink *s, const struct compare *c, struct err *reterr)
{
    for (int i = 0; i < PQntuples(c->record); i++)
        if (!steps_is_state(c, i, "removed") && !steps_find(c, PQgetvalue(c->record, i, RECORD_NAME)) &&
            remove_step(s, c, i, reterr))
            return -1;
    return 0;
}

static int write_fingerprints(struct pgsink *s, const struct compare *c, struct err *reterr)
{
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
    const char *params[3] = {s->options.pipeline, whole, identity};

    map_fingerprint(c->map, whole, identity);
    return session_query(s, DOING,
                         "UPDATE pgrekey.pipeline SET fingerprint = $2, identity_fingerprint = $3 WHERE name = $1 "
                         "AND (fingerprint <> $2 OR identity_fingerprint <> $3)",
                         3, params, NULL, reterr);
}

int steps_write_all(struct pgsink *s, const struct compare *c, struct err *reterr)
{
    if (session_begin(s, reterr))
        return -1;
    for (size_t i = 0; i < c->count; i++)
        if (write_step(s, c, &c->steps[i], reterr))
            return -1;
    if (write_removed(s, c, reterr) || write_fingerprints(s, c, reterr))
        return -1;
    return session_commit(s, reterr);
}

/* --- loaded --- */

int pgsink_steps_loaded(struct sink *sink, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};

    return session_query(
        s, DOING,
        "UPDATE pgrekey.mapping_step m SET state = 'current' WHERE pipeline = $1 AND state IN ('new', 'back') "
        "AND kind <> 'derivation' AND EXISTS (SELECT FROM pgrekey.snapshot_part p "
        "WHERE p.pipeline = m.pipeline AND m.step = ANY (p.rules)) AND NOT EXISTS (SELECT FROM "
        "pgrekey.snapshot_part p WHERE p.pipeline = m.pipeline AND m.step = ANY (p.rules) AND NOT p.done)",
        1, params, NULL, reterr);
}
