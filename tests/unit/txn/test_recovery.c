/* links: ordered storage wire base */
/* test_recovery.c: transfers between groups through every crash: all or nothing, told as it is, nothing locked for
 * ever. */
#include "tests/unit/txn/bank.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>

#include <cmocka.h>

static const uint64_t MS = 1000 * 1000;

/* Deliveries until one undisturbed transfer has ended. */
static uint64_t steps_of_one(void)
{
    struct bank *b = bank_new(1);
    bank_transfer(b, 0, 0, 1, 0, 100);
    while (b->clients[0].txn) bank_step(b);
    uint64_t deliveries = b->deliveries;
    assert_true(b->clients[0].told);
    assert_int_equal(b->clients[0].outcome, TXN_COMMITTED);
    bank_settle_and_check(b);
    assert_int_equal(b->deliveries, deliveries); /* nothing was left to do */
    bank_free(b);
    return deliveries;
}

static void run_to(struct bank *b, uint64_t deliveries)
{
    while (b->deliveries < deliveries) bank_step(b);
}

static void test_coordinator_crashes_at_every_step(void **state)
{
    (void)state;
    uint64_t steps = steps_of_one();
    assert_true(steps >= 12); /* three rounds there and back, two participants */
    for (uint64_t at = 0; at <= steps; at++) {
        struct bank *b = bank_new(1);
        bank_transfer(b, 0, 0, 1, 0, 100);
        run_to(b, at);
        bank_crash_client(b, 0);
        bank_settle_and_check(b);
        bank_free(b);
    }
}

static void test_participant_crashes_at_every_step(void **state)
{
    (void)state;
    uint64_t steps = steps_of_one();
    for (uint32_t group = 0; group < 2; group++) {
        for (uint64_t at = 0; at <= steps; at++) {
            for (uint64_t down_ms = 0; down_ms <= 10000; down_ms += 2500) {
                struct bank *b = bank_new(1);
                bank_transfer(b, 0, 0, 1, 0, 100);
                run_to(b, at);
                bank_crash_leader(b, group, down_ms * MS);
                bank_settle_and_check(b);
                bank_free(b);
            }
        }
    }
}

static void test_both_crash_at_every_pair_of_steps(void **state)
{
    (void)state;
    uint64_t steps = steps_of_one();
    for (uint64_t first = 0; first <= steps; first++) {
        for (uint64_t second = first; second <= steps; second++) {
            struct bank *b = bank_new(1);
            bank_transfer(b, 0, 0, 1, 0, 100);
            run_to(b, first);
            bank_crash_leader(b, (uint32_t)(second % 2), 0);
            for (uint64_t i = first; i < second; i++) bank_step(b);
            bank_crash_client(b, 0);
            bank_settle_and_check(b);
            bank_free(b);
        }
    }
}

/* Many clients over few accounts, so that they meet and die; everything is lost, repeated, delayed and crashes. */
static void run_storm(uint64_t seed, bool with_crashes)
{
    struct bank *b = bank_new(seed);
    b->loss_percent = (uint32_t)prng_below(&b->prng, 20);
    b->repeat_percent = (uint32_t)prng_below(&b->prng, 20);
    b->delay_ns_max = 1 + prng_below(&b->prng, 200) * MS;
    for (int i = 0; i < 60; i++) {
        uint32_t from = (uint32_t)prng_below(&b->prng, BANK_GROUPS);
        uint32_t to = (from + 1 + (uint32_t)prng_below(&b->prng, BANK_GROUPS - 1)) % BANK_GROUPS;
        bank_transfer(b, from, (uint32_t)prng_below(&b->prng, 2), to, (uint32_t)prng_below(&b->prng, 2),
                      1 + (uint32_t)prng_below(&b->prng, 900));
        uint64_t steps = prng_below(&b->prng, 40);
        for (uint64_t k = 0; k < steps; k++) bank_step(b);
        if (!with_crashes) continue;
        if (prng_below(&b->prng, 4) == 0) bank_crash_client(b, (uint32_t)prng_below(&b->prng, b->clients_count));
        if (prng_below(&b->prng, 8) == 0) {
            bank_crash_leader(b, (uint32_t)prng_below(&b->prng, BANK_GROUPS), prng_below(&b->prng, 4000) * MS);
        }
    }
    bank_settle_and_check(b);
    bank_free(b);
}

static void test_storms(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) run_storm(seed, seed % 2 == 0);
}

/* Without faults clients that meet all get done, by age. */
static void test_contention_ends_well(void **state)
{
    (void)state;
    struct bank *b = bank_new(9);
    for (int i = 0; i < 10; i++) {
        bank_transfer(b, (uint32_t)i % 3, 0, (uint32_t)(i + 1) % 3, 0, 1);
    }
    bank_settle_and_check(b);
    uint32_t committed = 0;
    for (uint32_t i = 0; i < b->clients_count; i++) committed += b->clients[i].outcome == TXN_COMMITTED;
    assert_int_equal(committed, 10);
    bank_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coordinator_crashes_at_every_step),
        cmocka_unit_test(test_participant_crashes_at_every_step),
        cmocka_unit_test(test_both_crash_at_every_pair_of_steps),
        cmocka_unit_test(test_contention_ends_well),
        cmocka_unit_test(test_storms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
