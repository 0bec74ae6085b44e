#include "cdc/base/err.h"

#include <stdio.h>
#include <string.h>

/* Copies what fits and does not cut a UTF-8 character in two. */
static void put_text(char *target, size_t size, const char *text)
{
    size_t len = strlen(text);
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(target, text, len);
    target[len] = '\0';
}

int err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
    /* formatted aside, for an argument may point into *err itself */
    char text[2 * ERR_TEXT_MAX];
    va_list args;

    if (!err)
        return -1;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    *err = (struct err){.kind = kind};
    put_text(err->message, sizeof(err->message), text);
    return -1;
}

int err_hint(struct err *err, const char *format, ...)
{
    char text[2 * ERR_TEXT_MAX];
    va_list args;

    if (!err)
        return -1;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put_text(err->hint, sizeof(err->hint), text);
    return -1;
}

int err_pause(struct err *err, const char *category)
{
    if (err)
        put_text(err->pause, sizeof(err->pause), category);
    return -1;
}

int err_wrap(struct err *err, const char *format, ...)
{
    char text[3 * ERR_TEXT_MAX];
    va_list args;

    if (!err)
        return -1;
    va_start(args, format);
    vsnprintf(text, ERR_TEXT_MAX, format, args);
    va_end(args);
    size_t len = strlen(text);
    snprintf(text + len, sizeof(text) - len, ": %s", err->message);
    put_text(err->message, sizeof(err->message), text);
    return -1;
}

const char *err_kind_name(enum err_kind kind)
{
    switch (kind) {
    case ERR_NONE: return "none";
    case ERR_RETRY: return "retry";
    case ERR_POISON: return "poison";
    case ERR_CONFIG: return "config";
    case ERR_REFUSED: return "refused";
    case ERR_FATAL: return "fatal";
    case ERR_STOP: return "stop";
    }
    return "unknown";
}
