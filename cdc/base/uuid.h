/* UUIDs, and the name-based ones that give every legacy row its identity.
 *
 * The identity of a legacy row is UUIDv5(namespace, entity ":" key), where key is the legacy key's
 * text; of a composite key each part is escaped (backslash and '|' get a backslash) and the parts
 * are joined by '|'. The bytes are those of the server's UTF-8 text, so SQL computes the same.
 * Golden vectors stand in tests/unit/uuid_test.c and docs/mapping.md.
 */
#ifndef PGREKEY_BASE_UUID_H
#define PGREKEY_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_TEXT_LEN 36

struct uuid {
    uint8_t bytes[16];
};

/* Lower-case with hyphens into text[UUID_TEXT_LEN + 1]. */
void uuid_format(const struct uuid *uuid, char *text);
/* Accepts the form that PostgreSQL's uuid type prints, in either case; false (ret untouched) for anything else. */
bool uuid_parse_text(const char *text, size_t len, struct uuid *ret_uuid);
/* Version 5 (SHA-1, RFC 4122 section 4.3) of name in namespace. */
struct uuid uuid_v5(const struct uuid *ns, const char *name, size_t len);

struct uuid_part {
    const char *text;
    size_t len;
};
/* The identity of a legacy row as described above; count >= 1. */
struct uuid uuid_of_key(const struct uuid *ns, const char *entity, const struct uuid_part *parts, size_t count);

#endif
