/* test_copy.c: replicas that come back with less than they had, or too late: wiped, rolled back, marked; full copies
 * with everything going on at the same time. */
#include "base/hash.h"
#include "mergeable/replica_internal.h"
#include "tests/unit/mergeable/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

static const char *long_value(int i)
{
    static char value[220];
    int digits = snprintf(value, sizeof value, "%d", i);
    memset(value + digits, 'a' + i % 26, sizeof value - 1 - (size_t)digits);
    return value;
}

static void fill(struct world *w, uint8_t node, int first, int count)
{
    char key[16];
    for (int i = first; i < first + count; i++) {
        snprintf(key, sizeof key, "f%d", i);
        put(w, node, key, long_value(i));
        if (i % 20 == 0) world_run(w, 1);
    }
}

/* Make sure that `node` can't send its deltas any more: everything written back, trimmed and reclaimed. */
static void forget_deltas(struct world *w, uint8_t node)
{
    for (int i = 0; i < 40; i++) {
        world_write_back(w, node);
        if (!world_reclaim(w, node)) break;
    }
}

static void assert_same_everywhere(struct world *w)
{
    assert_true(world_settle(w, 60000));
    world_run(w, 8000);
    world_assert_equal(w);
    world_assert_accounts(w);
}

static void test_wiped_replica_gets_it_all(void **state)
{
    (void)state;
    for (int with_log = 0; with_log < 2; with_log++) {
        struct world w;
        world_init(&w, 3, CONFLICT_LWW, 11);
        w.segment_bytes = 128 * 1024;
        world_start(&w);
        fill(&w, 0, 0, 1500);
        fill(&w, 2, 1500, 300);
        assert_true(world_settle(&w, 10000));
        uint64_t old_id = replica_id(w.nodes[2].replica);
        if (!with_log) {
            for (uint8_t i = 0; i < 3; i++) forget_deltas(&w, i);
        }
        world_wipe(&w, 2);
        world_run(&w, 50);
        world_open(&w, 2);
        assert_false(replica_is_serving(w.nodes[2].replica)); /* it joins first */
        assert_true(replica_id(w.nodes[2].replica) != old_id);
        put(&w, 0, "during", "x");
        assert_same_everywhere(&w);
        assert_string_equal(text_of(&w, 2, "f1700"), long_value(1700));
        assert_string_equal(text_of(&w, 2, "during"), "x");
        put(&w, 2, "after", "y");
        assert_same_everywhere(&w);
        world_deinit(&w);
    }
}

/* An expiry that lost stays beside the winner until it is stable: a copy brings it along, and its entry. */
static void test_copied_loser_keeps_its_entry(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 22);
    w.segment_bytes = 128 * 1024;
    world_start(&w);
    fill(&w, 0, 0, 1500);
    assert_true(world_settle(&w, 10000));
    world_wipe(&w, 2);
    struct dot at_0 = expire_at(&w, 0, "f7", 1700000000000u + w.now_ms + 3600000);
    struct dot at_1 = expire_at(&w, 1, "f7", 1700000000000u + w.now_ms + 7200000);
    world_run(&w, 2000);
    struct dot loser = is_ledgered(&w, 0, at_0) ? at_0 : at_1;
    assert_true(is_ledgered(&w, 0, loser));
    for (uint8_t i = 0; i < 2; i++) forget_deltas(&w, i);
    world_open(&w, 2);
    assert_same_everywhere(&w);
    assert_true(is_ledgered(&w, 2, loser));
    world_deinit(&w);
}

/* A node's disk is put back to an older copy: it must not issue its old dots again (P1). */
static void test_rolled_back_replica_takes_a_new_incarnation(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 12);
    world_start(&w);
    put(&w, 1, "k", "1");
    assert_true(world_settle(&w, 1000));
    struct memory_files backup;
    memory_files_init(&backup, 5);
    memory_files_copy(&backup, &w.nodes[1].files);
    uint64_t id = replica_id(w.nodes[1].replica);
    for (int i = 0; i < 20; i++) put(&w, 1, i % 2 ? "k" : "other", long_value(i));
    assert_true(world_settle(&w, 1000));
    world_run(&w, 3000);
    assert_int_equal(replica_id(w.nodes[1].replica), id); /* nothing happens without a reason */
    world_crash(&w, 1);
    memory_files_copy(&w.nodes[1].files, &backup);
    world_open(&w, 1);
    assert_string_equal(text_of(&w, 1, "k"), "1");
    world_run(&w, 100);
    assert_true(replica_id(w.nodes[1].replica) != id);
    put(&w, 1, "new", "life");
    assert_same_everywhere(&w);
    assert_string_equal(text_of(&w, 1, "k"), long_value(19));
    assert_string_equal(text_of(&w, 0, "new"), "life");
    uint64_t second = replica_id(w.nodes[1].replica);
    world_crash(&w, 1);
    world_open(&w, 1);
    assert_int_equal(replica_id(w.nodes[1].replica), second);
    assert_same_everywhere(&w);
    memory_files_deinit(&backup);
    world_deinit(&w);
}

/* Copies under load: the source, its peers and the deletes go on; both ends crash in the middle, links are cut. */
static void test_copy_amid_writes_and_crashes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct world w;
        world_init(&w, 3, (enum conflict_policy)(seed % 4), 500 + seed);
        w.segment_bytes = 512 * 1024;
        world_start(&w);
        fill(&w, 0, 0, 4000);
        fill(&w, 1, 4000, 2000);
        assert_true(world_settle(&w, 10000));
        for (uint8_t i = 0; i < 3; i++) forget_deltas(&w, i);
        world_wipe(&w, 2);
        world_run(&w, 50);
        world_open(&w, 2);
        uint64_t chunks_before = w.nodes[0].sent[5] + w.nodes[1].sent[5];
        for (int i = 0; i < 120; i++) {
            char key[16];
            snprintf(key, sizeof key, "f%d", (int)prng_below(&w.prng, 6000));
            uint8_t node = (uint8_t)prng_below(&w.prng, 2);
            if (w.nodes[node].running && replica_is_serving(w.nodes[node].replica)) {
                if (prng_chance(&w.prng, 1, 3)) {
                    del(&w, node, key);
                } else {
                    put(&w, node, key, long_value(i));
                }
            }
            uint64_t dice = prng_below(&w.prng, 40);
            if (dice == 0 && w.nodes[2].running) {
                world_crash(&w, 2);
                world_open(&w, 2);
            }
            if (dice == 1 && w.nodes[node].running) {
                world_crash(&w, node);
                world_open(&w, node);
            }
            if (dice == 2) {
                world_cut_both(&w, node, 2);
                world_run(&w, 100);
                world_heal(&w, node, 2);
            }
            if (dice == 3) world_write_back(&w, 2);
            world_run(&w, prng_below(&w.prng, 15));
        }
        assert_same_everywhere(&w);
        assert_true(w.nodes[0].sent[5] + w.nodes[1].sent[5] > chunks_before);
        put(&w, 2, "mine", "again");
        assert_same_everywhere(&w);
        world_deinit(&w);
    }
}

/* A lagging replica beyond the backlog bound is marked, durably; the log is trimmed; it comes back by a full copy,
 * keeps what it wrote meanwhile, and the mark goes. */
static void test_backlog_bound_marks_and_repairs(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 13);
    w.backlog_bytes_max = 60000;
    w.segment_bytes = 128 * 1024;
    world_start(&w);
    put(&w, 0, "deleted", "soon");
    assert_true(world_settle(&w, 1000));
    world_cut_both(&w, 0, 2);
    world_cut_both(&w, 1, 2);
    del(&w, 0, "deleted");
    put(&w, 2, "mine", "kept");
    struct dot late = put(&w, 2, "f7", "an older value");
    fill(&w, 0, 0, 600);
    fill(&w, 1, 600, 100);
    world_run(&w, 2000);
    struct replica_peer_status peers[REPLICA_MEMBERS_MAX];
    for (uint8_t i = 0; i < 2; i++) {
        uint32_t count = replica_peers(w.nodes[i].replica, (struct replica_now){0, 0}, peers);
        assert_int_equal(count, 2);
        assert_true(peers[1].needs_repair);
        assert_false(peers[0].needs_repair);
        const struct replica *r = w.nodes[i].replica;
        assert_true(r->origins[0].deltas.bytes_end - r->origins[0].deltas.bytes_before < 60000); /* trimmed */
    }
    /* The mark survives a crash, with or without a write-back in between. */
    world_crash(&w, 0);
    world_open(&w, 0);
    forget_deltas(&w, 1);
    world_crash(&w, 1);
    world_open(&w, 1);
    for (uint8_t i = 0; i < 2; i++) {
        (void)replica_peers(w.nodes[i].replica, (struct replica_now){0, 0}, peers);
        assert_true(peers[1].needs_repair);
    }
    world_run(&w, 500);
    world_heal(&w, 0, 2);
    world_heal(&w, 1, 2);
    assert_same_everywhere(&w);
    for (uint8_t i = 0; i < 3; i++) {
        assert_string_equal(text_of(&w, i, "mine"), "kept");
        assert_string_equal(text_of(&w, i, "deleted"), "");
        assert_string_equal(text_of(&w, i, "f7"), long_value(7));
        assert_true(is_ledgered(&w, i, late));
    }
    for (uint8_t i = 0; i < 2; i++) {
        (void)replica_peers(w.nodes[i].replica, (struct replica_now){0, 0}, peers);
        assert_false(peers[1].needs_repair);
    }
    world_crash(&w, 0);
    world_open(&w, 0);
    (void)replica_peers(w.nodes[0].replica, (struct replica_now){0, 0}, peers);
    assert_false(peers[1].needs_repair);
    world_deinit(&w);
}

/* A replica that comes back too late knows that it is due a copy before it serves again or passes for settled. */
static void test_due_replica_is_not_settled_before_its_copy(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 26);
    w.backlog_bytes_max = 60000;
    w.segment_bytes = 128 * 1024;
    world_start(&w);
    world_run(&w, 1500);
    assert_true(replica_is_settled(w.nodes[1].replica));
    world_cut_both(&w, 0, 1);
    fill(&w, 0, 0, 600);
    world_run(&w, 2000);
    world_heal(&w, 0, 1);
    int waited = 0;
    for (; waited < 10000 && !replica_is_settled(w.nodes[1].replica); waited++) world_run(&w, 1);
    assert_in_range(waited, 1, 9999);
    assert_string_equal(text_of(&w, 1, "f599"), long_value(599));
    assert_same_everywhere(&w);
    assert_true(replica_is_settled(w.nodes[0].replica) && replica_is_settled(w.nodes[1].replica));
    world_deinit(&w);
}

/* S1, word for word: us writes u, receives eu's later delete; all cover the delete, apac drops it, then u arrives late
 * at apac: it must not be back. */
static void test_s1_late_write_after_a_stable_delete(void **state)
{
    (void)state;
    for (int policy = CONFLICT_LWW; policy <= CONFLICT_DELETE_WINS; policy++) {
        if (policy == CONFLICT_SIBLINGS || policy == CONFLICT_UPDATE_WINS) continue; /* there, u is meant to be back */
        struct world w;
        world_init(&w, 3, (enum conflict_policy)policy, 14);
        world_start(&w);
        enum { US, EU, APAC };
        put(&w, EU, "k", "old");
        assert_true(world_settle(&w, 1000));
        world_run(&w, 3000);
        /* u reaches eu but not apac; the delete is concurrent to u and later. */
        world_cut(&w, US, APAC);
        w.links[US][EU].latency_ms = 200;
        w.links[EU][APAC].loss_permille = 0;
        struct dot u = put(&w, US, "k", "u");
        world_run(&w, 10);
        (void)del(&w, EU, "k");
        world_run(&w, 150); /* the delete is everywhere; u is on its way to eu only */
        assert_null(object_of(&w, APAC, "k") ? text_of(&w, APAC, "k")[0] ? "x" : NULL : NULL);
        world_run(&w, 150);
        world_cut(&w, EU, APAC); /* nobody can bring u to apac, but apac's reports still reach all */
        world_run(&w, 20000);
        world_heal(&w, US, APAC);
        world_heal(&w, EU, APAC);
        w.links[US][EU].latency_ms = 20;
        assert_true(world_settle(&w, 5000));
        world_run(&w, 8000);
        for (uint8_t i = 0; i < 3; i++) {
            assert_string_equal(text_of(&w, i, "k"), "");
            assert_true(is_ledgered(&w, i, u));
            assert_int_equal(replica_garbage_count(w.nodes[i].replica), 0);
        }
        world_assert_equal(&w);
        world_deinit(&w);
    }
}

/* S2: a clock joined per range would make what the source has not sent yet look deleted. Crash the receiver after each
 * chunk in turn: the keys it has not received must come, those it holds alone must stay. */
static void test_s2_no_join_before_the_end(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 15);
    w.segment_bytes = 1024 * 1024;
    w.backlog_bytes_max = 100000;
    world_start(&w);
    fill(&w, 0, 0, 300);
    assert_true(world_settle(&w, 5000));
    world_cut_both(&w, 0, 1);
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof key, "own%d", i);
        put(&w, 1, key, "of the receiver");
    }
    fill(&w, 0, 300, 3000);
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "f%d", i);
        del(&w, 0, key);
    }
    world_run(&w, 2000);
    world_heal(&w, 0, 1);
    uint64_t before = 0;
    int crashes = 0;
    for (;; crashes++) {
        const struct copy_in *in = &w.nodes[1].replica->copy;
        for (int i = 0; i < 3000 && in->next.index <= before && (in->active || crashes == 0); i++) world_run(&w, 1);
        if (!in->active) break;
        before = in->next.index;
        assert_false(replica_is_serving(w.nodes[1].replica));
        assert_int_equal(vv_get(replica_clock(w.nodes[1].replica), replica_id(w.nodes[0].replica)), 300);
        world_crash(&w, 1);
        world_open(&w, 1);
        uint64_t kept = w.nodes[1].replica->copy.next.index; /* the newest chunk may not have been synced */
        assert_true(kept == before || kept + 1 == before);
        before = kept;
    }
    assert_true(crashes >= 3);
    assert_same_everywhere(&w);
    for (uint8_t i = 0; i < 2; i++) {
        assert_string_equal(text_of(&w, i, "own7"), "of the receiver");
        assert_string_equal(text_of(&w, i, "f50"), "");
        assert_string_equal(text_of(&w, i, "f3000"), long_value(3000));
    }
    world_deinit(&w);
}

/* Nearly everything is cold on all nodes: deliveries, copies, collection and expiry read it back. */
static void test_cold_items_on_every_path(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 16);
    w.segment_bytes = 256 * 1024;
    for (uint8_t i = 0; i < 3; i++) w.nodes[i].memory_bytes_max = 150 * 1024;
    world_start(&w);
    fill(&w, 0, 0, 1500);
    assert_true(world_settle(&w, 10000));
    for (uint8_t i = 0; i < 3; i++) forget_deltas(&w, i);
    world_run(&w, 200);
    uint64_t cold = 0;
    for (int i = 0; i < 1500; i++) {
        char key[16];
        snprintf(key, sizeof key, "f%d", i);
        struct slice k = slice_of_string(key);
        struct replica *r = w.nodes[1].replica;
        struct store_item *item = store_find(replica_data(r), k, hash_key(k));
        assert_non_null(item);
        cold += store_item_is_cold(item);
        if (i % 5) continue;
        struct store_item *here = store_find(replica_data(w.nodes[0].replica), k, hash_key(k));
        if (!store_item_is_cold(here)) put(&w, 0, key, "new");
        world_run(&w, 1);
    }
    assert_true(cold > 500);
    assert_true(world_settle(&w, 20000));
    world_wipe(&w, 2);
    world_run(&w, 20);
    w.nodes[2].memory_bytes_max = 150 * 1024;
    world_open(&w, 2);
    assert_true(world_settle(&w, 120000));
    /* Compare with everything in memory. */
    for (uint8_t i = 0; i < 3; i++) {
        world_write_back(&w, i);
        world_crash(&w, i);
        w.nodes[i].memory_bytes_max = 1024 * 1024 * 1024;
        world_open(&w, i);
    }
    assert_same_everywhere(&w);
    world_deinit(&w);
}

/* A replica whose disk was put back to an older copy writes before it hears from anybody: concurrent to what the others
 * took for stable and collected. Their deltas of that time would be judged anew there; it gets a copy. */
static void test_amnesiac_writer_gets_a_copy(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3, CONFLICT_LWW, 18);
    world_start(&w);
    put(&w, 0, "k", "v");
    put(&w, 1, "other", "kept");
    assert_true(world_settle(&w, 1000));
    struct memory_files backup;
    memory_files_init(&backup, 6);
    memory_files_copy(&backup, &w.nodes[2].files);
    del(&w, 0, "k");
    assert_true(world_settle(&w, 1000));
    world_run(&w, 8000);
    for (uint8_t i = 0; i < 3; i++) assert_null(object_of(&w, i, "k")); /* collected; its delta may still be logged */
    world_cut_both(&w, 0, 2);
    world_cut_both(&w, 1, 2);
    world_crash(&w, 2);
    memory_files_copy(&w.nodes[2].files, &backup);
    memory_files_deinit(&backup);
    world_open(&w, 2);
    world_run(&w, 100);
    put(&w, 2, "k", "new life");
    del(&w, 2, "other");
    world_run(&w, 100);
    world_heal(&w, 0, 2);
    world_heal(&w, 1, 2);
    assert_same_everywhere(&w);
    assert_true(w.nodes[0].sent[5] + w.nodes[1].sent[5] > 0);
    for (uint8_t i = 0; i < 3; i++) {
        assert_string_equal(text_of(&w, i, "k"), "new life");
        assert_int_equal(ledger_count(w.nodes[i].replica), ledger_count(w.nodes[0].replica));
    }
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wiped_replica_gets_it_all),
        cmocka_unit_test(test_copied_loser_keeps_its_entry),
        cmocka_unit_test(test_rolled_back_replica_takes_a_new_incarnation),
        cmocka_unit_test(test_copy_amid_writes_and_crashes),
        cmocka_unit_test(test_backlog_bound_marks_and_repairs),
        cmocka_unit_test(test_due_replica_is_not_settled_before_its_copy),
        cmocka_unit_test(test_s1_late_write_after_a_stable_delete),
        cmocka_unit_test(test_s2_no_join_before_the_end),
        cmocka_unit_test(test_cold_items_on_every_path),
        cmocka_unit_test(test_amnesiac_writer_gets_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
