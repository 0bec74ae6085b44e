/* UTF-8 text as expressions handle it: in characters (code points), never in bytes. No locale is asked.
 *
 * The functions take valid UTF-8; of invalid bytes each counts as a character, nothing is read beyond the end.
 */
#ifndef PGREKEY_TRANSFORM_TEXT_H
#define PGREKEY_TRANSFORM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cdc/base/arena.h"

struct slice {
    const char *text;
    size_t len;
};

/* What PostgreSQL takes as UTF-8: shortest form, no surrogates, up to U+10FFFF; NUL is refused too. */
bool text_utf8_valid(const char *text, size_t len);

size_t text_length(const char *text, size_t len);
/* Bytes of the first `count` characters; len where there are fewer. */
size_t text_prefix(const char *text, size_t len, size_t count);
/* left(), right(), substring() of SQL, with their meaning of negative numbers and of a start before the text. */
struct slice text_left(struct slice of, int64_t count);
struct slice text_right(struct slice of, int64_t count);
struct slice text_substring(struct slice of, int64_t start, int64_t count);

/* ASCII white space (blank, \t \n \v \f \r) on both sides. */
struct slice text_trim(struct slice of);
struct slice text_trim_blanks_right(struct slice of); /* what char(n) ignores */

/* Simple case mapping of one code point, text_case.c. */
uint32_t text_char_lower(uint32_t c);
uint32_t text_char_upper(uint32_t c);
/* `of` itself where nothing changes, else a copy in the arena. */
struct slice text_lower(struct slice of, struct arena *arena);
struct slice text_upper(struct slice of, struct arena *arena);
struct slice text_initcap(struct slice of, struct arena *arena);
/* Only 0-9. */
struct slice text_digits(struct slice of, struct arena *arena);
/* Every occurrence; an empty `from` changes nothing. A text of NULL where the result had more than max_bytes. */
struct slice text_replace(struct slice of, struct slice from, struct slice to, size_t max_bytes, struct arena *arena);
/* Field `n` from 1, or from the end below 0; '' where there is none. n is not 0. */
struct slice text_split_part(struct slice of, struct slice separator, int64_t n);
/* To `count` characters by `fill` on the left or right; a longer text is cut. count <= TEXT_PAD_MAX. */
#define TEXT_PAD_MAX 1048576
struct slice text_pad(struct slice of, int64_t count, struct slice fill, bool left, struct arena *arena);

bool text_equal(struct slice a, struct slice b);
/* Bytes, as collation "C". */
int text_compare(struct slice a, struct slice b);
bool text_contains(struct slice of, struct slice part);
/* ASCII letters alike. */
bool text_equal_ascii(struct slice a, struct slice b);
bool text_contains_ascii(struct slice of, struct slice part);
/* LIKE: % and _, \ escapes. A pattern that ends in a lone \ matches nothing. */
bool text_like(struct slice of, struct slice pattern, bool ignore_case);
/* local@domain: one '@', no blanks or control characters, no empty label. */
bool text_is_email(struct slice of);
/* PostgreSQL's spellings of boolean; false where it is none. */
bool text_to_bool(struct slice of, bool *ret_value);

#endif
