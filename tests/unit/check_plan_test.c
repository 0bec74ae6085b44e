/* What a plan's text says of tables that are read whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/app/check/check_plan.h"
#include "tests/support/catalogs.h"

static const char FILE_TEXT[] = "mirrors: {jaw: {name: jaws_of_old}, note: {}}\n"
                                "rows: [{from: note, to: notes, key: {id: id}}]\n";

static const struct table_text source_tables[] = {
    {"public", "jaw", "id integer!; side text", .pk = "id"},
    {"public", "note", "id integer!", .pk = "id"},
    {.name = NULL},
};
static const struct table_text target_tables[] = {
    {"public", "notes", "id integer!; body text", .pk = "id"},
    {.name = NULL},
};

static int set_up(void **state)
{
    struct mapping *mapping = calloc(1, sizeof(*mapping));
    struct err err = {0};
    mapping->source = catalog_of(source_tables);
    mapping->target = catalog_of(target_tables);
    mapping->source->relations[0].estimated_rows = 50000;
    mapping->source->relations[1].estimated_rows = CHECK_PLAN_LARGE - 1;
    mapping->target->relations[0].estimated_rows = CHECK_PLAN_LARGE;
    *state = mapping;
    if (map_load_memory("m.yaml", FILE_TEXT, sizeof(FILE_TEXT) - 1, &mapping->map, &mapping->issues, &err) < 0 ||
        map_bind(mapping->map, mapping->source, mapping->target, &mapping->issues, &err) < 0) {
        map_issues_print(&mapping->issues, "m.yaml", stderr);
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    mapping_done(*state);
    free(*state);
    return 0;
}

#define SCAN(type, table, alias, more)                                                                                 \
    "{\n  \"Node Type\": \"" type "\",\n  \"Relation Name\": \"" table                                                 \
    "\",\n  \"Schema\": \"s\",\n  \"Alias\": \"" alias "\"" more "\n}"
#define JOIN(more, inner)                                                                                              \
    "[\n {\n  \"Plan\": {\n   \"Node Type\": \"Hash Join\",\n   \"Output\": [\"j.id\", \"j.secret\"],\n   " more       \
    "\n   \"Plans\": [\n" inner "]\n}\n}\n]"

/* The only warning, or "". */
static const char *said(struct mapping *mapping, const char *plan, const char *what)
{
    size_t before = mapping->issues.count;
    check_plan(plan, mapping, 7, "jaws", what);
    if (mapping->issues.count == before)
        return "";
    assert_int_equal(mapping->issues.count, before + 1);
    assert_true(mapping->issues.items[before].warning);
    assert_int_equal(mapping->issues.items[before].line, 7);
    return mapping->issues.items[before].message;
}

static void a_large_table_read_whole_is_named_with_the_columns_that_an_index_lacks(void **state)
{
    assert_string_equal(
        said(*state,
             JOIN("\"Hash Cond\": \"((j.side = t.side) AND (jj.id = j.kind) AND (j.side > 'j.x'::text))\",",
                  SCAN("Seq Scan", "jaws_of_old", "j", ",\n  \"Filter\": \"(j.id > 0)\"")),
             "the query of keys"),
        "jaws: for a few keys the query of keys reads all of \"jaws_of_old\" (about 50000 rows); an index is missing, "
        "or "
        "cannot be used, on \"side\", \"kind\", \"id\" (\"index:\" of the mirror)");
    assert_string_equal(
        said(*state, JOIN("", SCAN("Index Only Scan", "notes", "notes", "")), "the query"),
        "jaws: for a few keys the query reads all of \"notes\" (about 10000 rows); it should start from keys");
}

static void what_is_small_or_found_by_an_index_is_not(void **state)
{
    assert_string_equal(said(*state, SCAN("Seq Scan", "note", "note", ""), "the query"), "");
    assert_string_equal(
        said(*state, SCAN("Index Scan", "notes", "n", ",\n  \"Index Cond\": \"(n.id = k.id)\""), "the query"), "");
    assert_string_equal(said(*state, SCAN("Bitmap Heap Scan", "notes", "n", ""), "the query"), "");
    assert_string_equal(said(*state, SCAN("Seq Scan", "unknown", "n", ""), "the query"), "");
    assert_string_equal(said(*state, "", "the query"), "");
    assert_string_equal(
        said(*state, "\"Node Type\": \n\"Node Type\": \"Seq Scan\n\"Relation Name\": \"notes", "the query"), "");
}

static void the_last_and_the_first_node_are_both_looked_at(void **state)
{
    struct mapping *mapping = *state;
    size_t before = mapping->issues.count;
    check_plan(SCAN("Seq Scan", "notes", "n", "") SCAN("Seq Scan", "note", "m", "")
                   SCAN("Seq Scan", "jaws_of_old", "j", ""),
               mapping, 1, "jaws", "the query");
    assert_int_equal(mapping->issues.count, before + 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_large_table_read_whole_is_named_with_the_columns_that_an_index_lacks),
        TEST(what_is_small_or_found_by_an_index_is_not),
        TEST(the_last_and_the_first_node_are_both_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
