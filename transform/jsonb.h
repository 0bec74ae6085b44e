/* JSON as PostgreSQL takes it, checked before it is sent. Linear, without recursion, without allocation.
 *
 * Stricter than RFC 8259 where jsonb is: no \u0000, no lone surrogates, numbers within numeric's range, a bound on
 * nesting. `json` keeps its text and is therefore more patient.
 */
#ifndef PGREKEY_TRANSFORM_JSONB_H
#define PGREKEY_TRANSFORM_JSONB_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "transform/text.h"

/* A server with the default max_stack_depth (2 MB) takes somewhat over 10,000 levels. */
#define JSONB_MAX_DEPTH 6400
#define JSONB_MAX_STRING 268435455

/* Does the type take the text? On false a phrase without any value. */
bool jsonb_acceptable(const char *text, size_t len, const char **ret_reason);
bool json_acceptable(const char *text, size_t len, const char **ret_reason);
/* Exactly one JSON number and nothing around it, in jsonb's range. */
bool jsonb_number_acceptable(const char *text, size_t len);

/* --- of texts that jsonb_acceptable let pass --- */

/* '{' '[' '"' 't' 'f' 'n' or '0' for a number. */
char jsonb_first(const char *text, size_t len);
/* Raw text of the object's value under `key`, of the last one where it occurs several times; false where the text is
 * no object or has no such key. The arena serves for keys with escapes. */
bool jsonb_get(struct slice of, struct slice key, struct arena *arena, struct slice *ret_value);
/* What ->> gives of a raw value: a string without quotes and escapes, anything else as it is. Not for null. */
struct slice jsonb_text(struct slice raw, struct arena *arena);

/* Bytes of the text as a JSON string with quotes, and the writing of it; out has that room, its end comes back. */
size_t jsonb_string_bytes(struct slice of);
char *jsonb_put_string(char *out, struct slice of);

#endif
