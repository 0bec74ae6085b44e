#include "cdc/app/check/check_plan.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/buf.h"
#include "transform/issues.h"

/* One node of the plan that scans a table. EXPLAIN prints a node's own words before its children, one a line, so
 * nothing but these lines needs to be understood:
 *
 *     "Node Type": "Index Scan",     begins a node
 *     "Relation Name": "jaws",
 *     "Alias": "j",                  by which conditions name its columns
 *     "Index Cond": "…",             then not the whole of it is read
 */
struct scan {
    char type[40], table[256], alias[256];
    bool condition;
};

/* What is looked at, and for whom. */
struct judge {
    const char *plan;
    struct mapping *mapping;
    size_t line;
    const char *name, *what;
};

#define COLUMNS_MAX 4
struct columns {
    size_t count;
    struct {
        const char *at;
        size_t len;
    } items[COLUMNS_MAX];
};

/* The text of `"word": "…"`, or false. Escapes stay: a name with one is not found, and not reported. */
static bool take(const char *line, size_t len, const char *word, char *out, size_t size)
{
    size_t word_len = strlen(word);
    if (len < word_len + 6 || line[0] != '"' || memcmp(line + 1, word, word_len) != 0 ||
        memcmp(line + 1 + word_len, "\": \"", 4) != 0)
        return false;
    const char *begin = line + word_len + 5, *end = memchr(begin, '"', len - word_len - 5);
    if (!end || (size_t)(end - begin) >= size)
        return false;
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = '\0';
    return true;
}

/* --- columns that conditions name --- */

static bool is_word(char c)
{
    return c == '_' || isalnum((unsigned char)c) || ((unsigned char)c & 0x80);
}

static void add_column(struct columns *columns, const char *at, size_t len)
{
    for (size_t i = 0; i < columns->count; i++)
        if (columns->items[i].len == len && memcmp(columns->items[i].at, at, len) == 0)
            return;
    if (len == 0 || columns->count == COLUMNS_MAX)
        return;
    columns->items[columns->count].at = at;
    columns->items[columns->count++].len = len;
}

/* "alias.column" between `at` and `end`, literals passed over. */
static void find_columns(struct columns *columns, const char *at, const char *end, const char *alias)
{
    size_t len = strlen(alias);
    bool literal = false;
    for (const char *begin = at; at + len + 1 < end; at++) {
        literal ^= *at == '\'';
        if (literal || (at > begin && is_word(at[-1])) || memcmp(at, alias, len) != 0 || at[len] != '.')
            continue;
        const char *column = at + len + 1;
        size_t column_len = 0;
        while (column + column_len < end && is_word(column[column_len]))
            column_len++;
        add_column(columns, column, column_len);
    }
}

/* In lines whose word ends in Cond or Filter. */
static void find_all(struct columns *columns, const char *plan, const char *alias)
{
    while (*plan) {
        plan += strspn(plan, " \n");
        size_t len = strcspn(plan, "\n");
        const char *colon = strstr(plan, "\": \"");
        if (colon && colon < plan + len && colon - plan > 6 &&
            (memcmp(colon - 4, "Cond", 4) == 0 || memcmp(colon - 6, "Filter", 6) == 0))
            find_columns(columns, colon + 4, plan + len, alias);
        plan += len;
    }
}

/* --- judging --- */

/* How large it is, by the catalogues, and whether it is a mirror. */
static double rows_of(const struct mapping *mapping, const char *table, bool *ret_mirror)
{
    double rows = 0;
    for (size_t i = 0; i < map_rule_count(mapping->map); i++) {
        const struct rule *rule = map_rule(mapping->map, i);
        const struct relation *relation = rule->mirror ? map_rule_source(mapping->map, rule) : NULL;
        if (!relation || strcmp(rule->to_table, table) != 0)
            continue;
        *ret_mirror = true;
        return relation->estimated_rows;
    }
    for (size_t i = 0; mapping->target && i < mapping->target->count; i++)
        if (strcmp(mapping->target->relations[i].name, table) == 0 &&
            mapping->target->relations[i].estimated_rows > rows)
            rows = mapping->target->relations[i].estimated_rows;
    return rows;
}

static bool is_whole(const struct scan *scan)
{
    if (strcmp(scan->type, "Seq Scan") == 0)
        return true;
    return (strcmp(scan->type, "Index Scan") == 0 || strcmp(scan->type, "Index Only Scan") == 0) && !scan->condition;
}

static void put_remedy(struct buf *text, const struct judge *judge, const struct scan *scan, bool mirror)
{
    struct columns columns = {0};
    find_all(&columns, judge->plan, scan->alias);
    if (columns.count == 0) {
        buf_printf(text, "it should start from %s", strcmp(judge->what, "the query") == 0 ? "keys" : "touched");
        return;
    }
    buf_puts(text, "an index is missing, or cannot be used, on ");
    for (size_t i = 0; i < columns.count; i++)
        buf_printf(text, "%s\"%.*s\"", i ? ", " : "", (int)columns.items[i].len, columns.items[i].at);
    if (mirror)
        buf_puts(text, " (\"index:\" of the mirror)");
}

static void judge_scan(const struct judge *judge, const struct scan *scan)
{
    bool mirror = false;
    double rows = *scan->table && is_whole(scan) ? rows_of(judge->mapping, scan->table, &mirror) : 0;
    if (rows < CHECK_PLAN_LARGE)
        return;
    struct buf remedy;
    buf_init(&remedy, 4096);
    put_remedy(&remedy, judge, scan, mirror);
    issue_warning_at(&judge->mapping->issues, judge->line, 1,
                     "%s: for a few keys %s reads all of \"%s\" (about %.0f rows); %s", judge->name, judge->what,
                     scan->table, rows, buf_text(&remedy));
    buf_done(&remedy);
}

void check_plan(const char *plan, struct mapping *mapping, size_t line, const char *name, const char *what)
{
    struct judge judge = {plan, mapping, line, name, what};
    struct scan scan = {0};
    while (*plan) {
        plan += strspn(plan, " \n");
        size_t len = strcspn(plan, "\n");
        if (len > 13 && strncmp(plan, "\"Node Type\": ", 13) == 0) {
            judge_scan(&judge, &scan);
            scan = (struct scan){0};
            (void)take(plan, len, "Node Type", scan.type, sizeof(scan.type));
        } else if (!take(plan, len, "Relation Name", scan.table, sizeof(scan.table)) &&
                   !take(plan, len, "Alias", scan.alias, sizeof(scan.alias))) {
            scan.condition = scan.condition || strncmp(plan, "\"Index Cond\":", 13) == 0;
        }
        plan += len;
    }
    judge_scan(&judge, &scan);
}
