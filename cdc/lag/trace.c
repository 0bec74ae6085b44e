#include "cdc/lag/trace.h"

#include <string.h>

/* A quicker look at the clock is the better one; but a clock drifts, so an older one counts for less and less. */
#define CLOCK_DRIFT_PPM 200

/* Makes room: the sample goes that leaves the smallest gap for its age. So the list reaches back for months, exact for
 * what is recent, coarser the longer ago, by about the same part everywhere. */
static void thin_out(struct trace *trace, int64_t now_us)
{
    size_t out = 1;
    double least = -1;
    for (size_t i = 1; i + 1 < trace->count; i++) {
        const struct trace_sample *at = &trace->samples[i];
        double gap = (double)(at[1].seen_us - at[-1].seen_us) / (double)(now_us - at->seen_us + 1);
        if (least < 0 || gap < least) {
            least = gap;
            out = i;
        }
    }
    trace->count--;
    memmove(&trace->samples[out], &trace->samples[out + 1], (trace->count - out) * sizeof(*trace->samples));
}

static void note_clock(struct trace *trace, int64_t wall_us, int64_t asked_us, int64_t answered_us)
{
    int64_t error_us = (answered_us - asked_us) / 2;
    int64_t offset_us = wall_us - (asked_us + error_us);
    int64_t old_error_us = trace->clock_error_us + (answered_us - trace->clock_read_us) / 1000000 * CLOCK_DRIFT_PPM;
    int64_t apart_us =
        offset_us > trace->clock_offset_us ? offset_us - trace->clock_offset_us : trace->clock_offset_us - offset_us;
    bool jumped = apart_us > old_error_us + error_us;
    if (trace->has_clock && !jumped && old_error_us < error_us)
        return;
    trace->has_clock = true;
    trace->clock_offset_us = offset_us;
    trace->clock_error_us = error_us;
    trace->clock_read_us = answered_us;
}

void trace_note(struct trace *trace, uint64_t lsn, int64_t source_wall_us, int64_t asked_us, int64_t answered_us)
{
    if (trace->count == 0 || trace->samples[trace->count - 1].lsn < lsn) {
        if (trace->count == TRACE_SAMPLES)
            thin_out(trace, answered_us);
        trace->samples[trace->count++] = (struct trace_sample){.lsn = lsn, .seen_us = answered_us};
    }
    trace->samples[trace->count - 1].left_us = asked_us;
    if (source_wall_us)
        note_clock(trace, source_wall_us, asked_us, answered_us);
}

/* The first sample behind lsn; count where there is none. */
static size_t first_behind(const struct trace *trace, uint64_t lsn)
{
    size_t low = 0, high = trace->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (trace->samples[middle].lsn > lsn)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

int64_t trace_age_us(const struct trace *trace, uint64_t lsn, int64_t now_us)
{
    size_t at = first_behind(trace, lsn);
    if (at == trace->count)
        return 0;
    return now_us > trace->samples[at].seen_us ? now_us - trace->samples[at].seen_us : 0;
}

int64_t trace_committed_us(const struct trace *trace, uint64_t end_lsn, int64_t commit_wall_us, int64_t now_us)
{
    size_t at = first_behind(trace, end_lsn > 0 ? end_lsn - 1 : 0); /* the first that reaches end_lsn */
    bool has_latest = at<trace->count, has_earliest = at> 0;
    int64_t latest_us = has_latest ? trace->samples[at].seen_us : now_us;
    int64_t earliest_us = has_earliest ? trace->samples[at - 1].left_us : latest_us;
    if (commit_wall_us == 0 || !trace->has_clock)
        return earliest_us;
    int64_t committed_us = commit_wall_us - trace->clock_offset_us;
    if (committed_us > latest_us)
        return latest_us;
    return has_earliest && committed_us < earliest_us ? earliest_us : committed_us;
}
