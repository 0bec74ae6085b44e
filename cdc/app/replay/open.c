/* The mapping as a replay sees it: bound to the source's catalogue out of the state topic and to the target's, its
 * rules turned to the topics that they were published to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/app/engine/mapping.h"
#include "cdc/app/engine/sides.h"
#include "cdc/app/replay/replay.h"
#include "cdc/base/log.h"

#define SECRET_MIN 16
#define SECRET_MAX 65536

/* --- masking --- */

static int read_secret(struct replay *r, struct err *reterr)
{
    const char *path = r->settings->masking_key_file;
    char piece[4096];
    size_t got;
    if (!path) {
        (void)err_set(reterr, ERR_CONFIG, "masking.key_file is not set");
        return err_hint(reterr, "a file with a secret (head -c 32 /dev/urandom); or replay.masking: off, for a copy "
                                "that holds everything as it is");
    }
    FILE *file = fopen(path, "re");
    if (!file)
        return err_set(reterr, ERR_CONFIG, "cannot open masking.key_file %s: %s", path, strerror(errno));
    buf_reset(&r->secret);
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(&r->secret, piece, got);
    fclose(file);
    explicit_bzero(piece, sizeof piece);
    if (r->secret.len < SECRET_MIN || buf_overflowed(&r->secret))
        return err_set(reterr, ERR_CONFIG, "masking.key_file %s must hold %d bytes or more, 64 kB at most", path,
                       SECRET_MIN);
    return 0;
}

static int check_masking(struct replay *r, struct map_issues *issues, struct err *reterr)
{
    if (strcmp(r->settings->replay_masking, "off") == 0)
        return 0;
    if (!map_has_mask(r->map)) {
        (void)err_set(reterr, ERR_CONFIG, "the mapping has no \"mask:\", so nothing says what a copy may show");
        return err_hint(reterr, "docs/mapping.md, Masking; or replay.masking: off, for a copy that holds everything as "
                                "it is");
    }
    return read_secret(r, reterr) != 0 ? -1 : map_check_mask(r->map, issues, reterr);
}

/* --- topics --- */

static bool is_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; *at;) {
        at += strspn(at, ", \t");
        size_t span = strcspn(at, ", \t");
        if (span == len && memcmp(at, word, len) == 0)
            return true;
        at += span;
    }
    return false;
}

static bool is_chosen(const struct replay *r, const struct rule *rule)
{
    char qualified[ENVELOPE_TOPIC_MAX];
    const char *tables = r->options->tables;
    snprintf(qualified, sizeof qualified, "%s.%s", rule->to_schema, rule->to_table);
    return !tables || is_word(tables, rule->to_table) || is_word(tables, qualified);
}

static int topic_of(struct replay *r, const struct rule *rule, int *ret_topic, struct err *reterr)
{
    struct topic topic = {.partition_count = 0};
    int len = snprintf(topic.collection, sizeof topic.collection, "%s.%s", rule->to_schema, rule->to_table);
    if (len >= (int)sizeof topic.collection ||
        !envelope_topic(r->settings->kafka_prefix, rule->to_schema, rule->to_table, topic.name))
        return err_set(reterr, ERR_CONFIG, "the name of the topic of %s.%s is too long", rule->to_schema,
                       rule->to_table);
    for (size_t i = 0; i < r->topic_count; i++)
        if (strcmp(r->topics[i].name, topic.name) == 0) {
            *ret_topic = (int)i;
            return 0;
        }
    if (kafka_partition_count(r->kafka, topic.name, &topic.partition_count, reterr) != 0)
        return -1;
    if (topic.partition_count == 0) {
        (void)err_set(reterr, ERR_REFUSED, "topic %s is gone, or was never made", topic.name);
        (void)err_pause(reterr, "topic_gone");
        return err_hint(reterr, "publish it: `pgrekey run` with `sink: kafka` makes the topics of its mapping, "
                                "`pgrekey resync TABLE` there sends a table again; then begin with an empty database");
    }
    *ret_topic = (int)r->topic_count;
    r->topics[r->topic_count++] = topic;
    return 0;
}

static int find_topics(struct replay *r, struct err *reterr)
{
    r->rule_count = map_rule_count(r->map);
    r->rules = mem_zalloc(r->rule_count + 1, sizeof *r->rules);
    r->topics = mem_zalloc(r->rule_count + 1, sizeof *r->topics);
    for (size_t i = 0; i < r->rule_count; i++) {
        const struct rule *rule = map_rule(r->map, i);
        r->rules[i] = (struct replay_rule){rule, map_rule_source(r->map, rule), -1};
        if (!rule->skip && is_chosen(r, rule) && topic_of(r, rule, &r->rules[i].topic, reterr) != 0)
            return -1;
    }
    if (r->topic_count == 0)
        return err_set(reterr, ERR_CONFIG, "no table of the mapping is to be replayed");
    if (!envelope_topic_of(r->settings->kafka_prefix, ENVELOPE_TOPIC_TRANSACTION, r->txn_topic))
        return err_set(reterr, ERR_CONFIG, "kafka.prefix is too long");
    return 0;
}

static int read_times(struct replay *r, struct err *reterr)
{
    r->lag_ms = r->retention_ms = INT64_MAX;
    for (size_t i = 0; i < r->topic_count; i++) {
        int64_t lag = 0, retention = 0;
        if (kafka_topic_number(r->kafka, r->topics[i].name, "min.compaction.lag.ms", &lag, reterr) != 0 ||
            kafka_topic_number(r->kafka, r->topics[i].name, "delete.retention.ms", &retention, reterr) != 0)
            return -1;
        r->lag_ms = lag < r->lag_ms ? lag : r->lag_ms;
        r->retention_ms = retention < r->retention_ms ? retention : r->retention_ms;
    }
    return 0;
}

/* --- the whole --- */

static int bind(struct replay *r, struct map_issues *issues, struct err *reterr)
{
    const char *path = r->settings->mapping;
    if (!path)
        return err_set(reterr, ERR_CONFIG, "no mapping file: the setting mapping is empty");
    if (side_check_dsn(r->settings, SIDE_TARGET, reterr) != 0 || map_load(path, &r->map, issues, reterr) != 0 ||
        (r->settings->skip && map_skip(r->map, r->settings->skip, issues, reterr) != 0) ||
        side_read_target(r->settings, r->map, &r->target, reterr) != 0 ||
        map_bind(r->map, r->source, r->target, issues, reterr) != 0 || check_masking(r, issues, reterr) != 0)
        return -1;
    map_bind_topics(r->map, r->secret.len > 0);
    return find_topics(r, reterr) != 0 ? -1 : read_times(r, reterr);
}

int replay_bind(struct replay *r, struct err *reterr)
{
    struct map_issues issues = {0};
    int failed = bind(r, &issues, reterr);
    mapping_tell(&issues, r->settings->mapping, failed, reterr);
    map_issues_free(&issues);
    return failed;
}

void replay_unbind(struct replay *r)
{
    map_free(r->map);
    catalog_free(r->target);
    free(r->rules);
    free(r->topics);
    r->map = NULL;
    r->target = NULL;
    r->rules = NULL;
    r->topics = NULL;
    r->rule_count = r->topic_count = 0;
}

/* Every record is a whole row. */
static int nothing_to_complete(void *context, const struct row *partial, struct arena *arena, struct row **ret_row,
                               struct err *reterr)
{
    (void)context;
    (void)partial;
    (void)arena;
    (void)ret_row;
    (void)reterr;
    return 0;
}

struct pgsink_options replay_sink_options(struct replay *r)
{
    struct pgsink_options options = side_sink_options(r->settings);
    options.slot = r->publisher.slot;
    options.map = r->map;
    options.target = r->target;
    options.source = r->publisher.source;
    options.rows = (struct row_source){.context = r, .complete = nothing_to_complete};
    options.shared = r->settings->replay_group != NULL;
    return options;
}

/* A rule may have got another name since: where a table has only one, it is meant. */
const struct replay_rule *replay_rule_find(const struct replay *r, const char *name, size_t topic)
{
    const struct replay_rule *only = NULL;
    size_t count = 0;
    for (size_t i = 0; i < r->rule_count; i++) {
        if (r->rules[i].topic != (int)topic)
            continue;
        if (strcmp(r->rules[i].rule->name, name) == 0)
            return &r->rules[i];
        only = &r->rules[i];
        count++;
    }
    return count == 1 ? only : NULL;
}

const struct batch_offset *replay_offset_find(const struct replay *r, const char *topic, int partition)
{
    for (size_t i = 0; i < r->offset_count; i++)
        if (r->offsets[i].partition == partition && strcmp(r->offsets[i].topic, topic) == 0)
            return &r->offsets[i];
    return NULL;
}
