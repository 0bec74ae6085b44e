#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/command.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 12

/* Splits at spaces, in place; argv[0] is the program. */
static int words_of(char *text, char **argv)
{
    char program[] = "pgrekey", *rest = NULL;
    static char kept[sizeof(program)];
    memcpy(kept, program, sizeof(program));
    int argc = 0;
    argv[argc++] = kept;
    for (char *word = strtok_r(text, " ", &rest); word && argc < WORDS_MAX; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return argc;
}

static void what_is_typed_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *command;
        size_t arguments;
        int option; /* that must have been given; -1: none */
        const char *value;
    } cases[] = {
        {"run", "run", 0, -1, NULL},
        {"run --until-caught-up", "run", 0, OPT_UNTIL_CAUGHT_UP, ""},
        {"run --until 16/B374D848", "run", 0, OPT_UNTIL, "16/B374D848"},
        {"run --until=16/B374D848", "run", 0, OPT_UNTIL, "16/B374D848"},
        {"--json status", "status", 0, OPT_JSON, ""},
        {"status --json", "status", 0, OPT_JSON, ""},
        {"-c a.yaml status", "status", 0, OPT_CONFIG, "a.yaml"},
        {"-ca.yaml status", "status", 0, OPT_CONFIG, "a.yaml"},
        {"status -qc a.yaml", "status", 0, OPT_CONFIG, "a.yaml"},
        {"status --config=a=b.yaml", "status", 0, OPT_CONFIG, "a=b.yaml"},
        {"map check", "map check", 0, -1, NULL},
        {"map check --offline x.yaml", "map check", 1, OPT_OFFLINE, ""},
        {"map test --table office 7 8", "map test", 2, OPT_TABLE, "office"},
        {"quarantine retry 1 2 3", "quarantine retry", 3, -1, NULL},
        {"quarantine list --rule a->b", "quarantine list", 0, OPT_RULE, "a->b"},
        {"quarantine retry --wait 5s --all", "quarantine retry", 0, OPT_WAIT, "5s"},
        {"drop -y", "drop", 0, OPT_YES, ""},
        {"completion bash", "completion", 1, -1, NULL},
        {"completion --help", "completion", 0, OPT_HELP, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128], *argv[WORDS_MAX];
        struct command_line line;
        struct err err = {0};
        snprintf(text, sizeof(text), "%s", cases[i].typed);
        print_message("%s\n", cases[i].typed);
        assert_int_equal(command_parse(words_of(text, argv), argv, &line, &err), 0);
        assert_string_equal(line.command->name, cases[i].command);
        assert_int_equal(line.argument_count, cases[i].arguments);
        if (cases[i].option >= 0)
            assert_string_equal(line.values[cases[i].option], cases[i].value);
        command_line_done(&line);
    }
}

static void what_is_mistyped_is_answered_with_what_was_meant(void **state)
{
    (void)state;
    static const struct {
        const char *typed, *message, *hint;
    } cases[] = {
        {"stauts", "there is no command stauts", "did you mean pgrekey status?"},
        {"quarantine lst", "there is no command quarantine lst", "did you mean pgrekey quarantine list?"},
        {"map", "map wants one more word", "`pgrekey help map` lists them"},
        {"quarantine", "quarantine wants one more word", "`pgrekey help quarantine` lists them"},
        {"frobnicate", "there is no command frobnicate", "`pgrekey help` lists them"},
        {"run --util 0/1", "run has no option --util", "did you mean --until?"},
        {"run --deep", "run has no option --deep", NULL},
        {"status --jsn", "status has no option --jsn", "did you mean --json?"},
        {"--jsn status", "status has no option --jsn", "did you mean --json?"},
        {"--jsn", "there is no option --jsn", "did you mean --json?"},
        {"status -x", "status has no option -x", NULL},
        {"status --json=yes", "--json takes no value", NULL},
        {"run --until", "--until wants a value: --until LSN", NULL},
        {"run --until tomorrow", "--until wants a position such as 16/B374D848", NULL},
        {"quarantine list --limit many", "--limit wants a number", NULL},
        {"quarantine list --category bad", "--category wants one of email_conflict|", NULL},
        {"quarantine retry --wait soon", "--wait: wants a duration", NULL},
        {"quarantine show", "quarantine show wants ID", NULL},
        {"status now", "status does not know what to do with \"now\"", "usage: pgrekey status"},
        {"run --set slot", "--set wants NAME=VALUE", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128], *argv[WORDS_MAX];
        struct command_line line;
        struct err err = {0};
        snprintf(text, sizeof(text), "%s", cases[i].typed);
        assert_int_equal(command_parse(words_of(text, argv), argv, &line, &err), -1);
        print_message("%s: %s | %s\n", cases[i].typed, err.message, err.hint);
        assert_int_equal(err.kind, ERR_CONFIG);
        assert_non_null(strstr(err.message, cases[i].message));
        if (cases[i].hint)
            assert_string_equal(err.hint, cases[i].hint);
        command_line_done(&line);
    }
}

static void settings_of_the_line_are_kept_in_order(void **state)
{
    (void)state;
    char text[] = "run --set source.slot=a --set target.dsn=host=b", *argv[WORDS_MAX];
    struct command_line line;
    struct err err = {0};
    assert_int_equal(command_parse(words_of(text, argv), argv, &line, &err), 0);
    assert_int_equal(line.set_count, 2);
    assert_string_equal(line.sets[0].name, "source.slot");
    assert_string_equal(line.sets[0].value, "a");
    assert_string_equal(line.sets[1].value, "host=b");
    command_line_done(&line);
}

static void json_is_known_even_where_the_line_is_wrong(void **state)
{
    (void)state;
    char text[] = "--json nonsense", *argv[WORDS_MAX];
    struct command_line line;
    struct err err = {0};
    assert_int_equal(command_parse(words_of(text, argv), argv, &line, &err), -1);
    assert_true(command_has(&line, OPT_JSON));
    command_line_done(&line);
}

static void numbers_and_durations_fall_back(void **state)
{
    (void)state;
    char text[] = "quarantine retry --all --wait 2min", *argv[WORDS_MAX];
    struct command_line line;
    struct err err = {0};
    assert_int_equal(command_parse(words_of(text, argv), argv, &line, &err), 0);
    assert_int_equal(command_seconds(&line, OPT_WAIT, 30), 120);
    assert_int_equal(command_number(&line, OPT_LIMIT, 100), 100);
    command_line_done(&line);
}

static void the_table_is_in_order(void **state)
{
    (void)state;
    size_t count;
    const struct command *commands = command_table(&count);
    const struct option_def *options = command_options();
    uint64_t used = command_global_options();
    for (size_t i = 0; i < count; i++) {
        assert_non_null(commands[i].run);
        assert_true(islower((unsigned char)commands[i].summary[0]));
        assert_int_not_equal(commands[i].summary[strlen(commands[i].summary) - 1], '.');
        assert_int_equal(commands[i].options & command_global_options(), 0);
        used |= commands[i].options;
    }
    for (int id = 0; id < OPTION_COUNT; id++) {
        assert_non_null(options[id].name);
        assert_true(used >> id & 1);
        assert_int_equal(options[id].kind == OPTION_FLAG, options[id].argument == NULL);
    }
}

static char *printed(void (*print)(FILE *out))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    print(out);
    fclose(out);
    return text;
}

static void print_bash(FILE *out)
{
    assert_true(completion_print(out, "bash"));
}

static void print_zsh(FILE *out)
{
    assert_true(completion_print(out, "zsh"));
}

static void print_overview(FILE *out)
{
    help_print(out, NULL);
}

static void print_all_help(FILE *out)
{
    size_t count;
    const struct command *commands = command_table(&count);
    for (size_t i = 0; i < count; i++)
        help_print(out, &commands[i]);
}

static void every_command_and_option_is_in_help_manual_and_completion(void **state)
{
    (void)state;
    static void (*const prints[])(FILE *) = {print_overview, help_print_man, print_bash, print_zsh, print_all_help};
    size_t count;
    const struct command *commands = command_table(&count);
    const struct option_def *options = command_options();
    for (size_t p = 0; p < COUNT_OF(prints); p++) {
        char *text = printed(prints[p]);
        for (size_t i = 0; i < count; i++)
            assert_non_null(strstr(text, commands[i].name));
        for (int id = 0; p > 0 && id < OPTION_COUNT; id++) {
            /* the manual escapes hyphens */
            if (p != 1 || !strchr(options[id].name, '-'))
                assert_non_null(strstr(text, options[id].name));
        }
        free(text);
    }
    assert_false(completion_print(stdout, "fish"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_typed_is_understood),
        cmocka_unit_test(what_is_mistyped_is_answered_with_what_was_meant),
        cmocka_unit_test(settings_of_the_line_are_kept_in_order),
        cmocka_unit_test(json_is_known_even_where_the_line_is_wrong),
        cmocka_unit_test(numbers_and_durations_fall_back),
        cmocka_unit_test(the_table_is_in_order),
        cmocka_unit_test(every_command_and_option_is_in_help_manual_and_completion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
