/* test_hlc.c: stamps strictly increase (H1) and exceed what was observed (H2), whatever the wall clock does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"
#include "causality/hlc.h"

static void stamps_increase_under_any_wall_clock(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 21);
    struct hlc h;
    hlc_init(&h, 0);
    uint64_t last = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t wall = 1700000000000 + prng_below(&p, 1000); /* jumps back and forth */
        if (prng_chance(&p, 1, 5)) {
            uint64_t seen = stamp_of_ms(wall + prng_below(&p, 2000));
            hlc_observe(&h, seen);
            if (seen > last) last = seen;
        }
        uint64_t stamp = hlc_next(&h, wall);
        assert_true(stamp > last && stamp_ms(stamp) >= wall);
        last = stamp;
    }
}

static void logical_count_carries_into_the_milliseconds(void **state)
{
    (void)state;
    struct hlc h;
    hlc_init(&h, 0);
    uint64_t first = hlc_next(&h, 1000);
    uint64_t last = first;
    for (int i = 0; i < 70000; i++) last = hlc_next(&h, 1000);
    assert_int_equal(last - first, 70000);
    assert_int_equal(stamp_ms(last), 1001);
    assert_int_equal(hlc_lead_ms(&h, 1000), 1);
    assert_int_equal(hlc_lead_ms(&h, 5000), 0);
}

static void survives_a_restart_from_the_last_stamp(void **state)
{
    (void)state;
    struct hlc h;
    hlc_init(&h, 0);
    uint64_t before = hlc_next(&h, 9000);
    hlc_init(&h, before);
    assert_true(hlc_next(&h, 10) > before); /* the wall clock went back meanwhile */
}

static void ties_are_broken_by_replica(void **state)
{
    (void)state;
    assert_true(stamp_before(5, 1, 5, 2));
    assert_false(stamp_before(5, 2, 5, 1));
    assert_true(stamp_before(4, 9, 5, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_increase_under_any_wall_clock),
        cmocka_unit_test(logical_count_carries_into_the_milliseconds),
        cmocka_unit_test(survives_a_restart_from_the_last_stamp),
        cmocka_unit_test(ties_are_broken_by_replica),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
