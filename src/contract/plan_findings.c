/* plan_findings.c: what a person should hear first about a table's placement: a majority in one place, two replicas, a
 * rule that needs every region, a latency that jumps with the first node lost. Drawn from the placement and the
 * verdicts.
 */
#include "contract/plan_internal.h"

enum { NOTICEABLE_US = 1000 };

static struct plan_finding *find(struct plan *p, enum plan_finding_kind kind, bool severe)
{
    ASSERT(p->findings_count < PLAN_FINDINGS_MAX);
    struct plan_finding *f = &p->findings[p->findings_count++];
    *f = (struct plan_finding){.kind = kind, .severe = severe};
    return f;
}

/* May losing all of these nodes lose what was acknowledged? */
static bool loses(const struct plan *p, enum plan_loss_kind kind, uint64_t nodes)
{
    for (uint32_t i = 0; i < p->losses_count; i++) {
        const struct plan_loss *l = &p->losses[i];
        if (l->kind == kind && (l->nodes & nodes) == nodes) return l->harm >= PLAN_HARM_RULE;
    }
    return false;
}

static void find_regions(struct plan *p)
{
    const struct topology *t = p->topology;
    for (uint32_t region = 0; region < t->regions_count; region++) {
        uint32_t here = p->contract.replicas[region];
        bool whole = here == p->replicas;
        bool ordered = p->contract.engine == ENGINE_ORDERED;
        if (p->replicas < 2 || (!whole && (!ordered || here < commit_majority(p->replicas)))) continue;
        struct plan_finding *f = find(p, whole ? PLAN_ONE_REGION : PLAN_MAJORITY_IN_REGION, true);
        f->region = (uint8_t)region;
        f->loses = loses(p, PLAN_REGION, p->region_nodes[region]);
    }
}

/* The nodes of one zone that hold a majority of this layout, of a zone that is not its whole region; 0: none do. */
static uint64_t zone_with_majority(const struct plan *p, const struct placement *g)
{
    const struct topology *t = p->topology;
    for (uint32_t i = 0; i < g->count; i++) {
        const struct topology_node *n = &t->nodes[g->nodes[i]];
        uint64_t zone = 0;
        uint32_t members = 0;
        for (uint32_t k = 0; k < t->nodes_count; k++) {
            bool same = t->nodes[k].region == n->region && strcmp(t->nodes[k].zone, n->zone) == 0;
            zone |= (uint64_t)same << k;
        }
        for (uint32_t k = 0; k < g->count; k++) members += zone >> g->nodes[k] & 1;
        bool several = members > 1 && zone != p->region_nodes[n->region];
        if (several && members >= commit_majority(g->count)) return zone;
    }
    return 0;
}

static void find_zones(struct plan *p, const struct plan_layout *layouts)
{
    uint64_t told = 0;
    for (uint32_t i = 0; i < p->layouts; i++) {
        uint64_t zone = zone_with_majority(p, &layouts[i].group);
        if (zone == 0 || (told & zone)) continue;
        told |= zone;
        struct plan_finding *f = find(p, PLAN_MAJORITY_IN_ZONE, true);
        while (!(zone >> f->node & 1)) f->node++;
        f->region = p->topology->nodes[f->node].region;
        f->loses = loses(p, PLAN_ZONE, zone);
    }
}

/* Needs that hold only while every one of the places is there. Regions are the same in all layouts; of zones and tags
 * the first layout speaks. */
static void find_tight_needs(struct plan *p, const struct plan_layout *layouts)
{
    const struct placement *g = &layouts[0].group;
    for (uint32_t i = 0; i < g->rule.needs_count; i++) {
        uint8_t label = g->rule.needs[i].label, distinct = g->rule.needs[i].distinct;
        uint32_t have = commit_distinct(g->labels, g->count, (UINT64_C(1) << g->count) - 1, label);
        if (distinct < 2 || have > distinct) continue;
        find(p, PLAN_RULE_NEEDS_ALL, true)->amount = label;
    }
}

static void find_slowdown(struct plan *p)
{
    uint32_t before = p->leaders[p->best_leader].commit_us, worst = before;
    const struct plan_loss *slowest = NULL;
    for (uint32_t i = 0; i < p->losses_count; i++) {
        const struct plan_loss *l = &p->losses[i];
        if (l->kind != PLAN_NODE || l->commit_us == PLAN_NEVER || l->commit_us <= worst) continue;
        worst = l->commit_us;
        slowest = l;
    }
    if (!slowest || worst - before < NOTICEABLE_US) return;
    struct plan_finding *f = find(p, PLAN_SLOWER_AFTER_LOSS, false);
    f->region = slowest->a;
    f->amount = worst;
}

static uint32_t longest_link_us(const struct plan *p)
{
    uint32_t longest = 0;
    for (uint32_t a = 0; a < p->topology->regions_count; a++) {
        for (uint32_t b = 0; b < a; b++) {
            uint32_t us = p->topology->links[a][b].latency_us;
            if (p->contract.replicas[a] && p->contract.replicas[b] && us > longest) longest = us;
        }
    }
    return longest;
}

/* S9: a new leader may be any; its first read waits for a commit by the rule, also where acknowledgements don't. */
static uint32_t slowest_first_commit_us(const struct plan *p, const struct plan_layout *layouts)
{
    uint32_t worst = 0;
    for (uint32_t i = 0; i < p->layouts; i++) {
        const struct placement *g = &layouts[i].group;
        if (!layouts[i].is_first_of_kind) continue;
        for (uint32_t region = 0; region < p->topology->regions_count; region++) {
            uint32_t us = plan__commit_us(p->topology, g, region, (UINT64_C(1) << g->count) - 1, false);
            if (us != PLAN_NEVER && us > worst) worst = us;
        }
    }
    return worst;
}

static void find_ordered(struct plan *p, const struct plan_layout *layouts)
{
    find_zones(p, layouts);
    if (p->replicas == 2) find(p, PLAN_TWO_REPLICAS, true);
    if (p->replicas > 2 && p->replicas % 2 == 0) find(p, PLAN_EVEN_REPLICAS, false)->amount = p->replicas;
    find_tight_needs(p, layouts);
    if (p->contract.durability.kind == DURABILITY_ALL && p->replicas > 1) find(p, PLAN_EVERY_REPLICA, true);
    if (p->contract.durability.kind == DURABILITY_LEADER && p->replicas > 1)
        find(p, PLAN_LEADER_ALONE, true)->amount = longest_link_us(p);
    find_slowdown(p);
    if (p->contract.read == CONTRACT_READ_LINEARIZABLE && p->replicas > 1)
        find(p, PLAN_NEW_LEADER_READS, false)->amount = slowest_first_commit_us(p, layouts);
}

void plan__findings(struct plan *p, const struct plan_layout *layouts)
{
    if (p->replicas == 1) find(p, PLAN_ONE_REPLICA, true)->loses = true;
    find_regions(p);
    if (p->contract.engine == ENGINE_ORDERED)
        find_ordered(p, layouts);
    else if (p->replicas > 1)
        find(p, PLAN_CONCURRENT_WRITES, false)->amount = longest_link_us(p);
}
