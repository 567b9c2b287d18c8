/* links: sim node */
/* test_outcome.c: what an -UNKNOWN of an ordered table names, and what OUTCOME says of it: in the virtual world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/shard_internal.h"
#include "tests/unit/node/cluster.h"

enum { NODES = 3 };

static struct cluster *cluster_with_table(void)
{
    struct cluster *c = cluster_new(NODES, 1, 1);
    assert_reply(c, 0, "TABLE CREATE t ENGINE ordered PARTITIONS 1", "OK");
    cluster_wait(c, 5000);
    assert_reply(c, 0, "SET t:1 before", "OK");
    return c;
}

static uint8_t leader_of(struct cluster *c)
{
    for (uint8_t i = 0; i < NODES; i++) {
        struct shard *s = world_shard(c->world, i, 0);
        const struct table_slot *table = catalog__by_name(s, SLICE_LITERAL("t"));
        if (group_is_leader(table->partitions[0].group)) return i;
    }
    fail();
    return 0;
}

static void cut_off(struct cluster *c, uint8_t node)
{
    for (uint8_t i = 0; i < NODES; i++) {
        if (i == node) continue;
        world_cut(c->world, i, node, true);
        world_cut(c->world, node, i, true);
    }
}

/* OUTCOME with the id that this reply names. */
static void question_of(const char *reply, char out[128])
{
    const char *at = strstr(reply, "OUTCOME g:");
    assert_non_null(at);
    snprintf(out, 128, "%.*s", (int)strcspn(at, "\r\n\""), at);
}

/* The leader took it into its log alone, and another one leads meanwhile. */
static void a_write_that_was_replaced_never_takes_effect(void **state)
{
    (void)state;
    char question[128];
    struct cluster *c = cluster_with_table();
    uint8_t leader = leader_of(c), other = (uint8_t)((leader + 1) % NODES);
    cut_off(c, leader);
    const char *reply = cluster_do(c, leader, "SET t:1 lost");
    assert_memory_equal(reply, "-UNKNOWN", 8);
    question_of(reply, question);
    cluster_wait(c, 4000);
    assert_reply(c, other, "SET t:1 after", "OK");
    world_heal(c->world);
    cluster_wait(c, 4000);
    for (uint8_t i = 0; i < NODES; i++) {
        assert_reply(c, i, question, "[\"state\", \"replaced\", \"reply\", (nil)]");
        assert_reply(c, i, "GET t:1", "\"after\"");
    }
    cluster_free(c);
}

/* It was committed, and the stronger rule that was asked for did not hold in time. */
static void a_write_that_is_applied_is_done(void **state)
{
    (void)state;
    char question[128];
    struct cluster *c = cluster_with_table();
    uint8_t leader = leader_of(c), away = (uint8_t)((leader + 2) % NODES);
    world_node_crash(c->world, away);
    const char *reply = cluster_do(c, leader, "WITH WRITE all SET t:1 there");
    assert_memory_equal(reply, "-UNKNOWN", 8);
    question_of(reply, question);
    assert_reply(c, leader, question, "[\"state\", \"done\", \"reply\", (nil)]");
    assert_reply(c, (uint8_t)((leader + 1) % NODES), question, "[\"state\", \"done\", \"reply\", (nil)]");
    assert_reply_begins(c, leader, "OUTCOME pay-1", "-ERR OUTCOME of an id of your own needs a key");
    assert_reply_begins(c, leader, "OUTCOME g:1:2:3", "-ERR OUTCOME of an id of your own needs a key");
    assert_reply_begins(c, leader, "OUTCOME g:ffff:0:1:1", "-ERR OUTCOME of an id of your own needs a key");
    assert_reply_begins(c, leader, "OUTCOME g:1:0:18446744073709551616:1", "-ERR OUTCOME of an id of your own");
    cluster_free(c);
}

/* Elsewhere it would promise less than the table does. */
static void only_a_table_with_durability_leader_takes_write_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_with_table();
    assert_reply(c, 0, "TABLE CREATE u ENGINE ordered DURABILITY leader PARTITIONS 1", "OK");
    cluster_wait(c, 5000);
    assert_reply(c, 0, "WITH WRITE leader SET u:1 x", "OK");
    assert_reply(c, 0, "WITH WRITE majority SET u:1 y", "OK");
    assert_reply_begins(c, 0, "WITH WRITE leader SET t:1 x", "-CONTRACT");
    assert_reply(c, 0, "GET t:1", "\"before\"");
    cluster_free(c);
}

/* The cluster file says something else than when the table was created. */
static void a_rule_that_the_nodes_no_longer_satisfy_keeps_the_node_from_starting(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(NODES, 1, 1);
    struct buffer error;
    assert_reply(c, 0, "TABLE CREATE t ENGINE ordered DURABILITY majority+regions:3 PARTITIONS 1", "OK");
    cluster_wait(c, 2000);
    for (uint8_t i = 0; i < NODES; i++) world_node_crash(c->world, i);
    struct topology *file = (struct topology *)(uintptr_t)world_topology(c->world);
    file->nodes[2].region = 0;
    buffer_init(&error, 4096);
    assert_false(world_node_start(c->world, 0, &error));
    buffer_append_byte(&error, 0);
    assert_non_null(strstr((const char *)error.data, "can't satisfy a table's DURABILITY any more"));
    buffer_deinit(&error);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_was_replaced_never_takes_effect),
        cmocka_unit_test(a_write_that_is_applied_is_done),
        cmocka_unit_test(only_a_table_with_durability_leader_takes_write_leader),
        cmocka_unit_test(a_rule_that_the_nodes_no_longer_satisfy_keeps_the_node_from_starting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
