/* virtual.c: commands to the virtual cluster, each on a connection of its own. */
#include "lab/virtual.h"

#include "sim/world.h"

enum { START_NS = 2000000000, STEP_NS = 100000, CLIENTS_MAX_AT_ONCE = 64 };

struct virtual_client { /* a command under way; its connection is closed once it has its reply */
    uint64_t id;        /* 0: free */
    uint32_t token;
    uint64_t begin_ns;
    bool done;
};

struct virtual_run {
    struct world *world;
    uint64_t begin_ns;
    struct virtual_client clients[CLIENTS_MAX_AT_ONCE];
    play_replied replied; /* while time passes */
    void *user;
    bool come_back;
};

static void on_reply(void *user, uint64_t client, const struct resp_value *reply)
{
    struct virtual_run *run = user;
    for (uint32_t i = 0; i < CLIENTS_MAX_AT_ONCE; i++) {
        struct virtual_client *c = &run->clients[i];
        if (c->id != client || c->done) continue;
        c->done = true;
        if (run->replied(run->user, c->token, reply, world_now_ns(run->world) - c->begin_ns)) run->come_back = true;
        return;
    }
}

static void close_answered(struct virtual_run *run)
{
    for (uint32_t i = 0; i < CLIENTS_MAX_AT_ONCE; i++) {
        struct virtual_client *c = &run->clients[i];
        if (!c->id || !c->done) continue;
        world_client_close(run->world, c->id);
        *c = (struct virtual_client){0};
    }
}

static bool start(void *world, uint8_t node, const struct slice *words, uint32_t count, uint32_t token)
{
    struct virtual_run *run = world;
    struct virtual_client *c = run->clients;
    while (c < run->clients + CLIENTS_MAX_AT_ONCE && c->id) c++;
    ASSERT(c < run->clients + CLIENTS_MAX_AT_ONCE);
    *c = (struct virtual_client){.token = token, .begin_ns = world_now_ns(run->world)};
    c->id = world_client_open(run->world, node, on_reply, run);
    if (c->id) world_client_send(run->world, c->id, words, count);
    return c->id != 0;
}

static void pass_until(struct virtual_run *run, uint64_t at_ns, bool early, play_replied replied, void *user)
{
    run->replied = replied;
    run->user = user;
    run->come_back = false;
    while (world_now_ns(run->world) < at_ns && !(early && run->come_back)) {
        uint64_t next = world_now_ns(run->world) + STEP_NS;
        world_run_until(run->world, early && next < at_ns ? next : at_ns);
        close_answered(run);
    }
}

static void run_until(void *world, uint64_t at_ns, play_replied replied, void *user)
{
    struct virtual_run *run = world;
    uint64_t due_ns = run->begin_ns + at_ns, now_ns = world_now_ns(run->world);
    if (due_ns < now_ns)
        run->begin_ns += now_ns - due_ns; /* something took its time: later steps keep their distance */
    pass_until(run, due_ns, false, replied, user);
}

static void await(void *world, uint64_t timeout_ns, play_replied replied, void *user)
{
    struct virtual_run *run = world;
    pass_until(run, world_now_ns(run->world) + timeout_ns, true, replied, user);
}

static void crash(void *world, uint8_t node)
{
    struct virtual_run *run = world;
    world_node_crash(run->world, node);
}

static bool restart(void *world, uint8_t node)
{
    struct virtual_run *run = world;
    return world_node_start(run->world, node, NULL);
}

static bool is_running(void *world, uint8_t node)
{
    struct virtual_run *run = world;
    return world_node_is_running(run->world, node);
}

static uint64_t bytes_between_regions(void *world)
{
    struct virtual_run *run = world;
    uint64_t bytes = 0;
    uint32_t nodes = world_topology(run->world)->nodes_count;
    for (uint32_t a = 0; a < nodes; a++) {
        for (uint32_t b = 0; b < nodes; b++) {
            bool apart = world_topology(run->world)->nodes[a].region != world_topology(run->world)->nodes[b].region;
            if (apart) bytes += world_bytes_between(run->world, (uint8_t)a, (uint8_t)b);
        }
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
    const struct play_world world = {.world = &run,
                                     .start = start,
                                     .run = run_until,
                                     .await = await,
                                     .crash = crash,
                                     .restart = restart,
                                     .is_running = is_running,
                                     .bytes = bytes_between_regions,
                                     .is_virtual = true};
    play_strategy(s, strategy, s->strategies[strategy].name, &world, out);
    world_free(run.world);
}
