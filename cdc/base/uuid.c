#include "cdc/base/uuid.h"

#include <stdlib.h>
#include <string.h>
#include <uuid.h>

#include "cdc/base/arena.h"

/* Names up to this length are put together on the stack: all but odd text keys. */
#define NAME_ON_STACK_MAX 512

void uuid_format(const struct uuid *uuid, char *text)
{
    static const char hex[] = "0123456789abcdef";
    char *at = text;

    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = hex[uuid->bytes[i] >> 4];
        *at++ = hex[uuid->bytes[i] & 15];
    }
    *at = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse_text(const char *text, size_t len, struct uuid *ret_uuid)
{
    struct uuid uuid;
    size_t at = 0;

    if (len != UUID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < 16; i++) {
        if (at == 8 || at == 13 || at == 18 || at == 23) {
            if (text[at++] != '-')
                return false;
        }
        int high = hex_digit(text[at]), low = hex_digit(text[at + 1]);
        if (high < 0 || low < 0)
            return false;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *ret_uuid = uuid;
    return true;
}

struct uuid uuid_v5(const struct uuid *ns, const char *name, size_t len)
{
    struct uuid uuid;
    uuid_generate_sha1(uuid.bytes, ns->bytes, name, len);
    return uuid;
}

static char *put_escaped(char *at, const struct uuid_part *part)
{
    for (size_t i = 0; i < part->len; i++) {
        if (part->text[i] == '\\' || part->text[i] == '|')
            *at++ = '\\';
        *at++ = part->text[i];
    }
    return at;
}

struct uuid uuid_of_key(const struct uuid *ns, const char *entity, const struct uuid_part *parts, size_t count)
{
    char small[NAME_ON_STACK_MAX];
    size_t entity_len = strlen(entity), bytes = entity_len + 1;

    for (size_t i = 0; i < count; i++)
        bytes += 2 * parts[i].len + 1;
    char *name = bytes <= sizeof(small) ? small : mem_alloc(bytes);

    memcpy(name, entity, entity_len);
    char *at = name + entity_len;
    *at++ = ':';
    if (count == 1) {
        /* a key of one part is taken as it is: nothing to tell apart */
        if (parts[0].len)
            memcpy(at, parts[0].text, parts[0].len);
        at += parts[0].len;
    } else {
        for (size_t i = 0; i < count; i++) {
            if (i)
                *at++ = '|';
            at = put_escaped(at, &parts[i]);
        }
    }
    struct uuid uuid = uuid_v5(ns, name, (size_t)(at - name));
    if (name != small)
        free(name);
    return uuid;
}
