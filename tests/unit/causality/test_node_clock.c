/* test_node_clock.c: a node clock against the plain set of dots that it stands for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"
#include "causality/node_clock.h"

enum { REPLICAS = 3, COUNTERS = 40, ROUNDS = 400 };

static void agrees_with_a_set_of_dots(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    for (int round = 0; round < ROUNDS; round++) {
        bool twin[REPLICAS][COUNTERS + 2] = {0};
        struct node_clock clock;
        node_clock_init(&clock);
        for (int step = 0; step < 60; step++) {
            uint64_t replica = prng_below(&p, REPLICAS), counter = 1 + prng_below(&p, COUNTERS);
            node_clock_add(&clock, (struct dot){replica + 1, counter});
            twin[replica][counter] = true;
            node_clock_check(&clock);
            for (uint64_t r = 0; r < REPLICAS; r++) {
                uint64_t gapless = 0;
                while (twin[r][gapless + 1]) gapless++;
                assert_int_equal(vv_get(&clock.base, r + 1), gapless);
                for (uint64_t c = 1; c <= COUNTERS; c++) {
                    assert_int_equal(node_clock_covers(&clock, (struct dot){r + 1, c}), twin[r][c]);
                }
            }
        }
        node_clock_deinit(&clock);
    }
}

static void raising_the_base_takes_no_exception_in(void **state)
{
    (void)state;
    struct node_clock clock;
    node_clock_init(&clock);
    node_clock_add(&clock, (struct dot){1, 3});
    node_clock_add(&clock, (struct dot){1, 4});
    node_clock_add(&clock, (struct dot){1, 7});
    struct vv vv;
    vv_init(&vv);
    vv_raise(&vv, (struct dot){1, 2});
    node_clock_raise(&clock, &vv); /* what a report calls an exception is only buffered: it may be gone yet */
    node_clock_check(&clock);
    assert_int_equal(vv_get(&clock.base, 1), 2);
    assert_int_equal(clock.exceptions.count, 2);
    assert_false(node_clock_covers(&clock, (struct dot){1, 3}));
    node_clock_forget_exceptions(&clock);
    assert_false(node_clock_covers(&clock, (struct dot){1, 7}));
    vv_deinit(&vv);
    node_clock_deinit(&clock);
}

static void encoding_keeps_exceptions(void **state)
{
    (void)state;
    struct node_clock clock, copy;
    node_clock_init(&clock);
    node_clock_init(&copy);
    struct prng p;
    prng_init(&p, 9);
    for (int i = 0; i < 100; i++) node_clock_add(&clock, (struct dot){1 + prng_below(&p, 3), 1 + prng_below(&p, 200)});
    struct buffer b;
    buffer_init(&b, 65536);
    node_clock_write(&b, &clock);
    struct reader r = reader_of(buffer_slice(&b));
    assert_int_equal(node_clock_read(&r, &copy), STATUS_OK);
    assert_true(reader_finished(&r));
    assert_true(vv_equal(&clock.base, &copy.base) && dot_set_equal(&clock.exceptions, &copy.exceptions));
    static const uint8_t covered_exception[] = {1, 5, 9, 1, 5, 1, 4, 0}; /* base 5:9, exception 5:4 */
    r = reader_of(slice_of(covered_exception, sizeof covered_exception));
    assert_int_equal(node_clock_read(&r, &copy), STATUS_MALFORMED);
    buffer_deinit(&b);
    node_clock_deinit(&clock);
    node_clock_deinit(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_set_of_dots),
        cmocka_unit_test(raising_the_base_takes_no_exception_in),
        cmocka_unit_test(encoding_keeps_exceptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
