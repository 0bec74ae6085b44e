#include "sinks/postgres/image.h"

#include <string.h>

#include "sinks/postgres/session.h"

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
