#include "cdc/app/engine/sides.h"

#include "cdc/pg/pg.h"

int side_check_dsn(const struct settings *settings, enum side side, struct err *reterr)
{
    bool source = side == SIDE_SOURCE;
    if (source ? settings->source_dsn : settings->target_dsn)
        return 0;
    (void)err_set(reterr, ERR_CONFIG, "%s.dsn is not set", source ? "source" : "target");
    return err_hint(reterr,
                    "set it in pgrekey.yaml or as PGREKEY_%s_DSN; `pgrekey settings --example` prints a file to "
                    "start from",
                    source ? "SOURCE" : "TARGET");
}

int side_open_target(const struct settings *settings, PGconn **ret_conn, struct err *reterr)
{
    struct pg_options options = {
        .side = "target",
        .conninfo = settings->target_dsn,
        .password_file = settings->target_password_file,
        .application_name = "pgrekey catalogue",
        .utf8_only = true,
    };
    return pg_open(&options, ret_conn, reterr);
}

int side_read_target(const struct settings *settings, const struct map *map, struct catalog **ret_catalog,
                     struct err *reterr)
{
    size_t count;
    PGconn *conn = NULL;
    const char *const *schemas = map_target_schemas(map, &count);
    if (side_open_target(settings, &conn, reterr) != 0)
        return -1;
    int failed = pg_read_catalog(conn, "target", schemas, count, ret_catalog, reterr);
    pg_close(conn);
    return failed;
}

struct pgsink_options side_sink_options(const struct settings *settings)
{
    return (struct pgsink_options){
        .conninfo = settings->target_dsn,
        .password_file = settings->target_password_file,
        .pipeline = settings->pipeline,
        .lock_wait_s = (int)settings->target_lock_wait_s,
        .statement_timeout_ms = (int)settings->target_statement_timeout_ms,
        .lock_timeout_ms = (int)settings->target_lock_timeout_ms,
        .breaker_window = (int)settings->breaker_window,
        .breaker_percent = (int)settings->breaker_percent,
        .retry_limit = (int)settings->quarantine_retries,
        .retry_backoff_s = (int)settings->quarantine_backoff_s,
        .keep_resolved_s = settings->quarantine_keep_resolved_s,
        .fast_load = settings->snapshot_fast_load,
    };
}
