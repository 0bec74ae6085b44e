#include "sinks/postgres/apply/image.h"

#include <string.h>

#include "sinks/postgres/session/session.h"

void image_put(struct buf *json, const struct change *change)
{
    bool first = true;

    buf_putc(json, '{');
    for (size_t i = 0; change->columns && i < change->relation->column_count; i++) {
        const struct value *value = &change->columns[i];
        const char *name = change->relation->columns[i].name;
        if (value->state == VALUE_ABSENT)
            continue;
        if (!first)
            buf_putc(json, ',');
        first = false;
        buf_put_json_string(json, name, strlen(name));
        buf_putc(json, ':');
        if (value->state == VALUE_NULL)
            buf_puts(json, "null");
        else
            buf_put_json_string(json, value->text, value->len);
    }
    buf_putc(json, '}');
}

struct value image_value(const PGresult *result, int row, int column, struct arena *arena)
{
    if (PQgetisnull(result, row, column))
        return (struct value){.state = VALUE_NULL};
    size_t len = (size_t)PQgetlength(result, row, column);
    return (struct value){
        .text = arena_strndup(arena, PQgetvalue(result, row, column), len), .len = (uint32_t)len, .state = VALUE_TEXT};
}

static bool holds_all(const struct change *change)
{
    for (size_t i = 0; i < change->relation->column_count; i++)
        if (change->columns[i].state == VALUE_ABSENT)
            return false;
    return true;
}

int image_fill(struct pgsink *s, const char *image, struct change *change, struct arena *arena, struct err *reterr)
{
    PGresult *result;

    if (holds_all(change))
        return 0;
    if (session_query(s, "reading a quarantined row", "SELECT key, value FROM json_each_text($1::json)", 1, &image,
                      &result, reterr))
        return -1;
    for (int i = 0; i < PQntuples(result); i++) {
        int column = relation_column(change->relation, PQgetvalue(result, i, 0));
        if (column >= 0 && change->columns[column].state == VALUE_ABSENT)
            change->columns[column] = image_value(result, i, 1, arena);
    }
    PQclear(result);
    return 0;
}

/* --- what we wrote ourselves --- */

static bool take_char(const char **at, char wanted)
{
    if (**at != wanted)
        return false;
    ++*at;
    return true;
}

/* \u00XX: buf_put_json_string writes no other. */
static bool take_control(const char **at, char *out)
{
    unsigned code = 0;

    for (int i = 0; i < 4; i++, ++*at) {
        char c = **at;
        if (c >= '0' && c <= '9')
            code = code * 16 + (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            code = code * 16 + (unsigned)(c - 'a') + 10;
        else
            return false;
    }
    *out = (char)code;
    return code < 0x20;
}

static bool take_escape(const char **at, char *out)
{
    char c = *(*at)++;

    switch (c) {
    case '"':
    case '\\': *out = c; return true;
    case 'n': *out = '\n'; return true;
    case 'r': *out = '\r'; return true;
    case 't': *out = '\t'; return true;
    case 'b': *out = '\b'; return true;
    case 'f': *out = '\f'; return true;
    case 'u': return take_control(at, out);
    default: return false;
    }
}

static bool take_string(const char **at, struct value *value, struct arena *arena)
{
    const char *from = *at, *end;
    char *text;
    size_t len = 0;

    if (!take_char(at, '"'))
        return false;
    for (end = *at; *end && *end != '"'; end++)
        if (*end == '\\' && end[1])
            end++;
    if (!*end)
        return false;
    text = arena_alloc(arena, (size_t)(end - from) + 1);
    while (**at != '"') {
        if (**at != '\\') {
            text[len++] = *(*at)++;
        } else {
            ++*at;
            if (!take_escape(at, &text[len++]))
                return false;
        }
    }
    ++*at;
    text[len] = '\0';
    *value = (struct value){.text = text, .len = (uint32_t)len, .state = VALUE_TEXT};
    return true;
}

static bool take_value(const char **at, struct value *value, struct arena *arena)
{
    if (strncmp(*at, "null", 4) != 0)
        return take_string(at, value, arena);
    *at += 4;
    *value = (struct value){.state = VALUE_NULL};
    return true;
}

/* The columns come in the relation's order, unless it has changed since. */
static int find_column(const struct relation *relation, const char *name, size_t *next)
{
    if (*next < relation->column_count && strcmp(relation->columns[*next].name, name) == 0)
        return (int)(*next)++;
    int column = relation_column(relation, name);
    if (column >= 0)
        *next = (size_t)column + 1;
    return column;
}

bool image_read(const char *image, struct change *change, struct arena *arena)
{
    const char *at = image;
    size_t next = 0;

    if (!take_char(&at, '{'))
        return false;
    for (bool first = true; *at != '}'; first = false) {
        struct value name, value;
        if ((!first && !take_char(&at, ',')) || !take_string(&at, &name, arena) || !take_char(&at, ':') ||
            !take_value(&at, &value, arena))
            return false;
        int column = find_column(change->relation, name.text, &next);
        if (column >= 0 && change->columns[column].state == VALUE_ABSENT)
            change->columns[column] = value;
    }
    return at[1] == '\0';
}

bool image_read_key(const char *key, struct value *identity, size_t count, struct arena *arena)
{
    const char *at = key;

    if (!take_char(&at, '['))
        return false;
    for (size_t i = 0; i < count; i++)
        if ((i && !take_char(&at, ',')) || !take_value(&at, &identity[i], arena))
            return false;
    return at[0] == ']' && at[1] == '\0';
}
