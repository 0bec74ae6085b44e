#include "cdc/app/cmd/json.h"

#include <math.h>

#include "cdc/base/lsn.h"

#define JSON_MAX_BYTES ((size_t)256 << 20)

void json_init(struct json *json)
{
    *json = (struct json){0};
    buf_init(&json->buf, JSON_MAX_BYTES);
}

void json_done(struct json *json)
{
    buf_done(&json->buf);
}

int json_print(struct json *json, FILE *out)
{
    int status = buf_overflowed(&json->buf) ? -1 : 0;
    if (status == 0 && (fputs(buf_text(&json->buf), out) < 0 || fputc('\n', out) < 0 || fflush(out) < 0))
        status = -1;
    json_done(json);
    return status;
}

static void put_key(struct json *json, const char *key)
{
    if (json->comma)
        buf_putc(&json->buf, ',');
    json->comma = true;
    if (key) {
        buf_put_json_string(&json->buf, key, strlen(key));
        buf_putc(&json->buf, ':');
    }
}

void json_open(struct json *json, const char *key, char bracket)
{
    put_key(json, key);
    buf_putc(&json->buf, bracket);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    buf_putc(&json->buf, bracket);
    json->comma = true;
}

void json_text(struct json *json, const char *key, const char *text)
{
    put_key(json, key);
    if (text)
        buf_put_json_string(&json->buf, text, strlen(text));
    else
        buf_puts(&json->buf, "null");
}

void json_int(struct json *json, const char *key, int64_t number)
{
    put_key(json, key);
    buf_printf(&json->buf, "%lld", (long long)number);
}

void json_double(struct json *json, const char *key, double number)
{
    put_key(json, key);
    if (isfinite(number))
        buf_printf(&json->buf, "%.3f", number);
    else
        buf_puts(&json->buf, "null");
}

void json_bool(struct json *json, const char *key, bool value)
{
    put_key(json, key);
    buf_puts(&json->buf, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
    put_key(json, key);
    buf_puts(&json->buf, "null");
}

void json_lsn(struct json *json, const char *key, uint64_t lsn)
{
    char text[LSN_TEXT_MAX];
    json_text(json, key, lsn ? lsn_format(lsn, text) : NULL);
}

void json_raw(struct json *json, const char *key, const char *text)
{
    put_key(json, key);
    buf_puts(&json->buf, text && *text ? text : "null");
}
