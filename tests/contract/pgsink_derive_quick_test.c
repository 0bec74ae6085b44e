/* Derivations that go along in the quick path, held against what the same queries give afresh: every small change goes
 * there, unless something about its keys is not plain, and then nothing tells which way it went. */
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
    "CREATE TABLE legacy.grp (id integer PRIMARY KEY, name text NOT NULL);"
    "CREATE TABLE legacy.item (id integer PRIMARY KEY, grp_id integer, amount integer NOT NULL, name text NOT NULL,"
    " note text);"
    "CREATE TABLE legacy.tag (id integer PRIMARY KEY, item_id integer);"
    "CREATE TABLE app.groups (id uuid PRIMARY KEY, legacy_id integer UNIQUE, name text NOT NULL, weight text);"
    "CREATE TABLE app.cards (id uuid PRIMARY KEY, legacy_id integer UNIQUE, label varchar(12) NOT NULL,"
    " price numeric(6,2) NOT NULL, group_id uuid REFERENCES app.groups, first_label text,"
    " app_note text DEFAULT 'theirs');"
    "CREATE TABLE app.tags (id uuid PRIMARY KEY, legacy_id integer UNIQUE, card_id uuid NOT NULL REFERENCES "
    "app.cards);"
    "CREATE TABLE app.totals (grp_id integer PRIMARY KEY, items integer NOT NULL, total numeric(8,1) NOT NULL);"
    "CREATE SEQUENCE app.writes;"
    "CREATE FUNCTION app.count_write() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM nextval('app.writes'); RETURN NULL; END $$;"
    "CREATE TRIGGER count_write AFTER INSERT OR UPDATE OR DELETE ON app.cards FOR EACH ROW EXECUTE FUNCTION "
    "app.count_write();"
    "CREATE TRIGGER count_write AFTER INSERT OR UPDATE OR DELETE ON app.totals FOR EACH ROW EXECUTE FUNCTION "
    "app.count_write();";

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "source_schema: legacy\n"
    "target_schema: app\n"
    "rows:\n"
    "- {name: groups, from: grp, to: groups, key: {id: {uuid: grp, of: id}}, columns: {legacy_id: id, name: name}}\n"
    "- {name: tags, from: tag, to: tags, key: {id: {uuid: tag, of: id}},\n"
    "   columns: {legacy_id: id, card_id: {uuid: card, of: item_id}}}\n"
    "mirrors:\n"
    "  item: {columns: [id, grp_id, amount, name, note], index: grp_id}\n"
    "derive:\n"
    "- name: cards\n"
    "  to: cards\n"
    "  key: {id: {uuid: card, of: item_id}}\n"
    "  columns: [legacy_id, label, price, group_id, first_label]\n"
    "  once: first_label\n"
    "  references: {group_id: {uuid: grp, required: false}}\n"
    "  touched: {item: select id from touched}\n"
    "  query: select i.id as item_id, i.id as legacy_id, i.name as label, i.amount / 3.0 as price,\n"
    "    pgrekey.id('grp', i.grp_id) as group_id, i.name as first_label, i.amount\n"
    "    from keys k join item i on i.id = k.item_id\n"
    "  reject: {when: amount < 0}\n"
    "  gone: delete\n"
    "- name: totals\n"
    "  to: totals\n"
    "  key: {grp_id: grp_id}\n"
    "  touched: {item: {columns: [grp_id, amount], keys: select grp_id from touched}}\n"
    "  query: select k.grp_id, count(*)::int as items, sum(i.amount) / 7.0 as total from keys k\n"
    "    join item i on i.grp_id = k.grp_id group by 1\n"
    "  gone: delete\n"
    "- name: weights\n"
    "  to: groups\n"
    "  key: {id: {uuid: grp, of: grp_id}}\n"
    "  owns: [weight]\n"
    "  touched:\n"
    "    totals: {columns: [items], keys: select grp_id from touched}\n"
    "    groups: {columns: [legacy_id], keys: select legacy_id from touched}\n"
    "  query: select t.grp_id, t.items || ' items' as weight from keys k join totals t on t.grp_id = k.grp_id\n"
    "  gone: {set: {weight: null}}\n";

static const struct world_shape shape = {.schemas = schemas, .mapping = mapping};

#define CARDS "SELECT legacy_id, label, price, app_note FROM app.cards ORDER BY 1"
#define TOTALS "SELECT grp_id, items, total FROM app.totals ORDER BY 1"
#define WEIGHTS "SELECT legacy_id, weight FROM app.groups ORDER BY 1"
#define ENTRIES                                                                                                        \
    "SELECT rule, key, category FROM pgrekey.quarantine WHERE status IN ('pending', 'escalated') ORDER BY 1, 2"

static uint64_t quick(struct world *w)
{
    struct sink_figures figures;
    pgsink_figures(w->sink, &figures);
    return figures.quick_derived;
}

/* What is in the batch, by one way or the other. */
static void apply(struct world *w, bool quickly)
{
    uint64_t so_far = quick(w);

    world_apply(w);
    assert_int_equal(quick(w) - so_far, quickly);
}

#define assert_quick(w, statement) (statement, apply(w, true))
#define assert_long(w, statement) (statement, apply(w, false))

/* What the queries give afresh, but for keys that stand aside. */
static void assert_derived(struct world *w)
{
    assert_world(w,
                 "SELECT 'card', legacy_id FROM ((SELECT c.legacy_id, label::text, price, group_id FROM app.cards c"
                 " EXCEPT SELECT i.id, i.name, round(i.amount / 3.0, 2), g.id FROM legacy.item i LEFT JOIN app.groups g"
                 " ON g.legacy_id = i.grp_id WHERE amount >= 0) UNION ALL (SELECT i.id, i.name,"
                 " round(i.amount / 3.0, 2), g.id FROM legacy.item i LEFT JOIN app.groups g ON g.legacy_id = i.grp_id"
                 " WHERE amount >= 0 EXCEPT SELECT legacy_id, label::text, price, group_id FROM app.cards)) d"
                 " WHERE legacy_id NOT IN (SELECT (key::json ->> 0)::integer FROM pgrekey.quarantine WHERE rule ="
                 " 'cards' AND status IN ('pending', 'escalated'))",
                 "");
    assert_world(w,
                 "WITH wanted AS (SELECT grp_id, count(*)::integer, round(sum(amount) / 7.0, 1) FROM legacy.item WHERE"
                 " grp_id IS NOT NULL GROUP BY 1) SELECT 'total', grp_id FROM ((TABLE app.totals EXCEPT TABLE wanted)"
                 " UNION ALL (TABLE wanted EXCEPT TABLE app.totals)) d",
                 "");
    assert_world(w,
                 "SELECT 'weight', legacy_id FROM app.groups g LEFT JOIN app.totals t ON t.grp_id = legacy_id WHERE"
                 " weight IS DISTINCT FROM items || ' items'",
                 "");
    assert_world(w,
                 "SELECT c.rule FROM pgrekey.counter c JOIN pgrekey.derivation d USING (pipeline, rule) WHERE c.mapped "
                 "<> (SELECT count(*) FROM pgrekey.derived x WHERE x.derivation = d.id AND x.good) OR c.quarantined <> "
                 "(SELECT count(*) FROM pgrekey.quarantine q WHERE q.rule = c.rule AND op <> 'D' AND status IN "
                 "('pending', 'escalated'))",
                 "");
}

/* Two groups, three items; the second batch finds the temporary tables made. */
static int setup(void **state)
{
    if (world_setup_as(state, &shape))
        return -1;
    struct world *w = *state;
    world_insert(w, "grp", "1, 'one'");
    world_insert(w, "grp", "2, 'two'");
    world_insert(w, "item", "1, 1, 10, 'a', NULL");
    world_apply(w);
    world_insert(w, "item", "2, 1, 20, 'b', NULL");
    world_apply(w);
    world_update(w, "item", "id = 2", "amount = 21", NULL);
    world_apply(w);
    return 0;
}

static int teardown(void **state)
{
    assert_derived(*state);
    return world_teardown(state);
}

/* --- what goes quickly --- */

static void a_new_row_is_derived_along_with_a_chain(void **state)
{
    struct world *w = *state;
    assert_quick(w, world_insert(w, "item", "3, 2, 5, 'c', NULL"));
    assert_world(w, CARDS, "1|a|3.33|theirs\n2|b|7.00|theirs\n3|c|1.67|theirs");
    assert_world(w, TOTALS, "1|2|4.4\n2|1|0.7");
    assert_world(w, WEIGHTS, "1|2 items\n2|1 items");
    assert_account(w, "cards", "3|0|0|0");
    assert_account(w, "totals", "2|0|0|0");
}

static void a_row_that_moves_takes_old_and_new_image_along(void **state)
{
    struct world *w = *state;
    assert_quick(w, world_insert(w, "item", "3, 2, 5, 'c', NULL"));
    assert_quick(w, world_update(w, "item", "id = 1", "grp_id = 2", NULL));
    assert_world(w, TOTALS, "1|1|3.0\n2|2|2.1");
    assert_world(w, WEIGHTS, "1|1 items\n2|2 items");
}

static void what_does_not_matter_and_what_comes_to_the_same_is_not_written(void **state)
{
    struct world *w = *state;
    world_run(w, "SELECT setval('app.writes', 1)");
    assert_quick(w, world_update(w, "item", "id = 1", "note = 'x'", NULL));
    assert_world(w, "SELECT last_value FROM app.writes", "1");
    assert_quick(w, world_update(w, "item", "id = 1", "name = 'z'", NULL));
    assert_world(w, "SELECT last_value FROM app.writes", "2");
    assert_world(w, "SELECT label, first_label FROM app.cards WHERE legacy_id = 1", "z|a");
}

static void a_row_without_children_goes_quickly(void **state)
{
    struct world *w = *state;
    world_insert(w, "item", "3, 2, 5, 'c', NULL");
    world_apply(w);
    /* totals go; the group's weight is set by `gone`, and the card has a place: both are the long way's */
    assert_long(w, world_delete(w, "item", "id = 3"));
    assert_world(w, TOTALS, "1|2|4.4");
    assert_world(w, WEIGHTS, "1|2 items\n2|\\N");
    assert_account(w, "totals", "1|0|0|0");
    /* a total alone, of a group that nobody knows */
    assert_quick(w, world_update(w, "item", "id = 2", "grp_id = NULL", NULL));
    assert_quick(w, world_update(w, "item", "id = 2", "grp_id = 1", NULL));
}

static void children_of_derived_rows_go_along(void **state)
{
    struct world *w = *state;
    uint64_t so_far = quick(w);
    world_insert(w, "tag", "1, 1");
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.tags JOIN app.cards c ON c.id = card_id AND c.legacy_id = 1", "1");
    assert_int_equal(quick(w), so_far); /* nothing is derived from a tag */
    world_insert(w, "tag", "2, 9");
    world_apply(w);
    assert_world(w, ENTRIES, "tags|[\"2\"]|orphan_reference");
    assert_long(w, world_insert(w, "item", "9, 1, 1, 'nine', NULL")); /* somebody waits for it */
    assert_world(w, ENTRIES, "");
    assert_quick(w, world_insert(w, "item", "10, 1, 1, 'ten', NULL"));
}

/* --- what does not --- */

static void a_rejected_key_goes_the_long_way_and_so_does_its_return(void **state)
{
    struct world *w = *state;
    assert_long(w, world_update(w, "item", "id = 1", "amount = -1", NULL));
    assert_world(w, ENTRIES, "cards|[\"1\"]|validation_failure");
    assert_quick(w, world_update(w, "item", "id = 2", "amount = 8", NULL)); /* others stay quick */
    assert_long(w, world_update(w, "item", "id = 1", "amount = 1", NULL));
    assert_world(w, ENTRIES, "");
    assert_account(w, "cards", "2|0|0|0");
}

static void a_failing_key_goes_the_long_way(void **state)
{
    struct world *w = *state;
    assert_long(w, world_update(w, "item", "id = 1", "name = 'much too long a name'", NULL));
    assert_world(w, ENTRIES, "cards|[\"1\"]|validation_failure");
    assert_world(w, "SELECT label FROM app.cards WHERE legacy_id = 1", "a");
}

static void a_missing_optional_parent_goes_the_long_way_until_it_comes(void **state)
{
    struct world *w = *state;
    assert_long(w, world_insert(w, "item", "3, 7, 5, 'c', NULL"));
    assert_long(w, world_update(w, "item", "id = 3", "amount = 6", NULL)); /* its note stands */
    assert_long(w, world_insert(w, "grp", "7, 'seven'"));
    assert_world(w, "SELECT g.legacy_id FROM app.cards c JOIN app.groups g ON g.id = group_id WHERE c.legacy_id = 3",
                 "7");
    assert_quick(w, world_update(w, "item", "id = 3", "amount = 9", NULL));
}

static void many_keys_of_few_rows_go_the_long_way(void **state)
{
    struct world *w = *state;
    for (int i = 100; i < 140; i++) {
        char values[64];
        snprintf(values, sizeof(values), "%d, %d, 1, 'n', NULL", i, i);
        world_insert(w, "item", values);
    }
    world_apply(w);
    assert_world(w, "SELECT count(*) FROM app.totals", "41");
    uint64_t so_far = quick(w);
    world_update(w, "item", "id >= 100", "grp_id = id + 100", NULL); /* 40 rows, 80 groups */
    world_apply(w);
    assert_int_equal(quick(w), so_far);
    assert_world(w, "SELECT count(*) FROM app.totals WHERE grp_id >= 200", "40");
}

/* --- all of it --- */

static void any_change(struct world *w, unsigned *seed)
{
    int id = rand_r(seed) % 25 + 1, value = rand_r(seed) % 60 - 4, group = rand_r(seed) % 6;
    char where[32], text[96];

    snprintf(where, sizeof(where), "id = %d", id);
    switch (rand_r(seed) % 8) {
    case 0:
    case 1:
    case 2:
        snprintf(text, sizeof(text), "%d, nullif(%d, 0), %d, 'item %d', NULL", id, group, value, id);
        if (!world_has(w, "item", where))
            world_insert(w, "item", text);
        break;
    case 3:
        snprintf(text, sizeof(text), "grp_id = nullif(%d, 0)", group);
        world_update(w, "item", where, text, NULL);
        break;
    case 4:
        snprintf(text, sizeof(text), "amount = %d, name = 'name %d'", value, value);
        world_update(w, "item", where, text, NULL);
        break;
    case 5: world_delete(w, "item", where); break;
    case 6:
        snprintf(where, sizeof(where), "id = %d", group);
        snprintf(text, sizeof(text), "%d, 'group'", group);
        if (!world_has(w, "grp", where))
            world_insert(w, "grp", text);
        break;
    default: world_update(w, "grp", "id = 1", "name = name || '.'", NULL);
    }
}

static void whatever_changes_all_is_as_it_is_afresh(void **state)
{
    struct world *w = *state;
    unsigned seed = 4711;

    for (int i = 0; i < 150; i++) {
        any_change(w, &seed);
        if (rand_r(&seed) % 3 == 0)
            any_change(w, &seed);
        world_apply(w);
        assert_derived(w);
        if (i % 60 == 50)
            world_reopen(w);
    }
    assert_in_range(quick(w), 4, 35); /* since the last restart: both ways were taken */
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_new_row_is_derived_along_with_a_chain),
        test(a_row_that_moves_takes_old_and_new_image_along),
        test(what_does_not_matter_and_what_comes_to_the_same_is_not_written),
        test(a_row_without_children_goes_quickly),
        test(children_of_derived_rows_go_along),
        test(a_rejected_key_goes_the_long_way_and_so_does_its_return),
        test(a_failing_key_goes_the_long_way),
        test(a_missing_optional_parent_goes_the_long_way_until_it_comes),
        test(many_keys_of_few_rows_go_the_long_way),
        test(whatever_changes_all_is_as_it_is_afresh),
    };
    if (!world_conninfo())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
