/* How findings of the mapping's check are collected. What they are stands in map.h. */
#ifndef PGREKEY_TRANSFORM_ISSUES_H
#define PGREKEY_TRANSFORM_ISSUES_H

#include "transform/map.h"

struct yaml_node;

#define MAP_ISSUES_MAX 1000

/* Where `node` stands; NULL for the whole file. Text that comes from the file is cut and made printable by
 * the caller's %.64s or issue_word(). */
void issue_error(struct map_issues *issues, const struct yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void issue_warning(struct map_issues *issues, const struct yaml_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* At a place without a node. */
void issue_error_at(struct map_issues *issues, size_t line, size_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void issue_warning_at(struct map_issues *issues, size_t line, size_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Lines behind lines_before are of this file. In the order of the lines. */
void issue_part(struct map_issues *issues, const char *path, size_t path_len, size_t lines_before);
size_t issue_error_count(const struct map_issues *issues);

/* The candidate that `word` probably means, or NULL: at most a third of its letters are wrong. */
const char *map_suggest(const char *word, const char *const *candidates, size_t count);

#endif
