/* A target that held rows before, under ids of their own: what the sink makes of them, on every road that a row takes.
 * Any road at random: pgsink_random_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "tests/contract/world.h"

static void insert_offices(struct world *w)
{
    world_insert(w, "offices", "1, 'a'");
    world_insert(w, "offices", "2, 'b'");
    world_insert(w, "offices", "3, 'c'");
    world_apply(w);
}

#define NAMED(table, entity)                                                                                           \
    "SELECT count(*) FROM app." table " WHERE legacy_id IS NOT NULL AND id <> pgrekey.id('" entity "', legacy_id)"

/* Every row bears the id that SQL gives its key. */
static void assert_named(struct world *w)
{
    assert_world(w, NAMED("offices", "office"), "0");
    assert_world(w, NAMED("users", "user"), "0");
    assert_world(w, NAMED("orders", "order"), "0");
}

static void a_row_keeps_its_id_and_what_is_not_the_mappings(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_insert(w, "users", "1, 'm1', 'n1', 1, NULL, 'bio'"); /* quick: the batch has one row */
    world_apply(w);
    assert_world(w,
                 "SELECT u.email, u.bio, u.born_as, u.app_note, o.name FROM app.users u JOIN app.offices o"
                 " ON o.id = u.office_id WHERE u.legacy_id = 1",
                 "m1|bio|stood|theirs|a");
    world_update(w, "users", "id = 1", "email = 'm2', office_id = 2", "bio");
    world_apply(w);
    assert_world(w,
                 "SELECT u.email, u.bio, o.name FROM app.users u JOIN app.offices o ON o.id = u.office_id"
                 " WHERE u.legacy_id = 1",
                 "m2|bio|b");
    assert_account(w, "users", "1|0|0|0");
    world_delete(w, "users", "id = 1");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.users WHERE legacy_id = 1", "0");
    world_insert(w, "users", "1, 'm1', 'n1', 1, NULL, 'again'");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.users WHERE legacy_id = 1 AND born_as = 'm1'", "1");
    assert_named(w);
}

static void a_batch_of_many_is_translated(void **state)
{
    struct world *w = *state;
    char values[64];

    insert_offices(w);
    for (int i = 1; i <= 100; i++) {
        snprintf(values, sizeof(values), "%d, 'm%d', NULL, %d, %d, 'b'", i, i, 1 + i % 3, i > 1 ? i - 1 : 1);
        world_insert(w, "users", values);
    }
    world_apply(w);
    assert_named(w);
    assert_account(w, "users", "100|0|0|0");
    assert_world(w,
                 "SELECT count(*), count(b.id) FROM app.users u JOIN app.users b ON b.id = u.boss_id"
                 " WHERE b.legacy_id = greatest(u.legacy_id - 1, 1)",
                 "100|100");
    world_update(w, "users", "true", "email = 'n' || id", "bio");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.users WHERE email = 'n' || legacy_id AND bio = 'b'", "100");
}

/* The target row of the new key stands, and holds nothing of the source's. */
static void a_key_that_changes_to_that_of_a_row_that_stood_takes_its_place(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_insert(w, "users", "9, 'm9', NULL, 1, NULL, 'bio'");
    world_insert(w, "orders", "9, 9, 1, 'paid', 'n'");
    world_apply(w);
    world_begin(w);
    world_update(w, "users", "id = 9", "id = 4", "bio");
    world_update(w, "orders", "id = 9", "user_id = 4", "note");
    world_apply(w);
    assert_named(w);
    assert_world(w,
                 "SELECT u.legacy_id, u.bio, d.legacy_id FROM app.users u JOIN app.orders d ON d.user_id = u.id"
                 " WHERE u.email = 'm9'",
                 "4|bio|9");
    assert_account(w, "users", "1|0|0|0");
    world_update(w, "orders", "id = 9", "id = 3", "note");
    world_apply(w);
    assert_world(w, "SELECT legacy_id, note FROM app.orders WHERE legacy_id IN (3, 9)", "3|n");
    assert_named(w);
}

static void an_excluded_row_leaves_what_stands_and_takes_it_up_later(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_insert(w, "users", "1, 'm1', NULL, 1, NULL, NULL");
    world_insert(w, "orders", "5, 1, 2, 'draft', 'n'");
    world_apply(w);
    assert_account(w, "orders", "0|0|1|0");
    assert_world(w, "SELECT total, note FROM app.orders WHERE legacy_id = 5", "7|theirs");
    world_update(w, "orders", "id = 5", "total = 3", "note");
    world_apply(w);
    assert_world(w, "SELECT total, note FROM app.orders WHERE legacy_id = 5", "7|theirs");
    world_update(w, "orders", "id = 5", "status = 'paid'", "note");
    world_apply(w);
    assert_account(w, "orders", "1|0|0|0");
    assert_world(w, "SELECT total, note FROM app.orders WHERE legacy_id = 5", "3|n");
    world_insert(w, "orders", "30, 1, 2, 'draft', 'n'");
    world_apply(w);
    world_update(w, "orders", "id = 30", "id = 8", NULL);
    world_apply(w);
    assert_world(w, "SELECT key FROM pgrekey.gone", "[\"8\"]");
    world_update(w, "orders", "id = 8", "total = 9", NULL);
    world_apply(w);
    assert_world(w, "SELECT total, note FROM app.orders WHERE legacy_id = 8", "7|theirs");
    assert_account(w, "orders", "1|0|1|0");
    world_update(w, "orders", "id = 8", "id = 31", NULL);
    world_apply(w);
    assert_account(w, "orders", "1|0|1|0");
    assert_named(w);
}

static void a_child_waits_for_the_adopted_id_of_its_parent(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_insert(w, "users", "2, 'm2', NULL, 1, NULL, NULL");
    world_apply(w);
    world_delete(w, "users", "id = 2");
    world_apply(w);
    world_insert(w, "orders", "1, 2, 1, 'paid', 'n'");
    world_insert(w, "orders", "20, 2, 1, 'paid', 'n'");
    world_apply(w);
    assert_world(w,
                 "SELECT count(*) FROM pgrekey.quarantine WHERE waits_id = pgrekey.id('user', 2)::text"
                 " AND status = 'pending'",
                 "2");
    assert_account(w, "orders", "0|2|0|0");
    world_insert(w, "users", "2, 'm2', NULL, 1, NULL, NULL");
    world_apply(w);
    assert_account(w, "orders", "2|0|0|0");
    assert_world(w, "SELECT count(*) FROM app.orders d JOIN app.users u ON u.id = d.user_id WHERE u.legacy_id = 2",
                 "2");
    assert_named(w);
}

static void a_row_in_quarantine_is_tried_again_under_its_id(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_insert(w, "users", "1, 'm1', NULL, 1, NULL, NULL");
    world_insert(w, "orders", "2, 1, -1, 'paid', 'n'"); /* refused by a check */
    world_apply(w);
    assert_account(w, "orders", "0|1|0|0");
    assert_world(w, "SELECT total, note FROM app.orders WHERE legacy_id = 2", "7|theirs");
    world_run(w, "ALTER TABLE app.orders DROP CONSTRAINT orders_total_check;"
                 "INSERT INTO pgrekey.request (pipeline, kind) VALUES ('contract', 'quarantine_retry')");
    world_tick(w);
    assert_account(w, "orders", "1|0|0|0");
    assert_world(w, "SELECT total, note FROM app.orders WHERE legacy_id = 2", "-1|n");
    assert_named(w);
}

/* Neither a TRUNCATE nor a deleted parent touches rows that no source row has come for. */
static void what_is_not_the_sources_stays(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_run(w, "UPDATE app.users SET office_id = pgrekey.id('office', 1) WHERE legacy_id IN (50, 51)");
    world_insert(w, "users", "1, 'm1', NULL, 2, NULL, NULL");
    world_insert(w, "users", "10, 'm10', NULL, 1, NULL, NULL");
    world_apply(w);
    world_delete(w, "offices", "id = 1");
    world_apply(w);
    assert_account(w, "offices", "2|0|0|1");
    assert_world(w, "SELECT count(*) FROM app.users WHERE legacy_id IN (50, 51)", "2");
    world_truncate(w, "users");
    world_apply(w);
    assert_world(w, "SELECT string_agg(legacy_id::text, ' ' ORDER BY legacy_id), count(*) FROM app.users",
                 "2 3 4 5 6 50 51|8");
    assert_account(w, "users", "0|0|0|0");
    world_insert(w, "users", "1, 'm1', NULL, 2, NULL, NULL");
    world_insert(w, "users", "2, 'm2', NULL, 2, NULL, NULL");
    world_apply(w);
    assert_account(w, "users", "2|0|0|0");
    assert_named(w);
}

static void a_restart_changes_nothing(void **state)
{
    struct world *w = *state;

    insert_offices(w);
    world_insert(w, "users", "1, 'm1', NULL, 1, NULL, NULL");
    world_apply(w);
    world_reopen(w);
    world_insert(w, "users", "2, 'm2', NULL, 2, 1, NULL");
    world_delete(w, "users", "id = 1");
    world_insert(w, "users", "1, 'm1', NULL, 1, NULL, NULL");
    world_apply(w);
    world_reopen(w);
    world_update(w, "users", "id = 2", "boss_id = 1", NULL);
    world_apply(w);
    assert_account(w, "users", "2|0|0|0");
    assert_world(w, "SELECT count(*) FROM app.users u JOIN app.users b ON b.id = u.boss_id WHERE b.legacy_id = 1", "1");
    assert_world(w, "SELECT count(*) FROM pgrekey.audit WHERE action LIKE 'adopt%'", "3");
    assert_named(w);
}

#define promise(name) cmocka_unit_test_setup_teardown(name, world_setup_adopting, world_teardown)

/* An argument picks promises by name. */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        promise(a_row_keeps_its_id_and_what_is_not_the_mappings),
        promise(a_batch_of_many_is_translated),
        promise(a_key_that_changes_to_that_of_a_row_that_stood_takes_its_place),
        promise(an_excluded_row_leaves_what_stands_and_takes_it_up_later),
        promise(a_child_waits_for_the_adopted_id_of_its_parent),
        promise(a_row_in_quarantine_is_tried_again_under_its_id),
        promise(what_is_not_the_sources_stays),
        promise(a_restart_changes_nothing),
    };
    if (!world_conninfo()) {
        fprintf(stderr, "SKIPPED: the contract suite needs a server; set PGREKEY_TEST_TARGET to the connection of an "
                        "empty database\n");
        return 77;
    }
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
