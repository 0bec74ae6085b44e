#include "sinks/kafka/jsontree.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at, *end;
    struct arena *arena;
    int depth;
};

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* --- strings --- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex4(struct reader *r, uint32_t *ret_code)
{
    uint32_t code = 0;
    if (r->end - r->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_of(*r->at++);
        if (digit < 0)
            return false;
        code = code * 16 + (uint32_t)digit;
    }
    *ret_code = code;
    return true;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

static bool read_code(struct reader *r, uint32_t *ret_code)
{
    uint32_t low;
    if (!hex4(r, ret_code) || (*ret_code >= 0xdc00 && *ret_code < 0xe000))
        return false;
    if (*ret_code < 0xd800 || *ret_code >= 0xe000)
        return true;
    if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
        return false;
    r->at += 2;
    if (!hex4(r, &low) || low < 0xdc00 || low >= 0xe000)
        return false;
    *ret_code = 0x10000 + ((*ret_code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static bool read_escape(struct reader *r, char **to)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = *r->at++;
    const char *found = c ? strchr(names, c) : NULL;
    uint32_t code;
    if (found) {
        *(*to)++ = meant[found - names];
        return true;
    }
    if (c != 'u' || !read_code(r, &code))
        return false;
    *to = put_utf8(*to, code);
    return true;
}

static bool read_string(struct reader *r, const char **ret_text, size_t *ret_len)
{
    const char *begin, *scan;
    if (!take(r, '"'))
        return false;
    begin = scan = r->at;
    while (scan < r->end && *scan != '"' && *scan != '\\' && (unsigned char)*scan >= 0x20)
        scan++;
    if (scan < r->end && *scan == '"') {
        *ret_text = begin;
        *ret_len = (size_t)(scan - begin);
        r->at = scan + 1;
        return true;
    }
    /* with escapes: the decoded text is never longer than what is left up to the closing quote */
    for (scan = begin; scan < r->end && *scan != '"'; scan++)
        if (*scan == '\\')
            scan++;
    if (scan >= r->end)
        return false;
    char *text = arena_alloc(r->arena, (size_t)(scan - begin) + 1), *to = text;
    while (*r->at != '"') {
        if ((unsigned char)*r->at < 0x20)
            return false;
        if (*r->at != '\\')
            *to++ = *r->at++;
        else if (r->at++, !read_escape(r, &to))
            return false;
    }
    r->at++;
    *ret_text = text;
    *ret_len = (size_t)(to - text);
    return true;
}

/* --- values --- */

static struct jsontree *read_value(struct reader *r);

static bool is_digit(const struct reader *r)
{
    return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

static bool read_number(struct reader *r, struct jsontree *node)
{
    node->kind = JSONTREE_NUMBER;
    node->text = r->at;
    if (*r->at == '-')
        r->at++;
    if (!is_digit(r))
        return false;
    bool zero = *r->at == '0';
    r->at++;
    if (zero && is_digit(r))
        return false;
    while (is_digit(r))
        r->at++;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!is_digit(r))
            return false;
        while (is_digit(r))
            r->at++;
    }
    if (r->at < r->end && (*r->at | 0x20) == 'e') {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!is_digit(r))
            return false;
        while (is_digit(r))
            r->at++;
    }
    node->len = (size_t)(r->at - node->text);
    return true;
}

static bool read_word(struct reader *r, struct jsontree *node)
{
    static const struct {
        const char *word;
        enum jsontree_kind kind;
        bool truth;
    } words[] = {{"null", JSONTREE_NULL, false}, {"true", JSONTREE_BOOL, true}, {"false", JSONTREE_BOOL, false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        size_t len = strlen(words[i].word);
        if ((size_t)(r->end - r->at) < len || memcmp(r->at, words[i].word, len) != 0)
            continue;
        node->kind = words[i].kind;
        node->truth = words[i].truth;
        r->at += len;
        return true;
    }
    return false;
}

static bool read_members(struct reader *r, struct jsontree *node, char close)
{
    struct jsontree **link = &node->first;
    r->at++;
    if (take(r, close))
        return true;
    do {
        const char *name = NULL;
        size_t name_len = 0;
        if (node->kind == JSONTREE_OBJECT && (!read_string(r, &name, &name_len) || !take(r, ':')))
            return false;
        struct jsontree *member = read_value(r);
        if (!member)
            return false;
        member->name = name;
        member->name_len = name_len;
        *link = member;
        link = &member->next;
    } while (take(r, ','));
    return take(r, close);
}

static struct jsontree *read_value(struct reader *r)
{
    skip_blanks(r);
    if (r->at == r->end || r->depth == JSONTREE_DEPTH_MAX)
        return NULL;
    struct jsontree *node = arena_zalloc(r->arena, 1, sizeof(*node));
    bool good;
    r->depth++;
    switch (*r->at) {
    case '{':
        node->kind = JSONTREE_OBJECT;
        good = read_members(r, node, '}');
        break;
    case '[':
        node->kind = JSONTREE_ARRAY;
        good = read_members(r, node, ']');
        break;
    case '"':
        node->kind = JSONTREE_STRING;
        good = read_string(r, &node->text, &node->len);
        break;
    case 't':
    case 'f':
    case 'n': good = read_word(r, node); break;
    default: good = read_number(r, node);
    }
    r->depth--;
    return good ? node : NULL;
}

const struct jsontree *jsontree_parse(const char *text, size_t len, struct arena *arena)
{
    struct reader r = {.at = text, .end = text + len, .arena = arena};
    const struct jsontree *node = read_value(&r);
    skip_blanks(&r);
    return node && r.at == r.end ? node : NULL;
}

const struct jsontree *jsontree_get(const struct jsontree *object, const char *name)
{
    size_t len = strlen(name);
    if (!object || object->kind != JSONTREE_OBJECT)
        return NULL;
    for (const struct jsontree *member = object->first; member; member = member->next)
        if (member->name_len == len && memcmp(member->name, name, len) == 0)
            return member;
    return NULL;
}

const char *jsontree_text(const struct jsontree *object, const char *name, struct arena *arena)
{
    const struct jsontree *member = jsontree_get(object, name);
    if (!member || (member->kind != JSONTREE_STRING && member->kind != JSONTREE_NUMBER))
        return NULL;
    return arena_strndup(arena, member->text, member->len);
}

int64_t jsontree_int(const struct jsontree *object, const char *name)
{
    const struct jsontree *member = jsontree_get(object, name);
    char digits[24];
    if (!member || member->kind != JSONTREE_NUMBER || member->len >= sizeof(digits))
        return 0;
    memcpy(digits, member->text, member->len);
    digits[member->len] = '\0';
    return strtoll(digits, NULL, 10);
}

bool jsontree_true(const struct jsontree *object, const char *name)
{
    const struct jsontree *member = jsontree_get(object, name);
    return member && member->kind == JSONTREE_BOOL && member->truth;
}
