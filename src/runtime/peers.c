/* peers.c: dialling, shaking hands, and telling which nodes are up.
 *
 *   dialled wire    connecting ──▶ hello sent ──▶ shaken (the other end answered with its hello)
 *   accepted wire   stranger ──▶ shaken (its hello named a node of this cluster, and was answered)
 *
 *   Q1  A node is up if and only if its dialled and its accepted data wire are both shaken.
 *   Q2  When either data wire of a node that is up ends, both are closed: nothing of an old connection reaches a new
 * one. Q3  A frame of the node is handed in only while it is up; one that comes earlier waits in its wire.
 */
#include "runtime/peers.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/memory.h"
#include "runtime/peer_wire.h"
#include "runtime/runtime_internal.h"
#include "runtime/wan.h"
#include "wire/varint.h"

enum { CHANNEL_DATA, CHANNEL_CONTROL, CHANNELS };
enum link_frame { LINK_HELLO = 1, LINK_PING, LINK_REFUSED };
enum {
    HELLO_MAGIC = 0x4E44524D, /* "MRDN", little endian */
    PEER_UNKNOWN = 0xFF,
    STRANGERS_MAX = 128,
    TICK_MS = 100,
    TICK_LATE_MS = 1000, /* a process that slept so long judges nobody's silence */
    PING_QUEUE_BYTES_MAX = 16 * 1024,
    REASON_BYTES_MAX = 256,
    LISTEN_BACKLOG = 128,
};
#define MS_NS 1000000ull

struct peer {
    struct wire *dialled[CHANNELS], *accepted[CHANNELS];
    uint64_t redial_ns[CHANNELS];
    uint32_t backoff_ms[CHANNELS];
    bool up;
    bool full;                        /* its queue was found long: tell when it is short again */
    char complaint[REASON_BYTES_MAX]; /* last logged, so that a lasting trouble is one line */
};

struct peers {
    struct peers_config config;
    struct peers_functions functions;
    uv_loop_t *loop;
    uv_tcp_t listener;
    uv_timer_t tick, release;
    struct wan wan;
    struct prng prng;
    struct list strangers; /* accepted, not yet introduced */
    uint32_t strangers_count;
    uint64_t cluster; /* hash of the ids in order: indexes mean the same at both ends */
    uint64_t ticked_ns;
    uint64_t flush_ns; /* nothing is due before */
    bool paused, stopping;
    uint32_t handles_open;
    struct peer peers[TOPOLOGY_NODES_MAX];
};

static const char *peer_id(const struct peers *p, uint8_t node)
{
    return p->config.topology->nodes[node].id;
}

static PRINTF_LIKE(4, 5) void say(struct peers *p, char level, const char *event, const char *format, ...)
{
    char text[REASON_BYTES_MAX * 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    p->functions.log_line(p->functions.user, level, event, text);
}

static uint64_t cluster_hash(const struct topology *t)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < t->nodes_count; i++) hash = hash_bytes(slice_of_string(t->nodes[i].id), hash + 1);
    return hash;
}

/* ---- sending on a wire ---- */

static void send_frame(struct wire *w, uint8_t type, uint8_t flags, struct slice body)
{
    struct peers *p = w->owner;
    uint64_t now = loop__mono_ns();
    uint64_t release = w->channel == CHANNEL_CONTROL ? now : wan_release_ns(&p->wan, w->peer, now);
    wire_append(w, type, flags, body, release);
    p->flush_ns = 0;
}

static void send_hello(struct wire *w)
{
    struct peers *p = w->owner;
    const struct topology *t = p->config.topology;
    struct buffer b;
    buffer_init(&b, 256);
    write_u32(&b, HELLO_MAGIC);
    write_varint(&b, PEER_PROTOCOL_VERSION);
    write_u8(&b, w->channel);
    write_u64(&b, p->cluster);
    write_varint(&b, t->nodes[p->config.node].number);
    write_varint(&b, t->epoch);
    send_frame(w, LINK_HELLO, WIRE_FLAG_LINK, buffer_slice(&b));
    buffer_deinit(&b);
}

/* ---- up and down ---- */

static void plan_redial(struct peers *p, uint8_t node, uint8_t channel)
{
    struct peer *peer = &p->peers[node];
    uint32_t backoff = peer->backoff_ms[channel];
    uint64_t wait_ms = prng_range(&p->prng, backoff / 2, backoff);
    peer->redial_ns[channel] = loop__mono_ns() + wait_ms * MS_NS;
    peer->backoff_ms[channel] = backoff * 2 > PEER_BACKOFF_MS_MAX ? PEER_BACKOFF_MS_MAX : backoff * 2;
}

static void drop_wire(struct wire **place)
{
    struct wire *w = *place;
    *place = NULL;
    wire_close(w);
}

static void go_down(struct peers *p, uint8_t node, const char *reason)
{
    struct peer *peer = &p->peers[node];
    ASSERT(peer->up);
    peer->up = peer->full = false;
    drop_wire(&peer->dialled[CHANNEL_DATA]);
    drop_wire(&peer->accepted[CHANNEL_DATA]);
    wan_forget(&p->wan, node);
    plan_redial(p, node, CHANNEL_DATA);
    if (p->stopping) return;
    say(p, 'I', "peer-link-ended", "node=%s reason=\"%s\"", peer_id(p, node), reason);
    p->functions.down(p->functions.user, node);
}

static void check_up(struct peers *p, uint8_t node)
{
    struct peer *peer = &p->peers[node];
    struct wire *dialled = peer->dialled[CHANNEL_DATA], *accepted = peer->accepted[CHANNEL_DATA];
    if (peer->up || !dialled || !dialled->shaken || !accepted || !accepted->shaken) return;
    peer->up = true;
    peer->backoff_ms[CHANNEL_DATA] = PEER_BACKOFF_MS_MIN;
    peer->complaint[0] = '\0';
    p->functions.up(p->functions.user, node);
    if (peer->up && !p->paused) wire_set_reading(accepted, true);
}

static void on_ended(struct wire *w, const char *reason)
{
    struct peers *p = w->owner;
    if (w->peer == PEER_UNKNOWN) {
        list_remove(&w->node);
        p->strangers_count--;
        if (w->in.length > 0) say(p, 'W', "peer-rejected", "reason=\"%s\"", reason);
        return;
    }
    struct peer *peer = &p->peers[w->peer];
    struct wire **place = w->accepted ? &peer->accepted[w->channel] : &peer->dialled[w->channel];
    if (*place != w) return;
    if (w->channel == CHANNEL_DATA && peer->up) {
        go_down(p, w->peer, reason);
        return;
    }
    *place = NULL;
    if (!w->accepted) plan_redial(p, w->peer, w->channel);
}

static void end_wire(struct wire *w, const char *reason)
{
    on_ended(w, reason);
    wire_close(w);
}

/* ---- shaking hands ---- */

struct hello {
    uint8_t node, channel;
};

/* Why the other end's hello can't be accepted; NULL when it can. */
static const char *hello_refusal(const struct peers *p, struct slice body, struct hello *out)
{
    struct reader r = reader_of(body);
    if (read_u32(&r) != HELLO_MAGIC) return "it does not speak this protocol";
    if (read_varint(&r) != PEER_PROTOCOL_VERSION) return "it speaks another version of the protocol";
    uint8_t channel = read_u8(&r);
    uint64_t cluster = read_u64(&r);
    uint64_t number = read_varint(&r);
    uint64_t epoch = read_varint(&r);
    if (!reader_finished(&r) || channel >= CHANNELS) return "its handshake is malformed";
    if (cluster != p->cluster) return "its configuration lists other nodes";
    if (epoch != p->config.topology->epoch) return "it is of another membership epoch";
    int node = number <= UINT16_MAX ? topology_node_by_number(p->config.topology, (uint16_t)number) : -1;
    if (node < 0) return "its node is not in our configuration";
    if (node == p->config.node) return "it says that it is this very node";
    *out = (struct hello){(uint8_t)node, channel};
    return NULL;
}

static void complain(struct peers *p, uint8_t node, const char *event, const char *reason)
{
    struct peer *peer = &p->peers[node];
    if (strcmp(peer->complaint, reason) == 0) return;
    snprintf(peer->complaint, sizeof peer->complaint, "%s", reason);
    say(p, 'W', event, "node=%s reason=\"%s\"", peer_id(p, node), reason);
}

/* A stranger introduced itself. */
static enum wire_taken on_introduction(struct peers *p, struct wire *w, const struct frame *frame)
{
    struct hello hello = {0};
    const char *refusal = frame->flags != WIRE_FLAG_LINK || frame->type != LINK_HELLO
                              ? "no handshake"
                              : hello_refusal(p, frame->body, &hello);
    if (refusal) {
        say(p, 'W', "peer-rejected", "reason=\"%s\"", refusal);
        wire_append(w, LINK_REFUSED, WIRE_FLAG_LINK, slice_of_string(refusal), 0);
        wire_flush(w, loop__mono_ns());
        if (!w->closing && w->node.next) {
            list_remove(&w->node);
            p->strangers_count--;
            wire_close(w);
        }
        return WIRE_ENDED;
    }
    if (p->paused && hello.channel == CHANNEL_DATA) return WIRE_LATER;
    list_remove(&w->node);
    p->strangers_count--;
    struct peer *peer = &p->peers[hello.node];
    if (hello.channel == CHANNEL_DATA && peer->up) go_down(p, hello.node, "it connected anew");
    drop_wire(&peer->accepted[hello.channel]);
    peer->accepted[hello.channel] = w;
    w->peer = hello.node;
    w->channel = hello.channel;
    w->shaken = true;
    send_hello(w);
    /* It is there: don't let an old back-off delay our own side. */
    peer->backoff_ms[hello.channel] = PEER_BACKOFF_MS_MIN;
    if (!peer->dialled[hello.channel]) peer->redial_ns[hello.channel] = 0;
    if (hello.channel == CHANNEL_DATA) check_up(p, hello.node);
    return w->closing ? WIRE_ENDED : WIRE_TAKEN;
}

/* The other end of a wire that we dialled answered. */
static enum wire_taken on_answer(struct peers *p, struct wire *w, const struct frame *frame)
{
    struct hello hello = {0};
    char reason[REASON_BYTES_MAX];
    if (frame->type == LINK_HELLO) {
        const char *refusal = hello_refusal(p, frame->body, &hello);
        if (!refusal && hello.node != w->peer) refusal = "another node answers at its address";
        if (!refusal && hello.channel != w->channel) refusal = "it answered for another channel";
        if (!refusal) {
            w->shaken = true;
            if (w->channel == CHANNEL_CONTROL)
                p->peers[w->peer].backoff_ms[CHANNEL_CONTROL] = PEER_BACKOFF_MS_MIN;
            else
                check_up(p, w->peer);
            return w->closing ? WIRE_ENDED : WIRE_TAKEN;
        }
        snprintf(reason, sizeof reason, "%s", refusal);
    } else if (frame->type == LINK_REFUSED) {
        int length = frame->body.length < 200 ? (int)frame->body.length : 200;
        snprintf(reason, sizeof reason, "it refused us: %.*s", length, (const char *)frame->body.data);
        for (char *c = reason; *c; c++) {
            if (*c < ' ' || *c == '"') *c = '?';
        }
    } else {
        snprintf(reason, sizeof reason, "no handshake");
    }
    complain(p, w->peer, "peer-refused", reason);
    p->peers[w->peer].backoff_ms[w->channel] = PEER_BACKOFF_MS_MAX;
    end_wire(w, reason);
    return WIRE_ENDED;
}

static enum wire_taken on_node_frame(struct peers *p, struct wire *w, const struct frame *frame)
{
    bool control = frame->type >= PEER_FRAME_CONTROL_MIN;
    if (!w->accepted || frame->flags != 0 || control != (w->channel == CHANNEL_CONTROL)) {
        complain(p, w->peer, "peer-broke-protocol", "a frame on the wrong connection");
        end_wire(w, "a frame on the wrong connection");
        return WIRE_ENDED;
    }
    if (!control && !p->peers[w->peer].up) return WIRE_LATER; /* Q3 */
    bool good = p->functions.frame(p->functions.user, w->peer, frame->type, frame->body);
    if (w->closing) return WIRE_ENDED;
    if (good) return WIRE_TAKEN;
    end_wire(w, "its frame was refused");
    return WIRE_ENDED;
}

static enum wire_taken on_frame(struct wire *w, const struct frame *frame)
{
    struct peers *p = w->owner;
    if (w->peer == PEER_UNKNOWN) return on_introduction(p, w, frame);
    if (frame->flags != WIRE_FLAG_LINK) return on_node_frame(p, w, frame);
    if (!w->shaken) return on_answer(p, w, frame);
    if (frame->type == LINK_PING) return WIRE_TAKEN;
    end_wire(w, "an unknown frame of the connection");
    return WIRE_ENDED;
}

static void on_connected(struct wire *w)
{
    send_hello(w);
}

static void on_sent(struct wire *w)
{
    struct peers *p = w->owner;
    if (w->accepted || w->channel != CHANNEL_DATA) return;
    struct peer *peer = &p->peers[w->peer];
    if (!peer->full || w->queued_bytes > PEER_QUEUE_BYTES_MAX / 4) return;
    peer->full = false;
    if (peer->up) p->functions.writable(p->functions.user, w->peer);
}

static const struct wire_functions wire_callbacks = {on_connected, on_frame, on_sent, on_ended};

/* ---- dialling and accepting ---- */

/* Where this node reaches `node`: its own address for it, if the configuration gives one (a proxy), else the usual one.
 */
static const struct topology_address *address_of(const struct peers *p, uint8_t node)
{
    const struct topology_node *self = &p->config.topology->nodes[p->config.node];
    for (uint8_t i = 0; i < self->peer_overrides_count; i++) {
        if (self->peer_overrides[i].node == node) return &self->peer_overrides[i].address;
    }
    return &p->config.topology->nodes[node].peer;
}

static void dial(struct peers *p, uint8_t node, uint8_t channel, uint64_t now)
{
    struct wire *w = wire_new(p->loop, &wire_callbacks, p, now);
    w->peer = node;
    w->channel = channel;
    p->peers[node].dialled[channel] = w;
    const struct topology_address *address = address_of(p, node);
    wire_connect(w, address->host, address->port);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peers *p = listener->data;
    if (status != 0) {
        say(p, 'W', "peer-accept-failed", "reason=\"%s\"", uv_strerror(status));
        return;
    }
    struct wire *w = wire_new(p->loop, &wire_callbacks, p, loop__mono_ns());
    w->peer = PEER_UNKNOWN;
    w->accepted = true;
    if (!wire_accept(w, listener) || p->strangers_count >= STRANGERS_MAX) {
        wire_close(w);
        return;
    }
    list_push_back(&p->strangers, &w->node);
    p->strangers_count++;
}

/* ---- keeping watch ---- */

static uint64_t silence_ns(const struct peers *p, uint8_t node)
{
    return (PEER_SILENCE_MS + 4ull * wan_latency_us(&p->wan, node) / 1000) * MS_NS;
}

static void watch(struct peers *p, struct wire *w, uint64_t now)
{
    uint64_t silence = silence_ns(p, w->peer);
    if (!w->shaken) {
        if (now - w->since_ns > PEER_HANDSHAKE_MS * MS_NS + silence) end_wire(w, "no handshake in time");
        return;
    }
    if (!w->reading) {
        /* It waits for us to be up; our own dialling fails. Let it try anew. */
        if (now - w->since_ns > PEER_HANDSHAKE_MS * MS_NS + silence) end_wire(w, "only one direction connects");
        return;
    }
    if (now - w->heard_ns > silence) {
        end_wire(w, "silence");
        return;
    }
    if (now - w->sent_ns >= PEER_PING_MS * MS_NS && w->queued_bytes < PING_QUEUE_BYTES_MAX) {
        w->sent_ns = now;
        send_frame(w, LINK_PING, WIRE_FLAG_LINK, (struct slice){0});
    }
}

static void watch_peer(struct peers *p, uint8_t node, uint8_t channel, uint64_t now)
{
    struct peer *peer = &p->peers[node];
    if (peer->dialled[channel]) watch(p, peer->dialled[channel], now);
    if (peer->accepted[channel]) watch(p, peer->accepted[channel], now);
    if (!peer->dialled[channel] && now >= peer->redial_ns[channel]) dial(p, node, channel, now);
}

static void forgive_silence(struct peers *p, uint64_t now)
{
    for (uint32_t i = 0; i < p->config.topology->nodes_count; i++) {
        for (int c = 0; c < CHANNELS; c++) {
            if (p->peers[i].dialled[c]) p->peers[i].dialled[c]->heard_ns = now;
            if (p->peers[i].accepted[c]) p->peers[i].accepted[c]->heard_ns = now;
        }
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct peers *p = timer->data;
    uint64_t now = loop__mono_ns();
    if (now - p->ticked_ns > TICK_LATE_MS * MS_NS) forgive_silence(p, now);
    p->ticked_ns = now;
    for (struct list_node *n = p->strangers.head.next, *next; n != &p->strangers.head; n = next) {
        next = n->next;
        struct wire *w = CONTAINER_OF(n, struct wire, node);
        if (!p->paused && now - w->since_ns > 2 * PEER_HANDSHAKE_MS * MS_NS) end_wire(w, "no handshake in time");
    }
    for (uint32_t i = 0; i < p->config.topology->nodes_count; i++) {
        if (i == p->config.node) continue;
        watch_peer(p, (uint8_t)i, CHANNEL_CONTROL, now);
        if (!p->paused) watch_peer(p, (uint8_t)i, CHANNEL_DATA, now);
    }
    peers_flush(p);
}

static uint64_t flush_wire(const struct peers *p, struct wire *w, uint64_t now)
{
    if (!w) return UINT64_MAX;
    if (w->channel == CHANNEL_DATA && (p->paused || wan_is_cut(&p->wan, p->config.node, w->peer))) return UINT64_MAX;
    return wire_flush(w, now);
}

/* libuv counts whole milliseconds from a time that lags by up to one: the timer may be early. Looking again arms it for
 * the rest; returning at once would leave what is due to the next tick. */
static void on_release(uv_timer_t *timer)
{
    struct peers *p = timer->data;
    p->flush_ns = 0;
    peers_flush(p);
}

void peers_flush(struct peers *p)
{
    uint64_t now = loop__mono_ns();
    if (!p || now < p->flush_ns) return;
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < p->config.topology->nodes_count; i++) {
        for (int c = 0; c < CHANNELS; c++) {
            uint64_t dialled = flush_wire(p, p->peers[i].dialled[c], now);
            uint64_t accepted = flush_wire(p, p->peers[i].accepted[c], now);
            if (dialled < next) next = dialled;
            if (accepted < next) next = accepted;
        }
    }
    p->flush_ns = next;
    if (next == UINT64_MAX) {
        uv_timer_stop(&p->release);
        return;
    }
    uv_update_time(p->loop);
    uv_timer_start(&p->release, on_release, (next - now + MS_NS - 1) / MS_NS, 0);
}

/* ---- the face ---- */

bool peers_send(struct peers *p, uint8_t node, uint8_t type, struct slice body)
{
    if (!p) return false; /* the shard opens before its peers */
    struct peer *peer = &p->peers[node];
    bool control = type >= PEER_FRAME_CONTROL_MIN;
    struct wire *w = peer->dialled[control ? CHANNEL_CONTROL : CHANNEL_DATA];
    if (!w || !w->shaken || (!control && !peer->up) || body.length > FRAME_BODY_BYTES_MAX) return false;
    size_t after = w->queued_bytes + FRAME_HEADER_BYTES + body.length;
    if (after > PEER_QUEUE_BYTES_MAX / 2) peer->full = true;
    if (after > PEER_QUEUE_BYTES_MAX && w->queued_bytes > 0) return false;
    send_frame(w, type, 0, body);
    return true;
}

size_t peers_room(const struct peers *p, uint8_t node)
{
    const struct peer *peer = p ? &p->peers[node] : NULL;
    if (!peer || !peer->up) return 0;
    size_t queued = peer->dialled[CHANNEL_DATA]->queued_bytes;
    return queued < PEER_QUEUE_BYTES_MAX ? PEER_QUEUE_BYTES_MAX - queued : 0;
}

static void set_paused(struct peers *p, bool paused)
{
    p->paused = paused;
    for (uint32_t i = 0; i < p->config.topology->nodes_count; i++) {
        struct peer *peer = &p->peers[i];
        if (peer->dialled[CHANNEL_DATA]) wire_set_reading(peer->dialled[CHANNEL_DATA], !paused);
        if (peer->accepted[CHANNEL_DATA]) wire_set_reading(peer->accepted[CHANNEL_DATA], !paused);
    }
    for (struct list_node *n = p->strangers.head.next, *next; !paused && n != &p->strangers.head; n = next) {
        next = n->next;
        wire_set_reading(CONTAINER_OF(n, struct wire, node), true);
    }
}

void peers_set_faults(struct peers *p, const struct fault *faults, uint32_t count)
{
    wan_set_faults(&p->wan, faults, count);
    p->flush_ns = 0;
    bool paused = wan_is_paused(&p->wan);
    if (paused == p->paused) return;
    say(p, 'W', paused ? "paused" : "resumed", "node=%s", peer_id(p, p->config.node));
    set_paused(p, paused);
}

bool peers_is_paused(const struct peers *p)
{
    return p->paused;
}

int32_t peers_skew_ms(const struct peers *p)
{
    return wan_skew_ms(&p->wan);
}

/* ---- life ---- */

static int listen_at(struct peers *p, const struct topology_address *address)
{
    char service[8];
    snprintf(service, sizeof service, "%u", address->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t request;
    int failed = uv_getaddrinfo(p->loop, &request, NULL, address->host, service, &hints);
    if (failed) return failed;
    failed = uv_tcp_bind(&p->listener, request.addrinfo->ai_addr, 0);
    if (!failed) failed = uv_listen((uv_stream_t *)&p->listener, LISTEN_BACKLOG, on_connection);
    uv_freeaddrinfo(request.addrinfo);
    return failed;
}

enum status peers_start(uv_loop_t *loop, const struct peers_config *config, const struct peers_functions *functions,
                        struct peers **out, struct buffer *out_error)
{
    struct peers *p = memory_zalloc(1, sizeof *p);
    p->config = *config;
    p->functions = *functions;
    p->loop = loop;
    p->cluster = cluster_hash(config->topology);
    p->ticked_ns = loop__mono_ns();
    prng_init(&p->prng, config->seed);
    wan_init(&p->wan, config->topology, config->node, config->wan, config->seed + 1);
    list_init(&p->strangers);
    for (uint32_t i = 0; i < config->topology->nodes_count; i++) {
        p->peers[i].backoff_ms[CHANNEL_DATA] = p->peers[i].backoff_ms[CHANNEL_CONTROL] = PEER_BACKOFF_MS_MIN;
    }
    uv_tcp_init(loop, &p->listener);
    uv_timer_init(loop, &p->tick);
    uv_timer_init(loop, &p->release);
    p->listener.data = p->tick.data = p->release.data = p;
    p->handles_open = 3;
    const struct topology_address *address = &config->topology->nodes[config->node].peer;
    int failed = listen_at(p, address);
    if (failed) {
        buffer_append_format(out_error, "can't listen for peers at %s:%u: %s", address->host, address->port,
                             uv_strerror(failed));
        peers_stop(p);
        return STATUS_IO;
    }
    uv_timer_start(&p->tick, on_tick, 0, TICK_MS);
    *out = p;
    return STATUS_OK;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct peers *p = handle->data;
    if (--p->handles_open > 0) return;
    wan_deinit(&p->wan);
    memory_free(p);
}

void peers_stop(struct peers *p)
{
    if (!p || p->stopping) return;
    p->stopping = true;
    for (uint32_t i = 0; i < p->config.topology->nodes_count; i++) {
        struct peer *peer = &p->peers[i];
        peer->up = false;
        for (int c = 0; c < CHANNELS; c++) {
            drop_wire(&peer->dialled[c]);
            drop_wire(&peer->accepted[c]);
        }
    }
    for (struct list_node *n; (n = list_pop_front(&p->strangers));) wire_close(CONTAINER_OF(n, struct wire, node));
    uv_close((uv_handle_t *)&p->listener, on_handle_closed);
    uv_close((uv_handle_t *)&p->tick, on_handle_closed);
    uv_close((uv_handle_t *)&p->release, on_handle_closed);
}
