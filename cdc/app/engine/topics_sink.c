/* `sink: kafka`: the settings as the sink wants them. */
#include <stdio.h>

#include "cdc/app/cmd/cli.h"
#include "cdc/app/engine/engine.h"
#include "cdc/app/cmd/json.h"
#include "cdc/app/status/status.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/kafka/kafkasink.h"

static bool stopping(void *context)
{
    (void)context;
    return run_stop != 0;
}

static struct client_options client_of(const struct settings *settings)
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
        .client = client_of(settings),
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

/* --- `pgrekey status` --- */

static const char *state_of(const struct kafkasink_look *look, bool running)
{
    if (look->state == PIPELINE_NEW)
        return "new";
    if (look->state == PIPELINE_SNAPSHOT)
        return running ? "snapshot" : "snapshot cut off";
    return running ? "streaming" : "idle";
}

static int print_json(const struct settings *settings, const struct kafkasink_look *look, const struct slot_state *slot)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_text(&json, "sink", "kafka");
    json_text(&json, "prefix", settings->kafka_prefix);
    json_text(&json, "state", state_of(look, slot->active));
    json_lsn(&json, "position", look->lsn);
    json_lsn(&json, "confirmed", slot->exists ? slot->confirmed_lsn : 0);
    json_int(&json, "lag_bytes",
             look->lsn && slot->current_lsn > look->lsn ? (int64_t)(slot->current_lsn - look->lsn) : 0);
    json_int(&json, "dead_letters", (int64_t)look->letters);
    json_int(&json, "parts", (int64_t)look->parts);
    json_int(&json, "parts_done", (int64_t)look->parts_done);
    json_close(&json, '}');
    return json_print(&json, stdout);
}

static void print_text(const struct settings *settings, const struct kafkasink_look *look,
                       const struct slot_state *slot)
{
    char position[LSN_TEXT_MAX];
    printf("publisher     topics under %s, %s\n", settings->kafka_prefix, state_of(look, slot->active));
    if (look->state == PIPELINE_SNAPSHOT)
        printf("snapshot      %zu of %zu parts\n", look->parts_done, look->parts);
    if (look->state == PIPELINE_STREAMING) {
        printf("position      %s\n", lsn_format(look->lsn, position));
        printf("behind        %.1f MB of the source's WAL\n",
               slot->current_lsn > look->lsn ? (double)(slot->current_lsn - look->lsn) / 1e6 : 0.0);
    }
    printf("slot          %s, %s\n", settings->source_slot,
           !slot->exists  ? "does not exist"
           : slot->active ? "is read"
                          : "nobody reads it");
    printf("dead letters  %zu open\n", look->letters);
}

int status_topics(const struct cli *cli)
{
    const struct settings *settings = cli->settings;
    struct client_options client = client_of(settings);
    struct kafkasink_look look;
    struct slot_state slot = {0};
    struct err err = {0};
    PGconn *conn = NULL;
    int failed = kafkasink_look(&client, settings->kafka_prefix, &look, &err) != 0 ||
                 cli_open_source(cli, &conn, &err) != 0 || slot_read(conn, settings->source_slot, &slot, &err) != 0;
    pg_close(conn);
    if (failed)
        return cli_fail(cli->json, &err);
    if (cli->json)
        return print_json(settings, &look, &slot) < 0 ? EXIT_INTERNAL : EXIT_OK;
    print_text(settings, &look, &slot);
    return EXIT_OK;
}
