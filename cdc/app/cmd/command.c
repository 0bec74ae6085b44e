#include "cdc/app/cmd/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/settings/settings_table.h"
#include "cdc/app/cmd/suggest.h"
#include "cdc/base/arena.h"
#include "cdc/base/lsn.h"

#define BIT(id) (UINT64_C(1) << OPT_##id)
#define ARGUMENTS_ANY 100000
#define CATEGORIES                                                                                                     \
    "email_conflict|validation_failure|constraint_violation|schema_mismatch|json_parse|orphan_reference|"              \
    "ambiguous_value|transient"

static const struct option_def options[OPTION_COUNT] = {
    [OPT_CONFIG] = {"config", 'c', OPTION_FILE, "FILE", NULL,
                    "settings file (else PGREKEY_CONFIG, ./pgrekey.yaml, /etc/pgrekey/pgrekey.yaml)"},
    [OPT_SET] = {"set", 0, OPTION_TEXT, "NAME=VALUE", NULL, "one setting, over file and environment; may be repeated"},
    [OPT_QUIET] = {"quiet", 'q', OPTION_FLAG, NULL, NULL, "errors only, no progress"},
    [OPT_VERBOSE] = {"verbose", 'v', OPTION_FLAG, NULL, NULL, "log at level debug"},
    [OPT_JSON] = {"json", 0, OPTION_FLAG, NULL, NULL, "JSON on stdout, for machines"},
    [OPT_HELP] = {"help", 'h', OPTION_FLAG, NULL, NULL, "help on the command"},
    [OPT_VERSION] = {"version", 0, OPTION_FLAG, NULL, NULL, "the version"},
    [OPT_UNTIL_CAUGHT_UP] = {"until-caught-up", 0, OPTION_FLAG, NULL, NULL,
                             "end where the source's WAL (of a replay: the topics) ended at the start"},
    [OPT_UNTIL] = {"until", 0, OPTION_LSN, "LSN", NULL, "end once the position is at or past LSN"},
    [OPT_DEEP] = {"deep", 0, OPTION_FLAG, NULL, NULL,
                  "also count NaN and Infinity in mapped columns (reads whole tables)"},
    [OPT_PRINT] = {"print", 0, OPTION_FLAG, NULL, NULL, "print the SQL instead of running it"},
    [OPT_DSN] = {"dsn", 0, OPTION_TEXT, "DSN", NULL,
                 "connect to the target with this instead of target.dsn (an admin)"},
    [OPT_SOURCE] = {"source", 0, OPTION_FLAG, NULL, NULL, "print the SQL for the source: role, REPLICATION, SELECT"},
    [OPT_LOGIN] = {"login", 0, OPTION_FLAG, NULL, NULL, "the role may log in; its password is set by you"},
    [OPT_OFFLINE] = {"offline", 0, OPTION_FLAG, NULL, NULL, "check the file alone, connect to nothing"},
    [OPT_YES] = {"yes", 'y', OPTION_FLAG, NULL, NULL, "do not ask"},
    [OPT_SLOT_ONLY] = {"slot-only", 0, OPTION_FLAG, NULL, NULL,
                       "drop the slot although the target cannot be reached; its record stays"},
    [OPT_ALL] = {"all", 0, OPTION_FLAG, NULL, NULL, "all open entries (of --rule and --category, where given)"},
    [OPT_RULE] = {"rule", 0, OPTION_TEXT, "RULE", NULL, "only this rule"},
    [OPT_CATEGORY] = {"category", 0, OPTION_CHOICE, "CATEGORY", CATEGORIES, "only entries of this category"},
    [OPT_STATUS] = {"status", 0, OPTION_CHOICE, "STATUS", "pending|waiting|in_progress|escalated|resolved|discarded",
                    "only entries of this status (else all open ones); waiting: for a parent"},
    [OPT_LIMIT] = {"limit", 0, OPTION_NUMBER, "N", NULL, "at most N entries (100), or rows of a table (10)"},
    [OPT_WAIT] = {"wait", 0, OPTION_DURATION, "TIME", NULL, "how long to wait for the engine's answer (30s)"},
    [OPT_TABLE] = {"table", 0, OPTION_TEXT, "TABLE", NULL,
                   "only this table of the source: \"table\" or \"schema.table\""},
    [OPT_STREAM] = {"stream", 0, OPTION_FLAG, NULL, NULL,
                    "take the changes that wait in the slot, without consuming them; no engine may read it meanwhile"},
    [OPT_FROM] = {"from", 0, OPTION_TEXT, "KEY", NULL, "only rows whose (first) key column is KEY or more"},
    [OPT_TO] = {"to", 0, OPTION_TEXT, "KEY", NULL, "only rows whose (first) key column is KEY or less"},
    [OPT_WATCH] = {"watch", 0, OPTION_FLAG, NULL, NULL, "again every two seconds, until it is interrupted"},
    [OPT_CHECK] = {"check", 0, OPTION_FLAG, NULL, NULL, "one line and an exit code as a Nagios check wants them"},
    [OPT_WARN_LAG] = {"warn-lag", 0, OPTION_DURATION, "TIME", NULL, "with --check: a lag that is a warning (60s)"},
    [OPT_CRITICAL_LAG] = {"critical-lag", 0, OPTION_DURATION, "TIME", NULL,
                          "with --check: a lag that is critical (300s)"},
    [OPT_UNTIL_TIME] = {"until-time", 0, OPTION_TEXT, "TIME", NULL, "end before what was committed after TIME"},
    [OPT_SINCE] = {"since", 0, OPTION_LSN, "LSN", NULL, "go back to LSN and apply again what came after it"},
    [OPT_SINCE_TIME] = {"since-time", 0, OPTION_TEXT, "TIME", NULL, "the same by the time of commits"},
    [OPT_TABLES] = {"tables", 0, OPTION_TEXT, "TABLE,...", NULL, "only these tables of the target, and mirrors"},
    [OPT_EXAMPLE] = {"example", 0, OPTION_FLAG, NULL, NULL, "as a settings file to start from"},
};

#define GLOBAL_OPTIONS (BIT(CONFIG) | BIT(SET) | BIT(QUIET) | BIT(VERBOSE) | BIT(JSON) | BIT(HELP) | BIT(VERSION))

static const struct command commands[] = {
    {.name = "run",
     .summary = "take the snapshot if there is none yet, then follow the stream",
     .detail = "Attaches to the replication slot (makes it, with a snapshot that joins it without a gap, where the "
               "pipeline is new), turns each change into rows of the target and applies them, until it is told to "
               "stop. SIGTERM finishes the batch and leaves; a second one hurries. Killed at any point it goes on "
               "where it was.",
     .exits = "0 stopped, or the end was reached; 3 a server stayed unreachable; 4 refused, since going on would do "
              "harm; 5 paused (do not restart; see `pgrekey status`)",
     .options = BIT(UNTIL_CAUGHT_UP) | BIT(UNTIL),
     .settings = true,
     .run = cmd_run},
    {.name = "replay",
     .summary = "apply what was published to Kafka to a PostgreSQL target",
     .detail =
         "Reads the topics under kafka.prefix and writes them to target.dsn by the same mapping: rows and mirrors as "
         "they "
         "were published, derivations computed anew, masked by `mask:` unless replay.masking is off. No connection to "
         "the source is needed.\n\n"
         "An empty database begins with the last state of every key, up to a point behind which nothing has been "
         "compacted away; from there on, or from the position that the database holds, whole source transactions "
         "follow in commit order, across all topics. How far it is stands on the target, in the same transaction as "
         "the rows. Runs until it is told to stop, or to the end that an option names.",
     .exits = "0 stopped, or the end was reached; 3 a server stayed unreachable; 4 refused, since going on would do "
              "harm; 5 refused in mid-stream (see `pgrekey status`)",
     .options = BIT(UNTIL_CAUGHT_UP) | BIT(UNTIL) | BIT(UNTIL_TIME) | BIT(SINCE) | BIT(SINCE_TIME) | BIT(TABLES),
     .settings = true,
     .run = cmd_replay},
    {.name = "check",
     .summary = "look at both servers and the mapping before anything is changed",
     .detail = "Says what would go wrong, and for each finding what to do about it. Changes nothing; for a moment it "
               "makes a temporary replication slot, to see whether it could.",
     .exits = "0 no errors (there may be warnings); 6 errors found",
     .options = BIT(DEEP),
     .settings = true,
     .run = cmd_check},
    {.name = "init",
     .summary = "make the engine's role and its own schema on the target",
     .detail = "Makes the role target.role, the schema pgrekey with its tables, and the grants that the mapping needs. "
               "User tables are never changed. What the host refuses is listed. May be run again at any time. No "
               "password is ever printed or set.",
     .options = BIT(PRINT) | BIT(DSN) | BIT(SOURCE) | BIT(LOGIN),
     .settings = true,
     .run = cmd_init},
    {.name = "status",
     .summary = "where the pipeline stands, on one screen",
     .detail = "Reads both servers, whether an engine runs or not. Lag in bytes is the source's WAL end less the "
               "position; in seconds, and the time left, it is what the running engine measures. Where the target does "
               "not answer, an engine on this host is asked by HTTP (http.listen).",
     .exits = "0 running or idle; 3 a server cannot be reached; 5 paused; 6 something needs attention: quarantined "
              "rows, a slot in danger, a snapshot that was cut off. With --check: 0 ok, 1 warning, 2 critical, 3 not "
              "known",
     .options = BIT(WATCH) | BIT(CHECK) | BIT(WARN_LAG) | BIT(CRITICAL_LAG),
     .settings = true,
     .run = cmd_status},
    {.name = "resume",
     .summary = "let a paused pipeline go on",
     .detail = "Asks the running engine to go on after the breaker, or whatever else made it pause.",
     .exits = "0 it goes on; 3 no engine runs, or it did not answer in time",
     .options = BIT(WAIT),
     .settings = true,
     .run = cmd_resume},
    {.name = "resync",
     .arguments = "TABLE [KEY...]",
     .summary = "read a table of the source again while the stream runs, whole or in part",
     .detail =
         "Asks the running engine to bring the target's rows of this table (\"table\" or \"schema.table\" of the "
         "source, by all rules that read it) to what the source holds: rows that were lost or altered on the target "
         "are written again, and rows that the source does not have are deleted (where nothing of the key is named: "
         "as far as a column of the target holds the source's key). Rows with the given keys, or from --from to --to, "
         "or all. A key of several columns is a JSON array, as `pgrekey quarantine list` prints it.\n\n"
         "Nothing is locked, and nothing newer is overwritten: the engine reads in pieces, each at an exact point at "
         "which the stream stands still for as long as the piece takes, mostly well under a second. For each point it "
         "waits for transactions that are open on the source, while the stream goes on. What was done stays done over "
         "a restart of the engine, which then goes on with the rest.\n\n"
         "Waits until it is done, unless --wait says for how long; ending this command does not end the resync.",
     .exits = "0 done; 3 no engine runs, or it is not done in time: it goes on by itself; 4 the pipeline is paused; 6 "
              "the engine could not do it",
     .options = BIT(FROM) | BIT(TO) | BIT(WAIT),
     .min_arguments = 1,
     .max_arguments = ARGUMENTS_ANY,
     .settings = true,
     .run = cmd_resync},
    {.name = "quarantine list",
     .summary = "the rows that stand aside, without their values",
     .options = BIT(RULE) | BIT(CATEGORY) | BIT(STATUS) | BIT(LIMIT),
     .settings = true,
     .run = cmd_quarantine_list},
    {.name = "quarantine show",
     .arguments = "ID",
     .summary = "one of them with its change: this prints the row's values",
     .min_arguments = 1,
     .max_arguments = 1,
     .settings = true,
     .run = cmd_quarantine_show},
    {.name = "quarantine retry",
     .arguments = "[ID...]",
     .summary = "try rows again, after the mapping or the data was mended",
     .detail = "The running engine does it between two batches.",
     .exits = "0 done; 3 no engine runs, or it did not answer in time; 6 some of them failed again",
     .options = BIT(ALL) | BIT(RULE) | BIT(CATEGORY) | BIT(WAIT),
     .max_arguments = ARGUMENTS_ANY,
     .settings = true,
     .run = cmd_quarantine_retry},
    {.name = "quarantine discard",
     .arguments = "[ID...]",
     .summary = "give rows up: they count as excluded until they change again",
     .exits = "0 done; 3 no engine runs, or it did not answer in time",
     .options = BIT(ALL) | BIT(RULE) | BIT(CATEGORY) | BIT(WAIT) | BIT(YES),
     .max_arguments = ARGUMENTS_ANY,
     .settings = true,
     .run = cmd_quarantine_discard},
    {.name = "map check",
     .arguments = "[FILE]",
     .summary = "check the mapping file, alone and against both servers",
     .detail =
         "Without a connection the whole file; with source.dsn and target.dsn also tables, columns, types, keys "
         "and required columns on both sides, and the SQL of derivations, views and adoption, which the target judges "
         "and explains without running it. Each error with file, line and key.",
     .exits = "0 no errors; 6 errors found",
     .options = BIT(OFFLINE),
     .max_arguments = 1,
     .settings = true,
     .run = cmd_map_check},
    {.name = "map test",
     .arguments = "[KEY...]",
     .summary = "try the mapping on rows of the source: this prints their values",
     .detail =
         "A dry run: reads some rows of each mapped table of the source (spread over it, the same ones each time), or "
         "those with the given keys, or the first changes that wait in the slot, puts them through the rules, and "
         "prints the target rows, and the rows that would be quarantined with category, column and reason. Where the "
         "mapping has derivations and the target the engine's schema, these are run over the same rows in a "
         "transaction that is rolled back, and what each would write, reject or fail at is printed too. Nothing stays "
         "written; target rows that are tried are locked meanwhile. A key of several columns is a JSON array, as "
         "`pgrekey quarantine list` prints it. With --quiet only "
         "rows that would be quarantined are printed. Beside `quarantine show` the only command that prints values: "
         "mind who reads along.",
     .exits = "0 no row would be quarantined; 6 some would",
     .options = BIT(TABLE) | BIT(RULE) | BIT(LIMIT) | BIT(STREAM),
     .max_arguments = ARGUMENTS_ANY,
     .settings = true,
     .run = cmd_map_test},
    {.name = "drop",
     .summary = "end the pipeline: drop its slot and forget its position",
     .detail = "Leaves no slot behind, so that the source keeps no WAL for it. The rows on the target stay. Refused "
               "while its engine runs. Of `sink: kafka` the topics stay; a new run wants another kafka.prefix, or the "
               "topics removed.",
     .options = BIT(YES) | BIT(SLOT_ONLY),
     .settings = true,
     .run = cmd_drop},
    {.name = "settings",
     .summary = "all settings: meaning, type, default, environment",
     .options = BIT(EXAMPLE),
     .run = cmd_settings},
    {.name = "completion",
     .arguments = "bash|zsh",
     .summary = "completion for a shell",
     .detail = "For bash: pgrekey completion bash > /etc/bash_completion.d/pgrekey\n"
               "For zsh: pgrekey completion zsh > \"${fpath[1]}/_pgrekey\"",
     .choices = "bash|zsh",
     .min_arguments = 1,
     .max_arguments = 1,
     .run = cmd_completion},
    {.name = "man", .summary = "the man page, to be piped into `man -l -`", .run = cmd_man},
    {.name = "help", .arguments = "[COMMAND]", .summary = "help on a command", .max_arguments = 2, .run = cmd_help},
    {.name = "version", .summary = "the version", .run = cmd_version},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

const struct command *command_table(size_t *ret_count)
{
    *ret_count = COMMAND_COUNT;
    return commands;
}

const struct option_def *command_options(void)
{
    return options;
}

uint64_t command_global_options(void)
{
    return GLOBAL_OPTIONS;
}

/* --- options --- */

static int find_option(const char *name, size_t len)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (strlen(options[id].name) == len && memcmp(options[id].name, name, len) == 0)
            return id;
    return -1;
}

static int find_letter(char letter)
{
    for (int id = 0; id < OPTION_COUNT; id++)
        if (options[id].letter == letter)
            return id;
    return -1;
}

/* `typed` with its hyphens; command NULL where none is known yet. */
static int unknown_option(const struct command *command, const char *typed, struct err *reterr)
{
    size_t len = strcspn(typed, "=");
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)(len < 60 ? len : 60), typed);
    uint64_t allowed = command ? command->options | GLOBAL_OPTIONS : UINT64_MAX;
    struct suggest suggest = {.word = name + strspn(name, "-")};
    for (int id = 0; id < OPTION_COUNT; id++)
        if (allowed >> id & 1)
            suggest_offer(&suggest, options[id].name);
    if (command)
        err_set(reterr, ERR_CONFIG, "%s has no option %s", command->name, name);
    else
        err_set(reterr, ERR_CONFIG, "there is no option %s", name);
    if (suggest.nearest && strcmp(suggest.nearest, suggest.word) != 0)
        return err_hint(reterr, "did you mean --%s?", suggest.nearest);
    return err_hint(reterr, "`pgrekey %s%s--help` lists them", command ? command->name : "", command ? " " : "");
}

static int parse_duration(const char *text, int64_t *ret_s, struct err *reterr)
{
    static const struct setting any = {.type = SETTING_DURATION_S, .min = 0, .max = 7 * 86400};
    return setting_parse_number(&any, text, ret_s, reterr);
}

static bool is_choice(const char *choices, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = choices; *at;) {
        size_t span = strcspn(at, "|");
        if (span == len && strncmp(at, word, len) == 0)
            return true;
        at += span + (at[span] == '|');
    }
    return false;
}

static int check_value(int id, const char *value, struct err *reterr)
{
    int64_t number;
    uint64_t lsn;
    char *end;
    switch (options[id].kind) {
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_FILE: return 0;
    case OPTION_CHOICE:
        if (is_choice(options[id].choices, value))
            return 0;
        return err_set(reterr, ERR_CONFIG, "--%s wants one of %s", options[id].name, options[id].choices);
    case OPTION_NUMBER:
        errno = 0;
        number = strtoll(value, &end, 10);
        if (errno == 0 && end != value && *end == '\0' && number > 0)
            return 0;
        return err_set(reterr, ERR_CONFIG, "--%s wants a number", options[id].name);
    case OPTION_DURATION:
        if (parse_duration(value, &number, reterr) == 0)
            return 0;
        return err_wrap(reterr, "--%s", options[id].name);
    case OPTION_LSN:
        if (lsn_parse(value, &lsn) && lsn != 0)
            return 0;
        return err_set(reterr, ERR_CONFIG, "--%s wants a position such as 16/B374D848", options[id].name);
    }
    return 0;
}

static int add_set(struct command_line *line, const char *text, struct err *reterr)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return err_set(reterr, ERR_CONFIG, "--set wants NAME=VALUE");
    if (line->set_count == COMMAND_SETS_MAX)
        return err_set(reterr, ERR_CONFIG, "more than %d times --set", COMMAND_SETS_MAX);
    size_t len = (size_t)(equals - text);
    char *name = mem_alloc(len + 1);
    memcpy(name, text, len);
    name[len] = '\0';
    line->names[line->set_count] = name;
    line->sets[line->set_count++] = (struct setting_override){.name = name, .value = equals + 1};
    return 0;
}

static int set_option(struct command_line *line, int id, const char *value, struct err *reterr)
{
    line->values[id] = value;
    if (id == OPT_SET)
        return add_set(line, value, reterr);
    return check_value(id, value, reterr);
}

struct parser {
    int argc;
    char *const *argv;
    int at;
    struct command_line *line;
    const char *unknown; /* the first unknown option: told once the command is known, for a better suggestion */
};

static int take_value(struct parser *parser, int id, const char *given, struct err *reterr)
{
    if (given)
        return set_option(parser->line, id, given, reterr);
    if (parser->at + 1 >= parser->argc)
        return err_set(reterr, ERR_CONFIG, "--%s wants a value: --%s %s", options[id].name, options[id].name,
                       options[id].argument);
    return set_option(parser->line, id, parser->argv[++parser->at], reterr);
}

static int parse_long(struct parser *parser, const char *word, struct err *reterr)
{
    size_t len = strcspn(word + 2, "=");
    const char *given = word[2 + len] == '=' ? word + 3 + len : NULL;
    int id = find_option(word + 2, len);
    if (id < 0) {
        parser->unknown = parser->unknown ? parser->unknown : word;
        return 0;
    }
    if (options[id].kind != OPTION_FLAG)
        return take_value(parser, id, given, reterr);
    if (given)
        return err_set(reterr, ERR_CONFIG, "--%s takes no value", options[id].name);
    return set_option(parser->line, id, "", reterr);
}

static int parse_letters(struct parser *parser, const char *word, struct err *reterr)
{
    for (const char *letter = word + 1; *letter; letter++) {
        int id = find_letter(*letter);
        if (id < 0) {
            parser->unknown = parser->unknown ? parser->unknown : word;
            return 0;
        }
        if (options[id].kind != OPTION_FLAG)
            return take_value(parser, id, letter[1] ? letter + 1 : NULL, reterr);
        if (set_option(parser->line, id, "", reterr) < 0)
            return -1;
    }
    return 0;
}

/* --- commands --- */

static bool in_group(const struct command *command, const char *first)
{
    size_t len = strlen(first);
    return strncmp(command->name, first, len) == 0 && command->name[len] == ' ';
}

/* A first word alone that wants a second. */
static int unfinished_command(const char *first, size_t group, struct err *reterr)
{
    err_set(reterr, ERR_CONFIG, "%s wants one more word", first);
    for (size_t i = 0; group == 1 && i < COMMAND_COUNT; i++)
        if (in_group(&commands[i], first))
            return err_hint(reterr, "did you mean pgrekey %s?", commands[i].name);
    return err_hint(reterr, "`pgrekey help %s` lists them", first);
}

static int unknown_command(const char *first, const char *second, struct err *reterr)
{
    char typed[64];
    size_t group = 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        group += in_group(&commands[i], first);
    if (group && !second)
        return unfinished_command(first, group, reterr);
    snprintf(typed, sizeof(typed), "%.30s%s%.30s", first, group ? " " : "", group ? second : "");
    struct suggest suggest = {.word = typed};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        suggest_offer(&suggest, commands[i].name);
    err_set(reterr, ERR_CONFIG, "there is no command %s", typed);
    if (suggest.nearest)
        return err_hint(reterr, "did you mean pgrekey %s?", suggest.nearest);
    return err_hint(reterr, "`pgrekey help%s%s` lists them", group ? " " : "", group ? first : "");
}

/* Takes one or two words off the arguments. */
static int find_command(struct command_line *line, struct err *reterr)
{
    const char *first = line->arguments[0], *second = line->argument_count > 1 ? line->arguments[1] : NULL;
    size_t first_len = strlen(first), words = 0;
    for (size_t i = 0; i < COMMAND_COUNT && words == 0; i++) {
        const char *name = commands[i].name;
        if (strcmp(name, first) == 0)
            words = 1;
        else if (second && strncmp(name, first, first_len) == 0 && name[first_len] == ' ' &&
                 strcmp(name + first_len + 1, second) == 0)
            words = 2;
        if (words)
            line->command = &commands[i];
    }
    if (words == 0)
        return command_has(line, OPT_HELP) ? 0 : unknown_command(first, second, reterr);
    line->argument_count -= words;
    memmove(line->arguments, line->arguments + words, line->argument_count * sizeof(*line->arguments));
    return 0;
}

static int check_line(const struct command_line *line, struct err *reterr)
{
    const struct command *command = line->command;
    char typed[64];
    for (int id = 0; id < OPTION_COUNT; id++)
        if (line->values[id] && !((command->options | GLOBAL_OPTIONS) >> id & 1)) {
            snprintf(typed, sizeof(typed), "--%s", options[id].name);
            return unknown_option(command, typed, reterr);
        }
    if (command_has(line, OPT_HELP))
        return 0;
    if (line->argument_count < command->min_arguments)
        return err_set(reterr, ERR_CONFIG, "%s wants %s", command->name, command->arguments);
    if (line->argument_count > command->max_arguments) {
        err_set(reterr, ERR_CONFIG, "%s does not know what to do with \"%s\"", command->name,
                line->arguments[command->max_arguments]);
        return err_hint(reterr, "usage: pgrekey %s%s%s", command->name, command->arguments ? " " : "",
                        command->arguments ? command->arguments : "");
    }
    return 0;
}

int command_parse(int argc, char *const *argv, struct command_line *ret_line, struct err *reterr)
{
    struct command_line *line = ret_line;
    *line = (struct command_line){0};
    line->arguments = mem_zalloc((size_t)argc + 1, sizeof(*line->arguments));
    struct parser parser = {.argc = argc, .argv = argv, .at = 1, .line = line};
    bool words_only = false;
    for (; parser.at < argc; parser.at++) {
        const char *word = argv[parser.at];
        int status = 0;
        if (words_only || word[0] != '-' || word[1] == '\0')
            line->arguments[line->argument_count++] = word;
        else if (strcmp(word, "--") == 0)
            words_only = true;
        else
            status = word[1] == '-' ? parse_long(&parser, word, reterr) : parse_letters(&parser, word, reterr);
        if (status < 0)
            return -1;
    }
    if (line->argument_count > 0 && find_command(line, reterr) < 0)
        return -1;
    if (parser.unknown)
        return unknown_option(line->command, parser.unknown, reterr);
    return line->command ? check_line(line, reterr) : 0;
}

void command_line_done(struct command_line *line)
{
    for (size_t i = 0; i < line->set_count; i++)
        free(line->names[i]);
    free(line->arguments);
    *line = (struct command_line){0};
}

int64_t command_number(const struct command_line *line, enum option_id id, int64_t fallback)
{
    return line->values[id] ? strtoll(line->values[id], NULL, 10) : fallback;
}

int64_t command_seconds(const struct command_line *line, enum option_id id, int64_t fallback)
{
    int64_t seconds;
    struct err err;
    if (line->values[id] && parse_duration(line->values[id], &seconds, &err) == 0)
        return seconds;
    return fallback;
}
