/* `pgrekey replay`: topics ─▶ the same PostgreSQL sink. What its parts share.
 *
 *     state topic ─▶ catalogue, identity, position of the publisher     source.c
 *     mapping, bound to both, its rules turned to topics                  open.c
 *     an empty database: the last state of every key up to a point        state.c     parts, loaders, levels
 *     from there on whole transactions in commit order                    stream.c    lanes.c merges partitions
 *     hand-over to the thread that applies                                apply.c
 *
 * A lane is a partition and the message at its head. A transaction is put together from all lanes by its number in
 * them; END says how many there are.
 */
#ifndef PGREKEY_APP_REPLAY_REPLAY_H
#define PGREKEY_APP_REPLAY_REPLAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/app/engine/run.h"
#include "cdc/app/settings/settings.h"
#include "cdc/base/buf.h"
#include "cdc/base/err.h"
#include "cdc/base/identity.h"
#include "cdc/source/kafka/kafka.h"
#include "cdc/source/kafka/record.h"
#include "sinks/kafka/envelope.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/sink.h"
#include "transform/map.h"
#include "transform/mask/mask.h"

/* How far, from where, what. */
struct replay_options {
    uint64_t until_lsn, from_lsn; /* 0: none */
    int64_t until_us, from_us;    /* the same as times of commits, microseconds since 1970 */
    bool until_caught_up;
    const char *tables; /* of the target, "a, b.c"; NULL: all */
    bool progress, json;
};

/* What the publisher says of itself. */
struct publisher {
    bool streaming; /* its first snapshot is whole */
    uint64_t lsn, snapshot_lsn;
    struct source_identity source;
    char slot[64];
};

struct topic {
    char name[ENVELOPE_TOPIC_MAX];
    char collection[ENVELOPE_TOPIC_MAX]; /* "schema.table", as a person names it */
    int partition_count;
};

struct replay_rule {
    const struct rule *rule;
    const struct relation *relation;
    int topic; /* -1: its table was not chosen */
};

struct lane {
    size_t topic;
    int partition;
    struct kafka_partition *reader;
    bool anew;      /* the target knows nothing of it */
    bool left_out;  /* nor of any partition of its topic, but of others */
    int64_t stored; /* what the target has; -1: nothing */
    int64_t next;   /* of the first message that is in no batch */
    uint64_t lsn;   /* of the last transaction seen here */
    int64_t high;   /* everything that lay here when it was asked for ends before */
    bool has_head;
    struct kafka_message head;
    struct record record;
    const struct replay_rule *rule; /* of the head */
};

/* A transaction whose END has been read. */
struct replay_txn {
    uint64_t lsn, events;
    uint32_t xid;
    int64_t ts_ms, offset;
};

#define TXNS_AHEAD 256

/* The hand-over to the applier, one batch deep. */
struct exchange {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool running, stop, failed;
    struct batch batches[2];
    struct batch *filling, *taken; /* taken NULL: idle */
    struct err err;
};

struct replay {
    const struct settings *settings;
    const struct replay_options *options;
    struct buf mapping;

    struct kafka *kafka;
    struct publisher publisher;
    struct catalog *source, *target;
    struct map *map;
    struct replay_rule *rules;
    size_t rule_count, topic_count;
    struct topic *topics;
    char txn_topic[ENVELOPE_TOPIC_MAX];
    int64_t lag_ms, retention_ms; /* of all topics, the least */
    struct buf secret;            /* of masking; empty: off */

    struct sink *sink;
    struct sink_position position;
    struct batch_offset *offsets; /* as recorded on the target */
    size_t offset_count;

    /* stream */
    struct record_decoder *decoder;
    struct masker *masker;
    struct lane *lanes;
    size_t lane_count, popped; /* the lane that gave the last event */
    int waits;                 /* looks in a row that found nothing */
    struct lane txn_lane;
    struct replay_txn txns[TXNS_AHEAD];
    size_t txn_first, txn_count;
    int64_t caught_up_offset; /* of the transaction topic, when the replay began */
    struct batch_letter *letters;
    size_t letter_count;
    struct arena letter_arena;
    uint64_t lsn, short_count;
    int64_t passed_us; /* when offsets last passed the marks of commits */
    struct exchange exchange;
    _Atomic uint64_t applied_rows;
};

/* source.c: reads the state topic whole. ERR_REFUSED where no publisher has been here. */
int replay_read_publisher(struct replay *r, struct err *reterr) MUST_CHECK;

/* open.c */
int replay_bind(struct replay *r, struct err *reterr) MUST_CHECK;
void replay_unbind(struct replay *r);
struct pgsink_options replay_sink_options(struct replay *r);
const struct replay_rule *replay_rule_find(const struct replay *r, const char *name, size_t topic);
const struct batch_offset *replay_offset_find(const struct replay *r, const char *topic, int partition);

/* row.c: the row of a message, masked, in the arena. *ret_row NULL, with a reason, where it cannot be read. */
int replay_row(struct replay *r, struct record_decoder *decoder, struct masker *masker,
               const struct kafka_message *message, const struct record *record, const struct replay_rule *rule,
               bool state, struct arena *arena, struct row **ret_row, const char **ret_reason,
               struct err *reterr) MUST_CHECK;

/* state.c: fills an empty database up to a point, or goes on doing so. Sets position and offsets. */
int replay_state(struct replay *r, struct err *reterr) MUST_CHECK;

/* lanes.c */
int lanes_open(struct replay *r, struct err *reterr) MUST_CHECK;
int lanes_open_one(struct replay *r, const char *topic, int partition, struct err *reterr) MUST_CHECK;
void lanes_close(struct replay *r);
/* Sees to it that the lane has a head, or that there is none now. */
int lane_fill(struct replay *r, struct lane *lane, int timeout_ms, struct err *reterr) MUST_CHECK;
void lane_pop(struct lane *lane);
/* The next transaction in commit order; *ret NULL where its END is not there yet. */
int lanes_next_txn(struct replay *r, int timeout_ms, struct replay_txn **ret_txn, struct err *reterr) MUST_CHECK;
void lanes_txn_done(struct replay *r);
/* The lane whose head is the event of this number, or the least one behind it where that is certain to be missing.
 * NULL and *ret_wait where messages are still to come; NULL without where the transaction has no more. */
int lanes_next_event(struct replay *r, const struct replay_txn *txn, uint64_t order, struct lane **ret_lane,
                     bool *ret_wait, struct err *reterr) MUST_CHECK;
/* A lane whose head belongs to no transaction; NULL: none. */
struct lane *lanes_loose(struct replay *r);
/* Puts into the batch how far all lanes are. */
void lanes_put_offsets(struct replay *r, struct batch *batch);
void replay_letter(struct replay *r, const struct lane *lane, int64_t offset, const char *reason);

/* apply.c */
int exchange_start(struct replay *r, struct err *reterr) MUST_CHECK;
int exchange_stop(struct replay *r, struct err *reterr) MUST_CHECK;
/* Gives the filling batch away; waits for the applier where `wait`. *ret_given false: it is busy, or there is nothing.
 */
int exchange_give(struct replay *r, bool wait, bool *ret_given, struct err *reterr) MUST_CHECK;
/* Waits until nothing is in hand. */
int exchange_drain(struct replay *r, struct err *reterr) MUST_CHECK;

/* ends.c: gives the visitor each END of the transaction topic from this offset on (or the topic's first, *ret_low,
 * where that is later), until it returns false or the topic's present end is reached. Blocks; ERR_STOP on run_stop,
 * ERR_RETRY where nothing comes for a minute. The record lives until the visitor returns. */
typedef bool replay_visit_end(void *context, const struct record *end, int64_t offset);
int replay_read_ends(struct replay *r, int64_t from, replay_visit_end *visitor, void *context, int64_t *ret_low,
                     struct err *reterr) MUST_CHECK;

/* age.c: is what the position lacks still there, deletes included? ERR_REFUSED where it is not. And where to go on from
 * is what --since says, if it is given. */
int replay_check_age(struct replay *r, struct err *reterr) MUST_CHECK;

/* stream.c: the head of a lane into the filling batch; whether that is full; giving it away; ending it where the
 * position stands. */
int replay_take(struct replay *r, struct lane *lane, struct err *reterr) MUST_CHECK;
bool replay_is_full(const struct replay *r);
int replay_give(struct replay *r, bool wait, struct err *reterr) MUST_CHECK;
int replay_mark(struct replay *r);
/* shared.c: as one worker of a group, until a stop, the end of all partitions (0), or a failure */
int replay_shared(struct replay *r, struct err *reterr) MUST_CHECK;
/* stream.c: until a stop, the end that was asked for (0), or a failure */
int replay_stream(struct replay *r, struct err *reterr) MUST_CHECK;

/* Sessions until there is a reason to end; the program's exit code. */
int replay_run(const struct settings *settings, const struct replay_options *options, struct err *reterr);

#endif
