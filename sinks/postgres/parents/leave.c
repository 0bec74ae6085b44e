/* Parents that go while their children live.
 *
 *     delete office 1 ─▶ users of it, living: ─▶ their orders first (the same again) ─▶ then the users
 *                            required              INSERT quarantine .. SELECT to_jsonb(row) of DELETE .. RETURNING
 *                            optional              UPDATE .. SET NULL, pgrekey.pending_reference
 *
 * Set by set: as many children at a time as memory should hold, until none is left. Living are rows that came from the
 * source, as far as their legacy columns tell (and, in a table that adopts, their ids), and are not marked as gone;
 * rows of nobody's hold their parent.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/lsn.h"
#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/parents/park.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/session/shared.h"

#define SQL_MAX ((size_t)1 << 20)
#define PIECE 5000
#define PARAMS_MAX 40
#define DEPTH_MAX 200 /* of rows that refer to rows that refer ..; a circle ends here at the latest */

/* Rows of one place that are on their way out, and those because of which they are. */
struct frame {
    size_t place;
    const char *ids; /* an array literal */
    const struct frame *up;
};

struct leaving {
    struct pgsink *s;
    int ways;                   /* PARK_… */
    const struct rule *skipped; /* whose rows all go, or NULL */
    const struct frame *frame;  /* the innermost */
    int depth;
};

/* SQL with its parameters. Array literals live in `arrays`. */
struct query {
    struct buf sql;
    const char *params[PARAMS_MAX];
    int count;
    struct buf arrays[PARAMS_MAX];
    size_t array_count;
};

static void query_init(struct query *query)
{
    *query = (struct query){0};
    buf_init(&query->sql, SQL_MAX);
}

static void query_done(struct query *query)
{
    buf_done(&query->sql);
    for (size_t i = 0; i < query->array_count; i++)
        buf_done(&query->arrays[i]);
}

static void put_param(struct query *query, const char *param)
{
    if (query->count == PARAMS_MAX) { /* cannot be sent */
        buf_puts(&query->sql, "$0");
        return;
    }
    query->params[query->count++] = param;
    buf_printf(&query->sql, "$%d", query->count);
}

static int run(struct pgsink *s, const char *doing, struct query *query, PGresult **ret_result, struct err *reterr)
{
    return session_query(s, doing, session_text(&query->sql), query->count, query->params, ret_result, reterr);
}

/* --- whose children --- */

/* Sees to itself. */
static bool is_moved(const struct leaving *leaving, const struct net_entry *entry)
{
    return net_deletes(entry) || ((leaving->ways & PARK_MOVED) && net_updates(entry));
}

/* Column `at` of the locators of all rows of a rule that the net change deletes or moves. */
static const char *moved_array(struct query *query, const struct leaving *leaving, size_t r, size_t at)
{
    const struct pgsink *s = leaving->s;
    struct buf *array = &query->arrays[query->array_count++];

    buf_init(array, SESSION_ARRAY_MAX);
    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
        if (is_moved(leaving, &s->net->entries[e]))
            session_put_array_item(array, &s->net->entries[e].locator[at]);
    return session_end_array(array);
}

static bool any_moved(const struct leaving *leaving, size_t r)
{
    const struct pgsink *s = leaving->s;

    for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
        if (is_moved(leaving, &s->net->entries[e]))
            return true;
    return false;
}

/* "EXISTS (SELECT FROM unnest(..) m WHERE m.l0 = t.id ..)" */
static void put_moved(struct query *query, const struct leaving *leaving, size_t r)
{
    const struct target *target = &leaving->s->rules[r].target;
    const struct rule *rule = target->rule;

    buf_puts(&query->sql, "EXISTS (SELECT FROM unnest(");
    for (size_t i = 0; i < rule->locator_count; i++) {
        buf_puts(&query->sql, i ? ", " : "");
        put_param(query, moved_array(query, leaving, r, i));
        buf_printf(&query->sql, "::%s[]", target->types[rule->locator[i]]);
    }
    buf_puts(&query->sql, ") m (");
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(&query->sql, "%sl%zu", i ? ", " : "", i);
    buf_puts(&query->sql, ") WHERE ");
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(&query->sql, "%sm.l%zu = t.%s", i ? " AND " : "", i, target->columns[rule->locator[i]]);
    buf_putc(&query->sql, ')');
}

/* Came from the source, and lives there. */
static void put_living(struct query *query, const struct pgsink *s, const struct reference *reference)
{
    const struct rule_state *state = &s->rules[reference->rule];
    const struct rule *rule = state->target.rule;

    for (size_t i = 0; i < rule->origin_count; i++)
        buf_printf(&query->sql, " AND t.%s IS NOT NULL", state->target.columns[rule->origin[i]]);
    adopted_put_ours(s, rule, "t.", &query->sql);
    if (!reference->required || state->gone == 0)
        return;
    if (!state->target.knows_key) { /* nothing tells the kept ones from the living */
        buf_puts(&query->sql, " AND false");
        return;
    }
    buf_puts(&query->sql, " AND NOT EXISTS (SELECT FROM pgrekey.gone x WHERE x.pipeline = ");
    put_param(query, s->options.pipeline);
    buf_puts(&query->sql, " AND x.rule = ");
    put_param(query, rule->name);
    buf_puts(&query->sql, " AND x.key = ");
    park_put_key(&query->sql, &state->target, "t");
    buf_putc(&query->sql, ')');
}

/* Not one of those that are on their way out already: rows may refer to their own like, in circles. But a reference
 * that may be NULL is taken back even so, for its row stands until what refers to that has gone. */
static void put_not_leaving(struct query *query, const struct leaving *leaving, const struct target *target)
{
    for (const struct frame *frame = leaving->frame; frame; frame = frame->up)
        for (size_t i = 0; i < target->here_count; i++) {
            if (target->here[i].place != frame->place || query->count > PARAMS_MAX / 2)
                continue;
            buf_printf(&query->sql, " AND NOT t.%s = ANY (", target->columns[target->here[i].column]);
            put_param(query, frame->ids);
            buf_printf(&query->sql, "::%s[])", target->types[target->here[i].column]);
        }
}

/* "FROM child t WHERE t.parent = ANY (ids) AND .." */
static void put_children(struct query *query, const struct leaving *leaving, const struct reference *reference,
                         const char *ids)
{
    const struct pgsink *s = leaving->s;
    const struct target *target = &s->rules[reference->rule].target;

    buf_printf(&query->sql, " FROM %s t WHERE t.%s = ANY (", target->table, target->columns[reference->column]);
    put_param(query, ids);
    buf_printf(&query->sql, "::%s[])", target->types[reference->column]);
    put_living(query, s, reference);
    if (reference->required)
        put_not_leaving(query, leaving, target);
    if ((leaving->ways & (PARK_MOVED | PARK_DELETED)) && s->net->rules[reference->rule].entry_count &&
        any_moved(leaving, reference->rule)) {
        buf_puts(&query->sql, " AND NOT ");
        put_moved(query, leaving, reference->rule);
    }
}

/* --- leaving --- */

static int leave(struct leaving *leaving, size_t place, const char *ids, struct err *reterr);

/* Column `column` of a result as an array literal. */
static const char *column_array(struct query *query, const PGresult *result, int column)
{
    struct buf *array = &query->arrays[query->array_count++];

    buf_init(array, SESSION_ARRAY_MAX);
    for (int i = 0; i < PQntuples(result); i++)
        session_put_array_item(array,
                               &(struct value){.text = PQgetvalue(result, i, column),
                                               .len = (uint32_t)PQgetlength(result, i, column),
                                               .state = PQgetisnull(result, i, column) ? VALUE_NULL : VALUE_TEXT});
    return session_end_array(array);
}

static void put_locator_text(struct query *query, const struct target *target, const char *alias)
{
    for (size_t i = 0; i < target->rule->locator_count; i++)
        buf_printf(&query->sql, "%s%s.%s::text", i ? ", " : "", alias, target->columns[target->rule->locator[i]]);
}

/* "k AS (SELECT * FROM unnest(..) k (l0, ..))", the locators of a result. */
static void put_chosen(struct query *query, const struct target *target, const PGresult *children)
{
    const struct rule *rule = target->rule;

    buf_puts(&query->sql, "k AS (SELECT * FROM unnest(");
    for (size_t i = 0; i < rule->locator_count; i++) {
        buf_puts(&query->sql, i ? ", " : "");
        put_param(query, column_array(query, children, (int)i));
        buf_printf(&query->sql, "::%s[]", target->types[rule->locator[i]]);
    }
    buf_puts(&query->sql, ") k (");
    for (size_t i = 0; i < rule->locator_count; i++)
        buf_printf(&query->sql, "%sl%zu", i ? ", " : "", i);
    buf_puts(&query->sql, "))");
}

static void put_match(struct query *query, const struct target *target, const char *chosen)
{
    for (size_t i = 0; i < target->rule->locator_count; i++)
        buf_printf(&query->sql, "%st.%s = %s.l%zu", i ? " AND " : "", target->columns[target->rule->locator[i]], chosen,
                   i);
}

/* "p.pipeline = .. AND p.rule = .. AND p.locator = ARRAY[..]": what the row g waits for by optional references. */
static void put_pending_of_row(struct query *query, const struct pgsink *s, const struct rule_state *state)
{
    buf_puts(&query->sql, "p.pipeline = ");
    put_param(query, s->options.pipeline);
    buf_puts(&query->sql, " AND p.rule = ");
    put_param(query, state->target.rule->name);
    buf_puts(&query->sql, " AND p.locator = ARRAY[");
    put_locator_text(query, &state->target, "g");
    buf_putc(&query->sql, ']');
}

/* What the row still waited for by optional references goes into what is kept of it. */
static void put_kept(struct query *query, const struct pgsink *s, const struct rule_state *state)
{
    park_put_kept(&query->sql, state->target.relation, "g");
    if (state->pending == 0)
        return;
    buf_puts(&query->sql, " || coalesce((SELECT jsonb_object_agg(p.column_name, p.parent_id)"
                          " FROM pgrekey.pending_reference p WHERE ");
    put_pending_of_row(query, s, state);
    buf_puts(&query->sql, "), '{}')");
}

static void put_forget_pending(struct query *query, const struct pgsink *s, const struct rule_state *state)
{
    if (state->pending == 0)
        return;
    buf_puts(&query->sql, ", n AS (DELETE FROM pgrekey.pending_reference p USING g WHERE ");
    put_pending_of_row(query, s, state);
    buf_putc(&query->sql, ')');
}

static void put_text(struct query *query, const char *text)
{
    put_param(query, text);
    buf_puts(&query->sql, "::text, ");
}

/* The key; where the target does not tell it, the one under which the row stands aside already, or its place. */
static void put_name(struct query *query, const struct pgsink *s, const struct target *target)
{
    if (target->knows_key) {
        park_put_key(&query->sql, target, "g");
        return;
    }
    buf_puts(&query->sql, "coalesce((SELECT x.key FROM pgrekey.quarantine x WHERE x.status <> 'resolved'"
                          " AND x.pipeline = ");
    put_param(query, s->options.pipeline);
    buf_puts(&query->sql, " AND x.rule = ");
    put_param(query, target->rule->name);
    buf_puts(&query->sql, " AND x.place = ");
    park_put_key(&query->sql, target, "g");
    buf_puts(&query->sql, " LIMIT 1), ");
    park_put_key(&query->sql, target, "g");
    buf_putc(&query->sql, ')');
}

static void put_park(struct query *query, const struct pgsink *s, const struct reference *reference,
                     const PGresult *children, const char *lsn)
{
    const struct rule_state *state = &s->rules[reference->rule];
    const struct target *target = &state->target;
    const struct rule *rule = target->rule;
    struct buf *sql = &query->sql;

    buf_puts(sql, "WITH ");
    put_chosen(query, target, children);
    buf_printf(sql, ", g AS (DELETE FROM %s t USING k WHERE ", target->table);
    put_match(query, target, "k");
    buf_puts(sql, " RETURNING t.*)");
    put_forget_pending(query, s, state);
    buf_puts(sql, " INSERT INTO pgrekey.quarantine AS q (pipeline, rule, column_name, severity, suggestion, lsn,"
                  " waits_table, source_table, target_table, op, category, reason, change, xid, waits_id, key,"
                  " target_row) SELECT ");
    put_text(query, s->options.pipeline);
    put_text(query, rule->name);
    put_text(query, rule->columns[reference->column].name);
    put_text(query, category_severity(CATEGORY_ORPHAN_REFERENCE));
    put_text(query, category_suggestion(CATEGORY_ORPHAN_REFERENCE));
    put_param(query, lsn);
    buf_puts(sql, "::pg_lsn, ");
    put_text(query, s->references.places[reference->place].label);
    put_param(query, rule->from_schema);
    buf_puts(sql, " || '.' || ");
    put_text(query, rule->from_table);
    put_param(query, rule->to_schema);
    buf_puts(sql, " || '.' || ");
    put_text(query, rule->to_table);
    buf_printf(sql, "'U', 'orphan_reference', '" PARK_REASON_GONE "', '{}', 0, g.%s::text, ",
               target->columns[reference->column]);
    put_name(query, s, target);
    buf_puts(sql, ", ");
    put_kept(query, s, state);
    buf_puts(sql, " FROM g ON CONFLICT (pipeline, rule, key) WHERE status <> 'resolved' DO UPDATE"
                  " SET target_row = coalesce(q.target_row, excluded.target_row) RETURNING (xmax = 0)");
}

/* A key that stood aside already, with its last good version on the target, counts as it did. */
static void count_parked(struct pgsink *s, const struct reference *reference, const PGresult *result)
{
    int64_t count = 0;

    for (int i = 0; i < PQntuples(result); i++)
        count += *PQgetvalue(result, i, 0) == 't';
    park_left(s, reference->rule, count);
    s->rules[reference->rule].standing += count;
    s->references.places[reference->place].waiting += count;
    parents_forget(s->parents);
}

static int park_children(struct leaving *leaving, const struct reference *reference, const PGresult *children,
                         struct err *reterr)
{
    struct pgsink *s = leaving->s;
    char lsn[LSN_TEXT_MAX];
    PGresult *result = NULL;
    struct query query;
    int rc;

    query_init(&query);
    put_park(&query, s, reference, children, lsn_format(s->lsn, lsn));
    rc = run(s, "parking rows", &query, &result, reterr);
    if (rc == 0)
        count_parked(s, reference, result);
    PQclear(result);
    query_done(&query);
    return rc;
}

/* What refers to the children leaves before them. */
static int leave_below(struct leaving *leaving, const struct reference *reference, const PGresult *children,
                       struct err *reterr)
{
    const struct target *target = &leaving->s->rules[reference->rule].target;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < target->here_count; i++) {
        struct query ids;
        query_init(&ids);
        rc = leave(leaving, target->here[i].place, column_array(&ids, children, (int)(target->rule->locator_count + i)),
                   reterr);
        query_done(&ids);
    }
    return rc;
}

/* A piece of the children; *ret_children is empty where there are no more. */
static int find_children(struct leaving *leaving, const struct reference *reference, const char *ids,
                         PGresult **ret_children, struct err *reterr)
{
    const struct target *target = &leaving->s->rules[reference->rule].target;
    struct query query;
    int rc;

    query_init(&query);
    buf_puts(&query.sql, "SELECT ");
    put_locator_text(&query, target, "t");
    for (size_t i = 0; i < target->here_count; i++)
        buf_printf(&query.sql, ", t.%s::text", target->columns[target->here[i].column]);
    put_children(&query, leaving, reference, ids);
    buf_printf(&query.sql, " LIMIT %d", PIECE);
    rc = run(leaving->s, "looking for rows that refer to one that goes", &query, ret_children, reterr);
    query_done(&query);
    return rc;
}

static int leave_required(struct leaving *leaving, const struct reference *reference, const char *ids,
                          struct err *reterr)
{
    for (;;) {
        PGresult *children = NULL;
        int rc, count;

        if (find_children(leaving, reference, ids, &children, reterr))
            return -1;
        count = PQntuples(children);
        rc = count && (derive_touch_found(leaving->s, leaving->s->rules[reference->rule].target.rule, children,
                                          reterr) ||
                       leave_below(leaving, reference, children, reterr) ||
                       park_children(leaving, reference, children, reterr))
                 ? -1
                 : 0;
        PQclear(children);
        if (rc || count < PIECE)
            return rc;
    }
}

/* Rows that the net change deletes or moves do that behind the parent's delete where no order holds for them: they let
 * go of it now, without a note, for it is they who say what will stand there. */
static int release_moved(struct leaving *leaving, const struct reference *reference, const char *ids,
                         struct err *reterr)
{
    struct pgsink *s = leaving->s;
    const struct target *target = &s->rules[reference->rule].target;
    const struct rule_column *own = &target->rule->columns[reference->column];
    const char *column = target->columns[reference->column];
    struct query query;
    int rc;

    if (!(leaving->ways & PARK_MOVED) || (!own->second_pass && own->parent != target->rule) ||
        s->net->rules[reference->rule].entry_count == 0 || !any_moved(leaving, reference->rule))
        return 0;
    query_init(&query);
    buf_printf(&query.sql, "UPDATE %s t SET %s = NULL WHERE t.%s = ANY (", target->table, column, column);
    put_param(&query, ids);
    buf_printf(&query.sql, "::%s[]) AND ", target->types[reference->column]);
    put_moved(&query, leaving, reference->rule);
    rc = run(s, "taking references back", &query, NULL, reterr);
    query_done(&query);
    return rc;
}

static int leave_optional(struct leaving *leaving, const struct reference *reference, const char *ids,
                          struct err *reterr)
{
    struct pgsink *s = leaving->s;
    struct target *target = &s->rules[reference->rule].target;
    const char *column = target->columns[reference->column];
    struct place *place = &s->references.places[reference->place];
    PGresult *result = NULL;
    struct query query;
    int64_t count;
    int rc;

    if (derive_touch_reference(s, reference, ids, false, reterr))
        return -1;
    query_init(&query);
    buf_printf(&query.sql, "WITH o AS (SELECT t.%s::text AS was, ", column);
    park_put_key(&query.sql, target, "t");
    buf_puts(&query.sql, " AS key, ARRAY[");
    put_locator_text(&query, target, "t");
    buf_puts(&query.sql, "] AS locator");
    for (size_t i = 0; i < target->rule->locator_count; i++)
        buf_printf(&query.sql, ", t.%s AS l%zu", target->columns[target->rule->locator[i]], i);
    put_children(&query, leaving, reference, ids);
    buf_printf(&query.sql, "), u AS (UPDATE %s t SET %s = NULL FROM o WHERE ", target->table, column);
    put_match(&query, target, "o");
    buf_puts(&query.sql, ") INSERT INTO pgrekey.pending_reference (pipeline, rule, column_name, parent_entity,"
                         " parent_table, key, parent_id, locator) SELECT ");
    put_text(&query, s->options.pipeline);
    put_text(&query, target->rule->name);
    put_text(&query, target->rule->columns[reference->column].name);
    put_text(&query, target->rule->columns[reference->column].parent_entity);
    put_text(&query, place->label);
    buf_puts(&query.sql, "o.key, o.was, o.locator FROM o ON CONFLICT (pipeline, rule, key, column_name) DO UPDATE SET"
                         " parent_table = excluded.parent_table, parent_id = excluded.parent_id,"
                         " locator = excluded.locator");
    rc = run(s, "taking references back", &query, &result, reterr);
    count = rc == 0 ? strtoll(PQcmdTuples(result), NULL, 10) : 0;
    s->rules[reference->rule].pending += count;
    place->pending += count;
    PQclear(result);
    query_done(&query);
    return rc || (count && derive_touch_reference(s, reference, ids, true, reterr)) ? -1 : 0;
}

static int leave(struct leaving *leaving, size_t place, const char *ids, struct err *reterr)
{
    const struct references *references = &leaving->s->references;
    const struct frame frame = {.place = place, .ids = ids, .up = leaving->frame};
    int rc = 0;

    if (leaving->depth == DEPTH_MAX)
        return err_set(reterr, ERR_POISON, "rows refer to one another in too long a chain");
    if (shared_reach_out(leaving->s, reterr))
        return -1;
    leaving->depth++;
    leaving->frame = &frame;
    if (!(leaving->ways & PARK_NOT_DERIVED))
        rc = derive_release(leaving->s, place, ids, leaving->ways, reterr);
    for (size_t i = 0; rc == 0 && i < references->count; i++) {
        const struct reference *reference = &references->items[i];
        if (reference->place != place || leaving->s->rules[reference->rule].target.rule == leaving->skipped)
            continue;
        rc = reference->required ? leave_required(leaving, reference, ids, reterr)
             : release_moved(leaving, reference, ids, reterr) || leave_optional(leaving, reference, ids, reterr) ? -1
                                                                                                                 : 0;
    }
    leaving->frame = frame.up;
    leaving->depth--;
    return rc;
}

/* --- whoever deletes --- */

int park_row_leaving(struct pgsink *s, const struct rule *rule, const struct value *locator, struct err *reterr)
{
    const struct target *target = &rule_state_of(s, rule)->target;
    struct leaving leaving = {.s = s};
    PGresult *row = NULL;
    struct query query;
    int rc = 0;

    if (target->here_count == 0)
        return 0;
    if (target->here_count == 1 && rule->locator_count == 1 && rule->locator[0] == target->here[0].column) {
        struct buf ids;
        buf_init(&ids, SESSION_ARRAY_MAX);
        session_put_array_item(&ids, &locator[0]);
        rc = leave(&leaving, target->here[0].place, session_end_array(&ids), reterr);
        buf_done(&ids);
        return rc;
    }
    query_init(&query);
    for (size_t i = 0; i < target->here_count; i++)
        buf_printf(&query.sql, "%s t.%s::text", i ? "," : "SELECT", target->columns[target->here[i].column]);
    buf_printf(&query.sql, " FROM %s t", target->table);
    for (size_t i = 0; i < rule->locator_count; i++) {
        buf_printf(&query.sql, "%s t.%s = ", i ? " AND" : " WHERE", target->columns[rule->locator[i]]);
        put_param(&query, locator[i].state == VALUE_TEXT
                              ? arena_strndup(&s->rowmode->arena, locator[i].text, locator[i].len)
                              : NULL);
    }
    rc = run(s, "looking for a row", &query, &row, reterr);
    query_done(&query);
    for (size_t i = 0; rc == 0 && PQntuples(row) && i < target->here_count; i++) {
        struct query ids;
        query_init(&ids);
        rc = leave(&leaving, target->here[i].place, column_array(&ids, row, (int)i), reterr);
        query_done(&ids);
    }
    PQclear(row);
    return rc;
}

/* The keys of a group of deletes at one of their places: known where it is what they are found by, else asked for. */
static int group_ids(struct pgsink *s, size_t r, const struct here *here, const uint32_t *entries, size_t count,
                     struct query *ids, const char **ret_ids, struct err *reterr)
{
    const struct target *target = &s->rules[r].target;
    const struct rule *rule = target->rule;
    PGresult *result = NULL;
    struct query query;
    int rc;

    if (rule->locator_count == 1 && rule->locator[0] == here->column) {
        struct buf *array = &ids->arrays[ids->array_count++];
        buf_init(array, SESSION_ARRAY_MAX);
        for (size_t i = 0; i < count; i++)
            session_put_array_item(array, &s->net->entries[entries[i]].locator[0]);
        *ret_ids = session_end_array(array);
        return 0;
    }
    query_init(&query);
    buf_printf(&query.sql, "SELECT t.%s::text FROM %s t JOIN unnest(", target->columns[here->column], target->table);
    for (size_t l = 0; l < rule->locator_count; l++) {
        struct buf *array = &query.arrays[query.array_count++];
        buf_init(array, SESSION_ARRAY_MAX);
        for (size_t i = 0; i < count; i++)
            session_put_array_item(array, &s->net->entries[entries[i]].locator[l]);
        buf_puts(&query.sql, l ? ", " : "");
        put_param(&query, session_end_array(array));
        buf_printf(&query.sql, "::%s[]", target->types[rule->locator[l]]);
    }
    buf_puts(&query.sql, ") k (");
    for (size_t l = 0; l < rule->locator_count; l++)
        buf_printf(&query.sql, "%sl%zu", l ? ", " : "", l);
    buf_puts(&query.sql, ") ON ");
    put_match(&query, target, "k");
    rc = run(s, "looking for rows", &query, &result, reterr);
    query_done(&query);
    if (rc == 0)
        *ret_ids = column_array(ids, result, 0);
    PQclear(result);
    return rc;
}

int park_group_leaving(struct pgsink *s, size_t rule_index, const uint32_t *entries, size_t count, struct err *reterr)
{
    const struct target *target = &s->rules[rule_index].target;
    struct leaving leaving = {.s = s, .ways = PARK_MOVED};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < target->here_count; i++) {
        const char *array = NULL;
        struct query ids;
        query_init(&ids);
        rc = group_ids(s, rule_index, &target->here[i], entries, count, &ids, &array, reterr) ||
                     leave(&leaving, target->here[i].place, array, reterr)
                 ? -1
                 : 0;
        query_done(&ids);
    }
    return rc;
}

/* Those of the relation's keys that some row refers to. */
static void put_needed(struct query *query, const struct pgsink *s, size_t place, const char *relation,
                       const char *column)
{
    const struct references *references = &s->references;
    const char *before = "";

    buf_printf(&query->sql, "SELECT DISTINCT r.%s::text FROM %s r WHERE ", column, relation);
    if (references_derived(references, place)) {
        buf_puts(&query->sql, "true");
        return;
    }
    for (size_t i = 0; i < references->count; i++) {
        const struct target *target = &s->rules[references->items[i].rule].target;
        if (references->items[i].place != place)
            continue;
        buf_printf(&query->sql, "%sEXISTS (SELECT FROM %s t WHERE t.%s = r.%s)", before, target->table,
                   target->columns[references->items[i].column], column);
        before = " OR ";
    }
}

static int relation_leaving(struct leaving *leaving, size_t place, const char *relation, const char *column,
                            int param_count, const char *const *params, struct err *reterr)
{
    PGresult *result = NULL;
    struct query query;
    int rc;

    query_init(&query);
    for (int i = 0; i < param_count; i++)
        query.params[query.count++] = params[i];
    put_needed(&query, leaving->s, place, relation, column);
    rc = run(leaving->s, "looking for rows that refer to others that go", &query, &result, reterr);
    query_done(&query);
    if (rc == 0 && PQntuples(result)) {
        struct query ids;
        query_init(&ids);
        rc = leave(leaving, place, column_array(&ids, result, 0), reterr);
        query_done(&ids);
    }
    PQclear(result);
    return rc;
}

static bool stands_at(const struct place *place, const char *schema, const char *table)
{
    return strcmp(place->name, table) == 0 && strcmp(place->schema, schema) == 0;
}

int park_leaving(struct pgsink *s, const char *schema, const char *table, const char *relation, const char *column,
                 int param_count, const char *const *params, int ways, struct err *reterr)
{
    struct leaving leaving = {.s = s, .ways = ways};

    for (size_t p = 0; p < s->references.place_count; p++)
        if (stands_at(&s->references.places[p], schema, table) &&
            strcmp(s->references.places[p].column_name, column) == 0)
            return relation_leaving(&leaving, p, relation, s->references.places[p].column, param_count, params, reterr);
    return 0;
}

int park_rule_leaving(struct pgsink *s, const struct rule *rule, const char *from_source, struct err *reterr)
{
    const struct target *target = &rule_state_of(s, rule)->target;
    struct leaving leaving = {.s = s, .skipped = rule};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < target->here_count; i++) {
        const char *column = target->columns[target->here[i].column];
        struct buf relation;
        buf_init(&relation, SQL_MAX);
        buf_printf(&relation, "(SELECT %s FROM %s%s)", column, target->table, from_source);
        rc = relation_leaving(&leaving, target->here[i].place, session_text(&relation), column, 0, NULL, reterr);
        buf_done(&relation);
    }
    return rc;
}

/* --- does anybody need them? --- */

/* *ret_any may have become true; the query is empty again. */
static int ask(struct pgsink *s, struct query *query, bool *ret_any, struct err *reterr)
{
    PGresult *result = NULL;
    int rc = run(s, "looking for rows that refer to one that goes", query, &result, reterr);

    *ret_any = rc == 0 && *PQgetvalue(result, 0, 0) == 't';
    PQclear(result);
    query_done(query);
    query_init(query);
    return rc;
}

/* Several references are one question, as many as its parameters allow. */
static int ask_needed(struct leaving *leaving, size_t place, const char *ids, bool *ret_any, struct err *reterr)
{
    const struct references *references = &leaving->s->references;
    const struct frame frame = {.place = place, .ids = ids, .up = leaving->frame};
    struct query query;
    int rc = 0;

    *ret_any = false;
    leaving->frame = &frame;
    query_init(&query);
    for (size_t i = 0; rc == 0 && !*ret_any && i < references->count; i++) {
        if (references->items[i].place != place)
            continue;
        buf_puts(&query.sql, query.sql.len ? " OR EXISTS (SELECT" : "SELECT EXISTS (SELECT");
        put_children(&query, leaving, &references->items[i], ids);
        buf_putc(&query.sql, ')');
        if (query.count > PARAMS_MAX / 2)
            rc = ask(leaving->s, &query, ret_any, reterr);
    }
    if (rc == 0 && !*ret_any && query.sql.len)
        rc = ask(leaving->s, &query, ret_any, reterr);
    query_done(&query);
    leaving->frame = frame.up;
    return rc;
}

int park_any_leaving(struct pgsink *s, bool *ret_any, struct err *reterr)
{
    struct leaving leaving = {.s = s, .ways = PARK_MOVED};
    int rc = 0;

    *ret_any = false;
    for (size_t r = 0; r < s->rule_count; r++) {
        const struct target *target = &s->rules[r].target;
        uint32_t *entries;
        size_t count = 0;

        if (target->here_count == 0 || s->net->rules[r].entry_count == 0)
            continue;
        entries = arena_alloc(&s->scratch, s->net->rules[r].entry_count * sizeof(*entries));
        for (uint32_t e = s->net->rules[r].first; e != NET_NONE; e = s->net->entries[e].next)
            if (net_deletes(&s->net->entries[e]))
                entries[count++] = e;
        for (size_t i = 0; rc == 0 && count && !*ret_any && i < target->here_count; i++) {
            const char *array = NULL;
            struct query ids;
            query_init(&ids);
            rc = group_ids(s, r, &target->here[i], entries, count, &ids, &array, reterr) ||
                         ask_needed(&leaving, target->here[i].place, array, ret_any, reterr)
                     ? -1
                     : 0;
            query_done(&ids);
        }
    }
    return rc;
}

int park_row_is_needed(struct pgsink *s, const struct rule *rule, const struct value *locator, bool *ret_needed,
                       struct err *reterr)
{
    const struct target *target = &rule_state_of(s, rule)->target;
    struct leaving leaving = {.s = s};
    int rc = 0;

    *ret_needed = false;
    for (size_t i = 0; rc == 0 && !*ret_needed && i < target->here_count; i++) {
        struct buf array;
        if (rule->locator_count != 1 || rule->locator[0] != target->here[i].column)
            continue;
        buf_init(&array, SESSION_ARRAY_MAX);
        session_put_array_item(&array, &locator[0]);
        rc = ask_needed(&leaving, target->here[i].place, session_end_array(&array), ret_needed, reterr);
        buf_done(&array);
    }
    return rc;
}
