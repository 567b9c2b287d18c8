/* raft_read.c: linearizable reads without writing to the log.
 *
 * Source:  Ongaro, thesis, 2014, section 6.4. A read gets the commit index of when it came; it is confirmed once a
 *          majority answered a round of heartbeats that began after it came, or at once while the lease runs.
 * Differs: a member may ask the leader for its own host. Its question carries its incarnation: an answer to a question
 *          of before a restart must not confirm a younger read that happens to bear the same number.
 *
 * D1  A leader gives no index before an entry of its own term is committed (S9): before that it may not know of the
 *     newest commits.
 * D2  A round number is used once a term, and terms are led once: an answer names one question.
 */
#include "base/memory.h"
#include "ordered/raft_internal.h"

enum { READS_CAPACITY_MIN = 16 };

static struct raft_waiting_read *push_read(struct raft *r)
{
    if (r->reads_count == r->reads_capacity) {
        r->reads_capacity = r->reads_capacity ? r->reads_capacity * 2 : READS_CAPACITY_MIN;
        r->reads = memory_realloc(r->reads, r->reads_capacity * sizeof *r->reads);
    }
    struct raft_waiting_read *read = &r->reads[r->reads_count++];
    *read = (struct raft_waiting_read){.asked_ns = r->now_ns};
    return read;
}

/* Give the answer to whom it belongs. */
static void answer(struct raft *r, const struct raft_waiting_read *read, enum raft_read_result result)
{
    if (read->from == 0) {
        raft__put_read(r, read->context, result, read->index);
        return;
    }
    struct raft_letter m = {.kind = KIND_READ_REPLY, .term = r->term};
    m.read_reply =
        (struct raft_read_reply){.question = read->question, .ready = result == RAFT_READ_READY, .index = read->index};
    raft__send(r, read->from, &m);
}

void raft__fail_reads(struct raft *r, enum raft_read_result result)
{
    for (uint32_t i = 0; i < r->reads_count; i++) answer(r, &r->reads[i], result);
    r->reads_count = 0;
}

static uint64_t sent_answered_of(const void *user, uint16_t node)
{
    const struct raft *r = user;
    if (node == r->config.node) return r->now_ns;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return r->peers[i].progress.sent_answered_ns;
    }
    return 0;
}

uint64_t raft__lease_until_ns(const struct raft *r)
{
    if (r->role != RAFT_LEADER || r->lease_void || r->config.clock_drift_ppm_max == 0) return 0;
    uint64_t sent_ns = raft_quorum_majority(&r->quorum, sent_answered_of, r);
    if (sent_ns == 0) return 0;
    return raft_lease_end_ns(sent_ns, r->config.election_timeout_ns, r->config.clock_drift_ppm_max);
}

static uint64_t round_answered_of(const void *user, uint16_t node)
{
    const struct raft *r = user;
    if (node == r->config.node) return UINT64_MAX;
    for (uint32_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].node == node) return r->peers[i].progress.round_answered;
    }
    return 0;
}

/* Reads that came before this reign could serve get their index and round now. */
static void assign_indexes(struct raft *r)
{
    bool any = false;
    for (uint32_t i = 0; i < r->reads_count; i++) any |= r->reads[i].index == 0;
    if (!any) return;
    r->round++;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->reads[i].index > 0) continue;
        r->reads[i].index = r->commit;
        r->reads[i].round = r->round;
    }
    raft__heartbeat_all(r);
}

void raft__confirm_reads(struct raft *r)
{
    if (r->role != RAFT_LEADER || r->reads_count == 0 || !raft_can_read(r)) return;
    assign_indexes(r);
    uint64_t round = raft_quorum_majority(&r->quorum, round_answered_of, r);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        if (r->reads[i].round <= round) {
            r->counters.reads_by_round++;
            answer(r, &r->reads[i], RAFT_READ_READY);
        } else {
            r->reads[kept++] = r->reads[i];
        }
    }
    r->reads_count = kept;
}

/* A leader takes one read, its own or a member's. */
static void lead_read(struct raft *r, const struct raft_waiting_read *asked)
{
    raft__wake(r);
    struct raft_waiting_read read = *asked;
    read.asked_ns = r->now_ns;
    if (raft_can_read(r) && r->now_ns < raft__lease_until_ns(r)) {
        r->counters.reads_by_lease++;
        read.index = r->commit;
        answer(r, &read, RAFT_READ_READY);
        return;
    }
    *push_read(r) = read;
    raft__confirm_reads(r);
}

void raft__on_read(struct raft *r, uint64_t context)
{
    struct raft_waiting_read read = {.context = context, .asked_ns = r->now_ns};
    if (r->reads_count >= RAFT_READS_MAX) {
        answer(r, &read, RAFT_READ_BUSY);
    } else if (r->role == RAFT_LEADER) {
        lead_read(r, &read);
    } else if (r->leader == 0) {
        answer(r, &read, RAFT_READ_NOT_LEADER);
    } else {
        read.question = (struct raft_read_question){r->config.incarnation, ++r->read_sequence};
        if (r->reads_count == 0) r->read_retry_ns = r->now_ns + r->config.heartbeat_interval_ns;
        *push_read(r) = read;
        struct raft_letter m = {.kind = KIND_READ, .term = r->term, .read = read.question};
        raft__send(r, r->leader, &m);
    }
}

void raft__on_read_question(struct raft *r, uint16_t from, const struct raft_read_question *question)
{
    for (uint32_t i = 0; i < r->reads_count; i++) {
        const struct raft_waiting_read *read = &r->reads[i];
        if (read->from == from && read->question.incarnation == question->incarnation &&
            read->question.sequence == question->sequence) {
            return; /* asked again; it is under way */
        }
    }
    if (r->reads_count >= RAFT_READS_MAX) {
        r->counters.messages_refused[RAFT_REFUSED_BUSY]++;
        return;
    }
    struct raft_waiting_read read = {.from = from, .question = *question};
    lead_read(r, &read);
}

void raft__on_read_reply(struct raft *r, const struct raft_read_reply *m)
{
    if (m->question.incarnation != r->config.incarnation) {
        r->counters.messages_refused[RAFT_REFUSED_CONTEXT]++;
        return;
    }
    for (uint32_t i = 0; i < r->reads_count; i++) {
        struct raft_waiting_read read = r->reads[i];
        if (read.from != 0 || read.question.sequence != m->question.sequence) continue;
        read.index = m->index;
        answer(r, &read, m->ready ? RAFT_READ_READY : RAFT_READ_NOT_LEADER);
        r->reads[i] = r->reads[--r->reads_count]; /* a member's order means nothing: the numbers name them */
        return;
    }
}

/* A member: ask again what was not answered, and give up after 2E. A leader's rounds are repeated by its heartbeats. */
void raft__tick_reads(struct raft *r)
{
    if (r->role == RAFT_LEADER || r->reads_count == 0 || r->now_ns < r->read_retry_ns) return;
    r->read_retry_ns = r->now_ns + r->config.heartbeat_interval_ns;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->reads_count; i++) {
        struct raft_waiting_read read = r->reads[i];
        if (r->now_ns - read.asked_ns >= 2 * r->config.election_timeout_ns) {
            answer(r, &read, RAFT_READ_OUT_OF_CONTACT);
            continue;
        }
        r->reads[kept++] = read;
        struct raft_letter m = {.kind = KIND_READ, .term = r->term, .read = read.question};
        raft__send(r, r->leader, &m);
    }
    r->reads_count = kept;
}
