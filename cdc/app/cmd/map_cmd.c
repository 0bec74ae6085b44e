/* `pgrekey map check`: the mapping file alone, then against both servers. */
#include <string.h>

#include "cdc/app/check/check_derive.h"
#include "cdc/app/check/check_index.h"
#include "cdc/app/engine/mapping.h"
#include "cdc/app/cmd/term.h"
#include "cdc/pg/pg.h"

struct map_check {
    const struct cli *cli;
    const char *path;
    struct mapping mapping;
    PGconn *source, *target;
};

/* A side whose DSN is not set is left out: half a check is better than none. */
static int connect_sides(struct map_check *check, struct err *reterr)
{
    const struct settings *settings = check->cli->settings;
    if (command_has(check->cli->line, OPT_OFFLINE))
        return 0;
    if (settings->source_dsn && cli_open_source(check->cli, &check->source, reterr) < 0)
        return err_hint(reterr, "--offline checks the file alone");
    if (settings->target_dsn && cli_open_target(check->cli, &check->target, reterr) < 0)
        return err_hint(reterr, "--offline checks the file alone");
    return 0;
}

static int count_issues(const struct map_issues *issues, bool warning)
{
    int count = 0;
    for (size_t i = 0; i < issues->count; i++)
        count += issues->items[i].warning == warning;
    return count;
}

static int print_json(const struct map_check *check, bool errors)
{
    struct json json;
    char whole[FINGERPRINT_TEXT_MAX] = "", identity[FINGERPRINT_TEXT_MAX] = "";
    const struct map *map = check->mapping.map;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "mapping", check->path);
    json_bool(&json, "ok", !errors);
    json_bool(&json, "checked_source", check->source != NULL);
    json_bool(&json, "checked_target", check->target != NULL);
    if (map)
        map_fingerprint(map, whole, identity);
    json_text(&json, "fingerprint", map ? whole : NULL);
    json_int(&json, "rules", map ? (int64_t)map_rule_count(map) : 0);
    mapping_put_issues(&json, &check->mapping);
    json_close(&json, '}');
    return json_print(&json, stdout);
}

static void print_text(const struct map_check *check, bool errors)
{
    const struct mapping *mapping = &check->mapping;
    map_issues_print(&mapping->issues, check->path, stdout);
    if (check->cli->quiet)
        return;
    int error_count = count_issues(&mapping->issues, false), warnings = count_issues(&mapping->issues, true);
    if (errors)
        printf("%s%s: %d error%s%s", term_colour(stdout, TERM_RED), check->path, error_count,
               error_count == 1 ? "" : "s", term_colour(stdout, TERM_PLAIN));
    else
        printf("%s%s: fine%s, %zu rule%s", term_colour(stdout, TERM_GREEN), check->path,
               term_colour(stdout, TERM_PLAIN), map_rule_count(mapping->map),
               map_rule_count(mapping->map) == 1 ? "" : "s");
    if (warnings)
        printf(", %d warning%s", warnings, warnings == 1 ? "" : "s");
    printf("%s\n", check->source && check->target ? " (checked against both servers)"
                   : check->source                ? " (checked against the source only)"
                   : check->target                ? " (checked against the target only)"
                                                  : " (checked without the servers)");
}

static int run_check(struct map_check *check)
{
    struct err err = {0};
    int status = mapping_load(&check->mapping, check->path, check->cli->settings->skip, &err);
    /* a file that cannot be read, a server that cannot be reached: no finding but a failure */
    if (status < 0 && !map_issues_have_errors(&check->mapping.issues))
        return cli_fail(check->cli->json, &err);
    if (status == 0) {
        if (connect_sides(check, &err) < 0)
            return cli_fail(check->cli->json, &err);
        bool online = check->source || check->target;
        status = online ? mapping_bind(&check->mapping, check->source, check->target, &err) : 0;
        if (status == 0 && map_has_mask(check->mapping.map))
            status = map_check_mask(check->mapping.map, &check->mapping.issues, &err);
        if (status == 0)
            status = check_derivations(&check->mapping, check->target, true, &err);
        if (status == 0)
            status = check_indexes(&check->mapping, check->target, &err);
        if (status < 0 && !map_issues_have_errors(&check->mapping.issues))
            return cli_fail(check->cli->json, &err);
    }
    if (!check->cli->json)
        print_text(check, status < 0);
    else if (print_json(check, status < 0) < 0)
        return EXIT_INTERNAL;
    return status < 0 ? EXIT_FINDINGS : EXIT_OK;
}

int cmd_map_check(const struct cli *cli)
{
    struct map_check check = {.cli = cli};
    check.path = cli->line->argument_count ? cli->line->arguments[0] : cli->settings->mapping;
    int code = run_check(&check);
    mapping_done(&check.mapping);
    pg_close(check.source);
    pg_close(check.target);
    return code;
}
