/* peer.c: other nodes as seen from here: greeting, clocks, and the frames between nodes and between shards.
 *
 *   PEER_HELLO    epoch u64, node number u32, region, shards u8, folder id u64, founders, catalog
 *   PEER_PING     mono u64, catalog digest u64, waits u8 (for the founding): once a second, from the first shard
 *   PEER_PONG     mono u64 of the ping, wall ms u64 of the answering node
 *   PEER_REPLICA  table u64, partition u32, epoch u32, message u8, body
 *
 * A node that hears another digest than its own greets again: so a table reaches also those that missed its creation
 * without having been away.
 *
 * E1  A frame of another membership epoch is refused and the connection dropped (S6).
 * E2  A node whose clock leads most of its reachable peers by more than HLC_LEAD_MS_MAX refuses local writes (S5).
 *     What it replicates is merged all the same.
 */
#include "node/shard_internal.h"
#include "wire/frame.h"

enum { PING_EVERY_MS = 1000, PONG_VALID_MS = 5000 };

bool peer__is_up(const struct shard *s, uint8_t node)
{
    return s->peers[node].up;
}

bool peer__send(struct shard *s, uint8_t node, uint8_t type, struct slice body)
{
    if (!s->ports.peer_send(s->ports.world, node, type, body)) return false;
    s->statistics.peer_bytes_sent += FRAME_HEADER_BYTES + body.length;
    return true;
}

static void visit_holders(struct shard *s, uint8_t node,
                          void (*visit)(struct replica *r, uint16_t number, struct replica_now now))
{
    uint16_t number = shard__topology(s)->nodes[node].number;
    for (uint32_t i = 0; i < s->tables_count; i++) {
        struct table_slot *table = s->tables[i];
        for (uint16_t p = 0; table->partitions && p < table->table.contract.partitions; p++) {
            struct partition_slot *slot = &table->partitions[p];
            if (!slot->replica || !memchr(slot->nodes, node, slot->nodes_count)) continue;
            visit(slot->replica, number, s->now);
            shard__touch(slot);
        }
    }
}

/* ---- greeting ---- */

void peer__say_hello(struct shard *s, uint8_t node)
{
    const struct topology *t = shard__topology(s);
    struct buffer *b = &s->frame;
    buffer_clear(b);
    write_u64(b, t->epoch);
    write_u32(b, shard__self(s)->number);
    write_bytes(b, slice_of_string(t->regions[shard__self(s)->region]));
    write_u8(b, s->config.shards);
    write_u64(b, s->config.folder_id);
    metadata__write_greeting(s, b);
    catalog__encode(s, b);
    (void)peer__send(s, node, PEER_HELLO, buffer_slice(b));
}

static bool on_hello(struct shard *s, uint8_t node, struct slice body)
{
    const struct topology *t = shard__topology(s);
    struct reader r = reader_of(body);
    uint64_t epoch = read_u64(&r);
    uint32_t number = read_u32(&r);
    struct slice region = read_bytes(&r);
    uint8_t shards = read_u8(&r);
    if (r.failed || shards == 0 || shards > SHARDS_MAX) return false;
    if (epoch != t->epoch || number != t->nodes[node].number ||
        !slice_equal(region, slice_of_string(t->regions[t->nodes[node].region]))) {
        shard__log(s, 'W', "peer-refused", "node=%s epoch=%llu ours=%llu: its cluster file differs from ours",
                   t->nodes[node].id, (unsigned long long)epoch, (unsigned long long)t->epoch);
        return false;
    }
    s->peers[node].said_hello = true;
    if (!metadata__on_greeting(s, node, &r)) return false;
    return catalog__merge_encoded(s, slice_of(r.at, reader_left(&r)), true);
}

static void send_ping(struct shard *s, uint8_t node)
{
    buffer_clear(&s->frame);
    write_u64(&s->frame, s->now.mono_ns);
    write_u64(&s->frame, s->catalog_digest);
    write_u8(&s->frame, metadata__waits(s));
    (void)peer__send(s, node, PEER_PING, buffer_slice(&s->frame));
}

void shard_on_peer_up(struct shard *s, uint8_t node)
{
    ASSERT(node < shard__topology(s)->nodes_count && node != s->config.node);
    struct peer *peer = &s->peers[node];
    if (peer->up) return;
    peer->up = true;
    peer->up_since_ms = s->now.wall_ms;
    if (s->config.shard == 0) {
        shard__log(s, 'I', "peer-up", "node=%s", shard__topology(s)->nodes[node].id);
        peer__say_hello(s, node);
        send_ping(s, node);
    }
    visit_holders(s, node, replica_on_peer_up);
}

void shard_on_peer_down(struct shard *s, uint8_t node)
{
    struct peer *peer = &s->peers[node];
    if (!peer->up) return;
    peer->up = peer->said_hello = false;
    peer->heard_ns = 0;
    if (s->config.shard == 0) shard__log(s, 'W', "peer-down", "node=%s", shard__topology(s)->nodes[node].id);
    call__on_node_down(s, node);
    visit_holders(s, node, replica_on_peer_down);
    ordered__on_node_down(s, node);
}

void shard_on_peer_writable(struct shard *s, uint8_t node)
{
    if (s->peers[node].up) visit_holders(s, node, replica_on_peer_writable);
}

/* ---- clocks (S5) ---- */

static bool on_ping(struct shard *s, uint8_t node, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t mono = read_u64(&r), digest = read_u64(&r);
    bool waits = read_u8(&r);
    if (!reader_finished(&r)) return false;
    if (digest != s->catalog_digest || waits) peer__say_hello(s, node);
    buffer_clear(&s->frame);
    write_u64(&s->frame, mono);
    write_u64(&s->frame, s->now.wall_ms);
    (void)peer__send(s, node, PEER_PONG, buffer_slice(&s->frame));
    return true;
}

static bool on_pong(struct shard *s, uint8_t node, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t mono = read_u64(&r), wall_ms = read_u64(&r);
    if (!reader_finished(&r) || mono > s->now.mono_ns || wall_ms > UINT64_MAX >> 16) return false;
    struct peer *peer = &s->peers[node];
    uint64_t round_trip_ns = s->now.mono_ns - mono;
    peer->round_trip_us = round_trip_ns / 1000;
    peer->lead_ms = (int64_t)s->now.wall_ms - (int64_t)(wall_ms + round_trip_ns / 2000000);
    peer->heard_ns = s->now.mono_ns;
    return true;
}

/* We lead if we lead more than half of those we hear; the least of these leads is the one that we report. */
static void judge_clock(struct shard *s)
{
    uint32_t heard = 0, led = 0;
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        const struct peer *peer = &s->peers[i];
        if (!peer->up || peer->heard_ns == 0 || s->now.mono_ns - peer->heard_ns > PONG_VALID_MS * 1000000ull) continue;
        heard++;
        if (peer->lead_ms <= HLC_LEAD_MS_MAX) continue;
        led++;
        if (peer->lead_ms < least) least = peer->lead_ms;
    }
    bool leads = led * 2 > heard;
    if (leads != s->clock_leads) {
        shard__log(s, leads ? 'E' : 'I', leads ? "clock-leads" : "clock-fine", "lead_ms=%lld bound_ms=%d peers=%u",
                   leads ? (long long)least : 0, HLC_LEAD_MS_MAX, heard);
    }
    s->clock_leads = leads;
    s->clock_lead_ms = leads ? least : 0;
}

static void tell_shards_the_clock(struct shard *s)
{
    buffer_clear(&s->frame);
    write_u8(&s->frame, s->clock_leads);
    write_u64(&s->frame, (uint64_t)s->clock_lead_ms);
    for (uint8_t i = 1; i < s->config.shards; i++) {
        s->ports.shard_send(s->ports.world, i, SHARD_PEER_CLOCK, buffer_slice(&s->frame));
    }
}

void peer__tick(struct shard *s)
{
    if (s->config.shard != 0 || s->now.mono_ns < s->ping_ns) return;
    s->ping_ns = s->now.mono_ns + PING_EVERY_MS * 1000000ull;
    for (uint32_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (s->peers[i].up) send_ping(s, (uint8_t)i);
    }
    judge_clock(s);
    tell_shards_the_clock(s);
    if (s->mirror_again) catalog__mirror_all(s);
}

bool peer__clock_refuses(const struct shard *s, struct buffer *reply)
{
    if (!s->clock_leads) return false;
    resp_write_error_format(
        reply,
        "UNAVAILABLE clock: this node's clock is %lld ms ahead of its peers' (the bound is %d ms); nothing "
        "was done. Set its clock right, or write at another node",
        (long long)s->clock_lead_ms, HLC_LEAD_MS_MAX);
    return true;
}

/* ---- replicas' messages ---- */

enum { REPLICA_HEAD_BYTES = 17 };

void peer__send_replica(void *user, uint16_t number, uint8_t message, struct slice body)
{
    struct partition_slot *slot = user;
    struct shard *s = slot->shard;
    int node = topology_node_by_number(shard__topology(s), number);
    if (node < 0 || !s->peers[node].up) return;
    struct buffer *b = &s->replica_frame;
    buffer_clear(b);
    write_u64(b, slot->table->table.id);
    write_u32(b, slot->partition);
    write_u32(b, (uint32_t)shard__topology(s)->epoch);
    write_u8(b, message);
    buffer_append_slice(b, body);
    if (!b->overflowed) peer__send(s, (uint8_t)node, PEER_REPLICA, buffer_slice(b));
}

size_t peer__send_room(void *user, uint16_t number)
{
    struct partition_slot *slot = user;
    struct shard *s = slot->shard;
    int node = topology_node_by_number(shard__topology(s), number);
    if (node < 0 || !s->peers[node].up) return 0;
    size_t room = s->ports.peer_room(s->ports.world, (uint8_t)node);
    return room > REPLICA_HEAD_BYTES + FRAME_HEADER_BYTES ? room - REPLICA_HEAD_BYTES - FRAME_HEADER_BYTES : 0;
}

static bool on_replica(struct shard *s, uint8_t node, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t table = read_u64(&r);
    uint32_t partition = read_u32(&r), epoch = read_u32(&r);
    uint8_t message = read_u8(&r);
    if (r.failed || epoch != (uint32_t)shard__topology(s)->epoch || partition >= PARTITIONS_MAX) return false;
    struct partition_slot *slot = catalog__slot(s, table, (uint16_t)partition);
    /* A table not yet known here: the sender derives from our clock what to send once it is. */
    if (!slot || !slot->replica) return true;
    if (!memchr(slot->nodes, node, slot->nodes_count)) return false;
    enum status status = replica_on_message(slot->replica, shard__topology(s)->nodes[node].number, message,
                                            slice_of(r.at, reader_left(&r)), s->now);
    shard__touch(slot);
    return status == STATUS_OK;
}

/* ---- frames ---- */

static bool dispatch_frame(struct shard *s, uint8_t node, uint8_t type, struct slice body)
{
    switch (type) {
    case PEER_HELLO: return on_hello(s, node, body);
    case PEER_PING: return on_ping(s, node, body);
    case PEER_PONG: return on_pong(s, node, body);
    case PEER_REPLICA: return on_replica(s, node, body);
    case PEER_CALL: return call__on_call(s, node, 0, false, body);
    case PEER_CONTROL_CALL: return call__on_call(s, node, 0, true, body);
    case PEER_ANSWER:
    case PEER_CONTROL_ANSWER: return call__on_answer(s, node, body);
    case PEER_PUBLISH: return pubsub__on_publish(s, body, true);
    case PEER_GROUP: return ordered__on_frame(s, node, body);
    case PEER_BEAT: return ordered__on_beat(s, node, body);
    default: return false;
    }
}

bool shard_on_peer_frame(struct shard *s, uint8_t node, uint8_t type, struct slice body)
{
    ASSERT(node < shard__topology(s)->nodes_count && node != s->config.node);
    s->statistics.frames_in++;
    if (dispatch_frame(s, node, type, body)) return true;
    s->statistics.frames_refused++;
    s->peers[node].frames_refused++;
    shard__log(s, 'W', "frame-refused", "node=%s type=%u bytes=%zu", shard__topology(s)->nodes[node].id, (unsigned)type,
               body.length);
    return false;
}

static void on_clock(struct shard *s, struct slice body)
{
    struct reader r = reader_of(body);
    s->clock_leads = read_u8(&r);
    s->clock_lead_ms = (int64_t)read_u64(&r);
    ASSERT(reader_finished(&r));
}

/* Shards of one process trust each other: a frame that can't be read is our own bug. */
void shard_on_shard_frame(struct shard *s, uint8_t from_shard, uint8_t type, struct slice body)
{
    bool fine = true;
    switch (type) {
    case PEER_CALL: fine = call__on_call(s, s->config.node, from_shard, false, body); break;
    case PEER_ANSWER: fine = call__on_answer(s, s->config.node, body); break;
    case PEER_PUBLISH: fine = pubsub__on_publish(s, body, false); break;
    case SHARD_PEER_CLOCK: on_clock(s, body); break;
    case SHARD_CATALOG: fine = catalog__on_mirror(s, body); break;
    case SHARD_BEAT: ordered__on_shard_beat(s, body); break;
    default: PANIC("frame of type %u from shard %u", (unsigned)type, (unsigned)from_shard);
    }
    ASSERT(fine);
}

/* Partition frames and calls begin with (table, partition); answers with the shard that asked. */
uint8_t shard_of_frame(uint8_t type, struct slice body, uint8_t shards)
{
    struct reader r = reader_of(body);
    uint8_t shard = 0;
    if (type == PEER_REPLICA || type == PEER_GROUP || type == PEER_CALL) {
        uint64_t table = read_u64(&r);
        uint32_t partition = read_u32(&r);
        if (!r.failed && table) shard = shard__of_partition(table, (uint16_t)partition, shards);
    } else if (type == PEER_ANSWER || type == PEER_CONTROL_ANSWER) {
        shard = read_u8(&r);
    }
    return shard < shards ? shard : 0;
}
