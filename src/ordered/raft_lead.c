/* raft_lead.c: what a leader does: proposals into the log, the log to the peers, answers into the commit index.
 *
 * Source:  Ongaro and Ousterhout, 2014, figure 2 and 5.4.2 (only entries of the current term are counted); pipelining:
 *          thesis, 10.2.1. The rule beyond the majority: contract/commit_rule.h.
 */
#include "ordered/raft_internal.h"

struct raft_stamp raft__stamp(const struct raft *r)
{
    return (struct raft_stamp){.round = r->round, .sent_ns = r->now_ns};
}

static enum raft_proposal_result proposal_refusal(const struct raft *r)
{
    if (r->role != RAFT_LEADER) return RAFT_PROPOSAL_NOT_LEADER;
    if (r->transfer_to != 0 || raft__kind_of(r, r->config.node) != RAFT_VOTER) return RAFT_PROPOSAL_HANDING_OVER;
    if (!raft_can_commit(r, r->now_ns)) return RAFT_PROPOSAL_OUT_OF_CONTACT;
    if (r->uncommitted_bytes > RAFT_UNCOMMITTED_BYTES_MAX) return RAFT_PROPOSAL_BUSY;
    return RAFT_PROPOSAL_ACCEPTED;
}

void raft__on_propose(struct raft *r, const struct slice *payloads, uint32_t count)
{
    ASSERT(count > 0 && count <= RAFT_PROPOSALS_MAX);
    r->fx->proposal = proposal_refusal(r);
    if (r->fx->proposal != RAFT_PROPOSAL_ACCEPTED) return;
    raft__wake(r);
    r->fx->proposal_term = r->term;
    r->fx->proposal_first = r->log.last_index + 1;
    for (uint32_t i = 0; i < count; i++) raft__append(r, r->term, RAFT_ENTRY_NORMAL, payloads[i]);
    raft__send_entries_to_all(r);
}

/* The head of an APPEND to this peer, its entries to follow. */
static struct raft_letter append_head(const struct raft *r, const struct raft_peer *peer, uint64_t previous)
{
    struct raft_letter m = {.kind = KIND_APPEND, .term = r->term};
    m.append = (struct raft_append){.stamp = raft__stamp(r),
                                    .previous_index = previous,
                                    .previous_term = raft_log_term(&r->log, previous),
                                    .commit = r->commit};
    if (raft__kind_of(r, peer->node) == RAFT_WITNESS) m.append.full_index = r->full_index;
    return m;
}

/* An append without entries. Its place is behind what was sent last, so that a loss shows itself as a refusal. */
void raft__send_heartbeat(struct raft *r, struct raft_peer *peer)
{
    struct raft_progress *p = &peer->progress;
    uint64_t previous = p->next - 1;
    if (p->state == PROGRESS_SNAPSHOT || raft_log_term(&r->log, previous) == 0) previous = 0;
    struct raft_letter m = append_head(r, peer, previous);
    m.append.previous_term = previous ? m.append.previous_term : 0;
    raft__send(r, peer->node, &m);
}

void raft__heartbeat_all(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_count; i++) raft__send_heartbeat(r, &r->peers[i]);
}

/* How many entries of a run in memory go into one message: at least one. */
static uint32_t message_count(const struct raft *r, uint64_t first)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    for (uint64_t i = first; i <= r->log.last_index && count < RAFT_MESSAGE_ENTRIES_MAX; i++, count++) {
        bytes += raft_log_entry(&r->log, i)->payload.length;
        if (count > 0 && bytes > RAFT_MESSAGE_ENTRIES_BYTES_MAX) break;
    }
    return count;
}

/* One message from memory. */
static void send_cached(struct raft *r, struct raft_peer *peer)
{
    uint64_t first = peer->progress.next;
    struct raft_letter m = append_head(r, peer, first - 1);
    m.append.count = message_count(r, first);
    raft__send_begin(r, peer->node, &m);
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < m.append.count; i++) {
        const struct raft_entry *entry = raft_log_entry(&r->log, first + i);
        raft_append_entry_write(&r->fx->bytes, entry->term, entry->kind, entry->payload);
        bytes += (uint32_t)entry->payload.length;
    }
    raft__send_end(r);
    raft_progress_sent(&peer->progress, first + m.append.count - 1, bytes);
}

static void ask_host(struct raft *r, struct raft_peer *peer)
{
    peer->progress.loading = true;
    raft__put_load(r, (struct raft_load){.to = peer->node,
                                         .first = peer->progress.next,
                                         .last = r->log.cached_first - 1,
                                         .bytes_max = RAFT_MESSAGE_ENTRIES_BYTES_MAX});
}

void raft__send_entries(struct raft *r, struct raft_peer *peer)
{
    struct raft_progress *p = &peer->progress;
    if (p->state == PROGRESS_SNAPSHOT) {
        raft__pump_snapshot(r, peer);
        return;
    }
    while (p->next <= r->log.last_index && raft_progress_may_send(p)) {
        if (p->next <= r->log.base_index) {
            raft__start_snapshot(r, peer);
            return;
        }
        if (p->next < r->log.cached_first) {
            ask_host(r, peer);
            return;
        }
        if (r->fx->bytes.length > RAFT_STEP_BYTES_FULL) return;
        send_cached(r, peer);
    }
    if (p->next <= r->log.base_index) raft__start_snapshot(r, peer);
}

void raft__send_entries_to_all(struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_count; i++) raft__send_entries(r, &r->peers[i]);
}

/* Entries from the host's log for a peer that is behind what we keep in memory. */
static void send_loaded(struct raft *r, struct raft_peer *peer, const struct raft_entry *entries, uint32_t count)
{
    struct raft_progress *p = &peer->progress;
    uint64_t first = entries[0].index;
    if (first != p->next || first <= r->log.base_index) return; /* the peer moved on, or the log did */
    struct raft_letter m = append_head(r, peer, first - 1);
    m.append.count = count < RAFT_MESSAGE_ENTRIES_MAX ? count : RAFT_MESSAGE_ENTRIES_MAX;
    raft__send_begin(r, peer->node, &m);
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < m.append.count; i++) {
        ASSERT(entries[i].index == first + i && entries[i].term == raft_log_term(&r->log, first + i));
        raft_append_entry_write(&r->fx->bytes, entries[i].term, entries[i].kind, entries[i].payload);
        bytes += (uint32_t)entries[i].payload.length;
    }
    raft__send_end(r);
    raft_progress_sent(p, first + m.append.count - 1, bytes);
}

static void take_own_loaded(struct raft *r, const struct raft_event *event)
{
    r->loading_own = false;
    if (event->loaded.status != RAFT_LOADED_OK)
        PANIC("group: entry %llu is neither applied nor in the log", (unsigned long long)(r->handed + 1));
    const struct raft_entry *entries = event->loaded.entries;
    if (entries[0].index != r->handed + 1) return; /* a snapshot came between */
    r->loaded = entries;
    r->loaded_first = entries[0].index;
    r->loaded_count = event->loaded.count;
    r->fx->apply = (struct raft_span){.first = r->loaded_first, .count = r->loaded_count};
    r->handed += r->loaded_count;
}

void raft__on_loaded(struct raft *r, const struct raft_event *event)
{
    if (event->loaded.to == r->config.node) {
        take_own_loaded(r, event);
        return;
    }
    struct raft_peer *peer = raft__peer(r, event->loaded.to);
    if (r->role != RAFT_LEADER || !peer || !peer->progress.loading) return;
    peer->progress.loading = false;
    if (event->loaded.status == RAFT_LOADED_GONE) {
        raft__start_snapshot(r, peer);
        return;
    }
    send_loaded(r, peer, event->loaded.entries, event->loaded.count);
    raft__send_entries(r, peer);
}

bool raft__note_answer(struct raft *r, struct raft_peer *peer, struct raft_stamp stamp)
{
    struct raft_progress *p = &peer->progress;
    if (stamp.round > r->round || stamp.sent_ns > r->now_ns) {
        r->counters.messages_refused[RAFT_REFUSED_FUTURE]++;
        return false;
    }
    p->heard_ns = r->now_ns;
    p->has_answered = true;
    peer->is_lost = false;
    if (stamp.round > p->round_answered) p->round_answered = stamp.round;
    if (stamp.sent_ns > p->sent_answered_ns) p->sent_answered_ns = stamp.sent_ns;
    return true;
}

static void on_refused(struct raft *r, struct raft_peer *peer, const struct raft_append_reply *m)
{
    if (m->wants_state) {
        bool is_possible = raft__kind_of(r, peer->node) != RAFT_WITNESS || r->log.base_index > 0;
        if (peer->progress.state != PROGRESS_SNAPSHOT && is_possible) raft__start_snapshot(r, peer);
        return;
    }
    uint64_t hint = raft_log_floor(&r->log, m->hint_index, m->hint_term);
    raft_progress_refused(&peer->progress, m->previous_index, hint);
}

/* A peer that was getting a snapshot holds so much now that the log reaches it. */
static void leave_snapshot(struct raft *r, struct raft_progress *p)
{
    if (p->match >= r->log.base_index) raft_progress_become_replicate(p, p->match + 1);
}

void raft__on_append_reply(struct raft *r, struct raft_peer *peer, const struct raft_append_reply *m)
{
    struct raft_progress *p = &peer->progress;
    if (m->verified > r->log.last_index) {
        r->counters.messages_refused[RAFT_REFUSED_FUTURE]++;
        return;
    }
    if (!raft__note_answer(r, peer, m->stamp)) return;
    if (m->commit > p->commit_known) p->commit_known = m->commit;
    bool rose = raft_progress_agreed(p, m->match, m->verified);
    if (p->state == PROGRESS_SNAPSHOT && !m->wants_state) leave_snapshot(r, p);
    if (m->refused) on_refused(r, peer, m);
    bool lacks = p->match < r->log.last_index || p->commit_known < r->commit;
    uint16_t node = peer->node;
    if (rose) {
        r->fx->progress_changed = true;
        raft__advance_commit(r); /* may end a joint configuration, and with it this peer */
    }
    raft__confirm_reads(r);
    peer = raft__peer(r, node);
    if (peer) raft__send_entries(r, peer);
    raft__pump_transfer(r);
    if (lacks) raft__wake(r);
}

/* What each member holds durably, for the commit rule. Our own disk counts like any other, after its fsync. */
static uint64_t match_of(const void *user, uint16_t node)
{
    const struct raft *r = user;
#ifdef PLANTED_BUG_LEADER_COUNTS_UNSYNCED
    if (node == r->config.node) return r->log.last_index;
#endif
    if (node == r->config.node) return r->durable_index;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return r->peers[i].progress.match;
    }
    return 0;
}

static void commit_to(struct raft *r, uint64_t index)
{
    for (uint64_t i = r->commit + 1; i <= index; i++) {
        const struct raft_entry *entry = raft_log_entry(&r->log, i);
        uint64_t bytes = entry && entry->term == r->term ? entry->payload.length : 0;
        r->uncommitted_bytes -= bytes < r->uncommitted_bytes ? bytes : r->uncommitted_bytes;
    }
    r->commit = index;
    r->verified = index;
}

/* C = the highest index that the rule holds for. Of earlier terms' entries none is counted by itself (5.4.2): it may be
 * held by a majority and still be replaced; it commits with the first entry of this term behind it. */
void raft__advance_commit(struct raft *r)
{
    if (r->role != RAFT_LEADER) return;
    uint64_t index = raft_quorum_rule(&r->quorum, match_of, r);
    uint64_t full = raft_quorum_full(&r->quorum, match_of, r);
    if (full > r->full_index) r->full_index = full;
#ifdef PLANTED_BUG_EARLIER_TERM_COUNTED
    if (index <= r->commit) return;
#else
    if (index <= r->commit || raft_log_term(&r->log, index) != r->term) return;
#endif
    bool was_reading = raft_can_read(r);
    commit_to(r, index);
    r->busy_ns = r->now_ns;
    raft__leave_joint(r);
    if (!was_reading) raft__confirm_reads(r);
}

bool raft_holds_under(const struct raft *r, const struct commit_rule *rule, uint64_t term, uint64_t index)
{
    if (r->role != RAFT_LEADER || raft_log_term(&r->log, index) != term) return false;
    return raft_quorum_other_rule(&r->quorum, rule, match_of, r) >= index;
}
