/* An index that the fast load took off does not come back, for it does not take some row's value: these rows go to
 * quarantine, where they would be had the index been there all the time.
 *
 *     table ─ by ranges of blocks, halved where one is refused ─▶ pgrekey_probe, empty, with the same index
 *                                                      └─ one row that is refused ─▶ pgrekey_refused
 *
 * The probe runs inside the server, for what it says of a refused value is no business of its log.
 */
#include "sinks/postgres/snapshot/fastload_aside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres/derive/derive.h"
#include "sinks/postgres/quarantine/refusal.h"
#include "sinks/postgres/rows/rowwork.h"
#include "sinks/postgres/snapshot/fastload.h"
#include "sinks/postgres/state/counters.h"

#define SQL_MAX ((size_t)4 << 20)
#define DOING "looking for rows that an index does not take"

/* What an index is over is told by what stands behind its table's name. */
#define RECORDS_SQL                                                                                                    \
    "SELECT schema_name, table_name, name, substr(definition, length(head) + 1) FROM pgrekey.taken_off, LATERAL "      \
    "format('CREATE INDEX %I ON %I.%I ', name, schema_name, table_name) AS head WHERE pipeline = $1 AND level <= "     \
    "$2::integer AND kind = 'index' AND state = 'off' AND failed <> '' AND left(failed, 2) <> '42' AND "               \
    "starts_with(definition, head) ORDER BY id"

enum { AT_SCHEMA, AT_TABLE, AT_NAME, AT_OVER };

/* --- the probe --- */

static void put_piece(struct buf *sql, const char *table, const char *condition)
{
    buf_printf(sql, "INSERT INTO pg_temp.pgrekey_probe SELECT t.* FROM %s AS t WHERE %s; ", table, condition);
}

/* Blocks a to b; classes of SQLSTATE that say nothing of a row end it. */
static void put_probe(struct buf *sql, const char *table)
{
    static const char RANGE[] = "t.ctid >= format('(%s,0)', a)::tid AND t.ctid < format('(%s,0)', b)::tid";

    buf_puts(sql, "DO $probe$ DECLARE lo bigint[] := ARRAY[0]; hi bigint[]; a bigint; b bigint; at tid; n integer; "
                  "BEGIN SELECT ARRAY[greatest(1, pg_relation_size(");
    pg_put_literal(sql, table);
    buf_puts(sql, "::regclass) / current_setting('block_size')::bigint)] INTO hi; LOOP n := cardinality(lo); EXIT WHEN "
                  "n = 0; a := lo[n]; b := hi[n]; lo := lo[1:n - 1]; hi := hi[1:n - 1]; BEGIN ");
    put_piece(sql, table, RANGE);
    buf_puts(sql, "EXCEPTION WHEN OTHERS THEN IF left(SQLSTATE, 2) IN ('08', '25', '40', '53', '55', '57', '58', 'XX') "
                  "THEN RAISE; END IF; IF b - a > 1 THEN lo := lo || ARRAY[a, (a + b) / 2]; hi := hi || ARRAY[(a + b) "
                  "/ 2, b]; CONTINUE; END IF; ");
    buf_printf(sql, "FOR at IN SELECT t.ctid FROM %s AS t WHERE %s LOOP BEGIN ", table, RANGE);
    put_piece(sql, table, "t.ctid = at");
    buf_puts(sql,
             "EXCEPTION WHEN OTHERS THEN INSERT INTO pg_temp.pgrekey_refused VALUES (at, SQLSTATE); END; END LOOP; "
             "END; END LOOP; END $probe$");
}

static int probe(struct pgsink *s, const struct target *target, const char *over, struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, SQL_MAX);
    buf_printf(&sql,
               "SET LOCAL statement_timeout = 0; CREATE TEMP TABLE pgrekey_probe (LIKE %s) ON COMMIT DROP; CREATE TEMP "
               "TABLE pgrekey_refused (at tid, code text) ON COMMIT DROP; CREATE INDEX ON pg_temp.pgrekey_probe %s; ",
               target->table, over);
    put_probe(&sql, target->table);
    failed = session_run(s, DOING, session_text(&sql), reterr);
    buf_done(&sql);
    return failed;
}

static int read_refused(struct pgsink *s, const struct target *target, PGresult **ret_rows, struct err *reterr)
{
    struct buf sql;
    int failed;

    buf_init(&sql, SQL_MAX);
    buf_puts(&sql, "SELECT r.code, ");
    park_put_key(&sql, target, "t");
    for (size_t i = 0; i < target->rule->locator_count; i++)
        buf_printf(&sql, ", t.%s::text", target->columns[target->rule->locator[i]]);
    buf_printf(&sql, " FROM pg_temp.pgrekey_refused AS r JOIN %s AS t ON t.ctid = r.at", target->table);
    failed = session_query(s, DOING, session_text(&sql), 0, NULL, ret_rows, reterr);
    buf_done(&sql);
    return failed;
}

/* --- a row --- */

static struct value *locator_of(struct pgsink *s, const struct rule *rule, const PGresult *rows, int at)
{
    struct value *locator = arena_zalloc(&s->scratch, rule->locator_count + 1, sizeof(*locator));

    for (size_t i = 0; i < rule->locator_count; i++)
        if (!PQgetisnull(rows, at, (int)i + 2))
            locator[i] = (struct value){.text = PQgetvalue(rows, at, (int)i + 2),
                                        .len = (uint32_t)PQgetlength(rows, at, (int)i + 2),
                                        .state = VALUE_TEXT};
    return locator;
}

/* It leaves with its whole row, from which it comes back. Rows of nobody's may hold it: then it stands on. */
static int put_aside(struct pgsink *s, const struct rule *rule, const char *index, const char *key, const char *code,
                     const struct value *locator, bool *ret_gone, struct err *reterr)
{
    static const struct account aside = {.mapped = -1, .quarantined = 1};
    struct change change = {.op = CHANGE_UPDATE, .relation = map_rule_source(s->options.map, rule), .lsn = s->lsn};
    struct err said = {.kind = ERR_POISON};
    struct work w = {
        .rule = rule, .target = &s->rules[rule->index].target, .change = &change, .key = key, .existed = true};
    int64_t id;

    snprintf(said.sqlstate, sizeof(said.sqlstate), "%s", code);
    w.refusal = (struct refusal){.category = refusal_category(&said, false),
                                 .sqlstate = code,
                                 .constraint = index,
                                 .reason = refusal_reason(&said, false)};
    if (w.refusal.category == CATEGORY_NONE)
        w.refusal.category = CATEGORY_CONSTRAINT_VIOLATION;
    if (park_take_row(s, &w, locator, reterr))
        return -1;
    *ret_gone = w.refusal.kept != NULL;
    if (!*ret_gone)
        return 0;
    if (quarantine_put(s, rule, &change, key, &w.refusal, &id, reterr))
        return -1;
    counters_add(s, rule->index, &aside);
    s->figures.quarantined++;
    park_settle(s);
    return 0;
}

/* --- an index --- */

static bool writes(const char *schema, const char *table, const PGresult *records, int at)
{
    return strcmp(table, PQgetvalue(records, at, AT_TABLE)) == 0 &&
           strcmp(schema, PQgetvalue(records, at, AT_SCHEMA)) == 0;
}

/* Whose rows they are; NULL where several may say so. */
static const struct rule *rule_of(const struct pgsink *s, const PGresult *records, int at)
{
    const struct rule *found = NULL;
    size_t count = 0;

    for (size_t r = 0; r < s->rule_count; r++)
        if (writes(s->rules[r].target.rule->to_schema, s->rules[r].target.rule->to_table, records, at)) {
            found = s->rules[r].target.rule;
            count++;
        }
    for (size_t i = 0; i < map_derivation_count(s->options.map); i++) {
        const struct derivation *d = map_derivation(s->options.map, i);
        count += d->owns_rows && writes(d->to_schema, d->to_table, records, at);
    }
    return count == 1 ? found : NULL;
}

/* While a snapshot is under way the derivations that read the table are still to come. */
static int touch(struct pgsink *s, const struct rule *rule, const struct value *locator, struct err *reterr)
{
    struct value *at = arena_zalloc(&s->scratch, rule->locator_count + 1, sizeof(*at));
    const struct row row = {.rule = rule, .locator = at};
    const struct row *one = &row;

    memcpy(at, locator, rule->locator_count * sizeof(*at));
    return s->state == PIPELINE_STREAMING && derive_reads(s, rule) ? derive_touch_rows(s, &one, 1, reterr) : 0;
}

static int put_all_aside(struct pgsink *s, const struct rule *rule, const char *index, const PGresult *rows,
                         bool *ret_any, struct err *reterr)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        const struct value *locator = locator_of(s, rule, rows, i);
        bool gone;
        if (touch(s, rule, locator, reterr) ||
            put_aside(s, rule, index, PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 0), locator, &gone, reterr))
            return -1;
        *ret_any |= gone;
    }
    if (row_savepoint_end(s, reterr))
        return -1;
    return s->state == PIPELINE_STREAMING ? derive_run(s, NULL, reterr) : 0;
}

static int clear_index(struct pgsink *s, const PGresult *records, int at, bool *ret_any, struct err *reterr)
{
    const struct rule *rule = rule_of(s, records, at);
    PGresult *rows = NULL;
    int failed;

    if (!rule)
        return 0;
    arena_reset(&s->scratch, (size_t)1 << 20);
    failed = session_begin(s, reterr) ||
             probe(s, &s->rules[rule->index].target, PQgetvalue(records, at, AT_OVER), reterr) ||
             read_refused(s, &s->rules[rule->index].target, &rows, reterr) ||
             put_all_aside(s, rule, PQgetvalue(records, at, AT_NAME), rows, ret_any, reterr);
    PQclear(rows);
    if (failed)
        return -1;
    derive_stands(s);
    return counters_flush(s, reterr) || session_commit(s, reterr) ? -1 : 0;
}

static int clear_all(struct pgsink *s, int level, bool *ret_any, struct err *reterr)
{
    PGresult *records = NULL;
    char number[16];
    const char *params[] = {s->options.pipeline, number};
    int failed;

    snprintf(number, sizeof(number), "%d", level);
    failed = session_query(s, DOING, RECORDS_SQL, 2, params, &records, reterr);
    for (int i = 0; !failed && i < PQntuples(records); i++) {
        struct err said = {0};
        if (clear_index(s, records, i, ret_any, &said) == 0)
            continue;
        session_rollback(s);
        failed = said.kind != ERR_POISON; /* an index of which no probe can be made stays off, as it is */
        if (failed)
            *reterr = said;
    }
    PQclear(records);
    return failed ? -1 : 0;
}

int fastload_build(struct pgsink *s, int level, bool retry, struct err *reterr)
{
    const size_t failed = s->fast_load.failed;
    bool any = false;

    if (fastload_restore(s->conn, s->options.pipeline, level, retry, &s->fast_load, reterr))
        return -1;
    if (s->fast_load.failed == failed)
        return 0;
    if (clear_all(s, level, &any, reterr))
        return -1;
    if (!any)
        return 0;
    s->fast_load.failed = failed;
    return fastload_restore(s->conn, s->options.pipeline, level, true, &s->fast_load, reterr);
}
