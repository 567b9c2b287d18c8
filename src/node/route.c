/* route.c: key -> table -> partition -> where a replica of it can serve now.
 *
 * R1  A request is forwarded at most once between nodes: who gets it from another node runs it or refuses it.
 * R2  Only connected nodes are asked, in the slot's order: this node, our region, then by link latency.
 */
#include "node/shard_internal.h"

struct table_slot *route__table(struct shard *s, struct slice key)
{
    struct slice name = key_table_name(key);
    if (name.length == 0) return s->tables[0];
    struct table_slot *table = catalog__by_name(s, name);
    return table ? table : s->tables[0];
}

struct partition_slot *route__key(struct table_slot *table, uint64_t key_hash)
{
    return &table->partitions[key_partition(key_hash, table->table.contract.partitions)];
}

struct target route__target(struct shard *s, const struct partition_slot *slot)
{
    if (ordered__serves(slot) || (slot->replica && replica_is_serving(slot->replica)))
        return (struct target){TARGET_HERE, s->config.node, s->config.shard};
    for (uint32_t i = 0; i < slot->nodes_count; i++) {
        uint8_t node = slot->nodes[i];
        if (node == s->config.node) {
            if (slot->owner_shard != s->config.shard) return (struct target){TARGET_SHARD, node, slot->owner_shard};
            continue;
        }
        if (peer__is_up(s, node)) return (struct target){TARGET_NODE, node, 0};
    }
    return (struct target){TARGET_NONE, NODE_NONE, 0};
}

void route__unavailable(struct shard *s, const struct partition_slot *slot, struct buffer *reply)
{
    const struct topology *topology = shard__topology(s);
    struct buffer text;
    buffer_init(&text, 4096);
    buffer_append_format(
        &text, "UNAVAILABLE no replica of this key (table '%s') can be reached from here:", slot->table->table.name);
    for (uint32_t i = 0; i < slot->nodes_count; i++) {
        const struct topology_node *node = &topology->nodes[slot->nodes[i]];
        const char *what = slot->nodes[i] == s->config.node ? "is catching up" : "is away";
        buffer_append_format(&text, "%s %s (%s) %s", i ? "," : "", node->id, topology->regions[node->region], what);
    }
    buffer_append_format(&text, "; nothing was done, try again later%c", '\0');
    resp_write_error(reply, (const char *)text.data);
    buffer_deinit(&text);
}
