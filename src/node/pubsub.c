/* pubsub.c: conflict notices for subscribers of `__conflicts__:<table>`.
 *
 * A notice is one line of JSON: event (ledgered, withdrawn, conflict-open, conflict-closed), table, key, id, kind,
 * column, reason, value, region, node, time-ms. Bytes that are not printable ASCII are written as \u00XX, one for one.
 *
 * P1  A notice is published by the node whose replica noticed, once it is durable there (S4). Each replica of a region
 *     notices for itself; nodes of the region without a replica of the partition get it from the first that has one.
 */
#include "base/glob.h"
#include "base/memory.h"
#include "node/shard_internal.h"

enum { NOTICE_VALUE_BYTES_MAX = 1024 };
static const char channel_prefix[] = "__conflicts__:";

/* ---- subscribers ---- */

static void deliver_to(struct client *c, struct slice channel, struct slice message, const struct subscription *by)
{
    resp_write_push(&c->out, c->resp_version, by->pattern ? 4 : 3);
    resp_write_bulk(&c->out, by->pattern ? SLICE_LITERAL("pmessage") : SLICE_LITERAL("message"));
    if (by->pattern) resp_write_bulk(&c->out, by->name);
    resp_write_bulk(&c->out, channel);
    resp_write_bulk(&c->out, message);
    client__replied(c, 0);
}

static void deliver(struct shard *s, struct slice channel, struct slice message)
{
    for (struct list_node *n = s->subscribers.head.next; n != &s->subscribers.head; n = n->next) {
        struct client *c = CONTAINER_OF(n, struct client, subscriber);
        if (c->closing) continue;
        for (uint32_t i = 0; i < c->subscriptions_count; i++) {
            const struct subscription *by = &c->subscriptions[i];
            bool hit = by->pattern ? glob_match(by->name, channel) : slice_equal(by->name, channel);
            if (hit) deliver_to(c, channel, message, by);
        }
    }
}

void pubsub__forget(struct client *c)
{
    for (uint32_t i = 0; i < c->subscriptions_count; i++) memory_free((void *)(uintptr_t)c->subscriptions[i].name.data);
    memory_free(c->subscriptions);
    c->subscriptions = NULL;
    c->subscriptions_count = 0;
    if (list_node_is_linked(&c->subscriber)) list_remove(&c->subscriber);
}

/* ---- publishing ---- */

static void tell_shards(struct shard *s, struct slice frame)
{
    for (uint8_t i = 0; i < s->config.shards; i++) {
        if (i != s->config.shard) s->ports.shard_send(s->ports.world, i, PEER_PUBLISH, frame);
    }
}

bool pubsub__on_publish(struct shard *s, struct slice body, bool from_peer)
{
    struct reader r = reader_of(body);
    struct slice channel = read_bytes(&r), message = read_bytes(&r);
    if (!reader_finished(&r)) return false;
    deliver(s, channel, message);
    if (from_peer) tell_shards(s, body);
    return true;
}

/* P1: the first holder of the region that is up speaks for it. */
static bool speaks_for_region(const struct shard *s, const struct partition_slot *slot)
{
    const struct topology *t = shard__topology(s);
    uint8_t region = shard__self(s)->region;
    for (uint32_t node = 0; node < t->nodes_count; node++) {
        if (t->nodes[node].region != region || !memchr(slot->nodes, (int)node, slot->nodes_count)) continue;
        if (node == s->config.node) return true;
        if (s->peers[node].up) return false;
    }
    return false;
}

static void publish(struct partition_slot *slot, struct slice channel, struct slice message)
{
    struct shard *s = slot->shard;
    const struct topology *t = shard__topology(s);
    deliver(s, channel, message);
    buffer_clear(&s->frame);
    write_bytes(&s->frame, channel);
    write_bytes(&s->frame, message);
    struct slice frame = buffer_slice(&s->frame);
    tell_shards(s, frame);
    if (!speaks_for_region(s, slot)) return;
    for (uint32_t node = 0; node < t->nodes_count; node++) {
        bool holder = memchr(slot->nodes, (int)node, slot->nodes_count) != NULL;
        if (holder || !s->peers[node].up || t->nodes[node].region != shard__self(s)->region) continue;
        peer__send(s, (uint8_t)node, PEER_PUBLISH, frame);
    }
}

/* ---- the text of a notice ---- */

static void append_json(struct buffer *b, const char *name, struct slice text)
{
    buffer_append_format(b, "%c\"%s\":\"", b->length ? ',' : '{', name);
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\') {
            buffer_append_byte(b, '\\');
            buffer_append_byte(b, c);
        } else if (c < 0x20 || c > 0x7E) {
            buffer_append_format(b, "\\u%04x", (unsigned)c);
        } else {
            buffer_append_byte(b, c);
        }
    }
    buffer_append_byte(b, '"');
}

static void append_json_text(struct buffer *b, const char *name, const char *text)
{
    append_json(b, name, slice_of_string(text));
}

static const char *event_name(enum object_event_type type)
{
    switch (type) {
    case OBJECT_LEDGERED: return "ledgered";
    case OBJECT_WITHDRAWN: return "withdrawn";
    case OBJECT_CONFLICT_OPEN: return "conflict-open";
    case OBJECT_CONFLICT_CLOSED: return "conflict-closed";
    case OBJECT_REPLACED:
    case OBJECT_EXPIRED: return NULL; /* for the accounting only */
    }
    return NULL;
}

static void append_origin(struct shard *s, struct buffer *b, const struct object_event *event)
{
    const struct topology_node *node = conflicts__node_of(s, event->dot);
    if (event->dot.counter == 0) return;
    if (node) {
        append_json_text(b, "region", shard__topology(s)->regions[node->region]);
        append_json_text(b, "node", node->id);
    }
    if (event->stamp) buffer_append_format(b, ",\"time-ms\":%llu", (unsigned long long)stamp_ms(event->stamp));
}

static void append_id(struct partition_slot *slot, struct buffer *b, struct slice key, const struct object_event *event)
{
    char id[LEDGER_ID_BYTES_MAX];
    if (event->type == OBJECT_LEDGERED || event->type == OBJECT_WITHDRAWN) {
        struct ledger_entry entry = {.dot = event->dot, .kind = event->kind, .key = key, .column = event->column};
        ledger_id_format(slot->replica, &entry, id);
    } else {
        if (event->type != OBJECT_CONFLICT_OPEN) return; /* closed, it has no alternatives left to be named by */
        struct store_item *item = store_find(replica_data(slot->replica), key, hash_key(key));
        if (!item || !item->object || !conflicts__sibling_id(slot->replica, key, item->object, slot->shard->now, id))
            return;
    }
    append_json_text(b, "id", id);
}

void pubsub__notice(void *user, struct slice key, const struct object_event *event)
{
    struct partition_slot *slot = user;
    struct shard *s = slot->shard;
    const char *name = event_name(event->type);
    if (!name || !slot->replica) return;
    struct buffer text, channel;
    buffer_init(&text, 1024 * 1024);
    buffer_init(&channel, 256);
    bool entry = event->type == OBJECT_LEDGERED || event->type == OBJECT_WITHDRAWN;
    s->statistics.notices++;
    append_json_text(&text, "event", name);
    append_json_text(&text, "table", slot->table->table.name);
    append_json(&text, "key", key);
    append_id(slot, &text, key, event);
    if (!entry || event->kind) append_json_text(&text, "kind", entry ? conflicts__kind(event->kind) : "siblings");
    if (event->column.length) append_json(&text, "column", event->column);
    if (event->type == OBJECT_LEDGERED) {
        append_json_text(&text, "reason", conflicts__reason(event->reason, replica_policy(slot->replica)));
        if (event->value.length <= NOTICE_VALUE_BYTES_MAX) append_json(&text, "value", event->value);
    }
    append_origin(s, &text, event);
    buffer_append_byte(&text, '}');
    buffer_append_format(&channel, "%s%s", channel_prefix, slot->table->table.name);
    publish(slot, buffer_slice(&channel), buffer_slice(&text));
    buffer_deinit(&channel);
    buffer_deinit(&text);
}
