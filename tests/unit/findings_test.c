#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/findings.h"
#include "cdc/app/cmd/term.h"

static char *printed(const struct findings *findings, bool without_info)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    findings_print(findings, without_info, out);
    fclose(out);
    return text;
}

static void errors_come_first_within_their_side(void **state)
{
    (void)state;
    struct findings findings = {0};
    findings_add(&findings, FINDING_INFO, "source", "version", NULL, "PostgreSQL %d", 15);
    findings_add(&findings, FINDING_ERROR, "target", "schema", "run: pgrekey init", "no schema");
    findings_add(&findings, FINDING_ERROR, "source", "wal_level", "ALTER SYSTEM;", "wal_level is replica");
    assert_int_equal(findings_count(&findings, FINDING_ERROR), 2);
    char *text = printed(&findings, false);
    assert_string_equal(text, "source\n"
                              "  error    wal_level is replica\n"
                              "           ALTER SYSTEM;\n"
                              "  info     PostgreSQL 15\n"
                              "target\n"
                              "  error    no schema\n"
                              "           run: pgrekey init\n");
    free(text);
    text = printed(&findings, true);
    assert_null(strstr(text, "PostgreSQL 15"));
    free(text);
    findings_done(&findings);
}

static void table_is_as_wide_as_its_cells(void **state)
{
    (void)state;
    static const char *const cells[] = {"name", ">n", "aé", "12", NULL, "3"};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    term_table(out, 2, 3, cells);
    fclose(out);
    assert_string_equal(text, "  name   n\n  aé    12\n  -      3\n");
    free(text);
}

static void text_is_wrapped_at_words(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    term_wrap(out, "one two three\nfour", "  ", 9);
    fclose(out);
    assert_string_equal(text, "  one two\n  three\n  four\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_come_first_within_their_side),
        cmocka_unit_test(table_is_as_wide_as_its_cells),
        cmocka_unit_test(text_is_wrapped_at_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
