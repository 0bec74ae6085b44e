/* The mapping file without a connection: what is taken, and what each mistake is answered with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "transform/map.h"

#define NS "namespace: 0c1d7b6e-58a3-4c86-9d3e-1f0b2a3c4d5e\n"
#define OFFICE NS "rows:\n  - from: dispatch_office\n    to: offices\n    key: {id: {uuid: office, of: id}}\n"
#define WITH(columns) OFFICE "    columns:\n      " columns "\n"

#define JAWS                                                                                                           \
    NS "mirrors: {dispatch_jaw: {columns: [id, side]}}\nderive:\n  - to: jaws\n"                                       \
       "    key: {id: {uuid: jaw, of: jaw_id}, adopt: legacy_jaw_id}\n"                                                \
       "    touched: {dispatch_jaw: select id from touched}\n"                                                         \
       "    query: select jaw_id, side from keys join dispatch_jaw d on d.id = keys.jaw_id\n"

static char *print_issues(const struct map_issues *issues)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    map_issues_print(issues, "m.yaml", out);
    fclose(out);
    return text;
}

static struct map *load(const char *yaml, char **ret_issues)
{
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    int status = map_load_memory("m.yaml", yaml, strlen(yaml), &map, &issues, &err);
    assert_int_equal(status == 0, !map_issues_have_errors(&issues));
    if (status < 0)
        assert_int_equal(err.kind, ERR_CONFIG);
    *ret_issues = print_issues(&issues);
    map_issues_free(&issues);
    return map;
}

static struct map *load_good(const char *yaml)
{
    char *issues;
    struct map *map = load(yaml, &issues);
    if (!map)
        print_error("%s", issues);
    assert_non_null(map);
    free(issues);
    return map;
}

static const char *const good[] = {
    "mirrors: {dispatch_jaw: , auth_group: {}}",
    "mirrors:\n  legacy.dispatch_jaw: {columns: [id, side], index: [side, [id, side]], where: side > 0, name: jaw,\n"
    "    truncate: rows}\nmirror_schema: side\nviews:\n  left_jaws: select * from jaw where side = 1\n",
    NS "rows: [{from: t, to: u, key: {id: {uuid: x, of: id}, adopt: legacy_id}, accept_loss: 0.5%}]",
    NS "rows: [{from: t, to: u, key: {id: {uuid: x, of: [a, b]}, adopt: [legacy_a, legacy_b]}, accept_loss: 10}]",
    NS "rows: [{from: t, to: u, key: {id: {uuid: x, of: id}, adopt: {sql: \"select legacy_id, id from u\"}}}]",
    JAWS,
    JAWS "    gone: keep\n    once: number\n    accept_loss: 5\n    skip: true\n    name: all jaws\n",
    JAWS "    gone: {set: {gone: true}}\n    columns: [side, n, patient_id]\n    once: [n]\n"
         "    references: {patient_id: {uuid: jaw, required: false}}\n    second_pass: patient_id\n"
         "    reject: {when: n <> 1, category: orphan_reference}\n",
    JAWS "  - name: counts\n    to: jaws\n    key: {id: {uuid: jaw, of: jaw_id}}\n    owns: [scans, metadata]\n"
         "    merge: metadata\n    touched: {scans: {columns: [jaw_id], keys: select jaw_id from touched}}\n"
         "    query: select jaw_id, count(*) scans from keys join scans using (jaw_id) group by 1\nrows:\n"
         "  - {from: scan, to: scans, key: {id: {uuid: scan, of: id}}, columns: {jaw: {uuid: jaw, of: jaw_id}}}\n",
    WITH("legacy_office_id: id"),
    WITH("name: {from: name, apply: [trim], empty: {concat: [\"Office \", id]}}"),
    WITH("country: {from: country, enum: {US: USA, \"United States\": USA}, else: keep}"),
    WITH("metadata: {pack: [sq_customer_id, emails]}"),
    WITH("metadata: {pack: {customer: sq_customer_id, version: 1, by: \"pgrekey\", active: true}}"),
    WITH("a: {const: orthodontics}"),
    WITH("a: {const: null}"),
    WITH("a: {coalesce: [x, y, \"none\", 0]}"),
    WITH("a: {case: [{when: x > 1, then: \"many\"}, {when: x = 1, then: y}], else: null}"),
    WITH("a: {expr: \"coalesce(x, 0) / 100\"}"),
    WITH("a: {left: {of: content, chars: 50}}"),
    WITH("a: {regex: {of: x, extract: \"([0-9]+)\"}}"),
    WITH("a: {regex: {of: x, replace: \"[^0-9]\", with: \"\"}}"),
    WITH("a: {classify: {of: content, ignore_case: true, rules: [{contains: [approve, looks good], then: yes_}, "
         "{regex: \"\\\\?\", then: question}, {equals: x, then: null}], else: note}}"),
    WITH("a: {number: {prefix: \"PAT-\", pad: 6, of: id}}"),
    WITH("a: {from: t, apply: [json_object], on_error: quarantine}"),
    WITH("a: {from: t, apply: json, on_error: keep_raw}"),
    WITH("a: {from: t, type: int, on_error: null}"),
    WITH("a: {from: type, enum: {1: payment, 2: refund}, null: \"payment\"}"),
    WITH("a: {from: type, enum: {1: payment}, else: {concat: [\"code_\", type]}}"),
    WITH("parent_id: {uuid: office, of: parent_id, required: false}"),
    WITH("parent_id: {uuid: office, of: [a, b], when: kind = 'office'}"),
    WITH("\"größe\": \"Größe\""),
    OFFICE "    delete: keep\n    truncate: rows\n    skip: true\n    when: valid and name <> ''\n",
    OFFICE "    delete: {set: {deleted: true, reason: null}}\n    columns: {created: created}\n    once: created\n",
    NS "rows:\n  - {from: a, to: b, key: {x_id: {uuid: x, of: x}, y_id: {uuid: x, of: y}}, identity: legacy,\n"
       "     columns: {legacy: id}}\n  - {from: x, to: x, key: {id: {uuid: x, of: id}}}\n",
    "copy: {from: a, to: b}",
    "copy: [{from: a, to: b, except: [log]}, {from: c, to: d}]",
    "rows: [{from: s.t, to: [u, v.w], key: {code: code}}]",
    "params: {office: 1}\nrows: [{from: t, to: u, key: {id: id}, columns: {o: {param: office}}}]",
    "never: {auth_user: [password], s.t: x}\nnonfinite: {t: [n]}\nrows: [{from: t, to: u, key: {id: id}}]",
};

static void good_forms_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char *issues;
        struct map *map = load(good[i], &issues);
        if (!map || *issues)
            print_error("case %zu: %s\n%s", i, good[i], issues);
        assert_non_null(map);
        assert_string_equal(issues, "");
        free(issues);
        map_free(map);
    }
}

static const struct {
    const char *yaml;
    const char *issue; /* a part of what is printed */
} bad[] = {
    {"", "m.yaml: the file holds no rule"},
    {"[1]", "m.yaml:1:1: a mapping file is a mapping"},
    {"a: [", "m.yaml:2:1: not YAML: "},
    {"a: \xff", "not UTF-8 text"},
    {"rows: []\nrows: []", "m.yaml:2:7: rows: this key stands here twice"},
    {"rows: &a []\nx: *a", "m.yaml:1:7: anchors (&name) and tags"},
    {"rows: *a", "m.yaml:1:7: aliases (*name) are not understood"},
    {"rows: !x []", "anchors (&name) and tags (!name) are not understood"},
    {"rows: []\n---\nrows: []", "m.yaml:2:1: a second document begins here"},
    {"? [a]\n: b", "a key must be a word"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested too deep"},
    {"rows: \"a\\0b\"", "must not hold a NUL"},
    {"row: []", "m.yaml:1:6: row: \"row\" is no word of a mapping file; did you mean \"rows\"?"},
    {"identity: {target: x}", "\"identity.target\" is not supported yet"},
    {"namespace: 12", "m.yaml:1:12: namespace: a UUID must stand here"},
    {"rows: [{from: t, to: u, key: {id: {uuid: x, of: id}}}]", "\"namespace:\" is missing"},
    {"rows: [{frm: t}]", "rows[0].frm: \"frm\" is no word of a rule; did you mean \"from\"?"},
    {"rows: [{}]", "rows[0]: a rule needs \"from:\""},
    {"rows: [{from: t, to: u}]", "a rule needs \"key:\""},
    {WITH("a: 0"), "write {const: …} for a constant"},
    {WITH("a: [x]"), "m.yaml:7:10: rows[0].columns.a: a value cannot be a list"},
    {WITH("a: {form: x}"), "did you mean \"from\"?"},
    {WITH("a: {from: x, const: y}"), "cannot stand side by side"},
    {WITH("a: {from: x, aply: [trim]}"), "\"aply\" is no word of from; did you mean \"apply\"?"},
    {WITH("a: {from: x, apply: [trimm]}"), "\"trimm\" is no function; did you mean \"trim\"?"},
    {WITH("a: {from: x, else: keep}"), "\"else:\" goes with enum or case"},
    {WITH("a: {from: x, null: \"a\", default: \"b\"}"), "two words for one thing"},
    {WITH("a: {param: ofice}"), "there is no param \"ofice\""},
    {WITH("a: {expr: \"x +\"}"), "m.yaml:7:17: rows[0].columns.a.expr: "},
    {WITH("a: {regex: {of: x, match: \"(\"}}"), "rows[0].columns.a.regex.match: "},
    {WITH("a: {concat: [{uuid: office, of: x}]}"), "must stand directly under its column"},
    {WITH("a: {left: {of: x, chars: many}}"), "a whole number from 0"},
    {WITH("a: {uuid: ofice, of: x}"), "no rule has a key of the entity \"ofice\"; did you mean \"office\"?"},
    {WITH("a: {uuid: office}"), "\"of:\" is missing here"},
    {WITH("id: other"), "\"id\" is a key column already"},
    {OFFICE "    once: [nam]\n    columns: {name: name}\n",
     "\"nam\" is no column of this rule; did you mean \"name\"?"},
    {OFFICE "    once: [id]\n", "\"id\" is a key column; a key is never rewritten"},
    {OFFICE "    identity: x\n    columns: {x: {from: id, apply: [trim]}}\n", "must be a plain copy"},
    {OFFICE "    delete: row s\n", "delete is row, keep or"},
    {OFFICE "    truncate: all\n", "truncate is pause or rows"},
    {OFFICE "    skip: maybe\n", "true or false must stand here"},
    {OFFICE "    when: name ==\n", "rows[0].when: "},
    {"never: {t: [pw]}\nrows: [{from: t, to: u, key: {id: id}, columns: {p: {concat: [\"x\", pw]}}}]",
     "rows[0].columns.p: \"pw\" is named under never:"},
    {"never: {t: [pw]}\nrows: [{from: t, to: u, key: {id: id}, when: pw <> ''}]", "rows[0].when: \"pw\" is named"},
    {"never: {t: \"*\"}\nrows: [{from: t, to: u, key: {a: {const: 1}}}]", "rows[0].from: all of \"t\" is under never:"},
    {OFFICE "    delete: {set: {legacy: {stamp: [a]}}}\n", "rows[0].delete.set.legacy.stamp: a key of the JSON object"},
    {OFFICE "    delete: {set: {legacy: {stmp: a}}}\n",
     "a constant (a text, a number, true, false or null) or {stamp: key}"},
    {"never: {t: \"*\"}\nmirrors: {t: {columns: [id]}}", "mirrors.t: all of \"t\" is under never:"},
    {"rows: [{from: t, to: u, key: {id: id}}, {from: t, to: u, key: {id: id}}]", "is called \"t->u\" too"},
    {"rows: [{from: t, to: u, key: {id: id}, columns: {a: a}}, {from: s, to: u, key: {id: id}, columns: {a: b}}]",
     "the column \"a\" of u is written by rule t->u already"},
    {NS "rows: [{from: a, to: a, key: {id: {uuid: x, of: id}}}, {from: b, to: b, key: {id: {uuid: x, of: id}}}]",
     "the entity \"x\" is owned by rule a->a"},
    {NS "rows: [{from: a, to: a, key: {id: {uuid: a, of: id}}, columns: {b: {uuid: b, of: b}}},\n"
        "  {from: b, to: b, key: {id: {uuid: b, of: id}}, columns: {a: {uuid: a, of: a}}}]",
     "in a circle: b->b > a->a > b->b"},
    {"copy: {from: a}", "copy needs \"from:\" and \"to:\""},
    {"copy: [{from: a, to: b}, {from: a, to: c}]", "the schema \"a\" is copied twice"},
};

static void mistakes_are_named_with_their_place(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *issues;
        struct map *map = load(bad[i].yaml, &issues);
        if (map || !strstr(issues, bad[i].issue)) {
            print_error("case %zu: %s\nwanted: %s\ngot: %s\n", i, bad[i].yaml, bad[i].issue, issues);
            wrong++;
        }
        map_free(map);
        free(issues);
    }
    assert_int_equal(wrong, 0);
}

static void all_mistakes_are_collected(void **state)
{
    (void)state;
    char *issues;
    struct map *map = load(WITH("a: 0\n      b: [1]\n      c: {form: x}"), &issues);
    assert_null(map);
    assert_non_null(strstr(issues, "columns.a:"));
    assert_non_null(strstr(issues, "columns.b:"));
    assert_non_null(strstr(issues, "columns.c:"));
    free(issues);
}

static void cases_from_two_tables_may_share_columns(void **state)
{
    (void)state;
    struct map *map = load_good(
        NS "rows:\n"
           "  - {from: patient, to: cases, key: {id: {uuid: case_of_patient, of: id}}, columns: {title: name}}\n"
           "  - {from: project, to: cases, key: {id: {uuid: case_of_project, of: id}}, columns: {title: name}}\n");
    assert_int_equal(map_rule_count(map), 2);
    map_free(map);
}

static void rules_are_ordered_parents_first(void **state)
{
    (void)state;
    struct map *map =
        load_good(NS "rows:\n"
                     "  - {from: c, to: c, key: {id: {uuid: c, of: id}}, columns: {b: {uuid: b, of: b}}}\n"
                     "  - {from: b, to: b, key: {id: {uuid: b, of: id}}, columns: {a: {uuid: a, of: a}}}\n"
                     "  - {from: a, to: a, key: {id: {uuid: a, of: id}}, columns: {p: {uuid: a, of: p}}}\n"
                     "  - {from: d, to: d, key: {id: {uuid: d, of: id}}}\n");
    static const int wanted[] = {2, 1, 0, 3};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(map_rule_order(map)[i], wanted[i]);
    const struct rule *b = map_rule(map, 1);
    assert_string_equal(b->columns[1].parent_entity, "a");
    assert_ptr_equal(b->columns[1].parent, map_rule(map, 2));
    map_free(map);
}

static void rules_are_named_after_their_tables(void **state)
{
    (void)state;
    struct map *map = load_good("rows: [{from: t, to: s.u, key: {id: id}}, {name: mine, from: a, to: b, key: {c: c}}]");
    assert_string_equal(map_rule(map, 0)->name, "t->s.u");
    assert_string_equal(map_rule(map, 1)->name, "mine");
    size_t count;
    const char *const *schemas = map_target_schemas(map, &count);
    assert_int_equal(count, 2);
    assert_string_equal(schemas[0], "s");
    map_free(map);
}

static void marks_and_use_are_known_by_name(void **state)
{
    (void)state;
    struct map *map = load_good("never: {auth_user: [password]}\nrows: [{from: t, to: u, key: {id: id}, when: live, "
                                "nonfinite: [n], columns: {a: {concat: [b, \"c\"]}}}]");
    assert_true(map_column_never(map, "public", "auth_user", "password"));
    assert_false(map_column_never(map, "other", "auth_user", "password"));
    assert_true(map_column_nonfinite(map, "public", "t", "n"));
    assert_true(map_column_used(map, "public", "t", "id"));
    assert_true(map_column_used(map, "public", "t", "b"));
    assert_true(map_column_used(map, "public", "t", "live"));
    assert_false(map_column_used(map, "public", "t", "c"));
    assert_false(map_column_used(map, "public", "t", "a"));
    map_free(map);
}

struct prints {
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
};

static struct prints prints_of(const char *yaml)
{
    struct prints prints;
    struct map *map = load_good(yaml);
    map_fingerprint(map, prints.whole, prints.identity);
    assert_int_equal(strlen(prints.whole), 64);
    map_free(map);
    return prints;
}

static void fingerprint_follows_the_meaning(void **state)
{
    (void)state;
    struct prints base = prints_of(WITH("name: name\n      city: {from: city, apply: [trim]}"));
    struct prints spelled =
        prints_of("# a comment\n" WITH("city: {apply: trim, from: city}\n      name: {from: name}"));
    struct prints other = prints_of(WITH("name: name\n      city: {from: city, apply: [lower]}"));
    struct prints keyed = prints_of(NS "rows: [{from: dispatch_office, to: offices, key: {id: {uuid: ofice, of: id}}, "
                                       "columns: {name: name, city: {from: city, apply: [trim]}}}]");
    assert_string_equal(base.whole, spelled.whole);
    assert_string_equal(base.identity, spelled.identity);
    assert_string_not_equal(base.whole, other.whole);
    assert_string_equal(base.identity, other.identity);
    assert_string_not_equal(base.identity, keyed.identity);
}

static void fingerprint_follows_mirrors_and_views(void **state)
{
    (void)state;
    static const char *const different[] = {
        "mirrors: {jaw: {columns: [id, side]}}",
        "mirrors: {jaw: {columns: [id]}}",
        "mirrors: {jaw: {columns: [id, side], index: side}}",
        "mirrors: {jaw: {columns: [id, side], where: side > 0}}",
        "mirrors: {jaw: {columns: [id, side], name: jaws}}",
        "mirrors: {jaw: {columns: [id, side], truncate: pause}}",
        "mirror_schema: elsewhere\nmirrors: {jaw: {columns: [id, side]}}",
        "mirrors: {jaw: {columns: [id, side]}}\nviews: {v: select 1}",
        "mirrors: {jaw: {columns: [id, side]}}\nviews: {v: select 2}",
    };
    enum { COUNT = sizeof(different) / sizeof(*different) };
    struct prints prints[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        prints[i] = prints_of(different[i]);
        assert_string_equal(prints[i].identity, prints[0].identity);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(prints[i].whole, prints[j].whole);
    }
}

static void fingerprint_holds_params_by_value(void **state)
{
    (void)state;
#define PARAM(value) "params: {p: " value "}\nrows: [{from: t, to: u, key: {id: id}, columns: {a: {param: p}}}]"
    struct prints one = prints_of(PARAM("1")), again = prints_of(PARAM("1")), two = prints_of(PARAM("2"));
    assert_string_equal(one.whole, again.whole);
    assert_string_not_equal(one.whole, two.whole);
}

static void a_missing_file_is_one_clear_error(void **state)
{
    (void)state;
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    assert_int_equal(map_load("/nonexistent/m.yaml", &map, &issues, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
    assert_non_null(strstr(err.message, "cannot open the mapping /nonexistent/m.yaml"));
    map_issues_free(&issues);
}

static void what_a_setting_skips_is_found_by_rule_or_entity(void **state)
{
    (void)state;
    static const char TWO[] =
        NS "rows:\n  - {name: first, from: a, to: b, key: {id: {uuid: thing, of: id}}}\n"
           "  - {from: c, to: d, key: {id: {uuid: other, of: id}}, columns: {thing_id: {uuid: thing, of: x}}}\n";
    static const struct {
        const char *names, *skipped, *wrong, *hint;
    } cases[] = {
        {"thing", "10", NULL, NULL},
        {" first ,\n", "10", NULL, NULL},
        {"c->d", "01", NULL, NULL},
        {"other, first", "11", NULL, NULL},
        {"", "00", NULL, NULL},
        {"thin", NULL, "the setting skip names \"thin\": no rule, derivation or entity is called so", "\"thing\"?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct map *map = load_good(TWO);
        struct map_issues issues = {0};
        struct err err = {0};
        int status = map_skip(map, cases[i].names, &issues, &err);
        assert_int_equal(status, cases[i].wrong ? -1 : 0);
        if (cases[i].wrong) {
            assert_int_equal(err.kind, ERR_CONFIG);
            assert_string_equal(err.message, cases[i].wrong);
            assert_non_null(strstr(err.hint, cases[i].hint));
        }
        for (size_t r = 0; !cases[i].wrong && r < 2; r++) {
            assert_int_equal(map_rule(map, r)->skip, cases[i].skipped[r] == '1');
            assert_int_equal(map_rule(map, r)->may_exclude, cases[i].skipped[r] == '1');
        }
        /* its children find no parent, and the check says so */
        assert_int_equal(issues.count, !cases[i].wrong && strcmp(cases[i].skipped, "10") == 0);
        map_issues_free(&issues);
        map_free(map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_setting_skips_is_found_by_rule_or_entity),
        cmocka_unit_test(good_forms_are_taken),
        cmocka_unit_test(mistakes_are_named_with_their_place),
        cmocka_unit_test(all_mistakes_are_collected),
        cmocka_unit_test(cases_from_two_tables_may_share_columns),
        cmocka_unit_test(rules_are_ordered_parents_first),
        cmocka_unit_test(rules_are_named_after_their_tables),
        cmocka_unit_test(marks_and_use_are_known_by_name),
        cmocka_unit_test(fingerprint_follows_the_meaning),
        cmocka_unit_test(fingerprint_follows_mirrors_and_views),
        cmocka_unit_test(fingerprint_holds_params_by_value),
        cmocka_unit_test(a_missing_file_is_one_clear_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
