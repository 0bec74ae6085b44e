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

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
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
    line[len++] = '\n';
    while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
        ;
    errno = saved_errno;
}
