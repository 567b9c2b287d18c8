/* test_histogram.c: percentiles against sorting, over the whole range of values. */
#include "base/histogram.h"
#include "base/memory.h"
#include "base/prng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { VALUES = 5000 };

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_are_those_of_sorting(void **state)
{
    (void)state;
    static uint64_t values[VALUES];
    static const double percents[] = {0, 0.01, 1, 25, 50, 90, 99, 99.9, 99.99, 100};
    struct histogram *h = memory_alloc(sizeof *h);
    struct prng p;
    prng_init(&p, 11);
    for (uint64_t shift = 0; shift < 64; shift += 3) {
        histogram_init(h);
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = prng_u64(&p) >> prng_range(&p, shift, 63);
            histogram_record(h, values[i]);
        }
        qsort(values, VALUES, sizeof values[0], by_value);
        assert_true(histogram_min(h) == values[0] && histogram_max(h) == values[VALUES - 1]);
        for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
            double wanted = ceil(percents[i] * VALUES / 100 * (1 - 1e-12));
            uint64_t exact = values[wanted < 1 ? 0 : (size_t)wanted - 1];
            uint64_t got = histogram_percentile(h, percents[i]);
            assert_true(got >= exact);
            assert_true(got - exact <= exact / HISTOGRAM_SUB_BUCKETS);
        }
    }
    memory_free(h);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    struct histogram *h = memory_alloc(sizeof *h);
    histogram_init(h);
    for (uint64_t value = 1; value <= 100; value++) histogram_record(h, value);
    for (uint64_t percent = 1; percent <= 100; percent++) {
        assert_int_equal(histogram_percentile(h, (double)percent), percent);
    }
    assert_true(histogram_mean(h) == 50.5);
    memory_free(h);
}

static void empty_and_extreme(void **state)
{
    (void)state;
    struct histogram *h = memory_alloc(sizeof *h);
    histogram_init(h);
    assert_int_equal(histogram_count(h), 0);
    assert_int_equal(histogram_min(h), 0);
    assert_int_equal(histogram_max(h), 0);
    assert_int_equal(histogram_percentile(h, 99), 0);
    assert_true(histogram_mean(h) == 0);
    histogram_record_many(h, 5, 0);
    assert_int_equal(histogram_count(h), 0);
    histogram_record(h, 0);
    histogram_record(h, UINT64_MAX);
    assert_true(histogram_percentile(h, 100) == UINT64_MAX);
    assert_int_equal(histogram_percentile(h, 50), 0);
    memory_free(h);
}

static void merging_is_recording_both(void **state)
{
    (void)state;
    struct histogram *h = memory_alloc(3 * sizeof *h);
    for (int i = 0; i < 3; i++) histogram_init(&h[i]);
    struct prng p;
    prng_init(&p, 5);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = prng_u64(&p) >> prng_below(&p, 64);
        histogram_record(&h[i % 2], value);
        histogram_record(&h[2], value);
    }
    histogram_merge(&h[0], &h[1]);
    assert_int_equal(h[0].total, h[2].total);
    assert_true(h[0].min == h[2].min && h[0].max == h[2].max);
    assert_memory_equal(h[0].counts, h[2].counts, sizeof h[0].counts);
    memory_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_those_of_sorting),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(empty_and_extreme),
        cmocka_unit_test(merging_is_recording_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
