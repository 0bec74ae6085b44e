/* The settings: one table (settings.c) gives parser, environment names, `--help`, the manual and
 * pgrekey.example.yaml. Precedence: command line, environment, file, default. */
#ifndef PGREKEY_APP_SETTINGS_H
#define PGREKEY_APP_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cdc/base/err.h"

struct settings {
    char *pipeline;   /* pipeline: name of the record on the target, "pgrekey" */
    char *mapping;    /* mapping: path, relative to the settings file */
    char *skip;       /* skip: rules, derivations and entities that are left out, "a, b"; NULL */
    char *log_format; /* log.format: text, json */
    char *log_level;  /* log.level: error, warn, info, debug */

    char *source_dsn;           /* source.dsn */
    char *source_password_file; /* source.password_file; NULL */
    char *source_slot;          /* source.slot, "pgrekey" */
    int64_t source_slot_wait_s; /* source.slot_wait: for open transactions when the slot is made, for a taken slot */
    bool source_timestamps;     /* source.timestamps: ask for commit times */
    int64_t source_status_interval_ms;    /* source.status_interval */
    int64_t source_receive_timeout_ms;    /* source.receive_timeout */
    int64_t source_catalog_interval_ms;   /* source.catalog_interval: the timed look at the catalogue */
    int64_t source_heartbeat_interval_ms; /* source.heartbeat_interval; 0: none */
    int64_t snapshot_workers;             /* snapshot.workers */
    int64_t snapshot_range_rows;          /* snapshot.range_rows */
    bool snapshot_fast_load;              /* snapshot.fast_load */

    char *target_dsn;                    /* target.dsn */
    char *target_password_file;          /* target.password_file; NULL */
    char *target_role;                   /* target.role: what init creates and grants, "pgrekey" */
    int64_t target_statement_timeout_ms; /* target.statement_timeout */
    int64_t target_lock_timeout_ms;      /* target.lock_timeout */
    int64_t target_lock_wait_s;          /* target.lock_wait: for a dead session's advisory lock */
    int64_t target_position_interval_ms; /* target.position_interval: how often an idle position is written */

    char *identity_target;        /* identity.target; NULL */
    char *identity_password_file; /* identity.password_file; NULL */
    char *identity_pipeline;      /* identity.pipeline, "pgrekey" */
    char *kafka_bootstrap;        /* kafka.bootstrap; NULL */
    char *kafka_prefix;           /* kafka.prefix, "pgrekey" */
    char *kafka_properties;       /* kafka.properties: "name=value, name=value"; NULL */
    char *kafka_properties_file;  /* kafka.properties_file; NULL */
    char *replay_masking;         /* replay.masking: on, off */
    char *replay_group;           /* replay.group; NULL: one worker */
    char *masking_key_file;       /* masking.key_file; NULL */

    char *sink; /* sink: postgres, kafka */

    bool kafka_schemas;                   /* kafka.schemas */
    bool kafka_tombstones;                /* kafka.tombstones */
    char *kafka_compression;              /* kafka.compression */
    int64_t kafka_linger_ms;              /* kafka.linger */
    int64_t kafka_partitions;             /* kafka.partitions, of topics that are made */
    int64_t kafka_replication;            /* kafka.replication; 0: the broker's default */
    int64_t kafka_min_compaction_lag_ms;  /* kafka.min_compaction_lag */
    int64_t kafka_delete_retention_ms;    /* kafka.delete_retention */
    int64_t kafka_message_max_bytes;      /* kafka.message_max_bytes */
    int64_t kafka_transaction_max_rows;   /* kafka.transaction_max_rows */
    int64_t kafka_transaction_timeout_ms; /* kafka.transaction_timeout */

    int64_t batch_max_rows;                     /* batch.max_rows */
    int64_t batch_max_bytes;                    /* batch.max_bytes */
    int64_t lookup_max_rows;                    /* lookup.max_rows */
    int64_t breaker_window;                     /* breaker.window, rows */
    int64_t breaker_percent;                    /* breaker.percent */
    int64_t quarantine_retries;                 /* quarantine.retries */
    int64_t quarantine_backoff_s;               /* quarantine.backoff */
    int64_t quarantine_keep_resolved_s;         /* quarantine.keep_resolved */
    int64_t guard_wal_budget;                   /* guard.wal_budget, bytes; 0: none */
    int64_t guard_warn_percent;                 /* guard.warn_percent */
    int64_t guard_act_percent;                  /* guard.act_percent */
    char *webhook_url, *webhook_secret_file;    /* webhook.url, webhook.secret_file; NULL */
    int64_t webhook_timeout_s;                  /* webhook.timeout */
    int64_t webhook_lag_s, webhook_after_s;     /* webhook.lag (0: none), webhook.after */
    char *http_listen;                          /* http.listen: ADDRESS:PORT, or off */
    char *guard_action;                         /* guard.action: alert, stop_snapshots, drop_slot */
    int64_t reconnect_min_ms, reconnect_max_ms; /* reconnect.min, reconnect.max */
};

struct setting_override {
    const char *name, *value;
};

/* Reads path (NULL: pgrekey.yaml in the working directory, else /etc/pgrekey/pgrekey.yaml, if it is there), the
 * environment (PGREKEY_SOURCE_DSN for source.dsn) and the overrides (--set name=value). ERR_CONFIG names file, line and
 * setting. */
int settings_load(const char *path, const struct setting_override *overrides, size_t override_count,
                  struct settings **ret_settings, struct err *reterr) MUST_CHECK;
/* May this one change while an engine runs (SIGHUP)? */
bool setting_reloads(const char *name);
/* The first setting in which they differ and that reloads, or does not; NULL: none. Begin with *at = 0. */
const char *settings_differ(const struct settings *a, const struct settings *b, size_t *at);
void settings_free(struct settings *settings);
/* All settings with type, unit, range, default and meaning, as help text, manual section or example file. */
void settings_print_help(FILE *out);
void settings_print_man(FILE *out);
void settings_print_example(FILE *out);

#endif
