/* ordered_peer.c: what groups say to each other, the beats between nodes, and when groups want to be called.
 *
 *   PEER_GROUP  table u64, partition u32, epoch u32, message
 *   PEER_BEAT   epoch u64; between the first shards of two nodes that share groups, every ORDERED_BEAT_MS
 *
 * A sleeping group has no timer: that the node of its leader is alive is what beats tell, once for all groups. A node
 * falls silent when no beat came for ORDERED_SILENT_MS, or when its connection ends; then its groups wake, and what it
 * was asked is lost.
 */
#include "node/shard_internal.h"

/* ---- messages ---- */

void ordered__send(void *user, uint16_t number, struct slice bytes)
{
    struct partition_slot *slot = user;
    struct shard *s = slot->shard;
    int node = topology_node_by_number(shard__topology(s), number);
    if (node < 0 || !peer__is_up(s, (uint8_t)node)) return;
    struct buffer *b = &s->ordered.frame;
    buffer_clear(b);
    write_u64(b, slot->table->table.id);
    write_u32(b, slot->partition);
    write_u32(b, (uint32_t)shard__topology(s)->epoch);
    buffer_append_slice(b, bytes);
    if (!b->overflowed) (void)peer__send(s, (uint8_t)node, PEER_GROUP, buffer_slice(b));
}

bool ordered__on_frame(struct shard *s, uint8_t node, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t table = read_u64(&r);
    uint32_t partition = read_u32(&r), epoch = read_u32(&r);
    if (r.failed || epoch != (uint32_t)shard__topology(s)->epoch || partition >= PARTITIONS_MAX) return false;
    struct partition_slot *slot = catalog__slot(s, table, (uint16_t)partition);
    if (!slot || !slot->group) return true; /* a table not yet known here: it will be told again */
    if (!memchr(slot->nodes, node, slot->nodes_count)) return false;
    enum status status =
        group_on_message(slot->group, shard__topology(s)->nodes[node].number, slice_of(r.at, reader_left(&r)),
                         ordered__now(s->now.wall_ms, s->now.mono_ns));
    ordered__touched(slot);
    return status == STATUS_OK;
}

/* ---- beats ---- */

static void tell_groups(struct shard *s, uint8_t node, bool heard)
{
    uint16_t number = shard__topology(s)->nodes[node].number;
    s->ordered.heard = heard ? s->ordered.heard | 1ull << node : s->ordered.heard & ~(1ull << node);
    for (uint32_t i = 0; i < s->ordered.slots_count; i++) {
        struct partition_slot *slot = s->ordered.slots[i];
        if (!memchr(slot->nodes, node, slot->nodes_count)) continue;
        struct group_now now = ordered__now(s->now.wall_ms, s->now.mono_ns);
        if (heard) {
            group_on_node_heard(slot->group, number, now);
        } else {
            group_on_node_lost(slot->group, number, now);
        }
        ordered__touched(slot);
    }
    s->ordered.parked_dirty = true;
}

static void note_silence(struct shard *s, uint8_t node, bool heard)
{
    s->ordered.silent &= ~(1ull << node);
    if (!heard) s->ordered.silent |= 1ull << node;
    tell_groups(s, node, heard);
    if (!heard) call__on_node_silent(s, node);
}

/* The first shard heard of a change: all shards of the process are told. */
static void change(struct shard *s, uint8_t node, bool heard)
{
    s->ordered.beat_heard_ns[node] = heard ? s->now.mono_ns : 0;
    buffer_clear(&s->frame);
    write_u8(&s->frame, node);
    write_u8(&s->frame, heard);
    for (uint8_t i = 1; i < s->config.shards; i++) {
        (void)s->ports.shard_send(s->ports.world, i, SHARD_BEAT, buffer_slice(&s->frame));
    }
    note_silence(s, node, heard);
}

bool ordered__on_beat(struct shard *s, uint8_t node, struct slice body)
{
    struct reader r = reader_of(body);
    uint64_t epoch = read_u64(&r);
    if (!reader_finished(&r) || epoch != shard__topology(s)->epoch) return false;
    if (s->config.shard != 0) return true;
    if (s->ordered.beat_heard_ns[node] == 0) change(s, node, true);
    s->ordered.beat_heard_ns[node] = s->now.mono_ns;
    return true;
}

void ordered__on_shard_beat(struct shard *s, struct slice body)
{
    struct reader r = reader_of(body);
    uint8_t node = read_u8(&r), heard = read_u8(&r);
    ASSERT(reader_finished(&r) && node < shard__topology(s)->nodes_count);
    note_silence(s, node, heard);
}

/* Every shard is told of this by the world. */
void ordered__on_node_down(struct shard *s, uint8_t node)
{
    s->ordered.beat_heard_ns[node] = 0;
    s->ordered.silent &= ~(1ull << node);
    tell_groups(s, node, false);
}

/* Bit of each node that holds a replica of a group beside us. */
static uint64_t companions(const struct shard *s)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < s->tables_count; i++) {
        const struct table_slot *table = s->tables[i];
        if (!table->partitions || table->table.contract.engine != ENGINE_ORDERED) continue;
        for (uint16_t p = 0; p < table->table.contract.partitions; p++) {
            const struct partition_slot *slot = &table->partitions[p];
            if (slot->nodes[0] != s->config.node) continue;
            for (uint32_t k = 1; k < slot->nodes_count; k++) mask |= 1ull << slot->nodes[k];
        }
    }
    return mask;
}

/* We stood still ourselves: what the others said meanwhile may be waiting to be read. */
static void forgive_silence(struct ordered *o, uint64_t now_ns)
{
    for (uint32_t i = 0; i < TOPOLOGY_NODES_MAX; i++) {
        if (o->beat_heard_ns[i]) o->beat_heard_ns[i] = now_ns;
    }
}

static void beat(struct shard *s)
{
    struct ordered *o = &s->ordered;
    if (s->config.shard != 0 || s->now.mono_ns < o->beat_ns) return;
    if (s->now.mono_ns - o->beat_ns > ORDERED_BEAT_MS * 1000000ull) forgive_silence(o, s->now.mono_ns);
    o->beat_ns = s->now.mono_ns + ORDERED_BEAT_MS * 1000000ull;
    if (o->companions_generation != s->catalog_generation) {
        o->companions_generation = s->catalog_generation;
        o->companions = companions(s);
    }
    for (uint8_t i = 0; i < shard__topology(s)->nodes_count; i++) {
        if (!(o->companions >> i & 1)) continue;
        uint64_t heard_ns = o->beat_heard_ns[i];
        if (heard_ns && s->now.mono_ns - heard_ns > ORDERED_SILENT_MS * 1000000ull) change(s, i, false);
        if (!peer__is_up(s, i)) continue;
        buffer_clear(&s->frame);
        write_u64(&s->frame, shard__topology(s)->epoch);
        (void)peer__send(s, i, PEER_BEAT, buffer_slice(&s->frame));
    }
}

/* ---- ticks ---- */

void ordered__touched(struct partition_slot *slot)
{
    struct shard *s = slot->shard;
    shard__note_undurable(slot);
    uint64_t at_ns = group_next_deadline_ns(slot->group);
    if (at_ns < s->ordered.wake_ns) s->ordered.wake_ns = at_ns;
}

static void tick_groups(struct shard *s)
{
    struct ordered *o = &s->ordered;
    if (s->now.mono_ns < o->wake_ns) return;
    o->wake_ns = UINT64_MAX;
    for (uint32_t i = 0; i < o->slots_count; i++) {
        struct partition_slot *slot = o->slots[i];
        if (group_next_deadline_ns(slot->group) <= s->now.mono_ns) {
            group_tick(slot->group, ordered__now(s->now.wall_ms, s->now.mono_ns));
        }
        ordered__touched(slot);
    }
}

void ordered__tick(struct shard *s)
{
    beat(s);
    tick_groups(s);
    ordered__check_deadlines(s);
    ordered__look_at_parked(s);
}

uint64_t ordered__next_wake(const struct shard *s)
{
    const struct ordered *o = &s->ordered;
    uint64_t wake_ns = o->wake_ns;
    const struct list_node *first = list_first(&o->waiters);
    if (first) {
        uint64_t deadline_ns =
            CONTAINER_OF((struct list_node *)(uintptr_t)first, struct ordered_waiter, node)->deadline_ns;
        if (deadline_ns < wake_ns) wake_ns = deadline_ns;
    }
    if (!list_is_empty(&o->parked)) {
        uint64_t look_ns = o->parked_dirty ? 0 : o->parked_look_ns;
        if (look_ns < wake_ns) wake_ns = look_ns;
    }
    if (s->config.shard == 0 && o->companions && o->beat_ns < wake_ns) wake_ns = o->beat_ns;
    return wake_ns;
}
