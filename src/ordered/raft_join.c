/* raft_join.c: a member that may have been here before and remembers nothing: its disk was lost, or it was away when
 * the group began.
 *
 *   joining ── every other member that counts has told it where it stands ──▶ a follower, with an empty log
 *
 * A vote that it has forgotten may be given twice, and an entry that it had acknowledged may be missing in the log of
 * whom it votes for. But whatever it said, it said to one of the others: a vote to a candidate, which has this term or
 * a later one; an acknowledgement to a leader, which had the entry. So it asks all of them, takes the highest term as
 * one in which it has voted, and the end of the best log as a floor: it gives its vote to no log that ends before it,
 * and asks for none while its own does. From then on it can only refuse what it might have kept, too.
 *
 * J1  While joining it neither votes nor acknowledges: others count it as down. A leader that hears its question
 * forgets what it acknowledged before. J2  Who joins as well tells nothing. That is enough while those who join are no
 * majority; or when nobody holds an entry: a group at its very beginning. J3  Term, vote and floor are durable before
 * it says anything else.
 */
#include "ordered/raft_internal.h"

static bool counts(uint8_t kind)
{
    return kind == RAFT_VOTER || kind == RAFT_WITNESS;
}

bool raft__end_is_before(struct raft_end a, struct raft_end b)
{
    return a.term < b.term || (a.term == b.term && a.index < b.index);
}

struct raft_end raft__end_at(const struct raft *r, uint64_t index)
{
    struct raft_end end = {raft_log_term(&r->log, index), index};
    return raft__end_is_before(end, r->floor) ? r->floor : end;
}

static void ask(struct raft *r)
{
    struct raft_letter m = {.kind = KIND_JOIN, .join = {.incarnation = r->config.incarnation}};
    r->election_deadline_ns = r->now_ns + r->config.election_timeout_ns / 2;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        const struct raft_peer *peer = &r->peers[i];
        bool is_due = !peer->has_told || peer->is_joining; /* who joined as well may know by now */
        if (is_due && counts(raft__kind_of(r, peer->node))) raft__send(r, peer->node, &m);
    }
}

static uint64_t remembers_nothing(const void *user, uint16_t node)
{
    const struct raft *r = user;
    if (node == r->config.node) return 1;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return r->peers[i].is_joining;
    }
    return 0;
}

static bool knows_enough(const struct raft *r)
{
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (counts(raft__kind_of(r, r->peers[i].node)) && !r->peers[i].has_told) return false;
    }
    return r->floor.index == 0 || raft_quorum_majority(&r->quorum, remembers_nothing, r) == 0; /* J2 */
}

static void finish_if_known(struct raft *r)
{
    if (!knows_enough(r)) return;
    r->joining = false;
    r->vote = r->term ? r->config.node : 0;
    r->hard_changed = true; /* J3 */
    r->has_promised = r->has_promised && r->term > 0;
    r->fx->role_changed = true;
    raft__reset_election_deadline(r);
    if (r->term == 0) r->election_deadline_ns = r->now_ns + prng_range(&r->prng, 0, r->config.election_timeout_ns);
}

void raft__start_joining(struct raft *r)
{
    r->joining = true;
    r->has_promised = true; /* perhaps to a leader that counts on it */
    r->promised_ns = r->now_ns;
    r->election_deadline_ns = r->now_ns;
}

void raft__tick_join(struct raft *r)
{
    if (r->now_ns < r->election_deadline_ns) return;
    ask(r);
    finish_if_known(r); /* alone in the group */
}

void raft__on_node_while_joining(struct raft *r)
{
    r->election_deadline_ns = r->now_ns;
}

void raft__on_join(struct raft *r, uint16_t from, const struct raft_join *question)
{
    struct raft_peer *peer = raft__peer(r, from);
    if (peer && r->role == RAFT_LEADER) {
        raft__wake(r);
        raft_progress_restart(&peer->progress, r->log.last_index); /* J1 */
    }
    struct raft_letter m = {.kind = KIND_JOIN_REPLY, .term = r->term};
    m.join_reply = (struct raft_join_reply){
        .question = *question, .joining = r->joining, .end = raft__end_at(r, r->durable_index)};
    struct buffer configuration;
    buffer_init(&configuration, RAFT_CONFIGURATION_BYTES_MAX);
    raft_configuration_write(&configuration, &raft__configured(r)->configuration);
    m.join_reply.configuration_index = raft__configured(r)->index;
    m.join_reply.configuration = buffer_slice(&configuration);
    raft__send_after_durable(r, from, &m);
    buffer_deinit(&configuration);
}

/* The members may have changed since the first ones, which are all that we know. */
static void take_configuration(struct raft *r, const struct raft_join_reply *m)
{
    struct raft_configuration c;
    if (m->configuration_index <= r->join_configuration_index) return;
    enum status status = raft_configuration_read(m->configuration, &c);
    ASSERT(status == STATUS_OK); /* checked when the message was read */
    r->join_configuration_index = m->configuration_index;
    raft__reset_configurations(r, r->log.base_index, &c);
    raft__configuration_changed(r);
    r->election_deadline_ns = r->now_ns; /* ask those who are new */
}

void raft__on_join_reply(struct raft *r, uint16_t from, uint64_t term, const struct raft_join_reply *m)
{
    if (!r->joining || m->question.incarnation != r->config.incarnation) {
        r->counters.messages_refused[RAFT_REFUSED_CONTEXT]++;
        return;
    }
    struct raft_peer *peer = raft__peer(r, from);
    if (!peer) return;
    peer->has_told = true;
    peer->is_joining = m->joining;
    if (term > r->term) r->term = term;
    if (raft__end_is_before(r->floor, m->end)) r->floor = m->end;
    take_configuration(r, m);
    finish_if_known(r);
}
