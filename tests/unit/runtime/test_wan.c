/* links: runtime base contract */
/* The emulated wide area network: delays keep their order, faults touch the direction that they name and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/wan.h"

enum { MS = 1000000, NODES = 3 };

/* Three nodes in three regions: 40 ms with 10 ms jitter, 100 ms, 80 ms. */
static struct topology *three_regions(void)
{
    static struct topology t;
    memset(&t, 0, sizeof t);
    t.nodes_count = t.regions_count = NODES;
    for (uint8_t i = 0; i < NODES; i++) t.nodes[i].region = i;
    t.links[0][1] = t.links[1][0] = (struct topology_link){40000, 10000};
    t.links[0][2] = t.links[2][0] = (struct topology_link){100000, 0};
    t.links[1][2] = t.links[2][1] = (struct topology_link){80000, 0};
    return &t;
}

static void test_latency_and_jitter_of_the_link(void **state)
{
    (void)state;
    struct wan wan;
    wan_init(&wan, three_regions(), 0, true, 1);
    uint64_t least = UINT64_MAX, most = 0;
    for (uint64_t now = 0; now < 1000ull * 1000 * MS; now += 1000ull * MS) { /* far apart: order does not bind */
        uint64_t delay = wan_release_ns(&wan, 1, now) - now;
        if (delay < least) least = delay;
        if (delay > most) most = delay;
        assert_int_equal(wan_release_ns(&wan, 2, now) - now, 100ull * MS);
    }
    assert_in_range(least, 40ull * MS, 41ull * MS);
    assert_in_range(most, 49ull * MS, 50ull * MS);
    assert_int_equal(wan_latency_us(&wan, 1), 50000);
    wan_deinit(&wan);
}

static void test_without_emulation_only_faults_delay(void **state)
{
    (void)state;
    struct wan wan;
    wan_init(&wan, three_regions(), 0, false, 1);
    assert_int_equal(wan_release_ns(&wan, 1, 5), 5);
    const struct fault slow[] = {{.kind = FAULT_LATENCY, .from = 0, .to = 1, .latency_us = 7000},
                                 {.kind = FAULT_LATENCY, .from = 1, .to = 2, .latency_us = 9000}};
    wan_set_faults(&wan, slow, 2);
    assert_int_equal(wan_release_ns(&wan, 1, 5), 5 + 7ull * MS);
    assert_int_equal(wan_release_ns(&wan, 2, 5), 5);
    wan_set_faults(&wan, NULL, 0);
    wan_forget(&wan, 1);
    assert_int_equal(wan_release_ns(&wan, 1, 5), 5);
    wan_deinit(&wan);
}

static void test_order_is_kept(void **state)
{
    (void)state;
    struct wan wan;
    wan_init(&wan, three_regions(), 0, true, 2);
    const struct fault lossy = {.kind = FAULT_LOSS, .from = 0, .to = 1, .loss_permille = 300};
    wan_set_faults(&wan, &lossy, 1);
    uint64_t before = 0;
    for (uint64_t now = 0; now < 10000ull * MS; now += MS) {
        uint64_t release = wan_release_ns(&wan, 1, now);
        assert_true(release >= before);
        assert_true(release >= now + 40ull * MS);
        before = release;
    }
    wan_deinit(&wan);
}

static void test_a_lost_frame_comes_after_a_retransmission(void **state)
{
    (void)state;
    struct wan wan;
    wan_init(&wan, three_regions(), 0, true, 3);
    const struct fault always = {.kind = FAULT_LOSS, .from = 0, .to = 1, .loss_permille = 1000};
    wan_set_faults(&wan, &always, 1);
    assert_true(wan_release_ns(&wan, 1, 0) >= (40ull + WAN_RETRANSMIT_US_MIN / 1000) * MS);
    assert_int_equal(wan_release_ns(&wan, 2, 0), 100ull * MS);
    wan_deinit(&wan);
}

static void test_faults_have_a_direction(void **state)
{
    (void)state;
    struct wan wan;
    wan_init(&wan, three_regions(), 1, true, 4);
    const struct fault faults[] = {{.kind = FAULT_CUT, .from = 0, .to = 1},
                                   {.kind = FAULT_PAUSE, .from = 2},
                                   {.kind = FAULT_SKEW, .from = 1, .skew_ms = -30},
                                   {.kind = FAULT_SKEW, .from = 2, .skew_ms = 500}};
    wan_set_faults(&wan, faults, 4);
    assert_true(wan_is_cut(&wan, 0, 1));
    assert_false(wan_is_cut(&wan, 1, 0));
    assert_false(wan_is_cut(&wan, 0, 2));
    assert_false(wan_is_paused(&wan));
    assert_int_equal(wan_skew_ms(&wan), -30);
    wan_deinit(&wan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_and_jitter_of_the_link),
        cmocka_unit_test(test_without_emulation_only_faults_delay),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_a_lost_frame_comes_after_a_retransmission),
        cmocka_unit_test(test_faults_have_a_direction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
