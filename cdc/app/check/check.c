/* `pgrekey check`: the preflight of both sides. See check.h. */
#include "cdc/app/check/check.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/app/check/check_derive.h"
#include "cdc/app/check/check_index.h"
#include "cdc/app/cmd/term.h"
#include "cdc/base/arena.h"
#include "cdc/pg/pg.h"

void check_add_err(struct check *check, const char *side, const char *code, const struct err *err)
{
    size_t len = strlen(side);
    bool named = strncmp(err->message, side, len) == 0 && err->message[len] == ':';
    findings_add(&check->findings, FINDING_ERROR, side, code, err->hint, "%s", err->message + (named ? len + 2 : 0));
}

PGresult *check_query(struct check *check, bool source, const char *code, const char *sql, int param_count,
                      const char *const *params)
{
    struct err err = {0};
    PGresult *result;
    const char *side = source ? "source" : "target";
    if (pg_query(source ? check->source : check->target, side, "checking", sql, param_count, params, &result, &err) ==
        0)
        return result;
    check_add_err(check, side, code, &err);
    return NULL;
}

const struct relation **check_relations(const struct check *check, bool source, size_t *ret_count)
{
    const struct map *map = check->mapping.map;
    const struct catalog *catalog = source ? check->mapping.source : check->mapping.target;
    size_t rule_count = map && catalog ? map_rule_count(map) : 0, count = 0;
    const struct relation **relations = mem_zalloc(rule_count + 1, sizeof(*relations));
    for (size_t i = 0; i < rule_count; i++) {
        const struct rule *rule = map_rule(map, i);
        if (!source && rule->mirror) /* the engine's own: check_mirrors() */
            continue;
        const struct relation *found = catalog_find(catalog, source ? rule->from_schema : rule->to_schema,
                                                    source ? rule->from_table : rule->to_table);
        bool known = !found;
        for (size_t j = 0; j < count && !known; j++)
            known = relations[j] == found;
        if (!known)
            relations[count++] = found;
    }
    *ret_count = count;
    return relations;
}

void check_put_oids(struct buf *buf, const struct relation *const *relations, size_t count)
{
    buf_putc(buf, '{');
    for (size_t i = 0; i < count; i++)
        buf_printf(buf, "%s%u", i ? "," : "", relations[i]->oid);
    buf_putc(buf, '}');
}

void check_put_names(struct buf *buf, const char *name, size_t index, size_t shown)
{
    if (index < shown)
        buf_printf(buf, "%s%s", index ? ", " : "", name);
    else if (index == shown)
        buf_puts(buf, ", …");
}

static void add_issues(struct check *check)
{
    const struct map_issues *issues = &check->mapping.issues;
    for (size_t i = 0; i < issues->count; i++) {
        const struct map_issue *issue = &issues->items[i];
        const char *separator = issue->key && *issue->key ? ": " : "";
        size_t line;
        const char *path = map_issue_place(issues, check->settings->mapping, issue->line, &line);
        findings_add(&check->findings, issue->warning ? FINDING_WARNING : FINDING_ERROR, "mapping", "mapping", NULL,
                     "%s:%zu:%zu: %s%s%s", path, line, issue->column, issue->key ? issue->key : "", separator,
                     issue->message);
    }
}

static void connect_side(struct check *check, bool source)
{
    struct err err = {0};
    int status =
        source ? cli_open_source(check->cli, &check->source, &err) : cli_open_target(check->cli, &check->target, &err);
    if (status == 0)
        return;
    check->unreachable |= err.kind == ERR_RETRY;
    check_add_err(check, source ? "source" : "target", "connect", &err);
}

/* The mapping against whichever side can be read. */
static void check_mapping(struct check *check)
{
    struct err err = {0};
    int status = mapping_load(&check->mapping, check->settings->mapping, check->settings->skip, &err);
    if (status == 0 && (check->source || check->target))
        status = mapping_bind(&check->mapping, check->source, check->target, &err);
    if (status == 0)
        status = check_derivations(&check->mapping, check->target, true, &err);
    if (status == 0)
        status = check_indexes(&check->mapping, check->target, &err);
    if (status < 0 && !map_issues_have_errors(&check->mapping.issues))
        check_add_err(check, "mapping", "mapping", &err);
    add_issues(check);
}

static int report(const struct check *check)
{
    size_t errors = findings_count(&check->findings, FINDING_ERROR);
    size_t warnings = findings_count(&check->findings, FINDING_WARNING);
    if (check->cli->json) {
        struct json json;
        json_init(&json);
        json_open(&json, NULL, '{');
        json_bool(&json, "ok", errors == 0);
        json_int(&json, "errors", (int64_t)errors);
        json_int(&json, "warnings", (int64_t)warnings);
        findings_put_json(&check->findings, &json);
        json_close(&json, '}');
        if (json_print(&json, stdout) < 0)
            return EXIT_INTERNAL;
    } else {
        findings_print(&check->findings, check->cli->quiet, stdout);
        if (!check->cli->quiet)
            printf("\n%s%s%s: %zu error%s, %zu warning%s\n", term_colour(stdout, errors ? TERM_RED : TERM_GREEN),
                   errors ? "not ready" : "ready", term_colour(stdout, TERM_PLAIN), errors, errors == 1 ? "" : "s",
                   warnings, warnings == 1 ? "" : "s");
    }
    if (check->unreachable)
        return EXIT_UNREACHABLE;
    return errors ? EXIT_FINDINGS : EXIT_OK;
}

int cmd_check(const struct cli *cli)
{
    struct check check = {.cli = cli, .settings = cli->settings};
    connect_side(&check, true);
    connect_side(&check, false);
    check_mapping(&check);
    if (check.source) {
        check_source(&check);
        check_source_tables(&check);
    }
    if (check.target) {
        check_target(&check);
        check_target_tables(&check);
        check_mirrors(&check);
        check_fast_load(&check);
    }
    if (check.source)
        check_slot(&check);
    if (check.source && command_has(cli->line, OPT_DEEP))
        check_deep(&check);
    int code = report(&check);
    pipeline_report_free(check.report);
    pg_close(check.source);
    pg_close(check.target);
    mapping_done(&check.mapping);
    findings_done(&check.findings);
    return code;
}
