/* links: sim node ordered contract */
/* test_failover.c: how long a client at another node waits for its writes when the node of their leader goes: killed,
 * gone without a word, or stopped in order. Three regions at WAN distances, under many seeds, in exact virtual time. */
#define _GNU_SOURCE /* memmem */
#include "cluster.h"

#include "node/inspect.h"
#include "ordered/group.h"

enum {
    TRIALS = 50,
    NODES = 3,
    MS_NS = 1000000,
    CLIENT_TIMEOUT_MS = 1000,
    CLIENT_PAUSE_MS = 10,
    CALM_MS = 3000, /* of writes before, to know how long they take */
    AFTER_MS = 9000,
    STOP_MS_MAX = 3000,
    ROUND_TRIP_MS = 200, /* of the longest link */
    KILLED_GAP_MS_MAX = 3000,
    STOPPED_GAP_MS_MAX = 2 * ROUND_TRIP_MS, /* beyond what a write takes anyway */
};

static uint64_t seed;

static void at_wan_distances(struct world_config *config)
{
    struct topology *t = &config->topology;
    config->seed = seed;
    t->links[0][1] = t->links[1][0] = (struct topology_link){40000, 0};
    t->links[0][2] = t->links[2][0] = (struct topology_link){100000, 0};
    t->links[1][2] = t->links[2][1] = (struct topology_link){80000, 0};
}

/* A client that writes one value after the other at the nodes it is given. */
struct writer {
    struct cluster *cluster;
    uint8_t nodes[NODES - 1];
    uint32_t turn;
    uint64_t client; /* 0: not connected */
    bool answered, good;
    uint64_t sent_ns, done_ns;
    uint64_t gap_ns; /* the longest time without a success */
    uint32_t refused, unknown;
    uint32_t patience_ms; /* then it closes the connection and asks the other node */
};

static void on_answer(void *user, uint64_t client, const struct resp_value *reply)
{
    struct writer *w = user;
    if (client != w->client) return;
    w->answered = true;
    w->good = reply && reply->type == RESP_SIMPLE;
    bool unknown = !reply || memmem(reply->text.data, reply->text.length, "UNKNOWN", 7);
    if (!w->good) *(unknown ? &w->unknown : &w->refused) += 1;
}

static void write_one(struct writer *w)
{
    const struct slice words[] = {SLICE_LITERAL("SET"), SLICE_LITERAL("f:k"), SLICE_LITERAL("v")};
    struct world *world = w->cluster->world;
    if (!w->client) w->client = world_client_open(world, w->nodes[w->turn++ % (NODES - 1)], on_answer, w);
    w->answered = w->good = false;
    w->sent_ns = world_now_ns(world);
    world_client_send(world, w->client, words, 3);
    while (!w->answered && world_now_ns(world) < w->sent_ns + (uint64_t)w->patience_ms * MS_NS) {
        cluster_wait(w->cluster, 1);
    }
    uint64_t now_ns = world_now_ns(world);
    if (w->good) {
        if (w->done_ns && now_ns - w->done_ns > w->gap_ns) w->gap_ns = now_ns - w->done_ns;
        w->done_ns = now_ns;
    } else {
        world_client_close(world, w->client);
        w->client = 0;
    }
    cluster_wait(w->cluster, CLIENT_PAUSE_MS);
}

static void write_for(struct writer *w, uint64_t ms)
{
    uint64_t end_ns = world_now_ns(w->cluster->world) + ms * MS_NS;
    while (world_now_ns(w->cluster->world) < end_ns) write_one(w);
}

static void note_leader(void *user, struct group *group)
{
    *(bool *)user |= group_is_leader(group);
}

static uint8_t leader_of(struct cluster *c)
{
    for (uint32_t i = 0; i < CLUSTER_WAIT_MS * NODES; i++) {
        bool leads = false;
        shard_visit_groups(world_shard(c->world, (uint8_t)(i % NODES), 0), note_leader, &leads);
        if (leads) return (uint8_t)(i % NODES);
        cluster_wait(c, 1);
    }
    fail_msg("nobody leads");
    return 0;
}

static void vanish(struct world *w, uint8_t node)
{
    for (uint8_t n = 0; n < NODES; n++) {
        if (n == node) continue;
        world_cut(w, n, node, true);
        world_cut(w, node, n, true);
    }
}

/* Returns the longest time without a success, in ms; *out_more: what it is beyond the calm ones before. */
static uint64_t gap_when_leader(void (*goes)(struct world *w, uint8_t node), uint64_t trial, struct writer *w,
                                uint64_t *out_more)
{
    seed = trial;
    struct cluster *c = w->cluster = cluster_new_over(NODES, 1, 1, at_wan_distances);
    assert_reply(c, 0, "TABLE CREATE f ENGINE ordered PARTITIONS 1 DURABILITY majority", "OK");
    (void)leader_of(c);
    cluster_wait(c, CALM_MS + trial * 37); /* the heartbeats' phase is another one each time */
    uint8_t leader = leader_of(c), count = 0;
    for (uint8_t n = 0; n < NODES; n++) {
        if (n != leader) w->nodes[count++] = n;
    }
    w->turn = (uint32_t)trial;
    write_for(w, CALM_MS);
    uint64_t calm_ns = w->gap_ns;
    assert_int_equal(w->refused + w->unknown, 0);
    goes(c->world, leader);
    write_for(w, AFTER_MS);
    assert_true(world_now_ns(c->world) - w->done_ns < (uint64_t)CALM_MS * MS_NS); /* it goes on */
    cluster_free(c);
    *out_more = (w->gap_ns - calm_ns) / MS_NS;
    return w->gap_ns / MS_NS;
}

/* The connections end with the process, as they do when only that dies. */
static void killed(void **state)
{
    (void)state;
    for (uint64_t trial = 1; trial <= TRIALS; trial++) {
        struct writer w = {.patience_ms = CLIENT_TIMEOUT_MS};
        uint64_t more;
        assert_in_range(gap_when_leader(world_node_crash, trial, &w, &more), 0, KILLED_GAP_MS_MAX);
        assert_in_range(w.unknown + w.refused, 0, 1); /* what was under way, if anything: nobody is refused */
    }
}

/* The whole machine is gone: nobody says so. A client that waits for its answer gets one in time. */
static void vanished(void **state)
{
    (void)state;
    for (uint64_t trial = 1; trial <= TRIALS; trial++) {
        struct writer w = {.patience_ms = CLUSTER_WAIT_MS};
        uint64_t more;
        assert_in_range(gap_when_leader(vanish, trial, &w, &more), 0, KILLED_GAP_MS_MAX);
        assert_in_range(w.unknown, 0, NODES - 1); /* each of the others may notice a little later */
        assert_int_equal(w.refused, 0);
    }
}

/* Leadership is handed over first: nothing is refused, nothing unknown, and two round trips are all it takes. */
static void stopped(void **state)
{
    (void)state;
    for (uint64_t trial = 1; trial <= TRIALS; trial++) {
        struct writer w = {.patience_ms = CLIENT_TIMEOUT_MS};
        uint64_t more;
        (void)gap_when_leader(world_node_stop, trial, &w, &more);
        assert_in_range(more, 0, STOPPED_GAP_MS_MAX);
        assert_int_equal(w.refused + w.unknown, 0);
    }
}

/* Nobody can take over: it stops all the same. */
static void the_last_one_stops(void **state)
{
    (void)state;
    seed = 1;
    struct cluster *c = cluster_new_over(NODES, 1, 1, at_wan_distances);
    assert_reply(c, 0, "TABLE CREATE f ENGINE ordered PARTITIONS 1 DURABILITY majority", "OK");
    uint8_t leader = leader_of(c);
    for (uint8_t n = 0; n < NODES; n++) {
        if (n != leader) world_node_crash(c->world, n);
    }
    world_node_stop(c->world, leader);
    cluster_wait(c, STOP_MS_MAX);
    assert_false(world_node_is_running(c->world, leader));
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed), cmocka_unit_test(vanished), cmocka_unit_test(stopped),
                                       cmocka_unit_test(the_last_one_stops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
