/* The table of settings and its loader.
 *
 *     defaults ─▶ pgrekey.yaml ─▶ environment ─▶ --set      each later one wins
 *
 * Every value, wherever it comes from, goes through set_value() with the table's entry, so that a setting behaves
 * the same in all three places. A value never stands in an error unless it is a plain number or a choice: a DSN may
 * hold a password.
 */
#include "cdc/app/settings/settings_table.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "cdc/app/cmd/suggest.h"
#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "cdc/base/log.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define SETTINGS_FILE "pgrekey.yaml"
#define SETTINGS_SYSTEM_FILE "/etc/pgrekey/pgrekey.yaml" /* the service's */
#define MINUTE_MS INT64_C(60000)
#define DAY_S INT64_C(86400)
#define AT(field) offsetof(struct settings, field)

static const struct setting table[] = {
    {"pipeline", SETTING_NAME, AT(pipeline), 0, 0, "pgrekey", NULL, NULL,
     "Name of this pipeline's record on the target. One target may hold several."},
    {"mapping", SETTING_PATH, AT(mapping), 0, 0, "mapping.yaml", NULL, "mapping.yaml",
     "The mapping file: which source row becomes which target row."},
    {"skip", SETTING_LIST, AT(skip), 0, 0, NULL, NULL, NULL,
     "Rules, derivations and entities of the mapping that are left out for now: [profile, \"visit->visits\"]. Their "
     "rows "
     "count as excluded; taken from the list again they are copied again."},
    {"log.level", SETTING_CHOICE, AT(log_level), 0, 0, "info", "error|warn|info|debug", NULL,
     "What is written to stderr. No level writes a row's values."},

    {"log.format", SETTING_CHOICE, AT(log_format), 0, 0, "text", "text|json", NULL,
     "Lines of key=value, or JSON objects."},

    {"source.dsn", SETTING_TEXT, AT(source_dsn), 0, 0, NULL, NULL,
     "host=legacy.example port=5432 dbname=app user=pgrekey sslmode=require",
     "The legacy server, as libpq takes it: keywords or a postgresql:// address. Its user needs REPLICATION and "
     "SELECT; "
     "`pgrekey init --source` prints the SQL. Keep the password out of it."},
    {"source.password_file", SETTING_PATH, AT(source_password_file), 0, 0, NULL, NULL, NULL,
     "A file whose first line is the password. Without it libpq's own ways hold: ~/.pgpass, PGPASSWORD."},
    {"source.slot", SETTING_NAME, AT(source_slot), 0, 0, "pgrekey", NULL, NULL,
     "The replication slot. It is made by the first `pgrekey run` and removed by `pgrekey drop`."},
    {"source.slot_wait", SETTING_DURATION_S, AT(source_slot_wait_s), 1, DAY_S, "90s", NULL, NULL,
     "How long to wait for transactions that are open while the slot is made, and for a slot that a dead session "
     "still holds (up to the source's wal_sender_timeout)."},
    {"source.timestamps", SETTING_BOOL, AT(source_timestamps), 0, 1, "true", NULL, NULL,
     "Ask for commit times: lag in seconds needs them. They cost about 3 % of the decoding."},
    {"source.status_interval", SETTING_DURATION_MS, AT(source_status_interval_ms), 10, 10 * MINUTE_MS, "1s", NULL, NULL,
     "How often the source is told how far we are, so that it may drop its WAL."},
    {"source.receive_timeout", SETTING_DURATION_MS, AT(source_receive_timeout_ms), 1000, 60 * MINUTE_MS, "60s", NULL,
     NULL, "Silence of the source after which the connection counts as dead and is made anew."},
    {"source.catalog_interval", SETTING_DURATION_MS, AT(source_catalog_interval_ms), 1000, 24 * 60 * MINUTE_MS, "10s",
     NULL, NULL, "How often the source's catalogue is looked at for renamed, dropped or retyped tables and columns."},
    {"source.heartbeat_interval", SETTING_DURATION_MS, AT(source_heartbeat_interval_ms), 0, 60 * MINUTE_MS, "10s", NULL,
     NULL,
     "How often a message goes into the source's WAL (pg_logical_emit_message) and is awaited behind the whole "
     "pipeline: a stuck pipeline is seen on a source that is idle, and the slot of a quiet database moves. 0: never."},

    {"snapshot.workers", SETTING_COUNT, AT(snapshot_workers), 1, 64, "2", NULL, NULL,
     "How many connections copy the snapshot side by side, on each server."},
    {"snapshot.range_rows", SETTING_COUNT, AT(snapshot_range_rows), 1000, INT64_C(1000000000), "500000", NULL, NULL,
     "Tables are copied in ranges of about this many rows."},
    {"snapshot.fast_load", SETTING_BOOL, AT(snapshot_fast_load), 0, 1, "false", NULL, NULL,
     "Take indexes and foreign keys off empty target tables and build them again behind the load. For tables that "
     "the engine's role owns."},

    {"target.dsn", SETTING_TEXT, AT(target_dsn), 0, 0, NULL, NULL,
     "host=target.example port=5432 dbname=postgres user=pgrekey sslmode=require",
     "The target server. Not through a transaction pooler: `pgrekey check` finds out."},
    {"target.password_file", SETTING_PATH, AT(target_password_file), 0, 0, NULL, NULL, NULL,
     "A file whose first line is the password."},
    {"target.role", SETTING_TEXT, AT(target_role), 0, 0, "pgrekey", NULL, NULL,
     "The role that `pgrekey init` makes and that the tables are granted to."},
    {"target.statement_timeout", SETTING_DURATION_MS, AT(target_statement_timeout_ms), 0, DAY_S * 1000, "10min", NULL,
     NULL, "The target cancels a statement that takes longer. 0: never."},
    {"target.lock_timeout", SETTING_DURATION_MS, AT(target_lock_timeout_ms), 0, DAY_S * 1000, "30s", NULL, NULL,
     "The target gives up waiting for a lock that somebody else holds; the batch is tried again. 0: never."},
    {"target.lock_wait", SETTING_DURATION_S, AT(target_lock_wait_s), 1, DAY_S, "90s", NULL, NULL,
     "How long to wait at start for the lock of another engine of this pipeline, which may be dying."},
    {"target.position_interval", SETTING_DURATION_MS, AT(target_position_interval_ms), 100, 60 * MINUTE_MS, "10s", NULL,
     NULL, "How often the position is written while nothing that concerns the mapping happens."},

    {"sink", SETTING_CHOICE, AT(sink), 0, 0, "postgres", "postgres|kafka", NULL,
     "Where `pgrekey run` writes: straight into the target, or into topics. For topics the target is only asked how "
     "its tables look."},

    {"identity.target", SETTING_TEXT, AT(identity_target), 0, 0, NULL, NULL, NULL,
     "Of `sink: kafka` with a mapping that adopts: the target (as target.dsn) that another pipeline has adopted rows "
     "of. Their ids there are published. Only read."},
    {"identity.password_file", SETTING_PATH, AT(identity_password_file), 0, 0, NULL, NULL, NULL,
     "A file whose first line is the password for it."},
    {"identity.pipeline", SETTING_NAME, AT(identity_pipeline), 0, 0, "pgrekey", NULL, NULL,
     "That other pipeline's name on identity.target."},

    {"kafka.bootstrap", SETTING_TEXT, AT(kafka_bootstrap), 0, 0, NULL, NULL, NULL,
     "The brokers to begin with: host:port, with commas between."},
    {"kafka.prefix", SETTING_TEXT, AT(kafka_prefix), 0, 0, "pgrekey", NULL, NULL,
     "What the names of all topics begin with, and the `name` in their messages."},
    {"kafka.properties", SETTING_LIST, AT(kafka_properties), 0, 0, NULL, NULL, NULL,
     "Any property of librdkafka, name=value each: [security.protocol=sasl_ssl, sasl.mechanism=SCRAM-SHA-512]. A value "
     "with @ before it is the first line of that file: sasl.password=@/etc/pgrekey/kafka-password."},
    {"kafka.properties_file", SETTING_PATH, AT(kafka_properties_file), 0, 0, NULL, NULL, NULL,
     "A file of such properties, one on each line: the place for sasl.password and other secrets."},
    {"kafka.schemas", SETTING_BOOL, AT(kafka_schemas), 0, 1, "false", NULL, NULL,
     "Put Kafka Connect's schema into every message: sinks that want one need no registry then. Messages grow."},
    {"kafka.tombstones", SETTING_BOOL, AT(kafka_tombstones), 0, 1, "true", NULL, NULL,
     "Let a message without a value follow each delete, so that compaction forgets the key."},
    {"kafka.compression", SETTING_CHOICE, AT(kafka_compression), 0, 0, "zstd", "none|gzip|snappy|lz4|zstd", NULL,
     "How batches of messages are compressed."},
    {"kafka.linger", SETTING_DURATION_MS, AT(kafka_linger_ms), 0, 60000, "5ms", NULL, NULL,
     "How long a message waits for others to go with. A quiet stream is late by as much."},
    {"kafka.partitions", SETTING_COUNT, AT(kafka_partitions), 1, 10000, "4", NULL, NULL,
     "Partitions of a data topic that is made. As many workers can replay side by side."},
    {"kafka.replication", SETTING_COUNT, AT(kafka_replication), 0, 100, "0", NULL, NULL,
     "Replicas of a topic that is made. 0: the broker's default."},
    {"kafka.min_compaction_lag", SETTING_DURATION_MS, AT(kafka_min_compaction_lag_ms), 0, 3650 * DAY_S * 1000, "7d",
     NULL, NULL,
     "For so long a topic that is made keeps every event of a key; whole transactions can be restored from then on."},
    {"kafka.delete_retention", SETTING_DURATION_MS, AT(kafka_delete_retention_ms), 0, 3650 * DAY_S * 1000, "14d", NULL,
     NULL,
     "For so long a topic that is made keeps deletes, and transactions and dead letters theirs. A replay into a "
     "database with an older position is refused. At least kafka.min_compaction_lag."},
    {"kafka.message_max_bytes", SETTING_BYTES, AT(kafka_message_max_bytes), 1000, 1000000000, "8MB", NULL, NULL,
     "The largest message; a topic that is made allows as much. A larger row pauses the pipeline."},
    {"kafka.transaction_max_rows", SETTING_COUNT, AT(kafka_transaction_max_rows), 1, INT64_C(1000000000), "100000",
     NULL, NULL,
     "A larger transaction of the source is spread over several Kafka transactions; its END says it is whole."},
    {"kafka.transaction_timeout", SETTING_DURATION_MS, AT(kafka_transaction_timeout_ms), 1000, 15 * MINUTE_MS, "60s",
     NULL, NULL,
     "After so long the broker ends a transaction that a dead publisher left open. Not above its own "
     "transaction.max.timeout.ms."},

    {"replay.masking", SETTING_CHOICE, AT(replay_masking), 0, 0, "on", "on|off", NULL,
     "Whether `pgrekey replay` masks rows by the mapping's `mask:`. off: the copy holds everything as it is."},
    {"replay.group", SETTING_TEXT, AT(replay_group), 0, 0, NULL, NULL, NULL,
     "A consumer group: several `pgrekey replay` that name it share the partitions. Each key stays in order, source "
     "transactions do not stay whole. Without it one replays whole transactions."},
    {"masking.key_file", SETTING_PATH, AT(masking_key_file), 0, 0, NULL, NULL, NULL,
     "A file with the secret that values are masked by, 16 bytes or more. The same secret masks alike."},

    {"batch.max_rows", SETTING_COUNT, AT(batch_max_rows), 1, 1000000, "10000", NULL, NULL,
     "A batch is handed over at the latest with this many rows. A quiet stream applies each transaction at once."},
    {"batch.max_bytes", SETTING_BYTES, AT(batch_max_bytes), 64 << 10, INT64_C(1) << 30, "8MB", NULL, NULL,
     "A batch is handed over at the latest with this much memory in use. Two of them are under way at a time."},

    {"lookup.max_rows", SETTING_COUNT, AT(lookup_max_rows), 1, 10000000, "100000", NULL, NULL,
     "A mirror that rules look up rows in is kept in memory too; it may hold so many rows."},

    {"breaker.window", SETTING_COUNT, AT(breaker_window), 0, 1000000, "1000", NULL, NULL,
     "The breaker looks back on this many rows. 0: there is no breaker."},
    {"breaker.percent", SETTING_COUNT, AT(breaker_percent), 1, 100, "20", NULL, NULL,
     "When so many of them went to quarantine, the mapping is wrong rather than the rows: the pipeline pauses until "
     "`pgrekey resume`."},
    {"quarantine.retries", SETTING_COUNT, AT(quarantine_retries), 0, 100, "3", NULL, NULL,
     "How often a quarantined row is tried again by itself."},
    {"quarantine.backoff", SETTING_DURATION_S, AT(quarantine_backoff_s), 1, 7 * DAY_S, "1min", NULL, NULL,
     "Time before the first of these tries; it doubles with each."},
    {"quarantine.keep_resolved", SETTING_DURATION_S, AT(quarantine_keep_resolved_s), 0, 3660 * DAY_S, "30d", NULL, NULL,
     "How long an entry is kept once it is resolved: it holds data of the source. 0: until somebody deletes it."},

    {"guard.wal_budget", SETTING_BYTES, AT(guard_wal_budget), 0, INT64_C(1) << 50, "0B", NULL, NULL,
     "How much WAL the slot may keep on the source: what its disk can bear. A managed database shows no free disk, so "
     "it must be said. The server's own limit (max_slot_wal_keep_size) counts too where it is set. 0: no budget."},
    {"guard.warn_percent", SETTING_COUNT, AT(guard_warn_percent), 1, 100, "70", NULL, NULL,
     "The guard warns from here on, in percent of what comes first, budget or limit."},
    {"guard.act_percent", SETTING_COUNT, AT(guard_act_percent), 1, 100, "85", NULL, NULL,
     "And acts from here on, as guard.action says."},
    {"guard.action", SETTING_CHOICE, AT(guard_action), 0, 0, "stop_snapshots", "alert|stop_snapshots|drop_slot", NULL,
     "alert: tell it. stop_snapshots: also read no table, be it again or because it joins, until there is room. "
     "drop_slot: also give up the slot at 100 %, which saves the source and costs a new snapshot."},

    {"http.listen", SETTING_TEXT, AT(http_listen), 0, 0, "127.0.0.1:9848", NULL, NULL,
     "Where metrics, health checks and the status page are: address:port, [::1]:port, or off. It has no password: "
     "leave "
     "it on loopback, or put a proxy before it."},

    {"webhook.url", SETTING_TEXT, AT(webhook_url), 0, 0, NULL, NULL, NULL,
     "Where alarms go by POST as JSON: a pause (the breaker among others), the guard, a lost slot, servers that cannot "
     "be reached, a lag; and that they are over. No row's values."},
    {"webhook.secret_file", SETTING_PATH, AT(webhook_secret_file), 0, 0, NULL, NULL, NULL,
     "A file whose first line signs them: X-Pgrekey-Signature is HMAC-SHA256 of \"<X-Pgrekey-Timestamp>.<body>\"."},
    {"webhook.timeout", SETTING_DURATION_S, AT(webhook_timeout_s), 1, 300, "10s", NULL, NULL,
     "How long an answer is waited for. What fails is tried again for an hour."},
    {"webhook.lag", SETTING_DURATION_S, AT(webhook_lag_s), 0, DAY_S, "5min", NULL, NULL,
     "The lag that is an alarm. 0: none is."},
    {"webhook.after", SETTING_DURATION_S, AT(webhook_after_s), 0, DAY_S, "30s", NULL, NULL,
     "How long a server has to be out of reach before that is one."},

    {"reconnect.min", SETTING_DURATION_MS, AT(reconnect_min_ms), 10, 60 * MINUTE_MS, "500ms", NULL, NULL,
     "Pause before a lost connection is made anew; it doubles with each failure."},
    {"reconnect.max", SETTING_DURATION_MS, AT(reconnect_max_ms), 10, 60 * MINUTE_MS, "30s", NULL, NULL,
     "The longest such pause."},
};
#define TABLE_COUNT (sizeof(table) / sizeof(table[0]))

const struct setting *settings_table(size_t *ret_count)
{
    *ret_count = TABLE_COUNT;
    return table;
}

const char *setting_env_name(const struct setting *setting, char *text)
{
    snprintf(text, SETTING_ENV_MAX, "PGREKEY_%s", setting->name);
    for (char *c = text; *c; c++)
        *c = *c == '.' ? '_' : (char)toupper((unsigned char)*c);
    return text;
}

const char *setting_type_name(const struct setting *setting)
{
    switch (setting->type) {
    case SETTING_TEXT: return "text";
    case SETTING_LIST: return "list";
    case SETTING_NAME: return "name";
    case SETTING_PATH: return "path";
    case SETTING_CHOICE: return setting->choices;
    case SETTING_BOOL: return "true or false";
    case SETTING_COUNT: return "number";
    case SETTING_DURATION_MS:
    case SETTING_DURATION_S: return "duration";
    case SETTING_BYTES: return "size";
    }
    return "";
}

/* --- values --- */

struct unit {
    const char *name;
    int64_t factor; /* durations in ms, sizes in bytes */
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"min", MINUTE_MS}, {"h", 60 * MINUTE_MS}, {"d", DAY_S * 1000}, {NULL, 0}};
static const struct unit size_units[] = {{"B", 1}, {"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {NULL, 0}};

static int wants(const struct setting *setting, struct err *reterr)
{
    bool duration = setting->type == SETTING_DURATION_MS || setting->type == SETTING_DURATION_S;
    if (duration)
        return err_set(reterr, ERR_CONFIG, "wants a duration with its unit: 500ms, 10s, 5min, 1h, 7d");
    if (setting->type == SETTING_BYTES)
        return err_set(reterr, ERR_CONFIG, "wants a size with its unit: 64kB, 16MB, 1GB");
    return err_set(reterr, ERR_CONFIG, "wants a whole number");
}

static int out_of_range(const struct setting *setting, struct err *reterr)
{
    static const struct unit plain[] = {{"", 1}, {NULL, 0}};
    const struct unit *units = setting->type == SETTING_COUNT   ? plain
                               : setting->type == SETTING_BYTES ? size_units
                                                                : duration_units;
    int64_t scale = setting->type == SETTING_DURATION_S ? 1000 : 1,
            ends[2] = {setting->min * scale, setting->max * scale};
    char text[2][32];
    for (int i = 0; i < 2; i++) {
        const struct unit *best = units;
        for (const struct unit *u = units; u->name; u++)
            if (ends[i] != 0 && ends[i] % u->factor == 0)
                best = u;
        snprintf(text[i], sizeof(text[i]), "%lld%s", (long long)(ends[i] / best->factor), ends[i] ? best->name : "");
    }
    return err_set(reterr, ERR_CONFIG, "is out of range: %s to %s", text[0], text[1]);
}

int setting_parse_number(const struct setting *setting, const char *text, int64_t *ret_value, struct err *reterr)
{
    char *rest;
    errno = 0;
    if (!isdigit((unsigned char)text[0]))
        return wants(setting, reterr);
    long long number = strtoll(text, &rest, 10);
    if (errno == ERANGE)
        return out_of_range(setting, reterr);
    while (*rest == ' ')
        rest++;
    int64_t factor = 1;
    if (setting->type != SETTING_COUNT) {
        const struct unit *unit = setting->type == SETTING_BYTES ? size_units : duration_units;
        while (unit->name && strcmp(unit->name, rest) != 0)
            unit++;
        /* zero needs no unit */
        if (!unit->name && !(number == 0 && *rest == '\0'))
            return wants(setting, reterr);
        factor = unit->name ? unit->factor : 1;
    } else if (*rest != '\0') {
        return wants(setting, reterr);
    }
    if (number > INT64_MAX / factor)
        return out_of_range(setting, reterr);
    int64_t value = (int64_t)number * factor;
    if (setting->type == SETTING_DURATION_S) {
        if (value % 1000 != 0)
            return err_set(reterr, ERR_CONFIG, "wants whole seconds");
        value /= 1000;
    }
    if (value < setting->min || value > setting->max)
        return out_of_range(setting, reterr);
    *ret_value = value;
    return 0;
}

static void *slot_of(struct settings *settings, const struct setting *setting)
{
    return (char *)settings + setting->offset;
}

static void put_text(struct settings *settings, const struct setting *setting, char *owned)
{
    char **at = slot_of(settings, setting);
    free(*at);
    *at = owned;
}

/* `text` relative to the folder that `file` stands in. */
static char *beside(const char *file, const char *text)
{
    const char *slash = file && text[0] != '/' ? strrchr(file, '/') : NULL;
    size_t folder = slash ? (size_t)(slash - file) + 1 : 0, len = strlen(text);
    char *path = mem_alloc(folder + len + 1);
    if (folder)
        memcpy(path, file, folder);
    memcpy(path + folder, text, len + 1);
    return path;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; at && *at;) {
        size_t span = strcspn(at, "|");
        if (span == len && strncmp(at, text, len) == 0)
            return true;
        at += span + (at[span] == '|');
    }
    return false;
}

static int read_bool(const char *text, bool *ret_value, struct err *reterr)
{
    static const char *const words[] = {"false", "true", "off", "on", "no", "yes"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(words[i], text) == 0) {
            *ret_value = i % 2 == 1;
            return 0;
        }
    return err_set(reterr, ERR_CONFIG, "wants true or false");
}

/* file: the settings file where the value stands in one, else NULL. */
static int set_value(struct settings *settings, const struct setting *setting, const char *text, const char *file,
                     struct err *reterr)
{
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_LIST: put_text(settings, setting, *text ? mem_strdup(text) : NULL); return 0;
    case SETTING_PATH: put_text(settings, setting, *text ? beside(file, text) : NULL); return 0;
    case SETTING_NAME:
        if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(text) || !*text || strlen(text) > 63)
            return err_set(reterr, ERR_CONFIG, "wants 1 to 63 characters of a-z, 0-9 and _");
        put_text(settings, setting, mem_strdup(text));
        return 0;
    case SETTING_CHOICE:
        if (!is_choice(setting->choices, text))
            return err_set(reterr, ERR_CONFIG, "wants one of %s", setting->choices);
        put_text(settings, setting, mem_strdup(text));
        return 0;
    case SETTING_BOOL: return read_bool(text, slot_of(settings, setting), reterr);
    case SETTING_COUNT:
    case SETTING_DURATION_MS:
    case SETTING_DURATION_S:
    case SETTING_BYTES: return setting_parse_number(setting, text, slot_of(settings, setting), reterr);
    }
    return err_set(reterr, ERR_FATAL, "setting %s has no type", setting->name);
}

static const struct setting *find_setting(const char *name, size_t len)
{
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    return NULL;
}

static bool is_section(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (strncmp(table[i].name, name, len) == 0 && table[i].name[len] == '.')
            return true;
    return false;
}

static int unknown_setting(const char *name, struct err *reterr)
{
    struct suggest suggest = {.word = name};
    for (size_t i = 0; i < TABLE_COUNT; i++)
        suggest_offer(&suggest, table[i].name);
    err_set(reterr, ERR_CONFIG, "unknown setting %s", name);
    if (suggest.nearest)
        return err_hint(reterr, "did you mean %s?", suggest.nearest);
    return err_hint(reterr, "`pgrekey settings` lists them all");
}

/* --- the file --- */

struct reader {
    const char *path;
    yaml_document_t *document;
    struct settings *settings;
    bool seen[TABLE_COUNT];
};

static int at_node(const struct reader *reader, const yaml_node_t *node, struct err *reterr)
{
    return err_wrap(reterr, "%s:%zu:%zu", reader->path, node->start_mark.line + 1, node->start_mark.column + 1);
}

/* Each setting once. */
static int take_place(struct reader *reader, const struct setting *setting, const yaml_node_t *node, struct err *reterr)
{
    if (reader->seen[setting - table]) {
        err_set(reterr, ERR_CONFIG, "%s stands here a second time", setting->name);
        return at_node(reader, node, reterr);
    }
    reader->seen[setting - table] = true;
    return 0;
}

static int read_scalar(struct reader *reader, const struct setting *setting, const yaml_node_t *node,
                       struct err *reterr)
{
    const char *text = (const char *)node->data.scalar.value;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (take_place(reader, setting, node, reterr) < 0)
        return -1;
    if (strlen(text) != node->data.scalar.length) {
        err_set(reterr, ERR_CONFIG, "%s holds a NUL byte", setting->name);
        return at_node(reader, node, reterr);
    }
    /* `dsn:` with nothing behind it, or null, means: not set */
    if (plain && (!*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
        return 0;
    if (set_value(reader->settings, setting, text, reader->path, reterr) == 0)
        return 0;
    err_wrap(reterr, "%s", setting->name);
    return at_node(reader, node, reterr);
}

/* [a, b]: as "a, b". */
static int read_list(struct reader *reader, const struct setting *setting, const yaml_node_t *node, struct err *reterr)
{
    struct buf text;
    int status = take_place(reader, setting, node, reterr);
    buf_init(&text, FILE_MAX_BYTES);
    for (yaml_node_item_t *item = node->data.sequence.items.start; status == 0 && item < node->data.sequence.items.top;
         item++) {
        const yaml_node_t *word = yaml_document_get_node(reader->document, *item);
        const char *name = word->type == YAML_SCALAR_NODE ? (const char *)word->data.scalar.value : ",";
        if (strcspn(name, ",") != word->data.scalar.length) {
            err_set(reterr, ERR_CONFIG, "%s wants a list of words", setting->name);
            status = at_node(reader, word, reterr);
        } else {
            buf_puts(&text, text.len ? ", " : "");
            buf_append(&text, word->data.scalar.value, word->data.scalar.length);
        }
    }
    if (status == 0)
        status = set_value(reader->settings, setting, buf_text(&text), reader->path, reterr);
    buf_done(&text);
    return status;
}

static int read_mapping(struct reader *reader, const yaml_node_t *node, const char *prefix, struct err *reterr);

static int read_pair(struct reader *reader, const char *prefix, const yaml_node_t *key, const yaml_node_t *value,
                     struct err *reterr)
{
    char name[128];
    if (key->type != YAML_SCALAR_NODE || key->data.scalar.length > 48) {
        err_set(reterr, ERR_CONFIG, "a setting's name is expected here");
        return at_node(reader, key, reterr);
    }
    snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", (const char *)key->data.scalar.value);
    const struct setting *setting = find_setting(name, strlen(name));
    if (setting && value->type == YAML_SCALAR_NODE)
        return read_scalar(reader, setting, value, reterr);
    if (setting && setting->type == SETTING_LIST && value->type == YAML_SEQUENCE_NODE)
        return read_list(reader, setting, value, reterr);
    if (setting) {
        err_set(reterr, ERR_CONFIG, "%s wants a single value", name);
        return at_node(reader, value, reterr);
    }
    if (is_section(name)) {
        if (value->type == YAML_MAPPING_NODE)
            return read_mapping(reader, value, name, reterr);
        if (value->type == YAML_SCALAR_NODE && value->data.scalar.length == 0)
            return 0;
        err_set(reterr, ERR_CONFIG, "%s is a section: settings are expected below it, indented", name);
        return at_node(reader, value, reterr);
    }
    unknown_setting(name, reterr);
    return at_node(reader, key, reterr);
}

static int read_mapping(struct reader *reader, const yaml_node_t *node, const char *prefix, struct err *reterr)
{
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(reader->document, pair->value);
        if (read_pair(reader, prefix, key, value, reterr) < 0)
            return -1;
    }
    return 0;
}

static int read_document(struct reader *reader, struct err *reterr)
{
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);
    if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return 0;
    if (root->type == YAML_MAPPING_NODE)
        return read_mapping(reader, root, "", reterr);
    return err_set(reterr, ERR_CONFIG, "%s: settings are expected as `name: value`", reader->path);
}

static int read_text(const char *path, const char *text, size_t len, struct settings *settings, struct err *reterr)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct reader reader = {.path = path, .document = &document, .settings = settings};
    if (!yaml_parser_initialize(&parser))
        return err_set(reterr, ERR_FATAL, "no YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    int status;
    if (yaml_parser_load(&parser, &document)) {
        status = read_document(&reader, reterr);
        yaml_document_delete(&document);
    } else {
        status = err_set(reterr, ERR_CONFIG, "%s:%zu:%zu: no valid YAML: %s", path, parser.problem_mark.line + 1,
                         parser.problem_mark.column + 1, parser.problem ? parser.problem : "cannot be read");
    }
    yaml_parser_delete(&parser);
    return status;
}

static int read_file(const char *path, bool must_exist, struct settings *settings, struct err *reterr)
{
    FILE *in = fopen(path, "re");
    if (!in && errno == ENOENT && !must_exist)
        return 0;
    if (!in) {
        err_set(reterr, ERR_CONFIG, "the settings file %s cannot be opened: %s", path, strerror(errno));
        return err_hint(reterr, "`pgrekey settings --example` prints one to start from");
    }
    char *text = mem_alloc(FILE_MAX_BYTES);
    size_t len = fread(text, 1, FILE_MAX_BYTES, in);
    int status;
    if (ferror(in))
        status = err_set(reterr, ERR_CONFIG, "the settings file %s cannot be read", path);
    else if (len == FILE_MAX_BYTES)
        status = err_set(reterr, ERR_CONFIG, "the settings file %s is larger than 1 MB", path);
    else
        status = read_text(path, text, len, settings, reterr);
    free(text);
    fclose(in);
    return status;
}

/* --- environment, overrides, the whole --- */

static int read_environment(struct settings *settings, struct err *reterr)
{
    char name[SETTING_ENV_MAX];
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        const char *text = getenv(setting_env_name(&table[i], name));
        if (text && *text && set_value(settings, &table[i], text, NULL, reterr) < 0)
            return err_wrap(reterr, "environment %s", name);
    }
    return 0;
}

/* A misspelt variable would be ignored in silence. Names that resemble none of ours are somebody else's. */
static void warn_of_unknown_environment(void)
{
    char names[TABLE_COUNT][SETTING_ENV_MAX];
    for (char **at = environ; *at; at++) {
        size_t len = strcspn(*at, "=");
        if (strncmp(*at, "PGREKEY_", 8) != 0 || len >= SETTING_ENV_MAX)
            continue;
        char typed[SETTING_ENV_MAX];
        snprintf(typed, sizeof(typed), "%.*s", (int)len, *at);
        struct suggest suggest = {.word = typed};
        for (size_t i = 0; i < TABLE_COUNT; i++)
            suggest_offer(&suggest, setting_env_name(&table[i], names[i]));
        if (suggest.nearest && suggest.distance > 0)
            log_event(LOG_WARN, "unknown_environment", "name=%s nearest=%s", typed, suggest.nearest);
    }
}

static void set_defaults(struct settings *settings)
{
    struct err err;
    char quoted[LOG_QUOTED_MAX];
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (table[i].fallback && set_value(settings, &table[i], table[i].fallback, NULL, &err) < 0)
            log_event(LOG_ERROR, "bad_default", "name=%s msg=%s", table[i].name,
                      log_quote(err.message, quoted, sizeof(quoted)));
}

static int check_whole(const struct settings *settings, struct err *reterr)
{
    if (settings->reconnect_min_ms > settings->reconnect_max_ms)
        return err_set(reterr, ERR_CONFIG, "reconnect.min is larger than reconnect.max");
    if (settings->kafka_delete_retention_ms < settings->kafka_min_compaction_lag_ms)
        return err_set(reterr, ERR_CONFIG, "kafka.delete_retention is less than kafka.min_compaction_lag");
    return 0;
}

static int set_override(struct settings *settings, const struct setting_override *override, struct err *reterr)
{
    const struct setting *setting = find_setting(override->name, strlen(override->name));
    if (!setting)
        return unknown_setting(override->name, reterr);
    if (set_value(settings, setting, override->value, NULL, reterr) < 0)
        return err_wrap(reterr, "--set %s", setting->name);
    return 0;
}

int settings_load(const char *path, const struct setting_override *overrides, size_t override_count,
                  struct settings **ret_settings, struct err *reterr)
{
    struct settings *settings = mem_zalloc(1, sizeof(*settings));
    set_defaults(settings);
    int status = path                               ? read_file(path, true, settings, reterr)
                 : access(SETTINGS_FILE, F_OK) == 0 ? read_file(SETTINGS_FILE, false, settings, reterr)
                                                    : read_file(SETTINGS_SYSTEM_FILE, false, settings, reterr);
    if (status == 0)
        status = read_environment(settings, reterr);
    for (size_t i = 0; i < override_count && status == 0; i++)
        status = set_override(settings, &overrides[i], reterr);
    if (status == 0)
        status = check_whole(settings, reterr);
    if (status < 0) {
        settings_free(settings);
        return -1;
    }
    warn_of_unknown_environment();
    *ret_settings = settings;
    return 0;
}

int settings_load_memory(const char *path, const char *text, size_t len, struct settings **ret_settings,
                         struct err *reterr)
{
    struct settings *settings = mem_zalloc(1, sizeof(*settings));
    set_defaults(settings);
    if (read_text(path, text, len, settings, reterr) < 0 || check_whole(settings, reterr) < 0) {
        settings_free(settings);
        return -1;
    }
    *ret_settings = settings;
    return 0;
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    for (size_t i = 0; i < TABLE_COUNT; i++)
        if (table[i].type <= SETTING_CHOICE)
            put_text(settings, &table[i], NULL);
    free(settings);
}

/* --- what may change while an engine runs --- */

bool setting_reloads(const char *name)
{
    static const char *const reloadable[] = {"log.level",        "log.format",         "source.heartbeat_interval",
                                             "guard.wal_budget", "guard.warn_percent", "guard.act_percent",
                                             "guard.action",     "webhook.lag",        "webhook.after"};
    for (size_t i = 0; i < sizeof(reloadable) / sizeof(*reloadable); i++)
        if (strcmp(reloadable[i], name) == 0)
            return true;
    return false;
}

static bool is_text(const struct setting *setting)
{
    switch (setting->type) {
    case SETTING_TEXT:
    case SETTING_LIST:
    case SETTING_NAME:
    case SETTING_PATH:
    case SETTING_CHOICE: return true;
    case SETTING_BOOL:
    case SETTING_COUNT:
    case SETTING_DURATION_MS:
    case SETTING_DURATION_S:
    case SETTING_BYTES: break;
    }
    return false;
}

const char *settings_differ(const struct settings *a, const struct settings *b, size_t *at)
{
    for (; *at < TABLE_COUNT; (*at)++) {
        const struct setting *setting = &table[*at];
        const char *left = (const char *)a + setting->offset, *right = (const char *)b + setting->offset;
        bool same;
        if (is_text(setting)) {
            const char *x, *y;
            memcpy(&x, left, sizeof(x));
            memcpy(&y, right, sizeof(y));
            same = x == y || (x && y && strcmp(x, y) == 0);
        } else {
            same = memcmp(left, right, setting->type == SETTING_BOOL ? sizeof(bool) : sizeof(int64_t)) == 0;
        }
        if (!same)
            return table[(*at)++].name;
    }
    return NULL;
}
