/* raft_membership.c: the configuration in force, joint changes, and handing leadership over.
 *
 * Source:  Ongaro, thesis, 2014, 4.3 (joint consensus) and 3.10 (transfer). A change appends the joint configuration;
 * once it is committed under both halves' rules, its leader appends the final one by itself. Differs: rule and labels
 * are part of the configuration, so that every member counts by the same ones. Placement is a preference: a leader
 * outside the preferred region hands over to a caught-up voter inside.
 *
 * M1  A configuration is in force from when it is appended, and no longer when it is truncated (R5).
 * M2  A leader appends a configuration only when the one before is committed.
 */
#include "base/memory.h"
#include "ordered/raft_internal.h"

enum { CONFIGURATIONS_CAPACITY_MIN = 2 };

const struct raft_configured *raft__configured(const struct raft *r)
{
    return &r->configurations[r->configurations_count - 1];
}

void raft__push_configuration(struct raft *r, uint64_t index, const struct raft_configuration *c)
{
    if (r->configurations_count == r->configurations_capacity) {
        uint32_t capacity = r->configurations_capacity ? 2 * r->configurations_capacity : CONFIGURATIONS_CAPACITY_MIN;
        r->configurations = memory_realloc(r->configurations, capacity * sizeof *r->configurations);
        r->configurations_capacity = capacity;
    }
    struct raft_configured *last = &r->configurations[r->configurations_count++];
    last->index = index;
    last->configuration = *c;
}

void raft__roll_back_configurations(struct raft *r, uint64_t from)
{
    while (r->configurations_count > 1 && raft__configured(r)->index >= from) r->configurations_count--;
}

void raft__compact_configurations(struct raft *r, uint64_t index)
{
    uint32_t gone = 0;
    while (gone + 1 < r->configurations_count && r->configurations[gone + 1].index <= index) gone++;
    if (gone == 0) return;
    r->configurations_count -= gone;
    memmove(r->configurations, r->configurations + gone, r->configurations_count * sizeof *r->configurations);
}

void raft__reset_configurations(struct raft *r, uint64_t index, const struct raft_configuration *c)
{
    r->configurations_count = 0;
    raft__push_configuration(r, index, c);
}

struct raft_peer *raft__peer(struct raft *r, uint16_t node)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return &r->peers[i];
    }
    return NULL;
}

static uint8_t set_kind(const struct raft_set *set, uint16_t node)
{
    for (uint32_t i = 0; i < set->members_count; i++) {
        if (set->members[i].node == node) return set->members[i].kind;
    }
    return 0;
}

/* Who counts in either half counts: a voter that is about to become a learner still votes and may lead. */
uint8_t raft__kind_in(const struct raft_configuration *c, uint16_t node)
{
    uint8_t kind = set_kind(&c->now, node);
    bool counts = kind == RAFT_VOTER || kind == RAFT_WITNESS;
    if (!c->joint || counts) return kind;
    uint8_t old = set_kind(&c->old, node);
    return old ? old : kind;
}

uint8_t raft__kind_of(const struct raft *r, uint16_t node)
{
    return raft__kind_in(&raft__configured(r)->configuration, node);
}

/* A member newly known: nothing is known of it. */
static void add_peer(struct raft *r, uint16_t node)
{
    if (node == r->config.node || raft__peer(r, node)) return;
    ASSERT(r->peers_count < RAFT_PEERS_MAX);
    uint32_t at = r->peers_count++;
    for (; at > 0 && r->peers[at - 1].node > node; at--) r->peers[at] = r->peers[at - 1];
    r->peers[at] = (struct raft_peer){.node = node};
    raft_progress_init(&r->peers[at].progress, r->log.last_index, r->config.window_messages,
                       r->config.window_entries_bytes, r->now_ns);
}

static void drop_strangers(struct raft *r)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (raft__kind_of(r, r->peers[i].node) == 0) {
            raft_progress_deinit(&r->peers[i].progress);
        } else {
            r->peers[kept++] = r->peers[i];
        }
    }
    r->peers_count = kept;
}

void raft__configuration_changed(struct raft *r)
{
    const struct raft_configuration *c = &raft__configured(r)->configuration;
    raft_quorum_init(&r->quorum, c);
    drop_strangers(r);
    for (uint32_t i = 0; i < c->now.members_count; i++) add_peer(r, c->now.members[i].node);
    for (uint32_t i = 0; c->joint && i < c->old.members_count; i++) add_peer(r, c->old.members[i].node);
}

bool raft_configuration_is_settled(const struct raft *r)
{
    const struct raft_configured *configured = raft__configured(r);
    return !configured->configuration.joint && configured->index <= r->commit;
}

static void append_configuration(struct raft *r, const struct raft_configuration *c)
{
    struct buffer b;
    buffer_init(&b, RAFT_CONFIGURATION_BYTES_MAX);
    raft_configuration_write(&b, c);
    ASSERT(!b.overflowed);
    raft__append(r, r->term, RAFT_ENTRY_CONFIGURATION, buffer_slice(&b));
    buffer_deinit(&b);
    raft__send_entries_to_all(r);
}

/* A witness has no state to serve with, and who has one should not throw it away: such a member leaves and another
 * comes. */
static bool changes_a_witness(const struct raft *r, const struct raft_set *set)
{
    for (uint32_t i = 0; i < set->members_count; i++) {
        uint8_t kind = raft__kind_of(r, set->members[i].node);
        if (kind != 0 && (kind == RAFT_WITNESS) != (set->members[i].kind == RAFT_WITNESS)) return true;
    }
    return false;
}

static enum raft_proposal_result change_refusal(const struct raft *r, const struct raft_set *set)
{
    if (r->role != RAFT_LEADER) return RAFT_PROPOSAL_NOT_LEADER;
    if (r->transfer_to != 0) return RAFT_PROPOSAL_HANDING_OVER;
    if (changes_a_witness(r, set)) return RAFT_PROPOSAL_INVALID;
    if (!raft_can_commit(r, r->now_ns)) return RAFT_PROPOSAL_OUT_OF_CONTACT;
    if (!raft_configuration_is_settled(r) || r->commit < r->reign_index) return RAFT_PROPOSAL_BUSY; /* M2 */
    return RAFT_PROPOSAL_ACCEPTED;
}

void raft__on_reconfigure(struct raft *r, const struct raft_set *set)
{
    struct raft_effects *fx = r->fx;
    fx->proposal = change_refusal(r, set);
    if (fx->proposal != RAFT_PROPOSAL_ACCEPTED) return;
    raft__wake(r);
    fx->proposal_term = r->term;
    fx->proposal_first = r->log.last_index + 1;
    struct raft_configuration c = {.joint = true, .now = *set, .old = raft__configured(r)->configuration.now};
    append_configuration(r, &c);
}

void raft__leave_joint(struct raft *r)
{
    const struct raft_configured *configured = raft__configured(r);
    if (!configured->configuration.joint || configured->index > r->commit) return;
    struct raft_configuration c = {.now = configured->configuration.now};
    append_configuration(r, &c);
}

/* ---- handing over ---- */

/* The voter that is furthest, in `region` unless that is 0; 0: none in contact. */
static uint16_t best_voter(const struct raft *r, uint16_t region)
{
    const struct raft_peer *best = NULL;
    const struct raft_configuration *c = &raft__configured(r)->configuration;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct raft_peer *peer = &r->peers[i];
        const struct raft_member *member = raft_configuration_member(c, peer->node);
        if (raft__kind_of(r, peer->node) != RAFT_VOTER || !raft__is_in_contact(r, peer, r->now_ns)) continue;
        if (region && member->labels.value[COMMIT_LABEL_REGION] != region) continue;
        if (!best || peer->progress.match > best->progress.match) best = peer;
    }
    return best ? best->node : 0;
}

void raft__on_transfer(struct raft *r, uint16_t to)
{
    if (r->role != RAFT_LEADER || to == r->config.node) return;
    if (to == 0) to = best_voter(r, 0);
    if (to == 0 || raft__kind_of(r, to) != RAFT_VOTER) return;
    raft__wake(r);
    r->transfer_to = to;
    r->transfer_sent = false;
    r->transfer_deadline_ns = r->now_ns + r->config.election_timeout_ns;
    raft__pump_transfer(r);
}

/* The target has everything: let it ask for votes at once. It may be elected while our lease runs, and the message may
 * arrive late: this term has no lease any more. */
void raft__pump_transfer(struct raft *r)
{
    if (r->transfer_to == 0 || r->transfer_sent) return;
    const struct raft_peer *peer = raft__peer(r, r->transfer_to);
    if (!peer || peer->progress.match < r->log.last_index) return;
    r->transfer_sent = true;
    r->lease_void = true;
    struct raft_letter m = {.kind = KIND_TIMEOUT_NOW, .term = r->term};
    raft__send(r, r->transfer_to, &m);
}

static bool has_caught_up(const struct raft *r, uint16_t node)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return r->peers[i].progress.match >= r->commit;
    }
    return false;
}

/* A better leader than us that is ready to take over; 0: none. */
uint16_t raft__better_leader(const struct raft *r)
{
    const struct raft_configuration *c = &raft__configured(r)->configuration;
    const struct raft_member *own = raft_configuration_member(c, r->config.node);
    bool must_go = raft__kind_of(r, r->config.node) != RAFT_VOTER;
    uint16_t region = c->now.leader_region;
    bool is_placed = !must_go && (region == 0 || own->labels.value[COMMIT_LABEL_REGION] == region);
    if (is_placed || (!must_go && r->commit < r->reign_index))
        return 0; /* who must go may be unable to commit at all */
    uint16_t to = region ? best_voter(r, region) : 0;
    if (must_go && !has_caught_up(r, to)) to = best_voter(r, 0); /* anybody rather than us */
    return has_caught_up(r, to) ? to : 0;
}

static void consider_handing_over(struct raft *r)
{
    if (r->transfer_to != 0 || r->now_ns < r->placement_after_ns) return;
    uint16_t to = raft__better_leader(r);
    if (to == 0) return;
    r->placement_after_ns = r->now_ns + RAFT_PLACEMENT_WAIT_TIMEOUTS * r->config.election_timeout_ns;
    raft__on_transfer(r, to);
}

void raft__tick_transfer(struct raft *r)
{
    if (r->transfer_to != 0 && r->now_ns >= r->transfer_deadline_ns) {
        r->transfer_to = 0; /* it did not come to pass: go on leading */
        bool is_removed = raft_configuration_is_settled(r) && raft__kind_of(r, r->config.node) == 0;
        if (is_removed) {
            raft__become_follower(r, r->term, 0);
            return;
        }
    }
    consider_handing_over(r);
}
