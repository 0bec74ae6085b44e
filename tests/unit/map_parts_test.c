/* A mapping in several files: what adds up, what does not, and where a mistake is said to stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "transform/map.h"

#define TOP                                                                                                            \
    "namespace: 0c1d2e3f-4051-5263-8495-a6b7c8d9eafb\n"                                                                \
    "include: [people.yaml, sub/orders.yaml]\n"                                                                        \
    "params: {a: 1}\n"
#define RULE(from, to) "  - {from: " from ", to: " to ", key: {id: {uuid: " to ", of: id}}}\n"

struct dir {
    char path[64];
};

static void write_file(const struct dir *dir, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int dir_new(void **state)
{
    struct dir *dir = calloc(1, sizeof(*dir));
    assert_non_null(dir);
    strcpy(dir->path, "/tmp/pgrekey-parts.XXXXXX");
    assert_non_null(mkdtemp(dir->path));
    char sub[96];
    snprintf(sub, sizeof(sub), "%s/sub", dir->path);
    assert_int_equal(mkdir(sub, 0700), 0);
    *state = dir;
    return 0;
}

static int dir_free(void **state)
{
    struct dir *dir = *state;
    static const char *const names[] = {"m.yaml", "people.yaml", "sub/orders.yaml", "sub", ""};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir->path, names[i]);
        assert_int_equal(remove(path), 0);
    }
    free(dir);
    return 0;
}

/* What loading says: issues as printed, the directory's name taken out; the error where there are none. */
static struct map *load(const struct dir *dir, char **ret_said)
{
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    char path[96], *said = NULL;
    size_t len;
    snprintf(path, sizeof(path), "%s/m.yaml", dir->path);
    int status = map_load(path, &map, &issues, &err);
    FILE *out = open_memstream(&said, &len);
    map_issues_print(&issues, path, out);
    if (status != 0 && issues.count == 0)
        fputs(err.message, out);
    fclose(out);
    for (char *at; (at = strstr(said, dir->path));)
        memmove(at, at + strlen(dir->path) + 1, strlen(at + strlen(dir->path) + 1) + 1);
    map_issues_free(&issues);
    *ret_said = said;
    return map;
}

static void sections_of_all_files_add_up(void **state)
{
    char *said;
    write_file(*state, "m.yaml", TOP "rows:\n" RULE("a", "b"));
    write_file(*state, "people.yaml", "params: {b: 2}\nrows:\n" RULE("c", "d") "mirrors: {m: {columns: [x]}}\n");
    write_file(*state, "sub/orders.yaml",
               "rows:\n  - {from: e, to: f, key: {id: {uuid: f, of: id}}, columns: {x: {param: b}, y: {param: a}}}\n"
               "mirrors: {n: {}}\n");
    struct map *map = load(*state, &said);
    assert_string_equal(said, "");
    assert_non_null(map);
    assert_int_equal(map_rule_count(map), 3);
    assert_string_equal(map_rule(map, 2)->to_table, "f");
    assert_true(map_has_mirrors(map));
    map_free(map);
    free(said);
}

/* Which file a rule stands in is not what it means. */
static void the_fingerprint_is_that_of_one_file(void **state)
{
    char apart[FINGERPRINT_TEXT_MAX], together[FINGERPRINT_TEXT_MAX], identity[FINGERPRINT_TEXT_MAX], *said;
    write_file(*state, "m.yaml", TOP);
    write_file(*state, "people.yaml", "rows:\n" RULE("c", "d"));
    write_file(*state, "sub/orders.yaml", "rows:\n" RULE("e", "f"));
    struct map *map = load(*state, &said);
    assert_string_equal(said, "");
    map_fingerprint(map, apart, identity);
    map_free(map);
    free(said);
    write_file(*state, "m.yaml",
               "namespace: 0c1d2e3f-4051-5263-8495-a6b7c8d9eafb\nparams: {a: 1}\nrows:\n" RULE("c", "d")
                   RULE("e", "f"));
    map = load(*state, &said);
    assert_string_equal(said, "");
    map_fingerprint(map, together, identity);
    assert_string_equal(apart, together);
    map_free(map);
    free(said);
}

static void mistakes_are_named_with_their_file(void **state)
{
    static const char fine[] = "rows:\n" RULE("c", "d");
    static const struct {
        const char *top, *people, *orders, *said;
    } cases[] = {
        {TOP, "rows:\n  - {from: c, too: d}\n", fine, "people.yaml:2:20: rows[0].too: \"too\" is no word of a rule"},
        {TOP, fine, "\nrows:\n\n  - {from: c}\n", "sub/orders.yaml:4:5: rows[0]: a rule needs \"to:\""},
        {TOP "rowss: []\n", fine, fine, "m.yaml:4:8: rowss: \"rowss\" is no word of a mapping file"},
        {TOP, fine, "rows: [", "sub/orders.yaml:2:1: not YAML"},
        {TOP, "\xff", fine, "people.yaml:1:0: not UTF-8 text"},
        {TOP, fine, "[]", "sub/orders.yaml:1:1: a mapping file is a mapping"},
        {TOP, fine, "rows: {}", "sub/orders.yaml:1:7: rows: a list must stand here"},
        {TOP, "params: {a: 2}", fine, "people.yaml:1:13: params.a: another part of the mapping has this key already"},
        {TOP, "mirrors: {m: {}}", "mirrors: {m: {}}",
         "sub/orders.yaml:1:14: mirrors.m: another part of the mapping has this key already"},
        {TOP, "target_schema: a", "target_schema: b",
         "sub/orders.yaml:1:16: target_schema: another part of the mapping has \"target_schema:\" already"},
        {TOP, fine, "include: [x.yaml]",
         "sub/orders.yaml:1:10: include: a file that is included cannot include others"},
        {"include: people.yaml", fine, fine, "m.yaml:1:10: include: a list of files, beside this one, must stand here"},
        {"include: [gone.yaml]", fine, fine, "cannot open the mapping gone.yaml: No such file or directory"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *said;
        write_file(*state, "m.yaml", cases[i].top);
        write_file(*state, "people.yaml", cases[i].people);
        write_file(*state, "sub/orders.yaml", cases[i].orders);
        assert_null(load(*state, &said));
        if (!strstr(said, cases[i].said))
            fail_msg("case %zu says: %s", i, said);
        free(said);
    }
}

/* Without files there is nothing to include, and nobody is to think that there was. */
static void a_text_alone_includes_nothing(void **state)
{
    (void)state;
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    assert_int_equal(map_load_memory("m.yaml", TOP, strlen(TOP), &map, &issues, &err), -1);
    assert_string_equal(issues.items[0].message, "nothing can be included from here");
    map_issues_free(&issues);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_of_all_files_add_up),
        cmocka_unit_test(the_fingerprint_is_that_of_one_file),
        cmocka_unit_test(mistakes_are_named_with_their_file),
        cmocka_unit_test(a_text_alone_includes_nothing),
    };
    return cmocka_run_group_tests(tests, dir_new, dir_free);
}
