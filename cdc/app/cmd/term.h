/* Text for people: colours on a terminal, wrapped paragraphs, roff, plain tables. */
#ifndef PGREKEY_APP_TERM_H
#define PGREKEY_APP_TERM_H

#include <stddef.h>
#include <stdio.h>

enum term_colour { TERM_PLAIN, TERM_BOLD, TERM_DIM, TERM_RED, TERM_YELLOW, TERM_GREEN };

/* The escape sequence, or "" where out is no terminal or NO_COLOR is set. TERM_PLAIN ends a colour. */
const char *term_colour(FILE *out, enum term_colour colour);
/* `text` in lines of at most `width` columns, each behind `indent`. */
void term_wrap(FILE *out, const char *text, const char *indent, size_t width);
/* Escaped for a man page; backquoted words become bold. No newline at the end. */
void term_roff(FILE *out, const char *text);

/* Columns as wide as their widest cell, two spaces between, no line longer than it must be. cells holds
 * row_count * column_count texts, the first row being the head; NULL prints as "-". A column whose head begins with
 * '>' is set flush right. */
void term_table(FILE *out, size_t column_count, size_t row_count, const char *const *cells);

#endif
