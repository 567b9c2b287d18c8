/* group_rejoin.c: after a recovery, back to the members that the table's contract asks for, by itself.
 *
 *   blank member  --BACK, every now and then-->  leader: takes it in as a learner, which gets a snapshot
 *   leader: all of the contract's members are there and have caught up --> the contract's own set and rule, by a joint
 *           change
 *
 * J1  A learner counts for nothing, so that taking one in can't stop the group. The rule is the contract's again only
 *     once every member of it has what is committed; until then the group runs as it was recovered.
 * J2  Nothing here is decided by a blank member: it only says that it is there.
 */
#include "ordered/group_internal.h"

static const uint64_t READY_EVERY_NS = 1000ull * 1000 * 1000, LOOK_EVERY_NS = 200ull * 1000 * 1000;

/* ---- a blank member ---- */

static void say_ready(struct group *g)
{
    if (raft_leader(g->raft) != 0) return; /* it knows */
    for (uint32_t i = 0; i < g->order->set.members_count; i++) {
        uint16_t node = g->order->set.members[i].node;
        if (node != g->config.self) group__say(g, node, GROUP_BACK, slice_of(NULL, 0));
    }
}

/* ---- the leader ---- */

static const struct raft_member *member_in(const struct raft_set *set, uint16_t node)
{
    for (uint32_t i = 0; i < set->members_count; i++) {
        if (set->members[i].node == node) return &set->members[i];
    }
    return NULL;
}

/* Refused while another change is under way: it will be asked for again. */
static void change(struct group *g, const struct raft_set *set)
{
    group__event(g, (struct raft_event){.type = RAFT_RECONFIGURE, .set = set});
}

void group__on_ready(struct group *g, uint16_t node)
{
    uint64_t index;
    if (g->standing != RECOVERY_MEMBER || !raft_is_leader(g->raft)) return;
    struct raft_set set = raft_configuration(g->raft, &index)->now;
    const struct raft_member *wanted = member_in(&g->config.members, node);
    bool fits = set.members_count < RAFT_MEMBERS_MAX;
    if (!wanted || wanted->kind == RAFT_WITNESS || member_in(&set, node) || !fits) return;
    set.members[set.members_count] = *wanted;
    set.members[set.members_count++].kind = RAFT_LEARNER;
    if (raft_set_check(&set) == STATUS_OK) change(g, &set);
}

static bool has_caught_up(const struct group *g, uint16_t node)
{
    struct raft_contact contacts[RAFT_PEERS_MAX];
    uint32_t count = raft_contact(g->raft, g->now.mono_ns, contacts);
    for (uint32_t i = 0; i < count; i++) {
        if (contacts[i].node != node) continue;
        bool has_all = contacts[i].match_index >= raft_commit_index(g->raft);
        return node == g->config.self || (contacts[i].in_contact && !contacts[i].is_snapshotting && has_all);
    }
    return false;
}

static bool is_contracts(const struct raft_set *now, const struct raft_set *wanted)
{
    if (now->members_count != wanted->members_count || !commit_rule_equal(&now->rule, &wanted->rule)) return false;
    for (uint32_t i = 0; i < wanted->members_count; i++) {
        const struct raft_member *member = member_in(now, wanted->members[i].node);
        if (!member || member->kind != wanted->members[i].kind) return false;
    }
    return true;
}

static void restore_contract(struct group *g)
{
    uint64_t index;
    const struct raft_configuration *c = raft_configuration(g->raft, &index);
    const struct raft_set *wanted = &g->config.members;
    if (!raft_is_leader(g->raft) || c->joint || is_contracts(&c->now, wanted)) return;
    for (uint32_t i = 0; i < wanted->members_count; i++) {
        if (!has_caught_up(g, wanted->members[i].node)) return; /* J1 */
    }
    change(g, wanted);
}

bool group_is_degraded(const struct group *g)
{
    uint64_t index;
    const struct raft_configuration *c = raft_configuration(g->raft, &index);
    bool is_settled = raft_configuration_is_settled(g->raft) && is_contracts(&c->now, &g->config.members);
    return g->generation != 0 && !is_settled;
}

/* ---- both ---- */

void group__rejoin_step(struct group *g)
{
    if (g->generation == 0 || g->now.mono_ns < g->rejoin_ns) return;
    bool is_blank = g->standing == RECOVERY_BLANK;
    g->rejoin_ns = g->now.mono_ns + (is_blank ? READY_EVERY_NS : LOOK_EVERY_NS);
    if (is_blank) say_ready(g);
    if (g->standing == RECOVERY_MEMBER) restore_contract(g);
}

/* The leader looks when it is called for something else: while a member catches up it is. */
uint64_t group__rejoin_deadline_ns(const struct group *g)
{
    return g->standing == RECOVERY_BLANK ? g->rejoin_ns : UINT64_MAX;
}
