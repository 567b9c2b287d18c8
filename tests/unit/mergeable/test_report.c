/* test_report.c: a replica that has to join, since its disk is new, and when it serves. */
#include "mergeable/replica_internal.h"
#include "tests/unit/mergeable/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

static bool is_serving(struct world *w, uint8_t node)
{
    return replica_is_serving(w->nodes[node].replica);
}

/* What a write of an empty replica has not seen includes deletes that are dropped elsewhere as stable (S1). */
static void test_wiped_replica_does_not_serve_unasked(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 21);
    world_start(&w);
    put(&w, 0, "k", "v");
    assert_true(world_settle(&w, 1000));
    world_crash(&w, 0);
    world_wipe(&w, 1);
    world_open(&w, 1);
    world_run(&w, 60000);
    assert_false(replica_is_serving(w.nodes[1].replica));
    world_open(&w, 0);
    assert_true(world_settle(&w, 10000));
    world_run(&w, 2000);
    assert_true(replica_is_serving(w.nodes[1].replica));
    assert_string_equal(text_of(&w, 1, "k"), "v");
    world_deinit(&w);
}

/* A crash in the middle of joining: what came so far does not make it serve, not even where nobody is left to ask. */
static void test_half_joined_replica_goes_on_joining(void **state)
{
    (void)state;
    for (int written_back = 0; written_back < 2; written_back++) {
        struct world w;
        world_init(&w, 3, CONFLICT_LWW, 23);
        world_start(&w);
        put(&w, 0, "near", "v");
        put(&w, 1, "far", "v");
        assert_true(world_settle(&w, 1000));
        world_wipe(&w, 2);
        w.links[1][2].latency_ms = w.links[2][1].latency_ms = 500;
        world_open(&w, 2);
        world_run(&w, 400);
        if (written_back) world_write_back(&w, 2);
        assert_string_equal(text_of(&w, 2, "near"), "v");
        assert_string_equal(text_of(&w, 2, "far"), "");
        assert_false(is_serving(&w, 2));
        world_crash(&w, 2);
        world_cut_both(&w, 0, 2);
        world_cut_both(&w, 1, 2);
        world_open(&w, 2);
        world_run(&w, 20000);
        assert_false(is_serving(&w, 2));
        world_heal(&w, 0, 2);
        world_heal(&w, 1, 2);
        assert_true(world_settle(&w, 10000));
        assert_true(is_serving(&w, 2));
        assert_string_equal(text_of(&w, 2, "far"), "v");
        world_deinit(&w);
    }
}

/* Who has joined serves at once after a crash, though it may lag. */
static void test_joined_replica_serves_alone(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 24);
    world_start(&w);
    uint64_t id = replica_id(w.nodes[1].replica);
    world_cut_both(&w, 0, 1);
    world_crash(&w, 1);
    world_open(&w, 1);
    assert_true(is_serving(&w, 1));
    assert_int_equal(replica_id(w.nodes[1].replica), id);
    put(&w, 1, "k", "v");
    world_run(&w, 5);
    world_crash(&w, 1);
    world_open(&w, 1);
    assert_true(is_serving(&w, 1));
    assert_int_equal(w.nodes[1].replica->account.accepted, 1); /* the same incarnation, and its account */
    world_deinit(&w);
}

/* Nothing is stable to a replica that joins: what its former self wrote beside a delete may come after the delete, from
 * others. */
static void test_joining_replica_takes_nothing_for_stable(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 25);
    world_start(&w);
    put(&w, 1, "k", "old");
    assert_true(world_settle(&w, 1000));
    struct dot lost = del(&w, 1, "k");
    world_run(&w, 1);
    put(&w, 0, "k", "later");
    world_run(&w, 30);
    assert_true(is_ledgered(&w, 1, lost));
    world_wipe(&w, 0); /* nobody has collected anything yet */
    world_crash(&w, 1);
    world_open(&w, 1); /* its log still has every delta */
    world_open(&w, 0);
    assert_true(world_settle(&w, 10000));
    world_run(&w, 8000);
    assert_string_equal(text_of(&w, 0, "k"), "later");
    assert_true(is_ledgered(&w, 0, lost));
    world_assert_equal(&w);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wiped_replica_does_not_serve_unasked),
        cmocka_unit_test(test_half_joined_replica_goes_on_joining),
        cmocka_unit_test(test_joined_replica_serves_alone),
        cmocka_unit_test(test_joining_replica_takes_nothing_for_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
