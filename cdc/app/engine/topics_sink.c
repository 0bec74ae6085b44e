/* `sink: kafka`: the settings as the sink wants them. */
#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/topics_sink.h"
#include "cdc/base/log.h"
#include "sinks/kafka/kafkasink.h"
#include "sinks/postgres/adopt/names.h"

static bool stopping(void *context)
{
    (void)context;
    return run_stop != 0;
}

struct client_options topics_client(const struct settings *settings)
{
    return (struct client_options){.brokers = settings->kafka_bootstrap,
                                   .properties = settings->kafka_properties,
                                   .properties_file = settings->kafka_properties_file,
                                   .transaction_timeout_ms = (int)settings->kafka_transaction_timeout_ms,
                                   .message_max_bytes = (size_t)settings->kafka_message_max_bytes,
                                   .compression = settings->kafka_compression,
                                   .linger_ms = (int)settings->kafka_linger_ms,
                                   .stopping = stopping};
}

static int put_names(void *context, struct row **rows, size_t count, struct arena *arena, struct err *reterr)
{
    const struct engine *engine = context;
    return names_put(engine->names, rows, count, arena, reterr);
}

/* The session on identity.target ends with the sink's. */
static int open_names(struct engine *engine, struct row_names *ret_names, struct err *reterr)
{
    struct pgsink_options options = engine_sink_options(engine);
    names_close(engine->names);
    engine->names = NULL;
    if (!engine->settings->identity_target || !*engine->settings->identity_target)
        return 0;
    options.conninfo = engine->settings->identity_target;
    options.password_file = engine->settings->identity_password_file;
    options.pipeline = engine->settings->identity_pipeline;
    if (names_open(&options, &engine->names, reterr) != 0)
        return -1;
    *ret_names = (struct row_names){.context = engine, .put = put_names};
    ret_names->facts = names_facts(engine->names, &ret_names->fact_count);
    return 0;
}

int engine_open_topics(struct engine *engine, struct sink_position *ret_position, struct err *reterr)
{
    const struct settings *settings = engine->settings;
    struct kafkasink_options options = {
        .client = topics_client(settings),
        .topics = {.replication = (int)settings->kafka_replication,
                   .min_compaction_lag_ms = settings->kafka_min_compaction_lag_ms,
                   .delete_retention_ms = settings->kafka_delete_retention_ms,
                   .retention_ms = settings->kafka_delete_retention_ms,
                   .message_max_bytes = (size_t)settings->kafka_message_max_bytes},
        .prefix = settings->kafka_prefix,
        .pipeline = settings->pipeline,
        .slot = settings->source_slot,
        .map = engine->binding.map,
        .source = engine->source,
        .rows = complete_row_source(engine),
        .partitions = (int)settings->kafka_partitions,
        .schemas = settings->kafka_schemas,
        .tombstones = settings->kafka_tombstones,
        .transaction_max_rows = (uint64_t)settings->kafka_transaction_max_rows,
        .breaker_window = (int)settings->breaker_window,
        .breaker_percent = (int)settings->breaker_percent,
    };
    if (open_names(engine, &options.names, reterr) != 0)
        return -1;
    if (map_derivation_count(engine->binding.map) > 0)
        log_event(LOG_INFO, "not_published", "derivations=%zu msg=\"a replay computes them\"",
                  map_derivation_count(engine->binding.map));
    return kafkasink_open(&options, &engine->sink, ret_position, reterr);
}
