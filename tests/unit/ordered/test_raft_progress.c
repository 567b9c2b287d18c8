/* test_raft_progress.c: the states of a peer's progress, its window, and the arithmetic of leases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ordered/raft_lease.h"
#include "ordered/raft_progress.h"

static void one_probe_then_a_window(void **state)
{
    (void)state;
    struct raft_progress p = {0};
    raft_progress_init(&p, 10, 3, 1000, 0);
    assert_int_equal(p.next, 11);
    assert_true(raft_progress_may_send(&p));
    raft_progress_sent(&p, 12, 10);
    assert_int_equal(p.next, 11); /* nothing is taken for granted */
    assert_false(raft_progress_may_send(&p));
    assert_true(raft_progress_agreed(&p, 5, 12)); /* verified up to 12, durable up to 5 */
    assert_int_equal(p.state, PROGRESS_REPLICATE);
    assert_int_equal(p.next, 13);
    assert_int_equal(p.match, 5);
    for (uint64_t i = 13; i < 16; i++) {
        assert_true(raft_progress_may_send(&p));
        raft_progress_sent(&p, i, 10);
    }
    assert_false(raft_progress_may_send(&p)); /* three messages */
    assert_true(raft_progress_agreed(&p, 14, 15));
    assert_int_equal(p.window.count, 1);
    assert_true(raft_progress_may_send(&p));
    raft_progress_sent(&p, 16, 1000);
    assert_false(raft_progress_may_send(&p));       /* the bytes */
    assert_false(raft_progress_agreed(&p, 14, 15)); /* nothing new */
    raft_progress_deinit(&p);
}

static void a_refusal_goes_back_once(void **state)
{
    (void)state;
    struct raft_progress p = {0};
    raft_progress_init(&p, 10, 8, 1000, 0);
    raft_progress_agreed(&p, 10, 10);
    for (uint64_t i = 11; i <= 15; i++) raft_progress_sent(&p, i, 10);
    assert_false(raft_progress_refused(&p, 10, 3)); /* it has acknowledged 10 */
    assert_true(raft_progress_refused(&p, 11, 10)); /* the first of the window was lost */
    assert_int_equal(p.state, PROGRESS_PROBE);
    assert_int_equal(p.next, 11);
    assert_int_equal(p.window.count, 0);
    raft_progress_sent(&p, 15, 50);
    for (uint64_t i = 12; i <= 14; i++) assert_false(raft_progress_refused(&p, i, 10)); /* and so the others */
    assert_false(raft_progress_may_send(&p));
    assert_true(raft_progress_agreed(&p, 15, 15));
    assert_int_equal(p.next, 16);
    raft_progress_deinit(&p);
}

static void a_probe_goes_to_the_hint(void **state)
{
    (void)state;
    struct raft_progress p = {0};
    raft_progress_init(&p, 100, 8, 1000, 0);
    assert_true(raft_progress_refused(&p, 100, 40));
    assert_int_equal(p.next, 41);
    assert_false(raft_progress_refused(&p, 100, 20)); /* repeated */
    assert_int_equal(p.next, 41);
    raft_progress_become_snapshot(&p, 5);
    assert_false(raft_progress_may_send(&p));
    assert_false(raft_progress_refused(&p, 40, 0));
    raft_progress_deinit(&p);
}

static void leases_end_before_promises_do(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    assert_int_equal(raft_lease_end_ns(7, second, 0), 7); /* off */
    assert_int_equal(raft_lease_end_ns(7, second, 200000), 7);
    for (uint32_t ppm = 1; ppm <= RAFT_CLOCK_DRIFT_PPM_LIMIT; ppm += 997) {
        uint64_t lease = raft_lease_end_ns(0, second, ppm);
        assert_true(lease < second);
        /* The voter's clock is fast by ppm and ours slow by as much: E ends for it after this long by ours. */
        uint64_t promise = second / (1000000 + ppm) * (1000000 - ppm);
        assert_true(lease <= promise + 1000000);
    }
    assert_true(raft_promise_binds(5, 5 + second - 1, second));
    assert_false(raft_promise_binds(5, 5 + second, second));
    assert_true(raft_promise_binds(5, 4, second)); /* a clock that steps back frees nobody */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_probe_then_a_window),
        cmocka_unit_test(a_refusal_goes_back_once),
        cmocka_unit_test(a_probe_goes_to_the_hint),
        cmocka_unit_test(leases_end_before_promises_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
