/* The texts that make mirrors. That a server takes them is the integration tests' to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sinks/postgres/mirror/mirror_ddl.h"

/* Fields of a relation are not const, but nothing here writes them. */
static char id[] = "id", name[] = "Last \"name\"", integer[] = "integer", length[] = "character varying(20)",
            text[] = "text", schema[] = "side", table[] = "office";
static uint16_t first[] = {0}, second[] = {1};

static struct column columns[] = {
    {.name = id, .type = integer, .base_type = integer, .not_null = true},
    {.name = name, .type = length, .base_type = text, .not_null = true},
};
static const struct relation RELATION = {
    .schema = schema, .name = table, .kind = 'r', .column_count = 2, .columns = columns, .pk_count = 1, .pk = first};
static const struct rule_column RULE_COLUMNS[] = {{.name = "id", .key = true}, {.name = "Last \"name\""}};
static const struct rule RULE = {
    .to_schema = "side", .to_table = "office", .column_count = 2, .columns = RULE_COLUMNS, .mirror = true};

static void a_table_has_its_key_and_nothing_else_is_required(void **state)
{
    (void)state;
    struct buf sql;
    buf_init(&sql, 4096);
    mirror_put_table(&sql, &RULE, &RELATION);
    assert_string_equal(buf_text(&sql), "CREATE TABLE \"side\".\"office\" (\"id\" integer, "
                                        "\"Last \"\"name\"\"\" character varying(20), PRIMARY KEY (\"id\"))");
    buf_done(&sql);
}

static void an_index_is_named_by_table_and_columns(void **state)
{
    (void)state;
    static const struct rule OTHER = {.to_schema = "side", .to_table = "person"};
    char names[4][MIRROR_NAME_MAX];
    struct buf sql;
    mirror_index_name(&RULE, "a,b", names[0]);
    mirror_index_name(&OTHER, "a,b", names[1]);
    mirror_index_name(&RULE, "a_b", names[2]);
    assert_memory_equal(names[0], "pgrekey_a_b_", 12);
    assert_string_not_equal(names[0], names[1]);
    assert_string_not_equal(names[0], names[2]);
    /* too long: whole characters, and still one name for one list */
    mirror_index_name(&RULE, "ääääääääääääääääääääääääääääääääääääääääääääää,x", names[3]);
    assert_true(strlen(names[3]) < MIRROR_NAME_MAX && strlen(names[3]) > 56);
    assert_non_null(strstr(names[3], "ä_"));
    buf_init(&sql, 4096);
    mirror_put_index(&sql, &RULE, "a,\"b");
    assert_non_null(strstr(buf_text(&sql), " ON \"side\".\"office\" (\"a\", \"\"\"b\")"));
    buf_done(&sql);
}

static void a_view_stays_one_statement(void **state)
{
    (void)state;
    static const struct mirror_view VIEW = {.name = "v", .query = "select 1 -- one"};
    struct buf sql;
    buf_init(&sql, 4096);
    mirror_put_view(&sql, "side", &VIEW);
    assert_string_equal(buf_text(&sql), "CREATE VIEW \"side\".\"v\" AS (\nselect 1 -- one\n)");
    buf_done(&sql);
}

static void a_schema_is_closed_before_it_is_granted(void **state)
{
    (void)state;
    struct buf sql;
    buf_init(&sql, 1 << 16);
    mirror_put_schema(&sql, "si\"de", "o'role");
    const char *closed = strstr(buf_text(&sql), "REVOKE ALL ON SCHEMA \"si\"\"de\" FROM PUBLIC"),
               *granted = strstr(buf_text(&sql), "GRANT USAGE, CREATE ON SCHEMA \"si\"\"de\" TO \"o'role\"");
    assert_true(closed && granted && closed < granted);
    assert_non_null(strstr(buf_text(&sql), "CREATE SCHEMA IF NOT EXISTS"));
    buf_reset(&sql);
    mirror_put_schema(&sql, "side", NULL);
    assert_null(strstr(buf_text(&sql), "GRANT "));
    buf_done(&sql);
}

static void what_stands_there_is_compared(void **state)
{
    (void)state;
    const char *column;
    struct column wide[] = {columns[1], columns[0], {.name = text, .type = text}};
    struct relation found = RELATION;
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_SAME);
    found.columns = wide;
    found.pk = second;
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_SAME); /* in any order */
    found.column_count = 3;
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_WIDER);
    wide[0].type = text;
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_OTHER);
    assert_string_equal(column, "Last \"name\"");
    found = RELATION;
    found.column_count = 1;
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_OTHER);
    assert_string_equal(column, "Last \"name\"");
    found = RELATION;
    found.pk_count = 0;
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_OTHER);
    assert_null(column);
    found = RELATION;
    found.kind = 'v';
    assert_int_equal(mirror_compare(&RULE, &RELATION, &found, &column), MIRROR_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_its_key_and_nothing_else_is_required),
        cmocka_unit_test(an_index_is_named_by_table_and_columns),
        cmocka_unit_test(a_view_stays_one_statement),
        cmocka_unit_test(a_schema_is_closed_before_it_is_granted),
        cmocka_unit_test(what_stands_there_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
