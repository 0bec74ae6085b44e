#include "transform/jsonb.h"

#include <stdint.h>
#include <string.h>

#include "transform/number.h"

struct scan {
    const char *p, *end;
    bool jsonb;
    const char *reason;
    size_t depth;
    uint64_t is_object[(JSONB_MAX_DEPTH + 63) / 64]; /* a bit a level */
};

static const char NOT_JSON[] = "not valid JSON";

static bool fail(struct scan *s, const char *reason)
{
    s->reason = reason;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

static bool take(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool take_word(struct scan *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return fail(s, NOT_JSON);
    s->p += len;
    return true;
}

/* --- strings --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool scan_hex4(const char *p, const char *end, uint32_t *ret)
{
    uint32_t value = 0;

    if (end - p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *ret = value;
    return true;
}

static size_t utf8_bytes(uint32_t c)
{
    return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/* At the hex digits after \u. *saved counts what the value is shorter than its text. */
static bool scan_unicode(struct scan *s, size_t *saved)
{
    uint32_t c, low;

    if (!scan_hex4(s->p, s->end, &c))
        return fail(s, NOT_JSON);
    s->p += 4;
    if (!s->jsonb)
        return true;
    if (c == 0)
        return fail(s, "JSON holds \\u0000, which jsonb does not take");
    if ((c & 0xFC00) == 0xDC00)
        return fail(s, "JSON holds a lone surrogate");
    if ((c & 0xFC00) != 0xD800) {
        *saved += 6 - utf8_bytes(c);
        return true;
    }
    if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u' || !scan_hex4(s->p + 2, s->end, &low) ||
        (low & 0xFC00) != 0xDC00)
        return fail(s, "JSON holds a lone surrogate");
    s->p += 6;
    *saved += 12 - 4;
    return true;
}

static bool scan_string(struct scan *s)
{
    const char *begin;
    size_t saved = 0;

    if (!take(s, '"'))
        return fail(s, NOT_JSON);
    begin = s->p;
    while (s->p < s->end && *s->p != '"') {
        uint8_t c = (uint8_t)*s->p++;

        if (c < 0x20)
            return fail(s, NOT_JSON);
        if (c != '\\')
            continue;
        if (s->p == s->end || !strchr("\"\\/bfnrtu", *s->p) || *s->p == '\0')
            return fail(s, NOT_JSON);
        if (*s->p++ != 'u')
            saved++;
        else if (!scan_unicode(s, &saved))
            return false;
    }
    if (s->jsonb && (size_t)(s->p - begin) - saved > JSONB_MAX_STRING)
        return fail(s, "JSON holds a string too long for jsonb");
    return take(s, '"') || fail(s, NOT_JSON);
}

/* --- other values --- */

static bool scan_digits(struct scan *s)
{
    const char *begin = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > begin || fail(s, NOT_JSON);
}

static bool scan_number(struct scan *s)
{
    const char *begin = s->p;
    int32_t magnitude;

    take(s, '-');
    if (!take(s, '0') && !scan_digits(s))
        return false;
    if (take(s, '.') && !scan_digits(s))
        return false;
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (!take(s, '+'))
            take(s, '-');
        if (!scan_digits(s))
            return false;
    }
    if (s->jsonb && number_check(begin, (size_t)(s->p - begin), &magnitude) != NUMBER_OK)
        return fail(s, "JSON holds a number beyond the range of numeric");
    return true;
}

static bool scan_key(struct scan *s)
{
    skip_space(s);
    if (!scan_string(s))
        return false;
    skip_space(s);
    return take(s, ':') || fail(s, NOT_JSON);
}

static bool in_object(const struct scan *s)
{
    return s->is_object[(s->depth - 1) / 64] >> ((s->depth - 1) % 64) & 1;
}

/* At the bracket. *ret_open: a value follows inside; else the container was empty. */
static bool scan_open(struct scan *s, bool *ret_open)
{
    bool object = *s->p++ == '{';
    uint64_t bit;

    skip_space(s);
    *ret_open = false;
    if (take(s, object ? '}' : ']'))
        return s->depth < JSONB_MAX_DEPTH || fail(s, "JSON is nested too deep");
    if (s->depth == JSONB_MAX_DEPTH)
        return fail(s, "JSON is nested too deep");
    bit = UINT64_C(1) << (s->depth % 64);
    if (object)
        s->is_object[s->depth / 64] |= bit;
    else
        s->is_object[s->depth / 64] &= ~bit;
    s->depth++;
    *ret_open = true;
    return !object || scan_key(s);
}

/* The first token of a value; *ret_open: its first inner value comes next. */
static bool scan_value(struct scan *s, bool *ret_open)
{
    *ret_open = false;
    skip_space(s);
    if (s->p == s->end)
        return fail(s, NOT_JSON);
    switch (*s->p) {
    case '{':
    case '[': return scan_open(s, ret_open);
    case '"': return scan_string(s);
    case 't': return take_word(s, "true", 4);
    case 'f': return take_word(s, "false", 5);
    case 'n': return take_word(s, "null", 4);
    default: return scan_number(s);
    }
}

/* After a value: closes what closes; *ret_more: a comma came, and of an object the next key. */
static bool scan_after(struct scan *s, bool *ret_more)
{
    *ret_more = false;
    while (s->depth > 0) {
        bool object = in_object(s);

        skip_space(s);
        if (take(s, ',')) {
            *ret_more = true;
            return !object || scan_key(s);
        }
        if (!take(s, object ? '}' : ']'))
            return fail(s, NOT_JSON);
        s->depth--;
    }
    return true;
}

/* One whole value. */
static bool scan_whole(struct scan *s)
{
    bool again;

    do {
        do {
            if (!scan_value(s, &again))
                return false;
        } while (again);
        if (!scan_after(s, &again))
            return false;
    } while (again);
    return true;
}

static void scan_init(struct scan *s, const char *text, size_t len, bool jsonb)
{
    s->p = text; /* is_object stays as it is: a level's bit is written before it is read */
    s->end = text + len;
    s->jsonb = jsonb;
    s->reason = NULL;
    s->depth = 0;
}

static bool acceptable(const char *text, size_t len, bool jsonb, const char **ret_reason)
{
    struct scan s;

    if (!text_utf8_valid(text, len)) {
        *ret_reason = "not valid UTF-8";
        return false;
    }
    scan_init(&s, text, len, jsonb);
    if (scan_whole(&s)) {
        skip_space(&s);
        if (s.p == s.end)
            return true;
        s.reason = NOT_JSON;
    }
    *ret_reason = s.reason;
    return false;
}

bool jsonb_acceptable(const char *text, size_t len, const char **ret_reason)
{
    return acceptable(text, len, true, ret_reason);
}

bool json_acceptable(const char *text, size_t len, const char **ret_reason)
{
    return acceptable(text, len, false, ret_reason);
}

bool jsonb_number_acceptable(const char *text, size_t len)
{
    struct scan s;

    scan_init(&s, text, len, true);
    return scan_number(&s) && s.p == s.end;
}

/* --- reading what is known to be right --- */

char jsonb_first(const char *text, size_t len)
{
    struct scan s;

    scan_init(&s, text, len, true);
    skip_space(&s);
    if (s.p == s.end)
        return 'n';
    return *s.p == '-' || (*s.p >= '0' && *s.p <= '9') ? '0' : *s.p;
}

static char *put_utf8(char *out, uint32_t c)
{
    static const uint8_t LEAD[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t bytes = utf8_bytes(c);

    if (bytes == 1) {
        *out = (char)c;
        return out + 1;
    }
    for (size_t i = bytes - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(LEAD[bytes] | c);
    return out + bytes;
}

static char *put_escape(char *out, const char **at, const char *end)
{
    static const char FROM[] = "bfnrt", TO[] = "\b\f\n\r\t";
    const char *found;
    uint32_t c = 0, low = 0;
    char letter = *(*at)++;

    if (letter == 'u') {
        scan_hex4(*at, end, &c);
        *at += 4;
        if ((c & 0xFC00) == 0xD800 && scan_hex4(*at + 2, end, &low)) {
            *at += 6;
            c = 0x10000 + ((c & 0x3FF) << 10 | (low & 0x3FF));
        }
        return put_utf8(out, c);
    }
    found = strchr(FROM, letter);
    *out = found ? TO[found - FROM] : letter;
    return out + 1;
}

struct slice jsonb_text(struct slice raw, struct arena *arena)
{
    const char *p = raw.text + 1, *end = raw.text + raw.len - 1;
    char *text, *out;

    if (raw.len < 2 || *raw.text != '"')
        return raw;
    if (!memchr(p, '\\', (size_t)(end - p)))
        return (struct slice){p, (size_t)(end - p)};
    out = text = arena_alloc(arena, raw.len);
    while (p < end) {
        if (*p != '\\') {
            *out++ = *p++;
        } else {
            p++;
            out = put_escape(out, &p, end);
        }
    }
    return (struct slice){text, (size_t)(out - text)};
}

static bool key_is(struct slice raw, struct slice key, struct arena *arena)
{
    return text_equal(jsonb_text(raw, arena), key);
}

bool jsonb_get(struct slice of, struct slice key, struct arena *arena, struct slice *ret_value)
{
    struct scan s;
    bool found = false;

    scan_init(&s, of.text, of.len, true);
    skip_space(&s);
    if (!take(&s, '{'))
        return false;
    skip_space(&s);
    while (s.p < s.end && *s.p != '}') {
        const char *begin = s.p;
        bool hit;

        if (!scan_string(&s))
            return false;
        hit = key_is((struct slice){begin, (size_t)(s.p - begin)}, key, arena);
        skip_space(&s);
        take(&s, ':');
        skip_space(&s);
        begin = s.p;
        if (!scan_whole(&s))
            return false;
        if (hit) {
            *ret_value = (struct slice){begin, (size_t)(s.p - begin)};
            found = true;
        }
        skip_space(&s);
        take(&s, ',');
        skip_space(&s);
    }
    return found;
}

/* --- writing --- */

static char short_escape(uint8_t c)
{
    switch (c) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

size_t jsonb_string_bytes(struct slice of)
{
    size_t bytes = of.len + 2;

    for (size_t i = 0; i < of.len; i++) {
        uint8_t c = (uint8_t)of.text[i];

        if (short_escape(c))
            bytes++;
        else if (c < 0x20)
            bytes += 5;
    }
    return bytes;
}

char *jsonb_put_string(char *out, struct slice of)
{
    static const char HEX[] = "0123456789abcdef";

    *out++ = '"';
    for (size_t i = 0; i < of.len; i++) {
        uint8_t c = (uint8_t)of.text[i];
        char escape = short_escape(c);

        if (escape) {
            *out++ = '\\';
            *out++ = escape;
        } else if (c < 0x20) {
            memcpy(out, "\\u00", 4);
            out[4] = HEX[c >> 4];
            out[5] = HEX[c & 15];
            out += 6;
        } else {
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}
