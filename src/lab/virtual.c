/* virtual.c: commands to the virtual cluster, one at a time, each to its reply. */
#include "lab/virtual.h"

#include "sim/world.h"

enum { START_NS = 2000000000, REPLY_STEP_NS = 100000 };
static const uint64_t reply_ns_max = 30000000000ULL;

struct virtual_run {
    struct world *world;
    uint64_t begin_ns;
    /* the command under way */
    bool done, replied;
    struct arena *arena;
    struct resp_value *reply;
};

static void on_reply(void *user, uint64_t client, const struct resp_value *reply)
{
    struct virtual_run *run = user;
    MAYBE(client == 0);
    if (run->done) return;
    run->done = true;
    run->replied = reply != NULL;
    if (reply) *run->reply = play_copy_reply(run->arena, reply);
}

static bool execute(void *world, uint8_t region, const struct slice *words, uint32_t count, struct arena *arena,
                    struct resp_value *out_reply, uint64_t *out_latency_ns)
{
    struct virtual_run *run = world;
    run->done = run->replied = false;
    run->arena = arena;
    run->reply = out_reply;
    uint64_t client = world_client_open(run->world, region, on_reply, run); /* one node a region: same index */
    if (!client) return false;
    uint64_t begin = world_now_ns(run->world);
    world_client_send(run->world, client, words, count);
    while (!run->done && world_now_ns(run->world) - begin < reply_ns_max) {
        world_run_until(run->world, world_now_ns(run->world) + REPLY_STEP_NS);
    }
    run->done = true;
    *out_latency_ns = world_now_ns(run->world) - begin;
    world_client_close(run->world, client);
    return run->replied;
}

static void wait_until(void *world, uint64_t at_ns)
{
    struct virtual_run *run = world;
    if (run->begin_ns + at_ns > world_now_ns(run->world)) world_run_until(run->world, run->begin_ns + at_ns);
}

static uint64_t bytes_between_regions(void *world)
{
    struct virtual_run *run = world;
    uint64_t bytes = 0;
    uint32_t nodes = world_topology(run->world)->nodes_count;
    for (uint32_t a = 0; a < nodes; a++) {
        for (uint32_t b = 0; b < nodes; b++) bytes += world_bytes_between(run->world, (uint8_t)a, (uint8_t)b);
    }
    return bytes;
}

void virtual_play(const struct scenario *s, uint32_t strategy, uint64_t seed, struct play_result *out)
{
    struct world_config config;
    world_config_init(&config, &s->topology, seed);
    struct virtual_run run = {.world = world_new(&config)};
    for (uint32_t n = 0; n < s->topology.nodes_count; n++) {
        bool started = world_node_start(run.world, (uint8_t)n, NULL);
        ASSERT(started); /* its disk is new */
    }
    world_run_until(run.world, START_NS);
    run.begin_ns = world_now_ns(run.world);
    const struct play_world world = {
        .world = &run, .execute = execute, .wait_until = wait_until, .bytes = bytes_between_regions};
    play_strategy(s, strategy, s->strategies[strategy].name, &world, out);
    world_free(run.world);
}
