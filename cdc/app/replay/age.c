/* How old may a position be? Of a deleted key compaction forgets even the delete, delete.retention.ms after it: a
 * database that has not seen it by then keeps the row for ever. So what a position has still to see must be younger. */
#include "cdc/app/replay/replay.h"
#include "cdc/base/clock.h"
#include "cdc/base/lsn.h"

struct ends {
    uint64_t lsn;        /* the position */
    int64_t from_us;     /* --since's time; 0: none */
    bool before;         /* an END up to the position is there */
    struct record first; /* the first one behind it; lsn 0: there is none */
    uint64_t from;       /* the last one up to --since's time */
    bool trimmed;        /* of what came before the first END there nobody knows */
};

static bool take_end(void *context, const struct record *end, int64_t offset)
{
    struct ends *ends = context;
    (void)offset;
    ends->before = ends->before || end->lsn <= ends->lsn;
    if (end->ts_ms * 1000 <= ends->from_us)
        ends->from = end->lsn;
    if (end->lsn > ends->lsn && ends->first.lsn == 0)
        ends->first = *end;
    return !(ends->first.lsn && end->ts_ms * 1000 > ends->from_us);
}

static int scan(struct replay *r, uint64_t lsn, struct ends *ret, struct err *reterr)
{
    const struct replay_options *options = r->options;
    const struct batch_offset *stored =
        options->from_us || options->from_lsn ? NULL : replay_offset_find(r, r->txn_topic, 0);
    int64_t low;
    *ret = (struct ends){.lsn = lsn, .from_us = options->from_us};
    if (replay_read_ends(r, stored ? stored->to : 0, take_end, ret, &low, reterr) != 0)
        return -1;
    ret->trimmed = !ret->before && (stored ? stored->to < low : low > 0);
    return 0;
}

static int refuse_old(const struct replay *r, uint64_t lsn, struct err *reterr)
{
    char text[LSN_TEXT_MAX];
    (void)err_set(reterr, ERR_REFUSED,
                  "the position %s is older than delete.retention.ms (%lld s): deletes behind it may be gone from the "
                  "topics, and their rows would stay for ever",
                  lsn_format(lsn, text), (long long)(r->retention_ms / 1000));
    return err_hint(reterr, "begin afresh: `pgrekey drop`, empty the target's tables, replay again");
}

static int set_back(struct replay *r, uint64_t lsn, struct err *reterr)
{
    char from[LSN_TEXT_MAX], at[LSN_TEXT_MAX];
    if (lsn > r->position.lsn) {
        (void)err_set(reterr, ERR_REFUSED,
                      "the database is at %s, and what lies between that and --since %s would be "
                      "left out",
                      lsn_format(r->position.lsn, at), lsn_format(lsn, from));
        return err_hint(reterr, "leave --since out: a replay goes on where it was");
    }
    if (pgsink_rewind(r->sink, lsn, reterr) != 0)
        return -1;
    r->position.lsn = lsn;
    pgsink_offsets_free(r->offsets, r->offset_count);
    r->offsets = NULL;
    r->offset_count = 0;
    return 0;
}

int replay_check_age(struct replay *r, struct err *reterr)
{
    const struct replay_options *options = r->options;
    struct ends ends;
    uint64_t lsn = options->from_lsn ? options->from_lsn : r->position.lsn;
    for (size_t i = 0; !options->from_lsn && i < r->offset_count; i++) /* workers leave the position where it was */
        lsn = r->offsets[i].lsn > lsn ? r->offsets[i].lsn : lsn;
    if (scan(r, lsn, &ends, reterr) != 0)
        return -1;
    if (options->from_us && ends.from < r->position.lsn) {
        lsn = ends.from > r->publisher.snapshot_lsn ? ends.from : r->publisher.snapshot_lsn;
        if (scan(r, lsn, &ends, reterr) != 0)
            return -1;
    }
    bool old = ends.first.lsn && (ends.trimmed || ends.first.ts_ms < clock_wall_us() / 1000 - r->retention_ms);
    if (old || lsn < r->publisher.snapshot_lsn)
        return refuse_old(r, lsn, reterr);
    return options->from_lsn || options->from_us ? set_back(r, lsn, reterr) : 0;
}
