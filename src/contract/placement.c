/* placement.c: which nodes hold a partition: rendezvous hashing (Thaler and Ravishankar, 1998) inside each region.
 *
 * P1  The answer depends on the set of nodes, not on their order in the file: scores use node numbers.
 * P2  Adding or removing a node moves only the replicas that it gains or held (on ordered tables: and those that make
 *     room for a zone or tag that was not there).
 * P3  On ordered tables a replica goes where it brings the most of what the rule wants to be different (always zones,
 *     and the rule's labels); the score decides between equals.
 */
#include "base/hash.h"
#include "contract/contract.h"
#include "contract/plan.h"
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

/* The region's nodes, best score first. Returns how many. */
static uint32_t rank_candidates(const struct topology *topology, uint32_t region, uint64_t table, uint16_t partition,
                                struct candidate best[TOPOLOGY_NODES_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->nodes_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        if (node->region != region) continue;
        struct candidate mine = {score_of(table, partition, node->number), node->number, (uint8_t)i};
        uint32_t at = count++;
        for (; at > 0 && better(&mine, &best[at - 1]); at--) best[at] = best[at - 1];
        best[at] = mine;
    }
    return count;
}

/* How many labels that matter this node would bring for the first time (P3). */
static uint32_t gain_of(const struct topology *topology, const struct commit_rule *rule, uint8_t node,
                        const struct commit_labels *placed, uint32_t placed_count)
{
    bool matters[COMMIT_LABELS_MAX] = {[COMMIT_LABEL_ZONE] = true};
    struct commit_labels mine;
    uint32_t gain = 0;
    for (uint32_t i = 0; i < rule->needs_count; i++) matters[rule->needs[i].label] = true;
    topology_labels(topology, node, &mine);
    for (uint32_t label = 0; label < COMMIT_LABELS_MAX; label++) {
        bool fresh = matters[label] && mine.value[label];
        for (uint32_t i = 0; i < placed_count && fresh; i++) fresh = placed[i].value[label] != mine.value[label];
        gain += fresh;
    }
    return gain;
}

/* Take the candidate of the greatest gain out of `best`, the earlier of equals. */
static uint8_t take_best(const struct topology *topology, const struct commit_rule *rule, struct candidate *best,
                         uint32_t count, const struct commit_labels *placed, uint32_t placed_count)
{
    uint32_t chosen = 0, gain_max = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t gain = gain_of(topology, rule, best[i].node, placed, placed_count);
        if (gain > gain_max) gain_max = gain, chosen = i;
    }
    uint8_t node = best[chosen].node;
    memmove(&best[chosen], &best[chosen + 1], (count - chosen - 1) * sizeof *best);
    return node;
}

uint32_t placement_nodes(const struct topology *topology, const struct contract *c, uint64_t table, uint16_t partition,
                         uint8_t out_nodes[TOPOLOGY_NODES_MAX])
{
    struct commit_labels labels[TOPOLOGY_NODES_MAX];
    uint32_t placed = 0;
    if (table == TABLE_ID_META) {
        struct placement meta;
        meta_members(topology, &meta);
        memcpy(out_nodes, meta.nodes, meta.count);
        return meta.count;
    }
    for (uint32_t region = 0; region < topology->regions_count; region++) {
        struct candidate best[TOPOLOGY_NODES_MAX];
        uint32_t count = rank_candidates(topology, region, table, partition, best);
        uint32_t wanted = c->replicas[region] < count ? c->replicas[region] : count;
        for (uint32_t i = 0; i < wanted; i++) {
            bool spread = c->engine == ENGINE_ORDERED && wanted < count;
            uint8_t node = best[i].node;
            if (spread) node = take_best(topology, &c->durability.rule, best, count - i, labels, placed);
            topology_labels(topology, node, &labels[placed]);
            out_nodes[placed++] = node;
        }
    }
    return placed;
}

void placement_members(const struct topology *topology, const struct contract *c, uint64_t table, uint16_t partition,
                       struct placement *out)
{
    uint8_t nodes[TOPOLOGY_NODES_MAX];
    memset(out, 0, sizeof *out);
    out->count = placement_nodes(topology, c, table, partition, nodes);
    ASSERT(out->count <= COMMIT_MEMBERS_MAX);
    out->rule = c->durability.rule;
    for (uint32_t i = 0; i < out->count; i++) {
        out->nodes[i] = nodes[i];
        topology_labels(topology, nodes[i], &out->labels[i]);
        if (c->witness_regions >> topology->nodes[nodes[i]].region & 1) out->witness_mask |= UINT64_C(1) << i;
    }
}
