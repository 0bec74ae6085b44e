#include "cdc/lag/histogram.h"

static const int64_t bounds_us[HISTOGRAM_BOUNDS] = {
    1000,    1500,    2000,     3000,     5000,     7500,     10000,     15000,     20000,      30000,     50000,
    75000,   100000,  150000,   200000,   300000,   500000,   750000,    1000000,   1500000,    2000000,   3000000,
    5000000, 7500000, 10000000, 15000000, 30000000, 60000000, 120000000, 300000000, 1800000000, 3600000000};

double histogram_bound_s(size_t index)
{
    return (double)bounds_us[index] / 1e6;
}

static size_t bucket_of(int64_t duration_us)
{
    size_t low = 0, high = HISTOGRAM_BOUNDS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (duration_us <= bounds_us[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void histogram_observe(struct histogram *histogram, int64_t duration_us, uint64_t count)
{
    if (duration_us < 0)
        duration_us = 0;
    atomic_fetch_add_explicit(&histogram->counts[bucket_of(duration_us)], count, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)duration_us * count, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        sum += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    return sum;
}

double histogram_quantile_s(const struct histogram *histogram, double quantile)
{
    uint64_t counts[HISTOGRAM_BOUNDS + 1], all = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        all += counts[i] = atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
    if (all == 0)
        return -1;
    double rank = quantile * (double)all, below = 0;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        if (below + (double)counts[i] >= rank && counts[i] > 0) {
            double from = i ? histogram_bound_s(i - 1) : 0;
            return from + (histogram_bound_s(i) - from) * (rank - below) / (double)counts[i];
        }
        below += (double)counts[i];
    }
    return histogram_bound_s(HISTOGRAM_BOUNDS - 1);
}
