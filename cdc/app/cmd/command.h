/* The one table of commands and options: the parser, `--help`, the man page and the shells' completion read it, so
 * none of them can tell of an option that is not there.
 *
 * An option's name means the same everywhere; a command says which ones it takes. Names of two words ("map check")
 * are commands of their own that share their first word.
 */
#ifndef PGREKEY_APP_COMMAND_H
#define PGREKEY_APP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cdc/app/settings/settings.h"
#include "cdc/base/err.h"

enum option_id {
    OPT_CONFIG,
    OPT_SET,
    OPT_QUIET,
    OPT_VERBOSE,
    OPT_JSON,
    OPT_HELP,
    OPT_VERSION,
    OPT_UNTIL_CAUGHT_UP,
    OPT_UNTIL,
    OPT_DEEP,
    OPT_PRINT,
    OPT_DSN,
    OPT_SOURCE,
    OPT_LOGIN,
    OPT_OFFLINE,
    OPT_YES,
    OPT_SLOT_ONLY,
    OPT_ALL,
    OPT_RULE,
    OPT_CATEGORY,
    OPT_STATUS,
    OPT_LIMIT,
    OPT_WAIT,
    OPT_TABLE,
    OPT_STREAM,
    OPT_EXAMPLE,
    OPT_FROM,
    OPT_TO,
    OPT_WATCH,
    OPT_CHECK,
    OPT_WARN_LAG,
    OPT_CRITICAL_LAG,
    OPT_UNTIL_TIME,
    OPT_SINCE,
    OPT_SINCE_TIME,
    OPT_TABLES,
    OPTION_COUNT,
};

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_FILE,
    OPTION_CHOICE,
    OPTION_NUMBER,   /* 1 and up */
    OPTION_DURATION, /* "30s": kept as text, read by command_seconds() */
    OPTION_LSN,
};

struct option_def {
    const char *name; /* without the hyphens */
    char letter;      /* 0: none */
    enum option_kind kind;
    const char *argument; /* "FILE"; NULL for a flag */
    const char *choices;  /* "a|b" of OPTION_CHOICE */
    const char *doc;
};

struct cli;

struct command {
    const char *name;      /* "run", "quarantine list" */
    const char *arguments; /* "[ID...]", or NULL */
    const char *summary;   /* one line, no full stop */
    const char *detail;    /* paragraphs, or NULL */
    const char *exits;     /* what its exit codes mean where that needs words, or NULL */
    const char *choices;   /* words that its argument may be, for completion, or NULL */
    uint64_t options;      /* bits of enum option_id, beside the global ones */
    size_t min_arguments, max_arguments;
    bool settings;                     /* wants the settings loaded */
    int (*run)(const struct cli *cli); /* the exit code */
};

#define COMMAND_SETS_MAX 32

/* What the user typed. Points into argv. */
struct command_line {
    const struct command *command;    /* NULL where only options were given */
    const char *values[OPTION_COUNT]; /* NULL: not given; flags: "" */
    struct setting_override sets[COMMAND_SETS_MAX];
    size_t set_count;
    const char **arguments; /* malloc'ed array */
    size_t argument_count;
    char *names[COMMAND_SETS_MAX]; /* owned: the names of --set */
};

const struct command *command_table(size_t *ret_count);
const struct option_def *command_options(void); /* OPTION_COUNT of them, by enum option_id */
uint64_t command_global_options(void);

/* ERR_CONFIG with a suggestion where a word is unknown. *ret_line is filled as far as it was understood also on
 * failure (so that --json is known); command_line_done in both cases. */
int command_parse(int argc, char *const *argv, struct command_line *ret_line, struct err *reterr) MUST_CHECK;
void command_line_done(struct command_line *line);

static inline bool command_has(const struct command_line *line, enum option_id id)
{
    return line->values[id] != NULL;
}
/* A number or duration that was given, checked by command_parse; `fallback` where it was not. */
int64_t command_number(const struct command_line *line, enum option_id id, int64_t fallback);
int64_t command_seconds(const struct command_line *line, enum option_id id, int64_t fallback);

/* help.c; command NULL: the overview. `topic` may be a first word shared by several commands ("map"). */
void help_print(FILE *out, const struct command *command);
bool help_print_topic(FILE *out, const char *topic);
void help_print_man(FILE *out);
/* completion.c: "bash" or "zsh"; false for any other. */
bool completion_print(FILE *out, const char *shell);

#endif
