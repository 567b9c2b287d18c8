/* world.c: nodes of a virtual cluster: start, crash, pause, their loops and clocks.
 *
 * Z1  An event reaches only the process for which it was meant: each carries or checks the node's generation.
 * Z2  A paused node does nothing but answer the control channel; its events keep their order.
 */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/memory.h"
#include "sim/world_internal.h"

enum { ITERATION_NS_MIN = 2000, ITERATION_NS_MAX = 120000, PPM = 1000000 };

void world_config_init(struct world_config *config, const struct topology *topology, uint64_t seed)
{
    *config = (struct world_config){
        .topology = *topology,
        .seed = seed,
        .start_wall_ms = 1700000000000,
        .memory_bytes_max = 64 * 1024 * 1024,
        .log_bytes_max = 64 * 1024 * 1024,
        .log_segment_bytes = 256 * 1024,
        .backlog_bytes_max = 4 * 1024 * 1024,
        .write_back_bytes = 512 * 1024,
        .disk_bytes_max = 256 * 1024 * 1024,
    };
}

/* ---- trace and hash ---- */

void world__hash(struct world *w, const char *what, uint64_t a, uint64_t b, struct slice bytes)
{
    uint64_t fields[4] = {w->schedule.now_ns, a, b, hash_bytes(bytes, w->hash)};
    w->hash = hash_bytes(slice_of(fields, sizeof fields), hash_bytes(slice_of_string(what), w->hash));
    if (!w->config.trace) return;
    printf("%12.6f  %-10s %llu %llu", (double)w->schedule.now_ns / 1e9, what, (unsigned long long)a,
           (unsigned long long)b);
    size_t shown = bytes.length < 60 ? bytes.length : 60;
    if (shown) printf("  ");
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = bytes.data[i];
        putchar(c >= 32 && c < 127 ? c : '.');
    }
    putchar('\n');
}

void world_note(struct world *w, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    world__hash(w, "note", 0, 0, slice_of_string(text));
}

/* ---- time ---- */

static int32_t fault_skew_ms(const struct world_node *n)
{
    for (uint32_t i = 0; i < n->faults_count; i++) {
        if (n->faults[i].kind == FAULT_SKEW && n->faults[i].from == n->index) return n->faults[i].skew_ms;
    }
    return 0;
}

static uint64_t wall_ms_of(const struct world *w, uint8_t node)
{
    const struct world_node *n = &w->nodes[node];
    int64_t skew = (int64_t)n->skew_ms + fault_skew_ms(n);
    return (uint64_t)((int64_t)(w->config.start_wall_ms + w->schedule.now_ns / 1000000) + skew);
}

static uint64_t mono_ns_of(const struct world *w, uint8_t node)
{
    int64_t now = (int64_t)w->schedule.now_ns;
    return (uint64_t)(now + now * w->config.drift_ppm[node] / PPM);
}

/* The virtual time at which the node's clock reaches `mono_ns`. */
static uint64_t virtual_ns(const struct world *w, uint8_t node, uint64_t mono_ns)
{
    uint64_t rate = (uint64_t)(PPM + w->config.drift_ppm[node]);
    if (rate == PPM) return mono_ns;
    return mono_ns / rate * PPM + mono_ns % rate * PPM / rate + 1;
}

bool world__node_is_held(const struct world *w, uint8_t node)
{
    const struct world_node *n = &w->nodes[node];
    if (n->paused) return true;
    for (uint32_t i = 0; i < n->faults_count; i++) {
        if (n->faults[i].kind == FAULT_PAUSE && n->faults[i].from == node) return true;
    }
    return false;
}

bool world__defer_if_paused(struct world *w, uint8_t node, schedule_action action, void *user, uint64_t argument)
{
    if (!world__node_is_held(w, node)) return false;
    struct deferred *d = memory_zalloc(1, sizeof *d);
    *d = (struct deferred){.action = action, .user = user, .argument = argument};
    list_push_back(&w->nodes[node].deferred, &d->node);
    return true;
}

static void wake_missed(struct world_node *n);

static void release_deferred(struct world *w, uint8_t node)
{
    struct list_node *n;
    while ((n = list_pop_front(&w->nodes[node].deferred))) {
        struct deferred *d = CONTAINER_OF(n, struct deferred, node);
        schedule_at(&w->schedule, w->schedule.now_ns, d->action, d->user, d->argument);
        memory_free(d);
    }
    wake_missed(&w->nodes[node]);
}

/* ---- the loop of a shard ---- */

static void wake(void *user, uint64_t generation);

/* A process that stood still in its poll handles what came meanwhile before it looks at its timers. */
static void wake_missed(struct world_node *n)
{
    for (uint8_t k = 0; k < n->shards_count; k++) {
        struct world_shard *s = &n->shards[k];
        if (!s->wake_missed) continue;
        s->wake_missed = false;
        schedule_at(&n->world->schedule, n->world->schedule.now_ns, wake, s, n->generation);
    }
}

/* The process of a node that was asked to stop ends when its last shard has stopped. */
static void end_if_stopped(void *user, uint64_t generation)
{
    struct world_node *n = user;
    if (!n->stopping || n->generation != generation) return;
    for (uint8_t k = 0; k < n->shards_count; k++) {
        if (!shard_is_stopped(n->shards[k].shard)) return;
    }
    world_node_crash(n->world, n->index);
}

static void end_iteration(struct world_shard *s)
{
    struct world *w = s->world;
    struct world_node *n = &w->nodes[s->node];
    shard_set_now(s->shard, wall_ms_of(w, s->node), mono_ns_of(w, s->node));
    uint64_t next = shard_end_iteration(s->shard);
    if (n->stopping) schedule_at(&w->schedule, w->schedule.now_ns, end_if_stopped, n, n->generation);
    if (w->watcher) w->watcher(w->watcher_user, s->node, s->shard, false);
    if (next == UINT64_MAX || s->iteration_due) return;
    next = virtual_ns(w, s->node, next);
    if (next <= w->schedule.now_ns) next = w->schedule.now_ns + ITERATION_NS_MIN;
    if (next >= s->wake_ns) return; /* an earlier wake asks again */
    s->wake_ns = next;
    schedule_at(&w->schedule, next, wake, s, w->nodes[s->node].generation);
}

static void wake(void *user, uint64_t generation)
{
    struct world_shard *s = user;
    struct world *w = s->world;
    if (!s->shard || w->nodes[s->node].generation != generation) return;
    if (world__node_is_held(w, s->node)) {
        s->wake_missed = true;
        return;
    }
    if (w->schedule.now_ns >= s->wake_ns) s->wake_ns = UINT64_MAX;
    end_iteration(s);
}

static void iteration(void *user, uint64_t generation)
{
    struct world_shard *s = user;
    struct world *w = s->world;
    if (!s->shard || w->nodes[s->node].generation != generation) return;
    s->iteration_due = false; /* a paused node still ends the iteration in which a control frame came */
    end_iteration(s);
}

void world__touch(struct world_shard *s)
{
    struct world *w = s->world;
    ASSERT(s->shard);
    shard_set_now(s->shard, wall_ms_of(w, s->node), mono_ns_of(w, s->node));
    if (s->iteration_due) return;
    s->iteration_due = true;
    schedule_at(&w->schedule, w->schedule.now_ns + prng_range(&w->prng, ITERATION_NS_MIN, ITERATION_NS_MAX), iteration,
                s, w->nodes[s->node].generation);
}

/* ---- completions ---- */

struct completion {
    struct world_shard *shard;
    struct file_request *file;
    struct kv_request *kv;
};

static void hand_completion(void *user, uint64_t generation)
{
    struct completion *c = user;
    struct world_shard *s = c->shard;
    bool current = s->shard && s->world->nodes[s->node].generation == generation;
    if (current && world__defer_if_paused(s->world, s->node, hand_completion, c, generation)) return;
    if (current) {
        world__touch(s);
        if (c->file)
            shard_on_file_done(s->shard, c->file);
        else
            shard_on_kv_done(s->shard, c->kv);
    }
    memory_free(c);
}

static void plan_completion(struct world_shard *s, struct file_request *file, struct kv_request *kv)
{
    struct completion *c = memory_zalloc(1, sizeof *c);
    *c = (struct completion){s, file, kv};
    schedule_at(&s->world->schedule, s->world->schedule.now_ns, hand_completion, c,
                s->world->nodes[s->node].generation);
}

static void on_file_done(void *user, struct file_request *request)
{
    plan_completion(user, request, NULL);
}

static void on_kv_done(void *user, struct kv_request *request)
{
    plan_completion(user, NULL, request);
}

/* ---- ports ---- */

static bool port_client_send(void *world, uint64_t client, struct slice bytes)
{
    return client__from_server(world, client, bytes);
}

static void port_client_close(void *world, uint64_t client)
{
    client__close_from_server(world, client);
}

static void port_client_pause(void *world, uint64_t client, bool paused)
{
    client__pause(world, client, paused);
}

static bool port_peer_send(void *world, uint8_t node, uint8_t type, struct slice body)
{
    struct world_shard *s = world;
    return network__send(s->world, s->node, node, type, body);
}

static size_t port_peer_room(void *world, uint8_t node)
{
    struct world_shard *s = world;
    return network__room(s->world, s->node, node);
}

static bool port_shard_send(void *world, uint8_t shard, uint8_t type, struct slice body)
{
    return network__shard_send(world, shard, type, body);
}

static void port_faults_changed(void *world, const struct fault *faults, uint32_t count)
{
    struct world_shard *s = world;
    struct world_node *n = &s->world->nodes[s->node];
    ASSERT(count <= WORLD_FAULTS_MAX);
    if (count) memcpy(n->faults, faults, count * sizeof *faults);
    n->faults_count = count;
    if (!world__node_is_held(s->world, s->node)) release_deferred(s->world, s->node);
}

static void port_log_line(void *world, char level, const char *event, const char *text)
{
    struct world_shard *s = world;
    if (!s->world->config.trace) return;
    char line[512];
    snprintf(line, sizeof line, "%c %s %s", level, event, text);
    world__hash(s->world, "log", s->node, s->index, slice_of_string(line));
}

/* ---- life of a node ---- */

static void make_disks(struct world *w, struct world_shard *s)
{
    s->disk = disk_new(&(struct disk_config){.schedule = &w->schedule,
                                             .prng = &w->prng,
                                             .sync_ns_min = 60000,
                                             .sync_ns_max = 900000,
                                             .bytes_max = w->config.disk_bytes_max,
                                             .done = on_file_done,
                                             .user = s});
    s->kv = kv_memory_new(&(struct kv_memory_config){.schedule = &w->schedule,
                                                     .prng = &w->prng,
                                                     .delay_ns_min = 20000,
                                                     .delay_ns_max = 3000000,
                                                     .done = on_kv_done,
                                                     .user = s});
}

struct world *world_new(const struct world_config *config)
{
    struct world *w = memory_zalloc(1, sizeof *w);
    w->config = *config;
    schedule_init(&w->schedule, 0);
    prng_init(&w->prng, config->seed);
    for (uint32_t i = 0; i < config->topology.nodes_count; i++) {
        struct world_node *n = &w->nodes[i];
        *n = (struct world_node){.world = w, .index = (uint8_t)i, .fresh = true};
        list_init(&n->deferred);
        n->shards_count = config->shards[i] ? config->shards[i] : 1;
        for (uint8_t k = 0; k < n->shards_count; k++) {
            n->shards[k] = (struct world_shard){.world = w, .node = (uint8_t)i, .index = k, .wake_ns = UINT64_MAX};
            make_disks(w, &n->shards[k]);
        }
    }
    network__start(w);
    return w;
}

void world_free(struct world *w)
{
    if (!w) return;
    for (uint32_t i = 0; i < w->config.topology.nodes_count; i++) {
        if (w->nodes[i].running) world_node_crash(w, (uint8_t)i);
    }
    w->closing = true;
    while (schedule_step(&w->schedule, UINT64_MAX)) {}
    for (uint32_t i = 0; i < w->config.topology.nodes_count; i++) {
        for (uint8_t k = 0; k < w->nodes[i].shards_count; k++) {
            disk_free(w->nodes[i].shards[k].disk);
            kv_memory_free(w->nodes[i].shards[k].kv);
        }
    }
    client__free_all(w);
    schedule_deinit(&w->schedule);
    memory_free(w);
}

static bool open_shard(struct world_node *n, struct world_shard *s, struct buffer *out_error)
{
    struct world *w = n->world;
    struct shard_config config = {
        .topology = w->config.topology,
        .node = n->index,
        .shard = s->index,
        .shards = n->shards_count,
        .seed = prng_u64(&w->prng),
        .folder_id = n->folder_id,
        .memory_bytes_max = w->config.memory_bytes_max,
        .log_bytes_max = w->config.log_bytes_max,
        .log_segment_bytes = w->config.log_segment_bytes,
        .backlog_bytes_max = w->config.backlog_bytes_max,
        .write_back_bytes = w->config.write_back_bytes,
        .group_cache_bytes = w->config.group_cache_bytes,
        .group_catch_up_bytes_max = w->config.group_catch_up_bytes_max,
        .version = "sim",
    };
    struct shard_ports ports = {
        .world = s,
        .files = disk_port(s->disk),
        .kv = kv_memory_port(s->kv),
        .client_send = port_client_send,
        .client_close = port_client_close,
        .client_pause = port_client_pause,
        .peer_send = port_peer_send,
        .peer_room = port_peer_room,
        .shard_send = port_shard_send,
        .faults_changed = port_faults_changed,
        .log_line = port_log_line,
    };
    enum status status =
        shard_open(&config, &ports, wall_ms_of(w, n->index), mono_ns_of(w, n->index), &s->shard, out_error);
    s->wake_ns = UINT64_MAX;
    s->iteration_due = s->wake_missed = false;
    if (status == STATUS_OK && w->watcher) w->watcher(w->watcher_user, n->index, s->shard, true);
    return status == STATUS_OK;
}

bool world_node_start(struct world *w, uint8_t node, struct buffer *out_error)
{
    struct world_node *n = &w->nodes[node];
    ASSERT(!n->running);
    struct buffer error;
    buffer_init(&error, 4096);
    if (n->fresh) n->folder_id = prng_u64(&w->prng);
    world__hash(w, "start", node, n->fresh, (struct slice){0});
    bool opened = true;
    for (uint8_t k = 0; k < n->shards_count && opened; k++) opened = open_shard(n, &n->shards[k], &error);
    if (!opened) {
        for (uint8_t k = 0; k < n->shards_count; k++) {
            shard_free(n->shards[k].shard);
            n->shards[k].shard = NULL;
        }
        if (out_error) buffer_append_slice(out_error, buffer_slice(&error));
    } else {
        n->running = true;
        n->fresh = false;
        for (uint8_t k = 0; k < n->shards_count; k++) world__touch(&n->shards[k]);
    }
    buffer_deinit(&error);
    return opened;
}

static void drop_deferred(struct world_node *n)
{
    release_deferred(n->world, n->index); /* each checks its generation and frees what it holds */
}

void world_node_crash(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    ASSERT(n->running);
    world__hash(w, "crash", node, 0, (struct slice){0});
    for (uint8_t k = 0; k < n->shards_count; k++) {
        disk_crash(n->shards[k].disk);
        kv_memory_crash(n->shards[k].kv);
    }
    n->running = n->stopping = false;
    n->generation++;
    n->paused = false;
    n->faults_count = 0;
    for (uint8_t k = 0; k < n->shards_count; k++) {
        shard_free(n->shards[k].shard);
        n->shards[k].shard = NULL;
    }
    drop_deferred(n);
    network__node_down(w, node);
    client__node_down(w, node);
}

void world_node_stop(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    ASSERT(n->running);
    world__hash(w, "stop", node, 0, (struct slice){0});
    n->stopping = true;
    for (uint8_t k = 0; k < n->shards_count; k++) {
        world__touch(&n->shards[k]);
        shard_stop(n->shards[k].shard);
    }
}

void world_node_wipe(struct world *w, uint8_t node)
{
    struct world_node *n = &w->nodes[node];
    ASSERT(!n->running);
    world__hash(w, "wipe", node, 0, (struct slice){0});
    for (uint8_t k = 0; k < n->shards_count; k++) {
        disk_wipe(n->shards[k].disk);
        kv_memory_wipe(n->shards[k].kv);
    }
    n->fresh = true;
}

void world_node_pause(struct world *w, uint8_t node, bool paused)
{
    world__hash(w, paused ? "pause" : "resume", node, 0, (struct slice){0});
    w->nodes[node].paused = paused;
    if (!paused && !world__node_is_held(w, node)) release_deferred(w, node);
}

void world_node_skew(struct world *w, uint8_t node, int32_t skew_ms)
{
    world__hash(w, "skew", node, (uint64_t)(int64_t)skew_ms, (struct slice){0});
    w->nodes[node].skew_ms = skew_ms;
}

void world_node_stall_disk(struct world *w, uint8_t node, uint64_t until_ns)
{
    world__hash(w, "stall", node, until_ns, (struct slice){0});
    for (uint8_t k = 0; k < w->nodes[node].shards_count; k++) disk_stall(w->nodes[node].shards[k].disk, until_ns);
}

void world_node_disk_full(struct world *w, uint8_t node, bool full)
{
    world__hash(w, full ? "disk full" : "disk room", node, 0, (struct slice){0});
    w->nodes[node].full = full;
    for (uint8_t k = 0; k < w->nodes[node].shards_count; k++) {
        struct world_shard *s = &w->nodes[node].shards[k];
        disk_set_capacity(s->disk, full ? disk_bytes(s->disk) : w->config.disk_bytes_max);
        kv_memory_set_full(s->kv, full);
    }
}

/* ---- views ---- */

bool world_node_is_full(const struct world *w, uint8_t node)
{
    return w->nodes[node].full;
}

bool world_node_is_running(const struct world *w, uint8_t node)
{
    return w->nodes[node].running;
}

uint8_t world_node_shards(const struct world *w, uint8_t node)
{
    return w->nodes[node].shards_count;
}

struct shard *world_shard(struct world *w, uint8_t node, uint8_t shard)
{
    return w->nodes[node].shards[shard].shard;
}

uint64_t world_now_ns(const struct world *w)
{
    return w->schedule.now_ns;
}

void world_run_until(struct world *w, uint64_t at_ns)
{
    while (schedule_step(&w->schedule, at_ns)) {}
}

/* An event of the world's user, which must not run once the world is being freed. */
struct planned {
    struct world *world;
    schedule_action action;
    void *user;
};

static void run_planned(void *user, uint64_t argument)
{
    struct planned *p = user;
    struct planned copy = *p;
    memory_free(p);
    if (!copy.world->closing) copy.action(copy.user, argument);
}

void world_at(struct world *w, uint64_t at_ns, schedule_action action, void *user, uint64_t argument)
{
    struct planned *p = memory_zalloc(1, sizeof *p);
    *p = (struct planned){w, action, user};
    schedule_at(&w->schedule, at_ns, run_planned, p, argument);
}

void world_watch(struct world *w, world_watcher watcher, void *user)
{
    w->watcher = watcher;
    w->watcher_user = user;
}

const struct topology *world_topology(const struct world *w)
{
    return &w->config.topology;
}

uint64_t world_hash(const struct world *w)
{
    return w->hash;
}
