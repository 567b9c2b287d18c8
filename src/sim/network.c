/* network.c: frames between nodes: latency, jitter, loss, duplication, reordering, cuts of one or both directions.
 *
 * X1  A frame is delivered only over the connection on which it was sent, to a process that was there when it was sent.
 * X2  Without loss or reordering, one direction of a connection keeps order, as TCP does.
 * X3  A two-way cut is noticed after WORLD_SILENCE_NS, a one-way cut never: its frames just vanish.
 */
#include "base/memory.h"
#include "sim/world_internal.h"

struct flight {
    struct world *world;
    uint8_t from, to; /* nodes; for frames inside a process: shards */
    uint8_t node;     /* inside a process: of which node */
    uint8_t type;
    bool inside;
    uint64_t link_generation;
    uint64_t node_generation;
    size_t length;
    uint8_t body[];
};

static struct link *link_of(struct world *w, uint8_t a, uint8_t b)
{
    return a < b ? &w->links[a][b] : &w->links[b][a];
}

static const struct fault *find_fault(const struct world_node *n, enum fault_kind kind, uint8_t from, uint8_t to)
{
    for (uint32_t i = 0; i < n->faults_count; i++) {
        const struct fault *f = &n->faults[i];
        if (f->kind == kind && f->from == from && f->to == to) return f;
    }
    return NULL;
}

/* A direction is cut if the world says so or either end's FAULT list does: each end drops for itself. */
static bool is_cut(struct world *w, uint8_t from, uint8_t to)
{
    return w->lanes[from][to].cut || find_fault(&w->nodes[from], FAULT_CUT, from, to) ||
           find_fault(&w->nodes[to], FAULT_CUT, from, to);
}

static bool is_control(uint8_t type)
{
    return type >= PEER_FRAME_CONTROL_MIN;
}

static uint64_t latency_ns(struct world *w, uint8_t from, uint8_t to)
{
    const struct topology *t = &w->config.topology;
    const struct topology_link *link = &t->links[t->nodes[from].region][t->nodes[to].region];
    uint64_t ns = (uint64_t)link->latency_us * 1000 + 50000;
    if (link->jitter_us) ns += prng_below(&w->prng, (uint64_t)link->jitter_us * 1000);
    const struct fault *f = find_fault(&w->nodes[from], FAULT_LATENCY, from, to);
    if (f) {
        ns += (uint64_t)f->latency_us * 1000;
        if (f->jitter_us) ns += prng_below(&w->prng, (uint64_t)f->jitter_us * 1000);
    }
    return ns;
}

static bool is_lost(struct world *w, uint8_t from, uint8_t to)
{
    if (w->config.loss_permille && prng_chance(&w->prng, w->config.loss_permille, 1000)) return true;
    const struct fault *f = find_fault(&w->nodes[from], FAULT_LOSS, from, to);
    return f && prng_chance(&w->prng, f->loss_permille, 1000);
}

/* ---- connections ---- */

static void tell_link(struct world *w, uint8_t node, uint8_t peer, bool up)
{
    struct world_node *n = &w->nodes[node];
    for (uint8_t i = 0; n->running && i < n->shards_count; i++) {
        world__touch(&n->shards[i]);
        if (up)
            shard_on_peer_up(n->shards[i].shard, peer);
        else
            shard_on_peer_down(n->shards[i].shard, peer);
    }
}

static void set_link(struct world *w, uint8_t a, uint8_t b, bool up)
{
    struct link *link = link_of(w, a, b);
    link->up = up;
    link->generation++;
    link->since_ns = up ? 0 : w->schedule.now_ns;
    link->reconnect_ns = w->schedule.now_ns + prng_range(&w->prng, WORLD_RECONNECT_NS_MAX / 8, WORLD_RECONNECT_NS_MAX);
    w->lanes[a][b].queued_bytes = w->lanes[b][a].queued_bytes = 0;
    world__hash(w, up ? "link up" : "link down", a, b, (struct slice){0});
    tell_link(w, a, b, up);
    tell_link(w, b, a, up);
}

static void check_link(struct world *w, uint8_t a, uint8_t b)
{
    struct link *link = link_of(w, a, b);
    uint64_t now = w->schedule.now_ns;
    bool both_run = w->nodes[a].running && w->nodes[b].running;
    bool severed = is_cut(w, a, b) && is_cut(w, b, a);
    bool held = world__node_is_held(w, a) || world__node_is_held(w, b);
    if (link->up) {
        if (!severed && !held)
            link->since_ns = 0;
        else if (link->since_ns == 0)
            link->since_ns = now;
        else if (now - link->since_ns >= WORLD_SILENCE_NS && severed)
            set_link(w, a, b, false);
    } else if (both_run && !severed && !held && now >= link->reconnect_ns) {
        set_link(w, a, b, true);
    }
}

static void check_links(void *user, uint64_t argument)
{
    struct world *w = user;
    MAYBE(argument == 0);
    if (w->closing) return;
    for (uint32_t a = 0; a < w->config.topology.nodes_count; a++) {
        for (uint32_t b = a + 1; b < w->config.topology.nodes_count; b++) check_link(w, (uint8_t)a, (uint8_t)b);
    }
    schedule_at(&w->schedule, w->schedule.now_ns + WORLD_LINK_CHECK_NS, check_links, w, 0);
}

void network__start(struct world *w)
{
    schedule_at(&w->schedule, w->schedule.now_ns + 1000000, check_links, w, 0);
}

void network__node_down(struct world *w, uint8_t node)
{
    for (uint32_t peer = 0; peer < w->config.topology.nodes_count; peer++) {
        if (peer != node && link_of(w, node, (uint8_t)peer)->up) set_link(w, node, (uint8_t)peer, false);
    }
}

/* ---- frames ---- */

static void arrive(void *user, uint64_t argument);

static void deliver_between_nodes(struct flight *f)
{
    struct world *w = f->world;
    struct link *link = link_of(w, f->from, f->to);
    struct world_node *to = &w->nodes[f->to];
    struct lane *lane = &w->lanes[f->from][f->to];
    bool same_connection = link->up && link->generation == f->link_generation;
    if (same_connection) lane->queued_bytes -= f->length < lane->queued_bytes ? f->length : lane->queued_bytes;
    bool control = is_control(f->type);
    if (!to->running || to->generation != f->node_generation) return;
    if (!control && (!same_connection || is_cut(w, f->from, f->to))) return;
    struct slice body = slice_of(f->body, f->length);
    struct world_shard *s = &to->shards[shard_of_frame(f->type, body, to->shards_count)];
    world__hash(w, "frame", (uint64_t)f->from << 16 | (uint64_t)f->to << 8 | f->type, f->length, body);
    world__touch(s);
    if (!shard_on_peer_frame(s->shard, f->from, f->type, body)) {
        if (same_connection) set_link(w, f->from, f->to, false);
        return;
    }
    struct world_node *from = &w->nodes[f->from];
    if (!lane->wants_room || !from->running || lane->queued_bytes > WORLD_PEER_QUEUE_BYTES_MAX / 2) return;
    lane->wants_room = false;
    for (uint8_t i = 0; i < from->shards_count; i++) {
        world__touch(&from->shards[i]);
        shard_on_peer_writable(from->shards[i].shard, f->to);
    }
}

static void deliver_inside(struct flight *f)
{
    struct world_node *n = &f->world->nodes[f->node];
    if (!n->running || n->generation != f->node_generation) return;
    struct world_shard *s = &n->shards[f->to];
    world__touch(s);
    shard_on_shard_frame(s->shard, f->from, f->type, slice_of(f->body, f->length));
}

static void arrive(void *user, uint64_t argument)
{
    struct flight *f = user;
    uint8_t node = f->inside ? f->node : f->to;
    if (!is_control(f->type) && world__defer_if_paused(f->world, node, arrive, f, argument)) return;
    if (f->inside)
        deliver_inside(f);
    else
        deliver_between_nodes(f);
    memory_free(f);
}

static struct flight *new_flight(struct world *w, uint8_t type, struct slice body)
{
    struct flight *f = memory_zalloc(1, sizeof *f + body.length);
    f->world = w;
    f->type = type;
    f->length = body.length;
    if (body.length) memcpy(f->body, body.data, body.length);
    return f;
}

static void launch(struct world *w, uint8_t from, uint8_t to, uint8_t type, struct slice body, bool in_order)
{
    struct flight *f = new_flight(w, type, body);
    struct lane *lane = &w->lanes[from][to];
    f->from = from;
    f->to = to;
    f->link_generation = link_of(w, from, to)->generation;
    f->node_generation = w->nodes[to].generation;
    uint64_t at = w->schedule.now_ns + (is_control(type) ? 200000 : latency_ns(w, from, to));
    if (in_order && !is_control(type)) {
        if (at < lane->last_arrival_ns) at = lane->last_arrival_ns;
        lane->last_arrival_ns = at;
    }
    lane->queued_bytes += body.length;
    schedule_at(&w->schedule, at, arrive, f, 0);
}

bool network__send(struct world *w, uint8_t from, uint8_t to, uint8_t type, struct slice body)
{
    struct lane *lane = &w->lanes[from][to];
    if (!w->nodes[to].running) return false;
    if (!is_control(type)) {
        if (!link_of(w, from, to)->up) return false;
        if (lane->queued_bytes + body.length > WORLD_PEER_QUEUE_BYTES_MAX) {
            lane->wants_room = true;
            return false;
        }
        lane->sent_bytes += body.length + 12;
        if (is_cut(w, from, to) || is_lost(w, from, to)) return true; /* the sender can't know */
    }
    bool reordered = w->config.reorder_permille && prng_chance(&w->prng, w->config.reorder_permille, 1000);
    launch(w, from, to, type, body, !reordered);
    if (w->config.duplicate_permille && prng_chance(&w->prng, w->config.duplicate_permille, 1000)) {
        launch(w, from, to, type, body, false);
    }
    return true;
}

size_t network__room(struct world *w, uint8_t from, uint8_t to)
{
    struct lane *lane = &w->lanes[from][to];
    if (!link_of(w, from, to)->up || !w->nodes[to].running) return 0;
    size_t room = lane->queued_bytes < WORLD_PEER_QUEUE_BYTES_MAX ? WORLD_PEER_QUEUE_BYTES_MAX - lane->queued_bytes : 0;
    if (room < WORLD_PEER_QUEUE_BYTES_MAX / 4) lane->wants_room = true;
    return room;
}

bool network__shard_send(struct world_shard *from, uint8_t to_shard, uint8_t type, struct slice body)
{
    struct world *w = from->world;
    struct flight *f = new_flight(w, type, body);
    f->inside = true;
    f->node = from->node;
    f->from = from->index;
    f->to = to_shard;
    f->node_generation = w->nodes[from->node].generation;
    uint64_t at_ns = w->schedule.now_ns + prng_range(&w->prng, 2000, 60000);
    if (at_ns < from->mail_ns[to_shard]) at_ns = from->mail_ns[to_shard];
    from->mail_ns[to_shard] = at_ns;
    schedule_at(&w->schedule, at_ns, arrive, f, 0);
    return true;
}

void world_cut(struct world *w, uint8_t from, uint8_t to, bool cut)
{
    world__hash(w, cut ? "cut" : "uncut", from, to, (struct slice){0});
    w->lanes[from][to].cut = cut;
}

void world_heal(struct world *w)
{
    for (uint32_t a = 0; a < w->config.topology.nodes_count; a++) {
        for (uint32_t b = 0; b < w->config.topology.nodes_count; b++) w->lanes[a][b].cut = false;
    }
}

void world_calm(struct world *w)
{
    w->config.loss_permille = w->config.duplicate_permille = w->config.reorder_permille = 0;
}

uint64_t world_bytes_between(const struct world *w, uint8_t from, uint8_t to)
{
    return w->lanes[from][to].sent_bytes;
}
