/* plan_mergeable.c: what one loss does to the replicas of one partition of a mergeable table: any replica takes a
 * write, so that nothing stalls while one can be reached, and a write is on one disk until it has travelled.
 */
#include "contract/plan_internal.h"

/* Regions whose clients reach no living replica. */
static uint16_t refused(const struct plan *p, const struct plan_loss *l, uint64_t alive)
{
    const struct topology *t = p->topology;
    uint16_t mask = 0;
    for (uint32_t client = 0; client < t->regions_count; client++) {
        bool served = false;
        for (uint32_t region = 0; region < t->regions_count; region++) {
            bool holds = (p->region_nodes[region] & alive) != 0;
            served = served || (holds && plan__hears(l, client, region));
        }
        if (!served) mask |= (uint16_t)(1 << client);
    }
    return mask;
}

/* Two replicas that don't hear each other both take writes. */
static bool is_split(const struct plan *p, const struct plan_loss *l, uint64_t nodes)
{
    const struct topology *t = p->topology;
    for (uint32_t x = 0; x < t->regions_count; x++) {
        for (uint32_t y = 0; y < x; y++) {
            bool both = (p->region_nodes[x] & nodes) && (p->region_nodes[y] & nodes);
            if (both && !plan__hears(l, x, y)) return true;
        }
    }
    return false;
}

void plan__judge_mergeable(const struct plan *p, const struct plan_layout *layout, struct plan_loss *l)
{
    uint64_t lost = plan__is_cut(l) ? 0 : layout->nodes & l->nodes, alive = layout->nodes & ~lost;
    enum plan_harm harm = PLAN_HARM_NONE;
    l->refused_regions |= refused(p, l, alive);
    if (lost) harm = alive ? PLAN_HARM_NODE_TAIL : PLAN_HARM_EVERYTHING;
    if (is_split(p, l, layout->nodes)) harm = PLAN_HARM_CONFLICT;
    if (harm > l->harm) l->harm = harm;
    if (!alive) l->writes = l->reads = PLAN_STALL;
    if (!alive) l->commit_us = PLAN_NEVER;
}
