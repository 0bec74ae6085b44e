/* Look-ups: a column of a small mirror in a row rule's expressions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/catalogs.h"
#include "transform/lookup.h"
#include "transform/map.h"

#define TYPES "mirrors: {content_type: {columns: [model, weight]}, pair: }\nrows:\n"
#define NOTE(lookup, columns)                                                                                          \
    TYPES "- {from: note, to: notes, key: {id: id}, lookup: " lookup ", columns: " columns "}\n"
#define CT "{ct: {mirror: content_type, by: type_id}}"

static const struct table_text source_tables[] = {
    {"public", "content_type", "id integer!; model character varying(20); weight numeric; secret text", .pk = "id"},
    {"public", "pair", "a integer!; b text!; note text", .pk = "a,b"},
    {"public", "note", "id integer!; type_id integer; body text; kind text; weight numeric", .pk = "id"},
    {.name = NULL},
};
static const struct table_text target_tables[] = {
    {"public", "notes", "id integer!; model text; weight numeric; body text; flag boolean", .pk = "id"},
    {.name = NULL},
};

struct fixture {
    struct catalog *source, *target;
    struct map *map;
    char *said;
    struct arena arena;
    int answer;                   /* what find gives */
    const struct rule *asked;     /* the mirror, of the last question */
    char key[100];                /* its key, parts with "|" between */
    const struct value *answered; /* the mirror's row */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->source = catalog_of(source_tables);
    f->target = catalog_of(target_tables);
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    map_free(f->map);
    free(f->said);
    arena_done(&f->arena);
    catalog_free(f->source);
    catalog_free(f->target);
    free(f);
    return 0;
}

static void take(struct fixture *f, const char *yaml)
{
    struct map_issues issues = {0};
    struct err err = {0};
    size_t size;
    map_free(f->map);
    free(f->said);
    f->map = NULL;
    f->said = NULL;
    int status = map_load_memory("m.yaml", yaml, strlen(yaml), &f->map, &issues, &err);
    if (status == 0)
        status = map_bind(f->map, f->source, f->target, &issues, &err);
    FILE *out = open_memstream(&f->said, &size);
    map_issues_print(&issues, "m.yaml", out);
    fclose(out);
    assert_int_equal(status == 0, !map_issues_have_errors(&issues));
    if (status < 0) {
        map_free(f->map);
        f->map = NULL;
    }
    map_issues_free(&issues);
}

static const struct {
    const char *yaml, *issue;
} refused[] = {
    {NOTE("{ct: {mirror: content_typ, by: type_id}}", "{}"), "lookup.ct.mirror: there is no mirror \"content_typ\""},
    {NOTE("{ct: {mirror: content_type}}", "{}"), "a look-up needs \"mirror:\", and \"by:\""},
    {NOTE("{ct: {mirror: content_type, by: []}}", "{}"), "a column, or a list of up to 32"},
    {NOTE("{c-t: {mirror: content_type, by: type_id}}", "{}"), "an alias is made of letters, digits and _"},
    {NOTE("[ct]", "{}"), "a mapping alias: {mirror: table, by: column}"},
    {NOTE("{ct: {mirror: content_type, by: type_id, of: id}}", "{}"), "\"of\" is no word of a look-up"},
    {NOTE(CT, "{body: {expr: \"c.model\"}}"), "there is no look-up of that name"},
    {NOTE(CT, "{body: {expr: \"ct.\"}}"), "a column of the look-up"},
    {NOTE(CT, "{model: ct.name}"), "the mirror content_type, which ct looks up, has no column \"name\""},
    {NOTE(CT, "{model: ct.secret}"), "has no column \"secret\""},
    {NOTE(CT, "{flag: {expr: \"ct.model > 5 and weight > 'a'\"}}"), "compared"},
    {NOTE(CT, "{weight: {expr: \"ct.model + 1\"}}"), "cannot be computed with"},
    {NOTE("{ct: {mirror: content_type, by: kind}}", "{model: ct.model}"), "look-up ct by \"id\": "},
    {NOTE("{ct: {mirror: content_type, by: nokind}}", "{model: ct.model}"), "public.note has no column \"nokind\""},
    {NOTE("{ct: {mirror: pair, by: type_id}}", "{model: ct.note}"),
     "the key of the mirror pair has 2 columns, \"by:\" gives 1"},
    {TYPES "- {from: note, to: notes, key: {id: ct.weight}, lookup: " CT "}\n", "a key cannot depend on a look-up"},
    /* known to its own rule only */
    {NOTE(CT, "{model: ct.model}") "- {name: x, from: note, to: others, key: {id: id}, columns: {m: ct.model}}\n",
     "public.note has no column \"ct.model\""},
};

static void mistakes_are_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        take(f, refused[i].yaml);
        if (f->map || !strstr(f->said, refused[i].issue))
            print_error("case %zu: %s\nwants: %s\nsaid: %s", i, refused[i].yaml, refused[i].issue, f->said);
        assert_null(f->map);
        assert_non_null(strstr(f->said, refused[i].issue));
    }
}

static void keys_of_another_type_are_warned_of(void **state)
{
    struct fixture *f = *state;
    take(f, NOTE("{ct: {mirror: content_type, by: weight}}", "{model: ct.model}"));
    assert_non_null(f->map);
    assert_non_null(strstr(f->said, "\"by:\" is numeric, the key of the mirror content_type is integer: they are "
                                    "compared as text"));
    take(f, NOTE(CT, "{model: ct.model}"));
    assert_string_equal(f->said, "");
}

static int find(void *context, const struct rule *mirror, const struct value *key, struct arena *arena,
                const struct value **ret_values)
{
    struct fixture *f = context;
    (void)arena;
    f->asked = mirror;
    f->key[0] = '\0';
    for (size_t i = 0; i < map_rule_target(f->map, mirror)->pk_count; i++) {
        assert_int_equal(key[i].state, VALUE_TEXT);
        strcat(f->key, i ? "|" : "");
        strncat(f->key, key[i].text, key[i].len);
    }
    *ret_values = f->answered;
    return f->answer;
}

static struct value text(const char *of)
{
    if (!of)
        return (struct value){.state = VALUE_NULL};
    return (struct value){.text = of, .len = (uint32_t)strlen(of), .state = VALUE_TEXT};
}

static struct row *note(struct fixture *f, const char *type_id, const char *kind)
{
    struct value columns[] = {text("9"), text(type_id), text("body"), text(kind), text("2.50")};
    struct value identity[] = {text("9")};
    struct change change = {.op = CHANGE_INSERT,
                            .relation = catalog_find(f->source, "public", "note"),
                            .columns = columns,
                            .identity = identity};
    struct row **rows;
    size_t count;
    struct err err = {0};
    map_set_lookups(f->map, &(struct lookup_source){f, find});
    f->asked = NULL;
    assert_int_equal(map_transform(f->map, &change, &f->arena, &rows, &count, &err), 0);
    assert_int_equal(count, 1);
    return rows[0];
}

static void assert_value(const struct value *value, const char *wanted)
{
    assert_int_equal(value->state, wanted ? VALUE_TEXT : VALUE_NULL);
    assert_int_equal(value->len, wanted ? strlen(wanted) : 0);
    if (wanted)
        assert_memory_equal(value->text, wanted, value->len);
}

static void a_row_is_looked_up_by_its_key(void **state)
{
    struct fixture *f = *state;
    const struct value found[] = {text("4"), text("instruction"), text("1.5")};
    take(f,
         NOTE(CT,
              "{model: ct.model, weight: {expr: \"ct.weight + weight\"}, flag: {expr: \"ct.model = 'instruction'\"}, "
              "body: {from: ct.model, apply: [upper]}}"));
    assert_string_equal(f->said, "");
    f->answer = 1;
    f->answered = found;
    struct row *row = note(f, "4", NULL);
    assert_string_equal(f->key, "4");
    assert_string_equal(f->asked->from_table, "content_type");
    assert_true(f->asked->looked_up);
    assert_int_equal(row->op, ROW_UPSERT);
    assert_value(&row->values[1], "instruction");
    assert_value(&row->values[2], "4.00");
    assert_value(&row->values[3], "t");
    assert_value(&row->values[4], "INSTRUCTION");
}

static void what_is_not_found_is_null(void **state)
{
    struct fixture *f = *state;
    take(f, NOTE(CT, "{model: ct.model, flag: {expr: \"ct.model is null\"}}"));
    assert_string_equal(f->said, "");
    struct row *row = note(f, "5", NULL);
    assert_non_null(f->asked);
    assert_value(&row->values[1], NULL);
    assert_value(&row->values[2], "t");
    row = note(f, NULL, NULL);
    assert_null(f->asked);
    assert_value(&row->values[1], NULL);
}

static void a_mirror_that_is_not_loaded_sets_the_row_aside(void **state)
{
    struct fixture *f = *state;
    take(f, NOTE(CT, "{model: ct.model}"));
    f->answer = -1;
    struct row *row = note(f, "5", NULL);
    assert_int_equal(row->op, ROW_REJECT);
    assert_int_equal(row->category, CATEGORY_TRANSIENT);
}

static void a_key_of_two_parts_is_given_in_order(void **state)
{
    struct fixture *f = *state;
    const struct value found[] = {text("4"), text("k"), text("of a pair")};
    take(f, NOTE("{p: {mirror: pair, by: [type_id, {from: kind, apply: [lower]}]}}", "{body: p.note}"));
    assert_string_equal(f->said, "");
    f->answer = 1;
    f->answered = found;
    struct row *row = note(f, "4", "K");
    assert_string_equal(f->key, "4|k");
    assert_value(&row->values[1], "of a pair");
}

static void the_mirror_comes_before_who_looks_it_up(void **state)
{
    struct fixture *f = *state;
    size_t count;
    take(f, NOTE(CT, "{model: ct.model}"));
    const struct map_step *steps = map_steps(f->map, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(steps[i].level, map_rule(f->map, (size_t)steps[i].index)->mirror ? 0 : 1);
    assert_string_equal(map_rule(f->map, (size_t)steps[0].index)->to_table, "content_type");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mistakes_are_refused),
        TEST(keys_of_another_type_are_warned_of),
        TEST(a_row_is_looked_up_by_its_key),
        TEST(what_is_not_found_is_null),
        TEST(a_mirror_that_is_not_loaded_sets_the_row_aside),
        TEST(a_key_of_two_parts_is_given_in_order),
        TEST(the_mirror_comes_before_who_looks_it_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
