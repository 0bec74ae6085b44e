/* `pgrekey quarantine list|show|retry|discard`. Only `show` prints a row's values. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/cmd/confirm.h"
#include "cdc/app/cmd/json.h"
#include "cdc/app/cmd/request_cmd.h"
#include "cdc/app/cmd/term.h"
#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/quarantine/quarantine.h"

/* At once; a larger quarantine is discarded in several goes. */
#define DISCARD_MAX 10000

static int parse_id(const char *text, int64_t *ret_id, struct err *reterr)
{
    char *end;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || id <= 0) {
        err_set(reterr, ERR_CONFIG, "\"%.40s\" is no id of a quarantine entry", text);
        return err_hint(reterr, "`pgrekey quarantine list` shows them");
    }
    *ret_id = id;
    return 0;
}

static void put_entry(struct json *json, const char *key, const struct quarantine_entry *entry)
{
    json_open(json, key, '{');
    json_int(json, "id", entry->id);
    json_text(json, "rule", entry->rule);
    json_text(json, "source_table", entry->source_table);
    json_text(json, "target_table", entry->target_table);
    json_text(json, "op", entry->op);
    json_raw(json, "key", entry->key);
    json_text(json, "category", entry->category);
    json_text(json, "severity", entry->severity);
    json_text(json, "status", entry->status);
    json_text(json, "waits_for", *entry->waits_table ? entry->waits_table : NULL);
    json_text(json, "waits_for_id", *entry->waits_table ? entry->waits_id : NULL);
    json_text(json, "reason", entry->reason);
    json_text(json, "column", entry->column);
    json_text(json, "constraint", entry->constraint);
    json_text(json, "sqlstate", entry->sqlstate);
    json_text(json, "suggestion", entry->suggestion);
    json_text(json, "lsn", entry->lsn);
    json_int(json, "xid", entry->xid);
    json_text(json, "first_seen", entry->first_seen);
    json_text(json, "last_tried", entry->last_tried);
    json_int(json, "retries", entry->retries);
    if (entry->change)
        json_raw(json, "change", entry->change);
    json_close(json, '}');
}

/* A row that waits for its parent has not failed. */
static const char *status_of(const struct quarantine_entry *entry)
{
    return *entry->waits_table && strcmp(entry->status, "pending") == 0 ? "waiting" : entry->status;
}

/* --- list --- */

#define LIST_COLUMNS 8

static void print_list(const struct quarantine_entry *entries, size_t count, int64_t limit)
{
    static const char *const head[LIST_COLUMNS] = {">id",    "rule",  "key",    "category",
                                                   "status", "tries", "reason", "column"};
    const char **cells = mem_zalloc((count + 1) * LIST_COLUMNS, sizeof(*cells));
    char(*numbers)[2][24] = mem_zalloc(count + 1, sizeof(*numbers));
    memcpy(cells, head, sizeof(head));
    for (size_t i = 0; i < count; i++) {
        const char **row = cells + (i + 1) * LIST_COLUMNS;
        snprintf(numbers[i][0], sizeof(numbers[i][0]), "%" PRId64, entries[i].id);
        snprintf(numbers[i][1], sizeof(numbers[i][1]), "%d", entries[i].retries);
        row[0] = numbers[i][0];
        row[1] = entries[i].rule;
        row[2] = entries[i].key;
        row[3] = entries[i].category;
        row[4] = status_of(&entries[i]);
        row[5] = numbers[i][1];
        row[6] = entries[i].reason;
        row[7] = entries[i].column && *entries[i].column ? entries[i].column : entries[i].constraint;
    }
    term_table(stdout, LIST_COLUMNS, count + 1, cells);
    if ((int64_t)count == limit)
        printf("  (the first %" PRId64 "; --limit shows more)\n", limit);
    free(numbers);
    free(cells);
}

int cmd_quarantine_list(const struct cli *cli)
{
    const struct command_line *line = cli->line;
    struct err err = {0};
    PGconn *target = NULL;
    struct pipeline_report *report = NULL;
    struct quarantine_entry *entries = NULL;
    size_t count = 0;
    const struct quarantine_filter filter = {
        .rule = line->values[OPT_RULE],
        .category = line->values[OPT_CATEGORY],
        .status = line->values[OPT_STATUS],
        .limit = command_number(line, OPT_LIMIT, 100),
    };
    int code = EXIT_OK;
    if (cli_open_target(cli, &target, &err) < 0 || request_pipeline(cli, target, &report, &err) < 0 ||
        quarantine_list(target, cli->settings->pipeline, &filter, &entries, &count, &err) < 0) {
        code = cli_fail(cli->json, &err);
    } else if (cli->json) {
        struct json json;
        json_init(&json);
        json_open(&json, NULL, '[');
        for (size_t i = 0; i < count; i++)
            put_entry(&json, NULL, &entries[i]);
        json_close(&json, ']');
        code = json_print(&json, stdout) < 0 ? EXIT_INTERNAL : EXIT_OK;
    } else if (count == 0) {
        printf("nothing stands aside\n");
    } else {
        print_list(entries, count, filter.limit);
    }
    quarantine_entries_free(entries, count);
    pipeline_report_free(report);
    pg_close(target);
    return code;
}

/* --- show --- */

static void print_field(const char *name, const char *text)
{
    if (text && *text)
        printf("  %s%-12s%s %s\n", term_colour(stdout, TERM_DIM), name, term_colour(stdout, TERM_PLAIN), text);
}

static void print_entry(const struct quarantine_entry *entry)
{
    printf("%s%" PRId64 "  %s%s\n", term_colour(stdout, TERM_BOLD), entry->id, entry->rule,
           term_colour(stdout, TERM_PLAIN));
    print_field("from", entry->source_table);
    print_field("to", entry->target_table);
    print_field("operation", entry->op);
    print_field("key", entry->key);
    print_field("category", entry->category);
    print_field("severity", entry->severity);
    print_field("status", status_of(entry));
    print_field("waits for", entry->waits_table);
    print_field("whose id is", entry->waits_id);
    print_field("reason", entry->reason);
    print_field("column", entry->column);
    print_field("constraint", entry->constraint);
    print_field("sqlstate", entry->sqlstate);
    print_field("suggestion", entry->suggestion);
    print_field("lsn", entry->lsn);
    printf("  %s%-12s%s %" PRId64 "\n", term_colour(stdout, TERM_DIM), "xid", term_colour(stdout, TERM_PLAIN),
           entry->xid);
    print_field("first seen", entry->first_seen);
    print_field("last tried", entry->last_tried);
    printf("  %s%-12s%s %d\n", term_colour(stdout, TERM_DIM), "retries", term_colour(stdout, TERM_PLAIN),
           entry->retries);
    print_field("change", entry->change);
}

int cmd_quarantine_show(const struct cli *cli)
{
    struct err err = {0};
    PGconn *target = NULL;
    struct pipeline_report *report = NULL;
    struct quarantine_entry *entry = NULL;
    int64_t id = 0;
    int code = EXIT_OK;
    if (parse_id(cli->line->arguments[0], &id, &err) < 0 || cli_open_target(cli, &target, &err) < 0 ||
        request_pipeline(cli, target, &report, &err) < 0 ||
        quarantine_show(target, cli->settings->pipeline, id, &entry, &err) < 0) {
        code = cli_fail(cli->json, &err);
    } else if (cli->json) {
        struct json json;
        json_init(&json);
        put_entry(&json, NULL, entry);
        code = json_print(&json, stdout) < 0 ? EXIT_INTERNAL : EXIT_OK;
    } else {
        print_entry(entry);
    }
    quarantine_entries_free(entry, entry ? 1 : 0);
    pipeline_report_free(report);
    pg_close(target);
    return code;
}

/* --- retry, discard --- */

/* Which entries: ids, or --all, or a rule or category; never everything by an oversight. */
static int chosen(const struct command_line *line, int64_t **ret_ids, struct err *reterr)
{
    bool filtered = command_has(line, OPT_ALL) || command_has(line, OPT_RULE) || command_has(line, OPT_CATEGORY);
    if (filtered == (line->argument_count > 0)) {
        err_set(reterr, ERR_CONFIG,
                filtered ? "ids and --all, --rule or --category exclude each other"
                         : "which entries? give their ids, or --all, --rule or --category");
        return err_hint(reterr, "`pgrekey quarantine list` shows them");
    }
    int64_t *ids = line->argument_count ? mem_zalloc(line->argument_count, sizeof(*ids)) : NULL;
    for (size_t i = 0; i < line->argument_count; i++)
        if (parse_id(line->arguments[i], &ids[i], reterr) < 0) {
            free(ids);
            return -1;
        }
    *ret_ids = ids;
    return 0;
}

struct quarantine_ask {
    const struct cli *cli;
    PGconn *target;
    struct pipeline_report *report;
    int64_t *ids;
    size_t id_count;
};

static int open_ask(struct quarantine_ask *ask, struct err *reterr)
{
    ask->id_count = ask->cli->line->argument_count;
    return chosen(ask->cli->line, &ask->ids, reterr) < 0 || cli_open_target(ask->cli, &ask->target, reterr) < 0
               ? -1
               : request_pipeline(ask->cli, ask->target, &ask->report, reterr);
}

static int close_ask(struct quarantine_ask *ask, int code)
{
    free(ask->ids);
    pipeline_report_free(ask->report);
    pg_close(ask->target);
    return code;
}

static int run_ask(struct quarantine_ask *ask, const char *kind)
{
    const struct command_line *line = ask->cli->line;
    const struct request_ask request = {
        .kind = kind,
        .ids = ask->ids,
        .id_count = ask->id_count,
        .rule = ask->ids ? NULL : line->values[OPT_RULE],
        .category = ask->ids ? NULL : line->values[OPT_CATEGORY],
    };
    return request_run(ask->cli, ask->target, ask->report, &request);
}

int cmd_quarantine_retry(const struct cli *cli)
{
    struct err err = {0};
    struct quarantine_ask ask = {.cli = cli};
    if (open_ask(&ask, &err) < 0)
        return close_ask(&ask, cli_fail(cli->json, &err));
    return close_ask(&ask, run_ask(&ask, "quarantine_retry"));
}

/* What is given up is named one by one: an entry that comes in meanwhile is not among them. */
static int collect_ids(struct quarantine_ask *ask, struct err *reterr)
{
    const struct command_line *line = ask->cli->line;
    struct quarantine_entry *entries = NULL;
    const struct quarantine_filter filter = {
        .rule = line->values[OPT_RULE], .category = line->values[OPT_CATEGORY], .limit = DISCARD_MAX};
    if (quarantine_list(ask->target, ask->cli->settings->pipeline, &filter, &entries, &ask->id_count, reterr) < 0)
        return -1;
    ask->ids = mem_zalloc(ask->id_count + 1, sizeof(*ask->ids));
    for (size_t i = 0; i < ask->id_count; i++)
        ask->ids[i] = entries[i].id;
    quarantine_entries_free(entries, ask->id_count);
    return 0;
}

int cmd_quarantine_discard(const struct cli *cli)
{
    struct err err = {0};
    struct quarantine_ask ask = {.cli = cli};
    char question[96];
    if (open_ask(&ask, &err) < 0 || (!ask.ids && collect_ids(&ask, &err) < 0))
        return close_ask(&ask, cli_fail(cli->json, &err));
    if (ask.id_count == 0) {
        printf(cli->json ? "{\"done\":true,\"result\":\"0 discarded\"}\n" : "nothing stands aside\n");
        return close_ask(&ask, EXIT_OK);
    }
    snprintf(question, sizeof(question), "Give %zu row%s up until they change again?", ask.id_count,
             ask.id_count == 1 ? "" : "s");
    /* ids that were typed are meant; a crowd is asked about */
    if (cli->line->argument_count == 0 && !confirm(cli->line, question, &err))
        return close_ask(&ask, cli_fail(cli->json, &err));
    return close_ask(&ask, run_ask(&ask, "quarantine_discard"));
}
