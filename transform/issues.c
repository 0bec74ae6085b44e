#include "transform/issues.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "transform/yaml.h"

#define MESSAGE_MAX 1000

/* Control characters out, so that a line of the check stays a line. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

static void issue_add(struct map_issues *issues, struct map_issue issue)
{
    if (issues->count >= MAP_ISSUES_MAX) {
        free(issue.key);
        free(issue.message);
        return;
    }
    if (issues->count == issues->capacity) {
        issues->capacity = issues->capacity ? 2 * issues->capacity : 16;
        issues->items = mem_realloc(issues->items, issues->capacity * sizeof *issues->items);
    }
    make_printable(issue.key);
    make_printable(issue.message);
    issues->items[issues->count++] = issue;
}

static char *format_message(const char *format, va_list args) __attribute__((format(printf, 1, 0)));
static char *format_message(const char *format, va_list args)
{
    char text[MESSAGE_MAX];
    vsnprintf(text, sizeof text, format, args);
    return mem_strdup(text);
}

static char *path_of(const struct yaml_node *node)
{
    struct buf path;
    buf_init(&path, 4096);
    yaml_path(node, &path);
    char *text = mem_strdup(buf_text(&path));
    buf_done(&path);
    return text;
}

static struct map_issue issue_of(const struct yaml_node *node, bool warning, char *message)
{
    return (struct map_issue){.warning = warning,
                              .line = node ? node->line : 0,
                              .column = node ? node->column : 0,
                              .key = path_of(node),
                              .message = message};
}

void issue_error(struct map_issues *issues, const struct yaml_node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    issue_add(issues, issue_of(node, false, format_message(format, args)));
    va_end(args);
}

void issue_warning(struct map_issues *issues, const struct yaml_node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    issue_add(issues, issue_of(node, true, format_message(format, args)));
    va_end(args);
}

void issue_error_at(struct map_issues *issues, size_t line, size_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct map_issue issue = {.line = line, .column = column, .key = mem_strdup("")};
    issue.message = format_message(format, args);
    issue_add(issues, issue);
    va_end(args);
}

void issue_warning_at(struct map_issues *issues, size_t line, size_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct map_issue issue = {.warning = true, .line = line, .column = column, .key = mem_strdup("")};
    issue.message = format_message(format, args);
    issue_add(issues, issue);
    va_end(args);
}

void issue_part(struct map_issues *issues, const char *path, size_t path_len, size_t lines_before)
{
    struct map_part *parts = mem_realloc(issues->parts, (issues->part_count + 1) * sizeof *parts);
    char *name = mem_zalloc(path_len + 1, 1);
    memcpy(name, path, path_len);
    make_printable(name);
    parts[issues->part_count++] = (struct map_part){name, lines_before};
    issues->parts = parts;
}

const char *map_issue_place(const struct map_issues *issues, const char *path, size_t line, size_t *ret_line)
{
    size_t i = issues->part_count;
    while (i > 0 && issues->parts[i - 1].lines_before >= line)
        i--;
    *ret_line = i > 0 ? line - issues->parts[i - 1].lines_before : line;
    return i > 0 ? issues->parts[i - 1].path : path;
}

size_t issue_error_count(const struct map_issues *issues)
{
    size_t errors = 0;
    for (size_t i = 0; i < issues->count; i++)
        errors += !issues->items[i].warning;
    return errors;
}

bool map_issues_have_errors(const struct map_issues *issues)
{
    return issue_error_count(issues) > 0;
}

void map_issues_free(struct map_issues *issues)
{
    for (size_t i = 0; i < issues->count; i++) {
        free(issues->items[i].key);
        free(issues->items[i].message);
    }
    for (size_t i = 0; i < issues->part_count; i++)
        free(issues->parts[i].path);
    free(issues->parts);
    free(issues->items);
    *issues = (struct map_issues){0};
}

void map_issues_print(const struct map_issues *issues, const char *path, FILE *out)
{
    for (size_t i = 0; i < issues->count; i++) {
        const struct map_issue *issue = &issues->items[i];
        size_t line;
        fputs(map_issue_place(issues, path, issue->line, &line), out);
        if (line)
            fprintf(out, ":%zu:%zu", line, issue->column);
        fprintf(out, ": %s%s%s%s\n", issue->warning ? "warning: " : "", issue->key, *issue->key ? ": " : "",
                issue->message);
    }
}

/* Damerau-Levenshtein without the free transpositions: three rows are enough. */
static size_t distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t la = strlen(a), lb = strlen(b);
    if (la >= MAX || lb >= MAX)
        return MAX;
    size_t rows[3][MAX] = {{0}};
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= lb; j++)
        above[j] = j;
    for (size_t i = 1; i <= la; i++) {
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[lb];
}

const char *map_suggest(const char *word, const char *const *candidates, size_t count)
{
    size_t best = strlen(word) / 3 + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, candidates[i]);
        if (d < best || (d == best && !found && d < strlen(candidates[i]))) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}
