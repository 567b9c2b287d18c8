/* test_replica.c: replication, cuts, relays, restarts and the ledger, on three replicas. */
#include "tests/unit/mergeable/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

static void test_write_reaches_all(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 1);
    world_start(&w);
    put(&w, 0, "k", "one");
    assert_string_equal(text_of(&w, 0, "k"), "one");
    world_run(&w, 24);
    assert_string_equal(text_of(&w, 1, "k"), "one");
    assert_string_equal(text_of(&w, 2, "k"), "one");
    put(&w, 2, "k", "two");
    assert_true(world_settle(&w, 1000));
    assert_string_equal(text_of(&w, 0, "k"), "two");
    world_assert_equal(&w);
    world_assert_accounts(&w);
    world_deinit(&w);
}

/* The incident: both sides of a cut accept a write. One outcome for each policy. */
static void test_cut_and_heal(void **state)
{
    (void)state;
    for (int policy = CONFLICT_LWW; policy <= CONFLICT_DELETE_WINS; policy++) {
        struct world w;
        world_init(&w, 3, (enum conflict_policy)policy, 2);
        world_start(&w);
        put_column(&w, 0, "users:1", "name", "Ann");
        assert_true(world_settle(&w, 1000));
        world_cut_both(&w, 0, 2);
        world_cut_both(&w, 1, 2);
        world_run(&w, 100);
        struct dot alice = put_column(&w, 1, "users:1", "name", "Alice");
        world_run(&w, 2);
        struct dot bob = put_column(&w, 2, "users:1", "name", "Bob");
        world_run(&w, 900000 / 100);
        assert_string_equal(column_of(&w, 0, "users:1", "name"), "Alice");
        assert_string_equal(column_of(&w, 2, "users:1", "name"), "Bob");
        world_heal(&w, 0, 2);
        world_heal(&w, 1, 2);
        assert_true(world_settle(&w, 2000));
        for (uint8_t i = 0; i < 3; i++) {
            bool siblings = policy == CONFLICT_SIBLINGS;
            assert_string_equal(column_of(&w, i, "users:1", "name"), siblings ? "!" : "Bob");
            assert_int_equal(is_ledgered(&w, i, alice), !siblings);
            assert_false(is_ledgered(&w, i, bob));
        }
        world_assert_equal(&w);
        world_assert_accounts(&w);
        world_deinit(&w);
    }
}

static void test_ledger_is_withdrawn_by_restore(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 3);
    world_start(&w);
    world_cut_both(&w, 0, 2);
    world_cut_both(&w, 1, 2);
    struct dot alice = put(&w, 0, "k", "Alice");
    world_run(&w, 5);
    put(&w, 2, "k", "Bob");
    world_run(&w, 100);
    world_heal(&w, 0, 2);
    world_heal(&w, 1, 2);
    assert_true(world_settle(&w, 2000));
    assert_true(is_ledgered(&w, 1, alice));
    assert_int_equal(ledger_count(w.nodes[2].replica), 1);
    put(&w, 1, "k", "Carol"); /* a plain write observes Bob only: the entry stays */
    assert_true(world_settle(&w, 2000));
    for (uint8_t i = 0; i < 3; i++) assert_true(is_ledgered(&w, i, alice));
    restore(&w, 2, "k", "Alice", alice);
    assert_true(world_settle(&w, 2000));
    for (uint8_t i = 0; i < 3; i++) {
        assert_string_equal(text_of(&w, i, "k"), "Alice");
        assert_int_equal(ledger_count(w.nodes[i].replica), 0);
    }
    world_assert_equal(&w);
    world_assert_accounts(&w);
    world_deinit(&w);
}

/* With one link cut, in both directions or in one, the third replica brings the writes across. */
static void test_relay(void **state)
{
    (void)state;
    for (int one_way = 0; one_way < 2; one_way++) {
        struct world w;
        world_init(&w, 3, CONFLICT_LWW, 4);
        world_start(&w);
        if (one_way) {
            world_cut(&w, 0, 2);
        } else {
            world_cut_both(&w, 0, 2);
        }
        for (int i = 0; i < 20; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            put(&w, 0, key, "from0");
            put(&w, 2, key, "from2");
            world_run(&w, 100);
        }
        assert_true(world_settle(&w, 4000));
        assert_true(w.nodes[1].sent[2] > 0);
        world_heal(&w, 0, 2);
        world_run(&w, 4000);
        world_assert_equal(&w);
        /* Healed: the third party falls silent again. */
        put(&w, 0, "last", "x");
        assert_true(world_settle(&w, 1000));
        world_run(&w, 3000);
        uint64_t before = w.nodes[1].sent[2];
        for (int i = 0; i < 20; i++) {
            put(&w, 0, "more", "y");
            world_run(&w, 50);
        }
        assert_true(world_settle(&w, 1000));
        assert_int_equal(w.nodes[1].sent[2], before);
        world_deinit(&w);
    }
}

static void test_idle_is_silent(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 5);
    world_start(&w);
    for (int i = 0; i < 10; i++) {
        put(&w, (uint8_t)(i % 3), "k", "v");
        world_run(&w, 7);
    }
    del(&w, 1, "k");
    assert_true(world_settle(&w, 1000));
    world_run(&w, 8000);
    uint64_t before[3];
    for (int i = 0; i < 3; i++) {
        before[i] = w.nodes[i].sent[1] + w.nodes[i].sent[2];
        assert_int_equal(replica_garbage_count(w.nodes[i].replica), 0);
        assert_false(replica_has_work(w.nodes[i].replica));
        assert_null(object_of(&w, (uint8_t)i, "k"));
    }
    world_run(&w, 60000);
    for (int i = 0; i < 3; i++) assert_int_equal(w.nodes[i].sent[1] + w.nodes[i].sent[2], before[i]);
    world_deinit(&w);
}

static void test_causal_delivery_under_reordering(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct world w;
        world_init(&w, 3, CONFLICT_LWW, 100 + seed);
        for (int a = 0; a < 3; a++) {
            for (int b = 0; b < 3; b++)
                w.links[a][b] = (struct world_link){.latency_ms = 1, .jitter_ms = 80, .loss_permille = 50};
        }
        for (uint8_t i = 0; i < 3; i++) world_open(&w, i);
        world_run(&w, 4000);
        /* A token goes round: each replica counts on from what it sees. Whoever sees n of "b" has seen n of "a". */
        for (int i = 0; i < 300; i++) {
            uint8_t node = (uint8_t)prng_below(&w.prng, 3);
            char text[24];
            const char *seen = text_of(&w, node, "b");
            long last = 0;
            sscanf(seen, "%ld", &last);
            snprintf(text, sizeof text, "%ld", last + 1);
            put(&w, node, "a", text);
            put(&w, node, "b", text);
            world_run(&w, 1 + prng_below(&w.prng, 20));
            for (uint8_t k = 0; k < 3; k++) {
                long a = 0, b = 0;
                sscanf(text_of(&w, k, "a"), "%ld", &a);
                sscanf(text_of(&w, k, "b"), "%ld", &b);
                assert_true(a >= b);
            }
        }
        assert_true(world_settle(&w, 30000));
        world_run(&w, 8000);
        world_assert_equal(&w);
        world_assert_accounts(&w);
        world_deinit(&w);
    }
}

static void random_write(struct world *w, uint8_t node)
{
    char key[16], value[24];
    snprintf(key, sizeof key, "k%d", (int)prng_below(&w->prng, 8));
    snprintf(value, sizeof value, "v%llu", (unsigned long long)prng_below(&w->prng, 100000));
    switch (prng_below(&w->prng, 6)) {
    case 0: del(w, node, key); break;
    case 1:
        snprintf(key, sizeof key, "n%d", (int)prng_below(&w->prng, 4));
        increment(w, node, key, (int64_t)prng_range(&w->prng, 1, 9));
        break;
    case 2:
        snprintf(key, sizeof key, "r%d", (int)prng_below(&w->prng, 4));
        put_column(w, node, key, prng_chance(&w->prng, 1, 2) ? "a" : "b", value);
        break;
    case 3:
        snprintf(key, sizeof key, "s%d", (int)prng_below(&w->prng, 4));
        add_member(w, node, key, value);
        break;
    case 4:
        snprintf(key, sizeof key, "%c%d", "nrs"[prng_below(&w->prng, 3)], (int)prng_below(&w->prng, 4));
        del(w, node, key);
        break;
    default: put(w, node, key, value); break;
    }
}

/* Random writes, cuts, crashes at any moment, write-backs and reclaims: what was durable is there again, and all agree.
 */
static void test_random_restarts(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct world w;
        world_init(&w, 3, (enum conflict_policy)(seed % 4), 1000 + seed);
        w.segment_bytes = 64 * 1024;
        world_start(&w);
        for (int i = 0; i < 400; i++) {
            uint8_t node = (uint8_t)prng_below(&w.prng, 3);
            if (!w.nodes[node].running) {
                if (prng_chance(&w.prng, 1, 4)) world_open(&w, node);
                world_run(&w, 20);
                continue;
            }
            if (replica_is_serving(w.nodes[node].replica)) random_write(&w, node);
            uint64_t dice = prng_below(&w.prng, 60);
            if (dice == 0) {
                struct vv durable;
                vv_init(&durable);
                vv_copy(&durable, replica_clock(w.nodes[node].replica));
                world_run(&w, 3);
                struct vv kept;
                vv_init(&kept);
                vv_copy(&kept, replica_clock(w.nodes[node].replica));
                world_crash(&w, node);
                world_open(&w, node);
                assert_true(vv_covers_all(replica_clock(w.nodes[node].replica), &durable));
                vv_deinit(&kept);
                vv_deinit(&durable);
            }
            if (dice == 1) world_crash(&w, node);
            if (dice == 2) world_write_back(&w, node);
            if (dice == 3) {
                world_write_back(&w, node);
                (void)world_reclaim(&w, node);
            }
            if (dice == 4) world_cut_both(&w, node, (uint8_t)((node + 1) % 3));
            if (dice == 5) {
                for (uint8_t a = 0; a < 3; a++) {
                    if (w.links[a][(a + 1) % 3].cut) world_heal(&w, a, (uint8_t)((a + 1) % 3));
                }
            }
            world_run(&w, prng_below(&w.prng, 30));
        }
        for (uint8_t a = 0; a < 3; a++) {
            if (!w.nodes[a].running) world_open(&w, a);
        }
        for (uint8_t a = 0; a < 3; a++) {
            if (w.links[a][(a + 1) % 3].cut) world_heal(&w, a, (uint8_t)((a + 1) % 3));
        }
        assert_true(world_settle(&w, 30000));
        world_run(&w, 6000);
        world_assert_equal(&w);
        world_assert_accounts(&w);
        world_deinit(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_reaches_all),
        cmocka_unit_test(test_cut_and_heal),
        cmocka_unit_test(test_ledger_is_withdrawn_by_restore),
        cmocka_unit_test(test_relay),
        cmocka_unit_test(test_idle_is_silent),
        cmocka_unit_test(test_causal_delivery_under_reordering),
        cmocka_unit_test(test_random_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
