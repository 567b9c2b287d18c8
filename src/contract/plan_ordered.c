/* plan_ordered.c: what one loss does to one group of an ordered table.
 *
 * Source:  design rules S7 (what can be missing) and S9 (a new leader's reads).
 *
 * P1  commit_rule_holds() is monotone, so "some set that satisfies the rule lies inside X" is the same as "X satisfies
 *     the rule": no subsets have to be tried.
 * P2  Elections need a majority, writes the rule, linearizable reads of a leader that has committed in its term only a
 *     majority. A leader that keeps its majority keeps leading, also when the rule can't be met.
 * P3  A leader that was lost is followed by another, whose reads wait for an entry of its own term to meet the rule.
 */
#include "contract/plan_internal.h"

static uint64_t all_of(const struct placement *g)
{
    return (UINT64_C(1) << g->count) - 1;
}

static uint32_t bits(uint64_t mask)
{
    uint32_t count = 0;
    for (; mask; mask &= mask - 1) count++;
    return count;
}

static uint64_t members_among(const struct placement *g, uint64_t nodes)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < g->count; i++) mask |= (nodes >> g->nodes[i] & 1) << i;
    return mask;
}

static uint32_t region_of(const struct plan *p, const struct placement *g, uint32_t member)
{
    return p->topology->nodes[g->nodes[member]].region;
}

static uint16_t regions_of(const struct plan *p, const struct placement *g, uint64_t members)
{
    uint16_t regions = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        if (members >> i & 1) regions |= (uint16_t)(1 << region_of(p, g, i));
    }
    return regions;
}

static uint16_t every_region(const struct plan *p)
{
    return (uint16_t)((UINT32_C(1) << p->topology->regions_count) - 1);
}

static bool has_majority(const struct placement *g, uint64_t members)
{
    return bits(members) >= commit_majority(g->count);
}

static bool satisfies(const struct placement *g, uint64_t members)
{
    return commit_rule_holds(&g->rule, g->labels, g->count, members);
}

static void worsen_course(enum plan_course *course, enum plan_course to)
{
    if (to > *course) *course = to;
}

static void worsen_harm(struct plan_loss *l, enum plan_harm to)
{
    if (to > l->harm) l->harm = to;
}

static void worsen_commit(struct plan_loss *l, uint32_t us)
{
    if (us > l->commit_us) l->commit_us = us;
}

/* The commit latency with the leader where we would like it, or, if it can't be there now, in the next best region. */
static uint32_t best_commit(const struct plan *p, const struct placement *g, uint64_t alive)
{
    bool alone = p->contract.durability.kind == DURABILITY_LEADER;
    uint32_t best = plan__commit_us(p->topology, g, p->best_leader, alive, alone);
    for (uint32_t region = 0; region < p->topology->regions_count && best == PLAN_NEVER; region++) {
        uint32_t us = plan__commit_us(p->topology, g, region, alive, alone);
        if (us < best) best = us;
    }
    return best;
}

/* ---- replicas are gone ---- */

static void judge_harm(const struct plan *p, const struct placement *g, uint64_t lost, struct plan_loss *l)
{
    uint64_t full = all_of(g) & ~g->witness_mask;
    bool leader_alone = p->contract.durability.kind == DURABILITY_LEADER;
    if ((full & ~lost) == 0)
        worsen_harm(l, PLAN_HARM_EVERYTHING);
    else if (satisfies(g, lost))
        worsen_harm(l, PLAN_HARM_RULE);
    else if (leader_alone && (full & lost))
        worsen_harm(l, PLAN_HARM_ROLLED_BACK);
}

static enum plan_course reads_without(const struct plan *p, const struct placement *g, uint64_t lost,
                                      struct plan_loss *l)
{
    uint64_t alive = all_of(g) & ~lost, full = all_of(g) & ~g->witness_mask;
    if ((alive & full) == 0) return PLAN_STALL;
    if (p->contract.read != CONTRACT_READ_LINEARIZABLE) return PLAN_GO_ON;
    if (!has_majority(g, alive)) return PLAN_STALL;
    if ((full & lost) == 0) return PLAN_GO_ON;
    if (satisfies(g, alive)) return PLAN_PAUSE;
    l->reads_stall_leaders |= regions_of(p, g, full & lost); /* P3: the new leader can't read */
    return PLAN_DEPEND;
}

static void judge_replicas_lost(const struct plan *p, const struct placement *g, struct plan_loss *l)
{
    uint64_t lost = members_among(g, l->nodes), alive = all_of(g) & ~lost, full = all_of(g) & ~g->witness_mask;
    if (!lost) return;
    bool writable = satisfies(g, alive) && (alive & full);
    worsen_course(&l->writes, !writable ? PLAN_STALL : (lost & full) ? PLAN_PAUSE : PLAN_GO_ON);
    worsen_course(&l->reads, reads_without(p, g, lost, l));
    worsen_commit(l, writable ? best_commit(p, g, alive) : PLAN_NEVER);
    if (!writable) l->refused_regions = every_region(p);
    judge_harm(p, g, lost, l);
}

/* ---- replicas don't hear each other ---- */

/* Which members a leader in `region` reaches. */
static uint64_t reach_of(const struct plan *p, const struct placement *g, const struct plan_loss *l, uint32_t region)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        if (plan__hears(l, region, region_of(p, g, i))) mask |= UINT64_C(1) << i;
    }
    return mask;
}

struct sides {
    uint16_t places; /* regions with a replica that can lead */
    uint16_t lead;   /* of these: whose leader keeps or wins a majority */
    uint16_t write;  /* of these: whose leader meets the rule */
};

static struct sides judge_sides(const struct plan *p, const struct placement *g, const struct plan_loss *l)
{
    struct sides s = {.places = regions_of(p, g, all_of(g) & ~g->witness_mask)};
    for (uint32_t region = 0; region < p->topology->regions_count; region++) {
        if (!(s.places >> region & 1)) continue;
        uint64_t reach = reach_of(p, g, l, region);
        if (has_majority(g, reach)) s.lead |= (uint16_t)(1 << region);
        if (satisfies(g, reach)) s.write |= (uint16_t)(1 << region);
    }
    return s;
}

/* With the leader in `region` when the cut begins. */
static enum plan_course writes_led_from(const struct sides *s, uint32_t region)
{
    if (s->write >> region & 1) return PLAN_GO_ON;
    if (s->lead >> region & 1) return PLAN_STALL; /* P2: it stays, and its rule is out of reach */
    if (s->write == 0) return PLAN_STALL;
    return s->lead == s->write ? PLAN_PAUSE : PLAN_DEPEND; /* the next leader may be one that can't meet the rule */
}

static enum plan_course reads_led_from(const struct sides *s, uint32_t region)
{
    return s->lead >> region & 1 ? PLAN_GO_ON : writes_led_from(s, region);
}

/* Over all places where the leader may stand: the same everywhere, or it depends. */
static enum plan_course over_places(const struct sides *s, enum plan_course (*led_from)(const struct sides *, uint32_t),
                                    uint16_t *out_stalls)
{
    enum plan_course worst = PLAN_GO_ON;
    bool all_stall = true;
    for (uint32_t region = 0; region < TOPOLOGY_REGIONS_MAX; region++) {
        if (!(s->places >> region & 1)) continue;
        enum plan_course course = led_from(s, region);
        if (course >= PLAN_DEPEND) *out_stalls |= (uint16_t)(1 << region);
        all_stall = all_stall && course == PLAN_STALL;
        worsen_course(&worst, course);
    }
    return worst == PLAN_STALL && !all_stall ? PLAN_DEPEND : worst;
}

/* Clients that reach no leader, if it began in the best place. */
static uint16_t refused_by_cut(const struct plan *p, const struct sides *s, const struct plan_loss *l)
{
    uint16_t leaders = s->write >> p->best_leader & 1 ? (uint16_t)(1 << p->best_leader) : s->write, refused = 0;
    if (s->lead >> p->best_leader & 1 && !(s->write >> p->best_leader & 1)) leaders = 0;
    for (uint32_t client = 0; client < p->topology->regions_count; client++) {
        bool served = false;
        for (uint32_t region = 0; region < p->topology->regions_count; region++) {
            served = served || ((leaders >> region & 1) && plan__hears(l, client, region));
        }
        if (!served) refused |= (uint16_t)(1 << client);
    }
    return refused;
}

static bool is_parted(const struct plan *p, const struct placement *g, const struct plan_loss *l)
{
    uint16_t homes = regions_of(p, g, all_of(g));
    for (uint32_t x = 0; x < p->topology->regions_count; x++) {
        for (uint32_t y = 0; y < x; y++) {
            if ((homes >> x & homes >> y & 1) && !plan__hears(l, x, y)) return true;
        }
    }
    return false;
}

static void judge_cut(const struct plan *p, const struct placement *g, struct plan_loss *l)
{
    struct sides s = judge_sides(p, g, l);
    l->refused_regions |= refused_by_cut(p, &s, l);
    if (!is_parted(p, g, l)) return;
    worsen_course(&l->writes, over_places(&s, writes_led_from, &l->writes_stall_leaders));
    if (p->contract.read == CONTRACT_READ_LINEARIZABLE)
        worsen_course(&l->reads, over_places(&s, reads_led_from, &l->reads_stall_leaders));
    uint32_t leader = s.write >> p->best_leader & 1 ? p->best_leader : TOPOLOGY_REGIONS_MAX;
    for (uint32_t region = 0; leader == TOPOLOGY_REGIONS_MAX && region < p->topology->regions_count; region++) {
        if (s.write >> region & 1) leader = region;
    }
    bool alone = p->contract.durability.kind == DURABILITY_LEADER;
    worsen_commit(l, leader == TOPOLOGY_REGIONS_MAX
                         ? PLAN_NEVER
                         : plan__commit_us(p->topology, g, leader, reach_of(p, g, l, leader), alone));
    if (alone && s.lead != s.places) worsen_harm(l, PLAN_HARM_ROLLED_BACK);
}

void plan__judge_ordered(const struct plan *p, const struct plan_layout *layout, struct plan_loss *l)
{
    if (plan__is_cut(l))
        judge_cut(p, &layout->group, l);
    else
        judge_replicas_lost(p, &layout->group, l);
}
