/* What the table of commands says to people: `--help`, `help`, the man page. */
#include <string.h>

#include "cdc/app/cmd/command.h"
#include "cdc/app/cmd/term.h"

#define HELP_WIDTH 96
#define OPTION_COLUMN 26

static const char ABOUT[] =
    "pgrekey follows a legacy PostgreSQL through a logical replication slot and keeps a PostgreSQL of another schema, "
    "keyed by UUIDs, equal to it. What becomes what stands in a mapping file.";

static const struct {
    int code;
    const char *meaning;
} exits[] = {
    {0, "fine"},
    {1, "internal error: please report it"},
    {2, "usage, settings or mapping: yours to mend"},
    {3, "a server, or the engine, cannot be reached"},
    {4, "refused, since going on would do harm; the message says the way out"},
    {5, "paused: an operator has to decide, then `pgrekey resume`"},
    {6, "something was found: check, map check, status"},
};

static void option_left(const struct option_def *option, char *text, size_t size)
{
    char letter[8] = "";
    if (option->letter)
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    snprintf(text, size, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
}

static void print_options(FILE *out, uint64_t which)
{
    const struct option_def *options = command_options();
    char left[64], indent[OPTION_COLUMN + 1];
    memset(indent, ' ', OPTION_COLUMN);
    indent[OPTION_COLUMN] = '\0';
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (!(which >> id & 1))
            continue;
        option_left(&options[id], left, sizeof(left));
        fprintf(out, "  %-*s%s\n", OPTION_COLUMN - 2, left, strlen(left) > OPTION_COLUMN - 3 ? "" : options[id].doc);
        if (strlen(left) > OPTION_COLUMN - 3)
            term_wrap(out, options[id].doc, indent, HELP_WIDTH);
        if (options[id].choices && id != OPT_CATEGORY)
            fprintf(out, "%s%s\n", indent, options[id].choices);
    }
}

static void print_overview(FILE *out)
{
    size_t count;
    const struct command *commands = command_table(&count);
    term_wrap(out, ABOUT, "", HELP_WIDTH);
    fprintf(out, "\nusage: pgrekey [options] COMMAND [options]\n\n");
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %s%-20s%s%s\n", term_colour(out, TERM_BOLD), commands[i].name, term_colour(out, TERM_PLAIN),
                commands[i].summary);
    fprintf(out, "\nOptions everywhere:\n");
    print_options(out, command_global_options());
    fprintf(out, "\nExit codes:\n");
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++)
        fprintf(out, "  %d  %s\n", exits[i].code, exits[i].meaning);
    fputc('\n', out);
    term_wrap(out,
              "First steps: pgrekey settings --example > pgrekey.yaml; pgrekey map check; pgrekey init; pgrekey check; "
              "pgrekey run",
              "", HELP_WIDTH);
}

void help_print(FILE *out, const struct command *command)
{
    if (!command) {
        print_overview(out);
        return;
    }
    fprintf(out, "usage: pgrekey %s%s%s%s\n\n", command->name, command->options ? " [options]" : "",
            command->arguments ? " " : "", command->arguments ? command->arguments : "");
    fprintf(out, "%c%s.\n", command->summary[0] - 'a' + 'A', command->summary + 1);
    if (command->detail) {
        fputc('\n', out);
        term_wrap(out, command->detail, "", HELP_WIDTH);
    }
    if (command->options) {
        fprintf(out, "\nOptions:\n");
        print_options(out, command->options);
    }
    fprintf(out, "\nOptions everywhere:\n");
    print_options(out, command_global_options());
    if (command->exits) {
        fprintf(out, "\nExit codes:\n");
        term_wrap(out, command->exits, "  ", HELP_WIDTH);
    }
}

bool help_print_topic(FILE *out, const char *topic)
{
    size_t count, len = strlen(topic), shown = 0;
    const struct command *commands = command_table(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(commands[i].name, topic) == 0) {
            help_print(out, &commands[i]);
            return true;
        }
    for (size_t i = 0; i < count; i++)
        if (strncmp(commands[i].name, topic, len) == 0 && commands[i].name[len] == ' ') {
            fprintf(out, "  %-20s%s\n", commands[i].name, commands[i].summary);
            shown++;
        }
    return shown > 0;
}

/* --- the man page --- */

static void roff_options(FILE *out, uint64_t which)
{
    const struct option_def *options = command_options();
    for (int id = 0; id < OPTION_COUNT; id++) {
        if (!(which >> id & 1))
            continue;
        fprintf(out, ".TP\n");
        if (options[id].letter)
            fprintf(out, "\\fB\\-%c\\fR, ", options[id].letter);
        fprintf(out, "\\fB\\-\\-");
        term_roff(out, options[id].name);
        fprintf(out, "\\fR");
        if (options[id].argument)
            fprintf(out, " \\fI%s\\fR", options[id].argument);
        fputc('\n', out);
        term_roff(out, options[id].doc);
        if (options[id].choices) {
            fprintf(out, ": ");
            for (const char *c = options[id].choices; *c; c++)
                fprintf(out, *c == '|' ? ", " : "%c", *c);
        }
        fputc('\n', out);
    }
}

static void roff_command(FILE *out, const struct command *command)
{
    fprintf(out, ".SS \"pgrekey ");
    term_roff(out, command->name);
    if (command->arguments) {
        fputc(' ', out);
        term_roff(out, command->arguments);
    }
    fprintf(out, "\"\n%c", command->summary[0] - 'a' + 'A');
    term_roff(out, command->summary + 1);
    fprintf(out, ".\n");
    if (command->detail) {
        fprintf(out, ".PP\n");
        term_roff(out, command->detail);
        fputc('\n', out);
    }
    roff_options(out, command->options);
    if (command->exits) {
        fprintf(out, ".PP\nExit codes: ");
        term_roff(out, command->exits);
        fprintf(out, ".\n");
    }
}

void help_print_man(FILE *out)
{
    size_t count;
    const struct command *commands = command_table(&count);
    fprintf(out, ".TH PGREKEY 1 \"\" \"pgrekey %s\" \"User Commands\"\n.SH NAME\n", PGREKEY_VERSION);
    fprintf(out, "pgrekey \\- logical replication that changes schema and keys\n.SH SYNOPSIS\n");
    fprintf(out, ".B pgrekey\n[\\fIoptions\\fR] \\fICOMMAND\\fR [\\fIoptions\\fR]\n.SH DESCRIPTION\n");
    term_roff(out, ABOUT);
    fprintf(out, "\n.SH OPTIONS\nEverywhere:\n");
    roff_options(out, command_global_options());
    fprintf(out, ".SH COMMANDS\n");
    for (size_t i = 0; i < count; i++)
        roff_command(out, &commands[i]);
    fprintf(out, ".SH SETTINGS\nThey stand in pgrekey.yaml, sections indented. The command line wins over the "
                 "environment, the environment over the file.\n");
    settings_print_man(out);
    fprintf(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < sizeof(exits) / sizeof(exits[0]); i++) {
        fprintf(out, ".TP\n.B %d\n", exits[i].code);
        term_roff(out, exits[i].meaning);
        fputc('\n', out);
    }
    fprintf(out, ".SH ENVIRONMENT\n.TP\n.B PGREKEY_CONFIG\nThe settings file, where \\fB\\-\\-config\\fR is not "
                 "given.\n.TP\n.B NO_COLOR\nNo colours.\n.PP\nThe PG* variables of libpq hold for what the DSNs leave "
                 "open.\n.SH FILES\n.TP\n.I pgrekey.yaml\nThe settings, in the working directory; else\n.TP\n.I "
                 "/etc/pgrekey/pgrekey.yaml\nthose of the service.\n");
}
