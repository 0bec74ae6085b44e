/* A byte buffer that grows up to a limit it is born with.
 *
 * Appending beyond the limit sets a sticky flag and drops the bytes; the writer checks once, at the
 * end, with buf_overflowed(). The bytes are kept NUL-terminated, so buf->data is also a C string.
 */
#ifndef PGREKEY_BASE_BUF_H
#define PGREKEY_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data; /* NULL before the first append */
    size_t len, capacity, max_bytes;
    bool overflowed;
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_done(struct buf *buf);
/* Empties it, keeps the memory, clears the flag. */
void buf_reset(struct buf *buf);

/* The rare half of buf_reserve(): grows, or sets the flag. */
bool buf_grow(struct buf *buf, size_t bytes);

/* Makes room for `bytes` more; false (and the flag) where the limit forbids it, and ever after. */
static inline bool buf_reserve(struct buf *buf, size_t bytes)
{
    /* capacity counts the closing NUL, so strictly less; 0 - 0 before the first append */
    if (bytes < buf->capacity - buf->len && !buf->overflowed)
        return true;
    return buf_grow(buf, bytes);
}

static inline void buf_append(struct buf *buf, const void *data, size_t len)
{
    if (len == 0 || !buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

static inline void buf_putc(struct buf *buf, char c)
{
    if (!buf_reserve(buf, 1))
        return;
    buf->data[buf->len++] = c;
    buf->data[buf->len] = '\0';
}

void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As a JSON string, quotes included, as PostgreSQL's to_json() writes it; the bytes are taken as UTF-8 as they are. */
void buf_put_json_string(struct buf *buf, const char *text, size_t len);

static inline bool buf_overflowed(const struct buf *buf)
{
    return buf->overflowed;
}
/* The text, "" where nothing was appended. Valid until the next append. */
static inline const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}

#endif
