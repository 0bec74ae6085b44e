/* The parents' cache, without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "sinks/postgres/parents/parents.h"
#include "sinks/postgres/session/session.h"

enum { ORDERS, OFFICES }; /* places */

static struct value uuid_value(char *text, unsigned number)
{
    snprintf(text, 37, "%08x-0000-5000-8000-%012x", number * 2654435761u, number);
    return (struct value){.text = text, .len = 36, .state = VALUE_TEXT};
}

/* Asked without a connection: what the cache does not know would crash, so only known ones are asked. */
static bool known(struct parents *parents, size_t place, unsigned number)
{
    char text[37];
    struct value value = uuid_value(text, number);
    return parents_knows(parents, place, &value);
}

static void written(struct parents *parents, size_t place, unsigned number)
{
    char text[37];
    struct value value = uuid_value(text, number);
    parents_written(parents, place, &value);
}

static void deleted(struct parents *parents, size_t place, unsigned number)
{
    char text[37];
    struct value value = uuid_value(text, number);
    parents_deleted(parents, place, &value);
}

static void knows_what_was_written_for_that_place_only(void **state)
{
    (void)state;
    struct parents *parents = parents_new(100);
    written(parents, ORDERS, 1);
    assert_true(known(parents, ORDERS, 1));
    assert_false(known(parents, OFFICES, 1));
    assert_false(known(parents, ORDERS, 2));
    parents_free(parents);
}

static void a_deleted_one_is_forgotten_and_its_neighbours_are_not(void **state)
{
    (void)state;
    struct parents *parents = parents_new(2000);
    for (unsigned i = 0; i < 2000; i++)
        written(parents, ORDERS, i);
    for (unsigned i = 0; i < 2000; i += 3)
        deleted(parents, ORDERS, i);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(known(parents, ORDERS, i), i % 3 != 0);
    deleted(parents, ORDERS, 0); /* twice is no matter */
    parents_free(parents);
}

static void is_bounded_and_never_lies_when_full(void **state)
{
    (void)state;
    struct parents *parents = parents_new(64);
    for (unsigned i = 0; i < 10000; i++) {
        written(parents, ORDERS, i);
        assert_true(known(parents, ORDERS, i));
    }
    assert_false(known(parents, ORDERS, 20000));
    parents_free(parents);
}

static void forgets_all_on_rollback(void **state)
{
    (void)state;
    struct parents *parents = parents_new(64);
    written(parents, ORDERS, 1);
    parents_forget(parents);
    assert_false(known(parents, ORDERS, 1));
    parents_free(parents);
}

static void what_is_no_uuid_is_not_remembered(void **state)
{
    (void)state;
    struct parents *parents = parents_new(64);
    struct value value = {.text = "42", .len = 2, .state = VALUE_TEXT}, null = {.state = VALUE_NULL};
    parents_written(parents, ORDERS, &value);
    parents_written(parents, ORDERS, &null);
    assert_false(parents_knows(parents, ORDERS, &value));
    assert_false(parents_knows(parents, ORDERS, &null));
    parents_free(parents);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_what_was_written_for_that_place_only),
        cmocka_unit_test(a_deleted_one_is_forgotten_and_its_neighbours_are_not),
        cmocka_unit_test(is_bounded_and_never_lies_when_full),
        cmocka_unit_test(forgets_all_on_rollback),
        cmocka_unit_test(what_is_no_uuid_is_not_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
