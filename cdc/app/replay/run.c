/* The life of a replay: sessions, one after the other, until there is a reason to end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cdc/app/replay/replay.h"
#include "cdc/base/clock.h"
#include "cdc/base/log.h"
#include "cdc/base/lsn.h"

#define SECRET_MAX ((size_t)64 << 10)

static int connect_kafka(struct replay *r, struct err *reterr)
{
    const struct settings *settings = r->settings;
    struct kafka_options options = {
        .bootstrap = settings->kafka_bootstrap,
        .properties = settings->kafka_properties,
        .properties_file = settings->kafka_properties_file,
        .client_id = "pgrekey-replay",
    };
    return r->kafka ? 0 : kafka_open(&options, &r->kafka, reterr);
}

/* A publisher that is still in its first snapshot has not sent all rows. */
static int wait_for_publisher(struct replay *r, struct err *reterr)
{
    bool told = false;
    while (replay_read_publisher(r, reterr) == 0) {
        if (r->publisher.streaming)
            return 0;
        if (r->options->until_caught_up || r->options->until_lsn || r->options->until_us)
            return err_set(reterr, ERR_REFUSED, "the publisher's first snapshot is not whole yet");
        if (!told)
            log_event(LOG_INFO, "waiting_for_snapshot", "prefix=%s", r->settings->kafka_prefix);
        told = true;
        for (int i = 0; i < 20 && !run_stop; i++)
            usleep(100 * 1000);
        if (run_stop)
            return err_set(reterr, ERR_STOP, "stopped");
    }
    return -1;
}

static void close_session(struct replay *r)
{
    sink_close(r->sink);
    r->sink = NULL;
    pgsink_offsets_free(r->offsets, r->offset_count);
    r->offsets = NULL;
    r->offset_count = 0;
    r->letter_count = 0;
    replay_unbind(r);
}

static int open_sink(struct replay *r, struct err *reterr)
{
    struct pgsink_options options = replay_sink_options(r);
    if (pgsink_open(&options, &r->sink, &r->position, reterr) != 0 ||
        pgsink_offsets_read(r->sink, &r->offsets, &r->offset_count, reterr) != 0)
        return -1;
    /* Whoever starts it has seen why it stopped. */
    return r->position.paused ? sink_resume(r->sink, reterr) : 0;
}

static int refuse_from(struct err *reterr)
{
    (void)err_set(reterr, ERR_REFUSED,
                  "--since is for a database that holds a position; this one begins with the last "
                  "state of every key");
    return err_hint(reterr, "leave --since out");
}

/* A mapping that was bound while a dead run's fast load had foreign keys off does not know them. */
static int bind_with_all(const struct replay *r, struct err *reterr)
{
    if (!sink_fast_load(r->sink).bound_without)
        return 0;
    return err_set(reterr, ERR_RETRY, "the mapping is compared with the catalogue anew");
}

static int session(struct replay *r, struct err *reterr)
{
    const struct replay_options *options = r->options;
    if (r->settings->replay_group && (options->until_lsn || options->until_us || options->from_lsn || options->from_us))
        return err_set(reterr, ERR_CONFIG,
                       "workers of a group do not keep transactions whole, so they have no point to "
                       "begin or end at: leave replay.group out");
    if (connect_kafka(r, reterr) != 0 || wait_for_publisher(r, reterr) != 0 || replay_bind(r, reterr) != 0 ||
        open_sink(r, reterr) != 0)
        return -1;
    if (r->position.state != PIPELINE_STREAMING) {
        if (options->from_lsn || options->from_us)
            return refuse_from(reterr);
        if (replay_state(r, reterr) != 0 || bind_with_all(r, reterr) != 0)
            return -1;
    } else if (bind_with_all(r, reterr) != 0 || replay_check_age(r, reterr) != 0) {
        return -1;
    }
    if (sink_derive_due(r->sink, reterr) != 0)
        return -1;
    return r->settings->replay_group ? replay_shared(r, reterr) : replay_stream(r, reterr);
}

static bool passes_by_itself(const struct replay *r, const struct err *err)
{
    return r->sink && (err->kind == ERR_RETRY || strcmp(err->sqlstate, "25006") == 0);
}

static void back_off(const struct replay *r, const struct err *err, int64_t *ms)
{
    char quoted[LOG_QUOTED_MAX];
    log_event(LOG_WARN, "reconnecting", "prefix=%s in_ms=%lld sqlstate=%s msg=%s", r->settings->kafka_prefix,
              (long long)*ms, err->sqlstate, log_quote(err->message, quoted, sizeof quoted));
    for (int64_t until = clock_mono_us() + *ms * 1000; !run_stop && clock_mono_us() < until;)
        usleep(20 * 1000);
    *ms = *ms * 2 < r->settings->reconnect_max_ms ? *ms * 2 : r->settings->reconnect_max_ms;
}

/* What is refused in mid-stream is recorded, for `status`; a replay then ends, and begins again when it is started. */
static int pause_or_report(struct replay *r, bool streamed, const struct err *err)
{
    struct err ignored = {0};
    if (!streamed || !r->sink || err->kind != ERR_REFUSED)
        return err->kind == ERR_STOP ? EXIT_OK : run_exit_of(err->kind);
    if (sink_pause(r->sink, *err->pause ? err->pause : "refused", err->message, &ignored) != 0)
        log_event(LOG_WARN, "pause_not_recorded", "prefix=%s", r->settings->kafka_prefix);
    return EXIT_PAUSED;
}

static int run_sessions(struct replay *r, struct err *reterr)
{
    int64_t backoff_ms = r->settings->reconnect_min_ms;
    bool connected = false;
    while (!run_stop) {
        *reterr = (struct err){0};
        uint64_t before = r->lsn;
        if (session(r, reterr) == 0)
            return EXIT_OK;
        connected = connected || r->sink;
        if (!(connected && (passes_by_itself(r, reterr) || reterr->kind == ERR_RETRY)))
            return pause_or_report(r, r->lsn > 0, reterr);
        close_session(r);
        backoff_ms = r->lsn > before ? r->settings->reconnect_min_ms : backoff_ms;
        back_off(r, reterr, &backoff_ms);
    }
    return EXIT_OK;
}

int replay_run(const struct settings *settings, const struct replay_options *options, struct err *reterr)
{
    struct replay r = {.settings = settings, .options = options};
    buf_init(&r.secret, SECRET_MAX);
    arena_init(&r.letter_arena, 0);
    int exit_code = run_sessions(&r, reterr);
    close_session(&r);
    kafka_close(r.kafka);
    catalog_free(r.source);
    free(r.letters);
    arena_done(&r.letter_arena);
    if (r.secret.len)
        explicit_bzero(r.secret.data, r.secret.len);
    buf_done(&r.secret);
    return exit_code;
}
