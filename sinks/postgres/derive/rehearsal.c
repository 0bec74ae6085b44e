/* What each derivation came to is kept beside its result, in temporary tables: so a rollback to a savepoint takes back
 * what was kept of it as well.
 *
 *   pgrekey_shown<d>   kt, act, v0 …   a key, what was done, the target's key and the owned columns as text
 */
#include "sinks/postgres/derive/rehearsal.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/adopt/adopted.h"
#include "sinks/postgres/apply/apply.h"
#include "sinks/postgres/derive/derive_work.h"
#include "sinks/postgres/mirror/mirror_ddl.h"
#include "sinks/postgres/opening.h"
#include "sinks/postgres/parents/park.h"

#define DOING "trying derivations"
/* Shorter than the server's deadlock_timeout, so that nobody else is ever the victim. */
#define LOCK_TIMEOUT_MS 500
#define STATEMENT_TIMEOUT_MS 30000

const char *rehearsed_name(enum rehearsed_outcome outcome)
{
    static const char *const NAMES[REHEARSED_OUTCOMES] = {"inserted", "updated", "unchanged",  "gone",
                                                          "no row",   "parked",  "quarantined"};
    return NAMES[outcome];
}

/* --- what is kept of a run --- */

static size_t value_count(const struct derive_one *one)
{
    return one->derivation->key_count + one->column_count;
}

static int make_shown(struct pgsink *s, const struct derive_one *one, struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql, "CREATE TEMP TABLE IF NOT EXISTS pgrekey_shown%d (kt text PRIMARY KEY, act text",
               one->derivation->index);
    for (size_t i = 0; i < value_count(one); i++)
        buf_printf(&sql, ", v%zu text", i);
    buf_puts(&sql, ")");
    failed = session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed;
}

/* A row that stands as the target has it, else as the query gave it. */
static void put_values(struct buf *sql, const struct derive_one *one)
{
    for (size_t i = 0; i < one->derivation->key_count; i++)
        buf_printf(sql, ", r.t%zu::text", i);
    for (size_t i = 0; i < one->column_count; i++) {
        buf_puts(sql, ", CASE WHEN r.cat IS NULL AND r.act IN ('i', 'u', '=') THEN t.");
        derive_put_column(sql, one->columns[i].name);
        buf_printf(sql, "::text ELSE r.c%zu::text END", i);
    }
}

/* A key may be run twice: what was done to its row is then the sum. */
static void put_again(struct buf *sql, const struct derive_one *one)
{
    buf_puts(sql, " ON CONFLICT (kt) DO UPDATE SET act = CASE WHEN excluded.act = '=' AND x.act IN ('i', 'u') THEN "
                  "x.act WHEN excluded.act = 'u' AND x.act = 'i' THEN 'i' ELSE excluded.act END");
    for (size_t i = 0; i < value_count(one); i++)
        buf_printf(sql, ", v%zu = excluded.v%zu", i, i);
}

int derive_show(struct pgsink *s, struct derive_one *one, struct err *reterr)
{
    struct buf sql;
    int failed;

    if (!s->rehearsal)
        return 0;
    if (make_shown(s, one, reterr))
        return -1;
    buf_init(&sql, DERIVE_SQL_MAX);
    buf_printf(&sql,
               "INSERT INTO pgrekey_shown%d AS x SELECT DISTINCT ON (r.kt) r.kt, CASE WHEN r.cat IS NOT NULL THEN 'r' "
               "ELSE coalesce(r.act::text, '-') END",
               one->derivation->index);
    put_values(&sql, one);
    buf_printf(&sql, " FROM pgrekey_r%d AS r LEFT JOIN %s AS t ON ", one->derivation->index, one->table);
    derive_put_match(&sql, one, "t", "r");
    put_again(&sql, one);
    failed = session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed;
}

/* --- mirrors and views that are not there yet --- */

static int refuse_other(const char *what, const char *name, struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED, "%s %s stands on the target otherwise than the mapping has it now", what, name);
    return err_hint(reterr, "the engine brings it into shape when it is next started; until then derived rows cannot "
                            "be tried with this mapping");
}

static int may_create(struct pgsink *s, const char *schema, struct err *reterr)
{
    PGresult *result = NULL;

    if (session_query(s, DOING,
                      "SELECT FROM pg_namespace AS n WHERE n.nspname = $1 AND has_schema_privilege(n.oid, 'USAGE') AND "
                      "has_schema_privilege(n.oid, 'CREATE')",
                      1, &schema, &result, reterr))
        return -1;
    bool may = PQntuples(result) == 1;
    PQclear(result);
    if (may)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "target: the role may not create tables in schema %s, or it is not there",
                  schema);
    return err_hint(reterr, "run `pgrekey init` again");
}

static int create_mirror(struct pgsink *s, const struct rule *rule, const struct relation *wanted, struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    mirror_put_table(&sql, rule, wanted);
    for (size_t i = 0; i < rule->mirror_index_count; i++) {
        buf_puts(&sql, "; ");
        mirror_put_index(&sql, rule, rule->mirror_indexes[i]);
    }
    failed = may_create(s, rule->to_schema, reterr) || session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed ? -1 : 0;
}

static int make_mirrors(struct pgsink *s, const struct catalog *found, bool *ret_alone, struct err *reterr)
{
    for (size_t i = 0; i < s->rule_count; i++) {
        const struct rule *rule = s->rules[i].target.rule;
        const struct relation *wanted = map_rule_target(s->options.map, rule),
                              *there = catalog_find(found, rule->to_schema, rule->to_table);
        const char *column;

        if (!rule->mirror)
            continue;
        if (there && mirror_compare(rule, wanted, there, &column) == MIRROR_OTHER)
            return refuse_other("mirror", rule->to_table, reterr);
        if (!there && create_mirror(s, rule, wanted, reterr))
            return -1;
        *ret_alone |= !there;
    }
    return 0;
}

static int ask_definition(struct pgsink *s, const struct mirror_view *view, bool *ret_same, struct err *reterr)
{
    const char *params[3] = {map_mirror_schema(s->options.map), view->name, view->query};
    PGresult *result = NULL;

    if (session_query(s, DOING, "SELECT FROM pgrekey.mirror WHERE schema_name = $1 AND name = $2 AND definition = $3",
                      3, params, &result, reterr))
        return -1;
    *ret_same = PQntuples(result) == 1;
    PQclear(result);
    return 0;
}

static int make_view(struct pgsink *s, const struct mirror_view *view, bool there, struct err *reterr)
{
    struct buf sql;
    bool same;
    int failed;

    if (there)
        return ask_definition(s, view, &same, reterr) ? -1 : same ? 0 : refuse_other("view", view->name, reterr);
    buf_init(&sql, DERIVE_SQL_MAX);
    mirror_put_view(&sql, map_mirror_schema(s->options.map), view);
    failed = session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed ? err_wrap(reterr, "view %s", view->name) : 0;
}

static int make_side_schema(struct pgsink *s, bool *ret_alone, struct err *reterr)
{
    const char *schema = map_mirror_schema(s->options.map);
    struct catalog *found = NULL;
    size_t count;
    const struct mirror_view *views = map_views(s->options.map, &count);
    int failed;

    if (!map_has_mirrors(s->options.map))
        return 0;
    failed = pg_read_catalog(s->conn, SIDE, &schema, 1, &found, reterr) || make_mirrors(s, found, ret_alone, reterr);
    for (size_t i = 0; !failed && i < count; i++)
        failed = make_view(s, &views[i], catalog_find(found, schema, views[i].name) != NULL, reterr);
    catalog_free(found);
    return failed ? -1 : 0;
}

/* --- rows --- */

/* Rows that were read: the target may have them already, as in a resync. */
static struct row *as_it_is(const struct row *row, struct arena *arena)
{
    struct row *copy = arena_alloc(arena, sizeof(*copy));
    struct change *change = arena_alloc(arena, sizeof(*change));

    *change = *row->change;
    change->op = CHANGE_UPDATE;
    change->counted = true;
    *copy = *row;
    copy->change = change;
    copy->born = false;
    return copy;
}

static int write_rows(struct pgsink *s, struct row *const *rows, size_t count, bool read, struct arena *arena,
                      struct err *reterr)
{
    struct batch batch;
    int failed;

    batch_init(&batch);
    for (size_t i = 0; i < count; i++)
        batch_add_row(&batch, read ? as_it_is(rows[i], arena) : rows[i]);
    batch.complete = false; /* so that nobody commits */
    failed = apply_batch(&s->sink, &batch, reterr) || park_finish(s, reterr);
    batch_done(&batch);
    return failed ? -1 : 0;
}

/* --- what it came to --- */

enum { SHOWN_KEY, SHOWN_ACT, SHOWN_CATEGORY, SHOWN_COLUMN, SHOWN_CONSTRAINT, SHOWN_SQLSTATE, SHOWN_REASON };
enum { SHOWN_TABLE = SHOWN_REASON + 1, SHOWN_ID, SHOWN_DELETES, SHOWN_VALUES };

static const char *text_at(const PGresult *result, int row, int column, struct arena *arena)
{
    return PQgetisnull(result, row, column) || !*PQgetvalue(result, row, column)
               ? NULL
               : arena_strdup(arena, PQgetvalue(result, row, column));
}

static enum rehearsed_outcome outcome_of(const struct rehearsed *key, const char *act)
{
    if (key->category)
        return key->waits_table ? REHEARSED_PARKED : REHEARSED_QUARANTINED;
    switch (*act) {
    case 'i': return REHEARSED_INSERTED;
    case 'u': return REHEARSED_UPDATED;
    case '=': return REHEARSED_UNCHANGED;
    case 'p': return REHEARSED_PARKED;
    case '-': return REHEARSED_NO_ROW;
    case 'r': return REHEARSED_QUARANTINED;
    default: return REHEARSED_GONE;
    }
}

static const struct value *values_at(const PGresult *result, int row, size_t count, struct arena *arena)
{
    struct value *values = arena_zalloc(arena, count + 1, sizeof(*values));

    for (size_t i = 0; i < count; i++) {
        int column = SHOWN_VALUES + (int)i;
        uint32_t len = (uint32_t)PQgetlength(result, row, column);
        values[i] = PQgetisnull(result, row, column)
                        ? (struct value){.state = VALUE_NULL}
                        : (struct value){.text = arena_strndup(arena, PQgetvalue(result, row, column), len),
                                         .len = len,
                                         .state = VALUE_TEXT};
    }
    return values;
}

static struct rehearsed take_key(const struct derive_one *one, const PGresult *result, int row,
                                 const char *const *names, struct arena *arena)
{
    struct rehearsed key = {.derivation = one->derivation,
                            .key = arena_strdup(arena, PQgetvalue(result, row, SHOWN_KEY)),
                            .category = text_at(result, row, SHOWN_CATEGORY, arena),
                            .column = text_at(result, row, SHOWN_COLUMN, arena),
                            .constraint = text_at(result, row, SHOWN_CONSTRAINT, arena),
                            .sqlstate = text_at(result, row, SHOWN_SQLSTATE, arena),
                            .reason = text_at(result, row, SHOWN_REASON, arena),
                            .waits_table = text_at(result, row, SHOWN_TABLE, arena),
                            .waits_id = text_at(result, row, SHOWN_ID, arena)};
    bool shown = !PQgetisnull(result, row, SHOWN_ACT);

    key.outcome = outcome_of(&key, PQgetvalue(result, row, SHOWN_ACT));
    if (shown && key.outcome != REHEARSED_GONE) {
        key.value_count = value_count(one);
        key.names = names;
        key.values = values_at(result, row, key.value_count, arena);
    }
    return key;
}

static const char *const *names_of(const struct derive_one *one, struct arena *arena)
{
    const char **names = arena_zalloc(arena, value_count(one) + 1, sizeof(*names));
    size_t keys = one->derivation->key_count;

    for (size_t i = 0; i < keys; i++)
        names[i] = arena_strdup(arena, one->derivation->keys[i].column);
    for (size_t i = 0; i < one->column_count; i++)
        names[keys + i] = arena_strdup(arena, one->columns[i].name);
    return names;
}

/* Entries of the quarantine say more than the result does, and of keys that failed they alone speak. */
static int ask(struct pgsink *s, const struct derive_one *one, PGresult **ret_result, struct err *reterr)
{
    const char *params[2] = {s->options.pipeline, one->derivation->name};
    struct buf sql;
    int failed;

    buf_init(&sql, DERIVE_SQL_MAX);
    buf_puts(&sql, "SELECT coalesce(x.kt, q.key) AS k, x.act, q.category, q.column_name, q.constraint_name, "
                   "q.sqlstate, q.reason, q.waits_table, q.waits_id, q.op = 'D'");
    for (size_t i = 0; i < value_count(one); i++)
        buf_printf(&sql, ", x.v%zu", i);
    buf_printf(&sql,
               " FROM pgrekey_shown%d AS x FULL JOIN (SELECT * FROM pgrekey.quarantine WHERE pipeline = $1 AND rule = "
               "$2 AND status <> 'resolved') AS q ON q.key = x.kt WHERE x.kt IS NOT NULL OR q.last_tried = now() "
               "ORDER BY length(coalesce(x.kt, q.key)), 1",
               one->derivation->index);
    failed = session_query(s, DOING, session_text(&sql), 2, params, ret_result, reterr);
    buf_done(&sql);
    return failed;
}

static int collect_one(struct pgsink *s, struct derive_one *one, struct arena *arena, struct rehearsal *rehearsal,
                       struct err *reterr)
{
    PGresult *result = NULL;

    if (!one->described) /* it has never had keys */
        return 0;
    if (make_shown(s, one, reterr) || ask(s, one, &result, reterr))
        return -1;
    size_t more = (size_t)PQntuples(result);
    struct rehearsed *keys = arena_zalloc(arena, rehearsal->count + more + 1, sizeof(*keys));
    const char *const *names = names_of(one, arena);
    if (rehearsal->count)
        memcpy(keys, rehearsal->keys, rehearsal->count * sizeof(*keys));
    for (size_t i = 0; i < more; i++)
        keys[rehearsal->count + i] = take_key(one, result, (int)i, names, arena);
    rehearsal->keys = keys;
    rehearsal->count += more;
    PQclear(result);
    return 0;
}

static int collect(struct pgsink *s, struct arena *arena, struct rehearsal *rehearsal, struct err *reterr)
{
    for (size_t i = 0; i < s->derive->step_count; i++) {
        const struct map_step *step = &s->derive->steps[i];
        if (step->kind == STEP_DERIVATION && collect_one(s, &s->derive->all[step->index], arena, rehearsal, reterr))
            return -1;
    }
    return 0;
}

/* --- the whole --- */

/* All keys that the rows lead to are of interest, also where no column changes that matters. */
static void want_all_keys(struct pgsink *s)
{
    s->rehearsal = true;
    for (size_t i = 0; i < s->derive->count; i++)
        for (size_t n = 0; n < s->derive->all[i].input_count; n++)
            s->derive->all[i].inputs[n].filtered = false;
}

static int open_rehearsal(const struct pgsink_options *options, struct pgsink **ret_s, struct err *reterr)
{
    struct pgsink_options own = *options;

    own.lock_timeout_ms = LOCK_TIMEOUT_MS;
    own.statement_timeout_ms = STATEMENT_TIMEOUT_MS;
    own.breaker_window = 0;
    return session_open(&own, ret_s, reterr);
}

int pgsink_rehearse(const struct pgsink_options *options, struct row *const *rows, size_t count, bool read,
                    struct arena *arena, struct rehearsal *ret_rehearsal, struct err *reterr)
{
    struct pgsink *s;

    *ret_rehearsal = (struct rehearsal){0};
    if (open_rehearsal(options, &s, reterr))
        return -1;
    if (!s->derive) {
        sink_close(&s->sink);
        return 0;
    }
    want_all_keys(s);
    int failed = derive_session(s, reterr) || session_begin(s, reterr) ||
                 make_side_schema(s, &ret_rehearsal->alone, reterr) || adopted_open(s, reterr) ||
                 opening_read_bounds(s, reterr) || write_rows(s, rows, count, read, arena, reterr) ||
                 collect(s, arena, ret_rehearsal, reterr);
    session_rollback(s);
    sink_close(&s->sink);
    return failed ? -1 : 0;
}
