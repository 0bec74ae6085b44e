/* What the mapping means, as one canonical text, and a digest of it.
 *
 * The text is made of the specs, not of the file: comments, order of rules and columns, and spelling leave it as it
 * is; params stand in it by value. Rules that `copy:` stands for are not expanded, so a new table on either side
 * does not change it.
 *
 * The digest is two name-based UUIDs of the text (SHA-1, two namespaces) printed one after the other: 244 bits that
 * vary. It guards against mistakes, not against an adversary, who could as well change the program; so SHA-1 from
 * libuuid, which is linked anyhow, is enough, and no further library is needed. */
#include "transform/map_internal.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX_BYTES (64u << 20)

static const struct uuid first_namespace = {
    {0x2d, 0x8f, 0x4c, 0x1a, 0x77, 0x30, 0x4e, 0x5b, 0x9a, 0x11, 0x6c, 0x0e, 0x52, 0xb3, 0xd4, 0x01}};
static const struct uuid second_namespace = {
    {0xb1, 0x96, 0x03, 0xee, 0x48, 0x2f, 0x4d, 0x7c, 0x85, 0xa9, 0x3f, 0x7d, 0x20, 0xc6, 0x1e, 0x02}};

static void digest(const struct buf *text, char *ret_hex)
{
    static const char hex[] = "0123456789abcdef";
    const struct uuid parts[] = {uuid_v5(&first_namespace, buf_text(text), text->len),
                                 uuid_v5(&second_namespace, buf_text(text), text->len)};
    for (size_t i = 0; i < 32; i++) {
        uint8_t byte = parts[i / 16].bytes[i % 16];
        ret_hex[2 * i] = hex[byte >> 4];
        ret_hex[2 * i + 1] = hex[byte & 15];
    }
    ret_hex[64] = '\0';
}

/* Texts are put as JSON strings, so that no two different files give one text. */
static void put_text(struct buf *out, const char *text)
{
    if (text)
        buf_put_json_string(out, text, strlen(text));
    else
        buf_puts(out, "null");
}

static void put_word(struct buf *out, const char *word, const char *text)
{
    buf_printf(out, " %s=", word);
    put_text(out, text);
}

static void put_column(struct buf *out, const struct column_spec *column)
{
    put_word(out, column->key ? "key" : "column", column->name);
    put_word(out, "entity", column->entity);
    buf_printf(out, " owned=%d conditional=%d once=%d required=%d value=", column->owned, column->conditional,
               column->once, (int)column->required);
    expr_print(column->value, out);
    buf_putc(out, '\n');
}

static int compare_columns(const void *a, const void *b)
{
    const struct column_spec *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void put_columns(struct buf *out, const struct rule_spec *spec, bool keys)
{
    const struct column_spec **columns = mem_zalloc(spec->column_count + 1, sizeof(struct column_spec *));
    size_t count = 0;
    for (size_t i = 0; i < spec->column_count; i++)
        if (spec->columns[i].key == keys)
            columns[count++] = &spec->columns[i];
    if (count > 1)
        qsort(columns, count, sizeof(struct column_spec *), compare_columns);
    for (size_t i = 0; i < count; i++)
        put_column(out, columns[i]);
    free(columns);
}

static void put_identity(struct buf *out, const struct rule_spec *spec)
{
    buf_puts(out, "rule");
    put_word(out, "from", spec->from_schema);
    put_word(out, "table", spec->from_table);
    put_word(out, "to", spec->to_schema);
    put_word(out, "table", spec->to_table);
    put_word(out, "name", spec->name);
    for (size_t i = 0; i < spec->identity_count; i++)
        put_word(out, "identity", spec->identity[i]);
    buf_putc(out, '\n');
    put_columns(out, spec, true);
}

static void put_rest(struct buf *out, const struct rule_spec *spec)
{
    put_columns(out, spec, false);
    buf_printf(out, "skip=%d delete=%d truncate=%d", spec->skip, (int)spec->on_delete, (int)spec->on_truncate);
    for (size_t i = 0; i < spec->set_count; i++) {
        put_word(out, "set", spec->set[i].column);
        put_word(out, "to", spec->set[i].text);
    }
    buf_puts(out, " when=");
    if (spec->when)
        expr_print(spec->when, out);
    buf_putc(out, '\n');
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The lines in sorted order, so that the file's order does not matter; frees them. */
static void put_sorted(struct buf *out, char **lines, size_t count)
{
    if (count > 1)
        qsort(lines, count, sizeof *lines, compare_texts);
    for (size_t i = 0; i < count; i++) {
        buf_puts(out, lines[i]);
        free(lines[i]);
    }
    free(lines);
}

static void put_rules(struct buf *out, const struct map *map, bool whole)
{
    char **lines = mem_zalloc(map->spec_count + 1, sizeof *lines);
    for (size_t i = 0; i < map->spec_count; i++) {
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_identity(&line, &map->specs[i]);
        if (whole)
            put_rest(&line, &map->specs[i]);
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, map->spec_count);
}

static void put_copies(struct buf *out, const struct map *map)
{
    char **lines = mem_zalloc(map->copy_count + 1, sizeof *lines);
    for (size_t i = 0; i < map->copy_count; i++) {
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_word(&line, "copy", map->copies[i].from_schema);
        put_word(&line, "to", map->copies[i].to_schema);
        for (size_t e = 0; e < map->copies[i].except_count; e++)
            put_word(&line, "except", map->copies[i].except[e]);
        buf_putc(&line, '\n');
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, map->copy_count);
}

static void put_mirrors(struct buf *out, const struct map *map)
{
    char **lines = mem_zalloc(map->mirror_count + map->view_count + 1, sizeof *lines);
    size_t count = 0;
    for (size_t i = 0; i < map->mirror_count; i++) {
        const struct mirror_spec *mirror = &map->mirrors[i];
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_word(&line, "mirror", mirror->schema);
        put_word(&line, "table", mirror->table);
        put_word(&line, "name", mirror->name);
        for (size_t c = 0; c < mirror->column_count; c++)
            put_word(&line, "column", mirror->columns[c]);
        for (size_t x = 0; x < mirror->index_count; x++)
            put_word(&line, "index", mirror->indexes[x]);
        buf_printf(&line, " truncate=%d where=", (int)mirror->on_truncate);
        if (mirror->when)
            expr_print(mirror->when, &line);
        buf_putc(&line, '\n');
        lines[count++] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    for (size_t i = 0; i < map->view_count; i++) {
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_word(&line, "view", map->views[i].name);
        put_word(&line, "query", map->views[i].query);
        buf_putc(&line, '\n');
        lines[count++] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, count);
}

static void put_marks(struct buf *out, const struct marks *marks, const char *word)
{
    char **lines = mem_zalloc(marks->count + 1, sizeof *lines);
    for (size_t i = 0; i < marks->count; i++) {
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_word(&line, word, marks->items[i].schema);
        put_word(&line, "table", marks->items[i].table);
        put_word(&line, "column", marks->items[i].column);
        buf_putc(&line, '\n');
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, marks->count);
}

static void put_map(struct buf *out, const struct map *map, bool whole)
{
    char ns[UUID_TEXT_LEN + 1];
    uuid_format(&map->ns, ns);
    buf_printf(out, "pgrekey mapping 1 namespace=%s\n", ns);
    put_rules(out, map, whole);
    put_copies(out, map);
    if (!whole)
        return;
    if (map->mirror_count) /* without one the text is what it was before there were mirrors */
        put_word(out, "mirrors in", map_mirror_schema(map));
    put_mirrors(out, map);
    put_marks(out, &map->never, "never");
    put_marks(out, &map->nonfinite, "nonfinite");
}

void map_fingerprint(const struct map *map, char *ret_whole, char *ret_identity)
{
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    put_map(&text, map, true);
    digest(&text, ret_whole);
    buf_reset(&text);
    put_map(&text, map, false);
    digest(&text, ret_identity);
    buf_done(&text);
}
