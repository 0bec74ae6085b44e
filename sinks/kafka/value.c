#include "sinks/kafka/value.h"

#include <gmp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/base/arena.h"

#define DIGITS_MAX 20000 /* of a decimal, with its zeros; more than numeric's own limit before the point is text */

/* --- texts --- */

static void put_text(struct buf *out, const struct value *value)
{
    buf_put_json_string(out, value->text, value->len);
}

/* JSON's own number? PostgreSQL prints none that begins with "+" or "." */
static bool is_number(const char *text, size_t len)
{
    size_t i = len && text[0] == '-' ? 1 : 0, digits = i;
    while (i < len && text[i] >= '0' && text[i] <= '9')
        i++;
    if (i == digits || (text[digits] == '0' && i > digits + 1))
        return false;
    if (i < len && text[i] == '.') {
        size_t point = ++i;
        while (i < len && text[i] >= '0' && text[i] <= '9')
            i++;
        if (i == point)
            return false;
    }
    if (i < len && (text[i] | 0x20) == 'e') {
        i++;
        if (i < len && (text[i] == '+' || text[i] == '-'))
            i++;
        size_t exponent = i;
        while (i < len && text[i] >= '0' && text[i] <= '9')
            i++;
        if (i == exponent)
            return false;
    }
    return i == len;
}

static bool put_number(struct buf *out, enum envelope_format format, const struct value *value)
{
    if (is_number(value->text, value->len)) {
        buf_append(out, value->text, value->len);
        return true;
    }
    if (format == ENVELOPE_PLAIN) {
        put_text(out, value);
        return true;
    }
    buf_puts(out, "null");
    return false;
}

static bool put_boolean(struct buf *out, const struct value *value)
{
    char c = value->len ? (char)(value->text[0] | 0x20) : 'f';
    buf_puts(out, c == 't' || c == 'y' || c == '1' ? "true" : "false");
    return true;
}

static void put_base64(struct buf *out, const unsigned char *bytes, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_putc(out, '"');
    for (size_t i = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (i + 2 < len ? bytes[i + 2] : 0);
        buf_putc(out, letters[group >> 18]);
        buf_putc(out, letters[group >> 12 & 63]);
        buf_putc(out, i + 1 < len ? letters[group >> 6 & 63] : '=');
        buf_putc(out, i + 2 < len ? letters[group & 63] : '=');
    }
    buf_putc(out, '"');
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static bool put_bytes(struct buf *out, const struct value *value)
{
    size_t skip = value->len >= 2 && value->text[0] == '\\' && value->text[1] == 'x' ? 2 : 0, len = 0;
    unsigned char *bytes = mem_alloc(value->len / 2 + 1);
    for (size_t i = skip; i + 1 < value->len; i += 2)
        bytes[len++] = (unsigned char)(hex_of(value->text[i]) << 4 | hex_of(value->text[i + 1]));
    put_base64(out, bytes, len);
    free(bytes);
    return true;
}

/* --- decimals --- */

/* The digits without a point, so that value = digits / 10^scale. *scale -1: as many as the text has. */
static char *unscaled(const struct value *value, int *scale)
{
    size_t at = 0, len = 0, behind = 0;
    bool point = false;
    if (!is_number(value->text, value->len) || value->len > DIGITS_MAX || memchr(value->text, 'e', value->len) ||
        memchr(value->text, 'E', value->len))
        return NULL;
    char *digits = mem_alloc(value->len + (size_t)(*scale > 0 ? *scale : 0) + 2);
    for (; at < value->len; at++) {
        if (value->text[at] == '.') {
            point = true;
            continue;
        }
        if (point && *scale >= 0 && behind == (size_t)*scale)
            break; /* the column cuts off there */
        behind += point;
        digits[len++] = value->text[at];
    }
    for (; *scale >= 0 && behind < (size_t)*scale; behind++)
        digits[len++] = '0';
    digits[len] = '\0';
    *scale = (int)behind;
    return digits;
}

/* Big-endian two's complement, as short as it can be. */
static void put_integer(struct buf *out, const char *digits)
{
    mpz_t number, power;
    mpz_init_set_str(number, digits, 10);
    bool negative = mpz_sgn(number) < 0;
    if (negative)
        mpz_add_ui(number, number, 1); /* -128 fits one byte: |n + 1| has seven bits */
    size_t bytes = (mpz_sgn(number) ? mpz_sizeinbase(number, 2) : 0) / 8 + 1, written = 0;
    if (negative)
        mpz_sub_ui(number, number, 1);
    unsigned char *text = mem_zalloc(bytes, 1);
    if (negative) {
        mpz_init_set_ui(power, 1);
        mpz_mul_2exp(power, power, bytes * 8);
        mpz_add(number, number, power);
        mpz_clear(power);
    }
    size_t wanted = (mpz_sgn(number) ? mpz_sizeinbase(number, 2) + 7 : 0) / 8;
    mpz_export(text + (bytes - wanted), &written, 1, 1, 1, 0, number);
    put_base64(out, text, bytes);
    free(text);
    mpz_clear(number);
}

static bool put_decimal(struct buf *out, enum envelope_kind kind, int scale, const struct value *value)
{
    int places = kind == ENVELOPE_DECIMAL ? scale : -1;
    char *digits = unscaled(value, &places);
    if (!digits) {
        buf_puts(out, "null");
        return false;
    }
    if (kind == ENVELOPE_DECIMAL) {
        put_integer(out, digits);
    } else {
        buf_printf(out, "{\"scale\":%d,\"value\":", places);
        put_integer(out, digits);
        buf_putc(out, '}');
    }
    free(digits);
    return true;
}

/* --- dates and times --- */

static bool read_digits(const char **at, const char *end, int count, int *ret_number)
{
    int number = 0;
    if (end - *at < count)
        return false;
    for (int i = 0; i < count; i++) {
        char c = *(*at)++;
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (c - '0');
    }
    *ret_number = number;
    return true;
}

static bool read_char(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    (*at)++;
    return true;
}

/* Days since 1970 of the proleptic Gregorian calendar. Four-digit years only. */
static bool read_date(const char **at, const char *end, int64_t *ret_days)
{
    int year, month, day;
    if (!read_digits(at, end, 4, &year) || !read_char(at, end, '-') || !read_digits(at, end, 2, &month) ||
        !read_char(at, end, '-') || !read_digits(at, end, 2, &day))
        return false;
    int64_t y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    *ret_days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return true;
}

static bool read_time(const char **at, const char *end, int64_t *ret_us)
{
    int hour, minute, second, digits = 0;
    int64_t fraction = 0;
    if (!read_digits(at, end, 2, &hour) || !read_char(at, end, ':') || !read_digits(at, end, 2, &minute) ||
        !read_char(at, end, ':') || !read_digits(at, end, 2, &second))
        return false;
    if (read_char(at, end, '.'))
        for (; *at < end && **at >= '0' && **at <= '9' && digits < 6; digits++)
            fraction = fraction * 10 + (*(*at)++ - '0');
    for (; digits < 6; digits++)
        fraction *= 10;
    *ret_us = (((int64_t)hour * 60 + minute) * 60 + second) * 1000000 + fraction;
    return true;
}

static bool read_stamp(const char **at, const char *end, int64_t *ret_us)
{
    int64_t days, us;
    if (!read_date(at, end, &days) || (!read_char(at, end, ' ') && !read_char(at, end, 'T')) ||
        !read_time(at, end, &us))
        return false;
    *ret_us = days * INT64_C(86400000000) + us;
    return true;
}

/* "2024-02-29 12:00:00.5+00", and nothing else: that is how a session in UTC prints it. */
static bool is_utc(const struct value *value)
{
    const char *at = value->text, *end = value->text + value->len;
    int64_t us;
    return read_stamp(&at, end, &us) && end - at == 3 && memcmp(at, "+00", 3) == 0;
}

static bool put_utc(struct buf *out, enum envelope_format format, const struct value *value)
{
    if (!is_utc(value)) {
        if (format == ENVELOPE_PLAIN)
            put_text(out, value);
        else
            buf_puts(out, "null");
        return format == ENVELOPE_PLAIN;
    }
    const char *point = memchr(value->text, '.', value->len);
    size_t digits = point ? (size_t)(value->text + value->len - 3 - point - 1) : 0;
    buf_putc(out, '"');
    buf_append(out, value->text, 10);
    buf_putc(out, 'T');
    buf_append(out, value->text + 11, 8);
    buf_putc(out, '.');
    if (digits)
        buf_append(out, point + 1, digits);
    buf_append(out, "000000", 6 - digits);
    buf_puts(out, "Z\"");
    return true;
}

static bool put_temporal(struct buf *out, enum envelope_kind kind, const struct value *value)
{
    const char *at = value->text, *end = value->text + value->len;
    int64_t number = 0;
    bool good = kind == ENVELOPE_DATE   ? read_date(&at, end, &number)
                : kind == ENVELOPE_TIME ? read_time(&at, end, &number)
                                        : read_stamp(&at, end, &number);
    if (!good || at != end) {
        buf_puts(out, "null");
        return false;
    }
    buf_printf(out, "%" PRId64, number);
    return true;
}

/* --- all --- */

bool value_write(struct buf *out, enum envelope_format format, enum envelope_kind kind, int scale,
                 const struct value *value)
{
    bool plain = format == ENVELOPE_PLAIN;
    if (value->state != VALUE_TEXT) {
        buf_puts(out, "null");
        return true;
    }
    switch (kind) {
    case ENVELOPE_INT16:
    case ENVELOPE_INT32:
    case ENVELOPE_INT64:
    case ENVELOPE_FLOAT:
    case ENVELOPE_DOUBLE: return put_number(out, format, value);
    case ENVELOPE_BOOLEAN: return put_boolean(out, value);
    case ENVELOPE_TIMESTAMPTZ: return put_utc(out, format, value);
    case ENVELOPE_DECIMAL:
    case ENVELOPE_VARIABLE_DECIMAL:
        if (!plain)
            return put_decimal(out, kind, scale, value);
        break;
    case ENVELOPE_DATE:
    case ENVELOPE_TIMESTAMP:
    case ENVELOPE_TIME:
        if (!plain)
            return put_temporal(out, kind, value);
        break;
    case ENVELOPE_BYTES:
        if (!plain)
            return put_bytes(out, value);
        break;
    case ENVELOPE_JSON:
    case ENVELOPE_UUID:
    case ENVELOPE_TEXT: break;
    }
    put_text(out, value);
    return true;
}

/* --- schemas --- */

static const struct {
    const char *type, *name;
} schemas[] = {
    [ENVELOPE_INT16] = {"int16", NULL},
    [ENVELOPE_INT32] = {"int32", NULL},
    [ENVELOPE_INT64] = {"int64", NULL},
    [ENVELOPE_BOOLEAN] = {"boolean", NULL},
    [ENVELOPE_FLOAT] = {"float", NULL},
    [ENVELOPE_DOUBLE] = {"double", NULL},
    [ENVELOPE_DECIMAL] = {"bytes", "org.apache.kafka.connect.data.Decimal"},
    [ENVELOPE_VARIABLE_DECIMAL] = {"struct", "io.debezium.data.VariableScaleDecimal"},
    [ENVELOPE_DATE] = {"int32", "io.debezium.time.Date"},
    [ENVELOPE_TIMESTAMP] = {"int64", "io.debezium.time.MicroTimestamp"},
    [ENVELOPE_TIMESTAMPTZ] = {"string", "io.debezium.time.ZonedTimestamp"},
    [ENVELOPE_TIME] = {"int64", "io.debezium.time.MicroTime"},
    [ENVELOPE_JSON] = {"string", "io.debezium.data.Json"},
    [ENVELOPE_UUID] = {"string", "io.debezium.data.Uuid"},
    [ENVELOPE_BYTES] = {"bytes", NULL},
    [ENVELOPE_TEXT] = {"string", NULL},
};

void value_schema(struct buf *out, enum envelope_kind kind, int scale, bool optional)
{
    buf_printf(out, "\"type\":\"%s\",\"optional\":%s", schemas[kind].type, optional ? "true" : "false");
    if (schemas[kind].name)
        buf_printf(out, ",\"name\":\"%s\",\"version\":1", schemas[kind].name);
    if (kind == ENVELOPE_DECIMAL)
        buf_printf(out, ",\"parameters\":{\"scale\":\"%d\"}", scale);
    if (kind == ENVELOPE_VARIABLE_DECIMAL)
        buf_puts(out, ",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"scale\"},"
                      "{\"type\":\"bytes\",\"optional\":false,\"field\":\"value\"}]");
}
