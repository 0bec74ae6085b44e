/* A YAML text as a small tree in which each node knows where it stands: line, column, path.
 *
 * libyaml's events are enough for that; its own document loader is not used, because it resolves aliases
 * (a short text can become a huge tree) and lets later duplicate keys win. Refused here, each with its
 * place: duplicate keys, anchors and aliases, tags, several documents, keys that are lists or mappings,
 * NUL characters, texts that are too large or too deep.
 */
#ifndef PGREKEY_TRANSFORM_YAML_H
#define PGREKEY_TRANSFORM_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"

struct map_issues;

#define YAML_MAX_BYTES (4u << 20)
#define YAML_MAX_NODES 200000
#define YAML_MAX_DEPTH 32

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    size_t line, column;      /* 1-based */
    bool quoted;              /* a scalar in quotes, or a block: text, whatever it looks like */
    const char *text;         /* a scalar's, NUL-terminated, without NULs inside; else "" */
    size_t count;             /* of a list's items or a mapping's entries */
    struct yaml_node **items; /* a list's items, a mapping's values */
    struct yaml_node **keys;  /* a mapping's keys, all scalars */

    const struct yaml_node *parent; /* NULL for the root */
    const char *key;                /* of a mapping's value; NULL for a list's item */
    size_t index;                   /* of a list's item, 0-based */
    struct yaml_node *next;         /* while the tree is built */
};

/* The root in *ret_root, all in arena; -1 where the text is no single YAML document, and the issues say why.
 * An empty document is an empty mapping. Duplicate keys are issues, but the tree is still built (the first wins).
 * Lines are counted from lines_before + 1 on. */
int yaml_parse(const char *text, size_t len, size_t lines_before, struct arena *arena, struct yaml_node **ret_root,
               struct map_issues *issues) __attribute__((warn_unused_result));

/* The value of a key, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* A scalar that is written plainly as nothing, ~ or null. */
bool yaml_is_null(const struct yaml_node *node);
/* Of a plain true or false (yes/no are words here, not truth values). */
bool yaml_is_bool(const struct yaml_node *node, bool *ret_value);
/* "rows[3].columns.email" */
void yaml_path(const struct yaml_node *node, struct buf *path);

#endif
