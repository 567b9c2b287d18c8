/* test_prng.c: the published sequence, and bounds that hold. */
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* xoshiro256** from the state {1, 2, 3, 4}: the reference values that the authors' C code prints. */
static void gives_the_reference_sequence(void **state)
{
    (void)state;
    struct prng p = {.state = {1, 2, 3, 4}};
    static const uint64_t expected[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) assert_true(prng_u64(&p) == expected[i]);
}

/* splitmix64 from seed 0 gives e220a8397b1dcdaf first, by its authors. */
static void seeds_by_splitmix64(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 0);
    assert_true(p.state[0] == 0xe220a8397b1dcdafu);
    assert_true(p.state[1] == 0x6e789e6aa1b965f4u);
}

static void stays_within_bounds_and_reaches_them(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 7);
    for (uint64_t bound = 1; bound < 20; bound++) {
        uint32_t seen[20] = {0};
        for (int i = 0; i < 20000; i++) {
            uint64_t value = prng_below(&p, bound);
            assert_true(value < bound);
            seen[value]++;
        }
        for (uint64_t value = 0; value < bound; value++) {
            assert_in_range(seen[value], 20000 / bound * 8 / 10, 20000 / bound * 12 / 10);
        }
    }
    for (int i = 0; i < 1000; i++) assert_in_range(prng_range(&p, 5, 6), 5, 6);
    assert_true(prng_range(&p, 9, 9) == 9);
    (void)prng_range(&p, 0, UINT64_MAX);
    for (int i = 0; i < 1000; i++) assert_true(prng_range(&p, UINT64_MAX - 1, UINT64_MAX) >= UINT64_MAX - 1);
}

static void chance_is_fair(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    int hits = 0;
    for (int i = 0; i < 100000; i++) hits += prng_chance(&p, 1, 4);
    assert_in_range(hits, 24000, 26000);
    assert_false(prng_chance(&p, 0, 1));
    assert_true(prng_chance(&p, 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_reference_sequence),
        cmocka_unit_test(seeds_by_splitmix64),
        cmocka_unit_test(stays_within_bounds_and_reaches_them),
        cmocka_unit_test(chance_is_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
