/* links: sim node */
/* test_dispatch.c: what one connection asks for happens in its order. */
#include "tests/unit/node/cluster.h"

/* The write is under way to the other region when the cut is asked for: the cut must wait for its reply, or lose it. */
static void a_task_waits_for_earlier_forwarded_writes(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(2, 1, 1);
    assert_reply(c, 0, "TABLE CREATE t REPLICAS r1=1", "OK");
    uint64_t client = cluster_connect(c, 0);
    cluster_wait(c, 10);
    buffer_clear(&c->reply);
    cluster_send(c, client, "SET t:1 x");
    cluster_send(c, client, "FAULT CUT r0 r1");
    cluster_send(c, client, "PING");
    cluster_wait(c, 15000);
    buffer_append_byte(&c->reply, 0);
    assert_string_equal((const char *)c->reply.data, "OK | OK | PONG");
    assert_reply_begins(c, 0, "SET t:1 y", "-UNAVAILABLE"); /* it did cut */
    assert_reply(c, 0, "FAULT HEAL", "OK");
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_waits_for_earlier_forwarded_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
