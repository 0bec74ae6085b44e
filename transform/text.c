#include "transform/text.h"

#include <string.h>
#include <strings.h>

/* --- code points --- */

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xC0) == 0x80;
}

/* Bytes of the valid sequence at text[0], 0 where it is none. */
static size_t sequence(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xBF;
    size_t bytes;

    if (p[0] < 0x80)
        return p[0] != 0;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    bytes = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (bytes > left)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F; /* surrogates */
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < bytes; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

static bool eight_ascii(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, 8);
    /* no high bit, and no zero byte */
    return ((word | (word - 0x0101010101010101u)) & 0x8080808080808080u) == 0;
}

bool text_utf8_valid(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;

    while (i < len) {
        size_t bytes;

        if (len - i >= 8 && eight_ascii(p + i)) {
            i += 8;
            continue;
        }
        bytes = sequence(p + i, len - i);
        if (bytes == 0)
            return false;
        i += bytes;
    }
    return true;
}

size_t text_length(const char *text, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++)
        count += !is_continuation(text[i]);
    return count;
}

/* Bytes up to the next character's first. */
static size_t step(const char *text, size_t len)
{
    size_t i = 1;

    while (i < len && is_continuation(text[i]))
        i++;
    return i;
}

size_t text_prefix(const char *text, size_t len, size_t count)
{
    size_t i = 0;

    if (count >= len)
        return len;
    while (i < len && count > 0) {
        i += step(text + i, len - i);
        count--;
    }
    return i;
}

static uint32_t decode(const char *text, size_t len, size_t *ret_bytes)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t bytes = sequence(p, len);

    *ret_bytes = bytes > 0 ? bytes : 1;
    switch (bytes) {
    case 2: return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    case 3: return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    case 4:
        return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 | (uint32_t)(p[2] & 0x3F) << 6 |
               (p[3] & 0x3F);
    default: return p[0];
    }
}

static size_t encode(uint32_t c, char *out)
{
    uint8_t *p = (uint8_t *)out;

    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (uint8_t)(0xC0 | c >> 6);
        p[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (uint8_t)(0xE0 | c >> 12);
        p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        p[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    p[0] = (uint8_t)(0xF0 | c >> 18);
    p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    p[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* --- parts --- */

static struct slice slice_of(const char *text, size_t len)
{
    return (struct slice){text, len};
}

/* -count as a size, also for the smallest number. */
static size_t magnitude(int64_t negative)
{
    return (size_t)(-(negative + 1)) + 1;
}

struct slice text_left(struct slice of, int64_t count)
{
    size_t length;

    if (count >= 0)
        return slice_of(of.text, text_prefix(of.text, of.len, (size_t)count));
    length = text_length(of.text, of.len);
    if (magnitude(count) >= length)
        return slice_of(of.text, 0);
    return slice_of(of.text, text_prefix(of.text, of.len, length - magnitude(count)));
}

struct slice text_right(struct slice of, int64_t count)
{
    size_t length = text_length(of.text, of.len), skip;

    if (count >= 0)
        skip = (size_t)count >= length ? 0 : length - (size_t)count;
    else
        skip = magnitude(count);
    skip = text_prefix(of.text, of.len, skip);
    return slice_of(of.text + skip, of.len - skip);
}

struct slice text_substring(struct slice of, int64_t start, int64_t count)
{
    int64_t end;
    size_t skip;

    if (count <= 0 || __builtin_add_overflow(start, count, &end))
        end = count <= 0 ? start : INT64_MAX;
    if (start < 1)
        start = 1;
    if (end <= start)
        return slice_of(of.text, 0);
    skip = text_prefix(of.text, of.len, (size_t)(start - 1));
    return slice_of(of.text + skip, text_prefix(of.text + skip, of.len - skip, (size_t)(end - start)));
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct slice text_trim(struct slice of)
{
    while (of.len > 0 && is_space(of.text[of.len - 1]))
        of.len--;
    while (of.len > 0 && is_space(*of.text))
        of.text++, of.len--;
    return of;
}

struct slice text_trim_blanks_right(struct slice of)
{
    while (of.len > 0 && of.text[of.len - 1] == ' ')
        of.len--;
    return of;
}

/* --- changed copies --- */

/* Where the first character stands that the mapping changes; of.len where none does. */
static size_t first_changed(struct slice of, uint32_t (*map)(uint32_t))
{
    size_t i = 0, bytes;

    for (; i < of.len; i += bytes) {
        uint32_t c = decode(of.text + i, of.len - i, &bytes);

        if ((c < 0x80 || bytes > 1) && map(c) != c)
            break;
    }
    return i;
}

static size_t put_mapped(const char *text, size_t bytes, uint32_t c, uint32_t (*map)(uint32_t), char *out)
{
    uint32_t changed = c < 0x80 || bytes > 1 ? map(c) : c;

    if (changed != c)
        return encode(changed, out);
    memcpy(out, text, bytes);
    return bytes;
}

static struct slice mapped(struct slice of, uint32_t (*map)(uint32_t), struct arena *arena)
{
    size_t i = first_changed(of, map), len = i, bytes;
    char *text;

    if (i == of.len)
        return of;
    text = arena_alloc(arena, 2 * of.len + 4); /* a mapping may need a byte more for a character of two */
    memcpy(text, of.text, i);
    for (; i < of.len; i += bytes) {
        uint32_t c = decode(of.text + i, of.len - i, &bytes);

        len += put_mapped(of.text + i, bytes, c, map, text + len);
    }
    return slice_of(text, len);
}

struct slice text_lower(struct slice of, struct arena *arena)
{
    return mapped(of, text_char_lower, arena);
}

struct slice text_upper(struct slice of, struct arena *arena)
{
    return mapped(of, text_char_upper, arena);
}

/* A letter or digit: what does not end a word. Above ASCII every character counts as one. */
static bool in_word(uint32_t c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

struct slice text_initcap(struct slice of, struct arena *arena)
{
    char *text = arena_alloc(arena, 2 * of.len + 4);
    size_t len = 0, bytes;
    bool inside = false;

    for (size_t i = 0; i < of.len; i += bytes) {
        uint32_t c = decode(of.text + i, of.len - i, &bytes);

        len += put_mapped(of.text + i, bytes, c, inside ? text_char_lower : text_char_upper, text + len);
        inside = in_word(c);
    }
    return slice_of(text, len);
}

struct slice text_digits(struct slice of, struct arena *arena)
{
    char *text;
    size_t len = 0, i = 0;

    while (i < of.len && of.text[i] >= '0' && of.text[i] <= '9')
        i++;
    if (i == of.len)
        return of;
    text = arena_alloc(arena, of.len);
    for (i = 0; i < of.len; i++)
        if (of.text[i] >= '0' && of.text[i] <= '9')
            text[len++] = of.text[i];
    return slice_of(text, len);
}

static const char *find(struct slice of, struct slice part)
{
    return part.len > of.len ? NULL : memmem(of.text, of.len, part.text, part.len);
}

static size_t count_hits(struct slice of, struct slice part)
{
    size_t hits = 0;
    const char *hit;

    while ((hit = find(of, part))) {
        hits++;
        of.len -= (size_t)(hit - of.text) + part.len;
        of.text = hit + part.len;
    }
    return hits;
}

struct slice text_replace(struct slice of, struct slice from, struct slice to, size_t max_bytes, struct arena *arena)
{
    size_t hits = from.len > 0 ? count_hits(of, from) : 0, len;
    char *text, *out;
    const char *hit;

    if (hits == 0)
        return of;
    len = of.len - hits * from.len + hits * to.len;
    if (len > max_bytes)
        return slice_of(NULL, 0);
    out = text = arena_alloc(arena, len + 1);
    while ((hit = find(of, from))) {
        size_t before = (size_t)(hit - of.text);

        memcpy(out, of.text, before);
        memcpy(out + before, to.text, to.len);
        out += before + to.len;
        of.len -= before + from.len;
        of.text = hit + from.len;
    }
    memcpy(out, of.text, of.len);
    return slice_of(text, len);
}

struct slice text_split_part(struct slice of, struct slice separator, int64_t n)
{
    const char *hit;

    if (separator.len == 0)
        return n == 1 || n == -1 ? of : slice_of(of.text, 0);
    if (n < 0) {
        size_t fields = count_hits(of, separator) + 1;

        if (magnitude(n) > fields)
            return slice_of(of.text, 0);
        n = (int64_t)(fields - magnitude(n)) + 1;
    }
    while ((hit = find(of, separator)) && n > 1) {
        of.len -= (size_t)(hit - of.text) + separator.len;
        of.text = hit + separator.len;
        n--;
    }
    if (n > 1)
        return slice_of(of.text, 0);
    return slice_of(of.text, hit ? (size_t)(hit - of.text) : of.len);
}

struct slice text_pad(struct slice of, int64_t count, struct slice fill, bool left, struct arena *arena)
{
    size_t want = count < 0 ? 0 : (size_t)count, length = text_length(of.text, of.len), fill_len = 0;
    char *text, *at;

    if (want <= length || fill.len == 0)
        return slice_of(of.text, text_prefix(of.text, of.len, want));
    at = text = arena_alloc(arena, of.len + (want - length) * 4);
    if (!left) {
        memcpy(at, of.text, of.len);
        at += of.len;
    }
    for (size_t i = 0, position = 0; i < want - length; i++) {
        size_t bytes = step(fill.text + position, fill.len - position);

        bytes = bytes > 4 ? 4 : bytes;
        memcpy(at + fill_len, fill.text + position, bytes);
        fill_len += bytes;
        position += bytes;
        position = position == fill.len ? 0 : position;
    }
    if (left)
        memcpy(at + fill_len, of.text, of.len);
    return slice_of(text, of.len + fill_len);
}

/* --- comparing --- */

bool text_equal(struct slice a, struct slice b)
{
    return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

int text_compare(struct slice a, struct slice b)
{
    int order = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool text_contains(struct slice of, struct slice part)
{
    return part.len == 0 || find(of, part) != NULL;
}

static bool ascii_alike(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i] && (((uint8_t)a[i] | (uint8_t)b[i]) & 0x80 ||
                             text_char_lower((uint8_t)a[i]) != text_char_lower((uint8_t)b[i])))
            return false;
    return true;
}

bool text_equal_ascii(struct slice a, struct slice b)
{
    return a.len == b.len && ascii_alike(a.text, b.text, a.len);
}

bool text_contains_ascii(struct slice of, struct slice part)
{
    for (size_t i = 0; i + part.len <= of.len; i++)
        if (ascii_alike(of.text + i, part.text, part.len))
            return true;
    return part.len == 0;
}

/* One character of the text against one literal of the pattern; true moves both on. */
static bool like_char(struct slice *of, struct slice *pattern, bool ignore_case)
{
    size_t of_bytes, pattern_bytes;
    uint32_t a = decode(of->text, of->len, &of_bytes), b = decode(pattern->text, pattern->len, &pattern_bytes);

    if (ignore_case ? text_char_lower(a) != text_char_lower(b) : a != b)
        return false;
    of->text += of_bytes, of->len -= of_bytes;
    pattern->text += pattern_bytes, pattern->len -= pattern_bytes;
    return true;
}

static void skip(struct slice *s, size_t bytes)
{
    s->text += bytes, s->len -= bytes;
}

/* One step without a %; false where text and pattern part. */
static bool like_step(struct slice *of, struct slice *pattern, bool ignore_case)
{
    struct slice rest = *pattern;

    if (of->len == 0 || pattern->len == 0)
        return false;
    if (*pattern->text == '_') {
        skip(pattern, 1);
        skip(of, step(of->text, of->len));
        return true;
    }
    if (*pattern->text == '\\') {
        skip(&rest, 1);
        if (rest.len == 0)
            return false;
    }
    if (!like_char(of, &rest, ignore_case))
        return false;
    *pattern = rest;
    return true;
}

/* After a mismatch only the last % can take one character more: earlier ones need not be tried again. */
bool text_like(struct slice of, struct slice pattern, bool ignore_case)
{
    struct slice retry_of = {0}, retry_pattern = {0};
    bool starred = false;

    for (;;) {
        if (pattern.len > 0 && *pattern.text == '%') {
            skip(&pattern, 1);
            if (pattern.len == 0)
                return true;
            retry_of = of;
            retry_pattern = pattern;
            starred = true;
        } else if (of.len == 0 && pattern.len == 0) {
            return true;
        } else if (!like_step(&of, &pattern, ignore_case)) {
            if (!starred || retry_of.len == 0)
                return false;
            skip(&retry_of, step(retry_of.text, retry_of.len));
            of = retry_of;
            pattern = retry_pattern;
        }
    }
}

static bool domain_is_plain(struct slice domain)
{
    bool label = false;

    for (size_t i = 0; i < domain.len; i++) {
        uint8_t c = (uint8_t)domain.text[i];

        if (c == '.') {
            if (!label)
                return false;
            label = false;
        } else if (in_word(c) || c == '-') {
            label = true;
        } else {
            return false;
        }
    }
    return label;
}

bool text_is_email(struct slice of)
{
    const char *at = of.len > 0 ? memchr(of.text, '@', of.len) : NULL;

    if (!at || at == of.text)
        return false;
    for (const char *p = of.text; p < at; p++)
        if ((uint8_t)*p <= ' ' || *p == 0x7F || *p == ',' || *p == ';' || *p == '<' || *p == '>')
            return false;
    return domain_is_plain(slice_of(at + 1, of.len - (size_t)(at + 1 - of.text)));
}

/* What PostgreSQL's boolin takes: any unique start of true, false, yes, no, on, off, and 1, 0. */
bool text_to_bool(struct slice of, bool *ret)
{
    static const struct {
        const char *word;
        size_t least;
        bool value;
    } WORDS[] = {{"true", 1, true}, {"false", 1, false}, {"yes", 1, true}, {"no", 1, false},
                 {"on", 2, true},   {"off", 2, false},   {"1", 1, true},   {"0", 1, false}};

    of = text_trim(of);
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        if (of.len >= WORDS[i].least && of.len <= strlen(WORDS[i].word) &&
            strncasecmp(of.text, WORDS[i].word, of.len) == 0) {
            *ret = WORDS[i].value;
            return true;
        }
    }
    return false;
}
