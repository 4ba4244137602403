/* histogram.h - latencies in logarithmic buckets, 16 to each power of two: quantiles are right to about 6 %. */
#ifndef WALRUS_BENCH_HISTOGRAM_H
#define WALRUS_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (61 * 16)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max_ns;
};

static inline void histogram_add(struct histogram *histogram, uint64_t value_ns)
{
    unsigned bucket = (unsigned)value_ns;

    if (value_ns >= 16) {
        unsigned exponent = 63 - (unsigned)__builtin_clzll(value_ns);

        bucket = (exponent - 3) * 16 + (unsigned)(value_ns >> (exponent - 4) & 15);
    }
    histogram->counts[bucket]++;
    histogram->total++;
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* The upper end of the bucket that holds the quantile (0 .. 1), never above the maximum; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

#endif
