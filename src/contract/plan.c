/* plan.c: every single loss that a topology knows, judged for every set of nodes that holds partitions of a table.
 *
 * Source:  design section 4 (TABLE PLAN) and rule S7. The verdict on one set is plan_ordered.c's and
 * plan_mergeable.c's.
 *
 * D1  A verdict speaks of the worst partition; `partitions` says how many are concerned.
 * D2  Losses with nothing of the table in them are left out, and so is a zone that is a region or a single node.
 * D3  Nodes (zones) of one region with one verdict share an entry.
 */
#include "contract/plan_internal.h"

#include "base/memory.h"

bool plan__is_cut(const struct plan_loss *l)
{
    return l->kind == PLAN_LINK || l->kind == PLAN_CUT_OFF;
}

bool plan__hears(const struct plan_loss *l, uint32_t x, uint32_t y)
{
    if (x == y || !plan__is_cut(l)) return true;
    if (l->kind == PLAN_CUT_OFF) return x != l->a && y != l->a;
    return !((x == l->a && y == l->b) || (x == l->b && y == l->a));
}

/* ---- judging ---- */

/* Is anything of this layout lost, or parted from the rest? */
static bool concerns(const struct plan *p, const struct plan_layout *layout, const struct plan_loss *l)
{
    if (!plan__is_cut(l)) return (layout->nodes & l->nodes) != 0;
    bool a = (layout->nodes & p->region_nodes[l->a]) != 0;
    if (l->kind == PLAN_LINK) return a && (layout->nodes & p->region_nodes[l->b]);
    return a && (layout->nodes & ~p->region_nodes[l->a]);
}

static void judge(const struct plan *p, const struct plan_layout *layouts, struct plan_loss *l)
{
    l->instances = 1;
    l->commit_us = p->contract.engine == ENGINE_ORDERED ? p->leaders[p->best_leader].commit_us : 0;
    for (uint32_t i = 0; i < p->layouts; i++) {
        bool concerned = concerns(p, &layouts[i], l);
        if (concerned) l->partitions += layouts[i].partitions;
        if (plan__is_cut(l) ? !layouts[i].is_first_of_kind : !concerned) continue; /* says nothing new */
        if (p->contract.engine == ENGINE_ORDERED)
            plan__judge_ordered(p, &layouts[i], l);
        else
            plan__judge_mergeable(p, &layouts[i], l);
    }
}

static bool same_verdict(const struct plan_loss *x, const struct plan_loss *y)
{
    return x->kind == y->kind && x->a == y->a && x->writes == y->writes && x->reads == y->reads && x->harm == y->harm &&
           x->writes_stall_leaders == y->writes_stall_leaders && x->reads_stall_leaders == y->reads_stall_leaders &&
           x->refused_regions == y->refused_regions && x->commit_us == y->commit_us;
}

/* D2, D3. */
static void add(struct plan *p, const struct plan_layout *layouts, struct plan_loss l)
{
    judge(p, layouts, &l);
    if (l.partitions == 0 && l.refused_regions == 0) return;
    bool shared = l.kind == PLAN_NODE || l.kind == PLAN_ZONE;
    for (uint32_t i = 0; shared && i < p->losses_count; i++) {
        struct plan_loss *other = &p->losses[i];
        if (!same_verdict(other, &l)) continue;
        other->nodes |= l.nodes;
        other->instances++;
        if (l.partitions > other->partitions) other->partitions = l.partitions;
        return;
    }
    ASSERT(p->losses_count < PLAN_LOSSES_MAX);
    p->losses[p->losses_count++] = l;
}

static uint64_t zone_nodes(const struct topology *t, uint32_t node)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        const struct topology_node *n = &t->nodes[i];
        bool same = n->region == t->nodes[node].region && strcmp(n->zone, t->nodes[node].zone) == 0;
        mask |= (uint64_t)same << i;
    }
    return mask;
}

static void add_zones(struct plan *p, const struct plan_layout *layouts, uint32_t region)
{
    const struct topology *t = p->topology;
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        uint64_t nodes = t->nodes[i].region == region ? zone_nodes(t, i) : 0;
        bool first = nodes && (nodes & ((UINT64_C(1) << i) - 1)) == 0;
        bool single = (nodes & (nodes - 1)) == 0;
        if (!first || single || nodes == p->region_nodes[region]) continue;
        add(p, layouts, (struct plan_loss){.kind = PLAN_ZONE, .a = (uint8_t)region, .nodes = nodes});
    }
}

static void add_losses(struct plan *p, const struct plan_layout *layouts)
{
    const struct topology *t = p->topology;
    for (uint32_t region = 0; region < t->regions_count; region++) {
        for (uint32_t i = 0; i < t->nodes_count; i++) {
            if (t->nodes[i].region != region) continue;
            add(p, layouts, (struct plan_loss){.kind = PLAN_NODE, .a = (uint8_t)region, .nodes = UINT64_C(1) << i});
        }
    }
    for (uint32_t region = 0; region < t->regions_count; region++) add_zones(p, layouts, region);
    for (uint32_t region = 0; region < t->regions_count; region++) {
        uint64_t nodes = p->region_nodes[region];
        add(p, layouts, (struct plan_loss){.kind = PLAN_REGION, .a = (uint8_t)region, .nodes = nodes});
    }
    for (uint32_t a = 0; a < t->regions_count; a++) {
        for (uint32_t b = a + 1; b < t->regions_count; b++)
            add(p, layouts, (struct plan_loss){.kind = PLAN_LINK, .a = (uint8_t)a, .b = (uint8_t)b});
    }
    for (uint32_t a = 0; a < t->regions_count && t->regions_count > 2; a++)
        add(p, layouts, (struct plan_loss){.kind = PLAN_CUT_OFF, .a = (uint8_t)a});
}

/* ---- the sets of nodes ---- */

static uint64_t node_mask(const uint8_t *nodes, uint32_t count)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < count; i++) mask |= UINT64_C(1) << nodes[i];
    return mask;
}

/* Do they differ only in which nodes they are? Members stand in the order of regions, as many in each. */
static bool alike(const struct plan *p, const struct plan_layout *a, const struct plan_layout *b)
{
    if (p->contract.engine != ENGINE_ORDERED) return true;
    const struct commit_rule *rule = &p->contract.durability.rule;
    for (uint32_t i = 0; i < rule->needs_count; i++) {
        uint8_t label = rule->needs[i].label;
        for (uint32_t k = 0; k < a->group.count && label != COMMIT_LABEL_REGION; k++) {
            if (a->group.labels[k].value[label] != b->group.labels[k].value[label]) return false;
        }
    }
    return true;
}

static void mark_first_of_kind(const struct plan *p, struct plan_layout *layouts)
{
    for (uint32_t i = 0; i < p->layouts; i++) {
        layouts[i].is_first_of_kind = true;
        for (uint32_t k = 0; k < i && layouts[i].is_first_of_kind; k++)
            layouts[i].is_first_of_kind = !layouts[k].is_first_of_kind || !alike(p, &layouts[i], &layouts[k]);
    }
}

static void collect_layouts(struct plan *p, uint64_t table, struct plan_layout *layouts)
{
    for (uint16_t partition = 0; partition < p->contract.partitions; partition++) {
        uint8_t nodes[TOPOLOGY_NODES_MAX];
        uint32_t count = placement_nodes(p->topology, &p->contract, table, partition, nodes), at = 0;
        uint64_t mask = node_mask(nodes, count);
        while (at < p->layouts && layouts[at].nodes != mask) at++;
        layouts[at].partitions++;
        if (at < p->layouts) continue;
        layouts[at].nodes = mask;
        p->layouts++;
        p->replicas = count;
        if (p->contract.engine != ENGINE_ORDERED) continue;
        placement_members(p->topology, &p->contract, table, partition, &layouts[at].group);
    }
}

static void judge_all(struct plan *p, struct plan_layout *layouts)
{
    for (uint32_t i = 0; i < p->topology->nodes_count; i++)
        p->region_nodes[p->topology->nodes[i].region] |= UINT64_C(1) << i;
    mark_first_of_kind(p, layouts);
    plan__latencies(p, layouts);
    add_losses(p, layouts);
    plan__findings(p, layouts);
}

void plan_table(const struct topology *topology, const struct contract *contract, uint64_t table, struct plan *out)
{
    struct plan_layout *layouts = memory_zalloc(contract->partitions, sizeof *layouts);
    memset(out, 0, sizeof *out);
    out->topology = topology;
    out->contract = *contract;
    out->partitions = contract->partitions;
    collect_layouts(out, table, layouts);
    judge_all(out, layouts);
    memory_free(layouts);
}

/* ---- the metadata group ---- */

/* Of the region's nodes that are no members yet, the one from the zone with the fewest members; the name decides. */
static int next_voter(const struct topology *t, const struct placement *g, uint32_t region)
{
    uint64_t taken = node_mask(g->nodes, g->count);
    uint32_t fewest = UINT32_MAX;
    int best = -1;
    for (uint32_t i = 0; i < t->nodes_count; i++) {
        if (t->nodes[i].region != region || (taken >> i & 1)) continue;
        uint32_t neighbours = 0;
        for (uint64_t zone = zone_nodes(t, i) & taken; zone; zone &= zone - 1) neighbours++;
        bool earlier = best < 0 || strcmp(t->nodes[i].id, t->nodes[best].id) < 0;
        if (neighbours > fewest || (neighbours == fewest && !earlier)) continue;
        fewest = neighbours;
        best = (int)i;
    }
    return best;
}

void meta_members(const struct topology *topology, struct placement *out)
{
    uint8_t regions[TOPOLOGY_REGIONS_MAX];
    uint32_t wanted = topology->nodes_count < PLAN_META_VOTERS_MAX ? topology->nodes_count : PLAN_META_VOTERS_MAX;
    for (uint32_t i = 0; i < topology->regions_count; i++) {
        uint32_t at = i;
        for (; at > 0 && strcmp(topology->regions[regions[at - 1]], topology->regions[i]) > 0; at--)
            regions[at] = regions[at - 1];
        regions[at] = (uint8_t)i;
    }
    memset(out, 0, sizeof *out);
    for (uint32_t turn = 0; out->count < wanted; turn++) {
        int node = next_voter(topology, out, regions[turn % topology->regions_count]);
        if (node < 0) continue;
        out->nodes[out->count] = (uint8_t)node;
        topology_labels(topology, (uint32_t)node, &out->labels[out->count]);
        out->count++;
    }
}

void plan_meta(const struct topology *topology, struct plan *out)
{
    struct plan_layout layout = {.partitions = 1};
    memset(out, 0, sizeof *out);
    out->topology = topology;
    out->contract = (struct contract){.engine = ENGINE_ORDERED,
                                      .partitions = 1,
                                      .durability = {.kind = DURABILITY_MAJORITY},
                                      .read = CONTRACT_READ_LINEARIZABLE};
    out->is_meta = true;
    out->partitions = out->layouts = 1;
    meta_members(topology, &layout.group);
    layout.nodes = node_mask(layout.group.nodes, layout.group.count);
    out->replicas = layout.group.count;
    for (uint32_t i = 0; i < layout.group.count; i++)
        out->contract.replicas[topology->nodes[layout.group.nodes[i]].region]++;
    judge_all(out, &layout);
}
