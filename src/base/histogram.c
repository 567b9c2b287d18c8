/* histogram.c: bucket arithmetic and percentiles.
 *
 * With e = the position of a value's highest bit, its bucket is found by its highest 8 bits:
 *
 *   value < 128     bucket = value
 *   otherwise       bucket = (e - 6) * 128 + (value >> (e - 7)) - 128
 */
#include "base/histogram.h"

#include "base/assert.h"

#include <math.h>
#include <string.h>

void histogram_init(struct histogram *h)
{
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB_BUCKETS) return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BUCKET_BITS;
    return shift * HISTOGRAM_SUB_BUCKETS + (unsigned)(value >> shift);
}

/* The greatest value that is counted in `bucket`. */
static uint64_t bucket_last(unsigned bucket)
{
    if (bucket < HISTOGRAM_SUB_BUCKETS) return bucket;
    unsigned shift = bucket / HISTOGRAM_SUB_BUCKETS - 1;
    uint64_t first = (uint64_t)(bucket % HISTOGRAM_SUB_BUCKETS + HISTOGRAM_SUB_BUCKETS) << shift;
    return first + (((uint64_t)1 << shift) - 1);
}

void histogram_record_many(struct histogram *h, uint64_t value, uint64_t count)
{
    if (count == 0) return;
    unsigned bucket = bucket_of(value);
    ASSERT(bucket < HISTOGRAM_BUCKETS);
    h->counts[bucket] += count;
    h->total += count;
    h->sum += (double)value * (double)count;
    if (value < h->min) h->min = value;
    if (value > h->max) h->max = value;
}

void histogram_record(struct histogram *h, uint64_t value)
{
    histogram_record_many(h, value, 1);
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) h->counts[i] += other->counts[i];
    h->total += other->total;
    h->sum += other->sum;
    if (other->min < h->min) h->min = other->min;
    if (other->max > h->max) h->max = other->max;
}

uint64_t histogram_count(const struct histogram *h)
{
    return h->total;
}

uint64_t histogram_min(const struct histogram *h)
{
    return h->total ? h->min : 0;
}

uint64_t histogram_max(const struct histogram *h)
{
    return h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->total ? h->sum / (double)h->total : 0;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->total == 0) return 0;
    /* 99.9 is not quite 99.9 in binary: what rounding adds to an exact rank must not push it to the next. */
    double wanted = ceil(percent * (double)h->total / 100 * (1 - 1e-12));
    if (!(wanted > 1)) return h->min;
    if (wanted >= (double)h->total) return h->max;

    uint64_t rank = (uint64_t)wanted, seen = 0;
    for (unsigned i = bucket_of(h->min); i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen < rank) continue;
        uint64_t last = bucket_last(i);
        return last < h->max ? last : h->max;
    }
    return h->max;
}
