/* `mask:`: what it must cover, and what a masked row then holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/catalogs.h"
#include "transform/map.h"
#include "transform/mask/mask.h"

#define RULES                                                                                                          \
    "rows:\n- {from: person, to: persons, key: {id: id}, columns: {name: name, born: born, n: n, meta: meta}}\n"       \
    "mirrors: {pair: }\n"
#define MASK(rows, mirrors) RULES "mask: {rows: {persons: {" rows "}}, mirrors: {pair: {" mirrors "}}}\n"
#define PAIR "clear: [a], text: [b]"

static const struct table_text source_tables[] = {
    {"public", "person", "id integer!; name text; born date; n smallint; meta jsonb", .pk = "id"},
    {"public", "pair", "a integer!; b text", .pk = "a"},
    {.name = NULL},
};
static const struct table_text target_tables[] = {
    {"public", "persons", "id integer!; name text!; born date; n smallint; meta jsonb", .pk = "id"},
    {.name = NULL},
};

struct fixture {
    struct catalog *source, *target;
    struct map *map;
    char *said;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->source = catalog_of(source_tables);
    f->target = catalog_of(target_tables);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    map_free(f->map);
    free(f->said);
    catalog_free(f->source);
    catalog_free(f->target);
    free(f);
    return 0;
}

static bool take(struct fixture *f, const char *yaml)
{
    struct map_issues issues = {0};
    struct err err = {0};
    size_t size;
    map_free(f->map);
    free(f->said);
    f->map = NULL;
    f->said = NULL;
    bool fine = map_load_memory("m.yaml", yaml, strlen(yaml), &f->map, &issues, &err) == 0 &&
                map_bind(f->map, f->source, f->target, &issues, &err) == 0 &&
                map_check_mask(f->map, &issues, &err) == 0;
    FILE *out = open_memstream(&f->said, &size);
    map_issues_print(&issues, "m.yaml", out);
    fclose(out);
    assert_int_equal(fine, !map_issues_have_errors(&issues));
    map_issues_free(&issues);
    return fine;
}

static const struct {
    const char *yaml, *issue;
} refused[] = {
    {MASK("clear: [id]", PAIR), "\"name\" of persons must not be NULL, so it has to be declared"},
    {MASK("clear: [id], empty: [name]", PAIR), "\"name\" of persons must not be NULL"},
    {MASK("name: [name]", PAIR), "\"id\" of persons must not be NULL"},
    {MASK("clear: [id], name: [name, born]", PAIR), "\"born\" of persons is date, which cannot be masked as name"},
    {MASK("clear: [id], date: [n], name: [name]", PAIR),
     "\"n\" of persons is smallint, which cannot be masked as date"},
    {MASK("clear: [id], name: [name], json: {name: {}}", PAIR), "\"name\" is declared twice"},
    {MASK("clear: [id], name: [name, nme]", PAIR), "no rule fills \"nme\" of persons"},
    {MASK("clear: [id], name: [name]", "clear: [a, c]"), "no column is mirrored as \"c\" of pair"},
    {MASK("clear: [id], name: [name], mail: [n]", PAIR), "\"mail\" is no word of the mask of a table"},
    {RULES "mask: {rows: {persons: {clear: [id], name: [name]}}}\n", "nothing is said of the mirror public.pair"},
    {RULES "mask: {mirrors: {pair: {" PAIR "}}}\n", "nothing is said of the table public.persons"},
    {RULES "mask: {rows: {person: {clear: [id]}}}\n", "no rule writes the table public.person"},
    {RULES "mask: {mirrors: {person: {clear: [id]}}}\n", "public.person is not mirrored"},
    {RULES "mask: {tables: {}}\n", "\"tables\" is no word of mask"},
    {RULES "mask: {rows: {persons: {json: [meta]}}}\n",
     "a mapping name: {clear: [keys], name: [keys] …} must stand here"},
};

static void what_does_not_cover_the_mapping_is_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bool fine = take(f, refused[i].yaml);
        if (fine || !strstr(f->said, refused[i].issue))
            print_error("case %zu: %s\nwants: %s\nsaid: %s", i, refused[i].yaml, refused[i].issue, f->said);
        assert_false(fine);
        assert_non_null(strstr(f->said, refused[i].issue));
    }
}

static void set(struct value *value, const char *text)
{
    *value = (struct value){.text = text, .len = (uint32_t)strlen(text), .state = VALUE_TEXT};
}

static void an_undeclared_column_is_null(void **state)
{
    struct fixture *f = *state;
    struct arena arena;
    struct value values[5];
    assert_true(take(f, MASK("clear: [id], name: [name], json: {meta: {clear: [a]}}", PAIR)));
    assert_non_null(strstr(f->said, "\"born\" of persons is not declared: a masked copy has NULL there"));
    arena_init(&arena, 0);
    set(&values[0], "7");
    set(&values[1], "Ada");
    set(&values[2], "1815-12-10");
    values[3] = (struct value){.state = VALUE_ABSENT};
    set(&values[4], "{\"a\": 1, \"b\": 2}");
    struct masker *masker = masker_new(f->map, "key", 3);
    masker_apply(masker, map_rule(f->map, 0), values, &arena);
    assert_memory_equal(values[0].text, "7", 2);
    assert_int_equal(values[1].len, 3);
    assert_memory_not_equal(values[1].text, "Ada", 3);
    assert_int_equal(values[2].state, VALUE_NULL);
    assert_int_equal(values[3].state, VALUE_ABSENT);
    assert_string_equal(values[4].text, "{\"a\":1}");
    masker_free(masker);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_does_not_cover_the_mapping_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_undeclared_column_is_null, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
