/* Rows that refer to one another in circles: a team's lead is one of its own, and mentors have mentors. Foreign keys
 * are checked at once, so that somebody must always let go first, whichever way the rows take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/contract/world.h"

static const char schemas[] =
    "DROP SCHEMA IF EXISTS pgrekey, pgrekey_mirror, legacy, app CASCADE;"
    "CREATE SCHEMA legacy; CREATE SCHEMA app; CREATE SCHEMA pgrekey_mirror;"
    "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" SCHEMA public;"
    "CREATE TABLE legacy.office (id integer PRIMARY KEY);"
    "CREATE TABLE legacy.team (id integer PRIMARY KEY, office_id integer, lead_id integer);"
    "CREATE TABLE legacy.person (id integer PRIMARY KEY, team_id integer, mentor_id integer);"
    "CREATE TABLE app.offices (id uuid PRIMARY KEY, legacy_id integer UNIQUE CHECK (legacy_id <> 666));"
    "CREATE TABLE app.teams (id uuid PRIMARY KEY, legacy_id integer UNIQUE, office_id uuid NOT NULL REFERENCES "
    "app.offices, lead_id uuid);"
    "CREATE TABLE app.persons (id uuid PRIMARY KEY, legacy_id integer UNIQUE, team_id uuid NOT NULL REFERENCES "
    "app.teams, mentor_id uuid REFERENCES app.persons);"
    "ALTER TABLE app.teams ADD FOREIGN KEY (lead_id) REFERENCES app.persons;";

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id}}\n"
    "- {name: teams, from: team, to: teams, key: {id: {uuid: team, of: id}}, second_pass: lead_id,\n"
    "   columns: {legacy_id: id, office_id: {uuid: office, of: office_id}, lead_id: {uuid: person, of: lead_id}}}\n"
    "- {name: persons, from: person, to: persons, key: {id: {uuid: person, of: id}},\n"
    "   columns: {legacy_id: id, team_id: {uuid: team, of: team_id}, mentor_id: {uuid: person, of: mentor_id}}}\n";

static const struct world_shape shape = {.schemas = schemas, .mapping = mapping};

/* The same circle where the teams are derived. */
static const char derived_mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: offices, from: office, to: offices, key: {id: {uuid: office, of: id}}, columns: {legacy_id: id}}\n"
    "- {name: persons, from: person, to: persons, key: {id: {uuid: person, of: id}},\n"
    "   columns: {legacy_id: id, team_id: {uuid: team, of: team_id}, mentor_id: {uuid: person, of: mentor_id}}}\n"
    "mirrors: {team: {columns: [id, office_id, lead_id]}}\n"
    "derive:\n"
    "- name: teams\n"
    "  to: teams\n"
    "  key: {id: {uuid: team, of: team_id}}\n"
    "  columns: [legacy_id, office_id, lead_id]\n"
    "  references: {office_id: office, lead_id: {uuid: person, required: false}}\n"
    "  second_pass: lead_id\n"
    "  touched: {team: select id from touched}\n"
    "  query: select t.id as team_id, t.id as legacy_id, pgrekey.id('office', t.office_id) as office_id,\n"
    "    pgrekey.id('person', t.lead_id) as lead_id from keys k join team t on t.id = k.team_id\n"
    "  gone: delete\n";

static const struct world_shape derived_shape = {.schemas = schemas, .mapping = derived_mapping};

#define TEAMS "SELECT t.legacy_id, p.legacy_id FROM app.teams t LEFT JOIN app.persons p ON p.id = t.lead_id ORDER BY 1"
#define PERSONS                                                                                                        \
    "SELECT p.legacy_id, t.legacy_id, m.legacy_id FROM app.persons p LEFT JOIN app.teams t ON t.id = p.team_id LEFT "  \
    "JOIN app.persons m ON m.id = p.mentor_id ORDER BY 1"
#define OPEN "status NOT IN ('resolved', 'discarded')"
#define ENTRIES "SELECT rule, key, category, op FROM pgrekey.quarantine WHERE " OPEN " ORDER BY 1, 2"

/* Two teams of three, each led by one of its own. */
static int begin(void **state, const struct world_shape *of)
{
    if (world_setup_as(state, of))
        return -1;
    struct world *w = *state;
    world_insert(w, "office", "1");
    world_insert(w, "office", "2");
    for (int t = 1; t <= 2; t++) {
        char values[64];
        snprintf(values, sizeof(values), "%d, %d, %d", t, t, 10 * t);
        world_insert(w, "team", values);
        for (int p = 10 * t; p < 10 * t + 3; p++) {
            snprintf(values, sizeof(values), "%d, %d, %d", p, t, p == 10 * t ? 10 * t + 1 : 10 * t);
            world_insert(w, "person", values);
        }
    }
    world_apply(w);
    assert_world(w, TEAMS, "1|10\n2|20");
    assert_world(w, PERSONS, "10|1|11\n11|1|10\n12|1|10\n20|2|21\n21|2|20\n22|2|20");
    return 0;
}

static int setup(void **state)
{
    return begin(state, &shape);
}

static int setup_derived(void **state)
{
    return begin(state, &derived_shape);
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
        world_insert(w, "office", "666");
    world_apply(w);
    if (row_by_row) {
        assert_world(w, "SELECT count(*) FROM pgrekey.quarantine WHERE key = '[\"666\"]' AND " OPEN, "1");
        world_delete(w, "office", "id = 666");
        world_apply(w);
    }
}

static void a_team_goes_and_returns(struct world *w, bool row_by_row)
{
    world_delete(w, "team", "id = 1");
    apply(w, row_by_row);
    assert_world(w, TEAMS, "2|20");
    assert_world(w, PERSONS, "20|2|21\n21|2|20\n22|2|20");
    assert_world(w, ENTRIES,
                 "persons|[\"10\"]|orphan_reference|U\npersons|[\"11\"]|orphan_reference|U\n"
                 "persons|[\"12\"]|orphan_reference|U");
    assert_world(w, "SELECT count(*) FROM pgrekey.pending_reference WHERE rule = 'teams'", "0");
    world_insert(w, "team", "1, 1, 10");
    apply(w, row_by_row);
    assert_world(w, TEAMS, "1|10\n2|20");
    assert_world(w, PERSONS, "10|1|11\n11|1|10\n12|1|10\n20|2|21\n21|2|20\n22|2|20");
    assert_world(w, ENTRIES, "");
}

static void a_team_goes_whose_lead_is_one_of_its_own(void **state)
{
    a_team_goes_and_returns(*state, false);
}

static void a_team_goes_row_by_row_whose_lead_is_one_of_its_own(void **state)
{
    a_team_goes_and_returns(*state, true);
}

/* The team is not deleted: it leaves with its office, and its lead with it. */
static void an_office_goes_and_returns(struct world *w, bool row_by_row)
{
    world_delete(w, "office", "id = 1");
    apply(w, row_by_row);
    assert_world(w, TEAMS, "2|20");
    assert_world(w, "SELECT count(*) FROM app.persons", "3");
    world_insert(w, "office", "1");
    apply(w, row_by_row);
    assert_world(w, TEAMS, "1|10\n2|20");
    assert_world(w, PERSONS, "10|1|11\n11|1|10\n12|1|10\n20|2|21\n21|2|20\n22|2|20");
    assert_world(w, ENTRIES, "");
}

static void a_team_that_leaves_with_its_office_comes_back_with_its_lead(void **state)
{
    an_office_goes_and_returns(*state, false);
}

static void a_team_that_leaves_row_by_row_comes_back_with_its_lead(void **state)
{
    an_office_goes_and_returns(*state, true);
}

/* --- anything --- */

static int upto(int most)
{
    return rand() % most + 1;
}

static void put(struct world *w, const char *table, int id, const char *values, const char *set)
{
    char where[32];

    snprintf(where, sizeof(where), "id = %d", id);
    if (world_has(w, table, where))
        world_update(w, table, where, set, NULL);
    else
        world_insert(w, table, values);
}

static void any_change(struct world *w)
{
    int team = upto(5), person = upto(14), other = upto(14), office = upto(3);
    char values[64], set[64], where[32];

    switch (rand() % 8) {
    case 0:
    case 1:
        snprintf(values, sizeof(values), "%d, %d, %d", team, office, person);
        snprintf(set, sizeof(set), "lead_id = %d, office_id = %d", person, office);
        put(w, "team", team, values, set);
        break;
    case 2:
    case 3:
        snprintf(values, sizeof(values), "%d, %d, %d", person, team, other);
        snprintf(set, sizeof(set), "team_id = %d, mentor_id = %d", team, other);
        put(w, "person", person, values, set);
        break;
    case 4:
        snprintf(where, sizeof(where), "id = %d", team);
        world_delete(w, "team", where);
        break;
    case 5:
        snprintf(where, sizeof(where), "id = %d", person);
        world_delete(w, "person", where);
        break;
    case 6:
        snprintf(where, sizeof(where), "id = %d", office);
        snprintf(values, sizeof(values), "%d", office);
        if (world_has(w, "office", where))
            world_delete(w, "office", where);
        else
            world_insert(w, "office", values);
        break;
    default:
        if (rand() % 4 == 0 && !world_has(w, "office", "id = 666"))
            world_insert(w, "office", "666");
    }
}

/* A team stands where its office does, a person where the team does; other references where their row stands. */
static void assert_same(struct world *w, int round)
{
    static const char difference[] =
        "WITH teams AS (SELECT t.* FROM legacy.team t JOIN legacy.office o ON o.id = office_id AND o.id <> 666),"
        " persons AS (SELECT p.* FROM legacy.person p JOIN teams t ON t.id = team_id),"
        " wanted AS (SELECT 'team', t.id, p.id FROM teams t LEFT JOIN persons p ON p.id = lead_id UNION ALL"
        "   SELECT 'person', p.id, m.id FROM persons p LEFT JOIN persons m ON m.id = p.mentor_id),"
        " \"is\" AS (SELECT 'team', t.legacy_id, p.legacy_id FROM app.teams t LEFT JOIN app.persons p ON p.id = lead_id"
        "   UNION ALL SELECT 'person', p.legacy_id, m.legacy_id FROM app.persons p LEFT JOIN app.persons m ON m.id ="
        "   p.mentor_id)"
        " SELECT 'wanted', * FROM (TABLE wanted EXCEPT TABLE \"is\") a UNION ALL"
        " SELECT 'is', * FROM (TABLE \"is\" EXCEPT TABLE wanted) b";
    static const char others[] = "SELECT rule, key, category, op FROM pgrekey.quarantine WHERE " OPEN
                                 " AND (category <> 'orphan_reference' OR op = 'D') AND key <> '[\"666\"]'";

    if (*world_ask(w, difference))
        fail_msg("round %d: %s", round, world_ask(w, difference));
    if (*world_ask(w, others))
        fail_msg("round %d: %s", round, world_ask(w, others));
}

static void whatever_goes_in_a_circle_is_followed_exactly(void **state)
{
    struct world *w = *state;
    const char *seed = getenv("PGREKEY_TEST_SEED"), *count = getenv("PGREKEY_TEST_ROUNDS");

    srand(seed ? (unsigned)atoi(seed) : 1);
    for (int round = 0; round < (count ? atoi(count) : 60); round++) {
        for (int txn = upto(3); txn > 0; txn--) {
            world_begin(w);
            for (int n = upto(4); n > 0; n--)
                any_change(w);
            (void)world_commit(w);
        }
        world_apply(w);
        assert_same(w, round);
        world_assert_equation(w);
    }
}

static void a_derived_team_goes_with_its_office_and_comes_back_with_its_lead(void **state)
{
    an_office_goes_and_returns(*state, false);
    an_office_goes_and_returns(*state, true);
}

static void derived_rows_in_a_circle_are_followed_exactly(void **state)
{
    whatever_goes_in_a_circle_is_followed_exactly(state);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define derived(name) cmocka_unit_test_setup_teardown(name, setup_derived, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_team_goes_whose_lead_is_one_of_its_own),
        test(a_team_goes_row_by_row_whose_lead_is_one_of_its_own),
        test(a_team_that_leaves_with_its_office_comes_back_with_its_lead),
        test(a_team_that_leaves_row_by_row_comes_back_with_its_lead),
        test(whatever_goes_in_a_circle_is_followed_exactly),
        derived(a_derived_team_goes_with_its_office_and_comes_back_with_its_lead),
        derived(derived_rows_in_a_circle_are_followed_exactly),
    };
    if (!world_conninfo())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
