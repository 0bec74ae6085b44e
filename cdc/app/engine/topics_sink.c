/* `sink: kafka`: the settings as the sink wants them. */
#include "cdc/app/engine/engine.h"
#include "cdc/app/engine/topics_sink.h"
#include "cdc/base/log.h"
#include "sinks/kafka/kafkasink.h"

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
    if (map_derivation_count(engine->binding.map) > 0)
        log_event(LOG_INFO, "not_published", "derivations=%zu msg=\"a replay computes them\"",
                  map_derivation_count(engine->binding.map));
    return kafkasink_open(&options, &engine->sink, ret_position, reterr);
}
