/* When the source's WAL passed which position, by our monotonic clock: what lag in seconds is read from.
 *
 *     WAL end   10 ──── 10 ──── 25 ──── 40        the age of position 10 is the time since 25 was seen; that of 40 is
 *     seen at   0 s     1 s     2 s     3 s       zero, for nothing lies behind it: idle is no lag, stuck is
 *
 * Commit times say more than samples a second apart, but they are another host's wall clock. That clock is read with
 * each sample, so that a commit time is turned into our monotonic time; and the samples bound it: a transaction
 * committed after the last sample that lies before its end, and before the first that lies behind it. A clock that
 * jumps, ours or theirs, is so never more than a sample's distance wrong.
 *
 * Not locked: its owner does that.
 */
#ifndef PGREKEY_LAG_TRACE_H
#define PGREKEY_LAG_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_SAMPLES 1024

struct trace {
    struct trace_sample {
        uint64_t lsn;
        int64_t seen_us;      /* when it was first seen */
        int64_t left_us;      /* when it was last seen to end there */
    } samples[TRACE_SAMPLES]; /* oldest first, each lsn greater than the one before */
    size_t count;
    bool has_clock;
    int64_t clock_offset_us; /* the source's wall clock less our monotonic one */
    int64_t clock_error_us;  /* half of the time that reading it took */
    int64_t clock_read_us;
};

/* A look at the source: its WAL end, its wall clock (0: not read), and when we asked and had the answer. */
void trace_note(struct trace *trace, uint64_t lsn, int64_t source_wall_us, int64_t asked_us, int64_t answered_us);
/* For how long WAL behind `lsn` has been there; 0 where there is none. */
int64_t trace_age_us(const struct trace *trace, uint64_t lsn, int64_t now_us);
/* When, by our monotonic clock, the transaction that ends at end_lsn committed. commit_wall_us 0: not known; then it is
 * the earliest that the samples allow. */
int64_t trace_committed_us(const struct trace *trace, uint64_t end_lsn, int64_t commit_wall_us, int64_t now_us);

#endif
