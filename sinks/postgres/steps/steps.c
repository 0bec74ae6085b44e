#include "sinks/postgres/steps/steps.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/state/state.h"
#include "sinks/postgres/steps/steps_work.h"

#define SQL_MAX ((size_t)1 << 16)

#define RECORD                                                                                                         \
    "SELECT step, kind, identity_fingerprint, fingerprint, entity, state, coalesce(accept_rows::text, ''), "           \
    "coalesce(accept_ppm::text, ''), target_table, skipped, source_table FROM pgrekey.mapping_step WHERE pipeline = "  \
    "$1 ORDER BY "                                                                                                     \
    "step"

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
        step->rule = rule;
        step->skipped = rule->skip;
        step->name = rule->name;
        step->kind = rule->mirror ? "mirror" : "rule";
        step->entity = rule->entity ? rule->entity : "";
        step->source = table_text(arena, rule->from_schema, rule->from_table);
        step->target = table_text(arena, rule->to_schema, rule->to_table);
        put_accepted(arena, &rule->accept_loss, step);
    } else {
        const struct derivation *derivation = map_derivation(map, (size_t)from->index);
        step->derivation = derivation;
        step->skipped = derivation->skip;
        step->name = derivation->name;
        step->kind = "derivation";
        step->entity = derivation->entity ? derivation->entity : "";
        step->source = "";
        step->target = table_text(arena, derivation->to_schema, derivation->to_table);
        put_accepted(arena, &derivation->accept_loss, step);
    }
    map_step_fingerprint(map, from, step->whole, step->identity);
}

struct step *steps_of(const struct map *map, struct arena *arena, size_t *ret_count)
{
    const struct map_step *from = map_steps(map, ret_count);
    struct step *steps = arena_zalloc(arena, *ret_count + 1, sizeof(*steps));

    for (size_t i = 0; i < *ret_count; i++)
        describe_step(map, arena, &from[i], &steps[i]);
    return steps;
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

int steps_find_recorded(const struct compare *c, const char *name)
{
    for (int i = 0; i < PQntuples(c->record); i++)
        if (strcmp(PQgetvalue(c->record, i, RECORD_NAME), name) == 0)
            return i;
    return -1;
}

const struct step *steps_find(const struct compare *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->steps[i].name, name) == 0)
            return &c->steps[i];
    return NULL;
}

/* Does another step write the table already, and goes on to? One that only changed its name is another step. */
static bool is_shared(const struct compare *c, const struct step *step)
{
    for (int i = 0; i < PQntuples(c->record); i++)
        if (!steps_is_state(c, i, "removed") && steps_find(c, PQgetvalue(c->record, i, RECORD_NAME)) &&
            strcmp(PQgetvalue(c->record, i, RECORD_TARGET), step->target) == 0)
            return true;
    return false;
}

/* May its table hold rows, for they are others' or its own? Where another rule's rows stand in it, nothing would tell
 * these from what is to be adopted. */
static bool begins_with_rows(const struct compare *c, const struct step *step)
{
    const struct adopt *adopt = step->rule ? &step->rule->adopt : &step->derivation->adopt;

    if (step->rule ? step->rule->mirror : !step->derivation->owns_rows)
        return true;
    return is_shared(c, step) != (adopt->by != ADOPT_NONE);
}

/* As before a first snapshot: what stands in its table could be anybody's. */
static int check_newcomer(const struct compare *c, const struct step *step, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql;
    bool empty;

    if (begins_with_rows(c, step))
        return 0;
    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "SELECT NOT EXISTS (SELECT FROM ");
    pg_put_qualified(&sql, step->rule ? step->rule->to_schema : step->derivation->to_schema,
                     step->rule ? step->rule->to_table : step->derivation->to_table);
    buf_puts(&sql, ")");
    int failed = ask(c, session_text(&sql), 0, NULL, &result, reterr);
    buf_done(&sql);
    if (failed)
        return -1;
    empty = *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    if (empty)
        return 0;
    (void)err_set(reterr, ERR_REFUSED, "%s %s joins pipeline %s, but target table %s is not empty", step->kind,
                  step->name, c->pipeline, step->target);
    return err_hint(reterr, "empty it, map another one, or leave it out");
}

bool steps_is_moved(const struct compare *c, int at, const struct step *step)
{
    char identity[FINGERPRINT_TEXT_MAX];
    const char *source = PQgetvalue(c->record, at, RECORD_SOURCE), *dot = strchr(source, '.');

    if (!step->rule || step->rule->mirror || !dot || !c->streaming || strcmp(source, step->source) == 0)
        return false;
    const char *schema = arena_strndup(c->arena, source, (size_t)(dot - source));
    for (int unnamed = 0; unnamed < 2; unnamed++) { /* a name that was made of the old table's is spelled out now */
        map_rule_identity_from(c->map, step->rule, schema, dot + 1, unnamed, identity);
        if (steps_same(c, at, RECORD_IDENTITY, identity))
            return true;
    }
    return false;
}

static int check_step(const struct compare *c, const struct step *step, struct err *reterr)
{
    int at = steps_find_recorded(c, step->name);

    if (at < 0)
        return c->streaming ? check_newcomer(c, step, reterr) : 0;
    if (strcmp(PQgetvalue(c->record, at, RECORD_IDENTITY), step->identity) == 0 || steps_is_moved(c, at, step))
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
    if (!failed && write && steps_write_all(s, &c, reterr)) {
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

static void add_change(struct sink_step *steps, size_t *count, const char *name, const char *kind, const char *source,
                       const char *state)
{
    steps[(*count)++] = (struct sink_step){mem_strdup(name), mem_strdup(kind), mem_strdup(source), mem_strdup(state)};
}

static void list_changes(const struct compare *c, struct sink_step *steps, size_t *ret_count)
{
    *ret_count = 0;
    for (size_t i = 0; i < c->count; i++) {
        const struct step *step = &c->steps[i];
        int at = steps_find_recorded(c, step->name);
        if (at < 0)
            add_change(steps, ret_count, step->name, step->kind, step->source, "new");
        else if ((steps_is_state(c, at, "removed") && step->rule) || steps_is_moved(c, at, step))
            add_change(steps, ret_count, step->name, step->kind, step->source, "back");
        else if (!steps_same(c, at, RECORD_WHOLE, step->whole) || steps_is_state(c, at, "removed"))
            add_change(steps, ret_count, step->name, step->kind, step->source, "changed");
    }
    for (int i = 0; i < PQntuples(c->record); i++)
        if (!steps_is_state(c, i, "removed") && !steps_find(c, PQgetvalue(c->record, i, RECORD_NAME)))
            add_change(steps, ret_count, PQgetvalue(c->record, i, RECORD_NAME), PQgetvalue(c->record, i, RECORD_KIND),
                       "", "removed");
}

int pipeline_compare_mapping(PGconn *conn, const char *pipeline, const struct map *map, struct sink_step **ret_steps,
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

int pgsink_steps_due(struct sink *sink, struct sink_step **ret_steps, size_t *ret_count, struct err *reterr)
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
        (*ret_steps)[i] = (struct sink_step){
            .name = mem_strdup(PQgetvalue(result, (int)i, 0)),
            .kind = mem_strdup(PQgetvalue(result, (int)i, 1)),
            .source_table = mem_strdup(PQgetvalue(result, (int)i, 2)),
            .state = mem_strdup(PQgetvalue(result, (int)i, 3)),
        };
    PQclear(result);
    return 0;
}
