/* How long something took, as Prometheus wants it: counts in fixed buckets, and quantiles read off them.
 *
 * Any thread may observe, any may read. The buckets are fine where a pipeline that is well lives (milliseconds) and
 * reach to an hour, each at most twice as wide as the one before it.
 */
#ifndef PGREKEY_LAG_HISTOGRAM_H
#define PGREKEY_LAG_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 32

struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* the last: beyond the highest bound */
    _Atomic uint64_t sum_us;
};

/* Upper bound of bucket `index` in seconds; index < HISTOGRAM_BOUNDS. */
double histogram_bound_s(size_t index);
/* `count` things that took duration_us each; below zero counts as zero. */
void histogram_observe(struct histogram *histogram, int64_t duration_us, uint64_t count);
uint64_t histogram_count(const struct histogram *histogram);
/* In seconds, linear inside its bucket, as Prometheus' histogram_quantile() has it; the highest bound where it lies
 * beyond; -1 where nothing was observed. */
double histogram_quantile_s(const struct histogram *histogram, double quantile);

#endif
