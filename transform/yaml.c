#include "transform/yaml.h"

#include <string.h>

#include <yaml.h>

#include "transform/issues.h"

/* A list or mapping that is being filled. Its children hang on a chain until its end is read. */
struct level {
    struct yaml_node *node;
    struct yaml_node *first, *last; /* children, keys and values alternating in a mapping */
    size_t count;
};

struct builder {
    struct arena *arena;
    struct map_issues *issues;
    yaml_parser_t parser;
    struct level levels[YAML_MAX_DEPTH];
    size_t depth, nodes, lines_before;
    struct yaml_node *root;
    bool done, failed;
};

static struct yaml_node *node_new(struct builder *b, enum yaml_kind kind, const yaml_mark_t *mark)
{
    struct yaml_node *node = arena_zalloc(b->arena, 1, sizeof *node);
    node->kind = kind;
    node->line = b->lines_before + mark->line + 1;
    node->column = mark->column + 1;
    node->text = "";
    b->nodes++;
    return node;
}

static void fail(struct builder *b, const yaml_mark_t *mark, const char *what)
{
    issue_error_at(b->issues, b->lines_before + mark->line + 1, mark->column + 1, "%s", what);
    b->failed = true;
}

/* Is the next node of this mapping a key? */
static bool expects_key(const struct level *level)
{
    return level->node->kind == YAML_MAP && level->count % 2 == 0;
}

static void attach(struct builder *b, struct yaml_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return;
    }
    struct level *level = &b->levels[b->depth - 1];
    node->parent = level->node;
    if (level->node->kind == YAML_LIST)
        node->index = level->count;
    else if (!expects_key(level))
        node->key = level->last->text;
    if (level->last)
        level->last->next = node;
    else
        level->first = node;
    level->last = node;
    level->count++;
}

static void push(struct builder *b, enum yaml_kind kind, const yaml_event_t *event)
{
    if (b->depth > 0 && expects_key(&b->levels[b->depth - 1])) {
        fail(b, &event->start_mark, "a key must be a word or a quoted text");
        return;
    }
    if (b->depth == YAML_MAX_DEPTH) {
        fail(b, &event->start_mark, "lists and mappings are nested too deep (32 levels at most)");
        return;
    }
    struct yaml_node *node = node_new(b, kind, &event->start_mark);
    attach(b, node);
    b->levels[b->depth++] = (struct level){.node = node};
}

static void close_list(struct builder *b, struct level *level)
{
    struct yaml_node *node = level->node;
    node->count = level->count;
    node->items = arena_zalloc(b->arena, level->count + 1, sizeof(struct yaml_node *));
    size_t i = 0;
    for (struct yaml_node *child = level->first; child; child = child->next)
        node->items[i++] = child;
}

static bool has_key(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return true;
    return false;
}

static void close_map(struct builder *b, struct level *level)
{
    struct yaml_node *node = level->node;
    node->items = arena_zalloc(b->arena, level->count / 2 + 1, sizeof(struct yaml_node *));
    node->keys = arena_zalloc(b->arena, level->count / 2 + 1, sizeof(struct yaml_node *));
    /* Quadratic only up to a size that no hand-written mapping reaches. */
    bool check = level->count / 2 <= 10000;
    if (!check)
        issue_error(b->issues, node, "a mapping has more than 10000 keys");
    for (struct yaml_node *key = level->first; key; key = key->next->next) {
        if (check && has_key(node, key->text)) {
            issue_error(b->issues, key->next, "this key stands here twice");
            continue;
        }
        node->keys[node->count] = key;
        node->items[node->count++] = key->next;
    }
}

static void pop(struct builder *b)
{
    struct level *level = &b->levels[--b->depth];
    if (level->node->kind == YAML_LIST)
        close_list(b, level);
    else
        close_map(b, level);
}

static void add_scalar(struct builder *b, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, '\0', len)) {
        fail(b, &event->start_mark, "a text must not hold a NUL character");
        return;
    }
    struct yaml_node *node = node_new(b, YAML_SCALAR, &event->start_mark);
    node->text = arena_strndup(b->arena, text, len);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    attach(b, node);
}

static bool has_anchor_or_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT: return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT: return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default: return false;
    }
}

static void take_event(struct builder *b, const yaml_event_t *event)
{
    if (b->nodes >= YAML_MAX_NODES) {
        fail(b, &event->start_mark, "the file has too many nodes (200000 at most)");
        return;
    }
    if (has_anchor_or_tag(event)) {
        fail(b, &event->start_mark, "anchors (&name) and tags (!name) are not understood; write the value out");
        return;
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (b->root)
            fail(b, &event->start_mark, "a second document begins here; a mapping file holds one");
        break;
    case YAML_ALIAS_EVENT:
        fail(b, &event->start_mark, "aliases (*name) are not understood; write the value out");
        break;
    case YAML_SCALAR_EVENT: add_scalar(b, event); break;
    case YAML_SEQUENCE_START_EVENT: push(b, YAML_LIST, event); break;
    case YAML_MAPPING_START_EVENT: push(b, YAML_MAP, event); break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: pop(b); break;
    case YAML_STREAM_END_EVENT: b->done = true; break;
    default: break;
    }
}

static void report_syntax(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    const char *problem = p->problem ? p->problem : "cannot be read";
    /* Reader errors (bad UTF-8) know an offset only. */
    if (p->error == YAML_READER_ERROR)
        issue_error_at(b->issues, b->lines_before ? b->lines_before + 1 : 0, 0, "not UTF-8 text: %s at byte %zu",
                       problem, p->problem_offset);
    else
        issue_error_at(b->issues, b->lines_before + p->problem_mark.line + 1, p->problem_mark.column + 1,
                       "not YAML: %s", problem);
    b->failed = true;
}

int yaml_parse(const char *text, size_t len, size_t lines_before, struct arena *arena, struct yaml_node **ret_root,
               struct map_issues *issues)
{
    if (len > YAML_MAX_BYTES) {
        issue_error_at(issues, 0, 0, "the file is larger than 4 MiB");
        return -1;
    }
    struct builder b = {.arena = arena, .issues = issues, .lines_before = lines_before};
    if (!yaml_parser_initialize(&b.parser)) {
        issue_error_at(issues, 0, 0, "no memory for the YAML parser");
        return -1;
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, len);
    while (!b.done && !b.failed) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b.parser, &event)) {
            report_syntax(&b);
            break;
        }
        take_event(&b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&b.parser);
    if (b.failed)
        return -1;
    if (!b.root) {
        b.root = node_new(&b, YAML_MAP, &(yaml_mark_t){0});
        b.root->items = arena_zalloc(arena, 1, sizeof(struct yaml_node *));
        b.root->keys = arena_zalloc(arena, 1, sizeof(struct yaml_node *));
    }
    *ret_root = b.root;
    return 0;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && !node->quoted &&
           (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

bool yaml_is_bool(const struct yaml_node *node, bool *ret_value)
{
    if (node->kind != YAML_SCALAR || node->quoted)
        return false;
    bool yes = strcmp(node->text, "true") == 0;
    if (!yes && strcmp(node->text, "false") != 0)
        return false;
    *ret_value = yes;
    return true;
}

void yaml_path(const struct yaml_node *node, struct buf *path)
{
    if (!node || !node->parent)
        return;
    yaml_path(node->parent, path);
    if (node->parent->kind == YAML_LIST)
        buf_printf(path, "[%zu]", node->index);
    else if (node->key)
        buf_printf(path, "%s%s", path->len ? "." : "", node->key);
}
