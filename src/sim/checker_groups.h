/* checker_groups.h: the groups of a running world, shown to the checkers that look inside. */
#ifndef MERIDIAN_SIM_CHECKER_GROUPS_H
#define MERIDIAN_SIM_CHECKER_GROUPS_H

#include "contract/topology.h"
#include "sim/checker_raft.h"

/* Show every group of the shard to the watch; `starts`: it was just opened. */
void watch_groups(struct raft_watch *watch, const struct world *w, uint8_t node, const struct shard *shard, bool starts,
                  struct verdict *v);
/* Liveness: after healing, every group has one leader that can read, and all members have applied all there is. If not,
 * `out_why` says what is waited for. */
bool groups_are_settled(struct world *w, char out_why[CONVERGENCE_WHY_BYTES]);
/* All members of a group that hold its state hold the same, byte for byte. Only once the groups are settled. */
void check_states_equal(struct world *w, struct verdict *v);
/* May this node lose its disk? All members of its groups run, none of them joins, and `lost`, those that lost theirs
 * before, have everything again: else two have forgotten the same entry. */
bool groups_can_spare(struct world *w, uint8_t node, const bool lost[TOPOLOGY_NODES_MAX]);

#endif
