/* plan_latency.c: how long a write waits for the network, from the one-way latencies of the links: the client's way to
 * the leader and back, and the leader's round trip to the nearest set that satisfies the rule. One fsync comes on top.
 *
 * L1  The nearest set is found by adding members in the order of their distance until the rule holds: the rule is
 *     monotone, so no other set has a nearer farthest member.
 */
#include "contract/plan_internal.h"

static uint32_t round_trip_us(const struct topology *t, uint32_t a, uint32_t b)
{
    return a == b ? 0 : 2 * t->links[a][b].latency_us;
}

/* Does a full replica of `have` stand in the region? */
static bool can_lead(const struct topology *t, const struct placement *g, uint32_t region, uint64_t have)
{
    for (uint32_t i = 0; i < g->count; i++) {
        bool full = (have & ~g->witness_mask) >> i & 1;
        if (full && t->nodes[g->nodes[i]].region == region) return true;
    }
    return false;
}

uint32_t plan__commit_us(const struct topology *t, const struct placement *g, uint32_t region, uint64_t have,
                         bool leader_alone)
{
    if (!can_lead(t, g, region, have)) return PLAN_NEVER;
    if (!commit_rule_holds(&g->rule, g->labels, g->count, have)) return PLAN_NEVER;
    if (leader_alone) return 0;
    for (uint32_t far = 0, next; true; far = next) {
        uint64_t near = 0;
        next = PLAN_NEVER;
        for (uint32_t i = 0; i < g->count; i++) {
            uint32_t us = round_trip_us(t, region, t->nodes[g->nodes[i]].region);
            if (!(have >> i & 1)) continue;
            if (us <= far) near |= UINT64_C(1) << i;
            if (us > far && us < next) next = us;
        }
        if (commit_rule_holds(&g->rule, g->labels, g->count, near)) return far;
    }
}

static void judge_leader(struct plan *p, const struct plan_layout *layouts, uint32_t region)
{
    const struct topology *t = p->topology;
    struct plan_leader *leader = &p->leaders[region];
    bool alone = p->contract.durability.kind == DURABILITY_LEADER;
    leader->possible = true;
    for (uint32_t i = 0; i < p->layouts; i++) {
        const struct placement *g = &layouts[i].group;
        if (!layouts[i].is_first_of_kind) continue;
        uint32_t us = plan__commit_us(t, g, region, (UINT64_C(1) << g->count) - 1, alone);
        if (us == PLAN_NEVER) leader->possible = false;
        if (us > leader->commit_us) leader->commit_us = us;
    }
    for (uint32_t client = 0; client < t->regions_count; client++) {
        leader->client_us[client] =
            leader->possible ? round_trip_us(t, client, region) + leader->commit_us : PLAN_NEVER;
    }
}

static void ordered_latencies(struct plan *p, const struct plan_layout *layouts)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t region = 0; region < p->topology->regions_count; region++) {
        uint64_t sum = 0;
        judge_leader(p, layouts, region);
        if (!p->leaders[region].possible) continue;
        for (uint32_t client = 0; client < p->topology->regions_count; client++)
            sum += p->leaders[region].client_us[client];
        if (sum < least) least = sum, p->best_leader = (uint8_t)region;
    }
    memcpy(p->client_us, p->leaders[p->best_leader].client_us, sizeof p->client_us);
}

static void mergeable_latencies(struct plan *p)
{
    const struct topology *t = p->topology;
    for (uint32_t client = 0; client < t->regions_count; client++) {
        p->client_us[client] = PLAN_NEVER;
        for (uint32_t region = 0; region < t->regions_count; region++) {
            uint32_t us = round_trip_us(t, client, region);
            if (p->contract.replicas[region] && us < p->client_us[client]) p->client_us[client] = us;
        }
    }
}

void plan__latencies(struct plan *p, const struct plan_layout *layouts)
{
    if (p->contract.engine == ENGINE_ORDERED)
        ordered_latencies(p, layouts);
    else
        mergeable_latencies(p);
}
