#include "cdc/app/snapshot/resync.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/engine/feed.h"
#include "cdc/app/snapshot/join.h"
#include "cdc/app/engine/receiver.h"
#include "cdc/app/snapshot/resync_piece.h"
#include "cdc/app/snapshot/snapshot.h"
#include "cdc/app/snapshot/sweep.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "sinks/postgres/snapshot/resync_store.h"

#define BEHIND_MAX_S 60  /* further behind, a point would be held for too long */
#define AGAIN_US 3000000 /* until a slot is asked for again that could not be made */
#define LOOK_US 1000000
#define POLL_MS 5
#define PIECE_ROWS 20000 /* the first piece */
#define PIECE_ROWS_MIN 1000
#define HOLD_MIN_S 0.5 /* for so long a piece may stop the stream; */
#define HOLD_MAX_S 5.0 /* longer where points are dear */

enum state { IDLE, MAKING, READY };

struct resync {
    struct engine *engine;
    PGconn *target; /* the records, and the target's keys; NULL where the sink keeps what there is to know */
    PGconn *source; /* asked about the slot that is being made */
    struct resync_record *record;
    const struct relation *relation;
    struct part *part; /* that joins, instead of a record */
    enum state state;
    bool done;
    size_t piece_rows;
    struct resync_record **kept; /* by the sink, of those kept_next and on are still to come */
    size_t kept_count, kept_next;
    struct sweep sweep;

    struct snapshot_point point;
    uint64_t gate; /* while MAKING: the point lies behind it */
    int64_t asked_us, next_us, look_us;
    char note[ERR_TEXT_MAX];

    pthread_t thread;
    bool thread_runs;
    _Atomic bool made; /* the thread is through; below is its outcome */
    int failed;
    struct err err;
};

static size_t at_most(size_t rows, int64_t most)
{
    return most > 0 && rows > (size_t)most ? (size_t)most : rows;
}

/* --- what is to be done --- */

static const char *table_of(const struct resync *x)
{
    return x->part ? x->part->range.relation->name : x->record->table;
}

static int note(struct resync *x, const char *text, struct err *reterr)
{
    if (!x->record || !x->target || strcmp(x->note, text) == 0)
        return 0;
    snprintf(x->note, sizeof(x->note), "%s", text);
    return resync_note(x->target, x->record, *text ? text : NULL, reterr);
}

static bool is_named(const struct relation *relation, const char *name)
{
    size_t len = strlen(relation->schema);
    return strcmp(relation->name, name) == 0 || (strncmp(name, relation->schema, len) == 0 && name[len] == '.' &&
                                                 strcmp(name + len + 1, relation->name) == 0);
}

static int find_relation(struct resync *x, struct err *reterr)
{
    const struct binding *binding = &x->engine->binding;
    x->relation = NULL;
    for (size_t i = 0; i < binding->source->count; i++) {
        const struct relation *relation = &binding->source->relations[i];
        size_t rules;
        (void)map_rules_of(binding->map, relation, &rules);
        if (rules == 0 || !is_named(relation, x->record->table))
            continue;
        if (x->relation)
            return err_set(reterr, ERR_CONFIG, "several schemas have a table %s: say which", x->record->table);
        x->relation = relation;
    }
    if (!x->relation)
        return err_set(reterr, ERR_CONFIG, "no rule of the mapping reads a table %s", x->record->table);
    bool some = x->record->lo || x->record->hi || x->record->key_count;
    if (some && x->relation->key_count == 0)
        return err_set(reterr, ERR_CONFIG, "table %s has no key, so it can only be read whole", x->record->table);
    return 0;
}

static void tell_end(const struct resync *x, bool failed, const char *result)
{
    char quoted[LOG_QUOTED_MAX];
    log_event(failed ? LOG_WARN : LOG_INFO, failed ? "resync_failed" : "resync_done",
              "table=%s id=%lld rows=%llu msg=%s", x->record->table, (long long)x->record->id,
              (unsigned long long)x->record->rows, log_quote(result, quoted, sizeof(quoted)));
}

static void forget_record(struct resync *x)
{
    resync_record_free(x->record);
    x->record = NULL;
    x->note[0] = '\0';
}

static int end_record(struct resync *x, bool failed, const char *result, struct err *reterr)
{
    tell_end(x, failed, result);
    int rc = resync_ended(x->target, x->engine->settings->pipeline, x->record, failed, result, reterr);
    forget_record(x);
    return rc;
}

static int begin_record(struct resync *x, const struct relation *relation, struct err *reterr)
{
    struct resync_record *record = x->record;
    char name[2 * ERR_NAME_MAX];
    double expected = record->key_count ? (double)record->key_count : relation->estimated_rows;
    snprintf(name, sizeof(name), "%s.%s", relation->schema, relation->name);
    log_event(LOG_INFO, record->begun ? "resync_goes_on" : "resync_begins", "table=%s id=%lld reason=%s", name,
              (long long)record->id, record->reason);
    return x->target ? resync_begun(x->target, record, name, expected, reterr) : 0;
}

/* --- records that the sink keeps --- */

/* What no rule reads is over at once: there is no applier yet. */
static int read_kept(struct resync *x, struct err *reterr)
{
    struct sink *sink = x->engine->sink;
    if (sink_resyncs_read(sink, &x->kept, &x->kept_count, reterr) != 0)
        return -1;
    for (size_t i = 0; i < x->kept_count; i++) {
        struct err err = {0};
        x->record = x->kept[i];
        bool fits = find_relation(x, &err) == 0 && x->relation;
        x->record = NULL;
        if (fits)
            continue;
        x->record = x->kept[i];
        tell_end(x, true, err.message);
        int failed = sink_resync_end(sink, x->record, err.message, reterr);
        forget_record(x);
        x->kept[i] = NULL;
        if (failed)
            return -1;
    }
    return 0;
}

static int take_kept(struct resync *x, struct err *reterr)
{
    while (x->kept_next < x->kept_count && !x->kept[x->kept_next])
        x->kept_next++;
    x->done = x->kept_next == x->kept_count;
    if (x->done)
        return 0;
    x->record = x->kept[x->kept_next];
    x->kept[x->kept_next++] = NULL;
    x->piece_rows = at_most(PIECE_ROWS, x->engine->settings->snapshot_range_rows);
    sweep_begin(&x->sweep);
    return find_relation(x, reterr) != 0 ? -1 : begin_record(x, x->relation, reterr);
}

static struct part *next_part(const struct engine *engine)
{
    struct snapshot *s = engine->joining;
    for (size_t i = 0; s && i < s->part_count; i++)
        if (s->parts[i].level == s->level && !s->parts[i].done)
            return &s->parts[i];
    return NULL;
}

/* The next part that joins, or the next record that can be worked off; none: done. While something joins, records wait:
 * the session begins anew when it is there. */
static int take_record(struct resync *x, struct err *reterr)
{
    x->part = next_part(x->engine);
    if (x->part || x->engine->joining) {
        x->done = !x->part;
        return 0;
    }
    if (!x->target && !x->record)
        return take_kept(x, reterr);
    while (!x->record) {
        struct err err = {0};
        if (resync_next(x->target, x->engine->settings->pipeline, &x->record, reterr) != 0)
            return -1;
        if (!x->record) {
            x->done = true;
            return 0;
        }
        x->piece_rows = at_most(PIECE_ROWS, x->engine->settings->snapshot_range_rows);
        if (find_relation(x, &err) == 0 && x->relation)
            return begin_record(x, x->relation, reterr);
        if (end_record(x, true, err.message, reterr) != 0)
            return -1;
    }
    return 0;
}

/* --- the point --- */

static void *make_point(void *arg)
{
    struct resync *x = arg;
    x->failed = snapshot_point_make(x->engine->settings, &x->point, &x->err);
    x->made = true;
    return NULL;
}

static int ask_source(struct resync *x, const char *sql, const char *param, char *text, size_t size, struct err *reterr)
{
    PGresult *result = NULL;
    if (!x->source && engine_open_source(x->engine->settings, "resync", ENGINE_BRIEF, &x->source, reterr) != 0)
        return -1;
    if (pg_query(x->source, "source", "looking at the source's WAL", sql, param ? 1 : 0, &param, &result, reterr) != 0)
        return -1;
    snprintf(text, size, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    return 0;
}

static int read_wal_end(struct resync *x, uint64_t *ret_lsn, struct err *reterr)
{
    char text[64];
    if (ask_source(x, "SELECT pg_current_wal_insert_lsn()", NULL, text, sizeof(text), reterr) != 0)
        return -1;
    return lsn_parse(text, ret_lsn) ? 0 : err_set(reterr, ERR_FATAL, "the source's WAL end is no LSN");
}

/* As long as the slot waits for a transaction, the point lies behind the WAL's end: it is a record that is written once
 * that transaction is over. The end is read first. */
static int move_gate(struct resync *x, struct err *reterr)
{
    uint64_t lsn;
    char pid[16], waits[16];
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(x->point.exporter));
    if (read_wal_end(x, &lsn, reterr) != 0 ||
        ask_source(x, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1::integer AND wait_event_type = 'Lock'", pid,
                   waits, sizeof(waits), reterr) != 0)
        return -1;
    if (strcmp(waits, "0") == 0)
        return 0;
    if (lsn > x->gate)
        x->gate = lsn;
    return note(x, "waits for transactions that are open on the source", reterr);
}

static int ask_for_point(struct resync *x, struct err *reterr)
{
    if (read_wal_end(x, &x->gate, reterr) != 0 || snapshot_point_open(x->engine->settings, &x->point, reterr) != 0)
        return -1;
    x->made = false;
    x->asked_us = clock_mono_us();
    x->look_us = x->asked_us + LOOK_US;
    if (pthread_create(&x->thread, NULL, make_point, x) != 0)
        return err_set(reterr, ERR_FATAL, "starting a thread failed");
    x->thread_runs = true;
    x->state = MAKING;
    return 0;
}

static int take_point(struct resync *x, struct err *reterr)
{
    pthread_join(x->thread, NULL);
    x->thread_runs = false;
    x->state = READY;
    char quoted[LOG_QUOTED_MAX], lsn[LSN_TEXT_MAX];
    log_event(LOG_DEBUG, "resync_point", "table=%s lsn=%s seconds=%.3f", table_of(x), lsn_format(x->point.lsn, lsn),
              (double)(clock_mono_us() - x->asked_us) / 1e6);
    if (!x->failed)
        return 0;
    log_event(LOG_WARN, "resync_waits", "table=%s msg=%s", table_of(x),
              log_quote(x->err.message, quoted, sizeof(quoted)));
    snapshot_point_done(&x->point);
    x->state = IDLE;
    x->next_us = clock_mono_us() + AGAIN_US;
    return note(x, x->err.message, reterr);
}

/* --- pieces --- */

/* Where points are dear, because each waits for long transactions, pieces may be larger. */
static void size_next_piece(struct resync *x, double waited_s, double held_s)
{
    double wanted_s = waited_s / 4 < HOLD_MIN_S ? HOLD_MIN_S : waited_s / 4 > HOLD_MAX_S ? HOLD_MAX_S : waited_s / 4;
    double factor = wanted_s / (held_s + 0.001);
    double rows = (double)x->piece_rows * (factor > 2 ? 2 : factor < 0.25 ? 0.25 : factor);
    x->piece_rows =
        at_most(rows < PIECE_ROWS_MIN ? PIECE_ROWS_MIN : (size_t)rows, x->engine->settings->snapshot_range_rows);
}

static void sum_up(const struct resync_record *record, char *text, size_t size)
{
    snprintf(text, size, "%llu rows read, %llu gone", (unsigned long long)record->rows,
             (unsigned long long)record->removed);
}

static int after_piece(struct resync *x, bool last, const struct err *failure, struct err *reterr)
{
    char result[256];
    if (failure)
        return end_record(x, true, failure->message, reterr);
    if (resync_moved(x->target, x->record, x->point.lsn, reterr) != 0)
        return -1;
    if (!last)
        return 0;
    sum_up(x->record, result, sizeof(result));
    return end_record(x, false, result, reterr);
}

/* The same where it goes with the batch. Of a table that was read whole, rows are still to be found that the source has
 * no more. */
static const struct resync_progress *put_progress(struct resync *x, struct receiver *r, bool last,
                                                  const struct err *failure)
{
    struct batch *batch = r->handover->filling;
    struct resync_record *record = x->record;
    struct resync_progress *progress = arena_zalloc(&batch->arena, 1, sizeof(*progress));
    char result[256] = "";
    if (last && !record->read) {
        record->read = true;
        last = !sweep_is_due(&x->sweep, record);
    }
    if (last)
        sum_up(record, result, sizeof(result));
    const char *told = failure ? failure->message : result;
    *progress = (struct resync_progress){.id = record->id,
                                         .next = record->next ? arena_strdup(&batch->arena, record->next) : NULL,
                                         .rows = record->rows,
                                         .removed = record->removed,
                                         .since = record->since,
                                         .read = record->read,
                                         .over = last || failure,
                                         .failed = failure != NULL,
                                         .result = *told ? arena_strdup(&batch->arena, told) : NULL};
    batch->resync = progress;
    return progress;
}

/* The part is done with the transaction that brings it, also where it is empty. */
static int run_part(struct resync *x, struct receiver *r, struct err *reterr)
{
    struct resync_record figures = {0};
    struct piece piece = {.receiver = r,
                          .record = &figures,
                          .relation = x->part->range.relation,
                          .point = &x->point,
                          .target = x->target};
    int64_t began_us = clock_mono_us();
    receiver_begin(r);
    if (join_read(&piece, x->part, reterr) != 0)
        return -1;
    r->transaction_rows++;
    receiver_commit(r, x->point.lsn, clock_wall_us(), 0);
    struct batch *batch = r->handover->filling;
    batch->joins = true;
    batch->joined_part = x->part->id;
    batch->joined_rows = figures.rows;
    if (receiver_drain(r, reterr) != 0)
        return -1;
    if (run_stop)
        return 0;
    x->part->done = true;
    skip_part_read(x->engine->skip, x->part->id, x->point.lsn);
    log_event(LOG_DEBUG, "joined", "table=%s part=%d rows=%llu seconds=%.3f", table_of(x), x->part->id,
              (unsigned long long)figures.rows, (double)(clock_mono_us() - began_us) / 1e6);
    x->part = NULL;
    snapshot_point_done(&x->point);
    x->state = IDLE;
    return 0;
}

static int read_piece(struct resync *x, struct piece *piece, struct err *reterr)
{
    if (!x->target && x->record->read)
        return sweep_read(&x->sweep, piece, reterr);
    if (x->record->since == 0)
        x->record->since = x->point.lsn;
    return piece_read(piece, reterr);
}

/* What a piece has brought is on the target, or is given up. */
static int close_piece(struct resync *x, struct receiver *r, bool last, const struct err *failure, struct err *reterr)
{
    if (x->target) {
        receiver_commit(r, x->point.lsn, clock_wall_us(), 0);
        return receiver_drain(r, reterr) != 0 ? -1 : run_stop ? 0 : after_piece(x, last, failure, reterr);
    }
    r->transaction_rows++; /* how far it is goes with it, also where it is empty */
    receiver_commit(r, x->point.lsn, clock_wall_us(), 0);
    const struct resync_progress *progress = put_progress(x, r, last, failure);
    bool over = progress->over, failed = progress->failed;
    char result[ERR_TEXT_MAX];
    snprintf(result, sizeof(result), "%s", progress->result ? progress->result : "");
    if (receiver_drain(r, reterr) != 0)
        return -1;
    if (run_stop || !over)
        return 0;
    tell_end(x, failed, result);
    forget_record(x);
    return 0;
}

/* The stream has reached the point. What a piece cannot read because of what was asked for ends the request; it has
 * added nothing, or rows that are right. */
static int run_piece(struct resync *x, struct receiver *r, struct err *reterr)
{
    int64_t began_us = clock_mono_us();
    struct err failure = {0};
    struct piece piece = {.receiver = r,
                          .record = x->record,
                          .relation = x->relation,
                          .point = &x->point,
                          .target = x->target,
                          .rows_wanted = x->piece_rows};
    if (receiver_drain(r, reterr) != 0)
        return -1;
    if (x->part)
        return run_part(x, r, reterr);
    receiver_begin(r);
    int failed = read_piece(x, &piece, &failure);
    bool fault = failed && (failure.kind == ERR_POISON || failure.kind == ERR_CONFIG);
    if (failed && !fault) {
        *reterr = failure;
        return -1;
    }
    if (close_piece(x, r, piece.last, fault ? &failure : NULL, reterr) != 0)
        return -1;
    if (run_stop)
        return 0;
    size_next_piece(x, (double)(began_us - x->asked_us) / 1e6, (double)(clock_mono_us() - began_us) / 1e6);
    x->note[0] = '\0';
    snapshot_point_done(&x->point);
    x->state = IDLE;
    return 0;
}

/* --- the receiver's side --- */

/* Takes the next step that is due. */
static int step(struct resync *x, struct receiver *r, struct err *reterr)
{
    if (x->state == MAKING && x->made)
        return take_point(x, reterr);
    if (x->state == MAKING && clock_mono_us() >= x->look_us) { /* where nothing comes, to be able to say why */
        x->look_us = clock_mono_us() + LOOK_US;
        return move_gate(x, reterr);
    }
    if (x->state != IDLE || clock_mono_us() < x->next_us)
        return 0;
    if (take_record(x, reterr) != 0)
        return -1;
    if (x->done)
        return 0;
    if (x->engine->hold_snapshots) {
        x->next_us = clock_mono_us() + AGAIN_US;
        return note(x, "waits: the WAL that the slot keeps on the source is near its limit", reterr);
    }
    if (feed_age_s(x->engine, r->received_lsn) > BEHIND_MAX_S) {
        x->next_us = clock_mono_us() + AGAIN_US;
        return note(x, "waits until the stream is less than a minute behind", reterr);
    }
    if (!x->target && x->record && x->record->read && sweep_look(&x->sweep, r, x->relation, x->record, reterr) != 0)
        return -1;
    return ask_for_point(x, reterr);
}

int resync_before(struct resync *x, struct receiver *r, uint64_t end_lsn, struct err *reterr)
{
    while (x && !x->done && !run_stop) {
        if (step(x, r, reterr) != 0)
            return -1;
        if (x->state == IDLE)
            return 0;
        if (x->state == READY && end_lsn > x->point.lsn) {
            if (run_piece(x, r, reterr) != 0)
                return -1;
            continue;
        }
        if (x->state == READY || end_lsn <= x->gate)
            return 0;
        if (move_gate(x, reterr) != 0)
            return -1;
        if (end_lsn <= x->gate)
            return 0;
        if (receiver_wait_for_applier(r, reterr) != 0 || receiver_stay(r, reterr) != 0)
            return -1;
        usleep(POLL_MS * 1000);
    }
    return 0;
}

int resync_when_quiet(struct resync *x, struct receiver *r, int *wait_ms, struct err *reterr)
{
    if (!x || x->done || r->in_transaction)
        return 0;
    if (step(x, r, reterr) != 0)
        return -1;
    if (x->state == READY && r->received_lsn >= x->point.lsn && run_piece(x, r, reterr) != 0)
        return -1;
    if (x->state == IDLE && clock_mono_us() < x->next_us)
        return 0;
    if (*wait_ms > POLL_MS)
        *wait_ms = POLL_MS;
    /* A status message is answered with how far the stream is. */
    return x->state == READY ? receiver_report(r, true, reterr) : 0;
}

bool resync_has_joined(const struct resync *x)
{
    return x && x->state == IDLE && !next_part(x->engine);
}

bool resync_is_done(const struct resync *x)
{
    return !x || x->done;
}

/* --- life --- */

int resync_begin(struct engine *engine, struct err *reterr)
{
    bool waits = false;
    resync_close(engine->resync);
    engine->resync = NULL;
    engine->resync_wanted = false;
    if ((engine->skip && !engine->joining) || engine->sink->ops->resyncs_read)
        return 0;
    if (!engine->joining && sink_resync_waits(engine->sink, &waits, reterr) != 0)
        return -1;
    if (!engine->joining && !waits)
        return 0;
    struct resync *x = mem_zalloc(1, sizeof(*x));
    x->engine = engine;
    engine->resync = x;
    struct pgsink_options options = engine_sink_options(engine);
    return resync_connect(&options, &x->target, reterr);
}

int resync_begin_kept(struct engine *engine, struct err *reterr)
{
    bool waits = false;
    if (!engine->sink->ops->resyncs_read)
        return 0;
    resync_close(engine->resync);
    engine->resync = NULL;
    engine->resync_wanted = false;
    if (engine->skip || sink_resync_waits(engine->sink, &waits, reterr) != 0)
        return engine->skip ? 0 : -1;
    if (!waits)
        return 0;
    engine->resync = mem_zalloc(1, sizeof(*engine->resync));
    engine->resync->engine = engine;
    return read_kept(engine->resync, reterr);
}

void resync_close(struct resync *x)
{
    if (!x)
        return;
    if (x->thread_runs) {
        char text[256];
        PGcancel *cancel = PQgetCancel(x->point.exporter);
        if (cancel)
            (void)PQcancel(cancel, text, sizeof(text));
        PQfreeCancel(cancel);
        pthread_join(x->thread, NULL);
    }
    snapshot_point_done(&x->point);
    resync_record_free(x->record);
    for (size_t i = 0; i < x->kept_count; i++)
        resync_record_free(x->kept[i]);
    free(x->kept);
    sweep_done(&x->sweep);
    pg_close(x->target);
    pg_close(x->source);
    free(x);
}
