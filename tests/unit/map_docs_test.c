/* Every YAML example in docs/mapping.md is a mapping that loads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cdc/base/buf.h"
#include "transform/map.h"

static const char head[] = "namespace: 0c1d2e3f-4051-5263-8495-a6b7c8d9eafb\n"
                           "rows:\n"
                           "- {from: office, to: office, key: {id: {uuid: office, of: id}}}\n"
                           "- {from: profile, to: profile, key: {id: {uuid: profile, of: id}}}\n"
                           "- {from: order, to: order, key: {id: {uuid: order, of: id}}}\n"
                           "- from: t\n"
                           "  to: t\n"
                           "  key: {id: id}\n"
                           "  ";

static char *read_docs(void)
{
    struct buf text;
    char piece[4096];
    size_t got;
    FILE *file = fopen(PGREKEY_DOCS_DIR "/mapping.md", "r");
    assert_non_null(file);
    buf_init(&text, 1 << 20);
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(&text, piece, got);
    fclose(file);
    return text.data;
}

/* A fragment that begins with "columns:" becomes part of a rule. */
static void put_example(struct buf *out, const char *begin, const char *end)
{
    bool fragment = strncmp(begin, "columns:", 8) == 0;
    if (fragment)
        buf_puts(out, head);
    for (; begin < end; begin++) {
        buf_putc(out, *begin);
        if (fragment && *begin == '\n')
            buf_puts(out, "  ");
    }
}

static bool loads(const struct buf *example)
{
    struct map *map = NULL;
    struct map_issues issues = {0};
    struct err err = {0};
    int status = map_load_memory("mapping.md", buf_text(example), example->len, &map, &issues, &err);
    bool clean = status == 0 && issues.count == 0;
    if (!clean) {
        print_error("%s\n", buf_text(example));
        map_issues_print(&issues, "example", stderr);
    }
    map_issues_free(&issues);
    map_free(map);
    return clean;
}

static void every_example_loads(void **state)
{
    (void)state;
    char *docs = read_docs();
    size_t examples = 0, bad = 0;
    for (const char *at = docs; (at = strstr(at, "```yaml\n"));) {
        const char *begin = at + strlen("```yaml\n"), *end = strstr(begin, "\n```");
        struct buf example;
        assert_non_null(end);
        buf_init(&example, 1 << 20);
        put_example(&example, begin, end + 1);
        bad += !loads(&example);
        buf_done(&example);
        examples++;
        at = end + 4;
    }
    free(docs);
    assert_true(examples >= 10);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_example_loads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
