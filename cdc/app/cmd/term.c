#include "cdc/app/cmd/term.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 16

const char *term_colour(FILE *out, enum term_colour colour)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[31m", "\033[33m", "\033[32m"};
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if ((no_color && *no_color) || (term && strcmp(term, "dumb") == 0) || !isatty(fileno(out)))
        return "";
    return codes[colour];
}

void term_wrap(FILE *out, const char *text, const char *indent, size_t width)
{
    size_t column = 0, indent_len = strlen(indent);
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column && column + 1 + word > width) {
            fputc('\n', out);
            column = 0;
        }
        if (column)
            column += (size_t)fprintf(out, " %.*s", (int)word, text);
        else
            column = (size_t)fprintf(out, "%s%.*s", indent, (int)word, text);
        text += word;
        if (*text == '\n') {
            fputc('\n', out);
            column = 0;
        }
        if (*text)
            text++;
    }
    if (column || indent_len == 0)
        fputc('\n', out);
}

void term_roff(FILE *out, const char *text)
{
    bool bold = false, line_start = true;
    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        line_start = *text == '\n';
        if (*text == '`') {
            fputs(bold ? "\\fR" : "\\fB", out);
            bold = !bold;
        } else if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
    }
}

/* Columns on the screen: bytes that begin a character. */
static size_t width_of(const char *cell)
{
    size_t width = 0;
    for (; *cell; cell++)
        width += ((unsigned char)*cell & 0xc0) != 0x80;
    return width;
}

static const char *cell_text(const char *const *cells, size_t index, size_t column_count)
{
    const char *cell = cells[index] ? cells[index] : "-";
    return index < column_count && *cell == '>' ? cell + 1 : cell;
}

void term_table(FILE *out, size_t column_count, size_t row_count, const char *const *cells)
{
    size_t widths[COLUMNS_MAX] = {0};
    if (column_count > COLUMNS_MAX)
        column_count = COLUMNS_MAX;
    for (size_t i = 0; i < row_count * column_count; i++) {
        size_t width = width_of(cell_text(cells, i, column_count));
        if (width > widths[i % column_count])
            widths[i % column_count] = width;
    }
    for (size_t row = 0; row < row_count; row++) {
        fputs(row == 0 ? term_colour(out, TERM_DIM) : "", out);
        for (size_t column = 0; column < column_count; column++) {
            const char *cell = cell_text(cells, row * column_count + column, column_count);
            bool right = cells[column] && *cells[column] == '>';
            size_t pad = widths[column] - width_of(cell);
            bool last = column + 1 == column_count;
            fprintf(out, "  %*s%s%*s", right ? (int)pad : 0, "", cell, right || last ? 0 : (int)pad, "");
        }
        fputs(row == 0 ? term_colour(out, TERM_PLAIN) : "", out);
        fputc('\n', out);
    }
}
