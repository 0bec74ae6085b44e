/* Where a rule has no mark, nobody asks for one. */
#include "sinks/postgres/marks.h"

#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/parents.h"
#include "sinks/postgres/rowmode.h"
#include "sinks/postgres/rowwork.h"

#define NOTED_MAX 4096

int gone_find(struct pgsink *s, const struct rule *rule, const char *key, bool *ret_gone, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};
    PGresult *result;

    *ret_gone = false;
    if (rule_state_of(s, rule)->gone == 0)
        return 0;
    if (session_query(s, "reading the marks of kept rows",
                      "SELECT 1 FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2 AND key = $3", 3, params, &result,
                      reterr))
        return -1;
    *ret_gone = PQntuples(result) > 0;
    PQclear(result);
    return 0;
}

int gone_put(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};

    rule_state_of(s, rule)->gone++;
    return session_query(s, "marking a kept row",
                         "INSERT INTO pgrekey.gone (pipeline, rule, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3,
                         params, NULL, reterr);
}

int gone_remove(struct pgsink *s, const struct rule *rule, const char *key, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key};

    if (rule_state_of(s, rule)->gone == 0)
        return 0;
    return session_query(s, "taking a mark off",
                         "DELETE FROM pgrekey.gone WHERE pipeline = $1 AND rule = $2 AND key = $3", 3, params, NULL,
                         reterr);
}

int pending_put(struct pgsink *s, const struct rule *rule, const char *key, const struct rule_column *column,
                const struct value *parent, struct err *reterr)
{
    const char *params[] = {s->options.pipeline,
                            rule->name,
                            key,
                            column->name,
                            column->parent_entity,
                            value_text(parent, &s->rowmode->arena)};

    rule_state_of(s, rule)->pending++;
    return session_query(
        s, "noting a reference that waits",
        "INSERT INTO pgrekey.pending_reference (pipeline, rule, key, column_name, parent_entity, parent_id)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (pipeline, rule, key, column_name) DO UPDATE"
        " SET parent_entity = excluded.parent_entity, parent_id = excluded.parent_id",
        6, params, NULL, reterr);
}

int pending_remove(struct pgsink *s, const struct rule *rule, const char *key, const char *column_or_null,
                   struct err *reterr)
{
    const char *params[] = {s->options.pipeline, rule->name, key, column_or_null};

    if (rule_state_of(s, rule)->pending == 0)
        return 0;
    return session_query(s, "forgetting a reference that waited",
                         "DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2 AND key = $3"
                         " AND ($4::text IS NULL OR column_name = $4)",
                         4, params, NULL, reterr);
}

/* --- references whose parent comes later in the same source transaction --- */

void pending_forget(struct rowmode *rm)
{
    for (size_t i = 0; i < rm->noted_count; i++) {
        free(rm->noted[i].key);
        free(rm->noted[i].parent);
    }
    rm->noted_count = 0;
}

void pending_remember(struct pgsink *s, const struct rule *rule, const char *key, size_t column,
                      const struct value *parent)
{
    struct rowmode *rm = s->rowmode;

    if (rm->noted_count == NOTED_MAX)
        return;
    if (!rm->noted)
        rm->noted = mem_alloc(NOTED_MAX * sizeof(*rm->noted));
    rm->noted[rm->noted_count++] = (struct noted_reference){
        .rule = rule, .column = column, .key = mem_strdup(key), .parent = mem_strdup(value_text(parent, &rm->arena))};
}

/* Does the note still stand? It does not where the row was written anew, deleted, or rolled back. */
static int take_note(struct pgsink *s, const struct noted_reference *noted, bool *ret_stood, struct err *reterr)
{
    const char *params[] = {s->options.pipeline, noted->rule->name, noted->key,
                            noted->rule->columns[noted->column].name, noted->parent};
    PGresult *result;

    if (session_query(s, "filling a reference",
                      "DELETE FROM pgrekey.pending_reference WHERE pipeline = $1 AND rule = $2 AND key = $3"
                      " AND column_name = $4 AND parent_id = $5 RETURNING 1",
                      5, params, &result, reterr))
        return -1;
    *ret_stood = PQntuples(result) > 0;
    PQclear(result);
    return 0;
}

/* A delete of the key tells the locator without any other column. */
static int locate_key(struct pgsink *s, const struct noted_reference *noted, const struct value **ret_locator,
                      struct err *reterr)
{
    struct arena *arena = &s->rowmode->arena;
    const struct standing key = {.rule = noted->rule, .key = noted->key, .op = CHANGE_DELETE, .image = "{}"};
    struct change *change;
    struct row *row;

    *ret_locator = NULL;
    if (quarantine_change(s, &key, arena, &change, reterr))
        return -1;
    if (!change || map_transform_rule(s->options.map, noted->rule, change, arena, &row, reterr))
        return change ? -1 : 0;
    *ret_locator = row->locator;
    return 0;
}

static int fill(struct pgsink *s, const struct noted_reference *noted, struct err *reterr)
{
    struct target *target = &rule_state_of(s, noted->rule)->target;
    const struct rule *rule = noted->rule;
    struct work w = {.rule = rule, .target = target};
    const struct value *locator;
    int64_t affected;
    bool stood;
    struct buf sql;

    arena_reset(&s->rowmode->arena, 0);
    if (locate_key(s, noted, &locator, reterr))
        return -1;
    if (!locator)
        return 0;
    if (row_savepoint(s, reterr) || take_note(s, noted, &stood, reterr))
        return -1;
    if (!stood)
        return 0;
    const char **params = arena_zalloc(&s->rowmode->arena, rule->locator_count + 1, sizeof(*params));
    params[0] = noted->parent;
    buf_init(&sql, (size_t)1 << 20);
    buf_printf(&sql, "UPDATE %s SET %s = $1", target->table, target->columns[noted->column]);
    for (size_t i = 0; i < rule->locator_count; i++) {
        params[i + 1] = value_text(&locator[i], &s->rowmode->arena);
        buf_printf(&sql, "%s%s = $%zu", i ? " AND " : " WHERE ", target->columns[rule->locator[i]], i + 2);
    }
    /* Where the target refuses it, the note stands as before. */
    enum written written =
        write_query(s, &w, session_text(&sql), (int)rule->locator_count + 1, params, &affected, reterr);
    buf_done(&sql);
    return written == WRITE_FAILED ? -1 : 0;
}

int pending_fill(struct pgsink *s, struct err *reterr)
{
    struct rowmode *rm = s->rowmode;
    struct parent_question *questions = mem_zalloc(rm->noted_count + 1, sizeof(*questions));
    struct value *values = mem_zalloc(rm->noted_count + 1, sizeof(*values));
    int failed;

    for (size_t i = 0; i < rm->noted_count; i++) {
        const char *parent = rm->noted[i].parent;
        values[i] = (struct value){.text = parent, .len = (uint32_t)strlen(parent), .state = VALUE_TEXT};
        questions[i] = (struct parent_question){.parent = rm->noted[i].rule->columns[rm->noted[i].column].parent,
                                                .value = &values[i]};
    }
    failed = parents_ask_afresh(s, questions, rm->noted_count, reterr);
    for (size_t i = 0; !failed && i < rm->noted_count; i++)
        if (questions[i].found)
            failed = fill(s, &rm->noted[i], reterr);
    free(questions);
    free(values);
    pending_forget(rm);
    return failed ? -1 : 0;
}
