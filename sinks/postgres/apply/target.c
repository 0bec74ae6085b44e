#include "sinks/postgres/apply/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/pg/pg.h"
#include "sinks/postgres/session/session.h"

#define SQL_MAX ((size_t)1 << 20)

static char *take_text(struct buf *buf)
{
    char *text = mem_strdup(session_text(buf));
    buf_done(buf);
    return text;
}

/* Does some foreign key of another table (or of this one) act on rows when a row of this one goes? */
static bool relation_cascades(const struct relation *relation, const struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->count; i++) {
        const struct relation *other = &catalog->relations[i];
        for (size_t j = 0; j < other->fk_count; j++) {
            const struct foreign_key *fk = &other->fks[j];
            if (strchr("cnd", fk->on_delete) && strcmp(fk->parent_table, relation->name) == 0 &&
                strcmp(fk->parent_schema, relation->schema) == 0)
                return true;
        }
    }
    return false;
}

/* ON CONFLICT needs an immediate unique constraint over exactly the key columns. */
static bool key_is_unique(const struct target *target)
{
    const struct rule *rule = target->rule;
    size_t key_count = 0;

    for (size_t i = 0; i < rule->column_count; i++)
        key_count += rule->columns[i].key;
    for (size_t u = 0; u < target->relation->unique_count; u++) {
        const struct unique_index *index = &target->relation->uniques[u];
        size_t met = 0;

        if (index->partial_or_expression || index->deferrable || index->count != key_count)
            continue;
        for (size_t i = 0; i < index->count; i++) {
            const char *name = target->relation->columns[index->columns[i]].name;
            for (size_t j = 0; j < rule->column_count; j++)
                met += rule->columns[j].key && strcmp(rule->columns[j].name, name) == 0;
        }
        if (met == key_count)
            return true;
    }
    return false;
}

/* A cast to a type with a length cuts what is too long without a word ("character" and "bit" alone mean length 1); an
 * assignment refuses it. So casts name the type without length, and the column's own length is checked. */
const char *target_cast_type(const struct column *column)
{
    static const char *const bare[][2] = {
        {"character", "bpchar"}, {"character[]", "bpchar[]"}, {"bit", "\"bit\""}, {"bit[]", "\"bit\"[]"}};

    for (size_t i = 0; i < sizeof(bare) / sizeof(*bare); i++)
        if (strcmp(column->base_type, bare[i][0]) == 0)
            return bare[i][1];
    return column->base_type;
}

static int resolve_columns(struct target *target, struct err *reterr)
{
    const struct rule *rule = target->rule;
    struct buf list;

    buf_init(&list, SQL_MAX);
    target->columns = mem_zalloc(rule->column_count, sizeof(*target->columns));
    target->types = mem_zalloc(rule->column_count, sizeof(*target->types));
    for (size_t i = 0; i < rule->column_count; i++) {
        const char *name = rule->columns[i].name;
        int index = relation_column(target->relation, name);
        struct buf ident;

        if (index < 0) {
            buf_done(&list);
            return err_set(reterr, ERR_CONFIG, "rule %s: table %s.%s has no column %s", rule->name, rule->to_schema,
                           rule->to_table, name);
        }
        buf_init(&ident, SQL_MAX);
        pg_put_ident(&ident, name);
        target->columns[i] = take_text(&ident);
        target->types[i] = target_cast_type(&target->relation->columns[index]);
        target->overriding |= target->relation->columns[index].identity_always;
        target->has_parents |= rule->columns[i].parent || rule->columns[i].parent_derivation;
        buf_printf(&list, "%s%s", i ? ", " : "", target->columns[i]);
    }
    target->column_list = take_text(&list);
    return 0;
}

int target_init(struct target *target, const struct rule *rule, const struct relation *relation,
                const struct catalog *catalog, struct err *reterr)
{
    struct buf table;

    *target = (struct target){.rule = rule, .relation = relation, .may_exclude = rule->may_exclude};
    if (!target->relation)
        return err_set(reterr, ERR_CONFIG, "rule %s: the target has no table %s.%s", rule->name, rule->to_schema,
                       rule->to_table);
    buf_init(&table, SQL_MAX);
    pg_put_qualified(&table, rule->to_schema, rule->to_table);
    target->table = take_text(&table);
    target->cascades = relation_cascades(target->relation, catalog);
    if (resolve_columns(target, reterr))
        return -1;
    target->can_upsert = key_is_unique(target);
    return 0;
}

void target_done(struct target *target)
{
    for (size_t i = 0; target->columns && i < target->rule->column_count; i++)
        free(target->columns[i]);
    for (size_t i = 0; i < TARGET_OPS; i++) {
        free(target->fixed[i].sql);
        free(target->fixed[i].columns);
    }
    for (size_t i = 0; i < target->update_count; i++) {
        free(target->updates[i]->sql);
        free(target->updates[i]->columns);
        free(target->updates[i]);
    }
    free(target->updates);
    free(target->here);
    free(target->columns);
    free(target->types);
    free(target->table);
    free(target->column_list);
    *target = (struct target){0};
}

/* --- texts --- */

static bool is_locator(const struct rule *rule, size_t column)
{
    for (size_t i = 0; i < rule->locator_count; i++)
        if (rule->locator[i] == column)
            return true;
    return false;
}

/* " WHERE a = $4::int4 AND .." */
static void put_where(struct buf *sql, const struct target *target, size_t first_param)
{
    for (size_t i = 0; i < target->rule->locator_count; i++) {
        size_t column = target->rule->locator[i];
        buf_printf(sql, "%s%s = $%zu::%s", i ? " AND " : " WHERE ", target->columns[column], first_param + i,
                   target->types[column]);
    }
}

static void put_insert(struct buf *sql, const struct target *target)
{
    buf_printf(sql, "INSERT INTO %s (%s)%s VALUES (", target->table, target->column_list,
               target->overriding ? " OVERRIDING SYSTEM VALUE" : "");
    for (size_t i = 0; i < target->rule->column_count; i++)
        buf_printf(sql, "%s$%zu::%s", i ? ", " : "", i + 1, target->types[i]);
    buf_putc(sql, ')');
}

void target_put_value(struct buf *sql, const struct target *target, size_t column, const char *old, const char *value)
{
    const char *name = target->columns[column];

    if (target->rule->columns[column].merge)
        buf_printf(sql, "CASE WHEN %s IS NULL THEN %s.%s ELSE coalesce(%s.%s, '{}') || %s END", value, old, name, old,
                   name, value);
    else
        buf_puts(sql, value);
}

static void put_conflict_column(struct buf *sql, const struct target *target, size_t column)
{
    struct buf value;

    buf_init(&value, 1024);
    buf_printf(&value, "excluded.%s", target->columns[column]);
    buf_printf(sql, "%s = ", target->columns[column]);
    target_put_value(sql, target, column, target->table, buf_text(&value));
    buf_done(&value);
}

static void put_on_conflict(struct buf *sql, const struct target *target)
{
    const struct rule *rule = target->rule;
    size_t set_count = 0, key_count = 0;

    buf_puts(sql, " ON CONFLICT (");
    for (size_t i = 0; i < rule->column_count; i++)
        if (rule->columns[i].key)
            buf_printf(sql, "%s%s", key_count++ ? ", " : "", target->columns[i]);
    buf_puts(sql, ") DO ");
    for (size_t i = 0; i < rule->column_count; i++) {
        if (rule->columns[i].key || rule->columns[i].once)
            continue;
        buf_puts(sql, set_count++ ? ", " : "UPDATE SET ");
        put_conflict_column(sql, target, i);
    }
    /* Even where nothing is to be set the statement must count the row. */
    for (size_t i = 0; set_count == 0 && i < rule->column_count; i++)
        if (rule->columns[i].key)
            buf_printf(sql, "%s%s = excluded.%s", set_count++ ? ", " : "UPDATE SET ", target->columns[i],
                       target->columns[i]);
}

static void put_update(struct buf *sql, const struct target *target, const struct target_statement *statement)
{
    struct buf value;

    buf_printf(sql, "UPDATE %s SET ", target->table);
    buf_init(&value, 1024);
    for (size_t i = 0; i < statement->count; i++) {
        buf_reset(&value);
        buf_printf(&value, "$%zu::%s", i + 1, target->types[statement->columns[i]]);
        buf_printf(sql, "%s%s = ", i ? ", " : "", target->columns[statement->columns[i]]);
        target_put_value(sql, target, statement->columns[i], target->table, buf_text(&value));
    }
    buf_done(&value);
    put_where(sql, target, statement->count + 1);
}

void target_put_set(struct buf *sql, const struct rule_set *set, size_t count, const char *alias)
{
    for (size_t i = 0; i < count; i++) {
        buf_puts(sql, i ? ", " : "");
        pg_put_ident(sql, set[i].column);
        buf_puts(sql, " = ");
        if (set[i].stamp) {
            buf_printf(sql, "coalesce(%s", alias);
            pg_put_ident(sql, set[i].column);
            buf_puts(sql, ", '{}') || pg_catalog.jsonb_build_object(");
            pg_put_literal(sql, set[i].text);
            buf_puts(sql, ", pg_catalog.now())");
        } else if (set[i].text) {
            pg_put_literal(sql, set[i].text);
        } else {
            buf_puts(sql, "NULL");
        }
    }
}

void target_put_set_list(struct buf *sql, const struct target *target, const char *alias)
{
    target_put_set(sql, target->rule->set, target->rule->set_count, alias);
}

static void put_fixed(struct buf *sql, const struct target *target, enum target_op op)
{
    switch (op) {
    case TARGET_INSERT: put_insert(sql, target); break;
    case TARGET_UPSERT:
        put_insert(sql, target);
        put_on_conflict(sql, target);
        break;
    case TARGET_DELETE:
        buf_printf(sql, "DELETE FROM %s", target->table);
        put_where(sql, target, 1);
        break;
    case TARGET_SET:
        buf_printf(sql, "UPDATE %s SET ", target->table);
        target_put_set_list(sql, target, "");
        put_where(sql, target, 1);
        break;
    case TARGET_EXISTS:
        buf_printf(sql, "SELECT 1 FROM %s", target->table);
        put_where(sql, target, 1);
        break;
    case TARGET_UPDATE:
    case TARGET_MOVE:
    case TARGET_OPS: break;
    }
}

/* --- statements --- */

static bool update_sets(const struct rule *rule, enum target_op op, const struct value *values, size_t column)
{
    if (values[column].state == VALUE_ABSENT || rule->columns[column].once)
        return false;
    return op == TARGET_MOVE || !is_locator(rule, column);
}

/* The columns that an update of these values sets, into columns[rule->column_count]. Gives their number. */
static size_t update_columns(const struct rule *rule, enum target_op op, const struct value *values, uint16_t *columns)
{
    size_t count = 0;

    for (size_t i = 0; i < rule->column_count; i++)
        if (update_sets(rule, op, values, i))
            columns[count++] = (uint16_t)i;
    return count;
}

static struct target_statement *statement_of_update(struct target *target, enum target_op op,
                                                    const struct value *values)
{
    uint16_t *columns = mem_alloc((target->rule->column_count + 1) * sizeof(*columns));
    size_t count = update_columns(target->rule, op, values, columns);
    struct target_statement *statement;
    struct buf sql;

    for (size_t i = 0; i < target->update_count; i++) {
        statement = target->updates[i];
        if (statement->op == op && statement->count == count &&
            memcmp(statement->columns, columns, count * sizeof(*columns)) == 0) {
            free(columns);
            return statement;
        }
    }
    if (count == 0) {
        free(columns);
        return NULL;
    }
    if (target->update_count == target->update_capacity) {
        target->update_capacity = target->update_capacity ? target->update_capacity * 2 : 4;
        target->updates = mem_realloc(target->updates, target->update_capacity * sizeof(*target->updates));
    }
    statement = mem_alloc(sizeof(*statement));
    *statement = (struct target_statement){.op = op, .columns = columns, .count = count};
    snprintf(statement->name, sizeof(statement->name), "pgrekey_%d_u%zu", target->rule->index, target->update_count);
    buf_init(&sql, SQL_MAX);
    put_update(&sql, target, statement);
    statement->sql = take_text(&sql);
    target->updates[target->update_count++] = statement;
    return statement;
}

struct target_statement *target_statement(struct target *target, enum target_op op, const struct value *values)
{
    struct target_statement *statement = &target->fixed[op];

    if (op == TARGET_UPDATE || op == TARGET_MOVE)
        return statement_of_update(target, op, values);
    if (op == TARGET_SET && target->rule->set_count == 0)
        return NULL;
    if (!statement->sql) {
        struct buf sql;
        buf_init(&sql, SQL_MAX);
        put_fixed(&sql, target, op);
        statement->op = op;
        statement->sql = take_text(&sql);
        snprintf(statement->name, sizeof(statement->name), "pgrekey_%d_%d", target->rule->index, (int)op);
    }
    return statement;
}

static const char *bound_text(const struct value *value, struct arena *arena)
{
    return value->state == VALUE_TEXT ? arena_strndup(arena, value->text, value->len) : NULL;
}

int target_bind(const struct target_statement *statement, const struct row *row, const struct value *locator,
                struct arena *arena, const char *const **ret_params)
{
    const struct rule *rule = row->rule;
    const char **params = arena_alloc(arena, (rule->column_count + rule->locator_count + 1) * sizeof(*params));
    int count = 0;

    *ret_params = (const char *const *)params;
    if (statement->op == TARGET_INSERT || statement->op == TARGET_UPSERT) {
        for (size_t i = 0; i < rule->column_count; i++)
            params[count++] = bound_text(&row->values[i], arena);
        return count;
    }
    for (size_t i = 0; i < statement->count; i++)
        params[count++] = bound_text(&row->values[statement->columns[i]], arena);
    for (size_t i = 0; i < rule->locator_count; i++)
        params[count++] = bound_text(&locator[i], arena);
    return count;
}

static int prepare(struct pgsink *s, struct target_statement *statement, struct err *reterr)
{
    PGresult *result;

    if (session_refuses(statement->sql))
        return err_set(reterr, ERR_FATAL, "target: a statement is too long to be sent");
    result = PQprepare(s->conn, statement->name, statement->sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        pg_err(reterr, SIDE, s->conn, result, "preparing a statement");
        PQclear(result);
        return -1;
    }
    PQclear(result);
    statement->prepared = true;
    return 0;
}

int target_execute(struct pgsink *s, struct target *target, enum target_op op, const struct row *row,
                   const struct value *locator, int64_t *ret_affected, struct err *reterr)
{
    struct target_statement *statement = target_statement(target, op, row->values);
    const char *const *params;
    PGresult *result;
    int count;

    *ret_affected = 0;
    if (!statement) { /* nothing to set: does the row stand? */
        op = TARGET_EXISTS;
        statement = target_statement(target, op, NULL);
    }
    if (!statement->prepared && prepare(s, statement, reterr))
        return -1;
    count = target_bind(statement, row, locator, &s->scratch, &params);
    result = PQexecPrepared(s->conn, statement->name, count, params, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg_err(reterr, SIDE, s->conn, result, "writing a row");
        PQclear(result);
        return -1;
    }
    *ret_affected = op == TARGET_EXISTS ? PQntuples(result) : strtoll(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return 0;
}

/* --- source keys --- */

void target_put_json(struct buf *json, const struct value *value)
{
    if (value->state == VALUE_TEXT)
        buf_put_json_string(json, value->text, value->len);
    else
        buf_puts(json, "null");
}

static const char *key_text(const struct value *const *values, size_t count, struct arena *arena)
{
    struct buf json;
    const char *text;

    buf_init(&json, (size_t)64 << 20);
    buf_putc(&json, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_putc(&json, ',');
        target_put_json(&json, values[i]);
    }
    buf_putc(&json, ']');
    text = arena_strndup(arena, buf_text(&json), json.len);
    buf_done(&json);
    return text;
}

const char *source_key(const struct change *change, struct arena *arena)
{
    size_t count = change->identity ? change->relation->key_count : 0;
    const struct value **values = arena_alloc(arena, (count + 1) * sizeof(*values));

    for (size_t i = 0; i < count; i++)
        values[i] = &change->identity[i];
    return key_text(values, count, arena);
}

const char *source_key_new(const struct change *change, struct arena *arena)
{
    size_t count = change->relation->key_count;
    const struct value **values;

    if (!change->key_changed || !change->columns)
        return source_key(change, arena);
    values = arena_alloc(arena, (count + 1) * sizeof(*values));
    for (size_t i = 0; i < count; i++)
        values[i] = &change->columns[change->relation->key[i]];
    return key_text(values, count, arena);
}
