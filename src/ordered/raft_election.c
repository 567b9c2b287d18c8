/* raft_election.c: roles, votes and terms.
 *
 *      FOLLOWER --silence for E..2E--> PRE_CANDIDATE --majority would vote--> CANDIDATE --majority voted--> LEADER
 *         ^                                                                        |                         |
 *         '------------- a higher term, or the leader of this one -----------------'---- a majority silent --'
 *
 * Source:  Ongaro, thesis, 2014: 3.4 (elections), 9.6 (pre-vote), 4.2.3 (disruption), 6.2 (check-quorum), 3.10
 * (transfer). Differs: a candidate's own vote counts once it is on disk, like everybody's.
 */
#include "ordered/raft_internal.h"

#define BIT(role) (1u << (role))

/* Where a role may go from here. Staying is a move of PRE_CANDIDATE and CANDIDATE too: a new attempt. */
static const uint32_t role_moves[] = {
    [RAFT_FOLLOWER] = BIT(RAFT_FOLLOWER) | BIT(RAFT_PRE_CANDIDATE) | BIT(RAFT_CANDIDATE),
    [RAFT_PRE_CANDIDATE] = BIT(RAFT_FOLLOWER) | BIT(RAFT_PRE_CANDIDATE) | BIT(RAFT_CANDIDATE),
    [RAFT_CANDIDATE] = BIT(RAFT_FOLLOWER) | BIT(RAFT_PRE_CANDIDATE) | BIT(RAFT_LEADER),
    [RAFT_LEADER] = BIT(RAFT_FOLLOWER),
};

static void move(struct raft *r, enum raft_role to, uint16_t leader) /* the only writer of role and leader */
{
    ASSERT(role_moves[r->role] & BIT(to));
    if (r->role == to && r->leader == leader) return;
    if (r->role == RAFT_LEADER) r->counters.step_downs++;
    if (r->role == RAFT_LEADER || r->leader != leader) raft__fail_reads(r, RAFT_READ_NOT_LEADER);
    r->role = to;
    r->leader = leader;
    r->fx->role_changed = true;
}

/* A term begins for us: nothing is verified in it but what is committed. */
static void enter_term(struct raft *r, uint64_t term)
{
    ASSERT(term > r->term);
    r->term = term;
    r->vote = 0;
    r->verified = r->commit;
    r->leader_stamp = (struct raft_stamp){0};
    r->stage.index = r->installing ? r->stage.index : 0;
    r->hard_changed = true;
    r->fx->role_changed = true;
}

void raft__reset_election_deadline(struct raft *r)
{
    uint64_t timeout = r->config.election_timeout_ns;
    uint64_t wait = prng_range(&r->prng, timeout, 2 * timeout);
    if (raft_is_witness(r)) wait += timeout; /* a full replica should lead */
    r->election_deadline_ns = r->now_ns + wait;
}

/* An attempt that came to nothing, or that we made room for, is repeated soon: no promise of ours binds any more. */
static void retry_election_later(struct raft *r)
{
    raft__reset_election_deadline(r);
    r->election_deadline_ns -= r->config.election_timeout_ns / 2;
}

/* The host says that our leader's node is gone: wait no longer than our promise to it binds us, and a random while, so
 * that not all groups of a lost node elect at once, nor all members of a group. */
void raft__lost_leader(struct raft *r)
{
    uint64_t timeout = r->config.election_timeout_ns, from_ns = r->now_ns;
    if (r->has_promised && raft_promise_binds(r->promised_ns, r->now_ns, timeout)) from_ns = r->promised_ns + timeout;
    uint64_t at_ns = from_ns + prng_range(&r->prng, 0, timeout / 2);
    if (raft_is_witness(r)) at_ns += timeout;
    if (at_ns < r->election_deadline_ns) r->election_deadline_ns = at_ns;
}

void raft__heard_leader(struct raft *r, uint16_t leader)
{
    if (r->role != RAFT_FOLLOWER || r->leader != leader) raft__become_follower(r, r->term, leader);
    r->has_promised = true;
    r->promised_ns = r->now_ns;
    r->quiesced = false;
    raft__reset_election_deadline(r);
}

void raft__become_follower(struct raft *r, uint64_t term, uint16_t leader)
{
    if (term > r->term) enter_term(r, term);
    bool was_leader = r->role == RAFT_LEADER;
    move(r, RAFT_FOLLOWER, leader);
    r->quiesced = false;
    if (was_leader) {
        r->verified = r->commit;
        r->transfer_to = 0;
    }
    raft__reset_election_deadline(r);
}

static bool counts(uint8_t kind)
{
    return kind == RAFT_VOTER || kind == RAFT_WITNESS;
}

/* Who does not count by a configuration that is not yet committed may be the only one that has it, and so the only one
 * who can win and commit it (thesis, 4.2.2): it goes by the one before as well. */
bool raft__may_lead(const struct raft *r)
{
    struct raft_end end = {raft_log_term(&r->log, r->log.last_index), r->log.last_index};
    if (r->installing || r->joining || !raft__reaches_floor(r, end.term)) return false;
    if (raft__end_is_before(end, r->floor)) return false;
    if (counts(raft__kind_of(r, r->config.node))) return true;
    if (raft__configured(r)->index <= r->commit || r->configurations_count < 2) return false;
    const struct raft_configured *before = &r->configurations[r->configurations_count - 2];
    return counts(raft__kind_in(&before->configuration, r->config.node));
}

static void clear_votes(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_count; i++) r->peers[i].has_voted = r->peers[i].has_granted = false;
}

static void ask_for_votes(struct raft *r, enum raft_kind kind, uint64_t term, bool transfer)
{
    uint64_t last = r->log.last_index;
    struct raft_letter m = {.kind = kind, .term = term};
    m.vote = (struct raft_vote){.transfer = transfer, .last_index = last, .last_term = raft_log_term(&r->log, last)};
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (raft__kind_of(r, r->peers[i].node) == RAFT_LEARNER) continue;
        if (kind == KIND_PRE_VOTE) {
            raft__send(r, r->peers[i].node, &m);
        } else {
            raft__send_after_durable(r, r->peers[i].node, &m); /* our own vote first (R1) */
        }
    }
}

static bool own_vote_is_durable(const struct raft *r)
{
    return !r->hard_changed && r->hard_write <= r->write_durable;
}

/* 1 for who granted, for raft_quorum_majority(). Our own vote counts when it is durable; a pre-vote promises nothing.
 */
static uint64_t granted_by(const void *user, uint16_t node)
{
    const struct raft *r = user;
    if (node == r->config.node) {
        if (r->role == RAFT_PRE_CANDIDATE) return 1;
        return own_vote_is_durable(r);
    }
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return r->peers[i].has_granted;
    }
    return 0;
}

static void become_leader(struct raft *r)
{
    move(r, RAFT_LEADER, r->config.node);
    r->counters.leaderships++;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        struct raft_peer *peer = &r->peers[i];
        raft_progress_init(&peer->progress, r->log.last_index, r->config.window_messages,
                           r->config.window_entries_bytes, r->now_ns);
    }
    r->verified = r->commit;
    r->round = 0;
    r->uncommitted_bytes = 0;
    r->lease_void = false;
    r->transfer_to = 0;
    r->quiesced = false;
    r->busy_ns = r->now_ns;
    r->placement_after_ns = r->now_ns + r->config.election_timeout_ns;
    r->check_deadline_ns = r->now_ns + r->config.election_timeout_ns;
    r->heartbeat_deadline_ns = r->now_ns + r->config.heartbeat_interval_ns;
    r->reign_index = r->log.last_index + 1;
    raft__append(r, r->term, RAFT_ENTRY_EMPTY, slice_of(NULL, 0));
    raft__send_entries_to_all(r);
}

static void become_candidate(struct raft *r, bool transfer)
{
    r->counters.elections++;
    enter_term(r, r->term + 1);
    r->vote = r->config.node;
    move(r, RAFT_CANDIDATE, 0);
    clear_votes(r);
    retry_election_later(r);
    ask_for_votes(r, KIND_VOTE, r->term, transfer);
}

static void count_votes(struct raft *r)
{
    if (raft_quorum_majority(&r->quorum, granted_by, r) == 0) return;
    if (r->role == RAFT_PRE_CANDIDATE) {
        become_candidate(r, false);
    } else if (r->role == RAFT_CANDIDATE) {
        become_leader(r);
    }
}

void raft__count_own_vote(struct raft *r)
{
    if (r->role == RAFT_CANDIDATE) count_votes(r);
}

void raft__start_election(struct raft *r)
{
    ASSERT(r->role != RAFT_LEADER);
    r->quiesced = false;
    retry_election_later(r);
    if (!raft__may_lead(r)) return;
    move(r, RAFT_PRE_CANDIDATE, 0);
    clear_votes(r);
    ask_for_votes(r, KIND_PRE_VOTE, r->term + 1, false);
    count_votes(r); /* alone in the group */
}

void raft__start_transferred_election(struct raft *r)
{
    r->quiesced = false;
    if (raft__may_lead(r)) become_candidate(r, true);
}

void raft__on_election_deadline(struct raft *r)
{
    if (r->has_promised && raft_promise_binds(r->promised_ns, r->now_ns, r->config.election_timeout_ns)) {
        r->election_deadline_ns = r->promised_ns + r->config.election_timeout_ns; /* ours binds ourselves as well */
        return;
    }
    raft__start_election(r);
}

/* A member that hears its leader votes for nobody: the leader's lease rests on it, and a member that was cut off can't
 * disturb the others. Who led us and now asks itself leads no more; who was asked to by the leader may. */
bool raft__vote_is_promised(const struct raft *r, uint16_t from, const struct raft_letter *m)
{
    if (m->kind == KIND_VOTE && m->vote.transfer) return false;
    if (from == r->leader) return false;
    if (r->role == RAFT_LEADER && m->term > r->term) return raft_can_commit(r, r->now_ns);
    if (raft__leader_is_alive(r)) return true;
    return r->has_promised && raft_promise_binds(r->promised_ns, r->now_ns, r->config.election_timeout_ns);
}

/* Thesis, 3.6.1: the log that ends in the later term, or is longer in the same one, holds everything committed. */
static bool log_is_up_to_date(const struct raft *r, const struct raft_vote *vote)
{
    if (!raft__reaches_floor(r, vote->last_term)) return false;
    return !raft__end_is_before((struct raft_end){vote->last_term, vote->last_index},
                                raft__end_at(r, r->log.last_index));
}

/* Two ask at the same time: if both became candidates of one term, neither might win it. The one with the longer log
 * goes on, or else with the higher number. */
static bool makes_room_for(const struct raft *r, uint16_t rival, const struct raft_vote *vote)
{
    if (r->role != RAFT_PRE_CANDIDATE) return false;
    uint64_t last = r->log.last_index;
    bool is_equal = vote->last_index == last && vote->last_term == raft_log_term(&r->log, last);
    return !is_equal || rival > r->config.node;
}

static void on_pre_vote(struct raft *r, uint16_t from, const struct raft_letter *m)
{
    bool grant = m->term > r->term && log_is_up_to_date(r, &m->vote);
    if (grant && makes_room_for(r, from, &m->vote)) {
        raft__become_follower(r, r->term, 0);
        retry_election_later(r);
    }
    struct raft_letter reply = {.kind = KIND_PRE_VOTE_REPLY, .term = grant ? m->term : r->term, .granted = grant};
    if (grant) {
        raft__send(r, from, &reply);
    } else {
        raft__send_after_durable(r, from, &reply); /* it tells our term */
    }
}

/* Vote even for a candidate that our configuration does not list: ours may be the older. Thesis, 4.1. */
void raft__on_vote(struct raft *r, uint16_t from, const struct raft_letter *m)
{
    if (from == r->leader && m->kind == KIND_PRE_VOTE && m->term > r->term) {
        raft__become_follower(r, r->term, 0); /* it was restarted, or stepped down */
    }
    if (m->kind == KIND_PRE_VOTE) {
        on_pre_vote(r, from, m);
        return;
    }
    ASSERT(m->term == r->term);
    bool may = r->vote == from || (r->vote == 0 && r->leader == 0);
    bool grant = may && log_is_up_to_date(r, &m->vote);
    if (grant && r->vote == 0) {
        r->vote = from;
        r->hard_changed = true;
    }
    if (grant) raft__reset_election_deadline(r);
    struct raft_letter reply = {.kind = KIND_VOTE_REPLY, .term = r->term, .granted = grant};
    raft__send_after_durable(r, from, &reply);
}

void raft__on_vote_reply(struct raft *r, uint16_t from, const struct raft_letter *m)
{
    struct raft_peer *peer = raft__peer(r, from);
    ASSERT(peer);
    if (peer->has_voted) return;
    if (m->kind == KIND_VOTE_REPLY && !own_vote_is_durable(r)) { /* our question has not left yet */
        r->counters.messages_refused[RAFT_REFUSED_FUTURE]++;
        return;
    }
    peer->has_voted = true;
    peer->has_granted = m->granted;
    if (m->granted) count_votes(r);
}
