/* checker_groups.c: from the groups of a shard to what the watch wants to see; and what must be true after healing. */
#include "sim/checker_groups.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/memory.h"
#include "contract/contract.h"
#include "node/inspect.h"
#include "ordered/group.h"

enum { GROUPS_SEEN_MAX = 8192, STATE_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- for the watch ---- */

struct showing {
    struct raft_watch *watch;
    uint16_t node_number;
    bool starts;
    struct verdict *verdict;
};

static uint64_t log_term_at(const void *log, uint64_t index)
{
    return raft_term_at(log, index);
}

static const struct raft_entry *log_entry_at(const void *log, uint64_t index)
{
    return raft_entry(log, index);
}

static void show_group(void *user, struct group *group)
{
    const struct showing *showing = user;
    const struct raft *raft = group_raft(group);
    uint64_t configured_at;
    if (raft_is_joining(raft)) {
        raft_watch_joining(showing->watch, group_table(group), group_partition(group), showing->node_number);
        return;
    }
    struct raft_sight sight = {
        .table = group_table(group),
        .partition = group_partition(group),
        .node = showing->node_number,
        .starts = showing->starts,
        .leads = raft_is_leader(raft),
        .term = raft_term(raft),
        .base = raft_base_index(raft),
        .last = raft_last_index(raft),
        .durable = raft_durable_index(raft),
        .commit = raft_commit_index(raft),
        .configuration = raft_configuration(raft, &configured_at),
        .log = raft,
        .term_at = log_term_at,
        .entry_at = log_entry_at,
    };
    raft_watch_see(showing->watch, &sight, showing->verdict);
}

void watch_groups(struct raft_watch *watch, const struct world *w, uint8_t node, const struct shard *shard, bool starts,
                  struct verdict *v)
{
    struct showing showing = {.watch = watch, .starts = starts, .verdict = v};
    showing.node_number = world_topology(w)->nodes[node].number;
    shard_visit_groups(shard, show_group, &showing);
}

/* ---- all groups of the world ---- */

struct seen_group {
    struct group *group;
    uint8_t node;
};

struct seen_groups {
    struct seen_group *items;
    uint32_t count;
    uint8_t node;
};

static void see_group(void *user, struct group *group)
{
    struct seen_groups *s = user;
    ASSERT(s->count < GROUPS_SEEN_MAX);
    s->items[s->count++] = (struct seen_group){group, s->node};
}

static void see_node(struct world *w, uint8_t node, struct seen_groups *s)
{
    s->node = node;
    for (uint8_t k = 0; k < world_node_shards(w, node); k++) {
        struct shard *shard = world_shard(w, node, k);
        if (shard) shard_visit_groups(shard, see_group, s);
    }
}

/* The caller frees the items. */
static struct seen_groups all_groups(struct world *w)
{
    struct seen_groups s = {.items = memory_alloc(GROUPS_SEEN_MAX * sizeof *s.items)};
    for (uint32_t node = 0; node < world_topology(w)->nodes_count; node++) see_node(w, (uint8_t)node, &s);
    return s;
}

static bool same_group(const struct group *a, const struct group *b)
{
    return group_table(a) == group_table(b) && group_partition(a) == group_partition(b);
}

static uint32_t voters_of(const struct raft *raft)
{
    uint64_t configured_at;
    const struct raft_configuration *c = raft_configuration(raft, &configured_at);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < c->now.members_count; i++) voters += c->now.members[i].kind == RAFT_VOTER;
    return c->joint ? 0 : voters;
}

/* One group of which items[index] is a member. */
static bool can_spare(const struct seen_groups *s, uint32_t index, const bool lost[TOPOLOGY_NODES_MAX])
{
    const struct raft *mine = group_raft(s->items[index].group);
    uint64_t last = 0, configured_at;
    uint32_t members = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct raft *raft = group_raft(s->items[i].group);
        if (!same_group(s->items[i].group, s->items[index].group)) continue;
        if (raft_is_joining(raft) || voters_of(raft) < 2) return false; /* nobody else could give it the state */
        if (raft_last_index(raft) > last) last = raft_last_index(raft);
        members++;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (!same_group(s->items[i].group, s->items[index].group) || !lost[s->items[i].node]) continue;
        if (last == 0 || raft_durable_index(group_raft(s->items[i].group)) < last) return false;
    }
    return members == raft_configuration(mine, &configured_at)->now.members_count;
}

bool groups_can_spare(struct world *w, uint8_t node, const bool lost[TOPOLOGY_NODES_MAX])
{
    struct seen_groups s = all_groups(w);
    bool can = true;
    for (uint32_t i = 0; i < s.count && can; i++) {
        if (s.items[i].node == node) can = can_spare(&s, i, lost);
    }
    memory_free(s.items);
    return can;
}

/* ---- settled ---- */

static bool member_is_settled(const struct seen_groups *s, uint32_t index, char out_why[CONVERGENCE_WHY_BYTES])
{
    const struct raft *mine = group_raft(s->items[index].group), *leader = NULL;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct raft *other = group_raft(s->items[i].group);
        if (same_group(s->items[i].group, s->items[index].group) && raft_is_leader(other)) leader = other;
    }
    uint64_t last = leader ? raft_last_index(leader) : 0;
    bool settled = leader && raft_can_read(leader) && raft_term(leader) == raft_term(mine) &&
                   raft_commit_index(leader) == last && raft_last_index(mine) == last &&
                   raft_applied_index(mine) == last;
    if (settled) return true;
    snprintf(
        out_why, CONVERGENCE_WHY_BYTES,
        "table %llx partition %u at node %u: term %llu, last %llu, commit %llu, applied %llu; leader: %s, last %llu",
        (unsigned long long)group_table(s->items[index].group), group_partition(s->items[index].group),
        s->items[index].node, (unsigned long long)raft_term(mine), (unsigned long long)raft_last_index(mine),
        (unsigned long long)raft_commit_index(mine), (unsigned long long)raft_applied_index(mine),
        leader ? "there" : "none", (unsigned long long)last);
    return false;
}

bool groups_are_settled(struct world *w, char out_why[CONVERGENCE_WHY_BYTES])
{
    struct seen_groups s = all_groups(w);
    bool settled = true;
    for (uint32_t i = 0; i < s.count && settled; i++) settled = member_is_settled(&s, i, out_why);
    memory_free(s.items);
    return settled;
}

/* ---- equal states ---- */

/* 0: it holds none, or not all of it is in memory. */
static uint64_t state_hash(struct group *group)
{
    if (raft_is_witness(group_raft(group))) return 0;
    struct buffer bytes;
    buffer_init(&bytes, STATE_BYTES_MAX);
    bool whole = machine_encode_all(group_machine(group), &bytes) && !bytes.overflowed;
    uint64_t hash = whole ? hash_bytes(buffer_slice(&bytes), 1) | 1 : 0;
    buffer_deinit(&bytes);
    return hash;
}

/* An entry of the group's own, such as the removal of what has expired, may be on its way between them. */
static bool at_same_position(struct group *a, struct group *b)
{
    return machine_applied_index(group_machine(a)) == machine_applied_index(group_machine(b));
}

void check_states_equal(struct world *w, struct verdict *v)
{
    struct seen_groups s = all_groups(w);
    uint64_t *hashes = memory_zalloc(s.count + 1, sizeof *hashes);
    for (uint32_t i = 0; i < s.count; i++) {
        hashes[i] = state_hash(s.items[i].group);
        for (uint32_t k = 0; k < i && hashes[i]; k++) {
            if (!same_group(s.items[i].group, s.items[k].group) || hashes[k] == 0 || hashes[k] == hashes[i]) continue;
            if (!at_same_position(s.items[i].group, s.items[k].group)) continue;
            verdict_fail(v, "state machine equality", "table %llx partition %u: the states of nodes %u and %u differ",
                         (unsigned long long)group_table(s.items[i].group), group_partition(s.items[i].group),
                         s.items[k].node, s.items[i].node);
        }
    }
    memory_free(hashes);
    memory_free(s.items);
}
