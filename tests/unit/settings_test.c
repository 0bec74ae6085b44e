#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/settings/settings_table.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct setting *setting_named(const char *name)
{
    size_t count;
    const struct setting *table = settings_table(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    fail_msg("there is no setting %s", name);
    return NULL;
}

static void every_default_is_valid_and_every_setting_documented(void **state)
{
    (void)state;
    struct settings *settings;
    struct err err = {0};
    size_t count;
    const struct setting *table = settings_table(&count);
    assert_int_equal(settings_load_memory("empty", "", 0, &settings, &err), 0);
    for (size_t i = 0; i < count; i++) {
        int64_t number;
        assert_true(strlen(table[i].doc) > 10);
        if (table[i].type >= SETTING_COUNT)
            assert_int_equal(setting_parse_number(&table[i], table[i].fallback, &number, &err), 0);
    }
    assert_string_equal(settings->pipeline, "pgrekey");
    assert_string_equal(settings->source_slot, "pgrekey");
    assert_null(settings->source_dsn);
    assert_int_equal(settings->reconnect_max_ms, 30000);
    assert_int_equal(settings->batch_max_bytes, 8 << 20);
    assert_true(settings->source_timestamps);
    settings_free(settings);
}

static void names_of_settings_are_unique_and_of_their_environment_too(void **state)
{
    (void)state;
    size_t count;
    const struct setting *table = settings_table(&count);
    char a[SETTING_ENV_MAX], b[SETTING_ENV_MAX];
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(table[i].name, table[j].name);
            assert_string_not_equal(setting_env_name(&table[i], a), setting_env_name(&table[j], b));
        }
    assert_string_equal(setting_env_name(setting_named("source.slot_wait"), a), "PGREKEY_SOURCE_SLOT_WAIT");
}

static void numbers_are_read_with_their_unit(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *text;
        int64_t value; /* -1: refused */
    } cases[] = {
        {"source.status_interval", "250ms", 250},
        {"source.status_interval", "2s", 2000},
        {"source.status_interval", "2 s", 2000},
        {"source.status_interval", "1min", 60000},
        {"source.status_interval", "1", -1},
        {"source.status_interval", "", -1},
        {"source.status_interval", "-1s", -1},
        {"source.status_interval", "1 fortnight", -1},
        {"source.status_interval", "99999999999999999999s", -1},
        {"source.status_interval", "9223372036854775807d", -1},
        {"source.slot_wait", "90s", 90},
        {"source.slot_wait", "1h", 3600},
        {"source.slot_wait", "1500ms", -1},
        {"source.slot_wait", "0", -1},
        {"target.statement_timeout", "0", 0},
        {"batch.max_bytes", "16MB", 16 << 20},
        {"batch.max_bytes", "64kB", 64 << 10},
        {"batch.max_bytes", "16mb", -1},
        {"batch.max_bytes", "1GB", 1 << 30},
        {"batch.max_bytes", "2GB", -1},
        {"breaker.percent", "100", 100},
        {"breaker.percent", "101", -1},
        {"breaker.percent", "20%", -1},
        {"batch.max_rows", "1e3", -1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct err err = {0};
        int64_t value = -1;
        int status = setting_parse_number(setting_named(cases[i].setting), cases[i].text, &value, &err);
        print_message("%s %s\n", cases[i].setting, cases[i].text);
        assert_int_equal(status, cases[i].value < 0 ? -1 : 0);
        if (status == 0)
            assert_int_equal(value, cases[i].value);
        else
            assert_int_equal(err.kind, ERR_CONFIG);
    }
}

static void wrong_files_are_refused_with_line_and_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message, *hint;
    } cases[] = {
        {"source:\n  dns: x\n", "s.yaml:2:3: unknown setting source.dns", "did you mean source.dsn?"},
        {"sorce:\n  dsn: x\n", "s.yaml:1:1: unknown setting sorce", NULL},
        {"source:\n  password: hunter2\n", "s.yaml:2:3: unknown setting source.password",
         "did you mean source.password_file?"},
        {"batch:\n  max_rows: many\n", "s.yaml:2:13: batch.max_rows: wants a whole number", NULL},
        {"batch:\n  max_rows: 0\n", "s.yaml:2:13: batch.max_rows: is out of range: 1 to 1000000", NULL},
        {"batch:\n  max_bytes: 1kB\n", "s.yaml:2:14: batch.max_bytes: is out of range: 64kB to 1GB", NULL},
        {"reconnect:\n  max: 5\n", "wants a duration with its unit", NULL},
        {"source: x\n", "s.yaml:1:9: source is a section", NULL},
        {"source: [dsn]\n", "source is a section", NULL},
        {"source:\n  dsn: [x]\n", "source.dsn wants a single value", NULL},
        {"source:\n  slot: My-Slot\n", "source.slot: wants 1 to 63 characters of a-z, 0-9 and _", NULL},
        {"pipeline: a\npipeline: b\n", "s.yaml:2:11: pipeline stands here a second time", NULL},
        {"log: {level: loud}\n", "log.level: wants one of error|warn|info|debug", NULL},
        {"source: {timestamps: maybe}\n", "wants true or false", NULL},
        {"reconnect: {min: 10s, max: 5s}\n", "reconnect.min is larger than reconnect.max", NULL},
        {"- a\n", "settings are expected as `name: value`", NULL},
        {"a: b: c\n", "no valid YAML", NULL},
        {"&a a: *a\n", "unknown setting", NULL},
        {"source: &a\n  x: *a\n", "s.yaml:2:3: unknown setting source.x", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct settings *settings;
        struct err err = {0};
        assert_int_equal(settings_load_memory("s.yaml", cases[i].text, strlen(cases[i].text), &settings, &err), -1);
        print_message("%s | %s\n", err.message, err.hint);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.message, cases[i].message));
        if (cases[i].hint)
            assert_string_equal(err.hint, cases[i].hint);
        assert_null(strstr(err.message, "hunter2"));
    }
}

static void sections_and_dotted_names_mean_the_same(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "source:\n  dsn: host=a\n  timestamps: off\n",
        "source.dsn: host=a\nsource.timestamps: false\n",
        "source: {dsn: 'host=a', timestamps: no}\ntarget:\nsnapshot:\n  # workers: 2\n",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct settings *settings;
        struct err err = {0};
        assert_int_equal(settings_load_memory("s.yaml", texts[i], strlen(texts[i]), &settings, &err), 0);
        assert_string_equal(settings->source_dsn, "host=a");
        assert_false(settings->source_timestamps);
        settings_free(settings);
    }
}

static char *write_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/pgrekey_settings_%d.yaml", (int)getpid());
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    return path;
}

static void command_line_wins_over_environment_over_file_over_default(void **state)
{
    (void)state;
    struct settings *settings;
    struct err err = {0};
    const struct setting_override override = {"source.slot", "from_line"};
    const char *path = write_file("source: {slot: from_file}\ntarget: {role: from_file}\nmapping: m.yaml\n");
    setenv("PGREKEY_SOURCE_SLOT", "from_env", 1);
    setenv("PGREKEY_PIPELINE", "from_env", 1);

    assert_int_equal(settings_load(path, &override, 1, &settings, &err), 0);
    assert_string_equal(settings->source_slot, "from_line");
    assert_string_equal(settings->pipeline, "from_env");
    assert_string_equal(settings->target_role, "from_file");
    assert_string_equal(settings->mapping, "/tmp/m.yaml");
    assert_int_equal(settings->snapshot_workers, 2);
    settings_free(settings);

    unsetenv("PGREKEY_SOURCE_SLOT");
    unsetenv("PGREKEY_PIPELINE");
    remove(path);
}

static void wrong_environment_and_override_are_named(void **state)
{
    (void)state;
    struct settings *settings;
    struct err err = {0};
    const struct setting_override unknown = {"source.slott", "x"}, wrong = {"batch.max_rows", "x"};
    const char *path = write_file("");
    assert_int_equal(settings_load(path, &unknown, 1, &settings, &err), -1);
    assert_string_equal(err.message, "unknown setting source.slott");
    assert_int_equal(settings_load(path, &wrong, 1, &settings, &err), -1);
    assert_string_equal(err.message, "--set batch.max_rows: wants a whole number");
    setenv("PGREKEY_BATCH_MAX_ROWS", "x", 1);
    assert_int_equal(settings_load(path, NULL, 0, &settings, &err), -1);
    assert_string_equal(err.message, "environment PGREKEY_BATCH_MAX_ROWS: wants a whole number");
    unsetenv("PGREKEY_BATCH_MAX_ROWS");
    remove(path);
    assert_int_equal(settings_load("/nowhere/at/all.yaml", NULL, 0, &settings, &err), -1);
    assert_int_equal(err.kind, ERR_CONFIG);
}

static void example_in_the_tree_is_the_one_that_is_printed(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t printed_len = 0;
    FILE *out = open_memstream(&printed, &printed_len);
    assert_non_null(out);
    settings_print_example(out);
    fclose(out);

    FILE *in = fopen(EXAMPLE_FILE, "r");
    assert_non_null(in);
    char *kept = calloc(1, printed_len + 2);
    size_t kept_len = fread(kept, 1, printed_len + 1, in);
    fclose(in);
    assert_string_equal(kept, printed);
    assert_int_equal(kept_len, printed_len);
    free(kept);
    free(printed);
}

static void example_loads_and_names_every_setting(void **state)
{
    (void)state;
    char *printed = NULL;
    size_t len = 0, count;
    FILE *out = open_memstream(&printed, &len);
    assert_non_null(out);
    settings_print_example(out);
    fclose(out);
    struct settings *settings;
    struct err err = {0};
    assert_int_equal(settings_load_memory("example", printed, len, &settings, &err), 0);
    assert_non_null(settings->source_dsn);
    settings_free(settings);
    const struct setting *table = settings_table(&count);
    for (size_t i = 0; i < count; i++) {
        const char *dot = strchr(table[i].name, '.');
        char line[64];
        snprintf(line, sizeof(line), "%s:", dot ? dot + 1 : table[i].name);
        assert_non_null(strstr(printed, line));
    }
    free(printed);
}

static void lists_are_a_list_or_words_with_commas(void **state)
{
    (void)state;
    static const struct {
        const char *text, *skip, *wrong;
    } cases[] = {
        {"skip: [a, \"b->c\"]\n", "a, b->c", NULL},
        {"skip: a, b->c\n", "a, b->c", NULL},
        {"skip: []\n", NULL, NULL},
        {"skip:\n", NULL, NULL},
        {"skip: [[a]]\n", NULL, "t:1:8: skip wants a list of words"},
        {"skip: [\"a,b\"]\n", NULL, "t:1:8: skip wants a list of words"},
        {"skip: [\"a\\0b\"]\n", NULL, "t:1:8: skip wants a list of words"},
        {"skip: {a: b}\n", NULL, "skip wants a single value"},
        {"skip: [a]\nskip: [b]\n", NULL, "stands here a second time"},
        {"pipeline: [a]\n", NULL, "pipeline wants a single value"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct settings *settings = NULL;
        struct err err = {0};
        int status = settings_load_memory("t", cases[i].text, strlen(cases[i].text), &settings, &err);
        print_message("%s%s\n", cases[i].text, err.message);
        assert_int_equal(status, cases[i].wrong ? -1 : 0);
        if (cases[i].wrong) {
            assert_non_null(strstr(err.message, cases[i].wrong));
            continue;
        }
        if (cases[i].skip)
            assert_string_equal(settings->skip, cases[i].skip);
        else
            assert_null(settings->skip);
        settings_free(settings);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_valid_and_every_setting_documented),
        cmocka_unit_test(names_of_settings_are_unique_and_of_their_environment_too),
        cmocka_unit_test(numbers_are_read_with_their_unit),
        cmocka_unit_test(wrong_files_are_refused_with_line_and_name),
        cmocka_unit_test(sections_and_dotted_names_mean_the_same),
        cmocka_unit_test(command_line_wins_over_environment_over_file_over_default),
        cmocka_unit_test(wrong_environment_and_override_are_named),
        cmocka_unit_test(example_in_the_tree_is_the_one_that_is_printed),
        cmocka_unit_test(example_loads_and_names_every_setting),
        cmocka_unit_test(lists_are_a_list_or_words_with_commas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
