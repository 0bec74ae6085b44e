#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "cdc/base/log.h"

static char captured[1 << 20];

/* What `act` wrote to stderr. */
static const char *capture(void (*act)(void))
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    /* several writers share the end of the file, as with a journal */
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_APPEND), 0);
    act();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    rewind(file);
    captured[fread(captured, 1, sizeof(captured) - 1, file)] = '\0';
    fclose(file);
    return captured;
}

static void write_one(void)
{
    log_event(LOG_INFO, "slot_created", "slot=%s lsn=%s", "s1", "0/10");
}

static void line_has_time_level_event_and_fields(void **state)
{
    (void)state;
    const char *line = capture(write_one);
    assert_int_equal(strncmp(line, "ts=2", 4), 0);
    assert_string_equal(line + strlen("ts=2025-01-01T00:00:00.000Z"),
                        " level=info event=slot_created slot=s1 lsn=0/10\n");
}

static void write_all_levels(void)
{
    log_event(LOG_ERROR, "a", "%s", "");
    log_event(LOG_WARN, "b", "%s", "");
    log_event(LOG_INFO, "c", "%s", "");
    log_event(LOG_DEBUG, "d", "%s", "");
}

static void level_decides_what_is_written(void **state)
{
    (void)state;
    static const int lines[] = {1, 2, 3, 4};
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        log_set_level((enum log_level)level);
        assert_int_equal(log_get_level(), level);
        int count = 0;
        for (const char *at = capture(write_all_levels); (at = strchr(at, '\n')); at++)
            count++;
        assert_int_equal(count, lines[level]);
    }
    assert_non_null(strstr(captured, "level=warn event=b\n"));
    log_set_level(LOG_INFO);
}

static void write_line_break(void)
{
    log_event(LOG_INFO, "e", "table=\"%s\"", "a\nlevel=error\tb");
}

static void a_name_cannot_begin_a_line_of_its_own(void **state)
{
    (void)state;
    assert_non_null(strstr(capture(write_line_break), "table=\"a level=error b\"\n"));
}

static void write_long(void)
{
    char text[10000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_event(LOG_INFO, "e", "%s", text);
}

static void an_overlong_line_is_cut_and_ends(void **state)
{
    (void)state;
    const char *line = capture(write_long);
    assert_in_range(strlen(line), 4000, 4096);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

static void *write_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++)
        log_event(LOG_INFO, "many", "a=%s b=%s", "0123456789", "0123456789");
    return NULL;
}

static void write_from_threads(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    int count = 0;
    for (const char *at = capture(write_from_threads), *end; (end = strchr(at, '\n')); at = end + 1, count++) {
        static const char tail[] = " level=info event=many a=0123456789 b=0123456789";
        assert_int_equal(end - at, strlen("ts=2025-01-01T00:00:00.000Z") + strlen(tail));
        assert_int_equal(strncmp(end - strlen(tail), tail, strlen(tail)), 0);
    }
    assert_int_equal(count, 800);
}

static void quotes_are_escaped_and_never_cut_in_half(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *quoted;
    } cases[] = {
        {"plain words", 32, "\"plain words\""},
        {"slot \"a\" is taken", 32, "\"slot \\\"a\\\" is taken\""},
        {"back\\slash", 32, "\"back\\\\slash\""},
        {"", 32, "\"\""},
        {"abc", 6, "\"abc\""},
        {"abcd", 6, "\"abc\""},
        {"ab\"", 6, "\"ab\""}, /* two bytes for the quote no longer fit */
        {"abc", 2, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[32];
        assert_string_equal(log_quote(cases[i].text, out, cases[i].size), cases[i].quoted);
    }
}

static void a_line_as_json(void **state)
{
    (void)state;
    static const struct {
        const char *line, *json;
    } cases[] = {
        {"ts=1 level=info event=x", "{\"ts\":\"1\",\"level\":\"info\",\"event\":\"x\"}"},
        {"event=x msg=\"in \\\"quotes\\\", a=b\" n=3",
         "{\"event\":\"x\",\"msg\":\"in \\\"quotes\\\", a=b\",\"n\":\"3\"}"},
        {"event=x sqlstate= msg=\"cut", "{\"event\":\"x\",\"sqlstate\":\"\",\"msg\":\"cut\"}"},
        {"event=x stray path=a\\b", "{\"event\":\"x\",\"path\":\"a\\\\b\"}"},
        {"", "{}"},
    };
    char out[256];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(log_line_json(cases[i].line, out, sizeof(out)), strlen(cases[i].json));
        assert_string_equal(out, cases[i].json);
    }
    char small[40];
    size_t len = log_line_json("event=x msg=\"much more than there is room for\"", small, sizeof(small));
    assert_true(len < sizeof(small) && small[len - 1] == '}');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_as_json),
        cmocka_unit_test(line_has_time_level_event_and_fields),
        cmocka_unit_test(level_decides_what_is_written),
        cmocka_unit_test(a_name_cannot_begin_a_line_of_its_own),
        cmocka_unit_test(an_overlong_line_is_cut_and_ends),
        cmocka_unit_test(lines_of_threads_do_not_mix),
        cmocka_unit_test(quotes_are_escaped_and_never_cut_in_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
