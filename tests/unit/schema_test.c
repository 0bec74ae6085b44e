/* The text of the engine's schema. That a server takes it is the integration tests' to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "sinks/postgres/state/schema.h"

static void tables_may_be_made_twice(void **state)
{
    (void)state;
    struct buf sql;
    buf_init(&sql, (size_t)1 << 20);
    schema_put_tables(&sql);
    for (const char *at = buf_text(&sql); (at = strstr(at, "\nCREATE ")); at++)
        assert_true(strncmp(at + 1, "CREATE OR REPLACE ", 18) == 0 ||
                    (strstr(at, "IF NOT EXISTS") && strstr(at, "IF NOT EXISTS") - at < 32));
    assert_false(buf_overflowed(&sql));
    buf_done(&sql);
}

static void names_are_quoted(void **state)
{
    (void)state;
    static const char *const TABLES[] = {"Odd \"schema\"", "t'able"};
    struct buf sql;
    buf_init(&sql, (size_t)1 << 20);
    schema_put_roles(&sql,
                     &(struct schema_options){.role = "o'role", .target_tables = TABLES, .target_table_count = 1});
    assert_non_null(strstr(buf_text(&sql), "'o''role'"));
    assert_non_null(strstr(buf_text(&sql), "ON \"Odd \"\"schema\"\"\".\"t'able\" TO \"o'role\""));
    buf_done(&sql);
}

static void without_a_role_nobody_is_made_or_granted(void **state)
{
    (void)state;
    struct buf sql;
    buf_init(&sql, (size_t)1 << 20);
    schema_put_roles(&sql, &(struct schema_options){.role = NULL});
    assert_null(strstr(buf_text(&sql), "CREATE ROLE"));
    assert_null(strstr(buf_text(&sql), "GRANT "));
    assert_non_null(strstr(buf_text(&sql), "REVOKE ALL ON SCHEMA pgrekey"));
    buf_done(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_may_be_made_twice),
        cmocka_unit_test(names_are_quoted),
        cmocka_unit_test(without_a_role_nobody_is_made_or_granted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
