/* The mapping against two catalogues: what is found out before anything runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/catalogs.h"
#include "transform/map.h"

#define NS "namespace: 0c1d7b6e-58a3-4c86-9d3e-1f0b2a3c4d5e\n"
#define RULE(from, to, key, rest) NS "rows:\n- {from: " from ", to: " to ", key: " key ", " rest "}\n"
#define OFFICE(columns) RULE("dispatch_office", "offices", "{id: {uuid: office, of: id}}", "columns: " columns)
#define OFFICE_RULE                                                                                                    \
    "- {from: dispatch_office, to: offices, key: {id: {uuid: office, of: id}}, columns: {name: {coalesce: [name, "     \
    "\"\"]}}}\n"

static const struct table_text source_tables[] = {
    {"public", "dispatch_office",
     "id integer!; name character varying(200); tax numeric(6,2); opened date; valid boolean; "
     "notes text; extra json; big bigint",
     .pk = "id"},
    {"public", "office_doctors", "id integer!; office_id integer!; user_id integer", .pk = "id"},
    {"public", "pair", "a integer!; b integer!; note text", .pk = "a,b"},
    {"public", "no_key", "id integer; name text", .pk = NULL},
    {"public", "full_key", "id integer!", .pk = "id", .replident = 'f'},
    {"public", "some_view", "id integer", .kind = 'v'},
    {"public", "parts", "id integer!", .pk = "id", .kind = 'p'},
    {"legacy", "plain", "id integer!; code text!; twice integer~; n double precision", .pk = "id"},
    {"legacy", "child", "id integer!; plain_id integer", .pk = "id"},
    {"legacy", "keyless", "id integer", .pk = NULL},
    {.name = NULL},
};

static const struct table_text target_tables[] = {
    {"public", "offices",
     "id uuid!=; name character varying(100)!; legacy_office_id bigint; tax_rate numeric(5,4); "
     "opened timestamp with time zone; valid boolean; metadata jsonb; slug text~; serial bigint@; parent_id uuid; n "
     "integer; small smallint; deleted boolean!=",
     .pk = "id", .uniques = "legacy_office_id", .fks = "parent_id>public.offices.id"},
    {"public", "doctor_offices", "office_id uuid!; doctor_id uuid!; legacy_id bigint; loose_id bigint; part_id bigint",
     .pk = "office_id,doctor_id", .uniques = "legacy_id; part_id?", .fks = "office_id>public.offices.id"},
    {"public", "deferred", "id uuid!", .uniques = "id^"},
    {"public", "lonely", "id uuid!; name text", .pk = NULL},
    {"public", "needy", "id uuid!; must text!", .pk = "id"},
    {"public", "texts", "id text!; short character varying(10)", .pk = "id"},
    {"public", "numbers", "id integer!", .pk = "id"},
    {"public", "a_view", "id uuid", .kind = 'v'},
    {"copied", "plain", "id integer!@; code text!; twice integer~; n double precision", .pk = "id"},
    {"copied", "child", "id integer!; plain_id integer", .pk = "id", .fks = "plain_id>copied.plain.id"},
    {.name = NULL},
};

struct fixture {
    struct catalog *source, *target;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->source = catalog_of(source_tables);
    f->target = catalog_of(target_tables);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    catalog_free(f->source);
    catalog_free(f->target);
    free(f);
    return 0;
}

/* Loads and binds; the map or NULL, and all that was said. */
static struct map *bind(const struct fixture *f, const char *yaml, char **ret_said)
{
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    size_t size = 0;
    int status = map_load_memory("m.yaml", yaml, strlen(yaml), &map, &issues, &err);
    if (status == 0)
        status = map_bind(map, f->source, f->target, &issues, &err);
    assert_int_equal(status == 0, !map_issues_have_errors(&issues));
    *ret_said = NULL;
    FILE *out = open_memstream(ret_said, &size);
    map_issues_print(&issues, "m.yaml", out);
    fclose(out);
    map_issues_free(&issues);
    if (status == 0)
        return map;
    map_free(map);
    return NULL;
}

static const struct {
    const char *yaml;
    bool fails;
    const char *said; /* "" for nothing at all */
} cases[] = {
    {NS "rows:\n" OFFICE_RULE, false, ""},
    {RULE("dispatch_ofice", "offices", "{id: {uuid: o, of: id}}", ""), true,
     "m.yaml:3:10: rows[0].from: there is no table public.dispatch_ofice on the source; did you mean "
     "\"dispatch_office\"?"},
    {RULE("some_view", "offices", "{id: {uuid: o, of: id}}", ""), true, "public.some_view is a view, not a table"},
    {RULE("parts", "offices", "{id: {uuid: o, of: id}}", ""), true, "is a partitioned table"},
    {RULE("no_key", "offices", "{id: {uuid: o, of: id}}", ""), true,
     "public.no_key has no replica identity that names a row (REPLICA IDENTITY DEFAULT); add a primary key"},
    {RULE("full_key", "offices", "{id: {uuid: o, of: id}}", ""), true, "(REPLICA IDENTITY FULL)"},
    {RULE("dispatch_office", "office", "{id: {uuid: o, of: id}}", ""), true,
     "there is no table public.office on the target; did you mean \"offices\"?"},
    {RULE("dispatch_office", "a_view", "{id: {uuid: o, of: id}}", ""), true, "public.a_view is a view"},
    {RULE("dispatch_office", "lonely", "{id: {uuid: o, of: id}}", ""), true,
     "public.lonely has no primary key or unique index over exactly the key's columns"},
    {RULE("dispatch_office", "deferred", "{id: {uuid: o, of: id}}", ""), true, "is deferrable"},
    {RULE("dispatch_office", "numbers", "{id: {uuid: o, of: id}}", ""), true,
     "a UUID goes into \"id\", but that is integer on the target"},
    {RULE("dispatch_office", "texts", "{id: {uuid: o, of: id}}", ""), false, "a UUID goes into \"id\", which is text"},
    {RULE("dispatch_office", "needy", "{id: {uuid: o, of: id}}", ""), true,
     "\"must\" of public.needy must not be NULL and has no default"},
    {RULE("dispatch_office", "offices", "{id: {uuid: o, of: id}, adopt: name}",
          "columns: {name: {coalesce: [name, '']}}"),
     false, ""},
    {RULE("dispatch_office", "offices", "{id: {uuid: o, of: id}, adopt: {sql: \"select 1, 2\"}}",
          "columns: {name: {coalesce: [name, '']}}"),
     false, ""},
    {RULE("dispatch_office", "offices", "{id: {uuid: o, of: id}, adopt: legacy}", ""), true,
     "public.offices has no column \"legacy\" on the target"},
    {RULE("dispatch_office", "offices", "{id: {uuid: o, of: id}, adopt: [name, slug]}", ""), true,
     "adopt names 2 columns, but the legacy key has 1 part"},
    {RULE("dispatch_office", "numbers", "{id: id, adopt: name}", ""), true,
     "only rows whose key is a UUID of an entity of their own are adopted"},
    {OFFICE("{name: nam}"), true, "public.dispatch_office has no column \"nam\"; did you mean \"name\"?"},
    {OFFICE("{name: {coalesce: [name, Unknown]}}"), true, "has no column \"Unknown\" (a text is written in quotes)"},
    {OFFICE("{nme: name}"), true, "public.offices has no column \"nme\" on the target; did you mean \"name\"?"},
    {OFFICE("{name: {from: name, empty: \"x\"}, slug: notes}"), true, "\"slug\" is a generated column"},
    {OFFICE("{name: {from: name, empty: \"x\"}, serial: big}"), true, "\"serial\" is GENERATED ALWAYS AS IDENTITY"},
    {OFFICE("{name: name}"), false, "\"name\" may be NULL on the source but not in \"name\" on the target"},
    {OFFICE("{name: name}"), false, "is character varying(200), longer than \"name\" on the target"},
    {OFFICE("{name: {const: x}, legacy_office_id: notes}"), false,
     "warning: rows[0].columns.legacy_office_id: \"notes\" is text, \"legacy_office_id\" on the target is bigint"},
    {OFFICE("{name: {const: x}, small: big}"), false,
     "\"big\" is bigint, wider than \"small\" on the target, smallint"},
    {OFFICE("{name: {const: x}, n: valid}"), true, "\"valid\" is boolean, but \"n\" on the target is integer"},
    {OFFICE("{name: {const: x}, opened: opened}"), false, "values are read as UTC"},
    {OFFICE("{name: {const: x}, n: {const: many}}"), true, "the constant does not fit \"n\" on the target (integer)"},
    {OFFICE("{name: {const: null}}"), true, "the constant is null, but \"name\" must not be NULL"},
    {OFFICE("{name: {const: x}, n: {expr: \"id > 1\"}}"), true, "the value is a truth value, but \"n\""},
    {OFFICE("{name: {const: x}}, when: id + 1"), true, "rows[0].when: "},
    {OFFICE("{name: {const: x}}, delete: {set: {deletd: true}}"), true,
     "has no column \"deletd\" on the target; did you mean \"deleted\"?"},
    {OFFICE("{name: {const: x}}, delete: {set: {deleted: null}}"), true, "\"deleted\" must not be NULL"},
    {OFFICE("{name: {const: x}}, delete: {set: {deleted: true, slug: x}}"), true, "\"slug\" cannot be written"},
    {OFFICE("{name: {const: x}}, delete: {set: {name: {stamp: at}}}"), true, "only jsonb can be stamped"},
    {RULE("office_doctors", "doctor_offices",
          "{office_id: {uuid: office, of: office_id}, doctor_id: {uuid: office, of: user_id}}", "") OFFICE_RULE,
     true, "a delete carries only the replica identity of public.office_doctors"},
    {RULE("office_doctors", "doctor_offices",
          "{office_id: {uuid: office, of: office_id}, doctor_id: {uuid: office, of: user_id}}",
          "identity: legacy_id, columns: {legacy_id: id}") OFFICE_RULE,
     false, ""},
    {RULE("office_doctors", "doctor_offices",
          "{office_id: {uuid: office, of: office_id}, doctor_id: {uuid: office, of: user_id}}",
          "identity: loose_id, columns: {loose_id: id}") OFFICE_RULE,
     true, "has no unique index over the columns of identity"},
    {RULE("office_doctors", "doctor_offices",
          "{office_id: {uuid: office, of: office_id}, doctor_id: {uuid: office, of: user_id}}",
          "identity: part_id, columns: {part_id: id}") OFFICE_RULE,
     false, "over the columns of identity is partial"},
    {RULE("office_doctors", "doctor_offices",
          "{office_id: {uuid: office, of: office_id}, doctor_id: {uuid: office, of: user_id}}",
          "identity: legacy_id, columns: {legacy_id: user_id}") OFFICE_RULE,
     true, "\"legacy_id\" does not copy a column of the replica identity"},
    {RULE("pair", "offices", "{id: {uuid: o, of: a}}", "columns: {name: {const: x}}"), false,
     "the key does not use \"b\""},
    {OFFICE("{name: {const: x}, parent_id: {uuid: office, of: id}}"), false, ""},
    {"copy: {from: legacy, to: copied}", true, "there is no table copied.keyless on the target"},
    {"copy: {from: legacy, to: copied, except: keyless}", false,
     "\"id\" of copied.plain is GENERATED ALWAYS AS IDENTITY"},
    {"copy: {from: legcy, to: copied}", false, "the schema \"legcy\" has no table to copy"},
    {"never: {legacy.plain: [id]}\ncopy: {from: legacy, to: copied, except: keyless}", true, "is named under never:"},
    {"never: {dispatch_office: [pasword]}\n" NS "rows:\n" OFFICE_RULE, false, "has no column \"pasword\""},
    {"never: {dispatch_office: [id]}\n" NS
     "rows:\n- {from: pair, to: texts, key: {id: b}, identity: [short], columns: {short: note}}\n",
     true, "\"id\" is part of what names a row of public.dispatch_office; it cannot be dropped"},
    {OFFICE("{name: {const: x}}, truncate: rows"), false, "so nothing tells its rows on the target; a TRUNCATE pauses"},
    {OFFICE("{name: {const: x}, legacy_office_id: id}, truncate: rows"), false, ""},
    {RULE("dispatch_office", "offices", "{id: {uuid: o, of: id}}",
          "skip: true, columns: {name: {const: x}}") "- {from: legacy.plain, to: texts, key: {id: {from: id, type: "
                                                     "text}}, columns: {short: {uuid: o, of: id}}}",
     true, "the entity \"o\" belongs to rule dispatch_office->offices, which is skipped"},
    {"nonfinite: {dispatch_office: [id]}\n" NS "rows:\n" OFFICE_RULE, false, "which has no NaN and no infinity"},
};

static void both_sides_are_compared(void **state)
{
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *said;
        struct map *map = bind(*state, cases[i].yaml, &said);
        bool good = (map == NULL) == cases[i].fails;
        good = good && (*cases[i].said ? strstr(said, cases[i].said) != NULL : !*said);
        if (!good) {
            print_error("case %zu: %s\nwanted: %s\nsaid: %s\n", i, cases[i].yaml, cases[i].said, said);
            wrong++;
        }
        map_free(map);
        free(said);
    }
    assert_int_equal(wrong, 0);
}

static struct map *bind_good(const struct fixture *f, const char *yaml)
{
    char *said;
    struct map *map = bind(f, yaml, &said);
    if (!map)
        print_error("%s", said);
    assert_non_null(map);
    free(said);
    return map;
}

static void copy_becomes_a_rule_for_each_table(void **state)
{
    struct map *map =
        bind_good(*state, "never: {legacy.plain: [n]}\ncopy: {from: legacy, to: copied, except: keyless}");
    assert_int_equal(map_rule_count(map), 2);
    const struct rule *plain = map_rule(map, 0);
    assert_string_equal(plain->from_table, "plain");
    assert_true(plain->copy);
    assert_true(plain->locator_is_key);
    assert_int_equal(plain->column_count, 2); /* no generated, no never column */
    assert_string_equal(plain->columns[0].name, "id");
    assert_true(plain->columns[0].key);
    assert_int_equal(plain->origin_count, 1);
    assert_string_equal(map_rule_source(map, plain)->name, "plain");
    assert_string_equal(plain->columns[1].name, "code");
    map_free(map);
    map = bind_good(*state, "never: {legacy.plain: \"*\"}\ncopy: {from: legacy, to: copied, except: keyless}");
    assert_int_equal(map_rule_count(map), 1); /* the key of such a table is no more to be seen than the rest */
    assert_string_not_equal(map_rule(map, 0)->from_table, "plain");
    map_free(map);
}

static void a_rule_of_its_own_takes_a_table_out_of_copy(void **state)
{
    struct map *map = bind_good(*state, NS "rows: [{from: legacy.plain, to: offices, key: {id: {uuid: o, of: id}}, "
                                           "columns: {name: code}}]\n"
                                           "copy: {from: legacy, to: copied, except: keyless}");
    assert_int_equal(map_rule_count(map), 2);
    assert_string_equal(map_rule(map, 0)->to_table, "offices");
    assert_string_equal(map_rule(map, 1)->from_table, "child");
    map_free(map);
}

static void foreign_keys_of_the_target_order_rules(void **state)
{
    struct map *map = bind_good(*state, "rows:\n"
                                        "- {from: legacy.child, to: copied.child, key: {id: id}, columns: {plain_id: "
                                        "plain_id}}\n"
                                        "copy: {from: legacy, to: copied, except: keyless}");
    assert_int_equal(map_rule_order(map)[0], 1);
    assert_int_equal(map_rule_order(map)[1], 0);
    map_free(map);
}

static void references_into_not_null_columns_are_required(void **state)
{
    struct map *map = bind_good(
        *state,
        RULE("office_doctors", "doctor_offices",
             "{office_id: {uuid: office, of: office_id}, doctor_id: {uuid: office, of: user_id}}",
             "identity: legacy_id, columns: {legacy_id: id}") "- {from: dispatch_office, to: offices, key: {id: {uuid: "
                                                              "office, of: id}}, columns: {name: {const: x}, "
                                                              "parent_id: {uuid: office, of: big}}}\n");
    const struct rule *pair = map_rule(map, 0), *office = map_rule(map, 1);
    assert_true(pair->columns[0].required);
    assert_ptr_equal(pair->columns[0].parent, office);
    assert_null(pair->entity);
    assert_false(pair->locator_is_key);
    assert_int_equal(pair->locator_count, 1);
    assert_int_equal(pair->locator[0], 2);
    assert_int_equal(pair->origin_count, 1);
    assert_int_equal(pair->origin[0], 2);
    assert_int_equal(office->origin_count, 0);
    assert_false(office->columns[2].required);
    assert_string_equal(office->entity, "office");
    assert_int_equal(map_rule_order(map)[0], 1);
    map_free(map);
}

static void either_catalogue_may_be_missing(void **state)
{
    struct fixture half = *(struct fixture *)*state;
    half.target = NULL;
    map_free(bind_good(&half, NS "rows:\n" OFFICE_RULE));
    half.target = ((struct fixture *)*state)->target;
    half.source = NULL;
    map_free(bind_good(&half, NS "rows:\n" OFFICE_RULE));
}

static void a_map_can_be_bound_again(void **state)
{
    const struct fixture *f = *state;
    struct map_issues issues = {0};
    struct err err = {0};
    struct map *map = bind_good(f, NS "rows:\n" OFFICE_RULE);
    struct catalog *other = catalog_of(source_tables);
    assert_int_equal(map_bind(map, other, f->target, &issues, &err), 0);
    size_t count;
    assert_non_null(map_rules_of(map, &other->relations[0], &count));
    assert_int_equal(count, 1);
    map_rules_of(map, &f->source->relations[0], &count); /* of another reading: by name */
    assert_int_equal(count, 1);
    map_rules_of(map, &other->relations[1], &count);
    assert_int_equal(count, 0);
    map_issues_free(&issues);
    map_free(map);
    catalog_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_are_compared),
        cmocka_unit_test(copy_becomes_a_rule_for_each_table),
        cmocka_unit_test(a_rule_of_its_own_takes_a_table_out_of_copy),
        cmocka_unit_test(foreign_keys_of_the_target_order_rules),
        cmocka_unit_test(references_into_not_null_columns_are_required),
        cmocka_unit_test(either_catalogue_may_be_missing),
        cmocka_unit_test(a_map_can_be_bound_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
