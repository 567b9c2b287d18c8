/* links: sim node */
/* test_call.c: commands that one node asks another to run. */
#include "tests/unit/node/cluster.h"

/* A wiped node takes clients before a peer has told it of the tables: to it the key is one of `default`, at the node
 * that it asks it is not. Removing from the wrong table would answer 0. */
static void a_command_does_not_run_in_a_table_of_the_past(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 1);
    assert_reply(c, 0, "TABLE CREATE t", "OK");
    assert_reply(c, 0, "SADD t:1 member", "1");
    world_node_crash(c->world, 1);
    world_node_wipe(c->world, 1);
    assert_true(world_node_start(c->world, 1, NULL));
    uint32_t refused_by_other = 0;
    for (int i = 0; i < 5000; i++) {
        const char *reply = cluster_do(c, 1, "SREM t:1 member");
        if (strcmp(reply, "1") == 0) break;
        assert_memory_equal(reply, "-UNAVAILABLE", 12);
        refused_by_other += strstr(reply, "do not agree yet") != NULL;
    }
    assert_true(refused_by_other > 0);
    assert_reply(c, 0, "SCARD t:1", "0");
    cluster_free(c);
}

/* Both calls are the first of their asker's life, and wait for the same disk. */
static void an_answer_to_a_former_life_is_for_nobody(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 1);
    assert_reply(c, 1, "TABLE CREATE t REPLICAS r1=1", "OK");
    world_node_stall_disk(c->world, 1, world_now_ns(c->world) + 2000000000);
    cluster_send(c, cluster_connect(c, 0), "SET t:1 x");
    cluster_wait(c, 100);
    world_node_crash(c->world, 0);
    assert_true(world_node_start(c->world, 0, NULL));
    cluster_wait(c, 1000);
    assert_reply(c, 0, "INCRBY t:2 5", "5");
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_does_not_run_in_a_table_of_the_past),
        cmocka_unit_test(an_answer_to_a_former_life_is_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
