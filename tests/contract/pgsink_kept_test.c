/* Target rows that stay when their source rows go, beside living ones that wait for their parents: what tells them
 * apart is the source's key in the target row, a text here. No foreign key says anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/contract/world.h"

static const char schemas[] =
    "DROP SCHEMA IF EXISTS pgrekey, pgrekey_mirror, legacy, app CASCADE;"
    "CREATE SCHEMA legacy; CREATE SCHEMA app; CREATE SCHEMA pgrekey_mirror;"
    "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" SCHEMA public;"
    "CREATE TABLE legacy.office (id integer PRIMARY KEY);"
    "CREATE TABLE legacy.desk (id text, part integer, office_id integer, PRIMARY KEY (id, part));"
    "CREATE TABLE app.offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE);"
    "CREATE TABLE app.desks (id uuid PRIMARY KEY, legacy_id character varying(20), part integer, office_id uuid, state "
    "text);";

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id}}\n"
    "- {name: desks, from: desk, to: desks, key: {id: {uuid: desk, of: [id, part]}}, delete: {set: {state: gone}},\n"
    "   columns: {legacy_id: id, part: part, state: {const: live},\n"
    "             office_id: {uuid: office, of: office_id, required: true}}}\n";

static const struct world_shape shape = {.schemas = schemas, .mapping = mapping};

#define DESKS "SELECT to_json(d.legacy_id), d.state FROM app.desks d ORDER BY d.legacy_id COLLATE \"C\""
#define WAITING "SELECT key FROM pgrekey.quarantine WHERE status <> 'resolved' ORDER BY key COLLATE \"C\""

/* Every desk's key needs some care in JSON; those of part 2 go, and are kept. */
static int setup(void **state)
{
    static const char *const desks[] = {"E'a\\bell', 1, 1", "E'b\\form', 2, 1", "'c\"quoted\"', 1, 1",
                                        "E'd\\\\b', 1, 1",  "E'e\\t|', 2, 1",   "'f\xc3\xbc', 1, 1",
                                        "E'g\x01', 1, 1",   "'h', 1, 2"};

    if (world_setup_as(state, &shape))
        return -1;
    struct world *w = *state;
    world_insert(w, "office", "1");
    world_insert(w, "office", "2");
    for (size_t i = 0; i < sizeof(desks) / sizeof(*desks); i++)
        world_insert(w, "desk", desks[i]);
    world_apply(w);
    world_delete(w, "desk", "part = 2");
    world_apply(w);
    assert_world(w, "SELECT count(*), count(*) FILTER (WHERE state = 'gone') FROM app.desks", "8|2");
    return 0;
}

static int teardown(void **state)
{
    world_assert_equation(*state);
    return world_teardown(state);
}

static void living_rows_wait_and_kept_ones_stay(void **state)
{
    struct world *w = *state;
    world_delete(w, "office", "id = 1");
    world_apply(w);
    assert_world(w, DESKS, "\"b\\form\"|gone\n\"e\\t|\"|gone\n\"h\"|live");
    assert_world(w, WAITING,
                 "[\"a\\bell\",\"1\"]\n[\"c\\\"quoted\\\"\",\"1\"]\n[\"d\\\\b\",\"1\"]\n"
                 "[\"f\xc3\xbc\",\"1\"]\n[\"g\\u0001\",\"1\"]");
    assert_account(w, "desks", "1|5|0|0");
    world_delete(w, "desk", "id = E'a\\bell'"); /* one that waits goes */
    world_insert(w, "office", "1");
    world_apply(w);
    assert_world(w, WAITING, "");
    assert_world(w, "SELECT count(*), count(*) FILTER (WHERE state = 'gone') FROM app.desks", "7|2");
    assert_account(w, "desks", "5|0|0|0");
}

static void a_kept_row_lives_again_and_waits(void **state)
{
    struct world *w = *state;
    world_insert(w, "desk", "E'b\\form', 2, 1");
    world_apply(w);
    world_delete(w, "office", "id = 1");
    world_apply(w);
    assert_world(w, DESKS, "\"e\\t|\"|gone\n\"h\"|live");
    assert_account(w, "desks", "1|6|0|0");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(living_rows_wait_and_kept_ones_stay),
        test(a_kept_row_lives_again_and_waits),
    };
    if (!world_conninfo())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
