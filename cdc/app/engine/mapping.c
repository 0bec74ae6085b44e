#include "cdc/app/engine/mapping.h"

#include "cdc/base/log.h"
#include "cdc/pg/pg.h"

int mapping_load(struct mapping *mapping, const char *path, const char *skip, struct err *reterr)
{
    if (map_load(path, &mapping->map, &mapping->issues, reterr) < 0 ||
        (skip && map_skip(mapping->map, skip, &mapping->issues, reterr) < 0))
        return -1;
    return 0;
}

static int read_catalog(PGconn *conn, const char *side, const char *const *schemas, size_t count,
                        struct catalog **catalog, struct err *reterr)
{
    return conn ? pg_read_catalog(conn, side, schemas, count, catalog, reterr) : 0;
}

int mapping_bind(struct mapping *mapping, PGconn *source, PGconn *target, struct err *reterr)
{
    size_t source_count, target_count;
    const char *const *source_schemas = map_source_schemas(mapping->map, &source_count);
    const char *const *target_schemas = map_target_schemas(mapping->map, &target_count);
    if (read_catalog(source, "source", source_schemas, source_count, &mapping->source, reterr) < 0 ||
        read_catalog(target, "target", target_schemas, target_count, &mapping->target, reterr) < 0)
        return -1;
    return map_bind(mapping->map, mapping->source, mapping->target, &mapping->issues, reterr);
}

void mapping_done(struct mapping *mapping)
{
    map_free(mapping->map);
    catalog_free(mapping->source);
    catalog_free(mapping->target);
    map_issues_free(&mapping->issues);
}

void mapping_tell(const struct map_issues *issues, const char *path, bool failed, struct err *reterr)
{
    if (issues->count > 0 && (failed || log_get_level() >= LOG_INFO))
        map_issues_print(issues, path, stderr);
    if (failed && map_issues_have_errors(issues))
        err_hint(reterr, "mend what stands above; `pgrekey map check` looks again");
}

void mapping_put_issues(struct json *json, const struct mapping *mapping)
{
    json_open(json, "issues", '[');
    for (size_t i = 0; i < mapping->issues.count; i++) {
        const struct map_issue *issue = &mapping->issues.items[i];
        json_open(json, NULL, '{');
        json_text(json, "level", issue->warning ? "warning" : "error");
        size_t line;
        const char *file = map_issue_place(&mapping->issues, NULL, issue->line, &line);
        if (file)
            json_text(json, "file", file);
        json_int(json, "line", (int64_t)line);
        json_int(json, "column", (int64_t)issue->column);
        json_text(json, "key", issue->key);
        json_text(json, "message", issue->message);
        json_close(json, '}');
    }
    json_close(json, ']');
}
