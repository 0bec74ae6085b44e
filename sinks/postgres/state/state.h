/* The pipeline's record on the target, as anyone with a connection may read it: what `status` and `drop` use
 * beside a running engine. Table definitions: schema.h. */
#ifndef PGREKEY_SINKS_POSTGRES_STATE_H
#define PGREKEY_SINKS_POSTGRES_STATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "cdc/base/err.h"
#include "sinks/postgres/pgsink.h"
#include "sinks/postgres/snapshot/fastload.h"

struct rule_account {
    char *rule, *source_table, *target_table;
    char *state; /* of the step: "current", "new" (they are to be copied), "changed" (they are due to be written again),
                    "removed"; steps.h */
    int64_t mapped, quarantined, excluded, failed_deletes;
    int64_t waiting;  /* of the quarantined: for a parent */
    int64_t accepted; /* rows in quarantine that the mapping accepts as loss; -1: it says nothing of it */
    /* what its `adopt` found; adopted is -1 where it has none, or has not begun */
    int64_t adopted, merged, shared, missing, others;
    bool adoption_done;
};

struct pipeline_report {
    bool initialised; /* the engine's schema is there */
    bool exists;      /* this pipeline has a record */
    struct sink_position position;
    char slot[64];
    struct source_identity source;
    char updated_at[40];    /* of the last applied batch; "" for never */
    bool engine_running;    /* its advisory lock is held */
    double heartbeat_age_s; /* -1 where there was none */
    uint64_t received_lsn, source_lsn, confirmed_lsn;
    double lag_s, rows_per_s; /* lag_s -1: not known */
    double source_rate, apply_rate, time_left_s, message_age_s, p50_s, p99_s, snapshot_left_s;
    int64_t snapshot_expected;
    char phase[24];
    int snapshot_parts, snapshot_parts_done;
    int64_t snapshot_rows;
    uint64_t join_lsn;          /* the last point at which a part was read; 0 where the stream is known to be past it */
    int64_t quarantine_open;    /* without those of removed steps */
    int64_t references_waiting; /* optional ones that are NULL until their parent comes */
    size_t resync_count;        /* tables that are to be read again, and of the first of them: */
    char resync_table[2 * ERR_NAME_MAX], resync_note[ERR_TEXT_MAX]; /* what it waits for, or "" */
    int64_t resync_rows, resync_expected;
    struct fastload_state fast_load;
    size_t account_count;
    struct rule_account *accounts;
};

int pipeline_report_read(PGconn *conn, const char *pipeline, struct pipeline_report **ret_report,
                         struct err *reterr) MUST_CHECK;
void pipeline_report_free(struct pipeline_report *report);
/* What the running engine knows and nobody else, for `status`: written about once a second by a connection of its own,
 * so that it goes on while the sink's session waits. Nothing is written where there is no record of the pipeline. */
struct pipeline_heartbeat {
    const char *phase; /* "connecting", "snapshot", "streaming", "paused", "reconnecting" */
    uint64_t received_lsn, source_lsn, confirmed_lsn;
    double lag_s;                   /* age of the oldest source transaction not yet applied; 0 when idle; -1: unknown */
    double rows_per_s;              /* applied */
    double source_rate, apply_rate; /* bytes of WAL a second: written on the source, worked off */
    double time_left_s;             /* until caught up; -1: it falls behind */
    double heartbeat_age_s;         /* of the newest message through the whole pipeline; -1: none */
    double p50_s, p99_s;            /* commit to commit, since the start; -1: nothing yet */
    double snapshot_left_s;         /* -1: unknown */
    uint64_t snapshot_expected;     /* rows, estimated */
};
int pipeline_heartbeat_write(PGconn *conn, const char *pipeline, const struct pipeline_heartbeat *heartbeat,
                             struct err *reterr) MUST_CHECK;
/* What a start with this mapping would make of the record, without making it: ERR_REFUSED where it would refuse, else
 * the steps that it would find "changed" or "removed". */
int pipeline_compare_mapping(PGconn *conn, const char *pipeline, const struct map *map, struct sink_step **ret_steps,
                             size_t *ret_count, struct err *reterr) MUST_CHECK;
/* Forgets the pipeline: mirrors, record, counters, quarantine, requests. Refused while its engine runs. */
int pipeline_forget(PGconn *conn, const char *pipeline, struct err *reterr) MUST_CHECK;

#endif
