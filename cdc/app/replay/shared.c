/* One of several workers: the partitions that the group gives it, each in its order. Rows of one source transaction may
 * come by different workers, so children wait for parents, and deletes of parents park their children (sinks/postgres
 * shared.h); which partition is whose is settled by the group, and by the offsets on the target, which move from where
 * they stood: whoever has lost one cannot commit.
 */
#include <stdlib.h>
#include <unistd.h>

#include "cdc/app/replay/replay.h"
#include "cdc/base/log.h"
#include "cdc/source/kafka/group.h"

#define PASS_MAX 500 /* messages of one partition before the next one has its turn */
#define REST_US 2000
#define IDLE_MS 20

struct shared {
    struct replay *r;
    struct kafka_group *group;
    int failed; /* giving partitions back did */
    struct err err;
};

/* Everything in hand is committed before others may go on. */
static int put_down(struct shared *s, struct err *reterr)
{
    struct replay *r = s->r;
    struct err stop_err = {0};
    int failed = 0;
    if (r->exchange.running) {
        failed = replay_mark(r) != 0 || exchange_drain(r, reterr) != 0;
        if (exchange_stop(r, &stop_err) != 0 && !failed) {
            *reterr = stop_err;
            failed = 1;
        }
    }
    lanes_close(r);
    return failed ? -1 : 0;
}

static void on_revoked(void *context)
{
    struct shared *s = context;
    struct err err = {0};
    if (put_down(s, &err) == 0 || s->failed)
        return;
    s->failed = 1;
    s->err = err;
}

static int take_up(struct shared *s, struct err *reterr)
{
    struct replay *r = s->r;
    size_t count;
    bool joined;
    const struct kafka_claim *claims = kafka_group_claims(s->group, &count, &joined);
    if (put_down(s, reterr) != 0)
        return -1;
    pgsink_offsets_free(r->offsets, r->offset_count);
    r->offsets = NULL;
    r->offset_count = 0;
    if (pgsink_offsets_read(r->sink, &r->offsets, &r->offset_count, reterr) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (lanes_open_one(r, claims[i].topic, claims[i].partition, reterr) != 0)
            return -1;
    log_event(LOG_INFO, "partitions", "group=%s count=%zu", r->settings->replay_group, count);
    return exchange_start(r, reterr);
}

/* Some messages of each partition. */
static int pass(struct replay *r, bool *ret_any, struct err *reterr)
{
    *ret_any = false;
    for (size_t i = 0; i < r->lane_count; i++) {
        struct lane *lane = &r->lanes[i];
        if (lane_fill(r, lane, 0, reterr) != 0)
            return -1;
        for (int n = 0; lane->has_head && n < PASS_MAX && !run_stop; n++) {
            *ret_any = true;
            if (replay_take(r, lane, reterr) != 0)
                return -1;
            if (replay_is_full(r) && (replay_mark(r) != 0 || replay_give(r, true, reterr) != 0))
                return -1;
        }
    }
    return 0;
}

static bool is_caught_up(const struct shared *s)
{
    const struct replay *r = s->r;
    size_t count;
    bool joined;
    (void)kafka_group_claims(s->group, &count, &joined);
    if (!r->options->until_caught_up || !joined)
        return false;
    for (size_t i = 0; i < r->lane_count; i++)
        if (r->lanes[i].has_head || kafka_reached(r->lanes[i].reader) < r->lanes[i].high)
            return false;
    return true;
}

static int loop(struct shared *s, struct err *reterr)
{
    struct replay *r = s->r;
    bool any = false;
    while (!run_stop) {
        bool changed;
        if (kafka_group_poll(s->group, any || r->lane_count ? 0 : IDLE_MS, &changed, reterr) != 0)
            return -1;
        if (s->failed) {
            *reterr = s->err;
            return -1;
        }
        if (changed && take_up(s, reterr) != 0)
            return -1;
        if (!r->exchange.running)
            continue;
        if (pass(r, &any, reterr) != 0 || (!any && (replay_mark(r) != 0 || replay_give(r, false, reterr) != 0)))
            return -1;
        if (!any && is_caught_up(s))
            return 0;
        if (!any)
            usleep(REST_US);
    }
    return 0;
}

int replay_shared(struct replay *r, struct err *reterr)
{
    struct shared s = {.r = r};
    const char **topics = mem_zalloc(r->topic_count + 1, sizeof *topics);
    struct kafka_options kafka = {r->settings->kafka_bootstrap, r->settings->kafka_properties,
                                  r->settings->kafka_properties_file, "pgrekey-replay"};
    for (size_t i = 0; i < r->topic_count; i++)
        topics[i] = r->topics[i].name;
    struct kafka_group_options options = {&kafka, r->settings->replay_group, topics, r->topic_count, on_revoked, &s};
    r->lsn = r->position.lsn;
    r->decoder = record_decoder_new();
    r->masker = r->secret.len ? masker_new(r->map, r->secret.data, r->secret.len) : NULL;
    log_event(LOG_INFO, "replaying", "prefix=%s group=%s topics=%zu masking=%s mode=keys", r->settings->kafka_prefix,
              r->settings->replay_group, r->topic_count, r->masker ? "on" : "off");
    int failed = pgsink_share(r->sink, reterr) != 0 || kafka_group_join(&options, &s.group, reterr) != 0;
    failed = failed || loop(&s, reterr) != 0;
    if (failed) {
        struct err ignored = {0};
        if (exchange_stop(r, &ignored) != 0)
            log_event(LOG_DEBUG, "applier_failed", "sqlstate=%s", ignored.sqlstate);
        lanes_close(r);
    } else {
        failed = put_down(&s, reterr) != 0 || pgsink_sweep(r->sink, reterr) != 0;
    }
    kafka_group_leave(s.group);
    masker_free(r->masker);
    record_decoder_free(r->decoder);
    r->masker = NULL;
    r->decoder = NULL;
    free(topics);
    if (!failed)
        log_event(LOG_INFO, "stopped", "prefix=%s group=%s rows=%llu", r->settings->kafka_prefix,
                  r->settings->replay_group, (unsigned long long)r->applied_rows);
    return failed ? -1 : 0;
}
