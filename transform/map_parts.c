/* A mapping in several files. What is read is one text: the mapping itself and, behind it, each file that its
 * `include:` names, so that whoever keeps the text keeps all of it.
 *
 *     mapping NUL path NUL part NUL path NUL part …
 *
 * Each part is a YAML document of its own; their sections add up to one tree. Lines are counted through: a node's line
 * says which part it stands in (map_issue_place). */
#include "transform/map_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PARTS_MAX 1000

/* --- reading --- */

static int read_file(const char *path, struct buf *text, struct err *reterr)
{
    char piece[65536];
    size_t got;
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "cannot open the mapping %s: %s", path, strerror(errno));
    size_t before = text->len;
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(text, piece, got);
    bool failed = ferror(file) != 0;
    int reason = errno;
    fclose(file);
    if (failed)
        return err_set(reterr, ERR_CONFIG, "cannot read the mapping %s: %s", path, strerror(reason));
    if (buf_overflowed(text))
        return err_set(reterr, ERR_CONFIG, "the mapping %s is larger than 4 MiB", path);
    if (text->len > before && memchr(text->data + before, '\0', text->len - before))
        return err_set(reterr, ERR_CONFIG, "the mapping %s holds a NUL character", path);
    return 0;
}

/* "dir/mapping.yaml" and "people.yaml" -> "dir/people.yaml" */
static void put_beside(struct buf *path, const char *mapping, const char *part)
{
    const char *slash = strrchr(mapping, '/');
    if (*part != '/' && slash)
        buf_append(path, mapping, (size_t)(slash - mapping) + 1);
    buf_puts(path, part);
}

static int read_part(const char *mapping, const char *part, struct buf *text, struct err *reterr)
{
    struct buf path;
    buf_init(&path, 4096);
    put_beside(&path, mapping, part);
    buf_putc(text, '\0');
    buf_append(text, buf_text(&path), path.len);
    buf_putc(text, '\0');
    int status = read_file(buf_text(&path), text, reterr);
    if (status != 0)
        (void)err_hint(reterr, "\"include:\" of %s names it", mapping);
    buf_done(&path);
    return status;
}

/* The scalars of `include:`; what is wrong with it is said when the tree is loaded. */
static size_t included(const struct yaml_node *root, const struct yaml_node *const **ret_names)
{
    static const struct yaml_node *const none[1];
    const struct yaml_node *include = yaml_get(root, "include");
    *ret_names = none;
    if (!include || include->kind != YAML_LIST)
        return 0;
    *ret_names = (const struct yaml_node *const *)include->items;
    return include->count < PARTS_MAX ? include->count : PARTS_MAX;
}

int map_read(const char *path, struct buf *text, struct err *reterr)
{
    if (read_file(path, text, reterr) != 0) {
        return err_hint(reterr, "the setting mapping names it");
    }
    struct arena arena;
    struct yaml_node *root = NULL;
    struct map_issues issues = {0};
    const struct yaml_node *const *names;
    int status = 0;
    arena_init(&arena, 0);
    if (yaml_parse(buf_text(text), text->len, 0, &arena, &root, &issues) == 0) {
        size_t count = included(root, &names);
        for (size_t i = 0; i < count && status == 0; i++)
            if (names[i]->kind == YAML_SCALAR && *names[i]->text)
                status = read_part(path, names[i]->text, text, reterr);
    }
    map_issues_free(&issues);
    arena_done(&arena);
    return status;
}

/* --- one tree --- */

static size_t lines_of(const char *text, size_t len)
{
    size_t lines = 1;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    return lines;
}

/* Where the tree's sections are put together: a mapping with room for all words of all parts. */
struct whole {
    struct loader *l;
    struct yaml_node *root;
    size_t capacity;
};

static bool is_many(const char *word)
{
    return strcmp(word, "rows") == 0 || strcmp(word, "derive") == 0 || strcmp(word, "copy") == 0;
}

static bool is_named(const char *word)
{
    return strcmp(word, "params") == 0 || strcmp(word, "never") == 0 || strcmp(word, "nonfinite") == 0 ||
           strcmp(word, "mirrors") == 0 || strcmp(word, "views") == 0 || strcmp(word, "mask") == 0;
}

static void append_items(struct loader *l, struct yaml_node *to, const struct yaml_node *from)
{
    struct yaml_node **items = arena_zalloc(&l->map->arena, to->count + from->count + 1, sizeof *items);
    memcpy(items, to->items, to->count * sizeof *items);
    memcpy(items + to->count, from->items, from->count * sizeof *items);
    to->items = items;
    to->count += from->count;
}

static bool has_key(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return true;
    return false;
}

static void append_entries(struct loader *l, struct yaml_node *to, const struct yaml_node *from)
{
    size_t most = to->count + from->count + 1;
    struct yaml_node **keys = arena_zalloc(&l->map->arena, most, sizeof *keys);
    struct yaml_node **items = arena_zalloc(&l->map->arena, most, sizeof *items);
    memcpy(keys, to->keys, to->count * sizeof *keys);
    memcpy(items, to->items, to->count * sizeof *items);
    to->keys = keys;
    to->items = items;
    for (size_t i = 0; i < from->count; i++) {
        if (has_key(to, from->keys[i]->text)) {
            issue_error(l->issues, from->items[i], "another part of the mapping has this key already");
            continue;
        }
        keys[to->count] = from->keys[i];
        items[to->count++] = from->items[i];
    }
}

static struct yaml_node *copy_of(struct loader *l, const struct yaml_node *node)
{
    struct yaml_node *copy = arena_zalloc(&l->map->arena, 1, sizeof *copy);
    *copy = *node;
    return copy;
}

/* A list of one, where `copy:` is a single mapping. */
static struct yaml_node *as_list(struct loader *l, struct yaml_node *node)
{
    if (node->kind == YAML_LIST)
        return node;
    struct yaml_node *list = copy_of(l, node);
    list->kind = YAML_LIST;
    list->count = 1;
    list->items = arena_zalloc(&l->map->arena, 1, sizeof *list->items);
    list->items[0] = node;
    return list;
}

static void add_section(struct whole *w, struct yaml_node *key, struct yaml_node *section)
{
    struct yaml_node *root = w->root;
    bool list = is_many(key->text), map = is_named(key->text);
    if (list && strcmp(key->text, "copy") == 0)
        section = as_list(w->l, section);
    for (size_t i = 0; i < root->count; i++) {
        if (strcmp(root->keys[i]->text, key->text) != 0)
            continue;
        if (!list && !map)
            issue_error(w->l->issues, section, "another part of the mapping has \"%.64s:\" already", key->text);
        else if (section->kind != (list ? YAML_LIST : YAML_MAP))
            issue_error(w->l->issues, section, "a %s must stand here", list ? "list" : "mapping");
        else if (root->items[i]->kind == section->kind && list)
            append_items(w->l, root->items[i], section);
        else if (root->items[i]->kind == section->kind)
            append_entries(w->l, root->items[i], section);
        return;
    }
    root->keys[root->count] = key;
    root->items[root->count++] = list || map ? copy_of(w->l, section) : section;
}

static void add_part(struct whole *w, struct yaml_node *part, bool first)
{
    if (part->kind != YAML_MAP) {
        issue_error(w->l->issues, part, "a mapping file is a mapping: namespace, params, rows …");
        return;
    }
    struct yaml_node **keys = arena_zalloc(&w->l->map->arena, w->root->count + part->count + 1, sizeof *keys);
    struct yaml_node **items = arena_zalloc(&w->l->map->arena, w->root->count + part->count + 1, sizeof *items);
    memcpy(keys, w->root->keys, w->root->count * sizeof *keys);
    memcpy(items, w->root->items, w->root->count * sizeof *items);
    w->root->keys = keys;
    w->root->items = items;
    for (size_t i = 0; i < part->count; i++) {
        if (strcmp(part->keys[i]->text, "include") != 0)
            add_section(w, part->keys[i], part->items[i]);
        else if (!first)
            issue_error(w->l->issues, part->items[i], "a file that is included cannot include others");
    }
}

/* The list is read by map_read(); here only whether it is one, and whether somebody has read it. */
static void check_include(struct loader *l, const struct yaml_node *root, size_t parts)
{
    const struct yaml_node *include = yaml_get(root, "include");
    bool fine = include && include->kind == YAML_LIST && include->count <= PARTS_MAX;
    if (!include)
        return;
    for (size_t i = 0; fine && i < include->count; i++)
        fine = include->items[i]->kind == YAML_SCALAR && *include->items[i]->text;
    if (!fine)
        issue_error(l->issues, include, "a list of files, beside this one, must stand here");
    else if (include->count != parts)
        issue_error(l->issues, include, "nothing can be included from here");
}

static int parse_part(struct loader *l, const char *text, size_t len, size_t lines_before, struct yaml_node **ret_root)
{
    return yaml_parse(text, len, lines_before, &l->map->arena, ret_root, l->issues);
}

/* The text up to the next NUL; *rest moves behind it. */
static size_t next_text(const char **rest, const char *end, const char **ret_text)
{
    const char *nul = *rest < end ? memchr(*rest, '\0', (size_t)(end - *rest)) : NULL;
    *ret_text = *rest;
    *rest = nul ? nul + 1 : end;
    return (size_t)((nul ? nul : end) - *ret_text);
}

int map_parse_parts(struct loader *l, const char *text, size_t len)
{
    const char *rest = text, *end = text + len, *at, *path;
    struct yaml_node *root = NULL, *part = NULL;
    size_t size = next_text(&rest, end, &at), lines = lines_of(at, size), parts = 0;
    if (parse_part(l, at, size, 0, &root) != 0)
        return -1;
    struct whole whole = {.l = l, .root = copy_of(l, root)};
    if (root->kind == YAML_MAP) {
        whole.root->count = 0;
        add_part(&whole, root, true);
    }
    int status = 0;
    for (; rest < end && parts < PARTS_MAX; parts++) {
        size_t path_len = next_text(&rest, end, &path);
        size = next_text(&rest, end, &at);
        issue_part(l->issues, path, path_len, lines);
        if (parse_part(l, at, size, lines, &part) != 0)
            status = -1;
        else if (whole.root->kind == YAML_MAP)
            add_part(&whole, part, false);
        lines += lines_of(at, size);
    }
    check_include(l, root, parts);
    l->map->root = whole.root;
    return status;
}
