#include "cdc/app/engine/skip.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "cdc/pg/pg.h"

#define SQL_MAX ((size_t)1 << 20)
#define UNREAD UINT64_MAX /* behind everything that may come */

/* The parts that hold a rule's rows, from the first key to the last. */
struct skip_rule {
    const struct relation *relation; /* NULL: no part of it was read behind the position */
    size_t count;
    char **bounds;    /* count - 1: where the second, third, … part begins */
    uint64_t *points; /* of each; 0 where it was read before the position, UNREAD where it has not been read yet */
    int *ids;
    uint64_t lowest, highest;
};

struct skip {
    size_t rule_count;
    struct skip_rule *rules; /* by rule->index */
    uint64_t last_point;     /* of parts that have been read */
    bool unread;
};

/* --- what there is --- */

static void add_part(struct skip_rule *to, const struct relation *relation, const struct sink_part *part)
{
    to->relation = relation;
    to->bounds = mem_realloc(to->bounds, (to->count + 1) * sizeof(*to->bounds));
    to->points = mem_realloc(to->points, (to->count + 1) * sizeof(*to->points));
    if (to->count > 0)
        to->bounds[to->count - 1] = mem_strdup(part->lo ? part->lo : "");
    to->points[to->count] = part->done ? part->point : UNREAD;
    to->ids = mem_realloc(to->ids, (to->count + 1) * sizeof(*to->ids));
    to->ids[to->count++] = part->id;
}

static void find_bounds(struct skip_rule *rule)
{
    rule->lowest = UNREAD;
    rule->highest = 0;
    for (size_t i = 0; i < rule->count; i++) {
        rule->lowest = rule->points[i] < rule->lowest ? rule->points[i] : rule->lowest;
        rule->highest = rule->points[i] > rule->highest ? rule->points[i] : rule->highest;
    }
}

static void forget_rule(struct skip_rule *rule)
{
    for (size_t i = 0; i + 1 < rule->count; i++)
        free(rule->bounds[i]);
    free(rule->bounds);
    free(rule->points);
    free(rule->ids);
    *rule = (struct skip_rule){0};
}

static void add_to_rules(struct skip *skip, const struct map *map, const struct relation *relation,
                         const struct sink_part *part)
{
    size_t count;
    const struct rule *const *rules = map_rules_of(map, relation, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n < part->rule_count; n++)
            if (strcmp(rules[i]->name, part->rules[n]) == 0)
                add_part(&skip->rules[rules[i]->index], relation, part);
}

struct skip *skip_new(const struct map *map, const struct catalog *source, const struct sink_part *parts, size_t count,
                      uint64_t position)
{
    struct skip *skip = mem_zalloc(1, sizeof(*skip));
    skip->rule_count = map_rule_count(map);
    skip->rules = mem_zalloc(skip->rule_count + 1, sizeof(*skip->rules));
    for (size_t i = 0; i < count; i++) {
        const struct relation *relation = catalog_find(source, parts[i].schema, parts[i].table);
        if (relation)
            add_to_rules(skip, map, relation, &parts[i]);
    }
    for (size_t r = 0; r < skip->rule_count; r++) {
        struct skip_rule *rule = &skip->rules[r];
        find_bounds(rule);
        if (rule->highest <= position)
            forget_rule(rule);
        skip->unread |= rule->highest == UNREAD;
        for (size_t i = 0; i < rule->count; i++)
            if (rule->points[i] != UNREAD && rule->points[i] > position && rule->points[i] > skip->last_point)
                skip->last_point = rule->points[i];
    }
    if (skip->last_point > 0 || skip->unread)
        return skip;
    skip_free(skip);
    return NULL;
}

void skip_free(struct skip *skip)
{
    if (!skip)
        return;
    for (size_t r = 0; r < skip->rule_count; r++)
        forget_rule(&skip->rules[r]);
    free(skip->rules);
    free(skip);
}

uint64_t skip_last_point(const struct skip *skip)
{
    return skip ? skip->last_point : 0;
}

bool skip_has_unread(const struct skip *skip)
{
    return skip && skip->unread;
}

void skip_part_read(struct skip *skip, int id, uint64_t point)
{
    for (size_t r = 0; r < skip->rule_count; r++) {
        struct skip_rule *rule = &skip->rules[r];
        for (size_t i = 0; i < rule->count; i++)
            if (rule->ids[i] == id)
                rule->points[i] = point;
        find_bounds(rule);
    }
}

/* Was some part read behind it? */
static bool any_read_behind(const struct skip_rule *rule, uint64_t commit_lsn)
{
    for (size_t i = 0; i < rule->count; i++)
        if (rule->points[i] != UNREAD && rule->points[i] >= commit_lsn)
            return true;
    return false;
}

/* --- where a key lies --- */

static bool is_integer(const struct column *column)
{
    return strcmp(column->base_type, "integer") == 0 || strcmp(column->base_type, "bigint") == 0 ||
           strcmp(column->base_type, "smallint") == 0;
}

/* Negative where a comes before b. Integers, and UUIDs as the server prints them. */
static int compare(bool integer, const char *a, const struct value *b)
{
    if (integer) {
        char text[32];
        size_t len = b->len < sizeof(text) - 1 ? b->len : sizeof(text) - 1;
        memcpy(text, b->text, len);
        text[len] = '\0';
        long long left = strtoll(a, NULL, 10), right = strtoll(text, NULL, 10);
        return (left > right) - (left < right);
    }
    size_t len = strlen(a);
    int order = memcmp(a, b->text, len < b->len ? len : b->len);
    return order ? order : (len > b->len) - (len < b->len);
}

static size_t count_below(const struct skip_rule *rule, bool integer, const struct value *key)
{
    size_t low = 0, high = rule->count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(integer, rule->bounds[middle], key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int find_point(const struct skip_rule *rule, const struct value *key, skip_order order, void *context,
                      uint64_t *ret_point, struct err *reterr)
{
    const struct relation *relation = rule->relation;
    const struct column *column = &relation->columns[relation->key[0]];
    size_t at = 0;
    if (is_integer(column) || strcmp(column->base_type, "uuid") == 0)
        at = count_below(rule, is_integer(column), key);
    else if (order(context, relation, (const char *const *)rule->bounds, rule->count - 1, key, &at, reterr) != 0)
        return -1;
    *ret_point = rule->points[at < rule->count ? at : rule->count - 1];
    return 0;
}

int skip_judge(const struct skip *skip, const struct rule *rule, const struct change *change, uint64_t commit_lsn,
               skip_order order, void *context, enum skip_verdict *ret_verdict, struct err *reterr)
{
    const struct skip_rule *parts = &skip->rules[rule->index];
    uint64_t old_point, new_point;

    *ret_verdict = SKIP_NOTHING;
    if (!parts->relation || commit_lsn > parts->highest)
        return 0;
    *ret_verdict = SKIP_ALL;
    if (commit_lsn <= parts->lowest)
        return 0;
    if (change->op == CHANGE_TRUNCATE) {
        *ret_verdict = any_read_behind(parts, commit_lsn) ? SKIP_REREAD : SKIP_NOTHING;
        return 0;
    }
    if (find_point(parts, &change->identity[0], order, context, &old_point, reterr) != 0)
        return -1;
    new_point = old_point;
    if (change->key_changed && change->columns &&
        find_point(parts, &change->columns[change->relation->key[0]], order, context, &new_point, reterr) != 0)
        return -1;
    bool old_known = commit_lsn <= old_point, new_known = commit_lsn <= new_point;
    *ret_verdict = old_known ? (new_known ? SKIP_ALL : SKIP_OLD_KEY) : (new_known ? SKIP_NEW_KEY : SKIP_NOTHING);
    return 0;
}

/* --- asking the source --- */

/* The union gives the literal the column's collation, which is the one that the ranges were read with. */
static void put_order(struct buf *sql, const struct relation *relation)
{
    const struct column *column = &relation->columns[relation->key[0]];
    buf_puts(sql, "SELECT count(*) FROM (SELECT ");
    pg_put_ident(sql, column->name);
    buf_puts(sql, " FROM ");
    pg_put_qualified(sql, relation->schema, relation->name);
    buf_printf(sql,
               " WHERE false UNION ALL SELECT $2::%s) AS k (key), unnest($1::%s[]) AS b (bound) WHERE b.bound <= k.key",
               column->type, column->type);
}

int skip_ask_source(void *context, const struct relation *relation, const char *const *bounds, size_t count,
                    const struct value *key, size_t *ret_below, struct err *reterr)
{
    PGresult *result = NULL;
    struct buf sql, array;
    char *text = mem_alloc(key->len + (size_t)1);

    memcpy(text, key->text, key->len);
    text[key->len] = '\0';
    buf_init(&sql, SQL_MAX);
    buf_init(&array, SQL_MAX);
    buf_putc(&array, '{');
    for (size_t i = 0; i < count; i++) {
        buf_puts(&array, i ? ",\"" : "\"");
        for (const char *at = bounds[i]; *at; at++) {
            if (*at == '"' || *at == '\\')
                buf_putc(&array, '\\');
            buf_putc(&array, *at);
        }
        buf_putc(&array, '"');
    }
    buf_putc(&array, '}');
    put_order(&sql, relation);
    const char *params[2] = {buf_text(&array), text};
    int failed = buf_overflowed(&sql) || buf_overflowed(&array)
                     ? err_set(reterr, ERR_FATAL, "the bounds of table %s.%s are too long to be compared",
                               relation->schema, relation->name)
                     : pg_query(context, "source", "comparing a key", buf_text(&sql), 2, params, &result, reterr);
    if (!failed)
        *ret_below = (size_t)strtoull(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    buf_done(&sql);
    buf_done(&array);
    free(text);
    return failed ? -1 : 0;
}
