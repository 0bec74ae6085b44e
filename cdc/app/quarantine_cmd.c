/* `pgrekey quarantine list|show|retry|discard`. Only `show` prints a row's values. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/confirm.h"
#include "cdc/app/json.h"
#include "cdc/app/request_cmd.h"
#include "cdc/app/term.h"
#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/quarantine.h"

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
        row[4] = entries[i].status;
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
    print_field("status", entry->status);
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

static int ask_engine(const struct cli *cli, const char *kind, const int64_t *ids)
{
    const struct command_line *line = cli->line;
    struct err err = {0};
    PGconn *target = NULL;
    struct pipeline_report *report = NULL;
    const struct request_ask ask = {
        .kind = kind,
        .ids = ids,
        .id_count = line->argument_count,
        .rule = line->values[OPT_RULE],
        .category = line->values[OPT_CATEGORY],
    };
    int code;
    if (cli_open_target(cli, &target, &err) < 0 || request_pipeline(cli, target, &report, &err) < 0)
        code = cli_fail(cli->json, &err);
    else
        code = request_run(cli, target, report, &ask);
    pipeline_report_free(report);
    pg_close(target);
    return code;
}

int cmd_quarantine_retry(const struct cli *cli)
{
    struct err err = {0};
    int64_t *ids = NULL;
    if (chosen(cli->line, &ids, &err) < 0)
        return cli_fail(cli->json, &err);
    int code = ask_engine(cli, "quarantine_retry", ids);
    free(ids);
    return code;
}

int cmd_quarantine_discard(const struct cli *cli)
{
    struct err err = {0};
    int64_t *ids = NULL;
    if (chosen(cli->line, &ids, &err) < 0)
        return cli_fail(cli->json, &err);
    int code = EXIT_OK;
    /* a few named ones are meant; many at once are asked about */
    if (ids || confirm(cli->line, "Give all these rows up until they change again?", &err))
        code = ask_engine(cli, "quarantine_discard", ids);
    else
        code = cli_fail(cli->json, &err);
    free(ids);
    return code;
}
