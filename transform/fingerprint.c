/* What the mapping means, as one canonical text, and a digest of it.
 *
 * The text is made of the specs, not of the file: comments, order of rules and columns, and spelling leave it as it
 * is; params stand in it by value. SQL stands in it as written. Rules that `copy:` and `mirrors:` stand for are not
 * expanded, so a new table on either side does not change it; the digest of one step is made of the expanded rule, so
 * a new column changes that. Words that came later stand in the text only where the file uses them: an older file has
 * the digest that it had.
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
    buf_printf(out, " owned=%d conditional=%d once=%d required=%d", column->owned, column->conditional, column->once,
               (int)column->required);
    if (column->second_pass)
        buf_puts(out, " second_pass=1");
    buf_puts(out, " value=");
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

static void put_adopt(struct buf *out, const struct adopt *adopt)
{
    for (size_t i = 0; i < adopt->column_count; i++)
        put_word(out, "adopt", adopt->columns[i]);
    if (adopt->by == ADOPT_SQL)
        put_word(out, "adopt_sql", adopt->sql);
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
    put_adopt(out, &spec->adopt);
    buf_putc(out, '\n');
    put_columns(out, spec, true);
}

static void put_set(struct buf *out, const struct rule_set *set, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_word(out, "set", set[i].column);
        put_word(out, set[i].stamp ? "stamp" : "to", set[i].text);
    }
}

static void put_rest(struct buf *out, const struct rule_spec *spec)
{
    put_columns(out, spec, false);
    buf_printf(out, "skip=%d delete=%d truncate=%d", spec->skip, (int)spec->on_delete, (int)spec->on_truncate);
    put_set(out, spec->set, spec->set_count);
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

/* --- mirrors and views --- */

static void put_mirrors(struct buf *out, const struct map *map)
{
    char **lines = mem_zalloc(map->mirror_count + 1, sizeof *lines);
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
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, map->mirror_count);
}

static void put_view(struct buf *out, const struct mirror_view *view)
{
    put_word(out, "view", view->name);
    put_word(out, "query", view->query);
    buf_putc(out, '\n');
}

static void put_views(struct buf *out, const struct map *map)
{
    char **lines = mem_zalloc(map->view_count + 1, sizeof *lines);
    for (size_t i = 0; i < map->view_count; i++) {
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_view(&line, &map->views[i]);
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, map->view_count);
}

/* --- derivations --- */

static void put_derived_identity(struct buf *out, const struct derive_spec *spec)
{
    buf_puts(out, spec->owns_rows ? "derive" : "derive columns");
    put_word(out, "to", spec->to_schema);
    put_word(out, "table", spec->to_table);
    put_word(out, "name", spec->name);
    put_adopt(out, &spec->adopt);
    buf_putc(out, '\n');
    for (size_t i = 0; i < spec->key_count; i++) {
        put_word(out, "key", spec->keys[i].column);
        put_word(out, "entity", spec->keys[i].entity);
        buf_printf(out, " reference=%d", spec->keys[i].reference);
        for (size_t p = 0; p < spec->keys[i].part_count; p++)
            put_word(out, "of", spec->keys[i].parts[p]);
        buf_putc(out, '\n');
    }
}

static void put_derived_columns(struct buf *out, const struct derive_spec *spec)
{
    char **lines = mem_zalloc(spec->column_count + 1, sizeof *lines);
    for (size_t i = 0; i < spec->column_count; i++) {
        const struct derive_column_spec *column = &spec->columns[i];
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_word(&line, "column", column->name);
        put_word(&line, "entity", column->entity);
        buf_printf(&line, " once=%d merge=%d second_pass=%d required=%d\n", column->once, column->merge,
                   column->second_pass, (int)column->required);
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    buf_printf(out, "named=%d\n", spec->columns_named);
    put_sorted(out, lines, spec->column_count);
}

static void put_inputs(struct buf *out, const struct derive_spec *spec)
{
    char **lines = mem_zalloc(spec->input_count + 1, sizeof *lines);
    for (size_t i = 0; i < spec->input_count; i++) {
        const struct derive_input_spec *input = &spec->inputs[i];
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_word(&line, "touched", input->text);
        for (size_t c = 0; c < input->column_count; c++)
            put_word(&line, "column", input->columns[c]);
        put_word(&line, "keys", input->keys);
        buf_putc(&line, '\n');
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, spec->input_count);
}

static void put_derived_rest(struct buf *out, const struct derive_spec *spec)
{
    put_derived_columns(out, spec);
    put_inputs(out, spec);
    put_word(out, "query", spec->query);
    put_word(out, "reject", spec->reject_when);
    put_word(out, "category", spec->reject_category);
    put_word(out, "rejected", spec->reject_gone ? "gone" : NULL);
    buf_printf(out, " gone=%d skip=%d", (int)spec->gone, spec->skip);
    put_set(out, spec->set, spec->set_count);
    buf_putc(out, '\n');
}

static void put_derivations(struct buf *out, const struct map *map, bool whole)
{
    char **lines = mem_zalloc(map->derive_count + 1, sizeof *lines);
    for (size_t i = 0; i < map->derive_count; i++) {
        struct buf line;
        buf_init(&line, TEXT_MAX_BYTES);
        put_derived_identity(&line, &map->derives[i]);
        if (whole)
            put_derived_rest(&line, &map->derives[i]);
        lines[i] = mem_strdup(buf_text(&line));
        buf_done(&line);
    }
    put_sorted(out, lines, map->derive_count);
}

/* The views that the derivation's SQL reads, in the order of the map. */
static void put_read_views(struct buf *out, const struct map *map, const struct derive_spec *spec)
{
    struct arena arena;
    bool *read = mem_zalloc(map->view_count + 1, sizeof *read);
    arena_init(&arena, 0);
    map_sql_views(map, &arena, spec->query, read);
    for (size_t i = 0; i < spec->input_count; i++)
        map_sql_views(map, &arena, spec->inputs[i].keys, read);
    for (size_t i = 0; i < map->view_count; i++)
        if (read[i])
            put_view(out, &map->views[i]);
    arena_done(&arena);
    free(read);
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
    put_derivations(out, map, whole);
    if (!whole)
        return;
    if (map->mirror_count + map->view_count)
        put_word(out, "mirrors in", map_mirror_schema(map));
    put_mirrors(out, map);
    put_views(out, map);
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

/* --- one step --- */

static bool derives_uuid(const struct map *map, const struct map_step *step)
{
    if (step->kind == STEP_DERIVATION) {
        const struct derive_spec *spec = &map->derives[step->index];
        for (size_t i = 0; i < spec->key_count; i++)
            if (spec->keys[i].entity)
                return true;
        return false;
    }
    const struct rule_spec *spec = map->rules[step->index]->program->spec;
    for (size_t i = 0; i < spec->column_count; i++)
        if (spec->columns[i].entity)
            return true;
    return false;
}

static void put_namespace(struct buf *out, const struct map *map, const struct map_step *step)
{
    char ns[UUID_TEXT_LEN + 1];
    if (!derives_uuid(map, step))
        return;
    uuid_format(&map->ns, ns);
    put_word(out, "namespace", ns);
}

static void put_step(struct buf *out, const struct map *map, const struct map_step *step, bool whole)
{
    put_namespace(out, map, step);
    if (step->kind == STEP_DERIVATION) {
        const struct derive_spec *spec = &map->derives[step->index];
        put_derived_identity(out, spec);
        if (whole) {
            put_derived_rest(out, spec);
            put_read_views(out, map, spec);
        }
        return;
    }
    const struct rule_spec *spec = map->rules[step->index]->program->spec;
    put_identity(out, spec);
    if (whole)
        put_rest(out, spec);
}

void map_step_fingerprint(const struct map *map, const struct map_step *step, char *ret_whole, char *ret_identity)
{
    struct buf text;
    buf_init(&text, TEXT_MAX_BYTES);
    put_step(&text, map, step, true);
    digest(&text, ret_whole);
    buf_reset(&text);
    put_step(&text, map, step, false);
    digest(&text, ret_identity);
    buf_done(&text);
}

void map_rule_identity_from(const struct map *map, const struct rule *rule, const char *schema, const char *table,
                            bool unnamed, char *ret_identity)
{
    const struct map_step step = {STEP_RULE, rule->index, 0};
    struct rule_spec spec = *rule->program->spec;
    struct buf text;
    spec.from_schema = schema;
    spec.from_table = table;
    spec.name = unnamed ? NULL : spec.name;
    buf_init(&text, TEXT_MAX_BYTES);
    put_namespace(&text, map, &step);
    put_identity(&text, &spec);
    digest(&text, ret_identity);
    buf_done(&text);
}
