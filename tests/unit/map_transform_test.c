/* A change through a bound mapping: which rows come out, where they are looked for, what they hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/catalogs.h"
#include "transform/map.h"

static const char mapping[] =
    "namespace: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"
    "rows:\n"
    "- from: office\n"
    "  to: offices\n"
    "  key: {id: {uuid: office, of: id}}\n"
    "  columns:\n"
    "    legacy_id: id\n"
    "    name: {from: name, apply: [trim], empty: {concat: [\"Office \", id]}}\n"
    "    notes: notes\n"
    "    metadata: {pack: {kind: kind}}\n"
    "- name: big offices\n"
    "  from: office\n"
    "  to: big_offices\n"
    "  when: kind = 'big'\n"
    "  key: {code: code}\n"
    "  identity: legacy_id\n"
    "  columns:\n"
    "    legacy_id: id\n"
    "    office_id: {uuid: office, of: id}\n"
    "    notes: {from: notes, apply: [upper]}\n"
    "- {name: left out, from: office, to: skipped, skip: true, key: {id: {uuid: skipped, of: id}}}\n"
    "- from: member\n"
    "  to: members\n"
    "  key: {office_id: {uuid: office, of: office_id}, user_id: {uuid: user, of: user_id}}\n"
    "  columns: {name: name, boss_id: {uuid: user, of: boss_id}, level: {from: level, enum: {1: low, 2: high}}}\n"
    "- {from: user, to: users, key: {id: {uuid: user, of: id}}}\n";

static const struct table_text source_tables[] = {
    {"public", "office", "id integer!; name text; notes text; kind text; code text", .pk = "id"},
    {"public", "member",
     "office_id integer!; user_id integer!; name character varying(40); boss_id integer; level "
     "integer",
     .pk = "office_id,user_id"},
    {"public", "user", "id integer!", .pk = "id"},
    {.name = NULL},
};
static const struct table_text target_tables[] = {
    {"public", "offices", "id uuid!; legacy_id integer; name text!; notes text; metadata jsonb", .pk = "id"},
    {"public", "big_offices", "code text!; legacy_id integer; office_id uuid!; notes text", .pk = "code",
     .uniques = "legacy_id"},
    {"public", "skipped", "id uuid!", .pk = "id"},
    {"public", "members", "office_id uuid!; user_id uuid!; name character varying(5); boss_id uuid!; level text",
     .pk = "office_id,user_id"},
    {"public", "users", "id uuid!", .pk = "id"},
    {.name = NULL},
};

enum { OFFICES, BIG, SKIPPED };

struct fixture {
    struct catalog *source, *target;
    struct map *map;
    struct arena arena;
    struct row **rows;
    size_t count;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct map_issues issues = {0};
    struct err err = {0};
    f->source = catalog_of(source_tables);
    f->target = catalog_of(target_tables);
    arena_init(&f->arena, 0);
    int status = map_load_memory("m.yaml", mapping, strlen(mapping), &f->map, &issues, &err);
    if (status == 0)
        status = map_bind(f->map, f->source, f->target, &issues, &err);
    map_issues_print(&issues, "m.yaml", stderr);
    map_issues_free(&issues);
    *state = f;
    return status;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    map_free(f->map);
    arena_done(&f->arena);
    catalog_free(f->source);
    catalog_free(f->target);
    free(f);
    return 0;
}

static const char null_text[] = "NULL";

static struct value value_of(const char *text)
{
    if (!text)
        return (struct value){.state = VALUE_ABSENT};
    if (text == null_text)
        return (struct value){.state = VALUE_NULL};
    return (struct value){.text = text, .len = (uint32_t)strlen(text), .state = VALUE_TEXT};
}

/* columns and identity: texts, null_text for NULL, NULL for ABSENT. */
static struct change *change_of(struct fixture *f, enum change_op op, const char *table, const char *const *columns,
                                const char *const *identity)
{
    struct change *change = arena_zalloc(&f->arena, 1, sizeof *change);
    change->op = op;
    change->relation = catalog_find(f->source, "public", table);
    if (columns)
        change->columns = arena_zalloc(&f->arena, change->relation->column_count, sizeof(struct value));
    for (size_t i = 0; columns && i < change->relation->column_count; i++)
        change->columns[i] = value_of(columns[i]);
    if (identity)
        change->identity = arena_zalloc(&f->arena, change->relation->key_count, sizeof(struct value));
    for (size_t i = 0; identity && i < change->relation->key_count; i++)
        change->identity[i] = value_of(identity[i]);
    return change;
}

static int transform(struct fixture *f, const struct change *change)
{
    struct err err = {0};
    int status = map_transform(f->map, change, &f->arena, &f->rows, &f->count, &err);
    if (status < 0)
        print_error("%s\n", err.message);
    return status;
}

static void assert_text(const struct value *value, const char *wanted)
{
    assert_int_equal(value->state, VALUE_TEXT);
    assert_int_equal(value->len, strlen(wanted));
    assert_memory_equal(value->text, wanted, value->len);
}
#define assert_value(got, wanted) assert_text(&(got), wanted)

#define OFFICE_7 office_uuid("7")
#define OFFICE_8 office_uuid("8")

static const char *key_uuid(const char *entity, const char *key)
{
    static char text[4][UUID_TEXT_LEN + 1];
    static size_t next;
    struct uuid ns;
    assert_true(uuid_parse_text("6ba7b810-9dad-11d1-80b4-00c04fd430c8", UUID_TEXT_LEN, &ns));
    struct uuid_part part = {key, strlen(key)};
    struct uuid uuid = uuid_of_key(&ns, entity, &part, 1);
    char *out = text[next++ % 4];
    uuid_format(&uuid, out);
    return out;
}

static const char *office_uuid(const char *key)
{
    return key_uuid("office", key);
}

static void an_insert_becomes_a_row_for_each_rule(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "  Main ", "n", "big", "C7"}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_INSERT, "office", columns, key)), 0);
    assert_int_equal(f->count, 3);
    const struct row *office = f->rows[OFFICES], *big = f->rows[BIG];
    assert_int_equal(office->op, ROW_UPSERT);
    assert_true(office->born);
    assert_false(office->partial);
    assert_value(office->values[0], OFFICE_7);
    assert_value(office->values[1], "7");
    assert_value(office->values[2], "Main");
    assert_value(office->values[4], "{\"kind\": \"big\"}");
    assert_value(office->locator[0], OFFICE_7);
    assert_null(office->old_locator);
    assert_int_equal(big->op, ROW_UPSERT);
    assert_value(big->values[0], "C7");
    assert_value(big->values[2], OFFICE_7);
    assert_value(big->values[3], "N");
    assert_value(big->locator[0], "7");
    assert_int_equal(f->rows[SKIPPED]->op, ROW_EXCLUDE);
    assert_value(f->rows[SKIPPED]->locator[0], key_uuid("skipped", "7"));
}

static void empty_text_takes_the_other_form(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "  ", null_text, "small", null_text}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_READ, "office", columns, key)), 0);
    assert_value(f->rows[OFFICES]->values[2], "Office 7");
    assert_int_equal(f->rows[OFFICES]->values[3].state, VALUE_NULL);
}

static void a_row_that_does_not_match_is_excluded_where_it_stood(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "Main", "n", null_text, null_text}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_UPDATE, "office", columns, key)), 0);
    assert_int_equal(f->rows[BIG]->op, ROW_EXCLUDE);
    assert_false(f->rows[BIG]->born);
    assert_null(f->rows[BIG]->values);
    assert_value(f->rows[BIG]->locator[0], "7");
}

static void a_delete_is_located_by_the_identity_alone(void **state)
{
    struct fixture *f = *state;
    const char *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_DELETE, "office", NULL, key)), 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(f->rows[i]->op, ROW_DELETE);
    assert_value(f->rows[OFFICES]->locator[0], OFFICE_7);
    assert_value(f->rows[BIG]->locator[0], "7");
}

static void a_truncate_carries_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(transform(f, change_of(f, CHANGE_TRUNCATE, "office", NULL, NULL)), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->rows[i]->op, ROW_TRUNCATE);
        assert_null(f->rows[i]->locator);
    }
}

static void a_changed_key_says_where_the_row_was(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"8", "Main", "n", "big", "C"}, *key[] = {"7"};
    struct change *change = change_of(f, CHANGE_UPDATE, "office", columns, key);
    change->key_changed = true;
    assert_int_equal(transform(f, change), 0);
    assert_value(f->rows[OFFICES]->locator[0], OFFICE_8);
    assert_value(f->rows[OFFICES]->old_locator[0], OFFICE_7);
    assert_value(f->rows[BIG]->old_locator[0], "7");
    assert_value(f->rows[BIG]->locator[0], "8");
    assert_value(f->rows[SKIPPED]->old_locator[0], key_uuid("skipped", "7"));
}

static void an_absent_value_stays_absent_in_a_copy(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "Main", NULL, "small", "C"}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_UPDATE, "office", columns, key)), 0);
    assert_int_equal(f->rows[OFFICES]->values[3].state, VALUE_ABSENT);
    assert_true(f->rows[OFFICES]->partial);
}

static void an_absent_value_inside_an_expression_is_asked_for(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "Main", NULL, "big", "C"}, *key[] = {"7"};
    struct change *change = change_of(f, CHANGE_UPDATE, "office", columns, key);
    assert_int_equal(transform(f, change), 1);
    change->completed = true; /* the row is gone there: what is absent counts as NULL */
    assert_int_equal(transform(f, change), 0);
    assert_int_equal(f->rows[BIG]->op, ROW_UPSERT);
    assert_int_equal(f->rows[BIG]->values[3].state, VALUE_NULL);
}

static void an_absent_condition_is_asked_for(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "Main", "n", NULL, "C"}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_UPDATE, "office", columns, key)), 1);
}

static void an_absent_key_is_taken_from_the_identity(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {NULL, "Main", "n", "big", "C"}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_UPDATE, "office", columns, key)), 0);
    assert_value(f->rows[OFFICES]->values[0], OFFICE_7);
    assert_value(f->rows[OFFICES]->values[1], "7");
}

static void a_null_key_is_rejected_with_its_place(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "Main", "n", "big", null_text}, *key[] = {"7"};
    assert_int_equal(transform(f, change_of(f, CHANGE_INSERT, "office", columns, key)), 0);
    const struct row *big = f->rows[BIG];
    assert_int_equal(big->op, ROW_REJECT);
    assert_int_equal(big->category, CATEGORY_VALIDATION_FAILURE);
    assert_string_equal(big->column, "code");
    assert_null(big->values);
    assert_value(big->locator[0], "7");
    assert_int_equal(f->rows[OFFICES]->op, ROW_UPSERT);
}

static void bad_values_are_rejected_before_they_are_sent(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *boss, *level;
        const char *column; /* NULL: good */
        enum category category;
    } cases[] = {
        {"Ann", "3", "1", NULL, CATEGORY_NONE},
        {"Annabelle", "3", "1", "name", CATEGORY_VALIDATION_FAILURE},
        {"Ann", null_text, "1", "boss_id", CATEGORY_ORPHAN_REFERENCE},
        {"Ann", "3", "9", "level", CATEGORY_AMBIGUOUS_VALUE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *columns[] = {"1", "2", cases[i].name, cases[i].boss, cases[i].level}, *key[] = {"1", "2"};
        assert_int_equal(transform(f, change_of(f, CHANGE_INSERT, "member", columns, key)), 0);
        const struct row *row = f->rows[0];
        assert_int_equal(row->op, cases[i].column ? ROW_REJECT : ROW_UPSERT);
        assert_int_equal(row->category, cases[i].category);
        assert_value(row->locator[0], office_uuid("1"));
        assert_value(row->locator[1], key_uuid("user", "2"));
        if (cases[i].column) {
            assert_string_equal(row->column, cases[i].column);
            assert_non_null(row->reason);
        }
    }
}

static void a_pair_is_deleted_by_its_pair(void **state)
{
    struct fixture *f = *state;
    const char *key[] = {"1", "2"};
    assert_int_equal(transform(f, change_of(f, CHANGE_DELETE, "member", NULL, key)), 0);
    assert_value(f->rows[0]->locator[0], office_uuid("1"));
    assert_value(f->rows[0]->locator[1], key_uuid("user", "2"));
}

static void one_rule_alone_gives_the_same_row(void **state)
{
    struct fixture *f = *state;
    const char *columns[] = {"7", "Main", "n", "big", "C7"}, *key[] = {"7"};
    struct row *row;
    struct err err = {0};
    struct change *change = change_of(f, CHANGE_READ, "office", columns, key);
    assert_int_equal(map_transform_rule(f->map, map_rule(f->map, BIG), change, &f->arena, &row, &err), 0);
    assert_value(row->values[0], "C7");
    assert_ptr_equal(row->change, change);
}

static void the_identity_is_the_documented_one(void **state)
{
    (void)state;
    /* select uuid_generate_v5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'office:7') */
    assert_string_equal(office_uuid("7"), "9cf24434-0502-5ec9-9135-9dac5961d92c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_insert_becomes_a_row_for_each_rule),
        cmocka_unit_test(empty_text_takes_the_other_form),
        cmocka_unit_test(a_row_that_does_not_match_is_excluded_where_it_stood),
        cmocka_unit_test(a_delete_is_located_by_the_identity_alone),
        cmocka_unit_test(a_truncate_carries_nothing),
        cmocka_unit_test(a_changed_key_says_where_the_row_was),
        cmocka_unit_test(an_absent_value_stays_absent_in_a_copy),
        cmocka_unit_test(an_absent_value_inside_an_expression_is_asked_for),
        cmocka_unit_test(an_absent_condition_is_asked_for),
        cmocka_unit_test(an_absent_key_is_taken_from_the_identity),
        cmocka_unit_test(a_null_key_is_rejected_with_its_place),
        cmocka_unit_test(bad_values_are_rejected_before_they_are_sent),
        cmocka_unit_test(a_pair_is_deleted_by_its_pair),
        cmocka_unit_test(one_rule_alone_gives_the_same_row),
        cmocka_unit_test(the_identity_is_the_documented_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
