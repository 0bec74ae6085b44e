#include "cdc/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cdc/base/clock.h"

/* PIPE_BUF on Linux: a write of no more than this is atomic even into a pipe. */
#define LOG_LINE_MAX 4096

static _Atomic int current_level = LOG_INFO;
static _Atomic bool as_json;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

void log_set_json(bool json)
{
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR: return "error";
    case LOG_WARN: return "warn";
    case LOG_INFO: return "info";
    case LOG_DEBUG: return "debug";
    }
    return "unknown";
}

const char *log_quote(const char *text, char *out, size_t size)
{
    size_t len = 0;
    if (size < 3) {
        if (size)
            *out = '\0';
        return out;
    }
    out[len++] = '"';
    for (; *text; text++) {
        size_t needs = *text == '"' || *text == '\\' ? 2 : 1;
        if (len + needs + 2 > size)
            break;
        if (needs == 2)
            out[len++] = '\\';
        out[len++] = *text;
    }
    out[len++] = '"';
    out[len] = '\0';
    return out;
}

static size_t line_end(int printed, size_t at, size_t size)
{
    size_t end = at + (printed < 0 ? 0 : (size_t)printed);
    return end < size ? end : size - 1;
}

/* `key=value key="quoted \\"value\\""` as an object. A value that was cut off is closed where it ends. */
size_t log_line_json(const char *line, char *out, size_t size)
{
    size_t len = 0;
    out[len++] = '{';
    while (*line && len + 16 < size) {
        size_t key = strcspn(line, "= ");
        if (line[key] != '=') { /* a word without a value */
            line += key + (line[key] == ' ');
            continue;
        }
        if (len > 1)
            out[len++] = ',';
        if (len + key + 16 >= size)
            break;
        out[len++] = '"';
        memcpy(out + len, line, key);
        len += key;
        memcpy(out + len, "\":\"", 3);
        len += 3;
        line += key + 1;
        bool quoted = *line == '"';
        for (line += quoted; *line && (quoted ? *line != '"' : *line != ' ') && len + 16 < size; line++) {
            if (quoted && *line == '\\' && line[1])
                out[len++] = *line++; /* escaped already */
            else if (*line == '"' || *line == '\\')
                out[len++] = '\\';
            out[len++] = *line;
        }
        out[len++] = '"';
        line += quoted && *line == '"';
        line += *line == ' ';
    }
    if (out[len - 1] == ',')
        len--;
    out[len++] = '}';
    out[len] = '\0';
    return len;
}

static void write_line(char *line, size_t len)
{
    line[len++] = '\n';
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        ;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (level > log_get_level())
        return;

    char line[LOG_LINE_MAX], when[32];
    const size_t size = sizeof(line) - 1; /* the newline stays free */
    va_list args;
    int saved_errno = errno;

    clock_format_utc(clock_wall_us(), when, sizeof(when));
    size_t len = line_end(snprintf(line, size, "ts=%s level=%s event=%s ", when, level_name(level), event), 0, size);
    va_start(args, format);
    len = line_end(vsnprintf(line + len, size - len, format, args), len, size);
    va_end(args);

    while (len > 0 && line[len - 1] == ' ')
        len--;
    /* a name with a line break in it must not begin a line of its own */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
            line[i] = ' ';
    }
    line[len] = '\0';
    if (atomic_load_explicit(&as_json, memory_order_relaxed)) {
        char json[2 * LOG_LINE_MAX];
        write_line(json, log_line_json(line, json, sizeof(json)));
    } else {
        write_line(line, len);
    }
    errno = saved_errno;
}
