/* Mirrors, views and derivations: what is taken, what is refused, in which order all of it writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/catalogs.h"
#include "transform/map.h"

#define NS "namespace: 0c1d7b6e-58a3-4c86-9d3e-1f0b2a3c4d5e\n"
#define MIRRORS                                                                                                        \
    "mirrors:\n  dispatch_jaw: {columns: [id, side], index: [side]}\n"                                                 \
    "  dispatch_instruction: {columns: [id, patient_id, jaw_id]}\n"                                                    \
    "  legacy.tooth: {name: teeth}\n"
#define ROWS                                                                                                           \
    "rows:\n  - {from: patient, to: patients, key: {id: {uuid: patient, of: id}}, columns: {name: name}}\n"            \
    "  - from: scan\n    to: scans\n    key: {id: {uuid: scan, of: id}}\n"                                             \
    "    columns: {jaw_id: {uuid: jaw, of: jaw_id}, metadata: {pack: [id]}}\n"
#define JAW_HEAD                                                                                                       \
    "  - to: jaws\n    key: {id: {uuid: jaw, of: jaw_id}, adopt: legacy_jaw_id}\n"                                     \
    "    touched:\n      dispatch_jaw: select id from touched\n"                                                       \
    "      dispatch_instruction: {columns: [jaw_id], keys: select jaw_id from touched}\n"
#define JAW_QUERY                                                                                                      \
    "    query: select jaw_id, side, n from keys k join dispatch_jaw d on d.id = k.jaw_id, (select count(*) n "        \
    "from dispatch_instruction) i\n"
#define JAWS "derive:\n" JAW_HEAD JAW_QUERY
#define FILE_OF(more) NS MIRRORS ROWS JAWS more
/* One more derivation. */
#define OWNS(rest)                                                                                                     \
    FILE_OF("  - {name: second, to: jaws, key: {id: {uuid: jaw, of: jaw_id}}, touched: {scans: {columns: [jaw_id], "   \
            "keys: select id from touched}}, query: select 1 from scans, " rest "}\n")
#define DERIVE(rest) NS MIRRORS ROWS "derive:\n" JAW_HEAD JAW_QUERY "    " rest "\n"

static const struct table_text source_tables[] = {
    {"public", "dispatch_jaw", "id integer!; side character varying(5); mood public.mood; amount public.money2",
     .pk = "id"},
    {"public", "dispatch_instruction", "id integer!; patient_id integer; jaw_id integer; moods public.mood[]",
     .pk = "id"},
    {"public", "patient", "id integer!; name text", .pk = "id"},
    {"public", "scan", "id integer!; jaw_id integer", .pk = "id"},
    {"legacy", "tooth", "a integer!; b integer!; secret text; size numeric(6,2)", .pk = "a,b"},
    {.name = NULL},
};

static const struct table_text target_tables[] = {
    {"public", "patients", "id uuid!; name text", .pk = "id"},
    {"public", "jaws",
     "id uuid!; side text; n bigint; legacy_jaw_id integer; patient_id uuid; made text~; metadata jsonb; note json",
     .pk = "id", .uniques = "legacy_jaw_id", .fks = "patient_id>public.patients.id"},
    {"public", "scans", "id uuid!; jaw_id uuid; metadata jsonb", .pk = "id", .fks = "jaw_id>public.jaws.id"},
    {"public", "needy", "id uuid!; must text!; jaw_id uuid!", .pk = "id"},
    {"public", "pairs", "a uuid!; b uuid!; n integer", .pk = "a,b"},
    {.name = NULL},
};

static char *print_issues(const struct map_issues *issues)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    map_issues_print(issues, "m.yaml", out);
    fclose(out);
    return text;
}

struct fixture {
    struct catalog *source, *target;
    struct map *map;
    char *said;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->source = catalog_of(source_tables);
    f->target = catalog_of(target_tables);
    *state = f;
    return 0;
}

static void forget(struct fixture *f)
{
    map_free(f->map);
    free(f->said);
    f->map = NULL;
    f->said = NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    forget(f);
    catalog_free(f->source);
    catalog_free(f->target);
    free(f);
    return 0;
}

/* Loads, and binds where that went well: f->map (NULL after an error), f->said. */
static void take(struct fixture *f, const char *yaml, bool bound)
{
    struct map_issues issues = {0};
    struct err err = {0};
    forget(f);
    int status = map_load_memory("m.yaml", yaml, strlen(yaml), &f->map, &issues, &err);
    if (status == 0 && bound)
        status = map_bind(f->map, f->source, f->target, &issues, &err);
    f->said = print_issues(&issues);
    assert_int_equal(status == 0, !map_issues_have_errors(&issues));
    if (status < 0) {
        map_free(f->map);
        f->map = NULL;
    }
    map_issues_free(&issues);
}

static void take_good(struct fixture *f, const char *yaml, bool bound)
{
    take(f, yaml, bound);
    if (!f->map || *f->said)
        print_error("%s\n%s", yaml, f->said);
    assert_non_null(f->map);
    assert_string_equal(f->said, "");
}

static const struct {
    const char *yaml, *issue;
} refused[] = {
    /* mirrors and views */
    {"mirrors: [a]", "a mapping source table: {columns: [...]}"},
    {"mirrors: {t: {column: a}}", "\"column\" is no word of a mirror; did you mean \"columns\"?"},
    {"mirrors: {t: {columns: [a, a]}}", "\"a\" is named twice"},
    {"never: {t: [a]}\nmirrors: {t: {columns: a}}", "mirrors.t.columns: \"a\" is named under never:"},
    {"never: {t: [a]}\nmirrors: {t: {where: a > 1}}", "mirrors.t.where: \"a\" is named under never:"},
    {"mirrors: {t: {where: a + 1}}", "mirrors.t.where: "},
    {"mirrors: {t: {index: {a: b}}}", "a column, or a list of columns"},
    {"mirrors: {a.t: , b.t: }", "a mirror before is called \"t\" too"},
    {"mirrors: {t: }\nviews: {t: select 1}", "views.t: a mirror is called \"t\" already"},
    {"mirrors: {t: }\nviews: [v]", "a mapping name: query"},
    {"mirrors: {t: }\nviews: {a: select 1 from b, b: select 1 from a}", "views.a: views read each other in a circle"},
    /* the words of a derivation */
    {NS MIRRORS "derive: {to: jaws}", "a list of up to 5000 derivations"},
    {NS MIRRORS "derive: [jaws]", "a derivation must be a mapping"},
    {NS MIRRORS "derive: [{to: jaws}]", "a derivation needs \"key:\""},
    {NS MIRRORS "derive: [{to: jaws}]", "a derivation needs \"touched:\""},
    {NS MIRRORS "derive: [{to: jaws}]", "a derivation needs \"query:\""},
    {DERIVE("tuched: {}"), "\"tuched\" is no word of a derivation; did you mean \"touched\"?"},
    {DERIVE("gone: row"), "gone is delete, keep or {set: {column: constant}}"},
    {DERIVE("gone: {set: {id: x}}"), "a key column cannot be set by gone"},
    {DERIVE("reject: {category: x}"), "reject needs \"when:\""},
    {DERIVE("reject: {when: x, row: set}"), "a rejected key's row is keep or gone"},
    {OWNS("owns: n, reject: {when: x, row: gone}"), "a derivation with \"owns:\" never deletes"},
    {DERIVE("columns: [side, id]"), "\"id\" is a key column already"},
    {DERIVE("columns: [side, side]"), "\"side\" is named twice"},
    {DERIVE("columns: [side]\n    once: [sid]"),
     "\"sid\" is no column that this derivation owns; did you mean \"side\"?"},
    {DERIVE("references: {patient_id: patint}"),
     "no rule has a key of the entity \"patint\"; did you mean \"patient\"?"},
    {DERIVE("second_pass: side"), "\"side\" is no reference"},
    {DERIVE("references: {patient_id: {uuid: patient, required: true}}\n    second_pass: patient_id"),
     "\"patient_id\" is a required reference, which no second pass can fill"},
    {DERIVE("accept_loss: 200%"), "a number of rows, as 100, or a part of them"},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: [a, b]}, adopt: x}\n"
                     "    touched: {dispatch_jaw: select 1}\n    query: select 1\n",
     "derive[0].key.adopt: adopt names 1 column, but the legacy key has 2 parts"},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}, x: {uuid: patient, of: a}}\n"
                     "    touched: {dispatch_jaw: select 1}\n    query: select 1\n",
     "the key uses \"a\" twice"},
    {NS ROWS "  - {from: t, to: u, key: {id: id, adopt: x}}",
     "only rows whose key is a UUID of an entity of their own"},
    /* inputs */
    {NS MIRRORS ROWS
     "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}}\n    touched: {dispatch_jaws: select 1}\n"
     "    query: select 1\n",
     "there is no mirror \"dispatch_jaws\", and no rule writes a table of that name; did you mean \"dispatch_jaw\"?"},
    {NS MIRRORS ROWS "views: {v: select 1}\nderive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}}\n"
                     "    touched: {v: select 1}\n    query: select 1\n",
     "\"v\" is a view; name the tables that it reads"},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}}\n"
                     "    touched: {teeth: select 1, legacy.tooth: select 2}\n    query: select 1\n",
     "the table pgrekey_mirror.teeth is named twice under touched"},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}}\n    touched: {jaws: select 1}\n"
                     "    query: select 1\n",
     "the derivation reads the rows that it writes itself"},
    {OWNS("owns: [n], touched: {}"), "this key stands here twice"},
    {FILE_OF("  - {name: x, to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {jaws: select 1}, query: select 1, owns: "
             "n}\n"),
     "name the \"columns:\" whose changes matter"},
    {FILE_OF(
         "  - {name: x, to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {jaws: {columns: n, keys: select 1}}, query: "
         "select 1, owns: n}\n"),
     "\"n\" is written by this derivation itself"},
    /* owners */
    {OWNS("gone: keep"), "the entity \"jaw\" is owned by derive->jaws"},
    {OWNS("owns: [n], gone: delete"), "a derivation with \"owns:\" never deletes"},
    {OWNS("owns: [n], columns: [side]"), "\"owns:\" names the columns already"},
    {FILE_OF("  - {to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {scans: select 1}, query: select 1, owns: n}\n"),
     "a rule or derivation before is called \"derive->jaws\" too"},
    {FILE_OF("  - {to: patients, key: {id: {uuid: patient, of: a}}, touched: {scans: select 1}, query: select 1, owns: "
             "name}\n"),
     "the column \"name\" of patients is written by rule patient->patients already"},
    {FILE_OF("  - {to: patients, key: {id: {uuid: patient, of: a}}, touched: {scans: select 1}, query: select 1}\n"),
     "the entity \"patient\" is owned by rule patient->patients"},
    {FILE_OF(
         "  - {to: teeth, key: {id: {uuid: patient, of: a}}, touched: {scans: select 1}, query: select 1, owns: n}\n"),
     "no rule writes rows of teeth with this key"},
    {DERIVE("columns: [side, n]\n  - {name: x, to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {scans: select 1}, "
            "query: select 1, owns: n}"),
     "the column \"n\" of jaws is written by derive->jaws already"},
    /* circles */
    {NS MIRRORS
     "rows:\n  - {from: patient, to: patients, key: {id: {uuid: patient, of: id}}}\n"
     "derive:\n  - {to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {dispatch_jaw: select 1}, query: select 1, "
     "references: {other: tooth}}\n"
     "  - {to: teeth, key: {id: {uuid: tooth, of: a}}, touched: {jaws: select 1}, query: select 1}\n",
     "in a circle: derive->jaws > derive->teeth > derive->jaws; name the optional references"},
};

static void mistakes_are_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        take(f, refused[i].yaml, false);
        if (f->map || !strstr(f->said, refused[i].issue))
            print_error("case %zu: %s\nwants: %s\nsaid: %s", i, refused[i].yaml, refused[i].issue, f->said);
        assert_null(f->map);
        assert_non_null(strstr(f->said, refused[i].issue));
    }
}

static const struct {
    const char *yaml, *issue;
} unfit[] = {
    {NS "mirrors: {nothing: }\n", "there is no table public.nothing on the source"},
    {NS "mirrors: {patient: {columns: nam}}\n", "public.patient has no column \"nam\"; did you mean \"name\"?"},
    {NS "mirrors: {patient: {columns: id, index: [[id, name]]}}\n", "the mirror has no column \"name\" to be indexed"},
    {NS "mirrors: {patient: {where: nam > 'a'}}\n", "mirrors.patient.where: public.patient has no column \"nam\""},
    {DERIVE("columns: [sidd]"), "public.jaws has no column \"sidd\" on the target; did you mean \"side\"?"},
    {DERIVE("columns: [made]"), "\"made\" is generated on the target"},
    {DERIVE("columns: [note]\n    merge: note"), "\"note\" is json on the target; only jsonb can be merged"},
    {DERIVE("references: {n: patient}\n    columns: n"), "a UUID goes into \"n\", but that is bigint"},
    {DERIVE("gone: {set: {n: many}}"), "the constant for \"n\" does not fit bigint"},
    {DERIVE("gone: {set: {n: {stamp: at}}}"), "\"n\" is bigint on the target; only jsonb can be stamped"},
    {NS MIRRORS ROWS "derive:\n  - to: jaw\n    key: {id: {uuid: jaw, of: a}}\n    touched: {dispatch_jaw: select 1}\n"
                     "    query: select 1\n",
     "there is no table public.jaw on the target"},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {patient_id: {uuid: jaw, of: a}}\n"
                     "    touched: {dispatch_jaw: select 1}\n    query: select 1\n",
     "public.jaws has no primary key or unique index over exactly the key's columns"},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {n: {uuid: jaw, of: a}}\n"
                     "    touched: {dispatch_jaw: select 1}\n    query: select 1\n",
     "a UUID goes into \"n\""},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}}\n"
                     "    touched: {dispatch_jaw: {columns: mood, keys: select 1}}\n    query: select 1\n",
     "pgrekey_mirror.dispatch_jaw has no column \"mood\""},
    {NS MIRRORS ROWS "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: a}, adopt: legacy}\n"
                     "    touched: {dispatch_jaw: select 1}\n    query: select 1\n",
     "public.jaws has no column \"legacy\" on the target"},
    {FILE_OF("  - {to: needy, key: {id: {uuid: need, of: a}}, touched: {scans: select 1}, query: select 1, columns: "
             "[must]}\n"),
     "\"jaw_id\" of public.needy must not be NULL and has no default, but the derivation does not fill it"},
    {FILE_OF(
         "  - {to: needy, key: {id: {uuid: need, of: a}}, touched: {scans: select 1}, query: select 1, columns: [must, "
         "jaw_id], references: {jaw_id: jaw}, second_pass: jaw_id}\n"),
     "\"jaw_id\" must not be NULL on the target, so no second pass can fill it"},
};

static void what_does_not_fit_the_catalogues_is_refused(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        take(f, unfit[i].yaml, true);
        if (f->map || !strstr(f->said, unfit[i].issue))
            print_error("case %zu: %s\nwants: %s\nsaid: %s", i, unfit[i].yaml, unfit[i].issue, f->said);
        assert_null(f->map);
        assert_non_null(strstr(f->said, unfit[i].issue));
    }
}

/* "rule@level rule@level …" */
static const char *steps_of(const struct map *map, char *text, size_t size)
{
    size_t count;
    const struct map_step *steps = map_steps(map, &count);
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        const char *name = steps[i].kind == STEP_RULE ? map_rule(map, (size_t)steps[i].index)->name
                                                      : map_derivation(map, (size_t)steps[i].index)->name;
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%s%s@%d", i ? " " : "", name, steps[i].level);
    }
    return text;
}

static const struct rule *rule_named(const struct map *map, const char *name)
{
    for (size_t i = 0; i < map_rule_count(map); i++)
        if (strcmp(map_rule(map, i)->name, name) == 0)
            return map_rule(map, i);
    return NULL;
}

static void mirrors_derivations_and_rules_stand_in_one_order(void **state)
{
    struct fixture *f = *state;
    char text[1000];
    take_good(f, FILE_OF(""), true);
    assert_string_equal(steps_of(f->map, text, sizeof text),
                        "patient->patients@0 dispatch_jaw->pgrekey_mirror.dispatch_jaw@0 "
                        "dispatch_instruction->pgrekey_mirror.dispatch_instruction@0 "
                        "legacy.tooth->pgrekey_mirror.teeth@0 derive->jaws@1 scan->scans@2");
    const struct rule *scans = rule_named(f->map, "scan->scans");
    assert_int_equal(map_level_count(f->map), 3);
    assert_int_equal(map_rule_step(f->map, scans)->level, 2);
    assert_int_equal(map_rule_step(f->map, scans)->index, scans->index);
    assert_null(scans->columns[1].parent);
    assert_ptr_equal(scans->columns[1].parent_derivation, map_derivation(f->map, 0));
}

static void a_view_is_seen_through(void **state)
{
    struct fixture *f = *state;
    char text[1000];
    take_good(f,
              NS MIRRORS
              "views:\n  outer: select * from inner_one\n  inner_one: select 1 from teeth\nrows:\n"
              "  - {from: patient, to: patients, key: {id: {uuid: patient, of: id}}}\n"
              "derive:\n  - {to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {teeth: select 1}, query: 'select 1 "
              "from (keys join patients using (id))', reads: patients}\n",
              true);
    size_t count;
    const struct mirror_view *views = map_views(f->map, &count);
    assert_int_equal(count, 2);
    assert_string_equal(views[0].name, "inner_one");
    assert_non_null(strstr(steps_of(f->map, text, sizeof text), "derive->jaws@1"));
    take(f,
         NS MIRRORS
         "views:\n  outer: select * from inner_one\n  inner_one: select 1 from teeth\n"
         "derive:\n  - {to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {dispatch_jaw: select 1}, query: select 1 "
         "from outer}\n",
         false);
    assert_non_null(f->map);
    assert_non_null(
        strstr(f->said, "derive[0].query: the query reads pgrekey_mirror.teeth, whose changes lead to no key"));
}

static void a_second_pass_breaks_a_circle(void **state)
{
    struct fixture *f = *state;
    char text[1000];
    take_good(f,
              NS MIRRORS
              "derive:\n  - {to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {dispatch_jaw: select 1}, query: "
              "select 1, columns: [patient_id], references: {patient_id: patient}, second_pass: patient_id}\n"
              "  - {to: patients, key: {id: {uuid: patient, of: a}}, touched: {jaws: select 1}, query: select 1}\n",
              true);
    steps_of(f->map, text, sizeof text);
    assert_non_null(strstr(text, "derive->jaws@1 derive->patients@2"));
    assert_false(map_derivation(f->map, 0)->columns[0].required);
}

static void two_derivations_own_columns_of_one_table(void **state)
{
    struct fixture *f = *state;
    char text[1000];
    take_good(
        f,
        FILE_OF(
            "  - {name: first, to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {jaws: {columns: side, keys: select "
            "1}}, query: select 1, owns: patient_id}\n"
            "  - {name: second, to: jaws, key: {id: {uuid: jaw, of: a}}, touched: {jaws: {columns: patient_id, keys: "
            "select 1}}, query: select 1, owns: metadata}\n"),
        true);
    steps_of(f->map, text, sizeof text);
    assert_non_null(strstr(text, "derive->jaws@1 "));
    assert_non_null(strstr(text, "first@2 second@3"));
    assert_null(map_derivation(f->map, 1)->entity);
    assert_false(map_derivation(f->map, 1)->owns_rows);
}

static void a_merged_column_is_marked_on_both_sides(void **state)
{
    struct fixture *f = *state;
    take_good(
        f,
        FILE_OF("  - {to: scans, key: {id: {uuid: scan, of: a}}, touched: {teeth: select 1}, query: select 1, owns: "
                "metadata, merge: metadata}\n"),
        true);
    const struct rule *scans = rule_named(f->map, "scan->scans");
    assert_string_equal(scans->columns[2].name, "metadata");
    assert_true(scans->columns[2].merge);
    assert_false(scans->columns[1].merge);
    assert_true(map_derivation(f->map, 1)->columns[0].merge);
}

static void a_mirrors_table_is_made_of_the_source(void **state)
{
    struct fixture *f = *state;
    take_good(f,
              NS
              "never: {legacy.tooth: [secret]}\nmirror_schema: side\nmirrors: {dispatch_jaw: , dispatch_instruction: , "
              "legacy.tooth: {index: [size, [b, a], \"(lower(a, b))\"], where: size > 0}}\n",
              true);
    const struct rule *rule = map_rule(f->map, 0);
    const struct relation *jaw = map_rule_target(f->map, rule);
    assert_true(rule->mirror);
    assert_string_equal(jaw->schema, "side");
    assert_string_equal(jaw->columns[1].type, "character varying");
    assert_string_equal(jaw->columns[2].type, "text");
    assert_true(jaw->columns[0].not_null);
    assert_string_equal(map_rule_target(f->map, map_rule(f->map, 1))->columns[3].type, "text[]");
    rule = map_rule(f->map, 2);
    const struct relation *tooth = map_rule_target(f->map, rule);
    assert_int_equal(tooth->column_count, 3);
    assert_int_equal(tooth->pk_count, 2);
    assert_string_equal(tooth->columns[2].type, "numeric");
    assert_int_equal(rule->mirror_index_count, 3);
    assert_string_equal(rule->mirror_indexes[1], "b,a");
    assert_string_equal(rule->mirror_indexes[2], "(lower(a, b))");
    assert_true(rule->may_exclude);
}

static int describe(struct fixture *f, const char *const *names, size_t count)
{
    struct map_issues issues = {0};
    struct err err = {0};
    int status = map_derivation_describe(f->map, 0, names, count, &issues, &err);
    free(f->said);
    f->said = print_issues(&issues);
    map_issues_free(&issues);
    return status;
}

static void columns_come_from_the_described_query(void **state)
{
    struct fixture *f = *state;
    static const char *const result[] = {"jaw_id", "side", "n", "patient_id", "hits"};
    take_good(
        f,
        DERIVE("once: n\n    references: {patient_id: {uuid: patient, required: true}}\n    reject: {when: hits <> 1}"),
        true);
    const struct derivation *derivation = map_derivation(f->map, 0);
    assert_int_equal(derivation->column_count, 0);
    assert_string_equal(derivation->columns[0].name, "patient_id"); /* what the file says more of */
    assert_string_equal(derivation->columns[0].parent_entity, "patient");
    assert_string_equal(derivation->columns[1].name, "n");
    assert_true(derivation->columns[1].once);
    assert_null(derivation->columns[2].name);
    assert_int_equal(describe(f, result, 5), 0);
    assert_string_equal(f->said, "");
    assert_int_equal(derivation->column_count, 3);
    assert_string_equal(derivation->columns[1].name, "n");
    assert_true(derivation->columns[1].once);
    assert_true(derivation->columns[2].required);
    assert_string_equal(derivation->columns[2].parent_entity, "patient");
    assert_string_equal(derivation->reject_category, "'validation_failure'");
    assert_int_equal(describe(f, result, 2), -1);
    assert_non_null(strstr(f->said, "the query gives no column \"n\""));
    static const char *const wrong[] = {"jaw_id", "sides", "n", "patient_id"};
    assert_int_equal(describe(f, wrong, 4), -1);
    assert_non_null(strstr(f->said,
                           "a column \"sides\", which public.jaws does not have and nothing else uses; did you "
                           "mean \"side\"?"));
    static const char *const keyless[] = {"side", "n", "patient_id"};
    assert_int_equal(describe(f, keyless, 3), -1);
    assert_non_null(strstr(f->said, "the query gives no column \"jaw_id\", which the key is made of"));
}

static void a_described_column_has_one_owner_too(void **state)
{
    struct fixture *f = *state;
    static const char *const result[] = {"jaw_id", "side", "n"};
    take_good(f, OWNS("owns: n"), true);
    assert_int_equal(describe(f, result, 3), -1);
    assert_non_null(strstr(f->said, "the column \"n\" of jaws is written by second already"));
}

static void queries_of_adoption_are_found(void **state)
{
    struct fixture *f = *state;
    struct map_adopt_query query;
    take_good(f,
              NS MIRRORS "rows:\n"
                         "  - from: patient\n    to: patients\n    columns: {name: name}\n"
                         "    key: {id: {uuid: patient, of: [id, name]}, adopt: {sql: select 1}}\n    identity: name\n"
                         "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: jaw_id}, adopt: {sql: select 2}}\n"
                         "    touched: {dispatch_jaw: select id from touched}\n    reject: {when: jaw_id > 7}\n"
                         "    query: select id as jaw_id, side from dispatch_jaw\n",
              false);
    assert_true(map_adopt_query(f->map, 0, &query));
    assert_string_equal(query.sql, "select 1");
    assert_int_equal(query.part_count, 2);
    assert_int_equal(query.line, 10);
    assert_true(map_adopt_query(f->map, 1, &query));
    assert_string_equal(query.name, "derive->jaws");
    assert_int_equal(query.part_count, 1);
    assert_false(map_adopt_query(f->map, 2, &query));
    assert_int_equal(map_derivation_keys_line(f->map, 0, 0), 15);
    assert_int_equal(map_derivation_reject_line(f->map, 0), 16);
    assert_int_equal(map_derivation_query_line(f->map, 0), 17);
}

static void params_stand_in_sql_as_literals(void **state)
{
    struct fixture *f = *state;
    size_t count;
    take_good(
        f,
        NS "params: {group: 11, rate: 0.5, code: 007, on: true, \"who\": \"o'Hara\", none: null, minus: -3}\n" MIRRORS
           "views: {v: \"select :who as who, ':who' as t, id::text as i, :none as n from dispatch_jaw\"}\n"
           "derive:\n  - to: jaws\n    key: {id: {uuid: jaw, of: jaw_id}}\n"
           "    touched: {dispatch_jaw: 'select id from touched where id > :group'}\n"
           "    reject: {when: 'jaw_id > :rate', category: 'case when :on then :code end'}\n"
           "    query: 'select (array[1])[1 : id] /* :nothing */, id as jaw_id, :minus as side from "
           "dispatch_jaw'\n",
        false);
    const struct derivation *derivation = map_derivation(f->map, 0);
    assert_string_equal(map_views(f->map, &count)[0].query,
                        "select 'o''Hara' as who, ':who' as t, id::text as i, NULL as n from dispatch_jaw");
    assert_string_equal(derivation->inputs[0].keys, "select id from touched where id > 11");
    assert_string_equal(derivation->reject_when, "jaw_id > 0.5");
    assert_string_equal(derivation->reject_category, "case when true then '007' end");
    assert_non_null(strstr(derivation->query, "'-3' as side"));
    assert_non_null(strstr(derivation->query, "[1 : id] /* :nothing */"));
    take(f, NS "params: {group: 11}\n" MIRRORS "views: {v: 'select :groop from dispatch_jaw'}\n", false);
    assert_null(f->map);
    assert_non_null(strstr(f->said, "views.v: there is no param \"groop\"; did you mean \"group\"?"));
}

static void thresholds_are_rows_or_parts(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *yaml;
        int kind;
        uint64_t value;
    } cases[] = {
        {DERIVE("accept_loss: 12"), LOSS_ROWS, 12},       {DERIVE("accept_loss: 0.5%"), LOSS_PPM, 5000},
        {DERIVE("accept_loss: 100%"), LOSS_PPM, 1000000}, {DERIVE("accept_loss: 0.0001%"), LOSS_PPM, 1},
        {DERIVE("skip: false"), LOSS_UNSAID, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        take_good(f, cases[i].yaml, false);
        assert_int_equal(map_derivation(f->map, 0)->accept_loss.kind, cases[i].kind);
        assert_int_equal(map_derivation(f->map, 0)->accept_loss.value, cases[i].value);
    }
}

struct prints {
    char whole[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX];
    char step[FINGERPRINT_TEXT_MAX], step_identity[FINGERPRINT_TEXT_MAX]; /* of the derivation */
};

static struct prints prints_of(struct fixture *f, const char *yaml)
{
    struct prints prints;
    struct map_step step = {STEP_DERIVATION, 0, 0};
    take_good(f, yaml, true);
    map_fingerprint(f->map, prints.whole, prints.identity);
    map_step_fingerprint(f->map, &step, prints.step, prints.step_identity);
    return prints;
}

static void fingerprints_tell_which_step_changed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *yaml;
        bool whole, identity, step, step_identity; /* differ */
    } cases[] = {
        {FILE_OF("# the same\n"), false, false, false, false},
        {FILE_OF("    gone: keep\n"), true, false, true, false},
        {FILE_OF("    once: n\n"), true, false, true, false},
        {FILE_OF("    references: {patient_id: patient}\n"), true, false, true, false},
        {FILE_OF("views: {v: select 1}\n"), true, false, false, false},
        {NS MIRRORS ROWS "    accept_loss: 5\n" JAWS, false, false, false, false},
        {NS MIRRORS ROWS "    skip: true\n" JAWS, true, false, false, false},
        {FILE_OF("    name: other\n"), true, true, true, true},
        {NS MIRRORS ROWS "derive:\n" JAW_HEAD "    query: select 1\n", true, false, true, false},
        {NS ROWS JAWS "mirrors: {dispatch_jaw: {columns: [id, side]}, dispatch_instruction: {columns: [id, patient_id, "
                      "jaw_id]}, legacy.tooth: {name: teeth}}\n",
         true, false, false, false},
    };
    struct prints first = prints_of(f, FILE_OF(""));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct prints prints = prints_of(f, cases[i].yaml);
        if ((strcmp(first.whole, prints.whole) != 0) != cases[i].whole)
            print_error("case %zu", i);
        assert_int_equal(strcmp(first.whole, prints.whole) != 0, cases[i].whole);
        assert_int_equal(strcmp(first.identity, prints.identity) != 0, cases[i].identity);
        assert_int_equal(strcmp(first.step, prints.step) != 0, cases[i].step);
        assert_int_equal(strcmp(first.step_identity, prints.step_identity) != 0, cases[i].step_identity);
    }
}

static void a_view_is_part_of_who_reads_it(void **state)
{
    struct fixture *f = *state;
#define READER(text) NS MIRRORS ROWS "views: {v: " text "}\nderive:\n" JAW_HEAD "    query: select side from v\n"
    struct prints a = prints_of(f, READER("select 1 from dispatch_jaw"));
    struct prints b = prints_of(f, READER("select 2 from dispatch_jaw"));
    assert_string_not_equal(a.step, b.step);
    assert_string_equal(a.step_identity, b.step_identity);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mistakes_are_refused),
        TEST(what_does_not_fit_the_catalogues_is_refused),
        TEST(mirrors_derivations_and_rules_stand_in_one_order),
        TEST(a_view_is_seen_through),
        TEST(a_second_pass_breaks_a_circle),
        TEST(two_derivations_own_columns_of_one_table),
        TEST(a_merged_column_is_marked_on_both_sides),
        TEST(a_mirrors_table_is_made_of_the_source),
        TEST(columns_come_from_the_described_query),
        TEST(a_described_column_has_one_owner_too),
        TEST(queries_of_adoption_are_found),
        TEST(params_stand_in_sql_as_literals),
        TEST(thresholds_are_rows_or_parts),
        TEST(fingerprints_tell_which_step_changed),
        TEST(a_view_is_part_of_who_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
