/* What a resumed snapshot leaves out of the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/app/engine/skip.h"
#include "tests/support/catalogs.h"

#define MAPPING                                                                                                        \
    "namespace: 0c1d7b6e-58a3-4c86-9d3e-1f0b2a3c4d5e\n"                                                                \
    "rows:\n"                                                                                                          \
    "- {from: person, to: people, key: {id: {uuid: person, of: id}}, columns: {name: name}}\n"                         \
    "- {from: word, to: words, key: {word: word}, columns: {}}\n"                                                      \
    "- {from: single, to: singles, key: {id: id}, columns: {}}\n"

static const struct table_text source_tables[] = {
    {"public", "person", "id bigint!; name text", .pk = "id"},
    {"public", "word", "word text!", .pk = "word"},
    {"public", "single", "id uuid!", .pk = "id"},
    {.name = NULL},
};
static const struct table_text target_tables[] = {
    {"public", "people", "id uuid!; name text", .pk = "id"},
    {"public", "words", "word text!", .pk = "word"},
    {"public", "singles", "id uuid!", .pk = "id"},
    {.name = NULL},
};

struct fixture {
    struct catalog *source, *target;
    struct map *map;
    struct skip *skip;
};

/* Three parts of person: up to 9 at 100, up to 99 at 200, the rest at 300; of word two; of single one. */
static int set_up(void **state)
{
    char *people[] = {strdup("person->people")}, *words[] = {strdup("word->words")},
         *singles[] = {strdup("single->singles")};
    char public[] = "public", person[] = "person", word[] = "word", single[] = "single", ten[] = "10",
         hundred[] = "100", m[] = "m";
    struct sink_part parts[] = {
        {.schema = public, .table = person, .hi = ten, .rules = people, .rule_count = 1, .done = true, .point = 100},
        {.schema = public,
         .table = person,
         .lo = ten,
         .hi = hundred,
         .rules = people,
         .rule_count = 1,
         .done = true,
         .point = 200},
        {.schema = public,
         .table = person,
         .lo = hundred,
         .rules = people,
         .rule_count = 1,
         .done = true,
         .point = 300},
        {.schema = public, .table = word, .hi = m, .rules = words, .rule_count = 1, .done = true, .point = 100},
        {.schema = public, .table = word, .lo = m, .rules = words, .rule_count = 1, .done = true, .point = 250},
        {.schema = public, .table = single, .rules = singles, .rule_count = 1, .done = true, .point = 280},
    };
    struct fixture *f = calloc(1, sizeof(*f));
    struct map_issues issues = {0};
    struct err err = {0};
    f->source = catalog_of(source_tables);
    f->target = catalog_of(target_tables);
    if (map_load_memory("test", MAPPING, strlen(MAPPING), &f->map, &issues, &err) != 0 ||
        map_bind(f->map, f->source, f->target, &issues, &err) != 0)
        return -1;
    map_issues_free(&issues);
    f->skip = skip_new(f->map, f->source, parts, sizeof(parts) / sizeof(*parts), 100);
    free(people[0]);
    free(words[0]);
    free(singles[0]);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    skip_free(f->skip);
    map_free(f->map);
    catalog_free(f->source);
    catalog_free(f->target);
    free(f);
    return 0;
}

static struct value text(const char *s)
{
    return (struct value){.text = s, .len = (uint32_t)strlen(s), .state = VALUE_TEXT};
}

static int no_order(void *context, const struct relation *relation, const char *const *bounds, size_t count,
                    const struct value *key, size_t *ret_below, struct err *reterr)
{
    (void)context, (void)relation, (void)bounds, (void)count, (void)key, (void)ret_below, (void)reterr;
    fail_msg("nobody should ask the server");
    return -1;
}

static int small_first(void *context, const struct relation *relation, const char *const *bounds, size_t count,
                       const struct value *key, size_t *ret_below, struct err *reterr)
{
    (void)context, (void)relation, (void)reterr;
    assert_int_equal(count, 1);
    assert_string_equal(bounds[0], "m");
    *ret_below = *key->text >= 'm';
    return 0;
}

static enum skip_verdict judge(const struct fixture *f, const char *table, enum change_op op, const char *old_key,
                               const char *new_key, uint64_t commit, skip_order order)
{
    const struct relation *relation = catalog_find(f->source, "public", table);
    struct value identity[1] = {old_key ? text(old_key) : (struct value){0}};
    struct value columns[2] = {new_key ? text(new_key) : identity[0]};
    struct change change = {.op = op,
                            .relation = relation,
                            .identity = op == CHANGE_TRUNCATE ? NULL : identity,
                            .columns = op == CHANGE_DELETE || op == CHANGE_TRUNCATE ? NULL : columns,
                            .key_changed = new_key != NULL};
    enum skip_verdict verdict = SKIP_REREAD;
    struct err err = {0};
    size_t count;
    assert_int_equal(
        skip_judge(f->skip, map_rules_of(f->map, relation, &count)[0], &change, commit, order, NULL, &verdict, &err),
        0);
    return verdict;
}

static void a_change_is_judged_by_the_part_of_its_key(void **state)
{
    static const struct {
        const char *key;
        uint64_t commit;
        enum skip_verdict verdict;
    } cases[] = {
        {"-5", 101, SKIP_NOTHING}, {"9", 150, SKIP_NOTHING},   {"9", 200, SKIP_NOTHING},      {"10", 200, SKIP_ALL},
        {"10", 201, SKIP_NOTHING}, {"99", 200, SKIP_ALL},      {"99", 250, SKIP_NOTHING},     {"100", 250, SKIP_ALL},
        {"100", 300, SKIP_ALL},    {"100", 301, SKIP_NOTHING}, {"5000000000", 300, SKIP_ALL}, {"1", 301, SKIP_NOTHING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(judge(*state, "person", CHANGE_UPDATE, cases[i].key, NULL, cases[i].commit, no_order),
                         cases[i].verdict);
        assert_int_equal(judge(*state, "person", CHANGE_DELETE, cases[i].key, NULL, cases[i].commit, no_order),
                         cases[i].verdict);
    }
}

static void a_changed_key_counts_by_both_halves(void **state)
{
    assert_int_equal(judge(*state, "person", CHANGE_UPDATE, "5", "500", 250, no_order), SKIP_NEW_KEY);
    assert_int_equal(judge(*state, "person", CHANGE_UPDATE, "500", "5", 250, no_order), SKIP_OLD_KEY);
    assert_int_equal(judge(*state, "person", CHANGE_UPDATE, "500", "50", 150, no_order), SKIP_ALL);
    assert_int_equal(judge(*state, "person", CHANGE_UPDATE, "5", "6", 150, no_order), SKIP_NOTHING);
}

static void a_truncate_between_the_points_wants_parts_anew(void **state)
{
    assert_int_equal(judge(*state, "person", CHANGE_TRUNCATE, NULL, NULL, 250, no_order), SKIP_REREAD);
    assert_int_equal(judge(*state, "person", CHANGE_TRUNCATE, NULL, NULL, 301, no_order), SKIP_NOTHING);
    assert_int_equal(judge(*state, "single", CHANGE_TRUNCATE, NULL, NULL, 280, no_order), SKIP_ALL);
}

static void only_the_server_orders_texts(void **state)
{
    assert_int_equal(judge(*state, "word", CHANGE_UPDATE, "a", NULL, 200, small_first), SKIP_NOTHING);
    assert_int_equal(judge(*state, "word", CHANGE_UPDATE, "z", NULL, 200, small_first), SKIP_ALL);
    assert_int_equal(judge(*state, "word", CHANGE_UPDATE, "z", NULL, 251, no_order), SKIP_NOTHING);
}

static void a_table_in_one_piece_needs_no_order(void **state)
{
    assert_int_equal(judge(*state, "single", CHANGE_INSERT, "x", NULL, 280, no_order), SKIP_ALL);
    assert_int_equal(judge(*state, "single", CHANGE_INSERT, "x", NULL, 281, no_order), SKIP_NOTHING);
}

static void a_position_past_all_points_skips_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(skip_last_point(f->skip), 300);
    assert_int_equal(skip_last_point(NULL), 0);
    assert_null(skip_new(f->map, f->source, NULL, 0, 0));
}

/* The first part of three was read long ago, the others have not been. */
static void what_has_not_been_read_comes_with_its_part(void **state)
{
    struct fixture *f = *state;
    char rule[] = "person->people", public[] = "public", person[] = "person", ten[] = "10", hundred[] = "100";
    char *rules[] = {rule};
    const struct sink_part parts[] = {
        {.id = 4, .schema = public, .table = person, .hi = ten, .rules = rules, .rule_count = 1, .done = true},
        {.id = 5, .schema = public, .table = person, .lo = ten, .hi = hundred, .rules = rules, .rule_count = 1},
        {.id = 6, .schema = public, .table = person, .lo = hundred, .rules = rules, .rule_count = 1},
    };
    skip_free(f->skip);
    f->skip = skip_new(f->map, f->source, parts, 3, 500);
    assert_true(skip_has_unread(f->skip));
    assert_int_equal(skip_last_point(f->skip), 0);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "9", NULL, 501, no_order), SKIP_NOTHING);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "10", NULL, 501, no_order), SKIP_ALL);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "9", "100", 501, no_order), SKIP_NEW_KEY);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "100", "9", 501, no_order), SKIP_OLD_KEY);
    assert_int_equal(judge(f, "person", CHANGE_TRUNCATE, NULL, NULL, 501, no_order), SKIP_NOTHING);
    assert_int_equal(judge(f, "word", CHANGE_UPDATE, "z", NULL, 501, no_order), SKIP_NOTHING);
    skip_part_read(f->skip, 5, 600);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "10", NULL, 601, no_order), SKIP_NOTHING);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "100", NULL, 601, no_order), SKIP_ALL);
    assert_int_equal(judge(f, "person", CHANGE_UPDATE, "10", "100", 601, no_order), SKIP_NEW_KEY);
}

#define fixed(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixed(a_change_is_judged_by_the_part_of_its_key),
        fixed(a_changed_key_counts_by_both_halves),
        fixed(a_truncate_between_the_points_wants_parts_anew),
        fixed(only_the_server_orders_texts),
        fixed(a_table_in_one_piece_needs_no_order),
        fixed(a_position_past_all_points_skips_nothing),
        fixed(what_has_not_been_read_comes_with_its_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
