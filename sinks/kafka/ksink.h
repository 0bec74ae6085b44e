/* The Kafka sink from the inside: what its files share. One thread at a time. */
#ifndef PGREKEY_SINKS_KAFKA_KSINK_H
#define PGREKEY_SINKS_KAFKA_KSINK_H

#include "cdc/base/arena.h"
#include "cdc/base/buf.h"
#include "sinks/breaker.h"
#include "sinks/kafka/envelope.h"
#include "sinks/kafka/jsontree.h"
#include "sinks/kafka/kafkasink.h"
#include "sinks/kafka/message.h"
#include "sinks/kafka/state.h"

/* One data topic. */
struct outlet {
    char name[ENVELOPE_TOPIC_MAX];
    char collection[2 * ERR_NAME_MAX]; /* "schema.table" */
    rd_kafka_topic_t *topic;
    uint64_t events;    /* of the open source transaction */
    uint64_t published; /* since the sink was opened, tombstones among them */
};

/* The source transaction whose rows come in. */
struct ktxn {
    uint32_t xid;
    uint64_t lsn; /* end of its commit; 0: none is open */
    int64_t commit_us;
    uint64_t rows, events; /* so far, published in earlier Kafka transactions too */
    uint64_t skip;         /* so many of its rows are published already */
    bool begun;            /* BEGIN is out */
};

struct ksink {
    struct sink sink;
    struct kafkasink_options options;
    enum envelope_format format;
    char transactional_id[ENVELOPE_TOPIC_MAX];
    char txn_topic[ENVELOPE_TOPIC_MAX], letter_topic[ENVELOPE_TOPIC_MAX], state_topic[ENVELOPE_TOPIC_MAX],
        request_topic[ENVELOPE_TOPIC_MAX];
    struct client *client;
    rd_kafka_topic_t *to_txn, *to_letter, *to_state;
    struct state *state;
    bool has_state; /* the state topic is there */
    struct topic_spec *specs;
    size_t spec_count;

    struct outlet *outlets;
    size_t outlet_count;
    struct shape **shapes;     /* by rule->index */
    struct outlet **outlet_of; /* likewise */

    enum pipeline_state phase;
    uint64_t lsn, snapshot_lsn;
    int64_t as_of_us; /* the source's time at lsn */
    struct ktxn txn;
    uint64_t rows_open; /* rows in the open Kafka transaction */
    bool taken_over;
    bool stale; /* a transaction was given up: what `state` holds of it is not so */
    bool resume_requested;
    struct client_tail *requests; /* NULL: not open yet */
    struct breaker *breaker;
    struct sink_figures figures;

    struct arena scratch, renamed; /* renamed: the rows of the batch at hand, under adopted ids */
    struct buf key, value, text;
};

static inline struct ksink *ksink_of(struct sink *sink)
{
    union {
        struct sink *sink;
        struct ksink *own;
    } as = {.sink = sink};
    return as.own;
}

/* kafkasink.c */
int ksink_take_over(struct sink *sink, struct err *reterr) MUST_CHECK;

/* records.c: one state record, in the open Kafka transaction (begun where there is none); value NULL: it goes */
int krecord_put(struct ksink *k, const char *key, const char *value, struct err *reterr) MUST_CHECK;
/* The position as it is in *k, a half published source transaction included. */
int krecord_put_position(struct ksink *k, struct err *reterr) MUST_CHECK;
/* From what was loaded; ERR_REFUSED where it is another source's. */
int krecord_read_position(struct ksink *k, struct err *reterr) MUST_CHECK;
#define RECORD_POSITION "{\"kind\":\"position\"}"
/* Commits with the position. */
int krecord_commit(struct ksink *k, struct err *reterr) MUST_CHECK;

/* publish.c */
int publish_batch(struct sink *sink, const struct batch *batch, struct err *reterr) MUST_CHECK;
/* A row of the snapshot. */
int publish_read(struct ksink *k, const struct row *row, uint64_t point, struct err *reterr) MUST_CHECK;
int publish_refuse_if_open(struct ksink *k, struct err *reterr) MUST_CHECK;
/* Ends a Kafka transaction that has grown old in the midst of a source transaction. */
int publish_tick(struct ksink *k, struct err *reterr) MUST_CHECK;

/* letters.c */
int letter_put(struct ksink *k, const struct row *row, uint64_t lsn, uint32_t xid, struct err *reterr) MUST_CHECK;
int letter_resolve(struct ksink *k, const struct row *row, uint64_t lsn, uint32_t xid, struct err *reterr) MUST_CHECK;

/* requests.c: takes what operators ask for into the state, in a Kafka transaction of its own. all: to the end of the
 * topic, as it is now; else what has arrived. No-op where the topic is not there yet. */
int krequests_take(struct ksink *k, bool all, struct err *reterr) MUST_CHECK;

/* resyncs.c */
int kresync_add(struct ksink *k, int64_t id, const struct resync_ask *ask, struct err *reterr) MUST_CHECK;
/* One that was asked for, but not begun, and reads all rows of this rule? */
bool kresync_refills(const struct ksink *k, const struct rule *rule);
/* TRUNCATE: the table is read again, and what is gone there is deleted. In the open Kafka transaction. */
int kresync_truncated(struct ksink *k, const struct row *row, struct err *reterr) MUST_CHECK;
int kresync_progress(struct ksink *k, const struct resync_progress *progress, struct err *reterr) MUST_CHECK;
int kresync_waits(struct sink *sink, bool *ret_waits, struct err *reterr) MUST_CHECK;
int kresync_read(struct sink *sink, struct resync_record ***ret_records, size_t *ret_count,
                 struct err *reterr) MUST_CHECK;
int kresync_end(struct sink *sink, const struct resync_record *record, const char *result,
                struct err *reterr) MUST_CHECK;
#define RECORD_RESYNC "{\"kind\":\"resync\""
#define RECORD_PAUSE "{\"kind\":\"pause\"}"

/* strays.c */
int kstrays_find(struct sink *sink, const struct rule *rule, uint64_t since, uint64_t *at,
                 const struct sink_strays *strays, struct err *reterr) MUST_CHECK;

/* names.c: rows under the ids of identity.target; *ret_rows stays as it is until the next call */
int knames_put(struct ksink *k, struct row *const *rows, size_t count, struct row *const **ret_rows,
               struct err *reterr) MUST_CHECK;
/* Compares what is adopted there with what was published, and records it; after the steps were compared. ERR_REFUSED:
 * it is something else. Tables of rules that refer to what has been adopted since are read again. */
int knames_follow(struct ksink *k, struct err *reterr) MUST_CHECK;

/* steps.c */
bool ksteps_is_new(const struct ksink *k, const struct rule *rule);
int ksteps_check(struct ksink *k, struct err *reterr) MUST_CHECK;
int ksteps_record_all(struct ksink *k, struct err *reterr) MUST_CHECK;
int ksteps_due(struct sink *sink, struct sink_step **ret_steps, size_t *ret_count, struct err *reterr) MUST_CHECK;
int ksteps_loaded(struct sink *sink, struct err *reterr) MUST_CHECK;

/* relations.c: of the tables that are read, where the records differ; in a Kafka transaction of its own */
int krelations_record(struct ksink *k, struct err *reterr) MUST_CHECK;

/* mirrors.c */
int kmirror_read(struct sink *sink, const struct rule *rule, size_t max_rows, sink_take_fn hand, void *context,
                 struct err *reterr) MUST_CHECK;

/* life.c */
int klife_begin(struct sink *sink, bool again, struct err *reterr) MUST_CHECK;
int klife_plan(struct sink *sink, uint64_t lsn, const struct sink_part *parts, size_t count,
               struct err *reterr) MUST_CHECK;
int klife_resume(struct sink *sink, struct err *reterr) MUST_CHECK;
int klife_end(struct sink *sink, uint64_t lsn, struct err *reterr) MUST_CHECK;
int klife_abandon(struct sink *sink, struct err *reterr) MUST_CHECK;
int klife_parts_read(struct sink *sink, struct sink_part **ret_parts, size_t *ret_count, struct err *reterr) MUST_CHECK;
int klife_parts_add(struct sink *sink, struct sink_part *parts, size_t count, bool at_once,
                    struct err *reterr) MUST_CHECK;
int klife_loader_open(struct sink *sink, struct sink **ret_loader, struct err *reterr) MUST_CHECK;
/* Makes what is missing and records it; refuses where one that was recorded is gone. */
int klife_topics(struct ksink *k, struct err *reterr) MUST_CHECK;

#endif
