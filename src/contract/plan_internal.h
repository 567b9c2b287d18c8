/* plan_internal.h: what the files of the planner share. */
#ifndef MERIDIAN_CONTRACT_PLAN_INTERNAL_H
#define MERIDIAN_CONTRACT_PLAN_INTERNAL_H

#include "contract/plan.h"

/* One set of nodes that holds partitions; `group` only for ordered tables. */
struct plan_layout {
    uint64_t nodes; /* bits of node indexes */
    uint32_t partitions;
    bool is_first_of_kind; /* no earlier layout has the same regions and labels: cuts are judged for these only */
    struct placement group;
};

/* Does region x hear region y during this loss? */
bool plan__hears(const struct plan_loss *l, uint32_t x, uint32_t y);
bool plan__is_cut(const struct plan_loss *l);

/* The worst that this loss does to one layout, merged into `l`, whose verdict begins as all good. */
void plan__judge_ordered(const struct plan *p, const struct plan_layout *layout, struct plan_loss *l);
void plan__judge_mergeable(const struct plan *p, const struct plan_layout *layout, struct plan_loss *l);

/* The round trip from a leader in `region` to the nearest of the members in `have` that together satisfy the rule (an
 * acknowledgement of DURABILITY leader needs none). PLAN_NEVER: they don't, or none of them there can lead. */
uint32_t plan__commit_us(const struct topology *t, const struct placement *g, uint32_t region, uint64_t have,
                         bool leader_alone);
/* Fills leaders, best_leader and client_us with the worst of all layouts. */
void plan__latencies(struct plan *p, const struct plan_layout *layouts);
void plan__findings(struct plan *p, const struct plan_layout *layouts);

#endif
