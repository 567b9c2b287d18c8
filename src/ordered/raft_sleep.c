/* raft_sleep.c: contact between members, the leader's clockwork, and sleep.
 *
 * Model:   CockroachDB's quiesced ranges and TiKV's hibernated regions. A leader whose entries are all committed, and
 *          known everywhere, tells its members so and stops its heartbeats; a member that knows the same stops its
 *          election timer and takes the host's heartbeat of the node pair for the leader's. A group at rest so has no
 *          timer and sends nothing. It wakes when a message, a proposal or a read comes, or a node is lost.
 *
 * Z1  Sleep is a matter of timers only: terms, votes, leases and commits are judged as ever (R6). While asleep no
 * promise is renewed, so the lease runs out and the first read asks for a round.
 */
#include "ordered/raft_internal.h"

bool raft__leader_is_alive(const struct raft *r)
{
    if (!r->quiesced || r->role != RAFT_FOLLOWER || r->leader == 0) return false;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == r->leader) return r->peers[i].is_heard && !r->peers[i].is_lost;
    }
    return false;
}

bool raft__is_in_contact(const struct raft *r, const struct raft_peer *peer, uint64_t now_ns)
{
    if (peer->is_lost) return false;
    if (r->role != RAFT_LEADER || r->quiesced) return peer->is_heard || r->quiesced;
    return raft_promise_binds(peer->progress.heard_ns, now_ns, r->config.election_timeout_ns);
}

/* Something happened: a leader counts its idle time anew, and one that slept beats again. */
void raft__wake(struct raft *r)
{
    r->busy_ns = r->now_ns;
    if (!r->quiesced) return;
    r->quiesced = false;
    if (r->role != RAFT_LEADER) {
        raft__reset_election_deadline(r);
        return;
    }
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (!r->peers[i].is_lost) r->peers[i].progress.heard_ns = r->now_ns; /* silent by agreement until now */
    }
    r->check_deadline_ns = r->now_ns + r->config.election_timeout_ns;
    r->heartbeat_deadline_ns = r->now_ns + r->config.heartbeat_interval_ns;
    raft__heartbeat_all(r);
}

struct contact_view {
    const struct raft *r;
    uint64_t now_ns;
};

static uint64_t contact_of(const void *user, uint16_t node)
{
    const struct contact_view *view = user;
    const struct raft *r = view->r;
    if (node == r->config.node) return 1;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return raft__is_in_contact(r, &r->peers[i], view->now_ns);
    }
    return 0;
}

bool raft_can_commit(const struct raft *r, uint64_t now_ns)
{
    struct contact_view view = {.r = r, .now_ns = now_ns};
    return r->role == RAFT_LEADER && raft_quorum_rule(&r->quorum, contact_of, &view) > 0;
}

/* Check-quorum: a leader that a majority no longer answers makes room (thesis, 6.2). */
static void check_quorum(struct raft *r)
{
    r->check_deadline_ns = r->now_ns + r->config.election_timeout_ns;
    struct contact_view view = {.r = r, .now_ns = r->now_ns};
    if (raft_quorum_majority(&r->quorum, contact_of, &view) > 0) return;
    raft__become_follower(r, r->term, 0);
}

/* Nothing is under way, and every member in contact knows all there is. */
static bool is_at_rest(const struct raft *r)
{
    if (r->commit < r->log.last_index || r->applied < r->commit || r->reads_count > 0) return false;
    if (r->transfer_to != 0 || !raft_configuration_is_settled(r) || raft__better_leader(r) != 0) return false;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct raft_peer *peer = &r->peers[i];
        if (peer->is_lost) continue;
        if (!peer->is_heard || peer->progress.match < r->log.last_index) return false;
        if (peer->progress.commit_known < r->commit) return false;
    }
    return raft_can_commit(r, r->now_ns);
}

static void consider_sleep(struct raft *r)
{
    if (r->config.quiesce_after_ns == 0 || r->now_ns - r->busy_ns < r->config.quiesce_after_ns) return;
    if (!is_at_rest(r)) return;
    struct raft_letter m = {.kind = KIND_QUIESCE, .term = r->term, .quiesce_index = r->log.last_index};
    for (uint32_t i = 0; i < r->peers_count; i++) raft__send(r, r->peers[i].node, &m);
    r->quiesced = true;
}

void raft__on_quiesce(struct raft *r, uint16_t from, uint64_t index)
{
    raft__heard_leader(r, from);
    const struct raft_peer *peer = raft__peer(r, from);
    bool knows_all = r->log.last_index == index && r->verified == index && r->commit == index;
    if (knows_all && r->durable_index == index && peer && peer->is_heard && !peer->is_lost && r->reads_count == 0) {
        r->quiesced = true;
    } else {
        raft__reply_to_leader(r); /* it sees what we lack, and wakes */
    }
}

void raft__on_node(struct raft *r, uint16_t node, bool is_heard)
{
    struct raft_peer *peer = raft__peer(r, node);
    if (!peer) return;
    bool changed = peer->is_lost == is_heard || peer->is_heard != is_heard;
    peer->is_heard = is_heard;
    peer->is_lost = !is_heard;
    if (changed && r->joining) raft__on_node_while_joining(r);
    if (!changed || r->config.frozen) return;
    if (r->role == RAFT_LEADER) {
        if (r->quiesced)
            raft__wake(r); /* a majority may be gone, or somebody is back and must be told what it missed */
    } else if (!is_heard && node == r->leader) {
        raft__wake(r);
        raft__lost_leader(r);
    }
}

static void beat(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        struct raft_peer *peer = &r->peers[i];
        peer->progress.probe_sent = false; /* its answer is overdue: the heartbeat probes as well */
        raft__retry_snapshot(r, peer);
    }
    r->heartbeat_deadline_ns = r->now_ns + r->config.heartbeat_interval_ns;
    raft__heartbeat_all(r);
}

void raft__tick_leader(struct raft *r)
{
    if (r->quiesced) return;
    if (r->now_ns >= r->check_deadline_ns) check_quorum(r);
    if (r->role != RAFT_LEADER) return;
    raft__tick_transfer(r);
    if (r->role != RAFT_LEADER || r->now_ns < r->heartbeat_deadline_ns) return;
    consider_sleep(r);
    if (!r->quiesced) beat(r);
}
