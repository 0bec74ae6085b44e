/* Which tables a mapping's SQL names. Not a parser: it walks over the tokens and knows where a table's name may stand
 * (behind FROM and JOIN, behind a comma of the same FROM). What it finds too much only makes an order stricter; names
 * that are no tables of the mapping are passed over by whoever asks.
 *
 *     select j.id from keys join dispatch_jaw j on …, (select … from scans) s    ──▶ keys, dispatch_jaw, scans
 */
#include "transform/map_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 100

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_QUOTED_NAME, TOKEN_OTHER };

struct token {
    enum token_kind kind;
    const char *text; /* of a name: as the catalogue has it */
    char sign;        /* of TOKEN_OTHER: its first character; 0 for a constant */
};

struct lexer {
    struct arena *arena;
    const char *at;
};

static bool is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name_part(char c)
{
    return is_name_start(c) || isdigit((unsigned char)c) || c == '$';
}

static const char *skip_comment(const char *at)
{
    int depth = 0;
    if (at[0] == '-') {
        at += strcspn(at, "\n");
        return at;
    }
    do {
        if (at[0] == '/' && at[1] == '*') {
            depth++;
            at += 2;
        } else if (at[0] == '*' && at[1] == '/') {
            depth--;
            at += 2;
        } else {
            at++;
        }
    } while (*at && depth > 0);
    return at;
}

static const char *skip_blank(const char *at)
{
    for (;;) {
        if (isspace((unsigned char)*at))
            at++;
        else if ((at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*'))
            at = skip_comment(at);
        else
            return at;
    }
}

/* Behind a text in quotes; backslashes escape in E'' only. */
static const char *skip_text(const char *at, bool escapes)
{
    for (at++; *at; at++) {
        if (escapes && *at == '\\' && at[1])
            at++;
        else if (*at == '\'' && at[1] == '\'')
            at++;
        else if (*at == '\'')
            return at + 1;
    }
    return at;
}

/* Behind $tag$ … $tag$; NULL where none begins here. */
static const char *skip_dollar(const char *at)
{
    size_t len = 1;
    while (is_name_part(at[len]) && at[len] != '$')
        len++;
    if (at[len] != '$')
        return NULL;
    len++;
    for (const char *end = at + len; *end; end++)
        if (strncmp(end, at, len) == 0)
            return end + len;
    return at + strlen(at);
}

static struct token quoted_name(struct lexer *lexer)
{
    char *name = arena_alloc(lexer->arena, strlen(lexer->at) + 1), *out = name;
    const char *at = lexer->at + 1;
    for (; *at; at++) {
        if (*at == '"' && at[1] != '"')
            break;
        at += *at == '"';
        *out++ = *at;
    }
    *out = '\0';
    lexer->at = *at ? at + 1 : at;
    return (struct token){TOKEN_QUOTED_NAME, name, 0};
}

static struct token plain_name(struct lexer *lexer)
{
    size_t len = 1;
    while (is_name_part(lexer->at[len]))
        len++;
    char *name = arena_strndup(lexer->arena, lexer->at, len);
    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    lexer->at += len;
    return (struct token){TOKEN_NAME, name, 0};
}

static struct token next_token(struct lexer *lexer)
{
    const char *at = lexer->at = skip_blank(lexer->at), *behind;
    if (!*at)
        return (struct token){.kind = TOKEN_END};
    if (*at == '"')
        return quoted_name(lexer);
    if (*at == '\'' || ((*at == 'e' || *at == 'E') && at[1] == '\'')) {
        lexer->at = skip_text(*at == '\'' ? at : at + 1, *at != '\'');
        return (struct token){.kind = TOKEN_OTHER};
    }
    if (*at == '$' && (behind = skip_dollar(at))) {
        lexer->at = behind;
        return (struct token){.kind = TOKEN_OTHER};
    }
    if (is_name_start(*at))
        return plain_name(lexer);
    if (isdigit((unsigned char)*at)) {
        while (is_name_part(*lexer->at) || *lexer->at == '.')
            lexer->at++;
        return (struct token){.kind = TOKEN_OTHER};
    }
    lexer->at++;
    return (struct token){TOKEN_OTHER, NULL, *at};
}

/* --- params --- */

/* Numbers and truth values as such, everything else as a text of a type that the target finds. */
static bool is_plain(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return true;
    if (digits == 0 || (digits > 1 && *text == '0'))
        return false;
    if (text[digits] == '.')
        return text[digits + 1] && strspn(text + digits + 1, "0123456789") == strlen(text + digits + 1);
    return !text[digits];
}

static void put_param(struct buf *out, const char *text)
{
    if (!text) {
        buf_puts(out, "NULL");
    } else if (is_plain(text)) {
        buf_puts(out, text);
    } else {
        buf_putc(out, '\'');
        for (; *text; text++) {
            if (*text == '\'')
                buf_putc(out, *text);
            buf_putc(out, *text);
        }
        buf_putc(out, '\'');
    }
}

/* At a colon: a param's name begins behind it. Not in "x::int", "f(a := 1)" and "a[1 : 2]". */
static bool is_param(const char *sql, const char *at)
{
    return *at == ':' && is_name_start(at[1]) && (at == sql || at[-1] != ':');
}

const char *map_sql_of(struct loader *l, const struct yaml_node *node, const char *what)
{
    const char *sql = map_scalar_text(l, node, what), *copied = sql, *text = NULL;
    struct lexer lexer = {&l->map->arena, sql};
    struct buf out;
    if (!sql)
        return NULL;
    buf_init(&out, YAML_MAX_BYTES);
    for (struct token token; (token = next_token(&lexer)).kind != TOKEN_END;) {
        const char *sign = lexer.at - 1;
        if (token.kind != TOKEN_OTHER || token.sign != ':' || !is_param(sql, sign))
            continue;
        struct token name = plain_name(&lexer);
        const char *exact = arena_strndup(&l->map->arena, sign + 1, (size_t)(lexer.at - sign - 1));
        (void)name;
        if (!expr_pool_param(l->map->pool, exact, &text))
            map_no_param(l, node, exact);
        buf_append(&out, copied, (size_t)(sign - copied));
        put_param(&out, text);
        copied = lexer.at;
    }
    buf_puts(&out, copied);
    text = arena_strdup(&l->map->arena, buf_text(&out));
    buf_done(&out);
    return text;
}

/* --- where tables stand --- */

struct tables {
    struct arena *arena;
    size_t count, capacity;
    struct sql_table *items;
};

static void add_table(struct tables *tables, const char *schema, const char *table)
{
    for (size_t i = 0; i < tables->count; i++) {
        const struct sql_table *known = &tables->items[i];
        if (strcmp(known->table, table) == 0 && !known->schema == !schema &&
            (!schema || strcmp(known->schema, schema) == 0))
            return;
    }
    if (tables->count == tables->capacity) {
        size_t capacity = tables->capacity ? 2 * tables->capacity : 16;
        struct sql_table *items = arena_zalloc(tables->arena, capacity, sizeof *items);
        if (tables->count)
            memcpy(items, tables->items, tables->count * sizeof *items);
        tables->items = items;
        tables->capacity = capacity;
    }
    tables->items[tables->count++] = (struct sql_table){schema, table};
}

static bool is_word(const struct token *token, const char *const *words)
{
    for (; token->kind == TOKEN_NAME && *words; words++)
        if (strcmp(token->text, *words) == 0)
            return true;
    return false;
}

/* In one pair of parentheses: */
struct level {
    bool in_from; /* a comma leads to the next table */
    bool expects; /* a table may stand here */
};

static const char *const openers[] = {"from", "join", NULL};
static const char *const fillers[] = {"only", "lateral", NULL};
static const char *const closers[] = {"where",     "group",     "order", "having", "limit",  "window",
                                      "union",     "intersect", "on",    "except", "select", "offset",
                                      "returning", "for",       "fetch", NULL};

static void take_name(struct lexer *lexer, struct tables *tables, struct level *level, const struct token *first)
{
    struct lexer ahead = *lexer;
    struct token sign = next_token(&ahead);
    level->expects = false;
    if (sign.kind != TOKEN_OTHER || sign.sign != '.') {
        add_table(tables, NULL, first->text);
        return;
    }
    struct token second = next_token(&ahead);
    if (second.kind != TOKEN_NAME && second.kind != TOKEN_QUOTED_NAME)
        return;
    add_table(tables, first->text, second.text);
    *lexer = ahead;
}

static void take_word(struct lexer *lexer, struct tables *tables, struct level *level, const struct token *token,
                      bool distinct)
{
    if (is_word(token, openers)) {
        level->expects = !distinct; /* "is distinct from x" */
        level->in_from = level->in_from || level->expects;
    } else if (is_word(token, closers)) {
        /* A condition of a join may be followed by the next table. */
        level->in_from = level->in_from && strcmp(token->text, "on") == 0;
        level->expects = false;
    } else if (level->expects && !is_word(token, fillers)) {
        take_name(lexer, tables, level, token);
    }
}

/* The tables that the SQL names, once each, names of views and of its own WITH among them. */
static size_t tables_named(struct arena *arena, const char *sql, const struct sql_table **ret_tables)
{
    static const char *const distinct_word[] = {"distinct", NULL};
    struct lexer lexer = {arena, sql};
    struct tables tables = {.arena = arena};
    struct level levels[DEPTH_MAX] = {0};
    size_t depth = 0;
    bool distinct = false;
    for (struct token token; (token = next_token(&lexer)).kind != TOKEN_END;) {
        struct level *level = &levels[depth];
        if (token.kind == TOKEN_NAME) {
            take_word(&lexer, &tables, level, &token, distinct);
        } else if (token.kind == TOKEN_QUOTED_NAME && level->expects) {
            take_name(&lexer, &tables, level, &token);
        } else if (token.sign == '(' && depth + 1 < DEPTH_MAX) {
            levels[depth + 1] = (struct level){level->expects, level->expects};
            level->expects = false;
            depth++;
        } else if (token.sign == ')' && depth > 0) {
            depth--;
        } else if (token.sign == ',') {
            level->expects = level->in_from;
        }
        distinct = is_word(&token, distinct_word);
    }
    *ret_tables = tables.items;
    return tables.count;
}

bool map_sql_names(struct arena *arena, const char *sql, const char *word)
{
    struct lexer lexer = {arena, sql};
    for (struct token token; (token = next_token(&lexer)).kind != TOKEN_END;)
        if ((token.kind == TOKEN_NAME || token.kind == TOKEN_QUOTED_NAME) && strcmp(token.text, word) == 0)
            return true;
    return false;
}

/* --- through views --- */

struct reading {
    const struct map *map;
    struct tables *found;
    bool *seen; /* by view */
};

static int view_named(const struct map *map, const char *schema, const char *name)
{
    for (size_t i = 0; i < map->view_count; i++)
        if (strcmp(map->views[i].name, name) == 0 && (!schema || strcmp(schema, map->mirror_schema) == 0))
            return (int)i;
    return -1;
}

bool map_is_view(const struct map *map, const char *schema, const char *name)
{
    return view_named(map, schema, name) >= 0;
}

static const char *mirror_named(const struct map *map, const char *name)
{
    for (size_t i = 0; i < map->mirror_count; i++)
        if (strcmp(map->mirrors[i].name, name) == 0)
            return map->mirror_schema;
    return NULL;
}

static void read_text(struct reading *r, const char *sql) // NOLINT(misc-no-recursion): each view once
{
    const struct sql_table *tables;
    size_t count = tables_named(r->found->arena, sql, &tables);
    for (size_t i = 0; i < count; i++) {
        int view = view_named(r->map, tables[i].schema, tables[i].table);
        if (view >= 0 && r->seen[view])
            continue;
        if (view >= 0) {
            r->seen[view] = true;
            read_text(r, r->map->views[view].query);
            continue;
        }
        const char *schema = tables[i].schema ? tables[i].schema : mirror_named(r->map, tables[i].table);
        add_table(r->found, schema ? schema : r->map->target_schema, tables[i].table);
    }
}

size_t map_sql_reads(const struct map *map, struct arena *arena, const char *sql, const struct sql_table **ret_tables)
{
    struct tables found = {.arena = arena};
    struct reading r = {map, &found, arena_zalloc(arena, map->view_count + 1, sizeof(bool))};
    read_text(&r, sql);
    *ret_tables = found.items;
    return found.count;
}

void map_sql_views(const struct map *map, struct arena *arena, const char *sql, bool *read)
{
    struct tables found = {.arena = arena};
    struct reading r = {map, &found, read};
    read_text(&r, sql);
}

/* --- views in an order in which they can be made --- */

struct view_reads {
    size_t count;
    const struct sql_table *tables;
};

static bool waits_for_view(const struct map *map, size_t view, const struct view_reads *reads, const bool *made)
{
    for (size_t t = 0; t < reads[view].count; t++) {
        int other = view_named(map, reads[view].tables[t].schema, reads[view].tables[t].table);
        if (other >= 0 && (size_t)other != view && !made[other])
            return true;
    }
    return false;
}

void map_sort_views(struct map *map, const struct yaml_node *node, struct map_issues *issues)
{
    struct view_reads *reads = arena_zalloc(&map->arena, map->view_count + 1, sizeof *reads);
    struct mirror_view *sorted = arena_zalloc(&map->arena, map->view_count + 1, sizeof *sorted);
    bool *made = arena_zalloc(&map->arena, map->view_count + 1, sizeof *made);
    size_t count = 0, before = 1;
    for (size_t i = 0; i < map->view_count; i++)
        reads[i].count = tables_named(&map->arena, map->views[i].query, &reads[i].tables);
    while (count != before) {
        before = count;
        for (size_t i = 0; i < map->view_count; i++) {
            if (made[i] || waits_for_view(map, i, reads, made))
                continue;
            made[i] = true;
            sorted[count++] = map->views[i];
        }
    }
    for (size_t i = 0; i < map->view_count; i++)
        if (!made[i])
            issue_error(issues, yaml_get(node, map->views[i].name), "views read each other in a circle");
    if (count == map->view_count)
        map->views = sorted;
}
