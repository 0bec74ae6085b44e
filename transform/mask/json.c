/* JSON, key by key. A key that nobody declared is left out with its value: names of keys can be data, too. */
#include <string.h>

#include "transform/jsonb.h"
#include "transform/mask/value.h"

struct reader {
    struct masking *masking;
    const char *at, *end; /* of a text that has been checked */
    struct buf *out;
};

static void blanks(struct reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at))
        r->at++;
}

static void skip_string(struct reader *r)
{
    for (r->at++; r->at < r->end && *r->at != '"'; r->at++)
        if (*r->at == '\\')
            r->at++;
    r->at++;
}

/* A raw value, without a look at what is in it. */
static struct slice raw_value(struct reader *r)
{
    int depth = 0;
    blanks(r);
    const char *from = r->at;
    do {
        blanks(r);
        if (*r->at == '"') {
            skip_string(r);
        } else if (*r->at == '{' || *r->at == '[') {
            depth++;
            r->at++;
        } else if (*r->at == '}' || *r->at == ']') {
            depth--;
            r->at++;
        } else if (*r->at == ',' || *r->at == ':') {
            r->at++;
        } else {
            while (r->at < r->end && !strchr(",:]} \t\r\n", *r->at))
                r->at++;
        }
    } while (depth > 0 && r->at < r->end);
    return (struct slice){from, (size_t)(r->at - from)};
}

static void put_value(struct reader *r, const struct mask_field *field);

/* Behind an item of a list or an object: is there another one? */
static bool next_item(struct reader *r)
{
    blanks(r);
    return r->at < r->end && *r->at++ == ',';
}

static bool enter(struct reader *r, char close)
{
    r->at++;
    blanks(r);
    if (*r->at != close)
        return true;
    r->at++;
    return false;
}

static void put_list(struct reader *r, const struct mask_field *field)
{
    bool first = true;
    buf_putc(r->out, '[');
    if (enter(r, ']'))
        do {
            if (!first)
                buf_putc(r->out, ',');
            first = false;
            put_value(r, field);
        } while (next_item(r));
    buf_putc(r->out, ']');
}

static void put_object(struct reader *r, const struct mask_fields *fields)
{
    bool first = true;
    buf_putc(r->out, '{');
    if (enter(r, '}'))
        do {
            blanks(r);
            const char *from = r->at;
            skip_string(r);
            struct slice raw = {from, (size_t)(r->at - from)};
            const struct mask_field *field = mask_field_find(fields, jsonb_text(raw, r->masking->arena));
            blanks(r);
            r->at++; /* the colon */
            if (!field || field->kind == MASK_EMPTY) {
                (void)raw_value(r);
                continue;
            }
            if (!first)
                buf_putc(r->out, ',');
            first = false;
            buf_append(r->out, raw.text, raw.len);
            buf_putc(r->out, ':');
            put_value(r, field);
        } while (next_item(r));
    buf_putc(r->out, '}');
}

/* A string, a number, true, false or null, of a kind that masks. */
static void put_scalar(struct reader *r, enum mask_kind kind)
{
    struct slice raw = raw_value(r);
    struct buf text;
    if (kind == MASK_JSON || raw.len == 0 || *raw.text == 't' || *raw.text == 'f' || *raw.text == 'n') {
        buf_puts(r->out, "null");
        return;
    }
    if (*raw.text != '"') {
        (void)mask_value(r->masking, MASK_NUMBER, NULL, raw, r->out);
        return;
    }
    buf_init(&text, r->out->max_bytes);
    if (mask_value(r->masking, kind, NULL, jsonb_text(raw, r->masking->arena), &text))
        buf_put_json_string(r->out, buf_text(&text), text.len);
    else
        buf_puts(r->out, "null");
    buf_done(&text);
}

/* What is declared of a list is meant of each of its items. */
static void put_value(struct reader *r, const struct mask_field *field)
{
    static const struct mask_fields nothing = {0};
    blanks(r);
    if (field->kind == MASK_CLEAR) {
        struct slice raw = raw_value(r);
        buf_append(r->out, raw.text, raw.len);
    } else if (*r->at == '[') {
        put_list(r, field);
    } else if (*r->at == '{') {
        put_object(r, field->kind == MASK_JSON ? field->json : &nothing);
    } else {
        put_scalar(r, field->kind);
    }
}

bool mask_json(struct masking *masking, const struct mask_fields *fields, struct slice value, struct buf *out)
{
    const char *reason;
    const struct mask_field whole = {"", MASK_JSON, fields};
    struct reader reader = {.masking = masking, .at = value.text, .end = value.text + value.len, .out = out};
    if (!json_acceptable(value.text, value.len, &reason))
        return false;
    put_value(&reader, &whole);
    return !buf_overflowed(out);
}
