/* test_group.c: one member of a group: what its disk must hold after a crash. */
#include "tests/unit/ordered/group_world.h"

#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>

#include <cmocka.h>

static void test_what_is_acknowledged_survives(void **state)
{
    struct group_world w;
    (void)state;
    group_world_init(&w);
    group_world_open(&w);
    group_world_append(&w, 2, 1, 0, 0, 3, 0);
    assert_int_equal(w.match, 0);
    group_world_run(&w);
    assert_int_equal(w.match, 3);
    group_world_crash(&w);
    group_world_open(&w);
    assert_int_equal(raft_term(group_raft(w.group)), 1);
    assert_int_equal(raft_last_index(group_raft(w.group)), 3);
    group_world_deinit(&w);
}

/* The member holds entries 1 to 3 of term 1, which no other leader ever had, when a snapshot as of entry 3 of term 2
 * comes over them. Entry 4, which follows, is acknowledged. */
static void test_what_follows_a_snapshot_over_another_past_survives(void **state)
{
    struct group_world w;
    (void)state;
    group_world_init(&w);
    group_world_open(&w);
    group_world_append(&w, 2, 1, 0, 0, 3, 0);
    group_world_run(&w);
    group_world_snapshot(&w, 3, 2, 3, 2);
    group_world_pass_ms(&w, 100);
    assert_int_equal(raft_base_index(group_raft(w.group)), 3);
    group_world_append(&w, 3, 2, 3, 2, 1, 3);
    group_world_run(&w);
    assert_int_equal(w.match, 4);
    group_world_crash(&w);
    group_world_open(&w);
    assert_int_equal(raft_base_index(group_raft(w.group)), 3);
    assert_int_equal(raft_last_index(group_raft(w.group)), 4);
    group_world_deinit(&w);
}

/* A new member's log holds its beginning and its term alone, and nothing else may come for long. */
static void test_a_snapshot_is_installed_where_the_log_is_at_rest(void **state)
{
    struct group_world w;
    (void)state;
    group_world_init(&w);
    group_world_open(&w);
    group_world_snapshot(&w, 3, 2, 3, 2);
    group_world_pass_ms(&w, 100);
    assert_int_equal(log_last_lsn(w.log), 2);
    assert_int_equal(raft_base_index(group_raft(w.group)), 3);
    group_world_crash(&w);
    group_world_open(&w);
    assert_int_equal(raft_base_index(group_raft(w.group)), 3);
    group_world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_acknowledged_survives),
        cmocka_unit_test(test_what_follows_a_snapshot_over_another_past_survives),
        cmocka_unit_test(test_a_snapshot_is_installed_where_the_log_is_at_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
