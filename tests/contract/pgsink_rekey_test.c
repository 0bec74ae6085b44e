/* Source rows whose key changes while derived rows refer to them, by the mapping alone: no foreign key says anything.
 */
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
    "CREATE TABLE legacy.office (id integer PRIMARY KEY, name text NOT NULL);"
    "CREATE TABLE legacy.person (id integer PRIMARY KEY, name text NOT NULL);"
    "CREATE TABLE legacy.member (id integer PRIMARY KEY, person_id integer, office_id integer);"
    "CREATE TABLE app.offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text NOT NULL);"
    "CREATE TABLE app.people (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text CHECK (name <> 'bad'),"
    " app_note text);"
    "CREATE TABLE app.people_offices (person_id uuid, office_id uuid, members integer, PRIMARY KEY (person_id, "
    "office_id));"
    "CREATE TABLE app.members (id uuid PRIMARY KEY, legacy_id integer, person_id uuid, office_id uuid);";

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}},\n"
    "   columns: {legacy_id: id, name: name}}\n"
    "- {name: people, from: person, to: people, key: {id: {uuid: person, of: id}},\n"
    "   columns: {legacy_id: id, name: name}}\n"
    "mirrors: {member: {index: [person_id, office_id]}}\n"
    "derive:\n"
    "- name: pairs\n"
    "  to: people_offices\n"
    "  key: {person_id: {uuid: person, of: person_id}, office_id: {uuid: office, of: office_id}}\n"
    "  columns: [members]\n"
    "  touched: {member: \"select person_id, office_id from touched\"}\n"
    "  query: select person_id, office_id, count(*)::int members from keys join member using (person_id, office_id)\n"
    "    group by 1, 2\n"
    "  gone: delete\n"
    "- name: members\n"
    "  to: members\n"
    "  key: {id: {uuid: member, of: member_id}}\n"
    "  columns: [legacy_id, person_id, office_id]\n"
    "  references: {person_id: {uuid: person, required: false}, office_id: {uuid: office, required: true}}\n"
    "  touched: {member: select id from touched}\n"
    "  query: select m.id member_id, m.id legacy_id, pgrekey.id('person', m.person_id) person_id,\n"
    "    pgrekey.id('office', m.office_id) office_id from keys k join member m on m.id = k.member_id\n"
    "  gone: delete\n";

static const struct world_shape shape = {.schemas = schemas, .mapping = mapping};

#define PAIRS                                                                                                          \
    "SELECT p.legacy_id, o.legacy_id, members FROM app.people_offices LEFT JOIN app.people p ON p.id = person_id "     \
    "LEFT "                                                                                                            \
    "JOIN app.offices o ON o.id = office_id ORDER BY 1, 2"
#define MEMBERS                                                                                                        \
    "SELECT m.legacy_id, p.legacy_id, o.legacy_id, m.person_id IS NULL FROM app.members m LEFT JOIN app.people p ON "  \
    "p.id = person_id LEFT JOIN app.offices o ON o.id = office_id ORDER BY 1"
#define ENTRIES                                                                                                        \
    "SELECT rule, key, category FROM pgrekey.quarantine WHERE status NOT IN ('resolved', 'discarded') AND rule <> "    \
    "'people' ORDER BY 1, 2"

/* Ann in two offices, Bob in one. */
static int setup(void **state)
{
    if (world_setup_as(state, &shape))
        return -1;
    struct world *w = *state;
    world_insert(w, "office", "1, 'North'");
    world_insert(w, "office", "2, 'South'");
    world_insert(w, "person", "1, 'Ann'");
    world_insert(w, "person", "2, 'Bob'");
    world_insert(w, "member", "1, 1, 1");
    world_insert(w, "member", "2, 1, 2");
    world_insert(w, "member", "3, 2, 1");
    world_apply(w);
    assert_world(w, PAIRS, "1|1|1\n1|2|1\n2|1|1");
    assert_world(w, MEMBERS, "1|1|1|f\n2|1|2|f\n3|2|1|f");
    world_run(w, "UPDATE app.people SET app_note = 'theirs'");
    return 0;
}

static int teardown(void **state)
{
    world_assert_equation(*state);
    return world_teardown(state);
}

/* A row that the target refuses sends the whole chunk to row mode. */
static void apply(struct world *w, bool row_by_row)
{
    if (row_by_row)
        world_insert(w, "person", "666, 'bad'");
    world_apply(w);
    if (!row_by_row)
        return;
    assert_world(w, "SELECT count(*) FROM pgrekey.quarantine WHERE key = '[\"666\"]' AND status <> 'resolved'", "1");
    world_delete(w, "person", "id = 666");
    world_apply(w);
}

static void rekey(struct world *w, bool row_by_row)
{
    world_update(w, "person", "id = 1", "id = 5", NULL);
    apply(w, row_by_row);
    assert_world(w, PAIRS, "2|1|1");
    assert_world(w, MEMBERS, "1|\\N|1|t\n2|\\N|2|t\n3|2|1|f");
    assert_world(w, ENTRIES, "pairs|[\"1\",\"1\"]|orphan_reference\npairs|[\"1\",\"2\"]|orphan_reference");
    world_update(w, "person", "id = 5", "id = 1", NULL);
    apply(w, row_by_row);
    assert_world(w, PAIRS, "1|1|1\n1|2|1\n2|1|1");
    assert_world(w, MEMBERS, "1|1|1|f\n2|1|2|f\n3|2|1|f");
    assert_world(w, ENTRIES, "");
}

static void derived_rows_wait_for_a_key_that_became_another(void **state)
{
    rekey(*state, false);
}

static void derived_rows_wait_for_a_key_that_became_another_row_by_row(void **state)
{
    struct world *w = *state;
    rekey(w, true);
    assert_world(w, "SELECT legacy_id, app_note FROM app.people ORDER BY 1", "1|theirs\n2|theirs");
}

static void derived_rows_follow_a_key_that_takes_them_along(void **state)
{
    struct world *w = *state;
    for (int row_by_row = 0; row_by_row < 2; row_by_row++) {
        world_begin(w);
        world_update(w, "person", "id = 1", "id = 5", NULL);
        world_update(w, "member", "person_id = 1", "person_id = 5", NULL);
        assert_true(world_commit(w));
        apply(w, row_by_row);
        assert_world(w, PAIRS, "2|1|1\n5|1|1\n5|2|1");
        assert_world(w, MEMBERS, "1|5|1|f\n2|5|2|f\n3|2|1|f");
        assert_world(w, ENTRIES, "");
        world_begin(w);
        world_update(w, "member", "person_id = 5", "person_id = 1", NULL);
        world_update(w, "person", "id = 5", "id = 1", NULL);
        assert_true(world_commit(w));
        world_apply(w);
        assert_world(w, PAIRS, "1|1|1\n1|2|1\n2|1|1");
    }
}

/* The row goes aside under its new key, and its old row goes. */
static void derived_rows_wait_where_the_row_with_the_new_key_is_refused(void **state)
{
    struct world *w = *state;
    world_update(w, "person", "id = 1", "id = 5, name = 'bad'", NULL);
    world_apply(w);
    assert_world(w, PAIRS, "2|1|1");
    assert_world(w, MEMBERS, "1|\\N|1|t\n2|\\N|2|t\n3|2|1|f");
    assert_world(w, ENTRIES, "pairs|[\"1\",\"1\"]|orphan_reference\npairs|[\"1\",\"2\"]|orphan_reference");
    world_update(w, "person", "id = 5", "id = 1, name = 'Ann'", NULL);
    world_apply(w);
    assert_world(w, PAIRS, "1|1|1\n1|2|1\n2|1|1");
    assert_world(w, MEMBERS, "1|1|1|f\n2|1|2|f\n3|2|1|f");
    assert_world(w, ENTRIES, "");
}

/* A required reference that is no key: the derived row is not there meanwhile. */
static void a_derived_row_waits_for_its_own_parent(void **state)
{
    struct world *w = *state;
    for (int row_by_row = 0; row_by_row < 2; row_by_row++) {
        world_update(w, "office", "id = 1", "id = 7", NULL);
        apply(w, row_by_row);
        assert_world(w, PAIRS, "1|2|1");
        assert_world(w, MEMBERS, "2|1|2|f");
        world_update(w, "office", "id = 7", "id = 1", NULL);
        apply(w, row_by_row);
        assert_world(w, PAIRS, "1|1|1\n1|2|1\n2|1|1");
        assert_world(w, MEMBERS, "1|1|1|f\n2|1|2|f\n3|2|1|f");
        assert_world(w, ENTRIES, "");
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(derived_rows_wait_for_a_key_that_became_another),
        test(derived_rows_wait_for_a_key_that_became_another_row_by_row),
        test(derived_rows_follow_a_key_that_takes_them_along),
        test(derived_rows_wait_where_the_row_with_the_new_key_is_refused),
        test(a_derived_row_waits_for_its_own_parent),
    };
    if (!world_conninfo())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
