/* The replication stream of one slot.
 *
 *   socket ─▶ libpq's buffer ─▶ 'w' data ──copy──▶ caller's arena ─▶ wal2json_decode ─▶ item
 *                            └▶ 'k' keepalive ─▶ answer at once if asked ─▶ item
 *
 * What has arrived is read before anything waits: a poll() for each message costs more than decoding it.
 * Three clocks run beside it: a status message is due (also inside a long run of data), a server that stays
 * silent is asked to answer, and one that does not answer is taken for dead.
 */
#include "cdc/source/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cdc/base/buf.h"
#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"
#include "cdc/pg/pg.h"
#include "cdc/source/slot.h"
#include "cdc/source/wal2json.h"

#define SIDE "source"
#define STATUS_INTERVAL_MS 1000
#define RECEIVE_TIMEOUT_MS 60000
#define CLOCK_EVERY_MESSAGES 64
#define CLOSE_WAIT_US 300000
#define COMMAND_MAX_BYTES ((size_t)16 << 20) /* names of very many tables */
#define DATA_HEADER_BYTES 25
#define KEEPALIVE_BYTES 18
#define STATUS_BYTES 34
/* A walsender wakes its reader for every message. After that many short waits in a row it is busy, and a nap lets
 * messages gather: half the processor time of the stream, on both sides. A quiet stream is not delayed. */
#define NAP_AFTER_WAITS 32
#define SHORT_WAIT_US 500
#define NAP_US 150
#define SMALL_MESSAGE_BYTES 192 /* B and C fit, and need not outlive their decoding */

struct stream {
    PGconn *conn;
    struct wal2json *decoder;
    int64_t status_interval_us, receive_timeout_us;
    uint64_t received_lsn, confirmed_lsn;
    int wake_fd;
    int64_t status_us;    /* when the last status message went out */
    int64_t received_us;  /* when something was last known to have come in */
    int64_t ping_us;      /* when the server was asked to answer; 0: it is not */
    unsigned unclocked;   /* messages since the clock was read */
    unsigned short_waits; /* in a row */
    char *unused;         /* room in the caller's arena that a skipped message left, good for this call only */
    size_t unused_bytes;
    bool received; /* something came in since received_us was set */
    bool unsent;   /* libpq holds bytes that the socket did not take */
    bool ended;
};

static uint64_t get64(const char *p)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | (uint8_t)p[i];
    return number;
}

static void put64(char *p, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        p[i] = (char)(number & 0xff);
}

/* ---- opening ---- */

/* wal2json takes names apart at commas, dots, stars and blanks; a backslash makes any character plain. */
static void put_table_name(struct buf *buf, const char *name)
{
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        bool plain = c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!plain)
            buf_putc(buf, '\\');
        buf_putc(buf, *name);
    }
}

void stream_put_tables(struct buf *buf, const char *const *tables, size_t table_count)
{
    for (size_t i = 0; i < table_count; i++) {
        buf_puts(buf, i ? "," : "");
        put_table_name(buf, tables[2 * i]);
        buf_putc(buf, '.');
        put_table_name(buf, tables[2 * i + 1]);
    }
}

/* The grammar of replication commands knows no E''. */
static void put_option_text(struct buf *buf, const char *text)
{
    buf_putc(buf, '\'');
    for (; *text; text++) {
        buf_puts(buf, *text == '\'' ? "'" : "");
        buf_putc(buf, *text);
    }
    buf_putc(buf, '\'');
}

static void put_start_command(struct buf *buf, const struct stream_options *options)
{
    char lsn[LSN_TEXT_MAX];
    buf_puts(buf, "START_REPLICATION SLOT ");
    pg_put_ident(buf, options->slot);
    buf_printf(buf,
               " LOGICAL %s (\"format-version\" '2', \"include-types\" '0', \"include-xids\" '1',"
               " \"include-timestamp\" '%d', \"include-lsn\" '%d'",
               lsn_format(options->start_lsn, lsn), options->timestamps ? 1 : 0, options->commit_lsns ? 1 : 0);
    if (options->tables && options->table_count) {
        struct buf tables;
        buf_init(&tables, COMMAND_MAX_BYTES);
        stream_put_tables(&tables, options->tables, options->table_count);
        buf_puts(buf, ", \"add-tables\" ");
        put_option_text(buf, buf_text(&tables));
        buf->overflowed = buf->overflowed || buf_overflowed(&tables);
        buf_done(&tables);
    }
    buf_putc(buf, ')');
}

/* Why a slot cannot be streamed from, where its own record tells. */
static int check_slot(PGconn *conn, const char *slot, struct err *reterr)
{
    struct slot_state state;
    if (slot_read(conn, slot, &state, reterr))
        return -1;
    if (!state.exists) {
        err_set(reterr, ERR_REFUSED, "the source has no replication slot \"%s\"", slot);
        return err_hint(reterr, "A slot that is gone left changes behind that nobody can send again: take a new "
                                "snapshot, or mend source.slot");
    }
    enum slot_kind kind = slot_kind(&state, PQdb(conn));
    if (kind == SLOT_PHYSICAL || kind == SLOT_OTHER_PLUGIN) {
        err_set(reterr, ERR_REFUSED, "replication slot \"%s\" belongs to %s, not to wal2json", slot,
                kind == SLOT_OTHER_PLUGIN ? state.plugin : "physical replication");
        return err_hint(reterr, "Name another slot in source.slot");
    }
    if (kind == SLOT_OTHER_DATABASE) {
        err_set(reterr, ERR_REFUSED, "replication slot \"%s\" belongs to database \"%s\"", slot, state.database);
        return err_hint(reterr, "Name that database in source.dsn, or another slot in source.slot");
    }
    if (strcmp(state.wal_status, "lost") == 0) {
        err_set(reterr, ERR_REFUSED, "the source can no longer get changes from replication slot \"%s\": it is lost",
                slot);
        return err_hint(reterr, "The WAL it needed was removed (max_slot_wal_keep_size): drop it and take a new "
                                "snapshot");
    }
    if (state.active) {
        err_set(reterr, ERR_RETRY, "replication slot \"%s\" is in use by process %d of the source", slot,
                state.active_pid);
        if (reterr)
            memcpy(reterr->sqlstate, "55006", sizeof("55006"));
        return err_hint(reterr, "Stop the other reader; a dead one leaves it within wal_sender_timeout");
    }
    return 0;
}

static int start(struct stream *stream, const struct stream_options *options, struct err *reterr)
{
    struct buf command;
    buf_init(&command, COMMAND_MAX_BYTES);
    put_start_command(&command, options);
    if (buf_overflowed(&command)) {
        buf_done(&command);
        return err_set(reterr, ERR_CONFIG, "too many tables for one stream");
    }
    PGresult *result = PQexec(stream->conn, buf_text(&command));
    buf_done(&command);
    int rc = 0;
    if (PQresultStatus(result) != PGRES_COPY_BOTH) {
        struct err err;
        pg_err(&err, SIDE, stream->conn, result, "starting the stream");
        if (strcmp(err.sqlstate, "55006") == 0)
            err.kind = ERR_RETRY;
        else if (strcmp(err.sqlstate, "42704") == 0 || strcmp(err.sqlstate, "55000") == 0)
            err.kind = ERR_REFUSED;
        else
            slot_explain_plugin(result, &err);
        if (reterr)
            *reterr = err;
        rc = -1;
    }
    PQclear(result);
    return rc;
}

static int begin(struct stream *stream, const struct stream_options *options, struct err *reterr)
{
    if (check_slot(stream->conn, options->slot, reterr) || start(stream, options, reterr))
        return -1;
    if (PQsetnonblocking(stream->conn, 1))
        return pg_err(reterr, SIDE, stream->conn, NULL, "starting the stream");
    stream->received_us = stream->status_us = clock_mono_us();
    return 0;
}

int stream_open(const struct stream_options *options, struct stream **ret_stream, struct err *reterr)
{
    struct pg_options connection = {.side = SIDE,
                                    .conninfo = options->conninfo,
                                    .password_file = options->password_file,
                                    .application_name = "pgrekey",
                                    .replication = true};
    struct wal2json_options decoding = {options->relation, options->never, options->context};
    struct stream *stream = mem_zalloc(1, sizeof(*stream));

    stream->status_interval_us =
        (options->status_interval_ms ? options->status_interval_ms : STATUS_INTERVAL_MS) * INT64_C(1000);
    stream->receive_timeout_us =
        (options->receive_timeout_ms ? options->receive_timeout_ms : RECEIVE_TIMEOUT_MS) * INT64_C(1000);
    stream->received_lsn = options->start_lsn;
    stream->wake_fd = options->wake_fd > 0 ? options->wake_fd : -1;
    stream->decoder = wal2json_new(&decoding);
    int rc = pg_open(&connection, &stream->conn, reterr);
    if (rc && reterr && strcmp(reterr->sqlstate, "42501") == 0)
        err_hint(reterr, "The source's role needs REPLICATION (on RDS: GRANT rds_replication)");
    if (rc || begin(stream, options, reterr)) {
        stream->ended = true;
        stream_close(stream);
        return -1;
    }
    *ret_stream = stream;
    return 0;
}

/* Ends the COPY and waits for the server's end, so that the slot is free when this returns, but not for long. */
static void end_copy(struct stream *stream)
{
    int64_t deadline_us = clock_mono_us() + CLOSE_WAIT_US;
    if (PQputCopyEnd(stream->conn, NULL) != 1)
        return;
    for (;;) {
        char *data = NULL;
        int len = PQgetCopyData(stream->conn, &data, 1);
        PQfreemem(data);
        if (len < 0)
            break;
        int64_t left_us = deadline_us - clock_mono_us();
        if (left_us <= 0)
            return;
        if (len > 0)
            continue;
        struct pollfd fd = {.fd = PQsocket(stream->conn), .events = POLLIN};
        if (PQflush(stream->conn) > 0)
            fd.events |= POLLOUT;
        poll(&fd, 1, (int)(left_us / 1000) + 1);
        if (!PQconsumeInput(stream->conn))
            return;
    }
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->conn && !stream->ended)
        end_copy(stream);
    pg_close(stream->conn);
    wal2json_free(stream->decoder);
    free(stream);
}

/* ---- status messages ---- */

static int flush(struct stream *stream, struct err *reterr)
{
    int rc = PQflush(stream->conn);
    if (rc < 0)
        return pg_err(reterr, SIDE, stream->conn, NULL, "sending the stream's status");
    stream->unsent = rc > 0;
    return 0;
}

static int send_status(struct stream *stream, int64_t now_us, bool ping, struct err *reterr)
{
    char status[STATUS_BYTES] = {'r'};
    uint64_t received = stream->received_lsn > stream->confirmed_lsn ? stream->received_lsn : stream->confirmed_lsn;

    put64(status + 1, received);
    put64(status + 9, stream->confirmed_lsn);
    put64(status + 17, stream->confirmed_lsn);
    put64(status + 25, (uint64_t)(clock_wall_us() - CLOCK_PG_EPOCH_US));
    status[33] = ping;
    if (PQputCopyData(stream->conn, status, sizeof(status)) < 0)
        return pg_err(reterr, SIDE, stream->conn, NULL, "sending the stream's status");
    stream->status_us = now_us;
    if (ping)
        stream->ping_us = now_us;
    return flush(stream, reterr);
}

/* A status message where one is due; where the server has been silent for long, one that asks it to answer. */
static int tend(struct stream *stream, int64_t now_us, struct err *reterr)
{
    if (stream->received) {
        stream->received = false;
        stream->received_us = now_us;
        stream->ping_us = 0;
    }
    stream->unclocked = 0;
    bool ping = !stream->ping_us && now_us - stream->received_us >= stream->receive_timeout_us / 2;
    if (ping || now_us - stream->status_us >= stream->status_interval_us)
        return send_status(stream, now_us, ping, reterr);
    return stream->unsent ? flush(stream, reterr) : 0;
}

int stream_keep_alive(struct stream *stream, struct err *reterr)
{
    return tend(stream, clock_mono_us(), reterr);
}

int stream_confirm(struct stream *stream, uint64_t lsn, bool now, struct err *reterr)
{
    if (lsn > stream->confirmed_lsn)
        stream->confirmed_lsn = lsn;
    return now ? send_status(stream, clock_mono_us(), false, reterr) : 0;
}

/* ---- receiving ---- */

static int on_keepalive(struct stream *stream, const char *data, size_t len, struct stream_item *item,
                        struct err *reterr)
{
    if (len < KEEPALIVE_BYTES)
        return err_set(reterr, ERR_FATAL, "the source sent a keepalive that breaks off");
    uint64_t wal_end = get64(data + 1);
    if (wal_end > stream->received_lsn)
        stream->received_lsn = wal_end;
    *item = (struct stream_item){.event = STREAM_KEEPALIVE, .end_lsn = wal_end};
    return data[KEEPALIVE_BYTES - 1] ? send_status(stream, clock_mono_us(), false, reterr) : 0;
}

static void fill_item(const struct wal2json_item *decoded, uint64_t lsn, struct stream_item *item)
{
    *item = (struct stream_item){.xid = decoded->xid, .commit_us = decoded->commit_us};
    switch (decoded->action) {
    case WAL2JSON_SKIP: item->event = STREAM_NONE; break;
    case WAL2JSON_BEGIN:
        item->event = STREAM_BEGIN;
        item->end_lsn = decoded->end_lsn;
        break;
    case WAL2JSON_COMMIT:
        item->event = STREAM_COMMIT;
        item->end_lsn = lsn; /* the header of a commit carries the position behind it */
        break;
    case WAL2JSON_CHANGE:
        item->event = STREAM_CHANGE;
        item->change = decoded->change;
        item->change->lsn = lsn;
        break;
    case WAL2JSON_MESSAGE:
        item->event = STREAM_MESSAGE;
        item->prefix = decoded->prefix;
        item->content = decoded->content;
        item->transactional = decoded->transactional;
        break;
    }
}

/* Tables that nobody wants must not fill the arena while the caller waits for one that somebody does. */
static char *room_for(struct stream *stream, size_t bytes, struct arena *arena)
{
    if (!stream->unused || stream->unused_bytes < bytes) {
        stream->unused = arena_alloc(arena, bytes);
        stream->unused_bytes = bytes;
    }
    return stream->unused;
}

static int on_data(struct stream *stream, const char *data, size_t len, struct arena *arena, struct stream_item *item,
                   struct err *reterr)
{
    char small[SMALL_MESSAGE_BYTES + WAL2JSON_PADDING];
    struct wal2json_item decoded;

    if (len < DATA_HEADER_BYTES)
        return err_set(reterr, ERR_FATAL, "the source sent a message that breaks off");
    uint64_t lsn = get64(data + 1);
    const char *payload = data + DATA_HEADER_BYTES;
    size_t size = len - DATA_HEADER_BYTES;
    if (lsn > stream->received_lsn)
        stream->received_lsn = lsn;

    /* {"action":"B"… and "C" leave nothing behind, and come without end where nothing else does */
    bool small_one = size > 11 && size <= SMALL_MESSAGE_BYTES && (payload[11] == 'B' || payload[11] == 'C');
    char *message = small_one ? small : room_for(stream, size + WAL2JSON_PADDING, arena);
    memcpy(message, payload, size);
    memset(message + size, 0, WAL2JSON_PADDING);
    if (wal2json_decode(stream->decoder, message, size, arena, &decoded, reterr)) {
        if (reterr && !reterr->lsn)
            reterr->lsn = lsn;
        return -1;
    }
    if (decoded.action != WAL2JSON_SKIP && !small_one)
        stream->unused = NULL;
    fill_item(&decoded, lsn, item);
    return 0;
}

static int on_message(struct stream *stream, const char *data, size_t len, struct arena *arena,
                      struct stream_item *item, struct err *reterr)
{
    switch (data[0]) {
    case 'w': return on_data(stream, data, len, arena, item, reterr);
    case 'k': return on_keepalive(stream, data, len, item, reterr);
    default: return err_set(reterr, ERR_FATAL, "the source sent a replication message of an unknown kind");
    }
}

/* The server ended the COPY: it shuts down, or something is wrong. */
static int on_end(struct stream *stream, struct err *reterr)
{
    stream->ended = true;
    PGresult *result = PQgetResult(stream->conn);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR)
        pg_err(reterr, SIDE, stream->conn, result, "reading the stream");
    else
        err_set(reterr, ERR_RETRY, "the source ended the stream");
    PQclear(result);
    return -1;
}

/* 1 and an item; 0 where nothing whole has arrived. */
static int take(struct stream *stream, struct arena *arena, struct stream_item *item, struct err *reterr)
{
    for (;;) {
        char *data = NULL;
        int len = PQgetCopyData(stream->conn, &data, 1);
        if (len == 0)
            return 0;
        if (len == -1)
            return on_end(stream, reterr);
        if (len < 0) {
            stream->ended = true;
            return pg_err(reterr, SIDE, stream->conn, NULL, "reading the stream");
        }
        int rc = on_message(stream, data, (size_t)len, arena, item, reterr);
        PQfreemem(data);
        stream->received = true;
        if (rc == 0 && ++stream->unclocked >= CLOCK_EVERY_MESSAGES)
            rc = tend(stream, clock_mono_us(), reterr);
        if (rc)
            return -1;
        if (item->event != STREAM_NONE)
            return 1;
    }
}

static int consume(struct stream *stream, struct err *reterr)
{
    if (PQconsumeInput(stream->conn))
        return 0;
    stream->ended = true;
    return pg_err(reterr, SIDE, stream->conn, NULL, "reading the stream");
}

/* Counts short waits that brought something; a nap keeps the count as long as it does too. */
static void note_wait(struct stream *stream, int64_t waited_us, bool brought)
{
    if (brought && waited_us < SHORT_WAIT_US)
        stream->short_waits++;
    else
        stream->short_waits = 0;
}

/* 1 where the caller's wake_fd, or a signal, ended the wait. */
static int wait_socket(struct stream *stream, int64_t wait_us, struct err *reterr)
{
    struct pollfd fds[2] = {{.fd = PQsocket(stream->conn), .events = POLLIN},
                            {.fd = stream->wake_fd, .events = POLLIN}};
    struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
    if (stream->unsent)
        fds[0].events |= POLLOUT;
    if (ppoll(fds, 2, &wait, NULL) >= 0)
        return fds[1].revents != 0;
    return errno == EINTR ? 1 : err_set(reterr, ERR_FATAL, "waiting for the source failed: %s", strerror(errno));
}

/* Nothing has arrived, although asked for: is the server's silence too long? */
static int check_patience(const struct stream *stream, int64_t now_us, struct err *reterr)
{
    if (stream->received || !stream->ping_us || now_us - stream->ping_us < stream->receive_timeout_us / 2)
        return 0;
    return err_set(reterr, ERR_RETRY, "the source has not answered for %" PRId64 " s",
                   (now_us - stream->received_us) / 1000000);
}

/* Waits for the socket until deadline_us, or until a status message is due. Returns 1 where a signal or the caller's
 * wake_fd came instead, which the caller wants to know of. */
static int wait_for_data(struct stream *stream, int64_t now_us, int64_t deadline_us, struct err *reterr)
{
    int64_t until_us = stream->status_us + stream->status_interval_us;
    if (until_us > deadline_us)
        until_us = deadline_us;
    int64_t wait_us = until_us > now_us ? until_us - now_us : 0;
    int woken = 0;
    if (stream->short_waits >= NAP_AFTER_WAITS && wait_us > NAP_US) {
        struct timespec nap = {.tv_nsec = NAP_US * 1000};
        nanosleep(&nap, NULL);
    } else {
        woken = wait_socket(stream, wait_us, reterr);
    }
    if (woken < 0 || consume(stream, reterr))
        return -1;
    return woken;
}

int stream_next(struct stream *stream, struct arena *arena, int timeout_ms, struct stream_item *ret_item,
                struct err *reterr)
{
    *ret_item = (struct stream_item){.event = STREAM_NONE};
    stream->unused = NULL;
    int rc = take(stream, arena, ret_item, reterr);
    if (rc == 0) {
        if (consume(stream, reterr))
            return -1;
        rc = take(stream, arena, ret_item, reterr);
    }
    if (rc)
        return rc < 0 ? -1 : 0;

    int64_t now_us = clock_mono_us(), deadline_us = now_us + timeout_ms * INT64_C(1000);
    for (;;) {
        if (check_patience(stream, now_us, reterr) || tend(stream, now_us, reterr))
            return -1;
        if (now_us >= deadline_us)
            return 0;
        int64_t began_us = now_us;
        int woken = wait_for_data(stream, now_us, deadline_us, reterr);
        if (woken < 0)
            return -1;
        rc = take(stream, arena, ret_item, reterr);
        now_us = clock_mono_us();
        note_wait(stream, now_us - began_us, rc > 0);
        if (rc || woken)
            return rc < 0 ? -1 : 0;
    }
}
