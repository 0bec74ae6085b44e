#include "sinks/postgres/steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/audit.h"
#include "sinks/postgres/session.h"
#include "sinks/postgres/state.h"

/* A step of the mapping as it is now. */
struct step {
    const char *name, *kind, *entity; /* entity: "" where it owns none */
    const char *source, *target;      /* "schema.table"; source "" of a derivation */
    const char *accept_rows, *accept_ppm;
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
};

/* The mapping beside its record: by any session, a running engine or not. */
struct compare {
    PGconn *conn;
    const char *pipeline;
    const struct map *map;
    struct arena *arena;
    bool streaming; /* else in the midst of a snapshot */
    struct step *steps;
    size_t count;
    PGresult *record; /* columns as in RECORD */
};

enum {
    RECORD_NAME,
    RECORD_KIND,
    RECORD_IDENTITY,
    RECORD_WHOLE,
    RECORD_ENTITY,
    RECORD_STATE,
    RECORD_ACCEPT_ROWS,
    RECORD_ACCEPT_PPM
};
#define RECORD                                                                                                         \
    "SELECT step, kind, identity_fingerprint, fingerprint, entity, state, coalesce(accept_rows::text, ''), "           \
    "coalesce(accept_ppm::text, '') FROM pgrekey.mapping_step WHERE pipeline = $1 ORDER BY step"

/* --- the steps as they are --- */

static const char *table_text(struct arena *arena, const char *schema, const char *table)
{
    return arena_printf(arena, "%s.%s", schema, table);
}

static void put_accepted(struct arena *arena, const struct accept_loss *loss, struct step *step)
{
    const char *text = arena_printf(arena, "%" PRIu64, loss->value);
    step->accept_rows = loss->kind == LOSS_ROWS ? text : NULL;
    step->accept_ppm = loss->kind == LOSS_PPM ? text : NULL;
}

static void describe_step(const struct map *map, struct arena *arena, const struct map_step *from, struct step *step)
{
    if (from->kind == STEP_RULE) {
        const struct rule *rule = map_rule(map, (size_t)from->index);
        step->name = rule->name;
        step->kind = rule->mirror ? "mirror" : "rule";
        step->entity = rule->entity ? rule->entity : "";
        step->source = table_text(arena, rule->from_schema, rule->from_table);
        step->target = table_text(arena, rule->to_schema, rule->to_table);
        put_accepted(arena, &rule->accept_loss, step);
    } else {
        const struct derivation *derivation = map_derivation(map, (size_t)from->index);
        step->name = derivation->name;
        step->kind = "derivation";
        step->entity = derivation->entity ? derivation->entity : "";
        step->source = "";
        step->target = table_text(arena, derivation->to_schema, derivation->to_table);
        put_accepted(arena, &derivation->accept_loss, step);
    }
    map_step_fingerprint(map, from, step->whole, step->identity);
}

static struct step *steps_of(const struct map *map, struct arena *arena, size_t *ret_count)
{
    const struct map_step *from = map_steps(map, ret_count);
    struct step *steps = arena_zalloc(arena, *ret_count + 1, sizeof(*steps));

    for (size_t i = 0; i < *ret_count; i++)
        describe_step(map, arena, &from[i], &steps[i]);
    return steps;
}

/* state NULL: stays as it is where the step is on record. */
static int put_step(struct pgsink *s, const struct step *step, const char *state, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, step->name,       step->kind,   step->identity,
                            step->whole,         step->entity,     step->source, step->target,
                            step->accept_rows,   step->accept_ppm, state};

    return session_query(
        s, "recording the mapping",
        "INSERT INTO pgrekey.mapping_step AS m (pipeline, step, kind, identity_fingerprint, fingerprint, entity, "
        "source_table, target_table, accept_rows, accept_ppm, state) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::bigint, $10::bigint, coalesce($11, 'current')) "
        "ON CONFLICT (pipeline, step) DO UPDATE SET kind = excluded.kind, "
        "identity_fingerprint = excluded.identity_fingerprint, fingerprint = excluded.fingerprint, "
        "entity = excluded.entity, source_table = excluded.source_table, target_table = excluded.target_table, "
        "accept_rows = excluded.accept_rows, accept_ppm = excluded.accept_ppm, state = coalesce($11, m.state)",
        11, params, NULL, reterr);
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

/* --- what stands in the way --- */

static int begin_again(struct err *reterr)
{
    return err_hint(reterr, "bring it back; or `pgrekey drop` and begin again with empty target tables");
}

static int ask(const struct compare *c, const char *sql, int param_count, const char *const *params,
               PGresult **ret_result, struct err *reterr)
{
    return pg_query(c->conn, SIDE, "reading the mapping's record", sql, param_count, params, ret_result, reterr);
}

static int check_namespace(const struct compare *c, struct err *reterr)
{
    char space[UUID_TEXT_LEN + 1];
    const char *params[2] = {c->pipeline, space};
    PGresult *result = NULL;
    bool same;

    uuid_format(map_namespace(c->map), space);
    if (ask(c, "SELECT namespace = $2::uuid FROM pgrekey.namespace WHERE pipeline = $1", 2, params, &result, reterr))
        return -1;
    same = PQntuples(result) == 0 || *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (same)
        return 0;
    (void)err_set(reterr, ERR_REFUSED,
                  "the mapping's namespace is not the one that pipeline %s was begun with: all rows would get other "
                  "identities",
                  c->pipeline);
    return begin_again(reterr);
}

static int find_recorded(const struct compare *c, const char *name)
{
    for (int i = 0; i < PQntuples(c->record); i++)
        if (strcmp(PQgetvalue(c->record, i, RECORD_NAME), name) == 0)
            return i;
    return -1;
}

static const struct step *find_step(const struct compare *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->steps[i].name, name) == 0)
            return &c->steps[i];
    return NULL;
}

static int refuse_newcomer(const struct compare *c, const struct step *step, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "%s %s joined pipeline %s after it was begun: %s%s", step->kind, step->name,
                  c->pipeline, *step->source ? "no snapshot has copied table " : "nothing has computed its rows yet",
                  step->source);
    return err_hint(reterr,
                    "leave it out (of `copy:` by dropping or renaming the new target table %s), and the pipeline goes "
                    "on without it; or `pgrekey drop` and begin again with empty target tables",
                    step->target);
}

static int check_step(const struct compare *c, const struct step *step, struct err *reterr)
{
    int at = find_recorded(c, step->name);

    if (at < 0)
        return refuse_newcomer(c, step, reterr);
    if (strcmp(PQgetvalue(c->record, at, RECORD_IDENTITY), step->identity) == 0)
        return 0;
    (void)err_set(reterr, ERR_REFUSED,
                  "%s %s has not the tables, entities or key that pipeline %s was begun with: the same rows would get "
                  "other identities",
                  step->kind, step->name, c->pipeline);
    return begin_again(reterr);
}

/* In the midst of a snapshot what is copied and what is not must be of one mapping. */
static int check_unchanged(const struct compare *c, const char *whole, const char *recorded, struct err *reterr)
{
    if (c->streaming || strcmp(whole, recorded) == 0)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "the mapping is not the one that pipeline %s takes its snapshot with",
                  c->pipeline);
    return err_hint(reterr, "bring the old one back until the snapshot is there; or `pgrekey drop` and begin again "
                            "with empty target tables");
}

/* --- what is written --- */

static bool is_state(const struct compare *c, int at, const char *state)
{
    return strcmp(PQgetvalue(c->record, at, RECORD_STATE), state) == 0;
}

static bool same_text(const struct compare *c, int at, int column, const char *text)
{
    return strcmp(PQgetvalue(c->record, at, column), text ? text : "") == 0;
}

static int write_step(struct pgsink *s, const struct compare *c, const struct step *step, struct err *reterr)
{
    int at = find_recorded(c, step->name);
    bool same = same_text(c, at, RECORD_WHOLE, step->whole), back = is_state(c, at, "removed");

    if (same && !back && same_text(c, at, RECORD_ACCEPT_ROWS, step->accept_rows) &&
        same_text(c, at, RECORD_ACCEPT_PPM, step->accept_ppm))
        return 0;
    if ((!same || back) && audit_put(s, "mapping", step->name, 0, back ? "taken up again" : "changed", reterr))
        return -1;
    return put_step(s, step, same && !back ? NULL : "changed", reterr);
}

/* A mirror's table goes with it, and so does all that counts its rows: back again, it is a new one. */
static int forget_mirror(struct pgsink *s, const char *name, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, name};

    return session_query(s, "forgetting a mirror",
                         "WITH c AS (DELETE FROM pgrekey.counter WHERE pipeline = $1 AND rule = $2), "
                         "q AS (DELETE FROM pgrekey.quarantine WHERE pipeline = $1 AND rule = $2), "
                         "p AS (DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2), "
                         "g AS (DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2) "
                         "DELETE FROM pgrekey.mapping_step WHERE pipeline = $1 AND step = $2",
                         2, params, NULL, reterr);
}

static int mark_removed(struct pgsink *s, const char *name, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, name};

    return session_query(s, "recording the mapping",
                         "UPDATE pgrekey.mapping_step SET state = 'removed' WHERE pipeline = $1 AND step = $2", 2,
                         params, NULL, reterr);
}

static int write_removed(struct pgsink *s, const struct compare *c, struct err *reterr)
{
    for (int i = 0; i < PQntuples(c->record); i++) {
        const char *name = PQgetvalue(c->record, i, RECORD_NAME);
        bool mirror = strcmp(PQgetvalue(c->record, i, RECORD_KIND), "mirror") == 0;
        if (is_state(c, i, "removed") || find_step(c, name))
            continue;
        if ((mirror ? forget_mirror(s, name, reterr) : mark_removed(s, name, reterr)) ||
            audit_put(s, "mapping", name, 0, "removed", reterr))
            return -1;
    }
    return 0;
}

static int write_fingerprints(struct pgsink *s, const char *whole, const char *identity, struct err *reterr)
{
    const char *params[3] = {s->options.pipeline, whole, identity};

    return session_query(s, "recording the mapping",
                         "UPDATE pgrekey.pipeline SET fingerprint = $2, identity_fingerprint = $3 WHERE name = $1 "
                         "AND (fingerprint <> $2 OR identity_fingerprint <> $3)",
                         3, params, NULL, reterr);
}

static int write_all(struct pgsink *s, const struct compare *c, struct err *reterr)
{
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];

    map_fingerprint(c->map, whole, identity);
    if (session_begin(s, reterr))
        return -1;
    for (size_t i = 0; i < c->count; i++)
        if (write_step(s, c, &c->steps[i], reterr))
            return -1;
    if (write_removed(s, c, reterr) || write_fingerprints(s, whole, identity, reterr))
        return -1;
    return session_commit(s, reterr);
}

/* Reads the record and refuses what must not be. The caller clears c->record. */
static int compare(struct compare *c, const char *recorded, struct err *reterr)
{
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];

    c->steps = steps_of(c->map, c->arena, &c->count);
    map_fingerprint(c->map, whole, identity);
    if (ask(c, RECORD, 1, &c->pipeline, &c->record, reterr) || check_namespace(c, reterr))
        return -1;
    for (size_t i = 0; i < c->count; i++)
        if (check_step(c, &c->steps[i], reterr))
            return -1;
    return check_unchanged(c, whole, recorded, reterr);
}

static int compare_own(struct pgsink *s, bool write, struct err *reterr)
{
    struct compare c = {.conn = s->conn,
                        .pipeline = s->options.pipeline,
                        .map = s->options.map,
                        .arena = &s->scratch,
                        .streaming = s->state == PIPELINE_STREAMING};
    int failed;

    arena_reset(&s->scratch, 0);
    failed = compare(&c, s->fingerprint, reterr);
    if (!failed && write && write_all(s, &c, reterr)) {
        session_rollback(s);
        failed = -1;
    }
    PQclear(c.record);
    return failed;
}

int steps_check(struct pgsink *s, struct err *reterr)
{
    return compare_own(s, false, reterr);
}

int steps_write(struct pgsink *s, struct err *reterr)
{
    return compare_own(s, true, reterr);
}

/* --- for whoever looks --- */

static void add_change(struct pgsink_step *steps, size_t *count, const char *name, const char *kind, const char *source,
                       const char *state)
{
    steps[(*count)++] = (struct pgsink_step){mem_strdup(name), mem_strdup(kind), mem_strdup(source), mem_strdup(state)};
}

static void list_changes(const struct compare *c, struct pgsink_step *steps, size_t *ret_count)
{
    *ret_count = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct step *step = &c->steps[i];
        int at = find_recorded(c, step->name);
        if (!same_text(c, at, RECORD_WHOLE, step->whole) || is_state(c, at, "removed"))
            add_change(steps, ret_count, step->name, step->kind, step->source, "changed");
    }
    for (int i = 0; i < PQntuples(c->record); i++)
        if (!is_state(c, i, "removed") && !find_step(c, PQgetvalue(c->record, i, RECORD_NAME)))
            add_change(steps, ret_count, PQgetvalue(c->record, i, RECORD_NAME), PQgetvalue(c->record, i, RECORD_KIND),
                       "", "removed");
}

int pipeline_compare_mapping(PGconn *conn, const char *pipeline, const struct map *map, struct pgsink_step **ret_steps,
                             size_t *ret_count, struct err *reterr)
{
    struct arena arena;
    struct compare c = {.conn = conn, .pipeline = pipeline, .map = map, .arena = &arena};
    PGresult *result = NULL;
    int failed;

    if (ask(&c, "SELECT state, fingerprint FROM pgrekey.pipeline WHERE name = $1", 1, &pipeline, &result, reterr))
        return -1;
    *ret_steps = NULL;
    *ret_count = 0;
    arena_init(&arena, 0);
    c.streaming = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "streaming") == 0;
    failed = PQntuples(result) == 1 ? compare(&c, PQgetvalue(result, 0, 1), reterr) : 0;
    if (!failed && c.record) {
        *ret_steps = mem_zalloc(c.count + (size_t)PQntuples(c.record) + 1, sizeof(**ret_steps));
        list_changes(&c, *ret_steps, ret_count);
    }
    PQclear(c.record);
    PQclear(result);
    arena_done(&arena);
    return failed;
}

/* --- what is due --- */

static int mark(struct pgsink *s, const struct rule *rule, const char *state, struct err *reterr)
{
    const char *params[3] = {s->options.pipeline, rule->name, state};

    return session_query(s, "recording the mapping",
                         "UPDATE pgrekey.mapping_step SET state = $3 WHERE pipeline = $1 AND step = $2 AND state <> $3",
                         3, params, NULL, reterr);
}

int steps_mark_changed(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    return mark(s, rule, "changed", reterr);
}

int steps_mark_current(struct pgsink *s, const struct rule *rule, struct err *reterr)
{
    return mark(s, rule, "current", reterr);
}

int pgsink_steps_due(struct sink *sink, struct pgsink_step **ret_steps, size_t *ret_count, struct err *reterr)
{
    struct pgsink *s = pgsink_of(sink);
    const char *params[1] = {s->options.pipeline};
    PGresult *result = NULL;

    if (session_query(s, "reading the mapping's record",
                      "SELECT step, kind, source_table, state FROM pgrekey.mapping_step WHERE pipeline = $1 "
                      "AND state <> 'current' ORDER BY state, step",
                      1, params, &result, reterr))
        return -1;
    *ret_count = (size_t)PQntuples(result);
    *ret_steps = mem_zalloc(*ret_count + 1, sizeof(**ret_steps));
    for (size_t i = 0; i < *ret_count; i++)
        (*ret_steps)[i] = (struct pgsink_step){
            .name = mem_strdup(PQgetvalue(result, (int)i, 0)),
            .kind = mem_strdup(PQgetvalue(result, (int)i, 1)),
            .source_table = mem_strdup(PQgetvalue(result, (int)i, 2)),
            .state = mem_strdup(PQgetvalue(result, (int)i, 3)),
        };
    PQclear(result);
    return 0;
}

void pgsink_steps_free(struct pgsink_step *steps, size_t count)
{
    for (size_t i = 0; steps && i < count; i++) {
        free(steps[i].name);
        free(steps[i].kind);
        free(steps[i].source_table);
        free(steps[i].state);
    }
    free(steps);
}
