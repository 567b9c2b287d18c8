/* client.c: virtual RESP clients: bytes to a shard and replies back, a little later, in order.
 *
 * Y1  A client gets one reply per command in order, or the word that its connection was closed.
 */
#include "base/memory.h"
#include "sim/world_internal.h"

enum { CLIENT_DELAY_NS_MIN = 20000, CLIENT_DELAY_NS_MAX = 90000 };

struct world_client {
    struct world *world;
    uint64_t id;
    uint8_t node, shard;
    uint64_t generation; /* of the node's process it is connected to */
    bool open;           /* our side still listens */
    bool server_open;    /* the shard knows it */
    bool paused;
    bool read_due, write_due;
    struct buffer to_server; /* sent, not yet consumed by the shard */
    struct buffer from_server;
    world_reply on_reply;
    void *user;
};

static struct world_client *find_client(struct world *w, uint64_t id)
{
    return id >= 1 && id <= w->clients_count ? w->clients[id - 1] : NULL;
}

static uint64_t soon(struct world *w)
{
    return w->schedule.now_ns + prng_range(&w->prng, CLIENT_DELAY_NS_MIN, CLIENT_DELAY_NS_MAX);
}

static bool is_connected(const struct world_client *c)
{
    const struct world_node *n = &c->world->nodes[c->node];
    return c->server_open && n->running && n->generation == c->generation;
}

uint64_t world_client_open(struct world *w, uint8_t node, world_reply on_reply, void *user)
{
    struct world_node *n = &w->nodes[node];
    if (!n->running || world__node_is_held(w, node)) return 0;
    if (w->clients_count == w->clients_capacity) {
        w->clients_capacity = w->clients_capacity ? 2 * w->clients_capacity : 64;
        w->clients = memory_realloc(w->clients, w->clients_capacity * sizeof *w->clients);
    }
    struct world_client *c = memory_zalloc(1, sizeof *c);
    w->clients[w->clients_count++] = c;
    *c = (struct world_client){.world = w,
                               .id = w->clients_count,
                               .node = node,
                               .generation = n->generation,
                               .open = true,
                               .server_open = true,
                               .on_reply = on_reply,
                               .user = user};
    c->shard = (uint8_t)prng_below(&w->prng, n->shards_count);
    buffer_init(&c->to_server, RESP_REQUEST_BYTES_MAX);
    buffer_init(&c->from_server, RESP_REQUEST_BYTES_MAX);
    world__touch(&n->shards[c->shard]);
    shard_on_client_open(n->shards[c->shard].shard, c->id, "virtual");
    return c->id;
}

/* ---- to the server ---- */

static void write_to_shard(void *user, uint64_t argument)
{
    struct world_client *c = user;
    if (!is_connected(c)) {
        c->write_due = false;
        return;
    }
    if (world__defer_if_paused(c->world, c->node, write_to_shard, c, argument)) return;
    c->write_due = false;
    if (c->paused || c->to_server.length == 0) return;
    struct world_shard *s = &c->world->nodes[c->node].shards[c->shard];
    world__touch(s);
    world__hash(c->world, "client", c->id, c->to_server.length, buffer_slice(&c->to_server));
    size_t used = shard_on_client_bytes(s->shard, c->id, buffer_slice(&c->to_server));
    ASSERT(used <= c->to_server.length);
    buffer_consume(&c->to_server, used);
}

static void plan_write(struct world_client *c)
{
    if (c->write_due || !c->open) return;
    c->write_due = true;
    schedule_at(&c->world->schedule, soon(c->world), write_to_shard, c, 0);
}

void world_client_send(struct world *w, uint64_t client, const struct slice *words, size_t count)
{
    struct world_client *c = find_client(w, client);
    if (!c || !c->open) return;
    resp_write_array(&c->to_server, count);
    for (size_t i = 0; i < count; i++) resp_write_bulk(&c->to_server, words[i]);
    ASSERT(!c->to_server.overflowed);
    plan_write(c);
}

void world_client_send_bytes(struct world *w, uint64_t client, struct slice bytes)
{
    struct world_client *c = find_client(w, client);
    if (!c || !c->open) return;
    buffer_append_slice(&c->to_server, bytes);
    plan_write(c);
}

/* ---- from the server ---- */

static void close_client(struct world_client *c)
{
    if (!c->open || c->world->closing) return;
    c->open = false;
    c->on_reply(c->user, c->id, NULL);
}

static void read_replies(void *user, uint64_t argument)
{
    struct world_client *c = user;
    MAYBE(argument == 0);
    c->read_due = false;
    struct arena arena;
    arena_init(&arena);
    size_t at = 0;
    while (c->open) {
        struct resp_value value;
        size_t used;
        enum status status = resp_read(slice_skip(buffer_slice(&c->from_server), at), &arena, &value, &used);
        if (status == STATUS_MORE) break;
        ASSERT(status == STATUS_OK); /* what our server sends is RESP */
        world__hash(c->world, "reply", c->id, used, slice_of(c->from_server.data + at, used));
        at += used;
        c->on_reply(c->user, c->id, &value);
        arena_reset(&arena);
    }
    buffer_consume(&c->from_server, at);
    arena_deinit(&arena);
    if (!is_connected(c)) close_client(c);
}

static void plan_read(struct world_client *c)
{
    if (c->read_due) return;
    c->read_due = true;
    schedule_at(&c->world->schedule, soon(c->world), read_replies, c, 0);
}

bool client__from_server(struct world_shard *s, uint64_t client, struct slice bytes)
{
    struct world_client *c = find_client(s->world, client);
    ASSERT(c && c->node == s->node && c->shard == s->index);
    if (!c->open || !is_connected(c)) return false;
    buffer_append_slice(&c->from_server, bytes);
    plan_read(c);
    return true;
}

void client__close_from_server(struct world_shard *s, uint64_t client)
{
    struct world_client *c = find_client(s->world, client);
    ASSERT(c);
    c->server_open = false;
    plan_read(c);
}

void client__pause(struct world_shard *s, uint64_t client, bool paused)
{
    struct world_client *c = find_client(s->world, client);
    ASSERT(c);
    c->paused = paused;
    if (!paused) plan_write(c);
}

static void tell_closed(void *user, uint64_t argument)
{
    struct world_client *c = user;
    if (!is_connected(c)) return;
    if (world__defer_if_paused(c->world, c->node, tell_closed, c, argument)) return;
    struct world_shard *s = &c->world->nodes[c->node].shards[c->shard];
    c->server_open = false;
    world__touch(s);
    shard_on_client_closed(s->shard, c->id);
}

void world_client_close(struct world *w, uint64_t client)
{
    struct world_client *c = find_client(w, client);
    if (!c || !c->open) return;
    c->open = false;
    schedule_at(&w->schedule, soon(w), tell_closed, c, 0);
}

void client__node_down(struct world *w, uint8_t node)
{
    for (size_t i = 0; i < w->clients_count; i++) {
        struct world_client *c = w->clients[i];
        if (c->node == node && c->open) plan_read(c); /* what the process had sent still arrives, then the end */
    }
}

void client__free_all(struct world *w)
{
    for (size_t i = 0; i < w->clients_count; i++) {
        buffer_deinit(&w->clients[i]->to_server);
        buffer_deinit(&w->clients[i]->from_server);
        memory_free(w->clients[i]);
    }
    memory_free(w->clients);
}
