#include "cdc/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cdc/base/arena.h"

#define BUF_FIRST_BYTES ((size_t)256)

void buf_init(struct buf *buf, size_t max_bytes)
{
    *buf = (struct buf){.max_bytes = max_bytes};
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->max_bytes);
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->overflowed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool buf_grow(struct buf *buf, size_t bytes)
{
    if (buf->overflowed || bytes > buf->max_bytes - buf->len) {
        buf->overflowed = true;
        return false;
    }
    size_t need = buf->len + bytes + 1;
    if (need <= buf->capacity)
        return true;

    size_t capacity = buf->capacity ? buf->capacity : BUF_FIRST_BYTES;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    if (capacity - 1 > buf->max_bytes)
        capacity = buf->max_bytes + 1;
    buf->data = mem_realloc(buf->data, capacity);
    buf->data[buf->len] = '\0';
    buf->capacity = capacity;
    return true;
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    size_t room = buf->capacity - buf->len;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(room ? buf->data + buf->len : NULL, room, format, args);
    va_end(args);

    if (len >= 0 && buf_reserve(buf, (size_t)len)) {
        if ((size_t)len >= room)
            vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    } else if (room) {
        buf->data[buf->len] = '\0';
    }
    va_end(again);
}

void buf_put_json_string(struct buf *buf, const char *text, size_t len)
{
    size_t start = 0;

    buf_putc(buf, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_append(buf, text + start, i - start);
        start = i + 1;
        switch (c) {
        case '"': buf_append(buf, "\\\"", 2); break;
        case '\\': buf_append(buf, "\\\\", 2); break;
        case '\n': buf_append(buf, "\\n", 2); break;
        case '\r': buf_append(buf, "\\r", 2); break;
        case '\t': buf_append(buf, "\\t", 2); break;
        case '\b': buf_append(buf, "\\b", 2); break;
        case '\f': buf_append(buf, "\\f", 2); break;
        default: buf_printf(buf, "\\u%04x", c);
        }
    }
    buf_append(buf, text + start, len - start);
    buf_putc(buf, '"');
}
