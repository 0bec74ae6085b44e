#include "cdc/pg/pg.h"

#include <string.h>

void pg_put_ident(struct buf *buf, const char *name)
{
    buf_putc(buf, '"');
    for (const char *at = name; *at; at++) {
        if (*at == '"')
            buf_putc(buf, '"');
        buf_putc(buf, *at);
    }
    buf_putc(buf, '"');
}

void pg_put_qualified(struct buf *buf, const char *schema, const char *name)
{
    pg_put_ident(buf, schema);
    buf_putc(buf, '.');
    pg_put_ident(buf, name);
}

void pg_put_literal(struct buf *buf, const char *text)
{
    if (strchr(text, '\\'))
        buf_putc(buf, 'E');
    buf_putc(buf, '\'');
    for (const char *at = text; *at; at++) {
        if (*at == '\'' || *at == '\\')
            buf_putc(buf, *at);
        buf_putc(buf, *at);
    }
    buf_putc(buf, '\'');
}
