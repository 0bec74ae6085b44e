/* Any bytes as a mapping file: loaded, bound to two small catalogues, and, where that succeeds, run.
 * What follows the first NUL byte gives the values of the row, one to a line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/catalogs.h"
#include "transform/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct table_text source_tables[] = {
    {"public", "office",
     "id integer!; name character varying(20); note text; amount numeric(8,2); live boolean; at "
     "timestamp without time zone; extra json; kind integer",
     .pk = "id"},
    {"public", "pair", "a integer!; b text!; note text", .pk = "a,b"},
    {.name = NULL},
};
static const struct table_text target_tables[] = {
    {"public", "offices",
     "id uuid!; legacy_id bigint; name text; note text; amount numeric(10,2); live boolean; at "
     "timestamp with time zone; metadata jsonb; parent_id uuid; kind text",
     .pk = "id", .uniques = "legacy_id"},
    {"public", "office", "id integer!; name character varying(20); note text", .pk = "id"},
    {"public", "pairs", "a_id uuid!; b text!; note text", .pk = "a_id,b"},
    {.name = NULL},
};

static struct value next_value(const char **text, const char *end)
{
    const char *stop = memchr(*text, '\n', (size_t)(end - *text));
    struct value value = {.text = *text, .len = (uint32_t)((stop ? stop : end) - *text), .state = VALUE_TEXT};
    if (value.len == 0)
        value.state = VALUE_NULL;
    else if (value.len == 1 && **text == '?')
        value.state = VALUE_ABSENT;
    *text = stop ? stop + 1 : end;
    return value;
}

static void run_change(const struct map *map, const struct relation *relation, enum change_op op, const char *text,
                       const char *end)
{
    struct arena arena;
    struct err err = {0};
    struct row **rows;
    size_t count;
    arena_init(&arena, 0);
    struct change change = {.op = op, .relation = relation};
    change.columns = arena_zalloc(&arena, relation->column_count, sizeof *change.columns);
    change.identity = arena_zalloc(&arena, relation->key_count, sizeof *change.identity);
    for (size_t i = 0; i < relation->column_count; i++)
        change.columns[i] = next_value(&text, end);
    for (size_t k = 0; k < relation->key_count; k++)
        change.identity[k] = (struct value){.text = "7", .len = 1, .state = VALUE_TEXT};
    change.key_changed = op == CHANGE_UPDATE;
    int status = map_transform(map, &change, &arena, &rows, &count, &err);
    change.completed = true;
    if (status == 1 && map_transform(map, &change, &arena, &rows, &count, &err) != 0)
        abort(); /* a completed change always becomes rows */
    arena_done(&arena);
}

static void run_map(struct map *map, const char *text, const char *end)
{
    struct catalog *source = catalog_of(source_tables), *target = catalog_of(target_tables);
    struct map_issues issues = {0};
    struct err err = {0};
    if (map_bind(map, source, target, &issues, &err) == 0) {
        for (size_t i = 0; i < source->count; i++) {
            run_change(map, &source->relations[i], CHANGE_INSERT, text, end);
            run_change(map, &source->relations[i], CHANGE_UPDATE, text, end);
            run_change(map, &source->relations[i], CHANGE_DELETE, text, end);
        }
    }
    map_issues_free(&issues);
    catalog_free(source);
    catalog_free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    size_t len = strlen(text);
    const char *values = len < size ? text + len + 1 : text + size;
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
    if (map_load_memory("fuzz", text, len, &map, &issues, &err) == 0) {
        map_fingerprint(map, whole, identity);
        run_map(map, values, text + size);
        map_free(map);
    }
    map_issues_free(&issues);
    free(text);
    return 0;
}
