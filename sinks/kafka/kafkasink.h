/* The Kafka sink: rows as change events in topics, with the position in the same Kafka transaction.
 *
 *     apply ─▶ BEGIN, events, dead letters, END, position ─▶ commit        one Kafka transaction for a batch, or
 * several for a source transaction that is larger
 *
 * A `struct sink`; docs/kafka.md says what readers get. Derivations are not published. Order of taking over: the slot
 * is ours (the stream is open), then init_transactions shuts out whoever published before, then the position is read
 * once more, for the other one's last commit may have come in between.
 */
#ifndef PGREKEY_SINKS_KAFKA_KAFKASINK_H
#define PGREKEY_SINKS_KAFKA_KAFKASINK_H

#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "cdc/base/identity.h"
#include "sinks/kafka/client.h"
#include "sinks/kafka/topics.h"
#include "sinks/sink.h"
#include "transform/map.h"

struct kafkasink_options {
    struct client_options client; /* texts outlive the sink, but for transactional_id, which is made here */
    struct topic_options topics;
    const char *prefix;
    const char *pipeline, *slot;
    const struct map *map; /* bound; outlives the sink */
    struct source_identity source;
    struct row_source rows; /* whole rows behind partial ones */
    struct row_names names; /* ids of adopted rows */
    int partitions;         /* of a data topic that is made */
    bool schemas;           /* Kafka Connect's, in every message */
    bool tombstones;
    uint64_t transaction_max_rows; /* of a source transaction in one Kafka transaction */
    int breaker_window, breaker_percent;
};

/* Reads the record and compares source, slot and mapping with it (ERR_REFUSED where going on would harm, with the way
 * out). Writes nothing: that begins with sink_take_over or sink_snapshot_begin. */
int kafkasink_open(const struct kafkasink_options *options, struct sink **ret_sink, struct sink_position *ret_position,
                   struct err *reterr) MUST_CHECK;

/* What can be told of a publisher from its state topic, beside it or without one. state PIPELINE_NEW: nothing is there.
 */
struct kafkasink_look {
    enum pipeline_state state;
    uint64_t lsn, snapshot_lsn;
    int64_t as_of_ms;         /* the source's time at that position; 0: not known */
    size_t letters;           /* rows that are dead letters, and not mapped since */
    size_t parts, parts_done; /* of the snapshot */
    size_t resyncs;           /* that are not over */
    bool paused;
    char pause_category[ERR_PAUSE_MAX], pause_reason[ERR_TEXT_MAX];
    char slot[ERR_NAME_MAX]; /* of the position; "" where there is none */
};
int kafkasink_look(const struct client_options *client, const char *prefix, struct kafkasink_look *ret_look,
                   struct err *reterr) MUST_CHECK;

/* Asks the publisher, which takes requests about once a second, or at its next start (ask.c). */
int kafkasink_ask_resync(const struct client_options *client, const char *prefix, const struct resync_ask *ask,
                         int64_t *ret_id, struct err *reterr) MUST_CHECK;
int kafkasink_ask_resume(const struct client_options *client, const char *prefix, struct err *reterr) MUST_CHECK;
int kafkasink_resync_report(const struct client_options *client, const char *prefix, int64_t id,
                            struct resync_report *ret_report, struct err *reterr) MUST_CHECK;
/* Position, parts, steps, dead letters and resyncs are forgotten; topics stay. Shuts out a publisher that still is
 * there. */
int kafkasink_forget(const struct client_options *client, const char *prefix, const char *pipeline,
                     struct err *reterr) MUST_CHECK;

#endif
