/* test_account.c: full copies between replicas whose ledgers and deletes differ; the account holds on both sides. */
#include "mergeable/replica_internal.h"
#include "tests/unit/mergeable/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

/* More than the backlog bound lets the other side lag: it is due a full copy. */
static void write_beyond_the_backlog(struct world *w, uint8_t node)
{
    char key[16], value[200];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (int i = 0; i < 600; i++) {
        snprintf(key, sizeof key, "f%d", i);
        put(w, node, key, value);
        if (i % 20 == 0) world_run(w, 1);
    }
    world_run(w, 2000);
}

static void assert_copied_and_same(struct world *w)
{
    world_heal(w, 0, 1);
    assert_true(world_settle(w, 60000));
    world_run(w, 8000);
    assert_true(w->nodes[0].sent[5] > 0);
    world_assert_equal(w);
    world_assert_accounts(w);
}

/* A delete that lost is an entry of the ledger. The source has collected the delete and seen its entry replaced; the
 * receiver still holds both, and counts one replaced write. */
static void test_copied_delete_whose_entry_was_replaced(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 31);
    w.backlog_bytes_max = 60000;
    w.segment_bytes = 128 * 1024;
    world_start(&w);
    put(&w, 0, "k", "old");
    assert_true(world_settle(&w, 1000));
    w.links[1][0].latency_ms = 200;
    struct dot lost = del(&w, 1, "k");
    world_run(&w, 5);
    put(&w, 0, "k", "later");
    world_run(&w, 60);
    assert_true(is_ledgered(&w, 1, lost));
    world_cut(&w, 0, 1); /* the receiver won't learn that all have the delete */
    world_run(&w, 8000);
    assert_true(object_has_garbage(object_of(&w, 1, "k")));
    assert_false(object_has_garbage(object_of(&w, 0, "k")));
    restore(&w, 0, "k", "deleted after all", lost);
    assert_false(is_ledgered(&w, 0, lost));
    assert_true(is_ledgered(&w, 1, lost));
    write_beyond_the_backlog(&w, 0);
    assert_copied_and_same(&w);
    assert_false(is_ledgered(&w, 1, lost));
    world_deinit(&w);
}

/* The other way round: the receiver, whose delete it was, has seen the entry replaced; the source has collected the
 * delete, and sends its entry. What is replaced here does not come back. */
static void test_copied_entry_that_was_replaced_here(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 2, CONFLICT_LWW, 32);
    w.backlog_bytes_max = 60000;
    w.segment_bytes = 128 * 1024;
    world_start(&w);
    put(&w, 0, "k", "old");
    assert_true(world_settle(&w, 1000));
    struct dot lost = del(&w, 1, "k");
    world_run(&w, 2);
    put(&w, 0, "k", "later");
    for (int i = 0; i < 500 && !(is_ledgered(&w, 0, lost) && is_ledgered(&w, 1, lost)); i++) world_run(&w, 1);
    world_cut(&w, 0, 1); /* the receiver won't learn that all have the delete */
    world_run(&w, 8000);
    assert_true(object_has_garbage(object_of(&w, 1, "k")));
    assert_false(object_has_garbage(object_of(&w, 0, "k")));
    assert_true(is_ledgered(&w, 0, lost) && is_ledgered(&w, 1, lost));
    world_cut_both(&w, 0, 1);
    restore(&w, 1, "k", "deleted after all", lost);
    assert_false(is_ledgered(&w, 1, lost));
    write_beyond_the_backlog(&w, 0);
    write_beyond_the_backlog(&w, 1);
    assert_copied_and_same(&w);
    assert_false(is_ledgered(&w, 0, lost) || is_ledgered(&w, 1, lost));
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copied_delete_whose_entry_was_replaced),
        cmocka_unit_test(test_copied_entry_that_was_replaced_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
