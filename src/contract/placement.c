/* placement.c: which nodes hold a partition: rendezvous hashing (Thaler and Ravishankar, 1998) inside each region.
 *
 * P1  The answer depends on the set of nodes, not on their order in the file: scores use node numbers.
 * P2  Adding or removing a node moves only the replicas that it gains or held.
 */
#include "base/hash.h"
#include "contract/contract.h"
#include "wire/varint.h"

static uint64_t score_of(uint64_t table, uint16_t partition, uint16_t node)
{
    uint8_t bytes[12];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(table >> (8 * i));
    bytes[8] = (uint8_t)partition, bytes[9] = (uint8_t)(partition >> 8);
    bytes[10] = (uint8_t)node, bytes[11] = (uint8_t)(node >> 8);
    return hash_bytes(slice_of(bytes, sizeof bytes), 0);
}

struct candidate {
    uint64_t score;
    uint16_t number;
    uint8_t node;
};

static bool better(const struct candidate *a, const struct candidate *b)
{
    return a->score != b->score ? a->score > b->score : a->number > b->number;
}

uint32_t placement_nodes(const struct topology *topology, const struct contract *c, uint64_t table, uint16_t partition,
                         uint8_t out_nodes[TOPOLOGY_NODES_MAX])
{
    uint32_t placed = 0;
    for (uint32_t region = 0; region < topology->regions_count; region++) {
        struct candidate best[TOPOLOGY_NODES_MAX];
        uint32_t count = 0;
        for (uint32_t i = 0; i < topology->nodes_count; i++) {
            const struct topology_node *node = &topology->nodes[i];
            if (node->region != region) continue;
            struct candidate mine = {score_of(table, partition, node->number), node->number, (uint8_t)i};
            uint32_t at = count++;
            for (; at > 0 && better(&mine, &best[at - 1]); at--) best[at] = best[at - 1];
            best[at] = mine;
        }
        uint32_t wanted = c->replicas[region] < count ? c->replicas[region] : count;
        for (uint32_t i = 0; i < wanted; i++) out_nodes[placed++] = best[i].node;
    }
    return placed;
}
