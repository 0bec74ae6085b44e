#include "transform/mask/value.h"

#include <stdio.h>
#include <string.h>

#define SHORT_TEXT 24 /* characters: up to here a free text keeps its shape */
#define SUFFIX ".invalid"
#define SECONDS_OF_DAY 86400

enum tweak { TWEAK_PLAIN, TWEAK_NUMBER, TWEAK_TIME, TWEAK_FRACTION, TWEAK_YEAR = 1000 };

/* --- letters and digits --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The last byte of a character of several. */
static bool is_last(struct slice of, size_t at)
{
    const unsigned char *bytes = (const unsigned char *)of.text;
    return bytes[at] >= 0x80 && bytes[at] < 0xc0 && (at + 1 == of.len || bytes[at + 1] < 0x80 || bytes[at + 1] >= 0xc0);
}

/* A letter's case is not part of its value, so that lower() of two values is as equal as it was. Of other scripts the
 * character moves among the 64 that share its first bytes. */
static bool digit_of(struct slice of, size_t at, struct digit *ret)
{
    char c = of.text[at];
    if (is_digit(c))
        *ret = (struct digit){(uint32_t)(c - '0'), 10};
    else if (is_letter(c))
        *ret = (struct digit){(uint32_t)((c | 0x20) - 'a'), 26};
    else if (is_last(of, at))
        *ret = (struct digit){(uint32_t)(c & 0x3f), 64};
    else
        return false;
    return true;
}

static char char_of(char was, const struct digit *digit)
{
    if (is_digit(was))
        return (char)('0' + digit->value);
    if (is_letter(was))
        return (char)((was & 0x20 ? 'a' : 'A') + (int)digit->value);
    return (char)(0x80 | digit->value);
}

static void put_permuted(struct masking *masking, struct slice of, struct buf *out)
{
    struct digit *digits = arena_alloc(masking->arena, (of.len + 1) * sizeof *digits);
    char *text = arena_strndup(masking->arena, of.text, of.len);
    size_t count = 0;
    for (size_t i = 0; i < of.len; i++)
        count += digit_of(of, i, &digits[count]);
    permute_digits(masking->permuter, TWEAK_PLAIN, digits, count);
    count = 0;
    for (size_t i = 0; i < of.len; i++) {
        struct digit ignored;
        if (digit_of(of, i, &ignored))
            text[i] = char_of(of.text[i], &digits[count++]);
    }
    buf_append(out, text, of.len);
}

/* A domain of its own that nobody can have: no message of staging ever reaches somebody. */
static void put_email(struct masking *masking, struct slice of, struct buf *out)
{
    const char *at = memrchr(of.text, '@', of.len);
    if (!at) {
        put_permuted(masking, of, out);
        return;
    }
    size_t local = (size_t)(at - of.text);
    put_permuted(masking, (struct slice){of.text, local}, out);
    buf_putc(out, '@');
    put_permuted(masking, (struct slice){at + 1, of.len - local - 1}, out);
    buf_puts(out, SUFFIX);
}

static void put_filler(struct masking *masking, struct slice of, size_t count, struct buf *out)
{
    uint8_t *bytes = arena_alloc(masking->arena, count);
    size_t word = 0;
    permuter_stream(masking->permuter, of.text, of.len, bytes, count);
    for (size_t i = 0; i < count; i++) {
        bool blank = word >= 3 && i + 1 < count && bytes[i] >= 208;
        buf_putc(out, blank ? ' ' : (char)((i == 0 ? 'A' : 'a') + bytes[i] % 26));
        word = blank ? 0 : word + 1;
    }
}

static void put_text(struct masking *masking, struct slice of, struct buf *out)
{
    size_t count = text_length(of.text, of.len);
    if (count <= SHORT_TEXT)
        put_permuted(masking, of, out);
    else
        put_filler(masking, of, count, out);
}

/* --- numbers --- */

/* The digits before an exponent; the first one of several stays what it is not: a zero. */
static size_t number_digits(struct slice of, struct digit *digits)
{
    size_t count = 0, whole = 0, i = 0;
    while (whole + 1 < of.len && !is_digit(of.text[whole]))
        whole++;
    bool several = whole + 1 < of.len && is_digit(of.text[whole + 1]) && of.text[whole] != '0';
    for (; i < of.len && of.text[i] != 'e' && of.text[i] != 'E'; i++)
        if (is_digit(of.text[i])) {
            bool first = i == whole && several;
            digits[count++] = (struct digit){(uint32_t)(of.text[i] - '0' - first), first ? 9 : 10};
        }
    return count;
}

static void write_digits(char *text, size_t len, const struct digit *digits, size_t count)
{
    size_t at = 0;
    for (size_t i = 0; i < len && at < count; i++)
        if (is_digit(text[i])) {
            text[i] = (char)('0' + digits[at].value + (digits[at].radix == 9));
            at++;
        }
}

static bool is_beyond(const char *text, size_t len, const char *limit)
{
    size_t digits = limit ? strlen(limit) : 0;
    if (limit && len && (*text == '-' || *text == '+')) {
        text++;
        len--;
    }
    return limit && (len > digits || (len == digits && memcmp(text, limit, len) > 0));
}

static void put_number(struct masking *masking, const char *limit, struct slice of, struct buf *out)
{
    struct digit *digits = arena_alloc(masking->arena, (of.len + 1) * sizeof *digits);
    char *text = arena_strndup(masking->arena, of.text, of.len);
    size_t count = is_beyond(text, of.len, limit) ? 0 : number_digits(of, digits); /* the least one of a type */
    do {
        permute_digits(masking->permuter, TWEAK_NUMBER, digits, count);
        write_digits(text, of.len, digits, count);
    } while (count && is_beyond(text, of.len, limit));
    buf_append(out, text, of.len);
}

/* --- dates --- */

static const int days_before[13] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_start(int year, int month)
{
    return days_before[month] + (month >= 2 && is_leap(year) ? 1 : 0);
}

static size_t take_digits(struct slice of, size_t at, int *ret)
{
    size_t i = at;
    for (*ret = 0; i < of.len && i - at < 6 && is_digit(of.text[i]); i++)
        *ret = *ret * 10 + (of.text[i] - '0');
    return i - at;
}

/* "HH:MM:SS" and what stands behind: a fraction's digits move, a zone stays. */
static void put_time(struct masking *masking, struct slice of, struct buf *out)
{
    int hour, minute, second;
    if (of.len < 9 || take_digits(of, 1, &hour) != 2 || take_digits(of, 4, &minute) != 2 ||
        take_digits(of, 7, &second) != 2 || hour * 3600 + minute * 60 + second >= SECONDS_OF_DAY) {
        buf_append(out, of.text, of.len);
        return;
    }
    uint32_t time =
        permute_number(masking->permuter, TWEAK_TIME, (uint32_t)(hour * 3600 + minute * 60 + second), SECONDS_OF_DAY);
    buf_putc(out, of.text[0]);
    buf_printf(out, "%02u:%02u:%02u", time / 3600, time / 60 % 60, time % 60);
    size_t at = 9, count = 0;
    struct digit digits[8];
    if (at < of.len && of.text[at] == '.') {
        buf_putc(out, of.text[at++]);
        for (; at < of.len && count < 8 && is_digit(of.text[at]); at++)
            digits[count++] = (struct digit){(uint32_t)(of.text[at] - '0'), 10};
        permute_digits(masking->permuter, TWEAK_FRACTION, digits, count);
        for (size_t i = 0; i < count; i++)
            buf_putc(out, (char)('0' + digits[i].value));
    }
    buf_append(out, of.text + at, of.len - at);
}

/* The year stays: an age is what an application computes with. */
static void put_date(struct masking *masking, struct slice of, struct buf *out)
{
    int year, month, day;
    size_t digits = take_digits(of, 0, &year), at = digits + 6;
    if (digits < 4 || of.len < at || of.text[digits] != '-' || of.text[digits + 3] != '-' ||
        take_digits(of, digits + 1, &month) != 2 || take_digits(of, digits + 4, &day) != 2 || month < 1 || month > 12 ||
        day < 1 || day > month_start(year, month) - month_start(year, month - 1)) {
        put_permuted(masking, of, out);
        return;
    }
    uint32_t of_year =
        permute_number(masking->permuter, TWEAK_YEAR + (uint32_t)year,
                       (uint32_t)(month_start(year, month - 1) + day - 1), (uint32_t)month_start(year, 12));
    for (month = 1; (int)of_year >= month_start(year, month);)
        month++;
    buf_printf(out, "%04d-%02d-%02d", year, month, (int)of_year - month_start(year, month - 1) + 1);
    if (at < of.len && (of.text[at] == ' ' || of.text[at] == 'T') && at + 1 < of.len && is_digit(of.text[at + 1]))
        put_time(masking, (struct slice){of.text + at, of.len - at}, out);
    else
        buf_append(out, of.text + at, of.len - at);
}

static bool is_infinite(struct slice of)
{
    return text_equal_ascii(of, (struct slice){"infinity", 8}) || text_equal_ascii(of, (struct slice){"-infinity", 9});
}

bool mask_value(struct masking *masking, enum mask_kind kind, const char *limit, struct slice value, struct buf *out)
{
    switch (kind) {
    case MASK_CLEAR: buf_append(out, value.text, value.len); break;
    case MASK_NAME:
    case MASK_PHONE: put_permuted(masking, value, out); break;
    case MASK_EMAIL: put_email(masking, value, out); break;
    case MASK_TEXT: put_text(masking, value, out); break;
    case MASK_NUMBER: put_number(masking, limit, value, out); break;
    case MASK_DATE:
        if (is_infinite(value))
            buf_append(out, value.text, value.len);
        else
            put_date(masking, value, out);
        break;
    case MASK_EMPTY:
    case MASK_JSON: return false;
    }
    return !buf_overflowed(out);
}
