/* histogram.h: a log-linear histogram of 64-bit values, in the manner of HdrHistogram (Tene, 2013), of fixed size.
 *
 * Values below HISTOGRAM_SUB_BUCKETS are counted exactly; above, every power of two is cut into HISTOGRAM_SUB_BUCKETS
 * equal parts, so that a value is known to within 1/128 of itself, over the whole range of uint64_t.
 */
#ifndef MERIDIAN_BASE_HISTOGRAM_H
#define MERIDIAN_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BUCKET_BITS = 7,
    HISTOGRAM_SUB_BUCKETS = 1 << HISTOGRAM_SUB_BUCKET_BITS,
    HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BUCKET_BITS + 1) * HISTOGRAM_SUB_BUCKETS,
};

struct histogram {
    uint64_t total; /* how many values were recorded */
    uint64_t min;   /* exact; UINT64_MAX while empty */
    uint64_t max;   /* exact; 0 while empty */
    double sum;     /* for the mean only */
    uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);                   /* empty; also empties one in use */
void histogram_record(struct histogram *h, uint64_t value); /* count one value; never fails, never allocates */
void histogram_record_many(struct histogram *h, uint64_t value, uint64_t count); /* the same value `count` times */
void histogram_merge(struct histogram *h, const struct histogram *other);        /* as if `h` had recorded both */

uint64_t histogram_count(const struct histogram *h); /* how many values */
uint64_t histogram_min(const struct histogram *h);   /* exact; 0 while empty */
uint64_t histogram_max(const struct histogram *h);   /* exact; 0 while empty */
double histogram_mean(const struct histogram *h);    /* 0 while empty */

/* The least value that at least `percent` of the values do not exceed (0 gives the minimum, 100 the maximum), rounded
 * up within its part and never beyond the true maximum. 0 while empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
